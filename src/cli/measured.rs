//! One collection, searched by each system and measured.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use anyhow::Context;
use dense_eval::stats::Draws;
use dense_eval::{
    ByLanguage, Collection, DenseRetriever, Hit, Measure, Pool, Report, RetrieveError, Retriever,
    Settings, Topic, dense_settings, ranked_settings,
};
use dense_indexer::Analyzers;
use dense_plugin::Encoder;
use ndarray::Array2;

use super::debias::Encoded;
use super::eval::{Options, System};
use super::queries::write_run;
use super::report;
use super::ui::Ui;
use super::vectors::Texts;
use crate::retrievers::{Bm25Retriever, DetectingRetriever, HybridRetriever};
use crate::weighted::WeightedRetriever;

/// How many passages of each topic a run file holds, as at TREC.
const RUN_DEPTH: usize = 1000;

/// One collection that is being measured.
pub(super) struct Measured<'a> {
    collection: &'a Collection,
    options: &'a Options,
    threads: NonZeroUsize,
    #[cfg(feature = "onnx")]
    heads: &'a [super::heads::Head],
    ui: Ui,
}

impl<'a> Measured<'a> {
    pub(super) fn new(collection: &'a Collection, options: &'a Options, ui: Ui) -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            collection,
            options,
            threads,
            #[cfg(feature = "onnx")]
            heads: &[],
            ui,
        }
    }

    /// Measures dense search through each of these as well.
    #[cfg(feature = "onnx")]
    pub(super) fn heads(self, heads: &'a [super::heads::Head]) -> Self {
        Self { heads, ..self }
    }

    /// Adds what each system scores to a report.
    pub(super) fn add_to(
        &self,
        report: &mut Report,
        encoder: Option<&dyn Encoder>,
    ) -> anyhow::Result<()> {
        let (collection, options) = (self.collection, self.options);
        self.ui.note(format_args!(
            "{}: {} passages, {} queries",
            collection.name,
            collection.passages.len(),
            collection.topics.len()
        ));
        let vectors = encoder.map(|encoder| self.vectors(encoder)).transpose()?;
        let wants = |system| options.systems.contains(&system);
        let fuses = wants(System::Hybrid) || wants(System::Weighted);
        let words = wants(System::Bm25) || fuses || options.detect;
        let bm25 =
            words.then(|| Bm25Retriever::new(collection, Analyzers::default())).transpose()?;
        if let Some(bm25) = &bm25 {
            if wants(System::Bm25) {
                let search = |topic: &Topic, pool: Pool<'_>| bm25.search(topic, pool, usize::MAX);
                self.add_ranked(report, bm25, search)?;
            }
            if options.detect {
                let detecting = DetectingRetriever(bm25);
                self.add_ranked(report, &detecting, |topic, pool| detecting.search(topic, pool))?;
            }
        }
        let Some(vectors) = vectors else {
            return self.add_examples(report, bm25.as_ref(), None);
        };
        if wants(System::Dense) {
            self.add_dense(report, "dense", &vectors.queries, &vectors.passages)?;
        }
        for &debias in &options.debias {
            let (queries, passages) =
                vectors.without_means(debias, options.components, &options.model)?;
            self.add_dense(report, debias.system(), &queries, &passages)?;
        }
        #[cfg(feature = "onnx")]
        for head in self.heads {
            let (queries, passages) = head.applied(&vectors)?;
            self.add_dense(report, head.system(), &queries, &passages)?;
        }
        let (queries, passages) = (vectors.queries.view(), vectors.passages.view());
        let dense = DenseRetriever::new("dense", queries, passages, collection)?;
        if let Some(bm25) = bm25.as_ref().filter(|_| fuses) {
            self.add_fused(report, bm25, &dense)?;
        }
        self.add_examples(report, bm25.as_ref(), Some(&dense))
    }

    /// What a report shows of single queries.
    fn add_examples<'b>(
        &self,
        report: &mut Report,
        bm25: Option<&'b Bm25Retriever>,
        dense: Option<&'b DenseRetriever<'b>>,
    ) -> anyhow::Result<()> {
        // Of other systems there is no ranking at hand, and to show none would say that they found nothing.
        let is_shown = |system: &String| matches!(system.as_str(), "bm25" | "dense" | "hybrid");
        if self.options.report.is_none() || !report.systems().iter().take(2).all(is_shown) {
            return Ok(());
        }
        let search = |system: &str, topic: &Topic, pool: Pool<'_>| match (system, bm25, dense) {
            ("bm25", Some(bm25), _) => bm25.search(topic, pool, usize::MAX),
            ("dense", _, Some(dense)) => dense.search(topic, pool, usize::MAX),
            ("hybrid", Some(bm25), Some(dense)) => {
                HybridRetriever::new(bm25, dense).search(topic, pool)
            }
            _ => Ok(Vec::new()),
        };
        report::add_examples(report, self.collection, &search)
    }

    /// What is measured: what was asked for, and what a report draws beside it.
    fn measures(&self) -> Vec<Measure> {
        let mut measures = self.options.measures.clone();
        if self.options.report.is_some() {
            measures.extend(Report::recall_measures());
        }
        measures
    }

    fn add_dense(
        &self,
        report: &mut Report,
        name: &str,
        queries: &Array2<f32>,
        passages: &Array2<f32>,
    ) -> anyhow::Result<()> {
        let (queries, passages) = (queries.view(), passages.view());
        let (collection, measures) = (self.collection, self.measures());
        let settings = dense_settings(queries, passages, collection, &measures, self.threads)?;
        let dense = DenseRetriever::new(name, queries, passages, collection)?;
        self.add(report, &dense, &settings)
    }

    fn add_fused<'b>(
        &self,
        report: &mut Report,
        bm25: &'b Bm25Retriever,
        dense: &'b DenseRetriever<'b>,
    ) -> anyhow::Result<()> {
        let options = self.options;
        if options.systems.contains(&System::Hybrid) {
            let hybrid = HybridRetriever::new(bm25, dense);
            self.add_ranked(report, &hybrid, |topic, pool| hybrid.search(topic, pool))?;
        }
        if options.systems.contains(&System::Weighted) {
            let folds = (options.folds as usize, Draws::new(options.seed));
            let (collection, normalization) = (self.collection, options.normalization);
            let weighted = WeightedRetriever::cross_validated(
                bm25,
                dense,
                collection,
                normalization,
                folds,
                self.threads,
            )?;
            self.add_ranked(report, &weighted, |topic, pool| weighted.search(topic, pool))?;
            let weights = serde_json::to_value(weighted.chosen())?;
            report.facts.insert(format!("weights of {}", collection.name), weights);
        }
        Ok(())
    }

    /// A system that gives lists.
    fn add_ranked(
        &self,
        report: &mut Report,
        system: &dyn Retriever,
        search: impl Fn(&Topic, Pool<'_>) -> Result<Vec<Hit>, RetrieveError> + Sync,
    ) -> anyhow::Result<()> {
        let measures = self.measures();
        let settings = ranked_settings(self.collection, &measures, self.threads, search)?;
        self.add(report, system, &settings)
    }

    fn add(
        &self,
        report: &mut Report,
        system: &dyn Retriever,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let all = settings;
        let settings = match self.options.report {
            Some(_) => Cow::Owned(
                all.select(&self.options.measures).context("a measure was not measured")?,
            ),
            None => Cow::Borrowed(all),
        };
        report.add(system.name(), &self.by_language(&settings))?;
        if self.is_multilingual() {
            report.add_settings(system.name(), &settings)?;
        }
        if self.options.report.is_some() {
            report.add_recall(system.name(), &self.by_language(all));
        }
        let Some(folder) = &self.options.save_run else { return Ok(()) };
        let file = folder.join(format!("{}.{}.trec", self.collection.name, system.name()));
        let run = system.retrieve_all(&self.collection.topics, RUN_DEPTH)?;
        write_run(&run, &file)
    }

    /// Several languages are told apart by what each finds among its own passages.
    fn by_language(&self, settings: &Settings) -> ByLanguage {
        if self.is_multilingual() {
            settings.mono_by_language()
        } else {
            settings.multi_by_language()
        }
    }

    fn is_multilingual(&self) -> bool {
        self.collection.languages().len() > 1
    }

    /// The vectors of the queries and of the passages.
    fn vectors(&self, encoder: &dyn Encoder) -> anyhow::Result<Encoded> {
        let (model, ui) = (&self.options.model, self.ui);
        let query_texts = Texts::queries(self.collection);
        let passage_texts = Texts::passages(self.collection);
        Ok(Encoded {
            queries: query_texts.encode(encoder, model, ui)?,
            passages: passage_texts.encode(encoder, model, ui)?,
            query_texts,
            passage_texts,
        })
    }
}

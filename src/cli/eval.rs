//! `tdense eval`.

use std::fs::{self, File};
use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use dense_eval::stats::Draws;
use dense_eval::{
    ByLanguage, Collection, DenseRetriever, Evaluator, Measure, Missing, Pool, Qrels, Report,
    Retriever, RunReport, Settings, Topic, dense_settings, ranked_settings,
};
use dense_indexer::{Analyzers, Detector};
use dense_plugin::{Encoder, LanguageTag, Role, Text};
use ndarray::Array2;

use super::compare;
use super::models::ModelOptions;
use super::report::{self, ReportFile};
use super::ui::Ui;
use crate::report::Question;
use crate::retrievers::{Bm25Retriever, HybridRetriever, full_text, language_of};

/// How many texts are handed to the encoder at once: enough to sort by length, little enough for
/// the bar to move.
const BATCH: usize = 256;

/// How many passages of each topic a run file holds, as at TREC.
const RUN_DEPTH: usize = 1000;

/// Measure how well BM25, dense and hybrid search rank, language by language.
///
/// The data is a BEIR folder (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`), a folder of such
/// folders, or XQuAD-R's JSON files. A collection in several languages is measured in each language
/// apart, across each pair of languages, and in one pool of all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense eval --data xquad-r
  tdense eval --data tydiqa-r --systems bm25,dense --measures AP,nDCG@10 --json
  tdense eval --data xquad-r --report report.html
  tdense eval --run bm25.trec --qrels qrels.txt
  tdense eval compare old.json new.json")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Options {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// A collection, or a folder of collections
    #[arg(long, value_name = "DIR", required_unless_present = "run")]
    data: Option<PathBuf>,
    /// Which judgements of a BEIR folder: qrels/<SPLIT>.tsv
    #[arg(long, default_value = "test", requires = "data")]
    split: String,
    /// What to compare
    #[arg(long, value_delimiter = ',', default_value = "bm25,dense,hybrid", requires = "data")]
    systems: Vec<System>,
    /// What to measure: AP, nDCG, RR, Judged, each also with a cutoff as in AP@100; R@k, P@k,
    /// Success@k, Rprec; with a least grade as in AP(rel=2)@100
    #[arg(long, value_delimiter = ',', default_value = "AP,nDCG@10,R@100,RR")]
    measures: Vec<Measure>,
    /// Write each system's ranking to DIR/<collection>.<system>.trec
    #[arg(long, value_name = "DIR", requires = "data")]
    save_run: Option<PathBuf>,
    /// Score the TREC run of any system instead
    #[arg(long, value_name = "FILE", requires = "qrels", conflicts_with = "data")]
    run: Option<PathBuf>,
    /// The judgements for --run, as TREC or BEIR writes them
    #[arg(long, value_name = "FILE", requires = "run")]
    qrels: Option<PathBuf>,
    /// Leave out judged topics that the run does not answer, as `trec_eval` does without -c; else
    /// they count as 0
    #[arg(long, requires = "run")]
    answered_only: bool,
    /// One JSON object instead of tables, with the values of every topic
    #[arg(long)]
    json: bool,
    /// Write what was found, with significance, to a page (.html), or as .md, .csv or .json
    #[arg(long, value_name = "FILE")]
    report: Option<ReportFile>,
    #[command(flatten)]
    model: ModelOptions,
}

/// What is done with results that are there.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Compare two systems, models or dates, language by language, with significance
    Compare(compare::Options),
}

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum System {
    Bm25,
    Dense,
    Hybrid,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    if let Some(Instead::Compare(options)) = &options.instead {
        return compare::run(options, ui);
    }
    if let Some(file) = &options.report {
        file.check()?;
    }
    match (&options.data, &options.run, &options.qrels) {
        (Some(data), ..) => measure_collections(data, options, ui),
        (None, Some(run), Some(qrels)) => score_run(run, qrels, options, ui),
        _ => bail!("there is nothing to measure: neither --data nor --run"),
    }
}

fn score_run(run: &Path, judged: &Path, options: &Options, ui: Ui) -> anyhow::Result<()> {
    let qrels = Qrels::read(judged)?;
    let missing = if options.answered_only { Missing::LeftOut } else { Missing::Zero };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let evaluator = Evaluator::new(&qrels, &options.measures).missing(missing).threads(threads);
    let scores = evaluator.read_run(run)?;
    if scores.answered == 0 {
        bail!("the run answers none of the topics that the qrels judge");
    }
    let (name, values) = (&scores.name, &scores.evaluation);
    if let Some(file) = &options.report {
        let report = RunReport::new(name, values).context("the qrels judge no topic")?;
        write_report(file, &mut report.into(), &[run, judged], ui)?;
    }
    let mean = values.mean().context("the qrels judge no topic")?;
    let named = values.measures().iter().map(ToString::to_string).zip(mean);
    if options.json {
        let report = RunReport::new(name, values).context("the qrels judge no topic")?;
        return Ok(ui.json(&report)?);
    }
    ui.line(format_args!("{name}, {} topics", values.len()))?;
    for (name, mean) in named {
        ui.line(format_args!("{name:<10} {mean:.4}"))?;
    }
    Ok(())
}

fn measure_collections(data: &Path, options: &Options, ui: Ui) -> anyhow::Result<()> {
    let collections = match options.split.as_str() {
        "test" => Collection::open_all(data)?,
        split => vec![Collection::open_split(data, split)?],
    };
    let encodes = options.systems.iter().any(|system| *system != System::Bm25);
    let encoder = if encodes { Some(options.model.encoder()?) } else { None };
    if let Some(folder) = &options.save_run {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let name = match &collections[..] {
        [one] => one.name.clone(),
        _ => data.file_name().unwrap_or(data.as_os_str()).to_string_lossy().into_owned(),
    };
    let mut report = Report::new(name, &options.measures);
    if let Some(encoder) = &encoder {
        report.facts.insert("encoder".to_owned(), encoder.fingerprint().as_str().into());
    }
    report.facts.insert("tdense".to_owned(), env!("CARGO_PKG_VERSION").into());
    for collection in &collections {
        let measured = Measured { collection, options, ui };
        measured.add_to(&mut report, encoder.as_deref())?;
        report.add_groups(collection);
    }
    if let Some(file) = &options.report {
        write_report(file, &mut report, &[data], ui)?;
    }
    let shown = if options.json { report.to_json() } else { report.to_string() };
    Ok(ui.line(shown.trim_end())?)
}

fn write_report(
    file: &ReportFile,
    report: &mut Report,
    data: &[&Path],
    ui: Ui,
) -> anyhow::Result<()> {
    report.facts.extend(report::facts(data)?);
    file.write(Question::about(report, Draws::new(report::SEED)))?;
    ui.note(format_args!("report: {file}"));
    Ok(())
}

/// One collection that is being measured.
struct Measured<'a> {
    collection: &'a Collection,
    options: &'a Options,
    ui: Ui,
}

impl Measured<'_> {
    fn add_to(&self, report: &mut Report, encoder: Option<&dyn Encoder>) -> anyhow::Result<()> {
        let Self { collection, options, ui } = *self;
        ui.note(format_args!(
            "{}: {} passages, {} queries",
            collection.name,
            collection.passages.len(),
            collection.topics.len()
        ));
        let wants = |system| options.systems.contains(&system);
        let bm25 = if wants(System::Bm25) || wants(System::Hybrid) {
            Some(Bm25Retriever::new(collection, Analyzers::default())?)
        } else {
            None
        };
        let vectors = encoder.map(|encoder| self.vectors(encoder)).transpose()?;
        let dense = vectors
            .as_ref()
            .map(|(queries, passages)| {
                DenseRetriever::new("dense", queries.view(), passages.view(), collection)
            })
            .transpose()?;
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let measures = &self.measures();
        if let Some(bm25) = bm25.as_ref().filter(|_| wants(System::Bm25)) {
            let search = |topic: &Topic, pool: Pool<'_>| bm25.search(topic, pool, usize::MAX);
            let settings = ranked_settings(collection, measures, threads, search)?;
            self.add(report, bm25, &settings)?;
        }
        if let Some(dense) = dense.as_ref().filter(|_| wants(System::Dense))
            && let Some((queries, passages)) = &vectors
        {
            let (queries, passages) = (queries.view(), passages.view());
            let settings = dense_settings(queries, passages, collection, measures, threads)?;
            self.add(report, dense, &settings)?;
        }
        if let Some((bm25, dense)) = bm25.as_ref().zip(dense.as_ref())
            && wants(System::Hybrid)
        {
            let hybrid = HybridRetriever::new(bm25, dense);
            let search = |topic: &Topic, pool: Pool<'_>| hybrid.search(topic, pool);
            let settings = ranked_settings(collection, measures, threads, search)?;
            self.add(report, &hybrid, &settings)?;
        }
        if options.report.is_some() {
            let all = usize::MAX;
            report::add_examples(report, collection, &|system, topic, pool| match (
                system, &bm25, &dense,
            ) {
                ("bm25", Some(bm25), _) => bm25.search(topic, pool, all),
                ("dense", _, Some(dense)) => dense.search(topic, pool, all),
                (_, Some(bm25), Some(dense)) => {
                    HybridRetriever::new(bm25, dense).search(topic, pool)
                }
                _ => Ok(Vec::new()),
            })?;
        }
        Ok(())
    }

    /// What is measured: what was asked for, and what a report draws beside it.
    fn measures(&self) -> Vec<Measure> {
        let mut measures = self.options.measures.clone();
        if self.options.report.is_some() {
            measures.extend(Report::recall_measures());
        }
        measures
    }

    fn add(
        &self,
        report: &mut Report,
        system: &dyn Retriever,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let all = settings;
        let settings = &all.select(&self.options.measures).expect("they are among those measured");
        report.add(system.name(), &self.by_language(settings))?;
        if self.is_multilingual() {
            report.add_settings(system.name(), settings)?;
        }
        if self.options.report.is_some() {
            report.add_recall(system.name(), &self.by_language(all));
        }
        let Some(folder) = &self.options.save_run else { return Ok(()) };
        let file = folder.join(format!("{}.{}.trec", self.collection.name, system.name()));
        let run = system.retrieve_all(&self.collection.topics, RUN_DEPTH)?;
        let written = File::create(&file)
            .map_err(anyhow::Error::from)
            .and_then(|out| Ok(run.write(&mut BufWriter::new(out))?));
        written.with_context(|| format!("{}: cannot be written", file.display()))
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
    fn vectors(&self, encoder: &dyn Encoder) -> anyhow::Result<(Array2<f32>, Array2<f32>)> {
        let detector = Detector::new();
        let topics = self.collection.topics.iter();
        let queries: Vec<_> = topics
            .map(|t| (t.text.clone(), language_of(t.language.as_deref(), &t.text, &detector)))
            .collect();
        let passages =
            self.collection.passages.iter().map(|p| (full_text(p), p.language.as_deref()));
        let passages: Vec<_> = passages
            .map(|(text, named)| {
                let language = language_of(named, &text, &detector);
                (text, language)
            })
            .collect();
        Ok((
            self.encode(encoder, Role::Query, "encoding queries", &queries)?,
            self.encode(encoder, Role::Passage, "encoding passages", &passages)?,
        ))
    }

    fn encode(
        &self,
        encoder: &dyn Encoder,
        role: Role,
        what: &'static str,
        texts: &[(String, LanguageTag)],
    ) -> anyhow::Result<Array2<f32>> {
        // Texts of one length share batches without padding, whatever order the files have.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| texts[at].0.len());
        let dim = encoder.dim().get();
        let mut rows = Array2::zeros((texts.len(), dim));
        let mut progress = self.ui.progress(what, "texts", Some(texts.len() as u64));
        for batch in order.chunks(BATCH) {
            let of_batch: Vec<Text<'_>> = batch
                .iter()
                .map(|&at| Text { body: &texts[at].0, language: Some(&texts[at].1) })
                .collect();
            let encoded = encoder.encode(role, &of_batch)?;
            for (&at, vector) in batch.iter().zip(&encoded.vectors) {
                rows.row_mut(at).assign(&ndarray::ArrayView1::from(vector));
            }
            progress.add(batch.len() as u64);
        }
        let took = progress.finish().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = texts.len() as f64 / took.max(1e-9);
        self.ui.note(format_args!("{what}: {} in {took:.1} s, {rate:.0} a second", texts.len()));
        Ok(rows)
    }
}

//! Compares analyses language by language, and k1 and b by cross-validation.
//!
//! Each language's topics search the passages of their own language; the measure is AP.
//!
//! Invariant: every analysis of a language ranks the same passages for the same topics; k1 and b are
//! judged on topics that they were not chosen on.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dense_eval::stats::{
    CrossValidated, Differences, Draws, cross_validate, folds, holm, randomization_test,
};
use dense_eval::{Collection, Measure, Passage, Topic};
use dense_indexer::{Analysis, Analyzers, Detector};
use dense_plugin::LanguageTag;

use super::report::{Against, AnalysisReport, AnalysisRow, CollectionRows, ParameterRow};
use super::scorer::{Lengths, Parameters, TermIndex};
use crate::retrievers::{full_text, language_of};

/// Values of k1 that are tried; 1.2 is Tantivy's.
const K1: [f64; 8] = [1.2, 0.6, 0.8, 1.0, 1.4, 1.6, 1.8, 2.0];

/// Values of b that are tried; 0.75 is Tantivy's.
const B: [f64; 12] = [0.75, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

const AP: Measure = Measure::AveragePrecision { level: NonZeroU32::MIN, cutoff: None };

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    analyses: Vec<Analysis>,
    languages: Vec<String>,
    folds: usize,
    draws: Draws,
    threads: NonZeroUsize,
}

impl CompareOptions {
    /// Everything, with the draws of the randomization tests and of the folds.
    pub fn new(draws: Draws) -> Self {
        let (analyses, languages) = (Vec::new(), Vec::new());
        Self { analyses, languages, folds: 5, draws, threads: NonZeroUsize::MIN }
    }

    /// What is compared with each language's default. Default: what [`Analysis::candidates`] names.
    #[must_use]
    pub fn analyses(mut self, analyses: Vec<Analysis>) -> Self {
        self.analyses = analyses;
        self
    }

    /// Which languages, as the collection names them. Default: all.
    #[must_use]
    pub fn languages(mut self, languages: Vec<String>) -> Self {
        self.languages = languages;
        self
    }

    /// Folds of the cross-validation, at least 2. Default: 5.
    #[must_use]
    pub fn folds(mut self, folds: usize) -> Self {
        self.folds = folds.max(2);
        self
    }

    /// Languages that are measured at the same time. Default: 1. It changes no number.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    fn wants(&self, language: &str) -> bool {
        self.languages.is_empty() || self.languages.iter().any(|wanted| wanted == language)
    }
}

/// Measures BM25 with each analysis in each language of the collections, and with k1 and b chosen by
/// cross-validation.
///
/// `done` hears of each language that is measured, from any thread.
///
/// P-values are those of paired randomization tests, adjusted by Holm's method over all comparisons of the
/// report: an analysis that is best of a dozen by chance is not significant.
///
/// # Panics
/// Never, unless a thread of its own did.
pub fn compare_analyses(
    collections: &[Collection],
    options: &CompareOptions,
    done: impl Fn(&str) + Sync,
) -> AnalysisReport {
    let detector = Detector::new();
    let pools: Vec<Pool<'_>> = collections
        .iter()
        .flat_map(|collection| Pool::of(collection, &detector))
        .filter(|pool| options.wants(&pool.language))
        .collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut measured = Vec::new();
        while let Some(pool) = pools.get(next.fetch_add(1, Ordering::Relaxed)) {
            measured.push((pool.language.as_str(), pool.collection, pool.measure(options)));
            done(&pool.language);
        }
        measured
    };
    let mut measured: Vec<_> = thread::scope(|scope| {
        let threads = options.threads.get().min(pools.len());
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let results = workers.into_iter();
        results.flat_map(|worker| worker.join().expect("measuring does not panic")).collect()
    });
    measured.sort_by_key(|(language, collection, _)| (*language, *collection));
    let mut languages: Vec<CollectionRows> =
        measured.into_iter().map(|(_, _, rows)| rows).collect();
    adjust(
        languages
            .iter_mut()
            .flat_map(|rows| rows.analyses.iter_mut().filter_map(|row| row.against.as_mut())),
    );
    adjust(languages.iter_mut().map(|rows| &mut rows.parameters.against));
    AnalysisReport { languages, folds: options.folds }
}

/// The passages of one language, and the topics that search them.
struct Pool<'a> {
    collection: &'a str,
    language: String,
    tag: LanguageTag,
    /// By external id, descending: of equal scores the first ranks first.
    passages: Vec<&'a Passage>,
    topics: Vec<Judged<'a>>,
}

struct Judged<'a> {
    topic: &'a Topic,
    relevant: Vec<usize>,
}

impl<'a> Pool<'a> {
    /// Those of the languages of a collection. Texts without a language are put with what they look like.
    fn of(collection: &'a Collection, detector: &Detector) -> Vec<Self> {
        let mut pools: BTreeMap<String, Self> = BTreeMap::new();
        for passage in &collection.passages {
            let text = full_text(passage);
            let tag = language_of(passage.language.as_deref(), &text, detector);
            let language = passage.language.clone().unwrap_or_else(|| tag.to_string());
            let pool = pools.entry(language.clone()).or_insert_with(|| Self {
                collection: &collection.name,
                language,
                tag,
                passages: Vec::new(),
                topics: Vec::new(),
            });
            pool.passages.push(passage);
        }
        for pool in pools.values_mut() {
            pool.passages.sort_by(|a, b| b.id.cmp(&a.id));
        }
        for topic in &collection.topics {
            let tag = language_of(topic.language.as_deref(), &topic.text, detector);
            let language = topic.language.clone().unwrap_or_else(|| tag.to_string());
            let Some(pool) = pools.get_mut(&language) else { continue };
            let relevant = collection.qrels.of(&topic.id).filter(|(_, grade)| *grade > 0);
            let relevant: Vec<usize> = relevant
                .filter_map(|(id, _)| {
                    pool.passages.binary_search_by(|passage| id.cmp(&passage.id)).ok()
                })
                .collect();
            if !relevant.is_empty() {
                pool.topics.push(Judged { topic, relevant });
            }
        }
        pools.into_values().filter(|pool| !pool.topics.is_empty()).collect()
    }

    fn measure(&self, options: &CompareOptions) -> CollectionRows {
        let language = self.tag.language();
        let candidates = Analysis::candidates(language);
        let default = candidates[0];
        let mut analyses = vec![default];
        let wanted =
            if options.analyses.is_empty() { &candidates[1..] } else { &options.analyses[..] };
        analyses.extend(wanted.iter().filter(|analysis| **analysis != default));
        let analysed = Analysed::new(self, default);
        let by_default = analysed.values(self, Parameters::TANTIVY);
        let mut rows =
            vec![AnalysisRow { analysis: default, ap: mean(&by_default), against: None }];
        for &analysis in &analyses[1..] {
            let values = Analysed::new(self, analysis).values(self, Parameters::TANTIVY);
            let against = against(&by_default, &values, options.draws);
            rows.push(AnalysisRow { analysis, ap: mean(&values), against: Some(against) });
        }
        let parameters = self.parameters(&analysed, &by_default, options);
        CollectionRows {
            collection: self.collection.to_owned(),
            language: self.language.clone(),
            topics: self.topics.len(),
            passages: self.passages.len(),
            analyses: rows,
            parameters,
        }
    }

    fn parameters(
        &self,
        analysed: &Analysed,
        by_default: &[f64],
        options: &CompareOptions,
    ) -> ParameterRow {
        let grid: Vec<Parameters> =
            K1.iter().flat_map(|&k1| B.iter().map(move |&b| Parameters { k1, b })).collect();
        let values: Vec<Vec<f64>> =
            grid.iter().map(|&parameters| analysed.values(self, parameters)).collect();
        let groups: Vec<&str> = self.topics.iter().map(Judged::group).collect();
        let folds = folds(&groups, options.folds, options.draws);
        let CrossValidated { choices, values } = cross_validate(&values, &folds);
        ParameterRow {
            chosen: choices.into_iter().map(|choice| (grid[choice].k1, grid[choice].b)).collect(),
            ap: mean(&values),
            against: against(by_default, &values, options.draws),
        }
    }
}

impl<'a> Judged<'a> {
    fn group(&self) -> &'a str {
        self.topic.group.as_ref().unwrap_or(&self.topic.id)
    }
}

/// A pool as the terms of one analysis.
struct Analysed {
    index: TermIndex,
    /// The terms of each topic that a passage has.
    topics: Vec<Vec<usize>>,
}

impl Analysed {
    fn new(pool: &Pool<'_>, analysis: Analysis) -> Self {
        let analyzers = Analyzers::only(analysis);
        let terms = |text: &str| -> Vec<String> {
            let tokens = analyzers.analyze(&pool.tag, text).tokens;
            tokens.into_iter().map(|token| token.text).collect()
        };
        let passages = pool.passages.iter().map(|passage| terms(&full_text(passage)));
        let index = TermIndex::new(passages, Lengths::AsTantivy);
        let topics = pool.topics.iter().map(|judged| index.known(&terms(&judged.topic.text)));
        Self { topics: topics.collect(), index }
    }

    /// The AP of each topic.
    fn values(&self, pool: &Pool<'_>, parameters: Parameters) -> Vec<f64> {
        let weights = self.index.weights(parameters);
        let mut scores = vec![0.0; self.index.len()];
        let topics = self.topics.iter().zip(&pool.topics);
        topics
            .map(|(terms, judged)| {
                scores.fill(0.0);
                self.index.add_scores(&weights, terms, &mut scores);
                average_precision(&scores, &judged.relevant)
            })
            .collect()
    }
}

/// A passage with the score 0 is not found; of equal scores the first ranks first.
fn average_precision(scores: &[f64], relevant: &[usize]) -> f64 {
    let found = relevant.iter().filter(|&&at| scores[at] > 0.0);
    let rank = |&at: &usize| {
        let own = scores[at];
        let before = scores[..at].iter().filter(|&&score| score >= own).count();
        1 + before + scores[at + 1..].iter().filter(|&&score| score > own).count()
    };
    let ranks: Vec<usize> = found.map(rank).collect();
    let missed = relevant.len() - ranks.len();
    AP.of_ranks(ranks, missed, scores.len())
}

fn against(first: &[f64], second: &[f64], draws: Draws) -> Against {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| b - a).collect();
    let differences = Differences::new(&differences).expect("there is a topic, and AP is finite");
    let p = randomization_test(&differences, draws);
    Against { difference: differences.mean(), p, adjusted: p }
}

/// Holm over comparisons that are read together.
fn adjust<'a>(comparisons: impl Iterator<Item = &'a mut Against>) {
    let all: Vec<&mut Against> = comparisons.collect();
    let p: Vec<f64> = all.iter().map(|against| against.p).collect();
    for (against, adjusted) in all.into_iter().zip(holm(&p)) {
        against.adjusted = adjusted;
    }
}

fn mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no collection has 2^53 topics")]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}

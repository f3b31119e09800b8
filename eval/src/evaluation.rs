//! A run and judgements become values: by topic, by language, in the mean.
//!
//! Invariant: every topic that has judgements has a value; one that the run leaves out has 0, as
//! `trec_eval -c` has it, unless [`Missing::LeftOut`] is asked for. Topics without judgements do not
//! count.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;

use crate::collection::Collection;
use crate::measure::{Measure, Standing, real};
use crate::qrels::Qrels;
use crate::run::Run;

/// What each measure says about each topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    measures: Vec<Measure>,
    topics: BTreeMap<String, Vec<f64>>,
}

/// What becomes of a topic that has judgements and no line in the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Missing {
    /// It counts as a topic for which nothing was found: `trec_eval -c`.
    #[default]
    Zero,
    /// It does not count: `trec_eval` without `-c`. Runs that leave out other topics do not compare.
    LeftOut,
}

/// Measures a run topic by topic; a topic that the run leaves out has the value 0.
///
/// [`Evaluator`] has the choice, and measures run files without reading the whole of them first.
pub fn evaluate(run: &Run, qrels: &Qrels, measures: &[Measure]) -> Evaluation {
    Evaluator::new(qrels, measures).run(run)
}

/// Measures runs against the same judgements.
///
/// ```
/// # use tantivy_dense_eval::{Evaluator, Measure, Missing, Qrels, Run};
/// let qrels = Qrels::read_from("q1 0 a 1\nq2 0 a 1\n".as_bytes(), "qrels".as_ref())?;
/// let run = Run::read_from("q1 Q0 a 1 9.5 bm25\n".as_bytes(), "run".as_ref())?;
/// let measures: Vec<Measure> = vec!["AP".parse()?];
/// let evaluator = Evaluator::new(&qrels, &measures);
/// assert_eq!(evaluator.run(&run).mean(), Some(vec![0.5])); // q2 counts as 0
/// assert_eq!(evaluator.missing(Missing::LeftOut).run(&run).mean(), Some(vec![1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'a> {
    pub(crate) qrels: &'a Qrels,
    pub(crate) measures: &'a [Measure],
    missing: Missing,
    pub(crate) threads: NonZeroUsize,
}

impl<'a> Evaluator<'a> {
    /// Takes the judgements, and what to measure.
    pub fn new(qrels: &'a Qrels, measures: &'a [Measure]) -> Self {
        Self { qrels, measures, missing: Missing::default(), threads: NonZeroUsize::MIN }
    }

    /// What becomes of topics that a run leaves out. Default: [`Missing::Zero`].
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// How many threads measure a run while it is read. Default: 1.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Measures a run that is in memory.
    pub fn run(&self, run: &Run) -> Evaluation {
        let mut evaluation = Evaluation::new(self.measures);
        for topic in self.qrels.topics() {
            let Some(hits) = run.hits(topic) else { continue };
            let mut missed: HashMap<&str, u32> =
                self.qrels.of(topic).map(|(id, grade)| (id, gain(grade))).collect();
            let found: Vec<(usize, u32)> = (1_usize..)
                .zip(hits)
                .filter_map(|(rank, hit)| Some((rank, missed.remove(hit.id.as_str())?)))
                .collect();
            let standing = Standing::new(found, missed.into_values(), hits.len());
            evaluation.insert(topic, self.values(&standing));
        }
        self.finish(&mut evaluation);
        evaluation
    }

    pub(crate) fn values(&self, standing: &Standing) -> Vec<f64> {
        self.measures.iter().map(|measure| measure.of(standing)).collect()
    }

    /// Gives the topics that are not there yet what they get.
    pub(crate) fn finish(&self, evaluation: &mut Evaluation) {
        if self.missing == Missing::LeftOut {
            return;
        }
        for topic in self.qrels.topics() {
            if evaluation.values(topic).is_none() {
                let missed = self.qrels.of(topic).map(|(_, grade)| gain(grade));
                evaluation.insert(topic, self.values(&Standing::new([], missed, 0)));
            }
        }
    }
}

/// What a grade is worth: nothing if it says that the passage is not relevant.
pub(crate) fn gain(grade: i32) -> u32 {
    u32::try_from(grade).unwrap_or(0)
}

impl Evaluation {
    pub(crate) fn new(measures: &[Measure]) -> Self {
        Self { measures: measures.to_vec(), topics: BTreeMap::new() }
    }

    /// `values` are in the order of the measures.
    pub(crate) fn insert(&mut self, topic: &str, values: Vec<f64>) {
        self.topics.insert(topic.to_owned(), values);
    }

    /// The measures, in the order of the values.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The values of a topic, in the order of the measures.
    pub fn values(&self, topic: &str) -> Option<&[f64]> {
        self.topics.get(topic).map(Vec::as_slice)
    }

    /// The topics and their values, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.topics.iter().map(|(topic, values)| (topic.as_str(), values.as_slice()))
    }

    /// The mean over topics, one value a measure; `None` without topics.
    pub fn mean(&self) -> Option<Vec<f64>> {
        mean_of(self.measures.len(), self.topics.values().map(Vec::as_slice))
    }
}

/// The mean of rows of `width` numbers; `None` without rows.
pub(crate) fn mean_of<'a>(width: usize, rows: impl Iterator<Item = &'a [f64]>) -> Option<Vec<f64>> {
    let mut sums = vec![0.0; width];
    let mut count = 0_usize;
    for row in rows {
        count += 1;
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    (count > 0).then(|| sums.iter().map(|sum| sum / real(count)).collect())
}

/// Means by the language of the topics.
#[derive(Clone, Debug, PartialEq)]
pub struct ByLanguage {
    pub(crate) measures: Vec<Measure>,
    pub(crate) rows: BTreeMap<String, LanguageScores>,
}

/// The mean values of one language, and over what they are means.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageScores {
    /// How many topics the values are means over.
    pub topics: usize,
    /// How many passages were ranked for each.
    pub passages: usize,
    /// The mean values, in the order of the measures.
    pub values: Vec<f64>,
    /// What they are the means of.
    pub by_topic: Evaluation,
}

impl LanguageScores {
    /// `None` without topics.
    pub(crate) fn new(by_topic: Evaluation, passages: usize) -> Option<Self> {
        Some(Self { topics: by_topic.len(), passages, values: by_topic.mean()?, by_topic })
    }
}

impl ByLanguage {
    /// The measures, in the order of the values.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The languages and their scores, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LanguageScores)> {
        self.rows.iter().map(|(language, scores)| (language.as_str(), scores))
    }

    /// The mean over languages, each counting as much as any other; `None` without languages.
    pub fn mean(&self) -> Option<Vec<f64>> {
        mean_of(self.measures.len(), self.rows.values().map(|row| row.values.as_slice()))
    }
}

/// Groups the values of a whole collection by the language of the topics.
///
/// Topics without a language count under the name of the collection. Values of topics that the
/// collection does not have are left out.
pub fn by_language(evaluation: &Evaluation, collection: &Collection) -> ByLanguage {
    let mut groups: BTreeMap<String, Evaluation> = BTreeMap::new();
    for topic in &collection.topics {
        if let Some(values) = evaluation.values(&topic.id) {
            let language = topic.language.as_ref().unwrap_or(&collection.name);
            let group = groups.entry(language.clone());
            let group = group.or_insert_with(|| Evaluation::new(&evaluation.measures));
            group.insert(&topic.id, values.to_vec());
        }
    }
    let rows = groups.into_iter().filter_map(|(language, topics)| {
        Some((language, LanguageScores::new(topics, collection.passages.len())?))
    });
    ByLanguage { rows: rows.collect(), measures: evaluation.measures.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Passage;
    use crate::topics::Topic;

    fn example() -> Evaluation {
        let qrels = "t1 0 a 2\nt1 0 b 0\nt2 0 a 1\nt3 0 c 0\nt4 0 a 1\n";
        let run = "t1 Q0 a 1 1 x\nt2 Q0 x 1 5 x\nt2 Q0 a 2 4 x\nt3 Q0 c 1 1 x\nt9 Q0 a 1 1 x\n";
        evaluate(
            &Run::read_from(run.as_bytes(), "run".as_ref()).unwrap(),
            &Qrels::read_from(qrels.as_bytes(), "qrels".as_ref()).unwrap(),
            &["AP".parse().unwrap(), "P@1".parse().unwrap()],
        )
    }

    #[test]
    fn each_judged_topic_counts_and_a_missing_one_is_0() {
        let values: Vec<_> = example().topics.into_iter().collect();
        let wanted =
            [("t1", [1.0, 1.0]), ("t2", [0.5, 0.0]), ("t3", [0.0, 0.0]), ("t4", [0.0, 0.0])];
        assert_eq!(values, wanted.map(|(topic, values)| (topic.to_owned(), values.to_vec())));
    }

    #[test]
    fn a_missing_topic_can_be_left_out_as_without_the_c_of_trec_eval() {
        let qrels = Qrels::read_from("t1 0 a 1\nt2 0 a 1\nt3 0 a 0\n".as_bytes(), "q".as_ref());
        let (qrels, measures) = (qrels.unwrap(), ["AP".parse().unwrap()]);
        let run = "t1 Q0 a 1 1 x\nt3 Q0 a 1 1 x\n";
        let run = Run::read_from(run.as_bytes(), "run".as_ref()).unwrap();
        let evaluator = Evaluator::new(&qrels, &measures);
        assert_eq!(evaluator.run(&run).mean(), Some(vec![1.0 / 3.0]));
        // A topic with no relevant passage counts in both.
        let left_out = evaluator.missing(Missing::LeftOut).run(&run);
        assert_eq!((left_out.len(), left_out.mean()), (2, Some(vec![1.0 / 2.0])));
    }

    #[test]
    fn what_is_judged_and_not_relevant_counts_as_judged() {
        let qrels = "t1 0 a 0\nt1 0 b -1\nt1 0 c 1\n";
        let qrels = Qrels::read_from(qrels.as_bytes(), "qrels".as_ref()).unwrap();
        let run = "t1 Q0 a 1 9 x\nt1 Q0 b 1 8 x\nt1 Q0 u 1 7 x\nt1 Q0 c 1 6 x\n";
        let run = Run::read_from(run.as_bytes(), "run".as_ref()).unwrap();
        let measures = ["Judged@3".parse().unwrap(), "RR".parse().unwrap()];
        assert_eq!(evaluate(&run, &qrels, &measures).mean(), Some(vec![2.0 / 3.0, 1.0 / 4.0]));
    }

    #[test]
    fn the_mean_over_languages_weighs_each_language_alike() {
        let topic = |id: &str, language: Option<&str>| Topic {
            id: id.to_owned(),
            language: language.map(str::to_owned),
            ..Topic::default()
        };
        let collection = Collection {
            name: "small".into(),
            passages: vec![Passage::default(); 7],
            topics: vec![
                topic("t1", Some("sw")),
                topic("t2", Some("de")),
                topic("t4", Some("de")),
                topic("t3", None),
                topic("not judged", Some("en")),
            ],
            qrels: Qrels::new(),
        };
        let by = by_language(&example(), &collection);
        let rows: Vec<_> = by.iter().map(|(l, row)| (l, row.topics, row.values[0])).collect();
        assert_eq!(rows, [("de", 2, 0.25), ("small", 1, 0.0), ("sw", 1, 1.0)]);
        assert!(by.iter().all(|(_, row)| row.passages == 7));
        assert_eq!(by.mean().map(|mean| mean[..1].to_vec()), Some(vec![(0.25 + 0.0 + 1.0) / 3.0]));
    }

    #[test]
    fn without_topics_there_is_no_mean() {
        assert_eq!(Evaluation::new(&["AP".parse().unwrap()]).mean(), None);
    }
}

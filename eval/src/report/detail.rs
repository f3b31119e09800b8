//! What a report holds beside its scores, for those who want to see why: pairs of languages, recall by
//! depth, single topics with what was found for them.
//!
//! Invariant: all of it may be missing, as it is in reports of earlier releases; what is there is of the
//! systems and languages of the report's rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LanguageRow, Report, ReportError, Scores};
use crate::collection::Collection;
use crate::evaluation::{ByLanguage, mean_of};
use crate::measure::{Cutoff, Level, Measure};
use crate::settings::Settings;

/// The depths at which recall is worth knowing: 1, 2, 5 and so on up to 1000.
const DEPTHS: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// Topics in one language, passages in one language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// The language of the topics.
    pub topics_in: String,
    /// The language of the passages.
    pub passages_in: String,
    /// How many topics the scores are means over.
    pub topics: usize,
    /// How many passages were ranked for each.
    pub passages: usize,
    /// The scores, by system.
    pub scores: BTreeMap<String, Scores>,
}

/// The share of the relevant passages among the first ones of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecallAt {
    /// How many passages were looked at.
    pub depth: usize,
    /// The mean share over topics, from 0 to 1.
    pub recall: f64,
}

/// A topic, and what two systems or more found for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its language, as the row is called.
    pub language: String,
    /// Its id.
    pub topic: String,
    /// Its text.
    pub text: String,
    /// By which measure it was picked.
    pub measure: Measure,
    /// What the systems made of it; the second one's value less the first one's picked it.
    pub answers: Vec<Answer>,
}

/// What one system found for a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The system.
    pub system: String,
    /// The value of the measure.
    pub value: f64,
    /// The rank of the first relevant passage, from 1; `None` if none was found.
    pub first_relevant: Option<usize>,
    /// The first passages.
    pub hits: Vec<AnswerHit>,
}

/// A passage that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerHit {
    /// Its id.
    pub id: String,
    /// How it begins.
    pub text: String,
    /// Whether it is relevant to the topic.
    pub relevant: bool,
}

/// A topic that moved far from the first to the second system.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Its language, as the row is called.
    pub language: String,
    /// Its id.
    pub topic: String,
    /// The value of the first system, and of the second.
    pub values: [f64; 2],
}

impl Example {
    /// How far the second system is ahead of the first.
    pub fn difference(&self) -> f64 {
        match &self.answers[..] {
            [first, second, ..] => second.value - first.value,
            _ => 0.0,
        }
    }
}

impl Report {
    /// The measures of a recall curve: `R@1` to `R@1000`.
    pub fn recall_measures() -> Vec<Measure> {
        let cutoffs = DEPTHS.iter().filter_map(|&depth| Cutoff::new(depth));
        cutoffs.map(|cutoff| Measure::Recall { level: Level::MIN, cutoff }).collect()
    }

    /// Adds what the recall measures among `scores` say, to the rows that are there.
    pub fn add_recall(&mut self, system: &str, scores: &ByLanguage) {
        for LanguageRow { language, recall, .. } in &mut self.languages {
            let Some(new) = scores.rows.get(language) else { continue };
            let values = scores.measures.iter().zip(&new.values);
            let mut curve: Vec<RecallAt> = values
                .filter_map(|(measure, &recall)| match measure {
                    Measure::Recall { level: Level::MIN, cutoff } => {
                        Some(RecallAt { depth: cutoff.get(), recall })
                    }
                    _ => None,
                })
                .collect();
            curve.sort_by_key(|at| at.depth);
            curve.dedup_by_key(|at| at.depth);
            recall.insert(system.to_owned(), curve);
        }
    }

    /// The recall of a system at each depth, as the mean over languages, up to the first depth that holds
    /// every pool; empty if it is not known in all languages at the same depths.
    pub fn recall(&self, system: &str) -> Vec<RecallAt> {
        let curves: Option<Vec<&Vec<RecallAt>>> =
            self.languages.iter().map(|row| row.recall.get(system)).collect();
        let curves = curves.unwrap_or_default();
        let depths = |curve: &[RecallAt]| curve.iter().map(|at| at.depth).collect::<Vec<_>>();
        let Some(all) = curves.first().map(|curve| depths(curve)) else { return Vec::new() };
        if curves.iter().any(|curve| depths(curve) != all) {
            return Vec::new();
        }
        let values: Vec<Vec<f64>> =
            curves.iter().map(|curve| curve.iter().map(|at| at.recall).collect()).collect();
        let mean = mean_of(all.len(), values.iter().map(Vec::as_slice)).unwrap_or_default();
        let largest = self.languages.iter().map(|row| row.passages).max().unwrap_or(0);
        let enough = all.iter().position(|&depth| depth >= largest).map_or(all.len(), |at| at + 1);
        let points = all.into_iter().zip(mean).take(enough);
        points.map(|(depth, recall)| RecallAt { depth, recall }).collect()
    }

    /// The pairs of languages, sorted; a language is paired with itself too.
    pub fn pairs(&self) -> &[PairRow] {
        &self.pairs
    }

    pub(super) fn add_pairs(
        &mut self,
        system: &str,
        settings: &Settings,
    ) -> Result<(), ReportError> {
        for (topics_in, passages_in, evaluation) in settings.pairs() {
            let Some(mean) = evaluation.mean() else { continue };
            let (topics, passages) = (evaluation.len(), settings.pool(passages_in));
            let key = (topics_in, passages_in);
            let at = self.pairs.binary_search_by(|row| {
                (row.topics_in.as_str(), row.passages_in.as_str()).cmp(&key)
            });
            let at = at.unwrap_or_else(|at| {
                let (topics_in, passages_in) = (topics_in.to_owned(), passages_in.to_owned());
                let scores = BTreeMap::new();
                self.pairs.insert(at, PairRow { topics_in, passages_in, topics, passages, scores });
                at
            });
            let row = &mut self.pairs[at];
            if (row.topics, row.passages) != (topics, passages) {
                let (system, language) = (system.to_owned(), topics_in.to_owned());
                return Err(ReportError::Pool { system, language });
            }
            let names = self.measures.iter().map(ToString::to_string);
            row.scores.insert(system.to_owned(), names.zip(mean).collect());
        }
        Ok(())
    }

    /// The topics of a collection that gain most from the first system to the second by the report's first
    /// measure, and those that lose most: at most `count` of each, those that moved farthest first.
    pub fn moved(&self, systems: [&str; 2], collection: &Collection, count: usize) -> Vec<Moved> {
        let Some(measure) = self.measures.first().map(ToString::to_string) else {
            return Vec::new();
        };
        // Collections side by side may number their topics alike.
        let known: std::collections::HashSet<(&str, &str)> = collection
            .topics
            .iter()
            .map(|t| (t.language.as_deref().unwrap_or(&collection.name), t.id.as_str()))
            .collect();
        let mut moved = Vec::new();
        for LanguageRow { language, by_topic, .. } in &self.languages {
            let of = |system: &str| by_topic.scores.get(system)?.get(&measure);
            let [Some(first), Some(second)] = systems.map(of) else { continue };
            for ((topic, &first), &second) in by_topic.ids.iter().zip(first).zip(second) {
                if known.contains(&(language.as_str(), topic.as_str())) {
                    let (language, topic) = (language.clone(), topic.clone());
                    moved.push(Moved { language, topic, values: [first, second] });
                }
            }
        }
        extremes(moved, count, |moved| moved.values[1] - moved.values[0])
    }

    /// Adds topics to those that are there, and keeps the `count` that gain and the `count` that lose
    /// most.
    pub fn add_examples(&mut self, examples: Vec<Example>, count: usize) {
        let all = std::mem::take(&mut self.examples).into_iter().chain(examples).collect();
        self.examples = extremes(all, count, Example::difference);
    }

    /// Topics with what was found for them: those that gain, then those that lose, the farthest first.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}

/// At most `count` that gain and `count` that lose, the farthest first; equal ones stay in their order.
fn extremes<T>(mut all: Vec<T>, count: usize, difference: impl Fn(&T) -> f64) -> Vec<T> {
    all.sort_by(|a, b| difference(b).total_cmp(&difference(a)));
    let mut losses: Vec<T> = Vec::new();
    while losses.len() < count && all.last().is_some_and(|last| difference(last) < 0.0) {
        losses.extend(all.pop());
    }
    all.truncate(count);
    all.retain(|one| difference(one) > 0.0);
    all.extend(losses);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{Evaluation, LanguageScores};
    use crate::topics::Topic;

    /// Topics of languages, each with its value; pools of 40.
    fn by_language(measure: &str, languages: &[(&str, &[f64])]) -> ByLanguage {
        let measures = vec![measure.parse().unwrap()];
        let rows = languages.iter().map(|&(language, values)| {
            let mut by_topic = Evaluation::new(&measures);
            for (at, value) in values.iter().enumerate() {
                by_topic.insert(&format!("{language}{at}"), vec![*value]);
            }
            (language.to_owned(), LanguageScores::new(by_topic, 40).unwrap())
        });
        ByLanguage { rows: rows.collect(), measures }
    }

    fn report() -> Report {
        let mut report = Report::new("water", &["AP".parse().unwrap()]);
        for (system, de, sw) in
            [("a", [0.5, 0.5, 0.5], [0.5, 0.0]), ("b", [0.6, 0.2, 0.5], [0.4, 1.0])]
        {
            report.add(system, &by_language("AP", &[("de", &de), ("sw", &sw)])).unwrap();
        }
        report
    }

    #[test]
    fn recall_is_the_mean_over_languages_up_to_the_depth_that_holds_every_pool() {
        let measures = Report::recall_measures();
        assert_eq!((measures.len(), measures[9].to_string()), (10, "R@1000".to_owned()));
        let mut report = report();
        let curve = |language: &str, first: f64| {
            let mut by_topic = Evaluation::new(&measures);
            by_topic.insert(
                language,
                (0..10).map(|at| (first + f64::from(at) * 0.1).min(1.0)).collect(),
            );
            (language.to_owned(), LanguageScores::new(by_topic, 40).unwrap())
        };
        let scores = |rows: Vec<_>| ByLanguage {
            measures: measures.clone(),
            rows: rows.into_iter().collect(),
        };
        report.add_recall("a", &scores(vec![curve("de", 0.2), curve("sw", 0.4)]));
        report.add_recall("b", &scores(vec![curve("de", 0.2)]));
        let recall = report.recall("a");
        // 50 is the first depth that holds 40 passages.
        assert_eq!(recall.iter().map(|at| at.depth).collect::<Vec<_>>(), [1, 2, 5, 10, 20, 50]);
        assert!((recall[0].recall - 0.3).abs() < 1e-12, "{recall:?}");
        assert_eq!(report.recall("b"), [], "one language is missing");
    }

    #[test]
    fn the_topics_that_moved_farthest_come_first_and_those_that_did_not_move_not_at_all() {
        let topics = ["de0", "de1", "de2", "sw0", "sw1"].map(|id| Topic {
            id: id.into(),
            language: Some(id[..2].into()),
            ..Topic::default()
        });
        let collection = Collection { topics: topics.to_vec(), ..Collection::default() };
        let moved = |count| -> Vec<String> {
            report()
                .moved(["a", "b"], &collection, count)
                .into_iter()
                .map(|moved| moved.topic)
                .collect()
        };
        assert_eq!(moved(9), ["sw1", "de0", "de1", "sw0"]);
        assert_eq!(moved(1), ["sw1", "de1"]);
        assert_eq!(report().moved(["a", "c"], &collection, 9), []);
        let others = Collection { topics: topics[..1].to_vec(), ..Collection::default() };
        assert_eq!(report().moved(["a", "b"], &others, 9).len(), 1);
    }

    #[test]
    fn of_the_examples_of_several_collections_those_that_moved_farthest_stay() {
        let example = |topic: &str, values: [f64; 2]| {
            let answer = |value| Answer {
                system: "s".into(),
                value,
                first_relevant: None,
                hits: Vec::new(),
            };
            let (language, text) = ("de".to_owned(), String::new());
            let measure = "AP".parse().unwrap();
            Example {
                language,
                topic: topic.into(),
                text,
                measure,
                answers: values.map(answer).to_vec(),
            }
        };
        let mut report = report();
        report.add_examples(vec![example("up", [0.1, 0.3]), example("down", [0.3, 0.1])], 1);
        report.add_examples(vec![example("higher", [0.0, 1.0]), example("same", [1.0, 1.0])], 1);
        let topics: Vec<&str> = report.examples().iter().map(|e| e.topic.as_str()).collect();
        assert_eq!(topics, ["higher", "down"]);
        let json = report.to_json();
        assert_eq!(Report::from_json(&json).unwrap(), report);
    }
}

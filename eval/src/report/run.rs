//! The scores of one run file as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ByTopic, LanguageRow, Report, Scores, Tiers};
use crate::evaluation::Evaluation;
use crate::measure::Measure;

/// What became of a run whose topics have no language.
///
/// As JSON it is one object with stable keys: `run`, `topics`, `measures`, `scores`, `by_topic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    run: String,
    topics: usize,
    #[serde(default)]
    measures: Vec<Measure>,
    scores: Scores,
    #[serde(default)]
    by_topic: ByTopic,
}

impl RunReport {
    /// Takes the values of a run; `None` if they are of no topic.
    ///
    /// ```
    /// # use tantivy_dense_eval::{Measure, Qrels, Run, RunReport, evaluate};
    /// let qrels = Qrels::read_from("q 0 a 1\n".as_bytes(), "qrels".as_ref())?;
    /// let run = Run::read_from("q Q0 b 1 2 mine\nq Q0 a 2 1 mine\n".as_bytes(), "run".as_ref())?;
    /// let measures: Vec<Measure> = vec!["RR".parse()?];
    /// let report = RunReport::new(run.name(), &evaluate(&run, &qrels, &measures));
    /// let json = report.ok_or("no topic")?.to_json();
    /// assert!(json.starts_with(r#"{"run":"mine","topics":1,"measures":["RR"],"scores":{"RR":0.5}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(run: &str, values: &Evaluation) -> Option<Self> {
        let names = values.measures().iter().map(ToString::to_string);
        let scores = names.zip(values.mean()?).collect();
        let mut by_topic = ByTopic::default();
        by_topic.insert(run, values);
        let (topics, measures) = (values.len(), values.measures().to_vec());
        Some(Self { run: run.to_owned(), topics, measures, scores, by_topic })
    }

    /// The whole as one JSON object on one line.
    #[expect(clippy::missing_panics_doc, reason = "all keys are strings, so it cannot fail")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all keys are strings")
    }
}

impl From<RunReport> for Report {
    fn from(report: RunReport) -> Self {
        let RunReport { run, topics, measures, scores, by_topic } = report;
        let scores = BTreeMap::from([(run.clone(), scores)]);
        let language = "all".to_owned();
        Self {
            collection: run.clone(),
            facts: BTreeMap::new(),
            measures,
            systems: vec![run],
            mean: scores.clone(),
            languages: vec![LanguageRow {
                language,
                topics,
                passages: 0,
                scores,
                by_topic,
                recall: BTreeMap::new(),
            }],
            tiers: Tiers::default(),
            settings: Vec::new(),
            pairs: Vec::new(),
            examples: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scores_of_a_run_read_back_as_a_report_of_one_language() {
        let mut values = Evaluation::new(&["AP".parse().unwrap(), "RR".parse().unwrap()]);
        values.insert("q1", vec![0.5, 1.0]);
        values.insert("q2", vec![0.0, 0.0]);
        let json = RunReport::new("mine", &values).unwrap().to_json();
        let report = Report::from_json(&json).unwrap();
        assert_eq!(report.systems(), ["mine"]);
        let [row] = report.languages() else { panic!("{report:?}") };
        assert_eq!((row.language.as_str(), row.topics), ("all", 2));
        assert_eq!(row.by_topic.scores["mine"]["AP"], [0.5, 0.0]);
        assert_eq!(RunReport::new("none", &Evaluation::new(values.measures())), None);
    }
}

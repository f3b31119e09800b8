//! What was measured, as one value: a table for people, JSON for programs.
//!
//! Invariant: all systems of a row were measured on the same topics, and the same number of passages.

mod bar;
mod comparison;
mod detail;
mod run;
mod text;
mod tiers;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::collection::Collection;
use crate::evaluation::{ByLanguage, Evaluation};
use crate::measure::Measure;
use crate::settings::Settings;

pub use bar::{Bar, BarError};
pub use comparison::{ComparedLanguage, ComparedMean, Comparison, ComparisonError, Side};
pub use detail::{Answer, AnswerHit, Example, Moved, PairRow, RecallAt};
pub use run::RunReport;
pub use tiers::{ComparedTier, TierDifference, TierRow, Tiers};

/// The scores of several systems, by language and by setting.
///
/// As JSON it is one object with stable keys: `collection`, `facts`, `measures`, `systems`,
/// `languages`, `mean`, `by_tier` (where the tiers of two languages are known), `settings`, and where they are known `pairs`
/// and `examples`. [`Display`](std::fmt::Display) prints the tables.
///
/// ```
/// # use tantivy_dense_eval::{Collection, Measure, Qrels, Report, Run, Topic, by_language, evaluate};
/// let measures: Vec<Measure> = vec!["AP".parse()?];
/// let mut qrels = Qrels::new();
/// qrels.insert("q", "a", 1)?;
/// let topics = vec![Topic { id: "q".into(), language: Some("sw".into()), ..Topic::default() }];
/// let collection = Collection { name: "small".into(), topics, qrels, ..Collection::default() };
///
/// let mut report = Report::new(&collection.name, &measures);
/// let run = Run::read_from("q Q0 b 1 2 bm25\nq Q0 a 2 1 bm25".as_bytes(), "run".as_ref())?;
/// let values = evaluate(&run, &collection.qrels, &measures);
/// report.add(run.name(), &by_language(&values, &collection))?;
/// assert!(report.to_string().contains("\nsw         1    0  0.500\n"));
/// assert!(report.to_json().contains(r#""scores":{"bm25":{"AP":0.5}}"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was searched.
    pub collection: String,
    /// What was run: model, versions, options, as the caller wants them kept.
    pub facts: BTreeMap<String, serde_json::Value>,
    measures: Vec<Measure>,
    systems: Vec<String>,
    languages: Vec<LanguageRow>,
    mean: BTreeMap<String, Scores>,
    #[serde(rename = "by_tier", default, skip_serializing_if = "Tiers::is_empty")]
    tiers: Tiers,
    settings: Vec<SettingsRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<PairRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Example>,
}

/// The value of each measure, by its name.
pub type Scores = BTreeMap<String, f64>;

/// One language of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguageRow {
    /// The language of the topics.
    pub language: String,
    /// How many topics the scores are means over.
    pub topics: usize,
    /// How many passages were ranked for each.
    pub passages: usize,
    /// The scores, by system.
    pub scores: BTreeMap<String, Scores>,
    /// What the scores are means of.
    #[serde(default, skip_serializing_if = "ByTopic::is_empty")]
    pub by_topic: ByTopic,
    /// Recall by depth, by system. Empty if it was not asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recall: BTreeMap<String, Vec<RecallAt>>,
}

/// Values topic by topic: all lists are in the order of `ids`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ByTopic {
    /// The topics.
    pub ids: Vec<String>,
    /// What the topics ask for: those of several languages that ask the same have the same group.
    /// Empty if nothing is known about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The values, by system and measure.
    pub scores: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

impl ByTopic {
    /// Whether no topic is known: releases before this one kept the means alone.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn ids_of(values: &Evaluation) -> Vec<String> {
        values.iter().map(|(topic, _)| topic.to_owned()).collect()
    }

    /// The values must be of the same topics as those that are there.
    fn insert(&mut self, system: &str, values: &Evaluation) {
        self.ids = Self::ids_of(values);
        let of_measure = |at: usize| values.iter().map(|(_, values)| values[at]).collect();
        let measures = values.measures().iter().enumerate();
        let measures = measures.map(|(at, measure)| (measure.to_string(), of_measure(at)));
        self.scores.insert(system.to_owned(), measures.collect());
    }
}

/// One system in the three settings, by one measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingsRow {
    /// The system.
    pub system: String,
    /// The measure.
    pub measure: Measure,
    /// The monolingual mean over languages.
    pub mono: Option<f64>,
    /// The cross-lingual mean over ordered pairs of languages.
    pub cross: Option<f64>,
    /// How many pairs there are.
    pub pairs: usize,
    /// The multilingual mean over languages.
    pub multi: Option<f64>,
    /// The mean over languages of how many ranks lie between a topic's relevant passages. It does not
    /// depend on the measure.
    pub rank_distance: Option<f64>,
    /// The mean over languages of the share of the topic's own language among the first
    /// [`OWN_SHARE_DEPTH`](crate::OWN_SHARE_DEPTH) passages of all. It does not depend on the measure.
    #[serde(default)]
    pub own_language_share: Option<f64>,
}

impl Report {
    /// A report without systems yet.
    pub fn new(collection: impl Into<String>, measures: &[Measure]) -> Self {
        Self {
            collection: collection.into(),
            facts: BTreeMap::new(),
            measures: measures.to_vec(),
            systems: Vec::new(),
            languages: Vec::new(),
            mean: BTreeMap::new(),
            tiers: Tiers::default(),
            settings: Vec::new(),
            pairs: Vec::new(),
            examples: Vec::new(),
        }
    }

    /// The rows, sorted by language.
    pub fn languages(&self) -> &[LanguageRow] {
        &self.languages
    }

    /// The mean over languages, by system, of the systems that were measured in all of them.
    pub fn mean(&self) -> &BTreeMap<String, Scores> {
        &self.mean
    }

    /// The languages by resource tier; empty where the tiers of fewer than two are known.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// The rows of the settings, in the order in which systems were added.
    pub fn settings(&self) -> &[SettingsRow] {
        &self.settings
    }

    /// Adds the scores of one system. Those of further languages, from other collections, may follow.
    ///
    /// # Errors
    /// [`ReportError`] if the measures are others, the system has scores in a language already, or
    /// another system was measured on more or fewer topics or passages; the report is then as it was.
    pub fn add(&mut self, system: &str, scores: &ByLanguage) -> Result<(), ReportError> {
        self.check(system, scores)?;
        self.name(system);
        for (language, new) in scores.iter() {
            let at = self.languages.binary_search_by(|row| row.language.as_str().cmp(language));
            let at = at.unwrap_or_else(|at| {
                let (topics, passages) = (new.topics, new.passages);
                let language = language.to_owned();
                let (scores, by_topic) = (BTreeMap::new(), ByTopic::default());
                let recall = BTreeMap::new();
                let row = LanguageRow { language, topics, passages, scores, by_topic, recall };
                self.languages.insert(at, row);
                at
            });
            let named =
                self.measures.iter().map(ToString::to_string).zip(new.values.iter().copied());
            self.languages[at].scores.insert(system.to_owned(), named.collect());
            self.languages[at].by_topic.insert(system, &new.by_topic);
        }
        self.update_mean();
        self.tiers = Tiers::of(self);
        Ok(())
    }

    fn check(&self, system: &str, scores: &ByLanguage) -> Result<(), ReportError> {
        if scores.measures() != self.measures {
            return Err(ReportError::Measures { system: system.to_owned() });
        }
        for (language, new) in scores.iter() {
            let Some(row) = self.languages.iter().find(|row| row.language == language) else {
                continue;
            };
            let (system, language) = (system.to_owned(), language.to_owned());
            if row.scores.contains_key(&system) {
                return Err(ReportError::Twice { system, language });
            }
            let other_topics = row.by_topic.ids != ByTopic::ids_of(&new.by_topic);
            if other_topics || row.passages != new.passages {
                return Err(ReportError::Pool { system, language });
            }
        }
        Ok(())
    }

    fn name(&mut self, system: &str) {
        if !self.systems.iter().any(|known| known == system) {
            self.systems.push(system.to_owned());
        }
    }

    /// A mean that lacks a language would compare with none.
    fn update_mean(&mut self) {
        self.mean.clear();
        for system in &self.systems {
            let rows = self.languages.iter().map(|row| row.scores.get(system));
            let Some(rows) = rows.collect::<Option<Vec<_>>>().filter(|rows| !rows.is_empty())
            else {
                continue;
            };
            let mean = |measure: &String| {
                let sum: f64 = rows.iter().map(|scores| scores[measure]).sum();
                sum / crate::measure::real(rows.len())
            };
            let names = self.measures.iter().map(ToString::to_string);
            let mean = names.map(|name| (name.clone(), mean(&name))).collect();
            self.mean.insert(system.clone(), mean);
        }
    }

    /// Adds one system's means in the three settings, and those of each pair of languages.
    ///
    /// # Errors
    /// [`ReportError`] if the measures are others, the system has settings already, or another system was
    /// measured on more or fewer topics or passages of a pair.
    pub fn add_settings(&mut self, system: &str, settings: &Settings) -> Result<(), ReportError> {
        if settings.measures() != self.measures {
            return Err(ReportError::Measures { system: system.to_owned() });
        }
        if self.settings.iter().any(|row| row.system == system) {
            return Err(ReportError::SettingsTwice { system: system.to_owned() });
        }
        self.add_pairs(system, settings)?;
        self.name(system);
        let (mono, cross, multi) =
            (settings.mono_mean(), settings.cross_mean(), settings.multi_mean());
        let rows = self.measures.iter().enumerate().map(|(at, &measure)| {
            let value = |mean: &Option<Vec<f64>>| mean.as_ref().map(|values| values[at]);
            SettingsRow {
                system: system.to_owned(),
                measure,
                mono: value(&mono),
                cross: value(&cross),
                pairs: settings.cross().len(),
                multi: value(&multi),
                rank_distance: settings.rank_distance(),
                own_language_share: settings.own_language_share(),
            }
        });
        self.settings.extend(rows);
        Ok(())
    }

    /// Says of the topics so far what they ask for, so that [`Comparison`] takes those of several languages
    /// that ask the same as one observation. A language of which any topic names no group is left
    /// as it is.
    pub fn add_groups(&mut self, collection: &Collection) {
        let topics = collection.topics.iter();
        let groups: BTreeMap<&str, &str> =
            topics.filter_map(|topic| Some((topic.id.as_str(), topic.group.as_deref()?))).collect();
        for LanguageRow { by_topic, .. } in &mut self.languages {
            let of = |id: &String| groups.get(id.as_str()).map(|group| (*group).to_owned());
            if let Some(groups) = by_topic.ids.iter().map(of).collect() {
                by_topic.groups = groups;
            }
        }
        self.tiers = Tiers::of(self);
    }

    /// Reads what [`Report::to_json`] or [`RunReport::to_json`] wrote; a run becomes a report of one
    /// language, `all`.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn from_json(json: &str) -> serde_json::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(json)?;
        if value.get("run").is_some() {
            return serde_json::from_value::<RunReport>(value).map(Self::from);
        }
        let mut report: Self = serde_json::from_value(value)?;
        // Releases before this one wrote no tiers.
        if report.tiers.is_empty() {
            report.tiers = Tiers::of(&report);
        }
        Ok(report)
    }

    /// The systems, in the order in which they were added.
    pub fn systems(&self) -> &[String] {
        &self.systems
    }

    /// The measures, in the order of the tables.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The whole report as one JSON object on one line.
    #[expect(clippy::missing_panics_doc, reason = "all keys are strings, so it cannot fail")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all keys are strings")
    }
}

/// Why scores cannot stand in one table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReportError {
    /// Columns would mix.
    #[error("`{system}` was measured with other measures than the report has")]
    Measures { system: String },
    /// One cell, two values.
    #[error(
        "`{system}` has scores for `{language}` already: two collections of one language need a \
         report each"
    )]
    Twice { system: String, language: String },
    /// A comparison would not be fair.
    #[error("`{system}` was measured on other topics or passages of `{language}` than the rest")]
    Pool { system: String, language: String },
    /// One row, two values.
    #[error("`{system}` has its settings already")]
    SettingsTwice { system: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{Evaluation, LanguageScores};

    fn scores(measures: &[&str], rows: &[(&str, usize, usize, &[f64])]) -> ByLanguage {
        let measures: Vec<Measure> = measures.iter().map(|m| m.parse().unwrap()).collect();
        ByLanguage {
            rows: rows
                .iter()
                .map(|&(language, topics, passages, values)| {
                    let mut by_topic = Evaluation::new(&measures);
                    for topic in 0..topics {
                        by_topic.insert(&format!("{language}{topic}"), values.to_vec());
                    }
                    (language.to_owned(), LanguageScores::new(by_topic, passages).unwrap())
                })
                .collect(),
            measures,
        }
    }

    fn report(measures: &[&str]) -> Report {
        let measures: Vec<Measure> = measures.iter().map(|m| m.parse().unwrap()).collect();
        Report::new("water", &measures)
    }

    #[test]
    fn the_table_lines_up_whatever_the_script() {
        let mut report = report(&["AP", "nDCG@10"]);
        let rows: [(&str, usize, usize, &[f64]); 2] =
            [("zh-Hant", 3, 1200, &[0.5, 1.0]), ("am", 12, 40, &[0.25, 0.75])];
        report.add("bm25", &scores(&["AP", "nDCG@10"], &rows)).unwrap();
        let rows: [(&str, usize, usize, &[f64]); 2] =
            [("am", 12, 40, &[0.75, 0.1234]), ("zh-Hant", 3, 1200, &[1.0, 1.0])];
        report.add("密集", &scores(&["AP", "nDCG@10"], &rows)).unwrap();
        let expected = [
            "                      AP           nDCG@10",
            "lang     topics pool   bm25  密集   bm25  密集",
            "am           12   40  0.250 0.750  0.750 0.123",
            "zh-Hant       3 1200  0.500 1.000  1.000 1.000",
            "mean         15       0.375 0.875  0.875 0.562",
            "",
            "                 AP within languages",
            "tier  languages          密集 - bm25",
            "low           1               +0.500",
            "high          1               +0.500",
            "tier: low has less than 10 GiB in CC-100, or nothing",
        ];
        assert_eq!(report.to_string().lines().collect::<Vec<_>>(), expected, "\n{report}");
    }

    #[test]
    fn three_systems_and_four_measures_fit_a_hundred_columns_and_more_go_below() {
        let measures = ["AP", "nDCG@10", "R@100", "RR", "P@10"];
        for (count, blocks) in [(4, 1), (5, 2)] {
            let mut report = report(&measures[..count]);
            for system in ["bm25", "dense", "hybrid"] {
                let rows: [(&str, usize, usize, &[f64]); 1] =
                    [("en", 1190, 13014, &[0.5, 0.5, 0.5, 0.5, 0.5][..count])];
                report.add(system, &scores(&measures[..count], &rows)).unwrap();
            }
            let text = report.to_string();
            assert!(text.lines().all(|line| line.len() <= 100), "\n{text}");
            assert_eq!(text.matches("\nmean").count(), blocks, "\n{text}");
        }
    }

    #[test]
    fn a_system_without_all_languages_has_no_mean() {
        let mut report = report(&["AP"]);
        report.add("bm25", &scores(&["AP"], &[("am", 1, 2, &[0.5])])).unwrap();
        report.add("bm25", &scores(&["AP"], &[("te", 1, 2, &[1.0])])).unwrap();
        report.add("dense", &scores(&["AP"], &[("te", 1, 2, &[1.0])])).unwrap();
        assert_eq!(report.mean().keys().collect::<Vec<_>>(), ["bm25"]);
        assert!((report.mean()["bm25"]["AP"] - 0.75).abs() < 1e-12);
        assert!(report.to_string().contains("\nmean       2       0.750     -\n"), "{report}");
    }

    #[test]
    fn scores_that_do_not_belong_together_are_refused_and_change_nothing() {
        let mut report = report(&["AP"]);
        report.add("bm25", &scores(&["AP"], &[("am", 1, 2, &[0.5])])).unwrap();
        let before = report.clone();
        let (system, language) = ("dense".to_owned(), "am".to_owned());
        assert_eq!(
            report.add("dense", &scores(&["AP"], &[("aa", 1, 2, &[0.5]), ("am", 1, 3, &[0.5])])),
            Err(ReportError::Pool { system: system.clone(), language: language.clone() })
        );
        assert_eq!(
            report.add("bm25", &scores(&["AP"], &[("am", 1, 2, &[0.5])])),
            Err(ReportError::Twice { system: "bm25".into(), language })
        );
        assert_eq!(
            report.add("dense", &scores(&["RR"], &[("am", 1, 2, &[0.5])])),
            Err(ReportError::Measures { system })
        );
        assert_eq!(report, before);
    }

    #[test]
    fn the_settings_show_the_first_measure_and_what_is_not_defined() {
        let mut report = report(&["RR", "AP"]);
        for (system, distance) in [("bm25", None), ("dense", Some(1421.6))] {
            let measures = report.measures.clone();
            report.settings.extend(measures.into_iter().map(|measure| SettingsRow {
                system: system.to_owned(),
                measure,
                mono: Some(if measure.to_string() == "RR" { 0.731 } else { 0.5 }),
                cross: None,
                pairs: 0,
                multi: Some(1.0),
                rank_distance: distance,
                own_language_share: distance.map(|_| 0.25),
            }));
        }
        let expected = [
            "        RR",
            "system   mono cross multi  rank distance own in top 10",
            "bm25    0.731     - 1.000              -             -",
            "dense   0.731     - 1.000           1422         0.250",
        ];
        assert_eq!(report.to_string().lines().collect::<Vec<_>>(), expected, "\n{report}");
    }

    #[test]
    fn json_holds_all_and_reads_back() {
        let mut report = report(&["AP"]);
        report.facts.insert("model".into(), "tiny".into());
        report.add("bm25", &scores(&["AP"], &[("am", 1, 2, &[0.5])])).unwrap();
        let json = "{\"collection\":\"water\",\"facts\":{\"model\":\"tiny\"},\"measures\":[\"AP\"],\
                    \"systems\":[\"bm25\"],\"languages\":[{\"language\":\"am\",\"topics\":1,\
                    \"passages\":2,\"scores\":{\"bm25\":{\"AP\":0.5}},\
                    \"by_topic\":{\"ids\":[\"am0\"],\"scores\":{\"bm25\":{\"AP\":[0.5]}}}}],\
                    \"mean\":{\"bm25\":{\"AP\":0.5}},\"settings\":[]}";
        assert_eq!(report.to_json(), json);
        assert_eq!(serde_json::from_str::<Report>(json).unwrap(), report);
    }
}

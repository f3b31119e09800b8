//! What analyses and parameters are worth, as a value: tables for people, JSON for programs.

use std::fmt;

use dense_indexer::Analysis;
use serde::{Serialize, Serializer};

/// The level below which a difference is marked.
const ALPHA: f64 = 0.05;

/// What [`compare_analyses`](super::compare_analyses) found. [`Display`](fmt::Display) prints tables in
/// Markdown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnalysisReport {
    /// By language, and for one language by collection.
    pub languages: Vec<CollectionRows>,
    /// Folds of the cross-validation.
    pub folds: usize,
}

/// One language of one collection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CollectionRows {
    /// What was searched.
    pub collection: String,
    /// The language of passages and topics.
    pub language: String,
    /// How many topics the values are means over.
    pub topics: usize,
    /// How many passages were ranked for each.
    pub passages: usize,
    /// The default first, then the others, with k1 = 1.2 and b = 0.75.
    pub analyses: Vec<AnalysisRow>,
    /// The default with k1 and b chosen on other topics.
    pub parameters: ParameterRow,
}

/// One analysis of one language.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnalysisRow {
    /// Its steps.
    #[serde(serialize_with = "as_written")]
    pub analysis: Analysis,
    /// The mean AP.
    pub ap: f64,
    /// How far it is from the default; `None` of the default itself.
    pub against: Option<Against>,
}

/// k1 and b by cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterRow {
    /// k1 and b of each fold, chosen on all others.
    pub chosen: Vec<(f64, f64)>,
    /// The mean AP over topics, each with what was chosen for its fold.
    pub ap: f64,
    /// How far that is from k1 = 1.2 and b = 0.75.
    pub against: Against,
}

/// A paired difference, and whether it is more than chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Against {
    /// The mean difference.
    pub difference: f64,
    /// Two-sided, by a randomization test.
    pub p: f64,
    /// The same by Holm's method over all comparisons of the report.
    pub adjusted: f64,
}

impl Against {
    /// Whether it is, at a level of .05 over all comparisons.
    pub fn is_significant(&self) -> bool {
        self.adjusted < ALPHA
    }
}

impl CollectionRows {
    /// The mean AP of the default.
    pub fn default_ap(&self) -> f64 {
        self.analyses.first().map_or(0.0, |row| row.ap)
    }

    /// The analysis with the highest mean AP; of equals the first.
    pub fn best(&self) -> Option<&AnalysisRow> {
        self.analyses.iter().rev().max_by(|a, b| a.ap.total_cmp(&b.ap))
    }
}

impl fmt::Display for AnalysisReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comparisons = self.languages.iter().map(|rows| rows.analyses.len() - 1).sum::<usize>();
        writeln!(f, "mAP of BM25 by analysis, each language's own passages, k1 = 1.2, b = 0.75")?;
        writeln!(f, "(*: p < .05 by a paired randomization test, Holm over {comparisons})\n")?;
        let (mut by_default, mut held_out) = (0.0, 0.0);
        let header = "| language | collection | queries | passages | default | mAP | best | mAP | difference | p |";
        writeln!(f, "{header}\n|---|---|--:|--:|---|--:|---|--:|--:|--:|")?;
        for rows in &self.languages {
            let CollectionRows { collection, language, topics, passages, .. } = rows;
            let (Some(default), Some(best)) = (rows.analyses.first(), rows.best()) else {
                continue;
            };
            write!(
                f,
                "| {language} | {collection} | {topics} | {passages} | {} ",
                default.analysis
            )?;
            write!(f, "| {:.4} | {} | {:.4} ", default.ap, best.analysis, best.ap)?;
            match &best.against {
                Some(against) => writeln!(f, "| {} |", Shown(against))?,
                None => writeln!(f, "| | |")?,
            }
            by_default += default.ap;
            held_out += rows.parameters.ap;
        }
        writeln!(
            f,
            "\nAll analyses:\n\n| language | collection | analysis mAP ... |\n|---|---|---|"
        )?;
        for rows in &self.languages {
            let mut all: Vec<&AnalysisRow> = rows.analyses.iter().collect();
            all.sort_by(|a, b| b.ap.total_cmp(&a.ap));
            let shown = |row: &&AnalysisRow| {
                let mark = if row.against.is_some_and(|a| a.is_significant()) { "*" } else { "" };
                format!("{} {:.4}{mark}", row.analysis, row.ap)
            };
            let all: Vec<String> = all.iter().map(shown).collect();
            writeln!(f, "| {} | {} | {} |", rows.language, rows.collection, all.join(", "))?;
        }
        writeln!(f, "\nThe default with k1 and b chosen on the other folds of {}:\n", self.folds)?;
        writeln!(
            f,
            "| language | collection | 1.2, 0.75 | chosen | difference | p | k1, b by fold |"
        )?;
        writeln!(f, "|---|---|--:|--:|--:|--:|---|")?;
        for rows in &self.languages {
            let ParameterRow { chosen, ap, against } = &rows.parameters;
            let chosen: Vec<String> = chosen.iter().map(|(k1, b)| format!("{k1}, {b}")).collect();
            let (language, collection) = (&rows.language, &rows.collection);
            write!(f, "| {language} | {collection} | {:.4} | {ap:.4} ", rows.default_ap())?;
            writeln!(f, "| {} | {} |", Shown(against), chosen.join("; "))?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few languages")]
        let count = self.languages.len().max(1) as f64;
        let (by_default, held_out) = (by_default / count, held_out / count);
        writeln!(
            f,
            "| mean | | {by_default:.4} | {held_out:.4} | {:+.4} | | |",
            held_out - by_default
        )
    }
}

/// Difference and p as two cells.
struct Shown<'a>(&'a Against);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.0.is_significant() { "*" } else { "" };
        write!(f, "{:+.4} | {:.4}{mark}", self.0.difference, self.0.adjusted)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn as_written<S: Serializer>(analysis: &Analysis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(analysis)
}

//! Measures as values: `"nDCG@10".parse()`, printed as it was written.
//!
//! Invariant: every measure is computed from a [`Standing`] alone, so that ranks found by counting
//! scores and ranks read from a ranked list give the same number.

mod ap;
mod ndcg;
mod recall;
mod rr;
mod standing;

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use standing::Standing;

/// How many ranks a measure looks at, from the first.
pub type Cutoff = NonZeroUsize;

/// How well one ranking answers one topic, as a number from 0 to 1.
///
/// As `trec_eval` has it, a passage is relevant from grade 1 on, what nobody judged is not relevant,
/// and a topic without any relevant passage has the value 0.
///
/// ```
/// # use tantivy_dense_eval::{Measure, MeasureError};
/// let measure: Measure = "nDCG@10".parse()?;
/// assert_eq!(measure.to_string(), "nDCG@10");
/// assert_eq!("Recall@100".parse::<Measure>()?.to_string(), "R@100");
/// # Ok::<(), MeasureError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Measure {
    /// `AP`, `AP@100`: the precision at each relevant passage found, summed and divided by the
    /// number of all relevant passages; its mean over topics is called mAP.
    ///
    /// Source: Buckley and Voorhees, "Evaluating evaluation measure stability" (2000);
    /// `trec_eval`'s `map` and `map_cut`.
    AveragePrecision(Option<Cutoff>),
    /// `nDCG`, `nDCG@10`: grades, each divided by log2(1 + rank), against the best order there is.
    ///
    /// Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002),
    /// with the discount of `trec_eval`'s `ndcg` and `ndcg_cut`.
    Ndcg(Option<Cutoff>),
    /// `RR`, `RR@10`: 1 / rank of the first relevant passage, 0 if there is none.
    ///
    /// Source: Voorhees, "The TREC-8 question answering track report" (1999); `trec_eval`'s
    /// `recip_rank`.
    ReciprocalRank(Option<Cutoff>),
    /// `R@100`: the share of the relevant passages that are found.
    ///
    /// Source: `trec_eval`'s `recall`.
    Recall(Cutoff),
    /// `P@10`: the share of the ranks up to the cutoff that hold a relevant passage; ranks that a
    /// short ranking leaves empty count as not relevant.
    ///
    /// Source: `trec_eval`'s `P`.
    Precision(Cutoff),
}

impl Measure {
    /// The value for one topic.
    pub(crate) fn of(self, standing: &Standing) -> f64 {
        match self {
            Self::AveragePrecision(cutoff) => ap::average_precision(standing, cutoff),
            Self::Ndcg(cutoff) => ndcg::ndcg(standing, cutoff),
            Self::ReciprocalRank(cutoff) => rr::reciprocal_rank(standing, cutoff),
            Self::Recall(cutoff) => recall::recall(standing, cutoff),
            Self::Precision(cutoff) => recall::precision(standing, cutoff),
        }
    }
}

/// Counts as numbers to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no ranking is 2^53 hits long")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, cutoff) = match *self {
            Self::AveragePrecision(cutoff) => ("AP", cutoff),
            Self::Ndcg(cutoff) => ("nDCG", cutoff),
            Self::ReciprocalRank(cutoff) => ("RR", cutoff),
            Self::Recall(cutoff) => ("R", Some(cutoff)),
            Self::Precision(cutoff) => ("P", Some(cutoff)),
        };
        match cutoff {
            Some(cutoff) => write!(f, "{name}@{cutoff}"),
            None => f.write_str(name),
        }
    }
}

impl FromStr for Measure {
    type Err = MeasureError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let (name, cutoff) = match written.split_once('@') {
            Some((name, cutoff)) => {
                // `parse` alone would take `+10`, which does not print as it was written.
                let digits = cutoff.starts_with(|first: char| matches!(first, '1'..='9'));
                let cutoff = cutoff.parse().ok().filter(|_| digits);
                (name, Some(cutoff.ok_or_else(|| MeasureError::cutoff(written))?))
            }
            None => (written, None),
        };
        let wanted =
            || cutoff.ok_or_else(|| MeasureError::NoCutoff { written: written.to_owned() });
        match name.to_ascii_lowercase().as_str() {
            "ap" | "map" => Ok(Self::AveragePrecision(cutoff)),
            "ndcg" => Ok(Self::Ndcg(cutoff)),
            "rr" | "mrr" => Ok(Self::ReciprocalRank(cutoff)),
            "r" | "recall" => wanted().map(Self::Recall),
            "p" | "precision" => wanted().map(Self::Precision),
            _ => Err(MeasureError::Unknown { written: written.chars().take(40).collect() }),
        }
    }
}

impl TryFrom<String> for Measure {
    type Error = MeasureError;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        written.parse()
    }
}

impl From<Measure> for String {
    fn from(measure: Measure) -> Self {
        measure.to_string()
    }
}

/// Why a text names no measure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum MeasureError {
    /// The name is none of ours.
    #[error("`{written}` is no measure: try AP, AP@100, nDCG@10, RR, RR@10, R@100 or P@10")]
    Unknown { written: String },
    /// What follows the `@` is no number of ranks.
    #[error("`{written}` needs a number of ranks after the `@`, 1 or more")]
    Cutoff { written: String },
    /// Over a whole ranking the measure says how long the ranking is, and nothing else.
    #[error("`{written}` needs a number of ranks, as in `{written}@10`")]
    NoCutoff { written: String },
}

impl MeasureError {
    fn cutoff(written: &str) -> Self {
        Self::Cutoff { written: written.chars().take(40).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_measure_prints_as_it_was_written() {
        for written in ["AP", "AP@100", "nDCG", "nDCG@10", "RR", "RR@10", "R@100", "P@10"] {
            assert_eq!(written.parse::<Measure>().unwrap().to_string(), written);
        }
        for (written, printed) in [("recall@5", "R@5"), ("MAP", "AP"), ("ndcg@3", "nDCG@3")] {
            assert_eq!(written.parse::<Measure>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_names_no_measure_is_refused_with_what_would_do() {
        for (written, message) in [
            ("F1", "`F1` is no measure: try AP, AP@100, nDCG@10, RR, RR@10, R@100 or P@10"),
            ("AP@0", "`AP@0` needs a number of ranks after the `@`, 1 or more"),
            ("AP@+1", "`AP@+1` needs a number of ranks after the `@`, 1 or more"),
            ("R", "`R` needs a number of ranks, as in `R@10`"),
        ] {
            assert_eq!(written.parse::<Measure>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn in_json_a_measure_is_its_name() {
        let measure: Measure = "nDCG@10".parse().unwrap();
        assert_eq!(serde_json::to_string(&measure).unwrap(), "\"nDCG@10\"");
        assert_eq!(serde_json::from_str::<Measure>("\"nDCG@10\"").unwrap(), measure);
    }

    proptest! {
        #[test]
        fn any_text_is_a_measure_or_refused(written in "\\PC{0,12}") {
            if let Ok(measure) = written.parse::<Measure>() {
                prop_assert_eq!(measure.to_string().parse::<Measure>().unwrap(), measure);
            }
        }

        /// Each measure once more as its definition reads, over the whole list of grades.
        #[test]
        fn every_measure_equals_its_definition(
            ranking in proptest::collection::vec(0_u32..4, 0..30),
            missed in proptest::collection::vec(1_u32..4, 0..6),
            k in 1_usize..35,
        ) {
            let standing = Standing::new(
                ranking.iter().enumerate().map(|(i, &grade)| (i + 1, grade)),
                missed.iter().copied(),
            );
            let relevant = ranking.iter().filter(|g| **g > 0).count() + missed.len();
            let mut ideal: Vec<u32> = ranking.iter().chain(&missed).copied().collect();
            ideal.sort_by(|a, b| b.cmp(a));
            let upto = |list: &[u32], k: usize| list[..k.min(list.len())].to_vec();
            let hits = |k: usize| upto(&ranking, k).iter().filter(|g| **g > 0).count();
            let dcg = |list: &[u32], k: usize| -> f64 {
                upto(list, k).iter().zip(2_usize..).map(|(&g, i)| f64::from(g) / real(i).log2()).sum()
            };
            let over = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
            let ap = |k: usize| {
                let precisions = (1..=k.min(ranking.len())).filter(|&i| ranking[i - 1] > 0);
                over(precisions.map(|i| real(hits(i)) / real(i)).sum(), real(relevant))
            };
            let rr = |k: usize| {
                let first = upto(&ranking, k).iter().position(|g| *g > 0);
                first.map_or(0.0, |i| 1.0 / real(i + 1))
            };
            for (written, value) in [
                ("AP".to_owned(), ap(usize::MAX)),
                (format!("AP@{k}"), ap(k)),
                ("nDCG".to_owned(), over(dcg(&ranking, 99), dcg(&ideal, 99))),
                (format!("nDCG@{k}"), over(dcg(&ranking, k), dcg(&ideal, k))),
                ("RR".to_owned(), rr(usize::MAX)),
                (format!("RR@{k}"), rr(k)),
                (format!("R@{k}"), over(real(hits(k)), real(relevant))),
                (format!("P@{k}"), real(hits(k)) / real(k)),
            ] {
                let ours = written.parse::<Measure>().unwrap().of(&standing);
                prop_assert!((ours - value).abs() < 1e-12, "{}: {} is not {}", written, ours, value);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&ours));
            }
        }
    }
}

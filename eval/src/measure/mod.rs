//! Measures as values: `"nDCG@10".parse()`, printed as it was written.
//!
//! Invariant: every measure is computed from a [`Standing`] alone, so that ranks found by counting
//! scores and ranks read from a ranked list give the same number.

mod ap;
mod judged;
mod ndcg;
mod recall;
mod rr;
mod standing;
#[cfg(test)]
mod tests;
mod written;

use std::num::{NonZeroU32, NonZeroUsize};

use serde::{Deserialize, Serialize};

pub(crate) use standing::Standing;
pub use written::MeasureError;

/// How many ranks a measure looks at, from the first.
pub type Cutoff = NonZeroUsize;

/// The least grade of a passage that counts as relevant; `trec_eval`'s `-l`.
pub type Level = NonZeroU32;

/// How well one ranking answers one topic, as a number from 0 to 1.
///
/// As `trec_eval` has it, what nobody judged is not relevant, and a topic without any relevant passage
/// has the value 0. A passage is relevant from grade 1 on; `(rel=2)` behind the name asks for
/// grade 2 or more. Names are those of `ir_measures`, so that a measure printed by the one can be
/// read by the other.
///
/// ```
/// # use tantivy_dense_eval::{Measure, MeasureError};
/// for written in ["AP(rel=2)@100", "nDCG@10", "Rprec", "Success@5", "Judged@10"] {
///     assert_eq!(written.parse::<Measure>()?.to_string(), written);
/// }
/// assert_eq!("Recall@100".parse::<Measure>()?.to_string(), "R@100");
/// # Ok::<(), MeasureError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[expect(missing_docs, reason = "each variant explains its fields")]
pub enum Measure {
    /// `AP`, `AP@100`, `AP(rel=2)`: the precision at each relevant passage found, summed and divided
    /// by the number of all relevant passages; its mean over topics is called mAP.
    ///
    /// Source: Buckley and Voorhees, "Evaluating evaluation measure stability" (2000);
    /// `trec_eval`'s `map` and `map_cut`.
    AveragePrecision { level: Level, cutoff: Option<Cutoff> },
    /// `nDCG`, `nDCG@10`: grades, each divided by log2(1 + rank), against the best order there is.
    ///
    /// Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002),
    /// with the discount of `trec_eval`'s `ndcg` and `ndcg_cut`.
    Ndcg(Option<Cutoff>),
    /// `RR`, `RR@10`, `RR(rel=2)@10`: 1 / rank of the first relevant passage, 0 if there is none.
    ///
    /// Source: Voorhees, "The TREC-8 question answering track report" (1999); `trec_eval`'s
    /// `recip_rank`.
    ReciprocalRank { level: Level, cutoff: Option<Cutoff> },
    /// `R@100`, `R(rel=2)@100`: the share of the relevant passages that are found.
    ///
    /// Source: `trec_eval`'s `recall`.
    Recall { level: Level, cutoff: Cutoff },
    /// `P@10`, `P(rel=2)@10`: the share of the ranks up to the cutoff that hold a relevant passage;
    /// ranks that a short ranking leaves empty count as not relevant.
    ///
    /// Source: `trec_eval`'s `P`.
    Precision { level: Level, cutoff: Cutoff },
    /// `Rprec`, `Rprec(rel=2)`: the precision at as many ranks as there are relevant passages.
    ///
    /// Source: `trec_eval`'s `Rprec`.
    RPrecision { level: Level },
    /// `Success@5`, `Success(rel=2)@5`: 1 if a relevant passage is within the cutoff, and else 0.
    ///
    /// Source: `trec_eval`'s `success`.
    Success { level: Level, cutoff: Cutoff },
    /// `Judged`, `Judged@10`: the share of the passages found within the cutoff that somebody judged,
    /// relevant or not; 0 if nothing is found. A ranking that is shorter than the cutoff counts
    /// over its own length.
    ///
    /// Source: `ir_measures`'s `Judged`.
    Judged(Option<Cutoff>),
}

impl Measure {
    /// The value for one topic, by what became of its relevant passages: `found` are the ranks, from 1, of
    /// those of grade 1 that were found, `missed` is how many were not, and `retrieved` how many
    /// passages were ranked.
    ///
    /// ```
    /// # use tantivy_dense_eval::{Measure, MeasureError};
    /// let measure: Measure = "AP".parse()?;
    /// assert_eq!(measure.of_ranks([3, 1], 1, 10), (1.0 / 1.0 + 2.0 / 3.0) / 3.0);
    /// # Ok::<(), MeasureError>(())
    /// ```
    pub fn of_ranks(
        self,
        found: impl IntoIterator<Item = usize>,
        missed: usize,
        retrieved: usize,
    ) -> f64 {
        let found = found.into_iter().map(|rank| (rank, 1));
        self.of(&Standing::new(found, std::iter::repeat_n(1, missed), retrieved))
    }

    /// The value for one topic.
    pub(crate) fn of(self, standing: &Standing) -> f64 {
        match self {
            Self::AveragePrecision { level, cutoff } => {
                ap::average_precision(standing, level, cutoff)
            }
            Self::Ndcg(cutoff) => ndcg::ndcg(standing, cutoff),
            Self::ReciprocalRank { level, cutoff } => rr::reciprocal_rank(standing, level, cutoff),
            Self::Recall { level, cutoff } => recall::recall(standing, level, cutoff),
            Self::Precision { level, cutoff } => recall::precision(standing, level, cutoff),
            Self::RPrecision { level } => recall::r_precision(standing, level),
            Self::Success { level, cutoff } => rr::success(standing, level, cutoff),
            Self::Judged(cutoff) => judged::judged(standing, cutoff),
        }
    }

    /// Whether judged passages that are not relevant matter.
    pub(crate) fn needs_all_judged(self) -> bool {
        matches!(self, Self::Judged(_))
    }
}

/// Counts as numbers to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no ranking is 2^53 hits long")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

//! Measures as text: the names of `ir_measures`, its `(rel=2)` and its `@10`.
//!
//! Invariant: what a measure prints as parses to that measure.

use std::fmt;
use std::str::FromStr;

use super::{Cutoff, Level, Measure};

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, level, cutoff) = match *self {
            Self::AveragePrecision { level, cutoff } => ("AP", level, cutoff),
            Self::Ndcg(cutoff) => ("nDCG", Level::MIN, cutoff),
            Self::ReciprocalRank { level, cutoff } => ("RR", level, cutoff),
            Self::Recall { level, cutoff } => ("R", level, Some(cutoff)),
            Self::Precision { level, cutoff } => ("P", level, Some(cutoff)),
            Self::RPrecision { level } => ("Rprec", level, None),
            Self::Success { level, cutoff } => ("Success", level, Some(cutoff)),
            Self::Judged(cutoff) => ("Judged", Level::MIN, cutoff),
        };
        f.write_str(name)?;
        if level > Level::MIN {
            write!(f, "(rel={level})")?;
        }
        cutoff.map_or(Ok(()), |cutoff| write!(f, "@{cutoff}"))
    }
}

/// A measure's text in its three parts.
struct Parts<'a> {
    written: &'a str,
    name: &'a str,
    level: Option<Level>,
    cutoff: Option<Cutoff>,
}

impl<'a> Parts<'a> {
    fn new(written: &'a str) -> Result<Self, MeasureError> {
        let (head, cutoff) = match written.split_once('@') {
            Some((head, cutoff)) => {
                let cutoff = whole(cutoff);
                let shown = || MeasureError::Cutoff { written: shortened(written) };
                (head, Some(cutoff.ok_or_else(shown)?))
            }
            None => (written, None),
        };
        let (name, level) = match head.split_once('(') {
            Some((name, options)) => {
                let level = options.strip_suffix(')').and_then(|o| o.strip_prefix("rel="));
                let level = level.and_then(whole);
                let shown = || MeasureError::Level { written: shortened(written) };
                (name, Some(level.ok_or_else(shown)?))
            }
            None => (head, None),
        };
        Ok(Self { written, name, level, cutoff })
    }

    fn level(&self) -> Level {
        self.level.unwrap_or(Level::MIN)
    }

    fn cutoff(&self) -> Result<Cutoff, MeasureError> {
        self.cutoff.ok_or_else(|| MeasureError::NoCutoff { written: shortened(self.written) })
    }

    /// For measures to which every grade, or none, matters.
    fn without_level(&self) -> Result<Option<Cutoff>, MeasureError> {
        match self.level {
            None => Ok(self.cutoff),
            Some(_) => Err(MeasureError::TakesNoLevel { written: shortened(self.written) }),
        }
    }

    fn without_cutoff(&self) -> Result<Level, MeasureError> {
        match self.cutoff {
            None => Ok(self.level()),
            Some(_) => Err(MeasureError::TakesNoCutoff { written: shortened(self.written) }),
        }
    }
}

/// A number that prints as it was written; `parse` alone would take `+10` and `010`.
fn whole<T: FromStr>(digits: &str) -> Option<T> {
    digits.parse().ok().filter(|_| digits.starts_with(|first: char| matches!(first, '1'..='9')))
}

fn shortened(written: &str) -> String {
    written.chars().take(40).collect()
}

impl FromStr for Measure {
    type Err = MeasureError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let parts = Parts::new(written)?;
        let (level, cutoff) = (parts.level(), parts.cutoff);
        match parts.name.to_ascii_lowercase().as_str() {
            "ap" | "map" => Ok(Self::AveragePrecision { level, cutoff }),
            "ndcg" => parts.without_level().map(Self::Ndcg),
            "rr" | "mrr" => Ok(Self::ReciprocalRank { level, cutoff }),
            "r" | "recall" => Ok(Self::Recall { level, cutoff: parts.cutoff()? }),
            "p" | "precision" => Ok(Self::Precision { level, cutoff: parts.cutoff()? }),
            "rprec" => Ok(Self::RPrecision { level: parts.without_cutoff()? }),
            "success" => Ok(Self::Success { level, cutoff: parts.cutoff()? }),
            "judged" => parts.without_level().map(Self::Judged),
            _ => Err(MeasureError::Unknown { written: shortened(written) }),
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
    #[error(
        "`{written}` is no measure: try AP, AP@100, nDCG@10, RR, RR@10, R@100, P@10, Rprec, Success@5, \
         Judged@10, or AP(rel=2) for grades from 2 on"
    )]
    Unknown { written: String },
    /// What follows the `@` is no number of ranks.
    #[error("`{written}` needs a number of ranks after the `@`, 1 or more")]
    Cutoff { written: String },
    /// What stands in parentheses is no least grade.
    #[error("`{written}` needs a grade of 1 or more in its parentheses, as in `AP(rel=2)@10`")]
    Level { written: String },
    /// Over a whole ranking the measure says how long the ranking is, and nothing else.
    #[error("`{written}` needs a number of ranks, as in `{written}@10`")]
    NoCutoff { written: String },
    /// The topic says how many ranks there are.
    #[error("`{written}` looks at as many ranks as there are relevant passages: leave the `@` out")]
    TakesNoCutoff { written: String },
    /// The measure looks at the grades themselves, or at none.
    #[error("`{written}` has no least grade: leave the parentheses out")]
    TakesNoLevel { written: String },
}

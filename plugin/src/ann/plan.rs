//! Which way to search: every row that passes, or the index, and how hard.
//!
//! The cost of a way is counted in rows looked at. A walk looks at [`ROWS_PER_CANDIDATE`] rows for
//! each candidate that it keeps, and a row met on a walk costs as much as [`MET`] rows that are read
//! in turn. With a filter a walk needs more candidates, since only those that pass are kept.
//!
//! The numbers are measured: `benches/RECORD.md`, "filters".

use crate::vector::Dim;

/// Fewer rows than this never get an index: FAISS warns of clusters too small, and a scan of them is
/// over in microseconds.
pub(crate) const FEWEST: u32 = 256;

/// Up to so many numbers are compared exactly by [`AnnRecipe::Auto`](super::AnnRecipe::Auto): 10,000
/// rows of dim 384, about half a millisecond.
const EXACT_NUMBERS: u64 = 10_000 * 384;

/// Rows that a walk looks at for each candidate that it keeps.
const ROWS_PER_CANDIDATE: f64 = 20.0;

/// What a row costs that is met on a walk, in rows that are read in turn.
const MET: f64 = 2.0;

/// How many candidates must pass for each hit wanted.
const PASSING_PER_HIT: f64 = 1.0;

/// Whether so few rows need no index.
pub(crate) fn exact_is_enough(rows: u32, dim: Dim) -> bool {
    u64::from(rows) * dim.get() as u64 <= EXACT_NUMBERS
}

/// How to walk a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// How many candidates are kept.
    pub(crate) ef: usize,
}

/// The walk that finds `wanted` of the `passing` among `rows`, or none if comparing the passing rows
/// costs less. `ef` is what it takes where all rows pass.
pub(crate) fn walk(rows: u32, passing: usize, wanted: usize, ef: usize) -> Option<Walk> {
    let share = passing as f64 / f64::from(rows.max(1));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let filtered = (PASSING_PER_HIT * wanted as f64 / share.max(1e-9)).ceil() as usize;
    let ef = if passing < rows as usize { ef.max(filtered) } else { ef };
    let ef = ef.max(wanted).min(rows as usize);
    let cost = ef as f64 * ROWS_PER_CANDIDATE * MET;
    (cost < passing as f64).then_some(Walk { ef })
}

/// What was measured for 10 and for 100 hits when an index was built, for any number of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effort {
    pub(crate) for_10: usize,
    pub(crate) for_100: usize,
}

impl Effort {
    /// On the line through the two; not less than for 10.
    pub(crate) fn of(self, wanted: usize) -> usize {
        let slope = self.for_100.saturating_sub(self.for_10) as f64 / 90.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let more = (slope * wanted.saturating_sub(10) as f64).ceil() as usize;
        self.for_10 + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_passing_rows_are_compared_and_many_are_walked_to() {
        assert_eq!(walk(200_000, 2_000, 10, 64), None);
        assert_eq!(walk(200_000, 200_000, 10, 64), Some(Walk { ef: 64 }));
        assert!(walk(200_000, 20_000, 10, 64).is_some_and(|walk| walk.ef > 64));
        assert_eq!(walk(0, 0, 10, 64), None);
        assert_eq!(walk(300, 300, 1000, 64), None);
    }

    #[test]
    fn effort_grows_with_the_hits_wanted() {
        let effort = Effort { for_10: 64, for_100: 154 };
        assert_eq!([1, 10, 100, 1000].map(|k| effort.of(k)), [64, 64, 154, 1054]);
    }
}

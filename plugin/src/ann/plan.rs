//! Which way to search: every row that passes, or the index, and how hard.
//!
//! The cost of a way is counted in rows that are compared in turn. A walk costs so many for each
//! candidate that it keeps, and with a filter it must keep more for as many to pass.
//!
//! The numbers are measured: `benches/RECORD.md`, "filters".

/// What a candidate of a walk costs, in rows compared in turn.
const CANDIDATE: f64 = 32.0;

/// How much more is kept for each row that does not pass beside one that does.
const MORE: f64 = 0.08;

/// How many candidates must pass beside the hits wanted, for these to be the right ones.
const SPARE: usize = 10;

/// A count, to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are below 2^53")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

/// How many candidates a walk keeps that finds `wanted` of the `passing` among `rows`, or none if
/// comparing the passing rows costs less. `ef` is what it takes where all rows pass.
pub(crate) fn walk(rows: u32, passing: usize, wanted: usize, ef: usize) -> Option<usize> {
    let mut ef = real(ef.max(wanted));
    if passing < rows as usize {
        let one_in = f64::from(rows) / real(passing.max(1));
        let enough = real(wanted.saturating_add(SPARE)) * one_in;
        ef = (ef * (1.0 + MORE * (one_in - 1.0))).max(enough);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let kept = (ef.ceil() as usize).min(rows as usize);
    (ef * CANDIDATE < real(passing)).then_some(kept)
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
        let slope = real(self.for_100.saturating_sub(self.for_10)) / 90.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let more = (slope * real(wanted.saturating_sub(10))).ceil() as usize;
        self.for_10 + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_passing_rows_are_compared_and_many_are_walked_to() {
        assert_eq!(walk(200_000, 2_000, 10, 64), None);
        assert_eq!(walk(200_000, 200_000, 10, 64), Some(64));
        assert_eq!(walk(200_000, 199_999, 10, 64), Some(65));
        assert_eq!(walk(200_000, 20_000, 10, 64), Some(200));
        assert_eq!(walk(0, 0, 10, 64), None);
        assert_eq!(walk(300, 300, 1000, 64), None);
    }

    #[test]
    fn effort_grows_with_the_hits_wanted() {
        let effort = Effort { for_10: 64, for_100: 154 };
        assert_eq!([1, 10, 100, 1000].map(|k| effort.of(k)), [64, 64, 154, 1054]);
    }
}

//! Where the judged passages of one topic stand in one ranking: all that a measure needs.
//!
//! Invariant: ranks count from 1, ascend and differ; a grade of 0 says that a passage was judged and is
//! not relevant; `ideal` holds the grades of all relevant passages, found or not, best first.

use std::num::NonZeroUsize;

use super::{Cutoff, Level, real};

/// The judged passages of a topic by rank, and the grades of all relevant ones there are.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    found: Vec<(NonZeroUsize, u32)>,
    ideal: Vec<u32>,
    retrieved: usize,
}

impl Standing {
    /// Takes what was found as rank (from 1) and grade, in any order, the grades of what was not
    /// found, and how many passages were ranked. Hits at rank 0 do not count.
    ///
    /// Judged passages that are not relevant matter to [`Judged`](super::Measure::Judged) alone: who
    /// does not measure it may leave them out.
    pub(crate) fn new(
        found: impl IntoIterator<Item = (usize, u32)>,
        missed: impl IntoIterator<Item = u32>,
        retrieved: usize,
    ) -> Self {
        let mut found: Vec<_> = found
            .into_iter()
            .filter_map(|(rank, grade)| Some((NonZeroUsize::new(rank)?, grade)))
            .collect();
        found.sort_unstable();
        let grades = found.iter().map(|(_, grade)| *grade).chain(missed);
        let mut ideal: Vec<_> = grades.filter(|grade| *grade > 0).collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        Self { found, ideal, retrieved }
    }

    /// What is relevant at `level` and stands within the cutoff: rank and grade, best rank first.
    pub(super) fn within(
        &self,
        level: Level,
        cutoff: Option<Cutoff>,
    ) -> impl Iterator<Item = (f64, u32)> {
        let relevant = self.judged(cutoff).filter(move |(_, grade)| *grade >= level.get());
        relevant.map(|(rank, grade)| (real(rank.get()), grade))
    }

    /// What is judged, relevant or not, and stands within the cutoff, best rank first.
    pub(super) fn judged(
        &self,
        cutoff: Option<Cutoff>,
    ) -> impl Iterator<Item = (NonZeroUsize, u32)> {
        let end = cutoff.map_or(usize::MAX, NonZeroUsize::get);
        self.found.iter().copied().take_while(move |(rank, _)| rank.get() <= end)
    }

    /// The grades of the best ranking there is, cut as the ranking is.
    pub(super) fn ideal(&self, cutoff: Option<Cutoff>) -> &[u32] {
        let end = cutoff.map_or(usize::MAX, NonZeroUsize::get);
        &self.ideal[..end.min(self.ideal.len())]
    }

    /// How many passages are relevant at `level`, found or not.
    pub(super) fn relevant(&self, level: Level) -> usize {
        self.ideal.partition_point(|grade| *grade >= level.get())
    }

    /// How many passages were ranked within the cutoff.
    pub(super) fn retrieved(&self, cutoff: Option<Cutoff>) -> usize {
        cutoff.map_or(self.retrieved, |cutoff| cutoff.get().min(self.retrieved))
    }
}

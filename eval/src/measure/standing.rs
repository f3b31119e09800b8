//! Where the relevant passages of one topic stand in one ranking: all that a measure needs.
//!
//! Invariant: ranks count from 1, ascend and differ; every grade is at least 1; `ideal` holds the
//! grades of all relevant passages, found or not, best first.

use std::num::NonZeroUsize;

use super::{Cutoff, real};

/// The relevant passages of a topic by rank, and the grades of all there are.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    found: Vec<(NonZeroUsize, u32)>,
    ideal: Vec<u32>,
}

impl Standing {
    /// Takes what was found as rank (from 1) and grade, in any order, and the grades of what was
    /// not. Grades of 0 and hits at rank 0 do not count.
    pub(crate) fn new(
        found: impl IntoIterator<Item = (usize, u32)>,
        missed: impl IntoIterator<Item = u32>,
    ) -> Self {
        let mut found: Vec<_> = found
            .into_iter()
            .filter_map(|(rank, grade)| Some((NonZeroUsize::new(rank)?, grade)))
            .filter(|(_, grade)| *grade > 0)
            .collect();
        found.sort_unstable();
        let missed = missed.into_iter().filter(|grade| *grade > 0);
        let mut ideal: Vec<_> = found.iter().map(|(_, grade)| *grade).chain(missed).collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        Self { found, ideal }
    }

    /// What stands within the cutoff: rank and grade, best rank first.
    pub(super) fn within(&self, cutoff: Option<Cutoff>) -> impl Iterator<Item = (f64, u32)> {
        let end = cutoff.map_or(usize::MAX, NonZeroUsize::get);
        let within = self.found.iter().take_while(move |(rank, _)| rank.get() <= end);
        within.map(|(rank, grade)| (real(rank.get()), *grade))
    }

    /// The grades of the best ranking there is, cut as the ranking is.
    pub(super) fn ideal(&self, cutoff: Option<Cutoff>) -> &[u32] {
        let end = cutoff.map_or(usize::MAX, NonZeroUsize::get);
        &self.ideal[..end.min(self.ideal.len())]
    }

    /// How many relevant passages there are, found or not.
    pub(super) fn relevant(&self) -> usize {
        self.ideal.len()
    }
}

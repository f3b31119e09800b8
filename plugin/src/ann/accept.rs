//! Which rows may be found: what a filter and the deletes of a segment come to.
//!
//! Invariant: bits past the last row are 0, so that counting words counts rows.

use std::sync::Arc;

/// A set of rows, one bit each. Bit `r % 64` of word `r / 64` is row `r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    rows: u32,
}

impl RowSet {
    /// No row out of `rows`.
    pub fn none(rows: u32) -> Self {
        Self { words: vec![0; rows.div_ceil(64) as usize], rows }
    }

    /// The rows out of `0..rows` for which `passes` holds.
    pub fn from_fn(rows: u32, mut passes: impl FnMut(u32) -> bool) -> Self {
        let word = |first: u32| {
            let of_word = first..rows.min(first.saturating_add(64));
            of_word.fold(0, |word, row| word | u64::from(passes(row)) << (row % 64))
        };
        Self { words: (0..rows).step_by(64).map(word).collect(), rows }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the row is past the last.
    pub fn insert(&mut self, row: u32) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    /// Takes a row out.
    ///
    /// # Panics
    /// If the row is past the last.
    pub fn remove(&mut self, row: u32) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.words[row as usize / 64] &= !(1 << (row % 64));
    }

    /// Keeps the rows that are in the other set too.
    pub fn intersect(&mut self, other: &Self) {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter_mut().zip(others).for_each(|(word, other)| *word &= other);
    }

    /// Whether a row is in the set.
    pub fn contains(&self, row: u32) -> bool {
        row < self.rows && self.words[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// How many rows are in the set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The words; as little-endian bytes they are the bitmap that FAISS takes.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The rows in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).step_by(64).zip(&self.words).flat_map(|(first, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros();
                    left &= left - 1;
                    first + bit
                })
            })
        })
    }
}

/// Which rows a search may return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Every row: nothing is deleted or filtered out.
    All,
    /// These rows.
    Rows(RowSet),
    /// These rows, which other searches use too.
    Shared(Arc<RowSet>),
}

impl Accept {
    /// The set of rows that pass; none if every row does.
    pub fn rows(&self) -> Option<&RowSet> {
        match self {
            Self::All => None,
            Self::Rows(set) => Some(set),
            Self::Shared(set) => Some(set),
        }
    }

    /// How many of the first `rows` rows pass.
    pub fn count(&self, rows: u32) -> u32 {
        match self.rows() {
            None => rows,
            Some(set) if set.rows <= rows => set.count(),
            Some(set) => {
                // Rows that pass come in order: those past the last are at the end.
                let past = set.iter().skip_while(|row| *row < rows).fold(0, |past, _| past + 1);
                set.count() - past
            }
        }
    }

    /// The set of rows that pass, out of `rows`.
    pub(crate) fn into_rows(self, rows: u32) -> RowSet {
        match self {
            Self::All => RowSet::from_fn(rows, |_| true),
            Self::Rows(set) => set,
            Self::Shared(set) => Arc::unwrap_or_clone(set),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_row_set_is_a_set(rows in prop::collection::btree_set(0u32..300, 0..60)) {
            let mut set = RowSet::none(300);
            for row in &rows {
                set.insert(*row);
            }
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), rows.clone());
            prop_assert_eq!(set.count() as usize, rows.len());
            prop_assert!((0..400).all(|row| set.contains(row) == rows.contains(&row)));
            prop_assert_eq!(RowSet::from_fn(300, |row| rows.contains(&row)), set);
        }
    }
}

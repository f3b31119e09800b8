//! Brute force: every row that passes is compared. The reference for other backends, and what a
//! small or strongly filtered segment is searched with.
//!
//! Invariant: what it returns is right, whatever passes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::Write;

use tantivy::directory::OwnedBytes;

use super::kernel::Scorer;
use super::{Accept, AnnBackend, AnnError, AnnIndex, Neighbour, RowsView};
use crate::vector::{Metric, check_row};

/// The backend of [`AnnRecipe::Exact`](crate::AnnRecipe::Exact). Its index has no bytes: the rows
/// are all it needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact;

impl AnnBackend for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn build(&self, _: &RowsView, _: &mut dyn Write) -> Result<(), AnnError> {
        Ok(())
    }

    fn open(&self, bytes: OwnedBytes, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError> {
        if !bytes.is_empty() {
            return Err(AnnError::Bytes { backend: self.name() });
        }
        Ok(Box::new(ExactIndex { rows }))
    }
}

#[derive(Debug)]
struct ExactIndex {
    rows: RowsView,
}

impl AnnIndex for ExactIndex {
    fn search(&self, query: &[f32], k: usize, accept: &Accept) -> Result<Vec<Neighbour>, AnnError> {
        check_row(self.rows.dim(), query).map_err(|source| AnnError::Query { source })?;
        let mut best = Best::new(k.min(accept.count(self.rows.rows()) as usize));
        if best.k == 0 {
            return Ok(Vec::new());
        }
        let metric = self.rows.metric();
        let scorer = Scorer::new(query, metric);
        let norms = if metric == Metric::Cosine { self.rows.inverse_norms() } else { &[] };
        let norm = |row: u32| norms.get(row as usize).copied().unwrap_or(1.0);
        let look = |row, vector: &[f32]| {
            best.push(Neighbour { row, score: scorer.score(vector, norm(row)) });
        };
        match accept {
            Accept::All => self.rows.for_each(0..self.rows.rows(), look),
            Accept::Rows(set) => {
                let rows = self.rows.rows();
                self.rows.for_each(set.iter().take_while(|row| *row < rows), look);
            }
        }
        Ok(best.into_sorted())
    }
}

/// Keeps the best `k` of what is pushed.
struct Best {
    k: usize,
    heap: BinaryHeap<Worse>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k) }
    }

    #[inline]
    fn push(&mut self, neighbour: Neighbour) {
        if self.heap.len() < self.k {
            self.heap.push(Worse(neighbour));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && Worse(neighbour) < *worst
        {
            *worst = Worse(neighbour);
        }
    }

    fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec().into_iter().map(|worse| worse.0).collect()
    }
}

/// Greater is worse: a lower score, or the same score in a later row.
#[derive(Clone, Copy)]
struct Worse(Neighbour);

impl Ord for Worse {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.row.cmp(&other.0.row))
    }
}

impl PartialOrd for Worse {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Worse {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Worse {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ann::conformance;

    #[test]
    fn exact_search_conforms() {
        conformance::check(&Exact);
    }

    #[test]
    fn an_exact_index_has_no_bytes() {
        let rows = conformance::sample_rows(3, 2, Metric::Dot);
        let error = Exact.open(OwnedBytes::new(vec![1]), rows).unwrap_err();
        assert!(matches!(error, AnnError::Bytes { .. }));
    }
}

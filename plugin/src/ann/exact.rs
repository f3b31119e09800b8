//! Brute force: every row that passes is compared. The reference for other backends, and what a
//! small or strongly filtered segment is searched with.
//!
//! Invariant: what it returns is right, whatever passes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::kernel::Scorer;
use super::{
    Accept, AnnBackend, AnnError, AnnIndex, AnnParts, AnnSink, BuildJob, Neighbour, RowsView,
    SearchParams,
};
use crate::vector::check_row;

/// How many queries a row is compared with while it is at hand: at dim 384 they fill 48 KiB.
const TOGETHER: usize = 32;

/// The backend of [`AnnRecipe::Exact`](crate::AnnRecipe::Exact). Its index has no parts: the rows
/// are all it needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact;

impl Exact {
    /// An index over the rows, which is the rows.
    pub fn over(rows: RowsView) -> impl AnnIndex {
        ExactIndex { rows }
    }
}

impl AnnBackend for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn build(&self, _: &BuildJob<'_>, _: &mut dyn AnnSink) -> Result<(), AnnError> {
        Ok(())
    }

    fn open(&self, parts: &AnnParts, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError> {
        if !parts.sections.is_empty() {
            return Err(AnnError::Parts { backend: self.name(), what: "it has parts" });
        }
        Ok(Box::new(ExactIndex { rows }))
    }
}

#[derive(Debug)]
struct ExactIndex {
    rows: RowsView,
}

impl AnnIndex for ExactIndex {
    fn search(
        &self,
        query: &[f32],
        k: usize,
        accept: &Accept,
        _: &SearchParams,
    ) -> Result<Vec<Neighbour>, AnnError> {
        search(&self.rows, query, k, accept)
    }

    fn search_batch(
        &self,
        queries: &[&[f32]],
        k: usize,
        accept: &Accept,
        _: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        search_batch(&self.rows, queries, k, accept)
    }
}

/// The best `k` of all rows that pass.
pub(super) fn search(
    rows: &RowsView,
    query: &[f32],
    k: usize,
    accept: &Accept,
) -> Result<Vec<Neighbour>, AnnError> {
    Ok(search_batch(rows, &[query], k, accept)?.concat())
}

/// The same for several queries.
pub(super) fn search_batch(
    rows: &RowsView,
    queries: &[&[f32]],
    k: usize,
    accept: &Accept,
) -> Result<Vec<Vec<Neighbour>>, AnnError> {
    for query in queries {
        check_row(rows.dim(), query).map_err(|source| AnnError::Query { source })?;
    }
    let k = k.min(accept.count(rows.rows()) as usize);
    #[cfg(feature = "faiss")]
    if super::blocks::pays(queries.len(), k) {
        return super::blocks::search_batch(rows, queries, k, accept);
    }
    by_rows(rows, queries, k, accept)
}

/// Row by row: each is read once for many queries. At least `k` rows pass.
pub(super) fn by_rows(
    rows: &RowsView,
    queries: &[&[f32]],
    k: usize,
    accept: &Accept,
) -> Result<Vec<Vec<Neighbour>>, AnnError> {
    let count = rows.rows();
    let mut found = Vec::with_capacity(queries.len());
    for queries in queries.chunks(TOGETHER) {
        found.extend(match accept.rows() {
            None => best_of_each(rows, queries, k, 0..count)?,
            Some(set) => best_of_each(rows, queries, k, set.iter().take_while(|row| *row < count))?,
        });
    }
    Ok(found)
}

/// The best `k` of some rows, each of which comes once.
#[cfg(feature = "faiss")]
pub(super) fn best_of(
    rows: &RowsView,
    query: &[f32],
    k: usize,
    among: impl Iterator<Item = u32>,
) -> Result<Vec<Neighbour>, AnnError> {
    Ok(best_of_each(rows, &[query], k, among)?.concat())
}

/// For each query the best `k` of some rows, each of which comes once.
fn best_of_each(
    rows: &RowsView,
    queries: &[&[f32]],
    k: usize,
    among: impl Iterator<Item = u32>,
) -> Result<Vec<Vec<Neighbour>>, AnnError> {
    for query in queries {
        check_row(rows.dim(), query).map_err(|source| AnnError::Query { source })?;
    }
    if k == 0 {
        return Ok(vec![Vec::new(); queries.len()]);
    }
    let asked = |query| (Scorer::new(query, rows.metric()), Best::new(k));
    let mut best: Vec<(Scorer<'_>, Best)> = queries.iter().copied().map(asked).collect();
    let norms = rows.inverse_norms();
    rows.for_each(among, |row, vector| {
        let norm = norms.map_or(1.0, |norms| norms[row as usize]);
        for (scorer, best) in &mut best {
            best.push(Neighbour { row, score: scorer.score(vector, norm) });
        }
    });
    Ok(best.into_iter().map(|(_, best)| best.into_sorted()).collect())
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
    use crate::element::Element;
    use crate::vector::Metric;

    #[test]
    fn exact_search_conforms() {
        conformance::check(&Exact);
    }

    #[test]
    fn an_exact_index_has_no_parts() {
        let rows = conformance::sample_rows(3, 2, Metric::Dot, Element::F32);
        let mut parts = AnnParts::default();
        parts.section("rows", &mut |out| out.write_all(b"x")).unwrap();
        let error = Exact.open(&parts, rows).unwrap_err();
        assert!(matches!(error, AnnError::Parts { .. }));
    }
}

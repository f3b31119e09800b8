//! Some rows compared by FAISS's kernels, which know this processor, and scored by ours, so that a score
//! is the same whichever way a row was found.

use super::{AnnError, Neighbour, RowsView, exact, ffi, graph};

/// Rows scored beside those wanted: where two are as near, the kernels may round differently.
const SPARE: usize = 8;

/// The best `k` of some rows, each of which comes once. `walked` are the rows, or codes of them, by which
/// so many `candidates` are chosen.
pub(super) fn best_of(
    rows: &RowsView,
    walked: &RowsView,
    query: &[f32],
    k: usize,
    candidates: usize,
    among: Vec<u32>,
) -> Result<Vec<Neighbour>, AnnError> {
    let wanted = candidates.saturating_add(SPARE);
    // A query whose products do not fit has no nearest by FAISS's kernels.
    if among.len() <= wanted || k == 0 || !graph::fits(query) {
        return exact::best_of(rows, query, k, among.into_iter());
    }
    let distances = ffi::scan(walked, query, &among)?;
    let mut order: Vec<(f32, u32)> = distances.into_iter().zip(among).collect();
    order.select_nth_unstable_by(wanted - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    exact::best_of(rows, query, k, order[..wanted].iter().map(|(_, row)| *row))
}

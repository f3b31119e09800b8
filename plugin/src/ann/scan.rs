//! Some rows compared by FAISS's kernels, which know this processor, and scored by ours, so that a score
//! is the same whichever way a row was found.

use super::{AnnError, Neighbour, RowsView, exact, ffi};

/// Rows scored beside those wanted: where two are as near, the kernels may round differently.
const SPARE: usize = 8;

/// The best `k` of some rows, each of which comes once. `walked` are the rows, or codes of them.
pub(super) fn best_of(
    rows: &RowsView,
    walked: &RowsView,
    query: &[f32],
    k: usize,
    among: Vec<u32>,
) -> Result<Vec<Neighbour>, AnnError> {
    let wanted = k.saturating_add(SPARE);
    if among.len() <= wanted || k == 0 {
        return exact::best_of(rows, query, k, among.into_iter());
    }
    let distances = ffi::scan(walked, query, &among)?;
    let mut order: Vec<(f32, u32)> = distances.into_iter().zip(among).collect();
    order.select_nth_unstable_by(wanted - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    exact::best_of(rows, query, k, order[..wanted].iter().map(|(_, row)| *row))
}

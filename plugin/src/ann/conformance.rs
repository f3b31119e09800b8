//! What every [`AnnBackend`] must pass, for ours and for those of others.
//!
//! Left out on purpose: recall and speed. A benchmark measures them; here is what must hold on
//! every single search.

use std::collections::HashSet;

use tantivy::directory::OwnedBytes;

use super::{Accept, AnnBackend, AnnError, RowSet, RowsView};
use crate::vector::{Dim, Metric, Vectors};

/// Builds, opens and searches small indexes, and panics at the first broken promise.
///
/// # Panics
/// If the backend breaks a promise of [`AnnBackend`] or [`AnnIndex`](super::AnnIndex).
pub fn check(backend: &dyn AnnBackend) {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        for (rows, dim) in [(0, 3), (1, 1), (130, 17)] {
            check_rows(backend, &sample_rows(rows, dim, metric));
        }
    }
}

fn check_rows(backend: &dyn AnnBackend, rows: &RowsView) {
    let mut bytes = Vec::new();
    backend.build(rows, &mut bytes).expect("an index over finite rows is built");
    let index = backend.open(OwnedBytes::new(bytes), rows.clone()).expect("what was built opens");
    let query = vec![0.5; rows.dim().get()];
    let every_third = RowSet::from_fn(rows.rows(), |row| row % 3 == 1);
    let none = RowSet::none(rows.rows());
    let past_the_last = RowSet::from_fn(rows.rows() + 70, |row| row % 5 != 0);
    for accept in
        [Accept::All, Accept::Rows(every_third), Accept::Rows(none), Accept::Rows(past_the_last)]
    {
        let passing = match &accept {
            Accept::All => rows.rows() as usize,
            Accept::Rows(set) => set.iter().take_while(|row| *row < rows.rows()).count(),
        };
        for k in [0, 1, 7, 1000] {
            let found = index.search(&query, k, &accept).expect("a fitting query is answered");
            assert_eq!(found.len(), k.min(passing), "min(k, passing) rows are found");
            assert!(found.iter().all(|n| n.score.is_finite()), "scores are finite");
            let ordered = |a: &super::Neighbour, b: &super::Neighbour| {
                a.score > b.score || (a.score >= b.score && a.row < b.row)
            };
            assert!(found.windows(2).all(|w| ordered(&w[0], &w[1])), "best first, then by row");
            let distinct: HashSet<u32> = found.iter().map(|n| n.row).collect();
            assert_eq!(distinct.len(), found.len(), "a row is found once");
            if let Accept::Rows(set) = &accept {
                assert!(found.iter().all(|n| set.contains(n.row)), "only passing rows are found");
            }
        }
    }
    let long = vec![0.5; rows.dim().get() + 1];
    assert!(
        matches!(index.search(&long, 1, &Accept::All), Err(AnnError::Query { .. })),
        "a query of another dim is an error"
    );
    let nan = vec![f32::NAN; rows.dim().get()];
    assert!(
        matches!(index.search(&nan, 1, &Accept::All), Err(AnnError::Query { .. })),
        "a query that is not finite is an error"
    );
}

/// Rows between -1 and 1, the same ones each time, some equal.
///
/// # Panics
/// If `dim` is 0 or above 65,535.
pub fn sample_rows(rows: usize, dim: usize, metric: Metric) -> RowsView {
    let dim = Dim::new(dim).expect("a sample has 1 to 65,535 dimensions");
    let mut state = 0x9E37_79B9_u32;
    let numbers = (0..rows * dim.get())
        .map(|_| {
            // Xorshift (Marsaglia, 2003); coarse numbers, so that scores tie.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            f32::from(u8::try_from(state % 9).expect("below 9")) / 4.0 - 1.0
        })
        .collect();
    let vectors = Vectors::from_flat(dim, numbers).expect("whole rows of finite numbers");
    RowsView::from_vectors(&vectors, metric)
}

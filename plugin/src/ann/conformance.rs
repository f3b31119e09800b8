//! What every [`AnnBackend`] must pass, for ours and for those of others.
//!
//! Left out on purpose: recall and speed. A benchmark measures them; here is what must hold on
//! every single search.

use std::collections::HashSet;

use super::{
    Accept, AnnBackend, AnnError, AnnIndex, AnnParts, BuildJob, Neighbour, RowSet, RowsView,
    SearchParams,
};
use crate::element::Element;
use crate::vector::{Dim, Metric, Vectors};

/// Builds, opens and searches small indexes, and panics at the first broken promise.
///
/// # Panics
/// If the backend breaks a promise of [`AnnBackend`] or [`AnnIndex`].
pub fn check(backend: &dyn AnnBackend) {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        for element in [Element::F32, Element::F16, Element::Int8] {
            for (rows, dim) in [(1, 1), (130, 17), (700, 24)] {
                check_rows(backend, &sample_rows(rows, dim, metric, element));
            }
        }
    }
}

fn check_rows(backend: &dyn AnnBackend, rows: &RowsView) {
    let mut parts = AnnParts::default();
    let job = BuildJob { rows, base: None, threads: 2 };
    backend.build(&job, &mut parts).expect("an index over finite rows is built");
    let index = backend.open(&parts, rows.clone()).expect("what was built opens");
    check_searches(index.as_ref(), rows);
    check_damage(backend, &parts, rows);
}

fn check_searches(index: &dyn AnnIndex, rows: &RowsView) {
    let query = vec![0.5; rows.dim().get()];
    let all = rows.rows();
    let set = |passes: fn(u32) -> bool, among: u32| Accept::Rows(RowSet::from_fn(among, passes));
    let accepts = [
        Accept::All,
        set(|row| row % 3 == 1, all),
        set(|_| false, all),
        set(|row| row % 5 != 0, all + 70),
        set(|row| row % 50 == 0, all),
    ];
    for accept in &accepts {
        let passing = accept
            .rows()
            .map_or(all as usize, |set| set.iter().take_while(|row| *row < all).count());
        for k in [0, 1, 7, 1000] {
            for params in [
                SearchParams::default(),
                SearchParams { ef_search: Some(1), nprobe: Some(1), rescore: Some(0) },
                SearchParams { ef_search: Some(500), nprobe: Some(500), rescore: Some(9) },
            ] {
                let found = index.search(&query, k, accept, &params);
                let found = found.expect("a fitting query is answered");
                assert_eq!(found.len(), k.min(passing), "min(k, passing) rows are found");
                check_found(&found, accept);
            }
        }
    }
    let params = SearchParams::default();
    let other: Vec<f32> =
        query.iter().zip([1.0, -1.0].iter().cycle()).map(|(x, y)| x * y).collect();
    for accept in &accepts {
        let queries = [&query[..], &other, &query];
        let alone = queries.map(|query| index.search(query, 7, accept, &params).expect("it fits"));
        let together = index.search_batch(&queries, 7, accept, &params).expect("they fit");
        assert_eq!(together, alone, "together as one by one");
    }
    let long = vec![0.5; rows.dim().get() + 1];
    assert!(
        matches!(index.search(&long, 1, &Accept::All, &params), Err(AnnError::Query { .. })),
        "a query of another dim is an error"
    );
    assert!(
        matches!(
            index.search_batch(&[&query, &long], 1, &Accept::All, &params),
            Err(AnnError::Query { .. })
        ),
        "also among others"
    );
    let nan = vec![f32::NAN; rows.dim().get()];
    assert!(
        matches!(index.search(&nan, 1, &Accept::All, &params), Err(AnnError::Query { .. })),
        "a query that is not finite is an error"
    );
}

fn check_found(found: &[Neighbour], accept: &Accept) {
    assert!(found.iter().all(|n| n.score.is_finite()), "scores are finite");
    let ordered =
        |a: &Neighbour, b: &Neighbour| a.score > b.score || (a.score >= b.score && a.row < b.row);
    assert!(found.windows(2).all(|w| ordered(&w[0], &w[1])), "best first, then by row");
    let distinct: HashSet<u32> = found.iter().map(|n| n.row).collect();
    assert_eq!(distinct.len(), found.len(), "a row is found once");
    if let Some(set) = accept.rows() {
        assert!(found.iter().all(|n| set.contains(n.row)), "only passing rows are found");
    }
}

/// Parts that are missing, short, long or for other rows are refused or searched, without a panic.
fn check_damage(backend: &dyn AnnBackend, parts: &AnnParts, rows: &RowsView) {
    let query = vec![0.5; rows.dim().get()];
    let try_it = |parts: &AnnParts, rows: &RowsView| {
        if let Ok(index) = backend.open(parts, rows.clone()) {
            let found = index.search(&query, 5, &Accept::All, &SearchParams::default());
            let rows = rows.rows();
            assert!(found.is_ok_and(|found| found.iter().all(|n| n.row < rows)));
        }
    };
    for name in parts.sections.keys() {
        let mut without = parts.clone();
        let whole = without.sections.remove(name).expect("it is there");
        try_it(&without, rows);
        for length in [0, whole.len() / 2, whole.len().saturating_sub(1)] {
            without.sections.insert(name.clone(), whole.slice(0..length));
            try_it(&without, rows);
        }
    }
    for (name, value) in &parts.facts {
        for other in [0, value + 1, u64::MAX] {
            let mut changed = parts.clone();
            changed.facts.insert(name.clone(), other);
            try_it(&changed, rows);
        }
    }
}

/// Rows between -1 and 1, the same ones each time, some equal.
///
/// # Panics
/// If `dim` is 0 or above 65,535.
pub fn sample_rows(rows: usize, dim: usize, metric: Metric, element: Element) -> RowsView {
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
    RowsView::from_vectors(&vectors, metric, element)
}

//! How hard a search must look, measured on the rows when an index over them is built: data differ,
//! and what is enough for one set of rows finds half for another.
//!
//! Points between rows stand in for queries. Rows themselves are too easy: queries lie further from rows
//! than rows from each other, and a row is an entrance to its own neighbourhood.

use super::plan::{Effort, real};
use super::{Accept, AnnError, Neighbour, RowsView, exact};

/// How many rows stand in for queries.
const QUERIES: u32 = 64;

/// How far from a row towards another a query is.
const ASIDE: f32 = 0.4;

/// The share of the true neighbours that must be found.
const BAR: f64 = 0.96;

/// The least effort of the ladder that finds enough, for 10 and for 100 neighbours; the last of the
/// ladder if none does. `search` finds rows for a query, a count and an effort.
pub(super) fn calibrate(
    rows: &RowsView,
    ladder: &[usize],
    mut search: impl FnMut(&[f32], usize, usize) -> Result<Vec<u32>, AnnError>,
) -> Result<Effort, AnnError> {
    let dim = rows.dim().get();
    let (mut query, mut other) = (vec![0.0; dim], vec![0.0; dim]);
    let mut queries = Vec::new();
    // At equal distances: rows lie in the order of indexing, and neighbours in that order are alike.
    let step = (rows.rows() / QUERIES).max(1);
    for row in (0..rows.rows()).step_by(step as usize).take(QUERIES as usize) {
        rows.copy_row(row, &mut query);
        // A row far away in the order of indexing, which is most often another subject.
        let far = row.wrapping_add(rows.rows() / 2).wrapping_add(7) % rows.rows();
        rows.copy_row(far, &mut other);
        query.iter_mut().zip(&other).for_each(|(x, y)| *x = (1.0 - ASIDE) * *x + ASIDE * y);
        queries.push(query.clone());
    }
    let of_each: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    let truth = exact::search_batch(rows, &of_each, 100, &Accept::All)?;
    let queries: Vec<(Vec<f32>, Vec<Neighbour>)> = queries.into_iter().zip(truth).collect();
    let mut least = |k: usize| -> Result<usize, AnnError> {
        for effort in ladder {
            let mut share = 0.0;
            for (query, truth) in &queries {
                let found = search(query, k, *effort)?;
                let truth = &truth[..k.min(truth.len())];
                // Of equal rows, any is right.
                let worst = truth.last().map_or(f32::NEG_INFINITY, |n| n.score);
                let scored = exact::best_of(rows, query, k, found.into_iter())?;
                let right = scored.iter().filter(|n| n.score >= worst).count();
                share += if truth.is_empty() { 1.0 } else { real(right) / real(truth.len()) };
            }
            if share >= BAR * real(queries.len()) {
                return Ok(*effort);
            }
        }
        Ok(ladder.last().copied().unwrap_or(1))
    };
    let for_10 = least(10)?;
    let for_100 = least(100)?.max(for_10);
    Ok(Effort { for_10, for_100 })
}

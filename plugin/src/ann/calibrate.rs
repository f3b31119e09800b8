//! How hard a search must look, measured on the rows when an index over them is built: data differ,
//! and what is enough for one set of rows finds half for another.
//!
//! Rows stand in for queries. They are nearer to other rows than queries are, so the bar is higher
//! than what is wanted of queries.

use super::plan::{Effort, real};
use super::{Accept, AnnError, Neighbour, RowsView, exact};

/// How many rows stand in for queries.
const QUERIES: u32 = 64;

/// The share of the true neighbours that must be found.
const BAR: f64 = 0.98;

/// The least effort of the ladder that finds enough, for 10 and for 100 neighbours; the last of the
/// ladder if none does. `search` finds rows for a query, a count and an effort.
pub(super) fn calibrate(
    rows: &RowsView,
    ladder: &[usize],
    mut search: impl FnMut(&[f32], usize, usize) -> Result<Vec<u32>, AnnError>,
) -> Result<Effort, AnnError> {
    let mut query = vec![0.0; rows.dim().get()];
    let mut queries = Vec::new();
    // At equal distances: rows lie in the order of indexing, and neighbours in that order are alike.
    let step = (rows.rows() / QUERIES).max(1);
    for row in (0..rows.rows()).step_by(step as usize).take(QUERIES as usize) {
        rows.copy_row(row, &mut query);
        let truth = exact::search(rows, &query, 101, &Accept::All)?;
        queries.push((row, query.clone(), truth));
    }
    let mut least = |k: usize| -> Result<usize, AnnError> {
        for effort in ladder {
            let mut share = 0.0;
            for (row, query, truth) in &queries {
                let others: Vec<&Neighbour> =
                    truth.iter().filter(|n| n.row != *row).take(k).collect();
                let found = search(query, k + 1, *effort)?;
                // Of equal rows, any is right.
                let worst = others.last().map_or(f32::NEG_INFINITY, |n| n.score);
                let scored =
                    exact::best_of(rows, query, k + 1, found.into_iter().filter(|r| r != row))?;
                let right = scored.iter().filter(|n| n.score >= worst).count().min(others.len());
                share += if others.is_empty() { 1.0 } else { real(right) / real(others.len()) };
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

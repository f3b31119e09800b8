//! Fusion of rankings that stand outside an index; [`RrfQuery`](crate::RrfQuery) fuses inside one.

use std::collections::HashMap;

use dense_eval::Hit;

/// How little the first ranks stand out, as in the paper that [`reciprocal_rank`] names.
const K0: f64 = 60.0;

/// Fuses rankings: a passage's score is the sum, over the rankings that have it, of
/// `1 / (60 + rank)`, ranks from 1. Scores do not matter, so they need no common scale.
///
/// Each ranking is best first. The result is in no order: its scores order it.
///
/// # Source
/// Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
/// Learning Methods" (2009).
///
/// ```
/// # use tantivy_dense::{eval::Hit, fusion::reciprocal_rank};
/// let hit = |id: &str| Hit { id: id.to_owned(), score: 1.0 };
/// let fused = reciprocal_rank(&[vec![hit("a"), hit("b")], vec![hit("b")]]);
/// let score = |id: &str| fused.iter().find(|hit| hit.id == id).map(|hit| hit.score);
/// assert_eq!(score("a"), Some(1.0 / 61.0));
/// assert!(score("b") > score("a"));
/// ```
#[expect(clippy::cast_possible_truncation, reason = "a run's scores are f32")]
pub fn reciprocal_rank(rankings: &[Vec<Hit>]) -> Vec<Hit> {
    let longest = rankings.iter().map(Vec::len).max().unwrap_or(0);
    let mut scores: HashMap<&str, f64> = HashMap::with_capacity(longest);
    for ranking in rankings {
        for (rank, hit) in (1_u32..).zip(ranking) {
            *scores.entry(&hit.id).or_default() += 1.0 / (K0 + f64::from(rank));
        }
    }
    let hit = |(id, score): (&str, f64)| Hit { id: id.to_owned(), score: score as f32 };
    scores.into_iter().map(hit).collect()
}

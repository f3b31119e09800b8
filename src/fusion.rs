//! Fusion of rankings that stand outside an index; [`RrfQuery`](crate::RrfQuery) fuses inside one.

use std::collections::HashMap;
use std::str::FromStr;

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

/// How the scores of a ranking are made comparable with another's, query by query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalization {
    /// `min-max`: the least becomes 0, the greatest 1. The default.
    #[default]
    MinMax,
    /// `z-score`: the mean becomes 0, the standard deviation 1.
    ZScore,
}

impl FromStr for Normalization {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "min-max" => Ok(Self::MinMax),
            "z-score" => Ok(Self::ZScore),
            _ => Err(format!("`{name}` is none of min-max and z-score")),
        }
    }
}

impl Normalization {
    fn apply(self, scores: &mut [f64]) {
        let (shift, scale) = match self {
            Self::MinMax => {
                let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                (least, most - least)
            }
            Self::ZScore => {
                #[expect(clippy::cast_precision_loss, reason = "no pool has 2^53 passages")]
                let count = scores.len() as f64;
                let mean = scores.iter().sum::<f64>() / count;
                let squares = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
                (mean, (squares / count).sqrt())
            }
        };
        // Where all are alike, none stands out.
        for score in scores {
            *score = if scale > 0.0 { (*score - shift) / scale } else { 0.0 };
        }
    }
}

/// Two rankings of one pool with comparable scores, to be summed by any weight.
///
/// A passage that one ranking leaves out has there what matches nothing: 0, or the lowest score if that is
/// less.
///
/// # Source
/// Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval" (2023).
///
/// ```
/// # use tantivy_dense::{eval::Hit, fusion::{Normalization, Normalized}};
/// let hit = |id: &str, score| Hit { id: id.to_owned(), score };
/// let words = [hit("a", 8.0), hit("b", 2.0)];
/// let meaning = [hit("a", 0.7), hit("b", 0.9), hit("c", 0.8)];
/// let both = Normalized::new(&words, &meaning, Normalization::MinMax);
/// // a: 1 and 0, b: 2 / 8 and 1, c: 0 and 1 / 2.
/// let fused = both.hits(0.6);
/// let score = |id: &str| fused.iter().find(|hit| hit.id == id).unwrap().score;
/// assert!((score("b") - (0.4 * 0.25 + 0.6 * 1.0)).abs() < 1e-6);
/// assert!((score("a") - 0.4).abs() < 1e-6 && (score("c") - 0.3).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Normalized<'a> {
    ids: Vec<&'a str>,
    words: Vec<f64>,
    meaning: Vec<f64>,
}

impl<'a> Normalized<'a> {
    /// Takes two rankings, in any order.
    pub fn new(words: &'a [Hit], meaning: &'a [Hit], normalization: Normalization) -> Self {
        let mut ids: Vec<&str> = Vec::with_capacity(words.len().max(meaning.len()));
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(ids.capacity());
        for hit in words.iter().chain(meaning) {
            places.entry(&hit.id).or_insert_with(|| {
                ids.push(&hit.id);
                ids.len() - 1
            });
        }
        let scores = |ranking: &[Hit]| {
            let least = ranking.iter().map(|hit| f64::from(hit.score)).fold(0.0, f64::min);
            let mut scores = vec![least; ids.len()];
            for hit in ranking {
                scores[places[hit.id.as_str()]] = hit.score.into();
            }
            normalization.apply(&mut scores);
            scores
        };
        let (words, meaning) = (scores(words), scores(meaning));
        Self { ids, words, meaning }
    }

    /// The passages, in the order of [`Normalized::scores`].
    pub fn ids(&self) -> &[&'a str] {
        &self.ids
    }

    /// `weight` times the score by meaning, and 1 - `weight` times that by words.
    #[expect(clippy::cast_possible_truncation, reason = "a run's scores are f32")]
    pub fn scores(&self, weight: f64) -> impl Iterator<Item = f32> {
        let both = self.words.iter().zip(&self.meaning);
        // Adding 0 leaves one zero, so that scores order as they compare.
        both.map(move |(words, meaning)| ((1.0 - weight) * words + weight * meaning) as f32 + 0.0)
    }

    /// The same as hits, in no order: their scores order them.
    pub fn hits(&self, weight: f64) -> Vec<Hit> {
        let both = self.ids.iter().zip(self.scores(weight));
        both.map(|(id, score)| Hit { id: (*id).to_owned(), score }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hits(scores: &[(u8, f32)]) -> Vec<Hit> {
        let mut seen = Vec::new();
        let new = scores.iter().filter(|(id, _)| {
            let is_new = !seen.contains(id);
            seen.push(*id);
            is_new
        });
        new.map(|(id, score)| Hit { id: id.to_string(), score: *score }).collect()
    }

    fn order(mut hits: Vec<Hit>) -> Vec<String> {
        hits.sort_by(Hit::ranking);
        hits.into_iter().map(|hit| hit.id).collect()
    }

    #[test]
    fn z_scores_have_mean_0_and_deviation_1() {
        let words = hits(&[(0, 1.0), (1, 3.0)]);
        let both = Normalized::new(&words, &words, Normalization::ZScore);
        assert_eq!(both.words, [-1.0, 1.0]);
    }

    #[test]
    fn a_ranking_that_tells_nothing_apart_changes_no_order() {
        let alike = hits(&[(0, 2.0), (1, 2.0), (2, 2.0)]);
        let meaning = hits(&[(0, 0.1), (1, 0.3), (2, 0.2)]);
        for normalization in [Normalization::MinMax, Normalization::ZScore] {
            let both = Normalized::new(&alike, &meaning, normalization);
            assert_eq!(order(both.hits(0.5)), ["1", "2", "0"]);
            assert!(Normalized::new(&[], &[], normalization).hits(0.5).is_empty());
        }
    }

    proptest! {
        #[test]
        fn with_all_weight_on_one_ranking_its_order_is_kept(
            words in proptest::collection::vec((0..9_u8, 0.1..9.0_f32), 1..9),
            meaning in proptest::collection::vec((0..9_u8, -1.0..1.0_f32), 1..9),
        ) {
            let (words, meaning) = (hits(&words), hits(&meaning));
            for normalization in [Normalization::MinMax, Normalization::ZScore] {
                let both = Normalized::new(&words, &meaning, normalization);
                let by_words = order(both.hits(0.0));
                prop_assert_eq!(&by_words[..words.len()], &order(words.clone())[..]);
                let finite = both.scores(0.3).all(f32::is_finite);
                prop_assert!(finite);
            }
        }
    }
}

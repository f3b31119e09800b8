//! A weighted sum of scores made comparable, as a Tantivy query.

use std::collections::HashMap;
use std::fmt;

use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::{DocAddress, Searcher, Term};

use super::rrf::{Fused, Leg, WINDOW, check_weights, fused_weight, rankings};

/// Fuses rankings: a document's score is the sum, over the legs that rank it, of
/// `weight * (score - least) / (greatest - least)`.
///
/// `greatest` is the score of the leg's best document, `least` that of the last in its window, or what the
/// leg is given as such. Where all scores are `least`, none stands out. It matches what at least one
/// leg has in its window.
///
/// Weights are worth measuring, language by language; [`RrfQuery`](super::RrfQuery) needs none.
///
/// # Source
/// Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval" (2023).
#[derive(Clone, Default)]
pub struct WeightedQuery {
    legs: Vec<Leg>,
    /// Of each leg.
    least: Vec<Option<f32>>,
    window: Option<usize>,
}

impl WeightedQuery {
    /// No leg yet: matches nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a ranking. A weight that is not above 0 is an error when the query is used.
    #[must_use]
    pub fn leg(mut self, query: impl Query, weight: f32) -> Self {
        self.legs.push(Leg::new(query, weight));
        self.least.push(None);
        self
    }

    /// The same with the score of what matches nothing: 0 for BM25, so that the last document that has a word
    /// is ahead of those that have none.
    #[must_use]
    pub fn leg_from(mut self, least: f32, query: impl Query, weight: f32) -> Self {
        self.legs.push(Leg::new(query, weight));
        self.least.push(Some(least));
        self
    }

    /// How many documents of each leg are ranked. Default: 100.
    #[must_use]
    pub fn window(mut self, documents: usize) -> Self {
        self.window = Some(documents);
        self
    }

    /// The fused hits, with what each leg adds.
    fn fuse(&self, searcher: &Searcher) -> tantivy::Result<HashMap<DocAddress, Fused<f64>>> {
        check_weights("WeightedQuery", &self.legs)?;
        let mut fused: HashMap<DocAddress, Fused<f64>> = HashMap::new();
        let window = self.window.unwrap_or(WINDOW);
        let legs = self.legs.iter().zip(&self.least).zip(rankings(searcher, &self.legs, window)?);
        for (number, ((leg, least), ranking)) in legs.enumerate() {
            let (Some(first), Some(last)) = (ranking.first(), ranking.last()) else { continue };
            let least = f64::from(least.unwrap_or(last.0));
            let spread = f64::from(first.0) - least;
            for (score, at) in ranking {
                let part = if spread > 0.0 { (f64::from(score) - least) / spread } else { 0.0 };
                let part = f64::from(leg.weight) * part;
                let hit = fused.entry(at).or_default();
                hit.score += part;
                hit.parts.push((number, part));
            }
        }
        Ok(fused)
    }
}

impl Query for WeightedQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        fused_weight(
            "WeightedQuery",
            scoring,
            |searcher| self.fuse(searcher),
            "WeightedQuery, sum of weighted parts",
            |leg, part| format!("{part} of leg {leg}"),
        )
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        for leg in &self.legs {
            leg.query.query_terms(visitor);
        }
    }
}

impl fmt::Debug for WeightedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legs: Vec<_> = self.legs.iter().map(|leg| (&leg.query, leg.weight)).collect();
        f.debug_struct("WeightedQuery").field("legs", &legs).finish_non_exhaustive()
    }
}

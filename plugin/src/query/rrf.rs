//! Reciprocal rank fusion of any queries, as a Tantivy query.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tantivy::collector::TopDocs;
use tantivy::query::{EnableScoring, Explanation, Query, Weight};
use tantivy::{DocAddress, Score, Searcher, TantivyError, Term};

use super::hits::{Hit, HitsWeight};

/// Fuses rankings: a document's score is the sum, over the legs that rank it, of
/// `weight / (k0 + rank)`, ranks from 1.
///
/// It matches what at least one leg has in its window. Scores of the legs do not matter, so BM25
/// and cosines need no common scale.
///
/// # Source
/// Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
/// Learning Methods" (2009), which has `k0` = 60.
#[derive(Clone, Default)]
pub struct RrfQuery {
    legs: Vec<Leg>,
    k0: Option<f32>,
    window: Option<usize>,
}

/// A ranking, and how much it counts.
#[derive(Clone)]
pub(super) struct Leg {
    pub(super) query: Arc<dyn Query>,
    pub(super) weight: f32,
}

impl Leg {
    pub(super) fn new(query: impl Query, weight: f32) -> Self {
        Self { query: Arc::new(query), weight }
    }
}

const K0: f32 = 60.0;
pub(super) const WINDOW: usize = 100;

pub(super) fn check_weights(query: &str, legs: &[Leg]) -> tantivy::Result<()> {
    match legs.iter().find(|leg| !(leg.weight > 0.0 && leg.weight.is_finite())) {
        Some(Leg { weight, .. }) => Err(TantivyError::InvalidArgument(format!(
            "{query}: a weight must be above 0, got {weight}"
        ))),
        None => Ok(()),
    }
}

/// The best documents of each leg, at most as many as the window has, best first.
pub(super) fn rankings(
    searcher: &Searcher,
    legs: &[Leg],
    window: usize,
) -> tantivy::Result<Vec<Vec<(Score, DocAddress)>>> {
    // Tantivy makes room for the whole window beforehand.
    let documents = usize::try_from(searcher.num_docs()).unwrap_or(usize::MAX);
    let window = window.min(documents);
    if window == 0 {
        return Ok(vec![Vec::new(); legs.len()]);
    }
    let top = TopDocs::with_limit(window).order_by_score();
    legs.iter().map(|leg| searcher.search(leg.query.as_ref(), &top)).collect()
}

impl RrfQuery {
    /// No leg yet: matches nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a ranking with weight 1.
    #[must_use]
    pub fn leg(self, query: impl Query) -> Self {
        self.weighted_leg(query, 1.0)
    }

    /// Adds a ranking that counts `weight` times. A weight that is not above 0 is an error when
    /// the query is used.
    #[must_use]
    pub fn weighted_leg(mut self, query: impl Query, weight: f32) -> Self {
        self.legs.push(Leg::new(query, weight));
        self
    }

    /// How little the first ranks stand out. Default: 60.
    #[must_use]
    pub fn k0(mut self, k0: f32) -> Self {
        self.k0 = Some(k0);
        self
    }

    /// How many documents of each leg are ranked. Default: 100.
    #[must_use]
    pub fn window(mut self, documents: usize) -> Self {
        self.window = Some(documents);
        self
    }

    /// The fused hits, with each one's ranks: (leg, rank).
    fn fuse(&self, searcher: &Searcher) -> tantivy::Result<HashMap<DocAddress, Fused<u32>>> {
        let k0 = self.k0.unwrap_or(K0);
        if !(k0 >= 0.0 && k0.is_finite()) {
            let what = format!("RrfQuery: k0 must be at least 0, got {k0}");
            return Err(TantivyError::InvalidArgument(what));
        }
        check_weights("RrfQuery", &self.legs)?;
        let mut fused: HashMap<DocAddress, Fused<u32>> = HashMap::new();
        let rankings = rankings(searcher, &self.legs, self.window.unwrap_or(WINDOW))?;
        for (number, (leg, ranking)) in self.legs.iter().zip(rankings).enumerate() {
            for (rank, (_, at)) in (1u32..).zip(ranking) {
                let hit = fused.entry(at).or_default();
                hit.score += f64::from(leg.weight) / (f64::from(k0) + f64::from(rank));
                hit.parts.push((number, rank));
            }
        }
        Ok(fused)
    }
}

/// What a document got, and from which legs.
pub(super) struct Fused<P> {
    pub(super) score: f64,
    pub(super) parts: Vec<(usize, P)>,
}

impl<P> Default for Fused<P> {
    fn default() -> Self {
        Self { score: 0.0, parts: Vec::new() }
    }
}

/// The weight of a query that fuses. `how` says what its scores are, `part` what a leg did.
#[expect(clippy::cast_possible_truncation, reason = "Tantivy's scores are f32")]
pub(super) fn fused_weight<P: Send + Sync + 'static>(
    name: &str,
    scoring: EnableScoring<'_>,
    fuse: impl FnOnce(&Searcher) -> tantivy::Result<HashMap<DocAddress, Fused<P>>>,
    how: &'static str,
    part: impl Fn(usize, &P) -> String + Send + Sync + 'static,
) -> tantivy::Result<Box<dyn Weight>> {
    let searcher = scoring.searcher().ok_or_else(|| {
        TantivyError::InvalidArgument(format!(
            "{name} needs a searcher, and so cannot be used to delete"
        ))
    })?;
    let fused = fuse(searcher)?;
    let hit = |(at, fused): (&DocAddress, &Fused<P>)| Hit { score: fused.score as Score, at: *at };
    let hits: Vec<Hit> = fused.iter().map(hit).collect();
    let explain = move |at: DocAddress, score| {
        let mut why = Explanation::new(how, score);
        for (leg, found) in fused.get(&at).iter().flat_map(|fused| &fused.parts) {
            why.add_context(part(*leg, found));
        }
        why
    };
    Ok(Box::new(HitsWeight::new(searcher, &hits, Box::new(explain))))
}

impl Query for RrfQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        fused_weight(
            "RrfQuery",
            scoring,
            |searcher| self.fuse(searcher),
            "RrfQuery, sum of weight / (k0 + rank)",
            |leg, rank| format!("rank {rank} in leg {leg}"),
        )
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        for leg in &self.legs {
            leg.query.query_terms(visitor);
        }
    }
}

impl fmt::Debug for RrfQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legs: Vec<_> = self.legs.iter().map(|leg| (&leg.query, leg.weight)).collect();
        f.debug_struct("RrfQuery").field("legs", &legs).finish_non_exhaustive()
    }
}

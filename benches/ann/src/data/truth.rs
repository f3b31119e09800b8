//! The rows that are nearest to each query, by comparing all of them in f32.

use std::num::NonZero;

use anyhow::ensure;

use super::rows::{Rows, dot};
use super::set::Set;
use super::store::{Header, Store};

/// How many rows are asked for, everywhere.
pub(crate) const K: usize = 10;

/// Stands where fewer than [`K`] rows pass.
const NONE: u32 = u32::MAX;

/// A found row counts if its score is this near to that of the last true one: equal rows are equally right, and
/// sums in another order differ by about this.
const TIE: f32 = 1e-6;

/// Which rows may be found.
pub(crate) struct Mask<'a> {
    /// What it is called, in the name of the file that keeps the result.
    pub(crate) name: String,
    /// Whether a row passes.
    pub(crate) passes: Box<dyn Fn(u32) -> bool + Sync + 'a>,
}

impl Mask<'_> {
    /// Every row passes.
    pub(crate) fn all() -> Self {
        Self { name: "all".into(), passes: Box::new(|_| true) }
    }
}

/// The nearest rows of each query, among those that pass.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// For each query, how many true rows there are and the score of the last of them.
    least: Vec<(usize, f32)>,
}

impl Truth {
    /// Reads what was found before, or compares all rows and keeps the result.
    pub(crate) fn load(store: &Store, set: &Set, masks: &[Mask<'_>]) -> anyhow::Result<Vec<Self>> {
        let file = |mask: &Mask<'_>| format!("truth.{}.{}.u32", set.name, mask.name);
        let what = format!(
            "the {K} nearest of {} rows to {} queries, {}",
            set.rows.len(),
            set.queries.len(),
            set.origin
        );
        let mut known = Vec::with_capacity(masks.len());
        for mask in masks {
            let fits = store.header(&file(mask))?.is_some_and(|header| header.what == what);
            known.push(if fits { Some(store.read_u32(&file(mask))?.1) } else { None });
        }
        let absent: Vec<&Mask<'_>> =
            masks.iter().zip(&known).filter(|pair| pair.1.is_none()).map(|pair| pair.0).collect();
        let mut made = exact(set, &absent).into_iter();
        let mut all = Vec::with_capacity(masks.len());
        for (mask, known) in masks.iter().zip(known) {
            let ids = if let Some(ids) = known {
                ids
            } else {
                let ids = made.next().unwrap_or_default();
                let header = Header { what: what.clone(), ..Header::default() };
                store.write_u32(&file(mask), header, K, &ids)?;
                ids
            };
            all.push(Self::of(set, &ids)?);
        }
        Ok(all)
    }

    fn of(set: &Set, ids: &[u32]) -> anyhow::Result<Self> {
        ensure!(ids.len() == set.queries.len() * K, "true rows of other queries");
        let least = set.queries.iter().zip(ids.chunks_exact(K)).map(|(query, ids)| {
            let true_ids = ids.iter().filter(|&&id| id != NONE);
            let scores = true_ids.clone().map(|&id| dot(query, set.rows.row(id as usize)));
            (true_ids.count(), scores.fold(f32::INFINITY, f32::min))
        });
        Ok(Self { least: least.collect() })
    }

    /// The share of the true rows that was found for one query. A row counts once, and only one of the set does.
    #[expect(clippy::cast_precision_loss, reason = "counts up to ten")]
    pub(crate) fn recall(&self, set: &Set, query: usize, found: &[u32]) -> f64 {
        let (wanted, least) = self.least[query];
        if wanted == 0 {
            return 1.0;
        }
        let mut found = found.to_vec();
        found.sort_unstable();
        found.dedup();
        let right = found.iter().filter(|&&id| {
            let at = id as usize;
            at < set.rows.len() && dot(set.queries.row(query), set.rows.row(at)) >= least - TIE
        });
        right.count().min(wanted) as f64 / wanted as f64
    }
}

/// The [`K`] best rows for each query, for each mask.
fn exact(set: &Set, masks: &[&Mask<'_>]) -> Vec<Vec<u32>> {
    if masks.is_empty() {
        return Vec::new();
    }
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = set.queries.len().div_ceil(threads);
    let queries: Vec<&[f32]> = set.queries.iter().collect();
    let parts: Vec<Vec<Vec<Best>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = queries
            .chunks(share)
            .map(|queries| scope.spawn(move || best_of(&set.rows, queries, masks)))
            .collect();
        handles.into_iter().map(|handle| handle.join().expect("no panic in a sum")).collect()
    });
    (0..masks.len())
        .map(|mask| parts.iter().flatten().flat_map(|best| best[mask].ids()).collect())
        .collect()
}

/// For each query, the best rows for each mask. Rows come in blocks, so that each is read from memory once.
fn best_of(rows: &Rows, queries: &[&[f32]], masks: &[&Mask<'_>]) -> Vec<Vec<Best>> {
    const BLOCK: usize = 256;
    let mut best = vec![vec![Best::default(); masks.len()]; queries.len()];
    for first in (0..rows.len()).step_by(BLOCK) {
        for (query, best) in queries.iter().zip(&mut best) {
            for at in first..(first + BLOCK).min(rows.len()) {
                let score = dot(query, rows.row(at));
                let id = u32::try_from(at).expect("a set has fewer rows");
                for (best, mask) in best.iter_mut().zip(masks) {
                    if score > best.least() && (mask.passes)(id) {
                        best.offer(score, id);
                    }
                }
            }
        }
    }
    best
}

/// The best rows so far, best first.
#[derive(Clone, Debug, Default)]
struct Best(Vec<(f32, u32)>);

impl Best {
    fn least(&self) -> f32 {
        if self.0.len() < K { f32::NEG_INFINITY } else { self.0[K - 1].0 }
    }

    fn offer(&mut self, score: f32, id: u32) {
        let at = self.0.partition_point(|known| known.0 >= score);
        self.0.insert(at, (score, id));
        self.0.truncate(K);
    }

    fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        (0..K).map(|at| self.0.get(at).map_or(NONE, |known| known.1))
    }
}

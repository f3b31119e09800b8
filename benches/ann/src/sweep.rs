//! Recall and speed of an open index at several efforts, in rounds that take turns with those of other indexes.

use serde::Serialize;

use crate::clock::Clock;
use crate::data::{Set, Truth};
use crate::stats::{Speed, mean, median, quantile, speed_at};
use crate::systems::{Config, Recipe, Search};

/// Candidates of a graph: what `ef` goes through.
const CANDIDATES: [usize; 11] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/// Lists that are read.
const LISTS: [usize; 12] = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256];

/// How hard a recipe is tried.
pub(crate) fn efforts(recipe: &Recipe) -> Vec<usize> {
    if recipe.has_lists() { LISTS.to_vec() } else { CANDIDATES.to_vec() }
}

/// What was measured at one effort.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Point {
    /// Candidates, or lists.
    pub(crate) effort: usize,
    /// Mean share of the true rows.
    pub(crate) recall: f64,
    /// Queries a second: the median of the rounds.
    pub(crate) qps: f64,
    /// Milliseconds that half of the queries stay below, over all rounds.
    pub(crate) median_ms: f64,
    /// Milliseconds that 99 of 100 queries stay below, over all rounds.
    pub(crate) p99_ms: f64,
}

/// Recall and speed of one index.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    /// Of which index.
    pub(crate) config: Config,
    /// How many segments it has.
    pub(crate) parts: usize,
    /// By effort.
    pub(crate) points: Vec<Point>,
}

impl Curve {
    /// Queries a second at a recall, read between the points.
    pub(crate) fn speed(&self, recall: f64) -> Option<Speed> {
        let points: Vec<(f64, f64)> = self.points.iter().map(|p| (p.recall, p.qps)).collect();
        speed_at(&points, recall)
    }
}

/// An index that is open, and what was measured of it so far.
pub(crate) struct Sweep<'a> {
    set: &'a Set,
    config: Config,
    index: Box<dyn Search + 'a>,
    efforts: Vec<Timed>,
}

/// One effort.
struct Timed {
    effort: usize,
    recall: f64,
    /// Seconds of each query, by round.
    rounds: Vec<Vec<f64>>,
}

impl<'a> Sweep<'a> {
    /// Searches once at each effort, which also brings the index into memory, and takes the recall; efforts behind the
    /// first that reaches `enough` are left out.
    pub(crate) fn start(
        set: &'a Set,
        truth: &Truth,
        config: Config,
        mut index: Box<dyn Search + 'a>,
        efforts: &[usize],
        enough: f64,
    ) -> anyhow::Result<Self> {
        let mut timed = Vec::new();
        for &effort in efforts {
            index.set_effort(effort)?;
            let recall = recall(set, truth, &*index)?;
            timed.push(Timed { effort, recall, rounds: Vec::new() });
            if recall >= enough {
                break;
            }
        }
        Ok(Self { set, config, index, efforts: timed })
    }

    /// Times all queries once at each effort.
    pub(crate) fn round(&mut self, clock: Clock) -> anyhow::Result<()> {
        for timed in &mut self.efforts {
            self.index.set_effort(timed.effort)?;
            let mut seconds = Vec::with_capacity(self.set.queries.len());
            for query in self.set.queries.iter() {
                let start = clock.now();
                self.index.search(query)?;
                seconds.push(clock.now() - start);
            }
            timed.rounds.push(seconds);
        }
        Ok(())
    }

    /// What was measured.
    pub(crate) fn curve(&self) -> Curve {
        let points = self.efforts.iter().map(Timed::point).collect();
        Curve { config: self.config.clone(), parts: self.index.parts(), points }
    }
}

impl Timed {
    fn point(&self) -> Point {
        let qps: Vec<f64> = self.rounds.iter().map(|round| 1.0 / mean(round)).collect();
        let all: Vec<f64> = self.rounds.iter().flatten().map(|seconds| seconds * 1e3).collect();
        Point {
            effort: self.effort,
            recall: self.recall,
            qps: median(&qps),
            median_ms: median(&all),
            p99_ms: quantile(&all, 0.99),
        }
    }
}

/// The mean recall of all queries.
fn recall(set: &Set, truth: &Truth, index: &dyn Search) -> anyhow::Result<f64> {
    let mut recalls = Vec::with_capacity(set.queries.len());
    for (at, query) in set.queries.iter().enumerate() {
        let found = index.rows(&index.search(query)?)?;
        recalls.push(truth.recall(set, at, &found));
    }
    Ok(mean(&recalls))
}

//! FAISS on a CUDA card: lists are built there, and batches of queries searched for.
//!
//! A card finds candidates; they are scored by the rows in `.vec`, as everywhere. FAISS takes no filter
//! there that it would keep to, so more candidates are fetched than are wanted, and again more where too
//! few of them pass. What a card cannot answer (most rows are filtered out, too many equal scores, no
//! memory left) is answered by the processor.
//!
//! Invariant: an exact search on a card finds what one on the processor does, to the bit: a row that the
//! card did not give is worse than those that it gave, by more than what rounding can do.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::blocks::{self, Behind, SPARE};
use super::ffi::gpu::{Card, CardIndex, MOST, Purpose};
use super::kernel::inverse_norm;
use super::plan::{Effort, real};
use super::{
    Accept, AnnError, AnnIndex, AnnParts, GpuError, Neighbour, RowsView, SearchParams, factory,
    graph, lists,
};
use crate::element::Element;
use crate::vector::{Metric, check_row};

/// Rows that go to a card at once, fewer of a greater dim: 50 MB of dim 384.
const BATCH: u32 = 32_768;

/// Rows that codes are made for, at most, to be measured by.
const SAMPLE: u32 = 100_000;

/// Queries that are searched for at once: the answers of each take up to 24 KiB.
const TOGETHER: usize = 4096;

/// How much wider a search gets that has not found enough.
const WIDER: usize = 4;

/// Fewer queries than this are sooner scored by one thread.
const A_THREAD: usize = 64;

/// FAISS on a CUDA card, from a shared library that `make faiss-gpu` builds. Cloning shares it.
///
/// [`DenseIndex::use_gpu`](crate::DenseIndex::use_gpu) says what it is used for. Rows are copied to the
/// card as floats: 4 bytes a number, and what FAISS needs beside, up to 1.5 GiB twice.
#[derive(Clone)]
pub struct Gpu {
    card: Arc<Card>,
}

impl Gpu {
    /// Loads the library, which stays loaded, for one of the machine's cards, from 0.
    ///
    /// ```
    /// use tantivy_dense_plugin::Gpu;
    /// let error = Gpu::load("no/libfaiss_gpu.so".as_ref(), 0).unwrap_err();
    /// assert!(error.to_string().contains("is not there"));
    /// ```
    ///
    /// # Errors
    /// [`GpuError`] if the library is absent, damaged or another one, or finds no such card.
    pub fn load(library: &Path, card: u32) -> Result<Self, GpuError> {
        super::ffi::check_processor()
            .map_err(|error| GpuError::Faiss { reason: error.to_string() })?;
        Ok(Self { card: Arc::new(Card::open(library, card)?) })
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.card.fmt(f)
    }
}

/// What a card makes; or the processor, where there is none or it fails, which is said.
pub(super) fn or_else<T>(
    gpu: Option<&Gpu>,
    on_card: impl FnOnce(&Arc<Card>) -> Result<T, AnnError>,
    on_processor: impl FnOnce() -> Result<T, AnnError>,
) -> Result<T, AnnError> {
    if let Some(gpu) = gpu {
        match on_card(&gpu.card) {
            Ok(made) => return Ok(made),
            Err(error) => log::warn!("{error}; the processor goes on"),
        }
    }
    on_processor()
}

/// The rows of one segment, or an index over them, copied to a card, to be searched in batches.
pub struct OnCard {
    index: CardIndex,
    way: Way,
    rows: RowsView,
    /// The greatest length of a row, as it lies there.
    longest: f64,
}

/// How a card finds rows.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It compares all.
    All,
    /// It reads lists, and compares codes of which so many are scored by rows for each hit.
    Lists { probes: Effort, rescore: usize },
}

/// How wide a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    candidates: usize,
    probes: Option<usize>,
}

impl OnCard {
    /// Copies rows, all of which are compared: what is found is what [`Exact`](super::Exact) finds.
    ///
    /// # Errors
    /// [`AnnError::Rows`] for rows whose products do not fit 32-bit floats; [`AnnError::Backend`] if the card
    /// has no memory left, or FAISS fails.
    pub fn exact(gpu: &Gpu, rows: &RowsView) -> Result<Self, AnnError> {
        graph::check_lengths(rows)?;
        let mut index = CardIndex::flat(&gpu.card, Purpose::Searching, rows.dim(), rows.metric())?;
        let longest = add_all(&mut index, rows)?;
        Ok(Self { index, way: Way::All, rows: rows.clone(), longest })
    }

    /// Copies an index that the backend of this name built, if FAISS has its like on a card: those of
    /// [`Lists`](super::Lists) but for dot products, and those of [`Factory`](super::Factory) that begin with
    /// `IVF`.
    ///
    /// # Errors
    /// As [`OnCard::exact`]; [`AnnError::Parts`] if they are not of such an index.
    pub fn index(
        gpu: &Gpu,
        rows: &RowsView,
        backend: &str,
        parts: &AnnParts,
    ) -> Result<Option<Self>, AnnError> {
        match backend {
            // A card gives rows to centroids by products for this metric, and our lists are of the nearest.
            lists::NAME if rows.metric() == Metric::Dot => Ok(None),
            lists::NAME => Self::lists(gpu, rows, parts).map(Some),
            factory::NAME => Self::factory(gpu, rows, parts),
            _ => Ok(None),
        }
    }

    fn lists(gpu: &Gpu, rows: &RowsView, parts: &AnnParts) -> Result<Self, AnnError> {
        let missing = AnnError::Parts { backend: lists::NAME, what: "a part is missing" };
        let (centroids, probes) = lists::around(parts).ok_or(missing)?;
        let codes = parts.fact("codes").and_then(|code| match code {
            1 => Some(Element::F16),
            2 => Some(Element::Int8),
            _ => None,
        });
        let step = (rows.rows() / SAMPLE).max(1) as usize;
        let sample = lists::floats(rows, (0..rows.rows()).step_by(step));
        let (dim, metric) = (rows.dim(), rows.metric());
        let mut index =
            CardIndex::lists(&gpu.card, dim, metric, centroids.as_slice(), codes, &sample)?;
        let longest = add_all(&mut index, rows)?;
        let rescore = if codes.is_some() { lists::RESCORE } else { 1 };
        Ok(Self { index, way: Way::Lists { probes, rescore }, rows: rows.clone(), longest })
    }

    fn factory(gpu: &Gpu, rows: &RowsView, parts: &AnnParts) -> Result<Option<Self>, AnnError> {
        let missing = AnnError::Parts { backend: factory::NAME, what: "a part is missing" };
        let bytes = parts.bytes("index").ok_or(missing)?;
        let opened = CardIndex::open(&gpu.card, rows.dim(), rows.rows(), &bytes)?;
        let Some(index) = opened else { return Ok(None) };
        let probes = Effort { for_10: factory::PROBES, for_100: factory::PROBES };
        let way = Way::Lists { probes, rescore: factory::RESCORE };
        Ok(Some(Self { index, way, rows: rows.clone(), longest: 0.0 }))
    }

    /// Whether a card can be asked for so many of the rows that pass.
    pub(crate) fn is_for(passing: usize, k: usize) -> bool {
        passing > super::FEWEST as usize && (1..=MOST - SPARE).contains(&k.min(passing))
    }

    /// The best `k` rows that pass for each query, as [`AnnIndex::search_batch`] has it. What the card
    /// does not answer, `processor`, an index over the same rows, does.
    ///
    /// # Errors
    /// [`AnnError::Query`] if a query is no vector of the rows' dim; those of `processor`.
    pub fn search_batch(
        &self,
        processor: &dyn AnnIndex,
        queries: &[&[f32]],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        for query in queries {
            check_row(self.rows.dim(), query).map_err(|source| AnnError::Query { source })?;
        }
        let passing = accept.count(self.rows.rows()) as usize;
        let wanted = k.min(passing);
        let mut answers: Vec<Option<Vec<Neighbour>>> = vec![None; queries.len()];
        let mut width = self.width(passing, wanted, params);
        // Products with numbers that are too large or too small have no digits.
        let plain = |at: &usize| inverse_norm(queries[*at]) > 0.0;
        let mut open: Vec<usize> = (0..queries.len()).filter(plain).collect();
        while let Some(wide) = width.filter(|_| !open.is_empty()) {
            let mut short = Vec::new();
            for part in open.chunks(TOGETHER) {
                let of_part: Vec<&[f32]> = part.iter().map(|at| queries[*at]).collect();
                match self.round(&of_part, wide, wanted, accept) {
                    Ok(found) => {
                        for (at, found) in part.iter().zip(found) {
                            if found.is_none() {
                                short.push(*at);
                            }
                            answers[*at] = found;
                        }
                    }
                    Err(error) => {
                        log::warn!("{error}; the processor goes on");
                        short.clear();
                        break;
                    }
                }
            }
            open = short;
            width = self.wider(wide);
        }
        let rest: Vec<usize> = (0..queries.len()).filter(|at| answers[*at].is_none()).collect();
        let of_rest: Vec<&[f32]> = rest.iter().map(|at| queries[*at]).collect();
        let found = by_threads(of_rest.len(), |part| {
            processor.search_batch(&of_rest[part], k, accept, params)
        })?;
        for (at, found) in rest.into_iter().zip(found) {
            answers[at] = Some(found);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// How wide a search starts; none where a card cannot be asked.
    fn width(&self, passing: usize, wanted: usize, params: &SearchParams) -> Option<Width> {
        if wanted == 0 || passing <= super::FEWEST as usize {
            return None;
        }
        let one_in = f64::from(self.rows.rows()) / real(passing);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let among_all = |count: usize| (real(count) * one_in).ceil() as usize;
        let (candidates, probes) = match self.way {
            Way::All => (wanted.saturating_add(SPARE), None),
            Way::Lists { probes, rescore } => {
                let rescore =
                    if rescore > 1 { params.rescore.unwrap_or(rescore).max(1) } else { 1 };
                let probes = params.nprobe.unwrap_or_else(|| probes.of(wanted)).max(1);
                (wanted.saturating_mul(rescore), Some(among_all(probes)))
            }
        };
        let candidates = among_all(candidates);
        (candidates <= MOST).then(|| self.within(Width { candidates, probes }))
    }

    fn wider(&self, width: Width) -> Option<Width> {
        let wider = self.within(Width {
            candidates: width.candidates.saturating_mul(WIDER),
            probes: width.probes.map(|probes| probes.saturating_mul(WIDER)),
        });
        (wider != width).then_some(wider)
    }

    fn within(&self, width: Width) -> Width {
        let most = MOST.min(self.index.count_of_lists().max(1));
        Width {
            candidates: width.candidates.min(MOST).min(self.rows.rows() as usize),
            probes: width.probes.map(|probes| probes.min(most)),
        }
    }

    /// For each query the best rows, or nothing if they may be others.
    fn round(
        &self,
        queries: &[&[f32]],
        width: Width,
        wanted: usize,
        accept: &Accept,
    ) -> Result<Vec<Option<Vec<Neighbour>>>, AnnError> {
        let k = width.candidates;
        let (distances, rows) = self.index.search(&queries.concat(), k, width.probes)?;
        by_threads(queries.len(), |part| {
            let of_each = distances.chunks_exact(k).zip(rows.chunks_exact(k));
            let of_part = queries.iter().zip(of_each).take(part.end).skip(part.start);
            let scored = of_part.map(|(query, (distances, rows))| {
                self.scored(query, distances, rows, wanted, accept)
            });
            scored.collect()
        })
    }

    /// The best of what a card gave for a query, nearest first, unless a row that it did not give may
    /// belong to them.
    fn scored(
        &self,
        query: &[f32],
        distances: &[f32],
        rows: &[i64],
        wanted: usize,
        accept: &Accept,
    ) -> Result<Option<Vec<Neighbour>>, AnnError> {
        let all = self.rows.rows();
        let given = rows.iter().filter_map(|row| u32::try_from(*row).ok()).filter(|row| *row < all);
        let passing = given.filter(|row| accept.rows().is_none_or(|set| set.contains(*row)));
        let behind = match (self.way, distances.last()) {
            (Way::All, Some(last)) if rows.len() < all as usize => {
                Some(Behind { last: *last, longest: self.longest })
            }
            _ => None,
        };
        let best = blocks::best_of(&self.rows, query, wanted, passing, behind)?;
        Ok(best.filter(|best| best.len() == wanted))
    }
}

impl fmt::Debug for OnCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCard").field("way", &self.way).finish_non_exhaustive()
    }
}

/// What some answer makes of parts of so many queries, by as many threads as are worth it.
fn by_threads<T: Send>(
    queries: usize,
    answer: impl Fn(Range<usize>) -> Result<Vec<T>, AnnError> + Sync,
) -> Result<Vec<T>, AnnError> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let part = queries.div_ceil(cores.min(queries / A_THREAD).max(1)).max(1);
    let answer = &answer;
    thread::scope(|scope| {
        let parts = (0..queries).step_by(part).map(|start| start..queries.min(start + part));
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || answer(part))).collect();
        let mut answers = Vec::with_capacity(queries);
        for worker in workers {
            match worker.join() {
                Ok(of_part) => answers.extend(of_part?),
                Err(panicked) => std::panic::resume_unwind(panicked),
            }
        }
        Ok(answers)
    })
}

/// Copies all rows, and says how long the longest is.
fn add_all(index: &mut CardIndex, rows: &RowsView) -> Result<f64, AnnError> {
    let mut longest = 0.0_f64;
    let dim = u32::try_from(rows.dim().get()).expect("a dim has 16 bits");
    let batch = (BATCH / dim * 384).clamp(256, BATCH);
    for first in (0..rows.rows()).step_by(batch as usize) {
        let batch = lists::floats(rows, first..rows.rows().min(first.saturating_add(batch)));
        let lengths = batch.chunks_exact(rows.dim().get()).map(blocks::length_of);
        longest = lengths.fold(longest, f64::max);
        index.add(&batch)?;
    }
    Ok(longest)
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;

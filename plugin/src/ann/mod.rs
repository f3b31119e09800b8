//! Nearest neighbours among the rows of one segment: the seam behind which FAISS stands.
//!
//! Invariant: rows are a view over `.vec`; a score grows with relevance, is that of the row in
//! `.vec`, and a distance never leaves this module.

mod accept;
#[cfg(feature = "faiss")]
mod blocks;
#[cfg(feature = "faiss")]
mod calibrate;
#[cfg(feature = "faiss")]
mod codes;
pub mod conformance;
mod exact;
#[cfg(feature = "faiss")]
mod factory;
#[cfg(feature = "faiss")]
mod ffi;
#[cfg(feature = "faiss")]
mod gpu;
#[cfg(feature = "faiss")]
mod graph;
mod kernel;
#[cfg(feature = "faiss")]
mod lists;
#[cfg(not(feature = "faiss"))]
mod no_gpu;
mod parts;
#[cfg(feature = "faiss")]
mod plan;
mod recipe;
mod rows;
#[cfg(feature = "faiss")]
mod scan;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

pub use accept::{Accept, RowSet};
pub use exact::Exact;
#[cfg(feature = "faiss")]
pub use factory::Factory;
#[cfg(feature = "faiss")]
pub use gpu::{Gpu, OnCard};
#[cfg(feature = "faiss")]
pub use graph::Graph;
#[cfg(feature = "faiss")]
pub use lists::Lists;
#[cfg(not(feature = "faiss"))]
pub use no_gpu::{Gpu, OnCard};
pub use parts::{AnnParts, AnnSink};
pub use recipe::{AnnRecipe, RecipeError};
pub(crate) use rows::{Floats, RowsBuffer};
pub use rows::{Numbers, RowsView};

use crate::vector::{Dim, Metric, VectorError};

/// Builds and opens one kind of index over rows.
///
/// An implementer keeps true: `name` is written to disk and never given to another kind; what
/// `build` wrote for some rows, `open` reads with the same rows; parts that were not written by
/// `build`, or for other rows, are an error and never a panic.
/// [`conformance::check`] tries an implementation.
pub trait AnnBackend: fmt::Debug + Send + Sync {
    /// Which kind of index this is, on disk.
    fn name(&self) -> &'static str;

    /// Writes an index over the rows. The rows themselves need not be written again.
    ///
    /// # Errors
    /// [`AnnError`] if the index cannot be built or written.
    fn build(&self, job: &BuildJob<'_>, out: &mut dyn AnnSink) -> Result<(), AnnError>;

    /// Opens an index over the same rows. Checks all that a search relies on, in time that grows
    /// with the rows.
    ///
    /// # Errors
    /// [`AnnError`] if the parts are no index over these rows.
    fn open(&self, parts: &AnnParts, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError>;
}

/// What an index is to be built of.
#[derive(Clone, Copy, Debug)]
pub struct BuildJob<'a> {
    /// The rows.
    pub rows: &'a RowsView,
    /// An index of the same recipe over the first of the rows, to go on from. A backend need not.
    pub base: Option<Base<'a>>,
    /// How many threads may work on it, at least 1.
    pub threads: usize,
}

/// An index over the first of the rows.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The index.
    pub parts: &'a AnnParts,
    /// How many rows it is over.
    pub rows: u32,
}

/// An open index over the rows of one segment.
pub trait AnnIndex: fmt::Debug + Send + Sync {
    /// The best `k` rows that pass, as far as the index finds them, best first; equal scores by
    /// ascending row. As many as there are, if fewer pass. What `accept` says of rows past the last
    /// does not matter.
    ///
    /// # Errors
    /// [`AnnError::Query`] if the query is no vector of the rows' dim.
    fn search(
        &self,
        query: &[f32],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Neighbour>, AnnError>;

    /// What [`AnnIndex::search`] finds for each of several queries, in their order. By default they
    /// are searched for one by one; an index that reads the same rows for all does so once here.
    ///
    /// # Errors
    /// As [`AnnIndex::search`], if one of the queries fails.
    fn search_batch(
        &self,
        queries: &[&[f32]],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        queries.iter().map(|query| self.search(query, k, accept, params)).collect()
    }
}

/// How hard one search looks. What is not set is what was measured when the index was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchParams {
    /// How many candidates a walk over a graph keeps.
    pub ef_search: Option<usize>,
    /// How many lists are read.
    pub nprobe: Option<usize>,
    /// How many candidates that were found by codes are scored by rows, for each hit wanted.
    pub rescore: Option<usize>,
}

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its ordinal in the segment's vector file.
    pub row: u32,
    /// How near it is; grows with relevance.
    pub score: f32,
}

/// Fewer rows than this never get an index: FAISS warns of clusters too small, and a scan of them is
/// over in microseconds.
const FEWEST: u32 = 256;

/// Up to so many numbers are compared exactly by [`AnnRecipe::Auto`](super::AnnRecipe::Auto): 10,000
/// rows of dim 384, about half a millisecond.
const EXACT_NUMBERS: u64 = 10_000 * 384;

/// The backend of a recipe for so many rows; none where exact search is all that is wanted, or all
/// that this build has. What can be built on a card is.
///
/// # Errors
/// [`AnnError`] if this processor cannot run FAISS as it was built, or if FAISS does not know the
/// description of a factory.
pub(crate) fn backend(
    recipe: &AnnRecipe,
    rows: u32,
    dim: Dim,
    metric: Metric,
    gpu: Option<&Gpu>,
) -> Result<Option<Box<dyn AnnBackend>>, AnnError> {
    let exact = match recipe {
        AnnRecipe::Auto => exact_is_enough(rows, dim),
        _ => rows < FEWEST,
    };
    if exact { Ok(None) } else { named(recipe.resolved(), dim, metric, gpu) }
}

/// Whether so few rows need no index.
fn exact_is_enough(rows: u32, dim: Dim) -> bool {
    u64::from(rows) * dim.get() as u64 <= EXACT_NUMBERS
}

#[cfg(feature = "faiss")]
fn named(
    recipe: &AnnRecipe,
    dim: Dim,
    metric: Metric,
    gpu: Option<&Gpu>,
) -> Result<Option<Box<dyn AnnBackend>>, AnnError> {
    if !recipe.builds() {
        return Ok(None);
    }
    ffi::check_processor()?;
    Ok(Some(match recipe {
        AnnRecipe::Auto | AnnRecipe::Exact => return Ok(None),
        AnnRecipe::Hnsw { m, ef_construction, codes } => {
            Box::new(Graph::new(*m, *ef_construction, *codes))
        }
        AnnRecipe::Ivf { lists, codes } => Box::new(Lists::new(*lists, *codes).on(gpu)),
        AnnRecipe::Factory(description) => {
            Box::new(Factory::new(description, dim, metric)?.on(gpu))
        }
    }))
}

#[cfg(not(feature = "faiss"))]
#[expect(clippy::unnecessary_wraps, reason = "with FAISS it can fail")]
fn named(
    _: &AnnRecipe,
    _: Dim,
    _: Metric,
    _: Option<&Gpu>,
) -> Result<Option<Box<dyn AnnBackend>>, AnnError> {
    Ok(None)
}

/// Whether a recipe can be built for rows of this kind, at any size.
///
/// # Errors
/// As [`backend`].
pub(crate) fn check_recipe(recipe: &AnnRecipe, dim: Dim, metric: Metric) -> Result<(), AnnError> {
    match recipe {
        // A processor that is too old is told when something is built, and searched without.
        AnnRecipe::Factory(_) => named(recipe, dim, metric, None).map(drop),
        _ => Ok(()),
    }
}

/// What opens an index of this name.
///
/// # Errors
/// [`AnnError::Unknown`] if this build has no such backend; [`AnnError::Processor`].
pub(crate) fn opener(name: &str) -> Result<Box<dyn AnnBackend>, AnnError> {
    #[cfg(feature = "faiss")]
    {
        ffi::check_processor()?;
        match name {
            graph::NAME => return Ok(Box::new(Graph::new(2, 1, None))),
            lists::NAME => return Ok(Box::new(Lists::new(None, None))),
            factory::NAME => return Ok(Box::new(Factory::to_open())),
            _ => {}
        }
    }
    Err(AnnError::Unknown { backend: name.to_owned() })
}

/// Why an index over rows could not be built, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum AnnError {
    /// The query cannot be compared with the rows.
    #[error("the query vector does not fit")]
    Query { source: VectorError },
    /// The parts are not of an index over these rows.
    #[error("no {backend} index over these rows: {what}; build it again")]
    Parts { backend: &'static str, what: &'static str },
    /// A later release wrote it, or a build with other features.
    #[error("this build does not know `{backend}` indexes; build the library with feature `faiss`")]
    Unknown { backend: String },
    /// The rows cannot be compared in 32-bit floats, or not where they lie.
    #[error("the rows cannot be indexed: {what}; they are searched exactly")]
    Rows { what: &'static str },
    /// FAISS was built for newer processors.
    #[error(
        "this processor has no {feature}, for which FAISS was built; build with CXXFLAGS that do \
         not ask for it"
    )]
    Processor { feature: &'static str },
    /// Writing failed.
    #[error("the {backend} index could not be written")]
    Io { backend: &'static str, source: io::Error },
    /// The library behind the backend failed.
    #[error("{backend} failed: {source}")]
    Backend { backend: &'static str, source: Box<dyn Error + Send + Sync> },
}

/// Why FAISS cannot be used on a card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GpuError {
    /// It was not built, or another place was meant.
    #[error("{library}: FAISS for CUDA cards is not there; `make faiss-gpu` builds it", library = library.display())]
    Missing { library: PathBuf },
    /// A copy was interrupted.
    #[error("{library}: the library is cut short; copy or build it again", library = library.display())]
    CutShort { library: PathBuf },
    /// The file system refused.
    #[error("{library}: cannot be read", library = library.display())]
    Io { library: PathBuf, source: std::io::Error },
    /// The system's loader refused, or it is another library.
    #[error("{library}: cannot be loaded as FAISS for CUDA cards: {reason}", library = library.display())]
    Load { library: PathBuf, reason: String },
    /// No driver, no card, or not so many.
    #[error("FAISS finds {cards} CUDA cards, so there is none of number {device}, from 0")]
    NoCard { device: u32, cards: u32 },
    /// The library was built without the feature `faiss`.
    #[error("this build has no FAISS; build the library with feature `faiss`")]
    NoFaiss,
    /// FAISS failed.
    #[error("FAISS cannot use the card: {reason}")]
    Faiss { reason: String },
}

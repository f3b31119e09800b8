//! Nearest neighbours among the rows of one segment: the seam behind which FAISS will stand.
//!
//! Invariant: rows are a view over `.vec`; a score grows with relevance, and a distance never
//! leaves this module.

mod accept;
pub mod conformance;
mod exact;
mod kernel;
mod rows;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

use tantivy::directory::OwnedBytes;

pub use accept::{Accept, RowSet};
pub use exact::Exact;
pub use rows::RowsView;

use crate::vector::VectorError;

/// Builds and opens one kind of index over rows.
///
/// An implementer keeps true: `name` is written to disk and never given to another kind; what
/// `build` wrote for some rows, `open` reads with the same rows; bytes that were not written by
/// `build`, or for other rows, are an error and never a panic.
/// [`conformance::check`] tries an implementation.
pub trait AnnBackend: fmt::Debug + Send + Sync {
    /// Which kind of index this is, on disk.
    fn name(&self) -> &'static str;

    /// Writes an index over the rows. The rows themselves need not be written again.
    ///
    /// # Errors
    /// [`AnnError`] if the index cannot be built or written.
    fn build(&self, rows: &RowsView, out: &mut dyn Write) -> Result<(), AnnError>;

    /// Opens an index over the same rows.
    ///
    /// # Errors
    /// [`AnnError`] if the bytes are no index over these rows.
    fn open(&self, bytes: OwnedBytes, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError>;
}

/// An open index over the rows of one segment.
pub trait AnnIndex: fmt::Debug + Send + Sync {
    /// The best `k` rows that pass, best first; equal scores by ascending row. As many as there
    /// are, if fewer pass. What `accept` says of rows past the last does not matter.
    ///
    /// # Errors
    /// [`AnnError::Query`] if the query is no vector of the rows' dim.
    fn search(&self, query: &[f32], k: usize, accept: &Accept) -> Result<Vec<Neighbour>, AnnError>;
}

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its ordinal in the segment's vector file.
    pub row: u32,
    /// How near it is; grows with relevance.
    pub score: f32,
}

/// Why an index over rows could not be built, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum AnnError {
    /// The query cannot be compared with the rows.
    #[error("the query vector does not fit")]
    Query { source: VectorError },
    /// The bytes are not of an index over these rows.
    #[error("no {backend} index over these rows; build it again")]
    Bytes { backend: &'static str },
    /// Writing failed.
    #[error("the {backend} index could not be written")]
    Io { backend: &'static str, source: io::Error },
    /// The library behind the backend failed.
    #[error("{backend} failed")]
    Backend { backend: &'static str, source: Box<dyn Error + Send + Sync> },
}

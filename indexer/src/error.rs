//! Why a run ended before the end of its sources.

use dense_plugin::{OpenError, WriteError};
use tantivy::TantivyError;

use crate::corpus::{BadLine, SourceError};
use crate::resume::ResumeError;
use crate::schema::SchemaError;

/// Why a run failed. What was committed stays; a run with [`Resume::GoOn`](crate::Resume::GoOn)
/// goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The index has other fields.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A source cannot be read, or not to its end. What came before is committed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A bad line, and the run was told to stop at one. What came before is committed.
    #[error("{0}; the lines before it are indexed; correct it and resume, or skip bad lines")]
    BadLine(BadLine),
    /// The last commit cannot be gone on from.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The index cannot be written to.
    #[error("the index cannot be written to")]
    Open(#[from] OpenError),
    /// Encoding or writing failed. What was not committed is dropped.
    #[error("a batch could not be written; what was committed before stays")]
    Write(#[from] WriteError),
    /// The index cannot be read.
    #[error("the index cannot be read")]
    Read(#[from] TantivyError),
}

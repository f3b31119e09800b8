//! A dense field for [Tantivy](tantivy): vectors that live in Tantivy's own segments, and
//! nearest-neighbour queries that compose with every other query.
//!
//! [`DenseIndex`] is the door; [`DenseOptions`] says what a field holds; [`KnnQuery`] searches it.
//! Texts become vectors through an [`Encoder`], or the caller brings vectors
//! ([`DenseDocument::add_dense`]). No model is here.

pub mod ann;
mod cache;
mod element;
mod encoder;
mod field;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod language;
mod query;
mod row;
mod segment;
#[doc(hidden)]
pub mod shared_library;
pub mod toy;
mod vector;

pub use ann::{AnnRecipe, Gpu, GpuError, RecipeError};
pub use element::Element;
pub use encoder::{EncodeError, Encoded, Encoder, Fingerprint, Role, Text};
pub use field::{DenseField, DenseOptions, DenseSchemaBuilder, FieldError, TYPE_NAME};
pub use index::{
    DenseIndex, DenseIndexBuilder, DensePreparedCommit, DenseReader, DenseSearcher, DenseWriter,
    EncodingTotals, FieldSummary, OpenError, Optimize, OptimizeError, Optimized, SegmentSummary,
    WriteError,
};
pub use language::{LanguageTag, LanguageTagError};
pub use query::{KnnError, KnnHits, KnnQuery, RrfQuery, WeightedQuery, search_batch};
pub use row::{DenseDocument, DenseRow};
pub use segment::{AnnStatus, DensePlugin, FormatError, ReadError, Refused};
pub use vector::{Dim, Metric, VectorError, Vectors, check_row};

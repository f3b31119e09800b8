//! A dense field for [Tantivy](tantivy): vectors that live in Tantivy's own segments.

mod encoder;
mod language;
mod vector;

pub use encoder::{EncodeError, Encoded, Encoder, Fingerprint, Role, Text};
pub use language::{LanguageTag, LanguageTagError};
pub use vector::{Dim, Metric, VectorError, Vectors, check_row};

//! Turns a corpus into commits of an index, and texts into BM25 terms and queries.

mod analysis;
mod corpus;
mod language;

pub use analysis::{Analyzers, Stemming};
pub use corpus::{
    BadKind, BadLine, Entry, Fields, Format, Place, ReadOptions, Record, Records, Source,
    SourceError,
};
pub use language::Detector;

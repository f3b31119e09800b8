//! Turns a corpus into commits of an index, and texts into BM25 terms and queries.
//!
//! [`Source`]s become [`Record`]s; [`Indexer`] adds them to an index whose fields [`CorpusSchema`]
//! names; [`Analyzers`] makes the terms and the queries that find them again.

mod analysis;
mod corpus;
mod error;
mod event;
mod language;
mod pipeline;
mod resume;
mod schema;

pub use analysis::{Analysis, AnalysisError, Analyzers, Gram, Runs, Spelling, Version, Words};
pub use corpus::{
    BadKind, BadLine, Entry, Fields, Format, Place, ReadOptions, Record, Records, Source,
    SourceError,
};
pub use error::IndexError;
pub use event::{Counts, Event, Summary};
pub use language::Detector;
pub use pipeline::{Indexer, MissingLanguage, OnBad, Resume};
pub use resume::ResumeError;
pub use schema::{CorpusSchema, SchemaError};

//! Turns a corpus into commits of an index, and texts into BM25 terms and queries.

mod analysis;

pub use analysis::{Analyzers, Stemming};

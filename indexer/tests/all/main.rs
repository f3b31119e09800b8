//! One program, so that Tantivy is linked once.

#![expect(clippy::unwrap_used, reason = "a test program")]

mod bm25;
mod corpus;
mod detection;
mod indexing;
mod support;

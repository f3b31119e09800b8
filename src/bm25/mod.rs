//! BM25 in earnest: which analysis finds most in each language, and what k1 and b would add.
//!
//! Left out on purpose: k1 and b of an index. Tantivy has them as constants; [`compare_analyses`] says
//! what that costs.

mod report;
mod scorer;
mod study;

pub use report::{Against, AnalysisReport, AnalysisRow, CollectionRows, ParameterRow};
pub use scorer::{Lengths, Parameters, TermIndex, Weights};
pub use study::{CompareOptions, compare_analyses};

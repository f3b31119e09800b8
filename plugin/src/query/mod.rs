//! Queries: nearest neighbours, and the fusion of rankings.
//!
//! All find their hits over all segments when Tantivy asks for the query's weight; what is left
//! for the segments is to hand them out. So they compose with every query, filter, collector and
//! aggregation, and `k` means the same whatever the number of segments.
//!
//! Invariant: a query never returns a deleted document.

mod hits;
mod knn;
mod rrf;
mod search;
mod weighted;

pub use knn::{KnnError, KnnHits, KnnQuery, search_batch};
pub(crate) use knn::{options_of, rows_of};
pub use rrf::RrfQuery;
pub use weighted::WeightedQuery;

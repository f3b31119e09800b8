//! What is searched: sets of vectors and queries, and what is right.

mod encode;
mod rows;
mod set;
mod store;
mod synthetic;
mod texts;
mod truth;

pub(crate) use encode::make;
pub(crate) use rows::Rows;
pub(crate) use set::Set;
pub(crate) use store::Store;
pub(crate) use truth::{K, Mask, Truth};

use crate::rng::Rng;

/// The sentences and questions of XQuAD-R.
pub(crate) const XQUAD: &str = "xquad-r";
/// Titles, headings and strings of interfaces.
pub(crate) const SHORT: &str = "short";
/// How many passages lie behind those of [`SHORT`], to be merged in.
pub(crate) const SPARE: usize = 20_000;

/// What the filters of the benchmark ask for: a number below 1,000 for each row, the same in each run.
pub(crate) fn pick(row: u32) -> u64 {
    Rng::new(u64::from(row) ^ 0x00F1_17E2).bits() % 1_000
}

fn passages_file(set: &str) -> String {
    format!("{set}.passages.f32")
}

fn queries_file(set: &str) -> String {
    format!("{set}.queries.f32")
}

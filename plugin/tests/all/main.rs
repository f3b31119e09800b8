//! The dense field from outside, against brute force and against what goes wrong.
#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests only where the attribute is, not their helpers"
)]

mod compat;
#[cfg(feature = "faiss")]
mod damage;
mod directory;
mod encoding;
mod life_cycle;
mod model;
mod queries;
mod race;
mod recall;
mod refusals;
mod support;

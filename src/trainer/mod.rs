//! Trains encoders: batches of pairs in, better weights out.
//!
//! Invariant: the same seed, data and settings give the same weights, bit for bit on the CPU with the same threads.

pub mod step;

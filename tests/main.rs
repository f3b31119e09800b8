//! Everything works together: one program, so that native libraries are linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod bm25;
mod cli;
#[cfg(feature = "onnx")]
mod golden;
#[cfg(feature = "onnx")]
mod imports;
mod layering;
#[cfg(feature = "onnx")]
mod means;
mod optimize;
mod report;
#[cfg(feature = "onnx")]
mod retrieval;
#[cfg(feature = "onnx")]
mod small_models;
mod soak;
mod support;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod training;

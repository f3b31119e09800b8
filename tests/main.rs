//! Everything works together: one program, so that native libraries are linked once.

mod cli;
#[cfg(feature = "onnx")]
mod golden;
mod layering;
#[cfg(feature = "onnx")]
mod retrieval;
#[cfg(feature = "onnx")]
mod small_models;
mod support;

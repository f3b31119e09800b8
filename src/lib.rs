//! Placeholder.

#[cfg(feature = "onnx")]
pub mod encoder;
#[cfg(feature = "onnx")]
pub mod graph;
#[cfg(feature = "onnx")]
pub mod model;

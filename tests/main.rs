//! Placeholder.
#[cfg(feature = "onnx")]
mod golden;
mod layering;
#[cfg(feature = "onnx")]
mod small_models;
#[cfg(feature = "onnx")]
#[path = "support/cache.rs"]
mod support_cache;

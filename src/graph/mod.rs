//! ONNX graphs written at run time, so that a model needs weights and no exported file.
//!
//! Invariant: only operators of `ai.onnx` opset 20 are written. They run on every execution provider, and ONNX
//! Runtime's optimiser replaces the patterns used here by its own faster operators when it opens the file
//! (dynamic quantization with its matrix product and bias, scaled products with a transposed matrix, bias
//! with GELU).

mod bert;
mod builder;
mod proto;
mod quantize;
mod tensor;
mod weights;
mod write;

pub use bert::{BertConfig, Numeric, bert_encoder};
pub use builder::{Attribute, Axis, GraphBuilder, Value};
pub use tensor::{ElementType, Tensor};
pub use weights::{Weights, WeightsError};

//! ONNX graphs written at run time, so that a model needs weights and no exported file.
//!
//! Invariant: only operators of `ai.onnx` opset 20 are written. They run on every execution provider, and ONNX
//! Runtime's optimiser replaces the patterns used here by its own faster operators when it opens the file
//! (dynamic quantization with its matrix product and bias, scaled products with a transposed matrix, bias
//! with GELU).

mod adamw;
mod bert;
mod builder;
mod contrastive;
mod fed;
mod gradient;
#[cfg(test)]
mod interpret;
mod proto;
mod quantize;
mod read;
mod shapes;
mod tensor;
mod weights;
mod write;

pub use adamw::{AdamW, Trainable, adamw, merge};
pub use bert::{Activation, BertConfig, Head, Numeric, bert_encoder, bert_for_training};
pub use builder::{Attribute, Axis, GraphBuilder, Value};
pub use contrastive::{ContrastiveLoss, Distillation};
pub use fed::{Fed, Parameter, TrainingEncoder};
pub use gradient::{GradientError, Halves, LowRank};
pub use read::{GraphWeights, ReadError, Rows};
pub use tensor::{ElementType, Tensor};
pub use weights::{Weights, WeightsError};

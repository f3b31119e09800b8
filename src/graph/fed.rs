//! Which weights a graph for training is given at each run, as they change.
//!
//! Invariant: each weight is either carried by the graph or fed under its name, never both.

use serde::{Deserialize, Serialize};

use super::builder::{GraphBuilder, Value};
use super::tensor::Tensor;

/// Which weights are inputs of a graph for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fed {
    /// Those of linear layers in the encoder's layers, without their biases.
    LinearLayers,
    /// All but the word embeddings.
    AllButWords,
    /// All.
    All,
}

/// A weight that is fed.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// That of Hugging Face's `BertModel`.
    pub name: String,
    /// The graph's input.
    pub value: Value,
    /// What it is before training. A linear layer's weight is `[inputs, outputs]`, the other way round than there.
    pub tensor: Tensor,
}

/// An encoder that can be differentiated.
#[derive(Debug)]
pub struct TrainingEncoder {
    /// All nodes so far.
    pub graph: GraphBuilder,
    /// The texts' vectors, f32 `[batch, dim]`, each of length 1.
    pub vectors: Value,
    /// What is fed.
    pub parameters: Vec<Parameter>,
}

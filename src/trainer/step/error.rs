//! Why a training step fails.
//!
//! Invariant: each message says what to change.

use std::path::PathBuf;

use crate::encoder::RuntimeError;
use crate::graph::{GradientError, ReadError, WeightsError};

/// Why a model cannot be trained, or a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum StepError {
    /// The folder says not what it holds.
    #[error("{folder}: does not say how large its model is, so it cannot be trained; `tdense model import` makes a folder that does", folder = folder.display())]
    Architecture { folder: PathBuf },
    /// Settings contradict each other, or the model.
    #[error("{reason}")]
    Settings { reason: String },
    /// Its weights cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its weights make no encoder.
    #[error("the weights make no encoder")]
    Weights(#[from] WeightsError),
    /// The graph has an operator without a rule.
    #[error("the training graph cannot be written")]
    Gradient(#[from] GradientError),
    /// ONNX Runtime, or a graph, cannot be opened.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// ONNX Runtime failed.
    #[error("ONNX Runtime failed in {graph}; if memory ran out, lower chunk_tokens or kept_tokens")]
    Run { graph: &'static str, source: ort::Error },
    /// The word embeddings' file is gone or was cut.
    #[error("the word embeddings cannot be read")]
    Words { source: std::io::Error },
    /// There is nothing to compare.
    #[error("a batch needs at least one query, and a passage for each")]
    Empty,
    /// The matrix belongs to another batch.
    #[error("`allowed` is {rows} x {columns} where {queries} queries meet {passages} passages")]
    Allowed { rows: usize, columns: usize, queries: usize, passages: usize },
    /// A query's own passage is no answer.
    #[error("query {query} may not see its own passage")]
    OwnAnswer { query: usize },
    /// Targets are absent, or belong to another batch.
    #[error("the batch's target {what} are absent, or do not fit it")]
    Targets { what: &'static str },
    /// A text is empty or too long.
    #[error("a text has {found} tokens; 1 to {limit} are possible")]
    Length { found: usize, limit: usize },
    /// A text was made with another tokenizer.
    #[error("token {id} is none of the model's {vocabulary}; was another tokenizer used?")]
    Token { id: u32, vocabulary: usize },
    /// The model left the numbers.
    #[error(
        "the {what} at step {step} is no finite number; lower the learning rate, and go on from the last checkpoint"
    )]
    NotFinite { what: &'static str, step: u64 },
    /// The state is that of other settings.
    #[error(
        "the state has no tensor `{name}` of the size wanted; was it made with other settings?"
    )]
    State { name: String },
}

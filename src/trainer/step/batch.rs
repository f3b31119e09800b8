//! What goes into a step, and what it reports.
//!
//! Invariant: passage `i` of a batch answers query `i`.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::graph::Tensor;

/// Texts that are compared with each other, as token ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// What is asked.
    pub queries: Vec<Vec<u32>>,
    /// Passage `i` answers query `i`; passages past the queries are further negatives.
    pub passages: Vec<Vec<u32>>,
    /// `[queries, passages]`: whether a passage counts in a query's softmax. The answer itself always does.
    pub allowed: Array2<bool>,
    /// What distillation holds on to, if any is wanted.
    pub targets: Targets,
}

/// Another model's vectors of the batch's texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// The vectors, of length 1, by query; none: this query has no target.
    pub queries: Vec<Option<Vec<f32>>>,
    /// The same by passage.
    pub passages: Vec<Option<Vec<f32>>>,
    /// `[queries, passages]` cosines; none: this batch is held to none.
    pub similarities: Option<Array2<f32>>,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which step it was, from 1.
    pub step: u64,
    /// The loss before the update.
    pub loss: f32,
    /// The length of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// For which share of the queries the answer was nearer than all allowed passages.
    pub accuracy: f64,
    /// Tokens encoded, without and with padding.
    pub tokens: usize,
    /// The same with padding.
    pub padded_tokens: usize,
}

/// Target vectors, and 1 for each text that has one.
pub(super) fn targets(side: &[Option<Vec<f32>>], texts: usize, dim: usize) -> (Tensor, Tensor) {
    let (mut rows, mut weights) = (vec![0.0; texts * dim], vec![0.0; texts]);
    for (at, target) in side.iter().enumerate() {
        if let Some(target) = target {
            rows[at * dim..(at + 1) * dim].copy_from_slice(target);
            weights[at] = 1.0;
        }
    }
    (Tensor::f32(&[texts, dim], rows), Tensor::f32(&[texts, 1], weights))
}

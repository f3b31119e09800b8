//! One update of the trained weights, as a graph: `AdamW` with decoupled weight decay, gradients clipped together.
//!
//! Invariant: all numbers that change from step to step (rate, corrections) are inputs, so warm-up and decay are the
//! caller's.
//!
//! Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019); Pascanu et al., "On the difficulty of
//! training recurrent neural networks" (2013) for clipping.

use serde::{Deserialize, Serialize};

use super::builder::{Attribute, Axis, GraphBuilder, Value};
use super::tensor::ElementType;

/// Kept from a division by 0 when gradients are clipped, as in `PyTorch`.
const CLIP_EPSILON: f32 = 1e-6;

/// The optimizer's settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// How much of the gradients' mean stays a step.
    pub beta1: f64,
    /// How much of the squared gradients' mean stays a step.
    pub beta2: f64,
    /// Added to the root that is divided by.
    pub epsilon: f64,
    /// By how much of itself, times the rate, a weight shrinks a step; biases and norms do not.
    pub weight_decay: f64,
    /// The greatest length of all gradients together; longer ones are shortened to it. None: they are not.
    pub clip: Option<f64>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, clip: Some(1.0) }
    }
}

/// A trained tensor, by its name and dims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trainable {
    /// What graphs call it.
    pub name: String,
    /// Its dims.
    pub dims: Vec<usize>,
}

impl Trainable {
    fn axes(&self) -> Vec<Axis> {
        self.dims.iter().map(|&n| Axis::Fixed(n)).collect()
    }
}

/// Writes the update of these tensors.
///
/// Inputs, all f32: for each tensor its values (`NAME`), gradient (`gradient.NAME`), and moments (`first.NAME`,
/// `second.NAME`); scalars `rate`, `correction1` and `correction2`, which at step t (from 1) are `1 - beta1^t` and
/// `1 - beta2^t`. Outputs: `new.NAME`, `new.first.NAME`, `new.second.NAME` for each, and `gradient_norm`, before
/// clipping.
pub fn adamw(settings: &AdamW, tensors: &[Trainable]) -> GraphBuilder {
    let mut graph = GraphBuilder::new();
    let [rate, correction1, correction2] =
        ["rate", "correction1", "correction2"].map(|name| graph.input(name, ElementType::F32, &[]));
    let mut gradients: Vec<Value> = tensors
        .iter()
        .map(|t| graph.input(&format!("gradient.{}", t.name), ElementType::F32, &t.axes()))
        .collect();
    let squares: Vec<Value> = gradients
        .iter()
        .map(|&x| graph.op("ReduceSumSquare", &[x], &[("keepdims", Attribute::Int(0))]))
        .collect();
    let sum = graph.op("Sum", &squares, &[]);
    let norm = graph.op("Sqrt", &[sum], &[]);
    if let Some(clip) = settings.clip {
        let epsilon = graph.scalar(CLIP_EPSILON);
        let divisor = graph.add(norm, epsilon);
        let clip = graph.scalar(narrow(clip));
        let factor = graph.div(clip, divisor);
        let one = graph.scalar(1.0);
        let factor = graph.op("Min", &[factor, one], &[]);
        gradients = gradients.iter().map(|&x| graph.mul(x, factor)).collect();
    }
    graph.output("gradient_norm", norm, ElementType::F32, &[]);
    for (tensor, &gradient) in tensors.iter().zip(&gradients) {
        let (name, axes) = (&tensor.name, tensor.axes());
        let [old, first, second] = ["", "first.", "second."]
            .map(|part| graph.input(&format!("{part}{name}"), ElementType::F32, &axes));
        let squared = graph.mul(gradient, gradient);
        let first = moved(&mut graph, first, gradient, settings.beta1);
        let second = moved(&mut graph, second, squared, settings.beta2);
        let spread = graph.div(second, correction2);
        let spread = graph.op("Sqrt", &[spread], &[]);
        let epsilon = graph.scalar(narrow(settings.epsilon));
        let spread = graph.add(spread, epsilon);
        let step = graph.div(first, correction1);
        let mut step = graph.div(step, spread);
        if settings.weight_decay > 0.0 && tensor.dims.len() > 1 {
            let decay = graph.scalar(narrow(settings.weight_decay));
            let decay = graph.mul(old, decay);
            step = graph.add(step, decay);
        }
        let step = graph.mul(step, rate);
        let new = graph.sub(old, step);
        for (part, value) in [("", new), ("first.", first), ("second.", second)] {
            graph.output(&format!("new.{part}{name}"), value, ElementType::F32, &axes);
        }
    }
    graph
}

/// A mean that moves towards what is new.
fn moved(graph: &mut GraphBuilder, mean: Value, new: Value, stays: f64) -> Value {
    let (old_share, new_share) = (graph.scalar(narrow(stays)), graph.scalar(narrow(1.0 - stays)));
    let (old, new) = (graph.mul(mean, old_share), graph.mul(new, new_share));
    graph.add(old, new)
}

/// Writes how low-rank changes are added to the weights they change.
///
/// Inputs, all f32: for each tensor `NAME`, `[inputs, outputs]`, the weight without the change (`fixed.NAME`), and the
/// factors (`NAME.a`, `[inputs, rank]`, and `NAME.b`, `[rank, outputs]`). Outputs: `NAME`, which is
/// `fixed + scale * a * b`.
pub fn merge(tensors: &[Trainable], rank: usize, scale: f32) -> GraphBuilder {
    let mut graph = GraphBuilder::new();
    for tensor in tensors {
        let (name, axes) = (&tensor.name, tensor.axes());
        let fixed = graph.input(&format!("fixed.{name}"), ElementType::F32, &axes);
        let a = graph.input(&format!("{name}.a"), ElementType::F32, &[axes[0], Axis::Fixed(rank)]);
        let b = graph.input(&format!("{name}.b"), ElementType::F32, &[Axis::Fixed(rank), axes[1]]);
        let change = graph.matmul(a, b);
        let factor = graph.scalar(scale);
        let change = graph.mul(change, factor);
        let sum = graph.add(fixed, change);
        graph.output(name, sum, ElementType::F32, &axes);
    }
    graph
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
fn narrow(x: f64) -> f32 {
    x as f32
}

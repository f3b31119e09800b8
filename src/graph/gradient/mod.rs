//! Reverse-mode differentiation: walks a graph's nodes backwards and writes, after them, the nodes that compute
//! gradients.
//!
//! Invariant: only operators of `ai.onnx` opset 20 are written, so gradients run on every execution provider. An
//! operator on the way to a wanted value that has no rule is an error, never a wrong gradient.
//!
//! Source: Griewank and Walther, "Evaluating Derivatives" (2008), chapter 3; each rule gives its own.

mod rules;
mod split;

use std::collections::{HashMap, HashSet};

use super::builder::{Attribute, Axis, GraphBuilder, Value};
use super::shapes::Shapes;

pub use split::Halves;

/// A matrix `weight` that is `fixed + scale * a * b`, and trained through `a` and `b` alone.
///
/// Gradients of `a` and `b` are then worked out in the order that never makes the gradient of `weight`, which would be
/// as large as the layer: for `y = x * weight`, that of `a` is `xᵀ (dy bᵀ)`, that of `b` is `(x a)ᵀ dy`.
///
/// Source: Hu et al., "`LoRA`" (2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowRank {
    /// `[inputs, outputs]`, the right operand of matrix products.
    pub weight: Value,
    /// `[inputs, rank]`.
    pub a: Value,
    /// `[rank, outputs]`.
    pub b: Value,
    /// What the product of the two is multiplied by.
    pub scale: f32,
}

impl GraphBuilder {
    /// Writes the gradient of `sum(output * seed)` over the pairs in `seeds`, with respect to each wanted value.
    ///
    /// # Shapes
    /// A seed has the shape of its output; a gradient that of its wanted value.
    ///
    /// # Errors
    /// [`GradientError`] if an operator on the way has no rule, or an output does not depend on a wanted value.
    pub fn gradients(
        &mut self,
        seeds: &[(Value, Value)],
        wanted: &[Value],
        low_rank: &[LowRank],
    ) -> Result<Vec<Value>, GradientError> {
        let shapes = Shapes::of(self)?;
        let mut live: HashSet<Value> = wanted.iter().copied().collect();
        live.extend(low_rank.iter().map(|low| low.weight));
        let end = self.nodes.len();
        for node in &self.nodes {
            if node.inputs.iter().any(|input| live.contains(input)) {
                live.extend(&node.outputs);
            }
        }
        let low_rank = low_rank.iter().map(|low| (low.weight, *low)).collect();
        let mut backward = Backward { graph: self, shapes, live, low_rank, sums: HashMap::new() };
        for &(output, seed) in seeds {
            backward.accumulate(output, seed);
        }
        for at in (0..end).rev() {
            backward.visit(at)?;
        }
        let sums = backward.sums;
        let of = |value: &Value| {
            sums.get(value).copied().ok_or_else(|| GradientError::Independent {
                value: self.name_of(*value).to_owned(),
            })
        };
        wanted.iter().map(of).collect()
    }
}

/// A differentiation under way.
struct Backward<'g> {
    graph: &'g mut GraphBuilder,
    shapes: Shapes,
    /// Values that depend on wanted ones.
    live: HashSet<Value>,
    low_rank: HashMap<Value, LowRank>,
    /// The gradient of each value, as far as its readers were visited.
    sums: HashMap<Value, Value>,
}

impl Backward<'_> {
    fn accumulate(&mut self, value: Value, gradient: Value) {
        let sum = match self.sums.get(&value) {
            Some(&sum) => self.graph.add(sum, gradient),
            None => gradient,
        };
        self.sums.insert(value, sum);
    }

    fn visit(&mut self, at: usize) -> Result<(), GradientError> {
        let node = self.graph.nodes[at].clone();
        let Some(&d) = self.sums.get(&node.outputs[0]) else { return Ok(()) };
        for (input, gradient) in self.rule(at, &node, d)? {
            self.accumulate(input, gradient);
        }
        Ok(())
    }

    fn is_live(&self, value: Value) -> bool {
        self.live.contains(&value)
    }

    fn axes(&self, value: Value) -> Vec<Axis> {
        self.shapes.axes(value).to_vec()
    }

    /// How long a value's axes are when the graph runs.
    fn shape(&mut self, value: Value) -> Value {
        self.graph.shape(value)
    }

    /// Sums a gradient of shape `from` over the axes along which a value was repeated to get it.
    fn unbroadcast(&mut self, d: Value, from: &[Axis], to: &[Axis]) -> Value {
        let lead = from.len() - to.len();
        let is_repeated =
            |i: usize| i < lead || (to[i - lead] == Axis::Fixed(1) && from[i] != Axis::Fixed(1));
        let repeated: Vec<usize> = (0..from.len()).filter(|&i| is_repeated(i)).collect();
        if repeated.is_empty() {
            return d;
        }
        let repeated: Vec<i64> = repeated.iter().map(|&i| as_i64(i)).collect();
        let axes = self.graph.list(&repeated);
        let sum = self.graph.op("ReduceSum", &[d, axes], &[("keepdims", Attribute::Int(1))]);
        let added: Vec<i64> = (0..lead).map(as_i64).collect();
        if added.is_empty() { sum } else { self.graph.squeeze(sum, &added) }
    }
}

fn as_i64(length: usize) -> i64 {
    i64::try_from(length).expect("no axis is longer than memory")
}

/// Why a graph could not be differentiated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GradientError {
    /// Nobody has written its rule.
    #[error("operator {operator} has no rule for its gradient")]
    Operator { operator: &'static str },
    /// Its inputs do not fit each other, or are known too late.
    #[error("the shape that operator {operator} makes is not known before the graph runs")]
    Shape { operator: &'static str },
    /// The gradient would be 0 in every run.
    #[error("no output depends on `{value}`")]
    Independent { value: String },
}

#[cfg(test)]
mod tests;

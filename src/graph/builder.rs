//! Writes ONNX graphs node by node.
//!
//! Invariant: a [`Value`] is made by the builder that takes it, and before any node that reads it, so nodes are in
//! an order in which they can run. Nodes stay readable (operator, inputs, outputs, attributes): a
//! reverse-mode differentiation can walk them backwards.
//!
//! Left out on purpose: shape inference. ONNX Runtime does it, and reports a graph that does not fit. Differentiation
//! needs shapes, and works them out for itself.

use std::collections::HashMap;

use super::tensor::{ElementType, Tensor};

/// What a node makes, or what a graph is given. Only a handle: it is cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value(usize);

/// How long one axis of an input or output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Always so long.
    Fixed(usize),
    /// Known when the graph runs; equal names are equally long.
    Named(&'static str),
    /// Known when the graph runs, and equal to no other that has a name.
    Unknown,
}

/// A setting of an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// One whole number.
    Int(i64),
    /// One floating-point number.
    Float(f32),
    /// Several whole numbers.
    Ints(Vec<i64>),
    /// A word.
    Text(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) operator: &'static str,
    pub(super) inputs: Vec<Value>,
    pub(super) outputs: Vec<Value>,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
}

#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) value: Value,
    pub(super) element: ElementType,
    pub(super) axes: Vec<Axis>,
}

/// A graph under construction, with operators of `ai.onnx` opset 20.
///
/// ```
/// # use tantivy_dense::graph::{Axis, ElementType, GraphBuilder, Tensor};
/// let mut graph = GraphBuilder::new();
/// let x = graph.input("x", ElementType::F32, &[Axis::Named("n"), Axis::Fixed(2)]);
/// let w = graph.constant("w", Tensor::f32(&[2, 1], vec![3.0, 4.0]));
/// let y = graph.matmul(x, w);
/// graph.output("y", y, ElementType::F32, &[Axis::Named("n"), Axis::Fixed(1)]);
/// assert!(!graph.to_bytes().is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    pub(super) names: Vec<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) constants: Vec<(Value, Tensor)>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) scalars: HashMap<u32, Value>,
    pub(super) lists: HashMap<Vec<i64>, Value>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the graph is given at each run.
    pub fn input(&mut self, name: &str, element: ElementType, axes: &[Axis]) -> Value {
        let value = self.name(name.to_owned());
        self.inputs.push(Port { value, element, axes: axes.to_vec() });
        value
    }

    /// Numbers that the graph carries. `name` is kept in the file, and must be its only one.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Value {
        let value = self.name(name.to_owned());
        self.constants.push((value, tensor));
        value
    }

    /// One number. Equal numbers are carried once.
    pub fn scalar(&mut self, number: f32) -> Value {
        if let Some(&value) = self.scalars.get(&number.to_bits()) {
            return value;
        }
        let name = format!("scalar_{}", self.scalars.len());
        let value = self.constant(&name, Tensor::f32(&[], vec![number]));
        self.scalars.insert(number.to_bits(), value);
        value
    }

    /// A list of whole numbers: axes, a shape, bounds of a slice. Equal lists are carried once.
    pub fn list(&mut self, numbers: &[i64]) -> Value {
        if let Some(&value) = self.lists.get(numbers) {
            return value;
        }
        let name = format!("list_{}", self.lists.len());
        let value = self.constant(&name, Tensor::i64(&[numbers.len()], numbers.to_vec()));
        self.lists.insert(numbers.to_vec(), value);
        value
    }

    /// Gives a value out under a name.
    pub fn output(&mut self, name: &str, value: Value, element: ElementType, axes: &[Axis]) {
        let output = self.name(name.to_owned());
        self.nodes.push(Node {
            operator: "Identity",
            inputs: vec![value],
            outputs: vec![output],
            attributes: Vec::new(),
        });
        self.outputs.push(Port { value: output, element, axes: axes.to_vec() });
    }

    /// Any operator with one output.
    pub fn op(
        &mut self,
        operator: &'static str,
        inputs: &[Value],
        attributes: &[(&'static str, Attribute)],
    ) -> Value {
        let [value] = self.op_of(operator, inputs, attributes);
        value
    }

    /// Any operator with `N` outputs.
    pub fn op_of<const N: usize>(
        &mut self,
        operator: &'static str,
        inputs: &[Value],
        attributes: &[(&'static str, Attribute)],
    ) -> [Value; N] {
        let outputs =
            std::array::from_fn(|_| self.name(format!("{operator}_{}", self.names.len())));
        self.nodes.push(Node {
            operator,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            attributes: attributes.to_vec(),
        });
        outputs
    }

    pub(super) fn name_of(&self, value: Value) -> &str {
        &self.names[value.0]
    }

    pub(super) fn name(&mut self, name: String) -> Value {
        self.names.push(name);
        Value(self.names.len() - 1)
    }
}

/// The operators that encoders are made of. Where a doc says `[.., n]`, any axes may lead.
impl GraphBuilder {
    /// `a + b`, broadcast.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.op("Add", &[a, b], &[])
    }

    /// `a - b`, broadcast.
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.op("Sub", &[a, b], &[])
    }

    /// `a * b`, number by number, broadcast.
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.op("Mul", &[a, b], &[])
    }

    /// `a / b`, number by number, broadcast.
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.op("Div", &[a, b], &[])
    }

    /// The larger of `a` and `b`, number by number, broadcast.
    pub fn max(&mut self, a: Value, b: Value) -> Value {
        self.op("Max", &[a, b], &[])
    }

    /// The matrix product `[.., m, k]` by `[.., k, n]`.
    pub fn matmul(&mut self, a: Value, b: Value) -> Value {
        self.op("MatMul", &[a, b], &[])
    }

    /// Rows of `table` at `rows`.
    pub fn gather(&mut self, table: Value, rows: Value) -> Value {
        self.op("Gather", &[table, rows], &[("axis", Attribute::Int(0))])
    }

    /// The same numbers in another shape; 0 keeps an axis, -1 takes what is left.
    pub fn reshape(&mut self, x: Value, shape: &[i64]) -> Value {
        let shape = self.list(shape);
        self.op("Reshape", &[x, shape], &[])
    }

    /// The same numbers with the axes in another order.
    pub fn transpose(&mut self, x: Value, order: &[i64]) -> Value {
        self.op("Transpose", &[x], &[("perm", Attribute::Ints(order.to_vec()))])
    }

    /// The same numbers without axes of length 1 at the places given.
    pub fn squeeze(&mut self, x: Value, axes: &[i64]) -> Value {
        let axes = self.list(axes);
        self.op("Squeeze", &[x, axes], &[])
    }

    /// How long each axis is.
    pub fn shape(&mut self, x: Value) -> Value {
        self.op("Shape", &[x], &[])
    }

    /// New axes of length 1 at the places given.
    pub fn unsqueeze(&mut self, x: Value, axes: &[i64]) -> Value {
        let axes = self.list(axes);
        self.op("Unsqueeze", &[x, axes], &[])
    }

    /// `N` equal parts along the last axis.
    ///
    /// # Panics
    /// If `N` is no `i64`.
    pub fn split<const N: usize>(&mut self, x: Value) -> [Value; N] {
        let parts = i64::try_from(N).expect("few parts");
        let attributes = [("axis", Attribute::Int(-1)), ("num_outputs", Attribute::Int(parts))];
        self.op_of("Split", &[x], &attributes)
    }

    /// The numbers as another type.
    pub fn cast(&mut self, x: Value, to: ElementType) -> Value {
        self.op("Cast", &[x], &[("to", Attribute::Int(to as i64))])
    }

    /// The sum along one axis, which stays with length 1.
    pub fn sum(&mut self, x: Value, axis: i64) -> Value {
        self.reduce("ReduceSum", x, axis)
    }

    /// The largest number along one axis, which stays with length 1.
    pub fn largest(&mut self, x: Value, axis: i64) -> Value {
        self.reduce("ReduceMax", x, axis)
    }

    /// The Euclidean length along one axis, which stays with length 1.
    pub fn length(&mut self, x: Value, axis: i64) -> Value {
        self.reduce("ReduceL2", x, axis)
    }

    /// The natural logarithm of [`GraphBuilder::softmax`], exact where that is 0.
    pub fn log_softmax(&mut self, x: Value) -> Value {
        self.op("LogSoftmax", &[x], &[("axis", Attribute::Int(-1))])
    }

    /// The sum of all numbers, without axes.
    pub fn total(&mut self, x: Value) -> Value {
        self.op("ReduceSum", &[x], &[("keepdims", Attribute::Int(0))])
    }

    /// Numbers along the last axis that are positive and sum to 1.
    pub fn softmax(&mut self, x: Value) -> Value {
        self.op("Softmax", &[x], &[("axis", Attribute::Int(-1))])
    }

    /// Gaussian error linear units, exact (with erf).
    pub fn gelu(&mut self, x: Value) -> Value {
        self.op("Gelu", &[x], &[])
    }

    /// Numbers along the last axis brought to mean 0 and variance 1, then scaled and shifted.
    pub fn layer_norm(&mut self, x: Value, scale: Value, shift: Value, epsilon: f32) -> Value {
        let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon))];
        self.op("LayerNormalization", &[x, scale, shift], &attributes)
    }

    fn reduce(&mut self, operator: &'static str, x: Value, axis: i64) -> Value {
        let axis = self.list(&[axis]);
        self.op(operator, &[x, axis], &[("keepdims", Attribute::Int(1))])
    }
}

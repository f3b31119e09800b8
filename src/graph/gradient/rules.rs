//! The gradient of each operator.
//!
//! Invariant: a rule gives gradients for live inputs alone, each in its input's shape.
//!
//! Products and sums that a fused operator of ONNX Runtime takes in are written in the form that it looks for:
//! a transposition right before a matrix product, a constant factor right after it.

use super::super::builder::{Attribute, Axis, Node, Value};
use super::super::shapes::attribute;
use super::{Backward, GradientError, LowRank, as_i64};

type Gradients = Result<Vec<(Value, Value)>, GradientError>;

impl Backward<'_> {
    /// The gradients of a node's inputs, given `d`, that of its first output.
    pub(super) fn rule(&mut self, at: usize, node: &Node, d: Value) -> Gradients {
        if !node.inputs.iter().any(|&input| self.is_live(input)) {
            return Ok(Vec::new());
        }
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let graph = &mut *self.graph;
        let one = |gradient| Ok(vec![(x, gradient)]);
        match node.operator {
            "Add" | "Sub" | "Mul" | "Div" => Ok(self.binary(node, d)),
            "MatMul" => self.product(node, d),
            "Identity" => one(d),
            "Transpose" => match attribute(node, "perm") {
                Some(Attribute::Ints(order)) => {
                    let mut back = vec![0; order.len()];
                    for (to, &from) in order.iter().enumerate() {
                        let from = usize::try_from(from).ok();
                        let from = from.and_then(|from| back.get_mut(from));
                        *from.ok_or(GradientError::Shape { operator: node.operator })? = as_i64(to);
                    }
                    one(graph.transpose(d, &back))
                }
                _ => Err(GradientError::Shape { operator: node.operator }),
            },
            "Reshape" => one(self.reshaped(d, y, x)),
            "Unsqueeze" => one(graph.op("Squeeze", &[d, node.inputs[1]], &[])),
            "Squeeze" => one(graph.op("Unsqueeze", &[d, node.inputs[1]], &[])),
            "ReduceSum" => {
                let shape = self.shape(x);
                one(self.graph.op("Expand", &[d, shape], &[]))
            }
            // The root's derivative: x / |x|.
            "ReduceL2" => {
                let direction = graph.div(x, y);
                one(graph.mul(direction, d))
            }
            "Tanh" => {
                let squared = graph.mul(y, y);
                let unit = graph.scalar(1.0);
                let slope = graph.sub(unit, squared);
                one(graph.mul(slope, d))
            }
            "Softmax" => {
                let weighted = graph.mul(d, y);
                let sum = graph.sum(weighted, -1);
                let part = graph.mul(y, sum);
                one(graph.sub(weighted, part))
            }
            "LogSoftmax" => {
                let probabilities = graph.op("Exp", &[y], &[]);
                let sum = graph.sum(d, -1);
                let part = graph.mul(probabilities, sum);
                one(graph.sub(d, part))
            }
            "Gelu" => one(self.gelu(x, d)),
            "LayerNormalization" => Ok(self.layer_norm(at, node, d)),
            "Slice" => one(self.sliced(node, d)?),
            "Gather" => Ok(self.gathered(node, d)),
            operator => Err(GradientError::Operator { operator }),
        }
    }

    fn binary(&mut self, node: &Node, d: Value) -> Vec<(Value, Value)> {
        let (a, b, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let mut out = Vec::with_capacity(2);
        if self.is_live(a) {
            let gradient = match node.operator {
                "Mul" => self.graph.mul(d, b),
                "Div" => self.graph.div(d, b),
                _ => d,
            };
            out.push((a, self.back_to(a, gradient, y)));
        }
        if self.is_live(b) {
            let graph = &mut *self.graph;
            let gradient = match node.operator {
                "Mul" => graph.mul(d, a),
                "Sub" => graph.op("Neg", &[d], &[]),
                "Div" => {
                    let part = graph.mul(d, y);
                    let part = graph.div(part, b);
                    graph.op("Neg", &[part], &[])
                }
                _ => d,
            };
            out.push((b, self.back_to(b, gradient, y)));
        }
        out
    }

    /// Sums a gradient of `y`'s shape to that of `x`.
    fn back_to(&mut self, x: Value, d: Value, y: Value) -> Value {
        let (from, to) = (self.axes(y), self.axes(x));
        self.unbroadcast(d, &from, &to)
    }

    fn product(&mut self, node: &Node, d: Value) -> Gradients {
        let (left, right, made) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let mut out = Vec::with_capacity(3);
        if self.is_live(left) {
            let turned = self.turned(right, self.axes(right).len());
            let gradient = self.graph.matmul(d, turned);
            let to = self.axes(left);
            // Rows and leading axes are those of the product.
            let mut from = self.axes(made);
            if let (Some(from), Some(to)) = (from.last_mut(), to.last()) {
                *from = *to;
            }
            out.push((left, self.unbroadcast(gradient, &from, &to)));
        }
        if let Some(&low) = self.low_rank.get(&right) {
            out.extend(self.low_rank(left, low, d)?);
        } else if self.is_live(right) {
            let to = self.axes(right);
            let gradient = if to.len() == 2 {
                let (rows, d) = (self.rows(left)?, self.rows_like(d, made)?);
                let turned = self.turned(rows, 2);
                self.graph.matmul(turned, d)
            } else {
                let turned = self.turned(left, self.axes(left).len());
                let gradient = self.graph.matmul(turned, d);
                let mut from = self.axes(made);
                let row = from.len() - 2;
                from[row] = to[to.len() - 2];
                self.unbroadcast(gradient, &from, &to)
            };
            out.push((right, gradient));
        }
        Ok(out)
    }

    fn low_rank(&mut self, x: Value, low: LowRank, d: Value) -> Gradients {
        let fail = GradientError::Shape { operator: "MatMul" };
        let &[_, Axis::Fixed(outputs)] = self.shapes.axes(low.b) else { return Err(fail) };
        let x = self.rows(x)?;
        let graph = &mut *self.graph;
        let d = graph.reshape(d, &[-1, as_i64(outputs)]);
        let scale = graph.scalar(low.scale);
        let mut out = Vec::with_capacity(2);
        if self.is_live(low.a) {
            let b = self.turned(low.b, 2);
            let narrow = self.graph.matmul(d, b);
            let narrow = self.graph.mul(narrow, scale);
            let turned = self.turned(x, 2);
            out.push((low.a, self.graph.matmul(turned, narrow)));
        }
        if self.is_live(low.b) {
            let narrow = self.graph.matmul(x, low.a);
            let narrow = self.graph.mul(narrow, scale);
            let turned = self.turned(narrow, 2);
            out.push((low.b, self.graph.matmul(turned, d)));
        }
        Ok(out)
    }

    /// The last two axes swapped.
    fn turned(&mut self, x: Value, rank: usize) -> Value {
        let mut order: Vec<i64> = (0..rank).map(as_i64).collect();
        order.swap(rank - 1, rank - 2);
        self.graph.transpose(x, &order)
    }

    /// All rows of all matrices under each other.
    fn rows(&mut self, x: Value) -> Result<Value, GradientError> {
        self.rows_like(x, x)
    }

    /// The same of a gradient of `x`.
    fn rows_like(&mut self, d: Value, x: Value) -> Result<Value, GradientError> {
        match *self.shapes.axes(x) {
            [_, _] => Ok(d),
            [.., Axis::Fixed(columns)] => Ok(self.graph.reshape(d, &[-1, as_i64(columns)])),
            _ => Err(GradientError::Shape { operator: "MatMul" }),
        }
    }

    /// A gradient of `y` in the shape of `x`, which has as many numbers.
    fn reshaped(&mut self, d: Value, y: Value, x: Value) -> Value {
        let (from, to) = (self.axes(y), self.axes(x));
        let mut open = 0;
        let mut shape = Vec::with_capacity(to.len());
        for (at, axis) in to.iter().enumerate() {
            shape.push(match axis {
                Axis::Fixed(length) => as_i64(*length),
                Axis::Named(_) if from.get(at) == Some(axis) => 0,
                _ => {
                    open += 1;
                    -1
                }
            });
        }
        if open <= 1 {
            return self.graph.reshape(d, &shape);
        }
        let shape = self.shape(x);
        self.graph.op("Reshape", &[d, shape], &[])
    }

    /// `d * (cdf(x) + x * pdf(x))`, with `t = x / √2`: `d / 2 * (1 + erf(t) + 2 / √π * t * exp(-t²))`.
    fn gelu(&mut self, x: Value, d: Value) -> Value {
        let graph = &mut *self.graph;
        let root = graph.scalar(std::f32::consts::FRAC_1_SQRT_2);
        let t = graph.mul(x, root);
        let erf = graph.op("Erf", &[t], &[]);
        let squared = graph.mul(t, t);
        let negative = graph.op("Neg", &[squared], &[]);
        let bell = graph.op("Exp", &[negative], &[]);
        let slope = graph.mul(t, bell);
        let factor = graph.scalar(std::f32::consts::FRAC_2_SQRT_PI);
        let slope = graph.mul(slope, factor);
        let sum = graph.add(erf, slope);
        let unit = graph.scalar(1.0);
        let sum = graph.add(sum, unit);
        // Taken into the product that `d` comes from.
        let half = graph.scalar(0.5);
        let d = graph.mul(d, half);
        graph.mul(d, sum)
    }

    /// Source: Ba et al., "Layer Normalization" (2016). The forward node gives out its statistics as well.
    fn layer_norm(&mut self, at: usize, node: &Node, d: Value) -> Vec<(Value, Value)> {
        let (x, scale, shift) = (node.inputs[0], node.inputs[1], node.inputs[2]);
        let statistics = ["mean", "deviation"].map(|part| {
            let name = format!("{}_{part}", self.graph.name_of(node.outputs[0]));
            self.graph.name(name)
        });
        self.graph.nodes[at].outputs.extend(statistics);
        let [mean, inverse] = statistics;
        let mut out = Vec::with_capacity(3);
        let graph = &mut *self.graph;
        let centred = graph.sub(x, mean);
        let unit = graph.mul(centred, inverse);
        if self.live.contains(&x) {
            let q = graph.mul(d, scale);
            let average = |graph: &mut super::GraphBuilder, x| {
                let axis = graph.list(&[-1]);
                graph.op("ReduceMean", &[x, axis], &[("keepdims", Attribute::Int(1))])
            };
            let first = average(graph, q);
            let product = graph.mul(q, unit);
            let second = average(graph, product);
            let part = graph.mul(unit, second);
            let q = graph.sub(q, first);
            let q = graph.sub(q, part);
            out.push((x, graph.mul(q, inverse)));
        }
        if self.is_live(scale) {
            let gradient = self.graph.mul(d, unit);
            out.push((scale, self.back_to(scale, gradient, x)));
        }
        if self.is_live(shift) {
            out.push((shift, self.back_to(shift, d, x)));
        }
        out
    }

    /// The gradient of a part is that part of the whole's, and 0 around it.
    fn sliced(&mut self, node: &Node, d: Value) -> Result<Value, GradientError> {
        let fail = GradientError::Shape { operator: "Slice" };
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let starts = self.list_of(node.inputs[1]).ok_or(fail.clone())?;
        let axes = self.list_of(node.inputs[3]).ok_or(fail.clone())?;
        let rank = self.axes(x).len();
        let mut before = vec![0; rank];
        for (&axis, &start) in axes.iter().zip(&starts) {
            let axis = usize::try_from(axis.rem_euclid(as_i64(rank))).ok();
            let place = axis.and_then(|axis| before.get_mut(axis)).filter(|_| start >= 0);
            *place.ok_or(fail.clone())? = start;
        }
        let (whole, part) = (self.shape(x), self.shape(y));
        let graph = &mut *self.graph;
        let before = graph.list(&before);
        let after = graph.sub(whole, part);
        let after = graph.sub(after, before);
        let around = graph.op("Concat", &[before, after], &[("axis", Attribute::Int(0))]);
        Ok(graph.op("Pad", &[d, around], &[]))
    }

    fn list_of(&self, value: Value) -> Option<Vec<i64>> {
        let (_, tensor) = self.graph.constants.iter().find(|(v, _)| *v == value)?;
        tensor.as_i64().map(<[i64]>::to_vec)
    }

    /// Each row's gradient is the sum over the places it was read for. Not by `ScatterND`: ONNX Runtime 1.31 adds rows that
    /// are there twice from several threads at once, and loses some of them.
    fn gathered(&mut self, node: &Node, d: Value) -> Vec<(Value, Value)> {
        let (table, rows) = (node.inputs[0], node.inputs[1]);
        let columns = self.axes(table)[1..].to_vec();
        let shape = self.shape(table);
        let graph = &mut *self.graph;
        let zeros = graph.op("ConstantOfShape", &[shape], &[]);
        let mut column = vec![1; columns.len() + 1];
        column[0] = -1;
        let rows = graph.reshape(rows, &column);
        let mut flat = vec![-1];
        flat.extend(columns.iter().map(|axis| match axis {
            Axis::Fixed(length) => as_i64(*length),
            _ => 0,
        }));
        let d = graph.reshape(d, &flat);
        let shape = graph.shape(d);
        let rows = graph.op("Expand", &[rows, shape], &[]);
        let sum = [("axis", Attribute::Int(0)), ("reduction", Attribute::Text("add"))];
        vec![(table, graph.op("ScatterElements", &[zeros, rows, d], &sum))]
    }
}

//! What is known of each value's axes before a graph runs, as far as differentiation needs it.
//!
//! Invariant: an axis that is [`Axis::Fixed`] here has that length in every run; one that is [`Axis::Named`] has the
//! length of each other axis of that name.

use std::collections::HashMap;

use super::builder::{Attribute, Axis, GraphBuilder, Node, Value};
use super::gradient::GradientError;
use super::tensor::{ElementType, Tensor};

/// Axes and element types by value.
#[derive(Debug)]
pub(super) struct Shapes {
    known: HashMap<Value, (Vec<Axis>, ElementType)>,
}

impl Shapes {
    /// Walks the graph in the order of its nodes.
    pub(super) fn of(graph: &GraphBuilder) -> Result<Self, GradientError> {
        let mut shapes = Self { known: HashMap::new() };
        for port in &graph.inputs {
            shapes.known.insert(port.value, (port.axes.clone(), port.element));
        }
        for (value, tensor) in &graph.constants {
            let axes = tensor.dims().iter().map(|&n| Axis::Fixed(n)).collect();
            shapes.known.insert(*value, (axes, tensor.element_type()));
        }
        let lists = graph.constants.iter().filter_map(|(v, t)| Some((*v, t.as_i64()?)));
        let lists: HashMap<Value, &[i64]> = lists.collect();
        for node in &graph.nodes {
            shapes.visit(node, &lists)?;
        }
        Ok(shapes)
    }

    pub(super) fn axes(&self, value: Value) -> &[Axis] {
        &self.known[&value].0
    }

    pub(super) fn element(&self, value: Value) -> ElementType {
        self.known[&value].1
    }

    #[expect(clippy::too_many_lines, reason = "one operator follows another")]
    fn visit(&mut self, node: &Node, lists: &HashMap<Value, &[i64]>) -> Result<(), GradientError> {
        let fail = || GradientError::Shape { operator: node.operator };
        let first = node.inputs.first().ok_or_else(fail)?;
        let (axes, mut element) = self.known.get(first).cloned().ok_or_else(fail)?;
        let rank = axes.len();
        let list = |at: usize| -> Result<&[i64], GradientError> {
            node.inputs.get(at).and_then(|v| lists.get(v).copied()).ok_or_else(fail)
        };
        let out = match node.operator {
            "Add" | "Sub" | "Mul" | "Div" | "Max" => {
                broadcast(&axes, self.axes(node.inputs[1])).ok_or_else(fail)?
            }
            "MatMul" => {
                let other = self.axes(node.inputs[1]);
                if rank < 2 || other.len() < 2 {
                    return Err(fail());
                }
                let lead = broadcast(&axes[..rank - 2], &other[..other.len() - 2]);
                let mut out = lead.ok_or_else(fail)?;
                out.extend([axes[rank - 2], other[other.len() - 1]]);
                out
            }
            "Transpose" => match attribute(node, "perm") {
                Some(Attribute::Ints(order)) if order.len() == rank => {
                    let at = |&i: &i64| usize::try_from(i).ok().and_then(|i| axes.get(i).copied());
                    order.iter().map(at).collect::<Option<_>>().ok_or_else(fail)?
                }
                _ => return Err(fail()),
            },
            "Reshape" => {
                let to = list(1)?.iter().enumerate().map(|(i, &n)| match n {
                    0 => axes.get(i).copied().unwrap_or(Axis::Unknown),
                    n => usize::try_from(n).map_or(Axis::Unknown, Axis::Fixed),
                });
                to.collect()
            }
            "Unsqueeze" => {
                let new = list(1)?;
                let rank = rank + new.len();
                let new: Vec<usize> = new.iter().filter_map(|&a| place_of(a, rank)).collect();
                let mut old = axes.iter().copied();
                let at = |i| if new.contains(&i) { Some(Axis::Fixed(1)) } else { old.next() };
                (0..rank).map(at).collect::<Option<_>>().ok_or_else(fail)?
            }
            "Squeeze" => {
                let gone: Vec<usize> = list(1)?.iter().filter_map(|&a| place_of(a, rank)).collect();
                let kept = axes.iter().enumerate().filter(|(i, _)| !gone.contains(i));
                kept.map(|(_, &axis)| axis).collect()
            }
            "ReduceSum" | "ReduceMean" | "ReduceL2" | "ReduceMax" | "ReduceSumSquare" => {
                let reduced: Vec<usize> = if node.inputs.len() > 1 {
                    list(1)?.iter().filter_map(|&a| place_of(a, rank)).collect()
                } else {
                    (0..rank).collect()
                };
                let keep = attribute(node, "keepdims") != Some(&Attribute::Int(0));
                let axis = |(i, &axis): (usize, &Axis)| match (reduced.contains(&i), keep) {
                    (false, _) => Some(axis),
                    (true, true) => Some(Axis::Fixed(1)),
                    (true, false) => None,
                };
                axes.iter().enumerate().filter_map(axis).collect()
            }
            "Gather" => {
                let rows = self.axes(node.inputs[1]);
                rows.iter().chain(axes.get(1..).ok_or_else(fail)?).copied().collect()
            }
            // Only slices along known axes, to lengths that are known when the graph runs.
            "Slice" => {
                let mut out = axes;
                let all: Vec<i64> = (0..).take(rank).collect();
                let sliced = if node.inputs.len() > 3 { list(3)? } else { &all };
                for &axis in sliced {
                    let axis = place_of(axis, rank).ok_or_else(fail)?;
                    let whole = lists.get(&node.inputs[1]).zip(lists.get(&node.inputs[2]));
                    out[axis] = match whole.map(|(starts, ends)| (*starts, *ends)) {
                        Some((&[start], &[end])) if 0 <= start && start <= end => {
                            usize::try_from(end - start).map_or(Axis::Unknown, Axis::Fixed)
                        }
                        _ => Axis::Unknown,
                    };
                }
                out
            }
            "Shape" => {
                element = ElementType::I64;
                vec![Axis::Fixed(rank)]
            }
            "Cast" => {
                element = match attribute(node, "to") {
                    Some(&Attribute::Int(code)) => ElementType::of(code).ok_or_else(fail)?,
                    _ => return Err(fail()),
                };
                axes
            }
            "Softmax" | "LogSoftmax" | "Gelu" | "Tanh" | "Identity" | "LayerNormalization" => axes,
            _ => return Err(GradientError::Operator { operator: node.operator }),
        };
        let mut statistic = out.clone();
        if let Some(last) = statistic.last_mut() {
            *last = Axis::Fixed(1);
        }
        for (i, value) in node.outputs.iter().enumerate() {
            let is_statistic = i > 0 && node.operator == "LayerNormalization";
            let axes = if is_statistic { &statistic } else { &out };
            self.known.insert(*value, (axes.clone(), element));
        }
        Ok(())
    }
}

pub(super) fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attributes.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// An axis counted from the front; negative ones count from the back.
fn place_of(axis: i64, rank: usize) -> Option<usize> {
    let from_back = || usize::try_from(-axis).ok().and_then(|back| rank.checked_sub(back));
    usize::try_from(axis).ok().or_else(from_back).filter(|&place| place < rank)
}

/// The axes of what two operands make together; none if they do not fit.
fn broadcast(a: &[Axis], b: &[Axis]) -> Option<Vec<Axis>> {
    let rank = a.len().max(b.len());
    let at = |axes: &[Axis], i: usize| {
        (i + axes.len()).checked_sub(rank).map_or(Axis::Fixed(1), |i| axes[i])
    };
    let axis = |i| match (at(a, i), at(b, i)) {
        (Axis::Fixed(1) | Axis::Unknown, other) | (other, Axis::Fixed(1) | Axis::Unknown) => {
            Some(other)
        }
        (Axis::Fixed(m), Axis::Fixed(n)) if m != n => None,
        (Axis::Named(_), fixed @ Axis::Fixed(_)) => Some(fixed),
        (one, _) => Some(one),
    };
    (0..rank).map(axis).collect()
}

impl Tensor {
    /// The numbers, if they are whole.
    pub(super) fn as_i64(&self) -> Option<&[i64]> {
        match self.numbers() {
            super::tensor::Numbers::I64(list) => Some(list),
            _ => None,
        }
    }
}

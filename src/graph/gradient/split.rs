//! A differentiated graph as two: one that runs forward and keeps what the other, which runs backward, reads.
//!
//! Invariant: run one after the other, the two give the outputs of the whole.
//!
//! So a batch can be encoded in parts, all parts compared, and each part's gradient then worked out by itself, from
//! numbers that were kept or made again.

use std::collections::{HashMap, HashSet};

use super::super::builder::{GraphBuilder, Node, Port, Value};
use super::super::shapes::Shapes;
use super::GradientError;

/// Operators that take so little time that running them again costs less memory than it costs time, when what they
/// read is there anyway.
const CHEAP: [&str; 10] =
    ["Add", "Cast", "Gelu", "Mul", "Reshape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze"];

/// A graph in two halves.
#[derive(Debug)]
pub struct Halves {
    /// Gives the outputs that were there before differentiation, and what is kept.
    pub forward: GraphBuilder,
    /// Takes what is kept, and gives the outputs that came after.
    pub backward: GraphBuilder,
    /// What is kept: outputs of the one and inputs of the other, by name.
    pub kept: Vec<String>,
}

impl GraphBuilder {
    /// How many nodes there are: where to split a graph that is about to be differentiated.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Splits before node `at`.
    ///
    /// # Errors
    /// [`GradientError`] if the shape of what is kept is not known.
    pub fn halves(&self, at: usize) -> Result<Halves, GradientError> {
        let (mut before, after) = (self.nodes[..at].to_vec(), &self.nodes[at..]);
        // How long the axes of a forward value are takes a few bytes; the value may take megabytes.
        let made: HashSet<Value> = before.iter().flat_map(|n| n.outputs.clone()).collect();
        let is_shape = |n: &&Node| n.operator == "Shape" && made.contains(&n.inputs[0]);
        before.extend(after.iter().filter(is_shape).cloned());
        let after: Vec<Node> = after.iter().filter(|n| !is_shape(n)).cloned().collect();

        let places: HashMap<Value, usize> = before
            .iter()
            .enumerate()
            .flat_map(|(i, n)| n.outputs.iter().map(move |&v| (v, i)))
            .collect();
        let (outputs_before, outputs_after): (Vec<Port>, Vec<Port>) =
            self.outputs.iter().cloned().partition(|port| places.contains_key(&port.value));
        let after = without_dead(after, outputs_after.iter().map(|port| port.value));

        let mut read: Vec<Value> = after.iter().flat_map(|n| n.inputs.clone()).collect();
        read.retain(|value| places.contains_key(value));
        read.sort_by_key(|value| places[value]);
        read.dedup();
        let mut again =
            Again { nodes: &before, places: &places, there: self.given(), chosen: Vec::new() };
        let mut kept = Vec::new();
        for value in read {
            if !again.try_value(value) {
                kept.push(value);
            }
            again.there.insert(value);
        }
        let mut nodes_after: Vec<Node> = again.chosen.iter().map(|&i| before[i].clone()).collect();
        nodes_after.extend(after);

        let forward = Self { nodes: before, ..self.clone() };
        let shapes = Shapes::of(&forward)?;
        let port = |&value: &Value| Port {
            value,
            element: shapes.element(value),
            axes: shapes.axes(value).to_vec(),
        };
        let ports: Vec<Port> = kept.iter().map(port).collect();
        let outputs = outputs_before.into_iter().chain(ports.iter().cloned()).collect();
        let forward = forward.restricted(Vec::new(), outputs);
        let backward = Self { nodes: nodes_after, ..self.clone() };
        let backward = backward.restricted(ports, outputs_after);
        let kept = kept.iter().map(|&value| self.name_of(value).to_owned()).collect();
        Ok(Halves { forward, backward, kept })
    }

    /// What is there without running a node.
    fn given(&self) -> HashSet<Value> {
        let inputs = self.inputs.iter().map(|port| port.value);
        inputs.chain(self.constants.iter().map(|(value, _)| *value)).collect()
    }

    /// The graph with these outputs, and without all that they do not need.
    fn restricted(mut self, more_inputs: Vec<Port>, outputs: Vec<Port>) -> Self {
        self.nodes = without_dead(self.nodes, outputs.iter().map(|port| port.value));
        let read: HashSet<Value> = self.nodes.iter().flat_map(|n| n.inputs.clone()).collect();
        self.inputs.extend(more_inputs);
        self.inputs.retain(|port| read.contains(&port.value));
        self.constants.retain(|(value, _)| read.contains(value));
        self.outputs = outputs;
        self
    }
}

/// The nodes that lead to the outputs.
fn without_dead(nodes: Vec<Node>, outputs: impl Iterator<Item = Value>) -> Vec<Node> {
    let mut live: HashSet<Value> = outputs.collect();
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes.into_iter().rev() {
        if node.outputs.iter().any(|output| live.contains(output)) {
            live.extend(&node.inputs);
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

/// Forward nodes that run a second time in the backward half.
struct Again<'a> {
    nodes: &'a [Node],
    places: &'a HashMap<Value, usize>,
    there: HashSet<Value>,
    chosen: Vec<usize>,
}

impl Again<'_> {
    /// Takes a value's node, and those that it needs, if all are cheap and what they read is there.
    fn try_value(&mut self, value: Value) -> bool {
        if self.there.contains(&value) {
            return true;
        }
        let Some(&at) = self.places.get(&value) else { return false };
        let node = &self.nodes[at];
        let so_far = self.chosen.len();
        if !CHEAP.contains(&node.operator)
            || !node.inputs.iter().all(|&input| self.try_value(input))
        {
            for at in self.chosen.drain(so_far..) {
                for output in &self.nodes[at].outputs {
                    self.there.remove(output);
                }
            }
            return false;
        }
        self.chosen.push(at);
        self.there.extend(&node.outputs);
        true
    }
}

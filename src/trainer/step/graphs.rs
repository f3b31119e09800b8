//! The graphs of a training step, and what they begin with.
//!
//! Invariant: the names by which the graphs pass values to each other are those that [`OnnxStep`](super::OnnxStep)
//! keeps them by.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::StepError;
use super::config::{StepConfig, Trained, fed_of, loss_of};
use crate::graph::{
    Axis, BertConfig, ElementType, GraphBuilder, Halves, LowRank, Parameter, Tensor, Trainable,
    TrainingEncoder, Weights, adamw, bert_for_training,
};
use crate::model::Adapter;

#[derive(Debug)]
pub(super) struct Graphs {
    pub(super) halves: Halves,
    pub(super) loss: GraphBuilder,
    pub(super) update: GraphBuilder,
    /// What is trained.
    pub(super) trainables: Vec<Trainable>,
    /// Weights with low-rank changes.
    pub(super) changed: Vec<Trainable>,
    /// Weights that are fed and not trained themselves, before any change.
    pub(super) weights: BTreeMap<String, Tensor>,
    /// What is trained, and the optimizer's moments, before the first step.
    pub(super) initial: BTreeMap<String, Tensor>,
}

impl Graphs {
    pub(super) fn new(
        bert: &BertConfig,
        weights: &dyn Weights,
        config: &StepConfig,
        seed: u64,
    ) -> Result<Self, StepError> {
        let TrainingEncoder { mut graph, vectors, parameters } =
            bert_for_training(bert, weights, fed_of(&config.trained))?;
        let axes = [Axis::Named("batch"), Axis::Fixed(bert.dim())];
        graph.output("vectors", vectors, ElementType::F32, &axes);
        let end_of_forward = graph.node_count();
        let seeds = graph.input("vector_gradients", ElementType::F32, &axes);

        let mut parts = Parts::default();
        match &config.trained {
            Trained::LowRank(adapter) => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                for parameter in parameters {
                    if adapter.changes(&parameter.name) {
                        parts.change(&mut graph, parameter, adapter, &mut random);
                    } else {
                        parts.weights.insert(parameter.name, parameter.tensor);
                    }
                }
            }
            Trained::AllButWords | Trained::All => {
                for Parameter { name, value, tensor } in parameters {
                    parts.train(name, value, tensor);
                }
            }
        }
        let gradients = graph.gradients(&[(vectors, seeds)], &parts.wanted, &parts.low_rank)?;
        for (trainable, gradient) in parts.trainables.iter().zip(gradients) {
            let axes: Vec<Axis> = trainable.dims.iter().map(|&n| Axis::Fixed(n)).collect();
            let so_far = format!("so_far.{}", trainable.name);
            let so_far = graph.input(&so_far, ElementType::F32, &axes);
            let sum = graph.add(so_far, gradient);
            graph.output(&format!("gradient.{}", trainable.name), sum, ElementType::F32, &axes);
        }
        Ok(Self {
            halves: graph.halves(end_of_forward)?,
            loss: loss_of(config, bert).graph()?,
            update: adamw(&config.optimizer, &parts.trainables),
            trainables: parts.trainables,
            changed: parts.changed,
            weights: parts.weights,
            initial: parts.initial,
        })
    }
}

impl Adapter {
    /// What a product of factors counts times.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small")]
    pub(super) fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }

    /// Whether a weight of the encoder's layers is changed.
    fn changes(&self, name: &str) -> bool {
        let layer = name.strip_prefix("encoder.layer.").and_then(|rest| rest.split('.').next());
        let layer: Option<usize> = layer.and_then(|layer| layer.parse().ok());
        layer.is_some_and(|layer| self.layers.as_ref().is_none_or(|all| all.contains(&layer)))
    }
}

#[derive(Default)]
struct Parts {
    trainables: Vec<Trainable>,
    changed: Vec<Trainable>,
    weights: BTreeMap<String, Tensor>,
    initial: BTreeMap<String, Tensor>,
    wanted: Vec<crate::graph::Value>,
    low_rank: Vec<LowRank>,
}

impl Parts {
    fn train(&mut self, name: String, value: crate::graph::Value, tensor: Tensor) {
        let dims = tensor.dims().to_vec();
        let length = dims.iter().product();
        for moment in ["first", "second"] {
            let zeros = Tensor::f32(&dims, vec![0.0; length]);
            self.initial.insert(format!("{moment}.{name}"), zeros);
        }
        self.initial.insert(name.clone(), tensor);
        self.trainables.push(Trainable { name, dims });
        self.wanted.push(value);
    }

    /// The change begins as 0: `a` is random, with variance 1 over the inputs, and `b` is 0.
    fn change(
        &mut self,
        graph: &mut GraphBuilder,
        Parameter { name, value, tensor }: Parameter,
        adapter: &Adapter,
        random: &mut ChaCha8Rng,
    ) {
        let (dims, rank) = (tensor.dims().to_vec(), adapter.rank);
        let (inputs, outputs) = (dims[0], dims[1]);
        #[expect(clippy::cast_precision_loss, reason = "a layer is small")]
        let spread = (3.0 / inputs as f32).sqrt();
        let a = (0..inputs * rank).map(|_| spread * symmetric(random)).collect();
        let factors = [
            ("a", Tensor::f32(&[inputs, rank], a)),
            ("b", Tensor::f32(&[rank, outputs], vec![0.0; rank * outputs])),
        ];
        let [a, b] = factors.map(|(part, tensor)| {
            let name = format!("{name}.{part}");
            let axes: Vec<Axis> = tensor.dims().iter().map(|&n| Axis::Fixed(n)).collect();
            let value = graph.input(&name, ElementType::F32, &axes);
            self.train(name, value, tensor);
            value
        });
        self.low_rank.push(LowRank { weight: value, a, b, scale: adapter.scale() });
        self.weights.insert(name.clone(), tensor);
        self.changed.push(Trainable { name, dims });
    }
}

/// Evenly from -1 to 1, in 24 bits.
fn symmetric(random: &mut ChaCha8Rng) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
    let unit = (random.next_u32() >> 8) as f32 / (1_u32 << 23) as f32;
    unit - 1.0
}

//! The loss that encoders are trained with, as a graph: vectors in, loss and gradients of the vectors out.
//!
//! With `s[i, j]` the cosine of query `i` and passage `j` over the temperature, and `allowed[i, j]` 0 where passage
//! `j` is no negative of query `i`: the mean over queries of `-log softmax(s[i])[i]`, the softmax over allowed
//! passages. The symmetrical loss is the mean of that and of the same with queries and passages exchanged, over the
//! first `queries` passages. With Matryoshka dims it is the mean over vectors cut to each dim (and whole), brought to
//! length 1 again.
//!
//! Invariant: passage `i` answers query `i`; passages past the queries are further negatives.
//!
//! Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), with the mask
//! of Qu et al., `RocketQA` (2021); Kusupati et al., "Matryoshka Representation Learning" (2022).

use super::builder::{Attribute, Axis, GraphBuilder, Value};
use super::gradient::GradientError;
use super::tensor::ElementType;

/// What is added to a score that does not count.
const NOT_ALLOWED: f32 = -10_000.0;

/// Terms that hold a model near another's vectors, weighed against the contrastive loss's 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distillation {
    /// Of the mean of 1 - cosine with a text's target vector, over texts that have one.
    pub vectors: f32,
    /// Of the mean over queries of the divergence (Kullback-Leibler) of the softmax over allowed passages from that of
    /// the target cosines, at the loss's temperature.
    pub similarities: f32,
}

/// How vectors are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct ContrastiveLoss {
    /// How many numbers a vector has.
    pub dim: usize,
    /// What cosines are divided by.
    pub temperature: f32,
    /// Whether passages look for their queries as well.
    pub symmetrical: bool,
    /// Shorter vectors that are trained beside whole ones.
    pub matryoshka: Vec<usize>,
    /// Further terms.
    pub distillation: Distillation,
}

impl ContrastiveLoss {
    /// Writes the graph.
    ///
    /// Inputs, all f32: `queries` `[queries, dim]`, `passages` `[passages, dim]`, `allowed` and `positive` `[queries,
    /// passages]` of 0 or 1. With distillation of vectors: `query_targets` and `passage_targets` as the vectors,
    /// `query_weights` `[queries, 1]` and `passage_weights` `[passages, 1]` (0 for none). With distillation of
    /// similarities: `target_similarities` `[queries, passages]`, and `held`, one number that the term counts times (0: this
    /// batch is held to none).
    ///
    /// Outputs: `loss`, `query_gradients`, `passage_gradients`, and `best` (i64 `[queries]`), the allowed passage
    /// nearest to each query.
    ///
    /// # Errors
    /// [`GradientError`] if a Matryoshka dim is no part of the vectors.
    pub fn graph(&self) -> Result<GraphBuilder, GradientError> {
        if self.matryoshka.iter().any(|&dim| dim == 0 || dim > self.dim) {
            return Err(GradientError::Shape { operator: "Slice" });
        }
        let mut graph = GraphBuilder::new();
        let vectors = |rows| [Axis::Named(rows), Axis::Fixed(self.dim)];
        let (by_query, by_passage) = (vectors("queries"), vectors("passages"));
        let queries = graph.input("queries", ElementType::F32, &by_query);
        let passages = graph.input("passages", ElementType::F32, &by_passage);
        let matrix = [Axis::Named("queries"), Axis::Named("passages")];
        let allowed = graph.input("allowed", ElementType::F32, &matrix);
        let positive = graph.input("positive", ElementType::F32, &matrix);
        let mut compare =
            Compare { graph: &mut graph, loss: self, positive, masked: None, losses: Vec::new() };
        compare.mask(allowed);
        let scores = compare.all(queries, passages);
        let mut loss = compare.mean();
        if self.distillation.similarities > 0.0 {
            let targets = compare.graph.input("target_similarities", ElementType::F32, &matrix);
            let held = compare.graph.input("held", ElementType::F32, &[]);
            let term = compare.divergence(scores, targets);
            let term = compare.graph.mul(term, held);
            loss = compare.weighted(loss, term, self.distillation.similarities);
        }
        if self.distillation.vectors > 0.0 {
            let term = compare
                .distance(&[(queries, "query", by_query), (passages, "passage", by_passage)]);
            loss = compare.weighted(loss, term, self.distillation.vectors);
        }
        let best = [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))];
        let one = graph.scalar(1.0);
        let gradients = graph.gradients(&[(loss, one)], &[queries, passages], &[])?;
        let best = graph.op("ArgMax", &[scores], &best);
        graph.output("loss", loss, ElementType::F32, &[]);
        graph.output("query_gradients", gradients[0], ElementType::F32, &by_query);
        graph.output("passage_gradients", gradients[1], ElementType::F32, &by_passage);
        graph.output("best", best, ElementType::I64, &[Axis::Named("queries")]);
        Ok(graph)
    }
}

struct Compare<'a> {
    graph: &'a mut GraphBuilder,
    loss: &'a ContrastiveLoss,
    positive: Value,
    /// What is added to scores, `[queries, passages]`.
    masked: Option<Value>,
    losses: Vec<Value>,
}

impl Compare<'_> {
    fn mask(&mut self, allowed: Value) {
        let one = self.graph.scalar(1.0);
        let refused = self.graph.sub(one, allowed);
        let masked = self.graph.scalar(NOT_ALLOWED);
        self.masked = Some(self.graph.mul(refused, masked));
    }

    /// Adds the loss at each dim, and gives the whole vectors' scores.
    fn all(&mut self, queries: Value, passages: Value) -> Value {
        let whole = self.scores(queries, passages);
        self.contrast(whole);
        for &dim in &self.loss.matryoshka {
            let [queries, passages] = [queries, passages].map(|x| self.cut(x, dim));
            let scores = self.scores(queries, passages);
            self.contrast(scores);
        }
        whole
    }

    fn cut(&mut self, x: Value, dim: usize) -> Value {
        let dim = i64::try_from(dim).expect("a vector is shorter than memory");
        let (zero, end, axis) =
            (self.graph.list(&[0]), self.graph.list(&[dim]), self.graph.list(&[1]));
        let part = self.graph.op("Slice", &[x, zero, end, axis], &[]);
        let length = self.graph.length(part, -1);
        self.graph.div(part, length)
    }

    /// Cosines over the temperature, far below all others where not allowed.
    fn scores(&mut self, queries: Value, passages: Value) -> Value {
        let turned = self.graph.transpose(passages, &[1, 0]);
        let cosines = self.graph.matmul(queries, turned);
        self.scaled(cosines)
    }

    fn scaled(&mut self, cosines: Value) -> Value {
        let sharper = self.graph.scalar(self.loss.temperature.recip());
        let scores = self.graph.mul(cosines, sharper);
        match self.masked {
            Some(masked) => self.graph.add(scores, masked),
            None => scores,
        }
    }

    fn contrast(&mut self, scores: Value) {
        let found = self.one_way(scores, self.positive);
        self.losses.push(found);
        if self.loss.symmetrical {
            let [scores, positive] =
                [scores, self.positive].map(|x| self.graph.transpose(x, &[1, 0]));
            let found = self.one_way(scores, positive);
            self.losses.push(found);
        }
    }

    /// The sum of the positives' negative logarithms, over how many there are.
    fn one_way(&mut self, scores: Value, positive: Value) -> Value {
        let logarithms = self.graph.log_softmax(scores);
        let taken = self.graph.mul(logarithms, positive);
        let sum = self.graph.total(taken);
        let minus = self.graph.scalar(-1.0);
        let sum = self.graph.mul(sum, minus);
        let count = self.graph.total(positive);
        self.graph.div(sum, count)
    }

    fn mean(&mut self) -> Value {
        let losses = std::mem::take(&mut self.losses);
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let share = self.graph.scalar((losses.len() as f32).recip());
        let sum = losses.into_iter().reduce(|a, b| self.graph.add(a, b));
        self.graph.mul(sum.expect("at least that of whole vectors"), share)
    }

    fn weighted(&mut self, loss: Value, term: Value, weight: f32) -> Value {
        let weight = self.graph.scalar(weight);
        let term = self.graph.mul(term, weight);
        self.graph.add(loss, term)
    }

    fn divergence(&mut self, scores: Value, targets: Value) -> Value {
        let targets = self.scaled(targets);
        let wanted = self.graph.log_softmax(targets);
        let found = self.graph.log_softmax(scores);
        let probabilities = self.graph.softmax(targets);
        let apart = self.graph.sub(wanted, found);
        let apart = self.graph.mul(probabilities, apart);
        let sum = self.graph.total(apart);
        let count = self.graph.total(self.positive);
        self.graph.div(sum, count)
    }

    /// The weighted mean of 1 - cosine; 0 where nothing has a target.
    fn distance(&mut self, sides: &[(Value, &'static str, [Axis; 2])]) -> Value {
        let (mut sums, mut counts) = (Vec::new(), Vec::new());
        for &(vectors, side, axes) in sides {
            let targets = self.graph.input(&format!("{side}_targets"), ElementType::F32, &axes);
            let one_each = [axes[0], Axis::Fixed(1)];
            let weights = self.graph.input(&format!("{side}_weights"), ElementType::F32, &one_each);
            let product = self.graph.mul(vectors, targets);
            let cosine = self.graph.sum(product, 1);
            let one = self.graph.scalar(1.0);
            let distance = self.graph.sub(one, cosine);
            let weighted = self.graph.mul(distance, weights);
            sums.push(self.graph.total(weighted));
            counts.push(self.graph.total(weights));
        }
        let sum = self.graph.add(sums[0], sums[1]);
        let count = self.graph.add(counts[0], counts[1]);
        // Texts are counted whole, so this changes no count but 0, whose gradient would leave 32 bits.
        let least = self.graph.scalar(1.0);
        let count = self.graph.max(count, least);
        self.graph.div(sum, count)
    }
}

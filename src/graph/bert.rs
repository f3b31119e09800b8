//! The BERT encoder as a graph: token ids in, one unit vector a text out.
//!
//! Invariant: inputs are `input_ids` and `attention_mask`, i64 `[batch, seq]`; the output is
//! `sentence_embedding`, f32 `[batch, hidden]`, each row of length 1. Padding (mask 0) has no influence on a
//! row in [`Numeric::F32`]; in [`Numeric::Int8`] it takes part in the range that activations are rounded in.
//!
//! Source: Devlin et al., "BERT" (2018), with the mean pooling of Reimers and Gurevych, "Sentence-BERT" (2019).

use serde::{Deserialize, Serialize};

use super::builder::{Axis, GraphBuilder, Value};
use super::quantize::{self, BLOCK};
use super::tensor::{ElementType, Tensor};
use super::weights::{Weights, WeightsError};

/// What is added to the score of a padded token before the softmax.
const MASKED: f32 = -10_000.0;

/// How large a BERT encoder is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of a BERT's parts")]
pub struct BertConfig {
    pub layers: usize,
    pub heads: usize,
    pub hidden: usize,
    /// Numbers a token in the middle of a feed-forward layer.
    pub inner: usize,
    pub vocabulary: usize,
    /// How many tokens a text may have.
    pub positions: usize,
    pub token_types: usize,
    /// Added to a variance before its root is taken.
    pub epsilon: f32,
}

impl BertConfig {
    fn check(&self) -> Result<(), WeightsError> {
        let reason = if self.heads == 0 || !self.hidden.is_multiple_of(self.heads) {
            format!("{} numbers a token are not shared by {} heads", self.hidden, self.heads)
        } else if !self.hidden.is_multiple_of(BLOCK) || self.hidden == 0 {
            format!("{} numbers a token are no multiple of {BLOCK}", self.hidden)
        } else if self.token_types == 0 || self.positions == 0 || self.inner == 0 {
            "a part of it is empty".to_owned()
        } else {
            return Ok(());
        };
        Err(WeightsError::Config { reason })
    }
}

/// In which numbers the linear layers work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numeric {
    /// 32-bit floating point.
    F32,
    /// Weights in 8 bits, a scale for each output; activations in 8 bits, in the range that they have in
    /// the batch; word embeddings in 8 bits, a scale for each 32 numbers.
    ///
    /// Before the two feed-forward layers each token is first brought to a range of 1. A few tokens are up to thirty
    /// times larger there than the rest, and would set the range of a whole batch. On multilingual-e5-small, 236
    /// texts in 10 languages against f32: cosine .9985 or more with it, .9905 without; 1.2 times the time.
    Int8,
}

/// How large the inputs of a linear layer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// About as large in each token.
    Even,
    /// Much larger in some tokens than in others.
    Uneven,
    /// The same, and never below [`GELU_LEAST`].
    UnevenAfterGelu,
}

/// GELU's least value is -0.16997.
const GELU_LEAST: f32 = 0.17;

/// Builds the encoder.
///
/// # Errors
/// [`WeightsError`] if a weight is missing or has other dims than `config` says.
pub fn bert_encoder(
    config: &BertConfig,
    weights: &dyn Weights,
    numeric: Numeric,
) -> Result<GraphBuilder, WeightsError> {
    config.check()?;
    let mut bert = Bert { graph: GraphBuilder::new(), config, weights, numeric };
    bert.build()?;
    Ok(bert.graph)
}

struct Bert<'a> {
    graph: GraphBuilder,
    config: &'a BertConfig,
    weights: &'a dyn Weights,
    numeric: Numeric,
}

impl Bert<'_> {
    fn build(&mut self) -> Result<(), WeightsError> {
        let tokens = [Axis::Named("batch"), Axis::Named("seq")];
        let ids = self.graph.input("input_ids", ElementType::I64, &tokens);
        let mask = self.graph.input("attention_mask", ElementType::I64, &tokens);
        let mask = self.graph.cast(mask, ElementType::F32);
        let ignored = self.ignored(mask);
        let mut x = self.embed(ids)?;
        for layer in 0..self.config.layers {
            x = self.layer(layer, x, ignored)?;
        }
        let pooled = self.pool(x, mask);
        let axes = [Axis::Named("batch"), Axis::Fixed(self.config.hidden)];
        self.graph.output("sentence_embedding", pooled, ElementType::F32, &axes);
        Ok(())
    }

    /// What is added to attention scores, `[batch, 1, 1, seq]`: 0, or [`MASKED`] for padding.
    fn ignored(&mut self, mask: Value) -> Value {
        let mask = self.graph.unsqueeze(mask, &[1, 2]);
        let one = self.graph.scalar(1.0);
        let padding = self.graph.sub(one, mask);
        let masked = self.graph.scalar(MASKED);
        self.graph.mul(padding, masked)
    }

    fn embed(&mut self, ids: Value) -> Result<Value, WeightsError> {
        let hidden = self.config.hidden;
        let words = self.words(ids)?;
        // All texts are of token type 0, so its embedding is part of each position's.
        let types = self.config.token_types;
        let types = self.get("embeddings.token_type_embeddings.weight", &[types, hidden])?;
        let rows = self.config.positions;
        let mut places = self.get("embeddings.position_embeddings.weight", &[rows, hidden])?;
        for place in places.chunks_exact_mut(hidden) {
            place.iter_mut().zip(&types).for_each(|(p, t)| *p += t);
        }
        let places = self.graph.constant("positions", Tensor::f32(&[rows, hidden], places));
        // Sliced and not gathered on purpose: ONNX Runtime 1.31 then does not learn that the sums before norms have
        // equal shapes, and leaves them alone. Its fused operator for both takes a quarter of all time on a CPU
        // (1.4 times as long in all).
        let shape = self.graph.op("Shape", &[ids], &[]);
        let (zero, one, two) =
            (self.graph.list(&[0]), self.graph.list(&[1]), self.graph.list(&[2]));
        let seq = self.graph.op("Slice", &[shape, one, two], &[]);
        let places = self.graph.op("Slice", &[places, zero, seq, zero], &[]);
        let x = self.graph.add(words, places);
        self.norm("embeddings.LayerNorm", x)
    }

    fn words(&mut self, ids: Value) -> Result<Value, WeightsError> {
        let (rows, hidden) = (self.config.vocabulary, self.config.hidden);
        let name = "embeddings.word_embeddings.weight";
        let table = self.get(name, &[rows, hidden])?;
        if let Numeric::F32 = self.numeric {
            let table = self.graph.constant(name, Tensor::f32(&[rows, hidden], table));
            return Ok(self.graph.gather(table, ids));
        }
        let blocks = hidden / BLOCK;
        let quantized = quantize::blocks(&table);
        let codes = Tensor::i8(&[rows, hidden], quantized.codes);
        let scales = Tensor::f16(&[rows, blocks], quantized.scales);
        let codes = self.graph.constant(name, codes);
        let scales = self.graph.constant("embeddings.word_embeddings.scale", scales);
        let codes = self.graph.gather(codes, ids);
        let codes = self.graph.cast(codes, ElementType::F32);
        let codes = self.graph.reshape(codes, &[0, 0, as_i64(blocks), as_i64(BLOCK)]);
        let scales = self.graph.gather(scales, ids);
        let scales = self.graph.cast(scales, ElementType::F32);
        let scales = self.graph.unsqueeze(scales, &[-1]);
        let words = self.graph.mul(codes, scales);
        Ok(self.graph.reshape(words, &[0, 0, as_i64(hidden)]))
    }

    fn layer(&mut self, layer: usize, x: Value, ignored: Value) -> Result<Value, WeightsError> {
        let layer = format!("encoder.layer.{layer}");
        let (hidden, inner) = (self.config.hidden, self.config.inner);
        let context = (self.attention(&layer, x, ignored)?, Range::Even);
        let name = format!("{layer}.attention.output.dense");
        let attended = self.linear(&name, &[""], context, hidden, hidden)?;
        let x = self.graph.add(attended, x);
        let x = self.norm(&format!("{layer}.attention.output.LayerNorm"), x)?;
        let name = format!("{layer}.intermediate.dense");
        let wide = self.linear(&name, &[""], (x, Range::Uneven), hidden, inner)?;
        let wide = (self.graph.gelu(wide), Range::UnevenAfterGelu);
        let narrow = self.linear(&format!("{layer}.output.dense"), &[""], wide, inner, hidden)?;
        let x = self.graph.add(narrow, x);
        self.norm(&format!("{layer}.output.LayerNorm"), x)
    }

    fn attention(&mut self, layer: &str, x: Value, ignored: Value) -> Result<Value, WeightsError> {
        let (hidden, heads) = (self.config.hidden, self.config.heads);
        let split = [0, 0, as_i64(heads), as_i64(hidden / heads)];
        // One product for the three: the input is quantized once, and the product is larger.
        let parts = [".query", ".key", ".value"];
        let name = format!("{layer}.attention.self");
        let all = self.linear(&name, &parts, (x, Range::Even), hidden, hidden)?;
        let [query, key, value] = self.graph.split(all);
        let mut heads_of = |x, order: &[i64]| {
            let x = self.graph.reshape(x, &split);
            self.graph.transpose(x, order)
        };
        let query = heads_of(query, &[0, 2, 1, 3]);
        let key = heads_of(key, &[0, 2, 3, 1]);
        let value = heads_of(value, &[0, 2, 1, 3]);
        let scores = self.graph.matmul(query, key);
        #[expect(clippy::cast_precision_loss, reason = "a head has few numbers")]
        let scale = self.graph.scalar(((hidden / heads) as f32).sqrt().recip());
        let scores = self.graph.mul(scores, scale);
        let scores = self.graph.add(scores, ignored);
        let weights = self.graph.softmax(scores);
        let context = self.graph.matmul(weights, value);
        let context = self.graph.transpose(context, &[0, 2, 1, 3]);
        Ok(self.graph.reshape(context, &[0, 0, as_i64(hidden)]))
    }

    /// Linear layers with one input, side by side: those whose names are `layer` and each of `parts`.
    fn linear(
        &mut self,
        layer: &str,
        parts: &[&str],
        (x, range): (Value, Range),
        inputs: usize,
        outputs: usize,
    ) -> Result<Value, WeightsError> {
        let mut weight = Vec::with_capacity(parts.len() * inputs * outputs);
        let mut bias = Vec::with_capacity(parts.len() * outputs);
        for part in parts {
            weight.extend(self.get(&format!("{layer}{part}.weight"), &[outputs, inputs])?);
            bias.extend(self.get(&format!("{layer}{part}.bias"), &[outputs])?);
        }
        let outputs = outputs * parts.len();
        let product = match self.numeric {
            Numeric::F32 => {
                let weight = Tensor::f32(&[inputs, outputs], transposed(&weight, inputs));
                let weight = self.graph.constant(&format!("{layer}.weight"), weight);
                self.graph.matmul(x, weight)
            }
            Numeric::Int8 => {
                let largest = self.largest(x, range);
                let x = largest.map_or(x, |largest| self.graph.div(x, largest));
                let product = self.product_of_integers(layer, x, &weight, inputs);
                largest.map_or(product, |largest| self.graph.mul(product, largest))
            }
        };
        let bias = self.graph.constant(&format!("{layer}.bias"), Tensor::f32(&[outputs], bias));
        Ok(self.graph.add(product, bias))
    }

    /// The largest magnitude in each token, `[batch, seq, 1]`, where tokens differ. Reading what GELU gave needs no
    /// magnitudes, and so one pass less over the widest numbers that there are.
    fn largest(&mut self, x: Value, range: Range) -> Option<Value> {
        let (magnitudes, least) = match range {
            Range::Even => return None,
            Range::Uneven => (self.graph.op("Abs", &[x], &[]), f32::MIN_POSITIVE),
            Range::UnevenAfterGelu => (x, GELU_LEAST),
        };
        let largest = self.graph.largest(magnitudes, -1);
        let least = self.graph.scalar(least);
        Some(self.graph.max(largest, least))
    }

    /// The pattern that ONNX Runtime fuses into one operator, with a bias that follows it.
    fn product_of_integers(
        &mut self,
        layer: &str,
        x: Value,
        weight: &[f32],
        inputs: usize,
    ) -> Value {
        let columns = quantize::columns(weight, inputs);
        let outputs = columns.scales.len();
        let codes = Tensor::i8(&[inputs, outputs], columns.codes);
        let codes = self.graph.constant(&format!("{layer}.weight"), codes);
        let scales = Tensor::f32(&[outputs], columns.scales);
        let scales = self.graph.constant(&format!("{layer}.scale"), scales);
        let zero = self.graph.constant(&format!("{layer}.zero"), Tensor::i8(&[], vec![0]));
        let [x, x_scale, x_zero] = self.graph.op_of("DynamicQuantizeLinear", &[x], &[]);
        let product = self.graph.op("MatMulInteger", &[x, codes, x_zero, zero], &[]);
        let product = self.graph.cast(product, ElementType::F32);
        let scale = self.graph.mul(x_scale, scales);
        self.graph.mul(product, scale)
    }

    fn norm(&mut self, name: &str, x: Value) -> Result<Value, WeightsError> {
        let hidden = self.config.hidden;
        let mut part = |part: &str| {
            let name = format!("{name}.{part}");
            let numbers = self.get(&name, &[hidden])?;
            Ok(self.graph.constant(&name, Tensor::f32(&[hidden], numbers)))
        };
        let (scale, shift) = (part("weight")?, part("bias")?);
        Ok(self.graph.layer_norm(x, scale, shift, self.config.epsilon))
    }

    fn pool(&mut self, x: Value, mask: Value) -> Value {
        let graph = &mut self.graph;
        let seen = graph.unsqueeze(mask, &[-1]);
        let x = graph.mul(x, seen);
        let sum = graph.sum(x, 1);
        let tokens = graph.sum(seen, 1);
        let mean = graph.div(sum, tokens);
        let length = graph.length(mean, -1);
        let unit = graph.div(mean, length);
        let axis = graph.list(&[1]);
        graph.op("Squeeze", &[unit, axis], &[])
    }

    fn get(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let numbers = self.weights.tensor(name, dims)?;
        if numbers.len() != dims.iter().product::<usize>() {
            let (name, found) = (name.to_owned(), numbers.len());
            return Err(WeightsError::Dims { name, found, dims: dims.to_vec() });
        }
        if numbers.iter().any(|x| !x.is_finite()) {
            return Err(WeightsError::NotFinite { name: name.to_owned() });
        }
        Ok(numbers)
    }
}

fn transposed(rows: &[f32], columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for column in 0..columns {
        out.extend(rows[column..].iter().step_by(columns));
    }
    out
}

fn as_i64(length: usize) -> i64 {
    i64::try_from(length).expect("no axis is longer than memory")
}

//! The BERT encoder as a graph: token ids in, one unit vector a text out.
//!
//! Invariant: inputs are `input_ids` and `attention_mask`, i64 `[batch, seq]`; the output is
//! `sentence_embedding`, f32 `[batch, dim]`, each row of length 1. Padding (mask 0) has no influence on a
//! row, but in [`Numeric::Int8`] it takes part in the range that activations are rounded in.
//!
//! Source: Devlin et al., "BERT" (2018), with the mean pooling of Reimers and Gurevych, "Sentence-BERT" (2019).

mod config;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::builder::{Axis, GraphBuilder, Value};
use super::fed::{Fed, Parameter, TrainingEncoder};
use super::quantize::{self, BLOCK};
use super::tensor::{ElementType, Tensor};
use super::weights::{Weights, WeightsError};
use crate::encoder::Pooling;

pub use config::{Activation, BertConfig, Head};

/// What is added to the score of a padded token before the softmax.
const MASKED: f32 = -10_000.0;

/// In which numbers the layers work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numeric {
    /// 32-bit floating point.
    F32,
    /// Weights and what passes between operators in 16-bit floating point; pooling and all after it in 32.
    ///
    /// 16 bits reach to 65,504. In the default model, on 351 texts in 128 languages (and without any: code, one word
    /// again and again), no number passed 384, which is a score of attention before it is scaled.
    F16,
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

/// The constant that holds position and token type embeddings together.
pub(super) const POSITIONS: &str = "positions";

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
    let mut bert = Bert::new(config, weights, numeric, None);
    let vectors = bert.build()?;
    let axes = [Axis::Named("batch"), Axis::Fixed(config.dim())];
    bert.graph.output("sentence_embedding", vectors, ElementType::F32, &axes);
    Ok(bert.graph)
}

/// Builds the encoder in f32 with the weights that `fed` names as inputs, ready to be differentiated. Inputs are
/// `attention_mask` and `word_vectors`, f32 `[batch, seq, hidden]`, the texts' rows of the word embeddings (or
/// `input_ids`, where the word embeddings are trained); the output stays to be named.
///
/// # Errors
/// As [`bert_encoder`].
pub fn bert_for_training(
    config: &BertConfig,
    weights: &dyn Weights,
    fed: Fed,
) -> Result<TrainingEncoder, WeightsError> {
    config.check()?;
    let mut bert = Bert::new(config, weights, Numeric::F32, Some(fed));
    let vectors = bert.build()?;
    Ok(TrainingEncoder { graph: bert.graph, vectors, parameters: bert.parameters })
}

struct Bert<'a> {
    graph: GraphBuilder,
    config: &'a BertConfig,
    weights: &'a dyn Weights,
    numeric: Numeric,
    /// What is fed at each run; nothing in a graph for inference.
    fed: Option<Fed>,
    parameters: Vec<Parameter>,
}

impl<'a> Bert<'a> {
    fn new(
        config: &'a BertConfig,
        weights: &'a dyn Weights,
        numeric: Numeric,
        fed: Option<Fed>,
    ) -> Self {
        let (graph, parameters) = (GraphBuilder::new(), Vec::new());
        Self { graph, config, weights, numeric, fed, parameters }
    }

    /// The texts' vectors, `[batch, dim]`.
    fn build(&mut self) -> Result<Value, WeightsError> {
        let tokens = [Axis::Named("batch"), Axis::Named("seq")];
        let words_are_fed = matches!(self.fed, Some(Fed::LinearLayers | Fed::AllButWords));
        let ids =
            (!words_are_fed).then(|| self.graph.input("input_ids", ElementType::I64, &tokens));
        let mask = self.graph.input("attention_mask", ElementType::I64, &tokens);
        let words = if let Some(ids) = ids {
            self.words(ids)?
        } else {
            let axes = [tokens[0], tokens[1], Axis::Fixed(self.config.hidden)];
            self.graph.input("word_vectors", ElementType::F32, &axes)
        };
        let tokens = ids.unwrap_or(mask);
        let mask = self.graph.cast(mask, ElementType::F32);
        let mut ignored = self.ignored(mask);
        if self.numeric == Numeric::F16 {
            ignored = self.graph.cast(ignored, ElementType::F16);
        }
        let mut x = self.embed(words, tokens)?;
        for layer in 0..self.config.layers {
            x = self.layer(layer, x, ignored)?;
        }
        if self.numeric == Numeric::F16 {
            x = self.graph.cast(x, ElementType::F32);
        }
        self.head(x, mask)
    }

    /// What is added to attention scores, `[batch, 1, 1, seq]`: 0, or [`MASKED`] for padding.
    fn ignored(&mut self, mask: Value) -> Value {
        let mask = self.graph.unsqueeze(mask, &[1, 2]);
        let one = self.graph.scalar(1.0);
        let padding = self.graph.sub(one, mask);
        let masked = self.graph.scalar(MASKED);
        self.graph.mul(padding, masked)
    }

    fn embed(&mut self, words: Value, tokens: Value) -> Result<Value, WeightsError> {
        let hidden = self.config.hidden;
        // All texts are of token type 0, so its embedding is part of each position's.
        let types = self.config.token_types;
        let types = self.get("embeddings.token_type_embeddings.weight", &[types, hidden])?;
        let rows = self.config.positions;
        let mut places = self.get("embeddings.position_embeddings.weight", &[rows, hidden])?;
        for place in places.chunks_exact_mut(hidden) {
            place.iter_mut().zip(&types).for_each(|(p, t)| *p += t);
        }
        let name = "embeddings.position_embeddings.weight";
        let places = self.of_layers(name, &[rows, hidden], places)?;
        let places = match self.fed {
            None => self.graph.constant(POSITIONS, places),
            Some(_) => self.parameter(name, places),
        };
        // Sliced and not gathered on purpose: ONNX Runtime 1.31 then does not learn that the sums before norms have
        // equal shapes, and leaves them alone. Its fused operator for both takes a quarter of all time on a CPU
        // (1.4 times as long in all).
        let shape = self.graph.shape(tokens);
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
        if self.numeric != Numeric::Int8 {
            let table = self.of_layers(name, &[rows, hidden], table)?;
            let table = self.parameter(name, table);
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
        let [query, key, value] = self.queries_keys_values(layer, x)?;
        let mut heads_of = |x, order: &[i64]| {
            let x = self.graph.reshape(x, &split);
            self.graph.transpose(x, order)
        };
        let mut query = heads_of(query, &[0, 2, 1, 3]);
        let key = heads_of(key, &[0, 2, 3, 1]);
        let value = heads_of(value, &[0, 2, 1, 3]);
        #[expect(clippy::cast_precision_loss, reason = "a head has few numbers")]
        let scale = ((hidden / heads) as f32).sqrt().recip();
        let scores = if self.numeric == Numeric::F16 {
            // Before the product, which other models' numbers might take past 16 bits.
            let name = format!("{layer}.attention.scale");
            let scale = self.of_layers(&name, &[], vec![scale])?;
            let scale = self.graph.constant(&name, scale);
            query = self.graph.mul(query, scale);
            self.graph.matmul(query, key)
        } else {
            let scale = self.graph.scalar(scale);
            let scores = self.graph.matmul(query, key);
            self.graph.mul(scores, scale)
        };
        let scores = self.graph.add(scores, ignored);
        let weights = self.graph.softmax(scores);
        let context = self.graph.matmul(weights, value);
        let context = self.graph.transpose(context, &[0, 2, 1, 3]);
        Ok(self.graph.reshape(context, &[0, 0, as_i64(hidden)]))
    }

    fn queries_keys_values(&mut self, layer: &str, x: Value) -> Result<[Value; 3], WeightsError> {
        let hidden = self.config.hidden;
        let (name, x) = (format!("{layer}.attention.self"), (x, Range::Even));
        if self.fed.is_none() {
            // One product for the three: the input is quantized once, and the product is larger.
            let all = self.linear(&name, &[".query", ".key", ".value"], x, hidden, hidden)?;
            return Ok(self.graph.split(all));
        }
        let mut part = |part| self.linear(&format!("{name}.{part}"), &[""], x, hidden, hidden);
        Ok([part("query")?, part("key")?, part("value")?])
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
            Numeric::F32 | Numeric::F16 => {
                let name = format!("{layer}.weight");
                let weight = transposed(&weight, inputs);
                let weight = self.of_layers(&name, &[inputs, outputs], weight)?;
                let weight = self.matrix(&name, weight);
                self.graph.matmul(x, weight)
            }
            Numeric::Int8 => {
                let largest = self.largest(x, range);
                let x = largest.map_or(x, |largest| self.graph.div(x, largest));
                let product = self.product_of_integers(layer, x, &weight, inputs);
                largest.map_or(product, |largest| self.graph.mul(product, largest))
            }
        };
        let name = format!("{layer}.bias");
        let bias = self.of_layers(&name, &[outputs], bias)?;
        let bias = self.parameter(&name, bias);
        Ok(self.graph.add(product, bias))
    }

    /// Numbers in the type that the layers work in.
    fn of_layers(
        &self,
        name: &str,
        dims: &[usize],
        numbers: Vec<f32>,
    ) -> Result<Tensor, WeightsError> {
        if self.numeric != Numeric::F16 {
            return Ok(Tensor::f32(dims, numbers));
        }
        let mut halves = vec![f16::ZERO; numbers.len()];
        halves.convert_from_f32_slice(&numbers);
        if halves.iter().any(|x| x.is_infinite()) {
            return Err(WeightsError::TooLarge { name: name.to_owned() });
        }
        Ok(Tensor::f16(dims, halves))
    }

    /// A linear layer's weight, `[inputs, outputs]`.
    fn matrix(&mut self, name: &str, tensor: Tensor) -> Value {
        match self.fed {
            Some(_) => self.feed(name, tensor),
            None => self.graph.constant(name, tensor),
        }
    }

    /// A weight of anything else.
    fn parameter(&mut self, name: &str, tensor: Tensor) -> Value {
        match self.fed {
            Some(Fed::AllButWords | Fed::All) => self.feed(name, tensor),
            _ => self.graph.constant(name, tensor),
        }
    }

    fn feed(&mut self, name: &str, tensor: Tensor) -> Value {
        let axes: Vec<Axis> = tensor.dims().iter().map(|&n| Axis::Fixed(n)).collect();
        let value = self.graph.input(name, ElementType::F32, &axes);
        self.parameters.push(Parameter { name: name.to_owned(), value, tensor });
        value
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
            let numbers = self.of_layers(&name, &[hidden], numbers)?;
            Ok(self.parameter(&name, numbers))
        };
        let (scale, shift) = (part("weight")?, part("bias")?);
        Ok(self.graph.layer_norm(x, scale, shift, self.config.epsilon))
    }

    fn head(&mut self, x: Value, mask: Value) -> Result<Value, WeightsError> {
        let mut pooled = self.pool(x, mask);
        if let Some(outputs) = self.config.head.dense {
            let inputs = self.config.hidden;
            let weight = self.get("dense.weight", &[outputs, inputs])?;
            let bias = self.get("dense.bias", &[outputs])?;
            let weight = Tensor::f32(&[inputs, outputs], transposed(&weight, inputs));
            let weight = self.parameter("dense.weight", weight);
            let bias = self.parameter("dense.bias", Tensor::f32(&[outputs], bias));
            let product = self.graph.matmul(pooled, weight);
            pooled = self.graph.add(product, bias);
            if self.config.head.activation == Activation::Tanh {
                pooled = self.graph.op("Tanh", &[pooled], &[]);
            }
        }
        let length = self.graph.length(pooled, -1);
        let unit = self.graph.div(pooled, length);
        Ok(self.graph.squeeze(unit, &[1]))
    }

    /// One vector a text, `[batch, 1, hidden]`.
    fn pool(&mut self, x: Value, mask: Value) -> Value {
        let graph = &mut self.graph;
        if self.config.head.pooling == Pooling::Cls {
            let (first, second, axis) = (graph.list(&[0]), graph.list(&[1]), graph.list(&[1]));
            return graph.op("Slice", &[x, first, second, axis], &[]);
        }
        let seen = graph.unsqueeze(mask, &[-1]);
        let x = graph.mul(x, seen);
        let sum = graph.sum(x, 1);
        let tokens = graph.sum(seen, 1);
        graph.div(sum, tokens)
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

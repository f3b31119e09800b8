//! What training leaves behind: a checkpoint's state, an adapter's file, and weights with changes in them.
//!
//! Invariant: equal contents make equal bytes, and no bytes make a reader panic. Files are safetensors, with what
//! is no tensor as JSON in one entry of the metadata.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use half::f16;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View, serialize};
use serde::{Deserialize, Serialize};

use super::Adapter;
use crate::graph::{Tensor, Weights, WeightsError};

/// The metadata's entry.
const ENTRY: &str = "tantivy-dense";

/// What changes from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Steps made.
    pub step: u64,
    /// What is trained (`NAME`) with the optimizer's moments (`first.NAME`, `second.NAME`), all f32.
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Serialize, Deserialize)]
struct StateFacts {
    step: u64,
}

impl State {
    /// What is trained, without the optimizer's memory.
    pub fn weights(&self) -> BTreeMap<String, Tensor> {
        let is_weight =
            |name: &str| !["first.", "second."].iter().any(|part| name.starts_with(part));
        let weights = self.tensors.iter().filter(|(name, _)| is_weight(name));
        weights.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
    }

    /// The state as a safetensors file.
    ///
    /// # Errors
    /// [`ParseError`] if it cannot be written as one.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ParseError> {
        let whole = |tensor: &Tensor| tensor.as_f32().map(|x| numbers(x, f32::to_le_bytes));
        let parts = self.tensors.iter().filter_map(|(name, tensor)| {
            let part =
                Part { dtype: Dtype::F32, dims: tensor.dims().to_vec(), bytes: whole(tensor)? };
            Some((name.clone(), part))
        });
        write(parts.collect(), &StateFacts { step: self.step })
    }

    /// Reads what [`State::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] if it is no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let (tensors, StateFacts { step }) = read(bytes)?;
        Ok(Self { step, tensors })
    }
}

/// Low-rank changes to a model, as a small file in 16 bits. Tensors are named, and lie, as in Hugging Face's PEFT:
/// `base_model.model.LAYER.lora_A.weight`, `[rank, inputs]`, and `lora_B`, `[outputs, rank]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFile {
    /// Rank, weight, and layers.
    pub adapter: Adapter,
    /// The model that is changed, by its fingerprint.
    pub base: String,
    /// `WEIGHT.a`, `[inputs, rank]`, and `WEIGHT.b`, `[rank, outputs]`, for the name of each weight that is changed.
    factors: BTreeMap<String, Tensor>,
}

#[derive(Serialize, Deserialize)]
struct AdapterFacts {
    adapter: Adapter,
    base: String,
}

const PREFIX: &str = "base_model.model.";

impl AdapterFile {
    /// Takes the changes out of a state. They are rounded to 16 bits here, so that a model does not change when it is
    /// written.
    pub fn new(state: &State, adapter: &Adapter, base: &str) -> Self {
        let rounded = |tensor: &Tensor| {
            let round = |&x: &f32| f16::from_f32(x).to_f32();
            let numbers = tensor.as_f32().unwrap_or_default().iter().map(round).collect();
            Tensor::f32(tensor.dims(), numbers)
        };
        Self {
            adapter: adapter.clone(),
            base: base.to_owned(),
            factors: state
                .weights()
                .iter()
                .map(|(name, tensor)| (name.clone(), rounded(tensor)))
                .collect(),
        }
    }

    /// The adapter as a safetensors file.
    ///
    /// # Errors
    /// [`ParseError`] if it cannot be written as one.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ParseError> {
        let mut parts = BTreeMap::new();
        for (name, tensor) in &self.factors {
            let (layer, part) = [(".weight.a", "lora_A"), (".weight.b", "lora_B")]
                .iter()
                .find_map(|(end, part)| Some((name.strip_suffix(end)?, *part)))
                .ok_or_else(|| ParseError::Tensor { name: name.clone() })?;
            let (dims, rows) = turned(tensor);
            let bytes = numbers(&rows, |x| f16::from_f32(x).to_le_bytes());
            let part_name = format!("{PREFIX}{layer}.{part}.weight");
            parts.insert(part_name, Part { dtype: Dtype::F16, dims, bytes });
        }
        let facts = AdapterFacts { adapter: self.adapter.clone(), base: self.base.clone() };
        write(parts, &facts)
    }

    /// Reads what [`AdapterFile::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] if it is no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let (tensors, AdapterFacts { adapter, base }) = read(bytes)?;
        if adapter.rank == 0 {
            return Err(ParseError::Rank);
        }
        let mut factors = BTreeMap::new();
        for (name, tensor) in &tensors {
            let wrong = || ParseError::Tensor { name: name.clone() };
            let bare = name.strip_prefix(PREFIX).ok_or_else(wrong)?;
            let (layer, part, rank_at) = [(".lora_A.weight", "a", 0), (".lora_B.weight", "b", 1)]
                .iter()
                .find_map(|(end, part, at)| Some((bare.strip_suffix(end)?, *part, *at)))
                .ok_or_else(wrong)?;
            if tensor.dims().len() != 2 || tensor.dims()[rank_at] != adapter.rank {
                return Err(wrong());
            }
            let (dims, numbers) = turned(tensor);
            factors.insert(format!("{layer}.weight.{part}"), Tensor::f32(&dims, numbers));
        }
        Ok(Self { adapter, base, factors })
    }

    /// A base model's weights with the changes in them.
    pub fn on<'a>(&'a self, base: &'a dyn Weights) -> Changed<'a> {
        Changed { base, change: Change::LowRank(self) }
    }
}

/// A model's weights with training's changes in them.
#[expect(missing_debug_implementations, reason = "weights need not be printable")]
pub struct Changed<'a> {
    base: &'a dyn Weights,
    change: Change<'a>,
}

enum Change<'a> {
    LowRank(&'a AdapterFile),
    Whole(&'a BTreeMap<String, Tensor>),
}

impl<'a> Changed<'a> {
    /// Puts whole weights, as [`OnnxStep::weights`](super::OnnxStep::weights) gives them, in the place of a base's.
    pub fn whole(base: &'a dyn Weights, weights: &'a BTreeMap<String, Tensor>) -> Self {
        Self { base, change: Change::Whole(weights) }
    }
}

impl Weights for Changed<'_> {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        match self.change {
            Change::LowRank(file) => {
                let mut weight = self.base.tensor(name, dims)?;
                let factor = |part| file.factors.get(&format!("{name}.{part}"));
                if let (Some(a), Some(b), &[outputs, inputs]) = (factor("a"), factor("b"), dims) {
                    let rank = file.adapter.rank;
                    if a.dims() != [inputs, rank] || b.dims() != [rank, outputs] {
                        let (name, found) = (name.to_owned(), a.dims()[0] * b.dims()[1]);
                        return Err(WeightsError::Dims { name, found, dims: dims.to_vec() });
                    }
                    add(&mut weight, a, b, file.adapter.alpha);
                }
                Ok(weight)
            }
            Change::Whole(weights) => {
                let positions = "embeddings.position_embeddings.weight";
                if name == "embeddings.token_type_embeddings.weight"
                    && weights.contains_key(positions)
                {
                    // Trained positions contain them.
                    return Ok(vec![0.0; dims.iter().product()]);
                }
                let Some(tensor) = weights.get(name) else {
                    return self.base.tensor(name, dims);
                };
                let is_linear = dims.len() == 2 && !name.starts_with("embeddings.");
                let (found, numbers) = if is_linear {
                    turned(tensor)
                } else {
                    (tensor.dims().to_vec(), tensor.as_f32().unwrap_or_default().to_vec())
                };
                if found != dims {
                    let (name, found) = (name.to_owned(), found.iter().product());
                    return Err(WeightsError::Dims { name, found, dims: dims.to_vec() });
                }
                Ok(numbers)
            }
        }
    }
}

/// Adds `alpha / rank * a * b` to a weight, `[outputs, inputs]`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "rounding is meant"
)]
fn add(weight: &mut [f32], a: &Tensor, b: &Tensor, alpha: f64) {
    let (&[inputs, rank], &[_, outputs]) = (a.dims(), b.dims()) else { return };
    let (Some(a), Some(b)) = (a.as_f32(), b.as_f32()) else { return };
    let scale = alpha / rank as f64;
    for (output, row) in weight.chunks_exact_mut(inputs).enumerate() {
        for (number, a) in row.iter_mut().zip(a.chunks_exact(rank)) {
            let b = b.iter().skip(output).step_by(outputs);
            let sum: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            *number = (f64::from(*number) + scale * sum) as f32;
        }
    }
}

/// A matrix with rows and columns exchanged.
fn turned(tensor: &Tensor) -> (Vec<usize>, Vec<f32>) {
    let (&[rows, columns], Some(numbers)) = (tensor.dims(), tensor.as_f32()) else {
        return (tensor.dims().to_vec(), Vec::new());
    };
    // A file may have no rows, of any number of columns.
    if numbers.is_empty() {
        return (vec![columns, rows], Vec::new());
    }
    let column = |at| numbers.iter().skip(at).step_by(columns).copied();
    (vec![columns, rows], (0..columns).flat_map(column).collect())
}

struct Part {
    dtype: Dtype,
    dims: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Part {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.dims
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn numbers<const N: usize>(numbers: &[f32], bytes: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&x| bytes(x)).collect()
}

fn write<T: Serialize>(parts: BTreeMap<String, Part>, facts: &T) -> Result<Vec<u8>, ParseError> {
    let facts = serde_json::to_string(facts).map_err(|source| ParseError::Facts { source })?;
    let metadata = HashMap::from([(ENTRY.to_owned(), facts)]);
    serialize(parts, Some(metadata)).map_err(|source| ParseError::File { source })
}

fn read<T: for<'de> Deserialize<'de>>(
    bytes: &[u8],
) -> Result<(BTreeMap<String, Tensor>, T), ParseError> {
    let file = |source| ParseError::File { source };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(file)?;
    let facts = metadata.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
    let facts = facts.ok_or(ParseError::NotOurs)?;
    let facts = serde_json::from_str(facts).map_err(|source| ParseError::Facts { source })?;
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(file)?.iter() {
        let numbers: Vec<f32> = match view.dtype() {
            Dtype::F32 => {
                let four = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                view.data().chunks_exact(4).map(four).collect()
            }
            Dtype::F16 => {
                let two = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
                view.data().chunks_exact(2).map(two).collect()
            }
            _ => return Err(ParseError::Tensor { name: name.to_owned() }),
        };
        tensors.insert(name.to_owned(), Tensor::f32(view.shape(), numbers));
    }
    Ok((tensors, facts))
}

/// Why a state or an adapter is no file, or a file neither.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ParseError {
    /// It changes nothing.
    #[error("its rank is 0")]
    Rank,
    /// The bytes are damaged, or something else.
    #[error("is no safetensors file, or cut short")]
    File { source: SafeTensorError },
    /// Somebody else's.
    #[error("was not written here: its metadata has no `{ENTRY}`")]
    NotOurs,
    /// The part that is no tensor is damaged.
    #[error("its metadata cannot be understood")]
    Facts { source: serde_json::Error },
    /// A name or a shape that nothing of ours has.
    #[error("tensor `{name}` has no place in it")]
    Tensor { name: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damaged::damaged_tensors;
    use proptest::prelude::*;

    fn low_rank() -> Adapter {
        Adapter { rank: 2, alpha: 4.0, layers: None }
    }

    fn state() -> State {
        let dims = [("linear.weight.a", [3, 2]), ("linear.weight.b", [2, 4])];
        let tensors = dims.map(|(name, dims)| {
            (name.to_owned(), Tensor::f32(&dims, vec![0.5; dims[0] * dims[1]]))
        });
        State { step: 7, tensors: tensors.into() }
    }

    struct Zeros;

    impl Weights for Zeros {
        fn tensor(&self, _: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
            Ok(vec![0.0; dims.iter().product()])
        }
    }

    #[test]
    fn a_matrix_without_rows_costs_no_time() {
        let adapter = Adapter { rank: 1 << 62, ..low_rank() };
        let part = Part { dtype: Dtype::F16, dims: vec![0, adapter.rank], bytes: Vec::new() };
        let parts = [(format!("{PREFIX}linear.lora_B.weight"), part)].into();
        let bytes = write(parts, &AdapterFacts { adapter, base: String::new() }).unwrap();
        assert!(AdapterFile::from_bytes(&bytes).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_state_or_an_error(
            bytes in damaged_tensors(state().to_bytes().unwrap())
        ) {
            if let Ok(state) = State::from_bytes(&bytes) {
                state.to_bytes().unwrap();
            }
        }

        #[test]
        fn any_bytes_are_an_adapter_or_an_error(
            bytes in damaged_tensors(
                AdapterFile::new(&state(), &low_rank(), "base").to_bytes().unwrap()
            )
        ) {
            if let Ok(adapter) = AdapterFile::from_bytes(&bytes) {
                adapter.to_bytes().unwrap();
                let _ = adapter.on(&Zeros).tensor("linear.weight", &[4, 3]);
            }
        }
    }
}

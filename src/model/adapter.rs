//! What training changed in a model: low-rank changes as a small file, and weights with changes in them.
//!
//! Invariant: equal contents make equal bytes, and no bytes make a reader panic.

use std::collections::BTreeMap;

use half::f16;
use ndarray::{Array2, ArrayView2};
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use super::tensors::{ParseError, Part, numbers, read, turned, write};
use crate::graph::{Tensor, Weights, WeightsError};

/// Low-rank changes: `weight + alpha / rank * a * b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Columns of `a`, rows of `b`.
    pub rank: usize,
    /// How much the change counts, in units of the rank.
    pub alpha: f64,
    /// Which of the encoder's layers are changed, from 0; none given: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
}

impl Default for Adapter {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, layers: None }
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
    /// Takes the changes, as training names them. They are rounded to 16 bits here, so that a model does not change when it is
    /// written.
    pub fn new(trained: &BTreeMap<String, Tensor>, adapter: &Adapter, base: &str) -> Self {
        let rounded = |tensor: &Tensor| {
            let round = |&x: &f32| f16::from_f32(x).to_f32();
            let numbers = tensor.as_f32().unwrap_or_default().iter().map(round).collect();
            Tensor::f32(tensor.dims(), numbers)
        };
        Self {
            adapter: adapter.clone(),
            base: base.to_owned(),
            factors: trained.iter().map(|(name, tensor)| (name.clone(), rounded(tensor))).collect(),
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
        let has_other = |name: &&String| {
            let (layer, part) = name.split_at(name.len() - 1);
            factors.contains_key(&format!("{layer}{}", if part == "a" { "b" } else { "a" }))
        };
        match factors.keys().find(|name| !has_other(name)) {
            Some(name) => Err(ParseError::Tensor { name: name.clone() }),
            None => Ok(Self { adapter, base, factors }),
        }
    }

    /// A base model's weights with the changes in them.
    pub fn on<'a>(&'a self, base: &'a dyn Weights) -> Changed<'a> {
        Changed { base, change: By::LowRank(self) }
    }
}

/// One matrix that comes after a model's own vectors, as a small file.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadFile {
    /// The model whose vectors are changed, by its fingerprint.
    pub base: String,
    /// `[dim, dim]`: a vector is its product with the base's, brought to length 1.
    weight: Array2<f32>,
}

#[derive(Serialize, Deserialize)]
struct HeadFacts {
    head: String,
}

const HEAD: &str = "linear.weight";

impl HeadFile {
    /// A head of a matrix.
    ///
    /// # Errors
    /// [`ParseError::Tensor`] if it is not square and finite.
    pub fn new(weight: Array2<f32>, base: &str) -> Result<Self, ParseError> {
        if !weight.is_square() || weight.is_empty() || weight.iter().any(|x| !x.is_finite()) {
            return Err(ParseError::Tensor { name: HEAD.to_owned() });
        }
        Ok(Self { base: base.to_owned(), weight })
    }

    /// How many numbers a vector has.
    pub fn dim(&self) -> usize {
        self.weight.nrows()
    }

    /// The head as a safetensors file.
    ///
    /// # Errors
    /// [`ParseError`] if it cannot be written as one.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ParseError> {
        let rows: Vec<f32> = self.weight.iter().copied().collect();
        let bytes = numbers(&rows, f32::to_le_bytes);
        let part = Part { dtype: Dtype::F32, dims: self.weight.shape().to_vec(), bytes };
        let facts = HeadFacts { head: self.base.clone() };
        write(BTreeMap::from([(HEAD.to_owned(), part)]), &facts)
    }

    /// Reads what [`HeadFile::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] if it is no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let (mut tensors, HeadFacts { head }) = read(bytes)?;
        let wrong = || ParseError::Tensor { name: HEAD.to_owned() };
        let tensor = tensors.remove(HEAD).ok_or_else(wrong)?;
        let (&[rows, columns], Some(numbers)) = (tensor.dims(), tensor.as_f32()) else {
            return Err(wrong());
        };
        let weight = Array2::from_shape_vec((rows, columns), numbers.to_vec());
        Self::new(weight.map_err(|_| wrong())?, &head)
    }

    /// The vectors of texts, of those that the base gives: `[texts, dim]`, each of length 1, or 0 where the base's is.
    ///
    /// # Errors
    /// [`ParseError::Tensor`] if vectors have another dim.
    pub fn applied(&self, vectors: &ArrayView2<'_, f32>) -> Result<Array2<f32>, ParseError> {
        if vectors.ncols() != self.dim() {
            return Err(ParseError::Tensor { name: HEAD.to_owned() });
        }
        let mut out = vectors.dot(&self.weight.t());
        for mut row in out.rows_mut() {
            let length = row.dot(&row).sqrt();
            if length > 0.0 {
                row /= length;
            }
        }
        Ok(out)
    }

    /// A base model's weights with the head after them.
    pub fn on<'a>(&'a self, base: &'a dyn Weights) -> Changed<'a> {
        Changed { base, change: By::Head(self) }
    }
}

/// A model's weights with training's changes in them.
#[expect(missing_debug_implementations, reason = "weights need not be printable")]
pub struct Changed<'a> {
    base: &'a dyn Weights,
    change: By<'a>,
}

enum By<'a> {
    LowRank(&'a AdapterFile),
    Head(&'a HeadFile),
    Whole(&'a BTreeMap<String, Tensor>),
}

impl<'a> Changed<'a> {
    /// Puts whole weights, named as training names them, in the place of a base's.
    pub fn whole(base: &'a dyn Weights, weights: &'a BTreeMap<String, Tensor>) -> Self {
        Self { base, change: By::Whole(weights) }
    }
}

impl Weights for Changed<'_> {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        match self.change {
            By::LowRank(file) => {
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
            By::Head(head) => match (name, dims) {
                ("dense.weight", &[outputs, inputs]) if [outputs, inputs] == [head.dim(); 2] => {
                    Ok(head.weight.iter().copied().collect())
                }
                ("dense.bias", _) => Ok(vec![0.0; dims.iter().product()]),
                _ => self.base.tensor(name, dims),
            },
            By::Whole(weights) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damaged::damaged_tensors;
    use proptest::prelude::*;

    fn low_rank() -> Adapter {
        Adapter { rank: 2, alpha: 4.0, layers: None }
    }

    fn adapter() -> AdapterFile {
        let dims = [("linear.weight.a", [3, 2]), ("linear.weight.b", [2, 4])];
        let factors = dims.map(|(name, dims)| {
            (name.to_owned(), Tensor::f32(&dims, vec![0.5; dims[0] * dims[1]]))
        });
        AdapterFile::new(&factors.into(), &low_rank(), "base")
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
        let part = |dims| Part { dtype: Dtype::F16, dims, bytes: Vec::new() };
        let parts = [("A", vec![adapter.rank, 0]), ("B", vec![0, adapter.rank])];
        let parts = parts
            .map(|(name, dims)| (format!("{PREFIX}linear.lora_{name}.weight"), part(dims)))
            .into();
        let bytes = write(parts, &AdapterFacts { adapter, base: String::new() }).unwrap();
        assert!(AdapterFile::from_bytes(&bytes).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_adapter_or_an_error(
            bytes in damaged_tensors(adapter().to_bytes().unwrap())
        ) {
            if let Ok(adapter) = AdapterFile::from_bytes(&bytes) {
                adapter.to_bytes().unwrap();
                let _ = adapter.on(&Zeros).tensor("linear.weight", &[4, 3]);
            }
        }

        #[test]
        fn any_bytes_are_a_head_or_an_error(
            bytes in damaged_tensors(
                HeadFile::new(Array2::eye(3), "base").unwrap().to_bytes().unwrap()
            )
        ) {
            if let Ok(head) = HeadFile::from_bytes(&bytes) {
                let zeros = Array2::zeros((2, head.dim()));
                prop_assert_eq!(head.applied(&zeros.view()).unwrap(), zeros);
            }
        }
    }
}

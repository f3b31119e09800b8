//! Files of tensors that are made here: safetensors, with what is no tensor as JSON in one entry of the metadata.
//!
//! Invariant: equal contents make equal bytes, and no bytes make a reader panic.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use half::f16;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View, serialize};
use serde::{Deserialize, Serialize};

use crate::graph::Tensor;

/// The metadata's entry.
const ENTRY: &str = "tantivy-dense";

/// A tensor as it lies in a file.
pub(crate) struct Part {
    pub(crate) dtype: Dtype,
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
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

pub(crate) fn numbers<const N: usize>(numbers: &[f32], bytes: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&x| bytes(x)).collect()
}

pub(crate) fn write<T: Serialize>(
    parts: BTreeMap<String, Part>,
    facts: &T,
) -> Result<Vec<u8>, ParseError> {
    let facts = serde_json::to_string(facts).map_err(|source| ParseError::Facts { source })?;
    let metadata = HashMap::from([(ENTRY.to_owned(), facts)]);
    serialize(parts, Some(metadata)).map_err(|source| ParseError::File { source })
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(
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

/// A matrix with rows and columns exchanged.
pub(crate) fn turned(tensor: &Tensor) -> (Vec<usize>, Vec<f32>) {
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

/// Why tensors are no file, or a file no such tensors.
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

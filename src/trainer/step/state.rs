//! What training leaves behind for the next step: a checkpoint's state.
//!
//! Invariant: equal contents make equal bytes, and no bytes make a reader panic.

use std::collections::BTreeMap;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use crate::graph::Tensor;
use crate::model::tensors::{ParseError, Part, numbers, read, write};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damaged::damaged_tensors;
    use proptest::prelude::*;

    fn state() -> State {
        let dims = [("linear.weight.a", [3, 2]), ("linear.weight.b", [2, 4])];
        let tensors = dims.map(|(name, dims)| {
            (name.to_owned(), Tensor::f32(&dims, vec![0.5; dims[0] * dims[1]]))
        });
        State { step: 7, tensors: tensors.into() }
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
    }
}

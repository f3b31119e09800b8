//! How large a BERT encoder is, and what follows its layers.

use serde::{Deserialize, Serialize};

use super::super::quantize::BLOCK;
use super::super::weights::WeightsError;
use crate::encoder::Pooling;

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
    #[serde(default, skip_serializing_if = "Head::is_default")]
    pub head: Head,
}

/// How token vectors become a text's vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// First into one vector.
    pub pooling: Pooling,
    /// Then, where there is one, through a linear layer with so many outputs: `dense.weight` and `dense.bias`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<usize>,
    /// What follows that layer.
    #[serde(default, skip_serializing_if = "Activation::is_default")]
    pub activation: Activation,
}

/// What follows a linear layer of a [`Head`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// tanh, as in `LaBSE`.
    #[default]
    Tanh,
    /// Nothing, as in a linear head that was trained on vectors.
    None,
}

impl Activation {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Head {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl BertConfig {
    /// How many numbers a text's vector has.
    pub fn dim(&self) -> usize {
        self.head.dense.unwrap_or(self.hidden)
    }

    pub(super) fn check(&self) -> Result<(), WeightsError> {
        let reason = if self.heads == 0 || !self.hidden.is_multiple_of(self.heads) {
            format!("{} numbers a token are not shared by {} heads", self.hidden, self.heads)
        } else if !self.hidden.is_multiple_of(BLOCK) || self.hidden == 0 {
            format!("{} numbers a token are no multiple of {BLOCK}", self.hidden)
        } else if self.token_types == 0
            || self.positions == 0
            || self.inner == 0
            || self.head.dense == Some(0)
        {
            "a part of it is empty".to_owned()
        } else {
            return Ok(());
        };
        Err(WeightsError::Config { reason })
    }
}

//! What turns texts into vectors, as far as a field needs to know: no model is here.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::language::LanguageTag;
use crate::vector::{Dim, Vectors};

/// Turns texts into vectors.
///
/// An implementer keeps true: equal fingerprints mean comparable vectors; the result has one row a
/// text, in the order given, whatever the batches inside; the same text gives the same vector up to
/// rounding (cosine .995 or more: in int8 the texts of one batch share a range).
pub trait Encoder: Send + Sync {
    /// What the vectors were made by. Two encoders may share an index exactly if it is equal.
    fn fingerprint(&self) -> &Fingerprint;

    /// How many numbers each vector has.
    fn dim(&self) -> Dim;

    /// Encodes texts in one role. A text of any length is taken; what is past the encoder's limit
    /// does not count and is reported in [`Encoded::truncated`].
    ///
    /// # Errors
    /// [`EncodeError`] if the model fails. Nothing of the batch is kept then.
    fn encode(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError>;
}

/// Which side of a search a text is on. Some encoders mark the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What is asked.
    Query,
    /// What is searched.
    Passage,
}

/// One text to encode.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The text itself, without the encoder's prefix.
    pub body: &'a str,
    /// Its language, where known. An encoder may use it or not.
    pub language: Option<&'a LanguageTag>,
}

impl<'a> Text<'a> {
    /// A text whose language is not known.
    pub fn new(body: &'a str) -> Self {
        Self { body, language: None }
    }
}

/// What came out of [`Encoder::encode`].
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// One row a text, in the order given.
    pub vectors: Vectors,
    /// How many tokens were encoded, over all texts, without padding.
    pub tokens: usize,
    /// How many texts were longer than the encoder's limit and lost their end.
    pub truncated: usize,
}

/// Names what vectors were made by: weights, adapter, pooling, prefixes, token limit, tokenizer.
/// Not precision, nor device: the same model in int8 may search what it indexed in fp32.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes a fingerprint as its maker writes it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// As written in a schema.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why texts could not be encoded. The cause belongs to the encoder that failed.
#[derive(Debug, thiserror::Error)]
#[error("the encoder failed on a batch of {texts} texts")]
pub struct EncodeError {
    texts: usize,
    source: Box<dyn Error + Send + Sync>,
}

impl EncodeError {
    /// Wraps the cause.
    pub fn new(texts: usize, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { texts, source: source.into() }
    }
}

//! Where a graph's weights come from, by name.

use std::error::Error;

/// A model's weights, under the names that Hugging Face's `BertModel` gives them.
///
/// An implementer keeps true: numbers are row-major in the dims asked for, a linear layer's weight being
/// `[outputs, inputs]`.
pub trait Weights {
    /// The tensor `name`, which must have these dims.
    ///
    /// # Errors
    /// [`WeightsError`] if it is absent, has other dims, or cannot be read.
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError>;
}

/// Why weights do not make the graph that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum WeightsError {
    /// The source has no such tensor.
    #[error("the weights have no tensor `{name}`")]
    Missing { name: String },
    /// The tensor belongs to a model of another size.
    #[error("tensor `{name}` has {found} numbers where the dims {dims:?} are wanted")]
    Dims { name: String, found: usize, dims: Vec<usize> },
    /// A weight is a NaN or an infinity, so every vector would be.
    #[error("tensor `{name}` holds a number that is not finite")]
    NotFinite { name: String },
    /// The weight is an infinity in the 16 bits asked for.
    #[error("tensor `{name}` holds a number that is too large for 16-bit floating point")]
    TooLarge { name: String },
    /// The numbers that describe the model contradict each other.
    #[error("no such model: {reason}")]
    Config { reason: String },
    /// The source failed.
    #[error("tensor `{name}` cannot be read")]
    Source { name: String, source: Box<dyn Error + Send + Sync> },
}

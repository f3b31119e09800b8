//! The seam between the training loop and what is trained.

use std::error::Error;

use dense_plugin::{Role, Text};
use ndarray::Array2;

use super::batch::Batch;
use super::loss::LossError;

/// A model under training, with its optimizer.
///
/// An implementer keeps true: the same state, batch and rate lead to the same state, to the bit on the same machine with
/// the same threads; what [`TrainStep::state`] gives is all that [`TrainStep::restore`] needs to go on as if nothing had
/// happened; a step that fails changes nothing that `state` gives.
pub trait TrainStep {
    /// Forward, backward and update with one batch.
    ///
    /// # Errors
    /// [`StepError`] if the model fails.
    fn step(&mut self, batch: &Batch<'_>, learning_rate: f64) -> Result<StepReport, StepError>;

    /// Encodes texts as the model stands: `[texts, dim]`, rows of length 1.
    ///
    /// # Errors
    /// [`StepError`] if the model fails.
    fn embed(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError>;

    /// All that changes with steps: weights, and the optimizer's memory.
    ///
    /// # Errors
    /// [`StepError`] if it cannot be read from the device.
    fn state(&mut self) -> Result<Vec<Tensor>, StepError>;

    /// Goes back to a state after `steps` steps.
    ///
    /// # Errors
    /// [`StepError::State`] if it is that of another model.
    fn restore(&mut self, steps: u64, state: &[Tensor]) -> Result<(), StepError>;
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The loss before the update, all terms weighed.
    pub loss: f64,
    /// The length of the gradient before it was cut.
    pub gradient: f64,
    /// Tokens that went through the model; 0 where none did.
    pub tokens: usize,
}

/// A part of a model's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name, unique in the state.
    pub name: String,
    /// Its axes.
    pub dims: Vec<usize>,
    /// Its numbers, row-major.
    pub numbers: Numbers,
}

/// Numbers of one width.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// 32 bits.
    F32(Vec<f32>),
    /// 64 bits.
    F64(Vec<f64>),
}

/// Why a model could not be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum StepError {
    /// The batch makes no loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A saved state does not fit the model.
    #[error("the saved state is of another model: {what}")]
    State { what: String },
    /// The model failed.
    #[error("the model failed")]
    Model(#[source] Box<dyn Error + Send + Sync>),
}

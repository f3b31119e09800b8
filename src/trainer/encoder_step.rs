//! An encoder under training, between the loop, which has texts, and the graphs, which have tokens.
//!
//! Invariant: texts are tokenized as the trained model will tokenize them, prefixes included, but cut earlier.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dense_plugin::{Role, Text};
use ndarray::Array2;

use super::batch::{Batch, BatchKind, BatchText};
use super::focus::focused;
use super::step::{self, OnnxStep, State, StepConfig, Targets};
use super::train_step::{Numbers, StepError, StepReport, Tensor, TrainStep};
use super::vectors::CachedVectors;
use crate::encoder::Tokens;
use crate::graph;
use crate::model::ModelFolder;

/// Trains the weights of a model folder, or low-rank changes to them.
#[derive(Debug)]
pub struct EncoderStep {
    step: OnnxStep,
    tokens: Tokens,
    folder: ModelFolder,
    distillation: graph::Distillation,
    /// The untrained model's vectors, which distillation holds on to and passages are cut by; none where neither is asked for.
    untrained: Option<Arc<Mutex<CachedVectors>>>,
}

impl EncoderStep {
    /// Opens a model folder that was made here. `library` is ONNX Runtime's; texts are cut after `tokens` tokens, special
    /// ones included; `untrained` is only asked, and wanted, where the settings distil or batches have passages to cut.
    ///
    /// # Errors
    /// [`StepError::Model`] if the folder, or its tokenizer, cannot be opened for training.
    pub fn new(
        folder: ModelFolder,
        library: &Path,
        config: StepConfig,
        tokens: usize,
        untrained: Option<Arc<Mutex<CachedVectors>>>,
        seed: u64,
    ) -> Result<Self, StepError> {
        let distillation = config.distillation;
        let step = OnnxStep::new(&folder, library, config, seed).map_err(failed)?;
        let limit = folder.token_limit().min(tokens);
        let tokens = Tokens::open(&folder.tokenizer(), limit).map_err(failed)?;
        Ok(Self { step, tokens, folder, distillation, untrained })
    }

    /// How many numbers are trained.
    pub fn trained_numbers(&self) -> usize {
        self.step.trained_numbers()
    }

    fn tokenized(&self, role: Role, texts: &[Text<'_>]) -> Result<Vec<Vec<u32>>, StepError> {
        let prefix = self.folder.prefix(role);
        let ids = |text: &Text<'_>| self.tokens.encode(prefix, text.body).map(|text| text.ids);
        texts.iter().map(ids).collect::<Result<_, _>>().map_err(failed)
    }

    fn untrained(&self) -> Result<MutexGuard<'_, CachedVectors>, StepError> {
        let vectors =
            self.untrained.as_ref().ok_or_else(|| failed("no untrained model is open"))?;
        Ok(vectors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn frozen(&self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError> {
        self.untrained()?.of(role, texts).map_err(failed)
    }

    /// What the untrained model says about the texts of a batch, as far as it is to be held on to.
    fn targets(&self, batch: &Batch<'_>) -> Result<Targets, StepError> {
        let mut targets = Targets::default();
        if self.distillation.similarities > 0.0 && matches!(batch.kind, BatchKind::Mono(_)) {
            let queries = self.frozen(Role::Query, &texts(&batch.queries))?;
            let passages = self.frozen(Role::Passage, &texts(&batch.passages))?;
            targets.similarities = Some(queries.dot(&passages.t()));
        }
        if self.distillation.vectors > 0.0 {
            let wordings: Vec<Text<'_>> =
                batch.english.iter().flatten().map(|text| (*text).into()).collect();
            let rows = self.frozen(Role::Passage, &wordings)?;
            let mut rows = rows.outer_iter().map(|row| row.to_vec());
            let own = batch.english.iter().map(|text| text.and_then(|_| rows.next()));
            targets.passages = own.collect();
            targets.passages.resize(batch.passages.len(), None);
        }
        Ok(targets)
    }
}

impl TrainStep for EncoderStep {
    fn step(&mut self, batch: &Batch<'_>, learning_rate: f64) -> Result<StepReport, StepError> {
        let batch = if batch.focus.contains(&true) {
            focused(batch, self.untrained()?.encoder().as_ref()).map_err(failed)?
        } else {
            batch.clone()
        };
        let (queries, passages) = (batch.queries.len(), batch.passages.len());
        let allowed = Array2::from_shape_vec((queries, passages), batch.allowed.clone());
        let tokens = step::Batch {
            queries: self.tokenized(Role::Query, &texts(&batch.queries))?,
            passages: self.tokenized(Role::Passage, &texts(&batch.passages))?,
            allowed: allowed.map_err(failed)?,
            targets: self.targets(&batch)?,
        };
        #[expect(clippy::cast_possible_truncation, reason = "the graph's rate has 32 bits")]
        let report = self.step.step(&tokens, learning_rate as f32).map_err(failed)?;
        Ok(StepReport {
            loss: f64::from(report.loss),
            gradient: f64::from(report.gradient_norm),
            tokens: report.tokens,
        })
    }

    fn embed(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError> {
        let tokens = self.tokenized(role, texts)?;
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let vectors = self.step.embed(&tokens).map_err(failed)?;
        let dim = self.step.bert().dim();
        Array2::from_shape_vec((texts.len(), dim), vectors).map_err(failed)
    }

    fn state(&mut self) -> Result<Vec<Tensor>, StepError> {
        let state = self.step.state().map_err(failed)?;
        let tensor = |(name, tensor): (String, graph::Tensor)| {
            let numbers = Numbers::F32(tensor.as_f32().unwrap_or_default().to_vec());
            Tensor { name, dims: tensor.dims().to_vec(), numbers }
        };
        Ok(state.tensors.into_iter().map(tensor).collect())
    }

    fn restore(&mut self, steps: u64, state: &[Tensor]) -> Result<(), StepError> {
        self.step.restore(&state_of(steps, state)?).map_err(failed)
    }
}

/// A checkpoint's tensors as the state of a step.
///
/// # Errors
/// [`StepError::State`] if they are of another kind of training.
pub fn state_of(steps: u64, tensors: &[Tensor]) -> Result<State, StepError> {
    let tensors = tensors
        .iter()
        .map(|Tensor { name, dims, numbers }| match numbers {
            Numbers::F32(numbers) if numbers.len() == dims.iter().product::<usize>() => {
                Ok((name.clone(), graph::Tensor::f32(dims, numbers.clone())))
            }
            _ => Err(StepError::State { what: format!("`{name}` has other numbers") }),
        })
        .collect::<Result<_, _>>()?;
    Ok(State { step: steps, tensors })
}

fn texts<'a>(texts: &[BatchText<'a>]) -> Vec<Text<'a>> {
    texts.iter().map(|text| (*text).into()).collect()
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::Model(error.into())
}

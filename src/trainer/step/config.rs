//! How steps are made.
//!
//! Invariant: settings that [`check`] lets through make graphs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StepError;
use crate::encoder::Device;
use crate::graph::{AdamW, BertConfig, ContrastiveLoss, Distillation, Fed};
use crate::model::{Adapter, Precision};

/// Which weights are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// A change of low rank to each linear layer of the encoder.
    LowRank(Adapter),
    /// All weights but the word embeddings.
    AllButWords,
    /// All weights.
    All,
}

/// How steps are made.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// Which weights are trained. Default: low-rank changes of rank 16 to all layers.
    pub trained: Trained,
    /// What cosines are divided by in the loss. Default: 0.03.
    pub temperature: f32,
    /// Whether passages look for their queries as well. Default: yes.
    pub symmetrical: bool,
    /// Shorter vectors that are trained beside whole ones. Default: none.
    pub matryoshka: Vec<usize>,
    /// Terms that hold the model near another's vectors. Default: none.
    pub distillation: Distillation,
    /// The optimizer's settings.
    pub optimizer: AdamW,
    /// How many threads a run uses; 0: as many as the machine runs at once. Default: 0.
    pub threads: usize,
    /// Where the graphs run.
    pub device: Device,
    /// Whether a CUDA device may round what it multiplies ([`Precision::Tf32`]); all else is in f32. Default:
    /// [`Precision::F32`].
    pub precision: Precision,
    /// Where ONNX Runtime writes which operator ran where and for how long, as JSON, when the step is dropped: a file a
    /// graph, with `-forward`, `-loss`, `-backward`, `-update` or `-merge`, a date and `.json` behind the name. Default:
    /// nowhere.
    pub profile: Option<PathBuf>,
    /// Most tokens that are encoded together, padding included. Default: 1,024.
    pub chunk_tokens: usize,
    /// For how many tokens what backward reads is kept; the rest is made again. Default: 16,384.
    pub kept_tokens: usize,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self {
            trained: Trained::LowRank(Adapter::default()),
            temperature: 0.03,
            symmetrical: true,
            matryoshka: Vec::new(),
            distillation: Distillation::default(),
            optimizer: AdamW::default(),
            threads: 0,
            device: Device::default(),
            precision: Precision::F32,
            profile: None,
            chunk_tokens: 1024,
            kept_tokens: 16_384,
        }
    }
}

impl StepConfig {
    /// Where the profile of one graph goes.
    pub(super) fn profile_of(&self, part: &str) -> Option<PathBuf> {
        let mut file = self.profile.clone()?.into_os_string();
        file.push(format!("-{part}"));
        Some(file.into())
    }
}

/// Whether settings fit each other and the model.
pub(super) fn check(config: &StepConfig, bert: &BertConfig) -> Result<(), StepError> {
    let fail = |reason: String| Err(StepError::Settings { reason });
    // Below it, scores outgrow what keeps passages that are not allowed apart.
    if !(config.temperature >= 0.001 && config.temperature.is_finite()) {
        return fail(format!("temperature must be at least .001, got {}", config.temperature));
    }
    if let Some(clip) = config.optimizer.clip.filter(|clip| !(*clip > 0.0 && clip.is_finite())) {
        return fail(format!("the length that gradients are cut to must be above 0, got {clip}"));
    }
    let decay = config.optimizer.weight_decay;
    if !(decay >= 0.0 && decay.is_finite()) {
        return fail(format!("weight decay must be at least 0, got {decay}"));
    }
    if !matches!(config.precision, Precision::F32 | Precision::Tf32) {
        return fail(format!("training runs in f32 or tf32, not in {}", config.precision));
    }
    if config.chunk_tokens == 0 {
        return fail("chunk_tokens must be at least 1, got 0".to_owned());
    }
    if let Some(dim) = config.matryoshka.iter().find(|&&dim| dim == 0 || dim > bert.dim()) {
        return fail(format!("a Matryoshka dim must be 1 to {}, got {dim}", bert.dim()));
    }
    if let Trained::LowRank(Adapter { rank, layers, alpha }) = &config.trained {
        if *rank == 0 {
            return fail("rank must be at least 1, got 0".to_owned());
        }
        if !alpha.is_finite() {
            return fail(format!("the weight of low-rank changes must be finite, got {alpha}"));
        }
        let layers = layers.as_deref().unwrap_or(&[0]);
        if layers.is_empty() {
            return fail("no layer is trained".to_owned());
        }
        if let Some(layer) = layers.iter().find(|&&layer| layer >= bert.layers) {
            return fail(format!("layer {layer} is none of {}, which count from 0", bert.layers));
        }
    }
    Ok(())
}

pub(super) fn loss_of(config: &StepConfig, bert: &BertConfig) -> ContrastiveLoss {
    ContrastiveLoss {
        dim: bert.dim(),
        temperature: config.temperature,
        symmetrical: config.symmetrical,
        matryoshka: config.matryoshka.clone(),
        distillation: config.distillation,
    }
}

pub(super) fn fed_of(trained: &Trained) -> Fed {
    match trained {
        Trained::LowRank(_) => Fed::LinearLayers,
        Trained::AllButWords => Fed::AllButWords,
        Trained::All => Fed::All,
    }
}

//! How a run trains: the options that say so, and what they make.

use clap::{Args, ValueEnum};

use crate::cli::models::onnx::Trainable;
use crate::graph::{AdamW, Distillation};
use crate::model::Adapter;
use crate::trainer::step::{StepConfig, Trained};
use crate::trainer::{
    BatchOptions, Decay, Direction, LinearOptions, LossOptions, Schedule, TrainOptions,
};

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Low-rank changes of all linear layers (`LoRA`), kept as an adapter of a few MB
    LowRank,
    /// All weights but the word embeddings
    AllButWords,
    /// All weights
    All,
    /// One matrix after pooling, on vectors that are made once: minutes on a processor
    Linear,
}

impl Part {
    /// The largest learning rate where none is asked for.
    fn rate(self) -> f64 {
        match self {
            Self::LowRank => 2e-4,
            Self::AllButWords | Self::All => 3e-5,
            Self::Linear => 5e-4,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub(super) struct TrainingOptions {
    /// What is trained
    #[arg(long, value_enum, default_value = "low-rank")]
    pub(super) part: Part,
    /// The rank of low-rank changes
    #[arg(long, value_name = "N", default_value_t = 16)]
    rank: usize,
    /// How much low-rank changes count, in units of the rank
    #[arg(long, value_name = "WEIGHT", default_value_t = 32.0, value_parser = at_least::<1>)]
    lora_alpha: f64,
    /// Change these layers alone, from 0 [default: all]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    layers: Vec<usize>,
    /// Cut texts after so many tokens, special ones included
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(super) max_tokens: usize,
    /// Encode so many tokens together, padding included
    #[arg(long, value_name = "N", default_value_t = 1024)]
    chunk_tokens: usize,
    /// Keep what gradients need of so many tokens; the rest is computed twice, so that a batch may be larger than
    /// memory
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    kept_tokens: usize,
    /// Steps, one batch each
    #[arg(long, value_name = "N", default_value_t = 1000)]
    steps: u64,
    /// Queries a batch
    #[arg(long, value_name = "N", default_value_t = 100)]
    batch: usize,
    /// Hard negatives a query, where the data has them
    #[arg(long, value_name = "N", default_value_t = 1)]
    negatives: usize,
    /// Draw a language as often as its number of sets to this power: 0 is uniform, 1 by size
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    language_power: f64,
    /// Draw no language that has fewer sets
    #[arg(long, value_name = "N", default_value_t = 100)]
    least_sets: usize,
    /// How often a source is drawn among those that have a language, as NAME=WEIGHT [default: 1 each]
    #[arg(long, value_name = "NAME=WEIGHT", value_parser = weight)]
    weight: Vec<(String, f64)>,
    /// Draw a source for each row, not for each batch
    #[arg(long)]
    mix_sources: bool,
    /// Cut this share of a source's passages, 0 to 1, to the sentence that the untrained model finds nearest to the query
    #[arg(long, value_name = "NAME=SHARE", value_parser = weight)]
    focus: Vec<(String, f64)>,
    /// The largest learning rate [default: 2e-4 for low-rank changes, 3e-5 for whole weights, 5e-4 for the matrix]
    #[arg(long, value_name = "RATE", value_parser = at_least::<0>)]
    lr: Option<f64>,
    /// Steps until the learning rate is reached
    #[arg(long, value_name = "N", default_value_t = 50)]
    warmup: u64,
    /// How the learning rate falls then
    #[arg(long, value_enum, default_value = "linear")]
    decay: DecayOption,
    /// How far a weight shrinks each step, times the learning rate; the matrix goes back to where it began
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = at_least::<0>)]
    weight_decay: f64,
    /// Cut gradients to this length
    #[arg(long, value_name = "LENGTH", default_value_t = 1.0, value_parser = at_least::<1>)]
    clip: f64,
    /// What cosines are divided by in the loss
    #[arg(long, value_name = "T", default_value_t = 0.03, value_parser = at_least::<1>)]
    temperature: f64,
    /// Pick a query's passage among passages alone, not a passage's query among queries too
    #[arg(long)]
    one_way: bool,
    /// Train the first N numbers of a vector to be a vector of their own, for each N
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    dims: Vec<usize>,
    /// Weight of how far passages are from the untrained vector of their English wording
    #[arg(long, value_name = "W", default_value_t = 0.0, value_parser = at_least::<0>)]
    english: f64,
    /// Weight of how far cosines within a language are from the untrained ones
    #[arg(long, value_name = "W", default_value_t = 0.0, value_parser = at_least::<0>)]
    keep: f64,
    /// Seed of the batches
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Steps between two looks at the development set
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) validate_every: u64,
    /// Steps between two checkpoints
    #[arg(long, value_name = "N", default_value_t = 100)]
    checkpoint_every: u64,
    /// End after so many looks in a row that brought nothing better
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// Checkpoints to keep beside the best
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep_checkpoints: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DecayOption {
    Constant,
    Linear,
    Cosine,
}

/// A number from so many thousandths to a million.
fn at_least<const MILLI: u16>(written: &str) -> Result<f64, String> {
    let least = f64::from(MILLI) / 1000.0;
    let number: f64 = written.parse().map_err(|_| format!("`{written}` is no number"))?;
    if (least..=1e6).contains(&number) {
        Ok(number)
    } else {
        Err(format!("must be from {least} to 1000000"))
    }
}

fn weight(written: &str) -> Result<(String, f64), String> {
    let (name, weight) =
        written.split_once('=').ok_or("`=` and a number are wanted after a source's name")?;
    let weight = weight.parse().map_err(|_| format!("`{weight}` is no number"))?;
    Ok((name.to_owned(), weight))
}

impl TrainingOptions {
    pub(super) fn batches(&self, alpha: f64, seed: u64) -> BatchOptions {
        BatchOptions {
            alpha,
            queries: self.batch,
            negatives: self.negatives,
            language_power: self.language_power,
            least_sets: self.least_sets,
            weights: self.weight.iter().cloned().collect(),
            mix_sources: self.mix_sources,
            focus: self.focus.iter().cloned().collect(),
            seed,
        }
    }

    /// Whether the untrained model is asked about texts while its weights are trained.
    pub(super) fn asks_untrained(&self) -> bool {
        self.english > 0.0 || self.keep > 0.0 || !self.focus.is_empty()
    }

    pub(super) fn linear(&self) -> LinearOptions {
        let direction = if self.one_way { Direction::QueryToPassage } else { Direction::Symmetric };
        LinearOptions {
            loss: LossOptions { temperature: self.temperature, direction, dims: self.dims.clone() },
            decay: self.weight_decay,
            max_gradient: self.clip,
            english: self.english,
            keep: self.keep,
        }
    }

    /// How the encoder itself is trained.
    #[expect(clippy::cast_possible_truncation, reason = "graphs have 32 bits")]
    pub(super) fn encoder(&self, model: &Trainable) -> StepConfig {
        let layers = (!self.layers.is_empty()).then(|| self.layers.clone());
        let adapter = Adapter { rank: self.rank, alpha: self.lora_alpha, layers };
        StepConfig {
            trained: match self.part {
                Part::AllButWords => Trained::AllButWords,
                Part::All => Trained::All,
                Part::LowRank | Part::Linear => Trained::LowRank(adapter),
            },
            temperature: self.temperature as f32,
            symmetrical: !self.one_way,
            matryoshka: self.dims.clone(),
            distillation: Distillation {
                vectors: self.english as f32,
                similarities: self.keep as f32,
            },
            optimizer: AdamW {
                weight_decay: self.weight_decay,
                clip: Some(self.clip),
                ..AdamW::default()
            },
            threads: model.threads,
            device: model.device,
            precision: model.precision,
            profile: None,
            chunk_tokens: self.chunk_tokens,
            kept_tokens: self.kept_tokens,
        }
    }

    pub(super) fn train(&self) -> TrainOptions {
        let decay = match self.decay {
            DecayOption::Constant => Decay::Constant,
            DecayOption::Linear => Decay::Linear,
            DecayOption::Cosine => Decay::Cosine,
        };
        let schedule = Schedule {
            peak: self.lr.unwrap_or(self.part.rate()),
            warmup: self.warmup,
            steps: self.steps,
            decay,
            floor: 0.0,
        };
        TrainOptions {
            schedule,
            validate_every: self.validate_every,
            checkpoint_every: self.checkpoint_every,
            patience: self.patience,
            keep: self.keep_checkpoints,
        }
    }
}

//! `tdense train`.

mod data;
mod sweep;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use self::data::{Data, DataOptions};
use super::error::Interrupted;
use super::interrupt::Stop;
use super::models::ModelOptions;
use super::models::onnx::Trainable;
use super::ui::Ui;
use crate::graph::{AdamW, Distillation};
use crate::trainer::step::{Adapter, AdapterFile, State, StepConfig, Trained};
use crate::trainer::{
    BatchOptions, Batches, CachedVectors, Change, Decay, Direction, EncoderStep, Event, LinearHead,
    LinearOptions, LossOptions, Outcome, Resume, Schedule, Stopped, TrainOptions, TrainStep,
    Trainer, Validation, adapt, state_of,
};

/// The trained model, in the folder of a run.
const MODEL: &str = "model";

/// Train an encoder with monolingual and cross-lingual batches.
///
/// Reads pairs and aligned corpora, leaves out what is under a forbidding licence or in an evaluation folder, cuts a
/// development set, trains, and keeps checkpoints, a log (log.jsonl) and the curves (curves.svg) in the --out folder. A run
/// that was stopped or killed goes on with --resume, and ends as if it had not been.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train once for each ratio of monolingual batches and each seed, and compare them
    Sweep(sweep::Options),
}

#[derive(Debug, Args)]
struct Run {
    /// The share of monolingual batches, 0 to 1; the others are cross-lingual
    #[arg(long, default_value_t = 0.5)]
    alpha: f64,
    /// Go on with the run in the folder, if there is one
    #[arg(long)]
    resume: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// What a run and a sweep share.
#[derive(Debug, Args)]
struct Common {
    /// Where checkpoints, log, curves and the trained model go
    // Always there but beside a subcommand, which has its own.
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    training: TrainingOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
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
struct TrainingOptions {
    /// What is trained
    #[arg(long, value_enum, default_value = "low-rank")]
    part: Part,
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
    max_tokens: usize,
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
    seed: u64,
    /// Steps between two looks at the development set
    #[arg(long, value_name = "N", default_value_t = 100)]
    validate_every: u64,
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

impl Common {
    fn folder(&self) -> anyhow::Result<&Path> {
        self.out.as_deref().context("--out names no folder")
    }
}

impl TrainingOptions {
    fn batches(&self, alpha: f64, seed: u64) -> BatchOptions {
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
    fn asks_untrained(&self) -> bool {
        self.english > 0.0 || self.keep > 0.0 || !self.focus.is_empty()
    }

    fn linear(&self) -> LinearOptions {
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
    fn encoder(&self, model: &Trainable) -> StepConfig {
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
            chunk_tokens: self.chunk_tokens,
            kept_tokens: self.kept_tokens,
        }
    }

    fn train(&self) -> TrainOptions {
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

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    match &options.command {
        Some(Command::Sweep(options)) => sweep::run(options, ui),
        None => run_once(&options.run, ui),
    }
}

fn run_once(options: &Run, ui: Ui) -> anyhow::Result<()> {
    let common = &options.common;
    let data = common.data.load(ui)?;
    let stop = Stop::on_ctrl_c(ui)?;
    let folder = common.folder()?;
    let models = Models::open(common, folder)?;
    let resume = if options.resume { Resume::Yes } else { Resume::No };
    let plan = Plan { alpha: options.alpha, seed: common.training.seed, folder, resume };
    let outcome = train(common, &data, &models, &plan, &stop, ui)?;
    if options.json {
        return Ok(ui.json(&outcome)?);
    }
    ui.line("| model | mono mAP | cross mAP | multi mAP | rank distance |")?;
    ui.line("| --- | ---: | ---: | ---: | ---: |")?;
    let rows = [
        ("untrained".to_owned(), outcome.untrained.as_ref()),
        (
            format!("best, after {} steps", outcome.best.as_ref().map_or(0, |(steps, _)| *steps)),
            outcome.best.as_ref().map(|(_, validation)| validation),
        ),
    ];
    for (name, validation) in rows {
        if let Some(validation) = validation {
            ui.line(format_args!("| {name} | {} |", cells(validation).join(" | ")))?;
        }
    }
    Ok(())
}

fn cells(validation: &Validation) -> [String; 4] {
    let Validation { mono, cross, multi, rank_distance, .. } = validation;
    let share = |x: &Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
    let ranks = rank_distance.map_or_else(|| "-".to_owned(), |x| format!("{x:.1}"));
    [share(mono), share(cross), share(multi), ranks]
}

/// What runs train, and share.
struct Models {
    fingerprint: String,
    base: Base,
}

/// What a sweep's runs encode once for all.
type Vectors = Arc<Mutex<CachedVectors>>;

/// What training begins from.
enum Base {
    /// An encoder's vectors.
    Frozen(Vectors),
    /// A model's weights, and its untrained vectors where they are asked for.
    Weights(Trainable, Option<Vectors>),
}

impl Models {
    fn open(common: &Common, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        // A fingerprint is that of all precisions, and vectors of two are not the same numbers.
        let file = folder.join(format!("vectors-{}.tdvc", common.model.precision()?));
        let vectors = |encoder| {
            let vectors = CachedVectors::with_file(encoder, &file)?;
            anyhow::Ok(Arc::new(Mutex::new(vectors)))
        };
        let training = &common.training;
        if training.part == Part::Linear {
            let encoder = common.model.encoder()?;
            let fingerprint = encoder.fingerprint().to_string();
            return Ok(Self { fingerprint, base: Base::Frozen(vectors(encoder)?) });
        }
        let model = common.model.trainable()?;
        let untrained = training.asks_untrained().then(|| vectors(common.model.encoder()?));
        let fingerprint = model.folder.fingerprint().to_string();
        Ok(Self { fingerprint, base: Base::Weights(model, untrained.transpose()?) })
    }

    /// What one run trains, and what it goes by: the only place that knows the parts.
    fn part(
        &self,
        options: &TrainingOptions,
        seed: u64,
    ) -> anyhow::Result<(Box<dyn TrainStep>, serde_json::Value)> {
        let (model, untrained) = match &self.base {
            Base::Frozen(vectors) => {
                let linear = options.linear();
                let config = serde_json::json!({"part": "linear", "options": linear});
                return Ok((Box::new(LinearHead::new(Arc::clone(vectors), linear)), config));
            }
            Base::Weights(model, untrained) => (model, untrained.clone()),
        };
        let step = options.encoder(model);
        let config = serde_json::json!({
            "part": step.trained,
            "temperature": step.temperature,
            "symmetrical": step.symmetrical,
            "dims": step.matryoshka,
            "english": step.distillation.vectors,
            "keep": step.distillation.similarities,
            "weight_decay": step.optimizer.weight_decay,
            "clip": step.optimizer.clip,
            "max_tokens": options.max_tokens,
            "chunk_tokens": step.chunk_tokens,
        });
        let (folder, library) = (model.folder.clone(), &model.library);
        let step = EncoderStep::new(folder, library, step, options.max_tokens, untrained, seed)?;
        Ok((Box::new(step), config))
    }
}

/// What a finished run leaves: an adapter, and a model folder ready for `tdense index`.
fn export(
    model: &Trainable,
    trained: &Trained,
    state: &State,
    folder: &Path,
    ui: Ui,
) -> anyhow::Result<()> {
    let place = folder.join(MODEL);
    if place.exists() {
        ui.note(format_args!("{}: made by an earlier end of this run", place.display()));
        return Ok(());
    }
    let base = model.folder.fingerprint().as_str();
    let name = folder.file_name().map_or("trained".into(), |name| name.to_string_lossy());
    let made = match trained {
        Trained::LowRank(adapter) => {
            let adapter = AdapterFile::new(state, adapter, base);
            adapt(&model.folder, Change::Adapter(&adapter), &name, &place)?
        }
        Trained::AllButWords | Trained::All => {
            adapt(&model.folder, Change::Weights(state), &name, &place)?
        }
    };
    ui.note(format_args!("{}: the trained model, {}", made.path().display(), made.fingerprint()));
    Ok(())
}

/// One run.
struct Plan<'a> {
    alpha: f64,
    seed: u64,
    folder: &'a Path,
    resume: Resume,
}

fn train(
    common: &Common,
    data: &Data,
    models: &Models,
    plan: &Plan<'_>,
    stop: &Stop,
    ui: Ui,
) -> anyhow::Result<Outcome> {
    let options = common.training.train();
    // A finished run that is asked for again has both; a model alone is something else's.
    let model = plan.folder.join(MODEL);
    anyhow::ensure!(
        !model.exists() || (plan.resume != Resume::No && plan.folder.join("checkpoints").is_dir()),
        "{}: a model is here already; train into another folder",
        model.display()
    );
    let batches = Batches::new(&data.corpus, common.training.batches(plan.alpha, plan.seed))?;
    let [mono, cross] = batches.languages().map(|languages| languages.len());
    ui.note(format_args!(
        "alpha {}, seed {}: monolingual batches in {mono} languages, queries of cross-lingual ones in {cross}",
        plan.alpha, plan.seed
    ));
    let (mut part, part_config) = models.part(&common.training, plan.seed)?;
    let config = serde_json::json!({
        "model": models.fingerprint,
        "precision": common.model.precision()?,
        "part": part_config,
        "batches": batches.options(),
        "training": options,
        "development": common.data.development(),
    });
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let length = options.schedule.steps;
    let mut trainer =
        Trainer::new(batches, &data.development, plan.folder, options, config, data.fingerprint)
            .threads(threads);
    let mut progress = ui.progress("training", "pairs", Some(length));
    let mut pairs = 0;
    let mut on_event = |event: Event| {
        match event {
            Event::Resumed { steps } => {
                progress.note(format_args!("going on after {steps} steps"));
            }
            Event::Damaged { why } => ui.warn(why),
            Event::Step { steps, of, report, queries } => {
                pairs += queries as u64;
                progress.also(format!("loss {:.4}", report.loss));
                progress.set_counted(steps, pairs);
                if steps.is_multiple_of(common.training.validate_every.max(1)) {
                    progress.log(format_args!("step {steps} of {of}: {}", progress.said()));
                }
            }
            Event::Validated { steps, validation, is_best } => {
                let [mono, cross, multi, ranks] = cells(&validation);
                let best = if is_best { ", the best so far" } else { "" };
                progress.note(format_args!(
                    "after {steps} steps: mono {mono}, cross {cross}, multi {multi}, rank distance {ranks}{best}"
                ));
            }
        }
        if stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let outcome = trainer.run(part.as_mut(), plan.resume, &mut on_event)?;
    progress.finish();
    if let Base::Weights(model, _) = &models.base
        && outcome.stopped != Stopped::Asked
    {
        let state = state_of(outcome.steps, &part.state()?)?;
        export(model, &common.training.encoder(model).trained, &state, plan.folder, ui)?;
    }
    match outcome.stopped {
        Stopped::Asked => {
            let steps = outcome.steps;
            Err(Interrupted(format!("stopped after {steps} steps; --resume goes on")).into())
        }
        Stopped::Early => {
            ui.note(format_args!("nothing got better: ended after {} steps", outcome.steps));
            Ok(outcome)
        }
        Stopped::Finished => Ok(outcome),
    }
}

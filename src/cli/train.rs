//! `tdense train`.

mod data;
mod options;
mod sweep;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::{Args, Subcommand};

use self::data::{Data, DataOptions};
use self::options::{Part, TrainingOptions};
use super::error::Interrupted;
use super::interrupt::Stop;
use super::models::ModelOptions;
use super::models::onnx::Trainable;
use super::ui::Ui;
use crate::model::{AdapterFile, Change, adapt};
use crate::trainer::step::{State, Trained};
use crate::trainer::{
    Batches, CachedVectors, EncoderStep, Event, LinearHead, Outcome, Resume, Stopped, TrainStep,
    Trainer, Validation, head_of, state_of,
};

/// The trained model, in the folder of a run.
const MODEL: &str = "model";

/// A trained matrix, in the folder of a run.
const HEAD: &str = "head.safetensors";

/// Train an encoder with monolingual and cross-lingual batches.
///
/// Reads pairs and aligned corpora, leaves out what is under a forbidding licence or in an evaluation folder, cuts a
/// development set, trains, and keeps checkpoints, a log (log.jsonl) and the curves (curves.svg) in the --out folder. A run
/// that was stopped or killed goes on with --resume, and ends as if it had not been. Steps are in f32; --precision tf32 lets CUDA
/// round what they multiply.
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

impl Common {
    fn folder(&self) -> anyhow::Result<&Path> {
        self.out.as_deref().context("--out names no folder")
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
    Weights(Box<Trainable>, Option<Vectors>),
}

impl Models {
    fn open(common: &Common, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        let tokens = common.training.max_tokens;
        // A fingerprint is that of all precisions and cuts, and vectors of two are not the same numbers.
        let file = folder.join(format!("vectors-{}-{tokens}.tdvc", common.model.precision()?));
        let vectors = |encoder| {
            let vectors = CachedVectors::with_file(encoder, &file)?;
            anyhow::Ok(Arc::new(Mutex::new(vectors)))
        };
        let training = &common.training;
        if training.part == Part::Linear {
            let encoder = common.model.encoder_of_the_first(tokens)?;
            let fingerprint = encoder.fingerprint().to_string();
            return Ok(Self { fingerprint, base: Base::Frozen(vectors(encoder)?) });
        }
        let model = Box::new(common.model.trainable()?);
        let untrained =
            training.asks_untrained().then(|| vectors(common.model.encoder_of_the_first(tokens)?));
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
                let config = serde_json::json!({
                    "part": "linear",
                    "options": linear,
                    "max_tokens": options.max_tokens,
                });
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
            let adapter = AdapterFile::new(&state.weights(), adapter, base);
            adapt(&model.folder, Change::Adapter(&adapter), &name, &place)?
        }
        Trained::AllButWords | Trained::All => {
            adapt(&model.folder, Change::Weights(&state.weights()), &name, &place)?
        }
    };
    ui.note(format_args!("{}: the trained model, {}", made.path().display(), made.fingerprint()));
    Ok(())
}

/// Writes a file whole or not at all.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = file.with_extension("unfinished");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, file)
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
    if outcome.stopped != Stopped::Asked {
        let state = part.state()?;
        match &models.base {
            Base::Weights(model, _) => {
                let trained = common.training.encoder(model).trained;
                export(model, &trained, &state_of(outcome.steps, &state)?, plan.folder, ui)?;
            }
            Base::Frozen(_) => {
                let file = plan.folder.join(HEAD);
                let head = head_of(&state, &models.fingerprint)?.to_bytes()?;
                replace(&file, &head).with_context(|| format!("{}", file.display()))?;
                ui.note(format_args!("{}: the trained matrix", file.display()));
            }
        }
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

//! The training loop.

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::batch::{BatchKind, Batches};
use super::checkpoint::{CheckpointError, Checkpoints};
use super::curves::{self, CurvesError};
use super::dev::{Development, Validation, ValidationError};
use super::log::{self, Line, Log};
use super::schedule::Schedule;
use super::train_step::{StepError, StepReport, TrainStep};

/// Names of what a run keeps in its folder.
const CHECKPOINTS: &str = "checkpoints";
const LOG: &str = "log.jsonl";
const CURVES: &str = "curves.svg";

/// How a run goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Steps, and how large they are.
    pub schedule: Schedule,
    /// Steps between two validations; the untrained model and the last step are validated too.
    pub validate_every: u64,
    /// Steps between two checkpoints; there is one after each validation too.
    pub checkpoint_every: u64,
    /// How many validations in a row may bring nothing better before the run ends; none: any number.
    pub patience: Option<usize>,
    /// Checkpoints that are kept beside the best.
    pub keep: usize,
}

/// Something happened in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Event {
    /// The run goes on after so many steps.
    Resumed { steps: u64 },
    /// A checkpoint is passed over: why, in words.
    Damaged { why: String },
    /// So many of all steps are done; how the last one went, with how many queries.
    Step { steps: u64, of: u64, report: StepReport, queries: usize },
    /// The model was measured after so many steps; whether it was the best so far.
    Validated { steps: u64, validation: Validation, is_best: bool },
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// All steps are done.
    Finished,
    /// Nothing got better for long enough.
    Early,
    /// The callback asked for it; it can go on.
    Asked,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Steps done.
    pub steps: u64,
    /// Why it ended.
    pub stopped: Stopped,
    /// The untrained model on the development set.
    pub untrained: Option<Validation>,
    /// The best model, and after how many steps it was; the trained model is put back to it, if the run is over.
    pub best: Option<(u64, Validation)>,
}

/// Why a run failed. The last checkpoint is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum TrainError {
    /// Another run is in the folder.
    #[error("{}: a run is here already; go on with it, or train into another folder", folder.display())]
    Taken { folder: PathBuf },
    /// What is asked for is not what the run began with.
    #[error("{}: the run here began with other {what}; train into another folder", folder.display())]
    Other { folder: PathBuf, what: &'static str },
    /// The weights would be nonsense from here on.
    #[error(
        "step {step}: the loss is {loss}: use a lower learning rate or a higher temperature; the last checkpoint is sound"
    )]
    NotFinite { step: u64, loss: f64 },
    /// The model failed.
    #[error("step {step}")]
    Step { step: u64, source: StepError },
    /// The model could not be measured.
    #[error("validation after {steps} steps")]
    Validation { steps: u64, source: ValidationError },
    /// The model's state cannot be saved, or what was saved does not fit it.
    #[error(transparent)]
    State(StepError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log could not be written.
    #[error("{}: the log cannot be written", path.display())]
    Log { path: PathBuf, source: io::Error },
    /// There is no picture.
    #[error(transparent)]
    Curves(#[from] CurvesError),
}

/// A run: data, model, and the folder in which it keeps its log, checkpoints and curves.
#[derive(Debug)]
pub struct Trainer<'a> {
    batches: Batches<'a>,
    development: &'a Development,
    folder: PathBuf,
    options: TrainOptions,
    config: serde_json::Value,
    data: String,
    threads: NonZeroUsize,
}

impl<'a> Trainer<'a> {
    /// Prepares a run. `config` is all that decides what the weights become and that a run must begin and go on with;
    /// `data` is the [fingerprint](super::Corpus::fingerprint) of what it is trained on.
    pub fn new(
        batches: Batches<'a>,
        development: &'a Development,
        folder: impl Into<PathBuf>,
        options: TrainOptions,
        config: serde_json::Value,
        data: u64,
    ) -> Self {
        Self {
            batches,
            development,
            folder: folder.into(),
            options,
            config,
            data: format!("{data:016x}"),
            threads: NonZeroUsize::MIN,
        }
    }

    /// Threads for measuring. Default: 1.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Trains until all steps are done, nothing gets better, or the callback breaks off. `resume` goes on with the run in
    /// the folder, or begins one where none is.
    ///
    /// # Errors
    /// [`TrainError`]. Checkpoints that were written stay.
    pub fn run(
        &mut self,
        model: &mut dyn TrainStep,
        resume: Resume,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Outcome, TrainError> {
        let checkpoints = Checkpoints::new(self.folder.join(CHECKPOINTS), self.options.keep);
        if resume == Resume::No && !checkpoints.is_empty() {
            return Err(TrainError::Taken { folder: self.folder.clone() });
        }
        let mut at = self.start(model, &checkpoints, on_event)?;
        let stopped = loop {
            if at.steps >= self.options.schedule.steps {
                break Stopped::Finished;
            }
            if self.options.patience.is_some_and(|patience| at.worse >= patience) {
                break Stopped::Early;
            }
            let asked = self.step(model, &mut at, on_event)?;
            let is_last = at.steps == self.options.schedule.steps;
            let due = |every: u64| every > 0 && at.steps.is_multiple_of(every);
            let validates = due(self.options.validate_every) || is_last;
            let saves = due(self.options.checkpoint_every);
            if validates {
                self.validate(model, &mut at, on_event)?;
            }
            if validates || saves || asked.is_break() {
                self.save(model, &mut at, &checkpoints)?;
            }
            if asked.is_break() {
                break Stopped::Asked;
            }
        };
        at.log.sync().map_err(|source| self.log_failed(source))?;
        let lines = log::read(&self.folder.join(LOG)).map_err(|source| self.log_failed(source))?;
        curves::draw(&lines, &self.folder.join(CURVES))?;
        if stopped != Stopped::Asked
            && let Some((steps, _)) = at.best.as_ref().filter(|(steps, _)| *steps != at.steps)
        {
            let best = checkpoints.read(*steps)?;
            model.restore(*steps, &best.state).map_err(TrainError::State)?;
        }
        let untrained = lines.iter().find(|line| line.steps() == 0).and_then(Line::validation);
        Ok(Outcome { steps: at.steps, stopped, untrained: untrained.cloned(), best: at.best })
    }

    /// Puts the model where the last sound checkpoint was, or measures it untrained.
    fn start(
        &self,
        model: &mut dyn TrainStep,
        checkpoints: &Checkpoints,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Progress, TrainError> {
        let (latest, damaged) = checkpoints.latest();
        for error in damaged {
            let _goes_on = on_event(Event::Damaged { why: error.to_string() });
        }
        let steps = latest.as_ref().map_or(0, |latest| latest.facts.steps);
        std::fs::create_dir_all(&self.folder).map_err(|source| self.log_failed(source))?;
        let log = self.folder.join(LOG);
        let Some(latest) = latest else {
            // Whatever an earlier beginning logged is not of this run.
            let _absent = std::fs::remove_file(&log);
            let log = Log::open(&log, 0).map_err(|source| self.log_failed(source))?;
            let mut at = Progress { steps: 0, worse: 0, best: None, log };
            self.validate(model, &mut at, on_event)?;
            self.save(model, &mut at, checkpoints)?;
            return Ok(at);
        };
        // As the options come back from a file, whose numbers may end otherwise.
        let config = serde_json::from_str(&self.config.to_string()).unwrap_or_default();
        let config: serde_json::Value = config;
        for (what, differs) in [
            ("options", latest.facts.config != config),
            ("training data", latest.facts.data != self.data),
        ] {
            if differs {
                return Err(TrainError::Other { folder: self.folder.clone(), what });
            }
        }
        model.restore(steps, &latest.state).map_err(TrainError::State)?;
        let _goes_on = on_event(Event::Resumed { steps });
        let open = Log::open(&log, steps).map_err(|source| self.log_failed(source))?;
        let lines = log::read(&log).map_err(|source| self.log_failed(source))?;
        let best = latest.facts.best;
        let since = best.as_ref().map_or(0, |(steps, _)| *steps);
        let later = lines.iter().filter(|line| line.validation().is_some() && line.steps() > since);
        Ok(Progress { steps, worse: later.count(), best, log: open })
    }

    fn step(
        &mut self,
        model: &mut dyn TrainStep,
        at: &mut Progress,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let step = at.steps;
        let batch = self.batches.at(step);
        let learning_rate = self.options.schedule.rate(step);
        let report = model
            .step(&batch, learning_rate)
            .map_err(|source| TrainError::Step { step, source })?;
        if !(report.loss.is_finite() && report.gradient.is_finite()) {
            return Err(TrainError::NotFinite { step, loss: report.loss });
        }
        at.steps += 1;
        let kind = match &batch.kind {
            BatchKind::Mono(language) => language.to_string(),
            BatchKind::Cross => "cross".to_owned(),
        };
        let line = Line::Step {
            step: at.steps,
            loss: report.loss,
            gradient: report.gradient,
            learning_rate,
            batch: kind,
        };
        at.log.add(&line).map_err(|source| self.log_failed(source))?;
        let (of, queries) = (self.options.schedule.steps, batch.queries.len());
        Ok(on_event(Event::Step { steps: at.steps, of, report, queries }))
    }

    fn validate(
        &self,
        model: &mut dyn TrainStep,
        at: &mut Progress,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        let steps = at.steps;
        let validation = self
            .development
            .validate(model, self.threads)
            .map_err(|source| TrainError::Validation { steps, source })?;
        // Where nothing can be measured the latest is as good as any: what was trained is never put back.
        let is_best = validation.is_empty()
            || at.best.as_ref().is_none_or(|(_, best)| validation.score() > best.score());
        let line = Line::Validation { step: steps, validation: validation.clone() };
        at.log.add(&line).map_err(|source| self.log_failed(source))?;
        if is_best {
            at.best = Some((steps, validation.clone()));
            at.worse = 0;
        } else {
            at.worse += 1;
        }
        let _goes_on = on_event(Event::Validated { steps, validation, is_best });
        Ok(())
    }

    fn save(
        &self,
        model: &mut dyn TrainStep,
        at: &mut Progress,
        checkpoints: &Checkpoints,
    ) -> Result<(), TrainError> {
        at.log.sync().map_err(|source| self.log_failed(source))?;
        let state = model.state().map_err(TrainError::State)?;
        checkpoints.write(at.steps, &self.config, &self.data, at.best.as_ref(), &state)?;
        Ok(())
    }

    fn log_failed(&self, source: io::Error) -> TrainError {
        TrainError::Log { path: Path::new(&self.folder).join(LOG), source }
    }
}

/// Whether a run in the folder is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It is.
    Yes,
    /// It is in the way.
    No,
}

/// Where a run stands.
#[derive(Debug)]
struct Progress {
    steps: u64,
    /// Validations since the best.
    worse: usize,
    best: Option<(u64, Validation)>,
    log: Log,
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

use super::*;
use crate::trainer::corpus::tests::set;
use crate::trainer::{
    BatchOptions, CachedVectors, Corpus, Decay, DevelopmentOptions, LinearHead, LinearOptions,
    Tensor,
};
use dense_plugin::toy::ToyEncoder;
use dense_plugin::{Dim, Role, Text};
use ndarray::Array2;
use std::sync::{Arc, Mutex};

fn data() -> (Corpus, Development) {
    let mut corpus = Corpus::new();
    let source = corpus.source("s", None);
    for at in 0..80 {
        let texts = |what: &str| {
            ["en", "sw"]
                .map(|tag| (tag, format!("{what} {tag} {:x}", crate::trainer::text::mixed(&[at]))))
        };
        let [queries, passages] = ["why", "because"].map(texts);
        let [q, p] = [&queries, &passages].map(|t| t.each_ref().map(|(l, t)| (*l, t.as_str())));
        corpus.add(source, &set(&at.to_string(), &q, &p));
    }
    let options = DevelopmentOptions { share: 0.2, languages: 2, queries: 8, seed: 0 };
    let (development, _) = Development::cut(&mut corpus, &options);
    (corpus, development)
}

fn head() -> LinearHead {
    let vectors = CachedVectors::new(Arc::new(ToyEncoder::new(Dim::new(16).unwrap())));
    LinearHead::new(Arc::new(Mutex::new(vectors)), LinearOptions::default())
}

fn trainer<'a>(data: &'a (Corpus, Development), folder: &Path, steps: u64) -> Trainer<'a> {
    let batch = BatchOptions { queries: 8, least_sets: 1, seed: 5, ..BatchOptions::default() };
    let schedule = Schedule { peak: 0.01, warmup: 2, steps, decay: Decay::Linear, floor: 0.0 };
    let options =
        TrainOptions { schedule, validate_every: 4, checkpoint_every: 3, patience: None, keep: 2 };
    let batches = Batches::new(&data.0, batch).unwrap();
    let config = serde_json::json!({"steps": steps});
    Trainer::new(batches, &data.1, folder, options, config, data.0.fingerprint())
}

fn go_on(_: Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A head that dies at a step, once.
struct Dies(LinearHead, Option<u64>);

impl TrainStep for Dies {
    fn step(
        &mut self,
        batch: &crate::trainer::Batch<'_>,
        rate: f64,
    ) -> Result<StepReport, StepError> {
        if self.1.take_if(|at| *at == batch.number).is_some() {
            return Err(StepError::State { what: "killed".to_owned() });
        }
        self.0.step(batch, rate)
    }

    fn embed(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError> {
        self.0.embed(role, texts)
    }

    fn state(&mut self) -> Result<Vec<Tensor>, StepError> {
        self.0.state()
    }

    fn restore(&mut self, steps: u64, state: &[Tensor]) -> Result<(), StepError> {
        self.0.restore(steps, state)
    }
}

#[test]
fn a_run_that_dies_at_any_step_and_goes_on_ends_with_the_same_weights_and_log() {
    let data = data();
    let whole = tempfile::tempdir().unwrap();
    let mut model = head();
    let wanted = trainer(&data, whole.path(), 10).run(&mut model, Resume::No, &mut go_on).unwrap();
    let weights = model.state().unwrap();
    let log = std::fs::read(whole.path().join(LOG)).unwrap();
    assert_eq!(wanted.stopped, Stopped::Finished);
    assert!(std::fs::read_to_string(whole.path().join(CURVES)).unwrap().contains("multi mAP"));
    for at in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let mut dies = Dies(head(), Some(at));
        trainer(&data, folder.path(), 10).run(&mut dies, Resume::No, &mut go_on).unwrap_err();
        let mut model = head();
        let got =
            trainer(&data, folder.path(), 10).run(&mut model, Resume::Yes, &mut go_on).unwrap();
        assert_eq!(got, wanted, "killed at {at}");
        assert_eq!(model.state().unwrap(), weights, "killed at {at}");
        assert_eq!(std::fs::read(folder.path().join(LOG)).unwrap(), log, "killed at {at}");
    }
}

#[test]
fn a_stop_that_is_asked_for_leaves_a_checkpoint_to_go_on_from() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let mut until_five = |event: Event| match event {
        Event::Step { steps: 5, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let outcome =
        trainer(&data, folder.path(), 10).run(&mut head(), Resume::Yes, &mut until_five).unwrap();
    assert_eq!((outcome.steps, outcome.stopped), (5, Stopped::Asked));
    let mut resumed = None;
    let mut see = |event: Event| {
        if let Event::Resumed { steps } = event {
            resumed = Some(steps);
        }
        ControlFlow::Continue(())
    };
    trainer(&data, folder.path(), 10).run(&mut head(), Resume::Yes, &mut see).unwrap();
    assert_eq!(resumed, Some(5));
}

#[test]
fn a_folder_of_another_run_is_refused() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let run =
        |steps, resume| trainer(&data, folder.path(), steps).run(&mut head(), resume, &mut go_on);
    run(3, Resume::No).unwrap();
    assert!(matches!(run(3, Resume::No), Err(TrainError::Taken { .. })));
    assert!(matches!(run(4, Resume::Yes), Err(TrainError::Other { what: "options", .. })));
    assert_eq!(run(3, Resume::Yes).unwrap().stopped, Stopped::Finished);
}

/// A model whose loss is no number from a step on.
struct Bursts(LinearHead, u64);

impl TrainStep for Bursts {
    fn step(
        &mut self,
        batch: &crate::trainer::Batch<'_>,
        rate: f64,
    ) -> Result<StepReport, StepError> {
        let report = self.0.step(batch, rate)?;
        Ok(if batch.number < self.1 { report } else { StepReport { loss: f64::NAN, ..report } })
    }

    fn embed(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError> {
        self.0.embed(role, texts)
    }

    fn state(&mut self) -> Result<Vec<Tensor>, StepError> {
        self.0.state()
    }

    fn restore(&mut self, steps: u64, state: &[Tensor]) -> Result<(), StepError> {
        self.0.restore(steps, state)
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_the_last_checkpoint_is_sound() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let mut model = Bursts(head(), 7);
    let error =
        trainer(&data, folder.path(), 10).run(&mut model, Resume::No, &mut go_on).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 7, .. }), "{error}");
    let (latest, damaged) = Checkpoints::new(folder.path().join(CHECKPOINTS), 2).latest();
    assert_eq!((latest.unwrap().facts.steps, damaged.len()), (6, 0));
}

/// A model that a step does not change.
struct Idle(LinearHead);

impl TrainStep for Idle {
    fn step(&mut self, _: &crate::trainer::Batch<'_>, _: f64) -> Result<StepReport, StepError> {
        Ok(StepReport { loss: 1.0, gradient: 1.0, tokens: 0 })
    }

    fn embed(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError> {
        self.0.embed(role, texts)
    }

    fn state(&mut self) -> Result<Vec<Tensor>, StepError> {
        self.0.state()
    }

    fn restore(&mut self, steps: u64, state: &[Tensor]) -> Result<(), StepError> {
        self.0.restore(steps, state)
    }
}

#[test]
fn a_run_without_progress_ends_early_at_the_same_step_whether_it_was_stopped_or_not() {
    let data = data();
    let run = |folder: &Path, stop_at: u64| {
        let mut trainer = trainer(&data, folder, 100);
        trainer.options.patience = Some(2);
        let mut until = |event: Event| match event {
            Event::Step { steps, .. } if steps == stop_at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        trainer.run(&mut Idle(head()), Resume::Yes, &mut until).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let whole = run(folder.path(), 0);
    assert_eq!(
        (whole.steps, whole.stopped, whole.best.as_ref().map(|(at, _)| *at)),
        (8, Stopped::Early, Some(0))
    );
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 6);
    assert_eq!(run(folder.path(), 0), whole);
}

//! Training steps in ONNX Runtime against `PyTorch`'s (`fixtures/make/training.py`), and what holds for any step.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions alone")]
use std::collections::BTreeMap;
use std::path::Path;

use dense_plugin::{Encoder, Role, Text};
use ndarray::{Array2, arr2};
use serde::Deserialize;
use tantivy_dense::encoder::{OnnxEncoder, Pooling};
use tantivy_dense::graph::{
    Activation, AdamW, BertConfig, GraphWeights, Head, Numeric, Tensor, Weights, bert_encoder,
};
use tantivy_dense::model::{
    Adapter, AdapterFile, Changed, HeadFile, ModelFolder, ParseError, Precision, base_folder,
};
use tantivy_dense::trainer::step::{Batch, OnnxStep, State, StepConfig, StepError, Trained};

use super::support::cache::{library, model_cache};
use super::support::tiny::{Noise, text, write_tokenizer};

const BERT: BertConfig = BertConfig {
    layers: 2,
    heads: 2,
    hidden: 32,
    inner: 48,
    vocabulary: 9,
    positions: 6,
    token_types: 2,
    epsilon: 1e-5,
    head: Head { pooling: Pooling::Mean, dense: None, activation: Activation::Tanh },
};

const RATE: f32 = 1e-2;

fn batch() -> Batch {
    Batch {
        queries: vec![vec![1, 3, 5, 2], vec![1, 4, 4, 7, 2]],
        passages: vec![vec![1, 8, 2], vec![1, 2], vec![1, 6, 6, 3, 2]],
        allowed: arr2(&[[true, true, true], [true, true, false]]),
        ..Batch::default()
    }
}

fn low_rank() -> Adapter {
    Adapter { rank: 2, alpha: 4.0, layers: None }
}

fn config(trained: Trained) -> StepConfig {
    StepConfig {
        trained,
        temperature: 0.25,
        threads: 2,
        optimizer: AdamW { clip: Some(0.5), ..AdamW::default() },
        ..StepConfig::default()
    }
}

fn open(library: &Path, config: StepConfig) -> OnnxStep {
    try_open(library, config).unwrap()
}

fn try_open(library: &Path, config: StepConfig) -> Result<OnnxStep, StepError> {
    let folder = tempfile::tempdir().unwrap();
    let graph = bert_encoder(&BERT, &Noise, Numeric::F32).unwrap();
    graph.save(folder.path(), "model.onnx").unwrap();
    let weights = GraphWeights::open(&folder.path().join("model.onnx"), &BERT).unwrap();
    let words = weights.words().unwrap();
    OnnxStep::with_weights(BERT, &weights, words, library, config, 1)
}

/// Low-rank changes as `training.py` begins with them.
fn noisy(state: &State) -> State {
    let begin = |(name, tensor): (&String, &Tensor)| {
        let is_factor = !name.starts_with("first.") && !name.starts_with("second.");
        let numbers = if is_factor {
            Noise.tensor(name, tensor.dims()).unwrap()
        } else {
            tensor.as_f32().unwrap().to_vec()
        };
        (name.clone(), Tensor::f32(tensor.dims(), numbers))
    };
    State { step: 0, tensors: state.tensors.iter().map(begin).collect() }
}

#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "low-rank")]
    low_rank: Run,
    #[serde(rename = "all-but-words")]
    all_but_words: Run,
    all: Run,
}

#[derive(Deserialize)]
struct Run {
    losses: Vec<f64>,
    norms: Vec<f64>,
    weights: BTreeMap<String, Vec<f64>>,
}

#[test]
fn three_steps_are_those_of_pytorch() {
    let Some(library) = library() else { return };
    let golden: Golden =
        serde_json::from_str(include_str!("../fixtures/golden/training.json")).unwrap();
    for (trained, golden) in [
        (Trained::LowRank(low_rank()), golden.low_rank),
        (Trained::AllButWords, golden.all_but_words),
        (Trained::All, golden.all),
    ] {
        let is_low_rank = matches!(trained, Trained::LowRank(_));
        let mut config = config(trained.clone());
        config.optimizer.epsilon = 1e-4;
        let mut step = open(&library, config);
        if is_low_rank {
            let state = noisy(&step.state().unwrap());
            step.restore(&state).unwrap();
        }
        for (loss, norm) in golden.losses.iter().zip(&golden.norms) {
            let report = step.step(&batch(), RATE).unwrap();
            assert!((f64::from(report.loss) - loss).abs() < 1e-5 * loss, "{trained:?} {report:?}");
            let found = f64::from(report.gradient_norm);
            assert!((found - norm).abs() < 1e-4 * norm, "{trained:?} {report:?} for {norm}");
        }
        let state = step.state().unwrap();
        assert_eq!(state.step, 3);
        assert_eq!(state.tensors.len(), 3 * golden.weights.len());
        for (name, wanted) in golden.weights {
            let numbers = state.tensors[&name].as_f32().unwrap();
            let found = numbers.iter().step_by(numbers.len() / 5 + 1);
            for (found, wanted) in found.zip(wanted) {
                let apart = (f64::from(*found) - wanted).abs();
                assert!(apart < 2e-5, "{trained:?} {name}: {found} for {wanted}");
            }
        }
    }
}

fn apart(a: &State, b: &State) -> f32 {
    let numbers = |state: &State| {
        let all = state
            .tensors
            .iter()
            .filter(|(name, _)| !name.contains("first.") && !name.contains("second."));
        all.flat_map(|(_, t)| t.as_f32().unwrap().to_vec()).collect::<Vec<_>>()
    };
    let pairs = numbers(a).into_iter().zip(numbers(b));
    pairs.map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).unwrap()
}

#[test]
fn a_batch_in_parts_is_one_big_batch() {
    let Some(library) = library() else { return };
    for trained in [Trained::LowRank(low_rank()), Trained::AllButWords, Trained::All] {
        let found = [(1000, 1000), (5, 1000), (5, 0), (10, 10)].map(|(chunk, kept)| {
            let config = StepConfig {
                chunk_tokens: chunk,
                kept_tokens: kept,
                // Steps proportional to gradients: what differs by rounding stays so.
                optimizer: AdamW { epsilon: 1.0, ..AdamW::default() },
                ..config(trained.clone())
            };
            let mut step = open(&library, config);
            let reports = [0, 1].map(|_| step.step(&batch(), 1.0).unwrap());
            (reports[1].loss, step.state().unwrap())
        });
        for (loss, state) in &found[1..] {
            assert!((loss - found[0].0).abs() < 1e-5);
            assert!(apart(state, &found[0].1) < 1e-5, "{}", apart(state, &found[0].1));
        }
    }
}

/// So many pairs of texts that are all different, of 3 to 6 tokens.
fn large_batch(pairs: u32) -> Batch {
    // Digits 1 to 6, as tokens 3 to 8.
    let text = |mut number: u32| {
        let mut ids = vec![1];
        while number > 0 {
            number -= 1;
            ids.push(3 + number % 6);
            number /= 6;
        }
        ids.push(2);
        ids
    };
    let count = pairs as usize;
    Batch {
        queries: (1..=pairs).map(text).collect(),
        // 257 and the number of texts with 1 to 4 digits have no factor in common.
        passages: (1..=pairs).map(|at| text(1 + at * 257 % 1554)).collect(),
        allowed: Array2::from_shape_fn((count, count), |(q, p)| q == p || (q + p) % 7 > 0),
        ..Batch::default()
    }
}

#[test]
fn a_thousand_pairs_in_little_memory_are_one_big_batch() {
    let Some(library) = library() else { return };
    let batch = large_batch(1024);
    for trained in [Trained::LowRank(low_rank()), Trained::All] {
        // In one chunk, in chunks of which some are kept, and in smaller ones that are all made again.
        let found = [(20_000, 20_000), (500, 4000), (60, 0)].map(|(chunk, kept)| {
            let config = StepConfig {
                chunk_tokens: chunk,
                kept_tokens: kept,
                // Steps proportional to gradients: what differs by rounding stays so.
                optimizer: AdamW { epsilon: 1.0, ..AdamW::default() },
                ..config(trained.clone())
            };
            let mut step = open(&library, config);
            let state = step.state().unwrap();
            if matches!(trained, Trained::LowRank(_)) {
                step.restore(&noisy(&state)).unwrap();
            }
            let before = step.state().unwrap();
            (step.step(&batch, 1.0).unwrap(), before, step.state().unwrap())
        });
        let (whole, before, after) = &found[0];
        // By a thousand times more than parts may differ.
        assert!(apart(before, after) > 1e-2, "{}", apart(before, after));
        for (report, _, state) in &found[1..] {
            assert!((report.loss - whole.loss).abs() < 1e-5, "{report:?} {whole:?}");
            assert!(apart(state, after) < 1e-5, "{}", apart(state, after));
            assert!(report.padded_tokens < whole.padded_tokens);
        }
    }
}

#[test]
fn steps_repeat_bit_for_bit_and_go_on_from_a_state() {
    let Some(library) = library() else { return };
    let run = |steps: u64, from: Option<&State>| {
        let mut step = open(&library, config(Trained::LowRank(low_rank())));
        if let Some(state) = from {
            step.restore(state).unwrap();
        }
        for _ in 0..steps {
            step.step(&batch(), RATE).unwrap();
        }
        step.state().unwrap()
    };
    let whole = run(6, None);
    assert_eq!(whole, run(6, None));
    let half = run(3, None);
    let saved = half.to_bytes().unwrap();
    assert_eq!(saved, half.to_bytes().unwrap());
    let read = State::from_bytes(&saved).unwrap();
    assert_eq!(read, half);
    assert_eq!(whole, run(3, Some(&read)));
}

#[test]
fn the_loss_falls_until_every_answer_is_first() {
    let Some(library) = library() else { return };
    let mut step = open(&library, config(Trained::LowRank(low_rank())));
    let first = step.step(&batch(), RATE).unwrap();
    let last = (0..60).map(|_| step.step(&batch(), RATE).unwrap()).last().unwrap();
    assert!(last.loss < 0.1 * first.loss, "{first:?} {last:?}");
    assert!((last.accuracy - 1.0).abs() < 1e-9);
    assert_eq!((first.step, last.step), (1, 61));
    assert_eq!(last.tokens, 19);
}

#[test]
fn an_exported_model_gives_the_vectors_that_training_saw() {
    let Some(library) = library() else { return };
    let texts: [&[u32]; 3] = [&[1, 3, 5, 2], &[1, 2], &[1, 6, 6, 3, 2]];
    for trained in [Trained::LowRank(low_rank()), Trained::AllButWords, Trained::All] {
        let mut step = open(&library, config(trained));
        for _ in 0..5 {
            step.step(&batch(), RATE).unwrap();
        }
        let wanted = step.embed(&texts).unwrap();
        let weights = step.weights().unwrap();
        let changed = Changed::whole(&Noise, &weights);
        let found = encoded(&changed, &texts, &library);
        for (a, b) in wanted.iter().zip(&found) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn an_adapter_s_file_changes_a_base_as_training_did() {
    let Some(library) = library() else { return };
    let mut step = open(&library, config(Trained::LowRank(low_rank())));
    for _ in 0..5 {
        step.step(&batch(), RATE).unwrap();
    }
    let file = AdapterFile::new(&step.state().unwrap().weights(), &low_rank(), "base");
    let bytes = file.to_bytes().unwrap();
    assert_eq!(bytes, file.to_bytes().unwrap());
    let read = AdapterFile::from_bytes(&bytes).unwrap();
    assert_eq!(read, file);
    let texts: [&[u32]; 2] = [&[1, 3, 5, 2], &[1, 6, 6, 3, 2]];
    let (wanted, plain) = (step.embed(&texts).unwrap(), encoded(&Noise, &texts, &library));
    let found = encoded(&read.on(&Noise), &texts, &library);
    // Rounded to 16 bits.
    let most = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).unwrap()
    };
    assert!(most(&wanted, &found) < 1e-3, "{}", most(&wanted, &found));
    assert!(most(&plain, &found) > 0.01);

    for length in 0..bytes.len() {
        assert!(AdapterFile::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    let error = AdapterFile::from_bytes(&step.state().unwrap().to_bytes().unwrap()).unwrap_err();
    assert!(matches!(error, ParseError::Facts { .. }), "{error}");
}

#[test]
fn a_head_in_a_graph_is_the_head_applied_to_the_base_s_vectors() {
    let Some(library) = library() else { return };
    let texts: [&[u32]; 3] = [&[1, 3, 5, 2], &[1, 2], &[1, 6, 6, 3, 2]];
    let dim = BERT.dim();
    let weight = Array2::from_shape_vec((dim, dim), Noise.tensor("head", &[dim, dim]).unwrap());
    let head = HeadFile::new(weight.unwrap(), "base").unwrap();
    let plain = Array2::from_shape_vec((3, dim), encoded(&Noise, &texts, &library)).unwrap();
    let wanted = head.applied(&plain.view()).unwrap();
    let with_head = Head { dense: Some(dim), activation: Activation::None, ..BERT.head };
    let config = BertConfig { head: with_head, ..BERT };
    let found = encoded_as(&config, &head.on(&Noise), &texts, &library);
    for (a, b) in wanted.iter().zip(&found) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    assert!(plain.iter().zip(&found).any(|(a, b)| (a - b).abs() > 0.01));
}

fn encoded(weights: &dyn Weights, texts: &[&[u32]], library: &Path) -> Vec<f32> {
    encoded_as(&BERT, weights, texts, library)
}

/// Vectors of token ids, through an encoder as a user has it: token `i` is the word `wi`.
fn encoded_as(
    config: &BertConfig,
    weights: &dyn Weights,
    texts: &[&[u32]],
    library: &Path,
) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    write_tokenizer(folder.path(), BERT.vocabulary);
    let graph = bert_encoder(config, weights, Numeric::F32).unwrap();
    graph.save(folder.path(), "model.onnx").unwrap();
    let model = ModelFolder::open(folder.path()).unwrap();
    let builder = OnnxEncoder::builder(model).precision(Precision::F32);
    let encoder = builder.runtime(library).threads(1).build().unwrap();
    let texts: Vec<String> = texts.iter().map(|ids| text(ids)).collect();
    let texts: Vec<Text<'_>> = texts.iter().map(|text| Text::new(text)).collect();
    encoder.encode(Role::Passage, &texts).unwrap().vectors.as_flat().to_vec()
}

#[test]
fn on_the_processor_tf32_is_f32_and_each_graph_has_a_profile() {
    let Some(library) = library() else { return };
    let profiles = tempfile::tempdir().unwrap();
    let step = |precision, profile| {
        let config = config(Trained::LowRank(low_rank()));
        let mut step = open(&library, StepConfig { precision, profile, ..config });
        let report = step.step(&batch(), RATE).unwrap();
        (report, step.state().unwrap())
    };
    let found = step(Precision::Tf32, Some(profiles.path().join("run")));
    assert_eq!(found, step(Precision::F32, None));
    let names = std::fs::read_dir(profiles.path()).unwrap().map(|file| {
        file.unwrap().file_name().to_str().unwrap().split('_').next().unwrap().to_owned()
    });
    let names: std::collections::BTreeSet<String> = names.collect();
    let graphs = ["backward", "forward", "loss", "merge", "update"];
    assert!(names.iter().eq(&graphs.map(|graph| format!("run-{graph}"))), "{names:?}");
}

#[test]
fn what_cannot_be_trained_is_refused_and_changes_nothing() {
    let Some(library) = library() else { return };
    let mut step = open(&library, config(Trained::LowRank(low_rank())));
    let before = step.state().unwrap();
    let mut refused = |batch: Batch| step.step(&batch, RATE).unwrap_err();
    let error = refused(Batch { passages: vec![vec![1]], ..batch() });
    assert!(matches!(error, StepError::Empty), "{error}");
    let error = refused(Batch { allowed: Array2::from_elem((2, 2), true), ..batch() });
    assert!(matches!(error, StepError::Allowed { .. }), "{error}");
    let error = refused(Batch { allowed: Array2::from_elem((2, 3), false), ..batch() });
    assert!(matches!(error, StepError::OwnAnswer { query: 0 }), "{error}");
    let error = refused(Batch { queries: vec![vec![1], vec![]], ..batch() });
    assert!(matches!(error, StepError::Length { found: 0, limit: 6 }), "{error}");
    let error = refused(Batch { queries: vec![vec![1], vec![9]], ..batch() });
    assert!(matches!(error, StepError::Token { id: 9, .. }), "{error}");
    assert_eq!(step.state().unwrap(), before);

    // Weights that a rate out of all bounds made: the next step sees it, and stays where it is.
    step.step(&batch(), 1e38).unwrap();
    let before = step.state().unwrap();
    let error = step.step(&batch(), RATE).unwrap_err();
    assert!(matches!(error, StepError::NotFinite { step: 2, .. }), "{error}");
    assert_eq!(step.state().unwrap().step, before.step);

    let error = step.restore(&State { step: 0, tensors: BTreeMap::new() }).unwrap_err();
    assert!(matches!(error, StepError::State { .. }), "{error}");
    for precision in [Precision::Int8, Precision::F16] {
        let config = StepConfig { precision, ..config(Trained::All) };
        let error = try_open(&library, config).unwrap_err();
        assert!(error.to_string().contains("in f32 or tf32, not in "), "{error}");
    }
}

#[test]
fn layers_that_are_not_chosen_stay() {
    let Some(library) = library() else { return };
    let adapter = Adapter { layers: Some(vec![1]), ..low_rank() };
    let mut step = open(&library, config(Trained::LowRank(adapter)));
    let before = step.weights().unwrap();
    step.step(&batch(), RATE).unwrap();
    let after = step.weights().unwrap();
    for (name, weight) in &before {
        assert_eq!(after[name] != *weight, name.starts_with("encoder.layer.1."), "{name}");
    }
}

#[test]
fn the_default_model_learns_four_pairs() {
    let Some(cache) = model_cache() else { return };
    let Some(library) = library() else { return };
    let model = ModelFolder::open(base_folder(&cache)).unwrap();
    let config = StepConfig { threads: 2, ..StepConfig::default() };
    let mut step = OnnxStep::new(&model, &library, config, 1).unwrap();
    let text = |from: u32| [vec![0], (from..from + 6).collect(), vec![2]].concat();
    let batch = Batch {
        queries: (0..4).map(|i| text(1000 + 50 * i)).collect(),
        passages: (0..4).map(|i| text(9000 + 50 * i)).collect(),
        allowed: Array2::from_elem((4, 4), true),
        ..Batch::default()
    };
    let losses: Vec<f32> = (0..4).map(|_| step.step(&batch, 1e-3).unwrap().loss).collect();
    assert!(losses[3] < 0.5 * losses[0], "{losses:?}");
}

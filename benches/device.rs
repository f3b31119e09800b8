//! What a device gives, and how fast, beside the processor of the same machine: vectors of texts, and training steps.
//! `gpu/check` runs it on a CUDA card.
//!
//! `cargo bench --bench device -- LIBRARY MODEL_FOLDER DEVICE CORPUS`
//!
//! CORPUS is JSON lines with `text`. Prints JSON, an object a line. `encode`: the median rate of several runs.
//! `nodes`: how many operators of a run were where, and which were on the processor; `shapes_on_cpu` are those of them
//! that may be. `step`: the losses of training steps and the median time of one. `check`: a number, and the bound that it
//! keeps to. Work counts the products of the linear layers and of attention alone, two operations each. Many texts are
//! encoded, and places of operators judged, on a card alone.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dense_plugin::{Encoder, Role, Text, Vectors};
use ndarray::Array2;
use serde_json::{Value, json};
use tantivy_dense::encoder::{Device, OnnxEncoder, OnnxEncoderBuilder, Runtime};
use tantivy_dense::model::{Architecture, ModelFolder, Precision};
use tantivy_dense::trainer::step::{Batch, OnnxStep, StepConfig};

/// Runs that a median is of, after one that is not counted.
const RUNS: usize = 5;

/// Texts that the processor encodes too: it is slower.
const FEW: usize = 128;

/// Texts that a card encodes.
const MANY: usize = 8192;

/// Bytes of a text: about 128 tokens in most languages.
const LENGTH: usize = 480;

/// Pairs in a training step, tokens of a query, and of a passage.
const STEP: [usize; 3] = [64, 24, 128];

/// Steps whose losses are compared.
const STEPS: usize = 5;

/// The same products in another order, and two kinds of rounded numbers.
const LEAST_COSINE: [(Precision, f64); 3] =
    [(Precision::F32, 0.9999), (Precision::Tf32, 0.999), (Precision::F16, 0.999)];

/// By how much of itself the loss may differ: of the first step, and of all, whose weights differ too. A cosine that is
/// off by a thousandth moves a logit by a thirtieth (the temperature is .03); the loss is about 4.
const MOST_LOSS: [(Precision, [f64; 2]); 2] =
    [(Precision::F32, [1e-3, 2e-2]), (Precision::Tf32, [1e-2, 5e-2])];

/// What may be on the processor beside a card, if it reads nothing but lists of whole numbers: ONNX Runtime puts there
/// what computes shapes, on purpose, since shapes are wanted there and a card would be waited for.
const OF_SHAPES: [&str; 7] = ["Add", "Concat", "Gather", "Slice", "Squeeze", "Sub", "Unsqueeze"];

type Done<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Done {
    // Cargo adds `--bench`. Without a library there is nothing to measure: `cargo test --benches` passes by.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(library) = arguments.next().map(PathBuf::from) else { return Ok(()) };
    let mut next = |what| arguments.next().ok_or(what);
    let model = ModelFolder::open(next("MODEL_FOLDER is missing")?)?;
    let device: Device = next("DEVICE is missing")?.parse()?;
    let bodies = passages(&std::fs::read_to_string(next("CORPUS is missing")?)?)?;
    let texts: Vec<Text<'_>> = bodies.iter().map(|body| Text::new(body)).collect();
    let few = &texts[..texts.len().min(FEW)];
    let device = Runtime::load(&library)?.device(device)?;
    let setup = Setup { library, model };
    let truth = setup.encode(Device::Cpu, Precision::F32, few)?;
    setup.encode(Device::Cpu, Precision::Int8, few)?;
    for (precision, bound) in LEAST_COSINE {
        let found = setup.encode(device, precision, few)?;
        let least = cosines(&truth, &found).into_iter().fold(f64::INFINITY, f64::min);
        check(
            &format!("least cosine to the processor's f32, {precision}"),
            least,
            "at least",
            bound,
        );
        if device != Device::Cpu {
            setup.encode(device, precision, &texts)?;
        }
        setup.encoder_nodes(device, precision, few)?;
    }
    let truth = setup.train(Device::Cpu, Precision::F32)?;
    for (precision, [most_first, most]) in MOST_LOSS {
        let found = setup.train(device, precision)?;
        let apart = truth.iter().zip(&found).map(|(a, b)| f64::from((a - b).abs() / a));
        let apart: Vec<f64> = apart.collect();
        let what = |losses: &str| format!("{losses}, relative difference, {precision}");
        check(&what("first loss"), apart[0], "at most", most_first);
        let largest = apart.into_iter().fold(0.0, f64::max);
        check(&what("all losses"), largest, "at most", most);
        setup.step_nodes(device, precision)?;
    }
    Ok(())
}

/// Texts of about one length, as many as are wanted, of the texts of a corpus.
fn passages(corpus: &str) -> Done<Vec<String>> {
    let mut all = String::new();
    for line in corpus.lines() {
        let line: Value = serde_json::from_str(line)?;
        all.push_str(line["text"].as_str().ok_or("a line of CORPUS has no text")?);
        all.push(' ');
    }
    let words: Vec<&str> = all.split_whitespace().collect();
    let mut words = words.iter().cycle();
    let mut passages = Vec::with_capacity(MANY);
    while passages.len() < MANY {
        let mut passage = String::new();
        while passage.len() < LENGTH {
            passage.push_str(words.next().ok_or("CORPUS has no words")?);
            passage.push(' ');
        }
        passages.push(passage);
    }
    Ok(passages)
}

/// Says whether a number keeps to its bound.
fn check(what: &str, value: f64, how: &str, bound: f64) {
    let passed = if how == "at least" { value >= bound } else { value <= bound };
    println!(
        "{}",
        json!({"check": what, "value": value, "bound": format!("{how} {bound}"), "passed": passed})
    );
}

struct Setup {
    library: PathBuf,
    model: ModelFolder,
}

impl Setup {
    fn encoder(&self, device: Device, precision: Precision) -> OnnxEncoderBuilder {
        let builder = OnnxEncoder::builder(self.model.clone()).runtime(&self.library);
        builder.device(device).precision(precision)
    }

    /// Encodes texts again and again, and prints how fast that went.
    fn encode(&self, device: Device, precision: Precision, texts: &[Text<'_>]) -> Done<Vectors> {
        let encoder = self.encoder(device, precision).build()?;
        let first = encoder.encode(Role::Passage, texts)?;
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = Instant::now();
            encoder.encode(Role::Passage, texts)?;
            times.push(start.elapsed().as_secs_f64());
        }
        let (seconds, tokens, count) = (median(times), real(first.tokens), real(texts.len()));
        println!(
            "{}",
            json!({
                "bench": "encode", "device": device, "precision": precision, "texts": texts.len(),
                "tokens": first.tokens, "runs": RUNS, "seconds": seconds, "texts_a_second": count / seconds,
                "tflops": self.work(tokens, tokens / count) / seconds / 1e12,
            })
        );
        Ok(first.vectors)
    }

    fn encoder_nodes(&self, device: Device, precision: Precision, texts: &[Text<'_>]) -> Done {
        let folder = tempfile::tempdir()?;
        let builder = self.encoder(device, precision).batch_tokens(usize::MAX);
        let encoder = builder.profile(folder.path().join("profile-encoder")).build()?;
        encoder.encode(Role::Passage, texts)?;
        drop(encoder);
        nodes(folder.path(), device, precision)
    }

    fn step_nodes(&self, device: Device, precision: Precision) -> Done {
        let folder = tempfile::tempdir()?;
        let mut step = self.step(device, precision, Some(folder.path().join("profile")))?;
        step.step(&batch(), 4e-4)?;
        drop(step);
        nodes(folder.path(), device, precision)
    }

    fn step(
        &self,
        device: Device,
        precision: Precision,
        profile: Option<PathBuf>,
    ) -> Done<OnnxStep> {
        let config = StepConfig {
            device,
            precision,
            profile,
            chunk_tokens: 8192,
            kept_tokens: 65_536,
            ..StepConfig::default()
        };
        Ok(OnnxStep::new(&self.model, &self.library, config, 1)?)
    }

    /// Makes training steps over one batch, and prints how fast that went.
    fn train(&self, device: Device, precision: Precision) -> Done<Vec<f32>> {
        let mut step = self.step(device, precision, None)?;
        let batch = batch();
        let (mut losses, mut times) = (Vec::new(), Vec::new());
        for _ in 0..STEPS {
            let start = Instant::now();
            losses.push(step.step(&batch, 4e-4)?.loss);
            times.push(start.elapsed().as_secs_f64());
        }
        let seconds = median(times.split_off(1));
        let [pairs, query, passage] = STEP;
        println!(
            "{}",
            json!({
                "bench": "step", "device": device, "precision": precision, "pairs": pairs,
                "query_tokens": query, "passage_tokens": passage, "losses": losses,
                "seconds": seconds, "pairs_a_second": real(pairs) / seconds,
            })
        );
        Ok(losses)
    }

    /// Operations in the products of encoding so many tokens, in texts of this length.
    fn work(&self, tokens: f64, length: f64) -> f64 {
        let Some(Architecture::Bert(bert)) = &self.model.manifest().architecture else {
            return f64::NAN;
        };
        let (hidden, inner) = (real(bert.hidden), real(bert.inner));
        let linear = 4.0 * hidden * hidden + 2.0 * hidden * inner;
        let attention = 2.0 * hidden * length;
        2.0 * tokens * real(bert.layers) * (linear + attention)
    }
}

/// Says on which device the operators of runs were, by the profiles in a folder, and judges it where that is a card.
fn nodes(folder: &Path, device: Device, precision: Precision) -> Done {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Done<_>>()?;
    files.sort();
    for file in files {
        // `profile-GRAPH_DATE.json`
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let graph = name.split(['-', '_']).nth(1).unwrap_or_default();
        let mut nodes = BTreeMap::<String, usize>::new();
        let [mut shapes, mut others] = [BTreeMap::new(), BTreeMap::<String, usize>::new()];
        let events: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        for event in events {
            let text = |name: &str| event["args"][name].as_str().filter(|text| !text.is_empty());
            let Some(provider) = text("provider") else { continue };
            *nodes.entry(provider.to_owned()).or_default() += 1;
            if provider == "CPUExecutionProvider" {
                let operator = text("op_name").unwrap_or_default();
                let is_of_shapes = OF_SHAPES.contains(&operator) && reads_lists(&event["args"]);
                let on_cpu = if is_of_shapes { &mut shapes } else { &mut others };
                *on_cpu.entry(operator.to_owned()).or_default() += 1;
            }
        }
        println!(
            "{}",
            json!({
                "bench": "nodes", "graph": graph, "device": device, "precision": precision,
                "nodes": nodes, "on_cpu": others, "shapes_on_cpu": shapes,
            })
        );
        if device != Device::Cpu {
            let names = others.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
            let what = format!("operators on the processor, {graph} graph, {precision}");
            let what = if names.is_empty() { what } else { format!("{what}: {names}") };
            check(&what, real(others.values().sum()), "at most", 0.0);
        }
    }
    Ok(())
}

/// Whether all that an operator read was lists of whole numbers, as shapes are.
fn reads_lists(arguments: &Value) -> bool {
    let is_list = |input: &Value| {
        let dims = input.as_object().filter(|input| input.len() == 1);
        let dims = dims.and_then(|input| input.get("int64"))?.as_array();
        dims.map(|dims| dims.len() <= 1)
    };
    let inputs = arguments["input_type_shape"].as_array();
    inputs.is_some_and(|inputs| inputs.iter().all(|input| is_list(input) == Some(true)))
}

/// What a training step is measured on.
fn batch() -> Batch {
    let [pairs, query, passage] = STEP;
    let mut state = 1_u64;
    let mut text = |length: usize| -> Vec<u32> {
        let mut id = |_| {
            // A linear congruential generator (Knuth's MMIX): the same ids on every machine.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            1000 + u32::try_from((state >> 33) % 20_000).unwrap_or(0)
        };
        (0..length).map(&mut id).collect()
    };
    Batch {
        queries: (0..pairs).map(|_| text(query)).collect(),
        passages: (0..pairs).map(|_| text(passage)).collect(),
        allowed: Array2::from_elem((pairs, pairs), true),
        ..Batch::default()
    }
}

/// Vectors of length 1, row by row.
fn cosines(truth: &Vectors, found: &Vectors) -> Vec<f64> {
    let cosine = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
    truth.iter().zip(found).map(cosine).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "counts of texts and tokens are below 2^53")]
fn real(count: usize) -> f64 {
    count as f64
}

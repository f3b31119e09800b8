//! One training step, in ONNX Runtime: texts are encoded, compared, and the weights changed.
//!
//! Four graphs take turns. *Forward* encodes a part of the batch (texts of about one length, so that little is
//! padding), *loss* compares all vectors and gives their gradients, *backward* turns a part's gradients into those of
//! the weights, *update* changes the weights. What backward reads of forward is kept while memory is allowed for
//! it, and made again (forward runs a second time) for the parts past that: so a batch may be larger than memory,
//! and the result is that of one big batch.
//!
//! Invariant: a step that fails, or whose loss or gradients are no numbers, changes no weight.
//!
//! Low-rank changes are added to the weights they change after each update, not to the layers' outputs at each use:
//! layers then cost what they cost without them.
//!
//! Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (2021) for cached
//! gradients; Hu et al., "`LoRA`" (2021) for low-rank changes.

mod batch;
mod chunks;
mod config;
mod error;
mod graphs;
mod program;
mod state;

use std::collections::BTreeMap;
use std::path::Path;

use ort::value::{DynValue, Tensor as OrtTensor};

use crate::encoder::{Device, Runtime, Settings};
use crate::graph::{AdamW, BertConfig, GraphBuilder, GraphWeights, Rows, Tensor, Weights, merge};
use crate::model::{Architecture, ModelFolder, Precision};
use batch::targets;
use chunks::{Chunk, chunks};
use config::check;
use graphs::Graphs;
use program::{Program, Values, kept, scalar, tensor};

pub use batch::{Batch, StepReport, Targets};
pub use config::{StepConfig, Trained};
pub use error::StepError;
pub use state::State;

/// A model in training.
#[derive(Debug)]
pub struct OnnxStep {
    config: StepConfig,
    /// Where the graphs run and what they keep is.
    device: Device,
    bert: BertConfig,
    graphs: Graphs,
    programs: Programs,
    words: Option<Rows>,
    /// What graphs are fed as weights, by name, changes included.
    weights: Values,
    /// Without low-rank changes, where there are some, as `fixed.NAME`.
    fixed: Values,
    /// What is trained, with the optimizer's moments, as `NAME`, `first.NAME` and `second.NAME`.
    trained: Values,
    zeros: Values,
    step: u64,
}

#[derive(Debug)]
struct Programs {
    forward: Program,
    backward: Program,
    loss: Program,
    update: Program,
    merge: Option<Program>,
}

impl OnnxStep {
    /// Reads a model folder's weights and opens the graphs. `library` is ONNX Runtime's; `seed` decides what low-rank
    /// changes begin as.
    ///
    /// # Errors
    /// [`StepError`] if the folder was not made here, or settings do not fit it.
    pub fn new(
        model: &ModelFolder,
        library: &Path,
        config: StepConfig,
        seed: u64,
    ) -> Result<Self, StepError> {
        let Some(Architecture::Bert(bert)) = model.manifest().architecture else {
            return Err(StepError::Architecture { folder: model.path().to_owned() });
        };
        let weights = GraphWeights::open(&model.graph(Precision::F32), &bert)?;
        let words = weights.words()?;
        Self::with_weights(bert, &weights, words, library, config, seed)
    }

    /// The same with weights from elsewhere.
    ///
    /// # Errors
    /// As [`OnnxStep::new`].
    pub fn with_weights(
        bert: BertConfig,
        weights: &dyn Weights,
        words: Rows,
        library: &Path,
        config: StepConfig,
        seed: u64,
    ) -> Result<Self, StepError> {
        check(&config, &bert)?;
        let mut graphs = Graphs::new(&bert, weights, &config, seed)?;
        let runtime = Runtime::load(library)?;
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let device = runtime.device(config.device)?;
        let precision = config.precision;
        let open = |graph: &GraphBuilder, part: &str| {
            let profile = config.profile_of(part);
            let settings = Settings { threads, device, precision, profile: profile.as_deref() };
            let name = format!("the {part} graph");
            let session = runtime.open_by_turns(&graph.to_bytes(), name.as_ref(), settings)?;
            Program::new(session, device)
                .map_err(|source| StepError::Run { graph: "setup", source })
        };
        let merge = match &config.trained {
            Trained::LowRank(adapter) => {
                let graph = merge(&graphs.changed, adapter.rank, adapter.scale());
                Some(open(&graph, "merge")?)
            }
            _ => None,
        };
        let programs = Programs {
            forward: open(&graphs.halves.forward, "forward")?,
            backward: open(&graphs.halves.backward, "backward")?,
            loss: open(&graphs.loss, "loss")?,
            update: open(&graphs.update, "update")?,
            merge,
        };
        let run = |source| StepError::Run { graph: "setup", source };
        let (mut fed, mut fixed) = (Values::new(), Values::new());
        for (name, numbers) in std::mem::take(&mut graphs.weights) {
            let value = kept(&numbers, device).map_err(run)?;
            if graphs.changed.iter().any(|changed| changed.name == name) {
                fixed.insert(format!("fixed.{name}"), value);
            } else {
                fed.insert(name, value);
            }
        }
        let state = State { step: 0, tensors: std::mem::take(&mut graphs.initial) };
        let words = (config.trained != Trained::All).then_some(words);
        let mut step = Self {
            config,
            device,
            bert,
            graphs,
            programs,
            words,
            weights: fed,
            fixed,
            trained: Values::new(),
            zeros: Values::new(),
            step: 0,
        };
        for trainable in &step.graphs.trainables {
            let zeros = Tensor::f32(&trainable.dims, vec![0.0; trainable.dims.iter().product()]);
            let name = format!("so_far.{}", trainable.name);
            step.zeros.insert(name, kept(&zeros, device).map_err(run)?);
        }
        step.restore(&state)?;
        Ok(step)
    }

    /// Encodes the batch, and changes the weights so that its loss falls. `rate` is the learning rate of this step.
    ///
    /// # Errors
    /// [`StepError`]; the weights are then as they were.
    pub fn step(&mut self, batch: &Batch, rate: f32) -> Result<StepReport, StepError> {
        self.check_batch(batch)?;
        let texts: Vec<&[u32]> =
            batch.queries.iter().chain(&batch.passages).map(Vec::as_slice).collect();
        let chunks = chunks(&texts, self.config.chunk_tokens);
        let dim = self.bert.dim();
        let mut vectors = vec![0.0; texts.len() * dim];
        let mut kept = Vec::with_capacity(chunks.len());
        let mut room = self.config.kept_tokens;
        for chunk in &chunks {
            let keeps = chunk.padded() <= room;
            let mut values = self.forward(chunk, &texts, keeps)?;
            scatter(&values, "vectors", &chunk.texts, dim, &mut vectors)?;
            values.remove("vectors");
            kept.push(keeps.then(|| {
                room -= chunk.padded();
                values
            }));
        }
        let found = self.compare(batch, &vectors)?;
        let mut gradients: Option<Values> = None;
        for (chunk, values) in chunks.iter().zip(kept) {
            let mut values = match values {
                Some(values) => values,
                None => self.forward(chunk, &texts, true)?,
            };
            values.extend(self.inputs(chunk, &texts)?);
            let mut seed = Vec::with_capacity(chunk.texts.len() * dim);
            for &text in &chunk.texts {
                seed.extend_from_slice(&found.gradients[text * dim..(text + 1) * dim]);
            }
            let seed = tensor(&Tensor::f32(&[chunk.texts.len(), dim], seed));
            let fail = |source| StepError::Run { graph: "backward", source };
            values.insert("vector_gradients".to_owned(), seed.map_err(fail)?);
            let (weights, trained, zeros) = (&self.weights, &self.trained, &self.zeros);
            let so_far = gradients.take();
            let input = |name: &str| {
                let summed = || match (&so_far, name.strip_prefix("so_far.")) {
                    (Some(sums), Some(bare)) => sums.get(&format!("gradient.{bare}")),
                    _ => zeros.get(name),
                };
                let fed = || weights.get(name).or_else(|| trained.get(name));
                values.get(name).or_else(fed).or_else(summed)
            };
            gradients = Some(self.programs.backward.run(input, |_| true).map_err(fail)?);
        }
        let gradients = gradients.ok_or(StepError::Empty)?;
        let gradient_norm = self.update(&gradients, rate)?;
        Ok(StepReport {
            step: self.step,
            loss: found.loss,
            gradient_norm,
            accuracy: found.accuracy,
            tokens: texts.iter().map(|text| text.len()).sum(),
            padded_tokens: chunks.iter().map(Chunk::padded).sum(),
        })
    }

    /// Vectors of texts with the weights as they are, in the order of the texts, `[texts, dim]`.
    ///
    /// # Errors
    /// [`StepError`] if a text is empty or too long, or ONNX Runtime fails.
    pub fn embed(&mut self, texts: &[&[u32]]) -> Result<Vec<f32>, StepError> {
        for text in texts {
            self.check_text(text)?;
        }
        let dim = self.bert.dim();
        let mut vectors = vec![0.0; texts.len() * dim];
        for chunk in chunks(texts, self.config.chunk_tokens) {
            let values = self.forward(&chunk, texts, false)?;
            scatter(&values, "vectors", &chunk.texts, dim, &mut vectors)?;
        }
        Ok(vectors)
    }

    /// How large the model is.
    pub fn bert(&self) -> &BertConfig {
        &self.bert
    }

    /// How many numbers are trained.
    pub fn trained_numbers(&self) -> usize {
        self.graphs.trainables.iter().map(|t| t.dims.iter().product::<usize>()).sum()
    }

    /// All that changes from step to step: to go on later, bit for bit.
    ///
    /// # Errors
    /// [`StepError::Run`] if the device does not give its memory out.
    pub fn state(&self) -> Result<State, StepError> {
        let fail = |source| StepError::Run { graph: "state", source };
        let mut tensors = BTreeMap::new();
        for (name, value) in &self.trained {
            tensors.insert(name.clone(), program::host(value).map_err(fail)?);
        }
        Ok(State { step: self.step, tensors })
    }

    /// Goes on from a state that [`OnnxStep::state`] gave with the same settings.
    ///
    /// # Errors
    /// [`StepError::State`] if it has other tensors.
    pub fn restore(&mut self, state: &State) -> Result<(), StepError> {
        let fail = |source| StepError::Run { graph: "state", source };
        let mut trained = Values::new();
        for trainable in &self.graphs.trainables {
            for part in ["", "first.", "second."] {
                let name = format!("{part}{}", trainable.name);
                let found = state.tensors.get(&name);
                let found = found.filter(|t| t.dims() == trainable.dims && t.as_f32().is_some());
                let numbers = found.ok_or_else(|| StepError::State { name: name.clone() })?;
                trained.insert(name, kept(numbers, self.device).map_err(fail)?);
            }
        }
        self.adopt(trained)?;
        self.step = state.step;
        Ok(())
    }

    /// The weights as they are now, with all changes, by the names and in the shapes that graphs are fed with.
    ///
    /// # Errors
    /// [`StepError::Run`] if the device does not give its memory out.
    pub fn weights(&self) -> Result<BTreeMap<String, Tensor>, StepError> {
        let fail = |source| StepError::Run { graph: "state", source };
        let changed = self.trained.iter().filter(|(name, _)| {
            self.programs.merge.is_none()
                && !name.starts_with("first.")
                && !name.starts_with("second.")
        });
        let all = self.weights.iter().chain(changed);
        all.map(|(name, value)| Ok((name.clone(), program::host(value).map_err(fail)?))).collect()
    }

    /// Takes new values of what is trained, and makes the weights that follow from them.
    fn adopt(&mut self, trained: Values) -> Result<(), StepError> {
        if let Some(merge) = &mut self.programs.merge {
            let fixed = &self.fixed;
            let input = |name: &str| fixed.get(name).or_else(|| trained.get(name));
            let merged = merge.run(input, |_| true);
            let merged = merged.map_err(|source| StepError::Run { graph: "merge", source })?;
            self.weights.extend(merged);
        }
        self.trained = trained;
        Ok(())
    }

    fn forward(
        &mut self,
        chunk: &Chunk,
        texts: &[&[u32]],
        keeps: bool,
    ) -> Result<Values, StepError> {
        let inputs = self.inputs(chunk, texts)?;
        let (weights, trained) = (&self.weights, &self.trained);
        let input = |name: &str| {
            inputs.get(name).or_else(|| weights.get(name)).or_else(|| trained.get(name))
        };
        let fail = |source| StepError::Run { graph: "forward", source };
        self.programs.forward.run(input, |name| keeps || name == "vectors").map_err(fail)
    }

    fn inputs(&mut self, chunk: &Chunk, texts: &[&[u32]]) -> Result<Values, StepError> {
        let fail = |source| StepError::Run { graph: "forward", source };
        let shape = [chunk.texts.len(), chunk.seq];
        let mask = OrtTensor::from_array((shape, chunk.mask(texts))).map_err(fail)?;
        let mut inputs = Values::from([("attention_mask".to_owned(), mask.into_dyn())]);
        let ids = chunk.ids(texts);
        if let Some(words) = &mut self.words {
            let columns = words.columns();
            let mut rows = Vec::with_capacity(ids.len() * columns);
            for &id in &ids {
                let row = usize::try_from(id).unwrap_or(usize::MAX);
                words.read(row, &mut rows).map_err(|source| StepError::Words { source })?;
            }
            let rows = Tensor::f32(&[shape[0], shape[1], columns], rows);
            inputs.insert("word_vectors".to_owned(), tensor(&rows).map_err(fail)?);
        } else {
            let ids = OrtTensor::from_array((shape, ids)).map_err(fail)?;
            inputs.insert("input_ids".to_owned(), ids.into_dyn());
        }
        Ok(inputs)
    }

    fn compare(&mut self, batch: &Batch, vectors: &[f32]) -> Result<Found, StepError> {
        let fail = |source| StepError::Run { graph: "loss", source };
        let dim = self.bert.dim();
        let (queries, passages) = (batch.queries.len(), batch.passages.len());
        let (by_query, by_passage) = vectors.split_at(queries * dim);
        let allowed = batch.allowed.iter().map(|&a| f32::from(u8::from(a))).collect();
        let mut positive = vec![0.0; queries * passages];
        positive.iter_mut().step_by(passages + 1).for_each(|x| *x = 1.0);
        let mut host = vec![
            ("queries", Tensor::f32(&[queries, dim], by_query.to_vec())),
            ("passages", Tensor::f32(&[passages, dim], by_passage.to_vec())),
            ("allowed", Tensor::f32(&[queries, passages], allowed)),
            ("positive", Tensor::f32(&[queries, passages], positive)),
        ];
        let distillation = self.config.distillation;
        if distillation.vectors > 0.0 {
            let (rows, weights) = targets(&batch.targets.queries, queries, dim);
            host.extend([("query_targets", rows), ("query_weights", weights)]);
            let (rows, weights) = targets(&batch.targets.passages, passages, dim);
            host.extend([("passage_targets", rows), ("passage_weights", weights)]);
        }
        if distillation.similarities > 0.0 {
            let held = f32::from(u8::from(batch.targets.similarities.is_some()));
            let wanted = batch.targets.similarities.as_ref();
            let wanted = wanted
                .map_or_else(|| vec![0.0; queries * passages], |all| all.iter().copied().collect());
            let wanted = Tensor::f32(&[queries, passages], wanted);
            host.extend([("target_similarities", wanted), ("held", Tensor::f32(&[], vec![held]))]);
        }
        let mut inputs = Values::new();
        for (name, numbers) in host {
            inputs.insert(name.to_owned(), tensor(&numbers).map_err(fail)?);
        }
        let values = self.programs.loss.run(|name| inputs.get(name), |_| true).map_err(fail)?;
        let get = |name: &str| -> Result<&[f32], StepError> {
            Ok(values[name].try_extract_tensor::<f32>().map_err(fail)?.1)
        };
        let loss = get("loss")?.first().copied().unwrap_or(f32::NAN);
        let gradients = [get("query_gradients")?, get("passage_gradients")?].concat();
        let best = values["best"].try_extract_tensor::<i64>().map_err(fail)?.1;
        let right = best.iter().zip(0_i64..).filter(|&(&best, query)| best == query).count();
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let accuracy = right as f64 / queries as f64;
        if !loss.is_finite() || gradients.iter().any(|x| !x.is_finite()) {
            return Err(StepError::NotFinite { what: "loss", step: self.step + 1 });
        }
        Ok(Found { loss, gradients, accuracy })
    }

    fn update(&mut self, gradients: &Values, rate: f32) -> Result<f32, StepError> {
        let fail = |source| StepError::Run { graph: "update", source };
        let step = self.step + 1;
        let AdamW { beta1, beta2, .. } = self.config.optimizer;
        let mut scalars = Values::new();
        for (name, x) in [
            ("rate", f64::from(rate)),
            ("correction1", correction(beta1, step)),
            ("correction2", correction(beta2, step)),
        ] {
            scalars.insert(name.to_owned(), scalar(x).map_err(fail)?);
        }
        let trained = &self.trained;
        let input = |name: &str| {
            gradients.get(name).or_else(|| scalars.get(name)).or_else(|| trained.get(name))
        };
        let mut values = self.programs.update.run(input, |_| true).map_err(fail)?;
        let norm = values.remove("gradient_norm");
        let norm = norm.as_ref().map(DynValue::try_extract_tensor::<f32>).transpose();
        let norm = norm.map_err(fail)?.and_then(|(_, x)| x.first().copied()).unwrap_or(f32::NAN);
        if !norm.is_finite() {
            return Err(StepError::NotFinite { what: "length of the gradients", step });
        }
        let bare = |(name, value): (String, DynValue)| {
            (name.strip_prefix("new.").map_or(name.clone(), str::to_owned), value)
        };
        self.adopt(values.into_iter().map(bare).collect())?;
        self.step = step;
        Ok(norm)
    }

    fn check_batch(&self, batch: &Batch) -> Result<(), StepError> {
        let (queries, passages) = (batch.queries.len(), batch.passages.len());
        if queries == 0 || passages < queries {
            return Err(StepError::Empty);
        }
        if batch.allowed.dim() != (queries, passages) {
            let (rows, columns) = batch.allowed.dim();
            return Err(StepError::Allowed { rows, columns, queries, passages });
        }
        if let Some(query) = (0..queries).find(|&i| !batch.allowed[[i, i]]) {
            return Err(StepError::OwnAnswer { query });
        }
        let targets = &batch.targets;
        let fits = |side: &[Option<Vec<f32>>], texts: usize| {
            let dim = self.bert.dim();
            (side.is_empty() || side.len() == texts)
                && side.iter().flatten().all(|v| v.len() == dim)
        };
        if !fits(&targets.queries, queries) || !fits(&targets.passages, passages) {
            return Err(StepError::Targets { what: "vectors" });
        }
        if targets.similarities.as_ref().is_some_and(|s| s.dim() != (queries, passages)) {
            return Err(StepError::Targets { what: "similarities" });
        }
        batch.queries.iter().chain(&batch.passages).try_for_each(|text| self.check_text(text))
    }

    fn check_text(&self, text: &[u32]) -> Result<(), StepError> {
        if text.is_empty() || text.len() > self.bert.positions {
            let limit = self.bert.positions;
            return Err(StepError::Length { found: text.len(), limit });
        }
        let is_unknown = |&&id: &&u32| id as usize >= self.bert.vocabulary;
        match text.iter().find(is_unknown) {
            Some(&id) => Err(StepError::Token { id, vocabulary: self.bert.vocabulary }),
            None => Ok(()),
        }
    }
}

/// What comparing the vectors gave.
struct Found {
    loss: f32,
    /// Of all vectors, queries first.
    gradients: Vec<f32>,
    accuracy: f64,
}

/// What the mean of moments so far lacks, at step `step`.
fn correction(beta: f64, step: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "past 2^53 steps it is 1 all the same")]
    let power = beta.powf(step as f64);
    1.0 - power
}

/// Puts a chunk's rows to their places.
fn scatter(
    values: &Values,
    name: &str,
    texts: &[usize],
    dim: usize,
    all: &mut [f32],
) -> Result<(), StepError> {
    let fail = |source| StepError::Run { graph: "forward", source };
    let rows = values[name].try_extract_tensor::<f32>().map_err(fail)?.1;
    for (&text, row) in texts.iter().zip(rows.chunks_exact(dim)) {
        all[text * dim..(text + 1) * dim].copy_from_slice(row);
    }
    Ok(())
}

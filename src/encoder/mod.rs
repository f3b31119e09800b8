//! Texts into vectors, with a model folder and ONNX Runtime.
//!
//! Invariant: vectors come out in the order of the texts, finite and of length 1 (or 0), whatever the batches inside.

mod device;
mod pool;
mod runtime;
mod tokenize;

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use dense_plugin::{Dim, EncodeError, Encoded, Encoder, Fingerprint, Role, Text, Vectors};
use ort::session::Session;
use ort::value::TensorRef;

pub use device::{Device, DeviceError};
pub use pool::{PoolError, Pooling, cls_pool, mean_pool, normalize};
pub use runtime::{RUNTIME_VERSION, Runtime, RuntimeError};
pub use tokenize::TokenizeError;

use crate::model::{HalfError, ModelFolder, Precision};
pub(crate) use runtime::Settings;
pub(crate) use tokenize::Tokens;
use tokenize::{Batch, Queue, Tokenized};

/// Most tokens in one run by default, padding included. Larger batches leave the caches: of 46-token sentences, two
/// threads encoded 334 a second at 512 tokens, 308 at 1,024, 273 at 2,048 and 214 at 4,096.
const BATCH_TOKENS: usize = 768;

/// The same on a CUDA device, which large batches fill: 256 texts of 128 tokens. Not tuned on a card yet.
const CUDA_BATCH_TOKENS: usize = 32_768;

/// Texts that are tokenized together for a CUDA device: 64 for each of 16 threads.
const CUDA_PART_TEXTS: usize = 1024;

/// Parts that may wait, tokenized, for the device.
const PARTS_AHEAD: usize = 16;

/// An encoder that runs a model folder's graph in ONNX Runtime.
///
/// In int8 the range in which activations are rounded is that of the batch, so a text's vector depends a little on
/// what it is encoded with: for multilingual-e5-small the cosine of the two was .998 or more.
/// In f32 it does not (cosine above .999999).
///
/// Several threads may encode at once; the graph runs for one of them at a time, on all of its threads.
#[derive(Debug)]
pub struct OnnxEncoder {
    folder: ModelFolder,
    tokens: Tokens,
    running: Running,
    dim: Dim,
    threads: usize,
    batch_tokens: usize,
    part_texts: usize,
}

/// A graph that is open, and how its output is read.
#[derive(Debug)]
struct Running {
    session: Mutex<Session>,
    ports: Ports,
    pooling: Pooling,
}

/// What a graph is given and gives, by name: exporters differ.
#[derive(Debug)]
struct Ports {
    ids: String,
    mask: Option<String>,
    types: Option<String>,
    output: String,
}

/// Options of an [`OnnxEncoder`].
#[derive(Clone, Debug)]
#[must_use = "only `build` makes an encoder"]
pub struct OnnxEncoderBuilder {
    folder: ModelFolder,
    precision: Option<Precision>,
    threads: usize,
    device: Device,
    runtime: Option<PathBuf>,
    batch_tokens: Option<usize>,
    part_texts: Option<usize>,
    profile: Option<PathBuf>,
    max_tokens: usize,
}

impl OnnxEncoderBuilder {
    /// Which graph of the folder runs. Default: int8, and f32 on a CUDA device or where the folder has no
    /// int8 graph.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// How many threads one run uses. Default, and 0: as many as the machine runs at once.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Where the graph runs. Default: [`Device::Auto`].
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// ONNX Runtime's library file. Default: the one in the cache folder that the model folder lies in.
    pub fn runtime(mut self, library: impl Into<PathBuf>) -> Self {
        self.runtime = Some(library.into());
        self
    }

    /// Most tokens in one run, padding included; a longer text runs alone. Default: 768, and 32,768 on a
    /// CUDA device.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = Some(tokens);
        self
    }

    /// How many texts are tokenized at a time, while the batches of those before them run; at least 1. Default: all at
    /// once, and 1,024 for a CUDA device, which would wait for the processor.
    pub fn part_texts(mut self, texts: usize) -> Self {
        self.part_texts = Some(texts.max(1));
        self
    }

    /// Where ONNX Runtime writes which operator ran where and for how long, as JSON, when the encoder is
    /// dropped. A date and `.json` are put behind the name. Default: nowhere.
    pub fn profile(mut self, file: impl Into<PathBuf>) -> Self {
        self.profile = Some(file.into());
        self
    }

    /// Cuts texts after so many tokens, special ones included, where the model takes more: faster, and vectors of other
    /// texts under the same fingerprint. Default: what the model takes.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// Loads library, graph and tokenizer, and encodes one word to see that they fit.
    ///
    /// # Errors
    /// [`BuildError`]: each of them can be absent or damaged.
    pub fn build(self) -> Result<OnnxEncoder, BuildError> {
        if let Some(given) = self.batch_tokens.filter(|&tokens| tokens == 0) {
            return Err(BuildError::BatchTokens { given });
        }
        let library =
            match self.runtime {
                Some(library) => library,
                None => Runtime::library_in(self.folder.cache().ok_or_else(|| {
                    BuildError::NoRuntime { folder: self.folder.path().to_owned() }
                })?),
            };
        let runtime = Runtime::load(&library)?;
        let threads = match self.threads {
            0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let device = runtime.device(self.device)?;
        let precision = self.precision.unwrap_or_else(|| Precision::usual_on(device));
        let graph = self.folder.graph(precision);
        let profile = self.profile.as_deref();
        let settings = Settings { threads, device, precision, profile };
        let session = if precision == Precision::F16 {
            runtime.open_bytes(&self.folder.half_graph()?, &graph, settings)?
        } else {
            runtime.open(&graph, settings)?
        };
        let ports =
            Ports::of(&session).ok_or_else(|| BuildError::Ports { graph: graph.clone() })?;
        let limit = self.folder.token_limit().min(self.max_tokens);
        let tokens = Tokens::open(&self.folder.tokenizer(), limit)?;
        let pooling = self.folder.pooling();
        let running = Running { session: Mutex::new(session), ports, pooling };
        let dim = running
            .probe(&tokens, self.folder.prefix(Role::Passage))
            .map_err(|source| BuildError::Probe { graph: graph.clone(), source })?;
        if let Some(told) = self.folder.dim().filter(|&told| told != dim) {
            return Err(BuildError::Dim { graph, found: dim, told });
        }
        let Self { folder, batch_tokens, part_texts, .. } = self;
        let (usual_tokens, usual_part) = match device {
            Device::Cpu => (BATCH_TOKENS, usize::MAX),
            _ => (CUDA_BATCH_TOKENS, CUDA_PART_TEXTS),
        };
        let batch_tokens = batch_tokens.unwrap_or(usual_tokens);
        let part_texts = part_texts.unwrap_or(usual_part);
        Ok(OnnxEncoder { folder, tokens, running, dim, threads, batch_tokens, part_texts })
    }
}

impl OnnxEncoder {
    /// Starts from a model folder.
    pub fn builder(folder: ModelFolder) -> OnnxEncoderBuilder {
        OnnxEncoderBuilder {
            folder,
            precision: None,
            threads: 0,
            device: Device::default(),
            runtime: None,
            batch_tokens: None,
            part_texts: None,
            profile: None,
            max_tokens: usize::MAX,
        }
    }

    /// The folder that it runs.
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    fn encode_all(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, RunError> {
        let prefix = self.folder.prefix(role);
        let mut filling = Filling::new(self, texts.len());
        if texts.len() <= self.part_texts {
            filling.add(self.tokens.encode_all(prefix, texts, self.threads)?);
            return filling.finish();
        }
        let (done, parts) = sync_channel(PARTS_AHEAD);
        thread::scope(|scope| {
            scope.spawn(move || {
                for part in texts.chunks(self.part_texts) {
                    let tokenized = self.tokens.encode_all(prefix, part, self.threads);
                    let failed = tokenized.is_err();
                    // Nobody takes it where a batch failed.
                    if done.send(tokenized).is_err() || failed {
                        break;
                    }
                }
            });
            for part in parts {
                filling.add(part?);
                filling.run_full()?;
            }
            filling.finish()
        })
    }
}

/// A call's vectors, while they are made.
struct Filling<'a> {
    encoder: &'a OnnxEncoder,
    queue: Queue,
    rows: Vec<f32>,
    tokens: usize,
    truncated: usize,
}

impl<'a> Filling<'a> {
    fn new(encoder: &'a OnnxEncoder, texts: usize) -> Self {
        let rows = vec![0.0; texts * encoder.dim.get()];
        Self { encoder, queue: Queue::new(encoder.batch_tokens), rows, tokens: 0, truncated: 0 }
    }

    fn add(&mut self, part: Vec<Tokenized>) {
        self.tokens += part.iter().map(|text| text.ids.len()).sum::<usize>();
        self.truncated += part.iter().filter(|text| text.truncated).count();
        self.queue.add(part.into_iter().map(|text| text.ids));
    }

    fn run_full(&mut self) -> Result<(), RunError> {
        let batches = self.queue.full();
        self.run(&batches)
    }

    fn finish(mut self) -> Result<Encoded, RunError> {
        let batches = self.queue.rest();
        self.run(&batches)?;
        let vectors = Vectors::from_flat(self.encoder.dim, self.rows).map_err(PoolError::from)?;
        Ok(Encoded { vectors, tokens: self.tokens, truncated: self.truncated })
    }

    fn run(&mut self, batches: &[Batch]) -> Result<(), RunError> {
        let dim = self.encoder.dim;
        for batch in batches {
            let vectors = self.encoder.running.run(batch)?;
            if vectors.dim() != dim || vectors.rows() != batch.texts.len() {
                let shape = vec![vectors.rows(), vectors.dim().get()];
                return Err(RunError::Output { shape, batch: batch.texts.len() });
            }
            for (&text, vector) in batch.texts.iter().zip(&vectors) {
                self.rows[text * dim.get()..(text + 1) * dim.get()].copy_from_slice(vector);
            }
        }
        Ok(())
    }
}

impl Running {
    /// The dim that comes out.
    fn probe(&self, tokens: &Tokens, prefix: &str) -> Result<Dim, RunError> {
        let word = tokens.encode(prefix, "word")?;
        Ok(self.run(&Batch::of(&[(0, word.ids)]))?.dim())
    }

    fn run(&self, batch: &Batch) -> Result<Vectors, RunError> {
        let shape = [batch.texts.len(), batch.seq];
        let ids = TensorRef::from_array_view((shape, &*batch.ids))?;
        let mut inputs = ort::inputs![&*self.ports.ids => ids];
        if let Some(name) = &self.ports.mask {
            let mask = TensorRef::from_array_view((shape, &*batch.mask))?;
            inputs.push((name.into(), mask.into()));
        }
        let zeros = vec![0_i64; batch.ids.len()];
        if let Some(name) = &self.ports.types {
            let types = TensorRef::from_array_view((shape, &*zeros))?;
            inputs.push((name.into(), types.into()));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(inputs)?;
        let (shape, numbers) = outputs[&*self.ports.output].try_extract_tensor::<f32>()?;
        let shape: Vec<usize> = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        let wrong = || RunError::Output { shape: shape.clone(), batch: batch.texts.len() };
        let dim = |n: usize| Dim::new(n).map_err(PoolError::from);
        Ok(match shape[..] {
            [texts, n] if texts == batch.texts.len() => normalize(dim(n)?, numbers.to_vec())?,
            [texts, seq, n] if texts == batch.texts.len() && seq == batch.seq => {
                match self.pooling {
                    Pooling::Mean => mean_pool(numbers, &batch.mask, seq, dim(n)?)?,
                    Pooling::Cls => cls_pool(numbers, &batch.mask, seq, dim(n)?)?,
                }
            }
            _ => return Err(wrong()),
        })
    }
}

impl Encoder for OnnxEncoder {
    fn fingerprint(&self) -> &Fingerprint {
        self.folder.fingerprint()
    }

    fn dim(&self) -> Dim {
        self.dim
    }

    fn encode(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        self.encode_all(role, texts).map_err(|error| EncodeError::new(texts.len(), error))
    }
}

impl Ports {
    fn of(session: &Session) -> Option<Self> {
        let input =
            |name: &str| session.inputs().iter().map(ort::value::Outlet::name).find(|n| *n == name);
        let named = |name: &str| session.outputs().iter().find(|output| output.name() == name);
        let output = named("sentence_embedding")
            .or_else(|| named("last_hidden_state"))
            .or_else(|| session.outputs().first())?;
        Some(Self {
            ids: input("input_ids")?.to_owned(),
            mask: input("attention_mask").map(str::to_owned),
            types: input("token_type_ids").map(str::to_owned),
            output: output.name().to_owned(),
        })
    }
}

/// Why an encoder could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum BuildError {
    /// No batch holds a text.
    #[error("batch_tokens must be at least 1, got {given}")]
    BatchTokens { given: usize },
    /// The folder lies outside a cache folder, so the library's place is not known.
    #[error("{folder}: lies in no cache folder, so say where ONNX Runtime is", folder = folder.display())]
    NoRuntime { folder: PathBuf },
    /// ONNX Runtime or the graph could not be opened.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model does not run in 16-bit floating point.
    #[error(transparent)]
    Half(#[from] HalfError),
    /// The tokenizer could not be opened.
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    /// The graph is no text encoder.
    #[error("{graph}: has no input `input_ids`, or no output: it is no text encoder", graph = graph.display())]
    Ports { graph: PathBuf },
    /// The graph opened, and does not run.
    #[error("{graph}: cannot encode a word", graph = graph.display())]
    Probe { graph: PathBuf, source: RunError },
    /// Folder and graph belong to different models.
    #[error("{graph}: gives vectors of dim {found}, and its folder says {told}; run `tdense model get`", graph = graph.display())]
    Dim { graph: PathBuf, found: Dim, told: Dim },
}

/// Why the model failed on texts. It reaches a caller as the source of an
/// [`EncodeError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum RunError {
    /// A text could not be tokenized.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// ONNX Runtime failed.
    #[error("ONNX Runtime failed")]
    Run(#[from] ort::Error),
    /// What came out is no vector.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// What came out has another shape than vectors, or token vectors, of the texts.
    #[error("the model gave numbers of shape {shape:?} for {batch} texts")]
    Output { shape: Vec<usize>, batch: usize },
}

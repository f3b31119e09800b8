//! Model folders from what others publish: Hugging Face folders of the BERT and XLM-R families, whose graphs we write, and
//! folders that have a graph already.
//!
//! Invariant: a folder under its name is whole: it is made beside it and renamed.
//!
//! Left out on purpose: weights in several files, and pickled ones, which are programs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dense_plugin::Dim;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::folder::{MANIFEST, ModelFolder, OpenError, facts_of, made_whole};
use super::foreign::{self, pooling_of, settings, token_limit_of};
use super::manifest::{Architecture, FORMAT, FileFacts, Identity, Manifest, Prefixes, Source};
use crate::graph::{Activation, BertConfig, Head, Numeric, Weights, WeightsError, bert_encoder};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const TOKENIZER: &str = "tokenizer.json";
/// Where sentence-transformers keeps a linear layer after pooling.
const DENSE: &str = "2_Dense";
const F32_GRAPH: &str = "model.onnx";
const INT8_GRAPH: &str = "model.int8.onnx";

/// What an imported model is said to be, where its folder does not say it.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    prefixes: Prefixes,
    licence: Option<String>,
}

impl ImportOptions {
    /// Puts these before texts. Default: nothing.
    #[must_use]
    pub fn prefixes(mut self, query: impl Into<String>, passage: impl Into<String>) -> Self {
        self.prefixes = Prefixes { query: query.into(), passage: passage.into() };
        self
    }

    /// The SPDX expression of the weights' licence. Default: not known.
    #[must_use]
    pub fn licence(mut self, licence: impl Into<String>) -> Self {
        self.licence = Some(licence.into());
        self
    }
}

/// Why a folder could not be imported. Nothing half-made stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ImportError {
    /// There is something already.
    #[error("{}: is there already; remove it, or import to another place", folder.display())]
    Exists { folder: PathBuf },
    /// A file is absent.
    #[error("{}: is not there; a model is {CONFIG}, {WEIGHTS} and {TOKENIZER}, or model.onnx and {TOKENIZER}", file.display())]
    Missing { file: PathBuf },
    /// The model has a part that we do not build.
    #[error("{}: {what}", file.display())]
    Unsupported { file: PathBuf, what: String },
    /// A weights' file is damaged.
    #[error("{}: is no safetensors file", file.display())]
    Tensors { file: PathBuf, source: safetensors::SafeTensorError },
    /// The weights make no encoder.
    #[error("the weights make no encoder")]
    Weights(#[from] WeightsError),
    /// A settings file cannot be understood, or what was made does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system refused.
    #[error("{}: cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Makes a model folder at `place` from one that others made.
///
/// A folder with `config.json`, `model.safetensors` and `tokenizer.json` gets graphs in 32 and in 8 bits; `1_Pooling` and
/// `modules.json` are heeded. One with `model.onnx` and `tokenizer.json` is copied, and gets a manifest.
///
/// # Errors
/// [`ImportError`].
///
/// # Panics
/// Never: what is written as JSON is plain data.
pub fn import(
    folder: &Path,
    place: &Path,
    options: &ImportOptions,
) -> Result<ModelFolder, ImportError> {
    if place.exists() {
        return Err(ImportError::Exists { folder: place.to_owned() });
    }
    let io = |path: &Path, source| ImportError::Io { path: path.to_owned(), source };
    let name = place.file_name().map_or("model".into(), |name| name.to_string_lossy()).into_owned();
    made_whole(place, io, |made| {
        let mut manifest = if folder.join(WEIGHTS).is_file() {
            built(folder, made, &name, options)?
        } else {
            copied(folder, made)?
        };
        manifest.name = name;
        manifest.licence = options.licence.clone().or(manifest.licence);
        let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
        fs::write(made.join(MANIFEST), text + "\n").map_err(|source| io(made, source))
    })?;
    let model = ModelFolder::open(place)?;
    Ok(if options.prefixes == Prefixes::default() || model.manifest().conversion > 0 {
        model
    } else {
        // A graph that was copied has the fingerprint of its files; prefixes go into it as they do when they are given
        // where the model is opened.
        let model = model.with_prefixes(&options.prefixes.query, &options.prefixes.passage);
        let text = serde_json::to_string_pretty(model.manifest()).expect("plain data");
        fs::write(place.join(MANIFEST), text + "\n").map_err(|source| io(place, source))?;
        model
    })
}

/// Copies a folder that has a graph.
fn copied(folder: &Path, made: &Path) -> Result<Manifest, ImportError> {
    if !folder.join(CONFIG).is_file() && !folder.is_dir() {
        return Err(ImportError::Missing { file: folder.to_owned() });
    }
    let manifest = foreign::manifest_of(folder).map_err(|error| match error {
        OpenError::NoModel { .. } => ImportError::Missing { file: folder.join(WEIGHTS) },
        other => other.into(),
    })?;
    for name in manifest.files.keys() {
        let to = made.join(name);
        let parent = to.parent().unwrap_or(made);
        let copy = fs::create_dir_all(parent).and_then(|()| fs::copy(folder.join(name), &to));
        copy.map_err(|source| ImportError::Io { path: folder.join(name), source })?;
    }
    Ok(manifest)
}

/// Builds the graphs of a folder that has weights.
fn built(
    folder: &Path,
    made: &Path,
    name: &str,
    options: &ImportOptions,
) -> Result<Manifest, ImportError> {
    let io = |source| ImportError::Io { path: made.to_owned(), source };
    let file = folder.join(WEIGHTS);
    let bytes = fs::read(&file).map_err(|source| ImportError::Io { path: file.clone(), source })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|source| ImportError::Tensors { file: file.clone(), source })?;
    let (config, offset) = config_of(folder)?;
    let dense_file = folder.join(DENSE).join(WEIGHTS);
    let dense_bytes = match config.head.dense {
        Some(_) => fs::read(&dense_file)
            .map_err(|source| ImportError::Io { path: dense_file.clone(), source })?,
        None => Vec::new(),
    };
    let dense = match config.head.dense {
        Some(_) => Some(
            SafeTensors::deserialize(&dense_bytes)
                .map_err(|source| ImportError::Tensors { file: dense_file, source })?,
        ),
        None => None,
    };
    let weights = HuggingFace { tensors, dense, offset };
    for (numeric, graph) in [(Numeric::F32, F32_GRAPH), (Numeric::Int8, INT8_GRAPH)] {
        bert_encoder(&config, &weights, numeric)?.save(made, graph).map_err(io)?;
    }
    let tokenizer = folder.join(TOKENIZER);
    match fs::copy(&tokenizer, made.join(TOKENIZER)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ImportError::Missing { file: tokenizer });
        }
        Err(source) => return Err(ImportError::Io { path: tokenizer, source }),
    }
    let mut files: BTreeMap<String, FileFacts> = BTreeMap::new();
    for entry in fs::read_dir(made).map_err(io)? {
        let entry = entry.map_err(io)?;
        let facts = facts_of(&entry.path()).map_err(io)?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), facts);
    }
    let pooling = config.head.pooling;
    let token_limit = token_limit_of(folder)?.min(config.positions);
    let mut weights_sha256 = facts_of(&file).map_err(io)?.sha256;
    if config.head.dense.is_some() {
        weights_sha256 += &facts_of(&folder.join(DENSE).join(WEIGHTS)).map_err(io)?.sha256;
    }
    let fingerprint = Identity {
        name,
        weights_sha256: &weights_sha256,
        tokenizer_sha256: &files[TOKENIZER].sha256,
        adapter_sha256: None,
        pooling,
        prefixes: &options.prefixes,
        token_limit,
    }
    .fingerprint();
    let dim = Dim::new(config.dim()).map_err(|_| ImportError::Unsupported {
        file: folder.join(CONFIG),
        what: format!("vectors of {} numbers are too long", config.dim()),
    })?;
    Ok(Manifest {
        format: FORMAT,
        conversion: 1,
        name: name.to_owned(),
        licence: None,
        source: Some(Source {
            description: format!("imported from the folder {}", named(folder)),
            packages: Vec::new(),
        }),
        architecture: Some(Architecture::Bert(config)),
        dim: Some(dim),
        pooling,
        prefixes: options.prefixes.clone(),
        token_limit,
        fingerprint,
        f32_graph: F32_GRAPH.to_owned(),
        int8_graph: Some(INT8_GRAPH.to_owned()),
        tokenizer: TOKENIZER.to_owned(),
        adapter: None,
        language_means: None,
        files,
    })
}

fn named(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
}

/// `config.json` as transformers writes it.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default)]
    pad_token_id: usize,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

/// One step of a sentence-transformers model.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// A linear layer after pooling, as sentence-transformers writes it.
#[derive(Deserialize)]
struct Dense {
    in_features: usize,
    out_features: usize,
    #[serde(default)]
    activation_function: String,
}

/// How many outputs the layer after pooling has.
fn dense_of(folder: &Path, hidden: usize) -> Result<usize, ImportError> {
    let file = folder.join(DENSE).join(CONFIG);
    let dense: Dense = settings(&folder.join(DENSE), CONFIG)?
        .ok_or_else(|| ImportError::Missing { file: file.clone() })?;
    let what = if dense.in_features != hidden {
        format!("the layer takes {} numbers, and pooling gives {hidden}", dense.in_features)
    } else if !dense.activation_function.ends_with("Tanh") {
        format!("activation `{}` is not built: Tanh is", dense.activation_function)
    } else {
        return Ok(dense.out_features);
    };
    Err(ImportError::Unsupported { file, what })
}

/// The model's size and shape, and how many of its position embeddings stand before that of the first token: the only place
/// that knows other people's settings.
fn config_of(folder: &Path) -> Result<(BertConfig, usize), ImportError> {
    let file = folder.join(CONFIG);
    let unsupported =
        |name: &str, what: String| Err(ImportError::Unsupported { file: folder.join(name), what });
    let config: Config =
        settings(folder, CONFIG)?.ok_or_else(|| ImportError::Missing { file: file.clone() })?;
    // RoBERTa counts positions from the padding's id.
    let offset = match config.model_type.as_str() {
        "bert" => 0,
        "xlm-roberta" | "roberta" | "camembert" => config.pad_token_id.saturating_add(1),
        other => {
            return unsupported(
                CONFIG,
                format!("models of type `{other}` are not built: bert, xlm-roberta or roberta are"),
            );
        }
    };
    if config.hidden_act != "gelu" {
        return unsupported(
            CONFIG,
            format!("hidden_act `{}` is not built: gelu is", config.hidden_act),
        );
    }
    if let Some(other) = config.position_embedding_type.filter(|kind| kind != "absolute") {
        return unsupported(
            CONFIG,
            format!("position embeddings of type `{other}` are not built: absolute ones are"),
        );
    }
    let modules: Vec<Module> = settings(folder, "modules.json")?.unwrap_or_default();
    let mut has_dense = false;
    for module in modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Pooling" | "Normalize" => {}
            "Dense" if module.path == DENSE => has_dense = true,
            _ => {
                let what =
                    format!("modules of type `{}` at `{}` are not built", module.kind, module.path);
                return unsupported("modules.json", what);
            }
        }
    }
    let dense = has_dense.then(|| dense_of(folder, config.hidden_size)).transpose()?;
    let head = Head { pooling: pooling_of(folder)?, dense, activation: Activation::Tanh };
    let positions = config.max_position_embeddings.saturating_sub(offset);
    let built = BertConfig {
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        hidden: config.hidden_size,
        inner: config.intermediate_size,
        vocabulary: config.vocab_size,
        positions,
        token_types: config.type_vocab_size,
        epsilon: config.layer_norm_eps,
        head,
    };
    Ok((built, offset))
}

/// Weights as Hugging Face's models save them.
struct HuggingFace<'a> {
    tensors: SafeTensors<'a>,
    /// Those of the layer after pooling, `linear.weight` and `linear.bias`.
    dense: Option<SafeTensors<'a>>,
    /// Rows of the position embeddings before the first token's.
    offset: usize,
}

/// Before the names of a model that was saved with a head on it.
const BEFORE: [&str; 3] = ["", "bert.", "roberta."];

impl Weights for HuggingFace<'_> {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let after = name.strip_prefix("dense.").zip(self.dense.as_ref());
        let found = if let Some((part, dense)) = after {
            dense.tensor(&format!("linear.{part}")).ok()
        } else {
            BEFORE.iter().find_map(|before| self.tensors.tensor(&format!("{before}{name}")).ok())
        };
        let view = found.ok_or_else(|| WeightsError::Missing { name: name.to_owned() })?;
        let is_position = name == "embeddings.position_embeddings.weight";
        let offset = if is_position { self.offset } else { 0 };
        let fits = view.shape().len() == dims.len()
            && view.shape().iter().zip(dims).enumerate().all(|(axis, (found, wanted))| {
                *found == wanted + if axis == 0 { offset } else { 0 }
            });
        if !fits {
            let found = view.shape().iter().product();
            return Err(WeightsError::Dims { name: name.to_owned(), found, dims: dims.to_vec() });
        }
        let row: usize = dims[1..].iter().product();
        let numbers = numbers(view.dtype(), view.data());
        let numbers = numbers.ok_or_else(|| WeightsError::Source {
            name: name.to_owned(),
            source: format!("numbers of type {:?} are not read", view.dtype()).into(),
        })?;
        Ok(numbers[offset * row..].to_vec())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "graphs have 32 bits")]
fn numbers(kind: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let two = || bytes.as_chunks::<2>().0.iter();
    Some(match kind {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
        Dtype::F16 => two().map(|x| f16::from_le_bytes(*x).to_f32()).collect(),
        Dtype::BF16 => two().map(|x| bf16::from_le_bytes(*x).to_f32()).collect(),
        Dtype::F64 => {
            bytes.as_chunks::<8>().0.iter().map(|x| f64::from_le_bytes(*x) as f32).collect()
        }
        _ => return None,
    })
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;

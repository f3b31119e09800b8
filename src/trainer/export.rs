//! A trained model as a folder: the base's, whose graphs are written anew with changed weights.
//!
//! Invariant: a folder under its name is whole: it is made beside it and renamed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::step::{AdapterFile, Changed, ParseError, State};
use crate::graph::{GraphWeights, Numeric, ReadError, WeightsError, bert_encoder};
use crate::model::{
    Architecture, Identity, MANIFEST, Manifest, ModelFolder, OpenError, Precision, facts_of,
    made_whole,
};

const ADAPTER: &str = "adapter.safetensors";

/// Why a model could not be changed. Nothing half-made stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum AdaptError {
    /// There is something already.
    #[error("{}: is there already; remove it, or choose another place", folder.display())]
    Exists { folder: PathBuf },
    /// The base's graphs were written elsewhere.
    #[error("{}: its graphs were not written here, so weights cannot be changed", folder.display())]
    Foreign { folder: PathBuf },
    /// The adapter changes another model.
    #[error("the adapter changes the model {wanted}, and this is {given}")]
    Base { wanted: String, given: String },
    /// The adapter cannot be written.
    #[error("the adapter cannot be written")]
    Adapter(#[from] ParseError),
    /// The base's weights cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The changed weights make no encoder.
    #[error("the weights make no encoder")]
    Weights(#[from] WeightsError),
    /// What was made does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system refused.
    #[error("{}: cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// What training changed.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A little in every linear layer.
    Adapter(&'a AdapterFile),
    /// Whole weights, which stand in a state beside the optimizer's memory.
    Weights(&'a State),
}

/// Makes a model folder at `place` of a base and what training changed, called `name`.
///
/// # Errors
/// [`AdaptError`].
///
/// # Panics
/// Never: what is written as JSON is plain data.
pub fn adapt(
    base: &ModelFolder,
    change: Change<'_>,
    name: &str,
    place: &Path,
) -> Result<ModelFolder, AdaptError> {
    if place.exists() {
        return Err(AdaptError::Exists { folder: place.to_owned() });
    }
    let given = base.fingerprint().as_str();
    if let Change::Adapter(adapter) = change
        && adapter.base != given
    {
        return Err(AdaptError::Base { wanted: adapter.base.clone(), given: given.to_owned() });
    }
    let io = |path: &Path, source| AdaptError::Io { path: path.to_owned(), source };
    made_whole(place, io, |made| write(base, change, name, made))?;
    Ok(ModelFolder::open(place)?)
}

/// Writes the files of a changed model into an empty folder.
fn write(
    base: &ModelFolder,
    change: Change<'_>,
    name: &str,
    made: &Path,
) -> Result<(), AdaptError> {
    let io = |source| AdaptError::Io { path: made.to_owned(), source };
    let old = base.manifest();
    let foreign = || AdaptError::Foreign { folder: base.path().to_owned() };
    let Some(Architecture::Bert(config)) = old.architecture else { return Err(foreign()) };
    let Some(int8_graph) = &old.int8_graph else { return Err(foreign()) };
    let weights = GraphWeights::open(&base.graph(Precision::F32), &config)?;
    let whole = match change {
        Change::Adapter(_) => BTreeMap::new(),
        Change::Weights(state) => state.weights(),
    };
    let changed = match change {
        Change::Adapter(adapter) => adapter.on(&weights),
        Change::Weights(_) => Changed::whole(&weights, &whole),
    };
    bert_encoder(&config, &changed, Numeric::F32)?.save(made, &old.f32_graph).map_err(io)?;
    bert_encoder(&config, &changed, Numeric::Int8)?.save(made, int8_graph).map_err(io)?;
    let kept = old.files.keys().filter(|file| *file != ADAPTER && !made.join(file).exists());
    for file in kept.filter(|file| Some(*file) != old.language_means.as_ref()) {
        let from = base.path().join(file);
        fs::copy(&from, made.join(file)).map_err(|source| AdaptError::Io { path: from, source })?;
    }
    let mut manifest = Manifest {
        name: name.to_owned(),
        adapter: None,
        // Those of the base's vectors.
        language_means: None,
        ..old.clone()
    };
    if let Change::Adapter(adapter) = change {
        fs::write(made.join(ADAPTER), adapter.to_bytes()?).map_err(io)?;
        manifest.adapter = Some(ADAPTER.to_owned());
    }
    manifest.files.clear();
    for entry in fs::read_dir(made).map_err(io)? {
        let entry = entry.map_err(io)?;
        let facts = facts_of(&entry.path()).map_err(io)?;
        manifest.files.insert(entry.file_name().to_string_lossy().into_owned(), facts);
    }
    // Weights lie beside a graph; whole ones are known by those, small changes by base and adapter.
    let data = format!("{}.data", manifest.f32_graph);
    let data = manifest.files.get(&data).unwrap_or(&manifest.files[&manifest.f32_graph]);
    let weights = match change {
        Change::Adapter(_) => base.fingerprint().as_str(),
        Change::Weights(_) => &data.sha256,
    };
    manifest.fingerprint = Identity {
        name,
        weights_sha256: weights,
        tokenizer_sha256: &manifest.files[&manifest.tokenizer].sha256,
        adapter_sha256: manifest.files.get(ADAPTER).map(|file| file.sha256.as_str()),
        pooling: manifest.pooling,
        prefixes: &manifest.prefixes,
        token_limit: manifest.token_limit,
    }
    .fingerprint();
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
    fs::write(made.join(MANIFEST), text + "\n").map_err(io)
}

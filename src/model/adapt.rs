//! A trained model as a folder: the base's, whose graphs are written anew with changed weights.
//!
//! Invariant: a folder under its name is whole: it is made beside it and renamed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::adapter::{AdapterFile, Changed, HeadFile};
use super::folder::{MANIFEST, ModelFolder, OpenError, Precision, facts_of, made_whole};
use super::manifest::{Architecture, Identity, Manifest};
use super::tensors::ParseError;
use crate::graph::{
    Activation, GraphWeights, Numeric, ReadError, Tensor, WeightsError, bert_encoder,
};

const ADAPTER: &str = "adapter.safetensors";
const HEAD: &str = "head.safetensors";

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
    /// It changes another model.
    #[error("it changes the model {wanted}, and this is {given}")]
    Base { wanted: String, given: String },
    /// There is a layer where the head would go.
    #[error("{}: the model ends in a linear layer, and a head would be a second one", folder.display())]
    Dense { folder: PathBuf },
    /// The adapter, or the head, cannot be written.
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
    /// One matrix after the model's vectors.
    Head(&'a HeadFile),
    /// Whole weights, by the names that training gives them.
    Weights(&'a BTreeMap<String, Tensor>),
}

impl Change<'_> {
    /// The file that it is in a model folder, and the model that it changes.
    fn file(self) -> Result<Option<(&'static str, Vec<u8>)>, ParseError> {
        match self {
            Change::Adapter(adapter) => Ok(Some((ADAPTER, adapter.to_bytes()?))),
            Change::Head(head) => Ok(Some((HEAD, head.to_bytes()?))),
            Change::Weights(_) => Ok(None),
        }
    }

    /// The model that it changes, by its fingerprint, where it says so.
    pub fn base(&self) -> Option<&str> {
        match self {
            Change::Adapter(adapter) => Some(&adapter.base),
            Change::Head(head) => Some(&head.base),
            Change::Weights(_) => None,
        }
    }
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
    let io = |path: &Path, source| AdaptError::Io { path: path.to_owned(), source };
    made_whole(place, io, |made| write(base, change, name, made))?;
    Ok(ModelFolder::open(place)?)
}

/// Writes the files of a changed model into an empty folder.
pub(super) fn write(
    base: &ModelFolder,
    change: Change<'_>,
    name: &str,
    made: &Path,
) -> Result<(), AdaptError> {
    let given = base.fingerprint().as_str();
    if let Some(wanted) = change.base().filter(|wanted| *wanted != given) {
        let (wanted, given) = (wanted.to_owned(), given.to_owned());
        return Err(AdaptError::Base { wanted, given });
    }
    let io = |source| AdaptError::Io { path: made.to_owned(), source };
    let old = base.manifest();
    let foreign = || AdaptError::Foreign { folder: base.path().to_owned() };
    let Some(Architecture::Bert(mut config)) = old.architecture else { return Err(foreign()) };
    let Some(int8_graph) = &old.int8_graph else { return Err(foreign()) };
    let weights = GraphWeights::open(&base.graph(Precision::F32), &config)?;
    let changed = match change {
        Change::Adapter(adapter) => adapter.on(&weights),
        Change::Head(_) if config.head.dense.is_some() => {
            return Err(AdaptError::Dense { folder: base.path().to_owned() });
        }
        Change::Head(head) => {
            config.head.dense = Some(head.dim());
            config.head.activation = Activation::None;
            head.on(&weights)
        }
        Change::Weights(trained) => Changed::whole(&weights, trained),
    };
    bert_encoder(&config, &changed, Numeric::F32)?.save(made, &old.f32_graph).map_err(io)?;
    bert_encoder(&config, &changed, Numeric::Int8)?.save(made, int8_graph).map_err(io)?;
    // Means are those of the base's vectors.
    let gone = [old.adapter.as_ref(), old.language_means.as_ref()];
    let kept = old.files.keys().filter(|file| !gone.contains(&Some(*file)));
    for file in kept.filter(|file| !made.join(file).exists()) {
        let from = base.path().join(file);
        fs::copy(&from, made.join(file)).map_err(|source| AdaptError::Io { path: from, source })?;
    }
    let mut manifest = Manifest {
        name: name.to_owned(),
        architecture: Some(Architecture::Bert(config)),
        adapter: None,
        language_means: None,
        ..old.clone()
    };
    if let Some((file, bytes)) = change.file()? {
        fs::write(made.join(file), bytes).map_err(io)?;
        manifest.adapter = Some(file.to_owned());
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
        Change::Adapter(_) | Change::Head(_) => base.fingerprint().as_str(),
        Change::Weights(_) => &data.sha256,
    };
    manifest.fingerprint = Identity {
        name,
        weights_sha256: weights,
        tokenizer_sha256: &manifest.files[&manifest.tokenizer].sha256,
        adapter_sha256: manifest
            .adapter
            .as_ref()
            .and_then(|file| manifest.files.get(file))
            .map(|file| file.sha256.as_str()),
        pooling: manifest.pooling,
        prefixes: &manifest.prefixes,
        token_limit: manifest.token_limit,
    }
    .fingerprint();
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
    fs::write(made.join(MANIFEST), text + "\n").map_err(io)
}

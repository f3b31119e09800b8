//! Opens an index for the commands that search it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dense_plugin::DenseIndex;

use super::models::ModelOptions;
use crate::engine::Engine;

/// Opens the index in a folder, to be searched by words.
pub(super) fn searchable(path: &Path) -> anyhow::Result<Engine> {
    Engine::open_in_dir(path).with_context(|| cannot(path))
}

/// Opens an index with dense fields, whatever its schema.
pub(super) fn any(path: &Path) -> anyhow::Result<DenseIndex> {
    DenseIndex::open_in_dir(path).with_context(|| cannot(path))
}

/// The language means that an index was made with, in its folder.
pub(super) const MEANS: &str = "language-means.safetensors";

/// Where an index that was made with language means has them.
pub(super) fn means_of(path: &Path) -> PathBuf {
    path.join(MEANS)
}

/// Gives the index in a folder the encoder that it was made with.
pub(super) fn with_its_encoder(
    engine: Engine,
    path: &Path,
    model: &ModelOptions,
) -> anyhow::Result<Engine> {
    let options = &engine.index().dense_field("dense")?.options;
    let encoder = match options.fingerprint() {
        Some(built_with) => model.encoder_of(built_with, &means_of(path))?,
        None => model.encoder()?,
    };
    Ok(engine.with_encoder(encoder)?)
}

fn cannot(path: &Path) -> String {
    format!("{}: the index cannot be opened", path.display())
}

//! Indexes that were built before: a build takes minutes, and most commands only search.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Config, build};
use crate::clock::{Cost, measured};
use crate::data::{Set, Store};
use crate::report::note;

/// What stands beside a built index.
#[derive(Serialize, Deserialize)]
struct Built {
    origin: String,
    threads: usize,
    cost: Cost,
}

/// The folder of built indexes, in the cache folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    threads: usize,
    fresh: bool,
}

impl Shelf {
    /// Builds with so many threads what is not there; if `fresh`, ours are built again, since their code is what changes.
    pub(crate) fn new(store: &Store, threads: usize, fresh: bool) -> Self {
        Self { folder: store.folder().join("indexes"), threads, fresh }
    }

    /// The folder of an index, which is built if it is not there, and what its build cost then or now.
    pub(crate) fn get(&self, config: &Config, set: &Set) -> anyhow::Result<(PathBuf, Cost)> {
        let folder = self.folder.join(&set.name).join(config.to_string().replace('/', "+"));
        let told = folder.join("built.json");
        let may_use = !(self.fresh && config.kind == super::Kind::Ours);
        if may_use && told.exists() {
            let built: Built = serde_json::from_slice(&fs::read(&told)?)?;
            if built.origin == set.origin && built.threads == self.threads {
                return Ok((folder, built.cost));
            }
        }
        note(format!("building {config} of {}", set.name));
        let cost = build_into(config, set, &folder, self.threads)?;
        let built = Built { origin: set.origin.clone(), threads: self.threads, cost };
        fs::write(told, serde_json::to_vec(&built)?)?;
        note(format!("  {:.1} CPU s, {:.1} s", cost.cpu_s, cost.wall_s));
        Ok((folder, cost))
    }
}

/// Builds an index into a folder that is emptied first.
pub(crate) fn build_into(
    config: &Config,
    set: &Set,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<Cost> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let (built, cost) = measured(|| build(config, &set.rows, folder, threads));
    built.with_context(|| format!("{config} of {}", set.name))?;
    Ok(cost)
}

//! What the program measures: one file a subcommand.

pub(crate) mod build;
pub(crate) mod curves;
pub(crate) mod filter;
pub(crate) mod merge;
pub(crate) mod open;
pub(crate) mod scale;
pub(crate) mod size;
pub(crate) mod threads;

use std::fs;
use std::path::Path;

use crate::clock::Clock;
use crate::data::{Mask, Set, Store, Truth};
use crate::report::Report;
use crate::systems::{Kind, Shelf};

/// What every measurement starts from.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The vectors' folder.
    pub(crate) store: Store,
    /// What is searched.
    pub(crate) set: Set,
    /// Which systems take part.
    pub(crate) only: Vec<Kind>,
    /// How often timings are repeated.
    pub(crate) rounds: usize,
    /// What searches are timed with.
    pub(crate) clock: Clock,
    /// How many threads build.
    pub(crate) threads: usize,
    /// The indexes that are there.
    pub(crate) shelf: Shelf,
    /// Where results go.
    pub(crate) report: Report,
}

impl Bench {
    /// What is right, for each mask.
    pub(crate) fn truth<const N: usize>(
        &self,
        masks: &[Mask<'_>; N],
    ) -> anyhow::Result<[Truth; N]> {
        let truths = Truth::load(&self.store, &self.set, masks)?;
        Ok(truths.try_into().expect("one for each mask"))
    }
}

/// The bytes of all files in a folder.
pub(crate) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Bytes in units of 10^6.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

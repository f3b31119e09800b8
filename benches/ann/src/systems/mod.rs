//! The systems that are compared, behind one seam: built into a folder, opened from it, searched.

mod config;
mod faiss;
mod hannoy;
mod hnsw_rs;
pub(crate) mod ours;
mod shelf;
mod usearch;

use std::path::Path;

pub(crate) use config::{Config, Element, Kind, Recipe, Segments};
pub(crate) use shelf::{Shelf, build_into};

use crate::data::Rows;

/// An index that is open.
pub(crate) trait Search {
    /// How hard later searches try: candidates of a graph, or lists that are read.
    fn set_effort(&mut self, effort: usize) -> anyhow::Result<()>;

    /// The nearest [`crate::data::K`] rows, as the system names them. This is what is timed.
    fn search(&self, query: &[f32]) -> anyhow::Result<Vec<u64>>;

    /// How many indexes are searched, one after another.
    fn parts(&self) -> usize {
        1
    }

    /// Waits until what was opened is checked, where a system does that beside searches.
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Which rows they are.
    fn rows(&self, found: &[u64]) -> anyhow::Result<Vec<u32>> {
        found.iter().map(|&id| Ok(u32::try_from(id)?)).collect()
    }
}

/// Builds an index of the rows, which are numbered from 0, into an empty folder.
pub(crate) fn build(
    config: &Config,
    rows: &Rows,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<()> {
    match config.kind {
        Kind::Ours => ours::build(config, rows, folder, threads),
        Kind::Faiss => faiss::build(&config.recipe, rows, folder, threads),
        Kind::Usearch => usearch::build(&config.recipe, rows, folder, threads),
        Kind::Hannoy => hannoy::build(&config.recipe, rows, folder, threads),
        Kind::HnswRs => hnsw_rs::build(&config.recipe, rows, folder, threads),
    }
}

/// Opens what [`build`] left in a folder, to be searched on one thread.
pub(crate) fn open(config: &Config, dim: usize, folder: &Path) -> anyhow::Result<Box<dyn Search>> {
    let opened = open_unchecked(config, dim, folder)?;
    opened.check()?;
    Ok(opened)
}

/// Opens it as soon as it can be searched.
pub(crate) fn open_unchecked(
    config: &Config,
    dim: usize,
    folder: &Path,
) -> anyhow::Result<Box<dyn Search>> {
    Ok(match config.kind {
        Kind::Ours => Box::new(ours::Opened::open(config, folder)?),
        Kind::Faiss => Box::new(faiss::Opened::open(&config.recipe, dim, folder)?),
        Kind::Usearch => Box::new(usearch::Opened::open(&config.recipe, dim, folder)?),
        Kind::Hannoy => Box::new(hannoy::Opened::open(folder)?),
        Kind::HnswRs => Box::new(hnsw_rs::Opened::open(folder)?),
    })
}

/// A graph's numbers, where a system builds nothing but graphs over the rows.
fn graph_of(recipe: &Recipe) -> anyhow::Result<(usize, usize)> {
    match recipe {
        Recipe::Hnsw { m, efc, codes: None } => Ok((*m, *efc)),
        other => anyhow::bail!("{other}: this system builds hnsw(M,EFC) alone"),
    }
}

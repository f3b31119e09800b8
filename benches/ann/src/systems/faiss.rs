//! FAISS itself: what it can do without anything around it.

use std::path::Path;

use super::{Recipe, Search};
use crate::data::{K, Rows};
use crate::faiss_c::{Index, set_threads};

const FILE: &str = "index.faiss";

/// FAISS's factory string, and `efConstruction` of a graph.
fn factory(recipe: &Recipe) -> anyhow::Result<(String, Option<usize>)> {
    let codes = |codes: &Option<String>| {
        Ok(match codes.as_deref() {
            None => "Flat",
            Some("int8") => "SQ8",
            Some("f16") => "SQfp16",
            Some(other) => anyhow::bail!("{other}: codes are int8 or f16"),
        })
    };
    Ok(match recipe {
        Recipe::Hnsw { m, efc, codes: of } => (format!("HNSW{m},{}", codes(of)?), Some(*efc)),
        Recipe::Ivf { lists, codes: of } => (format!("IVF{lists},{}", codes(of)?), None),
        Recipe::Other(text) => (text.clone(), None),
    })
}

pub(super) fn build(
    recipe: &Recipe,
    rows: &Rows,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<()> {
    set_threads(threads)?;
    let (text, efc) = factory(recipe)?;
    let mut index = Index::factory(rows.dim(), &text)?;
    if let Some(efc) = efc {
        index.set("efConstruction", efc)?;
    }
    index.train(rows.flat())?;
    index.add(rows.flat())?;
    index.write(&folder.join(FILE))
}

/// An index in memory.
#[derive(Debug)]
pub(super) struct Opened {
    index: Index,
    effort: &'static str,
}

impl Opened {
    pub(super) fn open(recipe: &Recipe, dim: usize, folder: &Path) -> anyhow::Result<Self> {
        set_threads(1)?;
        let effort = if recipe.has_lists() { "nprobe" } else { "efSearch" };
        Ok(Self { index: Index::read(dim, &folder.join(FILE))?, effort })
    }
}

impl Search for Opened {
    fn set_effort(&mut self, effort: usize) -> anyhow::Result<()> {
        self.index.set(self.effort, effort)
    }

    fn search(&self, query: &[f32]) -> anyhow::Result<Vec<u64>> {
        let (mut scores, mut rows) = ([0.0; K], [-1; K]);
        self.index.search(query, &mut scores, &mut rows)?;
        Ok(rows.iter().filter_map(|&row| u64::try_from(row).ok()).collect())
    }
}

//! The crate usearch, with its kernels for this processor (`NumKong`).

use std::path::Path;

use anyhow::Context;
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::{Recipe, Search};
use crate::data::{K, Rows};

const FILE: &str = "index.usearch";

fn empty(recipe: &Recipe, dim: usize) -> anyhow::Result<Index> {
    let Recipe::Hnsw { m, efc, codes } = recipe else {
        anyhow::bail!("{recipe}: usearch builds hnsw(M,EFC) or hnsw(M,EFC,CODES)")
    };
    let quantization = match codes.as_deref() {
        None => ScalarKind::F32,
        Some("f16") => ScalarKind::F16,
        Some("bf16") => ScalarKind::BF16,
        Some("int8") => ScalarKind::I8,
        Some(other) => anyhow::bail!("{other}: codes are f16, bf16 or int8"),
    };
    Ok(Index::new(&IndexOptions {
        dimensions: dim,
        // Rows have length 1; for int8, which rounds them, usearch wants the angle.
        metric: if codes.as_deref() == Some("int8") { MetricKind::Cos } else { MetricKind::IP },
        quantization,
        connectivity: *m,
        expansion_add: *efc,
        ..IndexOptions::default()
    })?)
}

pub(super) fn build(
    recipe: &Recipe,
    rows: &Rows,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<()> {
    let index = empty(recipe, rows.dim())?;
    index.reserve_capacity_and_threads(rows.len(), threads)?;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                let index = &index;
                scope.spawn(move || {
                    let mut mine = (first..rows.len()).step_by(threads);
                    mine.try_for_each(|at| index.add(at as u64, rows.row(at)))
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("usearch does not panic"))
    })?;
    index.save(text(&folder.join(FILE))?)?;
    Ok(())
}

/// An index in memory.
pub(super) struct Opened(Index);

impl Opened {
    pub(super) fn open(recipe: &Recipe, dim: usize, folder: &Path) -> anyhow::Result<Self> {
        let index = empty(recipe, dim)?;
        index.load(text(&folder.join(FILE))?)?;
        Ok(Self(index))
    }
}

impl Search for Opened {
    fn set_effort(&mut self, effort: usize) -> anyhow::Result<()> {
        self.0.change_expansion_search(effort);
        Ok(())
    }

    fn search(&self, query: &[f32]) -> anyhow::Result<Vec<u64>> {
        Ok(self.0.search(query, K)?.keys)
    }
}

fn text(file: &Path) -> anyhow::Result<&str> {
    file.to_str().context("a path that is no UTF-8")
}

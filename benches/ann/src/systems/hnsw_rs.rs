//! The crate `hnsw_rs`, with its SIMD distances (`simdeez_f`).

use std::path::Path;

use anyhow::ensure;
use hnsw_rs::api::AnnT;
use hnsw_rs::prelude::{DistDot, Hnsw, HnswIo};

use super::{Recipe, Search, graph_of};
use crate::data::{K, Rows};

const NAME: &str = "index";

/// As many levels as it has places for.
const LEVELS: usize = 16;

pub(super) fn build(
    recipe: &Recipe,
    rows: &Rows,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<()> {
    let (m, efc) = graph_of(recipe)?;
    // Rows have length 1: `DistDot` is its cosine without the division.
    let index: Hnsw<'_, f32, DistDot> = Hnsw::new(m, rows.len(), LEVELS, efc, DistDot {});
    let named: Vec<(&[f32], usize)> = rows.iter().zip(0..).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| index.parallel_insert_slice(&named));
    let name = index.file_dump(folder, NAME)?;
    ensure!(name == NAME, "hnsw_rs wrote {name}");
    Ok(())
}

/// An index in memory.
pub(super) struct Opened {
    index: Hnsw<'static, f32, DistDot>,
    effort: usize,
}

impl Opened {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        // It lives as long as the program, which opens few: an index borrows its reader.
        let reader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(folder, NAME)));
        let mut index = reader.load_hnsw::<f32, DistDot>()?;
        index.set_searching_mode(true);
        Ok(Self { index, effort: 64 })
    }
}

impl Search for Opened {
    fn set_effort(&mut self, effort: usize) -> anyhow::Result<()> {
        self.effort = effort;
        Ok(())
    }

    fn search(&self, query: &[f32]) -> anyhow::Result<Vec<u64>> {
        let found = self.index.search(query, K, self.effort);
        Ok(found.into_iter().map(|near| near.d_id as u64).collect())
    }
}

//! One set of vectors: what is searched, and what is asked.

use anyhow::{Context, ensure};

use super::rows::Rows;
use super::store::Store;
use super::{SHORT, SPARE, passages_file, queries_file, synthetic};

/// Vectors and queries, of length 1.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// The name of the files and how many rows are taken; says so where some of them are synthetic.
    pub(crate) name: String,
    /// What is searched.
    pub(crate) rows: Rows,
    /// What is asked.
    pub(crate) queries: Rows,
    /// Rows that are not among `rows`, to be merged in.
    pub(crate) spare: Rows,
    /// The checksums of the files, by which what was made from them is known.
    pub(crate) origin: String,
}

impl Set {
    /// Reads a set, or the first `limit` rows of it. Of the short texts there can be more than there are: perturbed
    /// copies follow.
    pub(crate) fn load(store: &Store, set: &str, limit: Option<usize>) -> anyhow::Result<Self> {
        let (passages, numbers) = store.read_f32(&passages_file(set))?;
        let (asked, queries) = store.read_f32(&queries_file(set))?;
        let mut rows = Rows::new(passages.dim, numbers);
        let real = if set == SHORT { rows.len().saturating_sub(SPARE) } else { rows.len() };
        let spare = rows.split_off(real);
        let wanted = limit.unwrap_or(real);
        ensure!(wanted > 0, "a set of no rows");
        let name = if wanted > real {
            ensure!(set == SHORT, "{set} has {real} rows only");
            synthetic::grow(&mut rows, wanted, passages.seed);
            format!("synthetic-{wanted}")
        } else {
            rows.truncate(wanted);
            format!("{set}-{wanted}")
        };
        let origin = format!("{:08x}-{:08x}", passages.crc32, asked.crc32);
        Ok(Self { name, rows, queries: Rows::new(asked.dim, queries), spare, origin })
    }

    /// The first queries alone.
    pub(crate) fn ask(mut self, queries: Option<usize>) -> anyhow::Result<Self> {
        if let Some(queries) = queries {
            let there = self.queries.len();
            ensure!((1..=there).contains(&queries), "there are {there} queries");
            self.queries.truncate(queries);
        }
        Ok(self)
    }

    /// The number of a row as every system has it.
    pub(crate) fn ordinals(&self) -> anyhow::Result<std::ops::Range<u32>> {
        Ok(0..u32::try_from(self.rows.len()).context("more rows than a u32 counts")?)
    }
}

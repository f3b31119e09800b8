//! The crate hannoy: a graph in LMDB.
#![expect(unsafe_code, reason = "heed: LMDB maps a file")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use hannoy::distances::Cosine;
use hannoy::{Database, Reader, Writer};
use heed::{CommitOrAbort, Env, EnvOpenOptions, RoTxn, WithoutTls};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Recipe, Search, graph_of};
use crate::data::{K, Rows};

/// Most bytes that a database may have. It is an address range, no memory.
const MAP: usize = 16 << 30;

/// What its builder's random levels are drawn with.
const SEED: u64 = 42;

fn environment(folder: &Path) -> anyhow::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP);
    // SAFETY: nothing else changes the files of this folder, which this program made, while they are mapped.
    Ok(unsafe { options.open(folder) }?)
}

/// An environment that lives as long as the program, which opens few: readers borrow it, and LMDB opens no file twice.
fn kept(folder: &Path) -> anyhow::Result<&'static Env<WithoutTls>> {
    static KEPT: Mutex<BTreeMap<PathBuf, &'static Env<WithoutTls>>> = Mutex::new(BTreeMap::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(folder) {
        return Ok(known);
    }
    let opened: &'static Env<WithoutTls> = Box::leak(Box::new(environment(folder)?));
    kept.insert(folder.to_owned(), opened);
    Ok(opened)
}

pub(super) fn build(
    recipe: &Recipe,
    rows: &Rows,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<()> {
    let (m, efc) = graph_of(recipe)?;
    let environment = environment(folder)?;
    let made = environment.create_databases_and_commit(
        environment.write_txn()?,
        |options, txn| -> heed::Result<_> {
            options.create_database(txn, None).map(CommitOrAbort::<Database<Cosine>, ()>::Commit)
        },
    )?;
    let database = made.unwrap_commit();
    let mut txn = environment.write_txn()?;
    let writer = Writer::<Cosine>::new(database, 0, rows.dim());
    for (id, row) in (0..).zip(rows.iter()) {
        writer.add_item(&mut txn, id, row)?;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut builder = writer.builder(&mut rng);
        builder.ef_construction(efc);
        // The numbers of neighbours are part of its type.
        match m {
            16 => builder.build::<16, 32>(&mut txn)?,
            32 => builder.build::<32, 64>(&mut txn)?,
            _ => anyhow::bail!("hannoy is compiled here for M of 16 and 32, not {m}"),
        }
        anyhow::Ok(())
    })?;
    txn.commit()?;
    Ok(())
}

/// A database that is mapped, and one transaction that all searches read in.
pub(super) struct Opened {
    txn: RoTxn<'static, WithoutTls>,
    reader: Reader<'static, Cosine>,
    effort: usize,
}

impl Opened {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let environment = kept(folder)?;
        let opened = environment.open_databases_and_commit(
            environment.read_txn()?,
            |options, txn| -> heed::Result<_> {
                options
                    .open_database(txn, None)
                    .map(CommitOrAbort::<Option<Database<Cosine>>, ()>::Commit)
            },
        )?;
        let database = opened.unwrap_commit().context("hannoy's database is not there")?;
        let txn = environment.read_txn()?;
        let reader = Reader::open(&txn, 0, database)?;
        Ok(Self { txn, reader, effort: 64 })
    }
}

impl Search for Opened {
    fn set_effort(&mut self, effort: usize) -> anyhow::Result<()> {
        self.effort = effort;
        Ok(())
    }

    fn search(&self, query: &[f32]) -> anyhow::Result<Vec<u64>> {
        let mut search = self.reader.nns(K);
        let found = search.ef_search(self.effort).by_vector(&self.txn, query)?.into_nns();
        Ok(found.into_iter().map(|(id, _)| u64::from(id)).collect())
    }
}

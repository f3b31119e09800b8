//! One index under everything at once, and under processes that are killed: what was committed is there,
//! and nothing else, and it is found.
//!
//! The short form runs with all other tests; `make soak` runs the long one (`TDENSE_SOAK=long`). What
//! is committed is a function of the commit's number, see [`history`]; chance comes from seeds that
//! are printed.
//!
//! Parts of it are processes of their own: this program started again, as one of the tests in
//! [`child`], which do nothing in this one.

mod check;
mod child;
mod concurrency;
mod history;
mod kills;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tantivy::schema::{FAST, Field, INDEXED, STORED, Schema};
use tantivy::{TantivyDocument, Term};
use tantivy_dense::{
    DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, DenseWriter, Dim,
};

use crate::support::soak::{FOLDER, SEED};

/// A writer's memory: one of few documents needs no more.
const BUDGET: usize = 15_000_000;

/// How many threads build an index.
const BUILD_THREADS: usize = 2;

/// The fields of a document of [`history`].
#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    /// Which commit the document came with.
    block: Field,
    /// How often it was given anew.
    version: Field,
    /// The last digit of its id, to filter by.
    digit: Field,
    /// Only in one document, which has nothing else: the number of the commit that one sees.
    commit: Field,
    vector: Field,
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let mut number = |name| schema.add_u64_field(name, INDEXED | FAST | STORED);
    let [id, block, version, digit, commit] =
        ["id", "block", "version", "digit", "commit"].map(&mut number);
    let recipe = "hnsw(8,20)".parse().unwrap();
    let options = DenseOptions::new(Dim::new(history::DIM).unwrap()).ann(recipe);
    let vector = schema.add_dense_field("vector", options);
    (schema.build(), Fields { id, block, version, digit, commit, vector })
}

/// Opens the index in a folder; makes it there if there is none.
fn open(folder: &Path) -> (DenseIndex, Fields) {
    let (schema, fields) = schema();
    let index = if folder.join("meta.json").exists() {
        DenseIndex::open_in_dir(folder).unwrap()
    } else {
        DenseIndex::create_in_dir(folder, schema).unwrap()
    };
    (index.build_threads(BUILD_THREADS), fields)
}

/// The number of the commit that a writer goes on from.
fn committed(index: &DenseIndex) -> u64 {
    let payload = index.tantivy().load_metas().unwrap().payload;
    payload.map_or(0, |payload| payload.parse().unwrap())
}

/// Adds and deletes what makes commit `number` of the one before, and commits it.
fn commit(writer: &mut DenseWriter, fields: Fields, number: u64) {
    for id in history::added(number) {
        add(writer, fields, id, 0);
    }
    if let Some(block) = history::blocks_dropped(number) {
        writer.delete_term(Term::from_field_u64(fields.block, block)).unwrap();
    }
    for id in history::deleted(number) {
        writer.delete_term(Term::from_field_u64(fields.id, id)).unwrap();
    }
    for id in history::changed(number) {
        writer.delete_term(Term::from_field_u64(fields.id, id)).unwrap();
        add(writer, fields, id, 1);
    }
    writer.delete_term(Term::from_field_u64(fields.commit, number - 1)).unwrap();
    let mut doc = TantivyDocument::new();
    doc.add_u64(fields.commit, number);
    writer.add_document(doc).unwrap();
    let mut prepared = writer.prepare_commit().unwrap();
    prepared.set_payload(&number.to_string());
    prepared.commit().unwrap();
}

fn add(writer: &mut DenseWriter, fields: Fields, id: u64, version: u64) {
    let mut doc = TantivyDocument::new();
    doc.add_u64(fields.id, id);
    doc.add_u64(fields.block, history::block_of(id));
    doc.add_u64(fields.version, version);
    doc.add_u64(fields.digit, id % 10);
    doc.add_dense(fields.vector, &history::vector(id, version));
    writer.add_document(doc).unwrap();
}

/// Collects garbage, and fails if a file in the folder belongs to no segment of the last commit then.
///
/// A thread that is about to end may hold a segment for a moment, as one that reloads a reader which
/// was just dropped: so it is tried again, and what stays is what nobody holds.
fn expect_no_stale_file(index: &DenseIndex, writer: &DenseWriter, folder: &Path) {
    for _ in 0..1000 {
        writer.garbage_collect_files().wait().unwrap();
        if stale_files(index, folder).is_empty() {
            return;
        }
        thread::yield_now();
    }
    panic!("of no segment of the last commit: {:#?}", stale_files(index, folder));
}

/// Where a process was killed, the new `meta.json` that it was writing may be left as `.tmp…`: Tantivy
/// does not look for it, and neither do we.
fn stale_files(index: &DenseIndex, folder: &Path) -> Vec<String> {
    let mut known: Vec<String> =
        ["meta.json", ".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock"]
            .map(str::to_owned)
            .to_vec();
    let files = index.tantivy().load_metas().unwrap().list_segment_files();
    known.extend(files.iter().map(|file| file.to_string_lossy().into_owned()));
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !known.contains(name) && !name.starts_with(".tmp")).collect()
}

/// This program, to run one of the tests in [`child`].
fn another_process(test: &str, folder: &Path, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("soak::child::{test}"))
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Numbers by chance, the same for the same seed (splitmix64, from Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    fn one_of<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[usize::try_from(self.below(among.len() as u64)).unwrap()]
    }
}

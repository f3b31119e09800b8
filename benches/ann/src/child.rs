//! Measurements in a fresh process: this program starts itself, tells the child what to do on its stdin, and reads what
//! was measured from its stdout.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use rustix::fs::{Advice, fadvise, fsync};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Cost;
use crate::data::{Set, Store};
use crate::memory::{peak_bytes, private_bytes, reset_peak};
use crate::systems::{self, Config, build_into};

/// What a child is asked for.
#[derive(Debug, Serialize, Deserialize)]
enum Task {
    Open {
        config: String,
        folder: PathBuf,
        queries: Vec<Vec<f32>>,
    },
    Build {
        config: String,
        folder: PathBuf,
        store: PathBuf,
        set: String,
        rows: usize,
        threads: usize,
    },
}

/// What opening an index took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Opening {
    /// Seconds until it can be searched.
    pub(crate) open_s: f64,
    /// Private bytes more than before it was opened.
    pub(crate) open_bytes: u64,
    /// Seconds of the first search.
    pub(crate) first_s: f64,
    /// Seconds from the start of the opening until it is checked, too.
    pub(crate) checked_s: f64,
    /// Private bytes more than before it was opened, once it is checked.
    pub(crate) checked_bytes: u64,
    /// Private bytes more than before it was opened, after all searches.
    pub(crate) searched_bytes: u64,
}

/// What building an index took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Building {
    /// Its cost.
    pub(crate) cost: Cost,
    /// The most memory that there was, less what there was before.
    pub(crate) peak_bytes: u64,
}

/// Opens an index in a child, and searches it once with each query.
pub(crate) fn open(config: &Config, folder: &Path, queries: &[&[f32]]) -> anyhow::Result<Opening> {
    ask(&Task::Open {
        config: config.to_string(),
        folder: folder.to_owned(),
        queries: queries.iter().map(|query| query.to_vec()).collect(),
    })
}

/// Builds an index of the first rows of a set in a child.
pub(crate) fn build(
    config: &Config,
    folder: &Path,
    store: &Store,
    (set, rows): (&str, usize),
    threads: usize,
) -> anyhow::Result<Building> {
    ask(&Task::Build {
        config: config.to_string(),
        folder: folder.to_owned(),
        store: store.folder().to_owned(),
        set: set.to_owned(),
        rows,
        threads,
    })
}

/// Takes the files of a folder out of the system's memory, as far as it lets them go.
pub(crate) fn forget(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = File::open(entry?.path())?;
        // What is not written yet cannot be let go.
        fsync(&file)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

fn ask<T: DeserializeOwned>(task: &Task) -> anyhow::Result<T> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a child with a stdin")?;
    stdin.write_all(&serde_json::to_vec(task)?)?;
    drop(stdin);
    let told = child.wait_with_output()?;
    ensure!(told.status.success(), "a child failed: {}", told.status);
    Ok(serde_json::from_slice(&told.stdout)?)
}

/// The child's side.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn serve() -> anyhow::Result<()> {
    let told = match serde_json::from_reader(io::stdin().lock())? {
        Task::Open { config, folder, queries } => {
            serde_json::to_string(&opening(&config.parse()?, &folder, &queries)?)?
        }
        Task::Build { config, folder, store, set, rows, threads } => {
            let set = Set::load(&Store::open(&store)?, &set, Some(rows))?;
            reset_peak()?;
            let before = peak_bytes()?;
            let cost = build_into(&config.parse()?, &set, &folder, threads)?;
            let peak_bytes = peak_bytes()?.saturating_sub(before);
            serde_json::to_string(&Building { cost, peak_bytes })?
        }
    };
    println!("{told}");
    Ok(())
}

fn opening(config: &Config, folder: &Path, queries: &[Vec<f32>]) -> anyhow::Result<Opening> {
    let (first, later) = queries.split_first().context("no query")?;
    let before = private_bytes()?;
    let more = || private_bytes().map(|now| now.saturating_sub(before));
    let start = Instant::now();
    let index = systems::open_unchecked(config, first.len(), folder)?;
    let open_s = start.elapsed().as_secs_f64();
    let open_bytes = more()?;
    let searching = Instant::now();
    index.search(first)?;
    let first_s = searching.elapsed().as_secs_f64();
    index.check()?;
    let checked_s = start.elapsed().as_secs_f64();
    let checked_bytes = more()?;
    for query in later {
        index.search(query)?;
    }
    Ok(Opening { open_s, open_bytes, first_s, checked_s, checked_bytes, searched_bytes: more()? })
}

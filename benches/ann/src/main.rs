//! Approximate search inside Tantivy, against FAISS itself and against other crates, on real vectors.
//!
//! `data` encodes the texts, once; each other subcommand prints Markdown tables of what it measured. Comparisons are
//! of one run, its timings in turns. From this folder:
//!
//! ```text
//! cargo build --release --target-dir ../../target
//! ../../target/release/ann-bench data --data DIR
//! ../../target/release/ann-bench curves --set xquad-r --plot xquad.svg --out results.jsonl
//! ../../target/release/ann-bench curves --plot short.svg --out results.jsonl
//! ../../target/release/ann-bench build --threads 1 --rounds 3 --out results.jsonl
//! ```
//!
//! Invariant: every system gets the same rows and queries, and its answers are judged by the same sums.

mod child;
mod clock;
mod commands;
mod data;
mod faiss_c;
mod memory;
mod plot;
mod report;
mod rng;
mod stats;
mod sweep;
mod systems;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use etcetera::BaseStrategy;

use clock::Clock;
use commands::{Bench, build, curves, filter, merge, open, scale, size, threads};
use data::{SHORT, Set, Store};
use report::Report;
use systems::{Kind, Shelf};

#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

/// What all measurements share.
#[derive(Debug, Args)]
struct Options {
    /// Where ONNX Runtime and models are, and the folder `bench` of this program [default: tantivy-dense in the XDG
    /// cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "TDENSE_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Which vectors: `short` or `xquad-r`
    #[arg(long, global = true, value_name = "NAME", default_value = SHORT)]
    set: String,
    /// Take so many rows; of `short` there may be more than there are: the rest is synthetic
    #[arg(long, global = true, value_name = "ROWS")]
    limit: Option<usize>,
    /// Take so many queries
    #[arg(long, global = true, value_name = "N")]
    queries: Option<usize>,
    /// Which systems take part [default: all]
    #[arg(long, global = true, value_name = "SYSTEMS", value_delimiter = ',')]
    only: Vec<Kind>,
    /// How often timings are repeated; the median counts
    #[arg(long, global = true, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// What searches are timed with; `cpu` where other programs run beside this one
    #[arg(long, global = true, value_name = "wall|cpu", default_value = "wall")]
    clock: Clock,
    /// How many threads build; searches have one
    #[arg(long, global = true, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Build our indexes again, though some of an earlier run are there
    #[arg(long, global = true)]
    fresh: bool,
    /// A file that gets each result as a line of JSON, at its end
    #[arg(long, global = true, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Encodes the texts, once, and keeps the vectors in the cache folder
    Data {
        /// A folder with `train` and `eval/xquad-r`
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Recall against speed of every system, one thread
    Curves(curves::Options),
    /// Filters that few or many pass
    Filter(filter::Options),
    /// Several threads against one
    Threads(threads::Options),
    /// Processor seconds of building
    Build(build::Options),
    /// A merge against building anew
    Merge(merge::Options),
    /// Sizes of files
    Size(size::Options),
    /// Opening in a fresh process: time and memory
    Open(open::Options),
    /// Growth from 25,000 to 400,000 rows
    Scale(scale::Options),
    /// What a fresh process does for the others
    #[command(hide = true)]
    Child,
}

fn main() -> anyhow::Result<()> {
    let Cli { command, options } = Cli::parse();
    if matches!(command, Command::Child) {
        return child::serve();
    }
    let cache = match &options.cache {
        Some(cache) => cache.clone(),
        None => etcetera::choose_base_strategy()
            .context("no home folder for the cache")?
            .cache_dir()
            .join("tantivy-dense"),
    };
    let store = Store::open(&cache.join("bench"))?;
    if let Command::Data { data } = &command {
        return data::make(data, &cache, &store);
    }
    let mut bench = options.bench(store)?;
    match &command {
        Command::Curves(options) => curves::run(&mut bench, options),
        Command::Filter(options) => filter::run(&mut bench, options),
        Command::Threads(options) => threads::run(&mut bench, options),
        Command::Build(options) => build::run(&mut bench, options),
        Command::Merge(options) => merge::run(&mut bench, options),
        Command::Size(options) => size::run(&mut bench, options),
        Command::Open(options) => open::run(&mut bench, options),
        Command::Scale(options) => scale::run(&mut bench, options),
        Command::Data { .. } | Command::Child => Ok(()),
    }
}

impl Options {
    fn bench(self, store: Store) -> anyhow::Result<Bench> {
        let set = Set::load(&store, &self.set, self.limit)?.ask(self.queries)?;
        let only = if self.only.is_empty() { Kind::ALL.to_vec() } else { self.only };
        Ok(Bench {
            set,
            only,
            rounds: self.rounds.max(1),
            clock: self.clock,
            threads: self.threads.max(1),
            shelf: Shelf::new(&store, self.threads.max(1), self.fresh),
            report: Report::new(self.out.as_deref())?,
            store,
        })
    }
}

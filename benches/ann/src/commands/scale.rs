//! Latency, building and memory by the number of rows, and the exponents with which they grow.

use std::path::PathBuf;

use serde::Serialize;

use super::{Bench, curves::RECALLS, folder_bytes, megabytes};
use crate::child;
use crate::data::{Mask, SHORT, Set, Truth};
use crate::plot;
use crate::report::{Table, note};
use crate::stats::exponent;
use crate::sweep::{Sweep, efforts};
use crate::systems::{self, Config};

/// How many rows; what is above the real ones is synthetic.
const SIZES: [usize; 5] = [25_000, 50_000, 100_000, 200_000, 400_000];

/// How many queries are asked before memory is read.
const QUERIES: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is built
    #[arg(
        long = "config",
        value_name = "SYSTEM:RECIPE",
        default_values = ["ours:auto", "faiss:hnsw(32,40)"]
    )]
    configs: Vec<Config>,
    /// Numbers of rows instead of 25,000 to 400,000
    #[arg(long, value_name = "ROWS", value_delimiter = ',', default_values_t = SIZES)]
    sizes: Vec<usize>,
    /// A picture (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// One size of one configuration.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scaled {
    /// Of which set.
    pub(crate) set: String,
    /// What was built.
    pub(crate) config: Config,
    /// How many rows.
    pub(crate) rows: usize,
    /// Milliseconds a query at recall@10 of .95, read between efforts.
    pub(crate) ms_at_95: Option<f64>,
    /// The same at .99.
    pub(crate) ms_at_99: Option<f64>,
    /// Processor seconds to build and write.
    pub(crate) build_cpu_s: f64,
    /// Peak memory of the build, in bytes.
    pub(crate) build_peak_bytes: u64,
    /// Bytes of the files.
    pub(crate) file_bytes: u64,
    /// Private memory after searches, in bytes.
    pub(crate) open_bytes: u64,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir_in(bench.store.folder())?;
    let mut all = Vec::new();
    for &rows in &options.sizes {
        let set = Set::load(&bench.store, SHORT, Some(rows))?;
        let truth = Truth::load(&bench.store, &set, &[Mask::all()])?.remove(0);
        let mut sweeps = Vec::new();
        let mut parts = Vec::new();
        for (at, config) in options.configs.iter().enumerate() {
            note(format!("{config}, {rows} rows"));
            let folder = scratch.path().join(at.to_string());
            let built = child::build(config, &folder, &bench.store, (SHORT, rows), bench.threads)?;
            let queries: Vec<&[f32]> = set.queries.iter().take(QUERIES).collect();
            let opened = child::open(config, &folder, &queries)?;
            let index = systems::open(config, set.rows.dim(), &folder)?;
            let efforts = efforts(&config.recipe);
            sweeps.push(Sweep::start(&set, &truth, config.clone(), index, &efforts, 0.995)?);
            parts.push((built, opened, folder_bytes(&folder)?));
        }
        for _ in 0..bench.rounds {
            for sweep in &mut sweeps {
                sweep.round(bench.clock)?;
            }
        }
        for (sweep, (built, opened, file_bytes)) in sweeps.iter().zip(parts) {
            let curve = sweep.curve();
            let ms = |recall| curve.speed(recall).map(|speed| 1e3 / speed.qps);
            let scaled = Scaled {
                set: set.name.clone(),
                rows,
                ms_at_95: ms(RECALLS[0]),
                ms_at_99: ms(RECALLS[1]),
                config: curve.config,
                build_cpu_s: built.cost.cpu_s,
                build_peak_bytes: built.peak_bytes,
                file_bytes,
                open_bytes: opened.searched_bytes,
            };
            bench.report.line("scale", &scaled)?;
            all.push(scaled);
        }
    }
    table(&all, bench.rounds);
    exponents(bench, &all, &options.configs)?;
    if let Some(file) = &options.plot {
        plot::scaling(file, &all, &options.configs)?;
    }
    Ok(())
}

fn table(all: &[Scaled], rounds: usize) {
    let mut table = Table::new(
        format!("by the number of rows, one thread, medians of {rounds} rounds"),
        &[
            "set",
            "configuration",
            "ms at .95",
            "ms at .99",
            "build CPU s",
            "build peak MB",
            "files MB",
            "private MB, open",
        ],
    );
    let ms = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{ms:.3}"));
    for scaled in all {
        table.row([
            scaled.set.clone(),
            scaled.config.to_string(),
            ms(scaled.ms_at_95),
            ms(scaled.ms_at_99),
            format!("{:.1}", scaled.build_cpu_s),
            format!("{:.1}", megabytes(scaled.build_peak_bytes)),
            format!("{:.1}", megabytes(scaled.file_bytes)),
            format!("{:.1}", megabytes(scaled.open_bytes)),
        ]);
    }
    table.print();
}

/// Something that grows; None where it could not be measured.
type Quantity = fn(&Scaled) -> Option<f64>;

/// What grows, by name.
pub(crate) const QUANTITIES: [(&str, Quantity); 5] = [
    ("ms at .95", |scaled| scaled.ms_at_95),
    ("ms at .99", |scaled| scaled.ms_at_99),
    ("build CPU s", |scaled| Some(scaled.build_cpu_s)),
    ("files MB", |scaled| Some(megabytes(scaled.file_bytes))),
    ("private MB, open", |scaled| Some(megabytes(scaled.open_bytes)).filter(|&mb| mb > 0.0)),
];

/// The points of one configuration.
pub(crate) fn points(all: &[Scaled], config: &Config, quantity: Quantity) -> Vec<(f64, f64)> {
    let of_config = all.iter().filter(|scaled| scaled.config == *config);
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let point = |scaled: &Scaled| Some((scaled.rows as f64, quantity(scaled)?));
    of_config.filter_map(point).collect()
}

#[derive(Serialize)]
struct Growth<'a> {
    config: &'a Config,
    quantity: &'a str,
    exponent: f64,
}

fn exponents(bench: &mut Bench, all: &[Scaled], configs: &[Config]) -> anyhow::Result<()> {
    let mut table = Table::new(
        "b in a·rows^b, least squares over the logarithms",
        &["configuration", "quantity", "b"],
    );
    for config in configs {
        for (quantity, of) in QUANTITIES {
            let points = points(all, config, of);
            if points.len() > 1 {
                let exponent = exponent(&points);
                table.row([config.to_string(), quantity.to_owned(), format!("{exponent:.2}")]);
                bench.report.line("exponent", &Growth { config, quantity, exponent })?;
            }
        }
    }
    table.print();
    Ok(())
}

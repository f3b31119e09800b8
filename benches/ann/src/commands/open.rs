//! Opening an index in a fresh process: how long, and how much memory that no file backs.

use serde::Serialize;

use super::{Bench, megabytes};
use crate::child::{self, Opening};
use crate::report::{Table, note};
use crate::stats::median;
use crate::systems::Config;

/// How many queries are asked after the first.
const QUERIES: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is opened; any system may be
    #[arg(long = "config", value_name = "SYSTEM:RECIPE", default_value = "ours:auto")]
    configs: Vec<Config>,
}

#[derive(Serialize)]
struct Opened<'a> {
    set: &'a str,
    config: &'a Config,
    /// The files were taken out of the system's memory first.
    cold: bool,
    median: Opening,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let queries: Vec<&[f32]> = bench.set.queries.iter().take(QUERIES).collect();
    let mut table = Table::new(
        format!(
            "{}: opened in a fresh process, medians of {} rounds; MB are private and of no file",
            bench.set.name, bench.rounds
        ),
        &[
            "configuration",
            "files",
            "open ms",
            "MB then",
            "first search ms",
            "checked after ms",
            "MB then",
            "MB after searches",
        ],
    );
    for config in &options.configs {
        let (folder, _) = bench.shelf.get(config, &bench.set)?;
        let mut openings = [Vec::new(), Vec::new()];
        for round in 0..bench.rounds {
            note(format!("{config}: round {} of {}", round + 1, bench.rounds));
            child::forget(&folder)?;
            for openings in &mut openings {
                openings.push(child::open(config, &folder, &queries)?);
            }
        }
        for (cold, openings) in [true, false].into_iter().zip(&openings) {
            let median = medians(openings);
            let mb = |bytes| format!("{:.1}", megabytes(bytes));
            table.row([
                config.to_string(),
                if cold { "on disk" } else { "in memory" }.to_owned(),
                format!("{:.1}", median.open_s * 1e3),
                mb(median.open_bytes),
                format!("{:.1}", median.first_s * 1e3),
                format!("{:.1}", median.checked_s * 1e3),
                mb(median.checked_bytes),
                mb(median.searched_bytes),
            ]);
            bench.report.line("open", &Opened { set: &bench.set.name, config, cold, median })?;
        }
    }
    table.print();
    Ok(())
}

fn medians(openings: &[Opening]) -> Opening {
    let seconds = |of: fn(&Opening) -> f64| median(&openings.iter().map(of).collect::<Vec<_>>());
    let bytes = |of: fn(&Opening) -> u64| {
        let mut all: Vec<u64> = openings.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    Opening {
        open_s: seconds(|opening| opening.open_s),
        open_bytes: bytes(|opening| opening.open_bytes),
        first_s: seconds(|opening| opening.first_s),
        checked_s: seconds(|opening| opening.checked_s),
        checked_bytes: bytes(|opening| opening.checked_bytes),
        searched_bytes: bytes(|opening| opening.searched_bytes),
    }
}

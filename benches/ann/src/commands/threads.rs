//! Two threads that search at once, against one.

use std::time::Instant;

use serde::Serialize;

use super::Bench;
use crate::report::Table;
use crate::stats::median;
use crate::systems::ours::Opened;
use crate::systems::{Config, Search};

/// How often one thread goes through the queries in one timing.
const PASSES: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is searched, with the field's defaults
    #[arg(long = "config", value_name = "ours:RECIPE", default_value = "ours:auto")]
    configs: Vec<Config>,
    /// How many threads search at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    at_once: usize,
}

#[derive(Serialize)]
struct Concurrent<'a> {
    set: &'a str,
    config: &'a Config,
    threads: usize,
    qps: f64,
    to_one: f64,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let mut table = Table::new(
        format!(
            "{}: threads that search at once, medians of {} rounds",
            bench.set.name, bench.rounds
        ),
        &["configuration", "threads", "QPS", "/ one thread"],
    );
    for config in &options.configs {
        let (folder, _) = bench.shelf.get(config, &bench.set)?;
        let index = Opened::open(config, &folder)?;
        index.check()?;
        let counts = [1, options.at_once];
        let mut speeds = [Vec::new(), Vec::new()];
        for round in 0..=bench.rounds {
            for (threads, speeds) in counts.iter().zip(&mut speeds) {
                let speed = speed(bench, &index, *threads)?;
                // The first round brings the index into memory.
                if round > 0 {
                    speeds.push(speed);
                }
            }
        }
        let one = median(&speeds[0]);
        for (threads, speeds) in counts.into_iter().zip(&speeds) {
            let qps = median(speeds);
            let concurrent =
                Concurrent { set: &bench.set.name, config, threads, qps, to_one: qps / one };
            table.row([
                config.to_string(),
                threads.to_string(),
                format!("{qps:.0}"),
                format!("{:.2}", concurrent.to_one),
            ]);
            bench.report.line("threads", &concurrent)?;
        }
    }
    table.print();
    Ok(())
}

/// Queries a second of all threads together.
#[expect(clippy::cast_precision_loss, reason = "a count of queries")]
fn speed(bench: &Bench, index: &Opened, threads: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let queries = &bench.set.queries;
                    let all = (0..PASSES * queries.len()).skip(first).step_by(threads);
                    for at in all {
                        index.search(queries.row(at % queries.len()))?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a search does not panic"))
    })?;
    Ok((PASSES * bench.set.queries.len()) as f64 / start.elapsed().as_secs_f64())
}

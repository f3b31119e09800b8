//! What building costs: seconds of the processor, of all systems, in turns.

use std::fs;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::{Bench, curves, folder_bytes, megabytes};
use crate::report::{Table, note};
use crate::stats::median;
use crate::systems::{Config, Kind, build_into};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to build, as `usearch:hnsw(32,100)`; may be repeated [default: what `curves` found best]
    #[arg(long = "config", value_name = "SYSTEM:RECIPE")]
    configs: Vec<Config>,
}

#[derive(Serialize)]
struct Built<'a> {
    set: &'a str,
    config: &'a Config,
    threads: usize,
    cpu_s: f64,
    wall_s: f64,
    bytes: u64,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let configs = if options.configs.is_empty() { best(bench)? } else { options.configs.clone() };
    ensure!(!configs.is_empty(), "nothing to build");
    let scratch = tempfile::tempdir_in(bench.store.folder())?;
    let mut costs = vec![Vec::new(); configs.len()];
    let mut bytes = vec![0; configs.len()];
    for round in 0..bench.rounds {
        for ((config, costs), bytes) in configs.iter().zip(&mut costs).zip(&mut bytes) {
            note(format!("round {} of {}: {config}", round + 1, bench.rounds));
            let folder = scratch.path().join("index");
            costs.push(build_into(config, &bench.set, &folder, bench.threads)?);
            *bytes = folder_bytes(&folder)?;
        }
    }
    let built: Vec<Built<'_>> = configs
        .iter()
        .zip(&costs)
        .zip(bytes)
        .map(|((config, costs), bytes)| Built {
            set: &bench.set.name,
            config,
            threads: bench.threads,
            cpu_s: median(&costs.iter().map(|cost| cost.cpu_s).collect::<Vec<_>>()),
            wall_s: median(&costs.iter().map(|cost| cost.wall_s).collect::<Vec<_>>()),
            bytes,
        })
        .collect();
    let usearch = built.iter().find(|built| built.config.kind == Kind::Usearch);
    let mut table = Table::new(
        format!(
            "{}: building and writing, {} threads, medians of {} rounds",
            bench.set.name, bench.threads, bench.rounds
        ),
        &["configuration", "CPU s", "wall s", "MB", "CPU / first usearch"],
    );
    for built in &built {
        table.row([
            built.config.to_string(),
            format!("{:.1}", built.cpu_s),
            format!("{:.1}", built.wall_s),
            format!("{:.1}", megabytes(built.bytes)),
            usearch.map_or("-".into(), |usearch| format!("{:.2}", built.cpu_s / usearch.cpu_s)),
        ]);
        bench.report.line("build", built)?;
    }
    table.print();
    Ok(())
}

/// What the last run of `curves` on this set found best, of the systems that take part.
fn best(bench: &Bench) -> anyhow::Result<Vec<Config>> {
    let file = curves::best_file(bench);
    let text = fs::read(&file)
        .with_context(|| format!("{}: run `curves` first, or name --config", file.display()))?;
    let names: Vec<String> = serde_json::from_slice(&text)?;
    let all: Vec<Config> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|config| bench.only.contains(&config.kind)).collect())
}

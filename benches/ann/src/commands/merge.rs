//! A large segment merged with a small one, against building all of it anew.

use serde::Serialize;

use super::Bench;
use crate::clock::{Cost, measured};
use crate::data::Rows;
use crate::report::{Table, note};
use crate::stats::median;
use crate::systems::Config;
use crate::systems::ours::Filling;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is built
    #[arg(long = "config", value_name = "ours:RECIPE", default_value = "ours:auto")]
    configs: Vec<Config>,
}

#[derive(Serialize)]
struct Merged<'a> {
    set: &'a str,
    config: &'a Config,
    added: usize,
    merge_cpu_s: f64,
    merge_wall_s: f64,
    rebuild_cpu_s: f64,
    rebuild_wall_s: f64,
    ratio: f64,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let mut all = bench.set.rows.clone();
    let added = bench.set.spare.len().min((all.len() / 10).max(1));
    bench.set.spare.iter().take(added).for_each(|row| all.push(row));
    let mut table = Table::new(
        format!("{} and {added} more, merged against built anew, medians", bench.set.name),
        &["configuration", "merge CPU s", "wall s", "anew CPU s", "wall s", "merge / anew, CPU"],
    );
    for config in &options.configs {
        let (mut merges, mut rebuilds) = (Vec::new(), Vec::new());
        for round in 0..bench.rounds {
            note(format!("{config}: round {} of {}", round + 1, bench.rounds));
            merges.push(merge(bench, config, &all)?);
            rebuilds.push(rebuild(bench, config, &all)?);
        }
        let of = |costs: &[Cost], which: fn(&Cost) -> f64| {
            median(&costs.iter().map(which).collect::<Vec<_>>())
        };
        let merged = Merged {
            set: &bench.set.name,
            config,
            added,
            merge_cpu_s: of(&merges, |cost| cost.cpu_s),
            merge_wall_s: of(&merges, |cost| cost.wall_s),
            rebuild_cpu_s: of(&rebuilds, |cost| cost.cpu_s),
            rebuild_wall_s: of(&rebuilds, |cost| cost.wall_s),
            ratio: of(&merges, |cost| cost.cpu_s) / of(&rebuilds, |cost| cost.cpu_s),
        };
        table.row([
            config.to_string(),
            format!("{:.1}", merged.merge_cpu_s),
            format!("{:.1}", merged.merge_wall_s),
            format!("{:.1}", merged.rebuild_cpu_s),
            format!("{:.1}", merged.rebuild_wall_s),
            format!("{:.3}", merged.ratio),
        ]);
        bench.report.line("merge", &merged)?;
    }
    table.print();
    Ok(())
}

/// Two segments that have what their recipe builds, then the merge of them and whatever it leaves to be built.
fn merge(bench: &Bench, config: &Config, all: &Rows) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir_in(bench.store.folder())?;
    let mut filling = Filling::start(config, all.dim(), folder.path(), 1)?.without_merges();
    filling.add(all, 0..bench.set.rows.len())?;
    filling.merge()?;
    filling.add(all, bench.set.rows.len()..all.len())?;
    filling.optimize()?;
    let (done, cost) = measured(|| {
        filling.merge()?;
        filling.optimize()
    });
    done?;
    Ok(cost)
}

/// All rows into one segment.
fn rebuild(bench: &Bench, config: &Config, all: &Rows) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir_in(bench.store.folder())?;
    let (done, cost) = measured(|| {
        let mut filling = Filling::start(config, all.dim(), folder.path(), 1)?.without_merges();
        filling.add(all, 0..all.len())?;
        filling.merge()?;
        filling.optimize()
    });
    done?;
    Ok(cost)
}

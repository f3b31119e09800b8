//! How large the files are, against the rows as raw numbers of 32 bits.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use super::{Bench, megabytes};
use crate::report::Table;
use crate::systems::Config;

/// What is measured unless somebody asks for something else.
const USUAL: [&str; 7] = [
    "ours:exact",
    "ours:auto",
    "ours/f16:auto",
    "ours/int8:auto",
    "ours:hnsw(16,40)",
    "ours:hnsw(32,40,int8)",
    "ours:ivf(1024,int8)",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is built, instead of the usual
    #[arg(long = "config", value_name = "ours:RECIPE")]
    configs: Vec<Config>,
}

#[derive(Serialize)]
struct Sizes<'a> {
    set: &'a str,
    config: &'a Config,
    raw_bytes: u64,
    vec_bytes: u64,
    ann_bytes: u64,
    to_raw: f64,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let configs = if options.configs.is_empty() {
        USUAL.iter().map(|name| name.parse()).collect::<Result<Vec<Config>, _>>()?
    } else {
        options.configs.clone()
    };
    let raw_bytes = u64::try_from(size_of_val(bench.set.rows.flat()))?;
    let mut table = Table::new(
        format!("{}: files, MB; the rows alone are {:.1}", bench.set.name, megabytes(raw_bytes)),
        &["configuration", "`.vec`", "`.ann`", "both / raw rows"],
    );
    for config in &configs {
        let (folder, _) = bench.shelf.get(config, &bench.set)?;
        let mut by_ending: BTreeMap<String, u64> = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let ending =
                entry.path().extension().unwrap_or_default().to_string_lossy().into_owned();
            *by_ending.entry(ending).or_default() += entry.metadata()?.len();
        }
        let of = |ending: &str| by_ending.get(ending).copied().unwrap_or_default();
        let (vec_bytes, ann_bytes) = (of("vec"), of("ann"));
        let to_raw = megabytes(vec_bytes + ann_bytes) / megabytes(raw_bytes);
        table.row([
            config.to_string(),
            format!("{:.1}", megabytes(vec_bytes)),
            format!("{:.1}", megabytes(ann_bytes)),
            format!("{to_raw:.3}"),
        ]);
        let set = &bench.set.name;
        bench
            .report
            .line("size", &Sizes { set, config, raw_bytes, vec_bytes, ann_bytes, to_raw })?;
    }
    table.print();
    Ok(())
}

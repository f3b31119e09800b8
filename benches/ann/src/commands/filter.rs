//! Filtered search, with the field's defaults: recall and latency by the share of documents that pass.

use std::ops::Bound;

use serde::Serialize;
use tantivy::Term;
use tantivy::query::{Query, RangeQuery, TermSetQuery};
use tantivy::schema::Field;

use super::Bench;
use crate::data::{Mask, Truth, pick};
use crate::report::{Table, note};
use crate::stats::{mean, median, quantile};
use crate::systems::ours::Opened;
use crate::systems::{Config, Search};

/// How many of 1,000 documents pass; 1,000 is no filter at all.
const PER_MILLE: [u64; 8] = [1_000, 500, 200, 100, 50, 20, 10, 1];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is searched
    #[arg(long = "config", value_name = "ours:RECIPE", default_value = "ours:auto")]
    configs: Vec<Config>,
}

/// How a filter is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Range,
    Terms,
}

impl By {
    fn query(self, field: Field, below: u64) -> Option<Box<dyn Query>> {
        if below >= 1_000 {
            return None;
        }
        let term = |value| Term::from_field_u64(field, value);
        Some(match self {
            Self::Range => {
                Box::new(RangeQuery::new(Bound::Unbounded, Bound::Excluded(term(below))))
            }
            Self::Terms => Box::new(TermSetQuery::new((0..below).map(term))),
        })
    }
}

#[derive(Serialize)]
struct Filtered<'a> {
    set: &'a str,
    config: &'a Config,
    by: By,
    per_mille: u64,
    passing: usize,
    recall: f64,
    median_ms: f64,
    p99_ms: f64,
    to_unfiltered: f64,
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let masks = PER_MILLE.map(|below| Mask {
        name: format!("below-{below}"),
        passes: Box::new(move |row| pick(row) < below),
    });
    let truths = bench.truth(&masks)?;
    for config in &options.configs {
        let (folder, _) = bench.shelf.get(config, &bench.set)?;
        let index = Opened::open(config, &folder)?;
        index.check()?;
        for by in [By::Range, By::Terms] {
            of_one(bench, config, &index, by, &truths)?;
        }
    }
    Ok(())
}

fn of_one(
    bench: &mut Bench,
    config: &Config,
    index: &Opened,
    by: By,
    truths: &[Truth],
) -> anyhow::Result<()> {
    let field = index.pick()?;
    let set = &bench.set;
    let mut recalls = Vec::new();
    for (below, truth) in PER_MILLE.into_iter().zip(truths) {
        let mut each = Vec::with_capacity(set.queries.len());
        for (at, query) in set.queries.iter().enumerate() {
            let found = index.rows(&index.search_in(query, by.query(field, below))?)?;
            anyhow::ensure!(
                found.iter().all(|&row| pick(row) < below),
                "a row was found that does not pass"
            );
            each.push(truth.recall(set, at, &found));
        }
        recalls.push(mean(&each));
    }
    let mut latencies = vec![Vec::new(); PER_MILLE.len()];
    for round in 0..bench.rounds {
        note(format!("{config}, {by:?}: round {} of {}", round + 1, bench.rounds));
        for (below, latencies) in PER_MILLE.into_iter().zip(&mut latencies) {
            for query in set.queries.iter() {
                let start = bench.clock.now();
                index.search_in(query, by.query(field, below))?;
                latencies.push((bench.clock.now() - start) * 1e3);
            }
        }
    }
    let unfiltered = median(&latencies[0]);
    let mut table = Table::new(
        format!("{}: {config}, filtered by {by:?}, medians of {} rounds", set.name, bench.rounds),
        &["share", "documents", "recall@10", "median ms", "p99 ms", "median / unfiltered"],
    );
    let ids = set.ordinals()?;
    for (at, below) in PER_MILLE.into_iter().enumerate() {
        let filtered = Filtered {
            set: &set.name,
            config,
            by,
            per_mille: below,
            passing: ids.clone().filter(|&row| pick(row) < below).count(),
            recall: recalls[at],
            median_ms: median(&latencies[at]),
            p99_ms: quantile(&latencies[at], 0.99),
            to_unfiltered: median(&latencies[at]) / unfiltered,
        };
        table.row([
            format!("{}.{} %", below / 10, below % 10),
            filtered.passing.to_string(),
            format!("{:.4}", filtered.recall),
            format!("{:.3}", filtered.median_ms),
            format!("{:.3}", filtered.p99_ms),
            format!("{:.2}", filtered.to_unfiltered),
        ]);
        bench.report.line("filter", &filtered)?;
    }
    table.print();
    Ok(())
}

//! `tdense train sweep`: ratios by seeds, and the table of what each reached.

use std::fmt::Write;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{Common, Models, Plan, cells, train};
use crate::cli::interrupt::Stop;
use crate::cli::ui::Ui;
use crate::trainer::{Resume, Validation};

/// Train once for each ratio of monolingual batches and each seed, and compare them.
///
/// Runs that are in the --out folder already are not repeated, and one that was stopped goes on. The table is printed, and
/// written there as sweep.md and sweep.json.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Shares of monolingual batches
    #[arg(long, value_name = "A,...", value_delimiter = ',', default_value = "0,0.25,0.5,0.75,1")]
    alpha: Vec<f64>,
    /// Seeds a ratio: --seed, and the ones after it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Print the table as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// What a sweep found.
#[derive(Debug, Serialize)]
struct Table {
    untrained: Option<Validation>,
    rows: Vec<Row>,
}

/// One ratio.
#[derive(Debug, Serialize)]
struct Row {
    alpha: f64,
    /// Of each seed, the best.
    runs: Vec<RunRow>,
    mono: Option<Spread>,
    cross: Option<Spread>,
    multi: Option<Spread>,
    rank_distance: Option<Spread>,
}

#[derive(Debug, Serialize)]
struct RunRow {
    seed: u64,
    steps: u64,
    best: Validation,
}

/// A mean over seeds and their standard deviation, where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    mean: f64,
    deviation: Option<f64>,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a handful of seeds")]
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }

    fn written(spread: Option<Self>, digits: usize) -> String {
        match spread {
            None => "-".to_owned(),
            Some(Self { mean, deviation: None }) => format!("{mean:.digits$}"),
            Some(Self { mean, deviation: Some(by) }) => format!("{mean:.digits$} ± {by:.digits$}"),
        }
    }
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let common = &options.common;
    let data = common.data.load(ui)?;
    let stop = Stop::on_ctrl_c(ui)?;
    let out = common.folder()?;
    let models = Models::open(common, out)?;
    let mut table = Table { untrained: None, rows: Vec::new() };
    for &alpha in &options.alpha {
        let mut runs = Vec::new();
        for seed in (0..options.seeds).map(|more| common.training.seed.wrapping_add(more)) {
            let folder = out.join(format!("alpha-{alpha}-seed-{seed}"));
            let plan = Plan { alpha, seed, folder: &folder, resume: Resume::Yes };
            let outcome = train(common, &data, &models, &plan, &stop, ui)?;
            table.untrained = table.untrained.or(outcome.untrained);
            if let Some((steps, best)) = outcome.best {
                runs.push(RunRow { seed, steps, best });
            }
        }
        let spread = |of: fn(&Validation) -> Option<f64>| {
            Spread::of(&runs.iter().filter_map(|run| of(&run.best)).collect::<Vec<f64>>())
        };
        let [mono, cross] = [spread(|v| v.mono), spread(|v| v.cross)];
        let [multi, rank_distance] = [spread(|v| v.multi), spread(|v| v.rank_distance)];
        table.rows.push(Row { alpha, runs, mono, cross, multi, rank_distance });
    }
    let markdown = markdown(&table);
    let json = serde_json::to_string_pretty(&table)?;
    for (name, text) in [("sweep.md", &markdown), ("sweep.json", &json)] {
        let file = out.join(name);
        std::fs::write(&file, text).with_context(|| format!("{}", file.display()))?;
    }
    Ok(if options.json { ui.json(&table) } else { ui.line(markdown.trim_end()) }?)
}

fn markdown(table: &Table) -> String {
    let mut out = String::from(
        "| alpha | seeds | mono mAP | cross mAP | multi mAP | rank distance |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut line = |cells: &[String]| {
        writeln!(out, "| {} |", cells.join(" | ")).expect("a String takes all text");
    };
    if let Some(untrained) = &table.untrained {
        let [mono, cross, multi, ranks] = cells(untrained);
        line(&["untrained".to_owned(), "-".to_owned(), mono, cross, multi, ranks]);
    }
    for row in &table.rows {
        let share = |spread| Spread::written(spread, 4);
        line(&[
            row.alpha.to_string(),
            row.runs.len().to_string(),
            share(row.mono),
            share(row.cross),
            share(row.multi),
            Spread::written(row.rank_distance, 1),
        ]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_a_sample() {
        let spread = Spread::of(&[0.5, 0.7]).unwrap();
        assert!((spread.mean - 0.6).abs() < 1e-12);
        assert!((spread.deviation.unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[0.5]), Some(Spread { mean: 0.5, deviation: None }));
        assert_eq!(Spread::of(&[]), None);
    }
}

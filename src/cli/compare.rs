//! `tdense eval compare`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use dense_eval::stats::Draws;
use dense_eval::{Bar, Comparison, Measure, Report, Side};
use serde::Serialize;

use super::error::BarsNotMet;
use super::report::ReportFile;
use super::ui::Ui;
use crate::report::{Contender, Question};

/// Compare two systems, models or dates, language by language, with significance.
///
/// Reads what `tdense eval --json` wrote. Topics are paired, so both must have been measured on the
/// same ones.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense eval --data xquad-r --json > new.json
  tdense eval compare old.json new.json --systems dense
  tdense eval compare new.json --systems bm25,dense --measures AP,nDCG@10
  tdense eval compare old.json new.json --bar 'AP>=.7' --bar 'each:diff(AP)>=-.01'

A bar is about the second system: its mean over languages, or that of `sw:AP>=.6` or of each
language (`each:`), or how far it is ahead of the first (`diff(...)`).
Exit status: 3 if a bar is not met.")]
pub(super) struct Options {
    /// The results to start from (A)
    first: PathBuf,
    /// The results to compare with them (B); default: another system of the first
    second: Option<PathBuf>,
    /// One system, to be found in both, or that of A and that of B; default: all that both have
    #[arg(long, value_delimiter = ',', value_name = "SYSTEM")]
    systems: Vec<String>,
    /// By what to compare; default: the first measure of A
    #[arg(long, value_delimiter = ',', value_name = "MEASURE")]
    measures: Vec<Measure>,
    /// What must hold, as in 'AP>=.7'; may be given several times
    #[arg(long, value_name = "BAR")]
    bar: Vec<Bar>,
    /// How often the randomization test and the bootstrap draw
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// From which seed they do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// JSON, one object for each pair of systems and measure, instead of tables
    #[arg(long)]
    json: bool,
    /// Write the comparison to a page (.html), or as .md, .csv or .json
    #[arg(long, value_name = "FILE")]
    report: Option<ReportFile>,
}

/// A comparison and its bars as one JSON object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    bars: &'a [Checked],
}

/// A bar, and what became of it.
#[derive(Serialize)]
struct Checked {
    bar: String,
    value: f64,
    met: bool,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    if let Some(file) = &options.report {
        file.check()?;
    }
    let first = read(&options.first)?;
    let second = options.second.as_deref().map(read).transpose()?;
    let systems = systems(&first, second.as_ref(), &options.systems)?;
    let draws = Draws::new(options.seed).rounds(options.rounds);
    if let Some(file) = &options.report {
        file.write(question(options, &first, second.as_ref(), &systems, draws)?)?;
        ui.note(format_args!("report: {file}"));
    }
    let second = second.as_ref().unwrap_or(&first);
    let mut failed = Vec::new();
    let mut blank = false;
    for (of_first, of_second) in &systems {
        for measure in measures(options, &first)? {
            let first = Side { report: &first, system: of_first };
            let second = Side { report: second, system: of_second };
            let comparison = Comparison::new(first, second, measure, draws)?;
            let bars = check(&options.bar, &comparison)?;
            let missed = bars.iter().filter(|bar| !bar.met);
            failed.extend(missed.map(|bar| format!("{} is {:.4}", bar.bar, bar.value)));
            if options.json {
                ui.json(&Line { comparison: &comparison, bars: &bars })?;
                continue;
            }
            if std::mem::replace(&mut blank, true) {
                ui.line("")?;
            }
            ui.line(comparison.to_string().trim_end())?;
            for Checked { bar, value, met } in &bars {
                let met = if *met { "met" } else { "not met" };
                ui.line(format_args!("bar {bar}: {value:.4}, {met}"))?;
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(BarsNotMet(failed.join("; ")).into()) }
}

fn read(file: &Path) -> anyhow::Result<Report> {
    let json = fs::read_to_string(file);
    let json = json.with_context(|| format!("{}: cannot be read", file.display()))?;
    Report::from_json(&json)
        .with_context(|| format!("{}: not what `tdense eval --json` writes", file.display()))
}

/// What a report of the comparison is about.
fn question<'a>(
    options: &Options,
    first: &'a Report,
    second: Option<&'a Report>,
    systems: &'a [(String, String)],
    draws: Draws,
) -> anyhow::Result<Question<'a>> {
    let file =
        |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut sources = vec![(String::new(), first)];
    let mut title = first.collection.clone();
    if let (Some(second), Some(path)) = (second, &options.second) {
        let of_first = format!("A: {}", file(&options.first));
        sources = vec![(of_first, first), (format!("B: {}", file(path)), second)];
        if second.collection != title {
            title = format!("{title} and {}", second.collection);
        }
    }
    let mut contenders = Vec::new();
    let mut pairs = Vec::new();
    for (of_first, of_second) in systems {
        pairs.push((contenders.len(), contenders.len() + 1));
        let sides = [(of_first, first, "A"), (of_second, second.unwrap_or(first), "B")];
        contenders.extend(sides.map(|(system, report, side)| {
            let name = if second.is_some() { format!("{system} ({side})") } else { system.clone() };
            Contender { name, report, system }
        }));
    }
    let measures = measures(options, first)?;
    Ok(Question { title, sources, contenders, pairs, measures, draws })
}

/// Which systems are compared: of the first results, and of the second.
fn systems(
    first: &Report,
    second: Option<&Report>,
    wanted: &[String],
) -> anyhow::Result<Vec<(String, String)>> {
    let two = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
    match (wanted, second) {
        ([a, b], _) => Ok(two(a, b)),
        ([one], Some(_)) => Ok(two(one, one)),
        ([], Some(second)) => match (first.systems(), second.systems()) {
            ([a], [b]) => Ok(two(a, b)),
            (ours, theirs) => {
                let both = ours.iter().filter(|system| theirs.contains(system));
                let both: Vec<_> = both.map(|system| (system.clone(), system.clone())).collect();
                if both.is_empty() {
                    let (ours, theirs) = (ours.join(", "), theirs.join(", "));
                    bail!("no system is in both ({ours}; {theirs}): name two with --systems A,B");
                }
                Ok(both)
            }
        },
        ([], None) => match first.systems() {
            [a, b] => Ok(two(a, b)),
            all => bail!("there is {}: name two with --systems A,B", all.join(", ")),
        },
        _ => bail!("--systems takes one system of both results, or one of each, as in bm25,dense"),
    }
}

/// What is asked for, and what bars are about.
fn measures(options: &Options, first: &Report) -> anyhow::Result<Vec<Measure>> {
    let mut measures = options.measures.clone();
    let of_bars = options.bar.iter().map(Bar::measure);
    measures.extend(of_bars);
    if measures.is_empty() {
        measures.extend(first.measures().first());
    }
    let mut seen = Vec::new();
    measures.retain(|measure| {
        let is_new = !seen.contains(measure);
        seen.push(*measure);
        is_new
    });
    if measures.is_empty() {
        bail!("name a measure with --measures");
    }
    Ok(measures)
}

fn check(bars: &[Bar], comparison: &Comparison) -> anyhow::Result<Vec<Checked>> {
    let of_measure = bars.iter().filter(|bar| bar.measure() == comparison.measure);
    of_measure
        .map(|bar| {
            let (value, met) = bar.check(comparison)?;
            Ok(Checked { bar: bar.to_string(), value, met })
        })
        .collect()
}

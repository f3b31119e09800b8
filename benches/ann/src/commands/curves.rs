//! Recall against speed, one thread: every configuration once, then the best of each system in turns.

use std::path::PathBuf;

use anyhow::ensure;
use serde::Serialize;

use super::Bench;
use crate::data::{Mask, Truth};
use crate::plot;
use crate::report::{Table, note};
use crate::stats::Speed;
use crate::sweep::{Curve, Sweep, efforts};
use crate::systems::{self, Config, Element, Kind, Recipe, Segments};

/// The recalls at which systems are compared.
pub(crate) const RECALLS: [f64; 2] = [0.95, 0.99];

/// What the first pass tries of each system.
const M: [usize; 2] = [16, 32];
const EF_CONSTRUCTION: [usize; 3] = [40, 100, 200];

/// Where the first pass stops trying harder.
const ENOUGH: f64 = 0.995;

/// Where the second does.
const ALL: f64 = 0.9995;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Configurations instead of the usual ones, as `faiss:hnsw(32,40)` or `ours/int8/policy:auto`; may be repeated
    #[arg(long = "config", value_name = "SYSTEM:RECIPE")]
    configs: Vec<Config>,
    /// A picture of the curves (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Stop after the first pass, which tries every configuration once
    #[arg(long)]
    tune: bool,
}

/// The best configurations that were found, kept for the command `build`.
pub(crate) fn best_file(bench: &Bench) -> PathBuf {
    bench.store.folder().join(format!("best.{}.json", bench.set.name))
}

pub(crate) fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<()> {
    let candidates =
        if options.configs.is_empty() { usual(&bench.only) } else { options.configs.clone() };
    let [truth] = bench.truth(&[Mask::all()])?;
    let mut tuned = Vec::new();
    let mut table = Table::new(
        format!("{}: every configuration, one round", bench.set.name),
        &[
            "configuration",
            "segments",
            "QPS at .95",
            "QPS at .99",
            "most recall",
            "build CPU s",
            "MB",
        ],
    );
    for config in candidates {
        let curve = one_round(bench, &truth, &config)?;
        let (folder, cost) = bench.shelf.get(&config, &bench.set)?;
        let most = curve.points.iter().map(|point| point.recall).fold(0.0, f64::max);
        table.row([
            config.to_string(),
            curve.parts.to_string(),
            shown(curve.speed(RECALLS[0])),
            shown(curve.speed(RECALLS[1])),
            format!("{most:.4}"),
            format!("{:.1}", cost.cpu_s),
            format!("{:.1}", super::megabytes(super::folder_bytes(&folder)?)),
        ]);
        bench.report.line("tuned", &Tuned { set: &bench.set.name, curve: &curve, build: cost })?;
        tuned.push(curve);
    }
    table.print();
    let best = best_of_each(&tuned);
    std::fs::write(best_file(bench), serde_json::to_vec(&best)?)?;
    if options.tune {
        return Ok(());
    }
    let curves = in_turns(bench, &truth, &best)?;
    for curve in &curves {
        print_curve(&bench.set.name, curve);
        bench.report.line("curve", &OfSet { set: &bench.set.name, values: curve })?;
    }
    compare(bench, &curves)?;
    if let Some(file) = &options.plot {
        plot::curves(file, &format!("{}, one thread", bench.set.name), &curves)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Tuned<'a> {
    set: &'a str,
    curve: &'a Curve,
    build: crate::clock::Cost,
}

/// Something measured, and on which set.
#[derive(Serialize)]
struct OfSet<'a, T> {
    set: &'a str,
    values: &'a T,
}

/// The grid for every system; ours is also there with several segments.
fn usual(only: &[Kind]) -> Vec<Config> {
    let mut all = Vec::new();
    for &kind in only {
        for m in M {
            all.extend(EF_CONSTRUCTION.map(|efc| Config::new(kind, Recipe::hnsw(m, efc))));
        }
        if kind == Kind::Ours {
            let auto = Config::new(kind, Recipe::Other("auto".into()));
            all.push(Config { segments: Segments::Policy, ..auto });
        }
    }
    all
}

fn one_round(bench: &Bench, truth: &Truth, config: &Config) -> anyhow::Result<Curve> {
    let (folder, _) = bench.shelf.get(config, &bench.set)?;
    note(format!("searching {config}"));
    let index = systems::open(config, bench.set.rows.dim(), &folder)?;
    let efforts = efforts(&config.recipe);
    let mut sweep = Sweep::start(&bench.set, truth, config.clone(), index, &efforts, ENOUGH)?;
    sweep.round(bench.clock)?;
    Ok(sweep.curve())
}

/// Of each system with its rows and segments, the configurations that are fastest at one of the recalls.
fn best_of_each(curves: &[Curve]) -> Vec<Config> {
    let mut best: Vec<Config> = Vec::new();
    for (kind, element, segments) in groups(curves) {
        for recall in RECALLS {
            let of_group =
                curves.iter().filter(|curve| group(&curve.config) == (kind, element, segments));
            let speed = |curve: &Curve| curve.speed(recall).map_or(0.0, |speed| speed.qps);
            let fastest = of_group.max_by(|a, b| speed(a).total_cmp(&speed(b)));
            if let Some(fastest) = fastest
                && !best.contains(&fastest.config)
            {
                best.push(fastest.config.clone());
            }
        }
    }
    best
}

type Group = (Kind, Element, Segments);

fn group(config: &Config) -> Group {
    (config.kind, config.element, config.segments)
}

fn groups(curves: &[Curve]) -> Vec<Group> {
    let mut groups = Vec::new();
    for of in curves.iter().map(|curve| group(&curve.config)) {
        if !groups.contains(&of) {
            groups.push(of);
        }
    }
    groups
}

/// All of them open at once, each effort of each timed once a round.
fn in_turns(bench: &Bench, truth: &Truth, configs: &[Config]) -> anyhow::Result<Vec<Curve>> {
    let mut sweeps = Vec::new();
    for config in configs {
        let (folder, _) = bench.shelf.get(config, &bench.set)?;
        let index = systems::open(config, bench.set.rows.dim(), &folder)?;
        let efforts = efforts(&config.recipe);
        sweeps.push(Sweep::start(&bench.set, truth, config.clone(), index, &efforts, ALL)?);
    }
    for round in 0..bench.rounds {
        note(format!("round {} of {}", round + 1, bench.rounds));
        for sweep in &mut sweeps {
            sweep.round(bench.clock)?;
        }
    }
    Ok(sweeps.iter().map(Sweep::curve).collect())
}

fn print_curve(set: &str, curve: &Curve) {
    let mut table = Table::new(
        format!("{set}: {}", curve.config),
        &["effort", "recall@10", "QPS", "median ms", "p99 ms"],
    );
    for point in &curve.points {
        table.row([
            point.effort.to_string(),
            format!("{:.4}", point.recall),
            format!("{:.0}", point.qps),
            format!("{:.3}", point.median_ms),
            format!("{:.3}", point.p99_ms),
        ]);
    }
    table.print();
}

/// The fastest of one group at one recall.
#[derive(Clone, Debug, Serialize)]
struct Fastest {
    set: String,
    recall: f64,
    config: Config,
    qps: f64,
    at_least: bool,
}

/// Who is how fast, and how much faster ours is than each other.
fn compare(bench: &mut Bench, curves: &[Curve]) -> anyhow::Result<()> {
    ensure!(!curves.is_empty(), "nothing was measured");
    let mut table = Table::new(
        format!("{}: QPS at a recall@10, medians of {} rounds", bench.set.name, bench.rounds),
        &["at", "configuration", "QPS", "ours, one segment, / this"],
    );
    for recall in RECALLS {
        let fastest: Vec<Fastest> = groups(curves)
            .into_iter()
            .filter_map(|of| fastest(&bench.set.name, curves, of, recall))
            .collect();
        let ours = fastest
            .iter()
            .find(|fastest| group(&fastest.config) == (Kind::Ours, Element::F32, Segments::One));
        for fastest in &fastest {
            let ratio = ours.map(|ours| format!("{:.2}", ours.qps / fastest.qps));
            let sign = if fastest.at_least { "≥ " } else { "" };
            table.row([
                format!("{recall}"),
                fastest.config.to_string(),
                format!("{sign}{:.0}", fastest.qps),
                ratio.unwrap_or_else(|| "-".into()),
            ]);
            bench.report.line("speed", fastest)?;
        }
    }
    table.print();
    Ok(())
}

fn fastest(set: &str, curves: &[Curve], of: Group, recall: f64) -> Option<Fastest> {
    let of_group = curves.iter().filter(|curve| group(&curve.config) == of);
    let speeds = of_group.filter_map(|curve| Some((curve, curve.speed(recall)?)));
    let (curve, speed) = speeds.max_by(|a, b| a.1.qps.total_cmp(&b.1.qps))?;
    Some(Fastest {
        set: set.to_owned(),
        recall,
        config: curve.config.clone(),
        qps: speed.qps,
        at_least: speed.at_least,
    })
}

fn shown(speed: Option<Speed>) -> String {
    match speed {
        None => "-".into(),
        Some(Speed { qps, at_least: true }) => format!("≥ {qps:.0}"),
        Some(Speed { qps, at_least: false }) => format!("{qps:.0}"),
    }
}

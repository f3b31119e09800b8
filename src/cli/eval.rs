//! `tdense eval`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use dense_eval::stats::Draws;
use dense_eval::{
    Evaluator, Measure, Missing, NTREX_SUBSET, Opening, Qrels, Report, RunReport, facts,
};

use super::debias::Debias;
use super::measured::Measured;
use super::models::ModelOptions;
use super::report::{self, ReportFile};
use super::ui::Ui;
use super::{bm25, compare};
use crate::fusion::Normalization;
use crate::report::Question;

/// The languages that stand for 24 of NTREX, and for each tier's half of them.
const TIERS: [&str; 3] = ["tiers", "low", "high"];

/// Measure how well BM25, dense and hybrid search rank, language by language.
///
/// The data is a BEIR folder (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`), a folder of such
/// folders, XQuAD-R's or MLQA-R's JSON files, NTREX-128, MIRACL or `Mr. TyDi` as their authors publish
/// them, or tables (`corpus.tsv`, `queries.tsv`, `qrels.tsv`). A collection in several languages is
/// measured in each language apart, across each pair of languages, and in one pool of all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense eval --data xquad-r
  tdense eval --data tydiqa-r --systems bm25,dense --measures AP,nDCG@10 --json
  tdense eval --data xquad-r --systems bm25,hybrid,weighted --detect
  tdense eval --data xquad-r --report report.html
  tdense eval --run bm25.trec --qrels qrels.txt
  tdense eval compare old.json new.json
  tdense eval bm25 --data xquad-r")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Options {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// A collection, or a folder of collections
    #[arg(long, value_name = "DIR", required_unless_present = "run")]
    data: Option<PathBuf>,
    /// Which judgements, where there are several: qrels/<SPLIT>.tsv of a BEIR folder [default: test;
    /// MIRACL: dev]
    #[arg(long, requires = "data")]
    split: Option<String>,
    /// Take these languages alone; `tiers`: the 24 of NTREX that tiers of resources are compared on;
    /// `low`, `high`: the twelve of one tier
    #[arg(long, value_name = "TAGS", value_delimiter = ',', requires = "data")]
    languages: Vec<String>,
    /// What to compare
    #[arg(long, value_delimiter = ',', default_value = "bm25,dense,hybrid", requires = "data")]
    pub(super) systems: Vec<System>,
    /// Measure BM25 once more with the language of each query detected, as where nobody says it
    #[arg(long, requires = "data")]
    pub(super) detect: bool,
    /// How `weighted` makes scores comparable
    #[arg(long, value_name = "min-max|z-score", default_value = "min-max", requires = "data")]
    pub(super) normalization: Normalization,
    /// Folds of queries: the weights of a query are chosen on the other folds
    #[arg(long, default_value_t = 5, requires = "data", value_parser = clap::value_parser!(u32).range(2..=100))]
    pub(super) folds: u32,
    /// From which seed the folds are dealt
    #[arg(long, default_value_t = 1, requires = "data")]
    pub(super) seed: u64,
    /// What to measure: AP, nDCG, RR, Judged, each also with a cutoff as in AP@100; R@k, P@k,
    /// Success@k, Rprec; with a least grade as in AP(rel=2)@100
    #[arg(long, value_delimiter = ',', default_value = "AP,nDCG@10,R@100,RR")]
    pub(super) measures: Vec<Measure>,
    /// Write each system's ranking to DIR/<collection>.<system>.trec
    #[arg(long, value_name = "DIR", requires = "data")]
    pub(super) save_run: Option<PathBuf>,
    /// Score the TREC run of any system instead
    #[arg(long, value_name = "FILE", requires = "qrels", conflicts_with = "data")]
    run: Option<PathBuf>,
    /// The judgements for --run, as TREC or BEIR writes them
    #[arg(long, value_name = "FILE", requires = "run")]
    qrels: Option<PathBuf>,
    /// Leave out judged topics that the run does not answer, as `trec_eval` does without -c; else
    /// they count as 0
    #[arg(long, requires = "run")]
    answered_only: bool,
    /// One JSON object instead of tables, with the values of every topic
    #[arg(long)]
    json: bool,
    /// Measure dense search once more without language means: `test` takes those of the passages and
    /// queries themselves (an upper bound), `indexed` those of the passages, and the model's for
    /// queries, `model` the model's for both
    #[arg(long, value_delimiter = ',', requires = "data", conflicts_with = "language_means")]
    pub(super) debias: Vec<Debias>,
    /// Take off so many principal components of each language as well, where means are taken from
    /// passages or queries
    #[arg(long, value_name = "N", default_value_t = 0, requires = "debias")]
    pub(super) components: usize,
    /// Measure dense search once more through the matrix that `tdense train --part linear` left; its
    /// system is called dense-NAME
    #[cfg(feature = "onnx")]
    #[arg(long, value_name = "[NAME=]FILE", requires = "data", conflicts_with = "language_means")]
    pub(super) head: Vec<super::heads::Named>,
    /// Write what was found, with significance, to a page (.html), or as .md, .csv or .json
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<ReportFile>,
    #[command(flatten)]
    pub(super) model: ModelOptions,
}

/// What is done with results that are there.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Compare two systems, models or dates, language by language, with significance
    Compare(compare::Options),
    /// Compare ways to take texts apart for BM25, language by language
    Bm25(bm25::Options),
}

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum System {
    Bm25,
    Dense,
    /// Fused by reciprocal ranks
    Hybrid,
    /// Fused by a weighted sum, the weights chosen by cross-validation
    Weighted,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    match &options.instead {
        Some(Instead::Compare(options)) => return compare::run(options, ui),
        Some(Instead::Bm25(options)) => return bm25::run(options, ui),
        None => {}
    }
    if let Some(file) = &options.report {
        file.check()?;
    }
    match (&options.data, &options.run, &options.qrels) {
        (Some(data), ..) => measure_collections(data, options, ui),
        (None, Some(run), Some(qrels)) => score_run(run, qrels, options, ui),
        _ => bail!("there is nothing to measure: neither --data nor --run"),
    }
}

fn score_run(run: &Path, judged: &Path, options: &Options, ui: Ui) -> anyhow::Result<()> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let qrels = Qrels::read_on(judged, threads)?;
    let missing = if options.answered_only { Missing::LeftOut } else { Missing::Zero };
    let evaluator = Evaluator::new(&qrels, &options.measures).missing(missing).threads(threads);
    let scores = evaluator.read_run(run)?;
    if scores.answered == 0 {
        bail!("the run answers none of the topics that the qrels judge");
    }
    let (name, values) = (&scores.name, &scores.evaluation);
    let mean = values.mean().context("the qrels judge no topic")?;
    if let Some(file) = &options.report {
        let report = RunReport::new(name, values).context("the qrels judge no topic")?;
        let mut report = Report::from(report);
        report.facts.extend(report::facts(&[run, judged])?);
        write_report(file, &report, ui)?;
    }
    let named = values.measures().iter().map(ToString::to_string).zip(mean);
    if options.json {
        let report = RunReport::new(name, values).context("the qrels judge no topic")?;
        return Ok(ui.json(&report)?);
    }
    ui.line(format_args!("{name}, {} topics", values.len()))?;
    for (name, mean) in named {
        ui.line(format_args!("{name:<10} {mean:.4}"))?;
    }
    Ok(())
}

fn measure_collections(data: &Path, options: &Options, ui: Ui) -> anyhow::Result<()> {
    let mut opening = Opening::new();
    if let Some(split) = &options.split {
        opening = opening.split(split);
    }
    match &options.languages[..] {
        [] => {}
        [one] if TIERS.contains(&one.as_str()) => opening = opening.languages(&of_tier(one)),
        languages => opening = opening.languages(languages),
    }
    let collections = opening.open_all(data)?;
    #[cfg(feature = "onnx")]
    let encodes = !options.head.is_empty();
    #[cfg(not(feature = "onnx"))]
    let encodes = false;
    let encodes = encodes
        || !options.debias.is_empty()
        || options.systems.iter().any(|system| *system != System::Bm25);
    let encoder = if encodes { Some(options.model.chosen()?.encoder) } else { None };
    #[cfg(feature = "onnx")]
    let heads = match &encoder {
        Some(encoder) => super::heads::open(&options.head, encoder.fingerprint())?,
        None => Vec::new(),
    };
    if let Some(folder) = &options.save_run {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let name = match &collections[..] {
        [one] => one.name.clone(),
        _ => data.file_name().unwrap_or(data.as_os_str()).to_string_lossy().into_owned(),
    };
    let mut report = Report::new(name, &options.measures);
    if let Some(encoder) = &encoder {
        report.facts.insert("encoder".to_owned(), encoder.fingerprint().as_str().into());
    }
    report.facts.insert("tdense".to_owned(), env!("CARGO_PKG_VERSION").into());
    if options.report.is_some() {
        // Before measuring: what cannot be read is said at once.
        report.facts.extend(report::facts(&[data])?);
    }
    for collection in &collections {
        let measured = Measured::new(collection, options, ui);
        #[cfg(feature = "onnx")]
        let measured = measured.heads(&heads);
        measured.add_to(&mut report, encoder.as_deref())?;
        report.add_groups(collection);
    }
    let shown = if options.json { report.to_json() } else { report.to_string() };
    ui.line(shown.trim_end())?;
    // Last: a report that cannot be written takes no numbers along.
    match &options.report {
        Some(file) => write_report(file, &report, ui),
        None => Ok(()),
    }
}

/// The languages of NTREX that stand for a tier, or for both.
fn of_tier(tier: &str) -> Vec<&'static str> {
    let is_in =
        |tag: &&str| tier == TIERS[0] || facts(tag).is_some_and(|f| f.tier().to_string() == tier);
    NTREX_SUBSET.into_iter().filter(is_in).collect()
}

fn write_report(file: &ReportFile, report: &Report, ui: Ui) -> anyhow::Result<()> {
    file.write(Question::about(report, Draws::new(report::SEED)))?;
    ui.note(format_args!("report: {file}"));
    Ok(())
}

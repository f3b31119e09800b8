//! `tdense eval bm25`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use dense_eval::Collection;
use dense_eval::stats::Draws;
use dense_indexer::Analysis;

use super::ui::Ui;
use crate::bm25::{CompareOptions, compare_analyses};

/// Compare ways to take texts apart for BM25, language by language, with significance; and say what other
/// k1 and b would add.
///
/// Each language's queries search the passages of their own language. The default of a language is
/// what `tdense index` does. k1 and b are chosen by cross-validation: what is chosen for a query is
/// chosen on others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense eval bm25 --data xquad-r
  tdense eval bm25 --data tydiqa-r --languages sw,te --analyses word,ngram4,loose-word+ngram4
  tdense eval bm25 --data xquad-r --languages th,zh --json

An analysis is [loose-](word|stem|prefixN|ngramN|word+ngramN|stem+ngramN), and for scripts without
spaces behind it /pairs, /singles, /singles+pairs or /icu.")]
pub(super) struct Options {
    /// A collection, or a folder of collections
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which languages, as the collection names them [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    languages: Vec<String>,
    /// What to compare with each language's default [default: what may help in the language]
    #[arg(long, value_delimiter = ',', value_name = "ANALYSIS")]
    analyses: Vec<Analysis>,
    /// Folds of the cross-validation of k1 and b
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=100))]
    folds: u32,
    /// How often the randomization tests draw
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// From which seed tests and folds are drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let collections = Collection::open_all(&options.data)?;
    let draws = Draws::new(options.seed).rounds(options.rounds);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let wanted = CompareOptions::new(draws)
        .analyses(options.analyses.clone())
        .languages(options.languages.clone())
        .folds(options.folds as usize)
        .threads(threads);
    let report = compare_analyses(&collections, &wanted, |language| {
        ui.note(format_args!("{language} done"));
    });
    if report.languages.is_empty() {
        bail!("no query has a relevant passage in its own language, of the languages asked for");
    }
    if options.json {
        ui.json(&report)?;
    } else {
        ui.line(report.to_string().trim_end())?;
    }
    Ok(())
}

//! `tdense model means`.

use std::collections::BTreeMap;
#[cfg(feature = "train")]
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use dense_indexer::{ReadOptions, Records, Source};
use dense_plugin::{LanguageTag, Role};

use super::models::ModelOptions;
use super::ui::Ui;
use super::vectors::Texts;
use crate::means::LanguageMeans;
#[cfg(feature = "train")]
use crate::trainer::{Corpus, Exclusions, Kind, OnBadLine, load};

/// Which texts are drawn of training data.
#[cfg(feature = "train")]
const SEED: u64 = 1;

/// Take the mean vector of each language from texts, for `--language-means`.
///
/// Passages and queries have means of their own. Take them from texts like those that will be indexed and
/// asked; texts that name no language get the one that they look like.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense model means corpus.jsonl.gz --queries log.jsonl -o mine.means
  tdense index idx corpus.jsonl.gz --language-means mine.means
  tdense model means --training-data DIR --exclude EVAL -o trained.means")]
pub(super) struct Options {
    /// Passages: JSON lines, TSV files, or BEIR folders
    #[arg(required_unless_present_any = ["queries", "training_data"])]
    passages: Vec<PathBuf>,
    /// Queries, in the same formats; without any, queries get the means that the model brings
    #[arg(long, value_name = "FILE")]
    queries: Vec<PathBuf>,
    /// Take texts of both roles from a folder of training data instead, as `tdense train --data` reads it
    #[cfg(feature = "train")]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["passages", "queries"])]
    training_data: Option<PathBuf>,
    /// Take none that is in this folder: evaluation data
    #[cfg(feature = "train")]
    #[arg(long, value_name = "DIR", requires = "training_data")]
    exclude: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Most texts of a language that are read, the first ones, or of training data any
    #[arg(long, value_name = "N", default_value_t = 1000)]
    per_language: usize,
    /// Fewest texts of a language that give it a mean of its own
    #[arg(long, value_name = "N", default_value_t = 50)]
    least: usize,
    /// Take so many principal components of each language as well
    #[arg(long, value_name = "N", default_value_t = 0)]
    components: usize,
    #[command(flatten)]
    model: ModelOptions,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let encoder = options.model.encoder()?;
    let mut means = LanguageMeans::new(encoder.dim()).of(encoder.fingerprint());
    #[cfg(feature = "train")]
    let training = options.training_data.as_deref().map(|folder| corpus(folder, options, ui));
    #[cfg(feature = "train")]
    let training = training.transpose()?;
    for (role, files) in [(Role::Passage, &options.passages), (Role::Query, &options.queries)] {
        #[cfg(feature = "train")]
        let drawn = training.as_ref().map(|corpus| {
            let texts = corpus.sample(role, options.per_language, SEED).into_iter();
            Texts::new(role, texts.map(|(tag, text)| (text.to_owned(), Some(tag.as_str()))))
        });
        #[cfg(not(feature = "train"))]
        let drawn = None;
        let texts = match drawn {
            Some(texts) => texts,
            None if files.is_empty() => {
                means = means.with(role, &options.model.means_of_model(None)?)?;
                continue;
            }
            None => read(role, files, options, ui)?,
        };
        let rows = texts.encode(&*encoder, &options.model, ui)?;
        let mut counts = BTreeMap::<&LanguageTag, usize>::new();
        for language in &texts.languages {
            *counts.entry(language).or_default() += 1;
        }
        counts.retain(|tag, count| **tag != LanguageTag::undetermined() && *count >= options.least);
        if counts.is_empty() {
            let what = name(role);
            bail!("no language has {} {what}; --least N takes fewer", options.least);
        }
        let languages: Vec<Option<LanguageTag>> = texts
            .languages
            .iter()
            .map(|tag| counts.contains_key(tag).then(|| tag.clone()))
            .collect();
        means.fit(role, &languages, &rows.view(), options.components)?;
        let shown: Vec<String> =
            counts.iter().map(|(tag, count)| format!("{tag} {count}")).collect();
        ui.note(format_args!("means of {}: {}", name(role), shown.join(", ")));
    }
    means.write(&options.output)?;
    Ok(ui.line(options.output.display())?)
}

/// Training data without what evaluation folders hold.
#[cfg(feature = "train")]
fn corpus(folder: &Path, options: &Options, ui: Ui) -> anyhow::Result<Corpus> {
    let mut exclusions = Exclusions::new();
    for folder in &options.exclude {
        exclusions.exclude(folder)?;
    }
    exclusions.check_place(folder)?;
    let files: Vec<_> =
        Kind::in_folder(folder).into_iter().map(|(file, kind)| (file, Some(kind))).collect();
    let (corpus, loaded) = load(&files, &exclusions, OnBadLine::Refuse)?;
    let refused: usize = loaded.sources.values().map(|counts| counts.leaked).sum();
    ui.note(format_args!("{} sets of training data, {refused} refused as excluded", corpus.len()));
    Ok(corpus)
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Passage => "passages",
        Role::Query => "queries",
    }
}

fn read(role: Role, files: &[PathBuf], options: &Options, ui: Ui) -> anyhow::Result<Texts> {
    let mut texts: Vec<(String, Option<String>)> = Vec::new();
    let mut bad = 0_usize;
    for file in files {
        for entry in Records::open(Source::at(file)?, &ReadOptions::default())? {
            match entry?.record {
                Ok(record) => {
                    let language = record.language.as_ref().map(ToString::to_string);
                    texts.push((record.full_text(), language));
                }
                Err(line) => {
                    if bad == 0 {
                        ui.warn(&line);
                    }
                    bad += 1;
                }
            }
        }
    }
    if bad > 0 {
        ui.warn(format_args!("{bad} lines skipped"));
    }
    let named = texts.iter().map(|(text, language)| (text.clone(), language.as_deref()));
    Ok(Texts::new(role, named).at_most(options.per_language))
}

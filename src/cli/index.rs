//! `tdense index`.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use dense_indexer::{
    Event, Fields, Indexer, MissingLanguage, OnBad, ReadOptions, Resume, Source, Summary,
};
use dense_plugin::{AnnRecipe, DenseOptions, Element, LanguageTag};

use super::build::{self, Built};
use super::card::CardOptions;
use super::error::Interrupted;
use super::fields;
use super::interrupt::Stop;
use super::models::{Chosen, ModelOptions};
use super::open;
use super::ui::{Progress, Ui};
use crate::engine::Engine;

/// Documents that the processor encodes together.
const BATCH: usize = 256;

/// Index passages.
///
/// Each source is a file of JSON lines, a TSV file (id, text; or id, title, text; or with a header line), a BEIR
/// folder, or `-` for standard input; gzip and Zstandard are recognised. A document with an id that the index
/// holds already replaces it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense index idx corpus.jsonl.gz
  zcat dump.gz | tdense index idx - --id-field url --text-field body --lang sw
  tdense index idx corpus.jsonl --resume     after it was stopped or killed")]
pub(super) struct Options {
    /// Folder of the index; made if it is not there
    index: PathBuf,
    /// What to index
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// Go on after what the last commit holds, with the same sources
    #[arg(long)]
    resume: bool,
    /// Stop at the first bad line instead of skipping and counting it
    #[arg(long)]
    strict: bool,
    /// Language of records that name none, as in `sw` [default: detected]
    #[arg(short, long, value_name = "TAG")]
    lang: Option<LanguageTag>,
    /// Field (or TSV column) of the language [default: lang, language]
    #[arg(long, value_name = "NAME")]
    lang_field: Option<String>,
    /// Field of the id [default: _id, id]
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,
    /// Field of the title [default: title]
    #[arg(long, value_name = "NAME")]
    title_field: Option<String>,
    /// Field of the text [default: text]
    #[arg(long, value_name = "NAME")]
    text_field: Option<String>,
    /// Documents between two commits
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    commit_every: u64,
    /// Print what was done as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    vectors: VectorOptions,
    #[command(flatten)]
    card: CardOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// How vectors are kept and searched.
#[derive(Debug, Args)]
#[command(next_help_heading = "Vectors")]
struct VectorOptions {
    /// How a new index is searched: exact, hnsw(M,EF), ivf(LISTS), factory(DESCRIPTION), or
    /// auto, by the size of a segment; with codes as in hnsw(32,40,int8) [default: auto]
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<AnnRecipe>,
    /// The numbers in which a new index keeps vectors: 4, 2 or 1 bytes each [default: f32]
    #[arg(long, value_name = "f32|f16|int8", value_parser = fields::element)]
    vectors: Option<Element>,
    /// Leave it to `tdense optimize` to build the indexes that segments lack after the run
    #[arg(long)]
    no_optimize: bool,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let sources: Vec<Source> = options.sources.iter().map(Source::at).collect::<Result<_, _>>()?;
    let length = sources.iter().map(Source::bytes).sum::<Option<u64>>();
    let engine = create_or_open(options)?;
    options.card.lend(engine.index(), options.model.card())?;
    let stop = Stop::on_ctrl_c(ui)?;

    let mut progress = ui.progress("indexing", "documents", length);
    let mut told = Told::default();
    let run = indexer(options, &engine).run(sources, |event| {
        told.hear(&event, &mut progress);
        if stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let took = progress.finish();
    let summary = run.with_context(|| match told.committed {
        0 => format!("{}: nothing new was indexed", options.index.display()),
        n => {
            format!("{}: stopped after {n} documents, which are committed", options.index.display())
        }
    })?;
    report(options, ui, &summary, took);
    let built = if summary.stopped || options.vectors.no_optimize {
        Some(Built::default())
    } else {
        optimize(options, &engine, &stop, ui)
    };
    if options.json {
        json(options, ui, &summary, took, built.as_ref())?;
    }
    if summary.counts.documents == 0 && !summary.counts.skipped.is_empty() && !summary.stopped {
        bail!("no line of the sources is a document");
    }
    if summary.stopped {
        let message = format!(
            "interrupted: {} documents are committed; the same command with --resume goes on from there",
            summary.counts.documents
        );
        return Err(Interrupted(message).into());
    }
    if built.is_none() {
        let message = format!(
            "interrupted: {} documents are committed; `tdense optimize {}` builds the indexes that \
             are not built yet",
            summary.counts.documents,
            options.index.display()
        );
        return Err(Interrupted(message).into());
    }
    Ok(())
}

/// Builds the indexes that segments lack; nothing where Ctrl-C was pressed meanwhile. The documents are
/// indexed and found without, so that it is no failure of the run where it fails.
fn optimize(options: &Options, engine: &Engine, stop: &Stop, ui: Ui) -> Option<Built> {
    let index = engine.index();
    let built = build::writer(index).and_then(|writer| build::build(index, &writer, stop, ui));
    match built {
        Ok(built) => {
            if let Some(built) = built.as_ref().filter(|built| !built.segments.is_empty()) {
                let (count, took) = (built.segments.len(), built.took.as_secs_f64());
                let indexes = if count == 1 { "index" } else { "indexes" };
                ui.note(format_args!("{count} {indexes} built; {took:.1} s"));
            }
            built
        }
        Err(error) => {
            ui.warn(format_args!("{error:#}; segments without an index are searched exactly"));
            ui.hint(format_args!("`tdense optimize {}` tries again", options.index.display()));
            Some(Built::default())
        }
    }
}

/// A new index is made only when its encoder is there, so that a failure leaves no empty folder.
fn create_or_open(options: &Options) -> anyhow::Result<Engine> {
    let path = &options.index;
    if is_used(path) {
        let engine = open::searchable(path)?;
        check_kept(options, &engine)?;
        return open::with_its_encoder(engine, path, &options.model);
    }
    let Chosen { encoder, means } = options.model.chosen()?;
    let mut field = DenseOptions::for_encoder(&*encoder);
    if let Some(recipe) = &options.vectors.recipe {
        field = field.ann(recipe.clone());
    }
    if let Some(element) = options.vectors.vectors {
        field = field.element(element);
    }
    let cannot = || format!("{}: the index cannot be made", path.display());
    let was_there = path.exists();
    fs::create_dir_all(path).with_context(cannot)?;
    if let Some(means) = means {
        means.write(&open::means_of(path)).with_context(cannot)?;
    }
    let made = Engine::create_with_options(path, encoder, field);
    if made.is_err() {
        let _ = fs::remove_file(open::means_of(path));
        if !was_there {
            // It goes only if it is empty.
            let _ = fs::remove_dir(path);
        }
    }
    made.with_context(cannot)
}

/// What an index was made with stays: asking for something else is a mistake.
fn check_kept(options: &Options, engine: &Engine) -> anyhow::Result<()> {
    let made = &engine.index().dense_field("dense")?.options;
    let differs = |option: &str, made: &str, given: &str| {
        anyhow::anyhow!(
            "{}: made with {option} {made}, not with {given}; leave {option} out, or index into a \
             new folder",
            options.index.display()
        )
    };
    if let Some(recipe) = options.vectors.recipe.as_ref().filter(|given| *given != made.get_ann()) {
        return Err(differs("--recipe", &made.get_ann().to_string(), &recipe.to_string()));
    }
    if let Some(element) = options.vectors.vectors.filter(|given| *given != made.get_element()) {
        let [made, given] = [made.get_element(), element].map(fields::name_of);
        return Err(differs("--vectors", &made, &given));
    }
    Ok(())
}

/// A folder that holds something is no place for a new index, but for the hidden files that a
/// process leaves which was killed before it wrote `meta.json`.
fn is_used(path: &Path) -> bool {
    // Means alone are what an interrupted command left.
    let is_seen = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name != open::MEANS && !name.to_string_lossy().starts_with('.')
    };
    fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(is_seen))
}

fn indexer(options: &Options, engine: &Engine) -> Indexer {
    let fields = Fields {
        id: options.id_field.clone(),
        text: options.text_field.clone(),
        title: options.title_field.clone(),
        language: options.lang_field.clone(),
    };
    let together = options.model.documents_together(BATCH);
    let batch = options.commit_every.min(together as u64);
    // One thread analyses some thousand documents a second: more than a processor encodes, less than a card.
    let threads = if together > BATCH {
        thread::available_parallelism().map_or(1, NonZeroUsize::get)
    } else {
        1
    };
    let mut indexer = Indexer::builder(engine.index())
        .read(ReadOptions { fields, ..ReadOptions::default() })
        .on_bad(if options.strict { OnBad::Stop } else { OnBad::Skip })
        .resume(if options.resume { Resume::GoOn } else { Resume::FromStart })
        .batch(usize::try_from(batch).unwrap_or(usize::MAX))
        .commit_every(options.commit_every)
        .threads(threads);
    if let Some(language) = &options.lang {
        indexer = indexer.missing_language(MissingLanguage::Is(language.clone()));
    }
    indexer
}

/// What was said while the run goes on.
#[derive(Default)]
struct Told {
    committed: u64,
}

impl Told {
    fn hear(&mut self, event: &Event, progress: &mut Progress) {
        match event {
            Event::Resumed { documents } => {
                self.committed = *documents;
                progress.note(format_args!("going on after {documents} documents"));
            }
            Event::Added { documents, bytes, .. } => progress.set_counted(*bytes, *documents),
            Event::Committed { documents } => {
                self.committed = *documents;
                progress.log(format_args!("committed {documents} documents"));
            }
            _ => {}
        }
    }
}

fn report(options: &Options, ui: Ui, summary: &Summary, took: Duration) {
    let counts = &summary.counts;
    for bad in &summary.first_skipped {
        ui.warn(format_args!("{bad}"));
    }
    let skipped: u64 = counts.skipped.values().sum();
    let here = counts.documents - summary.resumed;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = here as f64 / took.as_secs_f64().max(1e-9);
    ui.note(format_args!(
        "{}: {} documents ({} replaced), {skipped} skipped, {} cut to the model's length; \
         {:.1} s, {rate:.0} documents a second",
        options.index.display(),
        counts.documents,
        counts.replaced,
        counts.truncated,
        took.as_secs_f64(),
    ));
    if skipped > summary.first_skipped.len() as u64 {
        let kinds: Vec<String> =
            counts.skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        ui.warn(format_args!("skipped lines by kind: {}", kinds.join(", ")));
    }
}

fn json(
    options: &Options,
    ui: Ui,
    summary: &Summary,
    took: Duration,
    built: Option<&Built>,
) -> anyhow::Result<()> {
    let facts = serde_json::json!({
        "index": options.index,
        "counts": summary.counts,
        "resumed": summary.resumed,
        "stopped": summary.stopped || built.is_none(),
        "seconds": took.as_secs_f64(),
        "indexes_built": built.map_or(0, |built| built.segments.len()),
        "seconds_building": built.map_or(0.0, |built| built.took.as_secs_f64()),
    });
    Ok(ui.json(&facts)?)
}

//! `tdense search`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use dense_plugin::{AnnStatus, LanguageTag};

use super::card::CardOptions;
use super::models::ModelOptions;
use super::ui::Ui;
use super::{open, queries};
use crate::engine::{Engine, Found, Fusion, Mode, Place, Request, Why};

/// How many characters of a text are shown to a person.
const SHOWN: usize = 160;

/// Search an index.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tdense search idx \"why does the sea come and go twice a day?\"
  tdense search idx \"kwa nini bahari hupanda?\" --mode dense --filter 'lang:sw OR lang:en' -k 5
  tdense search idx \"tides\" --json | jq .id
  tdense search idx \"why do tides come twice a day?\" --explain
  tdense search idx \"why do tides come twice a day?\" --fusion weighted --weight .7
  tdense search idx --queries queries.jsonl --json > found.jsonl
  tdense search idx --queries queries.tsv --mode dense -k 100 --run dense.trec")]
pub(super) struct Options {
    /// Folder of the index
    index: PathBuf,
    /// What to search for
    #[arg(required_unless_present = "queries")]
    query: Option<String>,
    /// Search for all queries of a file, or of stdin for `-`, together: JSON lines with `_id` or `id`,
    /// `text` and perhaps `lang`; a table of id and text parted by tabs; or one query a line
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    queries: Option<PathBuf>,
    /// Write what the queries of a file find as a TREC run, for `tdense eval --run`
    #[arg(long, value_name = "FILE", requires = "queries", conflicts_with_all = ["query", "json", "explain"])]
    pub(super) run: Option<PathBuf>,
    /// By words (bm25), by meaning (dense), or by both
    #[arg(short, long, value_name = "bm25|dense|hybrid", default_value = "hybrid")]
    pub(super) mode: Mode,
    /// How hybrid search fuses: by reciprocal ranks (rrf), or by a weighted sum of scores (weighted)
    #[arg(
        long,
        value_name = "rrf|weighted",
        value_enum,
        default_value = "rrf",
        hide_possible_values = true
    )]
    fusion: Fuse,
    /// How much meaning counts in a weighted sum, above 0 and below 1; words count the rest. `tdense
    /// eval --systems weighted --json` finds what is best in each language [default: 0.5]
    #[arg(long, value_name = "W", value_parser = weight)]
    weight: Option<f32>,
    /// How many documents for a query
    #[arg(short, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Only documents that match, in Tantivy's query language over `id` and `lang`: 'lang:sw'
    #[arg(short, long, value_name = "QUERY")]
    filter: Option<String>,
    /// Language of the queries, as in `sw` [default: as a file of queries says, or else detected]
    #[arg(short, long, value_name = "TAG")]
    lang: Option<LanguageTag>,
    /// Show what made each score: terms, ranks and weights
    #[arg(long)]
    explain: bool,
    /// One JSON object a document
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    effort: EffortOptions,
    #[command(flatten)]
    card: CardOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// How hybrid search fuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fuse {
    Rrf,
    Weighted,
}

fn weight(written: &str) -> Result<f32, String> {
    match written.parse() {
        Ok(weight) if weight > 0.0 && weight < 1.0 => Ok(weight),
        _ => Err("a weight is above 0 and below 1".to_owned()),
    }
}

/// How hard the nearest vectors are looked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Effort")]
struct EffortOptions {
    /// Candidates that a walk over a graph keeps: more find more and take longer [default: as measured
    /// when the graph was built]
    #[arg(long, value_name = "N")]
    ef_search: Option<NonZeroUsize>,
    /// Lists that are read, for a recipe with lists [default: as measured when they were made]
    #[arg(long, value_name = "N")]
    nprobe: Option<NonZeroUsize>,
    /// Candidates found by codes that are scored by the vectors themselves, for each document wanted
    /// [default: 3 for a graph, 4 for lists]
    #[arg(long, value_name = "N")]
    rescore: Option<NonZeroUsize>,
    /// Compare all vectors, whatever index there is: nothing is missed
    #[arg(long, conflicts_with_all = ["ef_search", "nprobe", "rescore"])]
    exact: bool,
}

impl EffortOptions {
    fn of<'a>(&self, mut request: Request<'a>) -> Request<'a> {
        if self.exact {
            return request.exact();
        }
        if let Some(candidates) = self.ef_search {
            request = request.ef_search(candidates.get());
        }
        if let Some(lists) = self.nprobe {
            request = request.nprobe(lists.get());
        }
        if let Some(candidates) = self.rescore {
            request = request.rescore(candidates.get());
        }
        request
    }
}

impl Options {
    /// The request for one query, whose language may be known.
    pub(super) fn request<'a>(&'a self, text: &'a str, language: Option<&str>) -> Request<'a> {
        let mut request = self.effort.of(Request::new(text).k(self.k).mode(self.mode));
        if self.fusion == Fuse::Weighted {
            request = request.fusion(Fusion::Weighted(self.weight.unwrap_or(0.5)));
        }
        if self.explain {
            request = request.explain();
        }
        if let Some(filter) = &self.filter {
            request = request.filter(filter);
        }
        let known = || language.and_then(|tag| tag.parse().ok());
        match self.lang.clone().or_else(known) {
            Some(language) => request.language(language),
            None => request,
        }
    }
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    if options.weight.is_some() && options.fusion != Fuse::Weighted {
        bail!("--weight is that of --fusion weighted");
    }
    // What cannot be read is said before a model is loaded.
    let topics = options.queries.as_deref().map(queries::read).transpose()?;
    let mut engine = open::searchable(&options.index)?;
    if options.mode.is_dense() {
        engine = open::with_its_encoder(engine, &options.index, &options.model)?;
        if !options.effort.exact {
            use_indexes(options, &engine, ui)?;
        }
    }
    if let Some(topics) = topics {
        options.card.lend(engine.index(), options.model.card())?;
        return queries::search(&topics, options, &engine, ui);
    }
    let found =
        engine.search(&options.request(options.query.as_deref().unwrap_or_default(), None))?;
    if found.is_empty() {
        ui.note("nothing found");
    }
    for document in &found {
        if options.json { ui.json(document)? } else { ui.line(shown(document))? }
    }
    Ok(())
}

/// Has the indexes checked, and so searched with. The library warns of each that is damaged, by its
/// file; what to do is said here.
fn use_indexes(options: &Options, engine: &Engine, ui: Ui) -> anyhow::Result<()> {
    engine.warm()?;
    let segments = engine.segments()?;
    let mut fields = segments.iter().flat_map(|segment| &segment.fields);
    if fields.any(|field| matches!(field.ann, AnnStatus::Bypassed(_))) {
        let folder = options.index.display();
        ui.hint(format_args!("`tdense repair {folder}` builds damaged indexes again"));
    }
    Ok(())
}

/// Rank, score, id, language and title on one line, the start of the text on the next.
pub(super) fn shown(found: &Found) -> String {
    let Found { rank, score, id, lang, .. } = found;
    let title = found.title.as_deref().unwrap_or_default();
    let mut text: String = found.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    let why = found.why.as_ref().map(explained).unwrap_or_default();
    format!("{rank:>3}. {score:.4}  {id} [{lang}] {title}\n     {text}{why}")
}

/// A line for each ranking that has the document.
fn explained(why: &Why) -> String {
    let place = |name, Place { rank, score, weight }: Place| {
        format!("\n     {name}: rank {rank}, score {score:.4}, weight {weight}")
    };
    let mut lines = why.words.map(|words| place("bm25", words)).unwrap_or_default();
    let terms = why.terms.iter().map(|part| format!("{} {:.4}", part.term, part.adds));
    let terms = terms.collect::<Vec<_>>().join(" + ");
    if !terms.is_empty() {
        lines = format!("{lines} = {terms}");
    }
    lines + &why.meaning.map(|meaning| place("dense", meaning)).unwrap_or_default()
}

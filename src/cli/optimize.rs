//! `tdense optimize`.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use dense_plugin::{AnnStatus, DenseWriter, SegmentSummary};
use serde::Serialize;
use tantivy::index::SegmentId;

use super::build::{self, Built, counted};
use super::card::{CardOptions, Wanted};
use super::error::Interrupted;
use super::fields::{self, Searched};
use super::interrupt::Stop;
use super::open;
use super::ui::Ui;

/// Build the indexes that segments lack, or whose file is damaged.
///
/// A segment without its index is searched exactly: slower, and nothing is missed. Searching goes on
/// meanwhile, in this and in other processes.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder of the index
    index: PathBuf,
    /// Threads that build [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// First make one segment of all, without its deleted documents
    #[arg(long)]
    merge: bool,
    /// Print what was done as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardOptions,
    /// Whether FAISS for CUDA cards is used: cpu, cuda, cuda:N, or auto, where there is a card
    #[cfg(feature = "onnx")]
    #[arg(long, default_value = "auto")]
    device: crate::encoder::Device,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report<'a> {
    index: &'a std::path::Path,
    merged: usize,
    built: Vec<String>,
    seconds: f64,
    segments: Vec<SegmentFacts>,
}

/// One segment as it is now.
#[derive(Debug, Serialize)]
struct SegmentFacts {
    segment: String,
    documents: u32,
    deleted: u32,
    fields: Vec<FieldFacts>,
}

/// One dense field of it.
#[derive(Debug, Serialize)]
struct FieldFacts {
    name: String,
    rows: u32,
    searched: Searched,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<String>,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let mut index = open::any(&options.index)?;
    if let Some(threads) = options.threads {
        index = index.build_threads(threads.get());
    }
    #[cfg(feature = "onnx")]
    let wanted = Wanted::from(options.device);
    #[cfg(not(feature = "onnx"))]
    let wanted = Wanted::IfThere;
    options.card.lend(&index, wanted)?;
    if !cfg!(feature = "faiss") {
        ui.note(build::NO_FAISS);
    }
    let stop = Stop::on_ctrl_c(ui)?;
    let mut writer = build::writer(&index)?;
    let started = Instant::now();
    let before = build::segments(&index)?;
    let merged = if options.merge { merge(&mut writer, &before, &stop, ui)? } else { 0 };
    let Some(built) = build::build(&index, &writer, &stop, ui)? else {
        return Err(interrupted().into());
    };
    let after = build::segments(&index)?;
    let report = Report {
        index: &options.index,
        merged,
        built: built_of(&built, &before, &after),
        seconds: started.elapsed().as_secs_f64(),
        segments: after.iter().map(facts).collect(),
    };
    told(options, ui, &report)
}

fn interrupted() -> Interrupted {
    Interrupted("interrupted: what is not built yet is built by the same command".to_owned())
}

/// Merges all segments into one, and says how many there were; 0 where nothing was to be merged.
fn merge(
    writer: &mut DenseWriter,
    segments: &[SegmentSummary],
    stop: &Stop,
    ui: Ui,
) -> anyhow::Result<usize> {
    if segments.len() < 2 && segments.iter().all(|segment| segment.deleted == 0) {
        return Ok(0);
    }
    ui.note(format_args!("merging {}…", counted(segments.len(), "segment")));
    let ids: Vec<SegmentId> = segments.iter().map(|segment| segment.id).collect();
    let merging = writer.merge(&ids);
    match stop.unless_asked(move || merging.wait())? {
        Some(merged) => merged?,
        None => return Err(interrupted().into()),
    };
    Ok(ids.len())
}

/// The segments that have an index since then: of a merge, or built after it.
fn built_of(built: &Built, before: &[SegmentSummary], after: &[SegmentSummary]) -> Vec<String> {
    let have = |segments: &[SegmentSummary]| -> BTreeSet<SegmentId> {
        let has = |segment: &&SegmentSummary| {
            segment.fields.iter().any(|field| fields::searched(&field.ann) == Searched::Index)
        };
        segments.iter().filter(has).map(|segment| segment.id).collect()
    };
    let mut now: BTreeSet<SegmentId> = built.segments.iter().copied().collect();
    now.extend(have(after).difference(&have(before)));
    now.iter().map(SegmentId::uuid_string).collect()
}

fn facts(segment: &SegmentSummary) -> SegmentFacts {
    let fields = segment.fields.iter().map(|field| FieldFacts {
        name: field.name.clone(),
        rows: field.rows,
        searched: fields::searched(&field.ann),
        recipe: match &field.ann {
            AnnStatus::Ready(recipe) => Some(recipe.clone()),
            _ => None,
        },
    });
    SegmentFacts {
        segment: segment.id.uuid_string(),
        documents: segment.documents,
        deleted: segment.deleted,
        fields: fields.collect(),
    }
}

fn told(options: &Options, ui: Ui, report: &Report<'_>) -> anyhow::Result<()> {
    if options.json {
        ui.json(report)?;
    } else {
        for segment in &report.segments {
            let SegmentFacts { segment: id, documents, deleted, fields } = segment;
            ui.line(format_args!("segment {id}: {documents} documents, {deleted} deleted"))?;
            for FieldFacts { name, rows, searched, recipe } in fields {
                let way = match (searched, recipe) {
                    (Searched::Index, Some(recipe)) => format!("by index, {recipe}"),
                    (Searched::Missing | Searched::Damaged, _) => "exactly, no index".to_owned(),
                    _ => "exactly".to_owned(),
                };
                ui.line(format_args!("  field `{name}`: {rows} vectors, searched {way}"))?;
            }
        }
    }
    let merged = match report.merged {
        0 => String::new(),
        merged => format!("{} merged, ", counted(merged, "segment")),
    };
    let built = match report.built.len() {
        1 => "1 index built".to_owned(),
        built => format!("{built} indexes built"),
    };
    ui.note(format_args!("{}: {merged}{built}; {:.1} s", options.index.display(), report.seconds));
    Ok(())
}

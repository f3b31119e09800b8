//! `tdense inspect`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use dense_plugin::{DenseIndex, DenseSearcher};
use serde::Serialize;

use super::fields::{self, Ways};
use super::open;
use super::ui::Ui;

/// Show what an index holds: any index with dense fields, whatever its schema.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder of the index
    index: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What an index holds.
#[derive(Debug, Serialize)]
struct Facts {
    documents: u64,
    deleted: u64,
    segments: usize,
    bytes: u64,
    dense: Vec<FieldFacts>,
}

/// One dense field, over all segments.
#[derive(Debug, Serialize)]
struct FieldFacts {
    name: String,
    dim: usize,
    metric: String,
    encoder: Option<String>,
    source: Option<String>,
    recipe: String,
    numbers: String,
    segments: Ways,
    rows: u64,
    languages: BTreeMap<String, u64>,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let index = open::any(&options.index)?;
    let facts = facts(&index)?;
    if options.json {
        return Ok(ui.json(&facts)?);
    }
    ui.line(format_args!("{}", options.index.display()))?;
    ui.line(format_args!(
        "  {} documents, {} deleted, {} segments, {:.1} MB",
        facts.documents,
        facts.deleted,
        facts.segments,
        megabytes(facts.bytes)
    ))?;
    for field in &facts.dense {
        let FieldFacts { name, dim, metric, rows, recipe, numbers, segments, .. } = field;
        let deleted = if facts.deleted > 0 { ", those of deleted documents included" } else { "" };
        ui.line(format_args!(
            "field `{name}`: {rows} vectors of dim {dim} in {numbers}, {metric}{deleted}"
        ))?;
        ui.line(format_args!("  recipe     {recipe}"))?;
        ui.line(format_args!("  searched   {}", segments.words()))?;
        if let Some(encoder) = &field.encoder {
            ui.line(format_args!("  encoder    {encoder}"))?;
        }
        if let Some(source) = &field.source {
            ui.line(format_args!("  source     `{source}`"))?;
        }
        let languages: Vec<String> =
            field.languages.iter().map(|(tag, rows)| format!("{tag} {rows}")).collect();
        if !languages.is_empty() {
            ui.line(format_args!("  languages  {}", languages.join(", ")))?;
        }
    }
    Ok(())
}

fn facts(index: &DenseIndex) -> anyhow::Result<Facts> {
    let reader = index.manual_reader()?;
    // Or else nobody knows which indexes are damaged.
    reader.warm()?;
    let searcher = reader.searcher();
    let segments = searcher.dense_segments()?;
    let dense = index.dense_fields().iter().map(|field| {
        let of_field = segments.iter().flat_map(|s| &s.fields).filter(|f| f.name == field.name);
        let mut languages = BTreeMap::<String, u64>::new();
        let mut rows = 0;
        let mut ways = Ways::default();
        for segment in of_field {
            ways.add(&segment.ann);
            rows += u64::from(segment.rows);
            for (tag, count) in &segment.languages {
                *languages.entry(tag.to_string()).or_default() += u64::from(*count);
            }
        }
        let options = &field.options;
        FieldFacts {
            name: field.name.clone(),
            dim: options.dim().get(),
            metric: format!("{:?}", options.get_metric()).to_lowercase(),
            encoder: options.fingerprint().map(ToString::to_string),
            source: options.get_source().map(str::to_owned),
            recipe: options.get_ann().to_string(),
            numbers: fields::name_of(options.get_element()),
            segments: ways,
            rows,
            languages,
        }
    });
    Ok(Facts {
        documents: searcher.num_docs(),
        deleted: segments.iter().map(|segment| u64::from(segment.deleted)).sum(),
        segments: segments.len(),
        bytes: searcher.space_usage()?.total().get_bytes(),
        dense: dense.collect(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

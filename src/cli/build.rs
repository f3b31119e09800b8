//! Builds the indexes that segments lack, for the commands that do.

use std::time::{Duration, Instant};

use anyhow::Context;
use dense_plugin::{DenseIndex, DenseSearcher, DenseWriter, Optimized, SegmentSummary};
use tantivy::index::SegmentId;

use super::fields;
use super::interrupt::Stop;
use super::ui::Ui;

/// What no build without FAISS does.
pub(super) const NO_FAISS: &str =
    "this build has no FAISS, so it builds no indexes: every search compares all vectors";

/// Memory of a writer that adds nothing: the least that Tantivy takes.
const MEMORY: usize = 15_000_000;

/// A writer that keeps others away. It adds nothing.
pub(super) fn writer(index: &DenseIndex) -> anyhow::Result<DenseWriter> {
    Ok(index.writer_with_num_threads(1, MEMORY)?)
}

/// What the segments hold and how they are searched, all their indexes checked.
pub(super) fn segments(index: &DenseIndex) -> anyhow::Result<Vec<SegmentSummary>> {
    let reader = index.manual_reader()?;
    reader.warm()?;
    Ok(reader.searcher().dense_segments()?)
}

/// The segments that got an index.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) segments: Vec<SegmentId>,
    pub(super) took: Duration,
}

/// Builds what is lacking and waits for it; nothing where Ctrl-C was pressed meanwhile.
pub(super) fn build(
    index: &DenseIndex,
    writer: &DenseWriter,
    stop: &Stop,
    ui: Ui,
) -> anyhow::Result<Option<Built>> {
    let lacking = segments(index)?.iter().filter(|segment| fields::lacks_index(segment)).count();
    if lacking == 0 {
        return Ok(Some(Built::default()));
    }
    ui.note(format_args!("building indexes of {}…", counted(lacking, "segment")));
    let started = Instant::now();
    let optimize = writer.optimize()?;
    let Some(done) = stop.unless_asked(move || optimize.wait())? else { return Ok(None) };
    let Optimized { built: segments, .. } = done.context("not all indexes were built")?;
    Ok(Some(Built { segments, took: started.elapsed() }))
}

/// So many of these: `1 segment`, `2 segments`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

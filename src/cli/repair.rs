//! `tdense repair`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use dense_plugin::{DenseIndex, DenseWriter};
use tantivy::directory::Directory;
use tantivy::directory::error::DeleteError;

use super::build::{self, counted};
use super::check::{Kind, Problem, check};
use super::error::{Damaged, Interrupted};
use super::interrupt::Stop;
use super::open;
use super::ui::Ui;
use super::verify;
use super::warnings;

/// Make again what can be made again: damaged or missing indexes.
///
/// Also deletes what a killed process left behind. Prints one line for each file that was made, deleted
/// or stays damaged: vectors and Tantivy's own files have no other copy.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 the index is sound now, 1 something stays damaged.")]
pub(super) struct Options {
    /// Folder of the index
    index: PathBuf,
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let path = &options.index;
    let index = open::any(path)?;
    let stop = Stop::on_ctrl_c(ui)?;
    let writer = build::writer(&index)?;
    let checked = check(&index)?;
    let all = checked.problems;
    let can_build = cfg!(feature = "faiss") && can_open(&index, &all);
    let is_ours = |problem: &Problem| can_build && problem.kind == Kind::Index;
    let (indexes, left): (Vec<Problem>, Vec<Problem>) = all.into_iter().partition(is_ours);

    for file in collect(&index, &writer)? {
        ui.line(format_args!("{}: deleted, no segment's", path.join(file).display()))?;
    }
    for problem in &left {
        ui.line(format_args!("{}; not repaired", verify::line(path, problem)))?;
    }
    if can_build {
        rebuild(&index, &writer, path, &indexes, &stop, ui)?;
    } else if !cfg!(feature = "faiss") {
        ui.note(build::NO_FAISS);
    }
    if left.is_empty() {
        ui.note(format_args!("{}: sound", path.display()));
        return Ok(());
    }
    let what = format!("{}: {} not repaired", path.display(), counted(left.len(), "file"));
    Err(Damaged { what, hints: hints(path, &left) }.into())
}

/// Whether the segments open, whatever is damaged in them. Files of Tantivy's that are damaged are not
/// tried: it takes them in good faith.
fn can_open(index: &DenseIndex, damaged: &[Problem]) -> bool {
    damaged.iter().all(|problem| problem.kind != Kind::Tantivy)
        && warnings::muted(|| index.manual_reader().is_ok())
}

/// As [`verify::hints`]. An index that this build could make again waits for the other files.
fn hints(path: &Path, left: &[Problem]) -> Vec<String> {
    let is_index = |problem: &Problem| problem.kind == Kind::Index;
    if cfg!(feature = "faiss") && left.iter().any(is_index) {
        let others: Vec<Problem> = left.iter().filter(|p| !is_index(p)).cloned().collect();
        let mut hints = verify::hints(path, &others);
        hints
            .push("`tdense repair` builds indexes again when the other files are sound".to_owned());
        return hints;
    }
    verify::hints(path, left)
}

/// Deletes the files that no segment has, and gives those that were there.
fn collect(index: &DenseIndex, writer: &DenseWriter) -> anyhow::Result<Vec<PathBuf>> {
    let directory = index.tantivy().directory();
    let is_there = |file: &PathBuf| directory.exists(file).unwrap_or(false);
    let living = index.tantivy().load_metas()?.list_segment_files();
    let leftovers = directory.list_managed_files();
    let mut leftovers: Vec<PathBuf> =
        leftovers.into_iter().filter(|file| !living.contains(file) && is_there(file)).collect();
    writer.garbage_collect_files().wait().context("leftover files could not be deleted")?;
    leftovers.retain(|file| !is_there(file));
    leftovers.sort();
    Ok(leftovers)
}

/// Deletes damaged indexes, and builds them and those that are missing.
fn rebuild(
    index: &DenseIndex,
    writer: &DenseWriter,
    path: &Path,
    damaged: &[Problem],
    stop: &Stop,
    ui: Ui,
) -> anyhow::Result<()> {
    for Problem { file, .. } in damaged {
        // The library would keep one whose damage lies where it never reads.
        match index.tantivy().directory().delete(file) {
            Ok(()) | Err(DeleteError::FileDoesNotExist(_)) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{}", path.join(file).display()));
            }
        }
    }
    let Some(built) = build::build(index, writer, stop, ui)? else {
        let what = "interrupted: what is not built yet is built by the same command";
        return Err(Interrupted(what.to_owned()).into());
    };
    for id in &built.segments {
        let id = id.uuid_string();
        let file = path.join(&id).with_extension("ann");
        ui.line(format_args!("{}: segment {id}: built again", file.display()))?;
    }
    Ok(())
}

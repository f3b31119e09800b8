//! `tdense verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::build::counted;
use super::check::{Checked, Kind, Problem, check};
use super::error::Damaged;
use super::open;
use super::ui::Ui;

/// Check an index: read all of its files and compare them with their checksums.
///
/// Prints one line for each damaged file, and goes on after the first. A segment without an index is
/// not damaged: it is searched exactly.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 the index is sound, 1 something is damaged.")]
pub(super) struct Options {
    /// Folder of the index
    index: PathBuf,
    /// Print what was found as a JSON object
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report<'a> {
    index: &'a Path,
    sound: bool,
    segments: usize,
    files: usize,
    lacking: usize,
    problems: &'a [Problem],
}

pub(super) fn run(options: &Options, ui: Ui) -> anyhow::Result<()> {
    let path = &options.index;
    let checked = check(&open::any(path)?)?;
    let Checked { problems, segments, files, lacking } = &checked;
    if options.json {
        let (segments, files, lacking) = (*segments, *files, *lacking);
        let sound = problems.is_empty();
        ui.json(&Report { index: path, sound, segments, files, lacking, problems })?;
    } else {
        for problem in problems {
            ui.line(line(path, problem))?;
        }
    }
    if *lacking > 0 {
        ui.note(format_args!(
            "{} without an index, searched exactly; `tdense optimize {}` builds what is lacking",
            counted(*lacking, "segment"),
            path.display()
        ));
    }
    let all = format!("{} of {}", counted(*files, "file"), counted(*segments, "segment"));
    if problems.is_empty() {
        ui.note(format_args!("{}: {all} read, all sound", path.display()));
        return Ok(());
    }
    let what = format!("{}: {} of {all} damaged", path.display(), problems.len());
    Err(Damaged { what, hints: hints(path, problems) }.into())
}

/// One problem for a person, with segment and file.
pub(super) fn line(index: &Path, problem: &Problem) -> String {
    let Problem { segment, file, what, .. } = problem;
    format!("{}: segment {segment}: {what}", index.join(file).display())
}

/// What to type next.
pub(super) fn hints(index: &Path, problems: &[Problem]) -> Vec<String> {
    let mut hints = Vec::new();
    if problems.iter().any(|problem| problem.kind == Kind::Index) {
        let of = if cfg!(feature = "faiss") { "" } else { " of a build with FAISS" };
        let index = index.display();
        hints.push(format!("`tdense repair {index}`{of} builds damaged indexes again"));
    }
    if problems.iter().any(|problem| problem.kind != Kind::Index) {
        hints.push(
            "vectors and Tantivy's files cannot be made again from the rest: restore them from a \
             copy, or index the corpus again into a new folder"
                .to_owned(),
        );
    }
    hints
}

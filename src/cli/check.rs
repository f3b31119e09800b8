//! Reads an index in full and says what is damaged, for `verify` and `repair`.
//!
//! Invariant: every file of every segment is read, whatever the others are like. What Tantivy opens
//! only in good faith is opened only after its checksums were found right.

use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::path::{Path, PathBuf};

use dense_plugin::{DenseIndex, DenseSearcher, SegmentSummary};
use serde::Serialize;
use tantivy::directory::Directory;
use tantivy::index::{IndexMeta, SegmentMeta};

use super::fields::{self, Searched};
use super::warnings;

/// How often is looked again, where a writer has changed the segments meanwhile.
const ATTEMPTS: usize = 4;

/// A file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) segment: String,
    pub(super) file: PathBuf,
    pub(super) kind: Kind,
    pub(super) what: String,
}

/// Of what a file is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// What finds vectors faster: can be built again.
    Index,
    /// The vectors, of which there is no other copy.
    Vectors,
    /// Tantivy's own.
    Tantivy,
}

impl Kind {
    fn of(file: &Path) -> Self {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("ann") => Self::Index,
            Some("vec") => Self::Vectors,
            _ => Self::Tantivy,
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) problems: Vec<Problem>,
    pub(super) segments: usize,
    pub(super) files: usize,
    /// How many segments have an index to get, and not a damaged one.
    pub(super) lacking: usize,
}

/// Reads everything.
pub(super) fn check(index: &DenseIndex) -> anyhow::Result<Checked> {
    let mut attempt = 1;
    loop {
        let before = index.tantivy().load_metas()?;
        // The same is told by who asked, with what to do.
        let checked = warnings::muted(|| check_once(index, &before));
        let now = index.tantivy().searchable_segment_ids()?;
        let unchanged = before.segments.iter().map(SegmentMeta::id).eq(now);
        if checked.problems.is_empty() || unchanged || attempt == ATTEMPTS {
            return Ok(checked);
        }
        attempt += 1;
    }
}

fn check_once(index: &DenseIndex, metas: &IndexMeta) -> Checked {
    let mut checked = Checked { segments: metas.segments.len(), ..Checked::default() };
    check_bytes(index, metas, &mut checked);
    if checked.problems.iter().all(|problem| problem.kind != Kind::Tantivy) {
        check_meaning(index, &mut checked);
    }
    checked
}

/// Every file against the checksum that Tantivy keeps of it.
fn check_bytes(index: &DenseIndex, metas: &IndexMeta, checked: &mut Checked) {
    let directory = index.tantivy().directory();
    let managed = directory.list_managed_files();
    let files: BTreeSet<PathBuf> = metas.list_segment_files().into_iter().collect();
    for file in files {
        if !directory.exists(&file).unwrap_or(true) {
            if is_missed(&file, &managed) {
                checked.add(file, "it is not there".to_owned());
            }
            continue;
        }
        checked.files += 1;
        match directory.validate_checksum(&file) {
            Ok(true) => {}
            Ok(false) => checked.add(file, "its bytes are not those that were written".to_owned()),
            Err(error) => checked.add(file, causes(&error)),
        }
    }
}

/// Whether a file that is not there should be. An index need not be: see [`Checked::lacking`].
fn is_missed(file: &Path, managed: &HashSet<PathBuf>) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("vec") => true,
        Some("ann" | "temp") => false,
        _ => managed.contains(file),
    }
}

/// Whether the files go with each other and with the schema.
fn check_meaning(index: &DenseIndex, checked: &mut Checked) {
    let searcher = match index.manual_reader() {
        Ok(reader) => reader.searcher(),
        Err(error) => return checked.add_unless_known(&causes(&error)),
    };
    if let Err(error) = searcher.verify_vectors() {
        checked.add_unless_known(&causes(&error));
    }
    // A build without FAISS can use none of them, and cannot tell.
    if cfg!(feature = "faiss") {
        match searcher.verify_indexes() {
            Ok(damaged) => damaged.iter().for_each(|why| checked.add_unless_known(why)),
            Err(error) => checked.add_unless_known(&causes(&error)),
        }
    }
    match searcher.dense_segments() {
        Ok(segments) => checked.lacking = segments.iter().filter(|s| is_lacking(s)).count(),
        Err(error) => checked.add_unless_known(&causes(&error)),
    }
}

fn is_lacking(segment: &SegmentSummary) -> bool {
    segment.fields.iter().any(|field| fields::searched(&field.ann) == Searched::Missing)
}

impl Checked {
    fn add(&mut self, file: PathBuf, what: String) {
        let name = file.to_string_lossy();
        let segment = name.split('.').next().unwrap_or_default().to_owned();
        self.problems.push(Problem { segment, kind: Kind::of(&file), file, what });
    }

    /// Adds what the library says of a file, which its text begins with or holds. What was found of
    /// a file before is worth more.
    fn add_unless_known(&mut self, text: &str) {
        if self.problems.iter().any(|problem| text.contains(&*problem.file.to_string_lossy())) {
            return;
        }
        let is_file = |word: &&str| Kind::of(Path::new(word)) != Kind::Tantivy;
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '.');
        let file = words.find(is_file).unwrap_or("meta.json");
        let what = text.strip_prefix(file).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text);
        self.add(file.into(), what.to_owned());
    }
}

/// An error and what it comes from, each said once.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_of_a_file_is_added_once_and_under_its_name() {
        let mut checked = Checked::default();
        checked.add_unless_known("0a1b.ann: damaged section");
        checked.add_unless_known("0a1b.ann: built over other vectors");
        checked.add_unless_known("Data corruption: `\"0a1b.vec\"`: damaged rows");
        checked.add_unless_known("nothing can be opened");
        let found: Vec<_> = checked
            .problems
            .iter()
            .map(|p| (p.segment.as_str(), p.file.to_str().unwrap(), p.kind, p.what.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("0a1b", "0a1b.ann", Kind::Index, "damaged section"),
                (
                    "0a1b",
                    "0a1b.vec",
                    Kind::Vectors,
                    "Data corruption: `\"0a1b.vec\"`: damaged rows"
                ),
                ("meta", "meta.json", Kind::Tantivy, "nothing can be opened"),
            ]
        );
    }
}

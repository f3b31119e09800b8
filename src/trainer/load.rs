//! From files to a [`Corpus`]: what may not be trained on is left out, and counted by source.
//!
//! Invariant: every set that was read is in the corpus or in one of the counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::corpus::Corpus;
use super::leakage::{Exclusions, LeakageError};
use super::lines::{OnBadLine, ReadError};
use super::sources::{Found, Kind};
use super::text::TextKey;

/// What became of a source's sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SourceCounts {
    /// Sets that are trained on.
    pub kept: usize,
    /// Left out because a text of theirs is excluded.
    pub leaked: usize,
    /// Left out because their licence forbids derivatives or commercial use, by licence.
    pub forbidden: BTreeMap<String, usize>,
    /// Kept, though nothing says under which licence they are.
    pub without_licence: usize,
    /// Left out because they make no pair: one text alone, or both sides the same.
    pub alone: usize,
}

/// What became of all that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loaded {
    /// By the source's name.
    pub sources: BTreeMap<String, SourceCounts>,
    /// Lines that were no rows, by file.
    pub bad_lines: BTreeMap<PathBuf, usize>,
}

/// Why training data could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file is evaluation data.
    #[error(transparent)]
    Leakage(#[from] LeakageError),
    /// The first line of a file tells no kind.
    #[error("{}: its first line is of no known kind of training data", file.display())]
    Kind { file: PathBuf },
    /// A folder has no file that we know.
    #[error("{}: no known training data is in this folder; name files with --pairs", folder.display())]
    Folder { folder: PathBuf },
    /// There is nothing to train on.
    #[error("no set of texts is left to train on")]
    Nothing,
}

/// Loads files in the order given. A file without a kind is looked at for it.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    files: &[(PathBuf, Option<Kind>)],
    exclusions: &Exclusions,
    on_bad: OnBadLine,
) -> Result<(Corpus, Loaded), LoadError> {
    let mut corpus = Corpus::new();
    let mut loaded = Loaded::default();
    for (file, kind) in files {
        exclusions.check_place(file)?;
        let kind = match kind {
            Some(kind) => *kind,
            None => Kind::of(file)?.ok_or_else(|| LoadError::Kind { file: file.clone() })?,
        };
        let mut take = |found: Found| take(&mut corpus, &mut loaded.sources, exclusions, &found);
        let bad = kind.read(file, on_bad, &mut take)?;
        if bad > 0 {
            *loaded.bad_lines.entry(file.clone()).or_default() += bad;
        }
    }
    if corpus.is_empty() { Err(LoadError::Nothing) } else { Ok((corpus, loaded)) }
}

fn take(
    corpus: &mut Corpus,
    sources: &mut BTreeMap<String, SourceCounts>,
    exclusions: &Exclusions,
    found: &Found,
) {
    if !sources.contains_key(&found.source) {
        sources.insert(found.source.clone(), SourceCounts::default());
    }
    let counts = sources.get_mut(&found.source).expect("inserted above");
    if let Some(licence) = found.licence.as_deref().filter(|licence| forbids(licence)) {
        *counts.forbidden.entry(licence.to_owned()).or_default() += 1;
        return;
    }
    let set = &found.set;
    let texts = set.queries.iter().chain(&*set.passages).chain(&set.negatives);
    if !exclusions.is_empty()
        && texts.into_iter().any(|wording| exclusions.contains(TextKey::of(&wording.text)))
    {
        counts.leaked += 1;
        return;
    }
    let source = corpus.source(&found.source, found.licence.as_deref());
    if corpus.add(source, set) {
        counts.kept += 1;
        counts.without_licence += usize::from(found.licence.is_none());
    } else {
        counts.alone += 1;
    }
}

/// Whether a licence forbids derivatives or commercial use, as far as its name tells: Creative Commons' `NC` and `ND`,
/// and words that say so.
///
/// ```
/// # use tantivy_dense::trainer::forbids;
/// assert!(forbids("CC-BY-NC-4.0") && forbids("cc by-nd 3.0") && forbids("research only"));
/// assert!(!forbids("CC-BY-SA-3.0") && !forbids("MIT") && !forbids("MPL-2.0"));
/// ```
pub fn forbids(licence: &str) -> bool {
    let licence = licence.to_ascii_lowercase();
    let mut words = licence.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        ["nc", "nd", "noncommercial", "noderivatives", "noderivs", "research", "proprietary"]
            .contains(&word)
    }) || licence.contains("non-commercial")
        || licence.contains("no derivatives")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_row_is_kept_or_counted_by_why_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.jsonl");
        let row = |query: &str, positive: &str, more: &str| {
            format!(r#"{{"query": "{query}", "positive": "{positive}", "lang": "en"{more}}}"#)
        };
        let rows = [
            row("one", "passage", r#", "licence": "MIT""#),
            row("two", "passage", ""),
            row("three", "passage", r#", "licence": "CC-BY-NC-SA-4.0""#),
            row("Secret ", "passage", ""),
            row("four", "passage", r#", "negatives": ["SECRET"]"#),
            row("same", "same", ""),
            "no row".to_owned(),
        ];
        fs::write(&file, rows.join("\n")).unwrap();
        let mut exclusions = Exclusions::new();
        exclusions.insert("secret");
        let files = [(file.clone(), None)];
        let (corpus, loaded) = load(&files, &exclusions, OnBadLine::Skip).unwrap();
        let counts = &loaded.sources["mine"];
        assert_eq!(
            (counts.kept, counts.leaked, counts.alone, counts.without_licence),
            (2, 2, 1, 1)
        );
        assert_eq!(counts.forbidden, BTreeMap::from([("CC-BY-NC-SA-4.0".to_owned(), 1)]));
        assert_eq!(loaded.bad_lines, BTreeMap::from([(file, 1)]));
        assert_eq!(corpus.len(), 2);
        assert!(load(&files, &exclusions, OnBadLine::Refuse).is_err());
    }
}

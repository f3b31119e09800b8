//! Training data in the shapes in which it is found: pairs, and corpora aligned across languages.
//!
//! Invariant: a translation that only repeats the English text is no text of its language, and is left out.

mod ddtp;
mod gnome;
mod help;
mod page;
mod strings;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use dense_plugin::LanguageTag;

use super::corpus::{NewSet, Wording, written_language};
use super::lines::{OnBadLine, ReadError, open};
use super::pairs::Pair;

/// A set, and where it comes from.
#[derive(Clone, Debug)]
pub struct Found {
    /// The source's name.
    pub source: String,
    /// SPDX expression of its licence, where known.
    pub licence: Option<String>,
    /// The set.
    pub set: NewSet,
}

/// How a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pairs as [`Pair`] describes them.
    Pairs,
    /// `page`, `id`, `text.<lang>`: paragraphs of `LibreOffice`'s help, a page's together and in order; those whose id
    /// starts with `hd_` are headings. `index-queries.jsonl.gz` beside the file, if there, names pages by keywords
    /// (`lang`, `page`, `anchor`, `text`).
    Help,
    /// `page`, `i`, `text.<lang>`: the blocks of GNOME's user documentation.
    Gnome,
    /// `id`, `text.<lang>.title`, `text.<lang>.body`: Debian's package descriptions.
    Ddtp,
    /// `<lang>`: a text in several languages.
    Strings,
}

/// Each kind's name, the file that a data folder keeps it in, and the fields that tell it.
const KINDS: [(Kind, &str, &str, &[&str]); 5] = [
    (Kind::Pairs, "pairs", "qa-pairs.jsonl.gz", &["query"]),
    (Kind::Help, "help", "libreoffice-help/aligned-paragraphs.jsonl.gz", &["page", "id", "text"]),
    (Kind::Gnome, "gnome", "gnome-user-docs/aligned.jsonl.gz", &["page", "i", "text"]),
    (Kind::Ddtp, "ddtp", "ddtp/ddtp-bookworm.jsonl.gz", &["id", "text"]),
    (Kind::Strings, "strings", "libreoffice-ui/strings.jsonl.gz", &["en"]),
];

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let kind = KINDS.iter().find(|(_, name, ..)| *name == written);
        kind.map(|(kind, ..)| *kind).ok_or_else(|| KindError { given: written.to_owned() })
    }
}

/// A word that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no kind of training data: pairs, help, gnome, ddtp or strings")]
pub struct KindError {
    given: String,
}

impl Kind {
    /// The kind of a file by the fields of its first line; none where they tell none.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read.
    pub fn of(file: &Path) -> Result<Option<Self>, ReadError> {
        /// More than any first line has.
        const MOST: u64 = 1 << 24;
        let fail = |source| ReadError::Io { file: file.to_owned(), source };
        let mut line = Vec::new();
        let mut input = std::io::BufReader::new(open(file).map_err(fail)?.take(MOST));
        std::io::BufRead::read_until(&mut input, b'\n', &mut line).map_err(fail)?;
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line);
        let row: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(line).unwrap_or_default();
        let has = |fields: &&[&str]| fields.iter().all(|field| row.contains_key(*field));
        Ok(KINDS.iter().find(|(.., fields)| has(fields)).map(|(kind, ..)| *kind))
    }

    /// The files of a data folder that are known, in a fixed order; empty where none is there.
    pub fn in_folder(folder: &Path) -> Vec<(PathBuf, Self)> {
        let files = KINDS.iter().map(|(kind, _, file, _)| (folder.join(file), *kind));
        files.filter(|(file, _)| file.is_file()).collect()
    }

    /// Reads a file and hands over its sets; gives how many lines were left out.
    ///
    /// # Errors
    /// [`ReadError`]: the file cannot be read, or holds a line that is no row and `on_bad` refuses it.
    pub fn read(
        self,
        file: &Path,
        on_bad: OnBadLine,
        take: &mut dyn FnMut(Found),
    ) -> Result<usize, ReadError> {
        match self {
            Self::Pairs => Pair::read(file, on_bad, |pair| take(pair.into_found())),
            Self::Help => help::read(file, on_bad, take),
            Self::Gnome => gnome::read(file, on_bad, take),
            Self::Ddtp => ddtp::read(file, on_bad, take),
            Self::Strings => strings::read(file, on_bad, take),
        }
    }
}

/// Language tags as files write them, each parsed once.
#[derive(Debug, Default)]
pub(super) struct Tags(HashMap<String, Option<LanguageTag>>);

impl Tags {
    pub(super) fn parse(&mut self, written: &str) -> Option<LanguageTag> {
        if let Some(known) = self.0.get(written) {
            return known.clone();
        }
        let tag: Option<LanguageTag> = written.parse().ok();
        self.0.insert(written.to_owned(), tag.clone());
        tag
    }
}

/// Texts by the language as a file writes it.
type Texts = BTreeMap<String, String>;

/// The texts as wordings: one a language (`pt` before `pt-BR`), none that is blank or repeats the English.
fn wordings(texts: &Texts, tags: &mut Tags) -> Vec<Wording> {
    let english = texts.get("en").map(|text| text.trim());
    let mut seen: Vec<LanguageTag> = Vec::with_capacity(texts.len());
    let mut all = Vec::with_capacity(texts.len());
    for (written, text) in texts {
        let text = text.trim();
        if text.is_empty() || (written != "en" && Some(text) == english) {
            continue;
        }
        let Some(language) = tags.parse(written).map(|tag| written_language(&tag)) else {
            continue;
        };
        if !seen.contains(&language) {
            seen.push(language.clone());
            all.push(Wording { language, text: text.to_owned() });
        }
    }
    all
}

/// A set of a text and its translations.
fn translations(wordings: Vec<Wording>, document: String) -> NewSet {
    let both: Arc<[Wording]> = wordings.into();
    NewSet {
        queries: Arc::clone(&both),
        passages: both,
        negatives: Vec::new(),
        question: None,
        passage: None,
        document,
    }
}

/// Whether the English text says enough to be told from others.
fn is_long(texts: &Texts, least: usize) -> bool {
    texts.get("en").is_some_and(|text| text.chars().count() >= least)
}

#[cfg(test)]
mod tests;

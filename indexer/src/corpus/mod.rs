//! Documents out of files: JSON lines, tab-separated lines, BEIR folders, standard input.
//!
//! Invariant: any bytes at all become records and bad lines, each with the place it came from, or
//! end in a [`SourceError`]; nothing panics, and one line at a time is in memory.

mod lines;
mod parse;
mod source;

use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dense_plugin::LanguageTag;
use serde::{Deserialize, Serialize};

use lines::{Line, Lines};
use parse::Parser;
pub(crate) use parse::shorten;
pub use source::{Format, Source};

/// One document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The corpus's own name for it.
    pub id: String,
    /// Its language, where the corpus says.
    pub language: Option<LanguageTag>,
    /// Its title; never empty.
    pub title: Option<String>,
    /// Its text; empty only beside a title.
    pub text: String,
}

impl Record {
    /// What is indexed and encoded: the title, a space, and the text, as BEIR has it.
    pub fn full_text(&self) -> String {
        match &self.title {
            Some(title) if self.text.is_empty() => title.clone(),
            Some(title) => format!("{title} {}", self.text),
            None => self.text.clone(),
        }
    }
}

/// Where something was read. It prints as `corpus.jsonl:12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The source's name.
    pub source: Arc<str>,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// What is wrong with a line, as a name to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BadKind {
    /// Not UTF-8.
    InvalidUtf8,
    /// Neither a JSON object nor the columns that are wanted, or a value of the wrong type.
    Malformed,
    /// A field that must be there is not, or the id is empty.
    MissingField,
    /// Neither text nor title.
    EmptyText,
    /// A language that is no BCP 47 tag.
    UnknownLanguage,
    /// Longer than the limit.
    LineTooLong,
    /// Its id was read before in the same run.
    DuplicateId,
}

/// In the order of the list above.
impl Ord for BadKind {
    fn cmp(&self, other: &Self) -> Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

impl PartialOrd for BadKind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for BadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::Malformed => "malformed line",
            Self::MissingField => "missing field",
            Self::EmptyText => "empty text",
            Self::UnknownLanguage => "unknown language",
            Self::LineTooLong => "line too long",
            Self::DuplicateId => "duplicate id",
        })
    }
}

/// A line that is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {kind}: {detail}")]
pub struct BadLine {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub kind: BadKind,
    /// The same, in words.
    pub detail: String,
}

/// Why a source could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum SourceError {
    /// Missing, or not to be read.
    #[error("{source_name}: cannot be opened")]
    Open { source_name: Arc<str>, source: io::Error },
    /// A folder in another layout.
    #[error(
        "{}: a folder without corpus.jsonl (or corpus.jsonl.gz, corpus.jsonl.zst); name a file, or a \
         folder in BEIR layout",
        folder.display()
    )]
    Folder { folder: PathBuf },
    /// Text, but not UTF-8.
    #[error("{source_name}: UTF-16, not UTF-8; convert it first, as in `iconv -f UTF-16 -t UTF-8`")]
    Utf16 { source_name: Arc<str> },
    /// The disk failed, or a compressed file is cut short or damaged.
    #[error("{after}: what follows this line cannot be read; what came before has been read")]
    Read { after: Place, source: io::Error },
}

/// Which fields (or columns of a header line) hold what. A name that is not set is looked for
/// under the usual ones; one that is set is the only one looked for. Where the first line of a TSV
/// file lacks a column that is set, all its lines are bad.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// The document's id. Usual: `_id`, `id`.
    pub id: Option<String>,
    /// Its text. Usual: `text`.
    pub text: Option<String>,
    /// Its title, which may be absent. Usual: `title`.
    pub title: Option<String>,
    /// Its language, which may be absent. Usual: `lang`, `language`.
    pub language: Option<String>,
}

/// How sources are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOptions {
    /// What the fields are called.
    pub fields: Fields,
    /// Longest line in bytes. Default: 16 MiB.
    pub longest_line: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { fields: Fields::default(), longest_line: 16 << 20 }
    }
}

/// A line that holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub place: Place,
    /// The document, or what is wrong.
    pub record: Result<Record, BadLine>,
}

/// The lines of one source, in order; blank ones are passed over. After an error there are none.
///
/// ```
/// use tantivy_dense_indexer::{Records, Source};
///
/// let lines = "{\"_id\": 1, \"text\": \"one\"}\nnonsense\n";
/// let source = Source::from_reader("mine", lines.as_bytes());
/// let read: Vec<_> = Records::open(source, &Default::default())?.collect::<Result<_, _>>()?;
/// assert_eq!(read[0].record.as_ref().map(|r| r.id.as_str()), Ok("1"));
/// assert_eq!(read[1].place.to_string(), "mine:2");
/// assert!(read[1].record.is_err());
/// # Ok::<(), tantivy_dense_indexer::SourceError>(())
/// ```
#[derive(Debug)]
pub struct Records {
    name: Arc<str>,
    lines: Lines,
    parser: Parser,
    failed: bool,
}

impl Records {
    /// Opens a source and finds out its compression and format.
    ///
    /// # Errors
    /// [`SourceError::Open`] or [`SourceError::Utf16`].
    pub fn open(source: Source, options: &ReadOptions) -> Result<Self, SourceError> {
        let name: Arc<str> = source.name().into();
        let opened = source.open()?;
        Ok(Self {
            name,
            lines: Lines::new(opened.reader, options.longest_line),
            parser: Parser::new(opened.format, options.fields.clone()),
            failed: false,
        })
    }

    fn place(&self) -> Place {
        Place { source: Arc::clone(&self.name), line: self.lines.number() }
    }
}

impl Iterator for Records {
    type Item = Result<Entry, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let parsed = match self.lines.next() {
                Ok(None) => return None,
                Ok(Some(Line::TooLong { limit })) => {
                    Some(Err((BadKind::LineTooLong, format!("more than {limit} bytes"))))
                }
                Ok(Some(Line::Bytes(bytes))) => match std::str::from_utf8(bytes) {
                    Ok(line) if line.trim().is_empty() => None,
                    Ok(line) => self.parser.parse(line).transpose(),
                    Err(error) => {
                        let at = error.valid_up_to() + 1;
                        Some(Err((BadKind::InvalidUtf8, format!("at byte {at} of the line"))))
                    }
                },
                Err(source) => {
                    self.failed = true;
                    return Some(Err(SourceError::Read { after: self.place(), source }));
                }
            };
            if let Some(parsed) = parsed {
                let place = self.place();
                let record =
                    parsed.map_err(|(kind, detail)| BadLine { place: place.clone(), kind, detail });
                return Some(Ok(Entry { place, record }));
            }
        }
        None
    }
}

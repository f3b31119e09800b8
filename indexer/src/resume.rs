//! Where a run is: kept in each commit's payload, so that index and position cannot come apart.
//!
//! Invariant: a commit's payload tells exactly the lines whose documents are in it.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::corpus::{ReadOptions, Record};
use crate::event::Counts;
use crate::pipeline::MissingLanguage;

/// Changes when an older payload cannot be gone on from.
const VERSION: u32 = 1;

/// What a commit's payload holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    #[serde(rename = "tantivy-dense-indexer")]
    version: u32,
    pub(crate) settings: Settings,
    pub(crate) position: Position,
    pub(crate) counts: Counts,
}

/// What makes the same lines the same documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) read: ReadOptions,
    pub(crate) missing_language: MissingLanguage,
}

/// How far the sources have been consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The sources' names as far as they were opened; all but the last are consumed.
    sources: Vec<String>,
    /// The last line consumed of the last of them.
    line: u64,
    /// Hash over all documents so far, in order.
    chain: Chain,
}

/// A hash that each document changes: it ends differently if any before it differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Chain(u64);

impl Checkpoint {
    pub(crate) fn new(settings: Settings, position: Position, counts: Counts) -> Self {
        Self { version: VERSION, settings, position, counts }
    }

    pub(crate) fn to_payload(&self) -> String {
        serde_json::to_string(self).expect("plain data is JSON")
    }

    /// Reads the payload of an index's last commit. `None` in an index that holds nothing.
    pub(crate) fn of_payload(
        payload: Option<&str>,
        documents: u64,
    ) -> Result<Option<Self>, ResumeError> {
        let Some(payload) = payload else {
            return if documents == 0 { Ok(None) } else { Err(ResumeError::NoRun) };
        };
        let checkpoint: Self =
            serde_json::from_str(payload).map_err(|source| ResumeError::Payload { source })?;
        if checkpoint.version != VERSION {
            return Err(ResumeError::Version { found: checkpoint.version });
        }
        Ok(Some(checkpoint))
    }

    /// Whether a run with these settings would have made the same documents.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), ResumeError> {
        let differs = |setting, was: String, now: String| {
            if was == now { Ok(()) } else { Err(ResumeError::Settings { setting, was, now }) }
        };
        let (was, now) = (&self.settings, settings);
        let (fields, others) = (&was.read.fields, &now.read.fields);
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "as usual".to_owned());
        for (setting, was, now) in [
            ("field of the id", &fields.id, &others.id),
            ("field of the text", &fields.text, &others.text),
            ("field of the title", &fields.title, &others.title),
            ("field of the language", &fields.language, &others.language),
        ] {
            differs(setting, name(was), name(now))?;
        }
        let longest = |of: &Settings| of.read.longest_line.to_string();
        differs("longest line", longest(was), longest(now))?;
        let language = |of: &Settings| of.missing_language.to_string();
        differs("missing language", language(was), language(now))
    }
}

impl Position {
    /// Moves on to another source.
    pub(crate) fn open(&mut self, name: &str) {
        self.sources.push(name.to_owned());
        self.line = 0;
    }

    /// Moves on to a line of the source opened last, good or bad.
    pub(crate) fn pass(&mut self, line: u64) {
        self.line = line;
    }

    /// Moves on by a document.
    pub(crate) fn add(&mut self, record: &Record) {
        let language = record.language.as_ref().map_or("", |tag| tag.as_str());
        let title = record.title.as_deref().unwrap_or("");
        for part in [record.id.as_str(), language, title, &record.text] {
            // Each part's own hash is the seed of the next, so parts cannot run together.
            self.chain.0 = XxHash3_64::oneshot_with_seed(self.chain.0, part.as_bytes());
        }
    }

    /// Whether a line of the source that `at` opened last is behind this position.
    pub(crate) fn is_past(&self, at: &Self, line: u64) -> bool {
        (at.sources.len(), line) <= (self.sources.len(), self.line)
    }

    /// Whether the documents so far are the same.
    pub(crate) fn check(&self, committed: &Self) -> Result<(), ResumeError> {
        if self.chain == committed.chain {
            return Ok(());
        }
        let source = committed.sources.last().cloned().unwrap_or_default();
        Err(ResumeError::OtherCorpus { source_name: source, line: committed.line })
    }
}

impl From<Chain> for String {
    fn from(chain: Chain) -> Self {
        // As text: JSON readers round numbers above 2^53.
        format!("{:016x}", chain.0)
    }
}

impl TryFrom<String> for Chain {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

/// Why a run cannot go on from the index's last commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ResumeError {
    /// Somebody else committed.
    #[error("the index holds documents but no run to resume; index without resuming")]
    NoRun,
    /// Another tool's payload.
    #[error("the index's last commit was not made by an indexing run; index without resuming")]
    Payload { source: serde_json::Error },
    /// A later release's payload.
    #[error(
        "the run was started by another release (payload version {found}); resume it with that"
    )]
    Version { found: u32 },
    /// The rest would not fit to what is there.
    #[error("the run was started with {setting} {was}, not {now}; resume it with the same")]
    Settings { setting: &'static str, was: String, now: String },
    /// Other lines than those that were indexed.
    #[error(
        "the sources differ from those that were indexed, up to line {line} of {source_name}; name \
         the same files in the same order, or index without resuming (documents of the same id \
         are replaced)"
    )]
    OtherCorpus { source_name: String, line: u64 },
}

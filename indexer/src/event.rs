//! What a run tells while it goes on, and at its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::corpus::{BadKind, BadLine};

/// So many messages about bad lines a summary keeps: enough to see what is wrong.
const KEPT_MESSAGES: usize = 10;

/// What has happened. Numbers are totals since the run was started, except that bytes and encoding
/// begin again with each process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The part that an earlier process has committed was read again and passed over.
    Resumed {
        /// Documents in it.
        documents: u64,
    },
    /// A line was left out.
    Skipped(BadLine),
    /// A batch was read, analysed, encoded and added.
    Added {
        /// Documents.
        documents: u64,
        /// Bytes of the sources that were read, compressed as they are. Reading is a little ahead.
        bytes: u64,
        /// Texts that were encoded.
        texts: u64,
        /// Tokens in them.
        tokens: u64,
    },
    /// What has been added so far is durable.
    Committed {
        /// Documents.
        documents: u64,
    },
}

/// What is counted, and kept with each commit, so that a resumed run goes on counting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Documents added, those that replaced one included.
    pub documents: u64,
    /// Of these, how many replaced a document that the index held before the run.
    pub replaced: u64,
    /// Lines left out, by what is wrong with them.
    pub skipped: BTreeMap<BadKind, u64>,
    /// Documents whose language was detected.
    pub detected: u64,
    /// Documents whose language is not known (`und`).
    pub undetermined: u64,
    /// Tokens encoded.
    pub tokens: u64,
    /// Documents longer than the encoder's limit, whose end is not in their vector.
    pub truncated: u64,
}

/// How a run ended. Counts are those of the whole run, what earlier processes did included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was read, added and left out. All of it is committed.
    pub counts: Counts,
    /// Of the documents, how many an earlier process had committed.
    pub resumed: u64,
    /// The first bad lines that this process met.
    pub first_skipped: Vec<BadLine>,
    /// Whether the callback stopped the run before the end of the sources.
    pub stopped: bool,
}

impl Summary {
    pub(crate) fn skip(&mut self, bad: &BadLine) {
        *self.counts.skipped.entry(bad.kind).or_default() += 1;
        if self.first_skipped.len() < KEPT_MESSAGES {
            self.first_skipped.push(bad.clone());
        }
    }
}

//! The reading thread: sources to batches of records, without those read before.
//!
//! Invariant: a batch's position is that after its last line, good or bad, but never before what an
//! earlier run has committed; what is not in this batch or one before it is behind that position.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use twox_hash::XxHash3_128;

use super::OnBad;
use crate::corpus::{
    BadKind, BadLine, Entry, Place, ReadOptions, Record, Records, Source, shorten,
};
use crate::error::IndexError;
use crate::resume::Position;

/// A batch is sent before it is full if its documents come to so many bytes: long ones must not fill
/// the memory.
const BATCH_BYTES: usize = 4 << 20;

/// Records on their way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) bad: Vec<BadLine>,
    pub(super) position: Position,
    /// What an earlier run has committed has been passed over, with this batch or one before it.
    pub(super) past_committed: bool,
    /// Why there is no batch after this one, where it is not the sources' end.
    pub(super) failed: Option<IndexError>,
}

pub(super) struct Reader {
    options: ReadOptions,
    documents: usize,
    on_bad: OnBad,
    /// What an earlier run has committed, until it has been passed over.
    past: Option<Position>,
    position: Position,
    seen: Seen,
    batch: Batch,
    bytes: usize,
}

/// Why reading ends before the sources do.
enum End {
    Failed(IndexError),
    /// Nobody takes batches any more.
    Alone,
}

impl<E: Into<IndexError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Hands batches to the workers in turn.
struct Workers<'a> {
    senders: &'a [SyncSender<Batch>],
    next: usize,
}

impl Workers<'_> {
    fn send(&mut self, batch: Batch) -> Result<(), End> {
        let sender = &self.senders[self.next % self.senders.len()];
        self.next += 1;
        sender.send(batch).map_err(|_| End::Alone)
    }
}

impl Reader {
    pub(super) fn new(
        options: ReadOptions,
        documents: usize,
        on_bad: OnBad,
        past: Option<Position>,
    ) -> Self {
        Self {
            options,
            documents,
            on_bad,
            past,
            position: Position::default(),
            seen: Seen::default(),
            batch: Batch::default(),
            bytes: 0,
        }
    }

    /// Reads to the end, or until nobody takes batches any more.
    pub(super) fn read(mut self, sources: Vec<Source>, senders: &[SyncSender<Batch>]) {
        let mut workers = Workers { senders, next: 0 };
        let end = sources
            .into_iter()
            .try_for_each(|source| self.read_source(source, &mut workers))
            .and_then(|()| self.come_past());
        self.batch.failed = match end {
            Ok(()) => None,
            Err(End::Failed(error)) => Some(error),
            Err(End::Alone) => return,
        };
        // Whether the last batch is taken is no matter of the reader's.
        let _ = self.send(&mut workers);
    }

    fn read_source(&mut self, source: Source, workers: &mut Workers<'_>) -> Result<(), End> {
        self.position.open(source.name());
        for entry in Records::open(source, &self.options)? {
            let Entry { place, record } = entry?;
            let record = record.and_then(|record| self.seen.check(record, &place));
            if self.past.as_ref().is_some_and(|past| past.is_past(&self.position, place.line)) {
                if let Ok(record) = &record {
                    self.position.add(record);
                }
            } else {
                self.come_past()?;
                self.take(record)?;
            }
            self.position.pass(place.line);
            if self.batch.records.len() >= self.documents
                || self.batch.bad.len() >= self.documents
                || self.bytes >= BATCH_BYTES
            {
                self.send(workers)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, record: Result<Record, BadLine>) -> Result<(), End> {
        match record {
            Ok(record) => {
                self.position.add(&record);
                let title = record.title.as_ref().map_or(0, String::len);
                self.bytes += record.id.len() + title + record.text.len();
                self.batch.records.push(record);
            }
            Err(bad) if self.on_bad == OnBad::Stop => {
                return Err(End::Failed(IndexError::BadLine(bad)));
            }
            Err(bad) => self.batch.bad.push(bad),
        }
        Ok(())
    }

    /// Called at the first line that no commit holds: those before it must be the same as then.
    fn come_past(&mut self) -> Result<(), End> {
        if let Some(past) = self.past.take() {
            self.position.check(&past)?;
            self.batch.past_committed = true;
        }
        Ok(())
    }

    fn send(&mut self, workers: &mut Workers<'_>) -> Result<(), End> {
        self.bytes = 0;
        let mut batch = mem::take(&mut self.batch);
        // Reading may fail among the lines that are committed: they stay committed.
        batch.position = self.past.as_ref().unwrap_or(&self.position).clone();
        workers.send(batch)
    }
}

/// The ids read so far, and where: 32 bytes a document and what a hash table leaves free. They are
/// kept as 128-bit hashes, which for a billion ids agree by chance once in 10^20 corpora.
#[derive(Default)]
struct Seen {
    places: HashMap<u128, (u32, u64)>,
    sources: Vec<Arc<str>>,
}

impl Seen {
    fn check(&mut self, record: Record, place: &Place) -> Result<Record, BadLine> {
        if self.sources.last() != Some(&place.source) {
            self.sources.push(Arc::clone(&place.source));
        }
        match self.places.entry(XxHash3_128::oneshot(record.id.as_bytes())) {
            Slot::Vacant(slot) => {
                let source = u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX);
                slot.insert((source, place.line));
                Ok(record)
            }
            Slot::Occupied(slot) => {
                let (source, line) = *slot.get();
                let name = self.sources.get(source as usize).map_or("an earlier source", |s| s);
                let id = shorten(&record.id);
                Err(BadLine {
                    place: place.clone(),
                    kind: BadKind::DuplicateId,
                    detail: format!("`{id}` is the id of {name}:{line}"),
                })
            }
        }
    }
}

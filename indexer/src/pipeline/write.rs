//! The writing side: documents are encoded and added, counted, and committed with their position.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use dense_plugin::DenseWriter;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet, Searcher, TERMINATED, Term};

use super::prepare::Prepared;
use crate::error::IndexError;
use crate::event::{Event, Summary};
use crate::resume::{Checkpoint, Position, Settings};

/// One run, on the thread that writes.
pub(super) struct Run<F> {
    pub(super) commit_every: u64,
    writer: DenseWriter,
    id: Field,
    /// What the index held when the run began.
    before: Searcher,
    settings: Settings,
    callback: F,
    position: Position,
    committed: Option<Position>,
    summary: Summary,
    /// Tokens and truncated texts that earlier processes counted.
    counted_before: (u64, u64),
    /// Documents since the last commit.
    waiting: u64,
}

impl<F: FnMut(Event) -> ControlFlow<()>> Run<F> {
    /// Goes on with the counts of what is committed, if anything is.
    pub(super) fn new(
        writer: DenseWriter,
        id: Field,
        before: Searcher,
        settings: Settings,
        committed: Option<Checkpoint>,
        callback: F,
    ) -> Self {
        let mut summary = Summary::default();
        let committed = committed.map(|checkpoint| {
            summary.resumed = checkpoint.counts.documents;
            summary.counts = checkpoint.counts;
            checkpoint.position
        });
        Self {
            commit_every: u64::MAX,
            writer,
            id,
            before,
            settings,
            callback,
            position: committed.clone().unwrap_or_default(),
            committed,
            counted_before: (summary.counts.tokens, summary.counts.truncated),
            summary,
            waiting: 0,
        }
    }

    /// Takes batches from the workers in turn until the sources end, something fails, or the
    /// callback stops the run.
    pub(super) fn take(
        &mut self,
        workers: &[Receiver<Prepared>],
        bytes: &[Arc<AtomicU64>],
    ) -> Result<(), IndexError> {
        for worker in workers.iter().cycle() {
            // The reader has ended, and no batch comes after those taken.
            let Ok(mut batch) = worker.recv() else { break };
            let failed = batch.failed.take();
            if batch.past_committed {
                self.tell(Event::Resumed { documents: self.summary.resumed });
            }
            self.add(batch)?;
            let bytes = bytes.iter().map(|count| count.load(Ordering::Relaxed)).sum();
            let (documents, texts) =
                (self.summary.counts.documents, self.writer.totals().texts as u64);
            let tokens = self.summary.counts.tokens;
            self.tell(Event::Added { documents, bytes, texts, tokens });
            if let Some(error) = failed {
                // Not where the sources are others: there is nothing new, and no position.
                if !matches!(error, IndexError::Resume(_)) {
                    self.commit()?;
                }
                return Err(error);
            }
            if self.waiting >= self.commit_every {
                self.commit()?;
            }
            if self.summary.stopped {
                break;
            }
        }
        Ok(())
    }

    /// Commits what is left and waits for merges.
    pub(super) fn finish(mut self) -> Result<Summary, IndexError> {
        self.commit()?;
        self.writer.wait_merging_threads()?;
        Ok(self.summary)
    }

    fn add(&mut self, batch: Prepared) -> Result<(), IndexError> {
        // All deletes first: each would otherwise encode what waits, document by document. Ids are
        // unique within a run, so none of them meets a document of this batch.
        for (id, _) in &batch.documents {
            let term = Term::from_field_text(self.id, id);
            if holds(&self.before, &term)? {
                self.writer.delete_term(term)?;
                self.summary.counts.replaced += 1;
            }
        }
        let documents = batch.documents.len() as u64;
        for (_, document) in batch.documents {
            self.writer.add_document(document)?;
        }
        self.writer.flush()?;
        for bad in batch.bad {
            self.summary.skip(&bad);
            self.tell(Event::Skipped(bad));
        }
        let totals = self.writer.totals();
        let counts = &mut self.summary.counts;
        counts.documents += documents;
        counts.detected += batch.detected;
        counts.undetermined += batch.undetermined;
        counts.tokens = self.counted_before.0 + totals.tokens as u64;
        counts.truncated = self.counted_before.1 + totals.truncated as u64;
        self.waiting += documents;
        self.position = batch.position;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), IndexError> {
        if self.committed.as_ref() == Some(&self.position) {
            return Ok(());
        }
        let checkpoint = Checkpoint::new(
            self.settings.clone(),
            self.position.clone(),
            self.summary.counts.clone(),
        );
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&checkpoint.to_payload());
        prepared.commit()?;
        self.committed = Some(self.position.clone());
        self.waiting = 0;
        self.tell(Event::Committed { documents: self.summary.counts.documents });
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        self.summary.stopped |= (self.callback)(event).is_break();
    }
}

/// Whether a document with a term is alive.
fn holds(searcher: &Searcher, term: &Term) -> Result<bool, IndexError> {
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(term.field())?;
        let Some(mut postings) = index
            .read_postings(term, IndexRecordOption::Basic)
            .map_err(tantivy::TantivyError::from)?
        else {
            continue;
        };
        while postings.doc() != TERMINATED {
            if !segment.is_deleted(postings.doc()) {
                return Ok(true);
            }
            postings.advance();
        }
    }
    Ok(false)
}

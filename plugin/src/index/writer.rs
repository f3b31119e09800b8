//! Adds documents, and encodes their texts in batches before Tantivy sees them.
//!
//! Invariants: adds and deletes reach Tantivy in the order they were made; a document is added
//! with all its rows or not at all; no document is lost without an error, and none by a delete
//! that was not committed.
//!
//! A little over 500 lines: most are the documentation of one type that cannot be split.

use std::fmt;
use std::mem;
use std::sync::Arc;

use tantivy::directory::GarbageCollectionResult;
use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::{MergePolicy, PreparedCommit};
use tantivy::query::{AllQuery, Query};
use tantivy::schema::Field;
use tantivy::schema::document::{ReferenceValueLeaf, Value};
use tantivy::{
    Document, FutureResult, Index, IndexWriter, Opstamp, TantivyDocument, TantivyError, Term,
};

use super::DenseIndex;
use super::document::WithRows;
use crate::encoder::{EncodeError, Encoder, Role, Text};
use crate::field::DenseOptions;
use crate::language::LanguageTag;
use crate::row::{self, RowBytes};
use crate::vector::VectorError;

/// How many texts are encoded at once, unless told otherwise: enough for an encoder to fill its
/// own batches, little enough to wait for.
const BATCH: usize = 64;

/// How many documents wait at most, for each text of a batch.
const WAITING_PER_TEXT: usize = 16;

/// Adds documents to an index with dense fields, and deletes them.
///
/// A dense field with a source gets one row for each text value of the source that is not blank,
/// encoded in batches; documents wait for their batch in this writer. A document that brings
/// vectors of its own for a field is not encoded for it.
///
/// Deletes affect what was added before them, as in Tantivy; to keep that order, they encode what
/// waits first.
///
/// After [`WriteError::Encode`], what waits goes on waiting, the document just added included: the
/// next call tries again, [`DenseWriter::rollback`] drops it. After an error of Tantivy's, only a
/// rollback helps, and until then every call says so: Tantivy itself would go on, and commit
/// without the documents it lost. Where the rollback fails too, only a new writer helps.
pub struct DenseWriter<D: Document = TantivyDocument> {
    writer: IndexWriter<WithRows<D>>,
    plan: Plan,
    batch: usize,
    waiting: Vec<Waiting<D>>,
    texts: usize,
    totals: EncodingTotals,
    state: State,
}

/// Whether Tantivy's writer can be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Tantivy's writer has done nothing yet, since it was made or rolled back.
    Fresh,
    Sound,
    /// An error may have lost documents: only a rollback helps.
    Broken,
    /// A rollback failed, and took the lock of the index with it: nothing helps any more.
    Dead,
}

/// What has been encoded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodingTotals {
    /// Texts, one row each.
    pub texts: usize,
    /// Tokens in them, without padding.
    pub tokens: usize,
    /// Texts that were longer than the encoder's limit and lost their end.
    pub truncated: usize,
}

/// What to do with the values of a document.
struct Plan {
    fields: Vec<FieldPlan>,
    dense: Arc<[Field]>,
}

struct FieldPlan {
    field: Field,
    name: String,
    options: DenseOptions,
    source: Option<Field>,
    language: Option<Field>,
    encoder: Option<Arc<dyn Encoder>>,
}

/// A document whose rows are not all there yet.
struct Waiting<D> {
    doc: D,
    rows: Vec<(Field, Vec<u8>)>,
    texts: Vec<WaitingText>,
}

struct WaitingText {
    /// Which of the plan's fields.
    field: usize,
    body: String,
    language: Option<LanguageTag>,
}

impl<D: Document> DenseWriter<D> {
    pub(super) fn new(index: &DenseIndex, writer: IndexWriter<WithRows<D>>) -> Self {
        let plan = Plan::of(index);
        let totals = EncodingTotals::default();
        let (waiting, state) = (Vec::new(), State::Fresh);
        Self { writer, plan, batch: BATCH, waiting, texts: 0, totals, state }
    }

    /// How many texts are encoded at once, at least 1. Default: 64.
    #[must_use]
    pub fn batch(mut self, texts: usize) -> Self {
        self.batch = texts.max(1);
        self
    }

    /// Adds a document, now or with its batch.
    ///
    /// # Errors
    /// [`WriteError::Vector`] or [`WriteError::NoVector`] for a value that is no vector of its
    /// field, [`WriteError::NoEncoder`] for a text that nothing encodes: the document is refused,
    /// all else stays. [`WriteError::Encode`] if its batch fails.
    pub fn add_document(&mut self, doc: D) -> Result<(), WriteError> {
        self.check()?;
        let waiting = self.plan.look_at(doc)?;
        self.texts += waiting.texts.len();
        self.waiting.push(waiting);
        // Without a text before it, a document need not wait; nor do many for a few texts.
        let many = self.waiting.len() / WAITING_PER_TEXT >= self.batch;
        if self.texts == 0 || self.texts >= self.batch || many { self.flush() } else { Ok(()) }
    }

    /// Encodes and adds what waits.
    ///
    /// # Errors
    /// [`WriteError::Encode`]; all that waits goes on waiting then.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.check()?;
        if self.texts > 0 {
            self.encode()?;
        }
        for Waiting { doc, rows, .. } in mem::take(&mut self.waiting) {
            let dense = self.plan.dense.clone();
            let added = self.writer.add_document(WithRows { inner: doc, rows, dense });
            self.guard(added)?;
        }
        Ok(())
    }

    /// How many documents wait for their batch.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What has been encoded so far, that of rolled back documents included.
    pub fn totals(&self) -> EncodingTotals {
        self.totals
    }

    /// Deletes the documents with a term that were added before.
    ///
    /// # Errors
    /// As [`DenseWriter::flush`].
    pub fn delete_term(&mut self, term: Term) -> Result<Opstamp, WriteError> {
        self.flush()?;
        Ok(self.writer.delete_term(term))
    }

    /// Deletes the documents that match a query and were added before.
    ///
    /// # Errors
    /// As [`DenseWriter::flush`]; [`WriteError::Tantivy`] if the query needs a searcher, as
    /// [`KnnQuery`](crate::KnnQuery) does. Nothing is deleted then, and the writer goes on.
    pub fn delete_query(&mut self, query: impl Query) -> Result<Opstamp, WriteError> {
        self.flush()?;
        Ok(self.writer.delete_query(Box::new(query))?)
    }

    /// Deletes all documents that were added before.
    ///
    /// Unlike Tantivy's own, it also affects what has been added since the last commit.
    ///
    /// # Errors
    /// As [`DenseWriter::flush`].
    pub fn delete_all_documents(&mut self) -> Result<Opstamp, WriteError> {
        self.delete_query(AllQuery)
    }

    /// Makes all adds and deletes durable and visible.
    ///
    /// # Errors
    /// As [`DenseWriter::flush`]; nothing is committed then. [`WriteError::Tantivy`] asks for a
    /// rollback.
    pub fn commit(&mut self) -> Result<Opstamp, WriteError> {
        self.prepare_commit()?.commit()
    }

    /// Prepares a commit, to give it a payload. Dropped, it is left to the next commit.
    ///
    /// # Errors
    /// As [`DenseWriter::commit`].
    pub fn prepare_commit(&mut self) -> Result<DensePreparedCommit<'_, D>, WriteError> {
        self.flush()?;
        match self.writer.prepare_commit() {
            Ok(inner) => Ok(DensePreparedCommit { inner, state: &mut self.state }),
            Err(error) => {
                self.state = State::Broken;
                Err(error.into())
            }
        }
    }

    /// Forgets all since the last commit, what waits included, and gives the last commit's
    /// opstamp.
    ///
    /// # Errors
    /// [`WriteError::Tantivy`] if the index cannot be opened again; from then on every call is
    /// [`WriteError::Dead`].
    pub fn rollback(&mut self) -> Result<Opstamp, WriteError> {
        if self.state == State::Dead {
            return Err(WriteError::Dead);
        }
        self.waiting.clear();
        self.texts = 0;
        rolled_back(&mut self.state, self.writer.rollback())
    }

    /// Starts to merge segments.
    pub fn merge(&mut self, segments: &[SegmentId]) -> FutureResult<Option<SegmentMeta>> {
        self.writer.merge(segments)
    }

    /// Waits for merges and ends. What was not committed is lost, as in Tantivy.
    ///
    /// # Errors
    /// [`WriteError::Tantivy`] if a thread failed.
    pub fn wait_merging_threads(self) -> Result<(), WriteError> {
        Ok(self.writer.wait_merging_threads()?)
    }

    pub(super) fn tantivy_index(&self) -> &Index {
        self.writer.index()
    }

    /// Deletes files that no commit needs.
    pub fn garbage_collect_files(&self) -> FutureResult<GarbageCollectionResult> {
        self.writer.garbage_collect_files()
    }

    /// Which segments are merged, and when. Default: Tantivy's, to which a rollback or an abort
    /// goes back.
    pub fn set_merge_policy(&self, policy: Box<dyn MergePolicy>) {
        self.writer.set_merge_policy(policy);
    }

    /// The opstamp of the last commit.
    pub fn commit_opstamp(&self) -> Opstamp {
        self.writer.commit_opstamp()
    }

    fn check(&mut self) -> Result<(), WriteError> {
        match self.state {
            State::Fresh => {
                // Tantivy gives the first operation the opstamp of the last commit, and a merge
                // makes deletes up to that one durable: so the first operation is none.
                self.writer.run([])?;
                self.state = State::Sound;
                Ok(())
            }
            State::Sound => Ok(()),
            State::Broken => Err(WriteError::Broken),
            State::Dead => Err(WriteError::Dead),
        }
    }

    fn guard<T>(&mut self, result: tantivy::Result<T>) -> Result<T, WriteError> {
        if result.is_err() {
            self.state = State::Broken;
        }
        Ok(result?)
    }

    /// Encodes every text that waits. Only when all are encoded are rows handed out.
    fn encode(&mut self) -> Result<(), WriteError> {
        let mut encoded: Vec<(usize, Field, Vec<u8>)> = Vec::with_capacity(self.texts);
        let mut totals = self.totals;
        for (number, field) in self.plan.fields.iter().enumerate() {
            let Some(encoder) = &field.encoder else { continue };
            let texts: Vec<(usize, &WaitingText)> = self
                .waiting
                .iter()
                .enumerate()
                .flat_map(|(doc, waiting)| waiting.texts.iter().map(move |text| (doc, text)))
                .filter(|(_, text)| text.field == number)
                .collect();
            for batch in texts.chunks(self.batch) {
                let bodies: Vec<Text<'_>> = batch
                    .iter()
                    .map(|(_, text)| Text { body: &text.body, language: text.language.as_ref() })
                    .collect();
                let found = encoder
                    .encode(Role::Passage, &bodies)
                    .map_err(|source| WriteError::Encode { field: field.name.clone(), source })?;
                if found.vectors.rows() != batch.len() || found.vectors.dim() != field.options.dim()
                {
                    return Err(WriteError::WrongAnswer { field: field.name.clone() });
                }
                totals.texts += batch.len();
                totals.tokens += found.tokens;
                totals.truncated += found.truncated;
                for ((doc, text), vector) in batch.iter().zip(&found.vectors) {
                    let row = row::encode(vector, text.language.as_ref(), None);
                    encoded.push((*doc, field.field, row));
                }
            }
        }
        for (doc, field, row) in encoded {
            self.waiting[doc].rows.push((field, row));
        }
        for waiting in &mut self.waiting {
            waiting.texts.clear();
        }
        self.texts = 0;
        self.totals = totals;
        Ok(())
    }
}

/// What a writer's state is after a rollback: Tantivy's writer is either new or without its lock.
fn rolled_back(state: &mut State, result: tantivy::Result<Opstamp>) -> Result<Opstamp, WriteError> {
    *state = if result.is_ok() { State::Fresh } else { State::Dead };
    Ok(result?)
}

impl Plan {
    fn of(index: &DenseIndex) -> Self {
        let schema = index.schema();
        let field_of = |name: Option<&str>| name.and_then(|name| schema.get_field(name).ok());
        let fields = index.dense_fields().iter().map(|dense| FieldPlan {
            field: dense.field,
            name: dense.name.clone(),
            options: dense.options.clone(),
            source: field_of(dense.options.get_source()),
            language: field_of(dense.options.get_language()),
            encoder: index.encoder(dense.field).cloned(),
        });
        let dense = index.dense_fields().iter().map(|dense| dense.field);
        Self { fields: fields.collect(), dense: dense.collect() }
    }

    /// Takes from a document what its rows are, or are to be made of.
    fn look_at<D: Document>(&self, doc: D) -> Result<Waiting<D>, WriteError> {
        let mut rows = Vec::new();
        let mut texts = Vec::new();
        for (number, field) in self.fields.iter().enumerate() {
            let language = field.language.and_then(|language| {
                let tag = texts_of(&doc, language).next()?;
                tag.parse::<LanguageTag>().ok()
            });
            let own = field.own_rows(&doc, language.as_ref())?;
            if own.is_empty()
                && let Some(source) = field.source
            {
                for body in texts_of(&doc, source).filter(|text| !text.trim().is_empty()) {
                    if field.encoder.is_none() {
                        return Err(WriteError::NoEncoder { field: field.name.clone() });
                    }
                    texts.push(WaitingText { field: number, body, language: language.clone() });
                }
            }
            rows.extend(own.into_iter().map(|row| (field.field, row)));
        }
        Ok(Waiting { doc, rows, texts })
    }
}

impl FieldPlan {
    /// The rows that a document brings itself.
    fn own_rows<D: Document>(
        &self,
        doc: &D,
        language: Option<&LanguageTag>,
    ) -> Result<Vec<Vec<u8>>, WriteError> {
        let values = doc.iter_fields_and_values().filter(|(field, _)| *field == self.field);
        values
            .map(|(_, value)| {
                let name = || self.name.clone();
                let bytes =
                    value.as_custom().ok_or_else(|| WriteError::NoVector { field: name() })?;
                let row =
                    RowBytes::parse(bytes).ok_or_else(|| WriteError::NoVector { field: name() })?;
                row.check(&self.options)
                    .map_err(|source| WriteError::Vector { field: name(), source })?;
                Ok(match language {
                    Some(language) if row.language.is_none() => {
                        row::encode(&row.vector(), Some(language), row.source.as_ref())
                    }
                    _ => bytes.to_vec(),
                })
            })
            .collect()
    }
}

/// The values of a text field, whether its tokens were made beforehand or not.
fn texts_of<D: Document>(doc: &D, field: Field) -> impl Iterator<Item = String> + '_ {
    let values = doc.iter_fields_and_values().filter(move |(f, _)| *f == field);
    values.filter_map(|(_, value)| match value.as_leaf()? {
        ReferenceValueLeaf::Str(text) => Some(text.to_owned()),
        ReferenceValueLeaf::PreTokStr(text) => Some(text.text),
        _ => None,
    })
}

impl<D: Document> fmt::Debug for DenseWriter<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenseWriter")
            .field("waiting", &self.waiting.len())
            .field("totals", &self.totals)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A commit whose documents are written, but which does not count yet.
pub struct DensePreparedCommit<'a, D: Document = TantivyDocument> {
    inner: PreparedCommit<'a, WithRows<D>>,
    state: &'a mut State,
}

impl<D: Document> DensePreparedCommit<'_, D> {
    /// A word that is kept with the commit, in the index's meta file.
    pub fn set_payload(&mut self, payload: &str) {
        self.inner.set_payload(payload);
    }

    /// The opstamp of the commit.
    pub fn opstamp(&self) -> Opstamp {
        self.inner.opstamp()
    }

    /// Makes it count.
    ///
    /// # Errors
    /// [`WriteError::Tantivy`]; a rollback is needed then.
    pub fn commit(self) -> Result<Opstamp, WriteError> {
        let committed = self.inner.commit();
        if committed.is_err() {
            *self.state = State::Broken;
        }
        Ok(committed?)
    }

    /// Forgets it: a rollback.
    ///
    /// # Errors
    /// As [`DenseWriter::rollback`].
    pub fn abort(self) -> Result<Opstamp, WriteError> {
        rolled_back(self.state, self.inner.abort())
    }
}

impl<D: Document> fmt::Debug for DensePreparedCommit<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DensePreparedCommit").field("opstamp", &self.opstamp()).finish()
    }
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum WriteError {
    /// A document brings a vector that does not fit.
    #[error("a vector of field `{field}` does not fit")]
    Vector { field: String, source: VectorError },
    /// A document brings something else than a vector.
    #[error("a value of field `{field}` is no vector; add it with `add_dense`")]
    NoVector { field: String },
    /// A text would stay without its vector.
    #[error(
        "field `{field}` encodes a text of this document, but was given no encoder; give it one \
         with `DenseIndex::with_encoder`, or the document a vector of its own"
    )]
    NoEncoder { field: String },
    /// The encoder failed. Nothing is lost: see [`DenseWriter`].
    #[error("texts of field `{field}` could not be encoded; try again, or roll back")]
    Encode { field: String, source: EncodeError },
    /// The encoder broke its promise.
    #[error("the encoder of field `{field}` did not give one vector of the field's dim a text")]
    WrongAnswer { field: String },
    /// An earlier error may have lost documents.
    #[error(
        "an earlier error may have lost documents; call `rollback`, and add again what came after the last commit"
    )]
    Broken,
    /// A rollback failed, and nothing was committed since.
    #[error(
        "a rollback failed; drop this writer, make a new one with `DenseIndex::writer`, and add again what came after the last commit"
    )]
    Dead,
    /// Tantivy refused.
    #[error(transparent)]
    Tantivy(#[from] TantivyError),
}

//! Readers whose searchers have their vectors open, and what can be asked of such a searcher.
//!
//! Invariant: a reload either shows the newest commit with all its vectors open, or fails and
//! leaves the searchers as they were.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tantivy::directory::error::OpenReadError;
use tantivy::directory::{Directory, WatchCallback, WatchHandle};
use tantivy::error::DataCorruption;
use tantivy::index::SegmentId;
use tantivy::schema::Field;
use tantivy::{DocAddress, Index, IndexReader, ReloadPolicy, Searcher, TantivyError};

use crate::cache::{Kept, Segments};
use crate::language::LanguageTag;
use crate::query::{options_of, rows_of};
use crate::row::DenseRow;
use crate::segment::{AnnStatus, OpenField};
use crate::vector::Vectors;

/// How often a reload is tried while a merge deletes files under it. Each failure means that a
/// newer commit is there to be read, so a few are enough.
const ATTEMPTS: usize = 16;

/// Gives searchers with their vectors open. Cloning shares it.
///
/// A searcher keeps its vectors open by itself: it may outlive its reader, and goes on after its
/// segments are merged and their files deleted.
#[derive(Clone)]
pub struct DenseReader {
    inner: Arc<Inner>,
    // Ends the watching with the last clone.
    _watch: Option<WatchHandle>,
}

struct Inner {
    index: Index,
    segments: Arc<Segments>,
    searcher: RwLock<Searcher>,
    // One reload at a time, or an older commit could replace a newer one.
    reloading: Mutex<()>,
}

impl DenseReader {
    pub(super) fn manual(index: &Index) -> tantivy::Result<Self> {
        Ok(Self { inner: Arc::new(Inner::open(index)?), _watch: None })
    }

    pub(super) fn following(index: &Index) -> tantivy::Result<Self> {
        let inner = Arc::new(Inner::open(index)?);
        // Not Tantivy's own watch: it would not try again after a race, and stay behind.
        let watched = Arc::downgrade(&inner);
        let reload = move || {
            if let Some(Err(error)) = watched.upgrade().map(|inner| inner.reload()) {
                log::error!("a new commit could not be opened: {error}");
            }
        };
        let watch = index.directory().watch(WatchCallback::new(reload))?;
        // A commit between the opening and the watching is not missed.
        inner.reload()?;
        Ok(Self { inner, _watch: Some(watch) })
    }

    /// The newest commit that was loaded, to be searched.
    pub fn searcher(&self) -> Searcher {
        self.inner.searcher.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the newest commit.
    ///
    /// # Errors
    /// Tantivy's, if segments cannot be opened. Searchers stay as they were.
    pub fn reload(&self) -> tantivy::Result<()> {
        self.inner.reload()
    }

    /// Waits until every index of the newest commit that was loaded is checked, and is searched with.
    /// Without it, segments are searched exactly until a thread of its own has checked them.
    ///
    /// # Errors
    /// Tantivy's, if segments cannot be opened. An index that cannot be used is no error: see
    /// [`DenseSearcher::dense_segments`].
    pub fn warm(&self) -> tantivy::Result<()> {
        let searcher = self.searcher();
        for segment in self.inner.segments.of_searcher(&searcher)? {
            self.inner.segments.check(&segment);
        }
        Ok(())
    }
}

impl Inner {
    fn open(index: &Index) -> tantivy::Result<Self> {
        let segments = Segments::of_index(index)?;
        let searcher = RwLock::new(newest(index, &segments)?);
        Ok(Self { index: index.clone(), segments, searcher, reloading: Mutex::default() })
    }

    fn reload(&self) -> tantivy::Result<()> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = newest(&self.index, &self.segments)?;
        let mut searcher = self.searcher.write().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *searcher, newest);
        // Files are closed where nobody waits for it.
        drop(searcher);
        drop(before);
        Ok(())
    }
}

/// A searcher of the newest commit, its vectors open.
fn newest(index: &Index, segments: &Arc<Segments>) -> tantivy::Result<Searcher> {
    retry(|| {
        let (index, kept) = Kept::of(index);
        let reader: IndexReader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let searcher = reader.searcher();
        kept.open(segments, &searcher)?;
        Ok(searcher)
    })
}

/// Between reading which segments there are and opening their files, a merge can have replaced and
/// deleted them. Then there is a newer list to read.
fn retry<T>(mut attempt: impl FnMut() -> tantivy::Result<T>) -> tantivy::Result<T> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(TantivyError::OpenReadError(OpenReadError::FileDoesNotExist(_))) => {}
            other => return other,
        }
    }
    attempt()
}

impl fmt::Debug for DenseReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenseReader").finish_non_exhaustive()
    }
}

/// What a searcher of an index with dense fields can be asked.
pub trait DenseSearcher {
    /// The rows of one document in one field, as they were given. Empty if it has none. The
    /// document may be deleted.
    ///
    /// # Errors
    /// If the field is not dense, the address is not of this searcher, or the file is damaged.
    fn vectors(&self, field: Field, document: DocAddress) -> tantivy::Result<Vectors>;

    /// The rows of one document in one field with their languages and places, in the order in
    /// which they were given. Empty if it has none. The document may be deleted.
    ///
    /// # Errors
    /// As [`DenseSearcher::vectors`].
    fn dense_rows(&self, field: Field, document: DocAddress) -> tantivy::Result<Vec<DenseRow>>;

    /// What the segments hold.
    ///
    /// # Errors
    /// If a file cannot be read.
    fn dense_segments(&self) -> tantivy::Result<Vec<SegmentSummary>>;

    /// Reads all vector files in full and checks them.
    ///
    /// # Errors
    /// The first damage found, with the name of the file.
    fn verify_vectors(&self) -> tantivy::Result<()>;

    /// Reads all indexes in full and checks them, and says of each that cannot be used why: its
    /// segment is searched exactly until it is built again.
    ///
    /// # Errors
    /// If a vector file cannot be read.
    fn verify_indexes(&self) -> tantivy::Result<Vec<String>>;
}

/// The vectors of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// The segment.
    pub id: SegmentId,
    /// Documents that are not deleted.
    pub documents: u32,
    /// Documents that are deleted and still take space.
    pub deleted: u32,
    /// The dense fields, in the schema's order.
    pub fields: Vec<FieldSummary>,
}

/// The vectors of one field in one segment. Those of deleted documents count too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldSummary {
    /// The field's name.
    pub name: String,
    /// How many rows there are.
    pub rows: u32,
    /// How many values were refused while indexing: of another dim, not finite, or no vectors.
    /// Always 0 for what a [`DenseWriter`](crate::DenseWriter) wrote.
    pub refused: u32,
    /// How many rows are in each language; those of no known language are left out.
    pub languages: BTreeMap<LanguageTag, u32>,
    /// How they are searched.
    pub ann: AnnStatus,
}

impl DenseSearcher for Searcher {
    fn vectors(&self, field: Field, document: DocAddress) -> tantivy::Result<Vectors> {
        let segments = Segments::of_index(self.index())?;
        let dim = options_of(&segments, self, field)?.options.dim();
        let rows = rows_of(&segments.of_searcher(self)?, field, document)?;
        let flat = rows.iter().flat_map(|row| row.vector().iter().copied()).collect();
        // Numbers are checked before they are written: others are damage.
        Vectors::from_flat(dim, flat).map_err(|error| DataCorruption::comment_only(error).into())
    }

    fn dense_rows(&self, field: Field, document: DocAddress) -> tantivy::Result<Vec<DenseRow>> {
        let segments = Segments::of_index(self.index())?;
        options_of(&segments, self, field)?;
        rows_of(&segments.of_searcher(self)?, field, document)
    }

    fn dense_segments(&self) -> tantivy::Result<Vec<SegmentSummary>> {
        let segments = Segments::of_index(self.index())?;
        let open = segments.of_searcher(self)?;
        let summaries = open.iter().zip(self.segment_readers()).map(|(open, reader)| {
            let fields = segments.fields().iter().filter_map(|dense| {
                let field = open.field(dense.field)?;
                Some(FieldSummary {
                    name: dense.name.clone(),
                    rows: field.rows().rows(),
                    refused: field.refused(),
                    languages: count_languages(field),
                    ann: open.status(field),
                })
            });
            SegmentSummary {
                id: open.id(),
                documents: reader.num_docs(),
                deleted: reader.num_deleted_docs(),
                fields: fields.collect(),
            }
        });
        Ok(summaries.collect())
    }

    fn verify_vectors(&self) -> tantivy::Result<()> {
        let segments = Segments::of_index(self.index())?;
        for segment in segments.of_searcher(self)? {
            segment.verify()?;
        }
        Ok(())
    }

    fn verify_indexes(&self) -> tantivy::Result<Vec<String>> {
        let segments = Segments::of_index(self.index())?;
        let open = segments.of_searcher(self)?;
        Ok(open.iter().filter_map(|segment| segments.verify_index(segment).err()).collect())
    }
}

fn count_languages(field: &OpenField) -> BTreeMap<LanguageTag, u32> {
    let mut counts = BTreeMap::new();
    if let Some(languages) = field.languages() {
        for tag in (0..field.rows().rows()).filter_map(|row| languages.of(row)) {
            *counts.entry(tag.clone()).or_insert(0) += 1;
        }
    }
    counts
}

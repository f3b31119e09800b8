//! Keeps the vectors of segments open for as long as a searcher may ask for them.
//!
//! After a merge Tantivy deletes the files of the sources, while older searchers go on. So a
//! reader opens the vectors of each new generation at once, through Tantivy's [`Warmer`], and
//! they are let go of when no generation of any reader has the segment.
//!
//! Invariant: what a living [`DenseReader`](crate::DenseReader) has warmed stays open.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tantivy::index::SegmentId;
use tantivy::{
    Index, PluginWriterContext, Searcher, SearcherGeneration, SegmentReader, TantivyError, Warmer,
};

use crate::field::DenseField;
use crate::segment::{DenseSegmentWriter, OpenSegment, VEC};

/// The opened segments of one index.
pub(crate) struct Segments {
    fields: Arc<[DenseField]>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<SegmentId, Arc<OpenSegment>>,
    readers: Vec<Weak<Live>>,
}

/// The segments that one reader's living searchers have.
type Live = Mutex<HashSet<SegmentId>>;

impl Segments {
    pub(crate) fn new(fields: Arc<[DenseField]>) -> Self {
        Self { fields, inner: Mutex::default() }
    }

    /// The dense fields of the index.
    pub(crate) fn fields(&self) -> &[DenseField] {
        &self.fields
    }

    /// The opened segments of the index that a searcher is of.
    ///
    /// Tantivy gives no way from a registered plugin back to its type, except through the writers
    /// that it makes: so one is made, which costs no more than its allocation.
    pub(crate) fn of_index(index: &Index) -> tantivy::Result<Arc<Self>> {
        let segment = index.new_segment();
        let ctx = PluginWriterContext { segment: &segment, memory_budget_in_bytes: 0 };
        for plugin in index.custom_plugins() {
            if plugin.extensions().contains(&VEC) {
                let writer = plugin.create_writer(&ctx)?;
                if let Some(ours) = writer.as_any().downcast_ref::<DenseSegmentWriter>() {
                    return Ok(ours.segments().clone());
                }
            }
        }
        Err(TantivyError::InvalidArgument(
            "the searcher's index was not opened with dense fields; open it with `DenseIndex`, or \
             register `DensePlugin`"
                .to_owned(),
        ))
    }

    /// The vectors of all segments of a searcher, in its order. Those that are not open yet are
    /// opened now.
    pub(crate) fn of_searcher(
        &self,
        searcher: &Searcher,
    ) -> tantivy::Result<Vec<Arc<OpenSegment>>> {
        let mut news = false;
        let open = searcher
            .segment_readers()
            .iter()
            .map(|reader| {
                let known = self.lock().open.get(&reader.segment_id()).cloned();
                news |= known.is_none();
                known.map_or_else(|| self.open(reader), Ok)
            })
            .collect::<tantivy::Result<Vec<_>>>()?;
        if news {
            // Without a `DenseReader` nobody says when a segment is gone.
            self.sweep(searcher.segment_readers().iter().map(SegmentReader::segment_id));
        }
        Ok(open)
    }

    fn open(&self, reader: &SegmentReader) -> tantivy::Result<Arc<OpenSegment>> {
        let opened = Arc::new(OpenSegment::open(reader, &self.fields)?);
        // Two threads may have opened it: the first one's is used by all.
        Ok(self.lock().open.entry(reader.segment_id()).or_insert(opened).clone())
    }

    /// Lets go of what no reader has and is not in `also`.
    fn sweep(&self, also: impl Iterator<Item = SegmentId>) {
        let mut inner = self.lock();
        let mut keep: HashSet<SegmentId> = also.collect();
        inner.readers.retain(|reader| {
            let reader = reader.upgrade();
            keep.extend(reader.iter().flat_map(|live| lock(live).clone()));
            reader.is_some()
        });
        inner.open.retain(|id, _| keep.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

/// No code that panics runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("fields", &self.fields)
            .field("open", &self.lock().open.len())
            .finish_non_exhaustive()
    }
}

/// Opens the vectors of each new generation of one reader.
#[derive(Debug)]
pub(crate) struct SegmentWarmer {
    segments: Arc<Segments>,
    live: Arc<Live>,
}

impl SegmentWarmer {
    pub(crate) fn new(segments: Arc<Segments>) -> Self {
        let live = Arc::new(Live::default());
        segments.lock().readers.push(Arc::downgrade(&live));
        Self { segments, live }
    }
}

impl Warmer for SegmentWarmer {
    fn warm(&self, searcher: &Searcher) -> tantivy::Result<()> {
        let ids = searcher.segment_readers().iter().map(SegmentReader::segment_id);
        lock(&self.live).extend(ids);
        self.segments.of_searcher(searcher).map(drop)
    }

    fn garbage_collect(&self, generations: &[&SearcherGeneration]) {
        *lock(&self.live) =
            generations.iter().flat_map(|live| live.segments().keys().copied()).collect();
        self.segments.sweep(std::iter::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim};
    use tantivy::TantivyDocument;
    use tantivy::indexer::NoMergePolicy;
    use tantivy::schema::Schema;

    #[test]
    fn a_segment_stays_open_while_a_reader_has_it_and_no_longer() {
        let mut schema = Schema::builder();
        let field = schema.add_dense_field("v", DenseOptions::new(Dim::new(1).unwrap()));
        let index = DenseIndex::create_in_ram(schema.build()).unwrap();
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for x in [1.0, 2.0] {
            let mut doc = TantivyDocument::new();
            doc.add_dense(field, &[x]);
            writer.add_document(doc).unwrap();
            writer.commit().unwrap();
        }
        let segments = Segments::of_index(index.tantivy()).unwrap();
        let opened = || segments.lock().open.len();
        let searcher = index.tantivy().reader().unwrap().searcher();
        let first = SegmentWarmer::new(segments.clone());
        let second = SegmentWarmer::new(segments.clone());
        first.warm(&searcher).unwrap();
        second.warm(&searcher).unwrap();
        assert_eq!(opened(), 2);

        first.garbage_collect(&[]);
        assert_eq!(opened(), 2, "the second reader has them still");
        second.garbage_collect(&[searcher.generation()]);
        assert_eq!(opened(), 2, "its searcher lives");
        second.garbage_collect(&[]);
        assert_eq!(opened(), 0);
    }
}

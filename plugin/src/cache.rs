//! Keeps the vectors of segments open for as long as a searcher may ask for them.
//!
//! After a merge Tantivy deletes the files of the sources, while older searchers go on. So a
//! [`DenseReader`](crate::DenseReader) opens the vectors of each new searcher at once and puts
//! them into the [`Index`] that the searcher holds, as a [`Kept`].
//!
//! Not with Tantivy's own `Warmer`: each reader that has one leaves a thread behind that never
//! ends, and what was warmed lives no longer than the reader.
//!
//! Invariant: what a searcher of a `DenseReader` needs is open while the searcher lives, and a
//! segment is opened once for all searchers that have it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tantivy::index::SegmentId;
use tantivy::indexer::doc_id_mapping::DocIdMapping;
use tantivy::{
    Index, PluginMergeContext, PluginWriter, PluginWriterContext, Searcher, Segment, SegmentPlugin,
    SegmentReader, TantivyError,
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
    open: HashMap<SegmentId, Weak<OpenSegment>>,
    /// What the last searcher of a reader of Tantivy's own has: such a searcher keeps nothing.
    last: Vec<Arc<OpenSegment>>,
}

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
        let (open, news) = self.open_all(searcher)?;
        if news {
            let before = mem::replace(&mut self.lock().last, open.clone());
            drop(before);
        }
        Ok(open)
    }

    /// The vectors of all segments of a searcher, and whether any was not open.
    fn open_all(&self, searcher: &Searcher) -> tantivy::Result<(Vec<Arc<OpenSegment>>, bool)> {
        let mut news = false;
        let open = searcher
            .segment_readers()
            .iter()
            .map(|reader| {
                let known = self.lock().open.get(&reader.segment_id()).and_then(Weak::upgrade);
                news |= known.is_none();
                known.map_or_else(|| self.open(reader), Ok)
            })
            .collect::<tantivy::Result<_>>()?;
        Ok((open, news))
    }

    fn open(&self, reader: &SegmentReader) -> tantivy::Result<Arc<OpenSegment>> {
        let opened = Arc::new(OpenSegment::open(reader, &self.fields)?);
        let mut inner = self.lock();
        // Two threads may have opened it: the first one's is used by all.
        if let Some(known) = inner.open.get(&reader.segment_id()).and_then(Weak::upgrade) {
            return Ok(known);
        }
        inner.open.retain(|_, segment| segment.strong_count() > 0);
        inner.open.insert(reader.segment_id(), Arc::downgrade(&opened));
        Ok(opened)
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

/// The vectors of one searcher, in the index that it holds: both live equally long.
///
/// A plugin only because that is what an index carries along; it has no files.
#[derive(Debug, Default)]
pub(crate) struct Kept(OnceLock<Vec<Arc<OpenSegment>>>);

impl Kept {
    /// An index that only one searcher is to be of, and what will keep that one's vectors.
    pub(crate) fn of(index: &Index) -> (Index, Arc<Self>) {
        let kept = Arc::new(Self::default());
        let mut index = index.clone();
        index.register_plugin(kept.clone());
        (index, kept)
    }

    /// Opens the vectors of the searcher.
    pub(crate) fn open(&self, segments: &Segments, searcher: &Searcher) -> tantivy::Result<()> {
        let (open, _) = segments.open_all(searcher)?;
        // Of one searcher there is one list.
        let _ = self.0.set(open);
        Ok(())
    }
}

impl SegmentPlugin for Kept {
    fn extensions(&self) -> &[&str] {
        &[]
    }

    fn create_writer(&self, _: &PluginWriterContext) -> tantivy::Result<Box<dyn PluginWriter>> {
        Ok(Box::new(WritesNothing))
    }

    fn merge(&self, _: PluginMergeContext) -> tantivy::Result<()> {
        Ok(())
    }
}

struct WritesNothing;

impl PluginWriter for WritesNothing {
    fn serialize(self: Box<Self>, _: &Segment, _: Option<&DocIdMapping>) -> tantivy::Result<()> {
        Ok(())
    }

    fn mem_usage(&self) -> usize {
        0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
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
    fn a_segment_is_open_once_while_a_searcher_has_it_and_no_longer() {
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
        let opened = || segments.lock().open.values().filter(|s| s.strong_count() > 0).count();
        let first = index.manual_reader().unwrap();
        let second = index.manual_reader().unwrap();
        let older = first.searcher();
        writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
        first.reload().unwrap();
        assert_eq!(opened(), 3, "two of before, one of after");
        drop(second);
        assert_eq!(opened(), 3, "an older searcher lives");
        drop(older);
        assert_eq!(opened(), 1);
        drop(first);
        assert_eq!(opened(), 0);

        let plain = index.tantivy().reader().unwrap().searcher();
        segments.of_searcher(&plain).unwrap();
        assert_eq!(opened(), 1, "kept for the next search");
    }
}

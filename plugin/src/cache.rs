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
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use tantivy::index::SegmentId;
use tantivy::indexer::doc_id_mapping::DocIdMapping;
use tantivy::{
    Index, PluginMergeContext, PluginWriter, PluginWriterContext, Searcher, Segment, SegmentPlugin,
    SegmentReader, TantivyError,
};

use crate::ann::Gpu;
use crate::field::DenseField;
use crate::segment::{DenseSegmentWriter, OpenSegment, VEC};

/// The opened segments of one index.
pub(crate) struct Segments {
    fields: Arc<[DenseField]>,
    inner: Mutex<Inner>,
    build_threads: AtomicUsize,
    gpu: OnceLock<Gpu>,
    optimizing: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<SegmentId, Weak<OpenSegment>>,
    /// What the last searcher of a reader of Tantivy's own has: such a searcher keeps nothing.
    last: Vec<Arc<OpenSegment>>,
    /// Which index files were found sound, by the checksums of their directories.
    sound: HashSet<(SegmentId, u32)>,
}

impl Segments {
    pub(crate) fn new(fields: Arc<[DenseField]>) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let build_threads = AtomicUsize::new(cores);
        let (inner, optimizing) = (Mutex::default(), Mutex::default());
        Self { fields, inner, build_threads, gpu: OnceLock::new(), optimizing }
    }

    /// How many threads build an index.
    pub(crate) fn build_threads(&self) -> usize {
        self.build_threads.load(Ordering::Relaxed)
    }

    /// Held by the one who builds the indexes that are missing: a second one finds none then.
    pub(crate) fn optimizing(&self) -> MutexGuard<'_, ()> {
        lock(&self.optimizing)
    }

    pub(crate) fn set_build_threads(&self, threads: usize) {
        self.build_threads.store(threads.max(1), Ordering::Relaxed);
    }

    /// What builds and searches beside the processor.
    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        self.gpu.get()
    }

    /// The first one stays: rows may be on its card.
    pub(crate) fn set_gpu(&self, gpu: Gpu) {
        let _ = self.gpu.set(gpu);
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
        self: &Arc<Self>,
        searcher: &Searcher,
    ) -> tantivy::Result<Vec<Arc<OpenSegment>>> {
        let (open, news) = self.open_all(searcher)?;
        if news {
            self.check_later(&open);
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
                let known = self.known(reader);
                news |= known.is_none();
                known.map_or_else(|| self.open(reader), Ok)
            })
            .collect::<tantivy::Result<Vec<_>>>()?;
        Ok((open, news))
    }

    fn known(&self, reader: &SegmentReader) -> Option<Arc<OpenSegment>> {
        self.lock().open.get(&reader.segment_id()).and_then(Weak::upgrade)
    }

    /// One segment, opened now if it is not open yet.
    pub(crate) fn of_reader(&self, reader: &SegmentReader) -> tantivy::Result<Arc<OpenSegment>> {
        self.known(reader).map_or_else(|| self.open(reader), Ok)
    }

    /// Checks a segment's index, unless that was done, and searches with it from then on.
    pub(crate) fn check(&self, segment: &OpenSegment) {
        let id = segment.id();
        let checked = segment.check_ann(|crc| self.lock().sound.contains(&(id, crc)));
        if let Some(crc) = checked {
            let mut inner = self.lock();
            // Those of segments that are gone need not be remembered.
            if inner.sound.len() > 4 * inner.open.len() + 64 {
                let open: HashSet<SegmentId> = inner.open.keys().copied().collect();
                inner.sound.retain(|(known, _)| open.contains(known));
            }
            inner.sound.insert((id, crc));
        }
    }

    /// Reads a segment's index in full, whatever was found before.
    pub(crate) fn verify_index(&self, segment: &OpenSegment) -> Result<(), String> {
        let verified = segment.verify_ann();
        if verified.is_err() {
            // Or else it would be taken for sound when it is opened again.
            self.lock().sound.retain(|(id, _)| *id != segment.id());
        }
        verified
    }

    /// Checks the indexes of segments on a thread of their own, which ends with them.
    pub(crate) fn check_later(self: &Arc<Self>, open: &[Arc<OpenSegment>]) {
        let unchecked = open.iter().filter(|segment| segment.is_unchecked());
        let unchecked: Vec<_> = unchecked.map(Arc::downgrade).collect();
        if unchecked.is_empty() {
            return;
        }
        let segments = self.clone();
        let spawned = thread::Builder::new().name("dense-check".to_owned()).spawn(move || {
            for segment in unchecked.iter().filter_map(Weak::upgrade) {
                segments.check(&segment);
            }
        });
        if let Err(error) = spawned {
            log::warn!(
                "no thread to check indexes with, so segments are searched exactly: {error}"
            );
        }
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

    /// Opens the vectors of the searcher, and looks for indexes that were built since.
    pub(crate) fn open(
        &self,
        segments: &Arc<Segments>,
        searcher: &Searcher,
    ) -> tantivy::Result<()> {
        let (open, _) = segments.open_all(searcher)?;
        for (segment, reader) in open.iter().zip(searcher.segment_readers()) {
            segment.attach(reader);
        }
        segments.check_later(&open);
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

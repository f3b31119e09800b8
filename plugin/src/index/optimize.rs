//! Builds the indexes that segments lack, beside whatever else is going on.
//!
//! Invariant: nothing waits for it but who asks: documents are added, committed, merged and searched
//! meanwhile. What is built for a segment that a merge has taken away is deleted with its next files.

use std::panic;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tantivy::directory::Directory;
use tantivy::directory::error::DeleteError;
use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::{Document, Index, Segment, SegmentReader, TantivyError};

use super::writer::DenseWriter;
use crate::cache::Segments;
use crate::segment::ANN;
use crate::segment::build::build;

impl<D: Document> DenseWriter<D> {
    /// Starts to build the indexes that committed segments lack: those that no merge has built yet,
    /// and those whose file is damaged. Searchers that are open use each one as soon as it is built.
    ///
    /// # Errors
    /// [`OptimizeError::Tantivy`] if no thread can be started.
    pub fn optimize(&self) -> Result<Optimize, OptimizeError> {
        let index = self.tantivy_index().clone();
        let segments = Segments::of_index(&index)?;
        let work = move || run(&index, &segments);
        let named = thread::Builder::new().name("dense-optimize".to_owned());
        let handle = named.spawn(work).map_err(TantivyError::from)?;
        Ok(Optimize { handle })
    }
}

/// Indexes that are being built. Dropped, it goes on by itself.
#[derive(Debug)]
pub struct Optimize {
    handle: JoinHandle<Result<Optimized, OptimizeError>>,
}

impl Optimize {
    /// Whether there is nothing to wait for any more.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until all are built.
    ///
    /// # Errors
    /// [`OptimizeError`] for the first index that could not be built; all others are built.
    ///
    /// # Panics
    /// If the thread did.
    pub fn wait(self) -> Result<Optimized, OptimizeError> {
        match self.handle.join() {
            Ok(done) => done,
            Err(panicked) => panic::resume_unwind(panicked),
        }
    }
}

/// What was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Optimized {
    /// The segments that got an index.
    pub built: Vec<SegmentId>,
}

/// Why an index could not be built. Its segment is searched exactly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum OptimizeError {
    /// The backend failed, or the file could not be written.
    #[error("the index of segment {} could not be built: {why}", segment.uuid_string())]
    Build { segment: SegmentId, why: String },
    /// Tantivy could not open the segments.
    #[error(transparent)]
    Tantivy(#[from] TantivyError),
}

fn run(index: &Index, segments: &Arc<Segments>) -> Result<Optimized, OptimizeError> {
    let _one = segments.optimizing();
    let mut done = Optimized::default();
    let mut failed = None;
    for segment in index.searchable_segments()? {
        match build_one(&segment, segments) {
            Ok(true) => done.built.push(segment.id()),
            Ok(false) => {}
            // A merge may have taken the segment away while it was read.
            Err(error) => {
                if index.searchable_segment_ids()?.contains(&segment.id()) {
                    failed.get_or_insert(error);
                }
            }
        }
    }
    failed.map_or(Ok(done), Err)
}

fn build_one(segment: &Segment, segments: &Arc<Segments>) -> Result<bool, OptimizeError> {
    let reader = SegmentReader::open(segment)?;
    let open = segments.of_reader(&reader)?;
    open.attach(&reader);
    segments.check(&open);
    if !open.needs_index() {
        return Ok(false);
    }
    // A sound index of another field is built again with it: one file holds all.
    let failed = |why| OptimizeError::Build { segment: segment.id(), why };
    // An index over damaged rows would pass for one over the rows of a file put back later.
    open.verify().map_err(TantivyError::from)?;
    // Before a file is deleted that another machine may be able to use.
    for field in open.fields() {
        field.backend(None).map_err(|error| failed(error.to_string()))?;
    }
    let path = segment.relative_path(SegmentComponent::Custom(ANN.to_owned()));
    match segment.index().directory().delete(&path) {
        Ok(()) | Err(DeleteError::FileDoesNotExist(_)) => {}
        Err(error) => return Err(failed(error.to_string())),
    }
    let built =
        build(segment, &open, segments, |_| None).map_err(|error| failed(error.to_string()))?;
    open.attach_built(&reader);
    segments.check(&open);
    Ok(built)
}

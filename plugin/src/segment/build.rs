//! Builds the `.ann` of a segment: at the end of a merge, or later for a segment that has none.
//!
//! Memory, beside the mapped files: a graph's links (8 bytes a row times `m`, and a lock of 4), a byte a
//! row for each thread, and codes where the recipe has them. Rows are read where they lie.
//!
//! Invariant: one index is built at a time in a process, by as many threads as the index was given, so
//! that builders never have more threads than one of them.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tantivy::Segment;
use tantivy::directory::error::OpenWriteError;
use tantivy::directory::{Directory, TerminatingWrite};
use tantivy::index::SegmentComponent;

use super::ANN;
use super::annfile::{AnnEntry, AnnFileWriter};
use super::reader::{EXACT, OpenField, OpenSegment};
use crate::ann::{AnnError, AnnParts, Base, BuildJob};
use crate::cache::Segments;

/// Held while an index is built.
static BUILDING: Mutex<()> = Mutex::new(());

/// An index of one field to go on from: it is over the first of the rows.
pub(crate) struct FieldBase {
    pub(crate) entry: AnnEntry,
    pub(crate) parts: AnnParts,
}

/// Writes the indexes of all fields that want one, and says whether there was any. `base` gives what a
/// field's index can go on from.
pub(crate) fn build(
    segment: &Segment,
    open: &OpenSegment,
    segments: &Segments,
    mut base: impl FnMut(&OpenField) -> Option<FieldBase>,
) -> Result<bool, BuildError> {
    let mut jobs = Vec::new();
    for field in open.fields() {
        if let Some(backend) = field.backend(segments.gpu())? {
            jobs.push((field, backend, base(field)));
        }
    }
    if jobs.is_empty() {
        return Ok(false);
    }
    let path = segment.relative_path(SegmentComponent::Custom(ANN.to_owned()));
    let directory = segment.index().directory();
    let component = SegmentComponent::Custom(ANN.to_owned());
    let mut file = AnnFileWriter::new(
        || {
            segment.open_write(component).map_err(|error| match error {
                OpenWriteError::IoError { io_error, .. } => {
                    io::Error::new(io_error.kind(), io_error)
                }
                other @ OpenWriteError::FileAlreadyExists(_) => {
                    io::Error::new(io::ErrorKind::AlreadyExists, other)
                }
            })
        },
        open.crc(),
    );
    let mut write = || -> Result<(), BuildError> {
        for (field, backend, base) in &jobs {
            let rows = field.rows();
            let of_base = base.as_ref().filter(|base| base.entry.backend == backend.name());
            let base = of_base.map(|base| Base { parts: &base.parts, rows: base.entry.rows });
            let job = BuildJob { rows, base, threads: segments.build_threads() };
            let handle = field.handle().field_id();
            let recipe = field.recipe().resolved().to_string();
            match on_own_threads(|| backend.build(&job, &mut file)) {
                Ok(()) => file.field(handle, backend.name(), recipe, rows.rows()),
                Err(AnnError::Rows { what }) => {
                    log::warn!("field {handle}: {}", AnnError::Rows { what });
                    file.forget();
                    file.field(handle, EXACT, EXACT.to_owned(), rows.rows());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    let written = write().and_then(|()| Ok(file.finish()?.terminate()?));
    if written.is_err() {
        // Half a file would only be met by the next reader.
        let _ = directory.delete(&path);
    }
    written.map(|()| true)
}

/// Runs on a thread that ends with the work, because OpenMP keeps a team of threads for each thread
/// that ever led one.
fn on_own_threads<T: Send>(
    work: impl FnOnce() -> Result<T, AnnError> + Send,
) -> Result<T, AnnError> {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let spawned = thread::scope(|scope| {
        let named = thread::Builder::new().name("dense-build".to_owned());
        let handle = named.spawn_scoped(scope, || panic::catch_unwind(AssertUnwindSafe(work)));
        handle.map(thread::ScopedJoinHandle::join)
    });
    match spawned {
        Ok(Ok(Ok(done))) => done,
        Ok(_) => Err(AnnError::Backend { backend: "the builder", source: "it panicked".into() }),
        Err(error) => Err(AnnError::Backend { backend: "the builder", source: Box::new(error) }),
    }
}

/// Why a segment's index could not be built. Its rows are compared then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Ann(#[from] AnnError),
    #[error("the file could not be written: {0}")]
    Io(#[from] io::Error),
}

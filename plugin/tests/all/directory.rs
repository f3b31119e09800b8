//! A directory in memory in which things happen at a chosen moment.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tantivy::directory::error::{DeleteError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, FileHandle, RamDirectory, WatchCallback, WatchCallbackList, WatchHandle, WritePtr,
};

type Event = Box<dyn FnOnce() + Send>;

/// Delegates to memory, but runs an event before the next `.vec` file is opened, refuses to
/// write `.vec` files when told to, and tells of commits when told to.
#[derive(Clone)]
pub(crate) struct Staged {
    inner: RamDirectory,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    before_open: Mutex<Option<Event>>,
    missing: AtomicUsize,
    refuses: AtomicBool,
    refuses_reads: AtomicBool,
    watchers: WatchCallbackList,
}

impl Staged {
    pub(crate) fn new() -> Self {
        Self { inner: RamDirectory::create(), state: Arc::default() }
    }

    /// What happens before the next `.vec` file is opened.
    pub(crate) fn before_open(&self, event: impl FnOnce() + Send + 'static) {
        *self.state.before_open.lock().unwrap() = Some(Box::new(event));
    }

    /// How many `.vec` files were asked for that were not there.
    pub(crate) fn missing(&self) -> usize {
        self.state.missing.load(Ordering::SeqCst)
    }

    /// Tells all watchers that there is a commit, and waits until they are done.
    pub(crate) fn tell_watchers(&self) {
        self.state.watchers.broadcast().wait().unwrap();
    }

    /// Whether reading small files, such as the list of segments, fails from now on.
    pub(crate) fn refuse_reads(&self, refuses: bool) {
        self.state.refuses_reads.store(refuses, Ordering::SeqCst);
    }

    /// Whether writing `.vec` files fails from now on.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }
}

fn is_vec(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "vec")
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Staged")
    }
}

impl Directory for Staged {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        if is_vec(path) {
            let event = self.state.before_open.lock().unwrap().take();
            if let Some(event) = event {
                event();
            }
        }
        let handle = self.inner.get_file_handle(path);
        if is_vec(path) && handle.is_err() {
            self.state.missing.fetch_add(1, Ordering::SeqCst);
        }
        handle
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.inner.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        if is_vec(path) && self.state.refuses.load(Ordering::SeqCst) {
            let full = io::Error::new(io::ErrorKind::StorageFull, "told to refuse");
            return Err(OpenWriteError::wrap_io_error(full, path.to_owned()));
        }
        self.inner.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        if self.state.refuses_reads.load(Ordering::SeqCst) {
            let error = io::Error::other("told to refuse");
            return Err(OpenReadError::wrap_io_error(error, path.to_owned()));
        }
        self.inner.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.inner.atomic_write(path, data)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(self.state.watchers.subscribe(callback))
    }
}

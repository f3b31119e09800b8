//! FAISS for CUDA cards: another copy of it, in a shared library with FAISS's C API, which is loaded
//! while the program runs.
//!
//! Invariant: neither copy of FAISS sees the other's symbols, and nothing but numbers and bytes goes
//! from one to the other. FAISS lets one thread at a time use a card's resources: whatever is kept there is
//! made, used and freed under their lock.
//!
//! More than 500 lines: all that is unsafe of it is to be read in one place.
//!
//! Left out on purpose: unloading. CUDA and OpenMP keep threads that run the library's code.

use std::cell::RefCell;
use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{AnnError, FaissError};
use crate::ann::GpuError;
use crate::element::Element;
use crate::shared_library;
use crate::vector::{Dim, Metric};

/// FAISS finds at most so many neighbours, and reads at most so many lists, on a card
/// (`GPU_MAX_SELECTION_K`).
pub(in crate::ann) const MOST: usize = 2048;

/// How FAISS's files of lists begin that a card can have: of rows, and of codes by scalar and product quantizers.
const LISTS: [&[u8; 4]; 3] = [b"IwFl", b"IwSq", b"IwPQ"];

/// Whatever FAISS gives out a pointer to.
type Raw = *mut c_void;

/// FAISS's `FaissClusteringParameters`, as of 1.12.
#[repr(C)]
#[derive(Default)]
struct Clustering {
    iterations: c_int,
    redo: c_int,
    verbose: c_int,
    spherical: c_int,
    int_centroids: c_int,
    update_index: c_int,
    frozen_centroids: c_int,
    min_points_per_centroid: c_int,
    max_points_per_centroid: c_int,
    seed: c_int,
    decode_block_size: usize,
}

/// Declares the functions that are looked up in the library.
macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// Says which function is missing.
            fn of(library: &Library) -> Result<Self, String> {
                // SAFETY: these are FAISS's own declarations of the functions of these names.
                unsafe {
                    Ok(Self {
                        $($field: *library
                            .get(concat!("faiss_", $name))
                            .map_err(|error| error.to_string())?,)*
                    })
                }
            }
        }
    };
}

functions! {
    last_error = "get_last_error": fn() -> *const c_char;
    cards = "get_num_gpus": fn(*mut c_int) -> c_int;
    resources_new = "StandardGpuResources_new": fn(*mut Raw) -> c_int;
    resources_free = "StandardGpuResources_free": fn(Raw);
    options_new = "GpuClonerOptions_new": fn(*mut Raw) -> c_int;
    options_f16 = "GpuClonerOptions_set_useFloat16": fn(Raw, c_int);
    options_free = "GpuClonerOptions_free": fn(Raw);
    to_card = "index_cpu_to_gpu_with_options": fn(Raw, c_int, Raw, Raw, *mut Raw) -> c_int;
    to_processor = "index_gpu_to_cpu": fn(Raw, *mut Raw) -> c_int;
    factory = "index_factory": fn(*mut Raw, c_int, *const c_char, c_int) -> c_int;
    free = "Index_free": fn(Raw);
    train = "Index_train": fn(Raw, i64, *const f32) -> c_int;
    add = "Index_add": fn(Raw, i64, *const f32) -> c_int;
    rows = "Index_ntotal": fn(Raw) -> i64;
    dim = "Index_d": fn(Raw) -> c_int;
    search = "Index_search_with_params":
        fn(Raw, i64, *const f32, i64, Raw, *mut f32, *mut i64) -> c_int;
    as_lists = "IndexIVF_cast": fn(Raw) -> Raw;
    count_of_lists = "IndexIVF_nlist": fn(Raw) -> usize;
    centroids_index = "IndexIVF_quantizer": fn(Raw) -> Raw;
    probes_new = "SearchParametersIVF_new_with": fn(*mut Raw, Raw, usize, usize) -> c_int;
    probes_free = "SearchParametersIVF_free": fn(Raw);
    clustering_defaults = "ClusteringParameters_init": fn(*mut Clustering);
    clustering_new = "Clustering_new_with_params":
        fn(*mut Raw, c_int, c_int, *const Clustering) -> c_int;
    clustering_train = "Clustering_train": fn(Raw, i64, *const f32, Raw) -> c_int;
    clustering_centroids = "Clustering_centroids": fn(Raw, *mut *mut f32, *mut usize);
    clustering_free = "Clustering_free": fn(Raw);
    writer_new = "CustomIOWriter_new":
        fn(*mut Raw, extern "C" fn(*const c_void, usize, usize) -> usize) -> c_int;
    writer_free = "CustomIOWriter_free": fn(Raw);
    write = "write_index_custom": fn(Raw, Raw, c_int) -> c_int;
    reader_new = "CustomIOReader_new":
        fn(*mut Raw, extern "C" fn(*mut c_void, usize, usize) -> usize) -> c_int;
    reader_free = "CustomIOReader_free": fn(Raw);
    read = "read_index_custom": fn(Raw, c_int, *mut Raw) -> c_int;
}

impl Functions {
    /// What FAISS said went wrong, if it says so.
    fn call(&self, result: c_int) -> Result<(), FaissError> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: it takes nothing.
        let said = unsafe { (self.last_error)() };
        if said.is_null() {
            return Err(FaissError::saying("it does not say why"));
        }
        // SAFETY: it is a text that lives until this thread's next call.
        Err(FaissError::saying(&unsafe { CStr::from_ptr(said) }.to_string_lossy()))
    }

    /// What a function makes, which `free` takes back.
    fn made(
        &self,
        free: unsafe extern "C" fn(Raw),
        make: impl FnOnce(*mut Raw) -> c_int,
    ) -> Result<Made, FaissError> {
        let mut made = ptr::null_mut();
        self.call(make(&raw mut made))?;
        let raw = NonNull::new(made).ok_or_else(|| FaissError::saying("it made nothing"))?;
        Ok(Made { raw, free })
    }

    /// Trains an index on whole rows of its dim.
    fn train(&self, index: &Made, dim: Dim, rows: &[f32]) -> Result<(), FaissError> {
        let count = count_code(dim, rows)?;
        // SAFETY: the index is whole, and there are so many rows of its dim.
        self.call(unsafe { (self.train)(index.raw(), count, rows.as_ptr()) })
    }

    /// Adds whole rows of an index's dim to it.
    fn add(&self, index: &Made, dim: Dim, rows: &[f32]) -> Result<(), FaissError> {
        let count = count_code(dim, rows)?;
        // SAFETY: the index is whole, and there are so many rows of its dim.
        self.call(unsafe { (self.add)(index.raw(), count, rows.as_ptr()) })
    }

    /// An index of the processor's as one with lists; null if it has none, or hides them.
    fn lists_of(&self, index: &Made) -> Raw {
        // SAFETY: the index is whole.
        unsafe { (self.as_lists)(index.raw()) }
    }

    /// How many lists an index of the processor's has; 0 if it has none, or hides them.
    fn count_of_lists(&self, index: &Made) -> usize {
        let lists = self.lists_of(index);
        // SAFETY: it is an index with lists.
        if lists.is_null() { 0 } else { unsafe { (self.count_of_lists)(lists) } }
    }
}

/// Something of FAISS's, freed with this.
struct Made {
    raw: NonNull<c_void>,
    free: unsafe extern "C" fn(Raw),
}

impl Made {
    fn raw(&self) -> Raw {
        self.raw.as_ptr()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: `free` is FAISS's function for what `raw` is, and is called once.
        unsafe { (self.free)(self.raw()) }
    }
}

// SAFETY: FAISS ties nothing of it to a thread; one thread at a time has it.
unsafe impl Send for Made {}

/// Memory and streams of a card, for one purpose.
struct Resources(Made);

/// What a card is used for. Each has resources of its own, so that a search does not wait until an
/// index is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ann) enum Purpose {
    Building,
    Searching,
}

/// A card that FAISS can use.
pub(in crate::ann) struct Card {
    faiss: Functions,
    device: c_int,
    building: Mutex<Resources>,
    searching: Mutex<Resources>,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Card {
    /// Loads the library, and sees whether it finds the card.
    pub(in crate::ann) fn open(library: &Path, device: u32) -> Result<Self, GpuError> {
        // A relative path without a separator would be looked for in the system's folders.
        let path = std::path::absolute(library).unwrap_or_else(|_| library.to_owned());
        if !path.is_file() {
            return Err(GpuError::Missing { library: path });
        }
        match shared_library::is_cut_short(&path) {
            Ok(false) => {}
            Ok(true) => return Err(GpuError::CutShort { library: path }),
            Err(source) => return Err(GpuError::Io { library: path, source }),
        }
        let fail = |reason| GpuError::Load { library: path.clone(), reason };
        // SAFETY: the library's initialisers are those of FAISS, CUDA and OpenBLAS, which expect to be
        // run like this.
        let loaded = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
        // What the system's loader says is behind that it failed.
        let said = |error: libloading::Error| match error.source() {
            Some(source) => source.to_string(),
            None => error.to_string(),
        };
        let loaded = loaded.map_err(|error| fail(said(error)))?;
        let faiss = Functions::of(&loaded).map_err(fail)?;
        // It stays loaded for the process's life.
        let _ = loaded.into_raw();
        let mut cards = 0;
        // SAFETY: it writes a number.
        let counted = faiss.call(unsafe { (faiss.cards)(&raw mut cards) });
        let refused = |error: FaissError| GpuError::Faiss { reason: error.to_string() };
        counted.map_err(refused)?;
        let cards = u32::try_from(cards).unwrap_or(0);
        let (Ok(number), true) = (c_int::try_from(device), device < cards) else {
            return Err(GpuError::NoCard { device, cards });
        };
        // SAFETY: it writes a pointer to what it made.
        let make = |out| unsafe { (faiss.resources_new)(out) };
        let [building, searching] = [(); 2].map(|()| faiss.made(faiss.resources_free, make));
        Ok(Self {
            building: Mutex::new(Resources(building.map_err(refused)?)),
            searching: Mutex::new(Resources(searching.map_err(refused)?)),
            device: number,
            faiss,
        })
    }

    fn lock(&self, purpose: Purpose) -> MutexGuard<'_, Resources> {
        let resources = match purpose {
            Purpose::Building => &self.building,
            Purpose::Searching => &self.searching,
        };
        // What a panic has left half-made is freed where it unwinds.
        resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Centroids of rows of floats, by k-means; of length 1 for a cosine. As the processor's FAISS is
    /// asked for them.
    pub(in crate::ann) fn kmeans(
        &self,
        dim: Dim,
        metric: Metric,
        rows: &[f32],
        lists: u32,
    ) -> Result<Vec<f32>, AnnError> {
        let resources = self.lock(Purpose::Building);
        let faiss = &self.faiss;
        let mut parameters = Clustering::default();
        // SAFETY: it fills the structure, which has FAISS's layout.
        unsafe { (faiss.clustering_defaults)(&raw mut parameters) };
        parameters.iterations = 10;
        parameters.seed = 1234;
        parameters.spherical = c_int::from(metric == Metric::Cosine);
        parameters.min_points_per_centroid = 1;
        // The sample was drawn by the caller.
        parameters.max_points_per_centroid = 1 << 30;
        let (d, k) = (dim_code(dim), c_int::try_from(lists).map_err(|_| too_many("lists"))?);
        // SAFETY: it copies the structure, and writes a pointer to what it made.
        let make = |out| unsafe { (faiss.clustering_new)(out, d, k, &raw const parameters) };
        let clustering = faiss.made(faiss.clustering_free, make).map_err(failed)?;
        let nearest = self.described(dim, centroid_metric(metric), "Flat");
        let nearest = nearest.and_then(|nearest| self.on_card(&resources, &nearest));
        let nearest = nearest.map_err(failed)?;
        let count = count_code(dim, rows).map_err(failed)?;
        // SAFETY: there are `count` rows of `dim` floats, as many as the clustering and the index have.
        let trained = unsafe {
            (faiss.clustering_train)(clustering.raw(), count, rows.as_ptr(), nearest.raw())
        };
        faiss.call(trained).map_err(failed)?;
        let (mut first, mut length) = (ptr::null_mut(), 0);
        // SAFETY: it writes where the centroids are, and how many numbers.
        unsafe {
            (faiss.clustering_centroids)(clustering.raw(), &raw mut first, &raw mut length);
        }
        if first.is_null() || length != lists as usize * dim.get() {
            return Err(failed(FaissError::saying("it made another number of centroids")));
        }
        // SAFETY: there are so many numbers, as long as the clustering lives.
        Ok(unsafe { std::slice::from_raw_parts(first, length) }.to_vec())
    }

    /// An index of FAISS's own kinds, on the processor.
    fn described(&self, dim: Dim, metric: Metric, description: &str) -> Result<Made, FaissError> {
        let described = CString::new(description);
        let described = described.map_err(|_| FaissError::saying("a zero byte in it"))?;
        let faiss = &self.faiss;
        // SAFETY: the text ends with a zero byte; a pointer to what it made is written.
        let make = |out| unsafe {
            (faiss.factory)(out, dim_code(dim), described.as_ptr(), metric_code(metric))
        };
        faiss.made(faiss.free, make)
    }

    /// A copy on the card.
    fn on_card(&self, resources: &Resources, index: &Made) -> Result<Made, FaissError> {
        let faiss = &self.faiss;
        // SAFETY: a pointer to what it made is written.
        let options = faiss.made(faiss.options_free, |out| unsafe { (faiss.options_new)(out) })?;
        // Of product quantizers with more than 48 parts, a card has no room for tables of f32. Rows that lie
        // in no lists would become f16 by it, and must not.
        let half_tables = c_int::from(faiss.count_of_lists(index) > 0);
        // SAFETY: the options are whole.
        unsafe { (faiss.options_f16)(options.raw(), half_tables) };
        let provider = resources.0.raw();
        // SAFETY: the resources' lock is held, index and options are whole; a pointer to a copy is written.
        let make = |out| unsafe {
            (faiss.to_card)(provider, self.device, index.raw(), options.raw(), out)
        };
        faiss.made(faiss.free, make)
    }
}

thread_local! {
    /// What FAISS writes on this thread.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// What FAISS reads on this thread, and how far it is.
    static READ: RefCell<(Vec<u8>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

extern "C" fn write_bytes(bytes: *const c_void, size: usize, items: usize) -> usize {
    let Some(length) = size.checked_mul(items).filter(|length| *length > 0) else { return items };
    // SAFETY: FAISS hands over `items` times `size` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
    items
}

extern "C" fn read_bytes(out: *mut c_void, size: usize, items: usize) -> usize {
    READ.with_borrow_mut(|(bytes, at)| {
        // Whole items, as `fread` has it.
        let whole = (bytes.len() - *at).checked_div(size).unwrap_or(0).min(items);
        // SAFETY: FAISS has room for `items` times `size` bytes, and so many are left.
        unsafe { ptr::copy_nonoverlapping(bytes[*at..].as_ptr(), out.cast(), whole * size) };
        *at += whole * size;
        whole
    })
}

/// An index on a card.
pub(in crate::ann) struct CardIndex {
    card: Arc<Card>,
    purpose: Purpose,
    /// None only while it is dropped.
    made: Option<Made>,
    dim: Dim,
    /// How many lists it has; 0 if it has none, or hides them.
    lists: usize,
}

// SAFETY: it is used under the lock of its resources.
unsafe impl Sync for CardIndex {}

impl fmt::Debug for CardIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardIndex").field("card", &self.card).finish_non_exhaustive()
    }
}

impl Drop for CardIndex {
    fn drop(&mut self) {
        let _resources = self.card.lock(self.purpose);
        drop(self.made.take());
    }
}

impl CardIndex {
    fn with(
        card: &Arc<Card>,
        purpose: Purpose,
        dim: Dim,
        make: impl FnOnce(&Card) -> Result<Made, FaissError>,
    ) -> Result<Self, AnnError> {
        let resources = card.lock(purpose);
        let index = make(card).map_err(failed)?;
        let lists = card.faiss.count_of_lists(&index);
        let made = Some(card.on_card(&resources, &index).map_err(failed)?);
        drop(resources);
        Ok(Self { card: card.clone(), purpose, made, dim, lists })
    }

    /// One that compares all rows; it has none yet.
    pub(in crate::ann) fn flat(
        card: &Arc<Card>,
        purpose: Purpose,
        dim: Dim,
        metric: Metric,
    ) -> Result<Self, AnnError> {
        Self::with(card, purpose, dim, |card| card.described(dim, metric, "Flat"))
    }

    /// One that finds the nearest of centroids.
    pub(in crate::ann) fn of_centroids(
        card: &Arc<Card>,
        dim: Dim,
        metric: Metric,
        centroids: &[f32],
    ) -> Result<Self, AnnError> {
        let mut nearest = Self::flat(card, Purpose::Building, dim, centroid_metric(metric))?;
        nearest.add(centroids)?;
        Ok(nearest)
    }

    /// Lists around centroids, without rows yet; codes of rows are made as a sample has them.
    pub(in crate::ann) fn lists(
        card: &Arc<Card>,
        dim: Dim,
        metric: Metric,
        centroids: &[f32],
        codes: Option<Element>,
        sample: &[f32],
    ) -> Result<Self, AnnError> {
        let lists = centroids.len() / dim.get();
        let codes = match codes {
            None | Some(Element::F32) => "Flat",
            Some(Element::F16) => "SQfp16",
            Some(Element::Int8) => "SQ8",
        };
        Self::with(card, Purpose::Searching, dim, |card| {
            let index = card.described(dim, metric, &format!("IVF{lists},{codes}"))?;
            let faiss = &card.faiss;
            let lists = faiss.lists_of(&index);
            if lists.is_null() {
                return Err(FaissError::saying("it made an index without lists"));
            }
            // SAFETY: it is an index with lists, which owns another one for their centroids.
            let nearest = unsafe { (faiss.centroids_index)(lists) };
            let count = count_code(dim, centroids)?;
            // SAFETY: the index that was made lives, and so does what it owns; there are so many centroids of
            // its dim.
            faiss.call(unsafe { (faiss.add)(nearest, count, centroids.as_ptr()) })?;
            faiss.train(&index, dim, sample)?;
            Ok(index)
        })
    }

    /// Any of FAISS's own making, without rows yet.
    pub(in crate::ann) fn make(
        card: &Arc<Card>,
        dim: Dim,
        metric: Metric,
        description: &str,
    ) -> Result<Self, AnnError> {
        Self::with(card, Purpose::Building, dim, |card| card.described(dim, metric, description))
    }

    /// One that FAISS wrote, of so many rows; none if a card has not its like: FAISS would take those that are
    /// made of lists and of something more (`FlatDedup`, `PQ8+8`) for lists alone.
    pub(in crate::ann) fn open(
        card: &Arc<Card>,
        dim: Dim,
        rows: u32,
        bytes: &[u8],
    ) -> Result<Option<Self>, AnnError> {
        if !LISTS.iter().any(|kind| bytes.starts_with(*kind)) {
            return Ok(None);
        }
        let faiss = &card.faiss;
        let read = || {
            // SAFETY: a pointer to what it made is written.
            let reader = faiss
                .made(faiss.reader_free, |out| unsafe { (faiss.reader_new)(out, read_bytes) })?;
            READ.set((bytes.to_vec(), 0));
            // SAFETY: the reader is whole, and calls `read_bytes` on this thread.
            let index = faiss.made(faiss.free, |out| unsafe { (faiss.read)(reader.raw(), 0, out) });
            READ.set((Vec::new(), 0));
            let index = index?;
            // SAFETY: the index is whole.
            let same_dim = unsafe { (faiss.dim)(index.raw()) } == dim_code(dim);
            // SAFETY: the index is whole.
            if same_dim && unsafe { (faiss.rows)(index.raw()) } == i64::from(rows) {
                Ok(index)
            } else {
                Err(FaissError::saying("it is an index of other rows"))
            }
        };
        let index = read().map_err(failed)?;
        Self::with(card, Purpose::Searching, dim, |_| Ok(index)).map(Some)
    }

    fn made(&self) -> &Made {
        self.made.as_ref().expect("it is taken only when this is dropped")
    }

    /// How many lists it has, where that can be told.
    pub(in crate::ann) fn count_of_lists(&self) -> usize {
        self.lists
    }

    /// Trains it on rows of floats.
    pub(in crate::ann) fn train(&mut self, rows: &[f32]) -> Result<(), AnnError> {
        let _resources = self.card.lock(self.purpose);
        self.card.faiss.train(self.made(), self.dim, rows).map_err(failed)
    }

    /// Adds rows of floats behind those that it has.
    pub(in crate::ann) fn add(&mut self, rows: &[f32]) -> Result<(), AnnError> {
        let _resources = self.card.lock(self.purpose);
        self.card.faiss.add(self.made(), self.dim, rows).map_err(failed)
    }

    /// For each query its `k` nearest rows, as products or squared distances, nearest first; where there
    /// are fewer, -1 for a row. At most [`MOST`] of them, and as many lists.
    pub(in crate::ann) fn search(
        &self,
        queries: &[f32],
        k: usize,
        probes: Option<usize>,
    ) -> Result<(Vec<f32>, Vec<i64>), AnnError> {
        let resources = self.card.lock(self.purpose);
        let faiss = &self.card.faiss;
        let count = queries.len() / self.dim.get();
        let (mut distances, mut rows) = (vec![0.0; count * k], vec![-1; count * k]);
        let probes = probes
            .map(|probes| {
                // SAFETY: without a selector; a pointer to what it made is written.
                let make = |out| unsafe { (faiss.probes_new)(out, ptr::null_mut(), probes, 0) };
                faiss.made(faiss.probes_free, make)
            })
            .transpose()
            .map_err(failed)?;
        let parameters = probes.as_ref().map_or(ptr::null_mut(), Made::raw);
        let asked = count_code(self.dim, queries).map_err(failed)?;
        let many = i64::try_from(k).map_err(|_| too_many("neighbours"))?;
        // SAFETY: there are so many queries of its dim, and room for `k` answers to each. Parameters are
        // given to indexes with lists alone.
        let searched = unsafe {
            (faiss.search)(
                self.made().raw(),
                asked,
                queries.as_ptr(),
                many,
                parameters,
                distances.as_mut_ptr(),
                rows.as_mut_ptr(),
            )
        };
        faiss.call(searched).map_err(failed)?;
        drop(resources);
        Ok((distances, rows))
    }

    /// The bytes of a copy for the processor.
    pub(in crate::ann) fn bytes(&self) -> Result<Vec<u8>, AnnError> {
        let _resources = self.card.lock(self.purpose);
        let faiss = &self.card.faiss;
        let written = || -> Result<(), FaissError> {
            // SAFETY: it is whole; a pointer to a copy is written.
            let make = |out| unsafe { (faiss.to_processor)(self.made().raw(), out) };
            let copy = faiss.made(faiss.free, make)?;
            // SAFETY: a pointer to what it made is written.
            let make = |out| unsafe { (faiss.writer_new)(out, write_bytes) };
            let writer = faiss.made(faiss.writer_free, make)?;
            // SAFETY: both are whole, and it calls `write_bytes` on this thread.
            faiss.call(unsafe { (faiss.write)(copy.raw(), writer.raw(), 0) })
        };
        WRITTEN.set(Vec::new());
        let written = written();
        let bytes = WRITTEN.take();
        written.map_err(failed)?;
        Ok(bytes)
    }
}

fn dim_code(dim: Dim) -> c_int {
    c_int::try_from(dim.get()).expect("a dim has 16 bits")
}

/// How many whole rows there are.
fn count_code(dim: Dim, rows: &[f32]) -> Result<i64, FaissError> {
    i64::try_from(rows.len() / dim.get()).map_err(|_| FaissError::saying("too many rows"))
}

/// FAISS's numbers for them; the rows of a cosine have length 1.
fn metric_code(metric: Metric) -> c_int {
    match metric {
        Metric::Cosine | Metric::Dot => 0,
        Metric::L2 => 1,
    }
}

/// How rows are given to centroids: only rows of length 1 by their products.
fn centroid_metric(metric: Metric) -> Metric {
    match metric {
        Metric::Cosine => Metric::Cosine,
        Metric::Dot | Metric::L2 => Metric::L2,
    }
}

fn failed(error: FaissError) -> AnnError {
    AnnError::Backend { backend: "FAISS on the card", source: Box::new(error) }
}

fn too_many(what: &str) -> AnnError {
    failed(FaissError::saying(&format!("too many {what}")))
}

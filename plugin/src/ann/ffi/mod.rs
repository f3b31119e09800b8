//! FAISS: the one home of unsafe code.
//!
//! Invariant: what is handed to C++ is checked here or said to be checked by the caller; what C++
//! keeps a pointer to lives as long as what keeps it; an exception becomes a [`FaissError`].
//!
//! More than 500 lines: all that is unsafe is to be read in one place, and declarations take many.

#![expect(unsafe_code, reason = "C++ is called here and nowhere else")]

pub(super) mod gpu;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::io::{self, Write};
use std::ptr;

// Linked, not called: the shim calls into it.
use faiss_sys as _;
use tantivy::directory::OwnedBytes;
use zerocopy::FromBytes;

use super::{Accept, AnnError, Numbers, RowsView};
use crate::element::Element;
use crate::vector::{Dim, Metric};

/// What FAISS said went wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct FaissError {
    text: String,
}

impl FaissError {
    /// FAISS puts the place in its sources first: "Error in ... at ...cpp:12: Error: 'x' failed: why".
    fn saying(said: &str) -> Self {
        let place = [".cpp:", ".cu:", ".cuh:"].iter().find_map(|file| said.split_once(file));
        let after = place.and_then(|(_, rest)| rest.split_once(": "));
        Self { text: after.map_or(said, |(_, why)| why).trim().to_owned() }
    }
}

#[repr(C)]
struct Rows {
    first: *const c_void,
    scales: *const f32,
    inverse_norms: *const f32,
    count: u64,
    dim: u32,
    element: u8,
    metric: u8,
}

#[repr(C)]
struct ErrorText {
    text: *mut c_char,
    length: usize,
}

#[repr(C)]
struct RawGraph {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawIndex {
    _opaque: [u8; 0],
}

type WriteCallback = extern "C" fn(*mut c_void, *const u8, usize) -> c_int;

unsafe extern "C" {
    fn td_graph_build(
        rows: *const Rows,
        m: c_int,
        ef_construction: c_int,
        threads: c_int,
        base_count: u64,
        base_levels: *const u8,
        base_neighbours: *const i32,
        base_length: usize,
        base_entry: i32,
        out: *mut *mut RawGraph,
        error: ErrorText,
    ) -> c_int;
    fn td_graph_view(
        m: c_int,
        count: u64,
        levels: *const u8,
        neighbours: *const i32,
        length: usize,
        entry: i32,
        out: *mut *mut RawGraph,
        error: ErrorText,
    ) -> c_int;
    fn td_graph_free(graph: *mut RawGraph);
    fn td_graph_parts(
        graph: *const RawGraph,
        levels: *mut *const c_int,
        neighbours: *mut *const i32,
        length: *mut usize,
        entry: *mut i32,
    );
    fn td_graph_room(m: c_int, levels: c_int) -> i64;
    fn td_graph_search(
        graph: *const RawGraph,
        rows: *const Rows,
        query: *const f32,
        k: usize,
        ef: usize,
        bitmap: *const u8,
        bitmap_length: usize,
        distances: *mut f32,
        ids: *mut i64,
        found: *mut usize,
        error: ErrorText,
    ) -> c_int;
    fn td_scan(
        rows: *const Rows,
        query: *const f32,
        ids: *const u32,
        count: usize,
        distances: *mut f32,
        error: ErrorText,
    ) -> c_int;
    fn td_knn(
        dim: u32,
        asked: u64,
        queries: *const f32,
        count: u64,
        rows: *const f32,
        metric: u8,
        k: usize,
        distances: *mut f32,
        ids: *mut i64,
        error: ErrorText,
    ) -> c_int;
    fn td_kmeans(
        dim: u32,
        count: u64,
        rows: *const f32,
        lists: u64,
        metric: u8,
        threads: c_int,
        centroids: *mut f32,
        error: ErrorText,
    ) -> c_int;
    fn td_assign(
        dim: u32,
        lists: u64,
        centroids: *const f32,
        count: u64,
        rows: *const f32,
        metric: u8,
        threads: c_int,
        distances: *mut f32,
        labels: *mut i64,
        error: ErrorText,
    ) -> c_int;
    fn td_index_make(
        dim: u32,
        description: *const c_char,
        metric: u8,
        out: *mut *mut RawIndex,
        error: ErrorText,
    ) -> c_int;
    fn td_index_free(index: *mut RawIndex);
    fn td_index_count(index: *const RawIndex) -> i64;
    fn td_index_dim(index: *const RawIndex) -> i32;
    fn td_index_train(
        index: *mut RawIndex,
        count: u64,
        rows: *const f32,
        threads: c_int,
        error: ErrorText,
    ) -> c_int;
    fn td_index_add(
        index: *mut RawIndex,
        count: u64,
        rows: *const f32,
        threads: c_int,
        error: ErrorText,
    ) -> c_int;
    fn td_index_write(
        index: *const RawIndex,
        write: WriteCallback,
        context: *mut c_void,
        error: ErrorText,
    ) -> c_int;
    fn td_index_view(
        bytes: *const u8,
        length: usize,
        out: *mut *mut RawIndex,
        error: ErrorText,
    ) -> c_int;
    fn td_index_search(
        index: *const RawIndex,
        query: *const f32,
        k: usize,
        ef: usize,
        nprobe: usize,
        bitmap: *const u8,
        bitmap_length: usize,
        distances: *mut f32,
        ids: *mut i64,
        error: ErrorText,
    ) -> c_int;
}

/// Calls the shim, and takes what it says went wrong.
fn call(f: impl FnOnce(ErrorText) -> c_int) -> Result<(), FaissError> {
    let mut text = [0u8; 512];
    let error = ErrorText { text: text.as_mut_ptr().cast(), length: text.len() };
    if f(error) == 0 {
        return Ok(());
    }
    let said = CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy();
    Err(FaissError::saying(&said))
}

/// Whether this processor has what FAISS was compiled for.
///
/// # Errors
/// [`AnnError::Processor`].
pub(super) fn check_processor() -> Result<(), AnnError> {
    #[cfg(all(faiss_avx2, target_arch = "x86_64"))]
    {
        let features = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("FMA", std::arch::is_x86_feature_detected!("fma")),
            ("F16C", std::arch::is_x86_feature_detected!("f16c")),
            ("BMI2", std::arch::is_x86_feature_detected!("bmi2")),
        ];
        if let Some((feature, _)) = features.iter().find(|(_, there)| !there) {
            return Err(AnnError::Processor { feature });
        }
    }
    Ok(())
}

fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::L2 => 2,
    }
}

fn threads_code(threads: usize) -> c_int {
    c_int::try_from(threads.clamp(1, 1024)).expect("at most 1024")
}

/// Rows as the shim takes them. It borrows them.
fn raw_rows(rows: &RowsView) -> Result<Rows, AnnError> {
    let (first, element) = match rows.numbers() {
        Some(Numbers::F32(numbers)) => (numbers.as_ptr().cast(), 0),
        Some(Numbers::F16(numbers)) => (numbers.as_ptr().cast(), 1),
        Some(Numbers::Int8(numbers)) => (numbers.as_ptr().cast(), 2),
        None => return Err(AnnError::Rows { what: "they lie askew in memory" }),
    };
    let pointer = |numbers: Option<&[f32]>| numbers.map_or(ptr::null(), <[f32]>::as_ptr);
    debug_assert_eq!(rows.element() == Element::Int8, rows.scales().is_some(), "see RowsView");
    Ok(Rows {
        first,
        scales: pointer(rows.scales()),
        inverse_norms: pointer(rows.inverse_norms()),
        count: u64::from(rows.rows()),
        dim: u32::try_from(rows.dim().get()).expect("a dim has 16 bits"),
        element,
        metric: metric_code(rows.metric()),
    })
}

fn bitmap(accept: &Accept) -> (*const u8, usize) {
    match accept.rows() {
        None => (ptr::null(), 0),
        Some(set) => (set.words().as_ptr().cast(), 8 * set.words().len()),
    }
}

/// The arrays of a graph, checked by [`GraphArrays::check`].
#[derive(Clone, Debug)]
pub(super) struct GraphArrays {
    pub(super) m: u16,
    /// How many levels each row is on, at least 1.
    pub(super) levels: OwnedBytes,
    /// For each row, for each of its levels: room for neighbours, -1 where there is none.
    pub(super) neighbours: OwnedBytes,
    /// The row to start from; none if there is no row.
    pub(super) entry: Option<u32>,
}

impl GraphArrays {
    fn neighbours(&self) -> Option<&[i32]> {
        if cfg!(target_endian = "big") {
            return None;
        }
        <[i32]>::ref_from_bytes(self.neighbours.as_slice()).ok()
    }

    fn entry_code(&self) -> i32 {
        self.entry.and_then(|entry| i32::try_from(entry).ok()).unwrap_or(-1)
    }

    /// Whether a walk over these arrays stays inside of them: every row has levels that there are,
    /// every neighbour on a level is a row that is on it, and the entry is on the highest level.
    pub(super) fn check(&self, rows: u32) -> Result<(), &'static str> {
        let levels = self.levels.as_slice();
        let neighbours = self.neighbours().ok_or("neighbours lie askew in memory")?;
        let count = i32::try_from(rows).map_err(|_| "more than 2^31 rows")?;
        if levels.len() != rows as usize {
            return Err("levels for another number of rows");
        }
        let highest = levels.iter().copied().max().unwrap_or(0);
        let rooms: Vec<usize> = (0..=highest)
            .map(|levels| room(self.m, levels))
            .collect::<Option<_>>()
            .ok_or("a row on too many levels")?;
        let entry = self.entry.map(|entry| levels.get(entry as usize).copied());
        if entry != (rows > 0).then_some(Some(highest)) || levels.contains(&0) {
            return Err("no row to start from");
        }
        let mut rest = neighbours;
        for own in levels {
            let (of_row, after) =
                rest.split_at_checked(rooms[usize::from(*own)]).ok_or("too few neighbours")?;
            rest = after;
            for level in 0..*own {
                let on_level = &of_row[rooms[usize::from(level)]..rooms[usize::from(level) + 1]];
                let sound = if level == 0 {
                    // Every row is on the lowest level. No early end: so it runs in vectors.
                    on_level.iter().filter(|n| !(-1..count).contains(*n)).count() == 0
                } else {
                    on_level.iter().all(|neighbour| {
                        *neighbour == -1
                            || usize::try_from(*neighbour).is_ok_and(|row| {
                                levels.get(row).is_some_and(|others| *others > level)
                            })
                    })
                };
                if !sound {
                    return Err("a neighbour that is no row of its level");
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err("too many neighbours") }
    }
}

/// Room for the neighbours of a row that is on so many levels.
fn room(m: u16, levels: u8) -> Option<usize> {
    // SAFETY: plain numbers in, a plain number out.
    let room = unsafe { td_graph_room(c_int::from(m), c_int::from(levels)) };
    usize::try_from(room).ok()
}

/// A graph over rows, and what it views.
pub(super) struct Graph {
    raw: *mut RawGraph,
    rows: u32,
    _arrays: Option<GraphArrays>,
}

// SAFETY: a graph is not changed after it was made, and FAISS searches it as const.
unsafe impl Send for Graph {}
// SAFETY: as above.
unsafe impl Sync for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: it was made by the shim and is freed once.
        unsafe { td_graph_free(self.raw) }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Graph {
    /// Builds a graph over rows. `base` are the checked arrays of a graph over the first of them,
    /// and how many these are.
    pub(super) fn build(
        rows: &RowsView,
        m: u16,
        ef_construction: u16,
        threads: usize,
        base: Option<(&GraphArrays, u32)>,
    ) -> Result<Self, AnnError> {
        if i32::try_from(rows.rows()).is_err() {
            return Err(AnnError::Rows { what: "a graph has at most 2^31 rows" });
        }
        let raw = raw_rows(rows)?;
        let (levels, neighbours, count, entry) = match base {
            Some((base, count)) if count <= rows.rows() && base.m == m => (
                base.levels.as_slice(),
                base.neighbours().unwrap_or_default(),
                count,
                base.entry_code(),
            ),
            _ => (&[][..], &[][..], 0, -1),
        };
        let mut out = ptr::null_mut();
        call(|error| {
            // SAFETY: `raw` describes rows that outlive the call. The base's arrays were checked by
            // whoever opened it, and are copied.
            unsafe {
                td_graph_build(
                    &raw const raw,
                    c_int::from(m),
                    c_int::from(ef_construction),
                    threads_code(threads),
                    u64::from(count),
                    levels.as_ptr(),
                    neighbours.as_ptr(),
                    neighbours.len(),
                    entry,
                    &raw mut out,
                    error,
                )
            }
        })
        .map_err(failed)?;
        Ok(Self { raw: out, rows: rows.rows(), _arrays: None })
    }

    /// A graph over arrays that lie in a file. They are checked first.
    pub(super) fn view(arrays: GraphArrays, rows: u32) -> Result<Self, AnnError> {
        arrays.check(rows).map_err(|what| AnnError::Parts { backend: "graph", what })?;
        let neighbours = arrays.neighbours().unwrap_or_default();
        let mut out = ptr::null_mut();
        call(|error| {
            // SAFETY: the arrays fit each other and the number of rows, as just checked, and are
            // kept in `_arrays` as long as the graph that points into them.
            unsafe {
                td_graph_view(
                    c_int::from(arrays.m),
                    u64::from(rows),
                    arrays.levels.as_slice().as_ptr(),
                    neighbours.as_ptr(),
                    neighbours.len(),
                    arrays.entry_code(),
                    &raw mut out,
                    error,
                )
            }
        })
        .map_err(failed)?;
        Ok(Self { raw: out, rows, _arrays: Some(arrays) })
    }

    /// How many levels each row is on, the neighbours, and the row to start from.
    pub(super) fn arrays(&self) -> (Vec<u8>, &[i32], Option<u32>) {
        let (mut levels, mut neighbours) = (ptr::null(), ptr::null());
        let (mut length, mut entry) = (0, -1);
        // SAFETY: all four are places for the answers.
        unsafe {
            td_graph_parts(
                self.raw,
                &raw mut levels,
                &raw mut neighbours,
                &raw mut length,
                &raw mut entry,
            );
        }
        if self.rows == 0 {
            return (Vec::new(), &[], None);
        }
        // SAFETY: FAISS keeps one level for each row.
        let levels = unsafe { std::slice::from_raw_parts(levels, self.rows as usize) };
        // SAFETY: `length` numbers are there as long as the graph, which `self` borrows.
        let neighbours = unsafe { std::slice::from_raw_parts(neighbours, length) };
        let levels = levels.iter().map(|level| u8::try_from(*level).unwrap_or(u8::MAX)).collect();
        (levels, neighbours, u32::try_from(entry).ok())
    }

    /// The nearest rows that pass, in no order, at most `k`. The rows are those that the graph was
    /// built over, or a copy of them in other numbers.
    pub(super) fn search(
        &self,
        rows: &RowsView,
        query: &[f32],
        k: usize,
        ef: usize,
        accept: &Accept,
    ) -> Result<Vec<u32>, AnnError> {
        if rows.rows() != self.rows || query.len() != rows.dim().get() {
            return Err(AnnError::Parts { backend: "graph", what: "it is over other rows" });
        }
        let raw = raw_rows(rows)?;
        let k = k.min(self.rows as usize);
        if k == 0 {
            return Ok(Vec::new());
        }
        let (mut distances, mut ids, mut found) = (vec![0.0f32; k], vec![0i64; k], 0);
        let (bits, bytes) = bitmap(accept);
        call(|error| {
            // SAFETY: the rows, the query and the bitmap outlive the call; there is room for k
            // answers; every id that the walk can meet is a row, as checked when it was opened or
            // as FAISS built it.
            unsafe {
                td_graph_search(
                    self.raw,
                    &raw const raw,
                    query.as_ptr(),
                    k,
                    ef.min(self.rows as usize).max(1),
                    bits,
                    bytes,
                    distances.as_mut_ptr(),
                    ids.as_mut_ptr(),
                    &raw mut found,
                    error,
                )
            }
        })
        .map_err(failed)?;
        Ok(ids[..found.min(k)].iter().filter_map(|id| u32::try_from(*id).ok()).collect())
    }
}

fn failed(source: FaissError) -> AnnError {
    AnnError::Backend { backend: "FAISS", source: Box::new(source) }
}

/// The distances of a query to some rows: less is nearer, and only their order means something.
pub(super) fn scan(rows: &RowsView, query: &[f32], ids: &[u32]) -> Result<Vec<f32>, AnnError> {
    if query.len() != rows.dim().get() || ids.iter().any(|row| *row >= rows.rows()) {
        return Err(AnnError::Rows { what: "no such row" });
    }
    let raw = raw_rows(rows)?;
    let mut distances = vec![0.0; ids.len()];
    call(|error| {
        // SAFETY: rows, query and ids outlive the call; each id is a row, as just checked; there is
        // room for as many distances.
        unsafe {
            td_scan(
                &raw const raw,
                query.as_ptr(),
                ids.as_ptr(),
                ids.len(),
                distances.as_mut_ptr(),
                error,
            )
        }
    })
    .map_err(failed)?;
    Ok(distances)
}

/// The `k` nearest of rows of floats to each query, nearest first, as products or squared distances; at least
/// `k` rows are there. On this thread alone.
pub(super) fn nearest(
    dim: Dim,
    metric: Metric,
    queries: &[f32],
    rows: &[f32],
    k: usize,
) -> Result<(Vec<f32>, Vec<i64>), AnnError> {
    let (asked, count) = (queries.len() / dim.get(), rows.len() / dim.get());
    let (mut distances, mut ids) = (vec![0.0; asked * k], vec![-1; asked * k]);
    if asked == 0 || k == 0 || k > count {
        return Ok((distances, ids));
    }
    call(|error| {
        // SAFETY: whole queries and whole rows are there, and room for `k` answers to each query.
        unsafe {
            td_knn(
                u32::try_from(dim.get()).expect("a dim has 16 bits"),
                asked as u64,
                queries.as_ptr(),
                count as u64,
                rows.as_ptr(),
                metric_code(metric),
                k,
                distances.as_mut_ptr(),
                ids.as_mut_ptr(),
                error,
            )
        }
    })
    .map_err(failed)?;
    Ok((distances, ids))
}

/// Centroids of rows of floats.
pub(super) fn kmeans(
    dim: Dim,
    metric: Metric,
    rows: &[f32],
    lists: u32,
    threads: usize,
) -> Result<Vec<f32>, AnnError> {
    let count = rows.len() / dim.get();
    if count < lists as usize || lists == 0 {
        return Err(AnnError::Rows { what: "fewer rows than lists" });
    }
    let mut centroids = vec![0.0; lists as usize * dim.get()];
    call(|error| {
        // SAFETY: `count` whole rows are there, and room for `lists` centroids.
        unsafe {
            td_kmeans(
                u32::try_from(dim.get()).expect("a dim has 16 bits"),
                count as u64,
                rows.as_ptr(),
                u64::from(lists),
                metric_code(metric),
                threads_code(threads),
                centroids.as_mut_ptr(),
                error,
            )
        }
    })
    .map_err(failed)?;
    Ok(centroids)
}

/// The nearest centroid of each row of floats.
pub(super) fn assign(
    dim: Dim,
    metric: Metric,
    centroids: &[f32],
    rows: &[f32],
    threads: usize,
) -> Result<Vec<i64>, AnnError> {
    let count = rows.len() / dim.get();
    let (mut distances, mut labels) = (vec![0.0; count], vec![0i64; count]);
    call(|error| {
        // SAFETY: whole rows and whole centroids are there, and room for an answer to each row.
        unsafe {
            td_assign(
                u32::try_from(dim.get()).expect("a dim has 16 bits"),
                (centroids.len() / dim.get()) as u64,
                centroids.as_ptr(),
                count as u64,
                rows.as_ptr(),
                metric_code(metric),
                threads_code(threads),
                distances.as_mut_ptr(),
                labels.as_mut_ptr(),
                error,
            )
        }
    })
    .map_err(failed)?;
    Ok(labels)
}

/// An index as FAISS makes it from a description, and the bytes that it views.
pub(super) struct Index {
    raw: *mut RawIndex,
    dim: Dim,
    _bytes: Option<OwnedBytes>,
}

// SAFETY: FAISS's indexes hold no state of a thread; what changes one takes `&mut`.
unsafe impl Send for Index {}
// SAFETY: searching and writing are const in FAISS.
unsafe impl Sync for Index {}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: it was made by the shim and is freed once.
        unsafe { td_index_free(self.raw) }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("dim", &self.dim).finish_non_exhaustive()
    }
}

impl Index {
    /// An empty one.
    pub(super) fn make(description: &str, dim: Dim, metric: Metric) -> Result<Self, AnnError> {
        let description = CString::new(description)
            .map_err(|source| AnnError::Backend { backend: "FAISS", source: Box::new(source) })?;
        let mut raw = ptr::null_mut();
        call(|error| {
            // SAFETY: the description ends with a zero and outlives the call.
            unsafe {
                td_index_make(
                    u32::try_from(dim.get()).expect("a dim has 16 bits"),
                    description.as_ptr(),
                    metric_code(metric),
                    &raw mut raw,
                    error,
                )
            }
        })
        .map_err(failed)?;
        Ok(Self { raw, dim, _bytes: None })
    }

    /// One that [`Index::write`] wrote. Whether the bytes are as they were written, the caller has
    /// checked: FAISS does not.
    pub(super) fn view(bytes: OwnedBytes, dim: Dim, rows: u32) -> Result<Self, AnnError> {
        let mut raw = ptr::null_mut();
        call(|error| {
            // SAFETY: the bytes are kept in `_bytes` as long as the index that points into them.
            unsafe { td_index_view(bytes.as_ptr(), bytes.len(), &raw mut raw, error) }
        })
        .map_err(failed)?;
        let index = Self { raw, dim, _bytes: Some(bytes) };
        // SAFETY: the index was just read.
        let count = unsafe { td_index_count(index.raw) };
        // SAFETY: as above.
        let of_dim = unsafe { td_index_dim(index.raw) };
        if count != i64::from(rows) || usize::try_from(of_dim).ok() != Some(dim.get()) {
            return Err(AnnError::Parts { backend: "faiss", what: "it is over other rows" });
        }
        Ok(index)
    }

    /// Trains on rows of floats, where this kind of index is trained.
    pub(super) fn train(&mut self, rows: &[f32], threads: usize) -> Result<(), AnnError> {
        let count = (rows.len() / self.dim.get()) as u64;
        // SAFETY: `count` whole rows are there.
        call(|error| unsafe {
            td_index_train(self.raw, count, rows.as_ptr(), threads_code(threads), error)
        })
        .map_err(failed)
    }

    /// Adds rows of floats.
    pub(super) fn add(&mut self, rows: &[f32], threads: usize) -> Result<(), AnnError> {
        let count = (rows.len() / self.dim.get()) as u64;
        // SAFETY: `count` whole rows are there.
        call(|error| unsafe {
            td_index_add(self.raw, count, rows.as_ptr(), threads_code(threads), error)
        })
        .map_err(failed)
    }

    /// Writes the index.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<(), AnnError> {
        let mut sink = Sink { out, failed: None };
        let context: *mut Sink<'_> = &raw mut sink;
        // SAFETY: the sink outlives the call, and only `write_to_sink` gets the pointer.
        let done =
            call(|error| unsafe { td_index_write(self.raw, write_to_sink, context.cast(), error) });
        match sink.failed {
            Some(source) => Err(AnnError::Io { backend: "faiss", source }),
            None => done.map_err(failed),
        }
    }

    /// The nearest rows that pass, best first, at most `k`.
    pub(super) fn search(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        nprobe: usize,
        accept: &Accept,
    ) -> Result<Vec<u32>, AnnError> {
        if query.len() != self.dim.get() || k == 0 {
            return Ok(Vec::new());
        }
        let (mut distances, mut ids) = (vec![0.0f32; k], vec![-1i64; k]);
        let (bits, bytes) = bitmap(accept);
        call(|error| {
            // SAFETY: the query and the bitmap outlive the call, and there is room for k answers.
            unsafe {
                td_index_search(
                    self.raw,
                    query.as_ptr(),
                    k,
                    ef,
                    nprobe,
                    bits,
                    bytes,
                    distances.as_mut_ptr(),
                    ids.as_mut_ptr(),
                    error,
                )
            }
        })
        .map_err(failed)?;
        // -1 stands for no row.
        Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
    }
}

struct Sink<'a> {
    out: &'a mut dyn Write,
    failed: Option<io::Error>,
}

extern "C" fn write_to_sink(context: *mut c_void, bytes: *const u8, length: usize) -> c_int {
    // SAFETY: `Index::write` passes its sink, which nothing else uses meanwhile.
    let sink = unsafe { &mut *context.cast::<Sink<'_>>() };
    if length == 0 {
        return 0;
    }
    // SAFETY: FAISS hands over `length` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, length) };
    // A panic must not cross into C++.
    let write = std::panic::AssertUnwindSafe(|| sink.out.write_all(bytes));
    match std::panic::catch_unwind(write) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            sink.failed = Some(error);
            1
        }
        Err(_) => {
            sink.failed = Some(io::Error::other("writing panicked"));
            1
        }
    }
}

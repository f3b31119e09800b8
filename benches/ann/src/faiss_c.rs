//! FAISS through its own C API: an index by its factory string, trained, filled, written, read, searched.
//!
//! The only home of calls to FAISS. Invariant: an [`Index`] owns what it points to; every slice that is handed over has
//! the length that FAISS will read or write.
#![expect(unsafe_code, reason = "FAISS is C++ behind a C interface")]

use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::ptr::NonNull;

use anyhow::{Context, bail, ensure};
use faiss_sys as sys;

unsafe extern "C" {
    /// OpenMP's own: how many threads the loops of the calling thread use.
    fn omp_set_num_threads(threads: c_int);
}

/// How many threads FAISS uses when it is called from this thread.
pub(crate) fn set_threads(threads: usize) -> anyhow::Result<()> {
    let threads = c_int::try_from(threads)?;
    // SAFETY: it takes any number and keeps no pointer.
    unsafe { omp_set_num_threads(threads) };
    Ok(())
}

/// An index of FAISS.
#[derive(Debug)]
pub(crate) struct Index {
    raw: NonNull<sys::FaissIndex>,
    dim: usize,
}

impl Index {
    /// An empty index by inner product, as the factory makes it.
    pub(crate) fn factory(dim: usize, description: &str) -> anyhow::Result<Self> {
        let text = CString::new(description)?;
        let mut raw = std::ptr::null_mut();
        let metric = sys::FaissMetricType_METRIC_INNER_PRODUCT;
        // SAFETY: `raw` is a place for one pointer, and `text` ends with a zero byte.
        let code = unsafe {
            sys::faiss_index_factory(&raw mut raw, c_int::try_from(dim)?, text.as_ptr(), metric)
        };
        check(code)?;
        Ok(Self { raw: NonNull::new(raw).context("FAISS gave no index")?, dim })
    }

    /// Reads an index that [`Index::write`] wrote.
    pub(crate) fn read(dim: usize, file: &Path) -> anyhow::Result<Self> {
        let text = path(file)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` is a place for one pointer, and `text` ends with a zero byte.
        let code = unsafe { sys::faiss_read_index_fname(text.as_ptr(), 0, &raw mut raw) };
        check(code)?;
        Ok(Self { raw: NonNull::new(raw).context("FAISS gave no index")?, dim })
    }

    /// Writes the index to a file.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = path(file)?;
        // SAFETY: the index is alive, and `text` ends with a zero byte.
        check(unsafe { sys::faiss_write_index_fname(self.raw.as_ptr(), text.as_ptr()) })
    }

    /// Sets a parameter by the name that FAISS's `ParameterSpace` has for it.
    pub(crate) fn set(&mut self, name: &str, value: usize) -> anyhow::Result<()> {
        let text = CString::new(name)?;
        let mut space = std::ptr::null_mut();
        // SAFETY: `space` is a place for one pointer.
        check(unsafe { sys::faiss_ParameterSpace_new(&raw mut space) })?;
        let value = f64::from(u32::try_from(value)?);
        // SAFETY: space and index are alive, `text` ends with a zero byte, and no other reference to the index exists.
        let code = unsafe {
            sys::faiss_ParameterSpace_set_index_parameter(
                space,
                self.raw.as_ptr(),
                text.as_ptr(),
                value,
            )
        };
        // SAFETY: FAISS made it above, and it is used no more.
        unsafe { sys::faiss_ParameterSpace_free(space) };
        check(code)
    }

    /// Learns from rows, where the kind of index wants it.
    pub(crate) fn train(&mut self, rows: &[f32]) -> anyhow::Result<()> {
        let count = self.count(rows)?;
        // SAFETY: `rows` holds `count` rows of the index's dim, and no other reference to the index exists.
        check(unsafe { sys::faiss_Index_train(self.raw.as_ptr(), count, rows.as_ptr()) })
    }

    /// Adds rows, whose numbers go on from those that are there.
    pub(crate) fn add(&mut self, rows: &[f32]) -> anyhow::Result<()> {
        let count = self.count(rows)?;
        // SAFETY: `rows` holds `count` rows of the index's dim, and no other reference to the index exists.
        check(unsafe { sys::faiss_Index_add(self.raw.as_ptr(), count, rows.as_ptr()) })
    }

    /// Fills both slices with the nearest rows of one query, best first; -1 where there are no more.
    pub(crate) fn search(
        &self,
        query: &[f32],
        scores: &mut [f32],
        rows: &mut [i64],
    ) -> anyhow::Result<()> {
        ensure!(query.len() == self.dim && scores.len() == rows.len(), "one query, as many places");
        let k = i64::try_from(rows.len())?;
        // SAFETY: `query` holds one row of the index's dim, and both results have `k` places.
        check(unsafe {
            sys::faiss_Index_search(
                self.raw.as_ptr(),
                1,
                query.as_ptr(),
                k,
                scores.as_mut_ptr(),
                rows.as_mut_ptr(),
            )
        })
    }

    fn count(&self, rows: &[f32]) -> anyhow::Result<i64> {
        ensure!(rows.len().is_multiple_of(self.dim), "whole rows");
        Ok(i64::try_from(rows.len() / self.dim)?)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: the index is this value's own, and it is used no more.
        unsafe { sys::faiss_Index_free(self.raw.as_ptr()) };
    }
}

fn path(file: &Path) -> anyhow::Result<CString> {
    Ok(CString::new(file.to_str().context("a path that is no UTF-8")?)?)
}

fn check(code: c_int) -> anyhow::Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: it takes nothing.
    let text = unsafe { sys::faiss_get_last_error() };
    if text.is_null() {
        bail!("FAISS failed with code {code}");
    }
    // SAFETY: FAISS keeps the text, which ends with a zero byte, until its next error on this thread.
    let text = unsafe { CStr::from_ptr(text) };
    bail!("FAISS: {}", text.to_string_lossy())
}

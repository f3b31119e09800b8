//! Rows as every search sees them: a view over the bytes of a `.vec` file, never a copy.
//!
//! Invariant: a view holds `rows × dim` numbers; each is what was given when it was indexed.

use std::sync::{Arc, OnceLock};

use tantivy::directory::OwnedBytes;
use zerocopy::{F32, FromBytes, LE};

use super::kernel::inverse_norm;
use crate::vector::{Dim, Metric, Vectors};

/// The rows of one field in one segment. Cloning shares them.
#[derive(Clone)]
pub struct RowsView {
    bytes: OwnedBytes,
    dim: Dim,
    metric: Metric,
    rows: u32,
    inverse_norms: Arc<OnceLock<Box<[f32]>>>,
}

impl RowsView {
    /// Takes the bytes of rows: `f32`, little-endian, row after row. None if they are no whole
    /// number of rows, or more than 2^32 of them.
    pub fn new(bytes: OwnedBytes, dim: Dim, metric: Metric) -> Option<Self> {
        let row_bytes = 4 * dim.get();
        let rows = u32::try_from(bytes.len() / row_bytes).ok()?;
        let whole = bytes.len().is_multiple_of(row_bytes);
        whole.then(|| Self { bytes, dim, metric, rows, inverse_norms: Arc::default() })
    }

    /// Rows that are in memory, for trying out a backend.
    ///
    /// # Panics
    /// If there are 2^32 rows or more.
    pub fn from_vectors(vectors: &Vectors, metric: Metric) -> Self {
        let bytes: Vec<u8> = vectors.as_flat().iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(OwnedBytes::new(bytes), vectors.dim(), metric).expect("whole rows")
    }

    /// How many numbers each row has.
    pub fn dim(&self) -> Dim {
        self.dim
    }

    /// How the rows are compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// All numbers, row after row, where this machine can read them in place: little-endian, and
    /// the bytes aligned in memory, as those of a mapped file are.
    pub fn as_flat(&self) -> Option<&[f32]> {
        if cfg!(target_endian = "big") {
            return None;
        }
        <[f32]>::ref_from_bytes(self.bytes.as_slice()).ok()
    }

    /// Copies one row.
    ///
    /// # Panics
    /// If `row` is not below [`RowsView::rows`], or `out` is not [`RowsView::dim`] long.
    pub fn copy_row(&self, row: u32, out: &mut [f32]) {
        let row_bytes = 4 * self.dim.get();
        let start = row as usize * row_bytes;
        let bytes = &self.bytes.as_slice()[start..start + row_bytes];
        let row = <[F32<LE>]>::ref_from_bytes(bytes).expect("any bytes are numbers");
        assert_eq!(out.len(), row.len(), "a row goes into its dim of numbers");
        for (out, x) in out.iter_mut().zip(row) {
            *out = x.get();
        }
    }

    /// The bytes of some rows, as they lie in the file.
    pub(crate) fn bytes_of(&self, rows: std::ops::Range<u32>) -> &[u8] {
        let row_bytes = 4 * self.dim.get();
        &self.bytes.as_slice()[rows.start as usize * row_bytes..rows.end as usize * row_bytes]
    }

    /// Calls back with each of `rows` in turn.
    pub(crate) fn for_each(
        &self,
        rows: impl Iterator<Item = u32>,
        mut call: impl FnMut(u32, &[f32]),
    ) {
        let dim = self.dim.get();
        if let Some(flat) = self.as_flat() {
            for row in rows {
                let start = row as usize * dim;
                call(row, &flat[start..start + dim]);
            }
        } else {
            let mut copy = vec![0.0; dim];
            for row in rows {
                self.copy_row(row, &mut copy);
                call(row, &copy);
            }
        }
    }

    /// One over each row's length, 0 for a row of zeros; NaN where `f32` cannot tell. Computed
    /// when first asked for: a file of 200k rows has 0.8 MB of them.
    pub(crate) fn inverse_norms(&self) -> &[f32] {
        self.inverse_norms.get_or_init(|| {
            let mut norms = Vec::with_capacity(self.rows as usize);
            self.for_each(0..self.rows, |_, row| norms.push(inverse_norm(row)));
            norms.into()
        })
    }
}

impl std::fmt::Debug for RowsView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowsView")
            .field("rows", &self.rows)
            .field("dim", &self.dim)
            .field("metric", &self.metric)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_lie_askew_in_memory_are_read_all_the_same() {
        let dim = Dim::new(2).unwrap();
        let vectors = Vectors::from_flat(dim, vec![1.0, -2.0, 3.5, 0.0]).unwrap();
        let mut askew = vec![0];
        askew.extend(vectors.as_flat().iter().flat_map(|x| x.to_le_bytes()));
        let bytes = OwnedBytes::new(askew).slice(1..17);
        let view = RowsView::new(bytes, dim, Metric::Dot).unwrap();
        let mut seen = Vec::new();
        view.for_each(0..2, |row, vector| seen.push((row, vector.to_vec())));
        assert_eq!(seen, [(0, vec![1.0, -2.0]), (1, vec![3.5, 0.0])]);
    }

    #[test]
    fn half_a_row_is_no_view() {
        let bytes = OwnedBytes::new(vec![0; 12]);
        assert!(RowsView::new(bytes, Dim::new(2).unwrap(), Metric::Dot).is_none());
    }
}

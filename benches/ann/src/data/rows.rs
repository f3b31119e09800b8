//! Vectors of one dim, one after another.

/// Rows in one block of memory.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    dim: usize,
    flat: Vec<f32>,
}

impl Rows {
    /// Takes whole rows.
    ///
    /// # Panics
    /// If the numbers are no whole rows.
    pub(crate) fn new(dim: usize, flat: Vec<f32>) -> Self {
        assert!(flat.len().is_multiple_of(dim), "whole rows");
        Self { dim, flat }
    }

    /// How many numbers a row has.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.flat.len() / self.dim
    }

    /// One row.
    pub(crate) fn row(&self, at: usize) -> &[f32] {
        &self.flat[at * self.dim..(at + 1) * self.dim]
    }

    /// The rows in order.
    pub(crate) fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.flat.chunks_exact(self.dim)
    }

    /// All numbers.
    pub(crate) fn flat(&self) -> &[f32] {
        &self.flat
    }

    /// The first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.flat.truncate(rows * self.dim);
    }

    /// Takes off the rows behind the first `rows`.
    pub(crate) fn split_off(&mut self, rows: usize) -> Self {
        Self { dim: self.dim, flat: self.flat.split_off(rows * self.dim) }
    }

    /// Adds one row.
    pub(crate) fn push(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dim, "a row of the same dim");
        self.flat.extend_from_slice(row);
    }
}

/// The dot product, in sixteen sums so that the compiler keeps them in registers.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

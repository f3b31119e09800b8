//! Vectors of one dimension, kept in one block of memory.
//!
//! Invariant: a [`Vectors`] holds whole rows, and every number in it is finite.
//!
//! Left out on purpose: arithmetic beyond the scores of [`Metric`]; what is done with rows belongs
//! to whoever holds them.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

/// How many numbers a vector has: 1 to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dim(NonZeroU16);

impl Dim {
    /// Checks a number of dimensions.
    ///
    /// # Errors
    /// [`VectorError::Dim`] if `dim` is 0 or above 65,535.
    pub fn new(dim: usize) -> Result<Self, VectorError> {
        u16::try_from(dim)
            .ok()
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or(VectorError::Dim { given: dim })
    }

    /// The number of dimensions.
    pub fn get(self) -> usize {
        usize::from(self.0.get())
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How two vectors are compared. Every score grows with relevance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The cosine of the angle between two vectors, -1 to 1; 0 where either has length 0.
    #[default]
    Cosine,
    /// The dot product.
    Dot,
    /// `1 / (1 + d²)` for the Euclidean distance `d`: 1 for equal vectors, near 0 for far ones.
    L2,
}

/// Rows of one dimension, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    dim: Dim,
    data: Vec<f32>,
}

impl Vectors {
    /// No rows yet.
    pub fn new(dim: Dim) -> Self {
        Self { dim, data: Vec::new() }
    }

    /// Takes rows that lie one after another in `data`.
    ///
    /// # Errors
    /// [`VectorError::Ragged`] if `data` is no whole number of rows; [`VectorError::NotFinite`] if
    /// it holds a NaN or an infinity.
    pub fn from_flat(dim: Dim, data: Vec<f32>) -> Result<Self, VectorError> {
        if !data.len().is_multiple_of(dim.get()) {
            return Err(VectorError::Ragged { dim, given: data.len() });
        }
        if let Some(at) = data.iter().position(|x| !x.is_finite()) {
            return Err(VectorError::NotFinite { row: at / dim.get(), column: at % dim.get() });
        }
        Ok(Self { dim, data })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`VectorError::Length`] if the row has another number of dimensions;
    /// [`VectorError::NotFinite`] if it holds a NaN or an infinity.
    pub fn push(&mut self, row: &[f32]) -> Result<(), VectorError> {
        check_row(self.dim, row).map_err(|error| match error {
            VectorError::NotFinite { column, .. } => {
                VectorError::NotFinite { row: self.rows(), column }
            }
            other => other,
        })?;
        self.data.extend_from_slice(row);
        Ok(())
    }

    /// How many numbers each row has.
    pub fn dim(&self) -> Dim {
        self.dim
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.data.len() / self.dim.get()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// One row.
    ///
    /// # Panics
    /// If `row` is not below [`Vectors::rows`].
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.dim.get()..(row + 1) * self.dim.get()]
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.data.chunks_exact(self.dim.get())
    }

    /// All numbers, row after row.
    pub fn as_flat(&self) -> &[f32] {
        &self.data
    }
}

impl<'a> IntoIterator for &'a Vectors {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Checks that a vector can be stored in, or compared with, rows of `dim` numbers.
///
/// # Errors
/// [`VectorError::Length`] or [`VectorError::NotFinite`] (row 0).
pub fn check_row(dim: Dim, row: &[f32]) -> Result<(), VectorError> {
    if row.len() != dim.get() {
        return Err(VectorError::Length { dim, given: row.len() });
    }
    match row.iter().position(|x| !x.is_finite()) {
        Some(column) => Err(VectorError::NotFinite { row: 0, column }),
        None => Ok(()),
    }
}

/// Why numbers are not vectors of the dimension that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum VectorError {
    /// No vector has so many numbers.
    #[error("a vector has 1 to 65,535 dimensions, not {given}")]
    Dim { given: usize },
    /// One vector is too long or too short.
    #[error("a vector of {given} numbers where {dim} dimensions are wanted")]
    Length { dim: Dim, given: usize },
    /// A block of rows ends in the middle of one.
    #[error("{given} numbers are no whole number of rows of {dim}")]
    Ragged { dim: Dim, given: usize },
    /// A NaN or an infinity compares with nothing.
    #[error("row {row}, column {column} is not a finite number")]
    NotFinite { row: usize, column: usize },
    /// The field keeps its rows in numbers of 16 bits.
    #[error("row {row}, column {column} is beyond ±65,504, the range of f16")]
    Range { row: usize, column: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dim_is_between_1_and_65_535() {
        assert_eq!(Dim::new(0), Err(VectorError::Dim { given: 0 }));
        assert_eq!(Dim::new(65_536), Err(VectorError::Dim { given: 65_536 }));
        assert_eq!(Dim::new(384).unwrap().get(), 384);
    }

    #[test]
    fn rows_are_whole_and_finite() {
        let dim = Dim::new(2).unwrap();
        assert_eq!(
            Vectors::from_flat(dim, vec![1.0; 3]),
            Err(VectorError::Ragged { dim, given: 3 })
        );
        let mut rows = Vectors::from_flat(dim, vec![1.0, 2.0]).unwrap();
        assert_eq!(rows.push(&[1.0]), Err(VectorError::Length { dim, given: 1 }));
        assert_eq!(rows.push(&[1.0, f32::NAN]), Err(VectorError::NotFinite { row: 1, column: 1 }));
        rows.push(&[3.0, 4.0]).unwrap();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
    }
}

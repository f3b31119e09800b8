//! Rows as every search sees them: a view over the bytes of a file, never a copy.
//!
//! Invariant: a view holds `rows × dim` numbers, and what must be known to compare them: a scale for
//! each int8 row, and, for a cosine, one over each row's length unless all have length 1.

use std::fmt;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use tantivy::directory::OwnedBytes;
use zerocopy::{F32, FromBytes, LE};

use super::kernel::inverse_norm;
use crate::element::Element;
use crate::vector::{Dim, Metric, Vectors};

/// Squared lengths so near to 1 move a cosine by less than its own rounding.
const UNIT: f32 = 4e-6;

/// Numbers that lie in a file, or, where this machine cannot read them there, in memory.
#[derive(Clone, Debug)]
pub(crate) enum Floats {
    There(OwnedBytes),
    Here(std::sync::Arc<[f32]>),
}

impl Floats {
    /// Takes bytes of `f32`, little-endian.
    pub(crate) fn new(bytes: OwnedBytes) -> Self {
        if cfg!(target_endian = "little") && <[f32]>::ref_from_bytes(bytes.as_slice()).is_ok() {
            return Self::There(bytes);
        }
        let (words, _) = bytes.as_slice().as_chunks::<4>();
        Self::Here(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        match self {
            Self::There(bytes) => {
                <[f32]>::ref_from_bytes(bytes.as_slice()).expect("looked at when it was made")
            }
            Self::Here(numbers) => numbers,
        }
    }
}

impl FromIterator<f32> for Floats {
    fn from_iter<I: IntoIterator<Item = f32>>(numbers: I) -> Self {
        Self::Here(numbers.into_iter().collect())
    }
}

/// The numbers of all rows, where this machine can read them in place.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Numbers<'a> {
    /// As floats.
    F32(&'a [f32]),
    /// As the bits of 16-bit floats.
    F16(&'a [u16]),
    /// As bytes; each row has a scale.
    Int8(&'a [i8]),
}

/// The rows of one field in one segment. Cloning shares them.
#[derive(Clone)]
pub struct RowsView {
    bytes: OwnedBytes,
    element: Element,
    dim: Dim,
    metric: Metric,
    rows: u32,
    scales: Option<Floats>,
    inverse_norms: Option<Floats>,
}

impl RowsView {
    /// Takes the bytes of rows, little-endian, row after row. None if they are no whole number of
    /// rows, more than 2^32 of them, or int8 without as many scales.
    pub(crate) fn new(
        bytes: OwnedBytes,
        element: Element,
        dim: Dim,
        metric: Metric,
        scales: Option<Floats>,
        inverse_norms: Option<Floats>,
    ) -> Option<Self> {
        let row_bytes = element.bytes() * dim.get();
        let rows = u32::try_from(bytes.len() / row_bytes).ok()?;
        let fits = |floats: &Floats| floats.as_slice().len() == rows as usize;
        let whole = bytes.len().is_multiple_of(row_bytes)
            && scales.is_some() == (element == Element::Int8)
            && scales.as_ref().is_none_or(fits)
            && inverse_norms.as_ref().is_none_or(fits);
        whole.then_some(Self { bytes, element, dim, metric, rows, scales, inverse_norms })
    }

    /// Rows that are in memory, for trying out a backend.
    ///
    /// # Panics
    /// If there are 2^32 rows or more.
    pub fn from_vectors(vectors: &Vectors, metric: Metric, element: Element) -> Self {
        let mut kept = RowsBuffer::new(vectors.dim(), metric, element);
        for row in vectors {
            kept.push(row);
        }
        kept.into_view().expect("fewer than 2^32 rows")
    }

    /// How many numbers each row has.
    pub fn dim(&self) -> Dim {
        self.dim
    }

    /// How the rows are compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// In which numbers the rows are kept.
    pub fn element(&self) -> Element {
        self.element
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// How many bytes a row takes.
    pub fn row_bytes(&self) -> usize {
        self.element.bytes() * self.dim.get()
    }

    /// All numbers, row after row, where this machine can read them in place: little-endian, and
    /// the bytes aligned in memory, as those of a mapped file are.
    pub fn numbers(&self) -> Option<Numbers<'_>> {
        let bytes = self.bytes.as_slice();
        if cfg!(target_endian = "big") {
            return None;
        }
        match self.element {
            Element::F32 => <[f32]>::ref_from_bytes(bytes).ok().map(Numbers::F32),
            Element::F16 => <[u16]>::ref_from_bytes(bytes).ok().map(Numbers::F16),
            Element::Int8 => <[i8]>::ref_from_bytes(bytes).ok().map(Numbers::Int8),
        }
    }

    /// What each row's bytes are to be multiplied by; none unless the rows are int8.
    pub fn scales(&self) -> Option<&[f32]> {
        self.scales.as_ref().map(Floats::as_slice)
    }

    /// One over each row's length, 0 for a row of zeros, NaN where `f32` cannot tell. None where
    /// the metric is no cosine, or all rows have length 1 or 0.
    pub fn inverse_norms(&self) -> Option<&[f32]> {
        self.inverse_norms.as_ref().map(Floats::as_slice)
    }

    /// Reads one row.
    ///
    /// # Panics
    /// If `row` is not below [`RowsView::rows`], or `out` is not [`RowsView::dim`] long.
    pub fn copy_row(&self, row: u32, out: &mut [f32]) {
        assert_eq!(out.len(), self.dim.get(), "a row goes into its dim of numbers");
        let bytes = self.bytes_of(row..row + 1);
        match self.element {
            Element::F32 => {
                let row = <[F32<LE>]>::ref_from_bytes(bytes).expect("any bytes are numbers");
                out.iter_mut().zip(row).for_each(|(out, x)| *out = x.get());
            }
            Element::F16 => match <[u16]>::ref_from_bytes(bytes) {
                Ok(bits) if cfg!(target_endian = "little") => {
                    bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
                }
                _ => {
                    let (pairs, _) = bytes.as_chunks::<2>();
                    let numbers = pairs.iter().map(|pair| f16::from_le_bytes(*pair).to_f32());
                    out.iter_mut().zip(numbers).for_each(|(out, x)| *out = x);
                }
            },
            Element::Int8 => {
                let scale = self.scales().expect("int8 rows have scales")[row as usize];
                let codes = <[i8]>::ref_from_bytes(bytes).expect("any bytes are numbers");
                out.iter_mut().zip(codes).for_each(|(out, x)| *out = f32::from(*x) * scale);
            }
        }
    }

    /// The bytes of some rows, as they lie in the file.
    pub(crate) fn bytes_of(&self, rows: std::ops::Range<u32>) -> &[u8] {
        let row_bytes = self.row_bytes();
        &self.bytes.as_slice()[rows.start as usize * row_bytes..rows.end as usize * row_bytes]
    }

    /// Calls back with each of `rows` in turn.
    pub(crate) fn for_each(
        &self,
        rows: impl Iterator<Item = u32>,
        mut call: impl FnMut(u32, &[f32]),
    ) {
        let dim = self.dim.get();
        if let Some(Numbers::F32(flat)) = self.numbers() {
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
}

impl fmt::Debug for RowsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsView")
            .field("rows", &self.rows)
            .field("dim", &self.dim)
            .field("metric", &self.metric)
            .field("element", &self.element)
            .finish_non_exhaustive()
    }
}

/// Rows while they are gathered: what a [`RowsView`] needs, in memory.
#[derive(Debug)]
pub(crate) struct RowsBuffer {
    dim: Dim,
    metric: Metric,
    element: Element,
    pub(crate) bytes: Vec<u8>,
    /// Empty unless the rows are int8.
    pub(crate) scales: Vec<f32>,
    /// Empty unless the metric is a cosine.
    inverse_norms: Vec<f32>,
    unit: bool,
    kept: Vec<f32>,
}

impl RowsBuffer {
    pub(crate) fn new(dim: Dim, metric: Metric, element: Element) -> Self {
        let (bytes, scales, inverse_norms, kept) = <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
        Self { dim, metric, element, bytes, scales, inverse_norms, unit: true, kept }
    }

    /// Keeps a row of finite numbers that [`Element::check`] took.
    pub(crate) fn push(&mut self, row: &[f32]) {
        let start = self.bytes.len();
        let scale = self.element.encode(row, &mut self.bytes);
        if self.element == Element::Int8 {
            self.scales.push(scale);
        }
        if self.metric == Metric::Cosine {
            self.kept.clear();
            let bytes = &self.bytes[start..];
            match self.element {
                Element::F32 => self.kept.extend_from_slice(row),
                Element::F16 => {
                    let (pairs, _) = bytes.as_chunks::<2>();
                    self.kept.extend(pairs.iter().map(|pair| f16::from_le_bytes(*pair).to_f32()));
                }
                Element::Int8 => self
                    .kept
                    .extend(bytes.iter().map(|b| f32::from(i8::from_le_bytes([*b])) * scale)),
            }
            let inverse = inverse_norm(&self.kept);
            // A row of zeros has a dot product of zero with everything, whatever its factor.
            self.unit &= inverse == 0.0 || (1.0 / (inverse * inverse) - 1.0).abs() <= UNIT;
            self.inverse_norms.push(inverse);
        }
    }

    /// One over each row's length; none where nobody needs them.
    pub(crate) fn inverse_norms(&self) -> Option<&[f32]> {
        (self.metric == Metric::Cosine && !self.unit).then_some(&self.inverse_norms)
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + 4 * (self.scales.capacity() + self.inverse_norms.capacity())
    }

    pub(crate) fn into_view(self) -> Option<RowsView> {
        let norms = self.inverse_norms().map(|norms| norms.iter().copied().collect());
        let scales = (self.element == Element::Int8).then(|| self.scales.into_iter().collect());
        let bytes = OwnedBytes::new(self.bytes);
        RowsView::new(bytes, self.element, self.dim, self.metric, scales, norms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(bytes: OwnedBytes, dim: usize) -> Option<RowsView> {
        RowsView::new(bytes, Element::F32, Dim::new(dim).unwrap(), Metric::Dot, None, None)
    }

    #[test]
    fn rows_that_lie_askew_in_memory_are_read_all_the_same() {
        let mut askew = vec![0];
        askew.extend([1.0f32, -2.0, 3.5, 0.0].iter().flat_map(|x| x.to_le_bytes()));
        let view = view(OwnedBytes::new(askew).slice(1..17), 2).unwrap();
        let mut seen = Vec::new();
        view.for_each(0..2, |row, vector| seen.push((row, vector.to_vec())));
        assert_eq!(seen, [(0, vec![1.0, -2.0]), (1, vec![3.5, 0.0])]);
    }

    #[test]
    fn half_a_row_is_no_view() {
        assert!(view(OwnedBytes::new(vec![0; 12]), 2).is_none());
    }

    #[test]
    fn rows_of_length_1_need_no_norms() {
        let dim = Dim::new(2).unwrap();
        let norms = |rows: Vec<f32>, element| {
            let vectors = Vectors::from_flat(dim, rows).unwrap();
            RowsView::from_vectors(&vectors, Metric::Cosine, element)
                .inverse_norms()
                .map(<[f32]>::to_vec)
        };
        assert_eq!(norms(vec![0.6, 0.8, 0.0, 0.0], Element::F32), None);
        assert_eq!(
            norms(vec![0.6, 0.8, 0.0, 4.0], Element::F32).unwrap()[1].to_bits(),
            0.25f32.to_bits()
        );
        assert!(norms(vec![0.6, 0.8], Element::Int8).is_some(), "what is kept counts");
    }
}

//! Numbers that a graph carries with it: weights and constants.
//!
//! Invariant: a [`Tensor`] holds as many numbers as its dims multiply to.

use std::io::{self, Write};

use half::f16;

/// What a tensor's numbers are. The codes are those of ONNX's `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ElementType {
    /// 32-bit floating point.
    F32 = 1,
    /// 8-bit unsigned integers.
    U8 = 2,
    /// 8-bit signed integers.
    I8 = 3,
    /// 64-bit signed integers.
    I64 = 7,
    /// 16-bit floating point.
    F16 = 10,
}

impl ElementType {
    /// The type with this code, if it is one of these.
    pub(super) fn of(code: i64) -> Option<Self> {
        [Self::F32, Self::U8, Self::I8, Self::I64, Self::F16]
            .into_iter()
            .find(|&element| element as i64 == code)
    }
}

/// A block of numbers with dims, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    dims: Vec<usize>,
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I64(Vec<i64>),
}

macro_rules! tensor_of {
    ($($name:ident, $number:ty, $kind:ident;)*) => {$(
        /// Takes numbers and the dims that they fill; no dims make a scalar.
        ///
        /// # Panics
        /// If the dims do not multiply to how many numbers there are.
        pub fn $name(dims: &[usize], numbers: Vec<$number>) -> Self {
            assert_eq!(dims.iter().product::<usize>(), numbers.len(), "dims {dims:?}");
            Self { dims: dims.to_vec(), numbers: Numbers::$kind(numbers) }
        }
    )*};
}

impl Tensor {
    tensor_of! {
        f32, f32, F32;
        f16, f16, F16;
        i8, i8, I8;
        u8, u8, U8;
        i64, i64, I64;
    }

    /// How many numbers lie along each axis.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// What the numbers are.
    pub fn element_type(&self) -> ElementType {
        match self.numbers {
            Numbers::F32(_) => ElementType::F32,
            Numbers::F16(_) => ElementType::F16,
            Numbers::I8(_) => ElementType::I8,
            Numbers::U8(_) => ElementType::U8,
            Numbers::I64(_) => ElementType::I64,
        }
    }

    /// The numbers, if they are 32-bit floating point.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.numbers {
            Numbers::F32(numbers) => Some(numbers),
            _ => None,
        }
    }

    pub(super) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// How many bytes [`Tensor::write_to`] writes.
    pub fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::F32(x) => x.len() * 4,
            Numbers::F16(x) => x.len() * 2,
            Numbers::I8(x) => x.len(),
            Numbers::U8(x) => x.len(),
            Numbers::I64(x) => x.len() * 8,
        }
    }

    /// Writes the numbers, little-endian, without a copy of the whole: word embeddings are large.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.numbers {
            Numbers::F32(x) => write_chunks(x, |n, to| to.extend(n.to_le_bytes()), out),
            Numbers::F16(x) => write_chunks(x, |n, to| to.extend(n.to_le_bytes()), out),
            Numbers::I8(x) => write_chunks(x, |n, to| to.extend(n.to_le_bytes()), out),
            Numbers::U8(x) => out.write_all(x),
            Numbers::I64(x) => write_chunks(x, |n, to| to.extend(n.to_le_bytes()), out),
        }
    }
}

fn write_chunks<T: Copy>(
    numbers: &[T],
    put: impl Fn(T, &mut Vec<u8>),
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for chunk in numbers.chunks(16_384) {
        bytes.clear();
        for &number in chunk {
            put(number, &mut bytes);
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_little_endian() {
        let mut out = Vec::new();
        Tensor::f32(&[2], vec![1.0, -2.0]).write_to(&mut out).unwrap();
        Tensor::f16(&[], vec![f16::from_f32(1.0)]).write_to(&mut out).unwrap();
        Tensor::i8(&[1], vec![-1]).write_to(&mut out).unwrap();
        Tensor::i64(&[1], vec![-2]).write_to(&mut out).unwrap();
        let expected = [&[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0][..], &[0, 0x3c], &[0xff], &[0xfe]];
        assert_eq!(out, [&expected.concat()[..], &[0xff; 7]].concat());
    }
}

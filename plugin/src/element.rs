//! In which numbers a field's rows are kept.
//!
//! Invariant: what [`Element::encode`] takes, it makes finite numbers of, and the same ones on every
//! machine; how far they are from what was given is in the documentation of [`Element`].

use half::f16;
use serde::{Deserialize, Serialize};

use crate::vector::VectorError;

/// The numbers in which a field keeps its rows. What is searched, and what
/// [`vectors`](crate::DenseSearcher::vectors) gives back, is what was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Element {
    /// 4 bytes: as given, bit by bit.
    #[default]
    F32,
    /// 2 bytes: within 2^-11 of each number. Numbers beyond ±65,504 are refused.
    F16,
    /// 1 byte, and 4 more a row for a scale: within 1/254 of the row's largest number.
    Int8,
}

impl Element {
    /// How many bytes a number takes.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Checks that a row of finite numbers can be kept.
    ///
    /// # Errors
    /// [`VectorError::Range`] for a number that f16 has no place for.
    pub fn check(self, row: &[f32]) -> Result<(), VectorError> {
        let too_large = |x: &f32| f16::from_f32(*x).is_infinite();
        match row.iter().position(too_large).filter(|_| self == Self::F16) {
            Some(column) => Err(VectorError::Range { row: 0, column }),
            None => Ok(()),
        }
    }

    /// Appends a row's bytes, little-endian, and gives its scale: of an int8 row, a number is its
    /// byte times the scale. Of others the scale is 1.
    pub(crate) fn encode(self, row: &[f32], out: &mut Vec<u8>) -> f32 {
        match self {
            Self::F32 => out.extend(row.iter().flat_map(|x| x.to_le_bytes())),
            Self::F16 => out.extend(row.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
            Self::Int8 => {
                let most = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                let scale = most / 127.0;
                // Below what f32 can divide by, a row is as good as zeros.
                let per = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
                #[expect(clippy::cast_possible_truncation, reason = "within ±127")]
                out.extend(row.iter().map(|x| {
                    let code = (x * per).round_ties_even().clamp(-127.0, 127.0) as i8;
                    code.to_le_bytes()[0]
                }));
                return scale;
            }
        }
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_int8_number_is_within_half_a_step(row in prop::collection::vec(-1e3f32..1e3, 1..40)) {
            let mut bytes = Vec::new();
            let scale = Element::Int8.encode(&row, &mut bytes);
            let most = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            for (x, byte) in row.iter().zip(bytes) {
                let kept = f32::from(i8::from_le_bytes([byte])) * scale;
                prop_assert!((kept - x).abs() <= most / 253.0, "{x} {kept}");
            }
        }

        #[test]
        fn what_is_taken_stays_finite(row in prop::collection::vec(
            any::<f32>().prop_filter("finite", |x| x.is_finite()), 1..20,
        )) {
            for element in [Element::F32, Element::F16, Element::Int8] {
                if element.check(&row).is_ok() {
                    let mut bytes = Vec::new();
                    let scale = element.encode(&row, &mut bytes);
                    prop_assert_eq!(bytes.len(), row.len() * element.bytes());
                    prop_assert!(scale.is_finite());
                    let finite = bytes.chunks_exact(2).all(|b| f16::from_le_bytes([b[0], b[1]]).is_finite());
                    prop_assert!(element != Element::F16 || finite);
                }
            }
        }
    }

    #[test]
    fn f16_refuses_what_it_has_no_place_for() {
        assert_eq!(Element::F16.check(&[1.0, 7e4]), Err(VectorError::Range { row: 0, column: 1 }));
        assert_eq!(Element::F32.check(&[1.0, 7e4]), Ok(()));
    }
}

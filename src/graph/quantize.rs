//! Weights as 8-bit integers.
//!
//! Invariant: a weight that meets 8-bit activations stays within ±[`WEIGHT_LIMIT`], so that no processor saturates.

use half::f16;

/// The largest magnitude of a quantized weight of a matrix product.
///
/// AVX2 without VNNI multiplies two pairs of u8 and i8 and adds them in 16 bits, saturating: 2 x 255 x 64 =
/// 32,640 fits below 32,767 and 127 would not. Unsigned weights do not saturate either, but ran at .6 of
/// the speed on a processor with VNNI.
pub(super) const WEIGHT_LIMIT: f32 = 64.0;

/// How many neighbouring numbers of a word embedding share a scale.
pub(super) const BLOCK: usize = 32;

/// A matrix as integers, each output with a scale of its own.
pub(super) struct Columns {
    /// `[inputs, outputs]`: transposed, as a matrix product takes it.
    pub(super) codes: Vec<i8>,
    /// One for each output.
    pub(super) scales: Vec<f32>,
}

/// Quantizes a linear layer's weight, `[outputs, inputs]`.
pub(super) fn columns(weight: &[f32], inputs: usize) -> Columns {
    let outputs = weight.len() / inputs;
    let mut codes = vec![0; weight.len()];
    let mut scales = Vec::with_capacity(outputs);
    for (output, row) in weight.chunks_exact(inputs).enumerate() {
        let scale = scale_for(row, WEIGHT_LIMIT);
        for (input, &x) in row.iter().enumerate() {
            codes[input * outputs + output] = code(x / scale, WEIGHT_LIMIT);
        }
        scales.push(scale);
    }
    Columns { codes, scales }
}

/// Numbers as integers, each [`BLOCK`] with a scale of its own.
pub(super) struct Blocks {
    /// As many as there are numbers.
    pub(super) codes: Vec<i8>,
    /// One for each block.
    pub(super) scales: Vec<f16>,
}

/// Quantizes numbers, whole blocks of them.
pub(super) fn blocks(numbers: &[f32]) -> Blocks {
    let mut codes = Vec::with_capacity(numbers.len());
    let mut scales = Vec::with_capacity(numbers.len() / BLOCK);
    for block in numbers.chunks_exact(BLOCK) {
        let scale = f16::from_f32(scale_for(block, 127.0));
        // A block so small that its scale vanishes in 16 bits is zero for all that follows.
        let divisor = if scale.to_f32() > 0.0 { scale.to_f32() } else { f32::INFINITY };
        codes.extend(block.iter().map(|&x| code(x / divisor, 127.0)));
        scales.push(scale);
    }
    Blocks { codes, scales }
}

fn scale_for(numbers: &[f32], limit: f32) -> f32 {
    let largest = numbers.iter().fold(0_f32, |largest, x| largest.max(x.abs()));
    if largest > 0.0 { largest / limit } else { 1.0 }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded and clamped to 8 bits before")]
fn code(x: f32, limit: f32) -> i8 {
    x.round().clamp(-limit, limit) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_column_comes_back_within_half_a_step(
            weight in proptest::collection::vec(-10_f32..10.0, 12),
        ) {
            let quantized = columns(&weight, 4);
            for (i, &x) in weight.iter().enumerate() {
                let (output, input) = (i / 4, i % 4);
                let code = quantized.codes[input * 3 + output];
                let scale = quantized.scales[output];
                prop_assert!((f32::from(code) * scale - x).abs() <= scale * 0.5001);
                prop_assert!(f32::from(code.unsigned_abs()) <= WEIGHT_LIMIT);
            }
        }

        #[test]
        fn a_block_comes_back_within_a_step(
            numbers in proptest::collection::vec(-10_f32..10.0, BLOCK),
        ) {
            let quantized = blocks(&numbers);
            let scale = quantized.scales[0].to_f32();
            for (&code, &x) in quantized.codes.iter().zip(&numbers) {
                prop_assert!((f32::from(code) * scale - x).abs() <= scale);
            }
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(columns(&[0.0; 4], 2).codes, [0; 4]);
        assert_eq!(blocks(&[0.0; BLOCK]).codes, [0; BLOCK]);
        assert_eq!(blocks(&[1e-30; BLOCK]).codes, [0; BLOCK]);
    }
}

//! Scores of one query against rows, as fast as plain Rust gets: the loops are written so that the
//! compiler makes vector instructions of them.
//!
//! Invariant: a score is finite and above `f32::MIN`, depends on the two vectors alone (not on where
//! a row lies, nor on its neighbours), and equals the definition of its [`Metric`] within rounding.
//!
//! Left out on purpose: instructions beyond the build's target. A scan is bound by memory.

use crate::vector::Metric;

const LANES: usize = 16;

/// Squared lengths outside of this range have lost digits, or everything, in `f32`.
const SAFE: std::ops::Range<f32> = 1e-30..1e30;

/// `f32::MIN` itself would be no hit: Tantivy's `TopDocs` takes only what is above it.
const LEAST: f32 = f32::MIN.next_up();

/// The dot product, in 16 partial sums.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    fold(sums) + rest
}

#[inline]
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            let d = a[lane] - b[lane];
            sums[lane] += d * d;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    fold(sums) + rest
}

#[inline]
fn fold(sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    let mut sums = sums;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// One over a vector's length; 0 for zeros; NaN if the square of the length does not fit `f32`.
pub(crate) fn inverse_norm(vector: &[f32]) -> f32 {
    let squared = dot(vector, vector);
    if SAFE.contains(&squared) {
        1.0 / squared.sqrt()
    } else if vector.iter().all(|x| *x == 0.0) {
        0.0
    } else {
        f32::NAN
    }
}

/// A query, ready to be compared with many rows.
pub(crate) struct Scorer<'a> {
    query: &'a [f32],
    metric: Metric,
    inverse_norm: f32,
}

impl<'a> Scorer<'a> {
    pub(crate) fn new(query: &'a [f32], metric: Metric) -> Self {
        let inverse_norm = if metric == Metric::Cosine { inverse_norm(query) } else { 1.0 };
        Self { query, metric, inverse_norm }
    }

    /// The score of a row. `inverse_norm` is the row's; only the cosine looks at it.
    #[inline]
    pub(crate) fn score(&self, row: &[f32], inverse_norm: f32) -> f32 {
        let score = match self.metric {
            Metric::Cosine => {
                (dot(self.query, row) * (inverse_norm * self.inverse_norm)).clamp(-1.0, 1.0)
            }
            Metric::Dot => dot(self.query, row),
            Metric::L2 => 1.0 / (1.0 + squared_distance(self.query, row)),
        };
        // Adding zero makes -0 a 0, so that equal scores are also equal in the order of floats.
        if score.abs() < f32::MAX { score + 0.0 } else { self.score_of_extremes(row) + 0.0 }
    }

    /// For numbers so large or small that `f32` overflows or loses them: the same in `f64`, where
    /// no product of two `f32` can.
    #[cold]
    fn score_of_extremes(&self, row: &[f32]) -> f32 {
        let sum = |of: fn(f64, f64) -> f64, a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| of(f64::from(*a), f64::from(*b))).sum()
        };
        let dot = |a, b| sum(|a, b| a * b, a, b);
        let score = match self.metric {
            Metric::Cosine => {
                let norms = dot(self.query, self.query).sqrt() * dot(row, row).sqrt();
                if norms == 0.0 { 0.0 } else { (dot(self.query, row) / norms).clamp(-1.0, 1.0) }
            }
            Metric::Dot => dot(self.query, row).clamp(f64::from(LEAST), f64::from(f32::MAX)),
            Metric::L2 => 1.0 / (1.0 + sum(|a, b| (a - b) * (a - b), self.query, row)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of f32")]
        let score = score as f32;
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definitions in `vector.rs`, word for word, in `f64`.
    fn defined(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
        let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let dot: f64 = pairs().map(|(a, b)| a * b).sum();
        match metric {
            Metric::Cosine => {
                let a_norm = pairs().map(|(a, _)| a * a).sum::<f64>().sqrt();
                let b_norm = pairs().map(|(_, b)| b * b).sum::<f64>().sqrt();
                if a_norm * b_norm == 0.0 { 0.0 } else { dot / (a_norm * b_norm) }
            }
            Metric::Dot => dot,
            Metric::L2 => 1.0 / (1.0 + pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>()),
        }
    }

    fn score(metric: Metric, query: &[f32], row: &[f32]) -> f32 {
        Scorer::new(query, metric).score(row, inverse_norm(row))
    }

    fn metric() -> impl Strategy<Value = Metric> {
        prop_oneof![Just(Metric::Cosine), Just(Metric::Dot), Just(Metric::L2)]
    }

    proptest! {
        #[test]
        fn a_score_is_what_its_metric_says(
            metric in metric(),
            pairs in prop::collection::vec((-10f32..10.0, -10f32..10.0), 1..70),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let (ours, exact) = (f64::from(score(metric, &a, &b)), defined(metric, &a, &b));
            prop_assert!((ours - exact).abs() <= 2e-3 + 1e-5 * exact.abs(), "{ours} {exact}");
        }

        #[test]
        fn a_score_of_any_finite_vectors_is_finite(
            metric in metric(),
            pairs in prop::collection::vec(
                (any::<f32>(), any::<f32>()).prop_filter("finite", |(a, b)| {
                    a.is_finite() && b.is_finite()
                }),
                1..40,
            ),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            prop_assert!(score(metric, &a, &b).is_finite());
        }
    }

    #[test]
    fn lengths_that_f32_cannot_square_still_have_a_cosine() {
        for scale in [1e-25f32, 1e-10, 1.0, 1e10, 1e25] {
            let found = score(Metric::Cosine, &[3.0 * scale, 4.0 * scale], &[scale, 0.0]);
            assert!((found - 0.6).abs() < 1e-6, "{scale}: {found}");
        }
    }

    #[test]
    fn the_lowest_score_of_all_is_still_above_what_tantivy_leaves_out() {
        for (query, row) in [(-3e38, 3e38), (-1.0, f32::MAX)] {
            assert!(score(Metric::Dot, &[query], &[row]) > f32::MIN);
        }
    }

    #[test]
    fn zeros_are_near_to_nothing_by_cosine() {
        assert_eq!(score(Metric::Cosine, &[0.0, 0.0], &[1e30, 1.0]).to_bits(), 0);
        assert_eq!(score(Metric::Cosine, &[1.0, 2.0], &[0.0, 0.0]).to_bits(), 0);
    }
}

//! Medians, curves read between their points, and exponents.

/// The middle of some numbers; of an even count, the upper of the two in the middle.
///
/// # Panics
/// Without a number.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// The number that a share of the others lies below.
///
/// # Panics
/// Without a number.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a short list"
)]
pub(crate) fn quantile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}

/// The mean; 0 without a number.
#[expect(clippy::cast_precision_loss, reason = "a count of queries")]
pub(crate) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// How many queries a second a curve of (recall, queries a second) reaches at a recall, and whether that is exact or
/// only known to be at least so: a curve that starts above the recall has no slower point to stop at.
///
/// Between two points the logarithm of the speed is linear in the recall. None if no point reaches the recall.
pub(crate) fn speed_at(points: &[(f64, f64)], recall: f64) -> Option<Speed> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let after = sorted.iter().position(|point| point.0 >= recall)?;
    if after == 0 {
        // The fastest of those that reach it.
        let best = sorted.iter().map(|point| point.1).fold(0.0, f64::max);
        return Some(Speed { qps: best, at_least: sorted[0].0 > recall });
    }
    let ((r0, q0), (r1, q1)) = (sorted[after - 1], sorted[after]);
    let share = (recall - r0) / (r1 - r0);
    Some(Speed { qps: (q0.ln() + share * (q1.ln() - q0.ln())).exp(), at_least: false })
}

/// A number of queries a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed {
    /// Queries a second.
    pub(crate) qps: f64,
    /// The curve starts above the recall that was asked for.
    pub(crate) at_least: bool,
}

/// The exponent `b` of `y = a x^b`, by least squares over the logarithms.
pub(crate) fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let x = mean(&logs.iter().map(|log| log.0).collect::<Vec<_>>());
    let y = mean(&logs.iter().map(|log| log.1).collect::<Vec<_>>());
    let above: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    let below: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_between_two_points_is_geometric() {
        let curve = [(0.9, 400.0), (1.0, 100.0)];
        let speed = speed_at(&curve, 0.95).unwrap();
        assert!((speed.qps - 200.0).abs() < 1e-9 && !speed.at_least);
        assert_eq!(speed_at(&curve, 0.8).unwrap(), Speed { qps: 400.0, at_least: true });
        assert_eq!(speed_at(&curve[..1], 0.95), None);
    }

    #[test]
    fn the_exponent_of_a_square_is_2() {
        assert!((exponent(&[(1.0, 3.0), (2.0, 12.0), (4.0, 48.0)]) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_median_of_three_is_the_second() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
    }
}

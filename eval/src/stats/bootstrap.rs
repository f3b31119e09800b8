//! Bootstrap intervals: how far the mean moves if the topics had been others of the same kind.

use super::{Differences, Draws};

/// The percentile bootstrap interval of the mean, which holds `confidence` (between 0 and 1) of the
/// means of observations drawn again with replacement.
///
/// Observations are drawn from those that lie in the same languages, so that each language keeps its
/// number of topics.
///
/// # Panics
/// If `confidence` is not between 0 and 1.
///
/// # Source
/// Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 13; quantiles between two
/// means are interpolated.
///
/// # Example
/// ```
/// # use tantivy_dense_eval::stats::{Differences, DifferencesError, Draws, bootstrap_interval};
/// let differences = Differences::new(&[0.1, 0.2, 0.3, 0.1, 0.2])?;
/// let [low, high] = bootstrap_interval(&differences, 0.95, Draws::new(1));
/// assert!(0.1 < low && low < 0.18 && 0.18 < high && high < 0.3);
/// # Ok::<(), DifferencesError>(())
/// ```
pub fn bootstrap_interval(differences: &Differences, confidence: f64, draws: Draws) -> [f64; 2] {
    assert!((0.0..=1.0).contains(&confidence), "a confidence of {confidence}");
    let mut random = draws.random();
    let mut mean = || {
        let strata = differences.strata().iter();
        let drawn = strata.flat_map(|parts| parts.iter().map(move |_| parts));
        drawn.map(|parts| parts[random.below(parts.len())]).sum::<f64>()
    };
    let mut means: Vec<f64> = (0..draws.rounds).map(|_| mean()).collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    [quantile(&means, tail), quantile(&means, 1.0 - tail)]
}

/// Between the two nearest of `sorted`, as numpy's default has it.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    let place = share * crate::measure::real(last);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list: not negative, and no larger than its length"
    )]
    let before = (place.floor() as usize).min(last);
    let after = (before + 1).min(last);
    let part = place - place.floor();
    sorted[before] + part * (sorted[after] - sorted[before])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_lie_between_the_nearest_two() {
        let sorted = [1.0, 2.0, 4.0];
        for (share, wanted) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)] {
            assert!((quantile(&sorted, share) - wanted).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn an_interval_holds_the_mean_lies_within_the_values_and_repeats(
            differences in proptest::collection::vec(-1.0..1.0_f64, 2..40),
            seed in any::<u64>(),
        ) {
            let sample = Differences::new(&differences).unwrap();
            let interval = || bootstrap_interval(&sample, 0.95, Draws::new(seed).rounds(500));
            let [low, high] = interval();
            let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
            let most = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-12 <= low && low <= high && high <= most + 1e-12);
            let spread = most - least;
            prop_assert!(low <= sample.mean() + 0.1 * spread && sample.mean() - 0.1 * spread <= high);
            prop_assert_eq!(interval().map(f64::to_bits), [low, high].map(f64::to_bits));
        }
    }
}

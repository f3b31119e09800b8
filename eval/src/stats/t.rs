//! The paired t-test, and the effect size that belongs to it.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::measure::real;

/// What the paired t-test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedT {
    /// The mean difference over its standard error.
    pub t: f64,
    /// How likely a `t` at least as far from 0 is if the mean difference were 0: two-sided.
    pub p: f64,
}

/// The paired t-test over the differences of the topics.
///
/// `None` if there are fewer than two differences, or all are equal: then nothing says how far they
/// spread.
///
/// # Source
/// Student, "The probable error of a mean" (1908); p-values equal those of `scipy.stats.ttest_rel`.
///
/// # Example
/// ```
/// # use tantivy_dense_eval::stats::paired_t;
/// let test = paired_t(&[0.1, 0.3, 0.2]).expect("they spread");
/// assert!((test.t - 0.2 / (0.1 / 3.0_f64.sqrt())).abs() < 1e-9);
/// assert!((test.p - 0.074_179_900).abs() < 1e-8);
/// ```
pub fn paired_t(differences: &[f64]) -> Option<PairedT> {
    let Spread { mean, deviation } = Spread::of(differences)?;
    let t = mean / (deviation / real(differences.len()).sqrt());
    let distribution = students_t(differences.len() - 1);
    Some(PairedT { t, p: (2.0 * distribution.sf(t.abs())).min(1.0) })
}

/// Cohen's d of paired differences (`d_z`): their mean over their standard deviation.
///
/// .2 is called small, .5 medium, .8 large. `None` where [`paired_t`] is.
///
/// # Source
/// Cohen, "Statistical power analysis for the behavioral sciences" (1988), section 2.3.5.
///
/// # Example
/// ```
/// # use tantivy_dense_eval::stats::cohens_d;
/// assert!(cohens_d(&[0.1, 0.3, 0.2]).is_some_and(|d| (d - 2.0).abs() < 1e-9));
/// assert_eq!(cohens_d(&[0.1, 0.1]), None);
/// ```
pub fn cohens_d(differences: &[f64]) -> Option<f64> {
    Spread::of(differences).map(|Spread { mean, deviation }| mean / deviation)
}

/// Mean and standard deviation of differences that are not all equal.
pub(super) struct Spread {
    pub(super) mean: f64,
    /// With n - 1.
    pub(super) deviation: f64,
}

impl Spread {
    pub(super) fn of(differences: &[f64]) -> Option<Self> {
        if differences.len() < 2 {
            return None;
        }
        let n = real(differences.len());
        let mean = differences.iter().sum::<f64>() / n;
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let deviation = (squares / (n - 1.0)).sqrt();
        // Equal differences may leave what rounding leaves.
        let largest =
            differences.iter().fold(0.0_f64, |most, difference| most.max(difference.abs()));
        (deviation > 1e-12 * largest).then_some(Self { mean, deviation })
    }
}

pub(super) fn students_t(freedom: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, real(freedom)).expect("one degree of freedom or more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_spread_is_not_tested() {
        for differences in [&[][..], &[0.1], &[0.1, 0.1, 0.1], &[0.0, 0.0]] {
            assert_eq!(paired_t(differences), None);
            assert_eq!(cohens_d(differences), None);
        }
    }

    proptest! {
        #[test]
        fn who_is_first_turns_the_sign_of_t_and_of_d_alone(
            differences in proptest::collection::vec(-1.0..1.0_f64, 2..40),
        ) {
            let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
            let (Some(one), Some(other)) = (paired_t(&differences), paired_t(&turned)) else {
                return Ok(());
            };
            prop_assert!((one.t + other.t).abs() <= 1e-9 * one.t.abs());
            prop_assert!((one.p - other.p).abs() < 1e-9 && (0.0..=1.0).contains(&one.p));
            let (one, other) = (cohens_d(&differences), cohens_d(&turned));
            prop_assert!(one.zip(other).is_some_and(|(a, b)| (a + b).abs() <= 1e-9 * a.abs()));
        }
    }
}

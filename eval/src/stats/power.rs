//! What a number of topics can show: no test finds a difference that is small against their spread.

use statrs::distribution::ContinuousCDF;

use super::t::{Spread, students_t};
use crate::measure::real;

/// How often a difference that is there must be found.
const POWER: f64 = 0.8;

/// How often a difference that is not there may be found.
const ALPHA: f64 = 0.05;

/// The smallest mean difference that a two-sided paired t-test over so many topics, whose differences
/// spread as these do, finds four times out of five (power .8) at a level of .05.
///
/// It is that of one test: where p-values are adjusted for several languages, more is needed. `None` if
/// there are fewer than two differences, or all are equal.
///
/// # Source
/// Sakai, "Topic set size design" (2016), section 2: (t(1 - alpha / 2) + t(power)) * deviation / sqrt(n), with
/// n - 1 degrees of freedom. Against the noncentral t-distribution it is less than 1 % off from
/// 10 topics on.
///
/// # Example
/// ```
/// # use tantivy_dense_eval::stats::detectable_difference;
/// let few = detectable_difference(&[0.1, 0.3, 0.2, -0.1]).expect("they spread");
/// let many = detectable_difference(&[0.1, 0.3, 0.2, -0.1].repeat(100)).expect("they spread");
/// assert!(few > 10.0 * many);
/// ```
pub fn detectable_difference(differences: &[f64]) -> Option<f64> {
    let Spread { deviation, .. } = Spread::of(differences)?;
    let t = students_t(differences.len() - 1);
    let steps = t.inverse_cdf(1.0 - ALPHA / 2.0) + t.inverse_cdf(POWER);
    Some(steps * deviation / real(differences.len()).sqrt())
}

//! The paired randomization test: were both systems the same, chance alone would have said which of the
//! two values of a topic is whose.

use super::{Differences, Draws};
use crate::measure::real;

/// Up to so many observations with a difference, all ways to turn them are tried.
const EXACT: usize = 14;

/// How likely a mean at least as far from 0 is if each observation's difference could as well have had
/// the other sign: a two-sided p-value.
///
/// With up to 14 differences other than 0 all ways to turn them are tried, and the p-value is
/// exact. With more, signs are drawn, and the p-value is (1 + means as far from 0) / (1 + rounds), so
/// that it is never 0.
///
/// # Source
/// Smucker, Allan and Carterette, "A comparison of statistical significance tests for information
/// retrieval evaluation" (2007); Phipson and Smyth, "Permutation p-values should never be zero" (2010).
///
/// # Example
/// ```
/// # use tantivy_dense_eval::stats::{Differences, DifferencesError, Draws, randomization_test};
/// // Of the 8 ways to turn three signs two are as far from 0: all as they are, and all turned.
/// let differences = Differences::new(&[0.1, 0.2, 0.3])?;
/// assert!((randomization_test(&differences, Draws::new(1)) - 2.0 / 8.0).abs() < 1e-12);
/// # Ok::<(), DifferencesError>(())
/// ```
pub fn randomization_test(differences: &Differences, draws: Draws) -> f64 {
    // Turning a 0 changes nothing.
    let parts = differences.strata().iter().flatten().copied().filter(|part| part.abs() > 0.0);
    let parts: Vec<f64> = parts.collect();
    // What differs only by the order of a sum is equal.
    let size: f64 = parts.iter().map(|part| part.abs()).sum();
    let observed = differences.mean().abs() - 1e-12 * size;
    if parts.len() <= EXACT {
        let ways = 1_usize << parts.len();
        let far = (0..ways).filter(|&signs| turned(&parts, || signs as u64).abs() >= observed);
        return real(far.count()) / real(ways);
    }
    let mut random = draws.random();
    let far = (0..draws.rounds).filter(|_| turned(&parts, || random.coins()).abs() >= observed);
    (1.0 + real(far.count())) / (1.0 + f64::from(draws.rounds))
}

/// The sum with each sign turned whose coin is 1.
fn turned(parts: &[f64], mut coins: impl FnMut() -> u64) -> f64 {
    let mut sum = 0.0;
    for block in parts.chunks(64) {
        let mut coins = coins();
        for part in block {
            sum += f64::from_bits(part.to_bits() ^ (coins << 63));
            coins >>= 1;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p(differences: &[f64], seed: u64) -> f64 {
        randomization_test(&Differences::new(differences).unwrap(), Draws::new(seed).rounds(2_000))
    }

    #[test]
    fn two_systems_that_do_not_differ_have_p_1() {
        for count in [1, 100] {
            assert!((p(&vec![0.0; count], 1) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_drawn_p_is_near_the_exact_one_and_never_0() {
        // 15 equal differences: only all signs alike are as far, 2 of 2^15.
        let one_way = p(&[0.1; 15], 1);
        assert!((1.0 / 2_001.0..0.005).contains(&one_way), "{one_way}");
        // Many zeros beside them change nothing.
        let few = [0.1, 0.2, 0.3, -0.1];
        let many = [&few[..], &[0.0; 100]].concat();
        assert!((p(&few, 1) - p(&many, 1)).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn p_is_a_share_does_not_care_who_is_first_and_repeats(
            differences in proptest::collection::vec(-1.0..1.0_f64, 1..40),
            seed in any::<u64>(),
        ) {
            let value = p(&differences, seed);
            prop_assert!(value > 0.0 && value <= 1.0, "{}", value);
            prop_assert_eq!(value.to_bits(), p(&differences, seed).to_bits());
            let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
            prop_assert_eq!(value.to_bits(), p(&turned, seed).to_bits());
        }
    }
}

//! Several tests at once: of twenty languages one is significant at .05 by chance alone.

/// Adjusts p-values so that below `alpha` are those of which, in all, one or more is false with
/// a probability of at most `alpha`.
///
/// # Shapes
/// The result is in the order of `p`.
///
/// # Source
/// Holm, "A simple sequentially rejective multiple test procedure" (1979).
///
/// # Example
/// ```
/// # use tantivy_dense_eval::stats::holm;
/// let adjusted = holm(&[0.01, 0.04, 0.03]);
/// let wanted = [3.0 * 0.01, 2.0 * 0.03, 2.0 * 0.03]; // .04 is not below what .03 has become
/// assert!(adjusted.iter().zip(wanted).all(|(ours, wanted)| (ours - wanted).abs() < 1e-12));
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (place, at) in order.into_iter().enumerate() {
        least = least.max(p[at] * crate::measure::real(p.len() - place)).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_least_p_counts_for_all_tests_and_none_exceeds_1() {
        let adjusted = holm(&[0.5, 0.001, 0.9]);
        let wanted = [1.0, 0.003, 1.0];
        assert!(adjusted.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn adjusting_keeps_the_order_and_lies_between_p_and_bonferroni(
            p in proptest::collection::vec(0.0..=1.0_f64, 1..20),
        ) {
            let adjusted = holm(&p);
            for (at, (&raw, &new)) in p.iter().zip(&adjusted).enumerate() {
                let bonferroni = (raw * crate::measure::real(p.len())).min(1.0);
                prop_assert!(raw <= new && new <= 1.0);
                prop_assert!(new <= bonferroni.max(adjusted.iter().copied().fold(0.0, f64::max)));
                for (other, &raw_other) in p.iter().enumerate() {
                    prop_assert!(raw > raw_other || new <= adjusted[other] || at == other);
                }
            }
        }
    }
}

//! How much of a ranking somebody judged: where that is little, the other measures say little.

use super::{Cutoff, Standing, real};

pub(super) fn judged(standing: &Standing, cutoff: Option<Cutoff>) -> f64 {
    match standing.retrieved(cutoff) {
        0 => 0.0,
        retrieved => real(standing.judged(cutoff).count()) / real(retrieved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ranking_shorter_than_the_cutoff_is_judged_over_its_own_length() {
        // Four are ranked; those at ranks 1 (not relevant) and 4 are judged.
        let standing = Standing::new([(1, 0), (4, 2)], [1], 4);
        for (cutoff, share) in [(1, 1.0), (2, 1.0 / 2.0), (4, 2.0 / 4.0), (10, 2.0 / 4.0)] {
            assert!((judged(&standing, Cutoff::new(cutoff)) - share).abs() < 1e-12);
        }
        assert!((judged(&standing, None) - 2.0 / 4.0).abs() < 1e-12);
        assert!(judged(&Standing::new([], [1], 0), Cutoff::new(5)).abs() < 1e-12);
    }
}

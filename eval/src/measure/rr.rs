//! Reciprocal rank: how far down the first useful passage is.

use super::{Cutoff, Standing};

pub(super) fn reciprocal_rank(standing: &Standing, cutoff: Option<Cutoff>) -> f64 {
    standing.within(cutoff).next().map_or(0.0, |(rank, _)| 1.0 / rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_relevant_passage_counts_and_only_within_the_cutoff() {
        let standing = Standing::new([(4, 1), (9, 3)], []);
        assert!((reciprocal_rank(&standing, None) - 0.25).abs() < 1e-12);
        assert!(reciprocal_rank(&standing, Cutoff::new(3)).abs() < 1e-12);
    }
}

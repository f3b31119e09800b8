//! How far down the first useful passage is: its reciprocal rank, and whether it is within a cutoff.

use super::{Cutoff, Level, Standing};

pub(super) fn reciprocal_rank(standing: &Standing, level: Level, cutoff: Option<Cutoff>) -> f64 {
    standing.within(level, cutoff).next().map_or(0.0, |(rank, _)| 1.0 / rank)
}

pub(super) fn success(standing: &Standing, level: Level, cutoff: Cutoff) -> f64 {
    f64::from(u8::from(standing.within(level, Some(cutoff)).next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_relevant_passage_counts_and_only_within_the_cutoff() {
        let standing = Standing::new([(1, 0), (4, 1), (9, 3)], [], 10);
        assert!((reciprocal_rank(&standing, Level::MIN, None) - 0.25).abs() < 1e-12);
        assert!(reciprocal_rank(&standing, Level::MIN, Cutoff::new(3)).abs() < 1e-12);
        let three = Level::new(3).unwrap();
        assert!((reciprocal_rank(&standing, three, None) - 1.0 / 9.0).abs() < 1e-12);
        for (level, cutoff, found) in [(1, 3, 0.0), (1, 4, 1.0), (3, 8, 0.0), (3, 9, 1.0)] {
            let (level, cutoff) = (Level::new(level).unwrap(), Cutoff::new(cutoff).unwrap());
            assert!((success(&standing, level, cutoff) - found).abs() < 1e-12);
        }
    }
}

//! Average precision: one number for the whole ranking, over all relevant passages.

use super::{Cutoff, Level, Standing, real};

pub(super) fn average_precision(standing: &Standing, level: Level, cutoff: Option<Cutoff>) -> f64 {
    let relevant = standing.relevant(level);
    if relevant == 0 {
        return 0.0;
    }
    let found = (1_usize..).zip(standing.within(level, cutoff));
    found.map(|(n, (rank, _))| real(n) / rank).sum::<f64>() / real(relevant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_divides_by_all_relevant_not_by_those_found() {
        // Found at ranks 1 and 3, of three that there are.
        let standing = Standing::new([(3, 1), (1, 1)], [1], 3);
        let value = average_precision(&standing, Level::MIN, None);
        assert!((value - (1.0 / 1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        let cut = average_precision(&standing, Level::MIN, Cutoff::new(2));
        assert!((cut - (1.0 / 1.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn below_the_level_a_passage_is_as_any_that_is_not_relevant() {
        // Of grade 2 and more there are two: one at rank 3, one that is not found.
        let standing = Standing::new([(1, 1), (3, 2)], [2, 1], 3);
        let value = average_precision(&standing, Level::new(2).unwrap(), None);
        assert!((value - (1.0 / 3.0) / 2.0).abs() < 1e-12);
        assert!(average_precision(&standing, Level::new(3).unwrap(), None).abs() < 1e-12);
    }
}

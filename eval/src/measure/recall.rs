//! Recall and precision at a cutoff: the same hits, over what there is and over what was shown. Where
//! both denominators are equal stands R-precision.

use super::{Cutoff, Level, Standing, real};

pub(super) fn recall(standing: &Standing, level: Level, cutoff: Cutoff) -> f64 {
    match standing.relevant(level) {
        0 => 0.0,
        relevant => real(standing.within(level, Some(cutoff)).count()) / real(relevant),
    }
}

pub(super) fn precision(standing: &Standing, level: Level, cutoff: Cutoff) -> f64 {
    real(standing.within(level, Some(cutoff)).count()) / real(cutoff.get())
}

pub(super) fn r_precision(standing: &Standing, level: Level) -> f64 {
    let relevant = Cutoff::new(standing.relevant(level));
    relevant.map_or(0.0, |relevant| precision(standing, level, relevant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_divides_by_what_there_is_and_precision_by_the_cutoff() {
        let standing = Standing::new([(1, 1), (2, 2), (3, 0), (11, 1)], [1], 20);
        let ten = Cutoff::new(10).unwrap();
        assert!((recall(&standing, Level::MIN, ten) - 2.0 / 4.0).abs() < 1e-12);
        assert!((precision(&standing, Level::MIN, ten) - 2.0 / 10.0).abs() < 1e-12);
    }

    #[test]
    fn r_precision_looks_at_as_many_ranks_as_there_are_relevant_passages() {
        // Four are relevant, three of them from grade 2 on: two of four ranks hold one, two of three ranks do.
        let standing = Standing::new([(1, 2), (3, 2), (5, 1)], [3], 5);
        assert!((r_precision(&standing, Level::MIN) - 2.0 / 4.0).abs() < 1e-12);
        assert!((r_precision(&standing, Level::new(2).unwrap()) - 2.0 / 3.0).abs() < 1e-12);
        assert!(r_precision(&Standing::new([(1, 0)], [], 1), Level::MIN).abs() < 1e-12);
    }
}

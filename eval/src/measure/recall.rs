//! Recall and precision at a cutoff: the same hits, over what there is and over what was shown.

use super::{Cutoff, Standing, real};

pub(super) fn recall(standing: &Standing, cutoff: Cutoff) -> f64 {
    match standing.relevant() {
        0 => 0.0,
        relevant => real(standing.within(Some(cutoff)).count()) / real(relevant),
    }
}

pub(super) fn precision(standing: &Standing, cutoff: Cutoff) -> f64 {
    real(standing.within(Some(cutoff)).count()) / real(cutoff.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_divides_by_what_there_is_and_precision_by_the_cutoff() {
        let standing = Standing::new([(1, 1), (2, 2), (11, 1)], [1]);
        let ten = Cutoff::new(10).unwrap();
        assert!((recall(&standing, ten) - 2.0 / 4.0).abs() < 1e-12);
        assert!((precision(&standing, ten) - 2.0 / 10.0).abs() < 1e-12);
    }
}

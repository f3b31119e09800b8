//! Average precision: one number for the whole ranking, over all relevant passages.

use super::{Cutoff, Standing, real};

pub(super) fn average_precision(standing: &Standing, cutoff: Option<Cutoff>) -> f64 {
    if standing.relevant() == 0 {
        return 0.0;
    }
    let precisions = (1_usize..).zip(standing.within(cutoff)).map(|(n, (rank, _))| real(n) / rank);
    precisions.sum::<f64>() / real(standing.relevant())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_divides_by_all_relevant_not_by_those_found() {
        // Found at ranks 1 and 3, of three that there are.
        let standing = Standing::new([(3, 1), (1, 1)], [1]);
        let value = average_precision(&standing, None);
        assert!((value - (1.0 / 1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        let cut = average_precision(&standing, Cutoff::new(2));
        assert!((cut - (1.0 / 1.0) / 3.0).abs() < 1e-12);
    }
}

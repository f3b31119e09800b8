//! Normalised discounted cumulative gain: graded relevance, early ranks first.

use super::{Cutoff, Level, Standing, real};

pub(super) fn ndcg(standing: &Standing, cutoff: Option<Cutoff>) -> f64 {
    let best: f64 = (1_usize..)
        .zip(standing.ideal(cutoff))
        .map(|(rank, &grade)| discounted(real(rank), grade))
        .sum();
    if best <= 0.0 {
        return 0.0;
    }
    let found = standing.within(Level::MIN, cutoff);
    found.map(|(rank, grade)| discounted(rank, grade)).sum::<f64>() / best
}

fn discounted(rank: f64, grade: u32) -> f64 {
    f64::from(grade) / (1.0 + rank).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_order_is_cut_as_the_ranking_is() {
        // Grades 2 at rank 2 and 1 at rank 5; a passage of grade 3 is not found.
        let standing = Standing::new([(2, 2), (5, 1)], [3], 5);
        let log3 = 3_f64.log2();
        let value = ndcg(&standing, Cutoff::new(2));
        assert!((value - (2.0 / log3) / (3.0 + 2.0 / log3)).abs() < 1e-12);
        let whole = ndcg(&standing, None);
        let best = 3.0 + 2.0 / log3 + 1.0 / 2.0;
        assert!((whole - (2.0 / log3 + 1.0 / 6_f64.log2()) / best).abs() < 1e-12);
    }
}

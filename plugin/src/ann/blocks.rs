//! Exact search for many queries: FAISS finds candidates by products of blocks of rows and queries (BLAS),
//! and the rows say which are the best.
//!
//! Invariant: what it finds is what comparing row by row does, to the bit. A row that is no candidate is worse
//! than those that are returned, by more than what rounding can do; where that cannot be told, rows are compared.

use super::kernel::{dot, inverse_norm};
use super::plan::real;
use super::{Accept, AnnError, Neighbour, RowsView, exact, ffi, lists};
use crate::vector::Metric;

/// Fewer queries than this are sooner compared row by row.
const FEWEST: usize = 8;

/// More neighbours than this are not looked for in this way: memory grows with them.
const MOST: usize = 1024;

/// Rows in a block, fewer of a greater dim: 3 MB of dim 384.
const BLOCK: usize = 2048;

/// Queries that are compared with a block at once.
const TOGETHER: usize = 1024;

/// Candidates beside those wanted, among which the worst is most often worse than all wanted.
pub(super) const SPARE: usize = 16;

/// A length past which products have no digits.
const LONGEST: f64 = 1e15;

/// Whether this is the sooner way. The processor must have what FAISS was built for.
pub(super) fn pays(queries: usize, k: usize) -> bool {
    queries >= FEWEST && (1..=MOST).contains(&k) && ffi::check_processor().is_ok()
}

/// The best `k` of the rows that pass, for each query.
pub(super) fn search_batch(
    rows: &RowsView,
    queries: &[&[f32]],
    k: usize,
    accept: &Accept,
) -> Result<Vec<Vec<Neighbour>>, AnnError> {
    let passing = accept.count(rows.rows()) as usize;
    let mut found = Vec::with_capacity(queries.len());
    for queries in queries.chunks(TOGETHER) {
        let Some((candidates, longest)) = candidates(rows, queries, k + SPARE, accept)? else {
            found.extend(exact::by_rows(rows, queries, k, accept)?);
            continue;
        };
        let (mut best, mut unsure) = (Vec::with_capacity(queries.len()), Vec::new());
        for (query, candidates) in queries.iter().zip(candidates) {
            // FAISS leaves out what it has no finite product with.
            let whole = candidates.len() == passing.min(k + SPARE);
            let last = candidates.last().filter(|_| candidates.len() < passing);
            let behind = last.map(|(last, _)| Behind { last: *last, longest });
            let among = candidates.iter().map(|(_, row)| *row);
            let of_query = if whole { best_of(rows, query, k, among, behind)? } else { None };
            if of_query.is_none() {
                unsure.push(best.len());
            }
            best.push(of_query.unwrap_or_default());
        }
        let of_unsure: Vec<&[f32]> = unsure.iter().map(|at| queries[*at]).collect();
        for (at, of_query) in unsure.into_iter().zip(exact::by_rows(rows, &of_unsure, k, accept)?) {
            best[at] = of_query;
        }
        found.extend(best);
    }
    Ok(found)
}

/// For each query rows, with what FAISS says of them; and how long the longest of all rows is.
type Candidates = (Vec<Vec<(f32, u32)>>, f64);

/// The rows that FAISS finds nearest to each query, nearest first. Nothing where a row is too long for products.
fn candidates(
    rows: &RowsView,
    queries: &[&[f32]],
    count: usize,
    accept: &Accept,
) -> Result<Option<Candidates>, AnnError> {
    let all = rows.rows();
    let mut passing: Box<dyn Iterator<Item = u32>> = match accept.rows() {
        None => Box::new(0..all),
        Some(set) => Box::new(set.iter().take_while(|row| *row < all)),
    };
    let asked = queries.concat();
    let mut kept: Vec<Vec<(f32, u32)>> = vec![Vec::with_capacity(2 * count); queries.len()];
    let mut longest = 0.0_f64;
    let block = (BLOCK * 384 / rows.dim().get()).clamp(64, BLOCK);
    loop {
        let block: Vec<u32> = passing.by_ref().take(block).collect();
        if block.is_empty() {
            break;
        }
        let numbers = lists::floats(rows, block.iter().copied());
        for row in numbers.chunks_exact(rows.dim().get()) {
            let length = length_of(row);
            if length.is_nan() || length > LONGEST {
                return Ok(None);
            }
            longest = longest.max(length);
        }
        let k = count.min(block.len());
        let (said, at) = ffi::nearest(rows.dim(), rows.metric(), &asked, &numbers, k)?;
        for (kept, (said, at)) in kept.iter_mut().zip(said.chunks(k).zip(at.chunks(k))) {
            let row = |at: i64| usize::try_from(at).ok().and_then(|at| block.get(at)).copied();
            kept.extend(said.iter().zip(at).filter_map(|(said, at)| Some((*said, row(*at)?))));
            if kept.len() > count {
                kept.select_nth_unstable_by(count - 1, |a, b| nearer(rows.metric(), a.0, b.0));
                kept.truncate(count);
            }
        }
    }
    for kept in &mut kept {
        kept.sort_unstable_by(|a, b| nearer(rows.metric(), a.0, b.0));
    }
    Ok(Some((kept, longest)))
}

/// How long a row is.
pub(super) fn length_of(row: &[f32]) -> f64 {
    let square = dot(row, row);
    // A sum of squares in `f32` loses those of small numbers.
    let square = if square > 1e-20 {
        f64::from(square)
    } else {
        row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
    };
    square.sqrt()
}

/// The order of what FAISS says: the nearest first.
fn nearer(metric: Metric, a: f32, b: f32) -> std::cmp::Ordering {
    match metric {
        Metric::Cosine | Metric::Dot => b.total_cmp(&a),
        Metric::L2 => a.total_cmp(&b),
    }
}

/// What is known of the rows that are no candidates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// FAISS says that they are no nearer than this: a product, or a squared distance.
    pub(super) last: f32,
    /// How long the longest row is; those of a cosine have length 1.
    pub(super) longest: f64,
}

impl Behind {
    /// The greatest score that one of them may have.
    fn most(self, rows: &RowsView, query: &[f32]) -> f64 {
        // Rounding in sums of so many products, on both sides (Higham, "Accuracy and Stability of Numerical
        // Algorithms", 3.1), with some to spare for that of lengths and of the score.
        let rounding = real(rows.dim().get() + SPARE) * f64::from(f32::EPSILON);
        let lost = real(rows.dim().get()) * f64::from(f32::MIN_POSITIVE);
        let last = f64::from(self.last);
        let length = f64::from(dot(query, query)).sqrt();
        match rows.metric() {
            Metric::Cosine => (last + lost) / length + rounding,
            Metric::Dot => last + lost + rounding * length * self.longest,
            Metric::L2 => {
                let nearest = last - lost - 2.0 * rounding * (length + self.longest).powi(2);
                1.0 / (1.0 + nearest.max(0.0)) + rounding
            }
        }
    }
}

/// The best `k` of some candidates, each of which comes once; nothing where one of the rows behind them may
/// belong to these. Without any behind, all rows are candidates.
pub(super) fn best_of(
    rows: &RowsView,
    query: &[f32],
    k: usize,
    among: impl Iterator<Item = u32>,
    behind: Option<Behind>,
) -> Result<Option<Vec<Neighbour>>, AnnError> {
    // Products with numbers that are too large or too small have no digits: then this is NaN, or 0.
    let plain = inverse_norm(query) > 0.0;
    if behind.is_some() && !plain {
        return Ok(None);
    }
    let best = exact::best_of(rows, query, k, among)?;
    let sure = match (behind, best.last()) {
        (None, _) => true,
        (Some(behind), Some(worst)) => {
            best.len() == k && f64::from(worst.score) > behind.most(rows, query)
        }
        (Some(_), None) => false,
    };
    Ok(sure.then_some(best))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ann::RowSet;
    use crate::element::Element;
    use crate::vector::{Dim, Vectors};

    proptest! {
        #[test]
        fn many_queries_find_what_comparing_row_by_row_finds_to_the_bit(
            numbers in prop::collection::vec(-2i8..3, 3 * 300),
            asked in prop::collection::vec(-2i8..3, 3 * 12),
            scale in prop::sample::select(vec![1.0_f32, 1e-3, 1e-30, 1e18, 3e37]),
            asked_scale in prop::sample::select(vec![0.37_f32, 1e-30, 1e30, 1.5e38]),
            fewer in prop::sample::select(vec![1u32, 20]),
            passing in prop::collection::btree_set(0u32..300, 0..300),
            filtered: bool,
            metric in prop::sample::select(vec![Metric::Cosine, Metric::Dot, Metric::L2]),
            element in prop::sample::select(vec![Element::F32, Element::F16, Element::Int8]),
            k in 0usize..400,
        ) {
            // Few numbers, so that many rows are equal and scores tie.
            let dim = Dim::new(3).unwrap();
            // What 16 bits cannot hold no writer takes.
            let scale = if element == Element::F16 { scale.min(1.0) } else { scale };
            let flat = |numbers: Vec<i8>, scale: f32| -> Vec<f32> {
                numbers.into_iter().map(|x| f32::from(x) * scale).collect()
            };
            let vectors = Vectors::from_flat(dim, flat(numbers, scale)).unwrap();
            let rows = RowsView::from_vectors(&vectors, metric, element);
            let accept = if filtered {
                Accept::Rows(RowSet::from_fn(300, |row| row % fewer == 0 && passing.contains(&row)))
            } else {
                Accept::All
            };
            let asked = flat(asked, asked_scale);
            let queries: Vec<&[f32]> = asked.chunks(3).collect();
            let k = k.min(accept.count(300) as usize);
            let found = search_batch(&rows, &queries, k, &accept).unwrap();
            prop_assert_eq!(found, exact::by_rows(&rows, &queries, k, &accept).unwrap());
        }
    }

    #[test]
    fn rows_that_are_nearly_the_same_are_told_apart() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let numbers = (0..5000u32).flat_map(|row| {
                (0..64u32).map(move |at| {
                    let step = u8::try_from((row * 31 + at * 17) % 101).unwrap();
                    1.0 + 1e-6 * f32::from(step)
                })
            });
            let vectors = Vectors::from_flat(Dim::new(64).unwrap(), numbers.collect()).unwrap();
            let rows = RowsView::from_vectors(&vectors, metric, Element::F32);
            let query = [0.7; 64];
            let queries = [&query[..]; 9];
            let found = search_batch(&rows, &queries, 10, &Accept::All).unwrap();
            assert_eq!(found, exact::by_rows(&rows, &queries, 10, &Accept::All).unwrap());
        }
    }
}

//! The training loss in 64 bits, with its gradients: what the linear head trains with, and what a graph is checked by.
//!
//! All losses compare directions: vectors may have any length, and a gradient is at right angles to its vector. A vector
//! of length 0 has score 0 with all others and gradient 0.
//!
//! Invariant: values and gradients are finite for finite vectors.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};
use serde::{Deserialize, Serialize};

/// From which side the right one of several is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The passage of a query among all passages.
    QueryToPassage,
    /// That, and the query of a passage among all queries, each counted half.
    #[default]
    Symmetric,
}

/// How scores become a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossOptions {
    /// What cosines are divided by, above 0.
    pub temperature: f64,
    /// From which side.
    pub direction: Direction,
    /// The loss is the mean of that of the first so many numbers of each vector, for each of these; of whole vectors where
    /// none is given. Source: Kusupati et al., "Matryoshka representation learning" (2022).
    pub dims: Vec<usize>,
}

impl Default for LossOptions {
    /// Temperature .03, symmetric, whole vectors.
    fn default() -> Self {
        Self { temperature: 0.03, direction: Direction::Symmetric, dims: Vec::new() }
    }
}

/// A loss, and how it changes with each number of each vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The loss.
    pub value: f64,
    /// Its gradient, `[queries, dim]`.
    pub queries: Array2<f64>,
    /// Its gradient, `[passages, dim]`.
    pub passages: Array2<f64>,
}

/// Why there is no loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum LossError {
    /// Shapes do not fit.
    #[error("{what} has the shape {found:?} where {wanted:?} is wanted")]
    Shape { what: &'static str, found: Vec<usize>, wanted: Vec<usize> },
    /// A query has nothing to find.
    #[error("the passage of query {query} does not count for it")]
    OwnPassage { query: usize },
    /// An option is out of its range.
    #[error("{option} must be {wanted}")]
    Option { option: &'static str, wanted: &'static str },
}

/// The contrastive loss with negatives from the batch.
///
/// With `s(i, j)` the cosine of query `i` and passage `j` over the temperature, it is the mean over queries of
/// `-ln(exp s(i, i) / sum exp s(i, j))`, the sum over the passages that count for query `i`. The other direction is the
/// mean over the first passages of the same with queries summed over.
///
/// # Shapes
/// `queries` is `[n, dim]`, `passages` `[m, dim]` with `m >= n`, the positives first; `allowed` is `[n, m]`, row-major.
///
/// # Errors
/// [`LossError`].
///
/// # Source
/// van den Oord et al., "Representation learning with contrastive predictive coding" (2018).
///
/// # Example
/// ```
/// # use ndarray::array;
/// # use tantivy_dense::trainer::{LossOptions, contrastive};
/// let options = LossOptions { temperature: 1.0, ..LossOptions::default() };
/// let vectors = array![[2.0, 0.0], [0.0, 3.0]];
/// let loss = contrastive(vectors.view(), vectors.view(), &[true; 4], &options)?;
/// assert!((loss.value - (1.0 + (-1.0_f64).exp()).ln()).abs() < 1e-12);
/// # Ok::<(), tantivy_dense::trainer::LossError>(())
/// ```
#[expect(clippy::needless_pass_by_value, reason = "a view is a pointer and a shape")]
pub fn contrastive(
    queries: ArrayView2<'_, f64>,
    passages: ArrayView2<'_, f64>,
    allowed: &[bool],
    options: &LossOptions,
) -> Result<Loss, LossError> {
    let (n, m, dim) = (queries.nrows(), passages.nrows(), queries.ncols());
    let shape = |what, found, wanted| Err(LossError::Shape { what, found, wanted });
    if passages.ncols() != dim || m < n || n == 0 {
        return shape("passages", vec![m, passages.ncols()], vec![n.max(1), dim]);
    }
    if allowed.len() != n * m {
        return shape("the mask", vec![allowed.len()], vec![n * m]);
    }
    if let Some(query) = (0..n).find(|query| !allowed[query * m + query]) {
        return Err(LossError::OwnPassage { query });
    }
    if options.temperature.is_nan() || options.temperature <= 0.0 {
        return Err(LossError::Option { option: "temperature", wanted: "above 0" });
    }
    if options.dims.iter().any(|part| !(1..=dim).contains(part)) {
        return Err(LossError::Option {
            option: "dims",
            wanted: "from 1 to the dim of the vectors",
        });
    }
    let whole = [dim];
    let dims = if options.dims.is_empty() { &whole[..] } else { &options.dims };
    let mut loss =
        Loss { value: 0.0, queries: Array2::zeros((n, dim)), passages: Array2::zeros((m, dim)) };
    let share = 1.0 / real(dims.len());
    for &part in dims {
        let first = s![.., ..part];
        let (q, p) = (Units::of(&queries.slice(first)), Units::of(&passages.slice(first)));
        let scores = q.units.dot(&p.units.t()) / options.temperature;
        let (value, by_score) = over_scores(&scores, allowed, options.direction);
        let by_cosine = by_score * (share / options.temperature);
        loss.value += share * value;
        let mut into = loss.queries.slice_mut(first);
        into += &q.gradient(by_cosine.dot(&p.units));
        let mut into = loss.passages.slice_mut(first);
        into += &p.gradient(by_cosine.t().dot(&q.units));
    }
    Ok(loss)
}

/// The loss and its gradient by each score.
fn over_scores(scores: &Array2<f64>, allowed: &[bool], direction: Direction) -> (f64, Array2<f64>) {
    let (n, m) = scores.dim();
    let mut gradient = Array2::zeros((n, m));
    let half = if direction == Direction::Symmetric { 0.5 } else { 1.0 };
    let weight = half / real(n);
    let mut value = 0.0;
    for i in 0..n {
        let counts = |j: &usize| allowed[i * m + j];
        let row: Vec<usize> = (0..m).filter(counts).collect();
        value +=
            weight * pick(&row, i, |j| scores[[i, j]], |j, by| gradient[[i, j]] += weight * by);
    }
    if direction == Direction::Symmetric {
        for j in 0..n {
            let column: Vec<usize> = (0..n).filter(|i| allowed[i * m + j]).collect();
            value += weight
                * pick(&column, j, |i| scores[[i, j]], |i, by| gradient[[i, j]] += weight * by);
        }
    }
    (value, gradient)
}

/// `-ln softmax` of one of several, and its gradient by each score.
fn pick(
    all: &[usize],
    right: usize,
    score: impl Fn(usize) -> f64,
    mut gradient: impl FnMut(usize, f64),
) -> f64 {
    let largest = all.iter().map(|&at| score(at)).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = all.iter().map(|&at| (score(at) - largest).exp()).sum();
    for &at in all {
        gradient(at, (score(at) - largest).exp() / total - f64::from(u8::from(at == right)));
    }
    total.ln() + largest - score(right)
}

/// How far texts are from where they should be: the mean of `1 - cosine` over the rows that have a target, and 0 where none
/// has. The targets do not move.
///
/// With the untrained model's English vectors as targets of translations, it is the distillation of Reimers and Gurevych,
/// "Making monolingual sentence embeddings multilingual" (2020).
///
/// # Errors
/// [`LossError::Shape`] if `targets` is not of the shape of `vectors`, or `has` not one a row.
#[expect(clippy::needless_pass_by_value, reason = "a view is a pointer and a shape")]
pub fn toward(
    vectors: ArrayView2<'_, f64>,
    targets: ArrayView2<'_, f64>,
    has: &[bool],
) -> Result<(f64, Array2<f64>), LossError> {
    if targets.dim() != vectors.dim() || has.len() != vectors.nrows() {
        let (found, wanted) = (vec![targets.nrows(), targets.ncols()], vectors.shape().to_vec());
        return Err(LossError::Shape { what: "targets", found, wanted });
    }
    let (units, targets) = (Units::of(&vectors), Units::of(&targets));
    let share = 1.0 / real(has.iter().filter(|has| **has).count().max(1));
    let mut value = 0.0;
    let mut by_unit = Array2::zeros(units.units.dim());
    for row in (0..has.len()).filter(|&row| has[row]) {
        value += share * (1.0 - units.units.row(row).dot(&targets.units.row(row)));
        by_unit.row_mut(row).assign(&(&targets.units.row(row) * -share));
    }
    Ok((value, units.gradient(by_unit)))
}

/// How far cosines are from what they were: the mean over all pairs of a query and a passage of the squared difference.
/// With the untrained model's cosines of a monolingual batch it keeps what that model knows.
///
/// # Shapes
/// `were` is `[queries, passages]`.
///
/// # Errors
/// [`LossError::Shape`].
#[expect(clippy::needless_pass_by_value, reason = "a view is a pointer and a shape")]
pub fn kept(
    queries: ArrayView2<'_, f64>,
    passages: ArrayView2<'_, f64>,
    were: ArrayView2<'_, f64>,
) -> Result<Loss, LossError> {
    if were.dim() != (queries.nrows(), passages.nrows()) || queries.ncols() != passages.ncols() {
        let wanted = vec![queries.nrows(), passages.nrows()];
        return Err(LossError::Shape { what: "the cosines", found: were.shape().to_vec(), wanted });
    }
    let (q, p) = (Units::of(&queries), Units::of(&passages));
    let change = q.units.dot(&p.units.t()) - were;
    let pairs = real(change.len().max(1));
    let by_cosine = &change * (2.0 / pairs);
    Ok(Loss {
        value: change.iter().map(|x| x * x).sum::<f64>() / pairs,
        queries: q.gradient(by_cosine.dot(&p.units)),
        passages: p.gradient(by_cosine.t().dot(&q.units)),
    })
}

/// Rows of length 1, and the lengths that they had.
struct Units {
    units: Array2<f64>,
    lengths: Array1<f64>,
}

impl Units {
    fn of(vectors: &ArrayView2<'_, f64>) -> Self {
        let lengths = vectors.map_axis(Axis(1), |row| row.dot(&row).sqrt());
        let mut units = vectors.to_owned();
        for (mut row, &length) in units.rows_mut().into_iter().zip(&lengths) {
            if length > 0.0 {
                row /= length;
            }
        }
        Self { units, lengths }
    }

    /// The gradient by the vectors from that by their units.
    fn gradient(&self, mut by_unit: Array2<f64>) -> Array2<f64> {
        Zip::from(by_unit.rows_mut()).and(self.units.rows()).and(&self.lengths).for_each(
            |mut gradient, unit, &length| {
                let along = gradient.dot(&unit);
                gradient.scaled_add(-along, &unit);
                gradient.mapv_inplace(|x| if length > 0.0 { x / length } else { 0.0 });
            },
        );
        by_unit
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    fn options(temperature: f64, direction: Direction, dims: &[usize]) -> LossOptions {
        LossOptions { temperature, direction, dims: dims.to_vec() }
    }

    #[test]
    fn a_batch_worked_out_by_hand() {
        let queries = array![[1.0, 0.0], [0.0, 2.0]];
        let passages = array![[3.0, 0.0], [0.6, 0.8], [0.0, 1.0]];
        let mask = [true, true, true, true, true, false];
        let one = options(0.5, Direction::QueryToPassage, &[]);
        let loss = contrastive(queries.view(), passages.view(), &mask, &one).unwrap();
        // Cosines over .5: [2, 1.2, 0] and [0, 1.6, -], the last one masked.
        let first = (2_f64.exp() + 1.2_f64.exp() + 1.0).ln() - 2.0;
        let second = (1.0 + 1.6_f64.exp()).ln() - 1.6;
        assert!((loss.value - f64::midpoint(first, second)).abs() < 1e-12);
        let both = options(0.5, Direction::Symmetric, &[]);
        let loss = contrastive(queries.view(), passages.view(), &mask, &both).unwrap();
        let back = f64::midpoint(
            (2_f64.exp() + 1.0).ln() - 2.0,
            (1.2_f64.exp() + 1.6_f64.exp()).ln() - 1.6,
        );
        assert!((loss.value - f64::midpoint(f64::midpoint(first, second), back)).abs() < 1e-12);
    }

    #[test]
    fn what_is_masked_has_no_gradient_and_what_is_zero_none_either() {
        let queries = array![[1.0, 0.2], [0.0, 0.0]];
        let passages = array![[0.9, 0.3], [0.1, 1.0], [1.0, 0.0]];
        let mask = [true, true, false, true, true, false];
        let loss = contrastive(
            queries.view(),
            passages.view(),
            &mask,
            &options(0.1, Direction::Symmetric, &[]),
        )
        .unwrap();
        assert_eq!(loss.passages.row(2), array![0.0, 0.0]);
        assert_eq!(loss.queries.row(1), array![0.0, 0.0]);
        assert!(loss.value.is_finite());
    }

    #[test]
    fn wrong_shapes_and_options_are_refused() {
        let two = Array2::<f64>::ones((2, 3));
        let ok = options(0.1, Direction::Symmetric, &[]);
        assert!(contrastive(two.view(), two.slice(s![..1, ..]), &[true; 2], &ok).is_err());
        assert!(contrastive(two.view(), two.view(), &[true; 3], &ok).is_err());
        assert!(contrastive(two.view(), two.view(), &[true, true, true, false], &ok).is_err());
        for wrong in [
            options(0.0, Direction::Symmetric, &[]),
            options(1.0, Direction::Symmetric, &[4]),
            options(f64::NAN, Direction::Symmetric, &[]),
        ] {
            assert!(contrastive(two.view(), two.view(), &[true; 4], &wrong).is_err());
        }
        assert!(toward(two.view(), two.view(), &[true]).is_err());
        assert!(kept(two.view(), two.view(), two.view()).is_err());
    }

    fn matrix(rows: usize) -> impl Strategy<Value = Array2<f64>> {
        prop::collection::vec(-2.0..2.0_f64, rows * 4)
            .prop_map(move |numbers| Array2::from_shape_vec((rows, 4), numbers).unwrap())
            // A direction changes fast near zero, faster than differences can follow.
            .prop_filter("no short vectors", |m| {
                m.rows().into_iter().all(|row| row.slice(s![..2]).dot(&row.slice(s![..2])) > 0.1)
            })
    }

    /// The largest difference of `gradient` from central differences of `value`.
    fn error(at: &Array2<f64>, gradient: &Array2<f64>, value: impl Fn(&Array2<f64>) -> f64) -> f64 {
        let step = 1e-5;
        let mut worst: f64 = 0.0;
        for (place, &slope) in gradient.indexed_iter() {
            let moved = |by: f64| {
                let mut moved = at.clone();
                moved[place] += by;
                value(&moved)
            };
            let found = (moved(step) - moved(-step)) / (2.0 * step);
            worst = worst.max((found - slope).abs() / (1.0 + slope.abs()));
        }
        worst
    }

    proptest! {
        #[test]
        fn gradients_are_what_differences_say(
            queries in matrix(3), passages in matrix(5), were in prop::collection::vec(-1.0..1.0_f64, 15),
            mask in prop::collection::vec(any::<bool>(), 15), symmetric in any::<bool>(),
            dims in prop::sample::subsequence(vec![2, 3, 4], 0..=3), has in prop::collection::vec(any::<bool>(), 3),
        ) {
            let mut mask = mask;
            for own in [0, 6, 12] {
                mask[own] = true;
            }
            let direction = if symmetric { Direction::Symmetric } else { Direction::QueryToPassage };
            let options = options(0.2, direction, &dims);
            let loss = |q: &Array2<f64>, p: &Array2<f64>| contrastive(q.view(), p.view(), &mask, &options).unwrap();
            let at = loss(&queries, &passages);
            prop_assert!(error(&queries, &at.queries, |q| loss(q, &passages).value) < 1e-5);
            prop_assert!(error(&passages, &at.passages, |p| loss(&queries, p).value) < 1e-5);

            let targets = passages.slice(s![..3, ..]);
            let loss = |q: &Array2<f64>| toward(q.view(), targets, &has).unwrap();
            prop_assert!(error(&queries, &loss(&queries).1, |q| loss(q).0) < 1e-5);

            let were = Array2::from_shape_vec((3, 5), were).unwrap();
            let loss = |q: &Array2<f64>, p: &Array2<f64>| kept(q.view(), p.view(), were.view()).unwrap();
            let at = loss(&queries, &passages);
            prop_assert!(error(&queries, &at.queries, |q| loss(q, &passages).value) < 1e-5);
            prop_assert!(error(&passages, &at.passages, |p| loss(&queries, p).value) < 1e-5);
        }
    }
}

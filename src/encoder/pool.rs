//! Token vectors into one vector a text, for graphs that leave that to us.

use dense_plugin::{Dim, VectorError, Vectors};

/// How token vectors become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their average.
    #[default]
    Mean,
    /// That of the first token.
    Cls,
}

/// Averages the token vectors of each text into one vector of length 1.
///
/// Padding does not count. A text with no token at all gets the zero vector, which scores 0
/// against every query: it is neither near to anything nor far from it.
///
/// # Shapes
/// `tokens` is `[batch, seq, dim]` and `mask` is `[batch, seq]` of 0 (padding) or 1, both
/// row-major. The result is `[batch, dim]`; each row has length 1 (within 1e-6) or 0.
///
/// # Errors
/// [`PoolError::Shape`] if `tokens` does not hold `dim` numbers for each number in `mask`.
///
/// # Source
/// The MEAN strategy of Reimers and Gurevych, "Sentence-BERT" (2019), section 3.
///
/// # Example
/// ```
/// # use tantivy_dense::encoder::{PoolError, mean_pool};
/// # use dense_plugin::Dim;
/// let pooled = mean_pool(&[3.0, 4.0, 9.0, 9.0], &[1, 0], 2, Dim::new(2)?)?; // 9s are padding
/// assert_eq!(pooled.row(0), [0.6, 0.8]);
/// # Ok::<(), PoolError>(())
/// ```
pub fn mean_pool(tokens: &[f32], mask: &[i64], seq: usize, dim: Dim) -> Result<Vectors, PoolError> {
    pool(tokens, mask, seq, dim, |text, mask, row| {
        for (token, _) in text.chunks_exact(dim.get()).zip(mask).filter(|&(_, &seen)| seen != 0) {
            row.iter_mut().zip(token).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    })
}

/// Takes the first token's vector of each text, brought to length 1.
///
/// # Shapes
/// As [`mean_pool`].
///
/// # Errors
/// As [`mean_pool`].
pub fn cls_pool(tokens: &[f32], mask: &[i64], seq: usize, dim: Dim) -> Result<Vectors, PoolError> {
    pool(tokens, mask, seq, dim, |text, _, row| {
        row.iter_mut().zip(text).for_each(|(sum, &x)| *sum = f64::from(x));
    })
}

/// Brings each row to length 1; a zero row stays zero.
///
/// # Errors
/// [`PoolError::Vector`] if `rows` are no whole rows, or hold a NaN or an infinity.
pub fn normalize(dim: Dim, mut rows: Vec<f32>) -> Result<Vectors, PoolError> {
    for row in rows.chunks_exact_mut(dim.get()) {
        let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if length > 0.0 {
            for x in row {
                *x = narrow(f64::from(*x) / length);
            }
        }
    }
    Ok(Vectors::from_flat(dim, rows)?)
}

fn pool(
    tokens: &[f32],
    mask: &[i64],
    seq: usize,
    dim: Dim,
    sum: impl Fn(&[f32], &[i64], &mut [f64]),
) -> Result<Vectors, PoolError> {
    let whole = seq > 0 && mask.len().is_multiple_of(seq);
    if !whole || mask.len().checked_mul(dim.get()) != Some(tokens.len()) {
        return Err(PoolError::Shape { tokens: tokens.len(), mask: mask.len(), seq, dim });
    }
    let mut rows = Vec::with_capacity(mask.len() / seq * dim.get());
    let mut row = vec![0.0; dim.get()];
    for (text, mask) in tokens.chunks_exact(seq * dim.get()).zip(mask.chunks_exact(seq)) {
        row.fill(0.0);
        sum(text, mask, &mut row);
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        rows.extend(row.iter().map(|x| narrow(x * scale)));
    }
    Ok(Vectors::from_flat(dim, rows)?)
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
fn narrow(x: f64) -> f32 {
    x as f32
}

/// Why token vectors could not be pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum PoolError {
    /// Tokens and mask belong to different batches.
    #[error(
        "{tokens} numbers and a mask of {mask} are no batch of texts of {seq} tokens of dim {dim}"
    )]
    Shape { tokens: usize, mask: usize, seq: usize, dim: Dim },
    /// The model gave numbers that are no vectors.
    #[error("the model gave no valid vector")]
    Vector(#[from] VectorError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_token_alone_counts_in_cls_pooling() {
        let dim = Dim::new(2).unwrap();
        let pooled = cls_pool(&[0.0, 2.0, 9.0, 9.0], &[1, 1], 2, dim).unwrap();
        assert_eq!(pooled.row(0), [0.0, 1.0]);
    }

    #[test]
    fn a_text_without_tokens_is_the_zero_vector() {
        let dim = Dim::new(2).unwrap();
        assert_eq!(mean_pool(&[1.0, 2.0], &[0], 1, dim).unwrap().row(0), [0.0, 0.0]);
        assert_eq!(normalize(dim, vec![0.0, 0.0]).unwrap().row(0), [0.0, 0.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_and_numbers_that_are_none_are_refused() {
        let dim = Dim::new(2).unwrap();
        assert!(matches!(mean_pool(&[1.0], &[1], 1, dim), Err(PoolError::Shape { .. })));
        assert!(matches!(mean_pool(&[], &[], 0, dim), Err(PoolError::Shape { .. })));
        assert!(matches!(mean_pool(&[1.0; 6], &[1; 3], 2, dim), Err(PoolError::Shape { .. })));
        let infinite = [f32::INFINITY, 1.0];
        assert!(matches!(mean_pool(&infinite, &[1], 1, dim), Err(PoolError::Vector(_))));
        assert!(matches!(normalize(dim, vec![f32::NAN, 1.0]), Err(PoolError::Vector(_))));
    }

    proptest! {
        #[test]
        fn what_lies_under_padding_changes_nothing(
            tokens in proptest::collection::vec(-5_f32..5.0, 12),
            noise in proptest::collection::vec(-5_f32..5.0, 6),
        ) {
            let dim = Dim::new(3).unwrap();
            let mask = [1, 1, 1, 0];
            let mut other = tokens.clone();
            other[9..].copy_from_slice(&noise[..3]);
            let (a, b) = (
                mean_pool(&tokens, &mask, 4, dim).unwrap(),
                mean_pool(&other, &mask, 4, dim).unwrap(),
            );
            prop_assert_eq!(a.as_flat(), b.as_flat());
            let length = a.row(0).iter().map(|x| x * x).sum::<f32>().sqrt();
            prop_assert!((length - 1.0).abs() < 1e-5 || length == 0.0);
        }
    }
}

//! More rows than there are: perturbed copies of the real ones.

use super::rows::Rows;
use crate::rng::Rng;

/// The length of what is added to a row of length 1. A copy's cosine to its original is then .95, which is what a short
/// text has to its nearest other in the median (.953 over 300 of 200,000).
const NOISE: f32 = 0.32;

/// Adds copies of the rows, in order, until there are as many as wanted; each moved in a random direction and brought
/// back to length 1.
#[expect(clippy::cast_precision_loss, reason = "a dim fits a f32")]
pub(crate) fn grow(rows: &mut Rows, wanted: usize, seed: u64) {
    let real = rows.len();
    let mut rng = Rng::new(seed ^ 0x5EED);
    let each = NOISE / (rows.dim() as f32).sqrt();
    let mut copy = vec![0.0; rows.dim()];
    for at in 0..wanted.saturating_sub(real) {
        for (to, from) in copy.iter_mut().zip(rows.row(at % real)) {
            *to = from + each * rng.normal();
        }
        let length = copy.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in &mut copy {
            *x /= length;
        }
        rows.push(&copy);
    }
}

//! Whether a difference between two systems is more than chance: paired tests, intervals, effect sizes,
//! and what a number of topics can show at all.
//!
//! Invariant: the same differences, seed and rounds give the same numbers on every machine. Sums run
//! in the order of the differences.
//!
//! Left out on purpose: tests of unpaired samples, since two systems always answer the same topics.

mod bootstrap;
mod cross_validation;
mod differences;
mod holm;
mod power;
mod randomization;
mod t;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::Serialize;

pub use bootstrap::bootstrap_interval;
pub use cross_validation::{CrossValidated, cross_validate, folds};
pub use differences::{Differences, DifferencesError};
pub use holm::holm;
pub use power::detectable_difference;
pub use randomization::randomization_test;
pub use t::{PairedT, cohens_d, paired_t};

/// How often, and from which seed, something is drawn.
///
/// ```
/// # use tantivy_dense_eval::stats::Draws;
/// let draws = Draws::new(7).rounds(20_000);
/// # let _ = draws;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Draws {
    seed: u64,
    rounds: u32,
}

impl Draws {
    /// 10,000 rounds from a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, rounds: 10_000 }
    }

    /// How many rounds. Default: 10,000. 0 counts as 1.
    #[must_use]
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    fn random(self) -> Random {
        Random(ChaCha8Rng::seed_from_u64(self.seed))
    }
}

/// Random numbers from a seed.
struct Random(ChaCha8Rng);

impl Random {
    /// 64 coins.
    fn coins(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, each as likely as any other within 2^-64 times `end`.
    fn below(&mut self, end: usize) -> usize {
        let scaled = u128::from(self.0.next_u64()) * (end as u128);
        usize::try_from(scaled >> 64).expect("it is less than `end`")
    }
}

//! How large a step is: up from 0, then down again.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// It does not.
    Constant,
    /// In a straight line.
    #[default]
    Linear,
    /// As half a wave: slowly, fast, slowly.
    Cosine,
}

/// The learning rate of each step.
///
/// ```
/// # use tantivy_dense::trainer::{Decay, Schedule};
/// let schedule = Schedule { peak: 1.0, warmup: 2, steps: 6, decay: Decay::Linear, floor: 0.0 };
/// let rates: Vec<f64> = (0..6).map(|step| schedule.rate(step)).collect();
/// assert_eq!(rates, [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The largest rate.
    pub peak: f64,
    /// Steps until it is reached.
    pub warmup: u64,
    /// All steps.
    pub steps: u64,
    /// The way down.
    pub decay: Decay,
    /// The rate after the last step, as a share of the largest.
    pub floor: f64,
}

impl Schedule {
    /// The rate of a step, counted from 0.
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let rest = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / rest).min(1.0);
        let left = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - done,
            Decay::Cosine => f64::midpoint(1.0, (std::f64::consts::PI * done).cos()),
        };
        self.peak * (self.floor + (1.0 - self.floor) * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_end_at_the_floor_and_never_leave_their_range() {
        for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
            let schedule = Schedule { peak: 2.0, warmup: 3, steps: 10, decay, floor: 0.1 };
            assert!((0..30).all(|step| (0.2 - 1e-12..=2.0).contains(&schedule.rate(step))));
            if decay != Decay::Constant {
                assert!((schedule.rate(10) - 0.2).abs() < 1e-12, "{decay:?}");
            }
        }
        let short = Schedule { peak: 1.0, warmup: 5, steps: 2, decay: Decay::Linear, floor: 0.0 };
        assert!(short.rate(1).is_finite() && short.rate(7).is_finite());
    }
}

//! What something cost: seconds of the processor, over all threads, and of the wall.

use std::sync::LazyLock;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What was used while something ran.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Processor time of the whole process, in seconds.
    pub(crate) cpu_s: f64,
    /// Time that passed, in seconds.
    pub(crate) wall_s: f64,
}

/// Runs something and tells what it cost.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let made = work();
    (made, Cost { cpu_s: cpu_seconds() - cpu, wall_s: wall.elapsed().as_secs_f64() })
}

/// What a search is timed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Clock {
    /// Time that passes: what a user waits.
    Wall,
    /// Processor time of the thread that searches: what is left where other programs run beside this one.
    Cpu,
}

impl Clock {
    /// Seconds since some moment.
    pub(crate) fn now(self) -> f64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::Wall => START.elapsed().as_secs_f64(),
            Self::Cpu => seconds_of(ClockId::ThreadCPUTime),
        }
    }
}

fn cpu_seconds() -> f64 {
    seconds_of(ClockId::ProcessCPUTime)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a benchmark fit a f64")]
fn seconds_of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

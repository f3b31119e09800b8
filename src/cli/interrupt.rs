//! Ctrl-C: the first lets the command put things in order, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::ui::Ui;

/// How often a waiting command looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From here on Ctrl-C does not end the process at once.
    pub(super) fn on_ctrl_c(ui: Ui) -> anyhow::Result<Self> {
        let stop = Self(Arc::new(AtomicBool::new(false)));
        let asked = stop.clone();
        ctrlc::set_handler(move || {
            if asked.0.swap(true, Ordering::Relaxed) {
                ui.abort();
            }
            ui.note("stopping; Ctrl-C again to stop at once");
        })?;
        Ok(stop)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What the work comes to, or nothing where Ctrl-C was pressed before it ended: then it goes on by
    /// itself.
    ///
    /// # Errors
    /// If the work panicked.
    pub(super) fn unless_asked<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<Option<T>> {
        let (done, waits) = channel();
        thread::Builder::new().spawn(move || {
            // Nobody waits any more.
            let _stopped = done.send(work());
        })?;
        loop {
            match waits.recv_timeout(LOOK_EVERY) {
                Ok(done) => return Ok(Some(done)),
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the work panicked"),
                Err(RecvTimeoutError::Timeout) if self.is_asked() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_waited_for_until_a_stop_is_asked_for() {
        let stop = Stop(Arc::default());
        assert_eq!(stop.unless_asked(|| 7).unwrap(), Some(7));
        stop.0.store(true, Ordering::Relaxed);
        let forever = || thread::sleep(Duration::from_hours(1));
        assert_eq!(stop.unless_asked(forever).unwrap(), None);
    }
}

//! Any error -> a message, what to type next, and an exit code.

use std::io;
use std::process::ExitCode;

use super::ui::Ui;

/// A command that was stopped by Ctrl-C, after it put everything in order.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Interrupted(pub(super) String);

/// What to type next, carried beside an error.
#[derive(Debug)]
pub(super) struct Hint(pub(super) String);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what stopped the command. A reader of our output that has seen enough is no failure.
pub(super) fn report(error: &anyhow::Error, ui: Ui) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    ui.error(message(error), &hints(error));
    if error.is::<Interrupted>() { ExitCode::from(130) } else { ExitCode::FAILURE }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// The causes from the outermost inwards, each said once.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.ends_with(&cause) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&cause);
    }
    message
}

//! What the library writes to its log, on stderr with the command's own words.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::ui::Ui;

/// From here on warnings of the library are seen. Of other crates only errors are: what they warn of
/// is for those who program with them.
pub(super) fn show(ui: Ui) {
    // A logger that is there already is one of whoever embeds the command.
    let warnings = Warnings { ui, said: Mutex::default() };
    if log::set_logger(Box::leak(Box::new(warnings))).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Does something while nothing is shown: for who tells the same in words of its own.
pub(super) fn muted<T>(work: impl FnOnce() -> T) -> T {
    let before = log::max_level();
    log::set_max_level(LevelFilter::Off);
    let done = work();
    log::set_max_level(before);
    done
}

/// Says each thing once: a damaged file is met at every look for new commits.
#[derive(Debug)]
struct Warnings {
    ui: Ui,
    said: Mutex<HashSet<String>>,
}

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("tantivy_dense");
        metadata.level() <= if ours { Level::Warn } else { Level::Error }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&text) {
            self.ui.warn(&text);
            said.insert(text);
        }
    }

    fn flush(&self) {}
}

//! The only place that prints: data to stdout, everything else to stderr.
//!
//! Invariant: nothing but data reaches stdout, so that it can be piped; a progress bar is drawn only
//! on a terminal, and only for work that takes longer than a quarter of a second.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

/// Work that ends sooner than this needs no bar.
const BAR_AFTER: Duration = Duration::from_millis(250);

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ui {
    quiet: bool,
}

#[expect(clippy::unused_self, reason = "whoever prints holds the Ui")]
impl Ui {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Self { quiet: matches!(verbosity, Verbosity::Quiet) }
    }

    /// One line of data.
    pub(super) fn line(self, text: impl Display) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// One JSON object on a line of its own.
    pub(super) fn json(self, value: &impl Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, value)?;
        writeln!(out)
    }

    /// Something worth knowing that is no data.
    pub(super) fn note(self, text: impl Display) {
        if !self.quiet {
            words(text);
        }
    }

    /// Something that went wrong and did not stop the command.
    pub(super) fn warn(self, text: impl Display) {
        words(format_args!("warning: {text}"));
    }

    /// What to type next, after a warning.
    pub(super) fn hint(self, text: impl Display) {
        words(format_args!("hint: {text}"));
    }

    /// What stopped the command, and what to type next.
    pub(super) fn error(self, message: impl Display, hints: &[String]) {
        words(format_args!("error: {message}"));
        for hint in hints {
            self.hint(hint);
        }
    }

    /// Ends the process at once, as a second Ctrl-C wants it.
    pub(super) fn abort(self) -> ! {
        self.warn("stopped at once; what was committed stays");
        std::process::exit(130)
    }

    /// A bar for work whose length is known (`Some`), or a counter.
    pub(super) fn progress(
        self,
        what: &'static str,
        unit: &'static str,
        length: Option<u64>,
    ) -> Progress {
        Progress {
            ui: self,
            what,
            unit,
            length,
            started: Instant::now(),
            bar: None,
            position: 0,
            count: 0,
            also: String::new(),
        }
    }
}

/// How much a command says beside its data.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verbosity {
    /// Notes, warnings, bars.
    Normal,
    /// Warnings alone.
    Quiet,
}

/// Stderr that is closed is no reason to stop.
fn words(text: impl Display) {
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// The progress of one piece of work.
#[derive(Debug)]
pub(super) struct Progress {
    ui: Ui,
    what: &'static str,
    unit: &'static str,
    length: Option<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
    position: u64,
    count: u64,
    also: String,
}

impl Progress {
    /// How far the work is.
    pub(super) fn set(&mut self, position: u64) {
        self.position = position;
        self.count = position;
        self.draw();
    }

    /// The same where the length is in other units than what is counted: bytes, and documents.
    pub(super) fn set_counted(&mut self, position: u64, count: u64) {
        self.position = position;
        self.count = count;
        self.draw();
    }

    /// The same, counted up.
    pub(super) fn add(&mut self, more: u64) {
        self.set(self.position + more);
    }

    #[cfg(feature = "train")]
    /// What else there is to say of the work, behind how far it is.
    pub(super) fn also(&mut self, words: String) {
        self.also = words;
    }

    #[cfg(feature = "train")]
    /// What the bar says, for a line.
    pub(super) fn said(&self) -> String {
        self.words(self.started.elapsed())
    }

    fn draw(&mut self) {
        let elapsed = self.started.elapsed();
        if self.bar.is_none() && !self.ui.quiet && io::stderr().is_terminal() && elapsed > BAR_AFTER
        {
            let bar = self.length.map_or_else(ProgressBar::no_length, ProgressBar::new);
            self.bar = Some(bar.with_style(style(self.length)));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.position);
            bar.set_message(self.words(elapsed));
        }
    }

    /// What is done, how fast, and how long the rest takes at this rate.
    #[expect(clippy::cast_precision_loss, reason = "rates and times for people")]
    fn words(&self, elapsed: Duration) -> String {
        let rate = self.count as f64 / elapsed.as_secs_f64().max(1e-9);
        let mut words = format!("{}: {} {}, {rate:.0} a second", self.what, self.count, self.unit);
        if !self.also.is_empty() {
            words = format!("{words}, {}", self.also);
        }
        let Some(length) = self.length.filter(|_| self.position > 0) else { return words };
        let left = length.saturating_sub(self.position) as f64 / self.position as f64;
        let left = Duration::from_secs_f64(elapsed.as_secs_f64() * left);
        format!("{words}, {} left", HumanDuration(left))
    }

    /// A line that stays, above the bar.
    pub(super) fn note(&self, text: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.ui.note(text)),
            None => self.ui.note(text),
        }
    }

    /// A line for logs: a person at a terminal has the bar instead.
    pub(super) fn log(&self, text: impl Display) {
        if !io::stderr().is_terminal() {
            self.ui.note(text);
        }
    }

    /// Takes the bar away and says how long the work took so far.
    pub(super) fn finish(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}

fn style(length: Option<u64>) -> ProgressStyle {
    let template = if length.is_some() { "{wide_bar} {percent}% {msg}" } else { "{msg}" };
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}

//! A run's log: JSON lines, one a step and one a validation.
//!
//! Invariant: a run that goes on after it was killed leaves the log that an uninterrupted one leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checkpoint::write_whole;
use super::dev::Validation;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    Step { step: u64, loss: f64, gradient: f64, learning_rate: f64, batch: String },
    Validation { step: u64, validation: Validation },
}

impl Line {
    /// After how many steps it was written.
    pub(super) fn steps(&self) -> u64 {
        match self {
            Self::Step { step, .. } | Self::Validation { step, .. } => *step,
        }
    }

    pub(super) fn loss(&self) -> Option<f64> {
        if let Self::Step { loss, .. } = self { Some(*loss) } else { None }
    }

    pub(super) fn validation(&self) -> Option<&Validation> {
        if let Self::Validation { validation, .. } = self { Some(validation) } else { None }
    }
}

/// The log, open for more.
#[derive(Debug)]
pub(super) struct Log(BufWriter<File>);

impl Log {
    /// Opens a log that goes on after so many steps; what was logged later is forgotten.
    pub(super) fn open(path: &Path, steps: u64) -> io::Result<Self> {
        // Lines are kept as they are: numbers that are read and written again may end otherwise.
        let mut kept = String::new();
        for (line, text) in lines(&text_of(path)?) {
            if line.steps() <= steps {
                kept.push_str(text);
                kept.push('\n');
            }
        }
        write_whole(path, kept.as_bytes())?;
        Ok(Self(BufWriter::new(OpenOptions::new().append(true).open(path)?)))
    }

    /// Adds a line.
    pub(super) fn add(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")
    }

    /// Brings all lines to disk: before a checkpoint that stands for them.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.0.get_ref().sync_data()
    }
}

/// All whole lines of a log; none where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Vec<Line>> {
    Ok(lines(&text_of(path)?).map(|(line, _)| line).collect())
}

/// The last line may be cut short.
fn lines(text: &str) -> impl Iterator<Item = (Line, &str)> {
    text.lines().filter_map(|text| Some((serde_json::from_str(text).ok()?, text)))
}

fn text_of(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

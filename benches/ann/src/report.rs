//! What comes out: Markdown tables on stdout, and JSON lines in a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Where results go.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Option<File>,
}

impl Report {
    /// Results also go to the end of a file, where one is named.
    pub(crate) fn new(out: Option<&Path>) -> anyhow::Result<Self> {
        let lines = out
            .map(|out| {
                let opened = OpenOptions::new().create(true).append(true).open(out);
                opened.with_context(|| format!("{}", out.display()))
            })
            .transpose()?;
        Ok(Self { lines })
    }

    /// One result: a line of JSON with what was measured, of which kind it is, and its numbers.
    pub(crate) fn line<T: Serialize>(&mut self, kind: &str, values: &T) -> anyhow::Result<()> {
        if let Some(lines) = &mut self.lines {
            let mut line =
                serde_json::to_vec(&serde_json::json!({ "kind": kind, "values": values }))?;
            line.push(b'\n');
            lines.write_all(&line)?;
        }
        Ok(())
    }
}

/// A Markdown table.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Prints it.
    #[expect(clippy::print_stdout, reason = "stdout is for the tables")]
    pub(crate) fn print(&self) {
        println!("\n{}\n", self.title);
        println!("| {} |", self.columns.join(" | "));
        println!("|{}", " --- |".repeat(self.columns.len()));
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// Tells on stderr what is being done.
#[expect(clippy::print_stderr, reason = "a run takes long: it tells what it does")]
pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

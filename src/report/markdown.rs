//! Findings as Markdown, as far as tables go.
//!
//! Invariant: no text from outside can become a tag, a link, or another cell.

use std::fmt::Write;

use super::Findings;
use super::tables::{Cell, Table, sentence};

/// Writes the tables, the verdict and what was run.
pub(crate) fn markdown(findings: &Findings<'_>) -> String {
    let [first, second] = findings.verdict();
    let title = findings.title();
    let mut out = format!("# {}\n\n{} {}\n", escaped(&title), escaped(&first), escaped(&second));
    let scores = findings.asked.measures.iter().map(|&measure| findings.scores(measure));
    let main = findings.measure();
    let differences = main.into_iter().flat_map(|measure| findings.by(measure));
    let pairs = (0..findings.asked.contenders.len()).filter_map(|at| findings.pairs(at));
    let sections = [
        ("Scores", scores.collect::<Vec<_>>()),
        (
            "Differences",
            findings
                .tiers()
                .into_iter()
                .chain(differences.map(|one| findings.differences(one)))
                .collect(),
        ),
        ("Across languages", findings.settings().into_iter().chain(pairs).collect()),
        ("Recall", findings.recall().into_iter().collect()),
    ];
    for (name, tables) in sections {
        if tables.is_empty() {
            continue;
        }
        write(&mut out, format_args!("\n## {name}\n"));
        for one in &tables {
            table(&mut out, one);
        }
    }
    write(&mut out, format_args!("\n## What was run\n"));
    for (source, facts) in findings.facts() {
        if !source.is_empty() {
            write(&mut out, format_args!("\n### {}\n", escaped(&source)));
        }
        write(&mut out, format_args!("\n"));
        for (what, value) in facts {
            write(&mut out, format_args!("- {}: {}\n", escaped(&what), escaped(&value)));
        }
    }
    out
}

fn table(out: &mut String, Table { caption, head, rows, foot }: &Table) {
    write(out, format_args!("\n{}\n\n", escaped(&sentence(caption))));
    let head = head.iter().map(|name| escaped(name));
    line(out, head.clone());
    line(out, head.enumerate().map(|(at, _)| if at == 0 { ":--" } else { "--:" }.to_owned()));
    for row in rows {
        line(out, row.iter().map(shown));
    }
    if !foot.is_empty() {
        line(out, foot.iter().map(shown));
    }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    write(out, format_args!("| {} |\n", cells.join(" | ")));
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Number(text, _) => escaped(text),
        Cell::Marked(text, _, mark) => format!("{} {}", escaped(text), mark.sign()),
        Cell::Empty => "–".to_owned(),
    }
}

/// Every sign that Markdown may read is said to be one.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => out.extend(['\\', sign]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}

fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all");
}

//! The report as tables for a terminal, at most [`WIDTH`] columns wide where names allow it.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use super::{LanguageRow, Report};
use crate::measure::Measure;
use crate::settings::OWN_SHARE_DEPTH;

const WIDTH: usize = 100;

/// Columns side by side under one heading; the first row names them.
pub(super) struct Group {
    pub(super) heading: String,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) align: Align,
}

#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Right,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.languages.is_empty() {
            let scores: Vec<Group> = self.measures.iter().map(|m| self.scores(m)).collect();
            write_tables(f, &self.pools(), &scores)?;
        }
        if let Some(measure) = self.measures.first().filter(|_| !self.tiers.is_empty()) {
            self.tiers.write(&measure.to_string(), f)?;
        }
        if !self.settings.is_empty() {
            if !self.languages.is_empty() {
                writeln!(f)?;
            }
            write_tables(f, &[], &self.settings_groups())?;
        }
        Ok(())
    }
}

impl Report {
    /// Language, topics and pool: what every block of columns starts with.
    fn pools(&self) -> [Group; 2] {
        let topics: usize = self.languages.iter().map(|row| row.topics).sum();
        let named = |heading: &str| vec![heading.to_owned()];
        let mut language = vec![named("lang")];
        let mut sizes = vec![vec!["topics".to_owned(), "pool".to_owned()]];
        for LanguageRow { language: name, topics, passages, .. } in &self.languages {
            language.push(named(name));
            sizes.push(vec![topics.to_string(), passages.to_string()]);
        }
        language.push(named("mean"));
        sizes.push(vec![topics.to_string(), String::new()]);
        [
            Group { heading: String::new(), rows: language, align: Align::Left },
            Group { heading: String::new(), rows: sizes, align: Align::Right },
        ]
    }

    fn scores(&self, measure: &Measure) -> Group {
        let measure = measure.to_string();
        let mut rows = vec![self.systems.clone()];
        let all = self.languages.iter().map(|row| &row.scores).chain([&self.mean]);
        rows.extend(all.map(|scores| {
            let value = |system| scores.get(system).map(|scores| scores[&measure]);
            self.systems.iter().map(|system| number(value(system), 3)).collect()
        }));
        Group { heading: measure, rows, align: Align::Right }
    }

    /// The settings by the first measure; the rest is in the JSON.
    fn settings_groups(&self) -> Vec<Group> {
        let Some(&measure) = self.measures.first() else {
            return Vec::new();
        };
        let mut systems = vec![vec!["system".to_owned()]];
        let columns = ["mono", "cross", "multi"].map(str::to_owned);
        let mut values = vec![columns.to_vec()];
        let own = format!("own in top {OWN_SHARE_DEPTH}");
        let mut distances = vec![vec!["rank distance".to_owned(), own]];
        for row in self.settings.iter().filter(|row| row.measure == measure) {
            systems.push(vec![row.system.clone()]);
            values.push([row.mono, row.cross, row.multi].map(|value| number(value, 3)).to_vec());
            let share = number(row.own_language_share, 3);
            distances.push(vec![number(row.rank_distance, 0), share]);
        }
        let group = |heading: &str, rows, align| Group { heading: heading.to_owned(), rows, align };
        vec![
            group("", systems, Align::Left),
            group(&measure.to_string(), values, Align::Right),
            group("", distances, Align::Right),
        ]
    }
}

pub(super) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Writes groups side by side, each block of lines starting with the `fixed` ones.
pub(super) fn write_tables(
    f: &mut fmt::Formatter<'_>,
    fixed: &[Group],
    groups: &[Group],
) -> fmt::Result {
    let lines =
        |groups: &[Group]| -> Vec<Vec<String>> { groups.iter().map(Group::lines).collect() };
    let width =
        |columns: &[Vec<String>]| columns.iter().map(|lines| 2 + lines[0].width()).sum::<usize>();
    let fixed = lines(fixed);
    let mut blocks = vec![fixed.clone()];
    for group in lines(groups) {
        let block = blocks.last_mut().expect("there is one to begin with");
        if block.len() > fixed.len() && width(block) + group[0].width() > WIDTH {
            blocks.push(fixed.clone());
        }
        blocks.last_mut().expect("as above").push(group);
    }
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 {
            writeln!(f)?;
        }
        for line in 0..block[0].len() {
            let line: Vec<&str> = block.iter().map(|column| column[line].as_str()).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
    }
    Ok(())
}

impl Group {
    /// The heading and the rows, all of one width.
    fn lines(&self) -> Vec<String> {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0))
            .collect();
        let gap = " ";
        let rows = self.rows.iter().map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| pad(cell, width, self.align));
            cells.collect::<Vec<_>>().join(gap)
        });
        let rows: Vec<String> = rows.collect();
        let width = rows[0].width().max(self.heading.width());
        let heading = pad(&self.heading, width, Align::Left);
        let rows = rows.iter().map(|row| pad(row, width, self.align));
        std::iter::once(heading).chain(rows).collect()
    }
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(text.width()));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}

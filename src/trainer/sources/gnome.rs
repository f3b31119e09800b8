//! GNOME's user documentation: heading -> section, paragraph -> translation. Its blocks do not say which of them are
//! headings: those are taken for it whose English is short, does not end as a sentence does, and stands before one that
//! does.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::page::{Block, Book};
use super::{Found, Tags, Texts};
use crate::trainer::lines::{OnBadLine, ReadError, each_row};

const BOOK: Book = Book { name: "gnome-user-docs", licence: "CC-BY-SA-3.0" };

/// The longest that a heading is, in characters.
const HEADING_CHARS: usize = 80;

#[derive(Deserialize)]
struct Row {
    page: String,
    i: u32,
    text: Texts,
}

pub(super) fn read(
    file: &Path,
    on_bad: OnBadLine,
    take: &mut dyn FnMut(Found),
) -> Result<usize, ReadError> {
    let mut pages: BTreeMap<String, Vec<(u32, Texts)>> = BTreeMap::new();
    let bad = each_row(file, on_bad, |row: Row| {
        pages.entry(row.page).or_default().push((row.i, row.text));
        Ok(())
    })?;
    let mut tags = Tags::default();
    for (page, mut rows) in pages {
        rows.sort_by_key(|(i, _)| *i);
        let sentence: Vec<bool> = rows.iter().map(|(_, texts)| ends_a_sentence(texts)).collect();
        let short = |texts: &Texts| {
            texts.get("en").is_some_and(|text| text.chars().count() <= HEADING_CHARS)
        };
        let is_heading =
            |at: usize| !sentence[at] && sentence.get(at + 1) == Some(&true) && short(&rows[at].1);
        let headings: Vec<bool> = (0..rows.len()).map(is_heading).collect();
        let blocks = rows.into_iter().zip(headings);
        let blocks: Vec<Block> =
            blocks.map(|((_, texts), is_heading)| Block { is_heading, texts }).collect();
        BOOK.page(&page, &blocks, &mut tags, take);
    }
    Ok(bad)
}

fn ends_a_sentence(texts: &Texts) -> bool {
    texts.get("en").is_some_and(|text| text.trim_end().ends_with(['.', '!', '?', ':', ')']))
}

//! `LibreOffice`'s help: heading -> section, paragraph -> translation, index keyword -> page.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::page::{Block, Book};
use super::{Found, Tags, Texts};
use crate::trainer::corpus::{NewSet, Wording, written_language};
use crate::trainer::lines::{LineError, OnBadLine, ReadError, each_row};

const BOOK: Book = Book { name: "libreoffice-help", licence: "MPL-2.0" };

/// The file of keywords beside the file of pages.
const KEYWORDS: &str = "index-queries.jsonl.gz";

#[derive(Deserialize)]
struct Paragraph {
    page: String,
    id: String,
    text: Texts,
}

#[derive(Deserialize)]
struct Keyword {
    lang: String,
    page: String,
    anchor: String,
    text: String,
}

pub(super) fn read(
    file: &Path,
    on_bad: OnBadLine,
    take: &mut dyn FnMut(Found),
) -> Result<usize, ReadError> {
    let mut tags = Tags::default();
    let mut openings: HashMap<String, Arc<[Wording]>> = HashMap::new();
    let mut page = (String::new(), Vec::new());
    let mut finish = |(name, blocks): (String, Vec<Block>), tags: &mut Tags| {
        let opening = BOOK.page(&name, &blocks, tags, take);
        if !opening.is_empty() {
            openings.insert(name, opening);
        }
    };
    let mut bad = each_row(file, on_bad, |row: Paragraph| {
        if row.page != page.0 {
            finish(std::mem::replace(&mut page, (row.page, Vec::new())), &mut tags);
        }
        page.1.push(Block { is_heading: row.id.starts_with("hd_"), texts: row.text });
        Ok(())
    })?;
    finish(page, &mut tags);
    let keywords = file.with_file_name(KEYWORDS);
    if keywords.is_file() {
        bad += read_keywords(&keywords, on_bad, &openings, take)?;
    }
    Ok(bad)
}

fn read_keywords(
    file: &Path,
    on_bad: OnBadLine,
    openings: &HashMap<String, Arc<[Wording]>>,
    take: &mut dyn FnMut(Found),
) -> Result<usize, ReadError> {
    let mut tags = Tags::default();
    // Sorted, so that a page's keywords follow each other and its opening is stored once.
    let mut queries: BTreeMap<(String, String), Vec<Wording>> = BTreeMap::new();
    let bad = each_row(file, on_bad, |row: Keyword| {
        let language = tags.parse(&row.lang);
        let language =
            language.ok_or(LineError::Language { field: "lang", given: row.lang.clone() })?;
        // Levels of the index are parted by two hyphens.
        let words: Vec<&str> = row.text.split_whitespace().filter(|word| *word != "--").collect();
        if !words.is_empty() && openings.contains_key(&row.page) {
            let wording = Wording { language: written_language(&language), text: words.join(" ") };
            queries.entry((row.page, row.anchor)).or_default().push(wording);
        }
        Ok(())
    })?;
    for ((page, _), queries) in queries {
        let set = NewSet {
            queries: queries.into(),
            passages: Arc::clone(&openings[&page]),
            negatives: Vec::new(),
            question: Some(BOOK.opening(&page)),
            passage: None,
            document: BOOK.document(&page),
        };
        take(BOOK.found("-keywords", set));
    }
    Ok(bad)
}

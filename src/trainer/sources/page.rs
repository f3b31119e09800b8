//! Pages of headings and paragraphs, aligned across languages: their sections, and their paragraphs' translations.

use std::sync::Arc;

use super::{Found, Tags, Texts, is_long, translations, wordings};
use crate::trainer::corpus::{NewSet, Wording};

/// A section's text ends with the paragraph that takes its English past this.
const SECTION_CHARS: usize = 300;

/// Shorter paragraphs ("See also") are no need of anybody's.
const LEAST_CHARS: usize = 20;

/// A heading or a paragraph.
pub(super) struct Block {
    pub(super) is_heading: bool,
    pub(super) texts: Texts,
}

/// Whose pages they are.
pub(super) struct Book {
    pub(super) name: &'static str,
    pub(super) licence: &'static str,
}

impl Book {
    pub(super) fn found(&self, part: &str, set: NewSet) -> Found {
        Found {
            source: format!("{}{part}", self.name),
            licence: Some(self.licence.to_owned()),
            set,
        }
    }

    pub(super) fn document(&self, page: &str) -> String {
        format!("{}/{page}", self.name)
    }

    /// Heading -> section and text -> translation of one page. Gives the opening: the first heading with its section,
    /// by language; empty if there is none.
    pub(super) fn page(
        &self,
        page: &str,
        blocks: &[Block],
        tags: &mut Tags,
        take: &mut dyn FnMut(Found),
    ) -> Arc<[Wording]> {
        let mut opening: Arc<[Wording]> = Arc::default();
        for (at, block) in blocks.iter().enumerate() {
            if !block.is_heading {
                if is_long(&block.texts, LEAST_CHARS) {
                    let set = translations(wordings(&block.texts, tags), self.document(page));
                    take(self.found("-translations", set));
                }
                continue;
            }
            let body = wordings(&section(&blocks[at + 1..]), tags);
            if body.is_empty() {
                continue;
            }
            let headings = wordings(&block.texts, tags);
            let is_first = opening.is_empty();
            if is_first {
                opening = headings.iter().filter_map(|heading| under(heading, &body)).collect();
            }
            take(self.found(
                "",
                NewSet {
                    queries: headings.into(),
                    passages: body.into(),
                    negatives: Vec::new(),
                    question: is_first.then(|| self.opening(page)),
                    passage: None,
                    document: self.document(page),
                },
            ));
        }
        opening
    }

    /// What all questions that the page's opening answers share.
    pub(super) fn opening(&self, page: &str) -> String {
        format!("opening/{}/{page}", self.name)
    }
}

/// A heading and its section in the same language, as one text.
fn under(heading: &Wording, body: &[Wording]) -> Option<Wording> {
    let body = body.iter().find(|body| body.language == heading.language)?;
    let text = format!("{}: {}", heading.text, body.text);
    Some(Wording { language: heading.language.clone(), text })
}

/// The paragraphs up to the next heading, or to enough text, in each language that has the first of them.
fn section(blocks: &[Block]) -> Texts {
    let mut paragraphs = blocks.iter().take_while(|block| !block.is_heading);
    let Some(first) = paragraphs.next() else { return Texts::new() };
    let mut texts = first.texts.clone();
    // An untranslated opening would put English before every other language.
    let english = texts.get("en").cloned();
    texts.retain(|language, text| language == "en" || Some(&*text) != english.as_ref());
    for paragraph in paragraphs {
        if is_long(&texts, SECTION_CHARS) {
            break;
        }
        for (language, text) in &mut texts {
            if let Some(more) = paragraph.texts.get(language) {
                text.push(' ');
                text.push_str(more);
            }
        }
    }
    texts
}

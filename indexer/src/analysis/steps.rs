//! What an analysis does to one word, or to one run of characters.
//!
//! Invariant: a term is never longer than [`LONGEST_TERM`](super::LONGEST_TERM).

use std::ops::Range;

use dense_plugin::LanguageTag;
use frostem::Stemmer;
use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};

use super::fold::{Casing, fold};
use super::loose::loosen;
use super::plan::{Analysis, Gram, Runs, Spelling, Words};
use super::{Choice, cut, stem};

/// Begins an n-gram, and stands for the ends of its word. No word has it, so no n-gram is taken for
/// a word of another language.
const MARK: char = '_';

/// The steps of one language.
pub(super) struct Steps {
    analysis: Analysis,
    casing: Casing,
    stemmer: Option<Stemmer>,
    segmenter: Option<WordSegmenterBorrowed<'static>>,
}

impl Steps {
    pub(super) fn of(language: &LanguageTag, choice: Choice) -> Self {
        let language = language.language();
        let analysis = match choice {
            Choice::Version(version) => version.analysis(language),
            Choice::Only(analysis) => analysis,
        };
        let casing = match language {
            "tr" | "az" => Casing::Turkic,
            _ => Casing::Common,
        };
        let stemmer = match analysis.words {
            Words::Stem | Words::StemAndNgrams(_) => stem::stemmer(language),
            _ => None,
        };
        let segmenter = (analysis.runs == Runs::Segmented)
            .then(|| WordSegmenter::new_auto(WordBreakInvariantOptions::default()));
        Self { analysis, casing, stemmer, segmenter }
    }

    /// Hands on the terms of a word.
    pub(super) fn word(&self, word: &str, mut push: impl FnMut(String)) {
        let mut term = cut(fold(word, self.casing));
        if let Some(stemmer) = &self.stemmer {
            term = stemmer.stem(&term).into_owned();
        }
        if self.analysis.spelling == Spelling::Loose {
            term = loosen(&term);
        }
        match self.analysis.words {
            Words::Whole | Words::Stem => push(term),
            Words::Prefix(gram) => {
                if let Some((end, _)) = term.char_indices().nth(gram.get()) {
                    term.truncate(end);
                }
                push(term);
            }
            Words::Ngrams(gram) => ngrams(&term, gram, push),
            Words::WholeAndNgrams(gram) | Words::StemAndNgrams(gram) => {
                push(term.clone());
                ngrams(&term, gram, push);
            }
        }
    }

    /// The parts of a run that are terms, in order.
    pub(super) fn run(&self, text: &str, characters: &[Range<usize>]) -> Vec<Range<usize>> {
        let whole = characters.first().zip(characters.last());
        let Some(whole) = whole.map(|(first, last)| first.start..last.end) else {
            return Vec::new();
        };
        if let Some(segmenter) = &self.segmenter {
            let ends: Vec<usize> = segmenter.segment_str(&text[whole.clone()]).collect();
            return ends
                .windows(2)
                .map(|ends| whole.start + ends[0]..whole.start + ends[1])
                .collect();
        }
        let pairs = || characters.windows(2).map(|pair| pair[0].start..pair[1].end);
        match self.analysis.runs {
            // One character is a pair with nothing.
            Runs::Pairs | Runs::Segmented if characters.len() > 1 => pairs().collect(),
            Runs::Pairs | Runs::Segmented | Runs::Singles => characters.to_vec(),
            Runs::Both => {
                let mut parts: Vec<_> = characters.iter().cloned().chain(pairs()).collect();
                parts.sort_by_key(|part| (part.start, part.end));
                parts
            }
        }
    }
}

/// The substrings of `_word_` that have so many characters, or all of it if it has fewer.
fn ngrams(word: &str, gram: Gram, mut push: impl FnMut(String)) {
    if word.is_empty() {
        return;
    }
    let mut characters = vec![MARK];
    characters.extend(word.chars());
    characters.push(MARK);
    let width = gram.get().min(characters.len());
    for gram in characters.windows(width) {
        push(std::iter::once(&MARK).chain(gram).collect());
    }
}

//! Where the words of a text are, by the scripts it is written in and not by its language: so a
//! Chinese name in a German text is found by a Chinese query, and a wrong language tag costs a stem
//! but no match.
//!
//! Invariant: the pieces of a text are in order and do not overlap; each starts and ends at a
//! character boundary.

use std::ops::Range;

use icu_properties::CodePointMapData;
use icu_properties::props::Script;
use unicode_segmentation::UnicodeSegmentation;

use super::fold::{ascii_digit, is_invisible, is_mark};

/// A stretch of text that is looked up as a whole, or pair by pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A word between spaces or punctuation.
    Word(Range<usize>),
    /// What a script without spaces (or with few) writes in one go: its characters, in order.
    Run(Vec<Range<usize>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Run,
    /// Belongs to what stands before it: a vowel sign, a joiner, a soft hyphen.
    Continues,
    Between,
}

/// Splits a text into pieces; what is between them is not looked up.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        let class = class(first);
        if !matches!(class, Class::Word | Class::Run) {
            continue;
        }
        let mut end = start + first.len_utf8();
        while let Some(&(at, c)) = chars.peek() {
            let next = self::class(c);
            if next != class && next != Class::Continues {
                break;
            }
            end = at + c.len_utf8();
            chars.next();
        }
        pieces.push(match class {
            Class::Run => Piece::Run(characters(text, start..end)),
            _ => Piece::Word(start..end),
        });
    }
    pieces
}

/// The characters of a run as readers count them, with their vowel signs and tone marks.
fn characters(text: &str, run: Range<usize>) -> Vec<Range<usize>> {
    text[run.clone()]
        .grapheme_indices(true)
        .map(|(at, c)| run.start + at..run.start + at + c.len())
        .collect()
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { Class::Word } else { Class::Between };
    }
    if is_mark(c) || is_invisible(c) {
        Class::Continues
    } else if !c.is_alphanumeric() {
        Class::Between
    } else if has_no_spaces(c) && ascii_digit(c) == c {
        Class::Run
    } else {
        Class::Word
    }
}

/// Whether a letter's script puts no space between words; or is Hangul, whose words carry endings
/// that no stemmer here takes off. The prolonged sound marks of kana belong to no script.
fn has_no_spaces(c: char) -> bool {
    matches!(c, 'ー' | 'ｰ')
        || matches!(
            CodePointMapData::<Script>::new().get(c),
            Script::Han
                | Script::Hiragana
                | Script::Katakana
                | Script::Hangul
                | Script::Thai
                | Script::Lao
                | Script::Khmer
                | Script::Myanmar
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        pieces(text)
            .into_iter()
            .map(|piece| match piece {
                Piece::Word(range) => text[range].to_owned(),
                Piece::Run(characters) => {
                    characters.into_iter().map(|c| &text[c]).collect::<Vec<_>>().join("|")
                }
            })
            .collect()
    }

    #[test]
    fn words_end_at_spaces_and_punctuation() {
        assert_eq!(shown("The cat's 3 hats, (red)."), ["The", "cat", "s", "3", "hats", "red"]);
    }

    #[test]
    fn vowel_signs_and_joiners_do_not_split_words() {
        assert_eq!(shown("हिन्दी में"), ["हिन्दी", "में"]);
        assert_eq!(shown("తెలుగు భాష"), ["తెలుగు", "భాష"]);
        assert_eq!(shown("می\u{200c}خواهم"), ["می\u{200c}خواهم"]);
        assert_eq!(shown("hy\u{ad}phen"), ["hy\u{ad}phen"]);
        assert_eq!(shown("o\u{323}mo\u{323} wa"), ["o\u{323}mo\u{323}", "wa"]);
    }

    #[test]
    fn latin_words_and_digits_inside_chinese_stay_whole() {
        assert_eq!(shown("在2015年的NFL賽季"), ["在", "2015", "年|的", "NFL", "賽|季"]);
    }

    #[test]
    fn a_thai_character_keeps_its_marks() {
        assert_eq!(shown("ที่นี่"), ["ที่|นี่"]);
    }

    proptest! {
        #[test]
        fn pieces_of_any_text_are_in_order_and_can_be_cut_out(text in "\\PC{0,40}|[\u{e01}-\u{e59}a-z \u{4e2d}-\u{4e3d}\u{ac00}-\u{ac10}\u{300}\u{200d}]{0,40}") {
            let mut end = 0;
            for piece in pieces(&text) {
                let ranges = match piece {
                    Piece::Word(range) => vec![range],
                    Piece::Run(characters) => characters,
                };
                for range in ranges {
                    prop_assert!(end <= range.start && range.start < range.end);
                    prop_assert!(text.get(range.clone()).is_some());
                    end = range.end;
                }
            }
        }
    }
}

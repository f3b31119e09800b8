//! What a word is reduced to so that spellings of the same word meet: compatibility forms, case,
//! digits, and the marks that a script's writers leave out as they like.
//!
//! Folded: NFKC and full case folding for all; decimal digits of any script to 0-9; Arabic vowel
//! signs, tatweel and Persian forms of yeh and kaf; Hebrew points; stress marks on Cyrillic.
//! Kept, because they tell words apart: accents and dots of Latin letters (Vietnamese and Yoruba
//! tones, German umlauts; stemmers look at them too), all vowel signs of Indic scripts.
//!
//! Invariant: folding what is folded changes nothing.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// How a language tells upper from lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Casing {
    /// As Unicode folds by default.
    Common,
    /// `I` is the capital of `ı`, `İ` that of `i`: Turkish and Azerbaijani.
    Turkic,
}

/// Folds one word. The result may be empty: a word of nothing but marks.
pub(super) fn fold(word: &str, casing: Casing) -> String {
    if word.is_ascii() && casing == Casing::Common {
        return word.to_ascii_lowercase();
    }
    let nfkc = const { ComposingNormalizer::new_nfkc() };
    let cases = const { CaseMapper::new() };
    let composed = nfkc.normalize(word);
    let lower = match casing {
        Casing::Common => cases.fold_string(&composed),
        Casing::Turkic => cases.fold_turkic_string(&composed),
    };
    let mut kept = String::with_capacity(lower.len());
    for c in nfkc.normalize(&lower).chars().filter(|&c| !is_invisible(c)) {
        match c {
            // Tatweel stretches a word; vowel signs and points are written in few texts.
            '\u{0640}' | '\u{064b}'..='\u{065f}' | '\u{0670}' | '\u{0591}'..='\u{05c7}' => {}
            // Stress. What is part of a letter (as in й) has been composed with it.
            '\u{0300}' | '\u{0301}' if kept.chars().next_back().is_some_and(is_cyrillic) => {}
            'ی' => kept.push('ي'),
            'ک' => kept.push('ك'),
            _ => kept.push(ascii_digit(c)),
        }
    }
    // A removed mark may have stood between two that compose.
    nfkc.normalize(&kept).into_owned()
}

/// A vowel sign, accent or other mark on the character before it.
pub(super) fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

/// A joiner, soft hyphen, direction mark or variation selector: it changes how a word looks, not
/// which word it is.
pub(super) fn is_invisible(c: char) -> bool {
    const { CodePointSetData::new::<DefaultIgnorableCodePoint>() }.contains(c)
}

fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{0400}'..='\u{052f}')
}

/// A decimal digit of the scripts whose digits are in use beside 0-9.
pub(super) fn ascii_digit(c: char) -> char {
    const ZEROS: [char; 17] =
        ['٠', '۰', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '๐', '໐', '༠', '၀', '០', '᠐'];
    ZEROS
        .iter()
        .find_map(|&zero| u8::try_from(u32::from(c).checked_sub(u32::from(zero))?).ok())
        .filter(|&digit| digit < 10)
        .map_or(c, |digit| char::from(b'0' + digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_word_meet() {
        for (one, other) in [
            ("Straße", "STRASSE"),
            ("ＡＢＣ１", "abc1"),
            ("cafe\u{301}", "CAFÉ"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Моско́вский", "московский"),
            ("مُحَمَّد", "محمد"),
            ("عـــلى", "على"),
            ("کتاب", "كتاب"),
            ("שָׁלוֹם", "שלום"),
            ("२०१५", "2015"),
            ("٣", "3"),
            ("hy\u{ad}phen", "hyphen"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("が", "か\u{3099}"),
        ] {
            assert_eq!(fold(one, Casing::Common), fold(other, Casing::Common), "{one} {other}");
        }
    }

    #[test]
    fn marks_that_tell_words_apart_are_kept() {
        for (one, other) in [
            ("ma", "má"),          // Vietnamese tones
            ("ọkọ\u{300}", "ọkọ"), // Yoruba tones, which do not compose
            ("schon", "schön"),
            ("कि", "की"),
            ("হাত", "হাতি"),
            ("мой", "мои"),
        ] {
            assert_ne!(fold(one, Casing::Common), fold(other, Casing::Common), "{one} {other}");
        }
    }

    #[test]
    fn turkish_keeps_its_two_letters_i_apart() {
        assert_eq!(fold("ISPARTA", Casing::Turkic), "ısparta");
        assert_eq!(fold("İstanbul", Casing::Turkic), "istanbul");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(word in "\\PC{0,20}|[a-zé\u{300}-\u{36f}а-яй\u{5d0}-\u{5ea}\u{591}-\u{5c7}آ-ی]{0,12}") {
            for casing in [Casing::Common, Casing::Turkic] {
                let once = fold(&word, casing);
                prop_assert_eq!(fold(&once, casing), once);
            }
        }
    }
}

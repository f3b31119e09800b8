//! Spellings that meet where a language is written loosely: marks left out, letters of one sound.
//!
//! It comes after [`fold`](super::fold()) and the stemmer, which look at what is taken away here.
//!
//! Invariant: loosening what is loosened changes nothing.

use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};

/// Takes away what [`Spelling::Loose`](super::Spelling::Loose) lists. The result may be empty: a word
/// of nothing but marks.
pub(super) fn loosen(word: &str) -> String {
    if word.is_ascii() {
        return word.to_owned();
    }
    let nfd = const { DecomposingNormalizer::new_nfd() };
    let nfc = const { ComposingNormalizer::new_nfc() };
    let mut kept = String::with_capacity(word.len());
    let mut after_latin = false;
    for c in nfd.normalize(word).chars() {
        match c {
            '\u{0300}'..='\u{036f}' if after_latin => continue,
            // Hamza and madda on alef, waw and yeh; nukta.
            '\u{0653}'..='\u{0655}' | '\u{093c}' => continue,
            // ё is е to most writers.
            '\u{0308}' if kept.ends_with('е') => continue,
            _ => {}
        }
        let c = one_of_its_sound(c);
        after_latin = is_latin(c);
        kept.push(c);
    }
    nfc.normalize(&kept).into_owned()
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{00c0}'..='\u{024f}' | '\u{1e00}'..='\u{1eff}')
}

fn one_of_its_sound(c: char) -> char {
    match c {
        'ɓ' => 'b',
        'ɗ' | 'đ' => 'd',
        'ƙ' => 'k',
        'ƴ' => 'y',
        'ٱ' => 'ا',
        'ة' => 'ه',
        'ى' => 'ي',
        'ँ' => 'ं',
        // Ethiopic series that Amharic pronounces alike: ሐ and ኀ as ሀ, ሠ as ሰ, ዐ as አ, ፀ as ጸ.
        '\u{1210}'..='\u{1217}' => moved(c, 0x1210, 0x1200),
        '\u{1280}'..='\u{1287}' => moved(c, 0x1280, 0x1200),
        '\u{1220}'..='\u{1227}' => moved(c, 0x1220, 0x1230),
        '\u{12d0}'..='\u{12d6}' => moved(c, 0x12d0, 0x12a0),
        '\u{1340}'..='\u{1346}' => moved(c, 0x1340, 0x1338),
        _ => c,
    }
}

fn moved(c: char, from: u32, to: u32) -> char {
    char::from_u32(u32::from(c) - from + to).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loose_spellings_meet() {
        for (one, other) in [
            ("ọ̀rọ̀", "oro"),
            ("tiếng", "tieng"),
            ("ƙasa", "kasa"),
            ("أحمد", "احمد"),
            ("مدرسة", "مدرسه"),
            ("على", "علي"),
            ("ज़मीन", "जमीन"),
            ("ሐገር", "ሀገር"),
            ("ዓለም", "ኣለም"),
            ("ёлка", "елка"),
        ] {
            assert_eq!(loosen(one), loosen(other), "{one} {other}");
        }
    }

    #[test]
    fn letters_of_other_scripts_keep_their_marks() {
        for word in ["мой", "が", "कि", "হাতি", "νέος"] {
            assert_eq!(loosen(word), word);
        }
    }

    proptest! {
        #[test]
        fn loosening_twice_is_loosening_once(word in "\\PC{0,12}|[a-zé\u{300}-\u{36f}ء-ي\u{653}-\u{655}ऀ-़ሀ-፿ё]{0,12}") {
            let once = loosen(&word);
            prop_assert_eq!(loosen(&once), once);
        }
    }
}

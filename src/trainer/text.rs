//! When two texts count as the same: for leakage, for false negatives, for development sets.
//!
//! Invariant: keys are the same numbers on every machine and in every release, since runs that go on compare them.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use twox_hash::XxHash3_64;

/// Characters in a shingle of [`sketch`].
const SHINGLE: usize = 4;

/// Texts with equal keys are the same text, up to compatibility forms, case and white space.
///
/// ```
/// # use tantivy_dense::trainer::TextKey;
/// assert_eq!(TextKey::of("Ｆｉｎｄ\u{a0} it "), TextKey::of("find it"));
/// assert_ne!(TextKey::of("find it"), TextKey::of("find them"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextKey(u64);

impl TextKey {
    /// The key of a text: a 64-bit hash of [`normalized`]. Among ten million texts two different ones share a key with
    /// a chance of 1 in 370,000.
    pub fn of(text: &str) -> Self {
        Self(hash(normalized(text).as_bytes()))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// NFKC, then full case folding, then NFKC again, with runs of white space as one space and none at the ends.
pub fn normalized(text: &str) -> String {
    let nfkc = const { ComposingNormalizer::new_nfkc() };
    let cases = const { CaseMapper::new() };
    let folded = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        // Folding can take a text out of NFKC.
        nfkc.normalize(&cases.fold_string(&nfkc.normalize(text))).into_owned()
    };
    let mut out = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// 64 bits that differ in few places for texts that differ in few places.
///
/// # Source
/// Charikar, "Similarity estimation techniques from rounding algorithms" (2002), over the set of runs of four
/// characters of the [`normalized`] text.
pub fn sketch(text: &str) -> u64 {
    let text = normalized(text);
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut shingles: Vec<u64> = if starts.len() <= SHINGLE {
        vec![hash(text.as_bytes())]
    } else {
        starts.windows(SHINGLE + 1).map(|w| hash(&text.as_bytes()[w[0]..w[SHINGLE]])).collect()
    };
    shingles.sort_unstable();
    shingles.dedup();
    let half = shingles.len();
    let mut set = [0_usize; 64];
    for shingle in shingles {
        for (bit, count) in set.iter_mut().enumerate() {
            *count += usize::from(shingle >> bit & 1 == 1);
        }
    }
    set.iter().enumerate().fold(0, |bits, (bit, &count)| bits | u64::from(2 * count > half) << bit)
}

/// A hash that is fixed for good.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// A number from 0 to below 1 of 64 bits that look random.
pub(super) fn unit_of(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let [share, whole] = [bits >> 11, 1 << 53].map(|bits| bits as f64);
    share / whole
}

/// One number of several, their order included.
pub(super) fn mixed(numbers: &[u64]) -> u64 {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    hash(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn width_case_and_white_space_make_no_other_text() {
        assert_eq!(normalized("  Straße\t\u{3000}ＡＢＣ "), "strasse abc");
        assert_eq!(normalized("ΟΔΟΣ"), normalized("οδος"));
        assert_eq!(normalized(""), "");
    }

    #[test]
    fn near_texts_have_near_sketches_and_others_do_not() {
        let distance = |a, b| (sketch(a) ^ sketch(b)).count_ones();
        let a = "The Find toolbar can be used to quickly search the contents of documents.";
        let b = "The Find toolbar can be used to quickly search the content of documents.";
        let c = "Insert a row above the selected cell, or several rows at once.";
        assert!(distance(a, b) <= 8, "{}", distance(a, b));
        assert!(distance(a, c) >= 16, "{}", distance(a, c));
        assert_eq!(
            distance(
                a,
                "the find  toolbar CAN be used to quickly search the contents of documents."
            ),
            0
        );
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(text in ".{0,40}") {
            let once = normalized(&text);
            prop_assert_eq!(normalized(&once), once);
        }
    }
}

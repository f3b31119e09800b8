//! What is known of a language before anything is measured in it: how much text a model can have seen,
//! how much research there is, which script and which family.
//!
//! Invariant: a tag that is known with more subtags is known with fewer; what nobody published is `None`,
//! never a guess.
//!
//! Left out on purpose: languages of no collection that this crate opens.

mod table;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use self::table::{FACTS, OTHER_NAMES};

/// From this size in CC-100 on, in GiB, a language counts as high-resource.
const HIGH_FROM: f64 = 10.0;

/// 24 languages of NTREX-128 to compare resource tiers on, 12 low and 12 high, sorted by tag.
///
/// Chosen before anything was measured on them. The tiers are matched as far as that is possible, so that a
/// difference between them is not one between families: seven low languages stand with high ones of their family
/// (am and ha with ar, bn with hi, km with vi, my with zh-Hans, te with ta, uz with tr). Of the others, eu, ka, mn,
/// sw and yo are low, and en, fi, id, ja, ru and th are high. There are 14 families and 14 scripts; each tier
/// has languages that put no spaces between words (km, my; ja, th, zh-Hans), and languages with and without
/// published question-passage pairs to train on (am, ha, yo; ar, en, hi, ja, th, vi, zh-Hans have some).
pub const NTREX_SUBSET: [&str; 24] = [
    "am", "ar", "bn", "en", "eu", "fi", "ha", "hi", "id", "ja", "ka", "km", "mn", "my", "ru", "sw",
    "ta", "te", "th", "tr", "uz", "vi", "yo", "zh-Hans",
];

/// How much text in a language there is to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Less than 10 GiB in CC-100, or nothing.
    Low,
    /// 10 GiB in CC-100 or more.
    High,
}

/// Low before high.
impl Ord for Tier {
    fn cmp(&self, other: &Self) -> Ordering {
        (*self == Self::High).cmp(&(*other == Self::High))
    }
}

impl PartialOrd for Tier {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::High => "high",
        })
    }
}

/// What is known of a language.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LanguageFacts {
    /// Its BCP 47 tag.
    pub tag: &'static str,
    /// Its English name.
    pub name: &'static str,
    /// The script it is usually written in, as ISO 15924 abbreviates it.
    pub script: &'static str,
    /// The family, the largest that is undisputed; a language without kin is its own.
    pub family: &'static str,
    /// Its size in CC-100, in GiB; `None` if it is not there.
    pub cc100_gib: Option<f64>,
    /// Its class from 0 (left behind) to 5 (winner); `None` if it has none.
    pub joshi_class: Option<u8>,
}

impl LanguageFacts {
    /// The resource tier.
    pub fn tier(&self) -> Tier {
        match self.cc100_gib {
            Some(size) if size >= HIGH_FROM => Tier::High,
            _ => Tier::Low,
        }
    }
}

/// What is known of the language of a BCP 47 tag; `None` if nothing is.
///
/// Subtags that are not known are left off from the end: `en-GB` is `en`. Codes of three letters are
/// understood where there is one of two.
///
/// # Source
/// Conneau et al., "Unsupervised Cross-lingual Representation Learning at Scale" (2020), appendix, for sizes;
/// Joshi et al., "The State and Fate of Linguistic Diversity and Inclusion in the NLP World" (2020),
/// for classes.
///
/// # Example
/// ```
/// # use tantivy_dense_eval::{Tier, facts};
/// let swahili = facts("swa").ok_or("unknown")?;
/// assert_eq!((swahili.tag, swahili.cc100_gib, swahili.tier()), ("sw", Some(1.6), Tier::Low));
/// assert_eq!(facts("zh-TW").map(|facts| facts.script), Some("Hant"));
/// assert!(facts("tlh").is_none());
/// # Ok::<(), &str>(())
/// ```
pub fn facts(tag: &str) -> Option<LanguageFacts> {
    let tag = canonical(tag);
    let mut tag = tag.as_str();
    loop {
        let same = |facts: &&LanguageFacts| facts.tag.eq_ignore_ascii_case(tag);
        if let Some(facts) = FACTS.iter().find(same) {
            return Some(*facts);
        }
        tag = &tag[..tag.rfind('-')?];
    }
}

/// A tag with the first subtag that is usual, and the script of Chinese where the region says it.
pub(crate) fn canonical(tag: &str) -> String {
    let (first, rest) = tag.split_once('-').unwrap_or((tag, ""));
    let first = first.to_ascii_lowercase();
    let other = OTHER_NAMES.binary_search_by_key(&first.as_str(), |&(other, _)| other);
    let first = other.map_or(first.as_str(), |at| OTHER_NAMES[at].1);
    match (first, rest.to_ascii_uppercase().as_str()) {
        (_, "") => first.to_owned(),
        ("zh", "CN" | "SG") => "zh-Hans".to_owned(),
        ("zh", "TW" | "HK" | "MO") => "zh-Hant".to_owned(),
        _ => format!("{first}-{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_tables_are_sorted_and_name_what_is_there() {
        assert!(FACTS.is_sorted_by(|a, b| a.tag < b.tag));
        assert!(OTHER_NAMES.is_sorted_by(|a, b| a.0 < b.0));
        for (other, tag) in OTHER_NAMES {
            assert!(facts(tag).is_some(), "{other}");
            assert_eq!(facts(other), facts(tag));
        }
        for facts in FACTS {
            assert!(facts.joshi_class.is_none_or(|class| class <= 5), "{facts:?}");
            assert!(facts.script.len() == 4 && !facts.name.is_empty(), "{facts:?}");
        }
    }

    #[test]
    fn tiers_part_at_ten_gib() {
        for (tag, tier) in [("ka", Tier::Low), ("yo", Tier::Low), ("ca", Tier::High)] {
            assert_eq!(facts(tag).unwrap().tier(), tier, "{tag}");
        }
        // Those of XQuAD-R, TyDiQA and our fixtures.
        for tag in "ar bn de el en es fi hi id ko ru sw te th tr vi zh am ja yo".split(' ') {
            assert!(facts(tag).is_some(), "{tag}");
        }
    }

    #[test]
    fn the_subset_is_half_low_and_half_high_in_many_families_and_scripts() {
        let known: Vec<_> = NTREX_SUBSET.iter().map(|tag| facts(tag).unwrap()).collect();
        assert!(NTREX_SUBSET.is_sorted());
        assert_eq!(known.iter().filter(|facts| facts.tier() == Tier::Low).count(), 12);
        let families: BTreeSet<_> = known.iter().map(|facts| facts.family).collect();
        let scripts: BTreeSet<_> = known.iter().map(|facts| facts.script).collect();
        assert_eq!((families.len(), scripts.len()), (14, 14));
    }

    #[test]
    fn subtags_that_say_nothing_new_are_left_off() {
        for (tag, wanted) in [
            ("en-GB", "en"),
            ("prs", "fa"),
            ("sr-Cyrl", "sr"),
            ("sr-latn", "sr-Latn"),
            ("zh-Hans", "zh"),
            ("zho-TW", "zh-Hant"),
            ("zh-Hant-HK", "zh-Hant"),
            ("SW", "sw"),
        ] {
            assert_eq!(facts(tag).unwrap().tag, wanted, "{tag}");
        }
        assert!(facts("").is_none() && facts("-").is_none() && facts("und").is_none());
    }

    proptest! {
        #[test]
        fn any_tag_is_known_or_not(tag in "\\PC{0,12}|[a-z]{1,3}(-[A-Za-z]{0,4}){0,3}") {
            let _ = facts(&tag);
        }
    }
}

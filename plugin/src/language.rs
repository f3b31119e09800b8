//! Language tags as BCP 47 has them, and the ways people write them in corpora.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use icu_locale::{LanguageIdentifier, Locale, LocaleCanonicalizer};
use serde::{Deserialize, Serialize};

/// A BCP 47 language tag in canonical form: `sw`, `zh-CN`, `sr-Latn`.
///
/// Parsing takes what corpora and systems write and maps it: three-letter codes (`swa`),
/// underscores (`zh_CN`), POSIX encodings and modifiers (`de_DE.UTF-8`, `sr@latin`), any case.
/// Extensions and private-use parts are dropped: no analyser or encoder looks at them.
///
/// ```
/// # use tantivy_dense_plugin::LanguageTag;
/// let tag: LanguageTag = "swa".parse()?;
/// assert_eq!(tag.as_str(), "sw");
/// assert_eq!("sr_RS@latin".parse::<LanguageTag>()?.as_str(), "sr-Latn-RS");
/// assert_eq!("zh_CN".parse::<LanguageTag>()?.language(), "zh");
/// # Ok::<(), tantivy_dense_plugin::LanguageTagError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LanguageTag(String);

impl LanguageTag {
    /// The whole tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language alone, without script and region: `zh` of `zh-Hant-TW`.
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// The language that is not known, `und`.
    pub fn undetermined() -> Self {
        Self("und".to_owned())
    }
}

impl FromStr for LanguageTag {
    type Err = LanguageTagError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let fail = || LanguageTagError { given: written.chars().take(40).collect() };
        let (tag, modifier) = written.trim().split_once('@').unwrap_or((written.trim(), ""));
        let tag = tag.split('.').next().unwrap_or(tag).replace('_', "-");
        // An extension or private-use part starts with a part of one character.
        let parts: Vec<&str> = tag
            .split('-')
            .enumerate()
            .take_while(|(i, p)| *i == 0 || p.len() != 1)
            .map(|(_, p)| p)
            .collect();
        let mut id: LanguageIdentifier = parts.join("-").parse().map_err(|_| fail())?;
        if let Some(script) = script_of_modifier(modifier) {
            id.script = Some(script.parse().map_err(|_| fail())?);
        }
        let mut locale = Locale::from(id);
        LocaleCanonicalizer::new_extended().canonicalize(&mut locale);
        Ok(Self(locale.id.to_string()))
    }
}

/// POSIX locales name a script where BCP 47 has a part of the tag. Other modifiers (`@euro`,
/// `@valencia`) say nothing about the script.
fn script_of_modifier(modifier: &str) -> Option<&'static str> {
    match modifier.to_ascii_lowercase().as_str() {
        "latin" | "latn" => Some("Latn"),
        "cyrillic" | "cyrl" => Some("Cyrl"),
        "arabic" | "arab" => Some("Arab"),
        "devanagari" | "deva" => Some("Deva"),
        _ => None,
    }
}

impl Ord for LanguageTag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for LanguageTag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl TryFrom<String> for LanguageTag {
    type Error = LanguageTagError;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        written.parse()
    }
}

impl From<LanguageTag> for String {
    fn from(tag: LanguageTag) -> Self {
        tag.0
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that names no language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no language tag (BCP 47, as in `sw` or `zh-Hant`)")]
pub struct LanguageTagError {
    given: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_corpora_write_becomes_bcp_47() {
        for (written, tag) in [
            ("swa", "sw"),
            ("zho", "zh"),
            ("zh_CN", "zh-CN"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("sr@latin", "sr-Latn"),
            ("de_DE.UTF-8@euro", "de-DE"),
            ("en-US-u-ca-buddhist", "en-US"),
            ("en-x-mine", "en"),
            ("amh", "am"),
            ("iw", "he"),
            ("yue", "yue"),
            (" te ", "te"),
            ("und", "und"),
        ] {
            assert_eq!(written.parse::<LanguageTag>().unwrap().as_str(), tag, "{written}");
        }
    }

    #[test]
    fn what_is_no_language_is_refused() {
        for written in ["", "english please", "e", "12", "-", "@latin"] {
            assert!(written.parse::<LanguageTag>().is_err(), "{written}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_a_tag_stays_as_it_is(written in "\\PC{0,20}") {
            if let Ok(tag) = written.parse::<LanguageTag>() {
                prop_assert_eq!(tag.as_str().parse::<LanguageTag>().unwrap(), tag);
            }
        }
    }
}

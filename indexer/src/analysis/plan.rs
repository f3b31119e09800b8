//! By which steps the texts of a language become terms: an analysis as a value that parses and
//! prints, and the one that each language has.
//!
//! Invariant: an analysis that is printed and parsed is itself. What a version of the table says never
//! changes, because indexes hold its terms.

use std::fmt;
use std::str::FromStr;

use super::stem;

/// The longest n-gram or prefix, in characters: longer ones are whole words.
const LONGEST: u8 = 9;

/// The steps by which a text becomes terms, written as `stem`, `loose-word+ngram4` or `stem/icu`.
///
/// Before the `/` stands what becomes of a word between spaces, after it what becomes of a run of
/// characters in a script without spaces (Han, kana, Thai, Lao, Khmer, Burmese) or of Hangul; `pairs` is
/// left out. All begin with Unicode's compatibility forms and case folding.
///
/// ```
/// use tantivy_dense_indexer::{Analysis, AnalysisError};
///
/// for written in ["stem", "prefix5", "loose-word+ngram4", "word/icu", "stem/singles+pairs"] {
///     assert_eq!(written.parse::<Analysis>()?.to_string(), written);
/// }
/// assert_eq!("stem/pairs".parse::<Analysis>()?.to_string(), "stem");
/// assert!("ngram1".parse::<Analysis>().is_err());
/// # Ok::<(), AnalysisError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Analysis {
    /// Which spellings of a word meet.
    pub spelling: Spelling,
    /// What becomes of a word between spaces.
    pub words: Words,
    /// What becomes of a run of characters without spaces.
    pub runs: Runs,
}

/// Which spellings of a word meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// Those that differ in nothing but compatibility forms, case, or marks that few texts write.
    Strict,
    /// `loose-`: those too that differ in what many writers leave out or mix up: marks on Latin
    /// letters, hooks of Hausa, Arabic forms of alef, yeh and teh marbuta, nukta of Devanagari,
    /// Ethiopic letters of one sound, Russian ё.
    Loose,
}

/// What becomes of a word between spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Words {
    /// `word`: itself.
    Whole,
    /// `stem`: its stem, where the language has a stemmer, and else itself.
    Stem,
    /// `prefix5`: its first characters.
    Prefix(Gram),
    /// `ngram4`: all its substrings of so many characters, its ends marked. Source: `McNamee` and
    /// Mayfield, "Character n-gram tokenization for European language text retrieval" (2004).
    Ngrams(Gram),
    /// `word+ngram4`: both.
    WholeAndNgrams(Gram),
    /// `stem+ngram4`: its stem, and the substrings of its stem.
    StemAndNgrams(Gram),
}

/// What becomes of a run of characters without spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runs {
    /// `pairs`: each two neighbours; a character that stands alone.
    Pairs,
    /// `singles`: each character.
    Singles,
    /// `singles+pairs`: both.
    Both,
    /// `icu`: the words that ICU's dictionaries and models find. They come with the crate.
    Segmented,
}

/// How many characters an n-gram or a prefix has: 2 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gram(u8);

impl Gram {
    /// As the defaults have it.
    pub const FOUR: Self = Self(4);

    /// `None` outside 2 to 9.
    pub const fn new(characters: u8) -> Option<Self> {
        if characters >= 2 && characters <= LONGEST { Some(Self(characters)) } else { None }
    }

    pub(super) fn get(self) -> usize {
        self.0.into()
    }
}

/// Text that names no analysis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{written}` names no analysis: it is [loose-](word|stem|prefixN|ngramN|word+ngramN|stem+ngramN)\
     [/(pairs|singles|singles+pairs|icu)] with N from 2 to 9, as in `stem` or `loose-word+ngram4`"
)]
pub struct AnalysisError {
    written: String,
}

impl Analysis {
    /// Words as they are written, and pairs.
    pub const WORD: Self =
        Self { spelling: Spelling::Strict, words: Words::Whole, runs: Runs::Pairs };
    /// Stems where there is a stemmer, and pairs.
    pub const STEM: Self =
        Self { spelling: Spelling::Strict, words: Words::Stem, runs: Runs::Pairs };

    /// What is worth comparing in a language: the default first, each once.
    ///
    /// In languages whose script has no spaces, and in Korean, what becomes of runs; in others, what
    /// becomes of words and of their spelling.
    pub fn candidates(language: &str) -> Vec<Self> {
        let mut all = vec![super::Version::NEWEST.analysis(language)];
        let has_stemmer = stem::stemmer(language).is_some();
        let base = if has_stemmer { Self::STEM } else { Self::WORD };
        if matches!(language, "zh" | "yue" | "ja" | "ko" | "th" | "lo" | "km" | "my") {
            let runs = [Runs::Pairs, Runs::Singles, Runs::Both, Runs::Segmented];
            all.extend(runs.map(|runs| Self { runs, ..base }));
        } else {
            let with: fn(Gram) -> Words =
                if has_stemmer { Words::StemAndNgrams } else { Words::WholeAndNgrams };
            let grams = [Gram(3), Gram(4), Gram(5)];
            let mut words = vec![Words::Whole, base.words];
            words.extend([Gram(4), Gram(5), Gram(6)].map(Words::Prefix));
            words.extend(grams.map(Words::Ngrams));
            words.extend(grams.map(with));
            all.extend(words.into_iter().map(|words| Self { words, ..base }));
            let loose = [base.words, with(Gram::FOUR), Words::Ngrams(Gram::FOUR)];
            all.extend(loose.map(|words| Self { spelling: Spelling::Loose, words, ..base }));
        }
        let mut seen = Vec::new();
        all.retain(|&analysis| {
            let is_new = !seen.contains(&analysis);
            seen.push(analysis);
            is_new
        });
        all
    }
}

impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spelling == Spelling::Loose {
            f.write_str("loose-")?;
        }
        match self.words {
            Words::Whole => f.write_str("word"),
            Words::Stem => f.write_str("stem"),
            Words::Prefix(gram) => write!(f, "prefix{}", gram.0),
            Words::Ngrams(gram) => write!(f, "ngram{}", gram.0),
            Words::WholeAndNgrams(gram) => write!(f, "word+ngram{}", gram.0),
            Words::StemAndNgrams(gram) => write!(f, "stem+ngram{}", gram.0),
        }?;
        f.write_str(match self.runs {
            Runs::Pairs => "",
            Runs::Singles => "/singles",
            Runs::Both => "/singles+pairs",
            Runs::Segmented => "/icu",
        })
    }
}

impl FromStr for Analysis {
    type Err = AnalysisError;

    fn from_str(written: &str) -> Result<Self, AnalysisError> {
        parse(written).ok_or_else(|| AnalysisError { written: written.to_owned() })
    }
}

fn parse(written: &str) -> Option<Analysis> {
    let (words, runs) = written.split_once('/').unwrap_or((written, "pairs"));
    let runs = match runs {
        "pairs" => Runs::Pairs,
        "singles" => Runs::Singles,
        "singles+pairs" => Runs::Both,
        "icu" => Runs::Segmented,
        _ => return None,
    };
    let (spelling, words) = match words.strip_prefix("loose-") {
        Some(words) => (Spelling::Loose, words),
        None => (Spelling::Strict, words),
    };
    let words = match words {
        "word" => Words::Whole,
        "stem" => Words::Stem,
        _ => {
            // One digit: `ngram04` would not print as it was written.
            let (name, digit) = words.split_at_checked(words.len().checked_sub(1)?)?;
            let gram = Gram::new(digit.parse().ok()?)?;
            match name {
                "prefix" => Words::Prefix(gram),
                "ngram" => Words::Ngrams(gram),
                "word+ngram" => Words::WholeAndNgrams(gram),
                "stem+ngram" => Words::StemAndNgrams(gram),
                _ => return None,
            }
        }
    };
    Some(Analysis { spelling, words, runs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn candidates_begin_with_the_default_and_are_all_different() {
        for language in ["en", "sw", "zh", "th", "ko", "und", "ar", "te"] {
            let all = Analysis::candidates(language);
            assert_eq!(all[0], super::super::Version::NEWEST.analysis(language));
            assert!(all.len() > 3, "{all:?}");
            for (at, one) in all.iter().enumerate() {
                assert!(!all[..at].contains(one), "{language} {one}");
            }
        }
    }

    #[test]
    fn what_names_no_analysis_is_refused_with_what_does() {
        for written in ["", "words", "ngram", "ngram0", "ngram12", "stem/", "stem/words", "éngram"]
        {
            let error = written.parse::<Analysis>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{written}`")) && error.contains("word+ngramN"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_analysis_that_prints_alike_or_an_error(
            written in "(loose-)?(word|stem|prefix|ngram|word\\+ngram|stem\\+ngram)[0-9é]?(/(pairs|singles|icu|x))?|\\PC{0,9}",
        ) {
            if let Ok(analysis) = written.parse::<Analysis>() {
                let printed = analysis.to_string();
                prop_assert_eq!(written.strip_suffix("/pairs").unwrap_or(&written), &printed);
                prop_assert_eq!(printed.parse(), Ok(analysis));
            }
        }
    }
}

//! Which analysis each language has by default.
//!
//! `tdense eval bm25` measures it, on XQuAD-R, TyDiQA-GoldP and NTREX's headlines; docs/bm25.md tells what came out.
//! One n was taken for all, 4, so that it is not tuned to one language's queries. A language has n-grams
//! beside its words or stems where that
//!
//! - is better by a significant difference on one collection and worse on none: ar bn de fi sw te tr; or
//! - is better on each of at least two collections, by .01 in their mean: el hi ru; or
//! - is better on the only collection there is, where the language has no stemmer. Each of those
//!   differences alone could be chance; over NTREX's languages without a stemmer it is +.019 in the mean, those
//!   that lose by it included.
//!
//! Chinese has single characters beside pairs by the first rule. Words found by dictionaries and models
//! (`icu`) were no better than pairs anywhere. Where nothing was measured nothing was changed.

use super::plan::{Analysis, Gram, Runs, Words};
use super::stem;

pub(super) fn second(language: &str) -> Analysis {
    let plain = if stem::stemmer(language).is_some() { Analysis::STEM } else { Analysis::WORD };
    let words = match language {
        "ar" | "de" | "el" | "fi" | "hi" | "ru" | "tr" => Words::StemAndNgrams(Gram::FOUR),
        "am" | "bn" | "cs" | "et" | "fa" | "ha" | "he" | "ka" | "mr" | "pl" | "so" | "sw"
        | "te" | "uk" | "zu" => Words::WholeAndNgrams(Gram::FOUR),
        _ => plain.words,
    };
    let runs = if language == "zh" { Runs::Both } else { plain.runs };
    Analysis { words, runs, ..plain }
}

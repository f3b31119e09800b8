//! Text to BM25 terms, by language: the one place that decides which words meet.
//!
//! Invariant: a document and a query in the same language go through the same steps, so a word
//! finds itself.
//!
//! Left out on purpose: stop words (BM25 weighs them down by itself).

mod defaults;
mod fold;
mod loose;
mod plan;
mod segment;
mod stem;
mod steps;

use std::collections::BTreeMap;

use dense_plugin::LanguageTag;
use tantivy::Term;
use tantivy::query::{
    BooleanQuery, BoostQuery, DisjunctionMaxQuery, EmptyQuery, Occur, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::{PreTokenizedString, Token};

use fold::{Casing, fold};
use segment::{Piece, pieces};
use steps::Steps;

pub use plan::{Analysis, AnalysisError, Gram, Runs, Spelling, Words};

/// Longest term in bytes; the rest of a longer word is cut off, in documents and queries alike.
/// Longer ones are no words (Tantivy itself drops terms above 65,530 bytes).
const LONGEST_TERM: usize = 200;

/// Which analysis each language has; a later one may find other documents.
///
/// An index keeps the version that its terms were made by, so older indexes go on to be searched by
/// theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// Stems where there is a stemmer, and pairs, in every language.
    First,
    /// For each language what was measured to be best on several collections. The default.
    #[default]
    Second,
}

impl Version {
    /// That of new indexes.
    pub const NEWEST: Self = Self::Second;

    /// How the texts of a language (as in `sw`) are analysed.
    pub fn analysis(self, language: &str) -> Analysis {
        match self {
            Self::First => Analysis::STEM,
            Self::Second => defaults::second(language),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    Version(Version),
    /// One for all languages.
    Only(Analysis),
}

/// Turns texts into terms and queries, each by the steps of its language.
///
/// Every text: words between spaces and punctuation, with their combining marks, and runs of characters
/// in scripts without spaces, whatever the language tag says; Unicode compatibility forms and case
/// folded. What then becomes of words and runs is the language's [`Analysis`].
///
/// ```
/// use tantivy_dense_indexer::Analyzers;
///
/// let analyzers = Analyzers::default();
/// let terms = |language: &str, text| -> Result<Vec<String>, Box<dyn std::error::Error>> {
///     let tokens = analyzers.analyze(&language.parse()?, text).tokens;
///     Ok(tokens.into_iter().map(|token| token.text).collect())
/// };
/// assert_eq!(terms("en", "Searching the Libraries")?, ["search", "the", "librari"]);
/// assert_eq!(terms("zh", "用Rust搜索")?, ["用", "rust", "搜", "搜索", "索"]);
/// assert_eq!(terms("sw", "bahari")?, ["bahari", "__bah", "_baha", "_ahar", "_hari", "_ari_"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Analyzers {
    choice: Choice,
}

impl Default for Analyzers {
    fn default() -> Self {
        Self::version(Version::NEWEST)
    }
}

impl Analyzers {
    /// Those of a version.
    pub fn version(version: Version) -> Self {
        Self { choice: Choice::Version(version) }
    }

    /// One analysis for all languages, to compare it with others.
    pub fn only(analysis: Analysis) -> Self {
        Self { choice: Choice::Only(analysis) }
    }

    /// The terms of a text, with their place in it in bytes: that of the whole word where a term is
    /// part of one.
    pub fn analyze(&self, language: &LanguageTag, text: &str) -> PreTokenizedString {
        let steps = Steps::of(language, self.choice);
        let mut tokens = Vec::new();
        let mut push = |from: usize, to: usize, text: String| {
            if !text.is_empty() {
                let position = tokens.len();
                tokens.push(Token {
                    offset_from: from,
                    offset_to: to,
                    position,
                    text,
                    position_length: 1,
                });
            }
        };
        for piece in pieces(text) {
            match piece {
                Piece::Word(word) => {
                    let place = word.clone();
                    steps.word(&text[word], |term| push(place.start, place.end, term));
                }
                Piece::Run(characters) => {
                    for part in steps.run(text, &characters) {
                        push(part.start, part.end, cut(fold(&text[part], Casing::Common)));
                    }
                }
            }
        }
        PreTokenizedString { text: text.to_owned(), tokens }
    }

    /// Documents that hold any term of a text, scored by BM25. A term that the text repeats counts
    /// as often. A text without terms finds nothing.
    ///
    /// A query whose language is not known (`und`) is not stemmed, so it misses the other forms of
    /// a word in documents whose language has a stemmer.
    pub fn query(&self, field: Field, language: &LanguageTag, text: &str) -> Box<dyn Query> {
        let mut counts = BTreeMap::<String, u16>::new();
        for token in self.analyze(language, text).tokens {
            let count = counts.entry(token.text).or_default();
            *count = count.saturating_add(1);
        }
        if counts.is_empty() {
            return Box::new(EmptyQuery);
        }
        let clauses = counts.into_iter().map(|(text, count)| {
            let term = Term::from_field_text(field, &text);
            let query: Box<dyn Query> =
                Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
            let query =
                if count == 1 { query } else { Box::new(BoostQuery::new(query, count.into())) };
            (Occur::Should, query)
        });
        Box::new(BooleanQuery::new(clauses.collect()))
    }

    /// The same where the text may be in any of these languages: a document's score is that in the
    /// language it scores best in.
    pub fn query_in_any<'a>(
        &self,
        field: Field,
        languages: impl IntoIterator<Item = &'a LanguageTag>,
        text: &str,
    ) -> Box<dyn Query> {
        let queries = languages.into_iter().map(|language| self.query(field, language, text));
        Box::new(DisjunctionMaxQuery::new(queries.collect()))
    }
}

fn cut(mut term: String) -> String {
    if term.len() > LONGEST_TERM {
        term.truncate(term.floor_char_boundary(LONGEST_TERM));
    }
    term
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn analyze(language: &str, text: &str) -> Vec<Token> {
        Analyzers::default().analyze(&language.parse().unwrap(), text).tokens
    }

    fn terms(language: &str, text: &str) -> Vec<String> {
        analyze(language, text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_of_a_language_with_a_stemmer_meet_in_their_stem() {
        for (language, one, other) in [
            ("en", "Libraries", "library"),
            ("de-AT", "Häuser", "Häusern"),
            ("ru", "книги", "книгами"),
            ("ar", "الكتاب", "كتاب"),
            ("fi", "talossa", "talon"),
            ("el", "ηφαίστεια", "ηφαίστειο"),
            ("tr", "Irmaklar", "ırmak"),
            ("hi", "किताबें", "किताब"),
        ] {
            assert_eq!(terms(language, one), terms(language, other), "{one} {other}");
        }
        assert_ne!(terms("und", "Libraries"), terms("und", "library"));
    }

    #[test]
    fn scripts_without_spaces_are_looked_up_in_pairs() {
        assert_eq!(terms("zh", "东京在"), ["东", "东京", "京", "京在", "在"]);
        assert_eq!(terms("ja", "ラーメン"), ["ラー", "ーメ", "メン"]);
        assert_eq!(terms("ko", "서울은 큰"), ["서울", "울은", "큰"]);
        assert_eq!(terms("th", "ที่นี่"), ["ที่นี่"]);
        // Whatever the language tag says, and beside words that are looked up whole.
        assert_eq!(terms("en", "Sony索尼公司 2015"), ["soni", "索尼", "尼公", "公司", "2015"]);
    }

    fn terms_by(analysis: &str, language: &str, text: &str) -> Vec<String> {
        let analyzers = Analyzers::only(analysis.parse().unwrap());
        let tokens = analyzers.analyze(&language.parse().unwrap(), text).tokens;
        tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn the_first_version_has_stems_and_pairs_in_every_language() {
        for (language, written) in [("zh", "word"), ("sw", "word"), ("en", "stem"), ("ar", "stem")]
        {
            let first = Analyzers::version(Version::First);
            for text in ["Libraries 东京在", "كتاب"] {
                let terms: Vec<String> = first
                    .analyze(&language.parse().unwrap(), text)
                    .tokens
                    .into_iter()
                    .map(|token| token.text)
                    .collect();
                assert_eq!(terms, terms_by(written, language, text), "{language} {text}");
            }
        }
    }

    #[test]
    fn an_analysis_does_what_its_name_says() {
        for (analysis, language, text, wanted) in [
            ("word", "en", "Libraries", "libraries"),
            ("stem", "en", "Libraries", "librari"),
            ("prefix4", "en", "Libraries of", "libr of"),
            ("ngram4", "en", "talo on", "__tal _talo _alo_ __on_"),
            ("ngram3", "en", "a", "__a_"),
            ("word+ngram5", "sw", "maji", "maji __maji _maji_"),
            ("stem+ngram4", "en", "cats", "cat __cat _cat_"),
            ("loose-word", "yo", "Ọ̀rọ̀", "oro"),
            ("loose-ngram3", "vi", "tiếng", "__ti _tie _ien _eng _ng_"),
            ("word/singles", "zh", "东京", "东 京"),
            ("word/singles+pairs", "zh", "东京在", "东 东京 京 京在 在"),
            ("word/icu", "zh", "NFL总部在北京", "nfl 总部 在 北京"),
        ] {
            assert_eq!(terms_by(analysis, language, text).join(" "), wanted, "{analysis} {text}");
        }
    }

    #[test]
    fn a_word_that_is_too_long_is_cut_alike_in_documents_and_queries() {
        let long = "x".repeat(100_000);
        assert_eq!(terms("und", &long), ["x".repeat(LONGEST_TERM)]);
        assert_eq!(terms("und", &long), terms("und", &format!("{long}y")));
    }

    #[test]
    fn a_query_counts_a_term_as_often_as_it_is_said() {
        let field = Field::from_field_id(0);
        let query = |text| {
            let english = "en".parse().unwrap();
            format!("{:?}", Analyzers::default().query(field, &english, text))
        };
        assert_eq!(query(""), format!("{EmptyQuery:?}"));
        assert_eq!(query("?!"), format!("{EmptyQuery:?}"));
        assert!(query("to be or not to be").contains("boost=2"), "{}", query("to be to"));
        assert!(!query("to be").contains("boost"), "{}", query("to be"));
    }

    proptest! {
        #[test]
        fn tokens_of_any_text_lie_in_it_in_order(
            text in "\\PC{0,40}|[a-zİIß一-龥ก-๎가-힣\u{300}\u{200d}0-9 ]{0,40}",
            language in prop::sample::select(vec!["en", "tr", "ar", "zh", "th", "el", "und", "hi"]),
            analysis in prop::sample::select(vec![
                "stem", "prefix2", "ngram2", "loose-stem+ngram4/icu", "word/singles+pairs",
            ]),
        ) {
            let mut before = 0;
            let analyzers = Analyzers::only(analysis.parse().unwrap());
            let tokens = analyzers.analyze(&language.parse().unwrap(), &text).tokens;
            for (position, token) in tokens.into_iter().enumerate() {
                prop_assert_eq!(token.position, position);
                prop_assert!(!token.text.is_empty() && token.text.len() <= LONGEST_TERM);
                prop_assert!(token.offset_from >= before && token.offset_from < token.offset_to);
                prop_assert!(text.get(token.offset_from..token.offset_to).is_some());
                before = token.offset_from;
            }
        }

        #[test]
        fn writing_a_word_in_capitals_changes_nothing(
            word in "[a-zа-яα-ωé]{1,10}",
            language in prop::sample::select(vec!["en", "de", "ru", "el", "sw", "und"]),
        ) {
            prop_assert_eq!(terms(language, &word.to_uppercase()), terms(language, &word));
        }
    }
}

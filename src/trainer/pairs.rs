//! Training pairs: a question and a passage that answers it.
//!
//! A pair file is JSON lines, plain, gzip or Zstandard:
//!
//! | field | also called | |
//! | --- | --- | --- |
//! | `query`, `positive` | `pos` | the texts; neither may be empty |
//! | `query_lang`, `passage_lang` | `lq`, `lp` | their languages; or `lang` for both |
//! | `negatives` | | passages that do not answer the question, in the passage's language |
//! | `source` | `src` | where the row comes from; default: the file's name |
//! | `licence` | `license` | SPDX expression |
//! | `question_id`, `passage_id` | | rows that share one are never each other's negatives |
//! | `document_id` | `title` | what a development set takes whole; default: the passage |
//!
//! Other fields are passed over.
//!
//! Invariant: a pair that was read has two texts and two languages.

use std::path::Path;
use std::sync::Arc;

use dense_plugin::LanguageTag;
use serde::Deserialize;

use super::corpus::{NewSet, Wording};
use super::lines::{LineError, OnBadLine, ReadError, each_row};
use super::sources::{Found, Tags};
use super::text::TextKey;

/// A question, a passage that answers it, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What is asked.
    pub query: String,
    /// What answers it.
    pub positive: String,
    /// What does not, in the positive's language.
    pub negatives: Vec<String>,
    /// The query's language.
    pub query_language: LanguageTag,
    /// The passages' language.
    pub passage_language: LanguageTag,
    /// Where it comes from.
    pub source: String,
    /// SPDX expression of its licence, where the file says it.
    pub licence: Option<String>,
    /// The source's name for the question.
    pub question_id: Option<String>,
    /// The source's name for the passage.
    pub passage_id: Option<String>,
    /// The source's name for the document that the passage is from.
    pub document_id: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    query: String,
    #[serde(alias = "pos")]
    positive: String,
    #[serde(default)]
    negatives: Vec<String>,
    #[serde(alias = "lq")]
    query_lang: Option<String>,
    #[serde(alias = "lp")]
    passage_lang: Option<String>,
    lang: Option<String>,
    #[serde(alias = "src")]
    source: Option<String>,
    #[serde(alias = "license")]
    licence: Option<String>,
    question_id: Option<String>,
    passage_id: Option<String>,
    #[serde(alias = "title")]
    document_id: Option<String>,
}

impl Pair {
    /// Reads a file of pairs; gives how many lines were left out.
    ///
    /// # Errors
    /// [`ReadError`]: the file cannot be read, or holds a line that is no pair and `on_bad` refuses it.
    pub fn read(
        file: &Path,
        on_bad: OnBadLine,
        mut take: impl FnMut(Self),
    ) -> Result<usize, ReadError> {
        let named = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let named = named.unwrap_or_default();
        let named = named.split('.').next().unwrap_or_default();
        let mut tags = Tags::default();
        each_row(file, on_bad, |row| {
            take(Self::of(row, named, &mut tags)?);
            Ok(())
        })
    }

    fn of(row: Row, file: &str, tags: &mut Tags) -> Result<Self, LineError> {
        for (field, text) in [("query", &row.query), ("positive", &row.positive)] {
            if text.trim().is_empty() {
                return Err(LineError::Empty { field });
            }
        }
        let mut language = |field, given: Option<String>| {
            let given = given.or_else(|| row.lang.clone()).unwrap_or_default();
            tags.parse(&given).ok_or(LineError::Language { field, given })
        };
        let some = |id: Option<String>| id.filter(|id| !id.is_empty());
        Ok(Self {
            query_language: language("query_lang", row.query_lang)?,
            passage_language: language("passage_lang", row.passage_lang)?,
            query: row.query,
            positive: row.positive,
            negatives: row.negatives,
            source: some(row.source).unwrap_or_else(|| file.to_owned()),
            licence: some(row.licence),
            question_id: some(row.question_id),
            passage_id: some(row.passage_id),
            document_id: some(row.document_id),
        })
    }

    /// The pair as a set of a corpus.
    pub(super) fn into_found(self) -> Found {
        let own =
            |kind: &str, id: Option<String>| id.map(|id| format!("{kind}/{}/{id}", self.source));
        let passage = TextKey::of(&self.positive).number();
        let wording = |language: &LanguageTag, text| Wording { language: language.clone(), text };
        let negatives =
            self.negatives.into_iter().map(|text| wording(&self.passage_language, text));
        Found {
            set: NewSet {
                negatives: negatives.collect(),
                question: own("question", self.question_id),
                passage: own("passage", self.passage_id),
                document: own("document", self.document_id)
                    .unwrap_or_else(|| format!("{passage:x}")),
                queries: Arc::new([wording(&self.query_language, self.query)]),
                passages: Arc::new([wording(&self.passage_language, self.positive)]),
            },
            source: self.source,
            licence: self.licence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn read(bytes: &[u8], on_bad: OnBadLine) -> Result<(Vec<Pair>, usize), ReadError> {
        let mut file = tempfile::Builder::new().prefix("mine.").tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut pairs = Vec::new();
        let bad = Pair::read(file.path(), on_bad, |pair| pairs.push(pair))?;
        Ok((pairs, bad))
    }

    const OURS: &str =
        r#"{"query": "q", "positive": "p", "negatives": ["n"], "lang": "sw", "question_id": "1"}"#;
    const THEIRS: &str = r#"{"src": "s", "licence": "MIT", "lq": "zh_TW", "lp": "eng", "split": "dev", "query": "q", "pos": "p", "title": ""}"#;

    #[test]
    fn both_ways_to_name_the_fields_are_read() {
        let (pairs, bad) =
            read(format!("\u{feff}{OURS}\n\n{THEIRS}\r\n").as_bytes(), OnBadLine::Refuse).unwrap();
        assert_eq!((pairs.len(), bad), (2, 0));
        assert_eq!((pairs[0].source.as_str(), pairs[0].query_language.as_str()), ("mine", "sw"));
        assert_eq!(
            (&*pairs[0].negatives, pairs[0].question_id.as_deref()),
            (&["n".to_owned()][..], Some("1"))
        );
        assert_eq!(
            (pairs[1].query_language.as_str(), pairs[1].passage_language.as_str()),
            ("zh-TW", "en")
        );
        assert_eq!(
            (pairs[1].document_id.as_deref(), pairs[1].licence.as_deref()),
            (None, Some("MIT"))
        );
    }

    #[test]
    fn packed_files_are_unpacked() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(OURS.as_bytes()).unwrap();
        let zst = zstd::encode_all(OURS.as_bytes(), 0).unwrap();
        for bytes in [gz.finish().unwrap(), zst] {
            assert_eq!(read(&bytes, OnBadLine::Refuse).unwrap().0.len(), 1);
        }
    }

    #[test]
    fn a_bad_line_is_named_or_counted() {
        let text = format!(
            "{OURS}\n{{\"query\": \"q\", \"positive\": \" \", \"lang\": \"sw\"}}\n\n{{}}\n"
        );
        let error = read(text.as_bytes(), OnBadLine::Refuse).unwrap_err();
        let ReadError::Line { line: 2, source, .. } = error else { panic!("{error:?}") };
        assert_eq!(source.to_string(), "`positive` is empty");
        let (pairs, bad) = read(text.as_bytes(), OnBadLine::Skip).unwrap();
        assert_eq!((pairs.len(), bad), (1, 2));
        let no_language = r#"{"query": "q", "positive": "p", "lq": "sw"}"#;
        assert!(read(no_language.as_bytes(), OnBadLine::Refuse).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, OnBadLine::Skip);
            let _ = read(&bytes, OnBadLine::Refuse);
        }
    }
}

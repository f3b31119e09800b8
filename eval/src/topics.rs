//! What is searched for, and files of it.

use std::collections::HashSet;
use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::beir;
use crate::input::{self, LineError, ReadError};
use crate::records::{Record, once};
use crate::tsv::Table;

/// One information need, as its collection words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// The collection's name for it, as judgements and runs use it.
    pub id: String,
    /// The query.
    pub text: String,
    /// The language of the text, as the collection writes it.
    pub language: Option<String>,
    /// What topics share that ask the same in several languages.
    pub group: Option<String>,
}

impl Topic {
    /// Reads a file of topics: JSON lines as BEIR has them (`id` will do for `_id`), a table as
    /// `queries.tsv`, or one query a line, whose id is the number of its line. The first line that is not
    /// blank says which: JSON begins with `{`, a table has a tab. Plain, gzip or Zstandard.
    ///
    /// ```
    /// # use tantivy_dense_eval::Topic;
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("queries.jsonl");
    /// std::fs::write(&file, r#"{"id": 7, "text": "Wie kocht man Tee?", "lang": "de"}"#)?;
    /// let topics = Topic::read(&file)?;
    /// assert_eq!((topics[0].id.as_str(), topics[0].language.as_deref()), ("7", Some("de")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong or has an id that was there.
    pub fn read(file: &Path) -> Result<Vec<Self>, ReadError> {
        Self::read_lines(input::open(file)?, file)
    }

    /// Reads topics as [`Topic::read`] does; `named` stands for the file in errors.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong or has an id that was there.
    pub fn read_from(input: impl Read, named: &Path) -> Result<Vec<Self>, ReadError> {
        let input = input::unpacked(input)
            .map_err(|source| ReadError::Io { file: named.to_owned(), source })?;
        Self::read_lines(input, named)
    }

    fn read_lines(input: impl BufRead, file: &Path) -> Result<Vec<Self>, ReadError> {
        let (mut layout, mut seen, mut topics) = (None, HashSet::new(), Vec::new());
        input::each_line(input, file, |number, line| {
            let record = match layout.get_or_insert_with(|| Layout::of(line)) {
                Layout::Json => Some(json(line)?),
                Layout::Table(table) => table.record(line)?,
                Layout::Plain => {
                    let (id, text) = (number.to_string(), line.trim().to_owned());
                    Some(Record { id, text, ..Record::default() })
                }
            };
            let Some(Record { id, text, language, group, .. }) = record else { return Ok(()) };
            once(&mut seen, &id)?;
            topics.push(Self { id, text, language, group });
            Ok(())
        })?;
        Ok(topics)
    }
}

/// How a file holds topics.
enum Layout {
    Json,
    Table(Table),
    Plain,
}

impl Layout {
    fn of(line: &str) -> Self {
        if line.trim_start().starts_with('{') {
            Self::Json
        } else if line.contains('\t') {
            Self::Table(Table::default())
        } else {
            Self::Plain
        }
    }
}

fn json(line: &str) -> Result<Record, LineError> {
    let read = |line| -> serde_json::Result<beir::Line> {
        let mut object: Map<String, Value> = serde_json::from_str(line)?;
        if let Some(id) = object.remove("id") {
            object.entry("_id").or_insert(id);
        }
        serde_json::from_value(Value::Object(object))
    };
    Ok(read(line).map_err(|source| LineError::Json { source })?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::error::Error as _;

    fn read(text: &str) -> Result<Vec<Topic>, ReadError> {
        Topic::read_from(text.as_bytes(), "q".as_ref())
    }

    fn topic(id: &str, text: &str, language: Option<&str>) -> Topic {
        let (id, text, language) = (id.to_owned(), text.to_owned(), language.map(str::to_owned));
        Topic { id, text, language, group: None }
    }

    #[test]
    fn json_lines_tables_and_plain_lines_are_told_apart_by_their_first_line() {
        let json = "\n{\"_id\": \"a\", \"text\": \"nini?\", \"lang\": \"sw\"}\n{\"id\": 2, \"text\": \"b\"}\n";
        assert_eq!(read(json).unwrap(), [topic("a", "nini?", Some("sw")), topic("2", "b", None)]);
        let table = "qid\tquery\tlang\n7\twas?\tde\n8\tno\t\n";
        assert_eq!(read(table).unwrap(), [topic("7", "was?", Some("de")), topic("8", "no", None)]);
        assert_eq!(read("7\twas?\n").unwrap(), [topic("7", "was?", None)]);
        let plain = "tides\n\n  what is {this}?\ta tab \n";
        assert_eq!(
            read(plain).unwrap(),
            [topic("1", "tides", None), topic("3", "what is {this}?\ta tab", None)]
        );
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line, cause) in [
            ("{\"_id\": \"a\", \"text\": \"b\"}\nplain\n", 2, "not a JSON object"),
            ("{\"text\": \"b\"}\n", 1, "not a JSON object"),
            ("1\ta\n1\tb\n", 2, "`1` is here a second time"),
            ("1\ta\nb\n", 2, "has 1 columns"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.to_string(), format!("q, line {line}"));
            assert!(error.source().unwrap().to_string().contains(cause), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([{}a\t\n\":]{0,3}[id_x]{0,3}){0,20}") {
            let _ = read(&text);
        }
    }
}

//! Judgements: how relevant a passage is to a topic, where somebody looked.
//!
//! Invariant: a topic grades a passage once.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;

use crate::input::{self, LineError, ReadError};

/// Grades by topic and passage. From grade 1 on a passage is relevant; 0 and less is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qrels {
    topics: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Qrels {
    /// No judgements yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one judgement; the same one a second time changes nothing.
    ///
    /// # Errors
    /// [`QrelsError`] if the topic grades the passage otherwise already.
    pub fn insert(
        &mut self,
        topic: impl Into<String>,
        id: impl Into<String>,
        grade: i32,
    ) -> Result<(), QrelsError> {
        let (topic, id) = (topic.into(), id.into());
        match self.grade(&topic, &id) {
            Some(first) if first != grade => Err(QrelsError { topic, id, first, second: grade }),
            _ => {
                self.topics.entry(topic).or_default().insert(id, grade);
                Ok(())
            }
        }
    }

    /// The grade of a passage; `None` if nobody judged it for this topic.
    pub fn grade(&self, topic: &str, id: &str) -> Option<i32> {
        self.topics.get(topic)?.get(id).copied()
    }

    /// The topics that have judgements, in the order of their ids.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Whether anything is judged for this topic.
    pub fn has(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// The judgements of a topic, in the order of the external ids.
    pub fn of(&self, topic: &str) -> impl Iterator<Item = (&str, i32)> {
        let judged = self.topics.get(topic).into_iter().flatten();
        judged.map(|(id, &grade)| (id.as_str(), grade))
    }

    /// How many judgements there are, over all topics.
    pub fn judgements(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// Reads judgements, plain, gzip or Zstandard: TREC's `topic iteration id grade`, or BEIR's
    /// `topic id grade` in columns parted by tabs, with or without its heading.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read(file: &Path) -> Result<Self, ReadError> {
        Self::read_lines(input::open(file)?, file)
    }

    /// Reads judgements as [`Qrels::read`] does; `named` stands for the file in errors.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read_from(input: impl Read, named: &Path) -> Result<Self, ReadError> {
        let input = input::unpacked(input)
            .map_err(|source| ReadError::Io { file: named.to_owned(), source })?;
        Self::read_lines(input, named)
    }

    fn read_lines(input: impl BufRead, file: &Path) -> Result<Self, ReadError> {
        let mut topics: BTreeMap<String, Vec<Judgement>> = BTreeMap::new();
        // Lines of a topic mostly stand together, and are then looked up once.
        let mut open: (String, Vec<Judgement>) = Default::default();
        let mut first = true;
        input::each_line(input, file, |number, line| {
            let heading = std::mem::take(&mut first) && is_heading(line);
            if heading {
                return Ok(());
            }
            let (topic, id, grade) = columns(line)?;
            if open.0 != topic {
                let (topic, judged) = std::mem::replace(&mut open, (topic.to_owned(), Vec::new()));
                topics.entry(topic).or_default().extend(judged);
            }
            open.1.push(Judgement { id: id.to_owned(), grade, line: number });
            Ok(())
        })?;
        topics.entry(open.0).or_default().extend(open.1);
        topics.retain(|_, judged| !judged.is_empty());
        let mut wrong: Option<(usize, LineError)> = None;
        for (topic, judged) in &mut topics {
            judged.sort_by(|a, b| a.id.cmp(&b.id).then(a.line.cmp(&b.line)));
            let conflicts =
                judged.array_windows().filter(|[a, b]| a.id == b.id && a.grade != b.grade);
            if let Some([a, b]) = conflicts.min_by_key(|[_, b]| b.line)
                && wrong.as_ref().is_none_or(|(line, _)| b.line < *line)
            {
                let (topic, id) = (topic.clone(), b.id.clone());
                wrong = Some((
                    b.line,
                    LineError::Conflict { topic, id, first: a.grade, second: b.grade },
                ));
            }
        }
        if let Some((line, source)) = wrong {
            return Err(ReadError::line(file, line, source));
        }
        let graded = |judged: Vec<Judgement>| judged.into_iter().map(|j| (j.id, j.grade)).collect();
        Ok(Self { topics: topics.into_iter().map(|(topic, j)| (topic, graded(j))).collect() })
    }
}

/// A line of judgements.
struct Judgement {
    id: String,
    grade: i32,
    line: usize,
}

/// BEIR's heading. A judgement of the same shape would end in a number.
fn is_heading(line: &str) -> bool {
    line.split('\t').eq(["query-id", "corpus-id", "score"])
}

fn columns(line: &str) -> Result<(&str, &str, i32), LineError> {
    let mut by_tabs = line.split('\t').map(str::trim);
    let by_tabs = (by_tabs.next(), by_tabs.next(), by_tabs.next(), by_tabs.next());
    let (topic, id, grade) = if let (Some(topic), Some(id), Some(grade), None) = by_tabs {
        (topic, id, grade)
    } else {
        let mut columns = line.split_ascii_whitespace();
        let mut next = || columns.next();
        let (Some(topic), Some(_), Some(id), Some(grade), None) =
            (next(), next(), next(), next(), next())
        else {
            let wanted = "topic iteration id grade, or topic id grade parted by tabs";
            let found = line.split_ascii_whitespace().count();
            return Err(LineError::Columns { wanted, found });
        };
        (topic, id, grade)
    };
    let number = grade.parse();
    let number = number.map_err(|_| LineError::Number { wanted: "grade", text: grade.into() })?;
    Ok((topic, id, number))
}

/// Two judgements that disagree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic `{topic}` grades `{id}` {first} and {second}")]
pub struct QrelsError {
    topic: String,
    id: String,
    first: i32,
    second: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Qrels, ReadError> {
        Qrels::read_from(text.as_bytes(), "qrels/test.tsv".as_ref())
    }

    #[test]
    fn trec_and_beir_say_the_same() {
        let trec = read("q1 0 a 1\nq1 0 b -1\nq2\t0\ta\t2\n").unwrap();
        let beir = read("query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t-1\nq2\ta\t2\n").unwrap();
        assert_eq!(trec, beir);
        assert_eq!(trec, read("q1\ta\t1\nq1\tb\t-1\nq2\ta\t2").unwrap());
        assert_eq!(trec.judgements(), 3);
        assert_eq!(trec.grade("q2", "a"), Some(2));
        assert_eq!(trec.grade("q2", "b"), None);
    }

    #[test]
    fn beir_ids_may_hold_spaces() {
        let qrels = read("query-id\tcorpus-id\tscore\nq 1\ta passage\t1\n").unwrap();
        assert_eq!(qrels.of("q 1").collect::<Vec<_>>(), [("a passage", 1)]);
    }

    #[test]
    fn a_wrong_line_is_named_with_its_file() {
        for (text, message) in [
            ("q1 0 a yes\n", "`yes` is no grade"),
            ("q1 0 a 1.5\n", "`1.5` is no grade"),
            (
                "q1 a 1\n",
                "the line has 3 columns where `topic iteration id grade, or topic id grade \
                 parted by tabs` is wanted",
            ),
            ("q 0 a 2\n", "topic `q` grades `a` 2 here and 1 before: remove one of the two"),
        ] {
            let error = read(&format!("q 0 a 1\nq 0 a 1\n{text}")).unwrap_err();
            assert_eq!(error.to_string(), "qrels/test.tsv, line 3");
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judgements_or_refused(text in "([a-c0-9-]{1,3}[ \t\n]{1,2}){0,30}") {
            let _ = read(&text);
        }

        #[test]
        fn any_bytes_are_judgements_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Qrels::read_from(&bytes[..], "f".as_ref());
        }
    }
}

//! Judgements: how relevant a passage is to a topic, where somebody looked.
//!
//! Invariant: a topic grades a passage once, and its judgements are in the order of the external ids.

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use memchr::memchr;

use crate::input::{self, LineError, ReadError};
use crate::run::next_column;
use crate::stream::blocks;

/// Grades by topic and passage. From grade 1 on a passage is relevant; 0 and less is not.
#[derive(Clone, Debug, Default)]
pub struct Qrels {
    topics: BTreeMap<String, Judged>,
}

/// The judgements of a topic. Its external ids are one text: reading a hundred thousand of them
/// would else be that many allocations.
#[derive(Clone, Debug, Default)]
struct Judged {
    ids: String,
    judgements: Vec<Judgement>,
}

#[derive(Clone, Copy, Debug)]
struct Judgement {
    /// Where the id is.
    start: usize,
    end: usize,
    grade: i32,
}

impl Judged {
    fn id(&self, judgement: &Judgement) -> &str {
        &self.ids[judgement.start..judgement.end]
    }

    /// Where an id is, or would be.
    fn find(&self, id: &str) -> Result<usize, usize> {
        self.judgements.binary_search_by(|judgement| self.id(judgement).cmp(id))
    }

    fn push(&mut self, id: &str, grade: i32) {
        self.insert(self.judgements.len(), id, grade);
    }

    fn insert(&mut self, at: usize, id: &str, grade: i32) {
        let start = self.ids.len();
        self.ids.push_str(id);
        self.judgements.insert(at, Judgement { start, end: self.ids.len(), grade });
    }

    fn iter(&self) -> impl Iterator<Item = (&str, i32)> {
        self.judgements.iter().map(|judgement| (self.id(judgement), judgement.grade))
    }
}

impl PartialEq for Judged {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl PartialEq for Qrels {
    fn eq(&self, other: &Self) -> bool {
        self.topics == other.topics
    }
}

impl Eq for Qrels {}

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
            Some(_) => Ok(()),
            None => {
                let judged = self.topics.entry(topic).or_default();
                let at = judged.find(&id).unwrap_or_else(|at| at);
                judged.insert(at, &id, grade);
                Ok(())
            }
        }
    }

    /// The grade of a passage; `None` if nobody judged it for this topic.
    pub fn grade(&self, topic: &str, id: &str) -> Option<i32> {
        let judged = self.topics.get(topic)?;
        Some(judged.judgements[judged.find(id).ok()?].grade)
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
        self.topics.get(topic).into_iter().flat_map(Judged::iter)
    }

    /// How many judgements there are, over all topics.
    pub fn judgements(&self) -> usize {
        self.topics.values().map(|judged| judged.judgements.len()).sum()
    }

    /// Keeps the judgements of which topic and external id are wanted, and the topics that have some.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str, &str) -> bool) {
        self.topics.retain(|topic, judged| {
            let Judged { ids, judgements } = judged;
            judgements.retain(|judgement| wanted(topic, &ids[judgement.start..judgement.end]));
            !judgements.is_empty()
        });
    }

    /// Reads judgements, plain, gzip or Zstandard: TREC's `topic iteration id grade`, or BEIR's
    /// `topic id grade` in columns parted by tabs, with or without its heading.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read(file: &Path) -> Result<Self, ReadError> {
        Self::read_on(file, NonZeroUsize::MIN)
    }

    /// Reads judgements as [`Qrels::read`] does, on `threads` threads.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read_on(file: &Path, threads: NonZeroUsize) -> Result<Self, ReadError> {
        Self::read_blocks(input::open(file)?, file, threads)
    }

    /// Reads judgements as [`Qrels::read`] does; `named` stands for the file in errors.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read_from(input: impl Read + Send, named: &Path) -> Result<Self, ReadError> {
        let input = input::unpacked(input)
            .map_err(|source| ReadError::Io { file: named.to_owned(), source })?;
        Self::read_blocks(input, named, NonZeroUsize::MIN)
    }

    fn read_blocks(
        input: impl Read + Send,
        file: &Path,
        threads: NonZeroUsize,
    ) -> Result<Self, ReadError> {
        let parts = blocks::on_threads(
            input,
            threads,
            || (),
            |(), number, block| {
                let part = Part::of(block, number == 0);
                match part.error {
                    None => ControlFlow::Continue(part),
                    Some(_) => ControlFlow::Break(part),
                }
            },
        );
        let parts = parts.map_err(|source| ReadError::Io { file: file.to_owned(), source })?;
        let mut runs: BTreeMap<String, Vec<Lines>> = BTreeMap::new();
        let mut before = 0;
        for part in parts {
            if let Some((line, source)) = part.error {
                return Err(ReadError::line(file, before + line, source));
            }
            for (topic, mut lines) in part.topics {
                lines.numbers.iter_mut().for_each(|number| *number += before);
                runs.entry(topic).or_default().push(lines);
            }
            before += part.lines;
        }
        let mut topics = Vec::with_capacity(runs.len());
        let mut wrong: Option<(usize, LineError)> = None;
        for (topic, runs) in runs {
            match Lines::graded(runs) {
                Ok(judged) => topics.push((topic, judged)),
                Err(Conflict { line, id, first, second }) => {
                    if wrong.as_ref().is_none_or(|(earlier, _)| line < *earlier) {
                        wrong = Some((line, LineError::Conflict { topic, id, first, second }));
                    }
                }
            }
        }
        match wrong {
            Some((line, source)) => Err(ReadError::line(file, line, source)),
            None => Ok(Self { topics: topics.into_iter().collect() }),
        }
    }
}

/// What is in a block. Lines count from 1, in the block.
#[derive(Default)]
struct Part {
    /// The topics, each as often as its lines are interrupted by others.
    topics: Vec<(String, Lines)>,
    /// How many lines there are, with blank ones.
    lines: usize,
    error: Option<(usize, LineError)>,
}

impl Part {
    fn of(block: &[u8], is_first: bool) -> Self {
        let (text, is_all) = blocks::text(block, is_first);
        let mut part = Self::default();
        let read = part.read(text, is_first);
        let no_text = (part.lines + 1, LineError::Utf8);
        part.error = read.err().or((!is_all).then_some(no_text));
        for (_, lines) in &mut part.topics {
            lines.sort();
        }
        part
    }

    fn read(&mut self, text: &str, is_first: bool) -> Result<(), (usize, LineError)> {
        let mut may_be_heading = is_first;
        for line in blocks::lines(text) {
            self.lines += 1;
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() {
                continue;
            }
            if std::mem::take(&mut may_be_heading) && is_heading(line) {
                continue;
            }
            let (topic, id, grade) = columns(line).map_err(|error| (self.lines, error))?;
            // Lines of a topic mostly stand together.
            if self.topics.last().is_none_or(|(last, _)| last != topic) {
                self.topics.push((topic.to_owned(), Lines::default()));
            }
            let (_, lines) = self.topics.last_mut().expect("one was pushed");
            lines.judged.push(id, grade);
            lines.numbers.push(self.lines);
        }
        Ok(())
    }
}

/// Lines of one topic: judgements in any order, perhaps twice, and where each stands in the file.
#[derive(Default)]
struct Lines {
    judged: Judged,
    numbers: Vec<usize>,
}

/// Two lines that disagree; the line is the later one's.
struct Conflict {
    line: usize,
    id: String,
    first: i32,
    second: i32,
}

impl Lines {
    /// Sorts by external id, then by line.
    fn sort(&mut self) {
        let Self { judged, numbers } = self;
        if judged.iter().is_sorted_by(|(a, _), (b, _)| a <= b) {
            return;
        }
        let mut lines: Vec<(Judgement, usize)> =
            judged.judgements.iter().copied().zip(numbers.iter().copied()).collect();
        lines.sort_unstable_by(|(a, line_a), (b, line_b)| {
            judged.id(a).cmp(judged.id(b)).then(line_a.cmp(line_b))
        });
        (judged.judgements, *numbers) = lines.into_iter().unzip();
    }

    /// Puts the sorted lines of a topic together, each passage once.
    fn graded(mut runs: Vec<Self>) -> Result<Judged, Conflict> {
        let mut all = if runs.len() == 1 { runs.remove(0) } else { Self::default() };
        if !runs.is_empty() {
            for Self { judged, numbers } in runs {
                judged.iter().for_each(|(id, grade)| all.judged.push(id, grade));
                all.numbers.extend(numbers);
            }
            all.sort();
        }
        let Self { judged, numbers } = all;
        let pairs = judged.judgements.array_windows().zip(numbers.iter().skip(1));
        let conflicts =
            pairs.filter(|([a, b], _)| a.grade != b.grade && judged.id(a) == judged.id(b));
        if let Some(([a, b], line)) = conflicts.min_by_key(|(_, line)| **line) {
            let (id, first, second) = (judged.id(b).to_owned(), a.grade, b.grade);
            return Err(Conflict { line: *line, id, first, second });
        }
        let Judged { ids, mut judgements } = judged;
        judgements.dedup_by(|b, a| ids[a.start..a.end] == ids[b.start..b.end]);
        Ok(Judged { ids, judgements })
    }
}

/// BEIR's heading. A judgement of the same shape would end in a number.
fn is_heading(line: &str) -> bool {
    line.split('\t').eq(["query-id", "corpus-id", "score"])
}

fn columns(line: &str) -> Result<(&str, &str, i32), LineError> {
    let (topic, id, grade) = if let Some(columns) = by_tabs(line) {
        columns
    } else {
        let mut rest = line;
        let mut next = || next_column(&mut rest);
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

/// Three columns, of which each may hold spaces.
fn by_tabs(line: &str) -> Option<(&str, &str, &str)> {
    let first = memchr(b'\t', line.as_bytes())?;
    let second = first + 1 + memchr(b'\t', &line.as_bytes()[first + 1..])?;
    let (topic, id, grade) = (&line[..first], &line[first + 1..second], &line[second + 1..]);
    memchr(b'\t', grade.as_bytes()).is_none().then(|| (topic.trim(), id.trim(), grade.trim()))
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

    #[test]
    fn lines_of_a_topic_may_stand_apart_and_errors_are_where_they_are_whatever_the_threads() {
        let lines = |topics: usize| {
            let line = |i: usize| format!("q{} 0 passage-{} {}\n", i / 50, i * 7919 % 50, i % 3);
            (0..topics * 50).map(line).collect::<String>()
        };
        let good = lines(2_000) + "q0 0 late 2\n" + &lines(3); // several blocks
        let threads = |threads| NonZeroUsize::new(threads).unwrap();
        let read = |text: &[u8], count| Qrels::read_blocks(text, "f".as_ref(), threads(count));
        let one = read(good.as_bytes(), 1).unwrap();
        assert_eq!((one.topics().count(), one.judgements()), (2_000, 100_001));
        assert_eq!((one.grade("q0", "late"), one.grade("q7", "passage-1")), (Some(2), Some(1)));
        for count in [2, 5] {
            assert_eq!(read(good.as_bytes(), count).unwrap(), one);
            for (bad, cause) in [
                (&b"q9 0 a\n"[..], "3 columns"),
                (&b"\xff\n"[..], "UTF-8"),
                (&b"q0 0 late 1\n"[..], "grades `late` 1 here and 2 before"),
            ] {
                let error = read(&[good.as_bytes(), bad].concat(), count).unwrap_err();
                assert_eq!(error.to_string(), "f, line 100152");
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(source.contains(cause), "{source}");
            }
        }
    }

    proptest! {
        #[test]
        fn judgements_read_are_those_inserted_one_by_one(
            lines in proptest::collection::vec(("[ab]", "[a-c]{1,2}", 0..2), 0..20),
        ) {
            let mut inserted = Qrels::new();
            let mut agree = true;
            let mut text = String::new();
            for (topic, id, grade) in &lines {
                agree &= inserted.insert(topic, id, *grade).is_ok();
                text.extend([topic, " 0 ", id, " ", &grade.to_string(), "\n"]);
            }
            match read(&text) {
                Ok(read) => {
                    prop_assert!(agree);
                    prop_assert_eq!(&read, &inserted);
                    for topic in ["a", "b"] {
                        prop_assert!(read.of(topic).is_sorted_by(|a, b| a.0 < b.0));
                    }
                }
                Err(_) => prop_assert!(!agree),
            }
        }

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

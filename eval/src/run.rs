//! Runs: what a system found for each topic, best first.
//!
//! Invariant: the hits of a topic differ in external id, no score is NaN, and they are ordered by
//! score, descending, then by external id, descending: the order of `trec_eval`, the same on every
//! machine.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use crate::input::{self, LineError, ReadError};

/// A passage that a system found, and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The external id of the passage.
    pub id: String,
    /// Grows with relevance. Single precision, as `trec_eval` has it: ties are ties there too.
    pub score: f32,
}

impl Hit {
    /// How two hits of one ranking are ordered: [`Ordering::Less`] if `self` ranks first.
    pub fn ranking(&self, other: &Self) -> Ordering {
        ranking((self.score, &self.id), (other.score, &other.id))
    }
}

/// How two hits, as score and external id, are ordered: [`Ordering::Less`] if the first ranks first.
pub(crate) fn ranking(first: (f32, &str), second: (f32, &str)) -> Ordering {
    // Adding 0 makes -0.0 and 0.0 the tie that they are by value.
    let by_score = (second.0 + 0.0).total_cmp(&(first.0 + 0.0));
    by_score.then_with(|| second.1.cmp(first.1))
}

/// The rankings of one system, by topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    name: String,
    topics: BTreeMap<String, Vec<Hit>>,
}

impl Run {
    /// A run without topics. `name` is the last column of a TREC run.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), topics: BTreeMap::new() }
    }

    /// What the run is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many topics have a ranking, an empty one included.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether no topic has a ranking.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Adds the ranking of one topic; the hits may come in any order.
    ///
    /// # Errors
    /// [`RunError`] if the topic has a ranking already, a passage is there twice, or a score is NaN.
    pub fn insert(&mut self, topic: impl Into<String>, mut hits: Vec<Hit>) -> Result<(), RunError> {
        let topic = topic.into();
        if self.topics.contains_key(&topic) {
            return Err(RunError::Topic { topic });
        }
        if let Some(hit) = hits.iter().find(|hit| hit.score.is_nan()) {
            return Err(RunError::NotANumber { topic, id: hit.id.clone() });
        }
        let mut seen = HashSet::with_capacity(hits.len());
        if let Some(hit) = hits.iter().find(|hit| !seen.insert(hit.id.as_str())) {
            return Err(RunError::Twice { topic, id: hit.id.clone() });
        }
        hits.sort_by(Hit::ranking);
        self.topics.insert(topic, hits);
        Ok(())
    }

    /// The hits of a topic, best first; `None` if the system gave no answer.
    pub fn hits(&self, topic: &str) -> Option<&[Hit]> {
        self.topics.get(topic).map(Vec::as_slice)
    }

    /// The topics and their hits, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Hit])> {
        self.topics.iter().map(|(topic, hits)| (topic.as_str(), hits.as_slice()))
    }

    /// Reads a TREC run: `topic Q0 id rank score tag` on each line, plain, gzip or Zstandard.
    ///
    /// As in `trec_eval` the score decides and the rank is not looked at. The lines of a topic need
    /// not stand together. The whole run is held in memory; [`Evaluator::read_run`] measures one
    /// that is larger.
    ///
    /// [`Evaluator::read_run`]: crate::Evaluator::read_run
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read(file: &Path) -> Result<Self, ReadError> {
        Self::read_lines(input::open(file)?, file)
    }

    /// Reads a TREC run as [`Run::read`] does; `named` stands for the file in errors.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong.
    pub fn read_from(input: impl Read, named: &Path) -> Result<Self, ReadError> {
        let input = input::unpacked(input)
            .map_err(|source| ReadError::Io { file: named.to_owned(), source })?;
        Self::read_lines(input, named)
    }

    fn read_lines(input: impl BufRead, file: &Path) -> Result<Self, ReadError> {
        let mut name = None;
        let mut topics: BTreeMap<String, Vec<(Hit, usize)>> = BTreeMap::new();
        input::each_line(input, file, |number, line| {
            let Line { topic, id, score, tag } = columns(line)?;
            let hit = Hit { id: id.to_owned(), score };
            name.get_or_insert_with(|| tag.to_owned());
            match topics.get_mut(topic) {
                Some(hits) => hits.push((hit, number)),
                None => drop(topics.insert(topic.to_owned(), vec![(hit, number)])),
            }
            Ok(())
        })?;
        let mut run = Self::new(name.unwrap_or_default());
        for (topic, mut hits) in topics {
            // Sorted by id first, the two lines of a passage that is there twice are neighbours.
            hits.sort_by(|(a, line_a), (b, line_b)| a.id.cmp(&b.id).then(line_a.cmp(line_b)));
            if let Some([_, (hit, line)]) = hits.array_windows().find(|[a, b]| a.0.id == b.0.id) {
                let source = LineError::Twice { id: hit.id.clone() };
                return Err(ReadError::Line { file: file.to_owned(), line: *line, source });
            }
            let mut hits: Vec<Hit> = hits.into_iter().map(|(hit, _)| hit).collect();
            hits.sort_by(Hit::ranking);
            run.topics.insert(topic, hits);
        }
        Ok(run)
    }

    /// Writes a TREC run, topics in the order of their ids, ranks from 1, and flushes `out`.
    ///
    /// # Errors
    /// [`WriteError::Name`] if an id or the name of the run is empty or holds white space, which
    /// parts columns there; [`WriteError::Io`] if `out` refuses.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), WriteError> {
        let name = one_column(&self.name)?;
        for (topic, hits) in &self.topics {
            one_column(topic)?;
            for (rank, Hit { id, score }) in (1_usize..).zip(hits) {
                writeln!(out, "{topic} Q0 {} {rank} {score} {name}", one_column(id)?)?;
            }
        }
        // A buffer that is dropped hides that its last bytes went nowhere.
        Ok(out.flush()?)
    }
}

/// What a line of a TREC run says.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) topic: &'a str,
    pub(crate) id: &'a str,
    /// Not NaN.
    pub(crate) score: f32,
    pub(crate) tag: &'a str,
}

/// Takes a line apart, the end of which may be there.
pub(crate) fn columns(line: &str) -> Result<Line<'_>, LineError> {
    columns_after(line, &mut None)
}

/// What a line and those before it begin with.
#[derive(Clone, Copy)]
pub(crate) struct Beginning<'a> {
    topic: &'a str,
    /// The first two columns and the white space behind them.
    text: &'a str,
}

/// Takes a line apart; most begin as the one before, and that is seen at once.
pub(crate) fn columns_after<'a>(
    line: &'a str,
    beginning: &mut Option<Beginning<'a>>,
) -> Result<Line<'a>, LineError> {
    let wrong = || {
        let found = line.split_ascii_whitespace().count();
        LineError::Columns { wanted: "topic Q0 id rank score tag", found }
    };
    let known = beginning.and_then(|known| Some((known.topic, line.strip_prefix(known.text)?)));
    let (topic, mut rest) = if let Some(known) = known {
        known
    } else {
        let mut rest = line;
        let (Some(topic), Some(_)) = (next_column(&mut rest), next_column(&mut rest)) else {
            return Err(wrong());
        };
        let rest = rest.trim_ascii_start();
        let text = &line[..line.len() - rest.len()];
        *beginning = Some(Beginning { topic, text }).filter(|_| !rest.is_empty());
        (topic, rest)
    };
    let mut next = || next_column(&mut rest);
    let (Some(id), Some(_), Some(score), Some(tag), None) =
        (next(), next(), next(), next(), next())
    else {
        return Err(wrong());
    };
    let number = number(score).filter(|score| !score.is_nan());
    let number = number.ok_or_else(|| LineError::Number { wanted: "score", text: score.into() })?;
    #[expect(clippy::cast_possible_truncation, reason = "the precision of trec_eval")]
    let score = number as f32;
    Ok(Line { topic, id, score, tag })
}

/// A number as the standard library reads it, faster if it has at most 15 digits and no exponent: these,
/// and the power of ten, are whole numbers that floats hold, so that one division rounds as it
/// should (Clinger, "How to read floating point numbers accurately", 1990).
fn number(text: &str) -> Option<f64> {
    const TENS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !(1..=16).contains(&digits.len()) {
        return text.parse().ok();
    }
    let (mut whole, mut count, mut point) = (0_u64, 0, None);
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                whole = 10 * whole + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return text.parse().ok(),
        }
    }
    if !(1..=15).contains(&count) {
        return text.parse().ok();
    }
    #[expect(clippy::cast_precision_loss, reason = "15 digits are less than 2^53")]
    let value = whole as f64 / TENS[count - point.unwrap_or(count)];
    Some(if digits.len() < text.len() { -value } else { value })
}

/// Columns are parted as `trec_eval` parts them: by white space of ASCII.
pub(crate) fn next_column<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let line = rest.trim_ascii_start();
    let (column, after) = line.split_at(column_end(line.as_bytes()));
    *rest = after;
    Some(column).filter(|column| !column.is_empty())
}

/// Where the first column ends: eight bytes are looked at together.
fn column_end(line: &[u8]) -> usize {
    /// A byte in each of eight.
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let (eights, _) = line.as_chunks::<8>();
    let is_end = |byte: &u8| byte.is_ascii_whitespace();
    for (number, eight) in eights.iter().enumerate() {
        let bytes = u64::from_le_bytes(*eight);
        // The highest bit of a byte is set if it is less than 0x21, which white space is. Above the
        // first such byte it may be set wrongly.
        if bytes.wrapping_sub(each(0x21)) & !bytes & each(0x80) != 0
            && let Some(at) = eight.iter().position(is_end)
        {
            return 8 * number + at;
        }
    }
    let rest = 8 * eights.len();
    line[rest..].iter().position(is_end).map_or(line.len(), |at| rest + at)
}

fn one_column(text: &str) -> Result<&str, WriteError> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(WriteError::Name { name: text.to_owned() });
    }
    Ok(text)
}

/// Why a ranking is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum RunError {
    /// The run has an answer to this topic.
    #[error("topic `{topic}` has a ranking already")]
    Topic { topic: String },
    /// A passage can be found once.
    #[error("topic `{topic}`: `{id}` is in the ranking twice")]
    Twice { topic: String, id: String },
    /// A NaN ranks nowhere.
    #[error("topic `{topic}`: the score of `{id}` is not a number")]
    NotANumber { topic: String, id: String },
}

/// Why a run could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum WriteError {
    /// A TREC run has no way to quote a name.
    #[error("`{name}` cannot be a column of a TREC run: it is empty or holds white space")]
    Name { name: String },
    /// The file system refused.
    #[error("the run cannot be written")]
    Io {
        #[from]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hit(id: &str, score: f32) -> Hit {
        Hit { id: id.to_owned(), score }
    }

    fn read(text: &str) -> Result<Run, ReadError> {
        Run::read_from(text.as_bytes(), "runs/a.trec".as_ref())
    }

    #[test]
    fn equal_scores_rank_by_external_id_descending() {
        let mut run = Run::new("r");
        run.insert("t", vec![hit("a", 0.0), hit("c", 1.0), hit("b", -0.0), hit("d", 1.0)]).unwrap();
        let ids: Vec<&str> = run.hits("t").unwrap().iter().map(|hit| hit.id.as_str()).collect();
        assert_eq!(ids, ["d", "c", "b", "a"]);
    }

    #[test]
    fn the_score_decides_and_the_rank_column_does_not() {
        let run = read("t Q0 a 1 0.25 x\nu\tQ0\tb\t1\t1e-3\tx\nt Q0 b 2 7 x\n").unwrap();
        assert_eq!(run.name(), "x");
        assert_eq!(run.hits("t").unwrap(), [hit("b", 7.0), hit("a", 0.25)]);
        assert_eq!(run.hits("u").unwrap(), [hit("b", 0.001)]);
        assert_eq!(run.hits("v"), None);
    }

    #[test]
    fn scores_that_differ_only_beyond_single_precision_tie() {
        let run = read("t Q0 a 1 0.30000000001 x\nt Q0 b 2 0.3 x\n").unwrap();
        assert_eq!(run.hits("t").unwrap()[0].id, "b");
    }

    #[test]
    fn a_wrong_line_is_named_with_its_file() {
        for (text, message) in [
            (
                "t Q0 a 1 0.5\n",
                "the line has 5 columns where `topic Q0 id rank score tag` is wanted",
            ),
            ("t Q0 a 1 x tag\n", "`x` is no score"),
            ("t Q0 a 1 NaN tag\n", "`NaN` is no score"),
        ] {
            let error = read(&format!("t Q0 z 1 1 x\n\n{text}")).unwrap_err();
            assert_eq!(error.to_string(), "runs/a.trec, line 3");
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), message);
        }
    }

    #[test]
    fn a_passage_that_a_topic_has_twice_is_named_with_the_later_line() {
        let error = read("t Q0 a 1 3 x\nu Q0 a 1 3 x\nt Q0 b 2 2 x\nt Q0 a 3 1 x\n").unwrap_err();
        assert_eq!(error.to_string(), "runs/a.trec, line 4");
        let mut run = Run::new("r");
        let twice = run.insert("t", vec![hit("a", 1.0), hit("a", 2.0)]);
        assert_eq!(twice, Err(RunError::Twice { topic: "t".into(), id: "a".into() }));
        let nan = run.insert("t", vec![hit("a", f32::NAN)]);
        assert_eq!(nan, Err(RunError::NotANumber { topic: "t".into(), id: "a".into() }));
        run.insert("t", vec![]).unwrap();
        assert_eq!(run.insert("t", vec![]), Err(RunError::Topic { topic: "t".into() }));
    }

    #[test]
    fn a_name_with_white_space_is_not_written() {
        for (name, topic, id) in [("a b", "t", "d"), ("r", "", "d"), ("r", "t", "d\t1")] {
            let mut run = Run::new(name);
            run.insert(topic, vec![hit(id, 1.0)]).unwrap();
            let error = run.write(&mut Vec::new()).unwrap_err();
            assert!(matches!(error, WriteError::Name { .. }), "{error}");
        }
    }

    #[test]
    fn a_disk_that_is_full_when_the_last_bytes_are_written_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut run = Run::new("r");
        run.insert("t", vec![hit("a", 1.0)]).unwrap();
        // The buffer takes the whole run, and its drop hides that nobody takes it from there.
        let error = run.write(&mut io::BufWriter::new(Full)).unwrap_err();
        assert!(matches!(error, WriteError::Io { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn a_run_reads_back_as_it_was_written(
            topics in proptest::collection::btree_map(
                "[a-z0-9é_-]{1,4}",
                proptest::collection::btree_map("[a-z]{1,3}", any::<f32>(), 1..8),
                0..5,
            ),
        ) {
            let mut run = Run::new("some-tag");
            for (topic, hits) in topics {
                let hits = hits.iter().filter(|(_, score)| !score.is_nan());
                let hits: Vec<Hit> = hits.map(|(id, &score)| hit(id, score)).collect();
                if !hits.is_empty() {
                    run.insert(topic, hits).unwrap();
                }
            }
            let mut bytes = Vec::new();
            run.write(&mut bytes).unwrap();
            let again = Run::read_from(&bytes[..], "f".as_ref()).unwrap();
            prop_assert_eq!(again.topics, run.topics);
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(
            text in prop_oneof![
                "-?[0-9]{0,12}\\.?[0-9]{0,9}(e-?[0-9]{1,2})?",
                any::<f32>().prop_map(|score| score.to_string()),
                any::<f64>().prop_map(|score| score.to_string()),
                "[-+.0-9a-z]{0,6}",
            ],
        ) {
            let theirs = text.parse::<f64>().ok();
            prop_assert_eq!(number(&text).map(f64::to_bits), theirs.map(f64::to_bits));
        }

        #[test]
        fn a_line_says_the_same_whatever_the_lines_before(
            lines in proptest::collection::vec("[ab ]?[ab]{0,2}[ \t]{1,2}Q0? {0,2}[ab]{0,2} 1 2 [xy]", 1..9),
        ) {
            let mut beginning = None;
            for line in &lines {
                let said = |line: Line<'_>| format!("{} {} {}", line.topic, line.id, line.tag);
                let after = columns_after(line, &mut beginning).map(said).ok();
                prop_assert_eq!(after, columns(line).map(said).ok());
            }
        }

        #[test]
        fn columns_are_parted_as_by_the_standard_library(
            line in "([a-z\u{0}-\u{20}é]{0,4}[ \t]{0,2}){0,12}",
        ) {
            let mut rest = line.as_str();
            let ours: Vec<&str> = std::iter::from_fn(|| next_column(&mut rest)).collect();
            prop_assert_eq!(ours, line.split_ascii_whitespace().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_a_run_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Run::read_from(&bytes[..], "f".as_ref());
        }

        #[test]
        fn any_words_are_a_run_or_refused(text in "([a-c0-9.]{1,3}[ \t\n]{1,2}){0,30}") {
            let _ = read(&text);
        }
    }
}

//! Runs measured while they are read, so that the length of a run does not matter.
//!
//! A run whose topics stand together is cut into blocks of whole topics, which threads measure apart.
//! One whose lines are mixed is noticed at the first topic that comes back; it is read again, as often
//! as it takes for the topics of one reading to have about [`LINES_AT_ONCE`] lines.
//!
//! Invariant: the values are those of [`Evaluator::run`] on the same lines, whatever the number of
//! threads.
//!
//! More than 500 lines, of which a quarter are the tests of that invariant.

pub(crate) mod blocks;
mod topic;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use self::blocks::on_threads;
use self::topic::Ranker;
use crate::evaluation::{Evaluation, Evaluator, gain};
use crate::input::{self, LineError, Lines, ReadError};
use crate::measure::Standing;
use crate::run::{self, Line};

/// How many lines of a mixed run are held at a time: with ids of 20 bytes about 250 MB.
const LINES_AT_ONCE: usize = 4 << 20;

/// What [`Evaluator::read_run`] found in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunScores {
    /// What the run is called: the last column of its first line.
    pub name: String,
    /// How many lines it has, blank ones not counted.
    pub lines: usize,
    /// How many of the judged topics it answers.
    pub answered: usize,
    /// The values by topic.
    pub evaluation: Evaluation,
}

impl Evaluator<'_> {
    /// Measures a TREC run (`topic Q0 id rank score tag`, plain, gzip or Zstandard) while it is read.
    ///
    /// If the lines of each topic stand together, memory is bounded by the longest topic, a few for
    /// each thread. If not, the
    /// file is read again, several times if it is very long, and memory is bounded by a few
    /// million lines or the longest topic. Lines that stand together are measured by
    /// [`Evaluator::threads`].
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong; [`ReadError::Apart`] if the lines are mixed and the
    /// file is a pipe, or anything else that can be read only once.
    ///
    /// # Example
    /// ```
    /// # use tantivy_dense_eval::{Evaluator, Measure, Qrels};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("run");
    /// std::fs::write(&file, "q1 Q0 x 1 9.5 bm25\nq1 Q0 a 2 9.1 bm25\n")?;
    /// let qrels = Qrels::read_from("q1 0 a 1\n".as_bytes(), "qrels".as_ref())?;
    /// let measures: Vec<Measure> = vec!["RR".parse()?];
    /// let scores = Evaluator::new(&qrels, &measures).read_run(&file)?;
    /// assert_eq!((scores.name.as_str(), scores.lines, scores.answered), ("bm25", 2, 1));
    /// assert_eq!(scores.evaluation.mean(), Some(vec![0.5]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_run(&self, file: &Path) -> Result<RunScores, ReadError> {
        match self.grouped(input::open(file)?, file)? {
            Reading::Grouped(scores) => Ok(scores),
            Reading::Mixed { lines, .. } if file.is_file() => {
                self.mixed(lines, LINES_AT_ONCE, file)
            }
            Reading::Mixed { apart, .. } => Err(apart.error(file)),
        }
    }

    /// Measures a TREC run as [`Evaluator::read_run`] does, from what can be read once; `named` stands
    /// for the file in errors.
    ///
    /// # Errors
    /// [`ReadError`], with the line that is wrong; [`ReadError::Apart`] if the lines of a topic do not
    /// stand together.
    pub fn read_run_from(
        &self,
        input: impl Read + Send,
        named: &Path,
    ) -> Result<RunScores, ReadError> {
        let input = input::unpacked(input)
            .map_err(|source| ReadError::Io { file: named.to_owned(), source })?;
        match self.grouped(input, named)? {
            Reading::Grouped(scores) => Ok(scores),
            Reading::Mixed { apart, .. } => Err(apart.error(named)),
        }
    }

    /// Threads take block after block, and what they found is put together in the order of the file.
    fn grouped(&self, input: impl Read + Send, file: &Path) -> Result<Reading, ReadError> {
        let mixed = AtomicBool::new(false);
        let done = on_threads(input, self.threads, Ranker::default, |ranker, number, block| {
            let scores = BlockScores::of(*self, block, number == 0, ranker, &mixed);
            match scores.error {
                None => ControlFlow::Continue(scores),
                Some(_) => ControlFlow::Break(scores),
            }
        });
        let done = done.map_err(|source| ReadError::Io { file: file.to_owned(), source })?;
        self.put_together(done.into_iter(), file)
    }

    fn put_together(
        &self,
        blocks: impl Iterator<Item = BlockScores>,
        file: &Path,
    ) -> Result<Reading, ReadError> {
        let mut scores = RunScores::new(*self);
        let mut seen: HashSet<String> = HashSet::new();
        let mut apart = None;
        let mut before = 0;
        for block in blocks {
            if let Some((line, source)) = block.error {
                return Err(ReadError::Line { file: file.to_owned(), line: before + line, source });
            }
            if scores.lines == 0 {
                scores.name = block.name;
            }
            scores.lines += block.lines;
            for (topic, line, values) in block.topics {
                if let Some(values) = values {
                    scores.answered += 1;
                    scores.evaluation.insert(&topic, values);
                }
                if let Some(topic) = seen.replace(topic) {
                    apart.get_or_insert(Apart { topic, line: before + line });
                }
            }
            before += block.all_lines;
        }
        if let Some(apart) = apart {
            return Ok(Reading::Mixed { apart, lines: scores.lines });
        }
        self.finish(&mut scores.evaluation);
        Ok(Reading::Grouped(scores))
    }

    /// Measures a topic, all hits of which are there; `None` if it is not judged.
    ///
    /// # Errors
    /// The place of the first hit that is there twice.
    fn topic(
        &self,
        topic: &str,
        hits: &[(f32, &str)],
        ranker: &mut Ranker,
    ) -> Result<Option<Vec<f64>>, usize> {
        ranker.rank(hits)?;
        if !self.qrels.has(topic) {
            return Ok(None);
        }
        let (mut found, mut missed) = (Vec::new(), Vec::new());
        for (id, grade) in self.qrels.of(topic) {
            match ranker.of(id, hits) {
                Some(rank) => found.push((rank, gain(grade))),
                None => missed.push(gain(grade)),
            }
        }
        Ok(Some(self.values(&Standing::new(found, missed, hits.len()))))
    }

    /// Reads the file once for each share of the topics.
    fn mixed(&self, lines: usize, at_once: usize, file: &Path) -> Result<RunScores, ReadError> {
        let shares = lines.div_ceil(at_once).max(1);
        let mut scores = RunScores::new(*self);
        let mut ranker = Ranker::default();
        for share in 0..shares {
            scores.lines = 0;
            let mut groups: BTreeMap<String, Group> = BTreeMap::new();
            let mut reading = Lines::new(input::open(file)?, file);
            while let Some((number, text)) = reading.next()? {
                if is_blank(text) {
                    continue;
                }
                let line = run::columns(text);
                let line = line.map_err(|source| ReadError::line(file, number, source))?;
                if scores.lines == 0 {
                    line.tag.clone_into(&mut scores.name);
                }
                scores.lines += 1;
                if share_of(line.topic, shares) != share {
                    continue;
                }
                match groups.get_mut(line.topic) {
                    Some(group) => group.push(&line, number),
                    None => groups.entry(line.topic.to_owned()).or_default().push(&line, number),
                }
            }
            if scores.lines != lines {
                return Err(ReadError::Changed { file: file.to_owned() });
            }
            for (topic, group) in groups {
                let hits = group.hits();
                let values = self.topic(&topic, &hits, &mut ranker).map_err(|place| {
                    let id = hits[place].1.to_owned();
                    ReadError::line(file, group.hits[place].line, LineError::Twice { id })
                })?;
                if let Some(values) = values {
                    scores.answered += 1;
                    scores.evaluation.insert(&topic, values);
                }
            }
        }
        self.finish(&mut scores.evaluation);
        Ok(scores)
    }
}

impl RunScores {
    fn new(evaluator: Evaluator<'_>) -> Self {
        let evaluation = Evaluation::new(evaluator.measures);
        Self { name: String::new(), lines: 0, answered: 0, evaluation }
    }
}

/// In which of the readings a topic is measured.
fn share_of(topic: &str, shares: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    usize::try_from(hasher.finish() % shares as u64).expect("less than `shares`")
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// What came of reading a run once.
enum Reading {
    Grouped(RunScores),
    Mixed { apart: Apart, lines: usize },
}

/// Where a topic came back after others.
struct Apart {
    topic: String,
    line: usize,
}

impl Apart {
    fn error(self, file: &Path) -> ReadError {
        ReadError::Apart { file: file.to_owned(), line: self.line, topic: self.topic }
    }
}

/// What is in a block. Lines count from 1, in the block.
#[derive(Default)]
struct BlockScores {
    name: String,
    lines: usize,
    /// With blank ones.
    all_lines: usize,
    /// Each topic with its first line, and its values if it is judged.
    topics: Vec<(String, usize, Option<Vec<f64>>)>,
    error: Option<(usize, LineError)>,
}

impl BlockScores {
    /// Once it is known that the run is mixed, lines are counted and no topic is measured.
    fn of(
        evaluator: Evaluator<'_>,
        block: &[u8],
        is_first: bool,
        ranker: &mut Ranker,
        mixed: &AtomicBool,
    ) -> Self {
        let (text, is_text) = blocks::text(block, is_first);
        let mut scores = Self::default();
        let measured = scores.measure(evaluator, text, ranker, mixed);
        let no_text = (scores.all_lines + 1, LineError::Utf8);
        scores.error = measured.err().or((!is_text).then_some(no_text));
        scores
    }

    fn measure(
        &mut self,
        evaluator: Evaluator<'_>,
        text: &str,
        ranker: &mut Ranker,
        mixed: &AtomicBool,
    ) -> Result<(), (usize, LineError)> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut comes_back = false;
        let mut topic: Option<(&str, usize)> = None;
        let (mut hits, mut numbers) = (Vec::new(), Vec::new());
        let mut beginning = None;
        for line in blocks::lines(text) {
            self.all_lines += 1;
            if is_blank(line) {
                continue;
            }
            if comes_back {
                self.lines += 1;
                continue;
            }
            let line = run::columns_after(line, &mut beginning);
            let line = line.map_err(|error| (self.all_lines, error))?;
            if self.lines == 0 {
                line.tag.clone_into(&mut self.name);
            }
            self.lines += 1;
            if topic.is_none_or(|(topic, _)| topic != line.topic) {
                self.close(evaluator, topic, (&hits, &numbers), ranker, mixed)?;
                comes_back = !seen.insert(line.topic);
                mixed.fetch_or(comes_back, Ordering::Relaxed);
                topic = Some((line.topic, self.all_lines));
                hits.clear();
                numbers.clear();
            }
            hits.push((line.score, line.id));
            numbers.push(self.all_lines);
        }
        self.close(evaluator, topic, (&hits, &numbers), ranker, mixed)
    }

    fn close(
        &mut self,
        evaluator: Evaluator<'_>,
        topic: Option<(&str, usize)>,
        (hits, numbers): (&[(f32, &str)], &[usize]),
        ranker: &mut Ranker,
        mixed: &AtomicBool,
    ) -> Result<(), (usize, LineError)> {
        let Some((topic, line)) = topic else { return Ok(()) };
        if mixed.load(Ordering::Relaxed) {
            self.topics.push((topic.to_owned(), line, None));
            return Ok(());
        }
        let twice = |place: usize| LineError::Twice { id: hits[place].1.to_owned() };
        let values = evaluator.topic(topic, hits, ranker);
        let values = values.map_err(|place| (numbers[place], twice(place)))?;
        self.topics.push((topic.to_owned(), line, values));
        Ok(())
    }
}

/// The lines of one topic of a mixed run.
#[derive(Default)]
struct Group {
    /// The external ids, one after another.
    ids: String,
    hits: Vec<GroupHit>,
}

struct GroupHit {
    score: f32,
    /// Where the id begins; it ends where that of the next line begins.
    start: usize,
    line: usize,
}

impl Group {
    fn push(&mut self, line: &Line<'_>, number: usize) {
        self.hits.push(GroupHit { score: line.score, start: self.ids.len(), line: number });
        self.ids.push_str(line.id);
    }

    fn hits(&self) -> Vec<(f32, &str)> {
        let ends = self.hits.iter().skip(1).map(|hit| hit.start).chain([self.ids.len()]);
        self.hits
            .iter()
            .zip(ends)
            .map(|(hit, end)| (hit.score, &self.ids[hit.start..end]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Missing;
    use crate::measure::Measure;
    use crate::qrels::Qrels;
    use crate::run::Run;
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write;
    use std::num::NonZeroUsize;

    fn measures() -> Vec<Measure> {
        ["AP", "nDCG@3", "RR", "Judged@3"].map(|m| m.parse().unwrap()).into()
    }

    fn qrels(text: &str) -> Qrels {
        Qrels::read_from(text.as_bytes(), "qrels".as_ref()).unwrap()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_run_whose_topics_are_mixed_is_measured_as_if_they_were_not() {
        let (qrels, measures) = (qrels("q1 0 a 1\nq2 0 b 1\n"), measures());
        let evaluator = Evaluator::new(&qrels, &measures);
        let mixed = "q1 Q0 x 1 9 r\nq2 Q0 b 1 5 r\n\nq1 Q0 a 2 8 r\nq2 Q0 x 1 4 r\n";
        let mut sorted: Vec<&str> = mixed.lines().collect();
        sorted.sort_unstable();
        let wanted = evaluator.read_run_from(sorted.join("\n").as_bytes(), "f".as_ref()).unwrap();
        let file = file(mixed);
        assert_eq!(evaluator.read_run(file.path()).unwrap(), wanted);
        for at_once in 1..5 {
            assert_eq!(evaluator.mixed(4, at_once, file.path()).unwrap(), wanted);
        }
        let changed = evaluator.mixed(5, 9, file.path()).unwrap_err();
        assert!(matches!(changed, ReadError::Changed { .. }), "{changed}");
    }

    #[test]
    fn mixed_lines_that_can_be_read_only_once_are_refused_with_what_to_do() {
        let (qrels, measures) = (qrels("q1 0 a 1\n"), measures());
        let mixed = "q1 Q0 x 1 9 r\nq2 Q0 b 1 5 r\nq1 Q0 a 2 8 r\n";
        let evaluator = Evaluator::new(&qrels, &measures);
        let error = evaluator.read_run_from(mixed.as_bytes(), "a.run".as_ref()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.run, line 3: topic `q1` comes back after other topics, and what is no regular file \
             cannot be read again: save it to a file first, or pass it through `sort -s -k1,1`"
        );
    }

    #[test]
    fn a_passage_that_a_topic_has_twice_is_named_with_the_later_line() {
        let (qrels, measures) = (qrels("q1 0 a 1\n"), measures());
        let evaluator = Evaluator::new(&qrels, &measures);
        let grouped = "q1 Q0 a 1 9 r\nq1 Q0 b 2 8 r\nq1 Q0 a 3 7 r\nq2 Q0 a 1 1 r\n";
        let mixed = "q1 Q0 a 1 9 r\nq2 Q0 a 1 1 r\nq1 Q0 a 3 7 r\n";
        for text in [grouped, mixed] {
            let file = file(text);
            let error = evaluator.read_run(file.path()).unwrap_err();
            assert!(matches!(
                error,
                ReadError::Line { line: 3, source: LineError::Twice { .. }, .. }
            ));
        }
    }

    #[test]
    fn a_run_of_many_blocks_has_its_errors_where_they_are() {
        let (qrels, measures) = (qrels("q7 0 a 1\n"), measures());
        let lines = |topics: usize| {
            let lines = (0..topics * 100).map(|i| format!("q{} Q0 d{i} 1 {i}.5 r\n", i / 100));
            lines.collect::<String>()
        };
        let good = lines(2_000); // several megabytes
        for (bad, message) in [
            (&b"q Q0 a 1 x r\n"[..], "`x` is no score"),
            (&b"\nq \xff\n"[..], "the line is not UTF-8: convert the file first"),
            (&b"\xffq\nq Q0 a 1 x r"[..], "the line is not UTF-8: convert the file first"),
        ] {
            let text = [b"\n", good.as_bytes(), bad].concat();
            let line = 200_002 + usize::from(bad[0] == b'\n');
            for threads in [1, 2, 5] {
                let evaluator = Evaluator::new(&qrels, &measures);
                let evaluator = evaluator.threads(NonZeroUsize::new(threads).unwrap());
                let scores = evaluator.read_run_from(good.as_bytes(), "f".as_ref()).unwrap();
                assert_eq!((scores.lines, scores.answered), (200_000, 1));
                let error = evaluator.read_run_from(&text[..], "f".as_ref()).unwrap_err();
                assert_eq!(error.to_string(), format!("f, line {line}"));
                assert_eq!(std::error::Error::source(&error).unwrap().to_string(), message);
            }
        }
    }

    #[test]
    fn a_packed_run_is_measured_while_it_is_unpacked() {
        let (qrels, measures) = (qrels("q1 0 a 1\n"), measures());
        let evaluator = Evaluator::new(&qrels, &measures);
        let text = "q1 Q0 a 1 9 r\nq2 Q0 b 1 5 r\n";
        let wanted = evaluator.read_run_from(text.as_bytes(), "f".as_ref()).unwrap();
        let zst = tempfile::NamedTempFile::new().unwrap();
        fs::write(zst.path(), zstd::encode_all(text.as_bytes(), 0).unwrap()).unwrap();
        assert_eq!(evaluator.read_run(zst.path()).unwrap(), wanted);
        assert_eq!((wanted.name.as_str(), wanted.lines, wanted.answered), ("r", 2, 1));
    }

    proptest! {
        /// Whatever the order of the lines, ties and topics without judgements included.
        #[test]
        fn a_run_has_the_same_values_read_or_held(
            judged in proptest::collection::btree_map("q[1-4] 0 [a-e]", -1..4_i32, 1..12),
            found in proptest::collection::btree_map("q[1-5] Q0 [a-f]", 0..4_u8, 0..20)
                .prop_map(Vec::from_iter)
                .prop_shuffle(),
            left_out in any::<bool>(),
        ) {
            let judged = judged.iter().map(|(line, grade)| format!("{line} {grade}\n"));
            let (qrels, measures) = (qrels(&judged.collect::<String>()), measures());
            let lines = found.iter().map(|(line, score)| format!("{line} 0 {score} r\n"));
            let text: String = lines.collect();
            let missing = if left_out { Missing::LeftOut } else { Missing::Zero };
            let evaluator = Evaluator::new(&qrels, &measures).missing(missing);
            let held = evaluator.run(&Run::read_from(text.as_bytes(), "f".as_ref()).unwrap());
            for threads in [1, 3] {
                let evaluator = evaluator.threads(NonZeroUsize::new(threads).unwrap());
                let read = evaluator.read_run(file(&text).path()).unwrap();
                prop_assert_eq!(read.lines, found.len());
                prop_assert_eq!(&read.evaluation, &held);
            }
        }

        #[test]
        fn any_bytes_are_measured_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let (qrels, measures) = (qrels("q1 0 a 1\n"), measures());
            let _ = Evaluator::new(&qrels, &measures).read_run_from(&bytes[..], "f".as_ref());
        }
    }
}

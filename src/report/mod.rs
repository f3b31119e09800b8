//! What was measured, as a page for people: HTML, Markdown and CSV of the same findings.
//!
//! Invariant: the same reports and seed give the same bytes. Nothing here reads the clock, the environment or
//! a file, and a page loads nothing: what it shows is in it.

mod csv;
mod html;
mod markdown;
mod plots;
mod tables;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use dense_eval::stats::{Differences, Draws, bootstrap_interval};
use dense_eval::{Comparison, ComparisonError, LanguageRow, Measure, Report, Side};

pub(crate) use self::csv::csv;
pub(crate) use self::html::html;
pub(crate) use self::markdown::markdown;

/// How sure the intervals are.
const CONFIDENCE: f64 = 0.95;

/// Below it, a p-value is called significant.
const ALPHA: f64 = 0.05;

/// A system that a page shows.
#[derive(Clone, Debug)]
pub(crate) struct Contender<'a> {
    /// What the page calls it.
    pub(crate) name: String,
    /// Where its values are.
    pub(crate) report: &'a Report,
    /// What it is called there.
    pub(crate) system: &'a str,
}

/// How much text there is of a language in the world, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    /// Its place among the tiers, the richest first.
    pub(crate) place: u8,
    /// What it is called.
    pub(crate) name: String,
}

impl Tier {
    /// What tiers are sorted by.
    fn key(&self) -> (u8, &str) {
        (self.place, &self.name)
    }
}

/// Gives the tier of a language.
pub(crate) type TierOf<'a> = &'a dyn Fn(&str) -> Option<Tier>;

/// What a page is about.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// What was searched.
    pub(crate) title: String,
    /// Whose results are shown; what each is called if there are several.
    pub(crate) sources: Vec<(String, &'a Report)>,
    /// The systems.
    pub(crate) contenders: Vec<Contender<'a>>,
    /// Which of them are compared: numbers of contenders, the one to start from first. The first pair is what
    /// the verdict is about.
    pub(crate) pairs: Vec<(usize, usize)>,
    /// By what; the verdict and the plots are about the first.
    pub(crate) measures: Vec<Measure>,
    /// How the tests and the intervals draw.
    pub(crate) draws: Draws,
}

impl<'a> Question<'a> {
    /// Asks about all systems of a report, each against the first.
    pub(crate) fn about(report: &'a Report, draws: Draws) -> Self {
        let systems = report.systems().iter();
        // Where no language was measured alone there is nothing to compare.
        let compared = if report.languages().is_empty() { 0 } else { report.systems().len() };
        let contender = |system: &'a String| Contender { name: system.clone(), report, system };
        Self {
            title: report.collection.clone(),
            sources: vec![(String::new(), report)],
            contenders: systems.map(contender).collect(),
            pairs: (1..compared).map(|second| (0, second)).collect(),
            measures: report.measures().to_vec(),
            draws,
        }
    }
}

/// The answers: all numbers of a page.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    asked: Question<'a>,
    versus: Vec<Versus>,
    rows: Vec<Row<'a>>,
}

/// Two contenders, by one measure.
#[derive(Debug)]
struct Versus {
    first: usize,
    second: usize,
    comparison: Comparison,
}

/// One language, with what each contender has there.
#[derive(Debug)]
struct Row<'a> {
    language: &'a str,
    tier: Option<Tier>,
    /// By contender.
    scores: Vec<Option<&'a LanguageRow>>,
    /// Where the mean of the first measure lies, by contender.
    intervals: Vec<Option<[f64; 2]>>,
}

impl<'a> Findings<'a> {
    /// Answers a question on a few threads; their number changes nothing.
    ///
    /// # Errors
    /// [`ComparisonError`] if two contenders were not measured on the same topics.
    pub(crate) fn new(
        asked: Question<'a>,
        tier: TierOf<'_>,
        threads: NonZeroUsize,
    ) -> Result<Self, ComparisonError> {
        let mut rows: BTreeMap<&str, Row<'a>> = BTreeMap::new();
        for (at, contender) in asked.contenders.iter().enumerate() {
            for row in contender.report.languages() {
                if !row.scores.contains_key(contender.system) {
                    continue;
                }
                let language = row.language.as_str();
                let empty = || Row {
                    language,
                    tier: tier(language),
                    scores: vec![None; asked.contenders.len()],
                    intervals: vec![None; asked.contenders.len()],
                };
                rows.entry(language).or_insert_with(empty).scores[at] = Some(row);
            }
        }
        let mut rows: Vec<Row<'a>> = rows.into_values().collect();
        let count = asked.contenders.len();
        let cells: Vec<(usize, usize)> =
            (0..rows.len()).flat_map(|row| (0..count).map(move |at| (row, at))).collect();
        let intervals = parallel(&cells, threads, |&(row, at)| asked.interval(&rows[row], at));
        for (&(row, at), interval) in cells.iter().zip(intervals) {
            rows[row].intervals[at] = interval;
        }
        let measures = asked.measures.iter();
        let jobs: Vec<(Measure, (usize, usize))> = measures
            .flat_map(|&measure| asked.pairs.iter().map(move |&pair| (measure, pair)))
            .collect();
        let compared = parallel(&jobs, threads, |&(measure, (first, second))| {
            let side = |at: usize| {
                let Contender { report, system, .. } = &asked.contenders[at];
                Side { report, system }
            };
            let comparison = Comparison::new(side(first), side(second), measure, asked.draws)?;
            Ok(Versus { first, second, comparison })
        });
        let versus = compared.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { asked, versus, rows })
    }

    /// The comparisons, as they were made.
    pub(crate) fn comparisons(&self) -> impl Iterator<Item = &Comparison> {
        self.versus.iter().map(|versus| &versus.comparison)
    }

    fn name(&self, contender: usize) -> &str {
        &self.asked.contenders[contender].name
    }

    /// The comparisons by a measure.
    fn by(&self, measure: Measure) -> impl Iterator<Item = &Versus> {
        self.versus.iter().filter(move |versus| versus.comparison.measure == measure)
    }

    /// What the verdict is about.
    fn main(&self) -> Option<&Versus> {
        self.versus.first()
    }

    fn measure(&self) -> Option<Measure> {
        self.asked.measures.first().copied()
    }

    /// The mean of a contender over the languages that all contenders were measured in.
    fn mean(&self, contender: usize, measure: &str) -> Option<f64> {
        let of_all = self.rows.iter().filter(|row| row.scores.iter().all(Option::is_some));
        let values: Option<Vec<f64>> =
            of_all.map(|row| self.score(row, contender, measure)).collect();
        mean_of(&values?)
    }

    fn score(&self, row: &Row<'_>, contender: usize, measure: &str) -> Option<f64> {
        let scores = row.scores[contender]?.scores.get(self.asked.contenders[contender].system)?;
        scores.get(measure).copied()
    }

    fn has_tiers(&self) -> bool {
        self.rows.iter().any(|row| row.tier.is_some())
    }
}

impl Question<'_> {
    /// Where the mean of the first measure lies.
    fn interval(&self, row: &Row<'_>, contender: usize) -> Option<[f64; 2]> {
        let measure = self.measures.first()?.to_string();
        let by_topic = &row.scores[contender]?.by_topic;
        let values = by_topic.scores.get(self.contenders[contender].system)?.get(&measure)?;
        let values = Differences::new(values).ok()?;
        Some(bootstrap_interval(&values, CONFIDENCE, self.draws))
    }
}

impl Row<'_> {
    /// How many topics and passages the scores are about. All contenders that are compared have the
    /// same ones.
    fn sizes(&self) -> (usize, usize) {
        let first = self.scores.iter().flatten().next();
        first.map_or((0, 0), |row| (row.topics, row.passages))
    }
}

/// `None` of nothing.
fn mean_of(values: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 languages")]
    let count = values.len() as f64;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)
}

/// Works on several things at once; results come in the order of the things.
fn parallel<T: Sync, R: Send>(
    things: &[T],
    threads: NonZeroUsize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let share = things.len().div_ceil(threads.get()).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = things
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("work does not panic")).collect()
    })
}

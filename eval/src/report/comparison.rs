//! Two systems side by side, topic by topic: who is better in which language, and whether that is more
//! than chance.
//!
//! Invariant: both systems were measured on the same topics, and on pools of the same size.
//!
//! More than 500 lines, of which a quarter are tests and a quarter what is documented of the values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::text::{Align, Group, write_tables};
use super::tiers::{self, ComparedTier};
use super::{ByTopic, LanguageRow, Report};
use crate::measure::{Measure, real};
use crate::stats::{
    Differences, Draws, bootstrap_interval, cohens_d, detectable_difference, holm, paired_t,
    randomization_test,
};

/// How sure the intervals are.
const CONFIDENCE: f64 = 0.95;

/// Below it, a p-value is called significant.
const ALPHA: f64 = 0.05;

/// One of the two that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Where its values are.
    pub report: &'a Report,
    /// What it is called there.
    pub system: &'a str,
}

/// A second system against a first one, by one measure, in every language that both were measured in.
///
/// `p` is that of the randomization test, adjusted for the number of languages by Holm's procedure.
/// The mean row has a test of its own, in which topics of several languages that ask the same are one
/// observation, as far as the reports know that ([`Report::add_groups`]). A positive difference is in
/// favour of the second system.
///
/// [`Display`](fmt::Display) prints a table, and serde gives an object with stable keys.
///
/// # Example
/// ```
/// # use tantivy_dense_eval::{Comparison, Measure, Qrels, Report, Run, RunReport, Side, evaluate};
/// # use tantivy_dense_eval::stats::Draws;
/// let qrels = Qrels::read_from("q1 0 a 1\nq2 0 a 1\n".as_bytes(), "qrels".as_ref())?;
/// let measures: Vec<Measure> = vec!["RR".parse()?];
/// let report = |text: &str| -> Result<Report, Box<dyn std::error::Error>> {
///     let run = Run::read_from(text.as_bytes(), "run".as_ref())?;
///     let values = evaluate(&run, &qrels, &measures);
///     Ok(RunReport::new(run.name(), &values).ok_or("no topic")?.into())
/// };
/// let old = report("q1 Q0 b 1 2 old\nq1 Q0 a 2 1 old\nq2 Q0 a 1 1 old\n")?;
/// let new = report("q1 Q0 a 1 2 new\nq2 Q0 a 1 1 new\n")?;
/// let (first, second) =
///     (Side { report: &old, system: "old" }, Side { report: &new, system: "new" });
/// let comparison = Comparison::new(first, second, measures[0], Draws::new(1))?;
/// assert!((comparison.mean.difference - 0.25).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// What is compared.
    pub measure: Measure,
    /// The first system.
    pub first: String,
    /// The second system.
    pub second: String,
    /// How often, and from which seed, was drawn.
    #[serde(flatten)]
    pub draws: Draws,
    /// The languages, sorted.
    pub languages: Vec<ComparedLanguage>,
    /// Languages that only one of the two was measured in.
    pub left_out: Vec<String>,
    /// The means over languages.
    pub mean: ComparedMean,
    /// The means over the languages of each resource tier; empty if all are of one tier.
    pub tiers: Vec<ComparedTier>,
}

/// One language of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedLanguage {
    /// The language of the topics.
    pub language: String,
    /// How many topics there are.
    pub topics: usize,
    /// How many passages were ranked for each; 0 if that is not known.
    pub passages: usize,
    /// The mean of the first system.
    pub first: f64,
    /// The mean of the second system.
    pub second: f64,
    /// The second less the first.
    pub difference: f64,
    /// The 95 % bootstrap interval of the difference.
    pub interval: [f64; 2],
    /// The two-sided p-value of the randomization test, after Holm.
    pub p: f64,
    /// The same before Holm.
    pub p_alone: f64,
    /// The two-sided p-value of the paired t-test, before Holm; `None` if all differences are equal.
    pub p_of_t: Option<f64>,
    /// Cohen's d of the paired differences; `None` if all are equal.
    pub effect: Option<f64>,
    /// The smallest difference that so many topics show with power .8 at .05, in a test of its own.
    pub detectable: Option<f64>,
}

/// The means over languages, each counting as much as any other.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedMean {
    /// How many topics there are, over all languages.
    pub topics: usize,
    /// How many different things they ask for: topics that ask the same are one observation.
    pub observations: usize,
    /// The mean of the first system.
    pub first: f64,
    /// The mean of the second system.
    pub second: f64,
    /// The second less the first.
    pub difference: f64,
    /// The 95 % bootstrap interval of the difference.
    pub interval: [f64; 2],
    /// The two-sided p-value of the randomization test.
    pub p: f64,
}

/// Why two systems cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ComparisonError {
    /// The report does not know the system.
    #[error("there is no system `{system}`: there is {known}")]
    NoSystem { system: String, known: String },
    /// The report does not know the measure.
    #[error("{measure} was not measured: {known} was")]
    NoMeasure { measure: String, known: String },
    /// A report of means alone.
    #[error("`{language}` has no values by topic: measure it again with this release")]
    NoTopics { language: String },
    /// The lists of a report differ in length.
    #[error("the values by topic of `{language}` are not one for each topic")]
    Damaged { language: String },
    /// What is not measured on the same does not compare.
    #[error("`{language}` was measured on other topics, or on a pool of another size")]
    Other { language: String },
    /// There is nothing to compare.
    #[error("no language was measured in both")]
    NoLanguage,
}

impl Comparison {
    /// Compares two systems by a measure.
    ///
    /// # Errors
    /// [`ComparisonError`] if one of the reports lacks the system, the measure, or values by topic, or if they
    /// are of other topics or pools.
    pub fn new(
        first: Side<'_>,
        second: Side<'_>,
        measure: Measure,
        draws: Draws,
    ) -> Result<Self, ComparisonError> {
        let (ours, theirs) = (first.rows(measure)?, second.rows(measure)?);
        let is_left_out =
            |language: &&str| !(ours.contains_key(language) && theirs.contains_key(language));
        let all = ours.keys().chain(theirs.keys()).copied();
        let mut left_out: Vec<String> = all.filter(is_left_out).map(str::to_owned).collect();
        left_out.sort_unstable();
        let pairs: Vec<Pair<'_>> = ours
            .iter()
            .filter_map(|(language, first)| Some(Pair::new(*first, *theirs.get(language)?)))
            .collect::<Result<_, _>>()?;
        if pairs.is_empty() {
            return Err(ComparisonError::NoLanguage);
        }
        let mut languages: Vec<_> = pairs.iter().map(|pair| pair.compared(draws)).collect();
        let alone: Vec<f64> = languages.iter().map(|row| row.p_alone).collect();
        for (row, p) in languages.iter_mut().zip(holm(&alone)) {
            row.p = p;
        }
        Ok(Self {
            measure,
            first: first.system.to_owned(),
            second: second.system.to_owned(),
            draws,
            mean: mean(&pairs, &languages, draws),
            tiers: tiers::compared(&pairs, &languages, draws),
            languages,
            left_out,
        })
    }
}

/// A language's row, and its values of the system and the measure that are compared.
type Row<'a> = (&'a LanguageRow, &'a [f64]);

impl<'a> Side<'a> {
    fn rows(self, measure: Measure) -> Result<BTreeMap<&'a str, Row<'a>>, ComparisonError> {
        let Self { report, system } = self;
        if !report.systems().iter().any(|known| known == system) {
            let (system, known) = (system.to_owned(), report.systems().join(", "));
            return Err(ComparisonError::NoSystem { system, known });
        }
        let name = measure.to_string();
        let mut rows = BTreeMap::new();
        for row in report.languages() {
            let Some(scores) = row.scores.get(system) else { continue };
            if !scores.contains_key(&name) {
                let known: Vec<&str> = scores.keys().map(String::as_str).collect();
                return Err(ComparisonError::NoMeasure { measure: name, known: known.join(", ") });
            }
            let ByTopic { ids, groups, scores } = &row.by_topic;
            let language = || row.language.clone();
            let values = scores.get(system).and_then(|scores| scores.get(&name));
            let values =
                values.ok_or_else(|| ComparisonError::NoTopics { language: language() })?;
            let whole = values.len() == ids.len() && values.iter().all(|value| value.is_finite());
            if !whole || ids.is_empty() || !(groups.is_empty() || groups.len() == ids.len()) {
                return Err(ComparisonError::Damaged { language: language() });
            }
            rows.insert(row.language.as_str(), (row, values.as_slice()));
        }
        Ok(rows)
    }
}

/// Both systems in one language.
#[derive(Clone)]
pub(super) struct Pair<'a> {
    row: &'a LanguageRow,
    first: &'a [f64],
    second: &'a [f64],
    differences: Vec<f64>,
}

impl<'a> Pair<'a> {
    fn new((row, first): Row<'a>, (other, second): Row<'a>) -> Result<Self, ComparisonError> {
        if row.by_topic.ids != other.by_topic.ids || row.passages != other.passages {
            return Err(ComparisonError::Other { language: row.language.clone() });
        }
        let differences = first.iter().zip(second).map(|(first, second)| second - first).collect();
        Ok(Self { row, first, second, differences })
    }

    /// What each topic asks for; a topic of which that is not known is the only one to ask for it.
    fn groups(&self) -> impl Iterator<Item = String> {
        let ByTopic { ids, groups, .. } = &self.row.by_topic;
        ids.iter().enumerate().map(|(at, id)| match groups.get(at) {
            Some(group) => format!("group {group}"),
            None => format!("topic {id} of {}", self.row.language),
        })
    }

    /// Without Holm yet.
    fn compared(&self, draws: Draws) -> ComparedLanguage {
        let all =
            Differences::new(&self.differences).expect("values are finite, and there are some");
        let p = randomization_test(&all, draws);
        let [first, second] = [self.first, self.second].map(mean_of);
        ComparedLanguage {
            language: self.row.language.clone(),
            topics: self.differences.len(),
            passages: self.row.passages,
            first,
            second,
            difference: second - first,
            interval: bootstrap_interval(&all, CONFIDENCE, draws),
            p,
            p_alone: p,
            p_of_t: paired_t(&self.differences).map(|test| test.p),
            effect: cohens_d(&self.differences),
            detectable: detectable_difference(&self.differences),
        }
    }
}

fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / real(values.len())
}

pub(super) fn mean(
    pairs: &[Pair<'_>],
    languages: &[ComparedLanguage],
    draws: Draws,
) -> ComparedMean {
    let groups: Vec<Vec<String>> = pairs.iter().map(|pair| pair.groups().collect()).collect();
    let named: Vec<Vec<(&str, f64)>> = groups
        .iter()
        .zip(pairs)
        .map(|(groups, pair)| {
            groups.iter().map(String::as_str).zip(pair.differences.iter().copied()).collect()
        })
        .collect();
    let all = Differences::over_languages(&named).expect("values are finite, and there are some");
    let [first, second] = [|row: &ComparedLanguage| row.first, |row: &ComparedLanguage| row.second]
        .map(|of| mean_of(&languages.iter().map(of).collect::<Vec<_>>()));
    ComparedMean {
        topics: pairs.iter().map(|pair| pair.differences.len()).sum(),
        observations: all.observations(),
        first,
        second,
        difference: second - first,
        interval: bootstrap_interval(&all, CONFIDENCE, draws),
        p: randomization_test(&all, draws),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { languages, mean, .. } = self;
        writeln!(f, "{}: {} (A) against {} (B)", self.measure, self.first, self.second)?;
        let named =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut first = vec![named(&["lang"])];
        let mut sizes = vec![named(&["topics", "pool"])];
        let mut values = vec![named(&["A", "B", "B - A"])];
        let mut interval = vec![named(&["from", "to"])];
        let mut tests = vec![named(&["p", "d", "detectable"])];
        for row in languages {
            first.push(vec![row.language.clone()]);
            let pool = if row.passages == 0 { "-".to_owned() } else { row.passages.to_string() };
            sizes.push(vec![row.topics.to_string(), pool]);
            values.push(vec![plain(row.first), plain(row.second), signed(row.difference)]);
            interval.push(row.interval.map(signed).to_vec());
            let detectable = row.detectable.map_or_else(|| "-".to_owned(), plain);
            let effect =
                row.effect.map_or_else(|| "-".to_owned(), |effect| format!("{effect:+.2}"));
            tests.push(vec![p_value(row.p), effect, detectable]);
        }
        if languages.len() > 1 {
            first.push(named(&["mean"]));
            sizes.push(vec![mean.topics.to_string(), String::new()]);
            values.push(vec![plain(mean.first), plain(mean.second), signed(mean.difference)]);
            interval.push(mean.interval.map(signed).to_vec());
            tests.push(vec![p_value(mean.p), String::new(), String::new()]);
        }
        for tier in &self.tiers {
            first.push(vec![format!("{} tier", tier.tier)]);
            sizes.push(vec![tier.topics.to_string(), String::new()]);
            values.push(vec![String::new(), String::new(), signed(tier.difference)]);
            interval.push(tier.interval.map(signed).to_vec());
            tests.push(vec![p_value(tier.p), String::new(), String::new()]);
        }
        let group = |heading: &str, rows, align| Group { heading: heading.to_owned(), rows, align };
        let fixed = [group("", first, Align::Left), group("", sizes, Align::Right)];
        let groups = [
            group("", values, Align::Right),
            group("95 % interval", interval, Align::Right),
            group("", tests, Align::Right),
        ];
        write_tables(f, &fixed, &groups)?;
        let adjusted = match languages.len() {
            1 => String::new(),
            count => format!(", Holm over {count} languages"),
        };
        writeln!(f, "p: two-sided randomization test{adjusted}; * is below .05")?;
        writeln!(f, "d: Cohen's, paired; detectable: with power .8 at .05")?;
        if let [low, high] = &self.tiers[..] {
            writeln!(
                f,
                "tiers: {} languages have less than 10 GiB in CC-100, {} more; p after Holm over both",
                low.languages, high.languages
            )?;
        }
        if mean.observations < mean.topics {
            writeln!(
                f,
                "mean: the topics ask for {} things, each one observation",
                mean.observations
            )?;
        }
        if !self.left_out.is_empty() {
            writeln!(f, "in one of both alone: {}", self.left_out.join(", "))?;
        }
        Ok(())
    }
}

fn plain(value: f64) -> String {
    format!("{value:.3}")
}

fn signed(value: f64) -> String {
    format!("{value:+.3}")
}

fn p_value(p: f64) -> String {
    let mark = if p < ALPHA { '*' } else { ' ' };
    if p < 0.001 { format!("<.001{mark}") } else { format!("{p:.3}{mark}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Collection;
    use crate::evaluation::{ByLanguage, Evaluation, LanguageScores};
    use crate::topics::Topic;

    /// Topics of languages, each with its value.
    type Values<'a> = &'a [(&'a str, &'a [(&'a str, f64)])];

    fn report(system: &str, languages: Values<'_>) -> Report {
        let measures = vec!["AP".parse().unwrap()];
        let row = |&(language, topics): &(&str, &[(&str, f64)])| {
            let mut by_topic = Evaluation::new(&measures);
            for (topic, value) in topics {
                by_topic.insert(&format!("{language}-{topic}"), vec![*value]);
            }
            (language.to_owned(), LanguageScores::new(by_topic, 9).unwrap())
        };
        let rows = languages.iter().map(row).collect();
        let mut report = Report::new("water", &measures);
        report.add(system, &ByLanguage { measures, rows }).unwrap();
        report
    }

    fn compare(first: &Report, second: &Report) -> Result<Comparison, ComparisonError> {
        let side = |report| Side { report, system: &Report::systems(report)[0] };
        let draws = Draws::new(1).rounds(1_000);
        Comparison::new(side(first), side(second), "AP".parse().unwrap(), draws)
    }

    const FIVE: [&str; 5] = ["q1", "q2", "q3", "q4", "q5"];

    fn five(values: [f64; 5]) -> Vec<(&'static str, f64)> {
        FIVE.into_iter().zip(values).collect()
    }

    #[test]
    fn the_table_says_which_differences_are_more_than_chance() {
        let low = five([0.1, 0.2, 0.1, 0.3, 0.2]);
        let high = five([0.6, 0.5, 0.7, 0.75, 0.9]);
        let one = report("bm25", &[("am", &low), ("de", &low), ("te", &low)]);
        let two = report("dense", &[("am", &high), ("de", &low), ("sw", &low)]);
        let comparison = compare(&one, &two).unwrap();
        let text = comparison.to_string();
        let expected = [
            "AP: bm25 (A) against dense (B)",
            "                                            95 % interval",
            "lang       topics pool      A     B  B - A    from     to       p     d detectable",
            "am              5    9  0.180 0.690 +0.510  +0.390 +0.620  0.125  +3.36      0.252",
            "de              5    9  0.180 0.180 +0.000  +0.000 +0.000  1.000      -          -",
            "mean           10       0.180 0.435 +0.255  +0.195 +0.310  0.062",
            "low tier        5                   +0.510  +0.390 +0.620  0.125",
            "high tier       5                   +0.000  +0.000 +0.000  1.000",
            "p: two-sided randomization test, Holm over 2 languages; * is below .05",
            "d: Cohen's, paired; detectable: with power .8 at .05",
            "tiers: 1 languages have less than 10 GiB in CC-100, 1 more; p after Holm over both",
            "in one of both alone: sw, te",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "\n{text}");
        let am = &comparison.languages[0];
        // All 5 signs alike: 2 of 2^5 ways, and Holm doubles it.
        assert!((am.p_alone - 2.0 / 32.0).abs() < 1e-12 && (am.p - 4.0 / 32.0).abs() < 1e-12);
    }

    #[test]
    fn topics_that_ask_the_same_in_two_languages_are_one_observation_of_the_mean() {
        let (low, high) = (five([0.1; 5]), five([0.2, 0.3, 0.2, 0.3, 0.2]));
        let mut one = report("a", &[("de", &low), ("sw", &low)]);
        let two = report("b", &[("de", &high), ("sw", &high)]);
        let apart = compare(&one, &two).unwrap().mean;
        assert_eq!((apart.topics, apart.observations), (10, 10));
        let topic = |language: &str, group: &str| Topic {
            id: format!("{language}-{group}"),
            group: Some(group.to_owned()),
            ..Topic::default()
        };
        let topics = ["de", "sw"].iter().flat_map(|l| FIVE.map(|group| topic(l, group))).collect();
        one.add_groups(&Collection { topics, ..Collection::default() });
        let comparison = compare(&one, &two).unwrap();
        assert_eq!((comparison.mean.topics, comparison.mean.observations), (10, 5));
        assert!((comparison.mean.difference - apart.difference).abs() < 1e-12);
        // 2 of 2^5 ways, not 2 of 2^10.
        assert!((comparison.mean.p - 2.0 / 32.0).abs() < 1e-12);
        assert!(comparison.to_string().contains("\nmean: the topics ask for 5 things"));
    }

    #[test]
    fn what_was_not_measured_on_the_same_is_refused() {
        let (five, four) = (five([0.1; 5]), five([0.1; 5])[..4].to_vec());
        let one = report("a", &[("de", &five)]);
        let language = || "de".to_owned();
        assert_eq!(
            compare(&one, &report("b", &[("de", &four)])),
            Err(ComparisonError::Other { language: language() })
        );
        assert_eq!(compare(&one, &report("b", &[("sw", &five)])), Err(ComparisonError::NoLanguage));
        let mut means_alone = one.clone();
        means_alone.languages[0].by_topic = ByTopic::default();
        assert_eq!(
            compare(&one, &means_alone),
            Err(ComparisonError::NoTopics { language: language() })
        );
        let mut damaged = one.clone();
        damaged.languages[0].by_topic.ids.pop();
        assert_eq!(compare(&damaged, &one), Err(ComparisonError::Damaged { language: language() }));
        let side = Side { report: &one, system: "a" };
        let other = Side { report: &one, system: "b" };
        let (ap, rr) = ("AP".parse().unwrap(), "RR".parse().unwrap());
        for (second, measure, message) in [
            (other, ap, "there is no system `b`: there is a"),
            (side, rr, "RR was not measured: AP was"),
        ] {
            let error = Comparison::new(side, second, measure, Draws::new(1)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}

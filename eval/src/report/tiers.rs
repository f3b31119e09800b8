//! Languages by resource tier: what much and what little text to learn from make of a difference.
//!
//! Invariant: means of one system are given where they compare alone: every language has the same topics,
//! by what they ask for, and as many passages. A pool that is smaller is easier. Differences between
//! two systems within a language are averaged everywhere.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::comparison::{ComparedLanguage, Pair, mean};
use super::text::{Align, Group, number, write_tables};
use super::{LanguageRow, Report, Scores};
use crate::languages::{Tier, facts};
use crate::measure::real;
use crate::stats::{Draws, holm};

/// The languages of a report by tier, if the tiers of two or more are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tiers {
    /// Whether all languages have the same topics and as many passages, so that means of one tier
    /// compare with those of the other.
    pub parallel: bool,
    /// The tiers that have languages, low before high.
    pub rows: Vec<TierRow>,
    /// Languages of which no tier is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// One tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierRow {
    /// The tier.
    pub tier: Tier,
    /// Its languages, sorted.
    pub languages: Vec<String>,
    /// Every pair of systems, the one that was added later less the earlier one.
    pub differences: Vec<TierDifference>,
    /// The means over its languages, by system; empty if the report is not parallel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub means: BTreeMap<String, Scores>,
}

/// How far one system is ahead of another within the languages of a tier, on average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierDifference {
    /// The system that is subtracted.
    pub first: String,
    /// The other.
    pub second: String,
    /// How many languages of the tier both were measured in.
    pub languages: usize,
    /// The mean differences, by measure.
    pub scores: Scores,
}

/// One tier of a comparison: the mean over its languages, and whether it is more than chance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedTier {
    /// The tier.
    pub tier: Tier,
    /// How many languages of it were compared.
    pub languages: usize,
    /// How many topics there are, over these.
    pub topics: usize,
    /// How many different things they ask for.
    pub observations: usize,
    /// The second system less the first, the mean over languages.
    pub difference: f64,
    /// The 95 % bootstrap interval of the difference.
    pub interval: [f64; 2],
    /// The two-sided p-value of the randomization test, after Holm over the tiers.
    pub p: f64,
}

impl Tiers {
    /// Whether there is nothing to say: fewer than two languages have a known tier.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn of(report: &Report) -> Self {
        let mut tiers: BTreeMap<Tier, Vec<&LanguageRow>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for row in &report.languages {
            match facts(&row.language) {
                Some(facts) => tiers.entry(facts.tier()).or_default().push(row),
                None => unknown.push(row.language.clone()),
            }
        }
        if tiers.values().map(Vec::len).sum::<usize>() < 2 {
            return Self::default();
        }
        let parallel = is_parallel(&report.languages);
        let names: Vec<String> = report.measures.iter().map(ToString::to_string).collect();
        let row = |(tier, rows): (Tier, Vec<&LanguageRow>)| TierRow {
            tier,
            differences: differences(&report.systems, &names, &rows),
            means: if parallel { means(&report.systems, &names, &rows) } else { BTreeMap::new() },
            languages: rows.iter().map(|row| row.language.clone()).collect(),
        };
        Self { parallel, rows: tiers.into_iter().map(row).collect(), unknown }
    }

    /// Writes the first measure; the rest is in the JSON.
    pub(super) fn write(&self, measure: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &str| vec![name.to_owned()];
        let mut first = vec![named("tier")];
        let mut sizes = vec![named("languages")];
        let pairs = self.rows.first().map(|row| row.differences.as_slice()).unwrap_or_default();
        let pairs = pairs.iter().map(|pair| format!("{} - {}", pair.second, pair.first));
        let mut differences: Vec<Vec<String>> = vec![pairs.collect()];
        let systems = self.rows.first().map(|row| row.means.keys().cloned().collect());
        let mut means: Vec<Vec<String>> = vec![systems.unwrap_or_default()];
        for row in &self.rows {
            first.push(named(&row.tier.to_string()));
            sizes.push(named(&row.languages.len().to_string()));
            let of = |pair: &TierDifference| match pair.scores.get(measure) {
                Some(difference) => format!("{difference:+.3}"),
                None => number(None, 3),
            };
            differences.push(row.differences.iter().map(of).collect());
            let of = |system: &String| {
                row.means.get(system).and_then(|scores| scores.get(measure)).copied()
            };
            means.push(means[0].iter().map(|system| number(of(system), 3)).collect());
        }
        let group = |heading: &str, rows, align| Group { heading: heading.to_owned(), rows, align };
        let fixed = [group("", first, Align::Left), group("", sizes, Align::Right)];
        let mut groups = Vec::new();
        if !differences[0].is_empty() {
            let heading = format!("{measure} within languages");
            // Each pair by itself, so that many pairs make several tables and no wide one.
            for pair in 0..differences[0].len() {
                let column = differences.iter().map(|row| vec![row[pair].clone()]).collect();
                groups.push(group(&heading, column, Align::Right));
            }
        }
        if self.parallel {
            groups.push(group(measure, means, Align::Right));
        }
        if groups.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        write_tables(f, &fixed, &groups)?;
        writeln!(f, "tier: low has less than 10 GiB in CC-100, or nothing")?;
        if !self.unknown.is_empty() {
            writeln!(f, "of no known tier: {}", self.unknown.join(", "))?;
        }
        Ok(())
    }
}

/// Whether every language has the same topics, by what they ask for, and as many passages.
fn is_parallel(languages: &[LanguageRow]) -> bool {
    let asked = |row: &LanguageRow| {
        let mut groups = row.by_topic.groups.clone();
        groups.sort_unstable();
        groups
    };
    let Some(first) = languages.first() else { return false };
    let groups = asked(first);
    let same = |row: &LanguageRow| row.passages == first.passages && asked(row) == groups;
    !groups.is_empty() && first.passages > 0 && languages.iter().all(same)
}

fn differences(
    systems: &[String],
    measures: &[String],
    rows: &[&LanguageRow],
) -> Vec<TierDifference> {
    let mut differences = Vec::new();
    for (at, second) in systems.iter().enumerate() {
        for first in &systems[..at] {
            let both = rows
                .iter()
                .filter_map(|row| Some((row.scores.get(first)?, row.scores.get(second)?)));
            let rows: Vec<(&Scores, &Scores)> = both.collect();
            let mean = |measure: &String| {
                let ahead = rows.iter().map(|(a, b)| Some(b.get(measure)? - a.get(measure)?));
                let ahead: Vec<f64> = ahead.collect::<Option<_>>()?;
                let mean = ahead.iter().sum::<f64>() / real(ahead.len());
                (!ahead.is_empty()).then(|| (measure.clone(), mean))
            };
            differences.push(TierDifference {
                first: first.clone(),
                second: second.clone(),
                languages: rows.len(),
                scores: measures.iter().filter_map(mean).collect(),
            });
        }
    }
    differences
}

/// Systems that lack a language have no mean.
fn means(
    systems: &[String],
    measures: &[String],
    rows: &[&LanguageRow],
) -> BTreeMap<String, Scores> {
    let of_system = |system: &String| {
        let scores: Vec<&Scores> =
            rows.iter().map(|row| row.scores.get(system)).collect::<Option<_>>()?;
        let mean = |measure: &String| {
            let values = scores.iter().map(|scores| scores.get(measure).copied());
            let values: Vec<f64> = values.collect::<Option<_>>()?;
            Some((measure.clone(), values.iter().sum::<f64>() / real(values.len())))
        };
        Some((system.clone(), measures.iter().filter_map(mean).collect()))
    };
    systems.iter().filter_map(of_system).collect()
}

/// The tiers of compared languages, low before high; none if all languages are of one tier.
pub(super) fn compared(
    pairs: &[Pair<'_>],
    languages: &[ComparedLanguage],
    draws: Draws,
) -> Vec<ComparedTier> {
    let mut tiers: BTreeMap<Tier, (Vec<Pair<'_>>, Vec<ComparedLanguage>)> = BTreeMap::new();
    for (pair, row) in pairs.iter().zip(languages) {
        if let Some(facts) = facts(&row.language) {
            let (pairs, rows) = tiers.entry(facts.tier()).or_default();
            pairs.push(pair.clone());
            rows.push(row.clone());
        }
    }
    if tiers.len() < 2 {
        return Vec::new();
    }
    let tier = |(tier, (pairs, rows)): (Tier, (Vec<Pair<'_>>, Vec<ComparedLanguage>))| {
        let mean = mean(&pairs, &rows, draws);
        ComparedTier {
            tier,
            languages: rows.len(),
            topics: mean.topics,
            observations: mean.observations,
            difference: mean.difference,
            interval: mean.interval,
            p: mean.p,
        }
    };
    let mut tiers: Vec<ComparedTier> = tiers.into_iter().map(tier).collect();
    let alone: Vec<f64> = tiers.iter().map(|tier| tier.p).collect();
    for (tier, p) in tiers.iter_mut().zip(holm(&alone)) {
        tier.p = p;
    }
    tiers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Collection;
    use crate::evaluation::{ByLanguage, Evaluation, LanguageScores};
    use crate::topics::Topic;

    /// Languages with their pools and AP by topic.
    type Rows<'a> = &'a [(&'a str, usize, &'a [f64])];

    fn report(systems: &[(&str, Rows<'_>)]) -> Report {
        let measures = vec!["AP".parse().unwrap()];
        let mut report = Report::new("news", &measures);
        for (system, rows) in systems {
            let rows = rows.iter().map(|&(language, passages, values)| {
                let mut by_topic = Evaluation::new(&measures);
                for (topic, value) in values.iter().enumerate() {
                    by_topic.insert(&format!("{language}-{topic}"), vec![*value]);
                }
                (language.to_owned(), LanguageScores::new(by_topic, passages).unwrap())
            });
            let scores = ByLanguage { rows: rows.collect(), measures: measures.clone() };
            report.add(system, &scores).unwrap();
        }
        report
    }

    fn group(report: &mut Report, languages: &[&str], topics: usize) {
        let topics = languages.iter().flat_map(|language| {
            (0..topics).map(move |topic| Topic {
                id: format!("{language}-{topic}"),
                group: Some(topic.to_string()),
                ..Topic::default()
            })
        });
        let topics = topics.collect();
        report.add_groups(&Collection { topics, ..Collection::default() });
    }

    const BM25: Rows<'_> =
        &[("am", 9, &[0.25, 0.5]), ("sw", 9, &[0.5, 0.75]), ("de", 9, &[0.75, 1.0])];
    const DENSE: Rows<'_> =
        &[("am", 9, &[0.5, 0.75]), ("sw", 9, &[0.625, 0.875]), ("de", 9, &[0.75, 0.875])];

    #[test]
    fn differences_are_averaged_within_tiers_and_means_where_all_is_parallel() {
        let mut report = report(&[("bm25", BM25), ("dense", DENSE)]);
        assert!(!report.tiers().parallel && report.tiers().rows[0].means.is_empty());
        group(&mut report, &["am", "sw", "de"], 2);
        let tiers = report.tiers();
        assert!(tiers.parallel);
        let [low, high] = &tiers.rows[..] else { panic!("{tiers:?}") };
        assert_eq!((low.tier, &low.languages[..]), (Tier::Low, &["am".into(), "sw".into()][..]));
        assert_eq!((high.tier, high.differences[0].languages), (Tier::High, 1));
        let close = |value: f64, wanted: f64| (value - wanted).abs() < 1e-12;
        assert!(close(low.differences[0].scores["AP"], f64::midpoint(0.25, 0.125)));
        assert!(close(high.differences[0].scores["AP"], -0.125 / 2.0));
        assert!(close(low.means["bm25"]["AP"], f64::midpoint(0.375, 0.625)));
        let text = report.to_string();
        let expected = [
            "",
            "                 AP within languages  AP",
            "tier  languages         dense - bm25   bm25 dense",
            "low           2               +0.188  0.500 0.688",
            "high          1               -0.062  0.875 0.812",
            "tier: low has less than 10 GiB in CC-100, or nothing",
        ];
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[lines.len() - expected.len()..], expected, "\n{text}");
        assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
        assert!(report.to_json().contains(r#""by_tier":{"parallel":true,"rows":[{"tier":"low","#));
    }

    #[test]
    fn pools_or_topics_that_differ_are_not_parallel() {
        for (passages, values) in [(8, &[0.5, 0.5][..]), (9, &[0.5][..])] {
            let rows: Rows<'_> = &[("am", 9, &[0.2, 0.4]), ("de", passages, values)];
            let mut report = report(&[("bm25", rows)]);
            group(&mut report, &["am", "de"], values.len().max(2));
            assert!(!report.tiers().parallel && !report.tiers().is_empty());
            assert!(!report.to_string().contains("tier"), "{report}");
        }
    }

    #[test]
    fn a_language_that_one_system_lacks_counts_for_the_others_alone() {
        let few: Rows<'_> = &[("am", 9, &[0.375, 0.625])];
        let report = report(&[("bm25", BM25), ("other", few)]);
        let [low, high] = &report.tiers().rows[..] else { panic!("{report:?}") };
        assert_eq!((low.differences[0].languages, high.differences[0].languages), (1, 0));
        assert!((low.differences[0].scores["AP"] - 0.125).abs() < 1e-12);
        assert!(high.differences[0].scores.is_empty());
        assert!(report.to_string().contains("high          1                    -"), "{report}");
    }

    #[test]
    fn languages_without_a_tier_are_named_and_one_language_has_no_tiers() {
        let rows: Rows<'_> = &[("am", 9, &[0.2]), ("de", 9, &[0.2]), ("tlh", 9, &[0.2])];
        let some = report(&[("a", rows), ("b", rows)]);
        assert_eq!(some.tiers().unknown, ["tlh"]);
        assert!(some.to_string().ends_with("of no known tier: tlh\n"), "{some}");
        assert!(report(&[("a", &rows[1..])]).tiers().is_empty());
        assert!(!report(&[("a", &rows[1..])]).to_json().contains("by_tier"));
    }
}

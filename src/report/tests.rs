//! Pages of made-up reports.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Topics of one language: what the first system made of them, and the second.
type Values<'a> = (&'a str, &'a [f64], &'a [f64]);

/// Eight topics, their mean is .203; sums of eighths are exact.
const LOW: [f64; 8] = [0.125, 0.25, 0.125, 0.375, 0.25, 0.125, 0.25, 0.125];

/// A report of two systems by AP and RR, RR being twice AP where that is possible.
fn report_of(systems: [&str; 2], languages: &[Values<'_>]) -> Report {
    #[expect(clippy::cast_precision_loss, reason = "a few topics")]
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let twice = |values: &[f64]| values.iter().map(|v| (2.0 * v).min(1.0)).collect::<Vec<_>>();
    let rows = languages.iter().map(|(language, first, second)| {
        let ids: Vec<_> = (0..first.len()).map(|at| format!("{language}-{at}")).collect();
        let curve = |first: f64| {
            json!([{"depth": 1, "recall": first}, {"depth": 2, "recall": 0.8},
                                        {"depth": 5, "recall": 1.0}])
        };
        json!({
            "language": language, "topics": ids.len(), "passages": 1200,
            "scores": {
                systems[0]: {"AP": mean(first), "RR": mean(&twice(first))},
                systems[1]: {"AP": mean(second), "RR": mean(&twice(second))},
            },
            "by_topic": {"ids": ids, "scores": {
                systems[0]: {"AP": first, "RR": twice(first)},
                systems[1]: {"AP": second, "RR": twice(second)},
            }},
            "recall": {systems[0]: curve(0.25), systems[1]: curve(0.5)},
        })
    });
    let report = json!({
        "collection": "water",
        "facts": {"command": "tdense eval --data water", "machine": {"threads": 2}},
        "measures": ["AP", "RR"], "systems": systems, "languages": rows.collect::<Vec<_>>(),
        "mean": {}, "settings": [],
    });
    serde_json::from_value(report).unwrap()
}

/// Better in `de` beyond chance, worse in `sw`, and nothing to see in `te`.
fn water() -> Report {
    let high = [0.625, 0.5, 0.75, 0.875, 1.0, 0.625, 0.75, 0.5];
    let mixed = [0.125, 0.375, 0.125, 0.25, 0.25, 0.25, 0.125, 0.125];
    let languages =
        [("de", LOW.as_slice(), high.as_slice()), ("sw", &high, &LOW), ("te", &LOW, &mixed)];
    with(report_of(["bm25", "dense"], &languages), |report| {
        let pair = |topics_in: &str, passages_in: &str, value: f64| {
            json!({"topics_in": topics_in, "passages_in": passages_in, "topics": 8, "passages": 1200,
                   "scores": {"dense": {"AP": value, "RR": value}}})
        };
        report["pairs"] =
            json!([pair("de", "de", 0.7), pair("de", "sw", 0.5), pair("sw", "de", 0.25)]);
        report["settings"] = json!([{"system": "dense", "measure": "AP", "mono": 0.7, "cross": 0.375,
                                     "pairs": 2, "multi": null, "rank_distance": 12.0}]);
        let answer = |system: &str, value: f64, relevant: bool| {
            let hit = json!({"id": "p", "text": "Wasser fließt bergab.", "relevant": relevant});
            json!({"system": system, "value": value, "hits": [hit],
                   "first_relevant": relevant.then_some(1)})
        };
        let answers = [answer("bm25", 0.1, false), answer("dense", 0.6, true)];
        report["examples"] = json!([{"language": "de", "topic": "de-0", "measure": "AP",
                                     "text": "Wohin fließt Wasser?", "answers": answers}]);
    })
}

/// The same report with something changed in its JSON.
fn with(report: Report, change: impl Fn(&mut Value)) -> Report {
    let mut value = serde_json::to_value(report).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn find(report: &Report) -> Findings<'_> {
    find_by_tier(report, &|_| None)
}

fn find_by_tier<'a>(report: &'a Report, tier: TierOf<'_>) -> Findings<'a> {
    let draws = Draws::new(1).rounds(500);
    Findings::new(Question::about(report, draws), tier, NonZeroUsize::new(3).unwrap()).unwrap()
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/report").join(name)
}

fn pages() -> [(&'static str, String); 3] {
    let report = water();
    let findings = find(&report);
    [
        ("water.html", html(&findings).unwrap()),
        ("water.md", markdown(&findings)),
        ("water.csv", csv(&findings).unwrap()),
    ]
}

#[test]
fn the_pages_of_a_small_report_are_those_that_were_looked_at() {
    for (name, page) in pages() {
        let looked_at = fs::read_to_string(golden(name)).unwrap_or_default();
        if page != looked_at {
            // For whoever changed it to look at, and to put in its place.
            let changed = std::env::temp_dir().join(name);
            fs::write(&changed, page).unwrap();
            panic!("{name} has changed: {} is what it is now", changed.display());
        }
    }
}

/// What would make a browser ask for something else.
const LOADS: [&str; 8] =
    ["http://", "https://", " src=", " href=", "url(", "@import", "<link", "<iframe"];

#[test]
fn a_page_loads_nothing_and_says_so() {
    let page = html(&find(&water())).unwrap();
    for loads in LOADS {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn no_text_becomes_a_tag_wherever_it_stands() {
    let evil = "<script>alert('x')</script>\"><img onerror=x>|[a](b)";
    let report = report_of([evil, "dense"], &[(evil, &[0.5, 0.25], &[0.75, 1.0])]);
    let report = with(report, |report| {
        report["collection"] = json!(evil);
        report["facts"] = json!({evil: {evil: evil}});
        let hit = json!({"id": evil, "text": evil, "relevant": true});
        let answer = json!({"system": evil, "value": 0.5, "first_relevant": 1, "hits": [hit]});
        let mut better = answer.clone();
        better["value"] = json!(1.0);
        report["examples"] = json!([{"language": evil, "topic": evil, "text": evil, "measure": "AP",
                                     "answers": [answer, better]}]);
        let pair = |from: &str, to: &str| {
            json!({"topics_in": from, "passages_in": to, "topics": 1, "passages": 1,
                   "scores": {evil: {"AP": 0.5}}})
        };
        report["pairs"] = json!([pair(evil, "de"), pair("de", evil)]);
        report["settings"] = json!([{"system": evil, "measure": "AP", "mono": 0.5, "cross": 0.5,
                                     "pairs": 2, "multi": 0.5, "rank_distance": null}]);
    });
    let findings = find_by_tier(&report, &|_| Some(Tier { place: 0, name: evil.to_owned() }));
    let page = html(&findings).unwrap();
    assert_eq!(page.matches("<script").count(), 1, "ours");
    assert!(!page.contains("<img") && page.contains("&lt;script&gt;alert("));
    let text = markdown(&findings);
    assert!(!text.contains('<') && !text.contains("[a]"), "{text}");
    let row = text.lines().find(|line| line.starts_with("| &lt;script")).unwrap();
    assert_eq!(row.replace("\\|", "").matches('|').count(), 1 + 6, "{row}");
    let csv = csv(&findings).unwrap();
    let mut lines = ::csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(&lines.records().next().unwrap().unwrap()[0], evil);
}

#[test]
fn a_better_system_is_called_better_only_as_far_as_the_test_goes() {
    let verdict = |report: &Report| find(report).verdict().join(" ");
    let low = LOW;
    let high = low.map(|value| value + 0.5);
    let both = ["bm25", "dense"];
    let everywhere = report_of(both, &[("de", &low, &high), ("sw", &low, &high)]);
    let text = verdict(&everywhere);
    assert!(
        text.starts_with(
            "dense ranks better than bm25: it is ahead in 2 of 2 languages, significantly in 2 \
             (two-sided paired randomization test, p < 0.05, Holm-corrected over the languages). AP \
             is on average 0.703 with dense and 0.203 with bm25, a difference of +0.500"
        ),
        "{text}"
    );
    let reversed = report_of(both, &[("de", &high, &low), ("sw", &high, &low)]);
    assert!(verdict(&reversed).starts_with("bm25 ranks better than dense: it is ahead in 2 of 2"));
    let undecided = verdict(&water());
    assert!(
        undecided.starts_with(
            "On average, bm25 and dense cannot be told apart: dense is ahead in 1 of 3 languages, \
             significantly in 1, and bm25 in 1, significantly in 1"
        ),
        "{undecided}"
    );
    assert!(undecided.contains("would mostly have gone unseen"), "{undecided}");
    let mut languages = ["am", "bn", "de", "sw"].map(|l| (l, &low[..], &high[..])).to_vec();
    languages.push(("te", &high, &low));
    let mostly = verdict(&report_of(both, &languages));
    assert!(
        mostly.starts_with("dense ranks better than bm25 on average, but not everywhere")
            && mostly.contains("significantly in 4; bm25 is significantly better in 1 ("),
        "{mostly}"
    );
    let few = verdict(&report_of(both, &[("de", &low[..2], &high[..2])]));
    assert!(few.starts_with("bm25 and dense cannot be told apart (two-sided"), "{few}");
    assert!(!few.contains(" 1 of 1 ") && !few.contains("on average"), "{few}");
}

#[test]
fn one_system_is_shown_without_a_rival() {
    let report = with(water(), |report| report["systems"] = json!(["dense"]));
    let page = html(&find(&report)).unwrap();
    assert!(page.contains("dense reaches AP 0.370 on average over 3 languages."), "{page}");
    assert!(!page.contains("Differences") && page.contains("Recall"));
}

#[test]
fn every_score_has_its_topics_and_its_pool_beside_it_and_what_is_significant_a_mark() {
    let text = markdown(&find(&water()));
    for line in
        ["| de | 8 | 1\u{202f}200 | 0.203 | 0.703 ▲ |", "| te | 8 | 1\u{202f}200 | 0.203 | 0.203 |"]
    {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn no_score_is_less_than_nothing() {
    assert_eq!([-0.0, 0.0, 0.5].map(tables::plain), ["0.000", "0.000", "0.500"]);
}

#[test]
fn differences_are_averaged_within_a_tier() {
    let tier = |language: &str| match language {
        "de" => Some(Tier { place: 0, name: "high".to_owned() }),
        "sw" => Some(Tier { place: 1, name: "low".to_owned() }),
        _ => None,
    };
    let report = water();
    let findings = find_by_tier(&report, &tier);
    let text = markdown(&findings);
    let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} in\n{text}"));
    assert!(at("| high | 1 | +0.500 |") < at("| low | 1 | −0.500 |"));
    let page = html(&findings).unwrap();
    let places: Vec<_> = ["high\n</text>", "low\n</text>", "no tier known\n</text>"]
        .map(|name| page.find(name).unwrap())
        .into();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_heat_map_has_a_cell_for_each_pair_that_was_measured() {
    let names: Vec<String> = (0..11).map(|at| format!("l{at:02}")).collect();
    let languages = names.iter().map(String::as_str).collect();
    let mut values = vec![vec![Some(0.5); 11]; 11];
    values[3][4] = None;
    let plot = plots::heat(&tables::Matrix { languages, values }, 1).unwrap();
    assert_eq!(plot.body.matches("<rect").count(), 120);
    assert_eq!(plot.body.matches(".50\n</text>").count(), 120);
    assert_eq!(plot.body.matches("var(--s1)").count(), 120);
    assert!(!plot.body.contains('#') && !plot.body.contains("font-family"));
}

#[test]
fn csv_has_a_line_for_each_language_system_and_measure_and_reads_back() {
    let report = water();
    let text = csv(&find(&report)).unwrap();
    let lines: Vec<::csv::StringRecord> =
        ::csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), (3 + 1) * 2 * 2);
    let line = lines.iter().find(|line| &line[0] == "de" && &line[4] == "dense").unwrap();
    let value: f64 = line[6].parse().unwrap();
    assert_eq!(value.to_bits(), report.languages()[0].scores["dense"]["AP"].to_bits());
    assert_eq!((&line[9], &line[18]), ("bm25", "true"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_report_becomes_a_page_or_is_refused(
        languages in prop::collection::vec(
            ("[a-z]{1,9}", prop::collection::vec((-2.0..2.0_f64, -2.0..2.0_f64), 1..5)),
            0..4,
        ),
        (tier, pairs) in (any::<bool>(), any::<bool>()),
    ) {
        let languages: std::collections::BTreeMap<_, _> = languages.into_iter().collect();
        let split: Vec<(String, Vec<f64>, Vec<f64>)> = languages
            .into_iter()
            .map(|(language, values)| (language, values.iter().map(|v| v.0).collect(), values.iter().map(|v| v.1).collect()))
            .collect();
        let values: Vec<Values<'_>> = split.iter().map(|(l, a, b)| (l.as_str(), &a[..], &b[..])).collect();
        let mut report = report_of(["a", "b"], &values);
        if pairs {
            report = with(report, |report| {
                report["pairs"] = json!([{"topics_in": "x", "passages_in": "y", "topics": 1, "passages": 1,
                                          "scores": {"a": {"AP": 7.0}, "b": {}}}]);
            });
        }
        let tiers = |language: &str| {
            (tier && language.len().is_multiple_of(2)).then(|| Tier { place: 1, name: "even".to_owned() })
        };
        let asked = Question::about(&report, Draws::new(1).rounds(20));
        if let Ok(findings) = Findings::new(asked, &tiers, NonZeroUsize::MIN) {
            prop_assert!(html(&findings).unwrap().ends_with("</html>"));
            markdown(&findings);
            csv(&findings).unwrap();
        } else {
            prop_assert!(values.is_empty());
        }
    }
}

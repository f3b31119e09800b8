//! BM25 in earnest: against bm25s, against what `tdense eval` measures, and what the command says of it.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tantivy_dense::bm25::{CompareOptions, Lengths, Parameters, TermIndex, compare_analyses};
use tantivy_dense::eval::stats::Draws;
use tantivy_dense::eval::{Collection, Pool, Topic, ranked_settings};
use tantivy_dense::indexer::{Analysis, Analyzers};
use tantivy_dense::retrievers::Bm25Retriever;

use crate::support::{Bench, parallel};

/// The command with an encoder that needs no model.
fn with_toy<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--model", "toy"]].concat()
}

#[derive(Deserialize)]
struct Golden {
    passages: Vec<Vec<String>>,
    queries: Vec<Vec<String>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    k1: f64,
    b: f64,
    scores: Vec<Vec<f64>>,
}

#[test]
fn scores_are_those_of_bm25s() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/eval/bm25.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let index = TermIndex::new(golden.passages, Lengths::Exact);
    assert!(golden.cases.len() >= 4);
    for Case { k1, b, scores } in golden.cases {
        let weights = index.weights(Parameters { k1, b });
        for (query, expected) in golden.queries.iter().zip(scores) {
            for (ours, theirs) in index.scores(&weights, query).into_iter().zip(expected) {
                // Their method leaves this factor out.
                let theirs = theirs * (k1 + 1.0);
                assert!((ours - theirs).abs() < 1e-6, "{query:?} at {k1}, {b}: {ours} {theirs}");
            }
        }
    }
}

fn collection() -> Collection {
    Collection::open(Path::new(&parallel())).unwrap()
}

#[test]
fn an_analysis_is_worth_what_an_index_with_it_finds() {
    let (collection, measures) = (collection(), ["AP".parse().unwrap()]);
    for written in ["stem", "word+ngram4", "word/icu"] {
        let analysis: Analysis = written.parse().unwrap();
        let options = CompareOptions::new(Draws::new(1).rounds(10)).analyses(vec![analysis]);
        let report = compare_analyses(std::slice::from_ref(&collection), &options, |_| {});
        let retriever = Bm25Retriever::new(&collection, Analyzers::only(analysis)).unwrap();
        let search = |topic: &Topic, pool: Pool<'_>| retriever.search(topic, pool, usize::MAX);
        let settings = ranked_settings(&collection, &measures, NonZeroUsize::MIN, search).unwrap();
        assert_eq!(report.languages.len(), 14);
        for rows in report.languages {
            let ours = rows.analyses.iter().find(|row| row.analysis == analysis).unwrap().ap;
            let indexs = settings.mono()[&rows.language].mean().unwrap()[0];
            // Tantivy adds scores up in 32 bits, so that two passages may change places.
            assert!((ours - indexs).abs() < 1e-3, "{written} {}: {ours} {indexs}", rows.language);
        }
    }
}

#[test]
fn a_comparison_is_the_same_with_any_number_of_threads() {
    let collections = [collection()];
    let report = |threads| {
        let options = CompareOptions::new(Draws::new(3).rounds(100));
        let options = options.threads(NonZeroUsize::new(threads).unwrap());
        compare_analyses(&collections, &options, |_| {})
    };
    assert_eq!(report(1), report(3));
}

#[test]
fn analyses_are_compared_in_a_table_and_in_json() {
    let bench = Bench::new();
    let data = parallel();
    let arguments = ["eval", "bm25", "--data", &data, "--languages", "sw,zh", "--rounds", "200"];
    let table = bench.run(&arguments).expect(0).stdout;
    for word in ["| sw | parallel | 40 | 20 |", "| zh |", "/icu ", "prefix5 ", "k1, b by fold"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    let json = bench.run(&[&arguments[..], &["--json", "--analyses", "ngram4"]].concat());
    let report: Value = serde_json::from_str(&json.expect(0).stdout).unwrap();
    let sw = &report["languages"][0];
    assert_eq!((&sw["language"], &sw["topics"]), (&"sw".into(), &40.into()));
    assert_eq!(sw["analyses"][1]["analysis"], "ngram4");
    assert!(sw["analyses"][1]["against"]["adjusted"].as_f64().unwrap() <= 1.0);
    assert_eq!(sw["parameters"]["chosen"].as_array().unwrap().len(), 5);

    let wrong = [&arguments[..], &["--analyses", "ngram1"]].concat();
    assert!(bench.run(&wrong).expect(2).stderr.contains("`ngram1` names no analysis"));
    let none = bench.run(&["eval", "bm25", "--data", &data, "--languages", "xx"]).expect(1);
    assert!(none.stderr.contains("no query has a relevant passage"), "{none:#?}");
}

#[test]
fn weighted_fusion_and_detection_are_further_systems() {
    let bench = Bench::new();
    let data = parallel();
    let arguments =
        ["eval", "--data", &data, "--split", "multi", "--json", "--detect", "--systems"];
    let arguments = with_toy(&[&arguments[..], &["bm25,dense,weighted"]].concat());
    let json = bench.run(&arguments).expect(0).stdout;
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        report["systems"],
        serde_json::json!(["bm25", "bm25-detected", "dense", "weighted"])
    );
    let weights = &report["facts"]["weights of parallel"]["sw"];
    for pool in ["own", "other", "all"] {
        assert_eq!(weights[pool].as_array().unwrap().len(), 5, "{weights}");
    }
    assert_eq!(json, bench.run(&arguments).expect(0).stdout);
}

#[test]
fn an_explained_score_is_the_sum_of_what_its_terms_add() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    let search = |more: &[&str]| {
        let arguments =
            ["search", "idx", "the moon and the water of the sea", "--explain", "--json"];
        let ran = bench.run(&with_toy(&[&arguments[..], more].concat())).expect(0);
        let lines: Vec<Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!lines.is_empty());
        lines
    };
    let close = |a: &Value, b: f64| (a.as_f64().unwrap() - b).abs() < 1e-4;
    for found in search(&["--mode", "bm25"]) {
        let terms = found["why"]["terms"].as_array().unwrap();
        let sum: f64 = terms.iter().map(|part| part["adds"].as_f64().unwrap()).sum();
        assert!(close(&found["score"], sum), "{found}");
        assert_eq!(found["why"]["words"]["rank"], found["rank"]);
    }
    for found in search(&["--mode", "dense"]) {
        assert_eq!(found["why"]["meaning"]["score"], found["score"]);
        assert_eq!(found["why"]["words"], Value::Null);
    }
    let part = |place: &Value| place["rank"].as_f64().map_or(0.0, |rank| 1.0 / (60.0 + rank));
    for found in search(&[]) {
        let why = &found["why"];
        assert!(close(&found["score"], part(&why["words"]) + part(&why["meaning"])), "{found}");
    }
    let weighted = search(&["--fusion", "weighted", "--weight", ".7"]);
    let place = &weighted[0]["why"]["meaning"]["weight"];
    assert!(close(place, 0.7), "{place}");

    let shown = ["search", "idx", "the water of the sea", "--explain", "--mode", "bm25"];
    let shown = bench.run(&with_toy(&shown)).expect(0).stdout;
    assert!(shown.contains("\n     bm25: rank 1, score ") && shown.contains(" = "), "{shown}");
}

#[test]
fn a_weight_without_its_fusion_and_one_out_of_range_are_refused() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    let lone = bench.run(&with_toy(&["search", "idx", "sea", "--weight", ".5"])).expect(1);
    assert!(lone.stderr.contains("--fusion weighted"), "{lone:#?}");
    for weight in ["0", "1", "NaN", "x"] {
        let arguments = ["search", "idx", "sea", "--fusion", "weighted", "--weight", weight];
        assert!(bench.run(&with_toy(&arguments)).expect(2).stderr.contains("above 0 and below 1"));
    }
}

#[test]
fn an_index_analysed_by_a_later_release_is_refused() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    let meta = std::fs::read_to_string(bench.path("idx/meta.json")).unwrap();
    assert!(meta.contains("\"tdense-2\""), "{meta}");
    std::fs::write(bench.path("idx/meta.json"), meta.replace("tdense-2", "tdense-9")).unwrap();
    let ran = bench.run(&["search", "idx", "sea", "--mode", "bm25"]).expect(1);
    assert!(ran.stderr.contains("analysed as `tdense-9`"), "{ran:#?}");
}

#[test]
fn a_completion_script_knows_the_subcommands() {
    let bench = Bench::new();
    for shell in ["bash", "fish", "zsh", "powershell", "elvish"] {
        let script = bench.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("optimize") && script.contains("explain"), "{shell}");
    }
    bench.run(&["completions", "cmd"]).expect(2);
}

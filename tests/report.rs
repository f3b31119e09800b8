//! `--report` as a user sees it.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, parallel};

/// Measures `fixtures/parallel` across its languages and writes a report.
fn measure(bench: &Bench, name: &str) -> String {
    let data = parallel();
    let arguments =
        ["eval", "--data", &data, "--split", "multi", "--model", "toy", "--report", name];
    let ran = bench.run(&arguments).expect(0);
    assert!(ran.stderr.contains(&format!("report: {name}\n")), "{ran:#?}");
    assert!(ran.stdout.contains("nDCG@10") && !ran.stdout.contains("R@1 "), "{ran:#?}");
    fs::read_to_string(bench.path(name)).unwrap()
}

#[test]
fn a_page_says_what_was_run_and_on_what_and_loads_nothing() {
    let bench = Bench::new();
    let page = measure(&bench, "out.html");
    for part in [
        "bm25, dense and hybrid on parallel",
        "tdense eval --data ",
        "corpus.jsonl",
        "1f06a40c6dbe8fa54c172871b3118a10480b241b3a0d8e8c625c97e43ea6808c",
        "toy",
        "Queries that gain most",
        "Queries that lose most",
        "Across languages",
        "Recall",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for loads in ["http://", "https://", " src=", "url(", "@import"] {
        assert!(!page.contains(loads), "{loads}");
    }
    // The last of them alone is there, not what it was made from.
    assert_eq!(fs::read_dir(bench.path(".")).unwrap().count(), 1);
}

#[test]
fn the_ending_says_what_is_written_and_json_can_be_compared_again() {
    let bench = Bench::new();
    assert!(measure(&bench, "out.md").starts_with("# bm25, dense and hybrid on parallel\n"));
    assert!(
        measure(&bench, "out.csv").starts_with("language,tier,topics,pool,system,measure,value")
    );
    let json: Value = serde_json::from_str(&measure(&bench, "out.json")).unwrap();
    assert_eq!(json["comparisons"].as_array().unwrap().len(), 2 * 4);
    assert_eq!(json["pairs"].as_array().unwrap().len(), 14 * 14);
    let compare = ["eval", "compare", "out.json", "out.json", "--systems", "dense"];
    let ran = bench.run(&[&compare[..], &["--report", "compared.html"]].concat()).expect(0);
    assert!(ran.stderr.contains("report: compared.html"), "{ran:#?}");
    let page = fs::read_to_string(bench.path("compared.html")).unwrap();
    assert!(page.contains("dense (A) and dense (B) cannot be told apart"), "{page}");
}

#[test]
fn a_run_of_another_system_has_a_report_too() {
    let bench = Bench::new();
    bench.file("qrels.txt", "q1 0 a 1\nq2 0 b 1\n");
    bench.file("mine.trec", "q1 Q0 a 1 2 mine\nq2 Q0 a 1 2 mine\nq2 Q0 b 2 1 mine\n");
    let eval = ["eval", "--run", "mine.trec", "--qrels", "qrels.txt", "--measures", "RR"];
    bench.run(&[&eval[..], &["--report", "mine.md"]].concat()).expect(0);
    let page = fs::read_to_string(bench.path("mine.md")).unwrap();
    assert!(page.contains("mine reaches RR 0.750."), "{page}");
    assert!(page.contains("sha256: mine.trec"), "{page}");
}

#[test]
fn what_cannot_be_written_is_said_before_anything_is_measured() {
    let bench = Bench::new();
    let eval = |file| bench.run(&["eval", "--data", "none", "--report", file]);
    let ran = eval("out.pdf").expect(2);
    assert!(ran.stderr.contains("the name must end in .html, .md, .csv or .json"), "{ran:#?}");
    let ran = eval("no/out.html").expect(1);
    assert!(ran.stderr.contains("no: there is no such folder to write the report in"), "{ran:#?}");
}

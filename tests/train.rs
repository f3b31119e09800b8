//! `tdense train` from end to end, with the encoder that needs no model.

use std::fmt::Write;
use std::fs;
use std::io::BufReader;
use std::path::Path;

use tantivy_dense::model::HeadFile;

use super::imports::publish;
use super::support::cache::library;
use super::support::{Bench, parallel, read_until};

/// Questions and passages in two languages, and across them.
fn pairs(bench: &Bench) {
    let mut lines = String::new();
    for at in 0..120 {
        for (query, passage) in [("en", "en"), ("sw", "sw"), ("sw", "en")] {
            writeln!(
                lines,
                r#"{{"query": "{query} question number {at} of many", "positive": "{passage} answer {at}, which is long enough", "lq": "{query}", "lp": "{passage}", "src": "mine", "licence": "MIT", "title": "{at}"}}"#
            )
            .unwrap();
        }
    }
    bench.file("pairs.jsonl", lines);
}

const SMALL: [&str; 21] = [
    "--part",
    "linear",
    "--model",
    "toy",
    "--batch",
    "8",
    "--least-sets",
    "8",
    "--steps",
    "30",
    "--validate-every",
    "10",
    "--checkpoint-every",
    "7",
    "--dev-share",
    "0.2",
    "--dev-queries",
    "5",
    "--lr",
    "0.001",
    "--json",
];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let start = ["train", "--pairs", "pairs.jsonl"];
    start.into_iter().chain(SMALL).chain(more.iter().copied()).collect()
}

fn checkpoint(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("checkpoints/step-00000030.safetensors")).unwrap()
}

#[test]
fn a_run_that_is_killed_and_goes_on_ends_with_the_same_bytes() {
    let bench = Bench::new();
    pairs(&bench);
    let whole = bench.run(&train(&["--out", "whole"])).expect(0);
    let outcome: serde_json::Value = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!((&outcome["steps"], &outcome["stopped"]), (&30.into(), &"finished".into()));
    assert!(whole.stderr.contains("development set: "), "{}", whole.stderr);
    for curve in ["log.jsonl", "curves.svg"] {
        assert!(bench.path("whole").join(curve).is_file());
    }
    let arguments = train(&["--out", "killed", "--resume"]);
    let mut child = bench.spawn(&arguments);
    read_until(&mut BufReader::new(child.stderr.take().unwrap()), "step 10 of 30");
    child.kill().unwrap();
    child.wait().unwrap();
    let again = bench.run(&arguments).expect(0);
    assert_eq!(again.stdout, whole.stdout);
    assert_eq!(checkpoint(&bench.path("killed")), checkpoint(&bench.path("whole")));
    let taken = bench.run(&train(&["--out", "whole"])).expect(1);
    assert!(taken.stderr.contains("a run is here already"), "{}", taken.stderr);
}

#[test]
fn evaluation_data_is_refused_by_its_texts_and_by_its_place() {
    let bench = Bench::new();
    pairs(&bench);
    bench.file(
        "test/texts.txt",
        "SW question number 7 of many\nen answer 9, which is long enough\n",
    );
    let ran = bench.run(&train(&["--out", "a", "--exclude", "test"])).expect(0);
    assert!(ran.stderr.contains("4 sets refused for 2 texts"), "{}", ran.stderr);
    bench.file("test/pairs.jsonl", fs::read(bench.path("pairs.jsonl")).unwrap());
    let arguments = [
        "train",
        "--pairs",
        "test/pairs.jsonl",
        "--out",
        "b",
        "--exclude",
        "test",
        "--model",
        "toy",
    ];
    let refused = bench.run(&arguments).expect(1);
    assert!(refused.stderr.contains("is evaluation data"), "{}", refused.stderr);
}

#[test]
fn a_sweep_compares_ratios_and_does_not_repeat_what_is_done() {
    let bench = Bench::new();
    pairs(&bench);
    let sweep = |bench: &Bench| {
        let mut arguments = vec!["train", "sweep", "--pairs", "pairs.jsonl"];
        arguments.extend(SMALL.iter().filter(|option| **option != "--json"));
        arguments.extend(["--alpha", "0,1", "--seeds", "2", "--out", "grid"]);
        bench.run(&arguments).expect(0)
    };
    let first = sweep(&bench);
    let rows: Vec<&str> = first.stdout.lines().collect();
    assert!(rows[2].starts_with("| untrained | - | "), "{}", first.stdout);
    assert!(rows[3].starts_with("| 0 | 2 | ") && rows[3].contains(" ± "), "{}", first.stdout);
    assert!(rows[4].starts_with("| 1 | 2 | "), "{}", first.stdout);
    assert_eq!(fs::read_to_string(bench.path("grid/sweep.md")).unwrap(), first.stdout);
    let second = sweep(&bench);
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("going on after 30 steps"), "{}", second.stderr);
}

#[test]
fn the_untrained_encoder_is_opened_only_where_it_is_asked() {
    let Some(library) = library() else { return };
    let bench = Bench::new();
    pairs(&bench);
    publish("bert", &bench.path("published"));
    bench.run(&["model", "import", "published", "--name", "tiny"]).expect(0);
    let int8 = bench.path("cache/models/tiny/model.int8.onnx");
    // As many bytes, so that the folder opens.
    fs::write(&int8, vec![0; fs::read(&int8).unwrap().len()]).unwrap();
    let train = |more: &[&str]| {
        let start = ["train", "--pairs", "pairs.jsonl", "--model", "tiny", "--rank", "2"];
        let short = ["--batch", "8", "--least-sets", "8", "--steps", "2", "--dev-share", "0.2"];
        let runtime = ["--onnxruntime", library.to_str().unwrap()];
        bench.run(&[&start[..], &short, &runtime, more].concat())
    };
    train(&["--out", "a"]).expect(0);
    let made = fs::read_dir(bench.path("a")).unwrap().map(|entry| entry.unwrap().path());
    assert!(!made.into_iter().any(|file| file.extension().is_some_and(|end| end == "tdvc")));
    for (out, asking) in
        [("b", ["--keep", "1"]), ("c", ["--english", "1"]), ("d", ["--focus", "pairs=1"])]
    {
        let ran = train(&[&["--out", out], &asking[..]].concat()).expect(1);
        assert!(ran.stderr.contains("model.int8.onnx"), "{ran:#?}");
    }
}

#[test]
fn what_cannot_be_trained_on_is_said() {
    let bench = Bench::new();
    bench.file("pairs.jsonl", "{\"query\": \"q\"}\n");
    let bad = bench.run(&train(&["--out", "a"])).expect(1);
    assert!(bad.stderr.contains("pairs.jsonl, line 1"), "{}", bad.stderr);
    bench.run(&["train", "--out", "a"]).expect(2);
    let kind = bench.run(&["train", "--pairs", "pairs.jsonl:x", "--out", "a"]).expect(2);
    assert!(kind.stderr.contains("no kind of training data"), "{}", kind.stderr);
}

#[test]
fn a_trained_matrix_is_measured_beside_the_vectors_it_was_trained_on() {
    let bench = Bench::new();
    pairs(&bench);
    bench.run(&train(&["--out", "run"])).expect(0);
    let trained = fs::read(bench.path("run/head.safetensors")).unwrap();
    let trained = HeadFile::from_bytes(&trained).unwrap();
    // Half of the numbers alone.
    let half = ndarray::Array2::from_shape_fn((trained.dim(), trained.dim()), |(row, column)| {
        if row == column && row % 2 == 0 { 1.0 } else { 0.0 }
    });
    let half = HeadFile::new(half, &trained.base).unwrap().to_bytes().unwrap();
    fs::write(bench.path("half.safetensors"), half).unwrap();
    let collection = parallel();
    let eval = |more: &[&str]| {
        let start = ["eval", "--data", &collection, "--model", "toy", "--systems", "dense"];
        let end = ["--split", "multi", "--measures", "AP"];
        bench.run(&start.iter().chain(&end).chain(more).copied().collect::<Vec<_>>())
    };
    let heads = ["run/head.safetensors", "again=run/head.safetensors", "half=half.safetensors"];
    let ran = eval(&heads.map(|head| ["--head", head]).concat()).expect(0);
    let of = |system: &str| {
        let row = ran.stdout.lines().find(|line| line.split(' ').next() == Some(system)).unwrap();
        row.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("dense-head"), of("dense-again"));
    assert_ne!(of("dense-half"), of("dense"));

    fs::copy(bench.path("pairs.jsonl"), bench.path("no.safetensors")).unwrap();
    let refused = eval(&["--head", "no.safetensors"]).expect(1);
    assert!(refused.stderr.contains("no.safetensors"), "{}", refused.stderr);
    let refused = eval(&["--head", "half.safetensors", "--head", "half.safetensors"]).expect(1);
    assert!(refused.stderr.contains("two heads"), "{}", refused.stderr);
}

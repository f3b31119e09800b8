//! The command as a user sees it. The toy encoder stands in for the model, so that these tests
//! run in the light build as well; `golden.rs` and `retrieval.rs` have the real one.

use std::io::{BufReader, Write};
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, numbered, parallel, read_until};

const TOY: [&str; 2] = ["--model", "toy"];

fn with_toy<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &TOY].concat()
}

fn documents(bench: &Bench, index: &str) -> u64 {
    let ran = bench.run(&["inspect", index, "--json"]).expect(0);
    let facts: Value = serde_json::from_str(&ran.stdout).unwrap();
    facts["documents"].as_u64().unwrap()
}

#[test]
fn an_indexed_corpus_is_found_by_words_by_meaning_and_by_both() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    assert_eq!(documents(&bench, "idx"), 280);
    for mode in ["bm25", "dense", "hybrid"] {
        let ran = bench
            .run(&with_toy(&[
                "search",
                "idx",
                "The sea rises and falls twice a day",
                "--mode",
                mode,
                "--json",
                "-k",
                "3",
            ]))
            .expect(0);
        let first: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(first["id"], "tides-en", "{mode}: {ran:#?}");
        assert_eq!(first["rank"], 1);
        assert_eq!(ran.stdout.lines().count(), 3);
    }
}

#[test]
fn a_filter_leaves_only_what_passes_it_and_still_fills_k() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    let ran = bench
        .run(&with_toy(&[
            "search", "idx", "tides", "--mode", "dense", "--filter", "lang:sw", "--json",
        ]))
        .expect(0);
    let hits: Vec<Value> = ran.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(hits.len(), 10);
    assert!(hits.iter().all(|hit| hit["lang"] == "sw"), "{hits:#?}");
}

#[test]
fn a_file_of_queries_finds_what_each_finds_by_itself_and_becomes_a_run() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    let queries =
        [("a", "why does the sea rise and fall?", "en"), ("b", "wie tanzen Bienen?", "de")];
    let lines = queries.map(|(id, text, lang)| {
        serde_json::json!({"id": id, "text": text, "lang": lang}).to_string() + "\n"
    });
    for mode in ["bm25", "dense", "hybrid"] {
        let options = ["--mode", mode, "--filter", "lang:en OR lang:de", "--json", "-k", "4"];
        let arguments = [&["search", "idx", "--queries", "-"], &options[..]].concat();
        let together = bench.run_with(&lines.concat(), &with_toy(&arguments)).expect(0);
        assert!(together.stderr.contains("2 queries in"), "{together:#?}");
        let mut alone = Vec::new();
        for (id, text, lang) in queries {
            let arguments = [&["search", "idx", text, "--lang", lang], &options[..]].concat();
            let ran = bench.run(&with_toy(&arguments)).expect(0);
            for line in ran.stdout.lines() {
                let mut hit: Value = serde_json::from_str(line).unwrap();
                hit["query"] = id.into();
                alone.push(hit);
            }
        }
        let together = together.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(together.collect::<Vec<Value>>(), alone, "{mode}");
    }

    bench.file("queries.txt", "tides\n\nbees\n");
    let arguments = ["search", "idx", "--queries", "queries.txt", "--run", "found.trec", "-k", "3"];
    let ran = bench.run(&with_toy(&arguments)).expect(0);
    assert_eq!(ran.stdout, "");
    let run = std::fs::read_to_string(bench.path("found.trec")).unwrap();
    let topics: Vec<&str> = run.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(topics, ["1", "1", "1", "3", "3", "3"]);
    assert!(run.lines().all(|line| line.ends_with(" hybrid")), "{run}");
    let shown = bench.run(&with_toy(&["search", "idx", "--queries", "queries.txt"])).expect(0);
    assert!(shown.stdout.starts_with("1: tides\n  1. "), "{shown:#?}");

    bench.file("queries.txt", "{\"id\": 1, \"text\": \"tides\"}\n{\"id\": 2}\n");
    let ran = bench.run(&with_toy(&["search", "idx", "--queries", "queries.txt"])).expect(1);
    assert!(ran.stderr.contains("queries.txt, line 2") && ran.stderr.contains("text"), "{ran:#?}");
    bench.run(&["search", "idx", "tides", "--queries", "queries.txt"]).expect(2);
    bench.run(&["search", "idx", "tides", "--run", "found.trec"]).expect(2);
}

#[test]
fn a_killed_run_keeps_its_commits_and_resumes_to_the_same_index() {
    let bench = Bench::new();
    let arguments = with_toy(&["index", "idx", "-", "--commit-every", "100", "--resume"]);
    let mut child = bench.spawn(&arguments);
    let mut stdin = child.stdin.take().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stdin.write_all(numbered(0, 250).as_bytes()).unwrap();
    stdin.flush().unwrap();
    read_until(&mut stderr, "committed 200");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(documents(&bench, "idx"), 200);

    let ran = bench.run_with(&numbered(0, 300), &arguments).expect(0);
    assert!(ran.stderr.contains("going on after 200"), "{ran:#?}");
    assert_eq!(documents(&bench, "idx"), 300);
    let found = bench
        .run(&with_toy(&[
            "search",
            "idx",
            "passage number 299 of many",
            "--mode",
            "hybrid",
            "--json",
        ]))
        .expect(0);
    assert!(found.stdout.lines().next().unwrap().contains("\"d299\""), "{found:#?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_what_was_committed_and_says_how_to_go_on() {
    let bench = Bench::new();
    let arguments = with_toy(&["index", "idx", "-", "--commit-every", "100"]);
    let mut child = bench.spawn(&arguments);
    let mut stdin = child.stdin.take().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stdin.write_all(numbered(0, 150).as_bytes()).unwrap();
    read_until(&mut stderr, "committed 100");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    read_until(&mut stderr, "stopping");
    drop(stdin);
    let rest = read_until(&mut stderr, "--resume").concat();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    let kept = documents(&bench, "idx");
    assert!((100..=150).contains(&kept), "{kept}");
    assert!(rest.contains(&format!("{kept} documents")), "{rest}");
}

#[test]
fn bad_lines_are_skipped_counted_and_named_or_stop_the_run() {
    let bench = Bench::new();
    let mut corpus =
        b"{\"_id\": \"a\", \"text\": \"one\"}\n{\"_id\": \"b\"\n{\"text\": \"no id\"}\n".to_vec();
    corpus.extend_from_slice(
        b"{\"_id\": \"e\", \"text\": \"\"}\n{\"_id\": \"f\", \"text\": \"\xff\"}\n",
    );
    corpus.extend_from_slice(
        b"{\"_id\": \"a\", \"text\": \"again\"}\n{\"_id\": \"g\", \"text\": \"two\"}\n",
    );
    bench.file("bad.jsonl", corpus);

    let ran = bench.run(&with_toy(&["index", "idx", "bad.jsonl"])).expect(0);
    assert_eq!(documents(&bench, "idx"), 2);
    for place in ["bad.jsonl:2", "bad.jsonl:3", "bad.jsonl:4", "bad.jsonl:5", "bad.jsonl:6"] {
        assert!(ran.stderr.contains(place), "{place} in {ran:#?}");
    }
    assert!(ran.stderr.contains("5 skipped"), "{ran:#?}");

    let strict = bench.run(&with_toy(&["index", "strict", "bad.jsonl", "--strict"])).expect(1);
    assert!(strict.stderr.contains("bad.jsonl:2"), "{strict:#?}");
}

#[test]
fn a_million_characters_are_indexed_and_found() {
    let bench = Bench::new();
    let text = "word ".repeat(200_000);
    bench.file("long.jsonl", format!("{{\"_id\": \"long\", \"text\": \"{text}end\"}}\n"));
    bench.run(&with_toy(&["index", "idx", "long.jsonl"])).expect(0);
    let ran = bench.run(&with_toy(&["search", "idx", "end", "--mode", "bm25", "--json"])).expect(0);
    assert!(ran.stdout.contains("\"long\""), "{}", ran.stderr);
}

#[test]
fn a_folder_that_is_no_index_of_ours_is_refused_with_what_to_do() {
    let bench = Bench::new();
    bench.file("notes/readme.txt", "not an index");
    for arguments in
        [vec!["search", "notes", "x"], vec!["search", "nowhere", "x"], vec!["inspect", "nowhere"]]
    {
        let ran = bench.run(&arguments).expect(1);
        assert!(ran.stderr.starts_with("error: "), "{ran:#?}");
        assert!(ran.stderr.contains("hint: "), "{ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    }
    let other = bench.path("other");
    std::fs::create_dir(&other).unwrap();
    let mut schema = tantivy::schema::Schema::builder();
    schema.add_text_field("body", tantivy::schema::TEXT);
    tantivy::Index::create_in_dir(&other, schema.build()).unwrap();
    let ran = bench.run(&["search", "other", "x"]).expect(1);
    assert!(ran.stderr.contains("tdense index"), "{ran:#?}");
    let ran = bench.run(&with_toy(&["index", "other", &parallel()])).expect(1);
    assert!(ran.stderr.contains("hint: "), "{ran:#?}");
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_that_names_it() {
    let bench = Bench::new();
    bench.file("file", "in the way");
    let ran = bench.run(&with_toy(&["index", "file/idx", &parallel()])).expect(1);
    assert!(ran.stderr.contains("file/idx"), "{ran:#?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
}

#[test]
#[cfg(feature = "onnx")]
fn a_missing_model_names_the_command_that_gets_it() {
    let bench = Bench::new();
    bench.file("corpus.jsonl", numbered(0, 1));
    for arguments in [
        vec!["index", "idx", "corpus.jsonl"],
        vec!["index", "idx", "corpus.jsonl", "--model", "nowhere/model"],
        vec!["model", "info"],
    ] {
        let ran = bench.run(&arguments).expect(1);
        assert!(ran.stderr.contains("tdense model get"), "{ran:#?}");
    }
    assert!(!bench.path("idx").exists());
}

#[test]
fn an_index_made_with_another_encoder_is_refused_by_name() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    let schema = std::fs::read_to_string(bench.path("idx/meta.json")).unwrap();
    let start = schema.find("\"fingerprint\"").unwrap();
    let mut other = schema.clone();
    let value = start + schema[start..].find(": ").unwrap_or(12) + 1;
    let quote = value + schema[value..].find('"').unwrap() + 1;
    other.insert_str(quote, "other-");
    std::fs::write(bench.path("idx/meta.json"), other).unwrap();
    let ran = bench.run(&with_toy(&["search", "idx", "tides"])).expect(1);
    assert!(ran.stderr.contains("other-"), "{ran:#?}");
    assert!(ran.stderr.contains("hint: "), "{ran:#?}");
}

#[test]
fn wrong_arguments_exit_with_2() {
    let bench = Bench::new();
    bench.run(&["search"]).expect(2);
    bench.run(&["search", "idx", "x", "--mode", "magic"]).expect(2);
    bench.run(&["nonsense"]).expect(2);
}

#[test]
fn a_folder_of_topics_is_evaluated_by_language_in_a_table_and_in_json() {
    let bench = Bench::new();
    let table = bench.run(&with_toy(&["eval", "--data", &parallel()])).expect(0);
    for word in ["bm25", "dense", "hybrid", "am", "zh", "mean"] {
        assert!(table.stdout.contains(word), "{word} in {table:#?}");
    }
    let json = bench.run(&with_toy(&["eval", "--data", &parallel(), "--json"])).expect(0);
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(report.is_object(), "{report}");
}

#[test]
fn an_evaluation_of_a_folder_without_a_collection_says_what_was_looked_for() {
    let bench = Bench::new();
    bench.file("empty/readme.txt", "");
    let ran = bench.run(&with_toy(&["eval", "--data", "empty"])).expect(1);
    assert!(ran.stderr.contains("corpus.jsonl"), "{ran:#?}");
}

#[test]
fn what_a_process_left_that_was_killed_while_it_made_the_index_is_no_index() {
    let bench = Bench::new();
    bench.file("idx/.managed.json", "[]");
    bench.file("idx/.tmpabc", "");
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    assert_eq!(documents(&bench, "idx"), 280);
}

#[test]
fn any_number_of_documents_may_be_asked_for() {
    let bench = Bench::new();
    bench.run(&with_toy(&["index", "idx", &parallel()])).expect(0);
    for (k, found) in [("0", 0), ("18446744073709551615", 280)] {
        let ran = bench.run(&with_toy(&["search", "idx", "tides", "-k", k, "--json"])).expect(0);
        assert_eq!(ran.stdout.lines().count(), found, "{ran:#?}");
    }
}

#[test]
fn sources_without_one_document_and_runs_without_one_topic_are_failures() {
    let bench = Bench::new();
    bench.file("noise.jsonl", "not json\nnot json either\n");
    let ran = bench.run(&with_toy(&["index", "idx", "noise.jsonl"])).expect(1);
    assert!(ran.stderr.contains("noise.jsonl:1"), "{ran:#?}");
    bench.file("qrels.txt", "q1 0 a 1\n");
    bench.file("a.trec", "q1 Q0 b 1 2.0 me\nq1 Q0 a 2 1.0 me\n");
    bench.file("b.trec", "q2 Q0 a 1 1.0 me\n");
    let eval = |run| bench.run(&["eval", "--run", run, "--qrels", "qrels.txt", "--measures", "AP"]);
    assert_eq!(eval("a.trec").expect(0).stdout, "me, 1 topics\nAP         0.5000\n");
    assert!(eval("b.trec").expect(1).stderr.contains("none of the topics"));
}

#[test]
fn a_run_may_be_mixed_and_its_missing_topics_left_out() {
    let bench = Bench::new();
    bench.file("qrels.txt", "q1 0 a 1\nq2 0 a 1\nq3 0 a 1\n");
    let mixed = "q1 Q0 b 1 2.0 me\nq2 Q0 a 1 1.0 me\nq1 Q0 a 2 1.0 me\n";
    bench.file("mixed.trec", mixed);
    let eval = |run, more: &[&str]| {
        let arguments = ["eval", "--run", run, "--qrels", "qrels.txt", "--measures", "RR"];
        bench.run(&[&arguments, more].concat())
    };
    assert_eq!(eval("mixed.trec", &[]).expect(0).stdout, "me, 3 topics\nRR         0.5000\n");
    let answered = eval("mixed.trec", &["--answered-only"]).expect(0);
    assert_eq!(answered.stdout, "me, 2 topics\nRR         0.7500\n");
    bench.file("twice.trec", format!("{mixed}q2 Q0 a 2 0.5 me\n"));
    let twice = eval("twice.trec", &[]).expect(1);
    assert!(twice.stderr.contains("twice.trec, line 4: `a` is here a second time"), "{twice:#?}");
}

#[test]
fn two_results_are_compared_by_language_and_a_bar_that_is_not_met_exits_with_3() {
    let bench = Bench::new();
    let data = parallel();
    let json = bench.run(&with_toy(&["eval", "--data", &data, "--split", "multi", "--json"]));
    bench.file("a.json", json.expect(0).stdout);
    let compare = |more: &[&str]| bench.run(&[&["eval", "compare", "a.json"], more].concat());

    let table = compare(&["--systems", "bm25,dense"]).expect(0).stdout;
    assert!(table.starts_with("AP: bm25 (A) against dense (B)\n"), "{table}");
    for word in ["\nam ", "\nzh ", "\nmean ", "95 % interval", "Holm over 14 languages"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    assert_eq!(table, compare(&["--systems", "bm25,dense"]).expect(0).stdout);

    let same = compare(&["a.json", "--systems", "dense", "--json"]).expect(0).stdout;
    let same: Value = serde_json::from_str(&same).unwrap();
    assert_eq!(same["languages"].as_array().unwrap().len(), 14);
    assert_eq!((&same["mean"]["difference"], &same["mean"]["p"]), (&0.0.into(), &1.0.into()));

    let met = compare(&["a.json", "--bar", "AP>=0", "--bar", "each:diff(RR)>=0"]).expect(0).stdout;
    assert!(met.contains("\nbar AP>=0: 0.") && met.contains(", met\n"), "{met}");
    let not_met = compare(&["a.json", "--systems", "dense", "--bar", "AP>1"]).expect(3);
    assert!(not_met.stdout.contains("\nbar AP>1: 0.") && not_met.stdout.contains(", not met\n"));
    assert!(not_met.stderr.contains("error: bar not met: AP>1 is 0."), "{not_met:#?}");
    compare(&["a.json", "--bar", "AP>>1"]).expect(2);

    let unnamed = compare(&[]).expect(1);
    assert!(
        unnamed.stderr.contains("bm25, dense, hybrid: name two with --systems"),
        "{unnamed:#?}"
    );
    bench.file("b.json", "{}");
    let other = compare(&["b.json"]).expect(1);
    assert!(other.stderr.contains("b.json: not what `tdense eval --json` writes"), "{other:#?}");
}

#[test]
fn the_scores_of_two_runs_are_compared_too() {
    let bench = Bench::new();
    bench.file("qrels.txt", "q1 0 a 1\nq2 0 a 1\n");
    for (name, run) in [
        ("old", "q1 Q0 b 1 2.0 old\nq1 Q0 a 2 1.0 old\nq2 Q0 a 1 1.0 old\n"),
        ("new", "q1 Q0 a 1 2.0 new\nq2 Q0 a 1 1.0 new\n"),
    ] {
        bench.file(name, run);
        let arguments =
            ["eval", "--run", name, "--qrels", "qrels.txt", "--measures", "RR", "--json"];
        bench.file(&format!("{name}.json"), bench.run(&arguments).expect(0).stdout);
    }
    let ran = bench.run(&["eval", "compare", "old.json", "new.json", "--bar", "diff(RR)>=.25"]);
    let table = ran.expect(0).stdout;
    assert!(table.starts_with("RR: old (A) against new (B)\n"), "{table}");
    assert!(table.ends_with("bar diff(RR)>=.25: 0.2500, met\n"), "{table}");
}

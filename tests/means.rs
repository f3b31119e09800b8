//! Language means from texts into an index and back out of it, with the encoder that needs no model.

use std::fs;

use super::support::Bench;

const CORPUS: &str = r#"{"_id": "en-1", "lang": "en", "text": "the tide comes in twice a day"}
{"_id": "en-2", "lang": "en", "text": "bees tell each other where food is"}
{"_id": "sw-1", "lang": "sw", "text": "bahari hujaa na kupwa mara mbili kwa siku"}
{"_id": "sw-2", "lang": "sw", "text": "nyuki huambiana mahali palipo na chakula"}
"#;

const QUERIES: &str = r#"{"_id": "1", "lang": "en", "text": "why does the tide come"}
{"_id": "2", "lang": "sw", "text": "kwa nini bahari hujaa"}
"#;

fn means(bench: &Bench) {
    bench.file("corpus.jsonl", CORPUS);
    bench.file("queries.jsonl", QUERIES);
    let from = ["model", "means", "corpus.jsonl", "--queries", "queries.jsonl"];
    let ran = bench.run(&[&from[..], &["--model", "toy", "--least", "1", "-o", "mine"]].concat());
    let ran = ran.expect(0);
    assert_eq!(ran.stdout, "mine\n");
    assert!(ran.stderr.contains("means of passages: en 2, sw 2"), "{ran:#?}");
}

#[test]
fn an_index_that_was_made_with_means_is_searched_and_grows_with_them() {
    let bench = Bench::new();
    means(&bench);
    let index = ["index", "idx", "corpus.jsonl", "--model", "toy"];
    bench.run(&[&index[..], &["--language-means", "mine"]].concat()).expect(0);
    fs::remove_file(bench.path("mine")).unwrap();
    // Neither names them again.
    let search =
        ["search", "idx", "why does the tide come", "--mode", "dense", "-k", "1", "--json"];
    let found = bench.run(&search).expect(0).stdout;
    assert!(found.contains("en-1"), "{found}");
    bench.file("more.jsonl", CORPUS.replace("-1", "-3").replace("-2", "-4"));
    bench.run(&["index", "idx", "more.jsonl"]).expect(0);
    let inspected = bench.run(&["inspect", "idx"]).expect(0).stdout;
    assert!(inspected.contains("-means-"), "{inspected}");
    // Vectors that have lost their means are not compared with such that have not.
    let none = bench.run(&[&search[..], &["--language-means", "none"]].concat()).expect(1);
    assert!(none.stderr.contains("-means-"), "{none:#?}");
}

#[test]
fn means_of_another_encoder_are_refused_and_such_that_name_none_are_taken() {
    let bench = Bench::new();
    means(&bench);
    let index = ["index", "idx", "corpus.jsonl", "--model", "toy", "--language-means"];
    let bytes = fs::read(bench.path("mine")).unwrap();
    // As many bytes, so that the file stays sound.
    let changed = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    bench.file("others", changed("toy-trigrams-256", "the-other-model!"));
    let ran = bench.run(&[&index[..], &["others"]].concat()).expect(1);
    assert!(
        ran.stderr.contains("of encoder the-other-model!, and toy-trigrams-256 is used"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("hint: --model takes"), "{ran:#?}");
    assert!(!bench.path("idx").exists());
    // As files of before have it; an index of them is searched with the same ones that name their encoder.
    bench.file("older", changed("\"encoder\"", "\"nothing\""));
    bench.run(&[&index[..], &["older"]].concat()).expect(0);
    let search = ["search", "idx", "why does the tide come", "--mode", "dense", "-k", "1"];
    for means in [&[][..], &["--language-means", "mine"]] {
        bench.run(&[&search[..], means].concat()).expect(0);
    }
}

#[test]
fn a_damaged_file_of_means_is_an_error_that_names_it_and_leaves_no_index() {
    let bench = Bench::new();
    bench.file("corpus.jsonl", CORPUS);
    bench.file("mine", "no means");
    let index = ["index", "idx", "corpus.jsonl", "--model", "toy", "--language-means", "mine"];
    let ran = bench.run(&index).expect(1);
    assert!(ran.stderr.contains("mine: holds no language means"), "{ran:#?}");
    assert!(!bench.path("idx").exists());
}

#[test]
fn evaluation_compares_where_means_come_from() {
    let bench = Bench::new();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/parallel");
    let eval = ["eval", "--data", data, "--split", "multi", "--systems", "dense", "--model", "toy"];
    let ran = bench.run(&[&eval[..], &["--debias", "test", "--measures", "AP"]].concat()).expect(0);
    assert!(ran.stdout.contains("dense-test-means"), "{ran:#?}");
    let twice = [&eval[..], &["--debias", "test", "--language-means", "mine"]].concat();
    bench.run(&twice).expect(2);
    // The toy encoder brings none.
    let ran = bench.run(&[&eval[..], &["--debias", "model"]].concat()).expect(1);
    assert!(ran.stderr.contains("brings no language means"), "{ran:#?}");
}

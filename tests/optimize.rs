//! Indexes of segments as a user meets them: built, damaged, bypassed, repaired. The light build has
//! none to build, and says so.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Bench, Ran, numbered};

const TOY: [&str; 2] = ["--model", "toy"];

/// Indexes passages into two segments that are large enough for an index: a commit holds whole batches,
/// and so 512 of them.
fn indexed(bench: &Bench, more: &[&str]) -> Ran {
    let index = ["index", "idx", "-", "--recipe", "hnsw(8,20)", "--commit-every", "300"];
    bench.run_with(&numbered(0, 1024), &[&index[..], &TOY, more].concat()).expect(0)
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

/// The files of the index with this extension, in order.
fn files(bench: &Bench, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(bench.path("idx")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

fn name(file: &std::path::Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

/// Changes one byte of a file, a quarter of it before its end.
fn flip(file: &std::path::Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 0x41;
    // Tantivy's files are mapped by nobody now; a new file is as good as the old one.
    fs::write(file, bytes).unwrap();
}

fn search(bench: &Bench, more: &[&str]) -> Ran {
    let search = ["search", "idx", "passage number 299 of many", "--mode", "dense", "--json"];
    bench.run(&[&search[..], &TOY, more].concat()).expect(0)
}

#[test]
fn what_an_index_was_made_with_stays_and_another_wish_is_an_error_that_says_so() {
    let bench = Bench::new();
    indexed(&bench, &["--vectors", "f16"]);
    let ran = bench.run(&["inspect", "idx", "--json"]).expect(0);
    let field = &json(&ran)["dense"][0];
    assert_eq!((&field["recipe"], &field["numbers"]), (&"hnsw(8,20)".into(), &"f16".into()));
    let again = |more: &[&str]| {
        bench.run_with(&numbered(0, 10), &[&["index", "idx", "-"], more, &TOY[..]].concat())
    };
    again(&["--recipe", "hnsw(8,20)", "--vectors", "f16"]).expect(0);
    let ran = again(&["--recipe", "exact"]).expect(1);
    assert!(ran.stderr.contains("--recipe hnsw(8,20), not with exact"), "{ran:#?}");
    let ran = again(&["--vectors", "int8"]).expect(1);
    assert!(ran.stderr.contains("--vectors f16, not with int8"), "{ran:#?}");
    bench.run(&["index", "other", "-", "--recipe", "tree(3)"]).expect(2);
    bench.run(&["index", "other", "-", "--vectors", "int4"]).expect(2);
}

#[test]
fn a_sound_index_verifies_and_has_nothing_to_repair() {
    let bench = Bench::new();
    indexed(&bench, &[]);
    let ran = bench.run(&["verify", "idx"]).expect(0);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("all sound"), "{ran:#?}");
    let report = json(&bench.run(&["verify", "idx", "--json"]).expect(0));
    assert_eq!(report["sound"], true);
    assert_eq!((&report["segments"], &report["lacking"]), (&2.into(), &0.into()));
    let ran = bench.run(&["repair", "idx"]).expect(0);
    assert_eq!(ran.stdout, "", "{ran:#?}");
}

#[test]
fn damaged_vectors_are_named_with_their_segment_and_cannot_be_repaired() {
    let bench = Bench::new();
    indexed(&bench, &[]);
    let [damaged, other] = &files(&bench, "vec")[..] else { panic!("two segments") };
    let whole = fs::read(other).unwrap();
    flip(damaged);
    fs::write(other, &whole[..whole.len() / 2]).unwrap();
    let ran = bench.run(&["verify", "idx"]).expect(1);
    assert_eq!(ran.stdout.lines().count(), 2, "both are named: {ran:#?}");
    for file in [damaged, other] {
        let segment = file.file_stem().unwrap().to_string_lossy();
        let line = format!("idx/{}: segment {segment}: ", name(file));
        assert!(ran.stdout.contains(&line), "{line} in {ran:#?}");
    }
    assert!(ran.stderr.contains("2 of "), "{ran:#?}");
    assert!(ran.stderr.contains("hint: vectors"), "{ran:#?}");
    let ran = bench.run(&["repair", "idx"]).expect(1);
    assert_eq!(ran.stdout.matches("not repaired").count(), 2, "{ran:#?}");
    fs::write(other, &whole).unwrap();
    let ran = bench.run(&["repair", "idx"]).expect(1);
    assert!(ran.stdout.contains(&name(damaged)) && ran.stdout.contains("not repaired"), "{ran:#?}");
    assert!(!ran.stdout.contains(&name(other)), "{ran:#?}");
}

#[test]
fn a_damaged_and_a_missing_file_of_tantivy_are_told_apart() {
    let bench = Bench::new();
    indexed(&bench, &[]);
    let stores = files(&bench, "store");
    flip(&stores[0]);
    fs::remove_file(&stores[1]).unwrap();
    let ran = bench.run(&["verify", "idx", "--json"]).expect(1);
    let problems = &json(&ran)["problems"];
    assert_eq!(problems[0]["file"], name(&stores[0]).as_str());
    assert_eq!(problems[0]["kind"], "tantivy");
    assert_eq!(problems[1]["what"], "it is not there");
    let ran = bench.run(&["repair", "idx"]).expect(1);
    assert!(ran.stderr.contains("2 files not repaired"), "{ran:#?}");
}

#[test]
fn files_that_no_segment_has_are_deleted_by_a_repair() {
    let bench = Bench::new();
    indexed(&bench, &[]);
    let orphan = "00000000000000000000000000000000.vec";
    bench.file(&format!("idx/{orphan}"), "half");
    let managed = bench.path("idx/.managed.json");
    let list = fs::read_to_string(&managed).unwrap();
    fs::write(&managed, list.replacen('[', &format!("[\"{orphan}\","), 1)).unwrap();
    let ran = bench.run(&["repair", "idx"]).expect(0);
    assert_eq!(ran.stdout, format!("idx/{orphan}: deleted, no segment's\n"));
    assert!(!bench.path("idx").join(orphan).exists());
}

#[test]
fn all_segments_become_one_when_an_index_is_merged() {
    let bench = Bench::new();
    indexed(&bench, &["--no-optimize"]);
    let report = json(&bench.run(&["optimize", "idx", "--merge", "--json"]).expect(0));
    assert_eq!(report["merged"], 2);
    assert_eq!(report["segments"].as_array().unwrap().len(), 1);
    assert_eq!(report["segments"][0]["documents"], 1024);
    let built = usize::from(cfg!(feature = "faiss"));
    assert_eq!(report["built"].as_array().unwrap().len(), built, "{report}");
    let report = json(&bench.run(&["optimize", "idx", "--merge", "--json"]).expect(0));
    assert_eq!(report["merged"], 0, "there is nothing left to merge");
    let ran = indexed(&bench, &["--resume"]);
    assert!(ran.stderr.contains("going on after 1024"), "{ran:#?}");
    search(&bench, &[]);
}

#[test]
fn commands_on_what_is_no_index_say_how_to_make_one() {
    let bench = Bench::new();
    for command in ["optimize", "verify", "repair"] {
        let ran = bench.run(&[command, "nowhere"]).expect(1);
        assert!(ran.stderr.starts_with("error: nowhere"), "{ran:#?}");
        assert!(ran.stderr.contains("hint: `tdense index"), "{ran:#?}");
    }
}

#[cfg(not(feature = "faiss"))]
#[test]
fn a_build_without_faiss_says_that_it_builds_no_index() {
    let bench = Bench::new();
    indexed(&bench, &[]);
    let ran = bench.run(&["optimize", "idx"]).expect(0);
    assert!(ran.stderr.contains("no FAISS"), "{ran:#?}");
    assert_eq!(files(&bench, "ann"), Vec::<PathBuf>::new());
    assert_eq!(search(&bench, &["--ef-search", "100"]).stdout, search(&bench, &["--exact"]).stdout);
}

#[cfg(feature = "faiss")]
mod with_faiss {
    use super::*;
    use crate::support::read_until;
    use std::io::BufReader;
    use std::process::Command;

    /// How many segments are searched in each way.
    fn ways(bench: &Bench) -> Value {
        json(&bench.run(&["inspect", "idx", "--json"]).expect(0))["dense"][0]["segments"].clone()
    }

    #[test]
    fn indexing_builds_what_segments_lack_unless_it_is_left_to_optimize() {
        let bench = Bench::new();
        let ran = indexed(&bench, &["--no-optimize"]);
        assert!(!ran.stderr.contains("building"), "{ran:#?}");
        assert_eq!(ways(&bench)["lack_index"], 2);
        let ran = bench.run(&["verify", "idx"]).expect(0);
        assert!(ran.stderr.contains("tdense optimize idx"), "{ran:#?}");
        let ran = bench.run(&["optimize", "idx", "--threads", "1"]).expect(0);
        assert!(ran.stderr.contains("building indexes of 2 segments"), "{ran:#?}");
        assert!(ran.stderr.contains("2 indexes built"), "{ran:#?}");
        assert_eq!(ran.stdout.matches("searched by index, hnsw(8,20)").count(), 2, "{ran:#?}");
        assert_eq!(ways(&bench)["by_index"], 2);
        let ran = bench.run(&["optimize", "idx"]).expect(0);
        assert!(ran.stderr.contains("0 indexes built"), "{ran:#?}");

        fs::remove_dir_all(bench.path("idx")).unwrap();
        let ran = indexed(&bench, &["--json"]);
        assert!(ran.stderr.contains("building indexes of 2 segments"), "{ran:#?}");
        assert!(ran.stderr.contains("2 indexes built; "), "{ran:#?}");
        assert_eq!(json(&ran)["indexes_built"], 2);
        assert_eq!(ways(&bench)["by_index"], 2);
        bench.run(&["verify", "idx"]).expect(0);
        let found = search(&bench, &["--ef-search", "500"]).stdout;
        assert!(found.lines().next().unwrap().contains("\"d299\""), "{found}");
    }

    #[test]
    fn a_damaged_index_is_named_bypassed_and_repaired() {
        let bench = Bench::new();
        indexed(&bench, &[]);
        let exact = search(&bench, &["--exact"]).stdout;
        let damaged = &files(&bench, "ann")[0];
        flip(damaged);

        let ran = bench.run(&["verify", "idx"]).expect(1);
        assert_eq!(ran.stdout.lines().count(), 1, "{ran:#?}");
        assert!(ran.stdout.contains(&name(damaged)), "{ran:#?}");
        assert!(ran.stderr.contains("hint: `tdense repair idx`"), "{ran:#?}");
        assert!(!ran.stderr.contains("warning"), "it is said once: {ran:#?}");
        let report = json(&bench.run(&["verify", "idx", "--json"]).expect(1));
        assert_eq!(
            (&report["sound"], &report["problems"][0]["kind"]),
            (&false.into(), &"index".into())
        );

        for more in [&[][..], &["--quiet"]] {
            let ran = search(&bench, more);
            assert_eq!(ran.stdout.lines().count(), 10);
            let warning = format!("warning: {}", name(damaged));
            assert_eq!(ran.stderr.matches(&warning).count(), 1, "{ran:#?}");
            assert!(ran.stderr.contains("hint: `tdense repair idx`"), "{ran:#?}");
        }
        assert_eq!(search(&bench, &["--exact"]).stdout, exact);
        assert_eq!(ways(&bench)["damaged"], 1);

        let ran = bench.run(&["repair", "idx"]).expect(0);
        assert!(ran.stdout.contains(&format!("idx/{}", name(damaged))), "{ran:#?}");
        assert!(ran.stdout.contains("built again"), "{ran:#?}");
        bench.run(&["verify", "idx"]).expect(0);
        assert_eq!(search(&bench, &[]).stderr, "");
        assert_eq!(ways(&bench)["by_index"], 2);
    }

    #[test]
    fn any_changed_byte_of_an_index_is_found_and_repaired() {
        let bench = Bench::new();
        indexed(&bench, &[]);
        let file = &files(&bench, "ann")[0];
        // The header, the zeros after it, a section, the library's tail, Tantivy's footer. What is built
        // again may have another length.
        let places: [fn(usize) -> usize; 6] =
            [|_| 3, |_| 20, |end| end / 2, |end| end - 130, |end| end - 20, |end| end - 1];
        for place in places {
            let mut bytes = fs::read(file).unwrap();
            let at = place(bytes.len());
            bytes[at] ^= 0x41;
            fs::write(file, bytes).unwrap();
            let ran = bench.run(&["verify", "idx"]).expect(1);
            assert!(ran.stdout.contains(&name(file)), "byte {at}: {ran:#?}");
            bench.run(&["repair", "idx"]).expect(0);
            bench.run(&["verify", "idx"]).expect(0);
        }
        let vectors = &files(&bench, "vec")[1];
        let sound = fs::read(vectors).unwrap();
        flip(vectors);
        flip(file);
        let ran = bench.run(&["repair", "idx"]).expect(1);
        assert!(ran.stdout.contains("built again"), "what can be is made again: {ran:#?}");
        assert!(ran.stdout.contains(&name(vectors)), "{ran:#?}");
        fs::write(vectors, sound).unwrap();
        bench.run(&["verify", "idx"]).expect(0);

        let whole = fs::read(file).unwrap();
        fs::write(file, &whole[..whole.len() / 3]).unwrap();
        bench.run(&["verify", "idx"]).expect(1);
        search(&bench, &[]);
        bench.run(&["optimize", "idx"]).expect(0);
        bench.run(&["verify", "idx"]).expect(0);
    }

    #[test]
    fn a_deleted_index_is_no_damage_and_is_built_again() {
        let bench = Bench::new();
        indexed(&bench, &[]);
        let file = &files(&bench, "ann")[0];
        fs::remove_file(file).unwrap();
        let report = json(&bench.run(&["verify", "idx", "--json"]).expect(0));
        assert_eq!(report["lacking"], 1);
        assert_eq!(search(&bench, &[]).stderr, "", "it is searched exactly and in silence");
        let report = json(&bench.run(&["optimize", "idx", "--json"]).expect(0));
        assert_eq!(report["built"].as_array().unwrap().len(), 1);
        assert!(file.exists());
        assert_eq!(ways(&bench)["by_index"], 2);
    }

    #[test]
    #[cfg(unix)]
    fn ctrl_c_while_indexes_are_built_keeps_all_documents_and_says_how_to_go_on() {
        let bench = Bench::new();
        bench.file("corpus.jsonl", numbered(0, 4000));
        let index = ["index", "idx", "corpus.jsonl", "--recipe", "hnsw(128,1000)"];
        let mut child = bench.spawn(&[&index[..], &TOY].concat());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        read_until(&mut stderr, "building indexes");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let rest = read_until(&mut stderr, "interrupted").concat();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
        assert!(rest.contains("4000 documents are committed; `tdense optimize idx`"), "{rest}");
        bench.run(&["verify", "idx"]).expect(0);
        assert_eq!(ways(&bench)["lack_index"], 1);
    }

    #[test]
    fn small_segments_are_searched_exactly_and_lack_nothing() {
        let bench = Bench::new();
        let index = [&["index", "idx", "-", "--recipe", "auto"], &TOY[..]].concat();
        bench.run_with(&numbered(0, 300), &index).expect(0);
        let ran = bench.run(&["inspect", "idx"]).expect(0);
        assert!(ran.stdout.contains("recipe     auto"), "{ran:#?}");
        assert!(ran.stdout.contains("searched   1 exactly"), "{ran:#?}");
        let ran = bench.run(&["optimize", "idx"]).expect(0);
        assert!(ran.stderr.contains("0 indexes built"), "{ran:#?}");
    }

    #[test]
    fn one_knob_of_a_search_excludes_the_other_where_they_mean_the_opposite() {
        let bench = Bench::new();
        bench.run(&["search", "idx", "x", "--exact", "--ef-search", "9"]).expect(2);
        bench.run(&["search", "idx", "x", "--nprobe", "0"]).expect(2);
    }
}

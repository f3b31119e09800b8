//! A writer that is killed at any moment, again and again, on one index.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use tantivy_dense::{DenseSearcher, DenseWriter};

use super::check::Seen;
use super::concurrency::expect_indexes;
use super::{BUDGET, Chance, another_process, committed, expect_no_stale_file, open};
use crate::support::soak::is_long;

#[test]
fn a_writer_that_is_killed_leaves_what_it_committed() {
    let kills = if is_long() { 200 } else { 20 };
    let folder = tempfile::tempdir().unwrap();
    let mut chance = Chance(7);
    let mut before = 0;
    let (mut unfinished, mut built) = (0, 0);
    for kill in 0..kills {
        let child = another_process("writes_until_it_is_killed", folder.path(), kill).spawn();
        let killed = kill_by_chance(child.unwrap(), folder.path(), &mut chance);
        let reported = killed.unwrap_or(before);
        let left = recover(folder.path());
        let after = left.commit;
        // The commit that was under way counts or does not.
        assert!(
            (reported..=reported + 1).contains(&after),
            "kill {kill}: {after}, {reported} told"
        );
        before = after;
        unfinished += left.unfinished;
        built += left.built;
    }
    println!(
        "{kills} kills, {before} commits; {built} indexes were built afterwards, {unfinished} of \
         them because they were not finished"
    );
}

/// Lets the child go on until it has said something a few times, and a moment longer, or until it
/// begins to write an index. Gives the last commit that it told of.
fn kill_by_chance(mut child: Child, folder: &Path, chance: &mut Chance) -> Option<u64> {
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let awaited = *chance.one_of(&["writing", "committed", "merging", "optimizing", "collecting"]);
    let mut times = chance.below(3) + 1;
    let longer = Duration::from_micros(chance.below(60_000));
    let mut said = Vec::new();
    let mut lines = stderr.lines();
    for line in lines.by_ref() {
        let line = line.unwrap();
        times -= u64::from(line.starts_with(awaited));
        said.push(line);
        if times == 0 {
            break;
        }
    }
    assert_eq!(times, 0, "it ended by itself: {said:#?}");
    if cfg!(feature = "faiss") && chance.below(3) == 0 {
        let before = indexes(folder);
        while indexes(folder).is_subset(&before) {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {said:#?}");
        }
    } else {
        // Where the kill falls is left to chance; nothing depends on it.
        thread::sleep(longer);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(lines.map_while(Result::ok));
    let whole = |line: &String| line.strip_prefix("committed ")?.parse().ok();
    said.iter().rev().find_map(whole)
}

/// The names of all `.ann` files.
fn indexes(folder: &Path) -> BTreeSet<OsString> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".ann")).collect()
}

/// What a killed process left behind.
struct Left {
    /// The number of the last commit.
    commit: u64,
    /// Indexes that were not finished.
    unfinished: usize,
    /// Indexes that were missing or not finished, and are there now.
    built: usize,
}

/// Opens what a killed process left behind, checks it and repairs it.
fn recover(folder: &Path) -> Left {
    if !folder.join("meta.json").exists() {
        return Left { commit: 0, unfinished: 0, built: 0 };
    }
    let (index, fields) = open(folder);
    let reader = index.manual_reader().unwrap();
    let number = committed(&index);
    let searcher = reader.searcher();
    searcher.verify_vectors().unwrap();
    let unfinished = searcher.verify_indexes().unwrap();
    assert!(unfinished.iter().all(|why| why.contains(".ann")), "{unfinished:?}");
    let seen = Seen::of(searcher, fields);
    assert_eq!(seen.commit, number);
    seen.ask_for_everything();

    let writer: DenseWriter = index.writer_with_num_threads(1, BUDGET).unwrap();
    let built = writer.optimize().unwrap().wait().unwrap().built.len();
    expect_no_stale_file(&index, &writer, folder);
    writer.wait_merging_threads().unwrap();
    reader.reload().unwrap();
    reader.warm().unwrap();
    let searcher = reader.searcher();
    assert_eq!(searcher.verify_indexes().unwrap(), [""; 0], "after optimizing");
    expect_indexes(&searcher);
    let seen = Seen::of(searcher, fields);
    assert_eq!(seen.commit, number);
    seen.ask_for_every(5);
    Left { commit: number, unfinished: unfinished.len(), built }
}

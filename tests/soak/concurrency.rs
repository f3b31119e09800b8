//! Threads and processes that search while one writer does all that a writer can.

use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::NoMergePolicy;
use tantivy::{FutureResult, TantivyError};
use tantivy_dense::{AnnStatus, DenseIndex, DenseSearcher, DenseWriter};

use super::check::Seen;
use super::child::tell;
use super::{
    BUDGET, BUILD_THREADS, Chance, Fields, another_process, commit, expect_no_stale_file, open,
};
use crate::support::soak::is_long;

/// Threads that search.
const SEARCHERS: u64 = 4;

/// Processes that search.
const READERS: u64 = 2;

#[test]
fn many_search_while_one_writes_merges_and_optimizes() {
    let folder = tempfile::tempdir().unwrap();
    // A process of its own: threads are counted, and other tests have threads too.
    let child = another_process("does_everything_at_once", folder.path(), 3).spawn().unwrap();
    print!("{}", expect_success(child));
}

/// Waits for a process, and gives what it told.
fn expect_success(mut child: Child) -> String {
    drop(child.stdin.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    said
}

pub(super) fn everything_at_once(folder: &Path, seed: u64) {
    let commits = if is_long() { 400 } else { 40 };
    let (index, fields) = open(folder);
    let mut writer: DenseWriter = index.writer_with_num_threads(2, 2 * BUDGET).unwrap();
    commit(&mut writer, fields, 1);
    let readers: Vec<Child> = (0..READERS)
        .map(|n| another_process("reads_until_its_input_ends", folder, seed + n).spawn().unwrap())
        .collect();
    let done = AtomicBool::new(false);
    let most_builders = AtomicUsize::new(0);
    thread::scope(|scope| {
        for n in 0..SEARCHERS {
            let (index, done) = (&index, &done);
            scope.spawn(move || search_until(done, index, fields, Chance(seed + 100 + n)));
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                most_builders.fetch_max(threads_named("dense-build"), Ordering::SeqCst);
                thread::yield_now();
            }
        });
        // Whatever goes wrong here, the others must come to an end.
        let ended = SetWhenDropped(&done);
        write(&index, fields, writer, commits, Chance(seed));
        drop(ended);
    });
    for reader in readers {
        expect_success(reader);
    }

    let most = most_builders.into_inner();
    tell(&format!("{commits} commits; at most {most} threads were seen to build at once"));
    // Those of the last build may still be about to end.
    assert!(most <= 2 * BUILD_THREADS, "{most} threads built at once");
    let mut writer: DenseWriter = index.writer_with_num_threads(1, BUDGET).unwrap();
    commit(&mut writer, fields, commits + 1);
    // The merges that Tantivy's own policy starts now, too.
    writer.wait_merging_threads().unwrap();
    let writer: DenseWriter = index.writer_with_num_threads(1, BUDGET).unwrap();
    writer.optimize().unwrap().wait().unwrap();
    expect_no_stale_file(&index, &writer, folder);
    writer.wait_merging_threads().unwrap();
    let reader = index.manual_reader().unwrap();
    reader.warm().unwrap();
    let searcher = reader.searcher();
    searcher.verify_vectors().unwrap();
    assert_eq!(searcher.verify_indexes().unwrap(), [""; 0]);
    expect_indexes(&searcher);
    Seen::of(searcher, fields).ask_for_everything();
    drop((reader, index));
    // Threads that were told to end need a moment for it.
    let mut left = threads_named("dense-");
    for _ in 0..1_000_000 {
        if left == 0 {
            break;
        }
        thread::yield_now();
        left = threads_named("dense-");
    }
    assert_eq!(left, 0, "threads are left behind");
}

/// Fails unless each segment that is large enough is searched by an index.
pub(super) fn expect_indexes(searcher: &tantivy::Searcher) {
    for segment in searcher.dense_segments().unwrap() {
        let field = &segment.fields[0];
        let indexed = matches!(field.ann, AnnStatus::Ready(_));
        let wanted = cfg!(feature = "faiss") && field.rows >= 256;
        assert_eq!(indexed, wanted, "{segment:?}");
    }
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn search_until(done: &AtomicBool, index: &DenseIndex, fields: Fields, mut chance: Chance) {
    let mut reader = index.reader().unwrap();
    let mut last = 0;
    loop {
        let ending = done.load(Ordering::SeqCst);
        match chance.below(20) {
            // A new one sees the newest commit, and so do those that were told of it.
            0 => reader = index.reader().unwrap(),
            1 => reader = index.manual_reader().unwrap(),
            2 => reader.warm().unwrap(),
            _ => {}
        }
        if chance.below(3) == 0 {
            reader.reload().unwrap();
        }
        let seen = Seen::of(reader.searcher(), fields);
        assert!(seen.commit >= last, "{} after {last}", seen.commit);
        last = seen.commit;
        seen.ask(&mut chance);
        if ending {
            return;
        }
    }
}

/// Makes commits 2 to `last`, and between them, by chance, everything else that a writer can.
fn write(
    index: &DenseIndex,
    fields: Fields,
    mut writer: DenseWriter,
    last: u64,
    mut chance: Chance,
) {
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let mut merging = None;
    let mut optimizing = Vec::new();
    for number in 2..=last {
        commit(&mut writer, fields, number);
        match chance.below(8) {
            0 | 1 => {
                // One merge at a time: Tantivy refuses segments that are in another.
                if let Some(running) = merging.take() {
                    wait(running);
                }
                let segments = index.tantivy().searchable_segment_ids().unwrap();
                let some: Vec<SegmentId> =
                    segments.into_iter().filter(|_| chance.below(4) > 0).collect();
                if !some.is_empty() {
                    merging = Some(writer.merge(&some));
                }
            }
            2 | 3 => optimizing.push(writer.optimize().unwrap()),
            4 => {
                writer.garbage_collect_files().wait().unwrap();
            }
            5 => {
                let forgotten = history_of_nobody(&mut writer, fields);
                assert!(forgotten > 0);
                // A rollback ends the merges that run, and goes back to Tantivy's merge policy.
                if let Some(running) = merging.take() {
                    wait(running);
                }
                writer.rollback().unwrap();
                writer.set_merge_policy(Box::new(NoMergePolicy));
            }
            _ => {}
        }
        // One may wait for another.
        while optimizing.len() > 2 {
            optimizing.remove(0).wait().unwrap();
        }
    }
    if let Some(running) = merging {
        wait(running);
    }
    for running in optimizing {
        running.wait().unwrap();
    }
    writer.wait_merging_threads().unwrap();
}

fn wait(merging: FutureResult<Option<SegmentMeta>>) {
    match merging.wait() {
        Ok(_) => {}
        // A commit meanwhile has deleted all documents of a source: Tantivy drops that, and the merge.
        Err(TantivyError::InvalidArgument(why)) => assert!(why.contains("not necessarily a bug")),
        Err(error) => panic!("{error}"),
    }
}

/// Adds what is never committed.
fn history_of_nobody(writer: &mut DenseWriter, fields: Fields) -> u64 {
    for id in 0..50 {
        super::add(writer, fields, 900_000_000 + id, 7);
    }
    50
}

/// How many threads of this process have a name that starts so.
fn threads_named(prefix: &str) -> usize {
    // Elsewhere they cannot be counted.
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    // A thread may end while it is looked at.
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

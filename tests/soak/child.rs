//! What runs in processes of its own, each as a test that does nothing in this one. They tell what they
//! do on stderr, a line each.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::indexer::LogMergePolicy;
use tantivy_dense::DenseWriter;

use super::check::Seen;
use super::{BUDGET, Chance, commit, committed, concurrency, open};
use crate::support::soak::{child_folder, child_seed};

pub(super) fn tell(what: &str) {
    let line = format!("{what}\n");
    // At once, and not through the test harness.
    io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let mut chance = Chance(child_seed());
    let (index, fields) = open(&folder);
    let mut writer: DenseWriter = index.writer_with_num_threads(1, BUDGET).unwrap();
    let mut policy = LogMergePolicy::default();
    policy.set_min_num_segments(4);
    writer.set_merge_policy(Box::new(policy));
    let mut optimizing = None;
    for number in committed(&index) + 1.. {
        tell("writing");
        commit(&mut writer, fields, number);
        tell(&format!("committed {number}"));
        match chance.below(6) {
            0 => {
                tell("merging");
                let segments = index.tantivy().searchable_segment_ids().unwrap();
                // Some may be in a merge of the policy's already: that is refused.
                drop(writer.merge(&segments).wait());
            }
            1 | 2 => {
                tell("optimizing");
                let running = writer.optimize().unwrap();
                if chance.below(2) == 0 {
                    running.wait().unwrap();
                } else {
                    optimizing = Some(running);
                }
            }
            3 => {
                tell("collecting");
                writer.garbage_collect_files().wait().unwrap();
            }
            4 => {
                if let Some(running) = optimizing.take() {
                    running.wait().unwrap();
                }
            }
            _ => {}
        }
    }
}

#[test]
fn reads_until_its_input_ends() {
    let Some(folder) = child_folder() else { return };
    let mut chance = Chance(child_seed());
    let done = Arc::new(AtomicBool::new(false));
    let input = done.clone();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        input.store(true, Ordering::SeqCst);
    });
    let (index, fields) = open(&folder);
    let reader = index.manual_reader().unwrap();
    let mut last = 0;
    loop {
        let ending = done.load(Ordering::SeqCst);
        reader.reload().unwrap();
        if chance.below(4) == 0 {
            reader.warm().unwrap();
        }
        let seen = Seen::of(reader.searcher(), fields);
        assert!(seen.commit >= last, "{} after {last}", seen.commit);
        last = seen.commit;
        seen.ask(&mut chance);
        if ending {
            break;
        }
    }
    tell(&format!("saw {last}"));
}

#[test]
fn does_everything_at_once() {
    let Some(folder) = child_folder() else { return };
    concurrency::everything_at_once(&folder, child_seed());
}

//! What is in the index after each commit, worked out without an index.
//!
//! Commit `n` brings the documents of block `n`. Two commits later every seventh of them is deleted,
//! another later every fifth of the rest gets another vector, and after [`KEPT`] the block is gone.

use std::collections::BTreeMap;

use super::Chance;

pub(super) const DIM: usize = 12;

/// Blocks that are kept.
const KEPT: u64 = 12;

/// Every third block is large enough for an index of its own (256 rows).
fn size(block: u64) -> u64 {
    if block.is_multiple_of(3) { 320 } else { 100 }
}

pub(super) fn block_of(id: u64) -> u64 {
    id / 1000
}

fn ids(block: u64) -> impl Iterator<Item = u64> {
    let first = block * 1000;
    first..first + size(block)
}

fn before(number: u64, commits: u64) -> Option<u64> {
    number.checked_sub(commits).filter(|block| *block > 0)
}

/// What commit `number` adds, at version 0.
pub(super) fn added(number: u64) -> impl Iterator<Item = u64> {
    ids(number)
}

/// The blocks of which commit `number` deletes all that is left.
pub(super) fn blocks_dropped(number: u64) -> Option<u64> {
    before(number, KEPT)
}

/// What commit `number` deletes.
pub(super) fn deleted(number: u64) -> impl Iterator<Item = u64> {
    before(number, 2).into_iter().flat_map(ids).filter(|id| id % 7 == 3)
}

/// What commit `number` gives anew, at version 1.
pub(super) fn changed(number: u64) -> impl Iterator<Item = u64> {
    before(number, 3).into_iter().flat_map(ids).filter(|id| id % 7 != 3 && id % 5 == 1)
}

/// The documents after commit `number`, with their versions.
pub(super) fn live(number: u64) -> BTreeMap<u64, u64> {
    let mut live = BTreeMap::new();
    for block in (1..=number).rev().take(usize::try_from(KEPT).unwrap()) {
        let age = number - block;
        for id in ids(block) {
            if age < 2 || id % 7 != 3 {
                live.insert(id, u64::from(age >= 3 && id % 5 == 1));
            }
        }
    }
    live
}

/// The vector of a document: no two are alike.
pub(super) fn vector(id: u64, version: u64) -> Vec<f32> {
    let mut chance = Chance(id * 2 + version);
    #[expect(clippy::cast_precision_loss, reason = "16 bits fit")]
    let mut number = || chance.below(1 << 16) as f32 / 32_768.0 - 1.0;
    (0..DIM).map(|_| number()).collect()
}

#[test]
fn what_lives_is_what_the_commits_before_left() {
    let mut model = BTreeMap::new();
    for number in 1..40 {
        model.extend(added(number).map(|id| (id, 0)));
        if let Some(block) = blocks_dropped(number) {
            model.retain(|id, _| block_of(*id) != block);
        }
        for id in deleted(number) {
            assert!(model.remove(&id).is_some());
        }
        for id in changed(number) {
            assert_eq!(model.insert(id, 1), Some(0));
        }
        assert_eq!(live(number), model, "after commit {number}");
    }
}

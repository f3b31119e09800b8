//! The lines of one topic become ranks.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Finds the ranks of the passages of one topic after another, with the memory of the first.
#[derive(Default)]
pub(super) struct Ranker {
    hasher: DefaultHashBuilder,
    /// Places in the hits, by external id.
    places: HashTable<u32>,
    /// Score and place of each hit, as numbers that sort as hits do but for ties.
    order: Vec<u64>,
    ranks: Vec<u32>,
}

impl Ranker {
    /// Takes the hits of a topic as score and external id, in any order.
    ///
    /// # Errors
    /// The place of the first hit whose external id an earlier one has.
    pub(super) fn rank(&mut self, hits: &[(f32, &str)]) -> Result<(), usize> {
        let Self { hasher, places, order, ranks } = self;
        let id = |place: u32| hits[place as usize].1;
        places.clear();
        places.reserve(hits.len(), |&place| hasher.hash_one(id(place)));
        for (place, (_, wanted)) in (0_u32..).zip(hits) {
            let hash = hasher.hash_one(*wanted);
            if places.find(hash, |&other| id(other) == *wanted).is_some() {
                return Err(place as usize);
            }
            places.insert_unique(hash, place, |&place| hasher.hash_one(id(place)));
        }
        order.clear();
        order.extend(
            (0_u64..).zip(hits).map(|(place, (score, _))| descending(*score) << 32 | place),
        );
        // Most runs come sorted, and whole numbers are quickly seen to be.
        order.sort_unstable();
        #[expect(clippy::cast_possible_truncation, reason = "the place is the lower half")]
        let place = |&number: &u64| number as u32;
        for ties in order.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
            if ties.len() > 1 {
                ties.sort_unstable_by(|a, b| id(place(b)).cmp(id(place(a))));
            }
        }
        ranks.clear();
        ranks.resize(hits.len(), 0);
        for (rank, number) in (1..).zip(order.iter()) {
            ranks[place(number) as usize] = rank;
        }
        Ok(())
    }

    /// The rank of a passage among `hits`, which were ranked last; `None` if it is not among them.
    pub(super) fn of(&self, id: &str, hits: &[(f32, &str)]) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let place = self.places.find(hash, |&place| hits[place as usize].1 == id)?;
        Some(self.ranks[*place as usize] as usize)
    }
}

/// A number that is the smaller the larger the score is; equal for 0 and -0.
fn descending(score: f32) -> u64 {
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(!ascending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use proptest::prelude::*;

    #[test]
    fn a_ranker_forgets_the_topic_before() {
        let mut ranker = Ranker::default();
        let hits = [(1.0, "a"), (2.0, "b"), (2.0, "c")];
        ranker.rank(&hits).unwrap();
        assert_eq!(["a", "b", "c"].map(|id| ranker.of(id, &hits)), [Some(3), Some(2), Some(1)]);
        let hits = [(1.0, "b")];
        ranker.rank(&hits).unwrap();
        assert_eq!(["a", "b"].map(|id| ranker.of(id, &hits)), [None, Some(1)]);
        assert_eq!(ranker.rank(&[(1.0, "a"), (2.0, "b"), (0.5, "a"), (0.1, "b")]), Err(2));
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_the_hits_sorted(
            hits in proptest::collection::btree_map("[a-cé]{1,2}", any::<f32>(), 0..12),
            few in proptest::collection::vec(prop_oneof![Just(0.0_f32), Just(-0.0), Just(1.0)], 12),
            tied in any::<bool>(),
        ) {
            let mut hits: Vec<(f32, &str)> =
                hits.iter().map(|(id, score)| (*score, id.as_str())).collect();
            hits.retain(|(score, _)| !score.is_nan());
            if tied {
                hits.iter_mut().zip(few).for_each(|(hit, score)| hit.0 = score);
            }
            let mut ranker = Ranker::default();
            ranker.rank(&hits).unwrap();
            let mut sorted = hits.clone();
            sorted.sort_by(|a, b| run::ranking(*a, *b));
            for (rank, (_, id)) in (1..).zip(&sorted) {
                prop_assert_eq!(ranker.of(id, &hits), Some(rank));
            }
        }
    }
}

//! Cross-validation over topics: what is chosen for a topic is chosen on others.
//!
//! Invariant: topics that ask the same, in whatever languages, lie in one fold, so no topic's value depends
//! on a choice that its translation was part of.

use std::collections::BTreeMap;

use super::Draws;
use crate::measure::real;

/// Deals topics into folds: those of one group into the same. Groups are shuffled by the seed, whatever
/// order they come in.
///
/// # Shapes
/// The result has a fold, from 0 and below `count` (at least 1), for each of `groups`.
///
/// ```
/// # use tantivy_dense_eval::stats::{Draws, folds};
/// let dealt = folds(&["a", "b", "c", "a"], 3, Draws::new(1));
/// assert_eq!(dealt[0], dealt[3]);
/// assert!(dealt[0] != dealt[1] && dealt[1] != dealt[2] && dealt[0] != dealt[2]);
/// ```
pub fn folds(groups: &[&str], count: usize, draws: Draws) -> Vec<usize> {
    let mut random = draws.random();
    let mut names: Vec<&str> = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    for at in (1..names.len()).rev() {
        names.swap(at, random.below(at + 1));
    }
    let dealt: BTreeMap<&str, usize> =
        names.into_iter().enumerate().map(|(at, name)| (name, at % count.max(1))).collect();
    groups.iter().map(|group| dealt[group]).collect()
}

/// What was chosen for each fold on the topics of all others, and what it is worth on the fold.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidated {
    /// The choice for each fold.
    pub choices: Vec<usize>,
    /// The value of each topic by the choice for its fold.
    pub values: Vec<f64>,
}

/// Chooses for each fold what has the best mean over the topics of all others; of equals the first, and
/// the first too where there is no other topic.
///
/// # Shapes
/// `values` is `[choice, topic]` with at least one choice, and `folds` has one number for each topic.
///
/// # Panics
/// If the shapes differ from that.
///
/// ```
/// # use tantivy_dense_eval::stats::cross_validate;
/// let values = [vec![0.5, 0.5, 0.5], vec![0.0, 0.9, 0.9]];
/// let chosen = cross_validate(&values, &[0, 1, 2]);
/// assert_eq!(chosen.choices, [1, 0, 0]); // without topic 1, or 2, the second choice is worse
/// assert_eq!(chosen.values, [0.0, 0.5, 0.5]);
/// ```
pub fn cross_validate(values: &[Vec<f64>], folds: &[usize]) -> CrossValidated {
    assert!(!values.is_empty(), "nothing to choose from");
    assert!(values.iter().all(|values| values.len() == folds.len()), "a value for each topic");
    let count = folds.iter().max().map_or(0, |last| last + 1);
    let choose = |fold| {
        let mean = |values: &[f64]| {
            let others = values.iter().zip(folds).filter(|(_, of)| **of != fold);
            let (sum, count) = others.fold((0.0, 0), |(sum, n), (value, _)| (sum + value, n + 1));
            if count == 0 { 0.0 } else { sum / real(count) }
        };
        let means = values.iter().map(|values| mean(values)).enumerate();
        // The last of equals wins: turned round, the first.
        means.rev().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(choice, _)| choice)
    };
    let choices: Vec<usize> = (0..count).map(choose).collect();
    let held_out = folds.iter().enumerate().map(|(topic, &fold)| values[choices[fold]][topic]);
    CrossValidated { values: held_out.collect(), choices }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_equals_and_of_nothing_the_first_is_chosen() {
        let equal = [vec![0.5, 0.5], vec![0.5, 0.5]];
        assert_eq!(cross_validate(&equal, &[0, 1]).choices, [0, 0]);
        // All topics in one fold: there is nothing to choose by.
        let second_is_better = [vec![0.1, 0.1], vec![0.9, 0.9]];
        assert_eq!(cross_validate(&second_is_better, &[0, 0]).values, [0.1, 0.1]);
        assert_eq!(cross_validate(&[vec![]], &[]).values, [] as [f64; 0]);
    }

    proptest! {
        #[test]
        fn folds_keep_groups_together_and_are_of_one_size_whatever_the_order(
            mut groups in proptest::collection::vec("[a-j]", 0..40),
            count in 1..7_usize,
            seed in any::<u64>(),
        ) {
            let of = |groups: &[String]| -> BTreeMap<String, usize> {
                let names: Vec<&str> = groups.iter().map(String::as_str).collect();
                groups.iter().cloned().zip(folds(&names, count, Draws::new(seed))).collect()
            };
            let dealt = of(&groups);
            let names: Vec<&str> = groups.iter().map(String::as_str).collect();
            for (group, fold) in groups.iter().zip(folds(&names, count, Draws::new(seed))) {
                prop_assert_eq!(dealt[group], fold);
            }
            let sizes: Vec<usize> =
                (0..count).map(|fold| dealt.values().filter(|of| **of == fold).count()).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            groups.reverse();
            prop_assert_eq!(of(&groups), dealt);
        }

        #[test]
        fn a_topic_s_own_value_never_decides_its_choice(
            values in proptest::collection::vec(proptest::collection::vec(0.0..1.0_f64, 12), 1..5),
            topic in 0..12_usize,
        ) {
            let folds: Vec<usize> = (0..12).map(|topic| topic % 4).collect();
            let before = cross_validate(&values, &folds).choices[folds[topic]];
            let mut changed = values;
            for values in &mut changed {
                values[topic] = 1.0 - values[topic];
            }
            prop_assert_eq!(cross_validate(&changed, &folds).choices[folds[topic]], before);
        }
    }
}

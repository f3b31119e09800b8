//! Paired differences, and the mean over languages as a sum of parts that chance could have turned.
//!
//! Invariant: there is a difference, and all are finite.

use std::collections::{BTreeMap, BTreeSet};

use crate::measure::real;

/// How far a second system is from a first one, topic by topic, and what is to be said about it:
/// their mean, or the mean over languages of each language's mean.
///
/// Topics of several languages that ask the same, as those of parallel collections do, tend to be
/// easy or hard together. They are one observation here and not several: chance turns, and draws,
/// all of them or none.
///
/// ```
/// # use tantivy_dense_eval::stats::{Differences, DifferencesError};
/// let plain = Differences::new(&[0.5, 0.0, -0.2])?;
/// assert!((plain.mean() - 0.1).abs() < 1e-12);
/// let languages = [vec![("q1", 0.5), ("q2", 0.1)], vec![("q1", 0.1)]];
/// let over_languages = Differences::over_languages(&languages)?;
/// assert!((over_languages.mean() - (0.3 + 0.1) / 2.0).abs() < 1e-12);
/// assert_eq!(over_languages.observations(), 2); // q1, in both languages, and q2
/// # Ok::<(), DifferencesError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    /// What each observation adds to the mean. Observations that lie in the same languages are
    /// drawn from each other.
    strata: Vec<Vec<f64>>,
}

/// Why there is no mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DifferencesError {
    /// The mean of nothing is nothing.
    #[error("there is no topic to compare")]
    Empty,
    /// A value that is no number has no difference.
    #[error("a difference is not a finite number")]
    NotFinite,
}

impl Differences {
    /// Takes the difference of each topic.
    ///
    /// # Errors
    /// [`DifferencesError`] if there is none, or one is not finite.
    pub fn new(differences: &[f64]) -> Result<Self, DifferencesError> {
        Self::checked(differences)?;
        let part = |difference: &f64| difference / real(differences.len());
        Ok(Self { strata: vec![differences.iter().map(part).collect()] })
    }

    /// Takes, language by language, what each topic asks for and its difference. Topics that ask for
    /// the same have the same name.
    ///
    /// # Errors
    /// [`DifferencesError`] if there is no language, one has no topic, or a difference is not finite.
    pub fn over_languages(languages: &[Vec<(&str, f64)>]) -> Result<Self, DifferencesError> {
        let mut observations: BTreeMap<&str, (BTreeSet<usize>, f64)> = BTreeMap::new();
        for (language, topics) in languages.iter().enumerate() {
            let differences: Vec<f64> = topics.iter().map(|(_, difference)| *difference).collect();
            Self::checked(&differences)?;
            for (name, difference) in topics {
                let (of, sum) = observations.entry(name).or_default();
                of.insert(language);
                *sum += difference / real(topics.len()) / real(languages.len());
            }
        }
        let mut strata: BTreeMap<BTreeSet<usize>, Vec<f64>> = BTreeMap::new();
        for (of, sum) in observations.into_values() {
            strata.entry(of).or_default().push(sum);
        }
        if strata.is_empty() {
            return Err(DifferencesError::Empty);
        }
        Ok(Self { strata: strata.into_values().collect() })
    }

    fn checked(differences: &[f64]) -> Result<(), DifferencesError> {
        match differences {
            [] => Err(DifferencesError::Empty),
            all if all.iter().all(|difference| difference.is_finite()) => Ok(()),
            _ => Err(DifferencesError::NotFinite),
        }
    }

    /// The mean, or the mean over languages.
    pub fn mean(&self) -> f64 {
        self.strata.iter().flatten().sum()
    }

    /// How many observations there are: topics that ask for the same are one.
    pub fn observations(&self) -> usize {
        self.strata.iter().map(Vec::len).sum()
    }

    /// What each observation adds to the mean, grouped by the languages it lies in.
    pub(super) fn strata(&self) -> &[Vec<f64>] {
        &self.strata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_ask_the_same_are_one_observation() {
        let languages = [vec![("a", 0.4), ("b", 0.0)], vec![("a", 0.2), ("b", 0.2), ("c", 0.5)]];
        let differences = Differences::over_languages(&languages).unwrap();
        // `a` and `b` lie in both languages, `c` in one.
        let of = |topics: f64| 1.0 / topics / 2.0; // languages
        let a = 0.4 * of(2.0) + 0.2 * of(3.0);
        let b = 0.0 * of(2.0) + 0.2 * of(3.0);
        let c = 0.5 * of(3.0);
        let close = |ours: &[f64], wanted: &[f64]| {
            ours.len() == wanted.len()
                && ours.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12)
        };
        let [both, one] = differences.strata() else { panic!("{differences:?}") };
        assert!(close(both, &[a, b]) && close(one, &[c]), "{differences:?}");
        assert!((differences.mean() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn without_topics_or_with_a_value_that_is_no_number_there_is_no_mean() {
        assert_eq!(Differences::new(&[]), Err(DifferencesError::Empty));
        assert_eq!(Differences::new(&[0.1, f64::NAN]), Err(DifferencesError::NotFinite));
        assert_eq!(Differences::over_languages(&[]), Err(DifferencesError::Empty));
        let one_empty = [vec![("a", 0.1)], vec![]];
        assert_eq!(Differences::over_languages(&one_empty), Err(DifferencesError::Empty));
    }
}

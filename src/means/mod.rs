//! Language means: the part of a vector that says which language a text is in, taken off without training.
//!
//! Vectors of one language lie to one side of all others, so a query finds its own language first. Its mean
//! vector is that side; without it, texts of several languages compare by what they say.
//!
//! Invariant: what is taken off depends on the role and language of a text alone, so a text has the same vector
//! whatever it is encoded beside, and an index made with means is searched with the same ones: they are part of the
//! fingerprint. Means that say whose vectors they are of are taken off no other encoder's.
//!
//! Source: Roy et al., "`LAReQA`" (2020), section 5, and Yang et al., "A Simple and Effective Method to Eliminate the
//! Self Language Bias in Multilingual Representations" (2021), which takes off principal components.

mod components;
mod encoder;
mod file;

use std::collections::BTreeMap;

use dense_plugin::{Dim, Fingerprint, LanguageTag, Role};
use ndarray::{Array1, ArrayView2, Axis};

pub use encoder::{MeansEncoder, MeansError};
pub use file::{MeansContentError, MeansFileError};

/// What is taken off the vectors of each role and language.
///
/// ```
/// use dense_plugin::{Dim, LanguageTag, Role};
/// use ndarray::array;
/// use tantivy_dense::means::LanguageMeans;
///
/// let sw: LanguageTag = "sw".parse()?;
/// let mut means = LanguageMeans::new(Dim::new(2)?);
/// let rows = array![[1.0, 0.0], [0.6, 0.8]];
/// means.fit(Role::Passage, &[Some(sw.clone()), Some(sw.clone())], &rows.view(), 0)?;
/// let mut vector = [1.0, 0.0];
/// means.take_off(Role::Passage, Some(&sw), &mut vector)?; // the mean is (.8, .4)
/// assert!((vector[0] - 0.2_f32.hypot(0.4).recip() * 0.2).abs() < 1e-6);
/// assert!(vector[1] < 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageMeans {
    dim: Dim,
    /// Whose vectors they are of; none in files of before it was kept.
    encoder: Option<Fingerprint>,
    queries: Side,
    passages: Side,
}

/// One role.
#[derive(Clone, Debug, Default, PartialEq)]
struct Side {
    languages: BTreeMap<String, Off>,
    /// For a text whose language is not known, or has no mean: the mean of all means.
    other: Option<Off>,
}

/// What is taken off a vector.
#[derive(Clone, Debug, PartialEq)]
struct Off {
    mean: Array1<f32>,
    /// Directions of length 1, at right angles to each other.
    components: Vec<Array1<f32>>,
}

impl LanguageMeans {
    /// No means yet: vectors stay what they are.
    pub fn new(dim: Dim) -> Self {
        Self { dim, encoder: None, queries: Side::default(), passages: Side::default() }
    }

    /// Says whose vectors the means are of. An encoder has the same means in all precisions.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use dense_plugin::{Dim, Encoder, Fingerprint, toy::ToyEncoder};
    /// use tantivy_dense::means::{LanguageMeans, MeansEncoder};
    ///
    /// let encoder = Arc::new(ToyEncoder::new(Dim::new(8)?));
    /// let means = LanguageMeans::new(encoder.dim());
    /// let other = means.clone().of(&Fingerprint::new("other"));
    /// assert!(MeansEncoder::new(encoder.clone(), other).is_err());
    /// assert!(MeansEncoder::new(encoder.clone(), means.of(encoder.fingerprint())).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(mut self, encoder: &Fingerprint) -> Self {
        self.encoder = Some(encoder.clone());
        self
    }

    /// How many numbers a vector has.
    pub fn dim(&self) -> Dim {
        self.dim
    }

    /// The languages that have a mean in a role, sorted.
    pub fn languages(&self, role: Role) -> impl Iterator<Item = &str> {
        self.side(role).languages.keys().map(String::as_str)
    }

    /// Takes the means of one role from vectors, in place of those that it had. `components` directions in which
    /// the vectors of a language differ most go as well.
    ///
    /// # Shapes
    /// `rows` is `[languages.len(), dim]`. Rows of no language count for none.
    ///
    /// # Errors
    /// [`MeansError`] if `rows` has another shape.
    pub fn fit(
        &mut self,
        role: Role,
        languages: &[Option<LanguageTag>],
        rows: &ArrayView2<'_, f32>,
        components: usize,
    ) -> Result<(), MeansError> {
        self.check(rows.ncols())?;
        if rows.nrows() != languages.len() {
            let (rows, languages) = (rows.nrows(), languages.len());
            return Err(MeansError::Rows { rows, languages });
        }
        let mut of_language = BTreeMap::<&str, Vec<usize>>::new();
        for (row, language) in languages.iter().enumerate() {
            if let Some(language) = language {
                of_language.entry(language.as_str()).or_default().push(row);
            }
        }
        let fitted = of_language.into_iter().map(|(language, which)| {
            let rows = rows.select(Axis(0), &which);
            let mean = mean_of(&rows.view());
            let components = components::leading(&(rows - &mean), components);
            (language.to_owned(), Off { mean, components })
        });
        *self.side_mut(role) = Side::new(fitted.collect());
        Ok(())
    }

    /// Takes the means of one role from `other`, in place of those that it had.
    ///
    /// # Errors
    /// [`MeansError`] if they are of vectors of another encoder or dim.
    pub fn with(mut self, role: Role, other: &Self) -> Result<Self, MeansError> {
        if let Some(encoder) = &self.encoder {
            other.check_encoder(encoder)?;
        }
        other.check(self.dim.get())?;
        *self.side_mut(role) = other.side(role).clone();
        Ok(self)
    }

    /// Takes off what is to be taken off a vector, and brings it back to length 1. A language without a mean loses the
    /// mean of all means; where the role has none, the vector stays what it is.
    ///
    /// # Errors
    /// [`MeansError::Dim`] if the vector has another dim.
    pub fn take_off(
        &self,
        role: Role,
        language: Option<&LanguageTag>,
        vector: &mut [f32],
    ) -> Result<(), MeansError> {
        self.check(vector.len())?;
        let Some(off) = self.side(role).of(language) else { return Ok(()) };
        let mut left = Array1::from_iter(vector.iter().copied()) - &off.mean;
        for component in &off.components {
            let along = left.dot(component);
            left.scaled_add(-along, component);
        }
        let length = length(&left);
        // Nothing is left of a vector that is its language's mean.
        let scale = if length > f64::from(f32::EPSILON) { length.recip() } else { 0.0 };
        for (to, from) in vector.iter_mut().zip(&left) {
            *to = narrow(f64::from(*from) * scale);
        }
        Ok(())
    }

    /// Whether the means are of this encoder's vectors, as far as they say.
    pub(crate) fn check_encoder(&self, encoder: &Fingerprint) -> Result<(), MeansError> {
        match &self.encoder {
            Some(means) if means != encoder => {
                Err(MeansError::OtherEncoder { means: means.clone(), encoder: encoder.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check(&self, dim: usize) -> Result<(), MeansError> {
        let means = self.dim.get();
        if means == dim { Ok(()) } else { Err(MeansError::Dim { means, vectors: dim }) }
    }

    fn side(&self, role: Role) -> &Side {
        match role {
            Role::Query => &self.queries,
            Role::Passage => &self.passages,
        }
    }

    fn side_mut(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Query => &mut self.queries,
            Role::Passage => &mut self.passages,
        }
    }
}

impl Side {
    fn new(languages: BTreeMap<String, Off>) -> Self {
        let means: Vec<_> = languages.values().map(|off| off.mean.view()).collect();
        let other = ndarray::stack(Axis(0), &means).ok().filter(|means| !means.is_empty());
        let other = other.map(|means| Off { mean: mean_of(&means.view()), components: Vec::new() });
        Self { languages, other }
    }

    /// The mean of exactly this tag, else of its language, else of none.
    fn of(&self, language: Option<&LanguageTag>) -> Option<&Off> {
        let known = |name: &str| self.languages.get(name);
        language
            .and_then(|tag| known(tag.as_str()).or_else(|| known(tag.language())))
            .or(self.other.as_ref())
    }
}

/// The mean of at least one row.
fn mean_of(rows: &ArrayView2<'_, f32>) -> Array1<f32> {
    let mut sums = vec![0.0_f64; rows.ncols()];
    for row in rows.rows() {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of texts")]
    let count = rows.nrows() as f64;
    sums.into_iter().map(|sum| narrow(sum / count)).collect()
}

fn length(vector: &Array1<f32>) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn tag(language: &str) -> LanguageTag {
        language.parse().unwrap()
    }

    fn means(components: usize) -> LanguageMeans {
        let languages = [Some(tag("en")), Some(tag("en")), Some(tag("zh-Hant")), None];
        let rows = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [9.0, 9.0, 9.0]];
        let mut means = LanguageMeans::new(Dim::new(3).unwrap());
        means.fit(Role::Query, &languages, &rows.view(), components).unwrap();
        means
    }

    fn without(means: &LanguageMeans, role: Role, language: &str, vector: [f32; 3]) -> [f32; 3] {
        let mut vector = vector;
        means.take_off(role, Some(&tag(language)), &mut vector).unwrap();
        vector
    }

    fn assert_close(a: [f32; 3], b: [f32; 3]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} is not {b:?}");
    }

    #[test]
    fn a_language_loses_its_mean_and_another_role_nothing() {
        let half = 0.5_f32.sqrt();
        let vector = [1.0, 0.0, 0.0];
        assert_close(without(&means(0), Role::Query, "en", vector), [half, -half, 0.0]);
        assert_close(without(&means(0), Role::Passage, "en", vector), vector);
    }

    #[test]
    fn a_language_without_a_mean_loses_the_mean_of_means() {
        // (.5, .5, 0) and (0, 0, 1) have the mean (.25, .25, .5).
        let found = without(&means(0), Role::Query, "yo", [1.0, 0.0, 0.0]);
        let length = (0.75_f32.powi(2) + 0.25_f32.powi(2) + 0.5_f32.powi(2)).sqrt();
        assert_close(found, [0.75 / length, -0.25 / length, -0.5 / length]);
        let exact = without(&means(0), Role::Query, "zh-Hant", [0.0, 1.0, 1.0]);
        assert_close(exact, [0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_vector_that_is_the_mean_becomes_zero() {
        assert_close(without(&means(0), Role::Query, "zh-Hant", [0.0, 0.0, 1.0]), [0.0; 3]);
    }

    #[test]
    fn a_component_is_taken_off_with_the_mean() {
        // The two English vectors differ along (1, -1, 0) alone.
        assert_close(without(&means(1), Role::Query, "en", [1.0, 0.0, 1.0]), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_mean_of_what_is_left_is_zero_before_it_is_brought_to_length_1() {
        let rows = Array2::from_shape_fn((50, 3), |(i, j)| {
            [4.0, -1.0, 2.5, 0.0, 7.0][(i * 7 + j * 3) % 5]
        });
        let mean = mean_of(&rows.view());
        let left = mean_of(&(&rows - &mean).view());
        assert!(left.iter().all(|x| x.abs() < 1e-5), "{left}");
    }
}

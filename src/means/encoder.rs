//! An encoder whose vectors have lost their language's mean.

use std::error::Error;
use std::sync::Arc;

use dense_plugin::{
    Dim, EncodeError, Encoded, Encoder, Fingerprint, LanguageTag, Role, Text, Vectors,
};

use super::LanguageMeans;

/// Between the fingerprint of the encoder and that of the means.
const JOINT: &str = "-means-";

/// Encodes with another encoder, and takes language means off. A text that names no language loses the mean of all
/// means, so say the language where it is known.
pub struct MeansEncoder {
    inner: Arc<dyn Encoder>,
    means: LanguageMeans,
    fingerprint: Fingerprint,
}

impl MeansEncoder {
    /// Takes an encoder, and means of its vectors.
    ///
    /// # Errors
    /// [`MeansError`] if the means are of vectors of another encoder or dim.
    pub fn new(inner: Arc<dyn Encoder>, means: LanguageMeans) -> Result<Self, MeansError> {
        means.check_encoder(inner.fingerprint())?;
        means.check(inner.dim().get())?;
        let name = format!("{}{JOINT}{:08x}", inner.fingerprint(), means.checksum());
        Ok(Self { inner, means, fingerprint: Fingerprint::new(name) })
    }

    /// The fingerprint of the encoder alone, where one is that of an encoder with means.
    pub fn without_means(fingerprint: &Fingerprint) -> Option<Fingerprint> {
        let (encoder, sum) = fingerprint.as_str().rsplit_once(JOINT)?;
        // A model may be called so as well; what follows then is no sum.
        let is_sum = sum.len() == 8 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_sum.then(|| Fingerprint::new(encoder))
    }
}

impl std::fmt::Debug for MeansEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeansEncoder")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Encoder for MeansEncoder {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn dim(&self) -> Dim {
        self.inner.dim()
    }

    fn encode(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        let encoded = self.inner.encode(role, texts)?;
        let mut rows = Vec::with_capacity(texts.len() * self.dim().get());
        let fail = |error: Box<dyn Error + Send + Sync>| EncodeError::new(texts.len(), error);
        for (vector, text) in encoded.vectors.iter().zip(texts) {
            let from = rows.len();
            rows.extend_from_slice(vector);
            self.means
                .take_off(
                    role,
                    text.language.filter(|tag| **tag != LanguageTag::undetermined()),
                    &mut rows[from..],
                )
                .map_err(|error| fail(error.into()))?;
        }
        let vectors = Vectors::from_flat(self.dim(), rows).map_err(|error| fail(error.into()))?;
        Ok(Encoded { vectors, ..encoded })
    }
}

/// Why means do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum MeansError {
    /// They say that they are of another model.
    #[error("the language means are of encoder {means}, and {encoder} is used")]
    OtherEncoder { means: Fingerprint, encoder: Fingerprint },
    /// They are of another model.
    #[error("the language means are of vectors of dim {means}, and these have dim {vectors}")]
    Dim { means: usize, vectors: usize },
    /// Vectors and languages do not belong together.
    #[error("{rows} vectors have {languages} languages")]
    Rows { rows: usize, languages: usize },
}

#[cfg(test)]
mod tests {
    use dense_plugin::toy::ToyEncoder;
    use ndarray::Array2;

    use super::*;

    #[test]
    fn vectors_lose_the_mean_of_their_language_and_role() {
        let toy = Arc::new(ToyEncoder::new(Dim::new(8).unwrap()));
        let sw: LanguageTag = "sw".parse().unwrap();
        let texts = [Text { body: "habari", language: Some(&sw) }, Text::new("habari")];
        let plain = toy.encode(Role::Passage, &texts).unwrap().vectors;
        let rows = Array2::from_shape_vec((2, 8), plain.as_flat().to_vec()).unwrap();
        let mut means = LanguageMeans::new(toy.dim());
        means.fit(Role::Passage, &[Some(sw.clone()), None], &rows.view(), 0).unwrap();
        let encoder = MeansEncoder::new(toy.clone(), means).unwrap();
        let left = encoder.encode(Role::Passage, &texts).unwrap().vectors;
        // Each is the mean itself: that of Swahili, and that of all languages, of which there is one.
        assert!(left.as_flat().iter().all(|x| *x == 0.0));
        let queries = encoder.encode(Role::Query, &texts).unwrap().vectors;
        assert_eq!(queries, toy.encode(Role::Query, &texts).unwrap().vectors);
        assert_ne!(encoder.fingerprint(), toy.fingerprint());
        let alone = MeansEncoder::without_means(encoder.fingerprint());
        assert_eq!(alone.as_ref(), Some(toy.fingerprint()));
        assert_eq!(MeansEncoder::without_means(toy.fingerprint()), None);
    }

    #[test]
    fn means_are_of_their_encoder_or_do_not_say_it() {
        let toy = Arc::new(ToyEncoder::new(Dim::new(8).unwrap()));
        let means = LanguageMeans::new(toy.dim());
        let own = means.clone().of(toy.fingerprint());
        let other = means.clone().of(&Fingerprint::new("other"));
        let made = |means: &LanguageMeans| MeansEncoder::new(toy.clone(), means.clone());
        let error = made(&other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the language means are of encoder other, and toy-trigrams-8 is used"
        );
        assert_eq!(own.clone().with(Role::Query, &other).unwrap_err(), error);
        assert_eq!(own.clone().with(Role::Query, &means).unwrap(), own);
        // An index that was made with means of before is searched with the same ones that say it.
        assert_eq!(made(&own).unwrap().fingerprint(), made(&means).unwrap().fingerprint());
    }

    #[test]
    fn means_of_another_dim_are_refused() {
        let toy = Arc::new(ToyEncoder::new(Dim::new(8).unwrap()));
        let error = MeansEncoder::new(toy, LanguageMeans::new(Dim::new(3).unwrap())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the language means are of vectors of dim 3, and these have dim 8"
        );
    }
}

//! The vectors of a collection: encoded once, and kept for the next run over the same texts.
//!
//! Invariant: what is kept is found only for the same encoder, precision, role and texts, and only if every byte is
//! what was written; else the texts are encoded again.

use dense_eval::Collection;
use dense_indexer::Detector;
use dense_plugin::{Encoder, LanguageTag, Role, Text};
use ndarray::Array2;

use super::models::ModelOptions;
use super::ui::Ui;
use crate::retrievers::{full_text, language_of};

/// How many texts the processor is handed at once: enough to sort by length, little enough for
/// the bar to move.
const BATCH: usize = 256;

/// Texts of one role, with their languages.
pub(super) struct Texts {
    role: Role,
    bodies: Vec<String>,
    pub(super) languages: Vec<LanguageTag>,
}

impl Texts {
    /// The queries of a collection.
    pub(super) fn queries(collection: &Collection) -> Self {
        let topics = collection.topics.iter();
        Self::new(Role::Query, topics.map(|t| (t.text.clone(), t.language.as_deref())))
    }

    /// The passages of a collection.
    pub(super) fn passages(collection: &Collection) -> Self {
        let passages = collection.passages.iter();
        Self::new(Role::Passage, passages.map(|p| (full_text(p), p.language.as_deref())))
    }

    /// Any texts, of languages that are named or detected.
    pub(super) fn new<'a>(
        role: Role,
        texts: impl Iterator<Item = (String, Option<&'a str>)>,
    ) -> Self {
        let detector = Detector::new();
        let (bodies, languages) = texts
            .map(|(body, named)| {
                let language = language_of(named, &body, &detector);
                (body, language)
            })
            .unzip();
        Self { role, bodies, languages }
    }

    /// The first `most` of each language.
    #[cfg(feature = "onnx")]
    pub(super) fn at_most(self, most: usize) -> Self {
        let mut counts = std::collections::BTreeMap::<LanguageTag, usize>::new();
        let (bodies, languages) = self
            .bodies
            .into_iter()
            .zip(self.languages)
            .filter(|(_, language)| {
                let count = counts.entry(language.clone()).or_default();
                *count += 1;
                *count <= most
            })
            .unzip();
        Self { role: self.role, bodies, languages }
    }

    /// `[texts, dim]`, in the order of the texts.
    pub(super) fn encode(
        &self,
        encoder: &dyn Encoder,
        model: &ModelOptions,
        ui: Ui,
    ) -> anyhow::Result<Array2<f32>> {
        let what = match self.role {
            Role::Query => "encoding queries",
            Role::Passage => "encoding passages",
        };
        let kept = model.kept_vectors(encoder, self.role, &self.bodies, &self.languages)?;
        let shape = (self.bodies.len(), encoder.dim().get());
        if let Some(rows) = kept.as_ref().and_then(|kept| kept.read(shape)) {
            ui.note(format_args!("{what}: {} encoded by an earlier run", self.bodies.len()));
            return Ok(rows);
        }
        // Texts of one length share batches without padding, whatever order the files have.
        let mut order: Vec<usize> = (0..self.bodies.len()).collect();
        order.sort_by_key(|&at| self.bodies[at].len());
        let mut rows = Array2::zeros(shape);
        let mut progress = ui.progress(what, "texts", Some(self.bodies.len() as u64));
        for batch in order.chunks(model.documents_together(BATCH)) {
            let text =
                |&at: &usize| Text { body: &self.bodies[at], language: Some(&self.languages[at]) };
            let of_batch: Vec<Text<'_>> = batch.iter().map(text).collect();
            let encoded = encoder.encode(self.role, &of_batch)?;
            for (&at, vector) in batch.iter().zip(&encoded.vectors) {
                rows.row_mut(at).assign(&ndarray::ArrayView1::from(vector));
            }
            progress.add(batch.len() as u64);
        }
        let took = progress.finish().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.bodies.len() as f64 / took.max(1e-9);
        ui.note(format_args!("{what}: {} in {took:.1} s, {rate:.0} a second", self.bodies.len()));
        // Not being able to keep them costs time at the next run alone.
        if let Some(Err(error)) = kept.map(|kept| kept.write(&rows)) {
            ui.warn(format_args!("{error:#}; the next run encodes these texts again"));
        }
        Ok(rows)
    }
}

/// Vectors of an earlier run, in a file of the cache folder.
pub(super) struct Kept {
    file: std::path::PathBuf,
    forgotten: bool,
}

impl Kept {
    /// The vectors of texts that an encoder was given in one role.
    #[cfg(feature = "onnx")]
    pub(super) fn new(
        folder: &std::path::Path,
        encoder: &dyn Encoder,
        precision: crate::model::Precision,
        role: Role,
        bodies: &[String],
        languages: &[LanguageTag],
    ) -> Self {
        use sha2::{Digest, Sha256};

        let mut hash = Sha256::new();
        let role = match role {
            Role::Query => "query",
            Role::Passage => "passage",
        };
        let precision = precision.to_string();
        let parts = [encoder.fingerprint().as_str(), &precision, role];
        // Each with its length before it, so that no two lists read the same.
        for part in parts.into_iter().chain(bodies.iter().map(String::as_str)) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        // Only an encoder that takes means off looks at languages.
        if crate::means::MeansEncoder::without_means(encoder.fingerprint()).is_some() {
            for language in languages {
                hash.update((language.as_str().len() as u64).to_le_bytes());
                hash.update(language.as_str());
            }
        }
        let name = crate::model::hex(&hash.finalize()[..16]);
        Self { file: folder.join(name).with_extension("f32"), forgotten: false }
    }

    /// The same, but what is there is written anew.
    #[cfg(feature = "onnx")]
    pub(super) fn forgotten(self) -> Self {
        Self { forgotten: true, ..self }
    }

    fn read(&self, shape: (usize, usize)) -> Option<Array2<f32>> {
        if self.forgotten {
            return None;
        }
        let bytes = std::fs::read(&self.file).ok()?;
        let (numbers, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(numbers) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (numbers, rest) = numbers.as_chunks::<4>();
        let numbers = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
        if rest.is_empty() { Array2::from_shape_vec(shape, numbers).ok() } else { None }
    }

    fn write(&self, rows: &Array2<f32>) -> anyhow::Result<()> {
        use anyhow::Context;

        let mut bytes: Vec<u8> = rows.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let unfinished = self.file.with_extension("unfinished");
        let written = self.file.parent().map_or(Ok(()), std::fs::create_dir_all);
        written
            .and_then(|()| std::fs::write(&unfinished, bytes))
            .and_then(|()| std::fs::rename(&unfinished, &self.file))
            .with_context(|| format!("{}: vectors cannot be kept", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_found_again_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept { file: folder.path().join("vectors/a.f32"), forgotten: false };
        let rows = ndarray::array![[1.0, -2.0], [0.5, f32::MIN_POSITIVE]];
        assert!(kept.read((2, 2)).is_none());
        kept.write(&rows).unwrap();
        assert_eq!(kept.read((2, 2)), Some(rows));
        assert!(kept.read((2, 3)).is_none());
        let mut bytes = std::fs::read(&kept.file).unwrap();
        bytes[5] ^= 1;
        std::fs::write(&kept.file, &bytes).unwrap();
        assert!(kept.read((2, 2)).is_none());
    }
}

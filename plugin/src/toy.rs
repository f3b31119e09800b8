//! An encoder without a model, for tests and examples.

use crate::encoder::{EncodeError, Encoded, Encoder, Fingerprint, Role, Text};
use crate::vector::{Dim, Vectors};

/// Counts hashed character trigrams: texts that share spelling are near. For tests and examples;
/// it knows nothing of meaning, nor of other languages.
///
/// Vectors have length 1, or are all zeros for a text without a letter. Same text, same vector, on
/// every machine.
///
/// ```
/// # use tantivy_dense_plugin::{Dim, Encoder, Role, Text, toy::ToyEncoder};
/// let encoder = ToyEncoder::new(Dim::new(64)?);
/// let texts = ["volcano", "volcanoes", "teapot"].map(Text::new);
/// let vectors = encoder.encode(Role::Passage, &texts)?.vectors;
/// let dot = |a: usize, b: usize| -> f32 {
///     vectors.row(a).iter().zip(vectors.row(b)).map(|(a, b)| a * b).sum()
/// };
/// assert!(dot(0, 1) > dot(0, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ToyEncoder {
    dim: Dim,
    fingerprint: Fingerprint,
}

impl ToyEncoder {
    /// An encoder of vectors of `dim` numbers.
    pub fn new(dim: Dim) -> Self {
        Self { dim, fingerprint: Fingerprint::new(format!("toy-trigrams-{dim}")) }
    }

    /// One text's vector, and how many trigrams it has.
    fn encode_one(&self, text: &str) -> (Vec<f32>, usize) {
        let mut vector = vec![0.0; self.dim.get()];
        let mut trigrams = 0;
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let letters: Vec<char> =
                [' '].into_iter().chain(word.to_lowercase().chars()).chain([' ']).collect();
            for trigram in letters.windows(3) {
                let hash = fnv(trigram);
                let at = usize::try_from(hash % self.dim.get() as u64).expect("below the dim");
                vector[at] += if hash >> 40 & 1 == 0 { 1.0 } else { -1.0 };
                trigrams += 1;
            }
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            for x in &mut vector {
                *x /= length;
            }
        }
        (vector, trigrams)
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): stable, unlike the standard library's hash.
fn fnv(letters: &[char]) -> u64 {
    letters
        .iter()
        .flat_map(|c| u32::from(*c).to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

impl Encoder for ToyEncoder {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn dim(&self) -> Dim {
        self.dim
    }

    fn encode(&self, _: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        let mut vectors = Vectors::new(self.dim);
        let mut tokens = 0;
        for text in texts {
            let (vector, trigrams) = self.encode_one(text.body);
            vectors.push(&vector).map_err(|error| EncodeError::new(texts.len(), error))?;
            tokens += trigrams;
        }
        Ok(Encoded { vectors, tokens, truncated: 0 })
    }
}

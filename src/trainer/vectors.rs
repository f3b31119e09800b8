//! Vectors of a frozen encoder, each text encoded once: in memory, and in a file that later runs read.
//!
//! File: `TDVC`, format `1` (u32), dim (u32), a hash of the encoder's fingerprint (u64); then blocks of a count (u32), as
//! many keys (u64), as many rows (f32), and the XXH3 of the block before it (u64). All little-endian.
//!
//! Invariant: a block in the file is whole: one that was cut short or changed ends the file, and is written anew. So a run
//! that was killed and goes on encodes the same texts together, and finds the same vectors, as if it had not been.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dense_plugin::{EncodeError, Encoder, Role, Text};
use ndarray::Array2;

use super::text::{hash, mixed};

const MAGIC: [u8; 4] = *b"TDVC";
const FORMAT: u32 = 1;
const HEADER: usize = 20;

/// Texts a call of the encoder, and rows a block.
const BLOCK: usize = 256;

/// An encoder that remembers.
pub struct CachedVectors {
    encoder: Arc<dyn Encoder>,
    rows: HashMap<u64, usize>,
    numbers: Vec<f32>,
    file: Option<(File, PathBuf)>,
}

/// Why a text has no vector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum VectorsError {
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The file system refused.
    #[error("{}: cannot be read or written", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// The file holds vectors of something else.
    #[error("{}: holds no vectors of this encoder; remove it, or name another file", file.display())]
    Other { file: PathBuf },
}

impl CachedVectors {
    /// Remembers in memory alone.
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        Self { encoder, rows: HashMap::new(), numbers: Vec::new(), file: None }
    }

    /// Remembers in a file too, which is made where it is not there.
    ///
    /// # Errors
    /// [`VectorsError`] if the file is another encoder's, or cannot be read.
    pub fn with_file(encoder: Arc<dyn Encoder>, file: &Path) -> Result<Self, VectorsError> {
        let mut vectors = Self::new(encoder);
        let fail = |source| VectorsError::Io { file: file.to_owned(), source };
        let mut opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(file)
            .map_err(fail)?;
        let header = vectors.header();
        let length = opened.metadata().map_err(fail)?.len();
        let mut found = Vec::with_capacity(HEADER);
        (&opened).take(HEADER as u64).read_to_end(&mut found).map_err(fail)?;
        let end = if length < HEADER as u64 && header.starts_with(&found) {
            opened.seek(SeekFrom::Start(0)).map_err(fail)?;
            opened.write_all(&header).map_err(fail)?;
            HEADER as u64
        } else if found == header {
            HEADER as u64 + vectors.read_blocks(BufReader::new(&opened), length).map_err(fail)?
        } else {
            return Err(VectorsError::Other { file: file.to_owned() });
        };
        opened.set_len(end).map_err(fail)?;
        opened.seek(SeekFrom::Start(end)).map_err(fail)?;
        vectors.file = Some((opened, file.to_owned()));
        Ok(vectors)
    }

    fn header(&self) -> Vec<u8> {
        let dim = u32::try_from(self.encoder.dim().get()).expect("a dim has 16 bits");
        let encoder = hash(self.encoder.fingerprint().as_str().as_bytes());
        let parts: [&[u8]; 4] =
            [&MAGIC, &FORMAT.to_le_bytes(), &dim.to_le_bytes(), &encoder.to_le_bytes()];
        parts.concat()
    }

    /// Reads whole blocks; gives how many bytes they have.
    fn read_blocks(&mut self, mut input: impl Read, length: u64) -> io::Result<u64> {
        let dim = self.encoder.dim().get();
        let mut bytes = Vec::new();
        let mut end = 0;
        loop {
            let mut count = [0; 4];
            if !is_filled(&mut input, &mut count)? {
                return Ok(end);
            }
            let rows = u32::from_le_bytes(count) as usize;
            let size = rows.checked_mul(8 + 4 * dim).and_then(|size| size.checked_add(8));
            // A count that was changed must not ask for more memory than the file has bytes.
            let Some(size) = size.filter(|size| *size as u64 <= length && rows <= BLOCK) else {
                return Ok(end);
            };
            bytes.resize(4 + size, 0);
            bytes[..4].copy_from_slice(&count);
            if !is_filled(&mut input, &mut bytes[4..])? {
                return Ok(end);
            }
            let (block, sum) = bytes.split_at(4 + size - 8);
            if hash(block).to_le_bytes() != sum {
                return Ok(end);
            }
            let (keys, numbers) = block[4..].split_at(8 * rows);
            let start = self.numbers.len() / dim;
            for (row, key) in (start..).zip(keys.as_chunks::<8>().0) {
                self.rows.insert(u64::from_le_bytes(*key), row);
            }
            self.numbers.extend(numbers.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)));
            end += bytes.len() as u64;
        }
    }

    /// The encoder.
    pub fn encoder(&self) -> &Arc<dyn Encoder> {
        &self.encoder
    }

    /// How many texts are remembered.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The vectors of texts, `[texts, dim]`: remembered, or encoded now.
    ///
    /// # Errors
    /// [`VectorsError`] if the encoder or the file system fails.
    pub fn of(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, VectorsError> {
        let role_number = match role {
            Role::Query => 0,
            Role::Passage => 1,
        };
        let keys: Vec<u64> =
            texts.iter().map(|text| mixed(&[role_number, hash(text.body.as_bytes())])).collect();
        let mut asked = HashSet::new();
        let new: Vec<usize> = (0..texts.len())
            .filter(|&at| !self.rows.contains_key(&keys[at]) && asked.insert(keys[at]))
            .collect();
        for block in new.chunks(BLOCK) {
            let bodies: Vec<Text<'_>> = block.iter().map(|&at| texts[at]).collect();
            let encoded = self.encoder.encode(role, &bodies)?;
            let block_keys: Vec<u64> = block.iter().map(|&at| keys[at]).collect();
            self.write(&block_keys, encoded.vectors.as_flat())?;
            let start = self.numbers.len() / self.encoder.dim().get();
            self.rows.extend(block_keys.into_iter().zip(start..));
            self.numbers.extend_from_slice(encoded.vectors.as_flat());
        }
        let dim = self.encoder.dim().get();
        let mut out = Array2::zeros((texts.len(), dim));
        for (mut row, key) in out.rows_mut().into_iter().zip(&keys) {
            let from = self.rows[key] * dim;
            row.iter_mut().zip(&self.numbers[from..from + dim]).for_each(|(to, from)| *to = *from);
        }
        Ok(out)
    }

    fn write(&mut self, keys: &[u64], numbers: &[f32]) -> Result<(), VectorsError> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        let count = u32::try_from(keys.len()).expect("a block is small");
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(keys.iter().flat_map(|key| key.to_le_bytes()));
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(hash(&bytes).to_le_bytes());
        let fail = |source| VectorsError::Io { file: path.clone(), source };
        file.write_all(&bytes).map_err(fail)
    }
}

impl std::fmt::Debug for CachedVectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedVectors").field("texts", &self.len()).finish_non_exhaustive()
    }
}

/// Whether there were enough bytes.
fn is_filled(input: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damaged::damaged;
    use dense_plugin::Dim;
    use dense_plugin::toy::ToyEncoder;
    use proptest::prelude::*;

    fn toy(dim: usize) -> Arc<dyn Encoder> {
        Arc::new(ToyEncoder::new(Dim::new(dim).unwrap()))
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_gives_the_same_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vectors");
        let texts = ["one", "two", "three", "one"].map(Text::new);
        let wanted = CachedVectors::new(toy(16)).of(Role::Query, &texts).unwrap();
        let fill = |file: &Path| -> Array2<f32> {
            let mut vectors = CachedVectors::with_file(toy(16), file).unwrap();
            vectors.of(Role::Query, &texts[..1]).unwrap();
            vectors.of(Role::Query, &texts).unwrap()
        };
        assert_eq!(fill(&file), wanted);
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(bytes.len(), HEADER + (4 + 8 + 64 + 8) + (4 + 2 * (8 + 64) + 8));
        for cut in 0..bytes.len() {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            assert_eq!(fill(&file), wanted, "cut at {cut}");
            assert_eq!(std::fs::read(&file).unwrap(), bytes);
        }
        for at in HEADER..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            std::fs::write(&file, &changed).unwrap();
            assert_eq!(fill(&file), wanted, "changed at {at}");
        }
    }

    #[test]
    fn any_bytes_give_the_same_vectors_or_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vectors");
        let texts = ["one", "two", "three"].map(Text::new);
        let mut vectors = CachedVectors::with_file(toy(16), &file).unwrap();
        vectors.of(Role::Query, &texts[..1]).unwrap();
        let wanted = vectors.of(Role::Query, &texts).unwrap();
        proptest!(|(bytes in damaged(std::fs::read(&file).unwrap()))| {
            let file = folder.path().join("damaged");
            std::fs::write(&file, bytes).unwrap();
            match CachedVectors::with_file(toy(16), &file) {
                Ok(mut found) => prop_assert_eq!(found.of(Role::Query, &texts).unwrap(), wanted.clone()),
                Err(error) => assert!(matches!(error, VectorsError::Other { .. }), "{error}"),
            }
        });
    }

    #[test]
    fn another_encoders_vectors_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vectors");
        CachedVectors::with_file(toy(16), &file).unwrap();
        assert!(matches!(CachedVectors::with_file(toy(8), &file), Err(VectorsError::Other { .. })));
        std::fs::write(&file, "something else entirely").unwrap();
        assert!(matches!(
            CachedVectors::with_file(toy(16), &file),
            Err(VectorsError::Other { .. })
        ));
    }
}

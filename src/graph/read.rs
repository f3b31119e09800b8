//! Reads weights back out of an f32 graph that [`bert_encoder`](super::bert_encoder) wrote, under the names that they
//! had when it was written: what a model folder's graph carries is all that training needs.
//!
//! Invariant: no file makes the reader panic, and it reads no file outside the graph's folder.
//!
//! Left out on purpose: graphs of other exporters, whose weights have names that mean nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use prost::Message;

use super::bert::{BertConfig, POSITIONS};
use super::proto::{DATA_LOCATION_EXTERNAL, ModelProto, TensorProto};
use super::tensor::ElementType;
use super::weights::{Weights, WeightsError};

const WORDS: &str = "embeddings.word_embeddings.weight";

/// The weights of a graph file.
#[derive(Debug)]
pub struct GraphWeights {
    graph: PathBuf,
    hidden: usize,
    tensors: BTreeMap<String, Stored>,
}

#[derive(Clone, Debug)]
struct Stored {
    dims: Vec<usize>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Inline(Vec<u8>),
    File { path: PathBuf, start: u64 },
}

impl GraphWeights {
    /// Reads the graph file; weights that lie in a file beside it are read when they are asked for.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be read or is no graph.
    pub fn open(graph: &Path, config: &BertConfig) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io { file: graph.to_owned(), source };
        Self::parse(graph, &fs::read(graph).map_err(io)?, config)
    }

    fn parse(graph: &Path, bytes: &[u8], config: &BertConfig) -> Result<Self, ReadError> {
        let model = ModelProto::decode(bytes)
            .map_err(|source| ReadError::Graph { graph: graph.to_owned(), source })?;
        let folder = graph.parent().unwrap_or(Path::new(""));
        let initializers = model.graph.map(|graph| graph.initializer).unwrap_or_default();
        let tensors = initializers.into_iter().filter_map(|tensor| {
            let name = tensor.name.clone();
            Some((name, Stored::of(tensor, folder)?))
        });
        Ok(Self { graph: graph.to_owned(), hidden: config.hidden, tensors: tensors.collect() })
    }

    /// The word embeddings, to be read row by row.
    ///
    /// # Errors
    /// [`ReadError`] if they are not there or cannot be opened.
    pub fn words(&self) -> Result<Rows, ReadError> {
        let missing = || ReadError::Words { graph: self.graph.clone() };
        let stored = self.tensors.get(WORDS).ok_or_else(missing)?;
        let &[rows, columns] = &*stored.dims else { return Err(missing()) };
        if columns != self.hidden {
            return Err(missing());
        }
        let place = match &stored.place {
            Place::Inline(bytes) => Source::Bytes(bytes.clone()),
            Place::File { path, start } => {
                let io = |source| ReadError::Io { file: path.clone(), source };
                let file = File::open(path).map_err(io)?;
                let length = file.metadata().map_err(io)?.len();
                if (rows * columns * 4) as u64 > length.saturating_sub(*start) {
                    return Err(missing());
                }
                Source::File { file, start: *start }
            }
        };
        Ok(Rows { count: rows, columns, place })
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let missing = || WeightsError::Missing { name: name.to_owned() };
        let stored = self.tensors.get(name).ok_or_else(missing)?;
        if stored.dims != shape {
            let found = stored.dims.iter().product();
            return Err(WeightsError::Dims { name: name.to_owned(), found, dims: shape.to_vec() });
        }
        let length = shape.iter().product::<usize>() * 4;
        let read = || match &stored.place {
            Place::Inline(bytes) => Ok(floats(bytes)),
            Place::File { path, start } => {
                let mut file = File::open(path)?;
                // Dims that were changed must not ask for more memory than the file has bytes.
                if length as u64 > file.metadata()?.len().saturating_sub(*start) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.seek(SeekFrom::Start(*start))?;
                let mut bytes = vec![0; length];
                file.read_exact(&mut bytes)?;
                Ok(floats(&bytes))
            }
        };
        let fail = |source: io::Error| {
            let (name, source) = (name.to_owned(), source.into());
            WeightsError::Source { name, source }
        };
        read().map_err(fail)
    }

    /// Columns `part` of the matrix `name`, `[inputs, parts * outputs]`, as rows.
    fn turned(
        &self,
        name: &str,
        dims: &[usize],
        (part, parts): (usize, usize),
    ) -> Result<Vec<f32>, WeightsError> {
        let &[outputs, inputs] = dims else {
            return Err(WeightsError::Missing { name: name.to_owned() });
        };
        let matrix = self.read(name, &[inputs, parts * outputs])?;
        let column = |at| matrix.iter().skip(part * outputs + at).step_by(parts * outputs);
        Ok((0..outputs).flat_map(column).copied().collect())
    }
}

impl Weights for GraphWeights {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        match name {
            // The graph's positions contain them.
            "embeddings.token_type_embeddings.weight" => {
                return Ok(vec![0.0; dims.iter().product()]);
            }
            "embeddings.position_embeddings.weight" => return self.read(POSITIONS, dims),
            _ => {}
        }
        let parts = ["query", "key", "value"];
        let of_three = parts.iter().enumerate().find_map(|(part, middle)| {
            let (layer, kind) = name.split_once(&format!(".attention.self.{middle}."))?;
            Some((part, format!("{layer}.attention.self.{kind}"), kind))
        });
        match of_three {
            Some((part, name, "weight")) => self.turned(&name, dims, (part, 3)),
            Some((part, name, _)) => {
                let all = self.read(&name, &[3 * self.hidden])?;
                Ok(all[part * self.hidden..(part + 1) * self.hidden].to_vec())
            }
            None if name.ends_with(".weight") && name.contains("dense") => {
                self.turned(name, dims, (0, 1))
            }
            None => self.read(name, dims),
        }
    }
}

impl Stored {
    /// What is known of an f32 tensor; none for any other, or one that lies elsewhere.
    fn of(tensor: TensorProto, folder: &Path) -> Option<Self> {
        if ElementType::of(tensor.data_type.into()) != Some(ElementType::F32) {
            return None;
        }
        let dims: Vec<usize> =
            tensor.dims.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>()?;
        let numbers = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
        let length = numbers.checked_mul(4)?;
        let place = if tensor.data_location == Some(DATA_LOCATION_EXTERNAL) {
            let entry = |key: &str| {
                let entry = tensor.external_data.iter().find(|entry| entry.key == key)?;
                Some(entry.value.as_str())
            };
            let name = Path::new(entry("location")?);
            if name.file_name() != Some(name.as_os_str()) {
                return None;
            }
            let start = entry("offset").unwrap_or("0").parse().ok()?;
            Place::File { path: folder.join(name), start }
        } else {
            Place::Inline(tensor.raw_data.filter(|bytes| bytes.len() == length)?)
        };
        Some(Self { dims, place })
    }
}

/// A matrix of which single rows are read, so that most of it never takes memory.
#[derive(Debug)]
pub struct Rows {
    count: usize,
    columns: usize,
    place: Source,
}

#[derive(Debug)]
enum Source {
    Bytes(Vec<u8>),
    File { file: File, start: u64 },
}

impl Rows {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.count
    }

    /// How many numbers a row has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Appends a row's numbers to `out`.
    ///
    /// # Errors
    /// What the file system reports; `InvalidInput` if there is no such row.
    pub fn read(&mut self, row: usize, out: &mut Vec<f32>) -> io::Result<()> {
        if row >= self.count {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (at, length) = (row * self.columns * 4, self.columns * 4);
        match &mut self.place {
            Source::Bytes(bytes) => out.extend(floats(&bytes[at..at + length])),
            Source::File { file, start } => {
                file.seek(SeekFrom::Start(*start + at as u64))?;
                let mut bytes = vec![0; length];
                file.read_exact(&mut bytes)?;
                out.extend(floats(&bytes));
            }
        }
        Ok(())
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Why weights cannot be read from a graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReadError {
    /// The file system refused.
    #[error("{file}: cannot be read", file = file.display())]
    Io { file: PathBuf, source: io::Error },
    /// It is something else.
    #[error("{graph}: is no ONNX graph", graph = graph.display())]
    Graph { graph: PathBuf, source: prost::DecodeError },
    /// Another exporter wrote it, or it is cut short.
    #[error("{graph}: has no word embeddings under the name `{WORDS}`, so it was not made here; `tdense model get` or `tdense model import` makes a folder that can be trained", graph = graph.display())]
    Words { graph: PathBuf },
}

#[cfg(test)]
mod tests {
    use super::super::proto::GraphProto;
    use super::*;
    use crate::damaged::damaged;
    use crate::encoder::Pooling;
    use crate::graph::{Activation, Head, Numeric, bert_encoder};
    use proptest::prelude::*;

    const SIZE: BertConfig = BertConfig {
        layers: 1,
        heads: 2,
        hidden: 32,
        inner: 48,
        vocabulary: 9,
        positions: 6,
        token_types: 2,
        epsilon: 1e-5,
        head: Head { pooling: Pooling::Mean, dense: None, activation: Activation::Tanh },
    };

    struct Ones;

    impl Weights for Ones {
        fn tensor(&self, _: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
            Ok(vec![1.0; dims.iter().product()])
        }
    }

    #[test]
    fn word_embeddings_of_another_width_are_refused() {
        let dims = vec![0, 1 << 60];
        let raw_data = Some(Vec::new());
        let words = TensorProto {
            dims,
            data_type: ElementType::F32 as i32,
            name: WORDS.to_owned(),
            raw_data,
            ..TensorProto::default()
        };
        let graph = GraphProto { initializer: vec![words], ..GraphProto::default() };
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        let weights = GraphWeights::parse(Path::new("m"), &model.encode_to_vec(), &SIZE).unwrap();
        assert!(matches!(weights.words(), Err(ReadError::Words { .. })));
    }

    #[test]
    fn any_bytes_are_weights_or_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let graph = folder.path().join("model.onnx");
        bert_encoder(&SIZE, &Ones, Numeric::F32)
            .unwrap()
            .save(folder.path(), "model.onnx")
            .unwrap();
        let mut model = ModelProto::decode(&*fs::read(&graph).unwrap()).unwrap();
        // The reader passes over nodes; what is damaged is to be weights.
        model.graph.as_mut().unwrap().node.clear();
        let whole = model.encode_to_vec();
        let read = |bytes: &[u8]| -> Result<(), Box<dyn std::error::Error>> {
            let weights = GraphWeights::parse(&graph, bytes, &SIZE)?;
            let encoder = bert_encoder(&SIZE, &weights, Numeric::F32);
            let (mut words, mut row) = (weights.words()?, Vec::new());
            (0..words.rows().min(9)).try_for_each(|at| words.read(at, &mut row))?;
            encoder?;
            Ok(())
        };
        read(&whole).unwrap();
        proptest!(|(bytes in damaged(whole))| {
            let _ = read(&bytes);
        });
    }
}

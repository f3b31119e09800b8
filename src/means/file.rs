//! Means as a file: safetensors, with `query/<tag>` and `passage/<tag>` of `[dim]`, and where there are components
//! `<role>/<tag>/components` of `[count, dim]`, all F32; and `encoder` in the metadata, the fingerprint of the encoder whose
//! vectors they are of. Files of before it was kept have none.
//!
//! Invariant: any bytes are means or an error, and means that were read are finite and of one dim.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dense_plugin::{Dim, Fingerprint, LanguageTag, Role, VectorError};
use ndarray::{Array1, Array2, Axis};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::{LanguageMeans, Off, Side};

const ROLES: [(Role, &str); 2] = [(Role::Query, "query"), (Role::Passage, "passage")];
const COMPONENTS: &str = "components";
const ENCODER: &str = "encoder";

/// A tensor on its way into a file: shape and bytes.
type Tensor = (Vec<usize>, Vec<u8>);

impl LanguageMeans {
    /// Reads a file that [`LanguageMeans::write`] wrote.
    ///
    /// # Errors
    /// [`MeansFileError`] if it cannot be read or holds something else.
    pub fn read(file: &Path) -> Result<Self, MeansFileError> {
        let bytes = fs::read(file)
            .map_err(|source| MeansFileError::Io { file: file.to_owned(), source })?;
        Self::from_bytes(&bytes)
            .map_err(|what| MeansFileError::Content { file: file.to_owned(), what: Box::new(what) })
    }

    /// Writes the means into a file, which is there whole or not at all.
    ///
    /// # Errors
    /// [`MeansFileError::Io`] if the file system refuses.
    pub fn write(&self, file: &Path) -> Result<(), MeansFileError> {
        let fail = |source| MeansFileError::Io { file: file.to_owned(), source };
        // Hidden, so that what a killed process leaves is no part of an index.
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = file.with_file_name(format!(".{name}.unfinished"));
        let written = File::create(&unfinished).and_then(|mut out| {
            out.write_all(&self.to_bytes())?;
            out.sync_all()
        });
        written.and_then(|()| fs::rename(&unfinished, file)).map_err(fail)
    }

    /// The bytes of such a file.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MeansContentError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let encoder = header.metadata().as_ref().and_then(|entries| entries.get(ENCODER));
        let tensors = SafeTensors::deserialize(bytes)?;
        let mut dim = None;
        let mut sides: BTreeMap<&str, BTreeMap<String, Off>> = BTreeMap::new();
        // Sorted, so that a language's mean comes before its components.
        let mut names = tensors.names();
        names.sort_unstable();
        for name in names {
            let unknown = || MeansContentError::Name { name: name.to_owned() };
            let (role, rest) = name.split_once('/').ok_or_else(unknown)?;
            let known = ROLES.iter().find(|(_, known)| *known == role);
            let (_, role) = known.ok_or_else(unknown)?;
            let (tag, part) = rest.split_once('/').map_or((rest, None), |(t, p)| (t, Some(p)));
            let tag: LanguageTag = tag.parse().map_err(|_| unknown())?;
            let rows = rows_of(name, &tensors.tensor(name)?)?;
            if *dim.get_or_insert(rows.ncols()) != rows.ncols() {
                return Err(MeansContentError::Shape { name: name.to_owned() });
            }
            let languages = sides.entry(role).or_default();
            match part {
                None if rows.nrows() == 1 => {
                    let mean = rows.row(0).to_owned();
                    languages.insert(tag.into(), Off { mean, components: Vec::new() });
                }
                Some(COMPONENTS) => {
                    let off = languages.get_mut(tag.as_str()).ok_or_else(unknown)?;
                    off.components = rows.axis_iter(Axis(0)).map(|row| row.to_owned()).collect();
                }
                _ => return Err(unknown()),
            }
        }
        let dim = Dim::new(dim.ok_or(MeansContentError::Empty)?)?;
        let mut means = Self { encoder: encoder.map(Fingerprint::new), ..Self::new(dim) };
        for (role, name) in ROLES {
            *means.side_mut(role) = Side::new(sides.remove(name).unwrap_or_default());
        }
        Ok(means)
    }

    /// The means as a file's bytes: equal means have equal bytes.
    ///
    /// # Panics
    /// Never: tensors are made here with the shapes that they say.
    pub fn to_bytes(&self) -> Vec<u8> {
        let encoder = self.encoder.as_ref();
        self.bytes_with(encoder.map(|name| HashMap::from([(ENCODER.into(), name.to_string())])))
    }

    /// What tells these means from others of one encoder: the same whether they name it or not.
    pub(super) fn checksum(&self) -> u32 {
        crc32fast::hash(&self.bytes_with(None))
    }

    fn bytes_with(&self, metadata: Option<HashMap<String, String>>) -> Vec<u8> {
        let tensors = self.tensors();
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("as many bytes as the shape says"))
        });
        safetensors::serialize(views, metadata).expect("names and shapes are written as they are")
    }

    fn tensors(&self) -> BTreeMap<String, Tensor> {
        let mut tensors = BTreeMap::new();
        for (role, name) in ROLES {
            for (tag, off) in &self.side(role).languages {
                let mean = (vec![off.mean.len()], bytes_of(off.mean.iter()));
                tensors.insert(format!("{name}/{tag}"), mean);
                if !off.components.is_empty() {
                    let shape = vec![off.components.len(), off.mean.len()];
                    let bytes = bytes_of(off.components.iter().flatten());
                    tensors.insert(format!("{name}/{tag}/{COMPONENTS}"), (shape, bytes));
                }
            }
        }
        tensors
    }
}

fn bytes_of<'a>(numbers: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    numbers.flat_map(|x| x.to_le_bytes()).collect()
}

/// The rows of a tensor of one axis (one row) or two.
fn rows_of(name: &str, tensor: &TensorView<'_>) -> Result<Array2<f32>, MeansContentError> {
    let shape = || MeansContentError::Shape { name: name.to_owned() };
    let dims = match *tensor.shape() {
        [dim] => (1, dim),
        [count, dim] => (count, dim),
        _ => return Err(shape()),
    };
    if tensor.dtype() != Dtype::F32 || dims.1 == 0 {
        return Err(shape());
    }
    let (numbers, _) = tensor.data().as_chunks::<4>();
    let numbers: Array1<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(MeansContentError::NotFinite { name: name.to_owned() });
    }
    numbers.into_shape_with_order(dims).map_err(|_| shape())
}

/// Why a file of language means could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum MeansFileError {
    /// The file system refused.
    #[error("{file}: cannot be read or written", file = file.display())]
    Io { file: PathBuf, source: io::Error },
    /// It is no file of language means, or a damaged one.
    #[error("{file}: holds no language means; `tdense model means` makes such a file", file = file.display())]
    Content {
        file: PathBuf,
        #[source]
        what: Box<MeansContentError>,
    },
}

/// What is wrong with the bytes of language means.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum MeansContentError {
    /// No safetensors.
    #[error("the safetensors are damaged")]
    Safetensors(#[from] SafeTensorError),
    /// A tensor is called neither `query/<tag>` nor `passage/<tag>`, with or without `/components`.
    #[error("the tensor `{name}` belongs to no language's mean")]
    Name { name: String },
    /// A tensor is no row, or no rows, of 32-bit floats of the others' dim.
    #[error("the tensor `{name}` has another shape or type than the mean of vectors")]
    Shape { name: String },
    /// A number is NaN or infinite.
    #[error("the tensor `{name}` holds a number that is not finite")]
    NotFinite { name: String },
    /// There is no tensor.
    #[error("no language has a mean")]
    Empty,
    /// The dim is none.
    #[error(transparent)]
    Dim(#[from] VectorError),
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::damaged::damaged_tensors;

    fn means() -> LanguageMeans {
        let tag = |tag: &str| Some(tag.parse().unwrap());
        let mut means = LanguageMeans::new(Dim::new(2).unwrap());
        let rows = array![[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]];
        means.fit(Role::Query, &[tag("sw"), tag("sw"), tag("yo")], &rows.view(), 1).unwrap();
        means.fit(Role::Passage, &[tag("sr-Latn"), None, tag("sw")], &rows.view(), 0).unwrap();
        means
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("means");
        for means in [means(), means().of(&Fingerprint::new("mine"))] {
            means.write(&file).unwrap();
            assert_eq!(LanguageMeans::read(&file).unwrap(), means);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_file_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("means");
        let one = bytes_of([1.0_f32].iter());
        let tensor = |name: &str| {
            let view = TensorView::new(Dtype::F32, vec![1], &one).unwrap();
            safetensors::serialize([(name, view)], None).unwrap()
        };
        for (bytes, what) in [
            (b"words".to_vec(), "the safetensors are damaged"),
            (tensor("weight"), "the tensor `weight` belongs to no language's mean"),
            (tensor("query/sw/scale"), "the tensor `query/sw/scale` belongs to no language's mean"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let error = LanguageMeans::read(&file).unwrap_err();
            assert!(error.to_string().starts_with(&file.display().to_string()));
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), what);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_means_or_an_error(
            bytes in damaged_tensors(means().of(&Fingerprint::new("mine")).to_bytes())
        ) {
            if let Ok(means) = LanguageMeans::from_bytes(&bytes) {
                let mut vector = vec![1.0; means.dim().get()];
                means.take_off(Role::Query, None, &mut vector).unwrap();
                prop_assert_eq!(LanguageMeans::from_bytes(&means.to_bytes()).unwrap(), means);
            }
        }
    }
}

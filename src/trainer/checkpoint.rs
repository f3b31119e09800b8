//! Where a run stands, on disk: the model's state, and what was asked for and reached, in one safetensors file a step.
//!
//! Invariant: a checkpoint under its name is whole: it was written beside it, synced and renamed. One that was damaged
//! later does not open, and the one before it is used.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::dev::Validation;
use super::text::{hash, mixed};
use super::train_step::{Numbers, Tensor};

/// Under which name the facts stand in the file's metadata, behind a hash of them and of the tensors. One name, since the
/// order of several is not fixed.
const FACTS: &str = "tdense";

const ENDING: &str = "safetensors";

/// What is known of a run at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Steps done.
    pub steps: u64,
    /// All options that decide what the weights become.
    pub config: serde_json::Value,
    /// The fingerprint of the training data, 16 hex digits.
    pub data: String,
    /// The best validation so far, and after how many steps it was.
    pub best: Option<(u64, Validation)>,
}

/// A checkpoint, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What is known of the run.
    pub facts: Facts,
    /// The model's state.
    pub state: Vec<Tensor>,
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{}: the checkpoint cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The bytes are not those that were written.
    #[error("{}: the checkpoint is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
}

/// The checkpoints of a run, in a folder of their own.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Those in `folder`. Of more than `keep`, the oldest but the best is removed when one is written.
    pub fn new(folder: impl Into<PathBuf>, keep: usize) -> Self {
        Self { folder: folder.into(), keep: keep.max(1) }
    }

    fn path(&self, steps: u64) -> PathBuf {
        self.folder.join(format!("step-{steps:08}.{ENDING}"))
    }

    /// Steps of all that have a name, in order, whether they open or not.
    fn steps(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut steps: Vec<u64> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let name = name.to_str()?.strip_prefix("step-")?;
                name.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok()
            })
            .collect();
        steps.sort_unstable();
        steps
    }

    /// Whether there is one, sound or not.
    pub fn is_empty(&self) -> bool {
        self.steps().is_empty()
    }

    /// Writes a checkpoint, and removes those that are no longer needed.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; those from before are then still there.
    ///
    /// # Panics
    /// Never: what is written as JSON is plain data.
    pub fn write(
        &self,
        steps: u64,
        config: &serde_json::Value,
        data: &str,
        best: Option<&(u64, Validation)>,
        state: &[Tensor],
    ) -> Result<(), CheckpointError> {
        let path = self.path(steps);
        let fail = |source| CheckpointError::Io { path: path.clone(), source };
        fs::create_dir_all(&self.folder).map_err(fail)?;
        let bytes: Vec<Vec<u8>> = state.iter().map(|tensor| bytes_of(&tensor.numbers)).collect();
        let mut views = Vec::with_capacity(state.len());
        for (tensor, bytes) in state.iter().zip(&bytes) {
            let kind = match tensor.numbers {
                Numbers::F32(_) => Dtype::F32,
                Numbers::F64(_) => Dtype::F64,
            };
            let view = TensorView::new(kind, tensor.dims.clone(), bytes)
                .map_err(|error| fail(io::Error::other(error)))?;
            views.push((tensor.name.as_str(), view));
        }
        let facts =
            Facts { steps, config: config.clone(), data: data.to_owned(), best: best.cloned() };
        let facts = serde_json::to_string(&facts).expect("plain data");
        let names = state.iter().map(|tensor| tensor.name.as_str());
        let sum = sum_of(&facts, names.zip(bytes.iter().map(Vec::as_slice)));
        let metadata = HashMap::from([(FACTS.to_owned(), format!("{sum} {facts}"))]);
        let whole = safetensors::serialize(views, Some(metadata));
        let whole = whole.map_err(|error| fail(io::Error::other(error)))?;
        write_whole(&path, &whole).map_err(fail)?;
        self.remove_old(steps, best.map(|(steps, _)| *steps));
        Ok(())
    }

    /// Later ones than `now` are damaged, or of a past that is being made again: they count for nothing.
    fn remove_old(&self, now: u64, best: Option<u64>) {
        let steps: Vec<u64> = self.steps().into_iter().filter(|&steps| steps <= now).collect();
        let old = steps.len().saturating_sub(self.keep);
        for &steps in steps[..old].iter().filter(|&&steps| Some(steps) != best) {
            // One more than needed does no harm.
            let _kept = fs::remove_file(self.path(steps));
        }
    }

    /// The latest that opens, and the errors of those after it that do not; nothing where none is.
    pub fn latest(&self) -> (Option<Checkpoint>, Vec<CheckpointError>) {
        let mut errors = Vec::new();
        for &steps in self.steps().iter().rev() {
            match self.read(steps) {
                Ok(checkpoint) => return (Some(checkpoint), errors),
                Err(error) => errors.push(error),
            }
        }
        (None, errors)
    }

    /// The checkpoint after so many steps.
    ///
    /// # Errors
    /// [`CheckpointError`] if it is not there or not sound.
    pub fn read(&self, steps: u64) -> Result<Checkpoint, CheckpointError> {
        let path = self.path(steps);
        let whole =
            fs::read(&path).map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
        parse(&whole).map_err(|what| CheckpointError::Damaged { path, what })
    }
}

/// Reads a checkpoint's bytes; says what is wrong with them.
fn parse(whole: &[u8]) -> Result<Checkpoint, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (_, header) = SafeTensors::read_metadata(whole).map_err(|e| text(&e))?;
    let facts = header.metadata().as_ref().and_then(|all| all.get(FACTS));
    let (sum, written) =
        facts.and_then(|facts| facts.split_once(' ')).ok_or("it does not say what it is")?;
    let facts: Facts = serde_json::from_str(written).map_err(|e| text(&e))?;
    let tensors = SafeTensors::deserialize(whole).map_err(|e| text(&e))?;
    let mut names: Vec<&str> = tensors.names();
    names.sort_unstable();
    let mut state = Vec::with_capacity(names.len());
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let view = tensors.tensor(name).map_err(|e| text(&e))?;
        all.push((name, view.data()));
        let numbers = match view.dtype() {
            Dtype::F32 => {
                let numbers = view.data().as_chunks::<4>().0;
                Numbers::F32(numbers.iter().map(|x| f32::from_le_bytes(*x)).collect())
            }
            Dtype::F64 => {
                let numbers = view.data().as_chunks::<8>().0;
                Numbers::F64(numbers.iter().map(|x| f64::from_le_bytes(*x)).collect())
            }
            other => return Err(format!("`{name}` has numbers of kind {other:?}")),
        };
        state.push(Tensor { name: name.to_owned(), dims: view.shape().to_vec(), numbers });
    }
    if sum_of(written, all.into_iter()) != sum {
        return Err("its numbers are not those that were written".to_owned());
    }
    Ok(Checkpoint { facts, state })
}

fn bytes_of(numbers: &Numbers) -> Vec<u8> {
    match numbers {
        Numbers::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Numbers::F64(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// One hash of the facts and of all tensors, whatever their order.
fn sum_of<'a>(facts: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let sum = tensors.fold(hash(facts.as_bytes()), |sum, (name, bytes)| {
        sum.wrapping_add(mixed(&[hash(name.as_bytes()), hash(bytes)]))
    });
    format!("{sum:016x}")
}

/// Writes a file so that it is there whole or not at all, whenever the machine stops.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".writing");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damaged::damaged_tensors;
    use proptest::prelude::*;

    fn state() -> Vec<Tensor> {
        vec![
            Tensor { name: "a".into(), dims: vec![2, 1], numbers: Numbers::F32(vec![0.1, -0.0]) },
            Tensor { name: "b".into(), dims: vec![1], numbers: Numbers::F64(vec![1.0 / 3.0]) },
        ]
    }

    #[test]
    fn what_was_written_is_read_and_the_last_ones_and_the_best_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("c"), 2);
        assert!(checkpoints.is_empty());
        let config = serde_json::json!({"alpha": 0.5});
        let best = (2, Validation { mono: Some(0.5), ..Validation::default() });
        for steps in 1..=5 {
            checkpoints.write(steps, &config, "d", Some(&best), &state()).unwrap();
        }
        assert_eq!(checkpoints.steps(), [2, 4, 5]);
        let (latest, errors) = checkpoints.latest();
        let latest = latest.unwrap();
        assert!(errors.is_empty());
        assert_eq!(
            (latest.facts.steps, &latest.facts.config, latest.facts.best),
            (5, &config, Some(best))
        );
        assert_eq!(latest.state, state());
    }

    #[test]
    fn a_damaged_checkpoint_is_said_and_the_one_before_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 3);
        let config = serde_json::Value::Null;
        checkpoints.write(1, &config, "d", None, &state()).unwrap();
        checkpoints.write(2, &config, "d", None, &state()).unwrap();
        let path = checkpoints.path(2);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).rev() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            if let Ok(read) = parse(&changed) {
                // Spaces that fill the header up say nothing.
                assert_eq!(read, parse(&whole).unwrap(), "byte {at}");
            }
        }
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let (latest, errors) = checkpoints.latest();
        assert_eq!((latest.unwrap().facts.steps, errors.len()), (1, 1));
    }

    fn whole() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 1);
        let best = (1, Validation { mono: Some(0.5), ..Validation::default() });
        checkpoints.write(1, &serde_json::Value::Null, "d", Some(&best), &state()).unwrap();
        fs::read(checkpoints.path(1)).unwrap()
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in damaged_tensors(whole())) {
            let _ = parse(&bytes);
        }
    }
}

//! Any error -> a message, what to type next, and an exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use dense_indexer::IndexError;
use dense_plugin::{GpuError, OpenError};
use tantivy::TantivyError;

use super::ui::Ui;
#[cfg(feature = "onnx")]
use crate::encoder::{BuildError, RuntimeError};
use crate::engine::EngineError;
use crate::means::MeansError;

/// What to type where no index is.
const INDEX: &str = "`tdense index DIR SOURCE...` makes an index in a new folder";

/// What to do without FAISS on a card.
const CARD: &str = "without --faiss-gpu and TDENSE_FAISS_GPU, or with `--device cpu`, the processor's cores do it; \
                    docs/gpu.md says what FAISS on a card needs";

/// What to type where another encoder is needed.
const MODEL: &str =
    "`tdense inspect DIR` names the encoder the index was made with; --model takes its folder";

/// What to type where language means are of another encoder.
const MEANS: &str =
    "--model takes the encoder that they are of; `tdense model means` makes means of another";

/// What to type where no model or no ONNX Runtime is.
#[cfg(feature = "onnx")]
const GET: &str =
    "`tdense model get` fetches ONNX Runtime and the default model; `--verify` repairs them";

/// What to type where no CUDA device can be used.
#[cfg(feature = "onnx")]
const CUDA: &str = "`--device cpu` runs on the processor, as `auto` does where CUDA cannot be used; docs/gpu.md says \
                    what CUDA needs";

/// A command that was stopped by Ctrl-C, after it put everything in order.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Interrupted(pub(super) String);

/// An index that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct Damaged {
    pub(super) what: String,
    /// What to type next.
    pub(super) hints: Vec<String>,
}

/// A command that did all it should, and found what it was told to refuse.
#[derive(Debug, thiserror::Error)]
#[error("bar not met: {0}")]
pub(super) struct BarsNotMet(pub(super) String);

/// Says what stopped the command. A reader of our output that has seen enough is no failure.
pub(super) fn report(error: &anyhow::Error, ui: Ui) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    ui.error(message(error), &hints(error));
    if error.is::<Interrupted>() {
        ExitCode::from(130)
    } else if error.is::<BarsNotMet>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}

fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// The causes from the outermost inwards, each said once.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.ends_with(&cause) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&cause);
    }
    message
}

fn hints(error: &anyhow::Error) -> Vec<String> {
    if let Some(damaged) = error.downcast_ref::<Damaged>() {
        return damaged.hints.clone();
    }
    error.chain().find_map(hint).map(str::to_owned).into_iter().collect()
}

fn hint(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return match error {
            EngineError::Open(error) => hint_of_open(error),
            EngineError::Schema(_) => Some(INDEX),
            EngineError::NoEncoder => Some(MODEL),
            EngineError::Filter { .. } => {
                Some("fields are `id` and `lang`, as in --filter 'lang:sw'")
            }
            EngineError::Search(_) => None,
        };
    }
    #[cfg(feature = "onnx")]
    if let Some(error) = cause.downcast_ref::<BuildError>() {
        return match error {
            BuildError::Runtime(error) => Some(hint_of_runtime(error)),
            _ => Some(GET),
        };
    }
    #[cfg(feature = "onnx")]
    if let Some(error) = cause.downcast_ref::<RuntimeError>() {
        return Some(hint_of_runtime(error));
    }
    #[cfg(feature = "onnx")]
    if cause.is::<crate::model::OpenError>() {
        return Some(GET);
    }
    if cause.is::<GpuError>() {
        return Some(CARD);
    }
    if let Some(MeansError::OtherEncoder { .. } | MeansError::Dim { .. }) = cause.downcast_ref() {
        return Some(MEANS);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        let is_full = error.kind() == io::ErrorKind::StorageFull;
        return is_full.then_some("free some space; an indexing run then goes on with --resume");
    }
    if matches!(cause.downcast_ref(), Some(IndexError::Resume(_))) {
        return Some("without --resume, documents of the same id are replaced and none is lost");
    }
    cause.downcast_ref::<OpenError>().and_then(hint_of_open)
}

#[cfg(feature = "onnx")]
fn hint_of_runtime(error: &RuntimeError) -> &'static str {
    match error {
        RuntimeError::NoCuda { .. } => CUDA,
        _ => GET,
    }
}

fn hint_of_open(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::OtherEncoder { .. } | OpenError::OtherDim { .. } => Some(MODEL),
        OpenError::Tantivy(TantivyError::LockFailure(..)) => {
            Some("another process writes to this index: wait for it to end")
        }
        OpenError::NotDense
        | OpenError::NoDenseField
        | OpenError::Tantivy(
            TantivyError::OpenDirectoryError(_) | TantivyError::OpenReadError(_),
        ) => Some(INDEX),
        _ => None,
    }
}

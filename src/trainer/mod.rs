//! Training: encoders fine-tuned with monolingual and cross-lingual batches.
//!
//! Files become a [`Corpus`] without what must not be trained on ([`load`]), of which a [`Development`] set is cut.
//! [`Batches`] are drawn from the rest, and a [`Trainer`] hands them to a [`TrainStep`], measures it, keeps checkpoints and
//! a log.
//!
//! Invariant: what a run becomes is a function of its data, options and seed: one that was killed at any moment and goes on
//! gives the same weights, to the bit on the same machine with the same threads.
//!
//! Left out on purpose: the clock. Whoever runs a trainer sees each step in a callback, and may time it.

mod batch;
mod checkpoint;
mod corpus;
mod curves;
mod dev;
mod encoder_step;
mod focus;
mod guard;
mod leakage;
mod linear;
mod lines;
mod load;
mod log;
mod loss;
mod pairs;
mod run;
mod schedule;
mod sources;
pub mod step;
mod text;
mod train_step;
mod vectors;

pub use batch::{Batch, BatchError, BatchKind, BatchOptions, BatchText, Batches};
pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints, Facts};
pub use corpus::{Corpus, Form, LanguageId, NewSet, SourceFacts, TextId, Wording};
pub use curves::CurvesError;
pub use dev::{Cut, Development, DevelopmentOptions, Validation, ValidationError};
pub use encoder_step::{EncoderStep, state_of};
pub use focus::focused;
pub use leakage::{Exclusions, LeakageError};
pub use linear::{LinearHead, LinearOptions, head_of};
pub use lines::{LineError, OnBadLine, ReadError};
pub use load::{LoadError, Loaded, SourceCounts, forbids, load};
pub use loss::{Direction, Loss, LossError, LossOptions, contrastive, kept, toward};
pub use pairs::Pair;
pub use run::{Event, Outcome, Resume, Stopped, TrainError, TrainOptions, Trainer};
pub use schedule::{Decay, Schedule};
pub use sources::{Found, Kind, KindError};
pub use text::{TextKey, normalized, sketch};
pub use train_step::{Numbers, StepError, StepReport, Tensor, TrainStep};
pub use vectors::{CachedVectors, VectorsError};

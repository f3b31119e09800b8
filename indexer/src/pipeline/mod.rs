//! From sources to commits: reading, analysing and encoding go on at the same time.
//!
//! One thread reads (`read.rs`), some analyse (`prepare.rs`), the caller's encodes, adds and
//! commits (`write.rs`). Batches go round the analysing threads in turn, so they arrive in the
//! order of the sources without being sorted.
//!
//! Invariants: documents are added in the order of the sources; a commit holds whole batches and
//! says in its payload which lines are in it; at most a few batches are in memory.
//!
//! Left out on purpose: a clock. Commits come after so many documents; who wants them by time
//! says so by the callback's clock and resumes.

mod prepare;
mod read;
mod write;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread;

use dense_plugin::{DenseIndex, LanguageTag};
use serde::{Deserialize, Serialize};

use crate::corpus::{ReadOptions, Source};
use crate::error::IndexError;
use crate::event::{Event, Summary};
use crate::language::Detector;
use crate::resume::{Checkpoint, Position, Settings};
use crate::schema::CorpusSchema;
use prepare::{Languages, prepare};
use read::{Batch, Reader};
use write::Run;

/// Batches that wait between two threads: one to go on with, one in reserve.
const WAITING: usize = 2;

/// What to do with a line that is no document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBad {
    /// Leave it out, count it, go on. The default.
    #[default]
    Skip,
    /// Commit what came before it, and fail.
    Stop,
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// At the first line. Documents whose ids the index holds are replaced. The default.
    #[default]
    FromStart,
    /// After what the index's last commit holds; at the first line in an empty index. The sources
    /// must begin with the same documents.
    GoOn,
}

/// What language a document is in whose record has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingLanguage {
    /// The one that its text shows, or this where it shows none.
    Detect {
        /// `und` by default.
        otherwise: LanguageTag,
    },
    /// This.
    Is(LanguageTag),
}

impl Default for MissingLanguage {
    fn default() -> Self {
        Self::Detect { otherwise: LanguageTag::undetermined() }
    }
}

impl fmt::Display for MissingLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detect { otherwise } => write!(f, "detected, or else {otherwise}"),
            Self::Is(tag) => tag.fmt(f),
        }
    }
}

/// Indexes corpora into an index with the fields of [`CorpusSchema`].
///
/// ```
/// # use std::ops::ControlFlow;
/// # use std::sync::Arc;
/// use tantivy_dense_indexer::{CorpusSchema, Indexer, Source};
/// use dense_plugin::{DenseIndex, Dim, toy::ToyEncoder};
///
/// let encoder = Arc::new(ToyEncoder::new(Dim::new(64)?));
/// let index = DenseIndex::builder(CorpusSchema::new(&*encoder).schema)
///     .encoder("dense", encoder)
///     .create_in_ram()?;
/// let lines = "{\"_id\": \"a\", \"text\": \"Maji yanachemka.\"}\n{\"_id\": \"b\"}\n";
/// let source = Source::from_reader("lines", lines.as_bytes());
/// let summary = Indexer::builder(&index).run([source], |_event| ControlFlow::Continue(()))?;
/// assert_eq!(summary.counts.documents, 1);
/// assert_eq!(summary.first_skipped[0].to_string(), "lines:2: missing field: `text`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Indexer {
    index: DenseIndex,
    read: ReadOptions,
    missing_language: MissingLanguage,
    on_bad: OnBad,
    resume: Resume,
    threads: usize,
    batch: usize,
    commit_every: u64,
    memory: usize,
}

impl Indexer {
    /// For this index, with the defaults below.
    pub fn builder(index: &DenseIndex) -> Self {
        Self {
            index: index.clone(),
            read: ReadOptions::default(),
            missing_language: MissingLanguage::default(),
            on_bad: OnBad::default(),
            resume: Resume::default(),
            threads: 1,
            batch: 256,
            commit_every: 10_000,
            memory: 100_000_000,
        }
    }

    /// What the fields are called and how long a line may be.
    #[must_use]
    pub fn read(mut self, options: ReadOptions) -> Self {
        self.read = options;
        self
    }

    /// What language a document is in whose record has none. Default: detected.
    #[must_use]
    pub fn missing_language(mut self, missing: MissingLanguage) -> Self {
        self.missing_language = missing;
        self
    }

    /// What to do with a bad line. Default: skip and count it.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.on_bad = on_bad;
        self
    }

    /// Where to begin. Default: at the first line.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// Threads that analyse, and as many that write postings, at least 1 and at most 8; the encoder
    /// has its own. Default: 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 8);
        self
    }

    /// Documents that are encoded together, at least 1. Default: 256.
    #[must_use]
    pub fn batch(mut self, documents: usize) -> Self {
        self.batch = documents.max(1);
        self
    }

    /// Documents between two commits, rounded up to whole batches, at least 1. Default: 10,000.
    #[must_use]
    pub fn commit_every(mut self, documents: u64) -> Self {
        self.commit_every = documents.max(1);
        self
    }

    /// Memory for postings before they are written, in bytes for each thread; Tantivy wants
    /// 15,000,000 or more. Default: 100,000,000.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Indexes all sources, in their order.
    ///
    /// The callback hears of each batch and commit; if it says `Break`, what has been added is
    /// committed and the run ends. Reading is on other threads: a source that blocks (standard
    /// input) is waited for.
    ///
    /// # Errors
    /// [`IndexError`]. After [`IndexError::BadLine`] and [`IndexError::Source`] all that came before
    /// is committed; after others, what the last commit holds.
    pub fn run(
        &self,
        sources: impl IntoIterator<Item = Source>,
        callback: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Summary, IndexError> {
        let schema = CorpusSchema::of(&self.index.schema())?;
        schema.register(self.index.tantivy());
        // The writer first: while it is open, nobody else commits.
        let writer = self
            .index
            .writer_with_num_threads(self.threads, self.memory.saturating_mul(self.threads))?
            .batch(self.batch);
        let before = self.index.manual_reader()?.searcher();
        let settings =
            Settings { read: self.read.clone(), missing_language: self.missing_language.clone() };
        let committed = match self.resume {
            Resume::FromStart => None,
            Resume::GoOn => {
                let payload = self.index.tantivy().load_metas()?.payload;
                Checkpoint::of_payload(payload.as_deref(), before.num_docs())?
            }
        };
        if let Some(checkpoint) = &committed {
            checkpoint.check(&settings)?;
        }
        let past = committed.as_ref().map(|checkpoint| checkpoint.position.clone());
        let mut run = Run::new(writer, schema.id, before, settings, committed, callback);
        run.commit_every = self.commit_every;
        self.feed(&mut run, past, sources.into_iter().collect(), &schema)?;
        run.finish()
    }

    /// Starts the threads and hands their batches to the run.
    fn feed(
        &self,
        run: &mut Run<impl FnMut(Event) -> ControlFlow<()>>,
        past: Option<Position>,
        sources: Vec<Source>,
        schema: &CorpusSchema,
    ) -> Result<(), IndexError> {
        let bytes: Vec<Arc<AtomicU64>> = sources.iter().map(Source::bytes_read).collect();
        let reader = Reader::new(self.read.clone(), self.batch, self.on_bad, past);
        let detector = match &self.missing_language {
            MissingLanguage::Detect { .. } => Some(Detector::new()),
            MissingLanguage::Is(_) => None,
        };
        let languages = Languages { missing: &self.missing_language, detector: detector.as_ref() };
        thread::scope(|scope| {
            let mut to_workers = Vec::new();
            let mut from_workers = Vec::new();
            for _ in 0..self.threads {
                let (to_worker, batches) = sync_channel::<Batch>(WAITING);
                let (done, from_worker) = sync_channel(WAITING);
                scope.spawn(move || {
                    for batch in batches {
                        let prepared = prepare(batch, schema, languages);
                        if done.send(prepared).is_err() {
                            break;
                        }
                    }
                });
                to_workers.push(to_worker);
                from_workers.push(from_worker);
            }
            scope.spawn(move || reader.read(sources, &to_workers));
            run.take(&from_workers, &bytes)
        })
    }
}

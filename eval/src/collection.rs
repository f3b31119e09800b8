//! Collections: passages, topics and judgements that belong together, opened from a folder.
//!
//! Invariant: a collection that was opened here has each passage id and each topic id once, and
//! every topic that is judged is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::input::ReadError;
use crate::qrels::Qrels;
use crate::topics::Topic;
use crate::{beir, lareqa};

/// A text that can be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The collection's own name for it.
    pub id: String,
    /// Its title; empty where there is none.
    pub title: String,
    /// Its text.
    pub text: String,
    /// The language of the text, as the collection writes it.
    pub language: Option<String>,
}

/// Passages, topics, and how relevant the ones are to the others.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// The name of the folder.
    pub name: String,
    /// What can be found, in the order of the files.
    pub passages: Vec<Passage>,
    /// What is searched for, in the order of the files.
    pub topics: Vec<Topic>,
    /// The judgements. Of parallel collections, those of all languages.
    pub qrels: Qrels,
}

impl Collection {
    /// Opens a folder: a BEIR folder with its test split, or a folder of `<lang>.json`
    /// files as XQuAD-R has them.
    ///
    /// # BEIR
    /// `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and
    /// `qrels/test.tsv`, each also as `.gz` or `.zst`. Only topics with judgements are kept. Lines may
    /// name their language as `lang` and topics their group as `group`; where no `lang` is, a folder
    /// with a name of two or three letters names the language.
    ///
    /// # XQuAD-R
    /// Every sentence is a passage, duplicates kept, with the id `<lang>-<article>-<paragraph>-<sentence>`,
    /// each counted from 0. The topics are `<lang>-<question>`, and their group is the question.
    /// Relevant are the sentences, in all languages, that hold the start of the first answer to
    /// the same question. Source: Roy et al., "`LAReQA`" (2020).
    ///
    /// # Errors
    /// [`OpenError`] if the folder is neither, or a file is damaged.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_split(folder, "test")
    }

    /// Opens a folder as [`Collection::open`] does, with the judgements of `qrels/<split>.tsv` if it
    /// is a BEIR folder.
    ///
    /// # Errors
    /// [`OpenError`] if the folder is neither, or a file is damaged.
    pub fn open_split(folder: &Path, split: &str) -> Result<Self, OpenError> {
        match Kind::of(folder)? {
            Kind::Beir => beir::open(folder, split),
            Kind::Lareqa(files) => lareqa::open(folder, &files),
            Kind::Several(folders) => {
                Err(OpenError::Several { folder: folder.to_owned(), count: folders.len() })
            }
        }
    }

    /// Opens a folder, or each BEIR folder in it, sorted by name.
    ///
    /// # Errors
    /// [`OpenError`] if there is no collection, or one of them cannot be opened.
    pub fn open_all(folder: &Path) -> Result<Vec<Self>, OpenError> {
        match Kind::of(folder)? {
            Kind::Several(folders) => {
                folders.iter().map(|folder| beir::open(folder, "test")).collect()
            }
            _ => Ok(vec![Self::open(folder)?]),
        }
    }

    /// The languages of the passages, sorted.
    pub fn languages(&self) -> Vec<&str> {
        let mut languages: Vec<&str> =
            self.passages.iter().filter_map(|passage| passage.language.as_deref()).collect();
        languages.sort_unstable();
        languages.dedup();
        languages
    }
}

/// What a folder looks like.
enum Kind {
    Beir,
    Lareqa(Vec<PathBuf>),
    Several(Vec<PathBuf>),
}

impl Kind {
    fn of(folder: &Path) -> Result<Self, OpenError> {
        if beir::is(folder) {
            return Ok(Self::Beir);
        }
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|source| OpenError::Io { folder: folder.to_owned(), source })?;
        entries.sort();
        let files: Vec<PathBuf> = entries.iter().filter(|file| lareqa::is(file)).cloned().collect();
        if !files.is_empty() {
            return Ok(Self::Lareqa(files));
        }
        entries.retain(|entry| beir::is(entry));
        match entries.len() {
            0 => Err(OpenError::Neither { folder: folder.to_owned() }),
            _ => Ok(Self::Several(entries)),
        }
    }
}

/// The name of the folder itself, also of `.` and of a link's target.
pub(crate) fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Two or three letters: what folders and files of one language are called.
pub(crate) fn is_language(name: &str) -> bool {
    (2..=3).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Why a folder could not be opened as a collection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum OpenError {
    /// Nothing that we know is there.
    #[error(
        "{}: no collection is here: neither corpus.jsonl (BEIR), nor <lang>.json files (XQuAD-R), nor \
         folders with a corpus.jsonl",
        folder.display()
    )]
    Neither { folder: PathBuf },
    /// The caller wants one collection.
    #[error("{}: {count} collections are here: open one of its folders", folder.display())]
    Several { folder: PathBuf, count: usize },
    /// A BEIR folder lacks a file.
    #[error("{}: the folder has no {file}, plain, .gz or .zst", folder.display())]
    Missing { folder: PathBuf, file: String },
    /// The folder itself cannot be listed.
    #[error("{}: the folder cannot be read", folder.display())]
    Io { folder: PathBuf, source: io::Error },
    /// A file of the collection is wrong.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file of the collection is not JSON of the wanted shape.
    #[error("{}: not the JSON of a SQuAD file with sentence_breaks", file.display())]
    Json { file: PathBuf, source: serde_json::Error },
    /// There is nothing to measure.
    #[error("{}: {file} judges no topic", folder.display())]
    NothingJudged { folder: PathBuf, file: String },
    /// The judgements name a topic that is nowhere.
    #[error("{}: topic `{topic}` has judgements and is not in the topics", folder.display())]
    UnknownTopic { folder: PathBuf, topic: String },
    /// A paragraph says two things about its sentences.
    #[error(
        "{}: paragraph {paragraph} has {sentences} sentences and {breaks} sentence_breaks",
        file.display()
    )]
    Sentences { file: PathBuf, paragraph: String, sentences: usize, breaks: usize },
    /// A question has no sentence to find.
    #[error("{}: no sentence holds the first answer to question `{question}`", file.display())]
    Answer { file: PathBuf, question: String },
    /// Two questions of one language share an id.
    #[error("{}: question `{question}` is there twice", file.display())]
    QuestionTwice { file: PathBuf, question: String },
}

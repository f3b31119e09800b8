//! Collections: passages, topics and judgements that belong together, opened from a folder.
//!
//! Invariant: a collection that was opened here has each passage id and each topic id once, and
//! every topic that is judged is there.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::input::ReadError;
use crate::opening::Opening;
use crate::qrels::Qrels;
use crate::topics::Topic;

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
    /// Opens a folder in one of these layouts. Each file may also be there as `.gz` or `.zst`. Only topics
    /// with judgements are kept. [`Opening`] has a choice of judgements and languages.
    ///
    /// # BEIR
    /// `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and
    /// `qrels/test.tsv`. Lines may
    /// name their language as `lang` and topics their group as `group`; where no `lang` is, a folder
    /// with a name of two or three letters names the language.
    ///
    /// # XQuAD-R and MLQA-R
    /// A file `<lang>.json` a language. Every sentence is a passage, duplicates kept, with the id
    /// `<lang>-<article>-<paragraph>-<sentence>`,
    /// each counted from 0. The topics are `<lang>-<question>`, and their group is the question.
    /// Relevant are the sentences, in all languages that have the question, that hold the start of its first
    /// answer. Source: Roy et al., "`LAReQA`" (2020).
    ///
    /// # NTREX-128
    /// `DOCUMENT_IDS.tsv` beside a folder `NTREX-128`. The headline of a news item is a topic, the rest of
    /// it a passage, both `<lang>-<document>`; the group of a topic is the document. Relevant are the passages of
    /// the document in all languages. The lines are aligned, so that every language has the same
    /// topics, and pools of one size. Source: Federmann et al., "NTREX-128" (2022).
    ///
    /// # MIRACL
    /// A folder `miracl-v1.0-<lang>` with `topics/` and `qrels/`, its corpus beside it in
    /// `miracl-corpus-v1.0-<lang>`, or all files in one folder. The judgements are those of `dev`. Source: Zhang
    /// et al., "Making a MIRACL" (2022).
    ///
    /// # Mr. `TyDi`
    /// A folder `mrtydi-v1.1-<language>` with `topic.test.tsv`, `qrels.test.txt` and
    /// `collection/docs.jsonl`, or with `ir-format-data/` and `corpus.jsonl`. Source: Zhang et al., "Mr. `TyDi`"
    /// (2021).
    ///
    /// # Tables
    /// `corpus.tsv`, `queries.tsv` and `qrels.tsv` or `qrels/test.tsv`. The first line of the first two may name
    /// the columns, as in `id`, `title`, `text`, `lang`, `group`; else they are id and text, or id, title
    /// and text. A folder with a name of two or three letters names the language of the rest.
    ///
    /// # Errors
    /// [`OpenError`] if the folder is none of these, or a file is damaged.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Opening::new().open(folder)
    }

    /// Opens a folder as [`Collection::open`] does, with other judgements.
    ///
    /// # Errors
    /// [`OpenError`] if the folder is no collection, or a file is damaged.
    pub fn open_split(folder: &Path, split: &str) -> Result<Self, OpenError> {
        Opening::new().split(split).open(folder)
    }

    /// Opens a folder, or each collection of one language in it, sorted by name.
    ///
    /// # Errors
    /// [`OpenError`] if there is no collection, or one of them cannot be opened.
    pub fn open_all(folder: &Path) -> Result<Vec<Self>, OpenError> {
        Opening::new().open_all(folder)
    }

    /// Keeps passages and topics in some languages, by BCP 47 tag. Judgements of passages in other languages
    /// go with them, and topics without judgements that are left; judgements of passages that the
    /// collection never had stay.
    ///
    /// # Errors
    /// [`UnknownLanguage`] if no passage is in one of the languages.
    ///
    /// # Example
    /// ```
    /// # use tantivy_dense_eval::{Collection, Passage, Qrels, Topic};
    /// let passage = |id: &str, language: &str| Passage {
    ///     id: id.into(),
    ///     language: Some(language.into()),
    ///     ..Passage::default()
    /// };
    /// let mut qrels = Qrels::new();
    /// qrels.insert("q", "de-1", 1)?;
    /// qrels.insert("q", "sw-1", 1)?;
    /// let collection = Collection {
    ///     name: "small".into(),
    ///     passages: vec![passage("de-1", "de"), passage("sw-1", "sw")],
    ///     topics: vec![Topic { id: "q".into(), language: Some("sw".into()), ..Topic::default() }],
    ///     qrels,
    /// };
    /// let swahili = collection.only_languages(&["sw"])?;
    /// assert_eq!(swahili.qrels.of("q").collect::<Vec<_>>(), [("sw-1", 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn only_languages(self, languages: &[impl AsRef<str>]) -> Result<Self, UnknownLanguage> {
        let opening = Opening::new().languages(languages);
        opening.check(self.name.clone(), self.languages().into_iter())?;
        Ok(self.keeping(|language| opening.wants(language)))
    }

    /// Keeps the passages and topics whose language is wanted, and what is judged of them.
    pub(crate) fn keeping(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        let is_kept = |language: &Option<String>| language.as_deref().is_some_and(&wanted);
        let (kept, gone) = self.passages.into_iter().partition(|p: &Passage| is_kept(&p.language));
        self.passages = kept;
        let gone: HashSet<String> = gone.into_iter().map(|passage| passage.id).collect();
        self.topics.retain(|topic| is_kept(&topic.language));
        let topics: HashSet<&str> = self.topics.iter().map(|topic| topic.id.as_str()).collect();
        self.qrels.retain(|topic, id| topics.contains(topic) && !gone.contains(id));
        let Self { topics, qrels, .. } = &mut self;
        topics.retain(|topic| qrels.has(&topic.id));
        self
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
        "{}: no collection is here: neither corpus.jsonl (BEIR), nor <lang>.json files (XQuAD-R, MLQA-R), \
         DOCUMENT_IDS.tsv (NTREX-128), topics.miracl-*.tsv (MIRACL), collection/docs.jsonl (Mr. TyDi), \
         corpus.tsv and queries.tsv, nor folders that are such collections of one language",
        folder.display()
    )]
    Neither { folder: PathBuf },
    /// The caller wants one collection.
    #[error("{}: {count} collections are here: open one of its folders", folder.display())]
    Several { folder: PathBuf, count: usize },
    /// The collection lacks a language that is asked for.
    #[error(transparent)]
    Language(#[from] UnknownLanguage),
    /// A folder lacks a file.
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
    /// Two files of NTREX-128 would have the same ids.
    #[error("{}: two files are in `{language}`", file.display())]
    LanguageTwice { file: PathBuf, language: String },
    /// A file of NTREX-128 is not aligned with the list of documents.
    #[error("{}: {found} lines where DOCUMENT_IDS.tsv has {wanted}", file.display())]
    Lines { file: PathBuf, found: usize, wanted: usize },
}

/// A language that a collection does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{collection}: no passage is in `{language}`: there is {known}")]
pub struct UnknownLanguage {
    pub(crate) collection: String,
    pub(crate) language: String,
    pub(crate) known: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_judged_goes_with_its_language_and_what_was_never_there_stays() {
        let passage = |id: &str, language: Option<&str>| Passage {
            id: id.to_owned(),
            language: language.map(str::to_owned),
            ..Passage::default()
        };
        let topic = |id: &str, language: &str| Topic {
            id: id.to_owned(),
            language: Some(language.to_owned()),
            ..Topic::default()
        };
        let mut qrels = Qrels::new();
        for (topic, id) in
            [("t1", "a"), ("t1", "b"), ("t1", "nowhere"), ("t2", "b"), ("t3", "a"), ("t4", "b")]
        {
            qrels.insert(topic, id, 1).unwrap();
        }
        let collection = Collection {
            name: "c".to_owned(),
            passages: vec![passage("a", Some("sw")), passage("b", Some("de")), passage("c", None)],
            topics: vec![
                topic("t1", "sw"),
                topic("t2", "de"),
                topic("t3", "sw"),
                topic("t4", "sw"),
            ],
            qrels,
        };
        let kept = collection.clone().only_languages(&["swa"]).unwrap();
        assert_eq!(kept.passages, collection.passages[..1]);
        // Of t4, nothing is left that is judged.
        let topics: Vec<&str> = kept.topics.iter().map(|topic| topic.id.as_str()).collect();
        assert_eq!(topics, ["t1", "t3"]);
        assert_eq!(kept.qrels.of("t1").collect::<Vec<_>>(), [("a", 1), ("nowhere", 1)]);
        assert_eq!(kept.qrels.topics().collect::<Vec<_>>(), ["t1", "t3"]);
        let error = collection.only_languages(&["sw", "yo"]).unwrap_err();
        assert_eq!(error.to_string(), "c: no passage is in `yo`: there is de, sw");
    }
}

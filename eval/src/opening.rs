//! Which of the layouts of collections a folder has, and what of it is read.
//!
//! Invariant: files of languages that are not asked for are not read where their names say the language.

use std::fs;
use std::path::{Path, PathBuf};

use crate::collection::{Collection, OpenError, UnknownLanguage, name_of};
use crate::languages::canonical;
use crate::{beir, lareqa, miracl, mrtydi, ntrex, tsv};

/// How a folder is opened as a collection: which judgements, which languages.
///
/// ```
/// # use tantivy_dense_eval::Opening;
/// # let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
/// # let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text);
/// write("corpus.tsv", "id\ttext\tlang\n1\tMaji\tsw\n2\tWasser\tde\n").map_err(|e| e.to_string())?;
/// write("queries.tsv", "id\ttext\tlang\na\tnini?\tsw\n").map_err(|e| e.to_string())?;
/// write("qrels.tsv", "a\t1\t1\na\t2\t1\n").map_err(|e| e.to_string())?;
/// let open = Opening::new().languages(&["sw"]).open(folder.path());
/// let collection = open.map_err(|error| error.to_string())?;
/// assert_eq!(collection.passages.len(), 1);
/// assert_eq!(collection.qrels.judgements(), 1); // of the passage in German there is none
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Opening {
    split: Option<String>,
    languages: Option<Vec<String>>,
}

impl Opening {
    /// The judgements for testing, all languages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which judgements, where a collection has several. Default: `test`, or `dev` for MIRACL, which
    /// keeps those of `test` to itself. NTREX and `LAReQA` have one set.
    #[must_use]
    pub fn split(mut self, split: impl Into<String>) -> Self {
        self.split = Some(split.into());
        self
    }

    /// Only passages and topics in these languages, by BCP 47 tag; codes of three letters will do.
    /// Default: all.
    #[must_use]
    pub fn languages(mut self, languages: &[impl AsRef<str>]) -> Self {
        self.languages = Some(languages.iter().map(|tag| tag.as_ref().to_owned()).collect());
        self
    }

    /// Opens a folder; [`Collection::open`] says which there are.
    ///
    /// # Errors
    /// [`OpenError`] if the folder is no collection, holds several, lacks a language that is asked for, or a file
    /// is damaged.
    pub fn open(&self, folder: &Path) -> Result<Collection, OpenError> {
        let Some(kind) = Kind::of(folder)? else {
            let count = several(folder)?.len();
            let folder = folder.to_owned();
            return Err(if count == 0 {
                OpenError::Neither { folder }
            } else {
                OpenError::Several { folder, count }
            });
        };
        let collection = self.read(folder, &kind)?;
        self.only(collection)
    }

    /// Opens a folder, or each collection of one language in it, sorted by name.
    ///
    /// # Errors
    /// [`OpenError`] if there is no collection, one of them cannot be opened, or none has a language that
    /// is asked for.
    pub fn open_all(&self, folder: &Path) -> Result<Vec<Collection>, OpenError> {
        if Kind::of(folder)?.is_some() {
            return Ok(vec![self.open(folder)?]);
        }
        let found = several(folder)?;
        if found.is_empty() {
            return Err(OpenError::Neither { folder: folder.to_owned() });
        }
        let mut collections = Vec::new();
        let mut known: Vec<String> = Vec::new();
        for (folder, kind) in found {
            let named = kind.language(&folder);
            if let Some(language) = named.filter(|language| !self.wants(language)) {
                known.push(language);
                continue;
            }
            let collection = self.read(&folder, &kind)?;
            known.extend(collection.languages().into_iter().map(str::to_owned));
            let kept = match self.languages {
                Some(_) => collection.keeping(|language| self.wants(language)),
                None => collection,
            };
            if !kept.topics.is_empty() || self.languages.is_none() {
                collections.push(kept);
            }
        }
        self.check(name_of(folder), known.iter().map(String::as_str))?;
        Ok(collections)
    }

    /// Whether a language is asked for.
    pub(crate) fn wants(&self, language: &str) -> bool {
        let same = |wanted: &String| is_same(wanted, language);
        self.languages.as_ref().is_none_or(|languages| languages.iter().any(same))
    }

    /// Refuses languages that are asked for and are not among those that there are.
    pub(crate) fn check<'a>(
        &self,
        collection: String,
        known: impl Iterator<Item = &'a str>,
    ) -> Result<(), UnknownLanguage> {
        let wanted = self.languages.as_deref().unwrap_or_default();
        let mut known: Vec<&str> = known.collect();
        let is_known = |wanted: &String| known.iter().any(|known| is_same(wanted, known));
        let Some(language) = wanted.iter().find(|wanted| !is_known(wanted)).cloned() else {
            return Ok(());
        };
        known.sort_unstable();
        known.dedup();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(UnknownLanguage { collection, language, known })
    }

    fn only(&self, collection: Collection) -> Result<Collection, OpenError> {
        match &self.languages {
            Some(languages) => Ok(collection.only_languages(languages)?),
            None => Ok(collection),
        }
    }

    fn read(&self, folder: &Path, kind: &Kind) -> Result<Collection, OpenError> {
        let split = |default| self.split.as_deref().unwrap_or(default);
        match kind {
            Kind::Beir => beir::open(folder, split("test")),
            Kind::Lareqa(files) => lareqa::open(folder, files, self),
            Kind::Ntrex => ntrex::open(folder, self),
            Kind::Miracl(files) => files.open(folder, split("dev")),
            Kind::MrTydi(layout) => layout.open(folder, split("test")),
            Kind::Tsv => tsv::open(folder, split("test")),
        }
    }
}

/// Whether two tags name one language.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    canonical(one).eq_ignore_ascii_case(&canonical(other))
}

/// What one collection looks like.
enum Kind {
    Beir,
    Lareqa(Vec<PathBuf>),
    Ntrex,
    Miracl(miracl::Files),
    MrTydi(mrtydi::Layout),
    Tsv,
}

impl Kind {
    /// `None` if the folder itself is no collection.
    fn of(folder: &Path) -> Result<Option<Self>, OpenError> {
        // Mr. TyDi first: on the hub it has a corpus.jsonl, and no queries.jsonl.
        if let Some(layout) = mrtydi::Layout::of(folder) {
            return Ok(Some(Self::MrTydi(layout)));
        }
        if beir::is(folder) {
            return Ok(Some(Self::Beir));
        }
        if ntrex::is(folder) {
            return Ok(Some(Self::Ntrex));
        }
        if tsv::is(folder) {
            return Ok(Some(Self::Tsv));
        }
        if let Some(files) = miracl::Files::of(folder) {
            return Ok(Some(Self::Miracl(files)));
        }
        let files: Vec<PathBuf> = entries(folder)?.into_iter().filter(|f| lareqa::is(f)).collect();
        Ok((!files.is_empty()).then_some(Self::Lareqa(files)))
    }

    /// The language that names say, before anything is read.
    fn language(&self, folder: &Path) -> Option<String> {
        match self {
            Self::Beir => beir::language(folder),
            Self::Miracl(files) => Some(files.language.clone()),
            Self::MrTydi(_) => mrtydi::language(folder),
            Self::Tsv => tsv::language(folder),
            Self::Lareqa(_) | Self::Ntrex => None,
        }
    }
}

/// The collections in a folder that may stand side by side. Those of many languages each may not: a
/// report has a language once.
fn several(folder: &Path) -> Result<Vec<(PathBuf, Kind)>, OpenError> {
    let mut found = Vec::new();
    for entry in entries(folder)?.into_iter().filter(|entry| entry.is_dir()) {
        // A folder that cannot be read is none of ours.
        match Kind::of(&entry) {
            Ok(Some(Kind::Lareqa(_) | Kind::Ntrex) | None) | Err(_) => {}
            Ok(Some(kind)) => found.push((entry, kind)),
        }
    }
    Ok(found)
}

/// What is in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|source| OpenError::Io { folder: folder.to_owned(), source })?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use proptest::prelude::*;

    fn side_by_side() -> Folder {
        Folder::new(&[
            ("sw/corpus.tsv", b"1\tMaji\n"),
            ("sw/queries.tsv", b"a\tnini?\n"),
            ("sw/qrels.tsv", b"a\t1\t1\n"),
            ("de/corpus.jsonl", b"{\"_id\": \"1\", \"text\": \"Wasser\"}\n"),
            ("de/queries.jsonl", b"{\"_id\": \"b\", \"text\": \"was?\"}\n"),
            ("de/qrels/test.tsv", b"b\t1\t1\n"),
            ("xquad-r/en.json", b"damaged"),
            ("notes.txt", b""),
        ])
    }

    #[test]
    fn collections_of_one_language_stand_side_by_side() {
        let folder = side_by_side();
        let all = Opening::new().open_all(folder.path()).unwrap();
        let names: Vec<&str> = all.iter().map(|collection| collection.name.as_str()).collect();
        assert_eq!(names, ["de", "sw"]);
        let error = Opening::new().open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("2 collections are here"), "{error}");
    }

    #[test]
    fn a_collection_whose_language_is_not_asked_for_is_not_read() {
        let folder = side_by_side();
        folder.write("de/corpus.jsonl", b"damaged");
        let open = |languages: &[&str]| Opening::new().languages(languages).open_all(folder.path());
        let [sw] = &open(&["swa"]).unwrap()[..] else { panic!("one is asked for") };
        assert_eq!((sw.name.as_str(), sw.topics.len()), ("sw", 1));
        assert!(open(&["sw", "de"]).unwrap_err().to_string().ends_with("corpus.jsonl, line 1"));
        let error = open(&["sw", "am"]).unwrap_err().to_string();
        assert!(error.contains("`am`") && error.ends_with("there is de, sw"), "{error}");
    }

    proptest! {
        /// In every layout, each file in turn.
        #[test]
        fn any_bytes_are_a_collection_or_refused(
            layout in 0..LAYOUTS.len(),
            damaged in 0_usize..3,
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                "[{}\":,a-z0-9\t\n ]{0,60}".prop_map(String::into_bytes),
            ],
        ) {
            let files: Vec<(&str, &[u8])> = LAYOUTS[layout]
                .iter()
                .enumerate()
                .map(|(at, (file, text))| (*file, if at == damaged { &bytes } else { text.as_bytes() }))
                .collect();
            let folder = Folder::new(&files);
            let _ = Opening::new().languages(&["sw"]).open(folder.path());
            let _ = Opening::new().open_all(folder.path());
        }
    }

    #[test]
    fn the_layouts_that_are_damaged_above_open_as_they_are() {
        for layout in LAYOUTS {
            let files: Vec<_> =
                layout.iter().map(|(file, text)| (*file, text.as_bytes())).collect();
            let folder = Folder::new(&files);
            let collection = Opening::new().open(folder.path()).unwrap();
            assert_eq!((collection.passages.len(), collection.topics.len()), (1, 1));
        }
    }

    const LAYOUTS: [[(&str, &str); 3]; 5] = [
        [
            ("corpus.jsonl", "{\"_id\": \"1\", \"text\": \"Maji\"}"),
            ("queries.jsonl", "{\"_id\": \"a\", \"text\": \"nini?\"}"),
            ("qrels/test.tsv", "a\t1\t1"),
        ],
        [("corpus.tsv", "1\tMaji"), ("queries.tsv", "a\tnini?"), ("qrels.tsv", "a\t1\t1")],
        [
            ("docs-0.jsonl", "{\"docid\": \"1\", \"text\": \"Maji\"}"),
            ("topics/topics.miracl-v1.0-sw-dev.tsv", "a\tnini?"),
            ("qrels/qrels.miracl-v1.0-sw-dev.tsv", "a Q0 1 1"),
        ],
        [
            ("collection/docs.jsonl", "{\"id\": \"1\", \"contents\": \"Maji\"}"),
            ("topic.test.tsv", "a\tnini?"),
            ("qrels.test.txt", "a Q0 1 1"),
        ],
        [
            ("corpus.jsonl", "{\"docid\": \"1\", \"text\": \"Maji\"}"),
            ("ir-format-data/topics.test.txt", "a\tnini?"),
            ("ir-format-data/qrels.test.txt", "a Q0 1 1"),
        ],
    ];
}

//! MIRACL as its authors publish it: topics and judgements by split in one folder a language, the
//! corpus in pieces in another.
//!
//! ```text
//! miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-dev.tsv       id, tab, query
//! miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv         as TREC has them
//! miracl-corpus-v1.0-sw/docs-0.jsonl.gz, docs-1.jsonl.gz    docid, title, text
//! ```
//!
//! All files may also lie in one folder. The judgements of the test splits are not published.
//!
//! Source: Zhang et al., "Making a MIRACL" (2022).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::collection::{Collection, OpenError};
use crate::input;
use crate::records::{Draft, Record, find, id, json_lines, pairs, unpacked_name};

/// One line of `docs-*.jsonl`.
#[derive(Deserialize)]
struct Line {
    #[serde(deserialize_with = "id")]
    docid: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
}

impl From<Line> for Record {
    fn from(Line { docid, title, text }: Line) -> Self {
        Self { id: docid, title: title.unwrap_or_default(), text, ..Self::default() }
    }
}

/// What the files of a language are called.
pub(crate) struct Files {
    /// As in `v1.0-sw`.
    name: String,
    pub(crate) language: String,
}

impl Files {
    /// What the topics of a folder are called, if it has some.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        [folder.join("topics"), folder.to_owned()].iter().find_map(|place| {
            let mut names: Vec<String> = fs::read_dir(place)
                .ok()?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect();
            names.sort();
            names.iter().find_map(|name| {
                let name = unpacked_name(name).strip_prefix("topics.miracl-")?;
                let (name, _split) = name.strip_suffix(".tsv")?.rsplit_once('-')?;
                let (_version, language) = name.split_once('-')?;
                Some(Self { name: name.to_owned(), language: language.to_owned() })
            })
        })
    }

    pub(crate) fn open(&self, folder: &Path, split: &str) -> Result<Collection, OpenError> {
        let find_in = |kind: &str| {
            let file = format!("{kind}.miracl-{}-{split}.tsv", self.name);
            find(&folder.join(kind), &file).or_else(|_| find(folder, &file))
        };
        let (topics, judgements) = (find_in("topics")?, find_in("qrels")?);
        let mut draft = Draft::new(folder, Some(self.language.clone()), &judgements)?;
        for file in self.corpus(folder)? {
            json_lines::<Line>(&file, |record| draft.passage(record))?;
        }
        pairs(input::open(&topics)?, &topics, |record| draft.topic(record))?;
        draft.finish()
    }

    /// The pieces of the corpus: here, beside the folder, or in a clone beside its clone.
    fn corpus(&self, folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
        let name = format!("miracl-corpus-{}", self.name);
        let places = [
            folder.to_owned(),
            folder.join("..").join(&name),
            folder.join("../../miracl-corpus").join(&name),
        ];
        for place in places {
            let Ok(entries) = fs::read_dir(place) else { continue };
            let mut pieces: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    let name = path.file_name().and_then(|name| name.to_str()).map(unpacked_name);
                    let stem = name.and_then(|name| name.strip_suffix(".jsonl"));
                    stem.is_some_and(|stem| stem.starts_with("docs"))
                })
                .collect();
            // docs-2 before docs-10.
            pieces.sort_by_cached_key(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (unpacked_name(&name).len(), name)
            });
            if !pieces.is_empty() {
                return Ok(pieces);
            }
        }
        let file = format!("docs-*.jsonl, nor is there a folder {name} beside it");
        Err(OpenError::Missing { folder: folder.to_owned(), file })
    }
}

#[cfg(test)]
mod tests {
    use crate::opening::Opening;
    use crate::testing::{Folder, gz, zst};
    use std::error::Error as _;

    const TOPICS: &str = "0\tMwezi ni nini?\n1\tJe, bahari ina chumvi?\n2\tnot judged\n";
    const QRELS: &str = "0\tQ0\t462221#4\t1\n0 Q0 9#0 0\n1\tQ0\t9#0\t1\n";
    const FIRST: &str =
        "{\"docid\": \"462221#4\", \"title\": \"Mwezi\", \"text\": \"Mwezi huzunguka Dunia.\"}\n";
    const SECOND: &str = "{\"docid\": \"9#0\", \"title\": \"Bahari\", \"text\": \"Maji ya chumvi.\"}\n\
                          {\"docid\": \"9#1\", \"title\": \"Bahari\", \"text\": \"Mawimbi.\"}\n";

    fn published() -> Folder {
        Folder::new(&[
            ("miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-dev.tsv", TOPICS.as_bytes()),
            ("miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-train.tsv", b""),
            ("miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv", QRELS.as_bytes()),
            ("miracl-corpus-v1.0-sw/docs-2.jsonl.gz", &gz(FIRST)),
            ("miracl-corpus-v1.0-sw/docs-10.jsonl.zst", &zst(SECOND)),
        ])
    }

    #[test]
    fn the_folders_of_a_language_open_together() {
        let folder = published();
        let collection = Opening::new().open(&folder.path().join("miracl-v1.0-sw")).unwrap();
        let ids: Vec<&str> = collection.passages.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["462221#4", "9#0", "9#1"]);
        assert_eq!(collection.passages[1].title, "Bahari");
        assert_eq!(collection.languages(), ["sw"]);
        let topics: Vec<_> = collection.topics.iter().map(|t| (&*t.id, &*t.text)).collect();
        assert_eq!(topics, [("0", "Mwezi ni nini?"), ("1", "Je, bahari ina chumvi?")]);
        assert_eq!(collection.topics[0].language.as_deref(), Some("sw"));
        assert_eq!(
            (collection.qrels.judgements(), collection.name.as_str()),
            (3, "miracl-v1.0-sw")
        );
        // The folder above has one collection a language.
        let all = Opening::new().open_all(folder.path()).unwrap();
        assert_eq!((all.len(), &all[0].topics), (1, &collection.topics));
    }

    #[test]
    fn files_in_one_folder_open_too() {
        let folder = Folder::new(&[
            ("topics.miracl-v1.0-sw-train.tsv.gz", &gz(TOPICS)),
            ("qrels.miracl-v1.0-sw-train.tsv", QRELS.as_bytes()),
            ("docs-0.jsonl", &[FIRST, SECOND].concat().into_bytes()),
        ]);
        let collection = Opening::new().split("train").open(folder.path()).unwrap();
        assert_eq!((collection.passages.len(), collection.topics.len()), (3, 2));
        let error = Opening::new().open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no topics.miracl-v1.0-sw-dev.tsv, plain, .gz or .zst"), "{error}");
    }

    #[test]
    fn a_wrong_line_is_named_with_its_file() {
        let folder = published();
        for (file, line, place, cause) in [
            ("miracl-corpus-v1.0-sw/docs-11.jsonl", FIRST, "docs-11.jsonl, line 1", "second time"),
            ("miracl-corpus-v1.0-sw/docs-11.jsonl", "\n{}", "docs-11.jsonl, line 2", "not a JSON"),
        ] {
            folder.write(file, line.as_bytes());
            let error = Opening::new().open(&folder.path().join("miracl-v1.0-sw")).unwrap_err();
            assert!(error.to_string().ends_with(place), "{error}");
            assert!(error.source().unwrap().to_string().contains(cause), "{error:?}");
        }
        let folder = Folder::new(&[
            ("topics.miracl-v1.0-sw-dev.tsv", b"0 no tab\n"),
            ("qrels.miracl-v1.0-sw-dev.tsv", QRELS.as_bytes()),
            ("docs-0.jsonl", b""),
        ]);
        let error = Opening::new().open(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("sw-dev.tsv, line 1"), "{error}");
        let folder = Folder::new(&[
            ("topics.miracl-v1.0-sw-dev.tsv", TOPICS.as_bytes()),
            ("qrels.miracl-v1.0-sw-dev.tsv", QRELS.as_bytes()),
        ]);
        let error = Opening::new().open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("nor is there a folder miracl-corpus-v1.0-sw beside it"), "{error}");
    }
}

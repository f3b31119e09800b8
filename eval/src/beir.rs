//! The folder layout of BEIR: a corpus and queries as JSON lines, judgements by split.
//!
//! Source: Thakur et al., "BEIR" (2021).

use std::path::Path;

use serde::Deserialize;

use crate::collection::{Collection, OpenError, is_language, name_of};
use crate::records::{Draft, Record, find, id, json_lines};

/// One line of `corpus.jsonl` or `queries.jsonl`.
#[derive(Deserialize)]
pub(crate) struct Line {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    group: Option<String>,
}

impl From<Line> for Record {
    fn from(line: Line) -> Self {
        let Line { id, title, text, lang, language, group } = line;
        let named = [lang, language].into_iter().flatten();
        let language = named.map(|tag| tag.trim().to_owned()).find(|tag| !tag.is_empty());
        Self { id, title: title.unwrap_or_default(), text, language, group }
    }
}

/// Whether a folder has a corpus.
pub(crate) fn is(folder: &Path) -> bool {
    find(folder, "corpus.jsonl").is_ok()
}

/// The language that the folder's name says, of records that name none.
pub(crate) fn language(folder: &Path) -> Option<String> {
    Some(name_of(folder)).filter(|name| is_language(name))
}

pub(crate) fn open(folder: &Path, split: &str) -> Result<Collection, OpenError> {
    let judgements = find(folder, &format!("qrels/{split}.tsv"))?;
    let mut draft = Draft::new(folder, language(folder), &judgements)?;
    json_lines::<Line>(&find(folder, "corpus.jsonl")?, |record| draft.passage(record))?;
    json_lines::<Line>(&find(folder, "queries.jsonl")?, |record| draft.topic(record))?;
    draft.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Passage;
    use std::error::Error as _;
    use std::fs;

    const CORPUS: &str = "{\"_id\": \"p1\", \"title\": \"Maji\", \"text\": \"moto\"}\n\
                          {\"_id\": \"p2\", \"text\": \"Wasser\", \"lang\": \"de\", \"metadata\": {}}\n";
    const QUERIES: &str = "{\"_id\": \"q1\", \"text\": \"nini?\", \"group\": \"1\"}\n\
                           {\"_id\": \"of another split\", \"text\": \"x\"}\n";
    const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq1\tnot in the corpus\t1\n";

    fn folder(name: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let beir = root.path().join(name);
        fs::create_dir_all(beir.join("qrels")).unwrap();
        for (file, bytes) in files {
            fs::write(beir.join(file), bytes).unwrap();
        }
        root
    }

    fn plain(corpus: &str, queries: &str, qrels: &str) -> tempfile::TempDir {
        let files: [(&str, &[u8]); 3] = [
            ("corpus.jsonl", corpus.as_bytes()),
            ("queries.jsonl", queries.as_bytes()),
            ("qrels/test.tsv", qrels.as_bytes()),
        ];
        folder("sw", &files)
    }

    #[test]
    fn a_line_names_its_language_or_the_folder_does() {
        let root = plain(CORPUS, QUERIES, QRELS);
        let collection = Collection::open(&root.path().join("sw")).unwrap();
        assert_eq!(collection.name, "sw");
        assert_eq!(
            collection.passages,
            [("p1", "Maji", "moto", "sw"), ("p2", "", "Wasser", "de")].map(
                |(id, title, text, language)| Passage {
                    id: id.into(),
                    title: title.into(),
                    text: text.into(),
                    language: Some(language.into()),
                }
            )
        );
        let [topic] = &collection.topics[..] else { panic!("only q1 has judgements") };
        assert_eq!((topic.language.as_deref(), topic.group.as_deref()), (Some("sw"), Some("1")));
        assert_eq!(collection.qrels.judgements(), 2);
        assert_eq!(collection.languages(), ["de", "sw"]);
    }

    #[test]
    fn ids_are_read_as_an_index_of_the_corpus_names_them() {
        let corpus = "{\"_id\": 7, \"text\": \"a\", \"lang\": \" sw\", \"language\": \"sw\"}\n\
                      {\"_id\": \" p \", \"text\": \"b\", \"language\": \"sw\"}\n";
        let root = plain(corpus, &QUERIES.replace("\"q1\"", "1"), "1\t7\t1\n1\tp\t1\n");
        let collection = Collection::open(&root.path().join("sw")).unwrap();
        let ids: Vec<&str> = collection.passages.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["7", "p"]);
        assert_eq!(collection.languages(), ["sw"]);
        assert_eq!(collection.topics[0].id, "1");
    }

    #[test]
    fn packed_files_and_another_split_are_read_and_a_long_name_is_no_language() {
        let root = folder(
            "water",
            &[
                ("corpus.jsonl.zst", &zstd::encode_all(CORPUS.as_bytes(), 0).unwrap()),
                ("queries.jsonl", QUERIES.as_bytes()),
                ("qrels/dev.tsv", QRELS.as_bytes()),
            ],
        );
        let path = root.path().join("water");
        let collection = Collection::open_split(&path, "dev").unwrap();
        assert_eq!(collection.passages[0].language, None);
        let error = Collection::open(&path).unwrap_err();
        assert!(
            error.to_string().ends_with("has no qrels/test.tsv, plain, .gz or .zst"),
            "{error}"
        );
    }

    #[test]
    fn folders_of_several_collections_open_all_at_once() {
        let root = plain(CORPUS, QUERIES, QRELS);
        let all = Collection::open_all(root.path()).unwrap();
        assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["sw"]);
        assert_eq!(Collection::open_all(&root.path().join("sw")).unwrap().len(), 1);
        let error = Collection::open(root.path()).unwrap_err();
        assert!(error.to_string().contains("1 collections are here: open one"), "{error}");
    }

    #[test]
    fn what_is_no_collection_says_what_would_be_one() {
        let empty = tempfile::tempdir().unwrap();
        let error = Collection::open(empty.path()).unwrap_err();
        assert!(error.to_string().contains("neither corpus.jsonl (BEIR), nor <lang>.json"));
        let error = Collection::open(&empty.path().join("nowhere")).unwrap_err();
        assert!(error.to_string().ends_with("the folder cannot be read"));
    }

    #[test]
    fn a_wrong_line_is_named_with_its_file() {
        for (corpus, queries, qrels, place, cause) in [
            ("{}\n", QUERIES, QRELS, "corpus.jsonl, line 1", "not a JSON object"),
            (&CORPUS.replace("p2", "p1"), QUERIES, QRELS, "corpus.jsonl, line 2", "a second time"),
            (CORPUS, "[]\n", QRELS, "queries.jsonl, line 1", "not a JSON object"),
            (CORPUS, QUERIES, "q1\tp1\tone\n", "test.tsv, line 1", "`one` is no grade"),
        ] {
            let root = plain(corpus, queries, qrels);
            let error = Collection::open(&root.path().join("sw")).unwrap_err();
            assert!(error.to_string().ends_with(place), "{error}");
            let source = error.source().unwrap().to_string();
            assert!(source.contains(cause), "{source}");
        }
        let root = plain(CORPUS, QUERIES, "query-id\tcorpus-id\tscore\n");
        let error = Collection::open(&root.path().join("sw")).unwrap_err();
        assert!(error.to_string().ends_with("sw: qrels/test.tsv judges no topic"), "{error}");
        let root = plain(CORPUS, QUERIES, "q7\tp1\t1\n");
        let error = Collection::open(&root.path().join("sw")).unwrap_err();
        assert!(error.to_string().contains("topic `q7` has judgements and is not"), "{error}");
    }

    #[test]
    fn tydiqa_opens_as_one_collection_a_language() {
        let Some(data) = std::env::var_os("TDENSE_DATA").filter(|data| !data.is_empty()) else {
            println!("TDENSE_DATA is not set: the real TyDiQA is not tested");
            return;
        };
        let all = Collection::open_all(&Path::new(&data).join("eval/tydiqa-r")).unwrap();
        let names: Vec<&str> = all.iter().map(|collection| collection.name.as_str()).collect();
        assert_eq!(names, ["ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te"]);
        for (name, passages, topics) in [("sw", 1981, 499), ("te", 601, 669), ("bn", 105, 113)] {
            let collection = all.iter().find(|collection| collection.name == name).unwrap();
            assert_eq!((collection.passages.len(), collection.topics.len()), (passages, topics));
            assert_eq!(collection.languages(), [name]);
        }
    }
}

//! Mr. `TyDi` as its authors publish it, as an archive a language, or as two data sets on a hub.
//!
//! ```text
//! mrtydi-v1.1-swahili/topic.test.tsv                      id, tab, query
//! mrtydi-v1.1-swahili/qrels.test.txt                      as TREC has them
//! mrtydi-v1.1-swahili/collection/docs.jsonl.gz            id, contents: title, blank line, text
//!
//! mrtydi-v1.1-swahili/ir-format-data/topics.test.txt      the same
//! mrtydi-v1.1-swahili/ir-format-data/qrels.test.txt
//! mrtydi-v1.1-swahili/corpus.jsonl.gz                     docid, title, text
//! ```
//!
//! Source: Zhang et al., "Mr. `TyDi`: A Multi-lingual Benchmark for Dense Retrieval" (2021).

use std::path::Path;

use serde::Deserialize;

use crate::collection::{Collection, OpenError, is_language, name_of};
use crate::input;
use crate::records::{Draft, Record, find, id, json_lines, pairs};

/// One line of a corpus, in the one form or the other.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "docid", deserialize_with = "id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(flatten)]
    text: Text,
}

#[derive(Deserialize)]
enum Text {
    #[serde(rename = "text")]
    Alone(String),
    #[serde(rename = "contents")]
    BehindTitle(String),
}

impl From<Line> for Record {
    fn from(Line { id, title, text }: Line) -> Self {
        let (title, text) = match text {
            Text::Alone(text) => (title.unwrap_or_default(), text),
            Text::BehindTitle(contents) => match contents.split_once("\n\n") {
                Some((title, text)) => (title.trim().to_owned(), text.trim().to_owned()),
                None => (String::new(), contents),
            },
        };
        Self { id, title, text, ..Self::default() }
    }
}

/// Which of the two layouts a folder has.
#[derive(Clone, Copy)]
pub(crate) enum Layout {
    Archive,
    Hub,
}

impl Layout {
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        if find(folder, "collection/docs.jsonl").is_ok() {
            Some(Self::Archive)
        } else if folder.join("ir-format-data").is_dir() {
            Some(Self::Hub)
        } else {
            None
        }
    }

    pub(crate) fn open(self, folder: &Path, split: &str) -> Result<Collection, OpenError> {
        let (corpus, topics, judgements) = match self {
            Self::Archive => (
                "collection/docs.jsonl",
                format!("topic.{split}.tsv"),
                format!("qrels.{split}.txt"),
            ),
            Self::Hub => (
                "corpus.jsonl",
                format!("ir-format-data/topics.{split}.txt"),
                format!("ir-format-data/qrels.{split}.txt"),
            ),
        };
        let topics = find(folder, &topics)?;
        let mut draft = Draft::new(folder, language(folder), &find(folder, &judgements)?)?;
        json_lines::<Line>(&find(folder, corpus)?, |record| draft.passage(record))?;
        pairs(input::open(&topics)?, &topics, |record| draft.topic(record))?;
        draft.finish()
    }
}

/// The language that the folder's name says, in English or as a tag.
pub(crate) fn language(folder: &Path) -> Option<String> {
    let name = name_of(folder);
    let last = name.rsplit('-').next().unwrap_or(&name);
    let tag = match last {
        "arabic" => "ar",
        "bengali" => "bn",
        "english" => "en",
        "finnish" => "fi",
        "indonesian" => "id",
        "japanese" => "ja",
        "korean" => "ko",
        "russian" => "ru",
        "swahili" => "sw",
        "telugu" => "te",
        "thai" => "th",
        tag if is_language(tag) => tag,
        _ => return None,
    };
    Some(tag.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::opening::Opening;
    use crate::testing::{Folder, gz};
    use std::error::Error as _;

    const TOPICS: &str = "7\tmwezi ni nini\n8\tnot judged\n";
    const QRELS: &str = "7 Q0 12#0 1\n";
    const ARCHIVE: &str = "{\"id\": \"12#0\", \"contents\": \"Mwezi\\n\\nMwezi huzunguka Dunia.\"}\n\
                           {\"id\": \"12#1\", \"contents\": \"no title\"}\n";
    const HUB: &str = "{\"docid\": \"12#0\", \"title\": \"Mwezi\", \"text\": \"Mwezi huzunguka Dunia.\"}\n\
                       {\"docid\": \"12#1\", \"title\": \"\", \"text\": \"no title\"}\n";

    #[test]
    fn both_layouts_give_the_same_collection() {
        let folder = Folder::new(&[
            ("a/mrtydi-v1.1-swahili/topic.test.tsv", TOPICS.as_bytes()),
            ("a/mrtydi-v1.1-swahili/qrels.test.txt", QRELS.as_bytes()),
            ("a/mrtydi-v1.1-swahili/collection/docs.jsonl.gz", &gz(ARCHIVE)),
            ("b/mrtydi-v1.1-swahili/ir-format-data/topics.test.txt", TOPICS.as_bytes()),
            ("b/mrtydi-v1.1-swahili/ir-format-data/qrels.test.txt", QRELS.as_bytes()),
            ("b/mrtydi-v1.1-swahili/corpus.jsonl", HUB.as_bytes()),
        ]);
        let [archive, hub] = ["a", "b"].map(|side| {
            let mut all = Opening::new().open_all(&folder.path().join(side)).unwrap();
            assert_eq!(all.len(), 1);
            all.remove(0)
        });
        assert_eq!((&archive.passages, &archive.topics), (&hub.passages, &hub.topics));
        assert_eq!((archive.passages.len(), archive.topics.len()), (2, 1));
        assert_eq!(archive.passages[0].title, "Mwezi");
        assert_eq!(archive.passages[1].text, "no title");
        assert_eq!((archive.languages(), archive.qrels.judgements()), (vec!["sw"], 1));
    }

    #[test]
    fn a_line_without_a_text_and_a_split_that_is_not_there_are_named() {
        let folder = Folder::new(&[
            ("topic.dev.tsv", TOPICS.as_bytes()),
            ("qrels.dev.txt", QRELS.as_bytes()),
            ("collection/docs.jsonl", b"{\"id\": \"12#0\", \"title\": \"x\"}\n"),
        ]);
        let error = Opening::new().split("dev").open(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("docs.jsonl, line 1"), "{error}");
        assert!(error.source().is_some());
        let error = Opening::new().open(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("the folder has no topic.test.tsv, plain, .gz or .zst"), "{error}");
    }
}

//! The question files of `LAReQA` (XQuAD-R, MLQA-R): those of `SQuAD`, one file a language, with its
//! paragraphs split into sentences. In MLQA-R, a question is in two to four languages, and English has
//! them all.
//!
//! Offsets count Unicode code points. A sentence is relevant if the first answer starts in it, or in the
//! white space before it, even where the answer runs on into the next.
//!
//! Source: Roy et al., "`LAReQA`: Language-agnostic answer retrieval from a multilingual pool" (2020).

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::collection::{Collection, OpenError, Passage, is_language, name_of};
use crate::input::{self, ReadError};
use crate::opening::Opening;
use crate::qrels::Qrels;
use crate::topics::Topic;

#[derive(Deserialize)]
struct Questions {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    sentences: Vec<String>,
    sentence_breaks: Vec<(usize, usize)>,
    qas: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    #[serde(rename = "question")]
    text: String,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    answer_start: usize,
    #[cfg(test)]
    text: String,
}

/// Whether a file is called as the questions of one language are.
pub(crate) fn is(file: &Path) -> bool {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    file.extension().is_some_and(|ending| ending == "json")
        && stem.is_some_and(is_language)
        && file.is_file()
}

fn language_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Opens the languages that are asked for; the files of others are not read.
pub(crate) fn open(
    folder: &Path,
    files: &[PathBuf],
    opening: &Opening,
) -> Result<Collection, OpenError> {
    let languages: Vec<String> = files.iter().map(|file| language_of(file)).collect();
    opening.check(name_of(folder), languages.iter().map(String::as_str))?;
    let mut collection = Collection { name: name_of(folder), ..Collection::default() };
    // The sentences that answer a question, in all languages.
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| opening.wants(&language_of(file))) {
        let language = language_of(file);
        let mut seen = HashSet::new();
        for (a, article) in parse(file)?.data.into_iter().enumerate() {
            for (p, paragraph) in article.paragraphs.into_iter().enumerate() {
                let name = format!("{language}-{a}-{p}");
                let breaks = &paragraph.sentence_breaks;
                if breaks.len() != paragraph.sentences.len() {
                    return Err(OpenError::Sentences {
                        file: file.clone(),
                        paragraph: name,
                        sentences: paragraph.sentences.len(),
                        breaks: breaks.len(),
                    });
                }
                for Question { id, text, answers: given } in paragraph.qas {
                    let Some(sentence) = given.first().and_then(|answer| find(answer, breaks))
                    else {
                        return Err(OpenError::Answer { file: file.clone(), question: id });
                    };
                    if !seen.insert(id.clone()) {
                        return Err(OpenError::QuestionTwice { file: file.clone(), question: id });
                    }
                    answers.entry(id.clone()).or_default().push(format!("{name}-{sentence}"));
                    collection.topics.push(Topic {
                        id: format!("{language}-{id}"),
                        text,
                        language: Some(language.clone()),
                        group: Some(id),
                    });
                }
                let texts = paragraph.sentences.into_iter().enumerate();
                collection.passages.extend(texts.map(|(s, text)| Passage {
                    id: format!("{name}-{s}"),
                    title: String::new(),
                    text,
                    language: Some(language.clone()),
                }));
            }
        }
    }
    collection.qrels = judgements(&collection.topics, &answers);
    Ok(collection)
}

fn parse(file: &Path) -> Result<Questions, OpenError> {
    // From memory: reading JSON from a stream takes several times as long.
    let mut bytes = Vec::new();
    input::open(file)?
        .read_to_end(&mut bytes)
        .map_err(|source| ReadError::Io { file: file.to_owned(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|source| OpenError::Json { file: file.to_owned(), source })
}

/// The sentence that holds the start of an answer; white space belongs to the one behind it.
fn find(answer: &Answer, breaks: &[(usize, usize)]) -> Option<usize> {
    breaks.iter().position(|(_, to)| answer.answer_start < *to)
}

fn judgements(topics: &[Topic], answers: &BTreeMap<String, Vec<String>>) -> Qrels {
    let mut qrels = Qrels::new();
    for topic in topics {
        for id in topic.group.iter().filter_map(|group| answers.get(group)).flatten() {
            qrels.insert(&topic.id, id, 1).expect("all grades are 1");
        }
    }
    qrels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use proptest::prelude::*;
    use std::fs;

    /// Two paragraphs in each of two languages. In German, `ü` is one code point and two bytes.
    fn example(edit: impl Fn(String) -> String) -> Result<Collection, OpenError> {
        let folder = tempfile::tempdir().unwrap();
        let text = |first: &str, at: usize, answer: &str| {
            let sentences = [first, "Zwei b."];
            let split = first.chars().count() + 1;
            serde_json::json!({"data": [{"title": "t", "paragraphs": [
                {"context": "", "sentences": ["One."], "sentence_breaks": [[0, 4]], "qas": []},
                {"context": "", "sentences": sentences, "sentence_breaks": [[0, split], [split, split + 7]],
                 "qas": [{"id": "q", "question": "?", "answers": [{"answer_start": at, "text": answer}]}]},
            ]}]})
            .to_string()
        };
        fs::write(folder.path().join("de.json"), edit(text("Fünf süß.", 10, "Zwei"))).unwrap();
        fs::write(folder.path().join("en.json"), text("Five a.", 5, "a. Zwei")).unwrap();
        fs::write(folder.path().join("LICENSE"), "").unwrap();
        let files = ["de.json", "en.json"].map(|file| folder.path().join(file));
        open(folder.path(), &files, &Opening::new())
    }

    #[test]
    fn a_question_of_mlqa_r_is_relevant_in_the_languages_that_have_it() {
        let paragraph = |questions: &[(&str, usize)]| {
            let questions: Vec<_> = questions
                .iter()
                .map(|(id, start)| {
                    serde_json::json!({"question": "?", "id": id,
                        "answers": [{"text": "a", "answer_start": start}]})
                })
                .collect();
            // As published: one character between two sentences.
            serde_json::json!({"version": 1.0, "data": [{"title": "t", "paragraphs": [{
                "context": "One two. Three.", "qas": questions,
                "sentence_breaks": [[0, 8], [9, 15]], "sentences": ["One two.", "Three."]}]}]})
            .to_string()
        };
        let folder = Folder::new(&[
            ("en.json", paragraph(&[("q1", 4), ("q2", 9), ("q3", 8)]).as_bytes()),
            ("es.json", paragraph(&[("q1", 9)]).as_bytes()),
            ("vi.json", b"not read"),
        ]);
        let open = Opening::new().languages(&["en", "es"]).open(folder.path());
        let collection = open.unwrap();
        assert_eq!((collection.topics.len(), collection.passages.len()), (4, 4));
        let relevant = |topic| collection.qrels.of(topic).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(relevant("en-q1"), ["en-0-0-0", "es-0-0-1"]);
        assert_eq!(relevant("es-q1"), ["en-0-0-0", "es-0-0-1"]);
        assert_eq!((relevant("en-q2"), relevant("en-q3")), (vec!["en-0-0-1"], vec!["en-0-0-1"]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_collection_or_refused(
            breaks in proptest::collection::vec((0_usize..9, 0_usize..9), 0..3),
            start in 0_usize..12,
            bytes in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        ) {
            let text = serde_json::json!({"data": [{"paragraphs": [{"sentences": ["a", "b"],
                "sentence_breaks": breaks,
                "qas": [{"id": "q", "question": "?", "answers": [{"answer_start": start, "text": ""}]}]}]}]});
            let bytes = bytes.unwrap_or_else(|| text.to_string().into_bytes());
            let folder = Folder::new(&[("en.json", &bytes)]);
            let _ = Collection::open(folder.path());
        }
    }

    #[test]
    fn the_sentence_that_holds_the_start_of_the_answer_is_relevant_in_every_language() {
        let collection = example(|text| text).unwrap();
        let ids: Vec<&str> = collection.passages.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["de-0-0-0", "de-0-1-0", "de-0-1-1", "en-0-0-0", "en-0-1-0", "en-0-1-1"]);
        for topic in ["de-q", "en-q"] {
            let relevant: Vec<_> = collection.qrels.of(topic).collect();
            assert_eq!(relevant, [("de-0-1-1", 1), ("en-0-1-0", 1)]);
        }
        assert_eq!(collection.topics[0].group.as_deref(), Some("q"));
    }

    #[test]
    fn a_damaged_file_is_named_with_what_is_wrong() {
        for (from, to, message) in [
            ("[0,4]", "", "paragraph de-0-0 has 1 sentences and 0 sentence_breaks"),
            ("\"answer_start\":10", "\"answer_start\":99", "no sentence holds the first answer to"),
            ("\"id\":\"q\"", "\"id\":7", "not the JSON of a SQuAD file with sentence_breaks"),
        ] {
            let error = example(|text| text.replace(from, to)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("de.json: ") && error.contains(message), "{error}");
        }
    }

    /// How many first answers run past the end of the sentence that they start in.
    fn past_sentence(file: &Path) -> usize {
        let articles = parse(file).unwrap().data.into_iter();
        let paragraphs = articles.flat_map(|article| article.paragraphs);
        let runs_past = |breaks: &[(usize, usize)], answer: &Answer| {
            let end = answer.answer_start + answer.text.chars().count();
            end > breaks[find(answer, breaks).unwrap()].1
        };
        paragraphs
            .map(|Paragraph { qas, sentence_breaks, .. }| {
                qas.iter()
                    .filter(|question| runs_past(&sentence_breaks, &question.answers[0]))
                    .count()
            })
            .sum()
    }

    #[test]
    fn xquad_r_has_the_counts_that_its_authors_state() {
        let Some(data) = std::env::var_os("TDENSE_DATA").filter(|data| !data.is_empty()) else {
            println!("TDENSE_DATA is not set: the real XQuAD-R is not tested");
            return;
        };
        let folder = Path::new(&data).join("eval/xquad-r");
        let files: Vec<PathBuf> = "ar de el en es hi ru th tr vi zh"
            .split(' ')
            .map(|language| folder.join(language).with_extension("json"))
            .collect();
        let collection = open(&folder, &files, &Opening::new()).unwrap();
        assert_eq!(collection.topics.len(), 13_090);
        assert_eq!(collection.passages.len(), 13_014);
        assert_eq!(collection.qrels.judgements(), 143_990);
        assert_eq!(files.iter().map(|file| past_sentence(file)).sum::<usize>(), 112);
        let language = |id: &str| id.split('-').next().map(str::to_owned);
        let mono = collection.topics.iter().flat_map(|topic| {
            let relevant =
                collection.qrels.of(&topic.id).filter(|(id, _)| language(id) == topic.language);
            relevant.collect::<Vec<_>>()
        });
        assert_eq!(mono.count(), 13_090);
        assert_eq!(Collection::open(&folder).unwrap().topics, collection.topics);
    }
}

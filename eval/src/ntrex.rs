//! NTREX-128 as headline -> document retrieval: news in many languages, line by line the same.
//!
//! ```text
//! DOCUMENT_IDS.tsv                          the document of each line
//! NTREX-128/newstest2019-ref.swa.txt        the lines in one language, translated
//! NTREX-128/newstest2019-src.eng.txt        the English lines that they are translations of
//! ```
//!
//! The first line of a document is its headline and becomes a topic; the others, one space between two,
//! are its passage. All files have the same lines, so that every language has the same topics and as
//! many passages. A second translation into a language (`newstest2019-ref-2.spa.txt`) is left out.
//!
//! Invariant: topics and passages are `<language>-<document>`, and their group is the document.
//!
//! Source: Federmann et al., "NTREX-128" (2022).

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::collection::{Collection, OpenError, Passage, name_of};
use crate::input::{self, LineError, Lines, ReadError};
use crate::languages::canonical;
use crate::opening::Opening;
use crate::qrels::Qrels;
use crate::records::{find, unpacked_name};
use crate::topics::Topic;

const DOCUMENTS: &str = "DOCUMENT_IDS.tsv";

/// Whether a folder says which line belongs to which document.
pub(crate) fn is(folder: &Path) -> bool {
    find(folder, DOCUMENTS).is_ok()
}

/// Opens the languages that are asked for; the files of others are not read.
pub(crate) fn open(folder: &Path, opening: &Opening) -> Result<Collection, OpenError> {
    let list = find(folder, DOCUMENTS)?;
    let documents = documents(&list)?;
    if documents.is_empty() {
        let (folder, file) = (folder.to_owned(), DOCUMENTS.to_owned());
        return Err(OpenError::NothingJudged { folder, file });
    }
    let files = files(folder)?;
    opening.check(name_of(folder), files.iter().map(|(tag, _)| tag.as_str()))?;
    let mut collection = Collection { name: name_of(folder), ..Collection::default() };
    for (tag, file) in files.iter().filter(|(tag, _)| opening.wants(tag)) {
        read(tag, file, &documents, &mut collection)?;
    }
    let mut qrels = Qrels::new();
    for topic in &collection.topics {
        let document = topic.group.as_deref().unwrap_or_default();
        for (tag, _) in files.iter().filter(|(tag, _)| opening.wants(tag)) {
            qrels.insert(&topic.id, id(tag, document), 1).expect("all grades are 1");
        }
    }
    collection.qrels = qrels;
    Ok(collection)
}

fn id(tag: &str, document: &str) -> String {
    format!("{tag}-{document}")
}

/// The documents and how many lines each has, two at least.
fn documents(file: &Path) -> Result<Vec<(String, usize)>, ReadError> {
    let mut documents: Vec<(String, usize)> = Vec::new();
    let mut seen = HashSet::new();
    let mut lines = Lines::new(input::open(file)?, file);
    let mut before = 0;
    while let Some((number, line)) = lines.next()? {
        let name = line.trim();
        if documents.last().is_none_or(|(last, _)| last != name) {
            one_line(&documents).map_err(|source| ReadError::line(file, before, source))?;
            if !seen.insert(name.to_owned()) {
                return Err(ReadError::line(
                    file,
                    number,
                    LineError::Twice { id: name.to_owned() },
                ));
            }
            documents.push((name.to_owned(), 0));
        }
        if let Some((_, lines)) = documents.last_mut() {
            *lines += 1;
        }
        before = number;
    }
    one_line(&documents).map_err(|source| ReadError::line(file, before, source))?;
    Ok(documents)
}

/// Refuses a last document that has nothing but a headline.
fn one_line(documents: &[(String, usize)]) -> Result<(), LineError> {
    match documents.last() {
        Some((id, 1)) => Err(LineError::OneLine { id: id.clone() }),
        _ => Ok(()),
    }
}

/// The files with their languages, sorted by language.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, OpenError> {
    let inner = folder.join("NTREX-128");
    let place = if inner.is_dir() { inner } else { folder.to_owned() };
    let entries = fs::read_dir(&place).map_err(|source| OpenError::Io { folder: place, source })?;
    let mut files: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = unpacked_name(path.file_name()?.to_str()?).strip_suffix(".txt")?;
            let (kind, code) = name.strip_prefix("newstest2019-")?.split_once('.')?;
            matches!(kind, "ref" | "src").then(|| (tag_of(code), path.clone()))
        })
        .collect();
    files.sort();
    if let Some([(tag, file), _]) = files.array_windows().find(|[a, b]| a.0 == b.0) {
        let (file, language) = (file.clone(), tag.clone());
        return Err(OpenError::LanguageTwice { file, language });
    }
    Ok(files)
}

/// The BCP 47 tag of a file: script and region stay where they tell two files apart.
fn tag_of(code: &str) -> String {
    let tag = canonical(code);
    match code {
        "aze-Latn" | "ckb-Arab" | "sna-Latn" | "snd-Arab" | "tgk-Cyrl" => {
            tag.split('-').next().unwrap_or(&tag).to_owned()
        }
        _ => tag,
    }
}

fn read(
    tag: &str,
    file: &Path,
    documents: &[(String, usize)],
    collection: &mut Collection,
) -> Result<(), OpenError> {
    let mut lines = Lines::new(input::open(file)?, file);
    let mut found = 0;
    for (document, count) in documents {
        let mut headline = String::new();
        let mut text = String::new();
        for line in 0..*count {
            let Some((_, words)) = lines.next()? else { break };
            found += 1;
            let (words, to) = (words.trim(), if line == 0 { &mut headline } else { &mut text });
            if !to.is_empty() && !words.is_empty() {
                to.push(' ');
            }
            to.push_str(words);
        }
        let (id, language) = (id(tag, document), Some(tag.to_owned()));
        let title = String::new();
        collection.passages.push(Passage {
            id: id.clone(),
            title,
            text,
            language: language.clone(),
        });
        let group = Some(document.clone());
        collection.topics.push(Topic { id, text: headline, language, group });
    }
    while lines.next()?.is_some() {
        found += 1;
    }
    let wanted: usize = documents.iter().map(|(_, lines)| lines).sum();
    if found != wanted {
        return Err(OpenError::Lines { file: file.to_owned(), found, wanted });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::{NTREX_SUBSET, facts};
    use crate::testing::{Folder, gz};
    use proptest::prelude::*;

    fn example() -> Folder {
        Folder::new(&[
            ("DOCUMENT_IDS.tsv", b"bbc.1\nbbc.1\nbbc.1\ncnn.2\ncnn.2\n"),
            (
                "NTREX-128/newstest2019-src.eng.txt",
                b"Moon\r\nIt turns.\r\nAround us.\r\nSea\r\nSalt.\r\n",
            ),
            ("NTREX-128/newstest2019-ref.swa.txt", b"Mwezi\nHuzunguka.\n\nBahari\nChumvi."),
            ("NTREX-128/newstest2019-ref.zho-CN.txt.gz", &gz("a\nb\nc\nd\ne\n")),
            ("NTREX-128/newstest2019-ref-2.swa.txt", b"left out"),
            ("NTREX-128/README.txt", b""),
        ])
    }

    #[test]
    fn a_headline_asks_for_the_rest_of_its_document_in_every_language() {
        let folder = example();
        let collection = Collection::open(folder.path()).unwrap();
        assert_eq!(collection.languages(), ["en", "sw", "zh-Hans"]);
        let texts = |language: &str| {
            let of = collection.passages.iter().filter(|p| p.language.as_deref() == Some(language));
            of.map(|p| (&*p.id, &*p.text)).collect::<Vec<_>>()
        };
        assert_eq!(texts("en"), [("en-bbc.1", "It turns. Around us."), ("en-cnn.2", "Salt.")]);
        assert_eq!(texts("sw"), [("sw-bbc.1", "Huzunguka."), ("sw-cnn.2", "Chumvi.")]);
        let topic = collection.topics.iter().find(|topic| topic.id == "sw-bbc.1").unwrap();
        assert_eq!((&*topic.text, topic.group.as_deref()), ("Mwezi", Some("bbc.1")));
        let relevant: Vec<_> = collection.qrels.of("sw-bbc.1").collect();
        assert_eq!(relevant, [("en-bbc.1", 1), ("sw-bbc.1", 1), ("zh-Hans-bbc.1", 1)]);
        assert_eq!(collection.qrels.judgements(), 18);
    }

    #[test]
    fn languages_that_are_not_asked_for_are_not_read() {
        let folder = example();
        folder.write("NTREX-128/newstest2019-src.eng.txt", b"\xff");
        let open = |languages: &[&str]| Opening::new().languages(languages).open(folder.path());
        let collection = open(&["zh-hans", "swa"]).unwrap();
        assert_eq!(collection.languages(), ["sw", "zh-Hans"]);
        assert_eq!(collection.qrels.judgements(), 8);
        assert!(open(&["en"]).unwrap_err().to_string().ends_with("src.eng.txt, line 1"));
        let error = open(&["sw", "yo"]).unwrap_err().to_string();
        assert!(error.contains("`yo`") && error.contains("en, sw, zh-Hans"), "{error}");
    }

    #[test]
    fn what_is_not_aligned_is_named() {
        for (file, content, message) in [
            ("NTREX-128/newstest2019-ref.swa.txt", "a\nb\n", "ref.swa.txt: 2 lines where DOCUMENT"),
            ("NTREX-128/newstest2019-ref.sw.txt", "", "two files are in `sw`"),
            ("DOCUMENT_IDS.tsv", "a\na\nb\nb\na\n", "DOCUMENT_IDS.tsv, line 5"),
            ("DOCUMENT_IDS.tsv", "a\nb\nb\n", "DOCUMENT_IDS.tsv, line 1"),
            ("DOCUMENT_IDS.tsv", "", "DOCUMENT_IDS.tsv judges no topic"),
            ("DOCUMENT_IDS.tsv", "a\na\nb\n", "DOCUMENT_IDS.tsv, line 3"),
        ] {
            let folder = example();
            folder.write(file, content.as_bytes());
            let error = Collection::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn codes_become_tags_that_tell_files_apart() {
        for (code, tag) in [
            ("swa", "sw"),
            ("arb", "ar"),
            ("aze-Latn", "az"),
            ("srp-Latn", "sr-Latn"),
            ("srp-Cyrl", "sr-Cyrl"),
            ("zho-TW", "zh-Hant"),
            ("por-BR", "pt-BR"),
            ("prs", "fa-AF"),
            ("yue", "yue"),
        ] {
            assert_eq!(tag_of(code), tag);
        }
    }

    #[test]
    fn ntrex_has_the_counts_that_its_authors_state() {
        let Some(data) = std::env::var_os("TDENSE_DATA").filter(|data| !data.is_empty()) else {
            println!("TDENSE_DATA is not set: the real NTREX-128 is not tested");
            return;
        };
        let folder = Path::new(&data).join("eval/ntrex");
        let files = files(&folder).unwrap();
        assert_eq!(files.len(), 128);
        for (tag, _) in &files {
            assert!(facts(tag).is_some(), "{tag}");
        }
        let collection = Opening::new().languages(&NTREX_SUBSET).open(&folder).unwrap();
        assert_eq!(collection.languages(), NTREX_SUBSET);
        assert_eq!((collection.topics.len(), collection.passages.len()), (24 * 123, 24 * 123));
        assert_eq!(collection.qrels.judgements(), 24 * 24 * 123);
        assert!(collection.topics.iter().all(|topic| !topic.text.is_empty()));
        assert!(collection.passages.iter().all(|passage| passage.text.len() > 100));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_collection_or_refused(
            documents in prop_oneof!["[ab\n]{0,8}", "(a\na\n)?(b\nb\n)?"],
            lines in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..12),
        ) {
            let folder = Folder::new(&[
                ("DOCUMENT_IDS.tsv", documents.as_bytes()),
                ("newstest2019-ref.swa.txt", &lines),
            ]);
            if let Ok(collection) = Collection::open(folder.path()) {
                prop_assert_eq!(collection.topics.len(), collection.qrels.judgements());
            }
        }
    }
}

//! Short texts in many languages, out of a folder of training data: titles, headings, strings of interfaces.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

type ByLanguage = BTreeMap<String, String>;

#[derive(Deserialize)]
struct Package {
    text: BTreeMap<String, Description>,
}

#[derive(Deserialize)]
struct Description {
    title: String,
}

#[derive(Deserialize)]
struct Paragraph {
    id: String,
    text: ByLanguage,
}

#[derive(Deserialize)]
struct Page {
    title: String,
}

#[derive(Deserialize)]
struct Block {
    i: usize,
    text: ByLanguage,
}

#[derive(Deserialize)]
struct Pair {
    title: Option<String>,
}

#[derive(Deserialize)]
struct Keyword {
    text: String,
}

/// All short passages, each once, in the order of the files; and how many each source gave first.
pub(crate) fn passages(train: &Path) -> anyhow::Result<(Vec<String>, BTreeMap<String, usize>)> {
    let mut texts = Distinct::default();
    let mut counts = BTreeMap::new();
    let mut source = |name: &str, given: Vec<String>| {
        let before = texts.all.len();
        for text in &given {
            texts.add(text);
        }
        counts.insert(name.to_owned(), texts.all.len() - before);
    };
    let packages = lines::<Package>(&train.join("ddtp/ddtp-bookworm.jsonl.gz"))?;
    source(
        "package titles",
        packages.into_iter().flat_map(|p| p.text.into_values()).map(|d| d.title).collect(),
    );
    let strings = lines::<ByLanguage>(&train.join("libreoffice-ui/strings.jsonl.gz"))?;
    source("interface strings", strings.into_iter().flat_map(BTreeMap::into_values).collect());
    let paragraphs =
        lines::<Paragraph>(&train.join("libreoffice-help/aligned-paragraphs.jsonl.gz"))?;
    let headings = paragraphs.into_iter().filter(|paragraph| paragraph.id.starts_with("hd_"));
    source("help headings", headings.flat_map(|paragraph| paragraph.text.into_values()).collect());
    let pages = lines::<Page>(&train.join("gnome-user-docs/pages.jsonl.gz"))?;
    source("help page titles", pages.into_iter().map(|page| page.title).collect());
    let blocks = lines::<Block>(&train.join("gnome-user-docs/aligned.jsonl.gz"))?;
    let first = blocks.into_iter().filter(|block| block.i == 0);
    source("first blocks of help pages", first.flat_map(|b| b.text.into_values()).collect());
    let pairs = lines::<Pair>(&train.join("qa-pairs.jsonl.gz"))?;
    source("article titles", pairs.into_iter().filter_map(|pair| pair.title).collect());
    Ok((texts.all, counts))
}

/// Keywords of a help index, as somebody would type them, each once; none of them is a passage.
pub(crate) fn queries(train: &Path, passages: &[String]) -> anyhow::Result<Vec<String>> {
    let mut texts = Distinct::default();
    for Keyword { text } in lines(&train.join("libreoffice-help/index-queries.jsonl.gz"))? {
        // "keyword -- what about it", either part of which may be empty.
        texts.add(&text.replace("--", " "));
    }
    let known: HashSet<&str> = passages.iter().map(String::as_str).collect();
    texts.all.retain(|text| !known.contains(text.as_str()));
    Ok(texts.all)
}

#[derive(Default)]
struct Distinct {
    all: Vec<String>,
    seen: HashSet<String>,
}

impl Distinct {
    fn add(&mut self, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() && self.seen.insert(text.clone()) {
            self.all.push(text);
        }
    }
}

fn lines<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Vec<T>> {
    let opened = File::open(file).with_context(|| format!("{}", file.display()))?;
    BufReader::new(MultiGzDecoder::new(BufReader::new(opened)))
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<anyhow::Result<_>>()
        .with_context(|| format!("{}", file.display()))
}

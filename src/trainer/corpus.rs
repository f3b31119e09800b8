//! All training data in memory: each text once, and sets that say which texts answer which.
//!
//! A set is one need and what answers it, each in any number of languages: a question and its passage, a heading and
//! its section, a paragraph and its translations. It stands for a training pair of any two of its languages, which is
//! made when it is drawn, never stored.
//!
//! Invariant: every set has a query and a passage that are different texts. Invariant: the same sets in the same order
//! give the same numbers and the same fingerprint.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use dense_plugin::{LanguageTag, Role};

use super::text::{TextKey, hash, mixed};

/// A text of a [`Corpus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextId(u32);

/// A language of a [`Corpus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LanguageId(u16);

impl Ord for LanguageId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for LanguageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl LanguageId {
    /// Its place among [`Corpus::languages`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One text in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// In what it is written.
    pub language: LanguageTag,
    /// The text.
    pub text: String,
}

/// A set before it is part of a corpus.
#[derive(Clone, Debug)]
pub struct NewSet {
    /// What is asked, in any number of languages.
    pub queries: Arc<[Wording]>,
    /// What answers it. The same `Arc` as of another set, or as the queries, is stored once.
    pub passages: Arc<[Wording]>,
    /// What does not answer it, and looks as if it did.
    pub negatives: Vec<Wording>,
    /// Sets that share it answer each other: never negatives of one another. Sources share these names, so a source's
    /// own ids have its name before them; so do the two below.
    pub question: Option<String>,
    /// The same for what the passages are.
    pub passage: Option<String>,
    /// What a development set takes or leaves whole.
    pub document: String,
}

/// A text of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// In what it is written.
    pub language: LanguageId,
    /// The text.
    pub text: TextId,
}

/// A set of a corpus.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) source: usize,
    pub(super) document: u64,
    /// Keys that related sets share: of the question and of the passage.
    pub(super) ids: [Option<u64>; 2],
    queries: Range<u32>,
    passages: Range<u32>,
    negatives: Range<u32>,
}

/// Where sets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// Its name.
    pub name: String,
    /// SPDX expressions of its licences, sorted.
    pub licences: Vec<String>,
}

#[derive(Clone, Debug)]
struct Stored {
    bytes: Range<usize>,
    key: TextKey,
}

/// Training data.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    bytes: String,
    texts: Vec<Stored>,
    languages: Vec<LanguageTag>,
    sources: Vec<SourceFacts>,
    forms: Vec<Form>,
    pub(super) sets: Vec<Set>,
    by_hash: HashMap<u64, TextId>,
    by_tag: HashMap<LanguageTag, LanguageId>,
    last: Option<(Arc<[Wording]>, Range<u32>)>,
}

impl Corpus {
    /// No data yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a source, which is made where it is new.
    pub fn source(&mut self, name: &str, licence: Option<&str>) -> usize {
        let at = self.sources.iter().position(|source| source.name == name);
        let at = at.unwrap_or_else(|| {
            self.sources.push(SourceFacts { name: name.to_owned(), licences: Vec::new() });
            self.sources.len() - 1
        });
        let licences = &mut self.sources[at].licences;
        if let Some(licence) = licence
            && let Err(place) = licences.binary_search_by(|known| known.as_str().cmp(licence))
        {
            licences.insert(place, licence.to_owned());
        }
        at
    }

    /// Adds a set of a source that [`Corpus::source`] numbered. Gives whether there was anything to add: a query and a
    /// passage that are different texts.
    ///
    /// # Panics
    /// Past four billion texts or sixty thousand languages.
    pub fn add(&mut self, source: usize, set: &NewSet) -> bool {
        let differ = set.queries.iter().any(|q| set.passages.iter().any(|p| p.text != q.text));
        if !differ {
            return false;
        }
        let queries = self.wordings(&set.queries);
        let passages = self.wordings(&set.passages);
        let negatives = self.forms_of(&set.negatives);
        let id = |id: &Option<String>| id.as_ref().map(|id| hash(id.as_bytes()));
        self.sets.push(Set {
            source,
            document: hash(set.document.as_bytes()),
            ids: [id(&set.question), id(&set.passage)],
            queries,
            passages,
            negatives,
        });
        true
    }

    fn wordings(&mut self, wordings: &Arc<[Wording]>) -> Range<u32> {
        if let Some((last, forms)) = &self.last
            && Arc::ptr_eq(last, wordings)
        {
            return forms.clone();
        }
        let forms = self.forms_of(wordings);
        self.last = Some((Arc::clone(wordings), forms.clone()));
        forms
    }

    fn forms_of(&mut self, wordings: &[Wording]) -> Range<u32> {
        let count = |forms: &Vec<Form>| u32::try_from(forms.len()).expect("fewer forms");
        let start = count(&self.forms);
        for wording in wordings {
            let form =
                Form { language: self.language(&wording.language), text: self.text(&wording.text) };
            self.forms.push(form);
        }
        start..count(&self.forms)
    }

    fn language(&mut self, tag: &LanguageTag) -> LanguageId {
        if let Some(&known) = self.by_tag.get(tag) {
            return known;
        }
        let tag_here = written_language(tag);
        let known = self.languages.iter().position(|language| *language == tag_here);
        let at = known.unwrap_or_else(|| {
            self.languages.push(tag_here);
            self.languages.len() - 1
        });
        let id = LanguageId(u16::try_from(at).expect("fewer languages"));
        self.by_tag.insert(tag.clone(), id);
        id
    }

    fn text(&mut self, text: &str) -> TextId {
        let hash = hash(text.as_bytes());
        if let Some(&known) = self.by_hash.get(&hash)
            && self.text_of(known) == text
        {
            return known;
        }
        let id = TextId(u32::try_from(self.texts.len()).expect("fewer texts"));
        let start = self.bytes.len();
        self.bytes.push_str(text);
        self.texts.push(Stored { bytes: start..self.bytes.len(), key: TextKey::of(text) });
        self.by_hash.insert(hash, id);
        id
    }

    /// A text.
    pub fn text_of(&self, id: TextId) -> &str {
        &self.bytes[self.texts[id.0 as usize].bytes.clone()]
    }

    /// What tells it from other texts.
    pub fn key_of(&self, id: TextId) -> TextKey {
        self.texts[id.0 as usize].key
    }

    /// A language.
    pub fn tag_of(&self, id: LanguageId) -> &LanguageTag {
        &self.languages[id.index()]
    }

    /// The number of a language that is there.
    ///
    /// # Panics
    /// Never: only as many languages were stored as have a number.
    pub fn language_of(&self, tag: &LanguageTag) -> Option<LanguageId> {
        let at = self.languages.iter().position(|language| language == tag)?;
        Some(LanguageId(u16::try_from(at).expect("as many were stored")))
    }

    /// The languages, in the order in which they appeared. Regions are left out: they are no language of their own
    /// here, but for Chinese in traditional characters.
    pub fn languages(&self) -> &[LanguageTag] {
        &self.languages
    }

    /// Where the sets come from.
    pub fn sources(&self) -> &[SourceFacts] {
        &self.sources
    }

    /// How many sets there are.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// How many texts there are, each counted once.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// At most `most` texts of each language in one role, drawn over all sets: the same ones for the same seed.
    pub fn sample(&self, role: Role, most: usize, seed: u64) -> Vec<(&LanguageTag, &str)> {
        let mut order: Vec<(u64, usize)> =
            (0..self.len()).map(|set| (mixed(&[seed, set as u64]), set)).collect();
        order.sort_unstable();
        let mut counts = vec![0; self.languages.len()];
        let mut seen = HashSet::new();
        let mut sample = Vec::new();
        for (_, set) in order {
            let forms = match role {
                Role::Query => self.queries(set),
                Role::Passage => self.passages(set),
            };
            for form in forms {
                let count = &mut counts[form.language.index()];
                if *count < most && seen.insert((form.language, form.text)) {
                    *count += 1;
                    sample.push((self.tag_of(form.language), self.text_of(form.text)));
                }
            }
        }
        sample
    }

    pub(super) fn queries(&self, set: usize) -> &[Form] {
        self.slice(&self.sets[set].queries)
    }

    pub(super) fn passages(&self, set: usize) -> &[Form] {
        self.slice(&self.sets[set].passages)
    }

    pub(super) fn negatives(&self, set: usize) -> &[Form] {
        self.slice(&self.sets[set].negatives)
    }

    fn slice(&self, range: &Range<u32>) -> &[Form] {
        &self.forms[range.start as usize..range.end as usize]
    }

    /// Whether the set makes a pair in `language` alone.
    pub(super) fn is_mono(&self, set: usize, language: LanguageId) -> bool {
        self.pair_in(set, |q, p| q.language == language && p.language == language)
    }

    /// Whether the set makes a pair of a query in `language` and a passage in another.
    pub(super) fn is_cross(&self, set: usize, language: LanguageId) -> bool {
        self.pair_in(set, |q, p| q.language == language && p.language != language)
    }

    fn pair_in(&self, set: usize, fits: impl Fn(&Form, &Form) -> bool) -> bool {
        let passages = self.passages(set);
        self.queries(set).iter().any(|q| passages.iter().any(|p| q.text != p.text && fits(q, p)))
    }

    /// All texts of a set.
    pub(super) fn all_texts(&self, set: usize) -> impl Iterator<Item = TextId> {
        let forms = self.queries(set).iter().chain(self.passages(set)).chain(self.negatives(set));
        forms.map(|form| form.text)
    }

    /// Keeps the sets for which `keep` is true. Texts stay where they are.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Self, usize) -> bool) {
        let kept: Vec<bool> = (0..self.sets.len()).map(|set| keep(self, set)).collect();
        let mut at = 0..;
        self.sets.retain(|_| kept[at.next().expect("as many as sets")]);
    }

    /// Keeps at most `most` sets of each source: those of some of its documents, the same ones for the same seed.
    pub fn limit(&mut self, most: usize, seed: u64) {
        let mut order: Vec<(u64, usize)> = self
            .sets
            .iter()
            .enumerate()
            .map(|(at, set)| (mixed(&[seed, set.document]), at))
            .collect();
        order.sort_unstable();
        let mut taken = vec![0; self.sources.len()];
        let mut kept = vec![false; self.sets.len()];
        for (_, set) in order {
            let taken = &mut taken[self.sets[set].source];
            *taken += 1;
            kept[set] = *taken <= most;
        }
        self.retain(|_, set| kept[set]);
    }

    /// What two corpora share exactly if they have the same texts, sets and sources in the same order.
    pub fn fingerprint(&self) -> u64 {
        let mut numbers: Vec<u64> = self.texts.iter().map(|text| text.key.number()).collect();
        numbers.push(hash(self.bytes.as_bytes()));
        for source in &self.sources {
            numbers.push(hash(source.name.as_bytes()));
        }
        for language in &self.languages {
            numbers.push(hash(language.as_str().as_bytes()));
        }
        for form in &self.forms {
            numbers.push(u64::from(form.language.0) << 32 | u64::from(form.text.0));
        }
        for set in &self.sets {
            numbers.extend([set.source as u64, set.document]);
            numbers.extend(set.ids.iter().flatten());
            for range in [&set.queries, &set.passages, &set.negatives] {
                numbers.extend([u64::from(range.start), u64::from(range.end)]);
            }
        }
        mixed(&numbers)
    }
}

/// Language and script, as far as people write them otherwise.
pub(super) fn written_language(tag: &LanguageTag) -> LanguageTag {
    let mut parts = tag.as_str().split('-');
    let language = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let script = rest.iter().find(|part| part.len() == 4 && part.is_ascii());
    let traditional =
        language == "zh" && rest.iter().any(|part| matches!(*part, "TW" | "HK" | "MO"));
    let written = match script {
        Some(&"Hans") if language == "zh" => "zh".to_owned(),
        Some(script) => format!("{language}-{script}"),
        None if traditional => "zh-Hant".to_owned(),
        None => language.to_owned(),
    };
    written.parse().unwrap_or_else(|_| tag.clone())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn wording(language: &str, text: &str) -> Wording {
        Wording { language: language.parse().unwrap(), text: text.to_owned() }
    }

    /// A set whose question is its document.
    pub(crate) fn set(
        document: &str,
        queries: &[(&str, &str)],
        passages: &[(&str, &str)],
    ) -> NewSet {
        let all = |texts: &[(&str, &str)]| texts.iter().map(|(l, t)| wording(l, t)).collect();
        NewSet {
            queries: all(queries),
            passages: all(passages),
            negatives: Vec::new(),
            question: None,
            passage: None,
            document: document.to_owned(),
        }
    }

    #[test]
    fn a_text_is_kept_once_and_a_set_without_two_texts_not_at_all() {
        let mut corpus = Corpus::new();
        let source = corpus.source("s", Some("MIT"));
        assert!(corpus.add(source, &set("d", &[("en", "one")], &[("en", "two"), ("de", "zwei")])));
        assert!(corpus.add(source, &set("d", &[("de", "eins")], &[("de", "zwei")])));
        assert!(!corpus.add(source, &set("d", &[("de", "eins")], &[("de", "eins")])));
        assert_eq!((corpus.len(), corpus.texts()), (2, 4));
        let (en, de) = (LanguageId(0), LanguageId(1));
        assert!(corpus.is_mono(0, en) && corpus.is_cross(0, en) && !corpus.is_mono(0, de));
        assert!(corpus.is_mono(1, de) && !corpus.is_cross(1, de));
    }

    #[test]
    fn translations_share_their_forms_and_make_no_pair_in_one_language() {
        let mut corpus = Corpus::new();
        let source = corpus.source("s", None);
        let mut both = set("d", &[("en", "one"), ("de", "eins")], &[]);
        both.passages = Arc::clone(&both.queries);
        assert!(corpus.add(source, &both));
        assert_eq!(corpus.forms.len(), 2);
        assert!(corpus.is_cross(0, LanguageId(0)) && !corpus.is_mono(0, LanguageId(0)));
    }

    #[test]
    fn regions_are_no_languages_of_their_own() {
        let written = |tag: &str| written_language(&tag.parse().unwrap()).to_string();
        for (tag, wanted) in [
            ("pt_BR", "pt"),
            ("ca-valencia", "ca"),
            ("zh-CN", "zh"),
            ("zh-Hans", "zh"),
            ("zh_TW", "zh-Hant"),
            ("sr@latin", "sr-Latn"),
            ("yo", "yo"),
        ] {
            assert_eq!(written(tag), wanted);
        }
    }
}

//! The development set: documents that are not trained on, and on which everything is chosen.
//!
//! It is a small collection in three settings at once, as XQuAD-R is: a query's answers are there in several languages.
//! Languages take part alike, half of them those with the least training data.
//!
//! Invariant: no set of a development document is trained on, in any language, nor a set that shares a text of
//! [`LONG`] characters with the development set.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;

use dense_eval::{Collection, Measure, Passage, Qrels, SettingsError, Topic, dense_settings};
use dense_plugin::{LanguageTag, Role, Text};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Form, LanguageId};
use super::leakage::Exclusions;
use super::text::{TextKey, mixed, unit_of};
use super::train_step::{StepError, TrainStep};

/// Shorter texts that two sets share ("Examples") say nothing of one in the other.
const LONG: usize = 20;

/// How the development set is cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevelopmentOptions {
    /// The share of documents that are not trained on, 0 to 1.
    pub share: f64,
    /// Most languages.
    pub languages: usize,
    /// Queries a language.
    pub queries: usize,
    /// The same seed cuts the same documents.
    pub seed: u64,
}

impl Default for DevelopmentOptions {
    /// 2 % of documents, 24 languages, 20 queries each.
    fn default() -> Self {
        Self { share: 0.02, languages: 24, queries: 20, seed: 0 }
    }
}

/// A development set.
#[derive(Clone, Debug)]
pub struct Development {
    collection: Collection,
    topics: Vec<LanguageTag>,
    passages: Vec<LanguageTag>,
}

/// What cutting it took from the training data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Sets of its documents.
    pub sets: usize,
    /// Sets of other documents that share a text with it.
    pub sharing: usize,
}

/// What a model reaches on a development set, in nine decimals. Each is empty where there is nothing to measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean average precision among passages of the query's language.
    pub mono: Option<f64>,
    /// Among passages of one other language.
    pub cross: Option<f64>,
    /// Among all passages.
    pub multi: Option<f64>,
    /// Worst less best rank of a query's passages among all.
    pub rank_distance: Option<f64>,
    /// The monolingual one by language.
    pub mono_by_language: BTreeMap<String, f64>,
    /// The multilingual one by the language of the queries.
    pub multi_by_language: BTreeMap<String, f64>,
}

impl Validation {
    /// Whether there was nothing to measure.
    pub fn is_empty(&self) -> bool {
        [self.mono, self.cross, self.multi].iter().all(Option::is_none)
    }

    /// One number to choose by: the mean of the three precisions.
    pub fn score(&self) -> f64 {
        let all: Vec<f64> = [self.mono, self.cross, self.multi].into_iter().flatten().collect();
        #[expect(clippy::cast_precision_loss, reason = "at most three")]
        let count = all.len().max(1) as f64;
        all.iter().sum::<f64>() / count
    }
}

/// Why a model could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidationError {
    /// The model failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Its vectors make no ranking.
    #[error("the development set cannot be measured")]
    Settings(#[from] SettingsError),
}

/// A set that stands for part of the development set.
struct Choice {
    set: usize,
    queries: Vec<Form>,
    passages: Vec<Form>,
}

impl Development {
    /// Cuts a development set from training data. Where the data has too few documents, it has fewer languages, or none.
    ///
    /// # Panics
    /// Never: all grades are 1.
    pub fn cut(corpus: &mut Corpus, options: &DevelopmentOptions) -> (Self, Cut) {
        let is_cut = |document| unit_of(mixed(&[options.seed, document])) < options.share;
        let mut candidates: Vec<usize> =
            (0..corpus.len()).filter(|&set| is_cut(corpus.sets[set].document)).collect();
        candidates.sort_by_cached_key(|&set| {
            let first = corpus.key_of(corpus.queries(set)[0].text);
            mixed(&[options.seed, corpus.sets[set].document, first.number()])
        });
        let choices = choose(corpus, &candidates, options);
        let development = Self::of(corpus, &choices);
        let mut texts = Exclusions::new();
        for text in choices.iter().flat_map(|choice| corpus.all_texts(choice.set)) {
            if is_long(corpus.text_of(text)) {
                texts.insert_key(corpus.key_of(text));
            }
        }
        let before = corpus.len();
        corpus.retain(|corpus, set| !is_cut(corpus.sets[set].document));
        let apart = corpus.len();
        corpus.retain(|corpus, set| {
            !corpus.all_texts(set).any(|text| texts.contains(corpus.key_of(text)))
        });
        (development, Cut { sets: before - apart, sharing: apart - corpus.len() })
    }

    fn of(corpus: &Corpus, choices: &[Choice]) -> Self {
        let mut collection = Collection { name: "development".to_owned(), ..Collection::default() };
        let (mut topics, mut passages) = (Vec::new(), Vec::new());
        let mut qrels = Qrels::new();
        for (number, choice) in choices.iter().enumerate() {
            let id = |form: &Form| format!("{}-{number:04}", corpus.tag_of(form.language));
            let language = |form: &Form| Some(corpus.tag_of(form.language).to_string());
            for form in &choice.passages {
                collection.passages.push(Passage {
                    id: id(form),
                    title: String::new(),
                    text: corpus.text_of(form.text).to_owned(),
                    language: language(form),
                });
                passages.push(corpus.tag_of(form.language).clone());
            }
            for form in &choice.queries {
                for passage in &choice.passages {
                    qrels.insert(id(form), id(passage), 1).expect("all grades are 1");
                }
                collection.topics.push(Topic {
                    id: id(form),
                    text: corpus.text_of(form.text).to_owned(),
                    language: language(form),
                    group: Some(format!("{number:04}")),
                });
                topics.push(corpus.tag_of(form.language).clone());
            }
        }
        collection.qrels = qrels;
        Self { collection, topics, passages }
    }

    /// Queries, passages and judgements.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Measures a model.
    ///
    /// # Errors
    /// [`ValidationError`] if the model fails, or gives vectors that are none.
    ///
    /// # Panics
    /// Never: the measure is one that there is.
    pub fn validate(
        &self,
        model: &mut dyn TrainStep,
        threads: NonZeroUsize,
    ) -> Result<Validation, ValidationError> {
        let Collection { topics, passages, .. } = &self.collection;
        let texts =
            |texts: Vec<&str>, languages: &[LanguageTag], role, model: &mut dyn TrainStep| {
                let both = texts.into_iter().zip(languages);
                let texts: Vec<Text<'_>> =
                    both.map(|(body, tag)| Text { body, language: Some(tag) }).collect();
                model.embed(role, &texts)
            };
        let bodies = topics.iter().map(|topic| topic.text.as_str()).collect();
        let queries: Array2<f32> = texts(bodies, &self.topics, Role::Query, model)?;
        let bodies = passages.iter().map(|passage| passage.text.as_str()).collect();
        let found: Array2<f32> = texts(bodies, &self.passages, Role::Passage, model)?;
        let measure: Measure = "AP".parse().expect("a measure that there is");
        let settings =
            dense_settings(queries.view(), found.view(), &self.collection, &[measure], threads)?;
        let first =
            |means: Option<Vec<f64>>| means.and_then(|means| Some(rounded(*means.first()?)));
        let by_language = |groups: &BTreeMap<String, dense_eval::Evaluation>| {
            let means = groups.iter().map(|(language, all)| (language.clone(), first(all.mean())));
            means.filter_map(|(language, mean)| Some((language, mean?))).collect()
        };
        Ok(Validation {
            mono: first(settings.mono_mean()),
            cross: first(settings.cross_mean()),
            multi: first(settings.multi_mean()),
            rank_distance: settings.rank_distance().map(rounded),
            mono_by_language: by_language(settings.mono()),
            multi_by_language: by_language(settings.multi()),
        })
    }
}

/// Picks sets so that each language gets as many queries as any other, as far as there are.
fn choose(corpus: &Corpus, candidates: &[usize], options: &DevelopmentOptions) -> Vec<Choice> {
    let mono = languages_of(corpus, candidates, options, Corpus::is_mono);
    let cross = languages_of(corpus, candidates, options, Corpus::is_cross);
    let only_cross: Vec<LanguageId> = cross
        .into_iter()
        .filter(|language| !mono.contains(language))
        .take(options.languages / 2)
        .collect();
    let mut choices: Vec<Choice> = Vec::new();
    let mut used: HashSet<TextKey> = HashSet::new();
    let mut counts: HashMap<LanguageId, usize> = HashMap::new();
    let mut take = |choice: Option<Choice>, counts: &mut HashMap<LanguageId, usize>| {
        let Some(choice) = choice else { return };
        let keys: Vec<TextKey> =
            corpus.all_texts(choice.set).map(|text| corpus.key_of(text)).collect();
        // A text that is there twice would have two right answers, one of them judged.
        if keys.iter().any(|key| used.contains(key)) {
            return;
        }
        used.extend(keys);
        for query in &choice.queries {
            *counts.entry(query.language).or_default() += 1;
        }
        choices.push(choice);
    };
    for &language in &mono {
        for &set in candidates {
            if counts.get(&language).copied().unwrap_or(0) >= options.queries {
                break;
            }
            if corpus.is_mono(set, language) {
                let wanted = |other: &LanguageId| {
                    let count = counts.get(other).copied().unwrap_or(0);
                    corpus.is_mono(set, *other) && (*other == language || count < options.queries)
                };
                let languages: Vec<LanguageId> = mono.iter().copied().filter(wanted).collect();
                take(Some(parallel(corpus, set, &languages)), &mut counts);
            }
        }
    }
    for &language in &only_cross {
        // These have a pool of other languages alone, and count half.
        for &set in candidates {
            if counts.get(&language).copied().unwrap_or(0) >= options.queries.div_ceil(2) {
                break;
            }
            take(across(corpus, set, language), &mut counts);
        }
    }
    choices
}

/// The languages that take part: of those with enough candidates, half are the ones with the fewest sets of all, half the
/// ones with the most.
fn languages_of(
    corpus: &Corpus,
    candidates: &[usize],
    options: &DevelopmentOptions,
    has: impl Fn(&Corpus, usize, LanguageId) -> bool,
) -> Vec<LanguageId> {
    let count = |sets: &mut dyn Iterator<Item = usize>| {
        let mut counts: BTreeMap<LanguageId, usize> = BTreeMap::new();
        for set in sets {
            let mut here: Vec<LanguageId> =
                corpus.queries(set).iter().map(|form| form.language).collect();
            here.sort_unstable();
            here.dedup();
            for language in here.into_iter().filter(|language| has(corpus, set, *language)) {
                *counts.entry(language).or_default() += 1;
            }
        }
        counts
    };
    let all = count(&mut (0..corpus.len()));
    let enough = count(&mut candidates.iter().copied());
    let mut languages: Vec<LanguageId> = enough
        .into_iter()
        .filter(|(_, count)| *count >= options.queries)
        .map(|(id, _)| id)
        .collect();
    languages.sort_by_key(|language| (all[language], corpus.tag_of(*language).clone()));
    if languages.len() > options.languages {
        let least = options.languages / 2;
        let most = options.languages - least;
        languages.drain(least..languages.len() - most);
    }
    languages
}

/// A set's queries and passages in these languages, of which it has pairs.
fn parallel(corpus: &Corpus, set: usize, languages: &[LanguageId]) -> Choice {
    let mut choice = Choice { set, queries: Vec::new(), passages: Vec::new() };
    for &language in languages {
        let here = |forms: &[Form]| -> Vec<Form> {
            forms.iter().filter(|form| form.language == language).copied().collect()
        };
        let passages = here(corpus.passages(set));
        let pair = here(corpus.queries(set)).into_iter().find_map(|query| {
            let passage = passages.iter().find(|passage| passage.text != query.text)?;
            Some((query, *passage))
        });
        if let Some((query, passage)) = pair {
            choice.queries.push(query);
            choice.passages.push(passage);
        }
    }
    choice
}

/// A set's query in a language, and up to two of its passages in others: English, and any.
fn across(corpus: &Corpus, set: usize, language: LanguageId) -> Option<Choice> {
    let query = *corpus.queries(set).iter().find(|form| form.language == language)?;
    let others = corpus.passages(set).iter();
    let mut passages: Vec<Form> = others
        .filter(|form| form.language != language && form.text != query.text)
        .copied()
        .collect();
    passages.sort_by_key(|form| {
        let is_english = corpus.tag_of(form.language).as_str() == "en";
        (!is_english, mixed(&[set as u64, form.language.index() as u64]))
    });
    passages.dedup_by_key(|form| form.language);
    passages.truncate(2);
    (!passages.is_empty()).then(|| Choice { set, queries: vec![query], passages })
}

/// In so few decimals that JSON gives the same number back, and a run that goes on compares what an uninterrupted one does.
fn rounded(x: f64) -> f64 {
    (x * 1e9).round() / 1e9
}

fn is_long(text: &str) -> bool {
    text.chars().count() >= LONG
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::corpus::tests::set;

    /// Documents of three sets in three languages, and strings in a fourth one.
    fn corpus(documents: usize) -> Corpus {
        let mut corpus = Corpus::new();
        let (help, strings) = (corpus.source("help", None), corpus.source("strings", None));
        for document in 0..documents {
            for at in 0..3 {
                let texts = |what: &str| {
                    ["de", "en", "sw"].map(|tag| {
                        (tag, format!("{what} of {document}.{at} in the language {tag}"))
                    })
                };
                let (queries, passages) = (texts("heading"), texts("section"));
                let [q, p] =
                    [&queries, &passages].map(|t| t.each_ref().map(|(l, t)| (*l, t.as_str())));
                corpus.add(help, &set(&format!("page {document}"), &q, &p));
            }
            let (te, en) = (format!("telugu {document}"), format!("an english string {document}"));
            let mut string = set(&format!("string {document}"), &[("te", &te), ("en", &en)], &[]);
            string.passages = std::sync::Arc::clone(&string.queries);
            corpus.add(strings, &string);
        }
        corpus
    }

    fn options() -> DevelopmentOptions {
        DevelopmentOptions { share: 0.3, queries: 6, ..DevelopmentOptions::default() }
    }

    #[test]
    fn languages_take_part_alike_and_answers_are_in_all_of_them() {
        let mut corpus = corpus(100);
        let (development, _) = Development::cut(&mut corpus, &options());
        let collection = development.collection();
        let count = |language: &str| {
            collection
                .topics
                .iter()
                .filter(|topic| topic.language.as_deref() == Some(language))
                .count()
        };
        assert_eq!(["de", "en", "sw", "te"].map(count), [6, 6, 6, 3]);
        let judged = |language: &str| {
            let topic =
                collection.topics.iter().find(|t| t.language.as_deref() == Some(language)).unwrap();
            collection.qrels.of(&topic.id).count()
        };
        assert_eq!((judged("sw"), judged("te")), (3, 1));
    }

    #[test]
    fn a_document_is_trained_on_or_measured_on_in_all_languages() {
        let mut corpus = corpus(60);
        let before = corpus.len();
        let (development, cut) = Development::cut(&mut corpus, &options());
        assert_eq!(before, corpus.len() + cut.sets + cut.sharing);
        let trained: HashSet<String> = (0..corpus.len())
            .flat_map(|set| corpus.all_texts(set))
            .map(|text| corpus.text_of(text).split(" in ").next().unwrap().to_owned())
            .collect();
        assert!(!trained.is_empty() && !development.collection().topics.is_empty());
        for topic in &development.collection().topics {
            assert!(!trained.contains(topic.text.split(" in ").next().unwrap()), "{}", topic.text);
        }
    }

    #[test]
    fn the_same_text_in_another_document_is_not_trained_on_either() {
        let mut corpus = corpus(60);
        let again =
            (0..corpus.len()).map(|set| corpus.text_of(corpus.passages(set)[0].text).to_owned());
        let again: Vec<String> = again.collect();
        let source = corpus.source("copy", None);
        for (at, text) in again.iter().enumerate() {
            corpus.add(
                source,
                &set(&format!("copy {at}"), &[("fr", &format!("copie {at}"))], &[("de", text)]),
            );
        }
        let (development, cut) = Development::cut(&mut corpus, &options());
        assert!(cut.sharing > 0);
        let trained: HashSet<&str> = (0..corpus.len())
            .flat_map(|set| corpus.all_texts(set))
            .map(|text| corpus.text_of(text))
            .collect();
        assert!(
            development
                .collection()
                .passages
                .iter()
                .all(|passage| !trained.contains(passage.text.as_str()))
        );
    }

    #[test]
    fn the_cut_depends_on_the_seed_alone() {
        let ids = |seed| -> Vec<String> {
            let (development, _) =
                Development::cut(&mut corpus(60), &DevelopmentOptions { seed, ..options() });
            development.collection().topics.iter().map(|topic| topic.text.clone()).collect()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn too_little_data_makes_an_empty_set() {
        let mut corpus = corpus(2);
        let (development, _) =
            Development::cut(&mut corpus, &DevelopmentOptions { share: 0.0, ..options() });
        assert!(development.collection().topics.is_empty());
    }
}

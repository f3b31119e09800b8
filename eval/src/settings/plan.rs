//! What is relevant where: a collection's judgements by topic and language, worked out once.
//!
//! Invariant: passages are numbered as the collection lists them, languages in their sorted order;
//! topics without judgements are left out.

use std::collections::{BTreeMap, HashMap};

use super::{OWN_SHARE_DEPTH, Settings, SettingsError};
use crate::collection::Collection;
use crate::evaluation::{Evaluation, gain};
use crate::measure::{Measure, Standing, real};
use crate::topics::Topic;

pub(super) struct Plan<'a> {
    pub(super) collection: &'a Collection,
    languages: Vec<&'a str>,
    /// The number of each passage, by external id.
    numbers: HashMap<&'a str, usize>,
    /// The language of each passage.
    language_of: Vec<Option<usize>>,
    topics: Vec<Option<Judged>>,
}

/// The passages of one topic that matter: the relevant ones, and with them all others that are judged
/// if a measure asks for these.
pub(super) struct Judged {
    /// The topic's language, if any passage is written in it.
    pub(super) own: Option<usize>,
    pub(super) passages: Vec<JudgedPassage>,
}

pub(super) struct JudgedPassage {
    /// `None` if the judgements name a passage that the collection lacks.
    pub(super) passage: Option<usize>,
    pub(super) language: Option<usize>,
    /// 0 is not relevant.
    grade: u32,
}

/// The ranking of one topic, as far as measures ask for it.
pub(super) struct Ranking {
    /// Of the topic's judged passages, in their order.
    pub(super) ranks: Vec<Ranks>,
    /// How many passages were ranked among all, and among those of each language.
    pub(super) in_all: usize,
    pub(super) in_language: Vec<usize>,
    /// The share of the topic's own language among the first of all; `None` if nothing was found, or it has no
    /// language that could be told from others.
    pub(super) own_share: Option<f64>,
}

/// The ranks of one judged passage, from 1; `None` if it is not found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranks {
    pub(super) in_language: Option<usize>,
    pub(super) in_all: Option<usize>,
}

/// The values of one topic in every setting.
pub(super) struct Values {
    topic: usize,
    mono: Option<Vec<f64>>,
    cross: Vec<(usize, Vec<f64>)>,
    multi: Vec<f64>,
    distance: Distance,
    own_share: Option<f64>,
}

enum Distance {
    /// All relevant passages are in one language.
    NotAsked,
    NotFound,
    Ranks(usize),
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        collection: &'a Collection,
        measures: &[Measure],
    ) -> Result<Self, SettingsError> {
        let all_judged = measures.iter().any(|measure| measure.needs_all_judged());
        let languages = collection.languages();
        let language = |name: Option<&'a str>| languages.binary_search(&name?).ok();
        let mut numbers = HashMap::with_capacity(collection.passages.len());
        for (number, passage) in collection.passages.iter().enumerate() {
            if numbers.insert(passage.id.as_str(), number).is_some() {
                return Err(SettingsError::PassageTwice { id: passage.id.clone() });
            }
        }
        let language_of: Vec<_> = collection
            .passages
            .iter()
            .map(|passage| language(passage.language.as_deref()))
            .collect();
        let judged = |topic: &'a Topic| {
            let grades = collection.qrels.of(&topic.id).map(|(id, grade)| (id, gain(grade)));
            let passages =
                grades.filter(|(_, grade)| all_judged || *grade > 0).map(|(id, grade)| {
                    let passage = numbers.get(id).copied();
                    let language = passage.and_then(|passage| language_of[passage]);
                    JudgedPassage { passage, language, grade }
                });
            let own = language(topic.language.as_deref());
            collection.qrels.has(&topic.id).then(|| Judged { own, passages: passages.collect() })
        };
        let topics = collection.topics.iter().map(judged).collect();
        Ok(Self { collection, languages, numbers, language_of, topics })
    }

    pub(super) fn languages(&self) -> &[&'a str] {
        &self.languages
    }

    pub(super) fn language_of(&self, passage: usize) -> Option<usize> {
        self.language_of[passage]
    }

    pub(super) fn number(&self, id: &str) -> Option<usize> {
        self.numbers.get(id).copied()
    }

    /// The passages of each language, by number.
    pub(super) fn pools(&self) -> Vec<Vec<usize>> {
        let mut pools = vec![Vec::new(); self.languages.len()];
        for (passage, language) in self.language_of.iter().enumerate() {
            if let Some(language) = language {
                pools[*language].push(passage);
            }
        }
        pools
    }

    /// The share of the topic's own language among passages, the first of its ranking.
    pub(super) fn own_share(
        &self,
        judged: &Judged,
        first: impl Iterator<Item = usize>,
    ) -> Option<f64> {
        let own = judged.own.filter(|_| self.languages.len() > 1)?;
        let (mut found, mut of_own) = (0, 0);
        for passage in first.take(OWN_SHARE_DEPTH) {
            found += 1;
            of_own += usize::from(self.language_of[passage] == Some(own));
        }
        (found > 0).then(|| real(of_own) / real(found))
    }

    /// What is judged for a topic; `None` if nothing is.
    pub(super) fn judged(&self, topic: usize) -> Option<&Judged> {
        self.topics[topic].as_ref()
    }

    /// Measures one topic.
    pub(super) fn values(
        &self,
        topic: usize,
        ranking: &Ranking,
        measures: &[Measure],
    ) -> Option<Values> {
        let judged = self.judged(topic)?;
        let of = |standing: Standing| measures.iter().map(|m| m.of(&standing)).collect();
        let both = || judged.passages.iter().zip(&ranking.ranks);
        let mut by_language: Vec<(usize, Vec<f64>)> = judged
            .languages()
            .into_iter()
            .map(|language| {
                let here = both().filter(|(judged, _)| judged.language == Some(language));
                let here = here.map(|(judged, ranks)| (ranks.in_language, judged.grade));
                (language, of(standing(here, ranking.in_language[language])))
            })
            .collect();
        let mono = by_language
            .iter()
            .position(|(language, _)| Some(*language) == judged.own)
            .map(|at| by_language.remove(at).1);
        Some(Values {
            topic,
            mono,
            cross: by_language,
            multi: of(standing(
                both().map(|(judged, ranks)| (ranks.in_all, judged.grade)),
                ranking.in_all,
            )),
            distance: judged.distance(&ranking.ranks),
            own_share: ranking.own_share,
        })
    }

    /// Sorts the values of all topics into the settings.
    pub(super) fn settings(&self, measures: &[Measure], values: Vec<Values>) -> Settings {
        let sizes = self.languages.iter().zip(self.pools());
        let mut settings = Settings {
            measures: measures.to_vec(),
            pools: sizes.map(|(name, pool)| ((*name).to_owned(), pool.len())).collect(),
            passages: self.collection.passages.len(),
            mono: BTreeMap::new(),
            cross: BTreeMap::new(),
            multi: BTreeMap::new(),
            distances: None,
            own_shares: BTreeMap::new(),
        };
        let mut distances: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let mut all_found = true;
        let new = || Evaluation::new(measures);
        for Values { topic, mono, cross, multi, distance, own_share } in values {
            let Topic { id, language, .. } = &self.collection.topics[topic];
            let from = language.as_ref().unwrap_or(&self.collection.name);
            if let Some(mono) = mono {
                settings.mono.entry(from.clone()).or_insert_with(new).insert(id, mono);
            }
            // Who does not say what the topic is written in has no pair of languages.
            for (to, values) in cross.into_iter().filter(|_| language.is_some()) {
                let pair = (from.clone(), self.languages[to].to_owned());
                settings.cross.entry(pair).or_insert_with(new).insert(id, values);
            }
            settings.multi.entry(from.clone()).or_insert_with(new).insert(id, multi);
            if let Some(share) = own_share {
                settings.own_shares.entry(from.clone()).or_default().insert(id.clone(), share);
            }
            match distance {
                Distance::NotAsked => {}
                Distance::NotFound => all_found = false,
                Distance::Ranks(ranks) => {
                    distances.entry(from.clone()).or_default().insert(id.clone(), ranks);
                }
            }
        }
        settings.distances = Some(distances).filter(|all| all_found && !all.is_empty());
        settings
    }
}

impl Judged {
    /// The languages in which a passage is relevant, sorted.
    pub(super) fn languages(&self) -> Vec<usize> {
        let relevant = self.passages.iter().filter(|judged| judged.grade > 0);
        let mut languages: Vec<usize> = relevant.filter_map(|judged| judged.language).collect();
        languages.sort_unstable();
        languages.dedup();
        languages
    }

    fn distance(&self, ranks: &[Ranks]) -> Distance {
        if self.languages().len() < 2 {
            return Distance::NotAsked;
        }
        let relevant = self.passages.iter().zip(ranks).filter(|(judged, _)| judged.grade > 0);
        let ranks: Option<Vec<usize>> = relevant.map(|(_, ranks)| ranks.in_all).collect();
        let ends = ranks.and_then(|ranks| Some((*ranks.iter().min()?, *ranks.iter().max()?)));
        ends.map_or(Distance::NotFound, |(best, worst)| Distance::Ranks(worst - best))
    }
}

fn standing(ranks: impl Iterator<Item = (Option<usize>, u32)>, retrieved: usize) -> Standing {
    let (found, missed): (Vec<_>, Vec<_>) = ranks.partition(|(rank, _)| rank.is_some());
    Standing::new(
        found.into_iter().filter_map(|(rank, grade)| Some((rank?, grade))),
        missed.into_iter().map(|(_, grade)| grade),
        retrieved,
    )
}

//! The settings of ranked lists: whoever can search each language apart, and whoever cannot.
//!
//! What a list leaves out is not found: it adds nothing to a measure, and rank distance is then not
//! defined.

use std::num::NonZeroUsize;

use super::plan::{Judged, Plan, Ranking, Ranks};
use super::{Settings, SettingsError, parallel};
use crate::collection::Collection;
use crate::measure::Measure;
use crate::retriever::{RetrieveError, Retriever};
use crate::run::Hit;
use crate::topics::Topic;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool<'a> {
    /// The passages in one language.
    Language(&'a str),
    /// All passages.
    All,
}

/// Measures a system that searches each pool by itself, as an index of that language would: scores
/// may depend on the pool, as those of BM25 do.
///
/// `search` is called from `threads` threads, for each topic with judgements: once with [`Pool::All`], and
/// once for every language in which a passage is relevant. It gives its whole ranking of that
/// pool, in any order; scores and external ids order it.
///
/// # Errors
/// [`SettingsError`] if the search fails, or finds a passage twice, or one that is not in the pool.
pub fn ranked_settings<F>(
    collection: &Collection,
    measures: &[Measure],
    threads: NonZeroUsize,
    search: F,
) -> Result<Settings, SettingsError>
where
    F: Fn(&Topic, Pool<'_>) -> Result<Vec<Hit>, RetrieveError> + Sync,
{
    let plan = Plan::new(collection, measures)?;
    settings(&plan, measures, threads, |seen, topic, judged| {
        let all = resolve(&plan, topic, search(topic, Pool::All)?, None, seen)?;
        let mut ranking = walk(&plan, judged, &all);
        for language in judged.languages() {
            let hits = search(topic, Pool::Language(plan.languages()[language]))?;
            let here = walk(&plan, judged, &resolve(&plan, topic, hits, Some(language), seen)?);
            ranking.in_language[language] = here.in_language[language];
            for ((judged, ranks), here) in
                judged.passages.iter().zip(&mut ranking.ranks).zip(here.ranks)
            {
                if judged.language == Some(language) {
                    ranks.in_language = here.in_language;
                }
            }
        }
        Ok(ranking)
    })
}

/// Measures a system that ranks all passages at once. The ranking of one language is what is left
/// of it without the other languages.
///
/// # Errors
/// [`SettingsError`] if the system fails, or finds a passage twice, or one that the collection does
/// not have.
pub fn pooled_settings(
    collection: &Collection,
    measures: &[Measure],
    threads: NonZeroUsize,
    retriever: &(dyn Retriever + Sync),
) -> Result<Settings, SettingsError> {
    let plan = Plan::new(collection, measures)?;
    settings(&plan, measures, threads, |seen, topic, judged| {
        let hits = retriever.retrieve(topic, collection.passages.len())?;
        Ok(walk(&plan, judged, &resolve(&plan, topic, hits, None, seen)?))
    })
}

fn settings(
    plan: &Plan<'_>,
    measures: &[Measure],
    threads: NonZeroUsize,
    rank: impl Fn(&mut [bool], &Topic, &Judged) -> Result<Ranking, SettingsError> + Sync,
) -> Result<Settings, SettingsError> {
    let Collection { topics, passages, .. } = plan.collection;
    let seen = || vec![false; passages.len()];
    let values = parallel::blocks(topics.len(), threads, seen, |seen, topic| {
        let Some(judged) = plan.judged(topic) else {
            return Ok(None);
        };
        let ranking = rank(seen, &topics[topic], judged)?;
        Ok::<_, SettingsError>(plan.values(topic, &ranking, measures))
    })?;
    Ok(plan.settings(measures, values.into_iter().flatten().collect()))
}

/// The numbers of the passages that were found, best first. `seen` is all false before and after.
fn resolve(
    plan: &Plan<'_>,
    topic: &Topic,
    mut hits: Vec<Hit>,
    pool: Option<usize>,
    seen: &mut [bool],
) -> Result<Vec<usize>, SettingsError> {
    hits.sort_by(Hit::ranking);
    let mut ranking = Vec::with_capacity(hits.len());
    let mut wrong = None;
    for hit in hits {
        let topic = || topic.id.clone();
        let in_pool = |&passage: &usize| pool.is_none() || plan.language_of(passage) == pool;
        match plan.number(&hit.id).filter(in_pool) {
            None => wrong = Some(SettingsError::UnknownPassage { topic: topic(), id: hit.id }),
            Some(passage) if seen[passage] => {
                wrong = Some(SettingsError::HitTwice { topic: topic(), id: hit.id });
            }
            Some(_) if hit.score.is_nan() => {
                wrong = Some(SettingsError::NotFinite { topic: topic(), passage: hit.id });
            }
            Some(passage) => {
                seen[passage] = true;
                ranking.push(passage);
            }
        }
        if wrong.is_some() {
            break;
        }
    }
    for &passage in &ranking {
        seen[passage] = false;
    }
    wrong.map_or(Ok(ranking), Err)
}

/// Where the judged passages stand in a ranking, and in what is left of it in their language.
fn walk(plan: &Plan<'_>, judged: &Judged, ranking: &[usize]) -> Ranking {
    let passages = judged.passages.iter().map(|judged| judged.passage).zip(0_usize..);
    let mut wanted: Vec<(usize, usize)> =
        passages.filter_map(|(passage, at)| Some((passage?, at))).collect();
    wanted.sort_unstable();
    let mut ranks = vec![Ranks::default(); judged.passages.len()];
    let mut of_language = vec![0; plan.languages().len()];
    for (rank, &passage) in (1..).zip(ranking) {
        let language = plan.language_of(passage);
        if let Some(language) = language {
            of_language[language] += 1;
        }
        if let Ok(found) = wanted.binary_search_by_key(&passage, |wanted| wanted.0) {
            let in_language = language.map(|language| of_language[language]);
            ranks[wanted[found].1] = Ranks { in_all: Some(rank), in_language };
        }
    }
    let own_share = plan.own_share(judged, ranking.iter().copied());
    Ranking { ranks, in_all: ranking.len(), in_language: of_language, own_share }
}

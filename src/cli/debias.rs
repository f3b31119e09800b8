//! The vectors of a collection with language means taken off, in the three ways that are compared.

use clap::ValueEnum;
use dense_plugin::{Dim, LanguageTag, Role};
use ndarray::{Array2, Axis};

use super::models::ModelOptions;
use super::vectors::Texts;
use crate::means::LanguageMeans;

/// Where language means come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Debias {
    /// The passages and the queries themselves: an upper bound
    Test,
    /// The passages; those of queries come with the model
    Indexed,
    /// The model, which has them from other texts
    Model,
}

impl Debias {
    /// What its system is called in tables.
    pub(super) fn system(self) -> &'static str {
        match self {
            Self::Test => "dense-test-means",
            Self::Indexed => "dense-indexed-means",
            Self::Model => "dense-model-means",
        }
    }

    fn means(
        self,
        vectors: &Encoded,
        components: usize,
        model: &ModelOptions,
    ) -> anyhow::Result<LanguageMeans> {
        let mut fitted = LanguageMeans::new(Dim::new(vectors.passages.ncols())?);
        let mut fit = |role, rows: &Array2<f32>, texts: &Texts| {
            let languages: Vec<Option<LanguageTag>> =
                texts.languages.iter().cloned().map(Some).collect();
            fitted.fit(role, &languages, &rows.view(), components)
        };
        match self {
            Self::Test => {
                fit(Role::Passage, &vectors.passages, &vectors.passage_texts)?;
                fit(Role::Query, &vectors.queries, &vectors.query_texts)?;
                Ok(fitted)
            }
            Self::Indexed => {
                fit(Role::Passage, &vectors.passages, &vectors.passage_texts)?;
                Ok(fitted.with(Role::Query, &model.means_of_model(None)?)?)
            }
            Self::Model => model.means_of_model(None),
        }
    }
}

/// What an encoder made of a collection.
pub(super) struct Encoded {
    /// `[topics, dim]`.
    pub(super) queries: Array2<f32>,
    /// `[passages, dim]`.
    pub(super) passages: Array2<f32>,
    pub(super) query_texts: Texts,
    pub(super) passage_texts: Texts,
}

impl Encoded {
    /// The vectors of queries and passages without language means.
    pub(super) fn without_means(
        &self,
        debias: Debias,
        components: usize,
        model: &ModelOptions,
    ) -> anyhow::Result<(Array2<f32>, Array2<f32>)> {
        let means = debias.means(self, components, model)?;
        let mut queries = self.queries.clone();
        take_off(&means, Role::Query, &self.query_texts, &mut queries)?;
        let mut passages = self.passages.clone();
        take_off(&means, Role::Passage, &self.passage_texts, &mut passages)?;
        Ok((queries, passages))
    }
}

fn take_off(
    means: &LanguageMeans,
    role: Role,
    texts: &Texts,
    rows: &mut Array2<f32>,
) -> anyhow::Result<()> {
    for (mut row, language) in rows.axis_iter_mut(Axis(0)).zip(&texts.languages) {
        if let Some(row) = row.as_slice_mut() {
            means.take_off(role, Some(language), row)?;
        }
    }
    Ok(())
}

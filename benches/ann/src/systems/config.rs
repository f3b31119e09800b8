//! Which system, built how: `faiss:hnsw(32,40)`, `usearch:hnsw(16,100)`, `ours/int8:hnsw(32,40)`, `ours/policy:auto`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use serde::Serialize;

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A field of a Tantivy index.
    Ours,
    /// FAISS through its C API.
    Faiss,
    /// The crate usearch.
    Usearch,
    /// The crate hannoy.
    Hannoy,
    /// The crate `hnsw_rs`.
    HnswRs,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ours, Self::Faiss, Self::Usearch, Self::Hannoy, Self::HnswRs];

    /// How it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Faiss => "faiss",
            Self::Usearch => "usearch",
            Self::Hannoy => "hannoy",
            Self::HnswRs => "hnsw_rs",
        }
    }
}

/// A system and what it builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The system.
    pub(crate) kind: Kind,
    /// Of ours: the numbers of its rows (`f32`, `f16`, `int8`).
    pub(crate) element: Element,
    /// Of ours: how many segments there are.
    pub(crate) segments: Segments,
    /// What is built.
    pub(crate) recipe: Recipe,
}

/// What a number of a row is kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Element {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits.
    F16,
    /// 8 bits and a scale for each row.
    Int8,
}

/// How the documents of a Tantivy index lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Segments {
    /// All in one segment.
    #[default]
    One,
    /// As Tantivy's default merge policy leaves them after ten commits.
    Policy,
}

/// What is built of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// A graph.
    Hnsw {
        /// Neighbours of a row; twice as many on the lowest level.
        m: usize,
        /// Candidates that are looked at for a new row.
        efc: usize,
        /// What the graph is walked over, where that is not the rows.
        codes: Option<String>,
    },
    /// Lists of rows around centroids.
    Ivf {
        /// How many lists.
        lists: usize,
        /// What the lists hold, where that is not the rows.
        codes: Option<String>,
    },
    /// Text that the system itself understands: a recipe of ours, or a factory string of FAISS.
    Other(String),
}

impl Recipe {
    /// A graph over the rows.
    pub(crate) fn hnsw(m: usize, efc: usize) -> Self {
        Self::Hnsw { m, efc, codes: None }
    }

    /// Whether more effort means more lists, and not a longer list of candidates.
    pub(crate) fn has_lists(&self) -> bool {
        match self {
            Self::Ivf { .. } => true,
            Self::Hnsw { .. } => false,
            Self::Other(text) => text.starts_with("ivf") || text.contains("IVF"),
        }
    }
}

impl Config {
    /// A system with its usual rows in one place.
    pub(crate) fn new(kind: Kind, recipe: Recipe) -> Self {
        Self { kind, element: Element::default(), segments: Segments::default(), recipe }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = |codes: &Option<String>| {
            codes.as_ref().map(|codes| format!(",{codes}")).unwrap_or_default()
        };
        match self {
            Self::Hnsw { m, efc, codes: of } => write!(f, "hnsw({m},{efc}{})", codes(of)),
            Self::Ivf { lists, codes: of } => write!(f, "ivf({lists}{})", codes(of)),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl FromStr for Recipe {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let inside = |name: &str| {
            text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')').map(|inside| {
                inside.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>()
            })
        };
        if let Some(parts) = inside("hnsw") {
            ensure!(
                (2..=3).contains(&parts.len()),
                "{text}: write hnsw(M,EFC) or hnsw(M,EFC,CODES)"
            );
            let codes = parts.get(2).cloned();
            return Ok(Self::Hnsw { m: parts[0].parse()?, efc: parts[1].parse()?, codes });
        }
        if let Some(parts) = inside("ivf")
            && let Ok(lists) = parts[0].parse()
        {
            ensure!(parts.len() <= 2, "{text}: write ivf(LISTS) or ivf(LISTS,CODES)");
            return Ok(Self::Ivf { lists, codes: parts.get(1).cloned() });
        }
        Ok(Self::Other(text.to_owned()))
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.element {
            Element::F32 => {}
            Element::F16 => f.write_str("/f16")?,
            Element::Int8 => f.write_str("/int8")?,
        }
        match self.segments {
            Segments::One => {}
            Segments::Policy => f.write_str("/policy")?,
        }
        write!(f, ":{}", self.recipe)
    }
}

impl FromStr for Config {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (head, recipe) =
            text.split_once(':').with_context(|| format!("{text}: write SYSTEM:RECIPE"))?;
        let mut parts = head.split('/');
        let name = parts.next().unwrap_or_default();
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.with_context(|| format!("{name}: no such system"))?;
        let mut config = Self::new(kind, recipe.parse()?);
        for part in parts {
            match part {
                "f32" => config.element = Element::F32,
                "f16" => config.element = Element::F16,
                "int8" => config.element = Element::Int8,
                "policy" => config.segments = Segments::Policy,
                _ => bail!("{text}: {part} is neither f32, f16, int8 nor policy"),
            }
        }
        Ok(config)
    }
}

impl Serialize for Config {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_prints_as_it_parses() {
        for text in ["faiss:hnsw(32,40)", "ours/int8/policy:hnsw(16,100,int8)", "ours:auto"] {
            assert_eq!(text.parse::<Config>().unwrap().to_string(), text);
        }
        assert!("nobody:hnsw(1,2)".parse::<Config>().is_err());
        assert!("ours/half:auto".parse::<Config>().is_err());
    }
}

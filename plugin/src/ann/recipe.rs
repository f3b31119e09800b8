//! Which index a field's rows get: a recipe, as text in a schema and on a command line.
//!
//! Invariant: a recipe prints as it parses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::element::Element;

/// How a field's vectors are searched, once a segment is large enough.
///
/// As text: `auto`, `exact`, `hnsw`, `hnsw(32,40)`, `hnsw(16,100,int8)`, `ivf`, `ivf(1024)`,
/// `ivf(auto,int8)`, `factory(HNSW32,SQ8)`.
///
/// ```
/// # use tantivy_dense_plugin::{AnnRecipe, Element};
/// let recipe: AnnRecipe = "hnsw(16,100,int8)".parse()?;
/// assert_eq!(recipe, AnnRecipe::Hnsw { m: 16, ef_construction: 100, codes: Some(Element::Int8) });
/// assert_eq!(recipe.to_string(), "hnsw(16,100,int8)");
/// # Ok::<(), tantivy_dense_plugin::RecipeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum AnnRecipe {
    /// By the size of a segment: exact while that is fast, else a graph. The default.
    #[default]
    Auto,
    /// Every row that passes is compared: nothing is missed.
    Exact,
    /// A hierarchical navigable small world graph (Malkov and Yashunin, 2018).
    Hnsw {
        /// Neighbours of a row on the upper levels; twice as many on the lowest. 2 to 512.
        m: u16,
        /// How many candidates are looked at for a new row, at least 1.
        ef_construction: u16,
        /// Numbers of a copy of the rows that the graph is walked over, in `.ann`; what is found is
        /// scored by the rows themselves. None: the graph is walked over the rows.
        codes: Option<Element>,
    },
    /// Lists of rows around centroids; a search reads the nearest lists (Sivic and Zisserman, 2003).
    Ivf {
        /// How many lists. None: 4 times the square root of the rows.
        lists: Option<u32>,
        /// As for a graph.
        codes: Option<Element>,
    },
    /// Anything that FAISS's `index_factory` makes of this text. It keeps a copy of the rows.
    Factory(String),
}

impl AnnRecipe {
    /// The graph that [`AnnRecipe::Auto`] gives large segments, as measured in `benches/RECORD.md`.
    pub const HNSW: Self = Self::Hnsw { m: 32, ef_construction: 40, codes: None };

    /// What is built where something is: [`AnnRecipe::Auto`] stands for a graph then.
    pub fn resolved(&self) -> &Self {
        if *self == Self::Auto { &Self::HNSW } else { self }
    }

    /// Whether a segment ever gets a `.ann` file by this recipe.
    pub fn builds(&self) -> bool {
        *self != Self::Exact
    }
}

impl fmt::Display for AnnRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = |codes: &Option<Element>| match codes {
            None => "",
            Some(Element::F32) => ",f32",
            Some(Element::F16) => ",f16",
            Some(Element::Int8) => ",int8",
        };
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exact => f.write_str("exact"),
            Self::Hnsw { m, ef_construction, codes: of } => {
                write!(f, "hnsw({m},{ef_construction}{})", codes(of))
            }
            Self::Ivf { lists, codes: of } => {
                let lists = lists.map_or_else(|| "auto".to_owned(), |lists| lists.to_string());
                write!(f, "ivf({lists}{})", codes(of))
            }
            Self::Factory(description) => write!(f, "factory({description})"),
        }
    }
}

impl FromStr for AnnRecipe {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let unknown = || RecipeError { given: text.to_owned() };
        let (kind, arguments) = match text.split_once('(') {
            None => (text, None),
            Some((kind, rest)) => (kind, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
        };
        if kind == "factory" {
            let description = arguments.filter(|d| !d.is_empty()).ok_or_else(unknown)?;
            return Ok(Self::Factory(description.to_owned()));
        }
        let arguments: Vec<&str> =
            arguments.map_or_else(Vec::new, |a| a.split(',').map(str::trim).collect());
        let codes = |at: usize| match arguments.get(at) {
            None => Ok(None),
            Some(&"f32") => Ok(Some(Element::F32)),
            Some(&"f16") => Ok(Some(Element::F16)),
            Some(&"int8") => Ok(Some(Element::Int8)),
            Some(_) => Err(unknown()),
        };
        let at_most = |count| if arguments.len() > count { Err(unknown()) } else { Ok(()) };
        match (kind, arguments.as_slice()) {
            ("auto", []) => Ok(Self::Auto),
            ("exact", []) => Ok(Self::Exact),
            ("hnsw", []) => Ok(Self::HNSW),
            ("hnsw", [m, ef_construction, ..]) => {
                at_most(3)?;
                let m = m.parse().ok().filter(|m| (2..=512).contains(m)).ok_or_else(unknown)?;
                let ef_construction = ef_construction.parse().ok().filter(|ef| *ef > 0);
                let ef_construction = ef_construction.ok_or_else(unknown)?;
                Ok(Self::Hnsw { m, ef_construction, codes: codes(2)? })
            }
            ("ivf", []) => Ok(Self::Ivf { lists: None, codes: None }),
            ("ivf", [lists, ..]) => {
                at_most(2)?;
                let lists = match *lists {
                    "auto" => None,
                    lists => Some(lists.parse().ok().filter(|n| *n > 0).ok_or_else(unknown)?),
                };
                Ok(Self::Ivf { lists, codes: codes(1)? })
            }
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for AnnRecipe {
    type Error = RecipeError;

    fn try_from(text: String) -> Result<Self, RecipeError> {
        text.parse()
    }
}

impl From<AnnRecipe> for String {
    fn from(recipe: AnnRecipe) -> Self {
        recipe.to_string()
    }
}

/// Why a text is no recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no recipe; write auto, exact, hnsw(M,EF_CONSTRUCTION) with M of 2 to 512, \
     ivf(LISTS), or factory(DESCRIPTION), and for codes f16 or int8 as in hnsw(16,100,int8)"
)]
pub struct RecipeError {
    /// The text.
    pub given: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_recipe_prints_as_it_parses() {
        for text in [
            "auto",
            "exact",
            "hnsw(32,40)",
            "hnsw(16,100,int8)",
            "hnsw(2,1,f16)",
            "ivf(auto)",
            "ivf(1024)",
            "ivf(auto,int8)",
            "factory(OPQ16,IVF64,PQ16(x))",
        ] {
            assert_eq!(text.parse::<AnnRecipe>().unwrap().to_string(), text);
        }
        assert_eq!("hnsw".parse(), Ok(AnnRecipe::HNSW));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "hnsw(1,40)",
            "hnsw(32)",
            "hnsw(32,0)",
            "hnsw(32,40,int4)",
            "ivf(0)",
            "hnsw(32,40",
            "factory()",
            "exact(1)",
            "hnsw(32,40,int8,1)",
        ] {
            assert!(text.parse::<AnnRecipe>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_recipe_or_refused(text in ".{0,20}") {
            if let Ok(recipe) = text.parse::<AnnRecipe>() {
                prop_assert_eq!(recipe.to_string().parse::<AnnRecipe>(), Ok(recipe));
            }
        }
    }
}

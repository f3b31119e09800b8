//! What a model folder says of itself: `manifest.json`.
//!
//! Invariant: a manifest that opens names files inside its folder, a format that this build reads, and a
//! fingerprint that covers all that decides a vector.

use std::collections::BTreeMap;

use dense_plugin::{Dim, Fingerprint, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encoder::Pooling;
use crate::graph::BertConfig;

/// The format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The facts of a model folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's format.
    pub format: u32,
    /// Which conversion made the graphs, by number; 0 for graphs that were made elsewhere.
    #[serde(default)]
    pub conversion: u32,
    /// What the model is called.
    pub name: String,
    /// SPDX expression of the weights' licence, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where the weights come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How large the model is, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// How many numbers a vector has; where absent, what the graph gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dim: Option<Dim>,
    /// How token vectors become one vector, in the graph or after it.
    pub pooling: Pooling,
    /// What is put before each text.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// Most tokens a text, special ones included.
    pub token_limit: usize,
    /// What vectors of this model are known by.
    pub fingerprint: Fingerprint,
    /// The graph in 32 bits.
    pub f32_graph: String,
    /// The graph in 8 bits, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_graph: Option<String>,
    /// The tokenizer.
    pub tokenizer: String,
    /// A file of trained changes that the graphs contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// A file with a mean vector for each language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_means: Option<String>,
    /// Every file of the model.
    pub files: BTreeMap<String, FileFacts>,
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// In words.
    pub description: String,
    /// The packages, as `name version sha256:...`.
    pub packages: Vec<String>,
}

/// A model's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum Architecture {
    /// As in Devlin et al. (2018), after-layer norms.
    Bert(BertConfig),
}

/// What is put before a text, by its role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefixes {
    /// Before what is asked.
    pub query: String,
    /// Before what is searched.
    pub passage: String,
}

impl Prefixes {
    /// That of one role.
    pub fn of(&self, role: Role) -> &str {
        match role {
            Role::Query => &self.query,
            Role::Passage => &self.passage,
        }
    }
}

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, 64 hex digits.
    pub sha256: String,
}

/// All that decides a vector. Precision and device do not: they change it within rounding.
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) weights_sha256: &'a str,
    pub(crate) tokenizer_sha256: &'a str,
    pub(crate) adapter_sha256: Option<&'a str>,
    pub(crate) pooling: Pooling,
    pub(crate) prefixes: &'a Prefixes,
    pub(crate) token_limit: usize,
}

impl Identity<'_> {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let pooling = match self.pooling {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
        };
        let mut hash = Sha256::new();
        // Each part with its length before it, so that no two lists of parts read the same.
        for part in [
            self.weights_sha256,
            self.tokenizer_sha256,
            self.adapter_sha256.unwrap_or(""),
            pooling,
            &self.prefixes.query,
            &self.prefixes.passage,
            &self.token_limit.to_string(),
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Fingerprint::new(format!("{}-{}", self.name, &hex(&hash.finalize())[..16]))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a String takes all text");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(prefixes: &Prefixes) -> Identity<'_> {
        Identity {
            name: "m",
            weights_sha256: "w",
            tokenizer_sha256: "t",
            adapter_sha256: None,
            pooling: Pooling::Mean,
            prefixes,
            token_limit: 512,
        }
    }

    #[test]
    fn a_fingerprint_changes_with_each_part_that_decides_a_vector() {
        let none = Prefixes::default();
        let swapped = Prefixes { query: String::new(), passage: "query: ".to_owned() };
        let prefixed = Prefixes { query: "query: ".to_owned(), passage: String::new() };
        let all = [
            identity(&none),
            identity(&swapped),
            identity(&prefixed),
            Identity { weights_sha256: "w2", ..identity(&none) },
            Identity { tokenizer_sha256: "t2", ..identity(&none) },
            Identity { adapter_sha256: Some("a"), ..identity(&none) },
            Identity { pooling: Pooling::Cls, ..identity(&none) },
            Identity { token_limit: 511, ..identity(&none) },
        ];
        let prints: std::collections::BTreeSet<String> =
            all.iter().map(|i| i.fingerprint().to_string()).collect();
        assert_eq!(prints.len(), all.len());
        assert!(prints.iter().all(|print| print.len() == "m-".len() + 16));
    }
}

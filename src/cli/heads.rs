//! The vectors of a collection through linear heads: encoded once, whatever the number of heads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, ensure};
use dense_plugin::Fingerprint;
use ndarray::Array2;

use super::debias::Encoded;
use crate::model::HeadFile;

/// A file of a head, and what its system is called in tables.
#[derive(Clone, Debug)]
pub(super) struct Named {
    name: String,
    file: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let (name, file) = match written.split_once('=') {
            // A name may be part of a path.
            Some((name, file)) if !Path::new(written).exists() => (name, file),
            _ => ("head", written),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("a head is FILE or NAME=FILE, the name without spaces".to_owned());
        }
        Ok(Self { name: name.to_owned(), file: PathBuf::from(file) })
    }
}

/// A head that fits an encoder.
pub(super) struct Head {
    system: String,
    file: PathBuf,
    matrix: HeadFile,
}

/// Opens heads for an encoder's vectors.
pub(super) fn open(named: &[Named], encoder: &Fingerprint) -> anyhow::Result<Vec<Head>> {
    let names: BTreeSet<&str> = named.iter().map(|named| named.name.as_str()).collect();
    ensure!(names.len() == named.len(), "two heads have one name; name them, as in --head a=FILE");
    let open = |Named { name, file }: &Named| {
        let cannot = || format!("{}: is no head that can be used", file.display());
        let bytes = std::fs::read(file).with_context(cannot)?;
        let head = HeadFile::from_bytes(&bytes).with_context(cannot)?;
        ensure!(
            head.base == encoder.as_str(),
            "{}: is for vectors of {}, and these are of {encoder}; name its model with --model",
            file.display(),
            head.base
        );
        Ok(Head { system: format!("dense-{name}"), file: file.clone(), matrix: head })
    };
    named.iter().map(open).collect()
}

impl Head {
    /// What its system is called.
    pub(super) fn system(&self) -> &str {
        &self.system
    }

    /// The vectors of queries and passages through the head.
    pub(super) fn applied(&self, vectors: &Encoded) -> anyhow::Result<(Array2<f32>, Array2<f32>)> {
        let applied = |rows: &Array2<f32>| {
            let rows = self.matrix.applied(&rows.view());
            rows.with_context(|| format!("{}: is no head that can be used", self.file.display()))
        };
        Ok((applied(&vectors.queries)?, applied(&vectors.passages)?))
    }
}

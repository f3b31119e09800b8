//! Numbers in the cache folder: raw little-endian files, each with a header beside it that says what they are.
//!
//! Invariant: what is read has the length and the checksum that its header tells; a file gets its name when it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// What a file of numbers holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// In words.
    pub(crate) what: String,
    /// How many rows there are.
    pub(crate) rows: usize,
    /// How many numbers a row has.
    pub(crate) dim: usize,
    /// What the sample was drawn with.
    pub(crate) seed: u64,
    /// By which the vectors were made, and how precisely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoder: Option<String>,
    /// What the rows were drawn from, by source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) drawn_from: BTreeMap<String, usize>,
    /// CRC-32 of the file.
    #[serde(default)]
    pub(crate) crc32: u32,
}

/// A folder of such files.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The folder, made if it is not there.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The header of a file, if both are there.
    pub(crate) fn header(&self, name: &str) -> anyhow::Result<Option<Header>> {
        let file = self.folder.join(format!("{name}.json"));
        if !file.exists() {
            return Ok(None);
        }
        let header = serde_json::from_slice(&fs::read(&file)?)
            .with_context(|| format!("{}", file.display()))?;
        Ok(Some(header))
    }

    /// Floats, row after row.
    pub(crate) fn read_f32(&self, name: &str) -> anyhow::Result<(Header, Vec<f32>)> {
        let (header, bytes) = self.read(name)?;
        Ok((header, words(&bytes).map(f32::from_le_bytes).collect()))
    }

    /// Whole numbers, row after row.
    pub(crate) fn read_u32(&self, name: &str) -> anyhow::Result<(Header, Vec<u32>)> {
        let (header, bytes) = self.read(name)?;
        Ok((header, words(&bytes).map(u32::from_le_bytes).collect()))
    }

    /// Writes floats; rows, dim and checksum of the header are filled in.
    pub(crate) fn write_f32(
        &self,
        name: &str,
        header: Header,
        dim: usize,
        numbers: &[f32],
    ) -> anyhow::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.write(name, Header { rows: numbers.len() / dim, dim, ..header }, &bytes)
    }

    /// Writes whole numbers; rows, dim and checksum of the header are filled in.
    pub(crate) fn write_u32(
        &self,
        name: &str,
        header: Header,
        dim: usize,
        numbers: &[u32],
    ) -> anyhow::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.write(name, Header { rows: numbers.len() / dim, dim, ..header }, &bytes)
    }

    fn read(&self, name: &str) -> anyhow::Result<(Header, Vec<u8>)> {
        let header = self
            .header(name)?
            .with_context(|| format!("{name}: not there; the subcommand `data` makes it"))?;
        let file = self.folder.join(name);
        let bytes = fs::read(&file).with_context(|| format!("{}", file.display()))?;
        ensure!(bytes.len() == header.rows * header.dim * 4, "{name}: its length is wrong");
        ensure!(crc32fast::hash(&bytes) == header.crc32, "{name}: its checksum is wrong");
        Ok((header, bytes))
    }

    fn write(&self, name: &str, header: Header, bytes: &[u8]) -> anyhow::Result<()> {
        let header = Header { crc32: crc32fast::hash(bytes), ..header };
        let json = serde_json::to_vec_pretty(&header)?;
        for (name, bytes) in [(name.to_owned(), bytes), (format!("{name}.json"), &json)] {
            let made = self.folder.join(format!("{name}.making"));
            fs::write(&made, bytes).with_context(|| format!("{}", made.display()))?;
            fs::rename(&made, self.folder.join(&name))?;
        }
        Ok(())
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).map(|word| word.try_into().expect("four bytes"))
}

//! What an index is made of on disk: small numbers, and sections of bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tantivy::directory::OwnedBytes;

/// Where a backend puts the parts of an index that it builds.
pub trait AnnSink {
    /// Keeps a small number under a name.
    fn fact(&mut self, name: &str, value: u64);

    /// Writes a section of bytes under a name: `fill` is called once, with what to write to.
    ///
    /// # Errors
    /// Those of the file system, and those of `fill`.
    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()>;
}

/// The parts of an index, read from a file or built in memory.
#[derive(Clone, Debug, Default)]
pub struct AnnParts {
    pub(crate) facts: BTreeMap<String, u64>,
    pub(crate) sections: BTreeMap<String, OwnedBytes>,
}

impl AnnParts {
    /// A small number.
    pub fn fact(&self, name: &str) -> Option<u64> {
        self.facts.get(name).copied()
    }

    /// A section of bytes, as a view.
    pub fn bytes(&self, name: &str) -> Option<OwnedBytes> {
        self.sections.get(name).cloned()
    }
}

/// In memory.
impl AnnSink for AnnParts {
    fn fact(&mut self, name: &str, value: u64) {
        self.facts.insert(name.to_owned(), value);
    }

    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        fill(&mut bytes)?;
        self.sections.insert(name.to_owned(), OwnedBytes::new(bytes));
        Ok(())
    }
}

//! The languages of a field's rows: a dictionary of tags, and for each row a number into it.
//!
//! Invariant: number 0 means "not known", number n the n-th tag; a segment has at most 65,535
//! tags, and a row in one more language counts as not known.

use std::collections::HashMap;
use std::io::{self, Write};

use super::format::Bytes;
use crate::language::LanguageTag;

/// Tags that are being collected.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    tags: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl Tags {
    /// The number of a tag, a new one if it was not seen before.
    pub(crate) fn number(&mut self, tag: &str) -> u16 {
        if let Some(number) = self.numbers.get(tag) {
            return *number;
        }
        let fits = u16::try_from(tag.len()).is_ok() && tag.parse::<LanguageTag>().is_ok();
        match u16::try_from(self.tags.len() + 1) {
            Ok(number) if fits => {
                self.tags.push(tag.to_owned());
                self.numbers.insert(tag.to_owned(), number);
                number
            }
            _ => 0,
        }
    }

    /// Whether there is no tag.
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Writes the section of tags.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let count = u16::try_from(self.tags.len()).expect("numbers are 16 bits");
        out.write_all(&count.to_le_bytes())?;
        for tag in &self.tags {
            let length = u16::try_from(tag.len()).expect("longer tags are not taken");
            out.write_all(&length.to_le_bytes())?;
            out.write_all(tag.as_bytes())?;
        }
        Ok(())
    }
}

/// Reads the section of tags. None if it is not what [`Tags::write`] writes.
pub(crate) fn read_tags(bytes: &[u8]) -> Option<Vec<LanguageTag>> {
    let mut bytes = Bytes(bytes);
    let count = bytes.u16()?;
    let mut tags = Vec::new();
    for _ in 0..count {
        let length = bytes.u16()?;
        let tag = std::str::from_utf8(bytes.take(usize::from(length))?).ok()?;
        tags.push(tag.parse().ok()?);
    }
    bytes.0.is_empty().then_some(tags)
}

//! Passages and topics as the lines of a file say them, and the collection that they make together.
//!
//! Invariant: a collection that [`Draft::finish`] gives has each passage and each topic once, no topic
//! that nobody judged, and every topic that somebody judged.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::Value;

use crate::collection::{Collection, OpenError, Passage, name_of};
use crate::input::{self, LineError, ReadError};
use crate::qrels::Qrels;
use crate::topics::Topic;

/// A passage or a topic.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) language: Option<String>,
    pub(crate) group: Option<String>,
}

/// A collection that is being read.
pub(crate) struct Draft<'a> {
    folder: &'a Path,
    collection: Collection,
    /// Of records that name none.
    language: Option<String>,
    passages: HashSet<String>,
    topics: HashSet<String>,
}

impl<'a> Draft<'a> {
    /// Takes the judgements, and where they are from.
    ///
    /// # Errors
    /// [`OpenError::NothingJudged`] if there are none.
    pub(crate) fn new(
        folder: &'a Path,
        language: Option<String>,
        judgements: &Path,
    ) -> Result<Self, OpenError> {
        let qrels = Qrels::read(judgements)?;
        if qrels.judgements() == 0 {
            let file = judgements.strip_prefix(folder).unwrap_or(judgements);
            let file = file.display().to_string();
            return Err(OpenError::NothingJudged { folder: folder.to_owned(), file });
        }
        let collection = Collection { name: name_of(folder), qrels, ..Collection::default() };
        let (passages, topics) = (HashSet::new(), HashSet::new());
        Ok(Self { folder, collection, language, passages, topics })
    }

    /// Adds a passage.
    pub(crate) fn passage(&mut self, record: Record) -> Result<(), LineError> {
        once(&mut self.passages, &record.id)?;
        let language = record.language.or_else(|| self.language.clone());
        let Record { id, title, text, .. } = record;
        self.collection.passages.push(Passage { id, title, text, language });
        Ok(())
    }

    /// Adds a topic, if it is judged.
    pub(crate) fn topic(&mut self, record: Record) -> Result<(), LineError> {
        once(&mut self.topics, &record.id)?;
        if self.collection.qrels.has(&record.id) {
            let language = record.language.or_else(|| self.language.clone());
            let Record { id, text, group, .. } = record;
            self.collection.topics.push(Topic { id, text, language, group });
        }
        Ok(())
    }

    /// The collection.
    ///
    /// # Errors
    /// [`OpenError::UnknownTopic`] if a topic with judgements was not added.
    pub(crate) fn finish(self) -> Result<Collection, OpenError> {
        let is_unknown = |topic: &&str| !self.topics.contains(*topic);
        let unknown = self.collection.qrels.topics().find(is_unknown).map(str::to_owned);
        if let Some(topic) = unknown {
            return Err(OpenError::UnknownTopic { folder: self.folder.to_owned(), topic });
        }
        Ok(self.collection)
    }
}

/// Notes an id, which is new.
pub(crate) fn once(seen: &mut HashSet<String>, id: &str) -> Result<(), LineError> {
    if !seen.insert(id.to_owned()) {
        return Err(LineError::Twice { id: id.to_owned() });
    }
    Ok(())
}

/// Finds a file of a folder, plain or packed.
///
/// # Errors
/// [`OpenError::Missing`] if it is there in no way.
pub(crate) fn find(folder: &Path, file: &str) -> Result<PathBuf, OpenError> {
    let mut names = ["", ".gz", ".zst"].iter().map(|ending| folder.join(format!("{file}{ending}")));
    names
        .find(|path| path.is_file())
        .ok_or_else(|| OpenError::Missing { folder: folder.to_owned(), file: file.to_owned() })
}

/// A name without the ending that says how the file is packed.
pub(crate) fn unpacked_name(name: &str) -> &str {
    name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name)
}

/// Takes a file of JSON objects, one a line.
pub(crate) fn json_lines<T: DeserializeOwned + Into<Record>>(
    file: &Path,
    mut take: impl FnMut(Record) -> Result<(), LineError>,
) -> Result<(), ReadError> {
    input::each_line(input::open(file)?, file, |_, line| {
        let line: T = serde_json::from_str(line).map_err(|source| LineError::Json { source })?;
        take(line.into())
    })
}

/// An id as an index of the corpus has it: without white space around it, and perhaps a number.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(id) => Ok(id.trim().to_owned()),
        Value::Number(id) if id.is_u64() || id.is_i64() => Ok(id.to_string()),
        _ => Err(D::Error::custom("the id is not a string or a whole number of 64 bits")),
    }
}

/// Takes a file of topics without a heading: an id and, behind a tab, the text.
pub(crate) fn pairs(
    input: impl BufRead,
    file: &Path,
    mut take: impl FnMut(Record) -> Result<(), LineError>,
) -> Result<(), ReadError> {
    input::each_line(input, file, |_, line| {
        let wanted = "id and text parted by a tab";
        let (id, text) = line.split_once('\t').ok_or(LineError::Columns { wanted, found: 1 })?;
        let (id, text) = (id.trim().to_owned(), text.trim().to_owned());
        take(Record { id, text, ..Record::default() })
    })
}

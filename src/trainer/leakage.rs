//! Keeps evaluation data out of training: by text, whatever file it hides in, and by place.
//!
//! Invariant: a set of which any query, passage or negative equals a text of an excluded folder (see
//! [`TextKey`](super::TextKey)) is not trained on, in any language. Invariant: nothing is read for training from a folder
//! that is excluded, or that opens as an evaluation collection.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dense_eval::{Collection, OpenError};
use serde_json::Value;

use super::lines::open;
use super::text::TextKey;

/// The texts that must not be trained on.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    folders: Vec<PathBuf>,
    keys: HashSet<TextKey>,
}

/// Why a folder could not be excluded, or a file not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum LeakageError {
    /// The file system refused, or packed bytes are damaged.
    #[error("{}: cannot be read, so its texts cannot be excluded", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A wrong folder would exclude nothing.
    #[error("{}: there is no text to exclude in it", folder.display())]
    Empty { folder: PathBuf },
    /// Packed otherwise, or no UTF-8: nothing of it would be excluded.
    #[error("{}: is no text, so that nothing of it can be excluded; unpack or convert it, or name a folder without it", file.display())]
    NoText { file: PathBuf },
    /// Training data lies among data to measure on.
    #[error("{}: lies in {}, which is evaluation data; that is never trained on", file.display(), folder.display())]
    Evaluation { file: PathBuf, folder: PathBuf },
}

impl Exclusions {
    /// Nothing is excluded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Excludes every text of a folder and of the folders in it: each string of a JSON file or of a JSON line, any other
    /// line, and each of its columns. Files may be gzip or Zstandard.
    ///
    /// It asks for no layout, so that data of a new layout is excluded too.
    ///
    /// # Errors
    /// [`LeakageError`] if a file cannot be read, or there is no text.
    pub fn exclude(&mut self, folder: &Path) -> Result<(), LeakageError> {
        let before = self.keys.len();
        let mut waiting = vec![folder.to_owned()];
        while let Some(path) = waiting.pop() {
            let fail = |source| LeakageError::Io { path: path.clone(), source };
            if path.is_dir() {
                for entry in fs::read_dir(&path).map_err(fail)? {
                    waiting.push(entry.map_err(fail)?.path());
                }
                continue;
            }
            let mut bytes = Vec::new();
            open(&path).and_then(|mut input| input.read_to_end(&mut bytes)).map_err(fail)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| LeakageError::NoText { file: path.clone() })?;
            self.file(&text);
        }
        if self.keys.len() == before {
            return Err(LeakageError::Empty { folder: folder.to_owned() });
        }
        self.folders.push(real(folder));
        Ok(())
    }

    fn file(&mut self, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let nests = |value: &Value| matches!(value, Value::Object(_) | Value::Array(_));
        if let Some(whole) = serde_json::from_str(text).ok().filter(nests) {
            return self.json(&whole);
        }
        for line in text.lines() {
            if let Ok(row) = serde_json::from_str(line) {
                self.json(&row);
                // A line in quotes may be a text that is quoted.
                if nests(&row) {
                    continue;
                }
            }
            self.insert(line);
            for column in line.split('\t').filter(|column| column.len() < line.len()) {
                self.insert(column);
            }
        }
    }

    fn json(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.insert(text),
            Value::Array(values) => values.iter().for_each(|value| self.json(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.json(value)),
            _ => {}
        }
    }

    /// Excludes one text. One without a letter or digit is none.
    pub fn insert(&mut self, text: &str) {
        if text.chars().any(char::is_alphanumeric) {
            self.keys.insert(TextKey::of(text));
        }
    }

    /// Excludes a text by its key.
    pub(super) fn insert_key(&mut self, key: TextKey) {
        self.keys.insert(key);
    }

    /// Whether a text is excluded.
    pub fn contains(&self, key: TextKey) -> bool {
        self.keys.contains(&key)
    }

    /// How many texts are excluded.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Refuses a file for training that lies in an excluded folder, or among the files of a collection.
    ///
    /// # Errors
    /// [`LeakageError::Evaluation`].
    pub fn check_place(&self, file: &Path) -> Result<(), LeakageError> {
        let whole = real(file);
        let refuse = |folder: &Path| {
            Err(LeakageError::Evaluation { file: file.to_owned(), folder: folder.to_owned() })
        };
        if let Some(folder) = self.folders.iter().find(|folder| whole.starts_with(folder)) {
            return refuse(folder);
        }
        // A collection's files lie in its folder or one below: `qrels/`, or a language's.
        let own = whole.is_dir().then_some(&*whole);
        let around = own.into_iter().chain(whole.ancestors().skip(1).take(2));
        for (above, folder) in around.enumerate() {
            match Collection::open(folder) {
                Err(OpenError::Neither { .. } | OpenError::Io { .. }) => {}
                // A folder beside collections is none of theirs.
                Err(OpenError::Several { .. }) if above > 0 => {}
                // One that is damaged is one too.
                _ => return refuse(folder),
            }
        }
        Ok(())
    }
}

/// A path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_layout_are_excluded() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("en.json", r#"{"data": [{"paragraphs": [{"sentences": ["In JSON."]}]}]}"#);
        write(
            "deep/corpus.jsonl",
            "{\"text\": \"In a line of JSON\"}\n{\"text\": \"and the next\"}\n",
        );
        write("deep/ref.swa.txt", "\u{feff}A LINE\r\n\n...\n");
        write("deep/t.tsv", "id 1\ta column\n");
        let mut exclusions = Exclusions::new();
        exclusions.exclude(folder.path()).unwrap();
        for text in ["in json.", "In a  line of JSON", "And the next", "a line", "A column"] {
            assert!(exclusions.contains(TextKey::of(text)), "{text}");
        }
        for text in ["", "...", "In", "data"] {
            assert!(!exclusions.contains(TextKey::of(text)), "{text}");
        }
    }

    #[test]
    fn a_folder_without_texts_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let mut exclusions = Exclusions::new();
        assert!(matches!(exclusions.exclude(folder.path()), Err(LeakageError::Empty { .. })));
        let absent = folder.path().join("absent");
        assert!(matches!(exclusions.exclude(&absent), Err(LeakageError::Io { .. })));
    }

    #[test]
    fn evaluation_data_is_no_training_data_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let sub = |name: &str| folder.path().join(name);
        fs::create_dir_all(sub("beir/sw/qrels")).unwrap();
        fs::create_dir_all(sub("own")).unwrap();
        fs::write(sub("beir/sw/corpus.jsonl"), "{\"_id\": \"1\", \"text\": \"t\"}\n").unwrap();
        fs::write(sub("beir/sw/queries.jsonl"), "{\"_id\": \"q\", \"text\": \"t\"}\n").unwrap();
        fs::write(sub("beir/sw/qrels/test.tsv"), "q\t1\t1\n").unwrap();
        fs::write(sub("own/pairs.jsonl"), "{}").unwrap();
        let mut exclusions = Exclusions::new();
        for inside in ["beir/sw/queries.jsonl", "beir/sw/qrels/test.tsv", "beir/sw", "beir/x.jsonl"]
        {
            assert!(exclusions.check_place(&sub(inside)).is_err(), "{inside}");
        }
        exclusions.check_place(&sub("own/pairs.jsonl")).unwrap();
        fs::create_dir(sub("beir/own")).unwrap();
        exclusions.check_place(&sub("beir/own/pairs.jsonl")).unwrap();
        fs::write(sub("own/other.txt"), "a text").unwrap();
        exclusions.exclude(&sub("own")).unwrap();
        assert!(exclusions.check_place(&sub("own/pairs.jsonl")).is_err());
    }
}

//! A collection as tables: `corpus.tsv`, `queries.tsv`, and `qrels.tsv` or `qrels/<split>.tsv`.
//!
//! The first line of the first two may name the columns: an id (`id`, `_id`, `docid`, `pid`, `qid`) and a text
//! (`text`, `passage`, `query`), and perhaps `title`, `lang` or `language`, `group`. Else there are
//! two columns, id and text, or three, id, title and text, as in the corpora that are indexed.

use std::path::Path;

use crate::collection::{Collection, OpenError, is_language, name_of};
use crate::input::{self, LineError, ReadError};
use crate::records::{Draft, Record, find};

/// Whether a folder has the tables.
pub(crate) fn is(folder: &Path) -> bool {
    find(folder, "corpus.tsv").is_ok() && find(folder, "queries.tsv").is_ok()
}

/// The language that the folder's name says, of records that name none.
pub(crate) fn language(folder: &Path) -> Option<String> {
    Some(name_of(folder)).filter(|name| is_language(name))
}

pub(crate) fn open(folder: &Path, split: &str) -> Result<Collection, OpenError> {
    let judgements = find(folder, &format!("qrels/{split}.tsv"));
    let judgements = judgements.or_else(|_| find(folder, "qrels.tsv"))?;
    let mut draft = Draft::new(folder, language(folder), &judgements)?;
    table(&find(folder, "corpus.tsv")?, |record| draft.passage(record))?;
    table(&find(folder, "queries.tsv")?, |record| draft.topic(record))?;
    draft.finish()
}

/// Where the parts of a record stand.
#[derive(Clone, Copy)]
struct Columns {
    count: usize,
    id: usize,
    text: usize,
    title: Option<usize>,
    language: Option<usize>,
    group: Option<usize>,
}

impl Columns {
    /// The columns that a heading names; `None` if it is none.
    fn named(cells: &[&str]) -> Option<Self> {
        let find = |names: &[&str]| {
            let is = |cell: &&str| names.contains(&cell.trim().to_ascii_lowercase().as_str());
            cells.iter().position(is)
        };
        Some(Self {
            count: cells.len(),
            id: find(&["id", "_id", "docid", "pid", "qid"])?,
            text: find(&["text", "passage", "query"])?,
            title: find(&["title"]),
            language: find(&["lang", "language"]),
            group: find(&["group"]),
        })
    }

    fn record(self, cells: &[&str]) -> Option<Record> {
        let cell = |at: usize| cells.get(at).map(|cell| cell.trim().to_owned());
        let named = |at: Option<usize>| at.and_then(cell).filter(|cell| !cell.is_empty());
        (cells.len() == self.count).then_some(())?;
        Some(Record {
            id: cell(self.id)?,
            text: cell(self.text)?,
            title: named(self.title).unwrap_or_default(),
            language: named(self.language),
            group: named(self.group),
        })
    }
}

fn table(
    file: &Path,
    mut take: impl FnMut(Record) -> Result<(), LineError>,
) -> Result<(), ReadError> {
    let mut table = Table::default();
    input::each_line(input::open(file)?, file, |_, line| {
        table.record(line)?.map_or(Ok(()), &mut take)
    })
}

/// The lines of a table, which the first one may name the columns of.
#[derive(Default)]
pub(crate) struct Table {
    begun: bool,
    /// What the first line names, if it names any.
    heading: Option<Columns>,
}

impl Table {
    /// What a line holds; `None` if it is the heading.
    pub(crate) fn record(&mut self, line: &str) -> Result<Option<Record>, LineError> {
        let none = Columns { count: 2, id: 0, text: 1, title: None, language: None, group: None };
        let cells: Vec<&str> = line.split('\t').collect();
        if !self.begun {
            self.begun = true;
            self.heading = Columns::named(&cells);
            if self.heading.is_some() {
                return Ok(None);
            }
        }
        let columns = match (self.heading, cells.len()) {
            (Some(columns), _) => columns,
            (None, 3) => Columns { count: 3, text: 2, title: Some(1), ..none },
            (None, _) => none,
        };
        let wanted = match self.heading {
            Some(_) => "as many columns as the heading has, parted by tabs",
            None => "id and text, or id, title and text, parted by tabs",
        };
        let record = columns.record(&cells);
        record.map(Some).ok_or(LineError::Columns { wanted, found: cells.len() })
    }
}

#[cfg(test)]
mod tests {
    use crate::opening::Opening;
    use crate::testing::{Folder, zst};
    use std::error::Error as _;

    #[test]
    fn tables_with_a_heading_and_without_one_open() {
        let folder = Folder::new(&[
            ("corpus.tsv.zst", &zst("a\tMaji\tMoto.\nb\tWasser ist nass.\n")),
            (
                "queries.tsv",
                b"lang\tqid\tquery\tgroup\nsw\t1\tnini?\tx\nde\t2\twas?\tx\n\t3\tno\t\n",
            ),
            ("qrels.tsv", b"1\ta\t1\n2\tb\t1\n"),
        ]);
        let collection = Opening::new().open(folder.path()).unwrap();
        let passages = collection.passages.iter().map(|p| (&*p.id, &*p.title, &*p.text));
        assert_eq!(
            passages.collect::<Vec<_>>(),
            [("a", "Maji", "Moto."), ("b", "", "Wasser ist nass.")]
        );
        let topics = collection.topics.iter().map(|t| (&*t.id, t.language.as_deref()));
        assert_eq!(topics.collect::<Vec<_>>(), [("1", Some("sw")), ("2", Some("de"))]);
        assert_eq!(collection.topics[0].group.as_deref(), Some("x"));
        assert_eq!(collection.qrels.judgements(), 2);
    }

    #[test]
    fn a_line_with_other_columns_is_named() {
        for (corpus, line, cause) in [
            ("id\ttext\na\tb\nc\n", 3, "has 1 columns where `as many columns as the heading"),
            ("a\tb\n\na\tb\tc\td\n", 3, "has 4 columns where `id and text, or id, title and"),
            ("a\tb\na\tc\n", 2, "`a` is here a second time"),
        ] {
            let folder = Folder::new(&[
                ("sw/corpus.tsv", corpus.as_bytes()),
                ("sw/queries.tsv", b"1\tx\n"),
                ("sw/qrels/test.tsv", b"1\ta\t1\n"),
            ]);
            let error = Opening::new().open(&folder.path().join("sw")).unwrap_err();
            assert!(error.to_string().ends_with(&format!("corpus.tsv, line {line}")), "{error}");
            let source = error.source().unwrap().to_string();
            assert!(source.contains(cause), "{source}");
        }
    }
}

//! One line to one record.

use dense_plugin::LanguageTag;
use serde_json::{Map, Value};
use tantivy::tokenizer::MAX_TOKEN_LEN;

use super::{BadKind, Fields, Format, Record};

/// What is wrong with a line, before its place is known.
type Bad = (BadKind, String);

#[derive(Debug)]
pub(super) struct Parser {
    format: Format,
    fields: Fields,
    /// The columns of a header line, once the first line has been seen.
    columns: Option<Columns>,
}

#[derive(Debug)]
enum Columns {
    /// Two or three, line by line.
    Unnamed,
    /// One that must have a name has none.
    Missing(String),
    Named {
        count: usize,
        id: usize,
        text: usize,
        title: Option<usize>,
        language: Option<usize>,
    },
}

/// The parts of a record as they stand in a line.
struct Parts<'a> {
    id: &'a str,
    text: &'a str,
    title: &'a str,
    language: &'a str,
}

impl Parser {
    pub(super) fn new(format: Format, fields: Fields) -> Self {
        Self { format, fields, columns: None }
    }

    /// Reads a line that is not blank. A header is no record.
    pub(super) fn parse(&mut self, line: &str) -> Result<Option<Record>, Bad> {
        match self.format {
            Format::JsonLines => parse_json(line, &self.fields).map(Some),
            Format::Tsv => self.parse_columns(line),
        }
    }

    fn parse_columns(&mut self, line: &str) -> Result<Option<Record>, Bad> {
        let cells: Vec<&str> = line.split('\t').collect();
        let columns = match &self.columns {
            Some(columns) => columns,
            None => match self.columns.insert(columns(&cells, &self.fields)) {
                Columns::Named { .. } => return Ok(None),
                columns => columns,
            },
        };
        let parts = match (columns, cells.as_slice()) {
            (Columns::Missing(name), _) => {
                let detail = format!("the first line names no column `{name}`");
                return Err((BadKind::MissingField, detail));
            }
            (Columns::Unnamed, [id, text]) => Parts { id, text, title: "", language: "" },
            (Columns::Unnamed, [id, title, text]) => Parts { id, text, title, language: "" },
            (Columns::Unnamed, cells) => {
                let found = cells.len();
                return Err((
                    BadKind::Malformed,
                    format!("columns: {found}; id and text, or id, title and text are wanted"),
                ));
            }
            (Columns::Named { count, id, text, title, language }, cells)
                if cells.len() == *count =>
            {
                let cell = |at: &Option<usize>| at.map_or("", |at| cells[at]);
                Parts {
                    id: cells[*id],
                    text: cells[*text],
                    title: cell(title),
                    language: cell(language),
                }
            }
            (Columns::Named { count, .. }, cells) => {
                let found = cells.len();
                return Err((
                    BadKind::Malformed,
                    format!("columns: {found}; the header has {count}"),
                ));
            }
        };
        record(&parts).map(Some)
    }
}

fn parse_json(line: &str, fields: &Fields) -> Result<Record, Bad> {
    let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
        let what = if error.is_data() { "one JSON object a line is wanted" } else { "no JSON" };
        (BadKind::Malformed, format!("{what} ({error})"))
    })?;
    let find = |set: &Option<String>, usual: &[&'static str]| match set {
        Some(name) => object.get(name.as_str()).filter(|value| !value.is_null()),
        None => usual.iter().find_map(|name| object.get(*name).filter(|value| !value.is_null())),
    };
    let id = match find(&fields.id, &["_id", "id"]) {
        Some(Value::String(id)) => id.clone(),
        // Others are rounded when they are read: two ids would become one.
        Some(Value::Number(id)) if id.is_u64() || id.is_i64() => id.to_string(),
        Some(_) => {
            let wanted = "a string or a whole number of 64 bits";
            return Err(wrong_type(fields.id.as_deref().unwrap_or("_id"), wanted));
        }
        None => String::new(),
    };
    let text = |set: &Option<String>, usual: &[&'static str]| match find(set, usual) {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        None => Ok(None),
        Some(_) => Err(wrong_type(set.as_deref().unwrap_or(usual[0]), "a string")),
    };
    let title = text(&fields.title, &["title"])?.unwrap_or_default();
    let language = text(&fields.language, &["lang", "language"])?.unwrap_or_default();
    let body = text(&fields.text, &["text"])?;
    if id.is_empty() {
        return Err(missing(fields.id.as_deref().unwrap_or("_id` or `id")));
    }
    let body = body.ok_or_else(|| missing(fields.text.as_deref().unwrap_or("text")))?;
    record(&Parts { id: &id, text: &body, title: &title, language: &language })
}

fn missing(field: &str) -> Bad {
    (BadKind::MissingField, format!("`{field}`"))
}

fn wrong_type(field: &str, wanted: &str) -> Bad {
    (BadKind::Malformed, format!("`{field}` is not {wanted}"))
}

fn record(parts: &Parts<'_>) -> Result<Record, Bad> {
    let (id, title, text) = (parts.id.trim(), parts.title.trim(), parts.text.trim());
    if id.is_empty() {
        return Err((BadKind::MissingField, "the id is empty".to_owned()));
    }
    // Tantivy leaves longer terms out: the document could never be replaced.
    if id.len() > MAX_TOKEN_LEN {
        let detail = format!("the id is longer than {MAX_TOKEN_LEN} bytes");
        return Err((BadKind::Malformed, detail));
    }
    if text.is_empty() && title.is_empty() {
        return Err((BadKind::EmptyText, format!("document `{}`", shorten(id))));
    }
    let language = match parts.language.trim() {
        "" => None,
        written => Some(written.parse::<LanguageTag>().map_err(|error| {
            (BadKind::UnknownLanguage, format!("document `{}`: {error}", shorten(id)))
        })?),
    };
    Ok(Record {
        id: id.to_owned(),
        language: language.filter(|tag| *tag != LanguageTag::undetermined()),
        title: (!title.is_empty()).then(|| title.to_owned()),
        text: text.to_owned(),
    })
}

/// A value as messages show it.
pub(crate) fn shorten(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// What a first line says about the columns: it is a header if it names an id and a text, and must
/// be one if a column is to have a certain name.
fn columns(cells: &[&str], fields: &Fields) -> Columns {
    let mut set = [&fields.id, &fields.text, &fields.title, &fields.language].into_iter().flatten();
    let is_set = set.clone().next().is_some();
    if let Some(missing) = set.find(|name| !cells.contains(&name.as_str())) {
        return Columns::Missing(missing.clone());
    }
    match header(cells, fields) {
        Ok(named) => named,
        Err(missing) if is_set => Columns::Missing(missing.to_owned()),
        Err(_) => Columns::Unnamed,
    }
}

/// The columns by name, or what is missing.
fn header(cells: &[&str], fields: &Fields) -> Result<Columns, &'static str> {
    let find = |set: &Option<String>, usual: &[&str]| {
        cells.iter().position(|cell| match set {
            Some(name) => cell == name,
            None => usual.contains(&cell.trim().to_ascii_lowercase().as_str()),
        })
    };
    Ok(Columns::Named {
        count: cells.len(),
        id: find(&fields.id, &["_id", "id", "docid", "pid"]).ok_or("id")?,
        text: find(&fields.text, &["text", "passage"]).ok_or("text")?,
        title: find(&fields.title, &["title"]),
        language: find(&fields.language, &["lang", "language"]),
    })
}

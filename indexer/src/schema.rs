//! The fields of an index of a corpus: what this package writes and the command searches.
//!
//! Invariant: a schema that [`CorpusSchema::of`] takes has each field below, of its kind.

use dense_plugin::{DenseOptions, DenseSchemaBuilder, Encoder, LanguageTag};
use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};

use crate::analysis::Analyzers;
use crate::corpus::Record;

/// The fields of an indexed corpus.
///
/// | field | holds | is |
/// | --- | --- | --- |
/// | `id` | the document's external id | one term, stored, fast |
/// | `lang` | its language tag, and after it the language alone where the tag says more (`zh-CN`, `zh`); `und` where it is not known | one term each, stored, fast |
/// | `title`, `text` | both as they came | stored |
/// | `body` | title, space, text, as [`Analyzers`] takes them apart | indexed with positions |
/// | `dense` | the vector of `body`'s text | a dense field |
///
/// ```
/// use tantivy_dense_indexer::CorpusSchema;
/// use dense_plugin::{Dim, toy::ToyEncoder};
///
/// let schema = CorpusSchema::new(&ToyEncoder::new(Dim::new(64)?)).schema;
/// assert_eq!(CorpusSchema::of(&schema)?.dense, schema.get_field("dense")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table above explains the fields")]
pub struct CorpusSchema {
    pub schema: Schema,
    pub id: Field,
    pub language: Field,
    pub title: Field,
    pub text: Field,
    pub body: Field,
    pub dense: Field,
}

impl CorpusSchema {
    /// For a new index with vectors of this encoder.
    pub fn new(encoder: &dyn Encoder) -> Self {
        Self::with_dense(DenseOptions::for_encoder(encoder))
    }

    /// The same with a dense field of one's own choice; what it reads is set here.
    pub fn with_dense(options: DenseOptions) -> Self {
        let mut builder = Schema::builder();
        let id = builder.add_text_field("id", STRING | STORED | FAST);
        let language = builder.add_text_field("lang", STRING | STORED | FAST);
        let title = builder.add_text_field("title", STORED);
        let text = builder.add_text_field("text", STORED);
        let positions =
            TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let body = TextOptions::default().set_indexing_options(positions);
        let body = builder.add_text_field("body", body);
        let dense = builder.add_dense_field("dense", options.source("body").language("lang"));
        Self { schema: builder.build(), id, language, title, text, body, dense }
    }

    /// Finds the fields in the schema of an index.
    ///
    /// # Errors
    /// [`SchemaError`] if the index was not made with this schema.
    pub fn of(schema: &Schema) -> Result<Self, SchemaError> {
        let dense = schema
            .get_field("dense")
            .ok()
            .and_then(|dense| DenseOptions::of(schema, dense).ok())
            .ok_or(SchemaError { field: "dense" })?;
        let ours = Self::with_dense(dense);
        let field = |name: &'static str| {
            let found = schema.get_field(name).map_err(|_| SchemaError { field: name })?;
            let wanted = ours.schema.get_field(name).map_err(|_| SchemaError { field: name })?;
            let same = schema.get_field_entry(found) == ours.schema.get_field_entry(wanted);
            if same { Ok(found) } else { Err(SchemaError { field: name }) }
        };
        Ok(Self {
            id: field("id")?,
            language: field("lang")?,
            title: field("title")?,
            text: field("text")?,
            body: field("body")?,
            dense: field("dense")?,
            schema: schema.clone(),
        })
    }

    /// A record as a document, its text analysed as `language` wants it.
    pub(crate) fn document(
        &self,
        record: &Record,
        language: &LanguageTag,
        analyzers: Analyzers,
    ) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_text(self.id, &record.id);
        document.add_text(self.language, language.as_str());
        if language.language() != language.as_str() {
            document.add_text(self.language, language.language());
        }
        if let Some(title) = &record.title {
            document.add_text(self.title, title);
        }
        document.add_text(self.text, &record.text);
        let body = analyzers.analyze(language, &record.full_text());
        document.add_pre_tokenized_text(self.body, body);
        document
    }
}

/// An index that was made by another tool, or with another schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this index is not one of an indexed corpus: its field `{field}` is missing or of another kind; \
     name another folder, or index the corpus again"
)]
pub struct SchemaError {
    field: &'static str,
}

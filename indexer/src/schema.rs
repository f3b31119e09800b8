//! The fields of an index of a corpus: what this package writes and the command searches.
//!
//! Invariant: a schema that [`CorpusSchema::of`] takes has each field below, of its kind.

use dense_plugin::{DenseOptions, DenseSchemaBuilder, Encoder, LanguageTag};
use tantivy::schema::{
    FAST, Field, FieldType, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing,
    TextOptions,
};
use tantivy::tokenizer::{RawTokenizer, TextAnalyzer};
use tantivy::{Index, TantivyDocument};

use crate::analysis::{Analyzers, Version};
use crate::corpus::Record;

/// The fields of an indexed corpus.
///
/// | field | holds | is |
/// | --- | --- | --- |
/// | `id` | the document's external id | one term, stored, fast |
/// | `lang` | its language tag, and after it the language alone where the tag says more (`zh-CN`, `zh`); `und` where it is not known | one term each, stored, fast |
/// | `title`, `text` | both as they came | stored |
/// | `body` | title, space, text, as [`Analyzers`] takes them apart; its tokenizer's name tells by which version | indexed with positions |
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
    pub analysis: Version,
}

/// What the tokenizer of `body` is called in indexes of each version. The first ones were made before
/// there was a second.
const TOKENIZERS: [(&str, Version); 2] =
    [("default", Version::First), ("tdense-2", Version::Second)];

impl CorpusSchema {
    /// For a new index with vectors of this encoder.
    pub fn new(encoder: &dyn Encoder) -> Self {
        Self::with_dense(DenseOptions::for_encoder(encoder))
    }

    /// The same with a dense field of one's own choice; what it reads is set here.
    pub fn with_dense(options: DenseOptions) -> Self {
        Self::with_analysis(options, Version::NEWEST)
    }

    fn with_analysis(options: DenseOptions, analysis: Version) -> Self {
        let names = TOKENIZERS.iter().find(|(_, version)| *version == analysis);
        let (tokenizer, _) = names.expect("every version has a name");
        let mut builder = Schema::builder();
        let id = builder.add_text_field("id", STRING | STORED | FAST);
        let language = builder.add_text_field("lang", STRING | STORED | FAST);
        let title = builder.add_text_field("title", STORED);
        let text = builder.add_text_field("text", STORED);
        let positions =
            TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let positions = positions.set_tokenizer(tokenizer);
        let body = TextOptions::default().set_indexing_options(positions);
        let body = builder.add_text_field("body", body);
        let dense = builder.add_dense_field("dense", options.source("body").language("lang"));
        Self { schema: builder.build(), id, language, title, text, body, dense, analysis }
    }

    /// Finds the fields in the schema of an index.
    ///
    /// # Errors
    /// [`SchemaError`] if the index was not made with this schema, or its text was analysed by a later
    /// release.
    pub fn of(schema: &Schema) -> Result<Self, SchemaError> {
        let dense = schema
            .get_field("dense")
            .ok()
            .and_then(|dense| DenseOptions::of(schema, dense).ok())
            .ok_or(SchemaError::Field { field: "dense" })?;
        let tokenizer = tokenizer_of_body(schema).ok_or(SchemaError::Field { field: "body" })?;
        let known = TOKENIZERS.iter().find(|(name, _)| *name == tokenizer);
        let (_, analysis) =
            *known.ok_or_else(|| SchemaError::Analysis { found: tokenizer.to_owned() })?;
        let ours = Self::with_analysis(dense, analysis);
        let field = |name: &'static str| {
            let found = schema.get_field(name).map_err(|_| SchemaError::Field { field: name })?;
            let wanted =
                ours.schema.get_field(name).map_err(|_| SchemaError::Field { field: name })?;
            let same = schema.get_field_entry(found) == ours.schema.get_field_entry(wanted);
            if same { Ok(found) } else { Err(SchemaError::Field { field: name }) }
        };
        Ok(Self {
            id: field("id")?,
            language: field("lang")?,
            title: field("title")?,
            text: field("text")?,
            body: field("body")?,
            dense: field("dense")?,
            schema: schema.clone(),
            analysis,
        })
    }

    /// The analysers by which the index's terms were made.
    pub fn analyzers(&self) -> Analyzers {
        Analyzers::version(self.analysis)
    }

    /// Tells an index that it knows the tokenizer of `body`: Tantivy asks for it before it writes. Texts come
    /// analysed, so it is never used. [`Indexer`](crate::Indexer) does so by itself.
    pub fn register(&self, index: &Index) {
        let tokenizer = tokenizer_of_body(&self.schema).unwrap_or("default");
        if tokenizer != "default" {
            index.tokenizers().register(tokenizer, TextAnalyzer::from(RawTokenizer::default()));
        }
    }

    /// A record as a document, its text analysed as `language` wants it.
    pub(crate) fn document(&self, record: &Record, language: &LanguageTag) -> TantivyDocument {
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
        let body = self.analyzers().analyze(language, &record.full_text());
        document.add_pre_tokenized_text(self.body, body);
        document
    }
}

fn tokenizer_of_body(schema: &Schema) -> Option<&str> {
    let body = schema.get_field("body").ok()?;
    match schema.get_field_entry(body).field_type() {
        FieldType::Str(options) => Some(options.get_indexing_options()?.tokenizer()),
        _ => None,
    }
}

/// An index that was made by another tool, or with another schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum SchemaError {
    /// A field is missing.
    #[error(
        "this index is not one of an indexed corpus: its field `{field}` is missing or of another \
         kind; name another folder, or index the corpus again"
    )]
    Field { field: &'static str },
    /// Queries would be taken apart otherwise than the documents were.
    #[error(
        "the text of this index was analysed as `{found}`, which this release does not know; use a \
         later release, or index the corpus again"
    )]
    Analysis { found: String },
}

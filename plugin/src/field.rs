//! What a dense field is, as a Tantivy schema keeps it: the parameters of a custom field type.
//!
//! Invariant: what is read from a schema is checked here once; behind it, a field's dim, metric,
//! source and recipe are known to make sense together.

use serde::{Deserialize, Serialize};
use tantivy::schema::{Field, FieldType, Schema, SchemaBuilder};

use crate::ann::AnnRecipe;
use crate::element::Element;
use crate::encoder::{Encoder, Fingerprint};
use crate::vector::{Dim, Metric};

/// The name of the custom field type, as written in every schema with a dense field.
pub const TYPE_NAME: &str = "dense";

/// How the vectors of one field are made, compared and searched.
///
/// ```
/// # use tantivy_dense_plugin::{DenseOptions, DenseSchemaBuilder, Dim, Metric};
/// # use tantivy::schema::{Schema, TEXT};
/// let mut schema = Schema::builder();
/// schema.add_text_field("body", TEXT);
/// let own = schema.add_dense_field("image", DenseOptions::new(Dim::new(512)?).metric(Metric::Dot));
/// let schema = schema.build();
/// assert_eq!(DenseOptions::of(&schema, own)?.dim().get(), 512);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseOptions {
    dim: Dim,
    #[serde(default)]
    metric: Metric,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default)]
    ann: AnnRecipe,
    #[serde(default)]
    element: Element,
}

impl DenseOptions {
    /// A field for vectors that the caller makes. Metric: [`Metric::Cosine`]; no source; numbers
    /// kept as [`Element::F32`]; searched as [`AnnRecipe::Auto`] says.
    pub fn new(dim: Dim) -> Self {
        Self {
            dim,
            metric: Metric::default(),
            source: None,
            language: None,
            fingerprint: None,
            note: None,
            ann: AnnRecipe::default(),
            element: Element::default(),
        }
    }

    /// A field for vectors of this encoder. No other encoder will write or search it.
    pub fn for_encoder(encoder: &dyn Encoder) -> Self {
        Self { fingerprint: Some(encoder.fingerprint().clone()), ..Self::new(encoder.dim()) }
    }

    /// How vectors are compared. Default: [`Metric::Cosine`].
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// The text field whose values the writer encodes, one row each. Default: none, and then
    /// every vector is given by the caller.
    #[must_use]
    pub fn source(mut self, text_field: impl Into<String>) -> Self {
        self.source = Some(text_field.into());
        self
    }

    /// The text field that holds a document's language tag: rows are marked with it, and the
    /// encoder is told. Default: none.
    #[must_use]
    pub fn language(mut self, text_field: impl Into<String>) -> Self {
        self.language = Some(text_field.into());
        self
    }

    /// A word to whoever reads the schema: model, pooling, prefixes. Nothing depends on it; the
    /// fingerprint decides. Default: none.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// How vectors are searched, once a segment is large. Default: [`AnnRecipe::Auto`].
    #[must_use]
    pub fn ann(mut self, recipe: AnnRecipe) -> Self {
        self.ann = recipe;
        self
    }

    /// In which numbers vectors are kept, and so how much room they take. Default:
    /// [`Element::F32`], as they are given.
    #[must_use]
    pub fn element(mut self, element: Element) -> Self {
        self.element = element;
        self
    }

    /// How many numbers each vector has.
    pub fn dim(&self) -> Dim {
        self.dim
    }

    /// How vectors are compared.
    pub fn get_metric(&self) -> Metric {
        self.metric
    }

    /// The text field whose values are encoded.
    pub fn get_source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The text field that holds a document's language tag.
    pub fn get_language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// What the vectors are made by; none if the caller makes them.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.fingerprint.as_ref()
    }

    /// The word to whoever reads the schema.
    pub fn get_note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// How vectors are searched.
    pub fn get_ann(&self) -> &AnnRecipe {
        &self.ann
    }

    /// In which numbers vectors are kept.
    pub fn get_element(&self) -> Element {
        self.element
    }

    /// The options of one field of a schema.
    ///
    /// # Errors
    /// [`FieldError`] if the field is not dense, or if this build cannot read its parameters.
    pub fn of(schema: &Schema, field: Field) -> Result<Self, FieldError> {
        let entry = schema.get_field_entry(field);
        let name = entry.name();
        let FieldType::Custom(custom) = entry.field_type() else {
            return Err(FieldError::NotDense { field: name.to_owned() });
        };
        if custom.type_name() != TYPE_NAME {
            return Err(FieldError::NotDense { field: name.to_owned() });
        }
        let options = Self::deserialize(custom.params())
            .map_err(|source| FieldError::Parameters { field: name.to_owned(), source })?;
        for text_field in [&options.source, &options.language].into_iter().flatten() {
            let is_text = schema.get_field(text_field).is_ok_and(|field| {
                matches!(schema.get_field_entry(field).field_type(), FieldType::Str(_))
            });
            if !is_text {
                let (field, names) = (name.to_owned(), text_field.clone());
                return Err(FieldError::NoTextField { field, names });
            }
        }
        Ok(options)
    }
}

/// Adds dense fields to a schema that is being built.
pub trait DenseSchemaBuilder {
    /// Adds a dense field. A schema holds any number of them.
    fn add_dense_field(&mut self, name: &str, options: DenseOptions) -> Field;
}

impl DenseSchemaBuilder for SchemaBuilder {
    fn add_dense_field(&mut self, name: &str, options: DenseOptions) -> Field {
        let params = serde_json::to_value(options).expect("options are plain JSON");
        self.add_custom_field(name, TYPE_NAME, params)
    }
}

/// One dense field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseField {
    /// Tantivy's handle.
    pub field: Field,
    /// Its name in the schema.
    pub name: String,
    /// How its vectors are made, compared and searched.
    pub options: DenseOptions,
}

impl DenseField {
    /// The dense fields of a schema, in the schema's order.
    ///
    /// # Errors
    /// [`FieldError`] if this build cannot read the parameters of one.
    pub fn all(schema: &Schema) -> Result<Vec<Self>, FieldError> {
        schema
            .fields()
            .filter(|(_, entry)| match entry.field_type() {
                FieldType::Custom(custom) => custom.type_name() == TYPE_NAME,
                _ => false,
            })
            .map(|(field, entry)| {
                let options = DenseOptions::of(schema, field)?;
                Ok(Self { field, name: entry.name().to_owned(), options })
            })
            .collect()
    }
}

/// Why a field of a schema cannot be used as a dense field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum FieldError {
    /// Another kind of field.
    #[error("field `{field}` is no dense field; add it with `add_dense_field`")]
    NotDense { field: String },
    /// Written by a later release, or not by this library.
    #[error(
        "field `{field}` has parameters that this build cannot read; open the index with the \
         release that made it, or a later one"
    )]
    Parameters { field: String, source: serde_json::Error },
    /// A field that is to be read is missing.
    #[error(
        "dense field `{field}` reads `{names}`, which is no text field of the schema; add one, \
         or correct the name in `DenseOptions`"
    )]
    NoTextField { field: String, names: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tantivy::schema::TEXT;

    fn dim(dim: usize) -> Dim {
        Dim::new(dim).unwrap()
    }

    #[test]
    fn options_come_back_from_a_schema_that_was_written_as_json() {
        let mut builder = Schema::builder();
        builder.add_text_field("body", TEXT);
        let options = DenseOptions::new(dim(7)).metric(Metric::L2).source("body").note("own");
        let first = builder.add_dense_field("first", options.clone());
        let second = builder.add_dense_field("second", DenseOptions::new(dim(3)));
        let text = serde_json::to_string(&builder.build()).unwrap();
        let schema: Schema = serde_json::from_str(&text).unwrap();
        assert_eq!(DenseOptions::of(&schema, first).unwrap(), options);
        let all = DenseField::all(&schema).unwrap();
        assert_eq!(all.iter().map(|f| f.field).collect::<Vec<_>>(), [first, second]);
    }

    #[test]
    fn parameters_that_this_build_does_not_know_are_refused() {
        for params in [
            json!({}),
            json!({"dim": 0}),
            json!({"dim": 70_000}),
            json!({"dim": 3, "ann": "hsnw(32,40)"}),
            json!({"dim": 3, "metric": "hamming"}),
            json!({"dim": 3, "element": "f64"}),
        ] {
            let mut builder = Schema::builder();
            let field = builder.add_custom_field("v", TYPE_NAME, params.clone());
            let error = DenseOptions::of(&builder.build(), field).unwrap_err();
            assert!(matches!(error, FieldError::Parameters { .. }), "{params}");
        }
    }

    #[test]
    fn a_source_must_be_a_text_field() {
        let mut builder = Schema::builder();
        let field = builder.add_dense_field("v", DenseOptions::new(dim(2)).source("body"));
        let error = DenseOptions::of(&builder.build(), field).unwrap_err();
        assert!(error.to_string().contains("`body`"), "{error}");
    }

    #[test]
    fn another_kind_of_field_is_not_dense() {
        let mut builder = Schema::builder();
        let field = builder.add_text_field("body", TEXT);
        let schema = builder.build();
        assert!(matches!(DenseOptions::of(&schema, field), Err(FieldError::NotDense { .. })));
        assert!(DenseField::all(&schema).unwrap().is_empty());
    }
}

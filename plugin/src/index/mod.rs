//! The one door to an index with dense fields: it registers the plugin and checks the encoders.
//!
//! Invariant: an index that is open here was made here, its schema has a dense field, and each
//! encoder it holds is the one that its field was built with.

mod document;
mod optimize;
mod reader;
mod writer;

use std::path::Path;
use std::sync::Arc;

use tantivy::directory::{Directory, MmapDirectory, RamDirectory};
use tantivy::index::IndexSettings;
use tantivy::schema::{Field, Schema};
use tantivy::tokenizer::TokenizerManager;
use tantivy::{Document, Index, TantivyError};

pub use optimize::{Optimize, OptimizeError, Optimized};
pub use reader::{DenseReader, DenseSearcher, FieldSummary, SegmentSummary};
pub use writer::{DensePreparedCommit, DenseWriter, EncodingTotals, WriteError};

use crate::ann::{AnnError, Gpu, check_recipe};
use crate::cache::Segments;
use crate::encoder::Encoder;
use crate::field::{DenseField, FieldError};
use crate::segment::{ANN, DensePlugin, Refused, VEC, refuse_settings};
use crate::vector::Dim;

/// A Tantivy index with dense fields. Cloning shares it.
///
/// ```
/// # use std::sync::Arc;
/// # use tantivy::{collector::TopDocs, doc, schema::{Schema, TEXT}};
/// # use tantivy_dense_plugin::{DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, Encoder, KnnQuery, toy::ToyEncoder};
/// let encoder: Arc<dyn Encoder> = Arc::new(ToyEncoder::new(Dim::new(64)?));
/// let mut schema = Schema::builder();
/// let body = schema.add_text_field("body", TEXT);
/// let dense = schema.add_dense_field("dense", DenseOptions::for_encoder(&*encoder).source("body"));
/// let index = DenseIndex::builder(schema.build()).encoder("dense", encoder).create_in_ram()?;
///
/// let mut writer = index.writer(50_000_000)?;
/// writer.add_document(doc!(body => "a volcano erupts"))?;
/// writer.add_document(doc!(body => "how to boil tea"))?;
/// writer.commit()?;
///
/// let searcher = index.reader()?.searcher();
/// let nearest = KnnQuery::new(dense, index.encode_query("dense", "volcanoes")?, 1);
/// let hits = searcher.search(&nearest, &TopDocs::with_limit(1).order_by_score())?;
/// assert_eq!(hits.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DenseIndex {
    index: Index,
    fields: Arc<[DenseField]>,
    segments: Arc<Segments>,
    encoders: Vec<(Field, Arc<dyn Encoder>)>,
}

impl DenseIndex {
    /// Starts a new index with this schema.
    pub fn builder(schema: Schema) -> DenseIndexBuilder {
        DenseIndexBuilder {
            schema,
            settings: IndexSettings::default(),
            tokenizers: TokenizerManager::default(),
            encoders: Vec::new(),
        }
    }

    /// Makes an index in memory, without encoders.
    ///
    /// # Errors
    /// As [`DenseIndexBuilder::create`].
    pub fn create_in_ram(schema: Schema) -> Result<Self, OpenError> {
        Self::builder(schema).create_in_ram()
    }

    /// Makes an index in an existing folder, without encoders.
    ///
    /// # Errors
    /// As [`DenseIndexBuilder::create`].
    pub fn create_in_dir(path: impl AsRef<Path>, schema: Schema) -> Result<Self, OpenError> {
        Self::builder(schema).create_in_dir(path)
    }

    /// Opens the index in a folder. Give encoders with [`DenseIndex::with_encoder`].
    ///
    /// # Errors
    /// As [`DenseIndex::open`].
    pub fn open_in_dir(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open(MmapDirectory::open(path).map_err(TantivyError::from)?)
    }

    /// Opens the index in a directory. Give encoders with [`DenseIndex::with_encoder`].
    ///
    /// # Errors
    /// [`OpenError::NotDense`] if the index was not made by this library; [`OpenError::Field`] if
    /// its fields cannot be read; [`OpenError::Tantivy`] if there is no index or it cannot be read.
    pub fn open(directory: impl Into<Box<dyn Directory>>) -> Result<Self, OpenError> {
        let mut index = Index::open(directory)?;
        let extensions = index.load_metas()?.persisted_custom_extensions;
        let ours = [VEC, ANN].iter().all(|ours| extensions.iter().any(|e| e == ours));
        if !ours {
            return Err(OpenError::NotDense);
        }
        let plugin = plugin_for(&index.schema(), index.settings())?;
        let segments = plugin.segments().clone();
        let fields = segments.fields().into();
        index.register_plugin(Arc::new(plugin));
        Ok(Self { index, fields, segments, encoders: Vec::new() })
    }

    /// Gives a field its encoder: for the writer to encode documents, and for
    /// [`DenseIndex::encode_query`].
    ///
    /// # Errors
    /// [`OpenError::OtherEncoder`] or [`OpenError::OtherDim`] if the field was built with another
    /// one; [`OpenError::OwnVectors`] if it was built with none; [`OpenError::NoField`].
    pub fn with_encoder(
        mut self,
        field: &str,
        encoder: Arc<dyn Encoder>,
    ) -> Result<Self, OpenError> {
        let field = check_encoder(&self.fields, field, &*encoder)?;
        self.encoders.retain(|(known, _)| *known != field);
        self.encoders.push((field, encoder));
        Ok(self)
    }

    /// Tantivy's own index.
    pub fn tantivy(&self) -> &Index {
        &self.index
    }

    /// Tantivy's own index, to set its search executor or tokenizers.
    pub fn tantivy_mut(&mut self) -> &mut Index {
        &mut self.index
    }

    /// The schema.
    pub fn schema(&self) -> Schema {
        self.index.schema()
    }

    /// The dense fields, in the schema's order.
    pub fn dense_fields(&self) -> &[DenseField] {
        &self.fields
    }

    /// One dense field by its name.
    ///
    /// # Errors
    /// [`OpenError::NoField`] if there is none of this name.
    pub fn dense_field(&self, name: &str) -> Result<&DenseField, OpenError> {
        find_field(&self.fields, name)
    }

    /// The encoder of a field, if it was given.
    pub fn encoder(&self, field: Field) -> Option<&Arc<dyn Encoder>> {
        self.encoders.iter().find(|(known, _)| *known == field).map(|(_, encoder)| encoder)
    }

    /// The vector of a query text, by the encoder of a field.
    ///
    /// # Errors
    /// [`OpenError::NoField`]; [`OpenError::NoEncoder`] if the field was given none;
    /// [`OpenError::Encode`] if it fails.
    pub fn encode_query(&self, field: &str, text: &str) -> Result<Vec<f32>, OpenError> {
        use crate::encoder::{Role, Text};
        let dense = self.dense_field(field)?;
        let encoder = self
            .encoder(dense.field)
            .ok_or_else(|| OpenError::NoEncoder { field: field.to_owned() })?;
        let encoded = encoder.encode(Role::Query, &[Text::new(text)])?;
        if encoded.vectors.rows() != 1 || encoded.vectors.dim() != dense.options.dim() {
            return Err(OpenError::WrongAnswer { field: field.to_owned() });
        }
        Ok(encoded.vectors.row(0).to_vec())
    }

    /// A writer with as many threads as the machine has cores, at most 8, which share the budget
    /// in bytes (each needs 15 MB).
    ///
    /// # Errors
    /// [`OpenError::Tantivy`] if another writer is open or the budget is too small.
    pub fn writer<D: Document>(&self, memory_budget: usize) -> Result<DenseWriter<D>, OpenError> {
        refuse_settings(self.index.settings())?;
        Ok(DenseWriter::new(self, self.index.writer(memory_budget)?))
    }

    /// A writer with `threads` threads, which share the budget in bytes (each needs 15 MB).
    ///
    /// # Errors
    /// [`OpenError::Tantivy`] if another writer is open, the budget is too small, or `threads`
    /// is 0.
    pub fn writer_with_num_threads<D: Document>(
        &self,
        threads: usize,
        memory_budget: usize,
    ) -> Result<DenseWriter<D>, OpenError> {
        refuse_settings(self.index.settings())?;
        if threads == 0 {
            let zero = "a writer needs at least 1 thread, got 0".to_owned();
            return Err(TantivyError::InvalidArgument(zero).into());
        }
        let writer = self.index.writer_with_num_threads(threads, memory_budget)?;
        Ok(DenseWriter::new(self, writer))
    }

    /// How many threads build an index, in a merge or for [`DenseWriter::optimize`]. Default: as many
    /// as the machine has cores. One index is built at a time.
    #[must_use]
    pub fn build_threads(self, threads: usize) -> Self {
        self.segments.set_build_threads(threads);
        self
    }

    /// Uses FAISS on a CUDA card beside the processor, for all that share this index; the first card that
    /// is given stays.
    ///
    /// There, lists (`ivf` recipes, and what FAISS can of `factory` ones) are built, as ordinary files. And
    /// [`search_batch`](crate::search_batch) asks it, where 32 queries or more are alike: all rows are compared
    /// for a graph and for exact search, which finds the same as on the processor, or lists are read. Rows are
    /// copied to the card for the first such batch, and stay there as long as the segment is open. What the card
    /// fails in, the processor does, with a warning. Default: the processor alone.
    pub fn use_gpu(&self, gpu: Gpu) {
        self.segments.set_gpu(gpu);
    }

    /// The card that is used beside the processor.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.segments.gpu()
    }

    /// A reader that follows commits by itself, a little later, as Tantivy's does.
    ///
    /// # Errors
    /// [`OpenError::Tantivy`] if the segments cannot be opened.
    pub fn reader(&self) -> Result<DenseReader, OpenError> {
        Ok(DenseReader::following(&self.index)?)
    }

    /// A reader that stays at the commit it sees until [`DenseReader::reload`].
    ///
    /// # Errors
    /// [`OpenError::Tantivy`] if the segments cannot be opened.
    pub fn manual_reader(&self) -> Result<DenseReader, OpenError> {
        Ok(DenseReader::manual(&self.index)?)
    }
}

impl std::fmt::Debug for DenseIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseIndex")
            .field("index", &self.index)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

fn plugin_for(schema: &Schema, settings: &IndexSettings) -> Result<DensePlugin, OpenError> {
    refuse_settings(settings)?;
    let plugin = DensePlugin::for_schema(schema)?;
    if plugin.segments().fields().is_empty() { Err(OpenError::NoDenseField) } else { Ok(plugin) }
}

fn find_field<'a>(fields: &'a [DenseField], name: &str) -> Result<&'a DenseField, OpenError> {
    fields.iter().find(|field| field.name == name).ok_or_else(|| OpenError::NoField {
        field: name.to_owned(),
        known: fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join("`, `"),
    })
}

/// The field of this name, if its vectors are this encoder's.
fn check_encoder(
    fields: &[DenseField],
    field: &str,
    encoder: &dyn Encoder,
) -> Result<Field, OpenError> {
    let dense = find_field(fields, field)?;
    let name = || field.to_owned();
    let options = &dense.options;
    let Some(built_with) = options.fingerprint() else {
        return Err(OpenError::OwnVectors { field: name() });
    };
    if built_with != encoder.fingerprint() {
        return Err(OpenError::OtherEncoder {
            field: name(),
            built_with: built_with.to_string(),
            given: encoder.fingerprint().to_string(),
        });
    }
    if options.dim() != encoder.dim() {
        let (built_with, given) = (options.dim(), encoder.dim());
        return Err(OpenError::OtherDim { field: name(), built_with, given });
    }
    Ok(dense.field)
}

/// Collects what a new index needs.
pub struct DenseIndexBuilder {
    schema: Schema,
    settings: IndexSettings,
    tokenizers: TokenizerManager,
    encoders: Vec<(String, Arc<dyn Encoder>)>,
}

impl DenseIndexBuilder {
    /// The encoder of a dense field. Default: none; its vectors are then given by the caller.
    #[must_use]
    pub fn encoder(mut self, field: impl Into<String>, encoder: Arc<dyn Encoder>) -> Self {
        self.encoders.push((field.into(), encoder));
        self
    }

    /// Tantivy's settings. Default: Tantivy's.
    #[must_use]
    pub fn settings(mut self, settings: IndexSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Tantivy's tokenizers. Default: Tantivy's.
    #[must_use]
    pub fn tokenizers(mut self, tokenizers: TokenizerManager) -> Self {
        self.tokenizers = tokenizers;
        self
    }

    /// Makes the index in memory.
    ///
    /// # Errors
    /// As [`DenseIndexBuilder::create`].
    pub fn create_in_ram(self) -> Result<DenseIndex, OpenError> {
        self.create(RamDirectory::create())
    }

    /// Makes the index in an existing folder.
    ///
    /// # Errors
    /// As [`DenseIndexBuilder::create`].
    pub fn create_in_dir(self, path: impl AsRef<Path>) -> Result<DenseIndex, OpenError> {
        self.create(MmapDirectory::open(path).map_err(TantivyError::from)?)
    }

    /// Makes the index in a directory.
    ///
    /// # Errors
    /// [`OpenError::NoDenseField`], [`OpenError::Field`], [`OpenError::Recipe`] or
    /// [`OpenError::Refused`] if schema and settings do not make a dense index; [`OpenError::Tantivy`] if there is an index already, or
    /// the directory cannot be written; as [`DenseIndex::with_encoder`] for the encoders.
    pub fn create(self, directory: impl Into<Box<dyn Directory>>) -> Result<DenseIndex, OpenError> {
        let directory = directory.into();
        let plugin = plugin_for(&self.schema, &self.settings)?;
        let segments = plugin.segments().clone();
        let fields: Arc<[DenseField]> = segments.fields().into();
        // Before anything is written: a wrong recipe or encoder leaves no index behind.
        for field in &*fields {
            let options = &field.options;
            check_recipe(options.get_ann(), options.dim(), options.get_metric()).map_err(
                |source| OpenError::Recipe {
                    field: field.name.clone(),
                    recipe: options.get_ann().to_string(),
                    source,
                },
            )?;
        }
        for (field, encoder) in &self.encoders {
            check_encoder(&fields, field, &**encoder)?;
        }
        if Index::exists(&*directory).map_err(TantivyError::from)? {
            return Err(TantivyError::IndexAlreadyExists.into());
        }
        let index = Index::builder()
            .schema(self.schema)
            .settings(self.settings)
            .tokenizers(self.tokenizers)
            .register_plugin(Arc::new(plugin))
            .open_or_create(directory)?;
        let mut index = DenseIndex { index, fields, segments, encoders: Vec::new() };
        for (field, encoder) in self.encoders {
            index = index.with_encoder(&field, encoder)?;
        }
        Ok(index)
    }
}

impl std::fmt::Debug for DenseIndexBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseIndexBuilder")
            .field("schema", &self.schema)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Why an index with dense fields could not be made, opened or used as wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum OpenError {
    /// Made by plain Tantivy or another tool.
    #[error(
        "this Tantivy index was made without dense fields; make a new one with `DenseIndex` and \
         index its documents again"
    )]
    NotDense,
    /// The schema has none.
    #[error("the schema has no dense field; add one with `add_dense_field`")]
    NoDenseField,
    /// A dense field of the schema cannot be used.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The settings put documents in an order that plugins cannot follow.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The recipe cannot be built.
    #[error("field `{field}` cannot be searched as {recipe}: {source}")]
    Recipe { field: String, recipe: String, source: AnnError },
    /// A name that is no dense field's.
    #[error("no dense field `{field}`; there is `{known}`")]
    NoField { field: String, known: String },
    /// Another encoder made these vectors, so scores against ours would mean nothing.
    #[error(
        "field `{field}` was built with encoder {built_with}, not with {given}; open it with that \
         encoder, or index again with this one"
    )]
    OtherEncoder { field: String, built_with: String, given: String },
    /// The encoder's vectors do not fit into the field.
    #[error(
        "field `{field}` has vectors of dim {built_with}, and the encoder makes {given}; open it \
         with the encoder it was built with, or index again with this one"
    )]
    OtherDim { field: String, built_with: Dim, given: Dim },
    /// Nobody knows what made the field's vectors.
    #[error(
        "field `{field}` holds vectors of the caller's own, of no encoder; make the field with \
         `DenseOptions::for_encoder` to have texts encoded"
    )]
    OwnVectors { field: String },
    /// Nothing to encode a query with.
    #[error("field `{field}` was given no encoder; give it one with `DenseIndex::with_encoder`")]
    NoEncoder { field: String },
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] crate::encoder::EncodeError),
    /// The encoder broke its promise.
    #[error("the encoder of field `{field}` did not give one vector of the field's dim a text")]
    WrongAnswer { field: String },
    /// Tantivy refused.
    #[error(transparent)]
    Tantivy(#[from] TantivyError),
}

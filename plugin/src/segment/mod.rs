//! The vectors of a segment: Tantivy's plugin that writes, merges and reads them.
//!
//! Two files a segment: `.vec`, the only copy of the vectors, and `.ann`, indexes over it, which may be
//! absent and can be built again. Both are declared to Tantivy, so that they follow their segment.
//!
//! Invariants: every segment has `.vec`; a merge copies rows and never encodes; nothing that a
//! document holds makes indexing fail; nothing about `.ann` makes indexing, merging or searching fail.

pub(crate) mod annfile;
pub(crate) mod build;
pub(crate) mod file;
pub(crate) mod format;
#[cfg(test)]
mod format_tests;
mod languages;
mod merge;
pub(crate) mod reader;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use tantivy::directory::error::OpenReadError;
use tantivy::index::{IndexSettings, SegmentComponent};
use tantivy::schema::Schema;
use tantivy::space_usage::ComponentSpaceUsage;
use tantivy::{
    HasLen, PluginMergeContext, PluginWriter, PluginWriterContext, SegmentPlugin, SegmentReader,
    TantivyError,
};

pub use format::FormatError;
pub use reader::{AnnStatus, ReadError};
pub(crate) use reader::{Docs, OpenField, OpenSegment};
pub(crate) use writer::DenseSegmentWriter;

use crate::cache::Segments;
use crate::field::{DenseField, FieldError};

/// The file of the vectors.
pub(crate) const VEC: &str = "vec";
/// The file of what finds them faster.
pub(crate) const ANN: &str = "ann";

/// Writes and merges the vectors of all dense fields of a schema.
///
/// [`DenseIndex`](crate::DenseIndex) registers it by itself. Register it by hand only where an
/// index is not opened through `DenseIndex`.
#[derive(Debug)]
pub struct DensePlugin {
    fields: Arc<[DenseField]>,
    segments: Arc<Segments>,
}

impl DensePlugin {
    /// The plugin for the dense fields of a schema.
    ///
    /// # Errors
    /// [`FieldError`] if this build cannot read the parameters of one.
    pub fn for_schema(schema: &Schema) -> Result<Self, FieldError> {
        let fields: Arc<[DenseField]> = DenseField::all(schema)?.into();
        Ok(Self { segments: Arc::new(Segments::new(fields.clone())), fields })
    }

    /// What is open of the index that this plugin is registered with.
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }
}

impl SegmentPlugin for DensePlugin {
    fn extensions(&self) -> &[&str] {
        &[VEC, ANN]
    }

    fn create_writer(&self, ctx: &PluginWriterContext) -> tantivy::Result<Box<dyn PluginWriter>> {
        refuse_settings(ctx.segment.index().settings())?;
        let (fields, segments) = (self.fields.clone(), self.segments.clone());
        Ok(Box::new(DenseSegmentWriter::new(fields, segments)))
    }

    fn merge(&self, ctx: PluginMergeContext) -> tantivy::Result<()> {
        merge::merge(&self.fields, &self.segments, &ctx)
    }

    fn space_usage(
        &self,
        reader: &SegmentReader,
    ) -> tantivy::Result<BTreeMap<String, ComponentSpaceUsage>> {
        let mut usage = BTreeMap::new();
        for extension in [VEC, ANN] {
            match reader.open_read(SegmentComponent::Custom(extension.to_owned())) {
                Ok(file) => {
                    let bytes = (file.len() as u64).into();
                    usage.insert(extension.to_owned(), ComponentSpaceUsage::Basic(bytes));
                }
                Err(OpenReadError::FileDoesNotExist(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(usage)
    }
}

/// Why an index cannot have dense fields: how its documents are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Tantivy does not tell plugins which document went where.
    #[error(
        "an index that is sorted by a field cannot have dense fields; leave `sort_by_field` out \
         of its settings and order results when searching, with `TopDocs::order_by_fast_field`"
    )]
    Sorted,
    /// Tantivy does not tell plugins which document went where.
    #[error(
        "an index whose caller orders the documents cannot have dense fields; leave \
         `manual_doc_id_mapping` out of its settings"
    )]
    ManualOrder,
}

/// Doc ids must stay in the order of adding: the maps that say otherwise cannot be read.
pub(crate) fn refuse_settings(settings: &IndexSettings) -> Result<(), Refused> {
    if settings.sort_by_field.is_some() {
        return Err(Refused::Sorted);
    }
    if settings.manual_doc_id_mapping {
        return Err(Refused::ManualOrder);
    }
    Ok(())
}

/// For the ways around [`refuse_settings`] that Tantivy leaves open.
pub(crate) fn shuffled() -> TantivyError {
    Refused::Sorted.into()
}

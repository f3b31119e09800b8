//! The analysing threads: records to documents.

use dense_plugin::LanguageTag;
use tantivy::TantivyDocument;

use super::MissingLanguage;
use super::read::Batch;
use crate::corpus::{BadLine, Record};
use crate::error::IndexError;
use crate::language::Detector;
use crate::resume::Position;
use crate::schema::CorpusSchema;

/// A batch whose documents can be encoded and added.
pub(super) struct Prepared {
    /// External ids and documents.
    pub(super) documents: Vec<(String, TantivyDocument)>,
    pub(super) detected: u64,
    pub(super) undetermined: u64,
    pub(super) bad: Vec<BadLine>,
    pub(super) position: Position,
    pub(super) past_committed: bool,
    pub(super) failed: Option<IndexError>,
}

/// How languages are found that records do not tell.
#[derive(Clone, Copy)]
pub(super) struct Languages<'a> {
    pub(super) missing: &'a MissingLanguage,
    pub(super) detector: Option<&'a Detector>,
}

impl Languages<'_> {
    /// A record's language, and whether it was detected.
    fn of(&self, record: &Record) -> (LanguageTag, bool) {
        if let Some(language) = &record.language {
            return (language.clone(), false);
        }
        match (self.missing, self.detector) {
            (MissingLanguage::Detect { otherwise }, Some(detector)) => {
                // A name in another language may stand in a title: the text is surer.
                let title = record.title.as_deref().unwrap_or("");
                let found = detector.detect(&record.text).or_else(|| detector.detect(title));
                (found.clone().unwrap_or_else(|| otherwise.clone()), found.is_some())
            }
            (MissingLanguage::Detect { otherwise: tag } | MissingLanguage::Is(tag), _) => {
                (tag.clone(), false)
            }
        }
    }
}

pub(super) fn prepare(batch: Batch, schema: &CorpusSchema, languages: Languages<'_>) -> Prepared {
    let (mut detected, mut undetermined) = (0, 0);
    let documents = batch
        .records
        .into_iter()
        .map(|record| {
            let (language, found) = languages.of(&record);
            detected += u64::from(found);
            undetermined += u64::from(language == LanguageTag::undetermined());
            let document = schema.document(&record, &language);
            (record.id, document)
        })
        .collect();
    Prepared {
        documents,
        detected,
        undetermined,
        bad: batch.bad,
        position: batch.position,
        past_committed: batch.past_committed,
        failed: batch.failed,
    }
}

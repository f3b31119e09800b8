//! One row on its way into a segment: how a vector travels inside a Tantivy document.
//!
//! Tantivy hands a custom field's values to its plugin as opaque bytes. These bytes never reach a
//! disk: they live between `add_document` and the segment's writer, so their form may change.
//!
//! Invariant: [`RowBytes::parse`] takes exactly what [`DenseRow::to_bytes`] wrote, and nothing else.

use std::ops::Range;

use tantivy::TantivyDocument;
use tantivy::schema::Field;
use zerocopy::{F32, FromBytes, LE};

use crate::field::DenseOptions;
use crate::language::LanguageTag;
use crate::vector::{VectorError, check_row};

const MARK: u8 = 0xD5;
const HAS_SOURCE: u8 = 1;
const HAS_LANGUAGE: u8 = 2;

/// A vector that the caller made, with what is known about the text behind it.
///
/// For documents of other types than [`TantivyDocument`]: give [`DenseRow::to_bytes`] as a
/// [`ReferenceValueLeaf::Custom`](tantivy::schema::document::ReferenceValueLeaf::Custom) value.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseRow {
    vector: Vec<f32>,
    language: Option<LanguageTag>,
    source: Option<Range<u32>>,
}

impl DenseRow {
    /// A row without a language and a place. It is checked when its document is added.
    pub fn new(vector: impl Into<Vec<f32>>) -> Self {
        Self { vector: vector.into(), language: None, source: None }
    }

    /// The language of the text behind the vector. Default: that of the document.
    #[must_use]
    pub fn language(mut self, language: LanguageTag) -> Self {
        self.language = Some(language);
        self
    }

    /// Which bytes of the source text the vector stands for. Default: not known.
    #[must_use]
    pub fn source(mut self, bytes: Range<u32>) -> Self {
        self.source = Some(bytes);
        self
    }

    pub(crate) fn from_parts(
        vector: Vec<f32>,
        language: Option<LanguageTag>,
        source: Option<Range<u32>>,
    ) -> Self {
        Self { vector, language, source }
    }

    /// The vector.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// The vector, without the rest.
    pub fn into_vector(self) -> Vec<f32> {
        self.vector
    }

    /// The language of the text behind the vector, where known.
    pub fn get_language(&self) -> Option<&LanguageTag> {
        self.language.as_ref()
    }

    /// Which bytes of the source text the vector stands for, where known.
    pub fn get_source(&self) -> Option<Range<u32>> {
        self.source.clone()
    }

    /// The row as the value of a dense field in a document.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&self.vector, self.language.as_ref(), self.source.as_ref())
    }
}

/// Mark, flags, count of numbers, the numbers, then source range and language where flagged.
pub(crate) fn encode(
    vector: &[f32],
    language: Option<&LanguageTag>,
    source: Option<&Range<u32>>,
) -> Vec<u8> {
    let flags =
        u8::from(source.is_some()) * HAS_SOURCE + u8::from(language.is_some()) * HAS_LANGUAGE;
    let mut bytes = Vec::with_capacity(14 + 4 * vector.len());
    bytes.extend([MARK, flags]);
    // A vector too long for any field is refused later: its count need only not be mistaken.
    bytes.extend(u32::try_from(vector.len()).unwrap_or(u32::MAX).to_le_bytes());
    for x in vector {
        bytes.extend(x.to_le_bytes());
    }
    if let Some(range) = source {
        bytes.extend(range.start.to_le_bytes());
        bytes.extend(range.end.to_le_bytes());
    }
    if let Some(language) = language {
        bytes.extend(language.as_str().as_bytes());
    }
    bytes
}

/// What a value of a dense field holds, borrowed from its bytes.
#[derive(Debug)]
pub(crate) struct RowBytes<'a> {
    pub(crate) vector: &'a [F32<LE>],
    pub(crate) language: Option<&'a str>,
    pub(crate) source: Option<Range<u32>>,
}

impl<'a> RowBytes<'a> {
    /// None if the bytes were not made by [`encode`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[mark, flags], rest) = bytes.split_first_chunk::<2>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        if mark != MARK || flags & !(HAS_SOURCE | HAS_LANGUAGE) != 0 {
            return None;
        }
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (vector, rest) = <[F32<LE>]>::ref_from_prefix_with_elems(rest, count).ok()?;
        let (source, rest) = if flags & HAS_SOURCE == 0 {
            (None, rest)
        } else {
            let (start, rest) = rest.split_first_chunk::<4>()?;
            let (end, rest) = rest.split_first_chunk::<4>()?;
            (Some(u32::from_le_bytes(*start)..u32::from_le_bytes(*end)), rest)
        };
        let language = match (flags & HAS_LANGUAGE == 0, rest) {
            (true, []) => None,
            (true, _) => return None,
            (false, tag) => Some(std::str::from_utf8(tag).ok()?),
        };
        Some(Self { vector, language, source })
    }

    /// Checks the vector against what a field holds.
    pub(crate) fn check(&self, options: &DenseOptions) -> Result<(), VectorError> {
        let vector = self.vector();
        check_row(options.dim(), &vector)?;
        options.get_element().check(&vector)
    }

    /// The vector.
    pub(crate) fn vector(&self) -> Vec<f32> {
        self.vector.iter().map(|x| x.get()).collect()
    }
}

/// Adds vectors to Tantivy's own document type.
pub trait DenseDocument {
    /// Adds a vector that the caller made: one more row of this document in this field.
    ///
    /// It is checked by [`DenseWriter::add_document`](crate::DenseWriter::add_document).
    fn add_dense(&mut self, field: Field, vector: &[f32]);

    /// Adds a vector with its language or place.
    fn add_dense_row(&mut self, field: Field, row: &DenseRow);
}

impl DenseDocument for TantivyDocument {
    fn add_dense(&mut self, field: Field, vector: &[f32]) {
        self.add_custom(field, &encode(vector, None, None));
    }

    fn add_dense_row(&mut self, field: Field, row: &DenseRow) {
        self.add_custom(field, &row.to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was_given(
            vector in prop::collection::vec(any::<f32>(), 0..20),
            tagged in any::<bool>(),
            source in prop::option::of(any::<(u32, u32)>()),
        ) {
            let mut row = DenseRow::new(vector.clone());
            row.language = tagged.then(|| "zh-Hant".parse().unwrap());
            row.source = source.map(|(start, end)| start..end);
            let bytes = row.to_bytes();
            let parsed = RowBytes::parse(&bytes).unwrap();
            let bits = |x: f32| x.to_bits();
            prop_assert_eq!(
                parsed.vector.iter().map(|x| bits(x.get())).collect::<Vec<_>>(),
                vector.into_iter().map(bits).collect::<Vec<_>>()
            );
            prop_assert_eq!(parsed.language, tagged.then_some("zh-Hant"));
            prop_assert_eq!(parsed.source, row.source);
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(row) = RowBytes::parse(&bytes) {
                prop_assert!(row.vector.len() * 4 < bytes.len());
            }
        }

        #[test]
        fn a_row_cut_short_is_refused(vector in prop::collection::vec(any::<f32>(), 1..9)) {
            let bytes = encode(&vector, None, Some(&(1..2)));
            for end in 0..bytes.len() {
                prop_assert!(RowBytes::parse(&bytes[..end]).is_none());
            }
        }
    }
}

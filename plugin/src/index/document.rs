//! A document of any type together with its rows, as one Tantivy document.
//!
//! Invariant: the values of dense fields that Tantivy sees are those of `rows`, in their order;
//! everything else is as the inner document has it.

use std::sync::Arc;

use tantivy::Document;
use tantivy::schema::Field;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf, Value};

/// A document with its rows.
pub(crate) struct WithRows<D> {
    pub(crate) inner: D,
    pub(crate) rows: Vec<(Field, Vec<u8>)>,
    pub(crate) dense: Arc<[Field]>,
}

impl<D: Document> Document for WithRows<D> {
    type Value<'a> = RowOr<'a, D::Value<'a>>;
    type FieldsValuesIter<'a> = Box<dyn Iterator<Item = (Field, Self::Value<'a>)> + 'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        let inner = self.inner.iter_fields_and_values();
        let inner = inner.filter(|(field, _)| !self.dense.contains(field));
        let rows = self.rows.iter().map(|(field, row)| (*field, RowOr::Row(row.as_slice())));
        Box::new(inner.map(|(field, value)| (field, RowOr::Inner(value))).chain(rows))
    }
}

/// A value of the inner document, or a row.
#[derive(Clone, Debug)]
pub(crate) enum RowOr<'a, V> {
    Inner(V),
    Row(&'a [u8]),
}

type Wrap<'a, V> = fn(V) -> RowOr<'a, V>;
type WrapEntry<'a, V> = fn((&'a str, V)) -> (&'a str, RowOr<'a, V>);

impl<'a, V: Value<'a>> Value<'a> for RowOr<'a, V> {
    type ArrayIter = std::iter::Map<V::ArrayIter, Wrap<'a, V>>;
    type ObjectIter = std::iter::Map<V::ObjectIter, WrapEntry<'a, V>>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        match self {
            Self::Row(bytes) => ReferenceValue::Leaf(ReferenceValueLeaf::Custom(bytes)),
            Self::Inner(value) => match value.as_value() {
                ReferenceValue::Leaf(leaf) => ReferenceValue::Leaf(leaf),
                ReferenceValue::Array(items) => {
                    ReferenceValue::Array(items.map(Self::Inner as Wrap<'a, V>))
                }
                ReferenceValue::Object(entries) => {
                    let wrap: WrapEntry<'a, V> = |(key, value)| (key, Self::Inner(value));
                    ReferenceValue::Object(entries.map(wrap))
                }
            },
        }
    }
}

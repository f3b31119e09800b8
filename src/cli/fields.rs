//! What a person is told of a dense field: its numbers, and how its segments are searched.

use dense_plugin::{AnnStatus, Element, FieldSummary, SegmentSummary};
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

/// A kind of numbers by the name that it has in a schema.
pub(super) fn element(name: &str) -> Result<Element, String> {
    Element::deserialize(StrDeserializer::<Error>::new(name))
        .map_err(|_| format!("`{name}` is none of f32, f16 and int8"))
}

/// The name of a kind of numbers, as [`element`] takes it.
pub(super) fn name_of(element: Element) -> String {
    let name = serde_json::to_value(element).expect("a name is plain JSON");
    name.as_str().unwrap_or_default().to_owned()
}

/// How one field of one segment is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Searched {
    /// By its index.
    Index,
    /// Exactly, as it is meant to be.
    Exactly,
    /// Exactly, for lack of an index.
    Missing,
    /// Exactly, because its index is damaged or this build cannot use it.
    Damaged,
}

/// Says so of a segment whose index was checked.
pub(super) fn searched(status: &AnnStatus) -> Searched {
    match status {
        // Rows that no index can be built of have a file that says just that.
        AnnStatus::Ready(recipe) if recipe != "exact" => Searched::Index,
        AnnStatus::Missing => Searched::Missing,
        AnnStatus::Bypassed(_) => Searched::Damaged,
        _ => Searched::Exactly,
    }
}

/// Whether a field of the segment is to be searched by an index that is not there, or is damaged.
pub(super) fn lacks_index(segment: &SegmentSummary) -> bool {
    let lacks = |field: &FieldSummary| {
        matches!(searched(&field.ann), Searched::Missing | Searched::Damaged)
    };
    segment.fields.iter().any(lacks)
}

/// How many segments of a field are searched in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ways {
    by_index: usize,
    exactly: usize,
    lack_index: usize,
    damaged: usize,
}

impl Ways {
    /// Counts one more segment.
    pub(super) fn add(&mut self, status: &AnnStatus) {
        let count = match searched(status) {
            Searched::Index => &mut self.by_index,
            Searched::Exactly => &mut self.exactly,
            Searched::Missing => &mut self.lack_index,
            Searched::Damaged => &mut self.damaged,
        };
        *count += 1;
    }

    /// As a phrase: `2 by index, 1 exactly`.
    pub(super) fn words(self) -> String {
        let ways = [
            (self.by_index, "by index"),
            (self.exactly, "exactly"),
            (self.lack_index, "exactly for lack of an index"),
            (self.damaged, "exactly because the index is damaged"),
        ];
        let words: Vec<String> =
            ways.iter().filter(|(n, _)| *n > 0).map(|(n, way)| format!("{n} {way}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_numbers_have_the_names_that_they_print() {
        for kind in [Element::F32, Element::F16, Element::Int8] {
            assert_eq!(element(&name_of(kind)), Ok(kind));
        }
        assert!(element("int4").is_err());
    }

    #[test]
    fn only_ways_that_occur_are_named() {
        let mut ways = Ways::default();
        assert_eq!(ways.words(), "none");
        ways.add(&AnnStatus::Ready("hnsw(8,20)".to_owned()));
        ways.add(&AnnStatus::Ready("exact".to_owned()));
        ways.add(&AnnStatus::Exact);
        assert_eq!(ways.words(), "1 by index, 2 exactly");
    }
}

//! What the fuzz targets call of the parsers that nobody else may: each takes any bytes, and must not
//! panic. Property tests call the same, and so do the tests of what the fuzzer found
//! (`fixtures/broken`).
//!
//! Left out on purpose: indexes of FAISS's own making (`factory(...)`), whose bytes FAISS reads. FAISS
//! trusts them; here only their checksum does not.

#[cfg(feature = "faiss")]
use std::sync::Arc;

use tantivy::directory::OwnedBytes;
use tantivy::index::SegmentId;
use tantivy::schema::Field;

use crate::field::{DenseField, DenseOptions};
use crate::row::RowBytes;
use crate::segment::annfile::AnnFile;
use crate::segment::format::VecFile;
use crate::segment::{OpenField, annfile, format};

/// A `.vec` file: as it is, and with these bytes as its directory, all checksums right.
pub fn vec_file(bytes: &[u8]) {
    look_into(bytes.to_vec());
    if let Some((size, rest)) = bytes.split_first() {
        // The sections of the directory are among so many bytes before it.
        let (body, directory) = rest.split_at((usize::from(*size) * 64).min(rest.len()));
        look_into(format::with_directory(body, directory));
    }
}

fn look_into(bytes: Vec<u8>) {
    let Ok(file) = VecFile::parse(OwnedBytes::new(bytes)) else { return };
    let _ = file.verify();
    for entry in &file.fields {
        let options = DenseOptions::new(entry.dim).metric(entry.metric).element(entry.element);
        let field = Field::from_field_id(entry.field);
        let dense = DenseField { field, name: "any".to_owned(), options };
        let Ok(open) = OpenField::open(SegmentId::generate_random(), &file, &dense) else {
            continue;
        };
        let Ok(docs) = open.docs() else { continue };
        let rows = open.rows().rows();
        for row in (0..rows).take(3).chain(rows.checked_sub(1)) {
            assert!(docs.rows_of(docs.of(row)).contains(&row));
            let _ = open.row(row);
        }
    }
}

/// An `.ann` file: as it is, and with these bytes as its directory, all checksums right.
pub fn ann_file(bytes: &[u8]) {
    let look_into = |bytes: Vec<u8>| {
        let Ok(file) = AnnFile::parse(OwnedBytes::new(bytes)) else { return };
        let _ = file.check();
        for entry in &file.fields {
            let parts = file.parts(entry);
            #[cfg(feature = "faiss")]
            parts::open_as(&entry.backend, &parts);
            drop(parts);
        }
    };
    look_into(bytes.to_vec());
    look_into(annfile::with_directory(bytes));
}

/// A row on its way into a segment.
pub fn row(bytes: &[u8]) {
    if let Some(row) = RowBytes::parse(bytes) {
        let language = row.language.and_then(|tag| tag.parse().ok());
        let again = crate::row::encode(&row.vector(), language.as_ref(), row.source.as_ref());
        let options = DenseOptions::new(crate::Dim::new(3).expect("above 0"));
        let _ = row.check(&options);
        // A tag that is none is left out, and one in another form comes out in the usual one.
        let same = language.as_ref().map(crate::LanguageTag::as_str) == row.language;
        let nan = row.vector().iter().any(|x| x.is_nan());
        assert!(!same || nan || again == bytes, "a row has one form");
    }
}

/// The parts of an index over rows, changed in ways that the bytes describe.
#[cfg(feature = "faiss")]
pub fn ann_parts(bytes: &[u8]) {
    parts::changed(bytes);
}

#[cfg(feature = "faiss")]
mod parts {
    use std::sync::OnceLock;

    use tantivy::directory::OwnedBytes;

    use super::Arc;
    use crate::ann::{
        Accept, AnnBackend, AnnIndex, AnnParts, BuildJob, Graph, Lists, RowSet, RowsView,
        SearchParams, conformance,
    };
    use crate::element::Element;
    use crate::vector::Metric;

    /// More than 256, or nothing but rows would be looked at.
    const ROWS: u32 = 300;

    /// What was built, to be changed.
    struct Built {
        backend: Box<dyn AnnBackend>,
        rows: RowsView,
        parts: AnnParts,
    }

    fn built(number: u8) -> Arc<Built> {
        static BUILT: [OnceLock<Arc<Built>>; 15] = [const { OnceLock::new() }; 15];
        let number = usize::from(number) % BUILT.len();
        let made = BUILT[number].get_or_init(|| {
            let metric = [Metric::Cosine, Metric::Dot, Metric::L2][number / 5];
            let backend: Box<dyn AnnBackend> = match number % 5 {
                0 => Box::new(Graph::new(4, 10, None)),
                1 => Box::new(Graph::new(4, 10, Some(Element::Int8))),
                2 => Box::new(Graph::new(4, 10, Some(Element::F16))),
                3 => Box::new(Lists::new(Some(7), None)),
                _ => Box::new(Lists::new(Some(7), Some(Element::Int8))),
            };
            let rows = conformance::sample_rows(ROWS as usize, 3, metric, Element::F32);
            let mut parts = AnnParts::default();
            let job = BuildJob { rows: &rows, base: None, threads: 1 };
            backend.build(&job, &mut parts).expect("rows like any others");
            Arc::new(Built { backend, rows, parts })
        });
        made.clone()
    }

    pub(super) fn open_as(backend: &str, parts: &AnnParts) {
        let number = match backend {
            "graph" => 0,
            "lists" => 3,
            _ => return,
        };
        let built = built(number);
        if let Ok(index) = built.backend.open(parts, built.rows.clone()) {
            search(index.as_ref());
        }
    }

    pub(super) fn changed(bytes: &[u8]) {
        let mut bytes = bytes.iter().copied();
        let first = bytes.next().unwrap_or(0);
        let built = built(first);
        let mut parts = built.parts.clone();
        for _ in 0..64 {
            if change(&mut parts, &mut bytes).is_none() {
                break;
            }
        }
        if let Ok(index) = built.backend.open(&parts, built.rows.clone()) {
            search(index.as_ref());
        }
        // Building takes a hundred times as long as opening: a few get that far.
        if first < 225 {
            return;
        }
        // To be built on, an index must be just as sound.
        let base = Some(crate::ann::Base { parts: &parts, rows: ROWS });
        let job = BuildJob { rows: &built.rows, base, threads: 1 };
        let mut again = AnnParts::default();
        built.backend.build(&job, &mut again).expect("an unsound base is left alone");
        let index = built.backend.open(&again, built.rows.clone()).expect("what was built opens");
        search(index.as_ref());
    }

    /// One change; none where the bytes end.
    fn change(parts: &mut AnnParts, bytes: &mut impl Iterator<Item = u8>) -> Option<()> {
        let kind = bytes.next()?;
        let which = usize::from(bytes.next()?);
        let mut number = || {
            let four: Vec<u8> = bytes.by_ref().take(4).collect();
            four.try_into().ok().map(u32::from_le_bytes)
        };
        if kind % 8 == 7 {
            let value = u64::from(number()?) << (8 * (kind / 8 % 5));
            let name = parts.facts.keys().nth(which % parts.facts.len().max(1))?.clone();
            match kind {
                255 => drop(parts.facts.remove(&name)),
                _ => drop(parts.facts.insert(name, value)),
            }
            return Some(());
        }
        let name = parts.sections.keys().nth(which % parts.sections.len().max(1))?.clone();
        let mut section = parts.sections[&name].to_vec();
        let at = number()? as usize;
        match kind % 8 {
            0..=2 if section.len() >= 4 => {
                let at = at % (section.len() / 4) * 4;
                section[at..at + 4].copy_from_slice(&number()?.to_le_bytes());
            }
            3 | 4 if !section.is_empty() => {
                let at = at % section.len();
                section[at] = kind / 8;
            }
            5 => section.resize(at % 8192, kind),
            6 => {
                parts.sections.remove(&name);
                return Some(());
            }
            _ => {}
        }
        parts.sections.insert(name, OwnedBytes::new(section));
        Some(())
    }

    /// Whatever an index holds, as many rows are found as there are, each once.
    fn search(index: &dyn AnnIndex) {
        let third = || Accept::Rows(RowSet::from_fn(ROWS, |row| row % 3 == 0));
        let least = SearchParams { ef_search: Some(1), nprobe: Some(1), rescore: Some(1) };
        for (accept, passing) in [(Accept::All, 300), (third(), 100)] {
            for (k, params) in [(1, least), (3, least), (400, least), (2, SearchParams::default())]
            {
                let found = index.search(&[0.5, -0.25, 1.0], k, &accept, &params);
                let found = found.expect("a fitting query is answered");
                assert_eq!(found.len(), k.min(passing), "min(k, passing) rows");
                let mut rows: Vec<u32> = found.iter().map(|n| n.row).collect();
                rows.sort_unstable();
                rows.dedup();
                assert_eq!(rows.len(), found.len(), "each once");
                let passes = |row: &u32| accept.rows().is_none_or(|set| set.contains(*row));
                assert!(rows.iter().all(|row| *row < ROWS && passes(row)), "{rows:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..400)
    }

    proptest! {
        #[test]
        fn any_bytes_of_a_vec_file_are_read_or_refused(bytes in any_bytes()) {
            vec_file(&bytes);
        }

        #[test]
        fn any_bytes_of_an_ann_file_are_read_or_refused(bytes in any_bytes()) {
            ann_file(&bytes);
        }

        #[test]
        fn any_bytes_of_a_row_are_read_or_refused(bytes in any_bytes()) {
            row(&bytes);
        }

        #[cfg(feature = "faiss")]
        #[test]
        fn any_change_of_an_index_is_refused_or_does_no_harm(bytes in any_bytes()) {
            ann_parts(&bytes);
        }

        /// Few changes, of numbers that are near to what is right: these get furthest.
        #[cfg(feature = "faiss")]
        #[test]
        fn a_small_change_of_an_index_is_refused_or_does_no_harm(
            built in any::<u8>(),
            changes in prop::collection::vec((0u8..5, any::<u8>(), any::<u32>(), -2i32..305), 1..6),
        ) {
            let mut bytes = vec![built];
            for (kind, which, at, number) in changes {
                bytes.extend([kind, which]);
                bytes.extend(at.to_le_bytes());
                if kind < 3 {
                    bytes.extend(number.to_le_bytes());
                }
            }
            ann_parts(&bytes);
        }
    }

    #[test]
    fn what_the_fuzzer_found_does_no_harm() {
        let broken = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/broken");
        let again = |name, target: fn(&[u8])| {
            // A target that nothing was found with has no folder.
            for found in fs::read_dir(broken.join(name)).into_iter().flatten() {
                target(&fs::read(found.unwrap().path()).unwrap());
            }
        };
        again("vec_file", vec_file);
        again("ann_file", ann_file);
        again("row", row);
        #[cfg(feature = "faiss")]
        again("ann_parts", ann_parts);
    }
}

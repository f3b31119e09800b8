//! The format against damage of every kind.

use std::io::Write;

use proptest::prelude::*;
use tantivy::directory::OwnedBytes;

use super::file::VecFileWriter;
use super::format::{FieldEntry, FormatError, Kind, TAIL, VecFile};
use super::languages::{Tags, read_tags};
use super::reader::doc_flags;
use crate::element::Element;
use crate::vector::{Dim, Metric};

/// What goes into one field of a file: dim, docs of the rows, whether all sections are there.
type FieldSpec = (usize, Vec<u32>, bool);

fn write(specs: &[FieldSpec]) -> Vec<u8> {
    let mut file = VecFileWriter::new(Vec::new(), 100).unwrap();
    for (id, (dim, docs, full)) in (0u32..).zip(specs) {
        let rows = docs.len();
        let mut put =
            |kind, bytes: Vec<u8>| file.section(kind, |out| out.write_all(&bytes)).unwrap();
        let mut sections = vec![
            put(Kind::Rows, (0..rows * dim).flat_map(|_| 1.5f32.to_le_bytes()).collect()),
            put(Kind::Docs, docs.iter().flat_map(|doc| doc.to_le_bytes()).collect()),
        ];
        if *full {
            let mut tags = Tags::default();
            let number = tags.number("sw");
            let mut bytes = Vec::new();
            tags.write(&mut bytes).unwrap();
            sections.push(put(Kind::Tags, bytes));
            sections.push(put(
                Kind::Languages,
                docs.iter().flat_map(|_| number.to_le_bytes()).collect(),
            ));
            sections.push(put(Kind::Sources, vec![7; 8 * rows]));
        }
        file.field(FieldEntry {
            field: id * 3,
            dim: Dim::new(*dim).unwrap(),
            element: Element::F32,
            metric: Metric::L2,
            rows: u32::try_from(rows).unwrap(),
            flags: doc_flags(&docs.iter().copied()),
            refused: 5,
            sections,
        });
    }
    file.finish().unwrap()
}

fn parse(bytes: Vec<u8>) -> Result<VecFile, FormatError> {
    VecFile::parse(OwnedBytes::new(bytes))
}

fn example() -> Vec<u8> {
    write(&[(3, vec![0, 0, 7], true), (17, vec![], false), (1, vec![9, 2], false)])
}

fn specs() -> impl Strategy<Value = Vec<FieldSpec>> {
    prop::collection::vec((1usize..40, prop::collection::vec(0u32..100, 0..9), any::<bool>()), 0..4)
}

proptest! {
    #[test]
    fn what_was_written_is_read(specs in specs()) {
        let file = parse(write(&specs)).unwrap();
        file.verify().unwrap();
        prop_assert_eq!((file.max_doc, file.fields.len()), (100, specs.len()));
        for (entry, (dim, docs, full)) in file.fields.iter().zip(&specs) {
            prop_assert_eq!((entry.dim.get(), entry.rows as usize), (*dim, docs.len()));
            prop_assert_eq!((entry.metric, entry.refused), (Metric::L2, 5));
            prop_assert_eq!(entry.sections.len(), if *full { 5 } else { 2 });
            prop_assert!(entry.sections.iter().all(|s| s.range.start % 64 == 0));
            let written: Vec<u8> = docs.iter().flat_map(|doc| doc.to_le_bytes()).collect();
            let read = file.section(entry.section(Kind::Docs).unwrap());
            prop_assert_eq!(read.as_slice(), &written[..]);
        }
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(bytes).is_err());
    }

    /// A directory that is wrong, but whose checksums are right, as a careless writer makes it.
    #[test]
    fn a_directory_of_any_bytes_never_panics(
        changes in prop::collection::vec((0usize..1000, any::<u8>()), 1..6),
        tail in prop::collection::vec((0usize..16, any::<u8>()), 0..2),
    ) {
        let mut bytes = example();
        let tail_at = bytes.len() - TAIL;
        let start = usize::try_from(u64::from_le_bytes(bytes[tail_at..tail_at + 8].try_into().unwrap())).unwrap();
        for (at, byte) in changes {
            bytes[start + at % (tail_at - start)] = byte;
        }
        for (at, byte) in tail {
            bytes[tail_at + at] = byte;
        }
        let crc = crc32fast::hash(&bytes[start..tail_at]).to_le_bytes();
        bytes[tail_at + 12..tail_at + 16].copy_from_slice(&crc);
        let crc = crc32fast::hash(&bytes[tail_at..tail_at + 24]).to_le_bytes();
        bytes[tail_at + 24..tail_at + 28].copy_from_slice(&crc);
        if let Ok(file) = parse(bytes) {
            // Every section can be sliced, whatever else is wrong.
            let _ = file.verify();
            for section in file.fields.iter().flat_map(|field| &field.sections) {
                let _ = file.section(section);
            }
        }
    }

    #[test]
    fn tags_of_any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
        let _ = read_tags(&bytes);
    }
}

#[test]
fn every_flipped_byte_is_found() {
    let bytes = example();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let found = parse(damaged).and_then(|file| file.verify());
            assert!(found.is_err(), "byte {at} ^ {flip:#x} went unseen");
        }
    }
}

#[test]
fn every_truncation_is_found_when_opening() {
    let bytes = example();
    for end in 0..bytes.len() {
        assert!(parse(bytes[..end].to_vec()).is_err(), "cut at {end}");
    }
}

#[test]
fn a_file_of_a_later_release_says_so() {
    let mut bytes = example();
    bytes[8] = 2;
    assert_eq!(parse(bytes).unwrap_err(), FormatError::TooNew { found: 2, newest: 1 });
}

/// The bytes of version 1 are frozen: whoever changes them changes this, and the version.
#[test]
fn version_1_has_these_bytes() {
    let bytes = write(&[(2, vec![4], true)]);
    assert_eq!(&bytes[..16], b"tdensVEC\x01\0\0\0\x64\0\0\0");
    assert_eq!(bytes.len(), 64 * 6 + 24 + 5 * 24 + 32);
    assert_eq!(bytes[64..72], [0, 0, 0xC0, 0x3F, 0, 0, 0xC0, 0x3F], "1.5 and 1.5");
    assert_eq!(bytes[128..132], [4, 0, 0, 0], "the doc of row 0");
    assert_eq!(&bytes[192..198], b"\x01\0\x02\0sw");
    assert_eq!(bytes[256..258], [1, 0], "the first tag");
    assert_eq!(bytes[384..392], [0, 0, 0, 0, 2, 0, 0, 2], "field 0, dim 2, f32, L2");
    assert_eq!(bytes[392..408], [1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(bytes[528..536], [0x80, 1, 0, 0, 0, 0, 0, 0], "the directory is at 384");
    assert_eq!(crc32fast::hash(&bytes), 316_563_489, "all the rest");
}

//! Files that are not what was written: `.vec` is an error, `.ann` is done without and built again.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use serde_json::Value;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{Field, Schema};
use tantivy::{Searcher, TantivyDocument};
use tantivy_dense_plugin::{
    AnnStatus, DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, DenseSearcher,
    DenseWriter, KnnQuery, Metric,
};

use crate::support::{dim, top};

/// More than 640: fewer rows are compared even where there is a graph.
const ROWS: u32 = 1500;

const DIM: u32 = 16;

/// Numbers that differ by `seed`.
fn vector(row: u32, seed: u32) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "16 bits fit")]
    let number = |i: u32| {
        let mixed = crc32fast::hash(format!("{seed} {row} {i}").as_bytes());
        (mixed >> 16) as f32 / 32_768.0 - 1.0
    };
    (0..DIM).map(number).collect()
}

/// An index of one segment with an `.ann`, in a folder.
struct Indexed {
    folder: tempfile::TempDir,
    field: Field,
    segment: String,
}

impl Indexed {
    fn new(seed: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut schema = Schema::builder();
        let options = DenseOptions::new(dim(DIM as usize)).metric(Metric::L2);
        let field = schema.add_dense_field("v", options.ann("hnsw(8,20)".parse().unwrap()));
        let index = DenseIndex::create_in_dir(folder.path(), schema.build()).unwrap();
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for row in 0..ROWS {
            let mut doc = TantivyDocument::new();
            doc.add_dense(field, &vector(row, seed));
            writer.add_document(doc).unwrap();
        }
        writer.commit().unwrap();
        assert_eq!(writer.optimize().unwrap().wait().unwrap().built.len(), 1);
        writer.wait_merging_threads().unwrap();
        let segment = index.tantivy().searchable_segment_ids().unwrap()[0].uuid_string();
        Self { folder, field, segment }
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.path().join(format!("{}.{extension}", self.segment))
    }

    fn open(&self) -> DenseIndex {
        DenseIndex::open_in_dir(self.folder.path()).unwrap()
    }

    fn searcher(&self) -> Searcher {
        let reader = self.open().manual_reader().unwrap();
        reader.warm().unwrap();
        reader.searcher()
    }

    /// Whether searches with and without the index agree, and how many queries found the same.
    fn agreeing(&self, searcher: &Searcher) -> usize {
        let same = |seed: &u32| {
            let knn = KnnQuery::new(self.field, vector(5, *seed), 10);
            let exact = top(searcher, &knn.clone().exact());
            assert_eq!(exact.len(), 10);
            let found = top(searcher, &knn.ef_search(10));
            assert_eq!(found.len(), 10);
            found == exact
        };
        (1000..1050).filter(same).count()
    }
}

fn status(searcher: &Searcher) -> AnnStatus {
    searcher.dense_segments().unwrap()[0].fields[0].ann.clone()
}

/// Where the last part of an `.ann` starts, and where Tantivy's footer does.
fn tail(bytes: &[u8]) -> (usize, usize) {
    let magic = bytes.windows(4).rposition(|four| four == b"nna1").unwrap();
    (magic - 20, magic + 4)
}

/// The same file with other bytes in a section and all checksums right.
fn with_section(bytes: &[u8], name: &str, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let (tail, footer) = tail(bytes);
    let start = u64::from_le_bytes(bytes[tail..tail + 8].try_into().unwrap());
    let start = usize::try_from(start).unwrap();
    let mut directory: Value = serde_json::from_slice(&bytes[start..tail]).unwrap();
    let sections = directory["fields"][0]["sections"].as_array_mut().unwrap();
    let section = sections.iter_mut().find(|section| section["name"] == name).unwrap();
    let number = |what: &str| usize::try_from(section[what].as_u64().unwrap()).unwrap();
    let (from, to) = (number("offset"), number("offset") + number("length"));
    let mut changed = bytes[..start].to_vec();
    change(&mut changed[from..to]);
    section["crc"] = crc32fast::hash(&changed[from..to]).into();
    let directory = serde_json::to_vec(&directory).unwrap();
    changed.extend(&directory);
    let mut last = (start as u64).to_le_bytes().to_vec();
    last.extend(crc32fast::hash(&directory).to_le_bytes());
    last.extend(crc32fast::hash(&last).to_le_bytes());
    last.extend([0; 4]);
    last.extend(b"nna1");
    changed.extend(last);
    changed.extend(&bytes[footer..]);
    changed
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

#[test]
fn a_damaged_vec_is_an_error_that_names_segment_and_file_whatever_the_index_says() {
    let indexed = Indexed::new(0);
    let file = indexed.file("vec");
    let sound = fs::read(&file).unwrap();
    let cut = sound.len() / 2;
    for (what, bytes) in [
        ("a row", flipped(&sound, 64)),
        (
            "the directory",
            flipped(&sound, sound.windows(4).rposition(|w| w == b"cev1").unwrap() - 40),
        ),
        ("half the file", sound[..cut].to_vec()),
        ("no byte", Vec::new()),
    ] {
        fs::write(&file, bytes).unwrap();
        let reader = indexed.open().manual_reader();
        let error = match reader.map(|reader| reader.searcher().verify_vectors()) {
            Ok(verified) => verified.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(&format!("{}.vec", indexed.segment)), "{what}: {error}");
    }
}

#[test]
fn an_index_that_cannot_be_used_is_bypassed_until_it_is_built_again() {
    let indexed = Indexed::new(0);
    let other = fs::read(Indexed::new(1).file("ann")).unwrap();
    let file = indexed.file("ann");
    let sound = fs::read(&file).unwrap();
    assert!(matches!(status(&indexed.searcher()), AnnStatus::Ready(_)));
    let (last, footer) = tail(&sound);
    let neighbour = |number: i32| {
        move |section: &mut [u8]| section[400..404].copy_from_slice(&number.to_le_bytes())
    };
    let damages = [
        ("a header", Some(flipped(&sound, 3))),
        ("a section", Some(flipped(&sound, 70))),
        ("a directory", Some(flipped(&sound, last - 9))),
        ("a last part", Some(flipped(&sound, last + 2))),
        ("no end", Some(sound[..sound.len() - 1].to_vec())),
        ("no end of ours", Some([&sound[..last], &sound[footer..]].concat())),
        ("half of it", Some(sound[..sound.len() / 2].to_vec())),
        ("a header alone", Some(sound[..16].to_vec())),
        ("no byte", Some(Vec::new())),
        ("other bytes", Some(b"nothing of the kind, but long enough to be looked at".repeat(9))),
        ("other vectors'", Some(other)),
        ("a neighbour past the last", Some(with_section(&sound, "neighbours", neighbour(1500)))),
        ("a neighbour before none", Some(with_section(&sound, "neighbours", neighbour(-2)))),
        ("a row on no level", Some(with_section(&sound, "levels", |levels| levels[9] = 0))),
        ("a row on 255 levels", Some(with_section(&sound, "levels", |levels| levels[9] = 255))),
        ("no file", None),
    ];
    for (what, bytes) in damages {
        match &bytes {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let index = indexed.open();
        let reader = index.manual_reader().unwrap();
        reader.warm().unwrap();
        let searcher = reader.searcher();
        match status(&searcher) {
            AnnStatus::Bypassed(why) => assert!(why.contains(".ann"), "{what}: {why}"),
            AnnStatus::Missing => assert!(bytes.is_none(), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        let named = searcher.verify_indexes().unwrap();
        assert_eq!(named.len(), usize::from(bytes.is_some()), "{what}: {named:?}");
        assert!(named.iter().all(|why| why.contains(&format!("{}.ann", indexed.segment))));
        assert_eq!(indexed.agreeing(&searcher), 50, "{what}: all are exact");
        searcher.verify_vectors().unwrap();

        let writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        assert_eq!(writer.optimize().unwrap().wait().unwrap().built.len(), 1, "{what}");
        let ready = AnnStatus::Ready("hnsw(8,20)".to_owned());
        assert_eq!(status(&searcher), ready, "{what}: a searcher that was open uses it");
        assert_eq!(searcher.verify_indexes().unwrap(), [""; 0], "{what}");
        assert!(indexed.agreeing(&searcher) > 0, "{what}");
        drop((writer, searcher, reader, index));
        assert_eq!(status(&indexed.searcher()), ready, "{what}: and so does whoever opens it");
    }
}

#[test]
fn the_check_of_damage_above_tells_graphs_from_exact_search() {
    let indexed = Indexed::new(0);
    let agreeing = indexed.agreeing(&indexed.searcher());
    assert!((1..50).contains(&agreeing), "{agreeing}: a graph of so little effort misses some");
}

#[test]
fn an_index_that_is_damaged_while_it_is_open_is_bypassed_once_that_is_seen() {
    let indexed = Indexed::new(0);
    let index = indexed.open();
    let reader = index.manual_reader().unwrap();
    reader.warm().unwrap();
    let searcher = reader.searcher();
    assert!(matches!(status(&searcher), AnnStatus::Ready(_)));
    // A level that was looked at before: in the mapped file, not in another one of its name.
    let mut file = fs::OpenOptions::new().write(true).open(indexed.file("ann")).unwrap();
    file.seek(SeekFrom::Start(70)).unwrap();
    file.write_all(&[9]).unwrap();
    drop(file);
    assert_eq!(searcher.verify_indexes().unwrap().len(), 1);
    assert!(matches!(status(&searcher), AnnStatus::Bypassed(_)));
    assert_eq!(indexed.agreeing(&searcher), 50);
    reader.reload().unwrap();
    reader.warm().unwrap();
    assert!(
        matches!(status(&reader.searcher()), AnnStatus::Bypassed(_)),
        "it is not taken for sound again"
    );
    let writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    assert_eq!(writer.optimize().unwrap().wait().unwrap().built.len(), 1);
    assert!(matches!(status(&searcher), AnnStatus::Ready(_)));
    assert_eq!(searcher.verify_indexes().unwrap(), [""; 0]);
}

#[test]
fn a_merge_builds_its_index_from_nothing_where_a_source_has_a_damaged_one() {
    let indexed = Indexed::new(0);
    let bytes = fs::read(indexed.file("ann")).unwrap();
    let wrong = |section: &mut [u8]| section[400..404].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    fs::write(indexed.file("ann"), with_section(&bytes, "neighbours", wrong)).unwrap();
    let index = indexed.open();
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let mut doc = TantivyDocument::new();
    doc.add_dense(indexed.field, &vector(0, 7));
    writer.add_document(doc).unwrap();
    writer.commit().unwrap();
    let segments = index.tantivy().searchable_segment_ids().unwrap();
    writer.merge(&segments).wait().unwrap();
    let reader = index.manual_reader().unwrap();
    reader.warm().unwrap();
    let searcher = reader.searcher();
    assert_eq!(searcher.num_docs(), u64::from(ROWS) + 1);
    assert!(matches!(status(&searcher), AnnStatus::Ready(_)));
    assert_eq!(searcher.verify_indexes().unwrap(), [""; 0]);
}

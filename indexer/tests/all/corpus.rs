//! Every form a corpus comes in, and every way a line can be wrong.

use std::fs;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tantivy_dense_indexer::{
    BadKind, Entry, Fields, Format, ReadOptions, Record, Records, Source, SourceError,
};

fn read_with(source: Source, options: &ReadOptions) -> Result<Vec<Entry>, SourceError> {
    Records::open(source, options)?.collect()
}

fn source(bytes: impl Into<Vec<u8>>) -> Source {
    Source::from_reader("s", Cursor::new(bytes.into()))
}

fn records(bytes: impl Into<Vec<u8>>) -> Vec<Record> {
    let entries = read_with(source(bytes), &ReadOptions::default()).unwrap();
    entries.into_iter().map(|entry| entry.record.unwrap()).collect()
}

/// The one record or bad line of a one-line source.
fn one(line: impl Into<Vec<u8>>) -> Result<Record, (BadKind, String)> {
    let entries = read_with(source(line), &ReadOptions::default()).unwrap();
    assert_eq!(entries.len(), 1);
    entries[0].record.clone().map_err(|bad| (bad.kind, bad.to_string()))
}

fn record(id: &str, language: Option<&str>, title: Option<&str>, text: &str) -> Record {
    Record {
        id: id.to_owned(),
        language: language.map(|tag| tag.parse().unwrap()),
        title: title.map(str::to_owned),
        text: text.to_owned(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_lines_are_read_whatever_else_they_hold() {
    let lines = concat!(
        "\u{feff}{\"_id\": \"a\", \"title\": \"T\", \"text\": \"one\", \"metadata\": {\"x\": [1]}}\r\n",
        "\n",
        "{\"id\": 7, \"text\": \" two \", \"lang\": \"swa\", \"title\": null}\n",
        "{\"_id\": \"c\", \"text\": \"\", \"title\": \"only a title\", \"language\": \"\"}\n",
        "{\"_id\": \"d\", \"text\": \"no line end\", \"lang\": \"und\"}",
    );
    assert_eq!(
        records(lines),
        [
            record("a", None, Some("T"), "one"),
            record("7", Some("sw"), None, "two"),
            record("c", None, Some("only a title"), ""),
            record("d", None, None, "no line end"),
        ]
    );
}

#[test]
fn fields_can_have_other_names_and_then_only_those_count() {
    let name = |name: &str| Some(name.to_owned());
    let fields =
        Fields { id: name("docno"), text: name("body"), title: name("head"), language: name("l") };
    let options = ReadOptions { fields, ..ReadOptions::default() };
    let lines = concat!(
        "{\"docno\": \"a\", \"_id\": \"x\", \"head\": \"T\", \"title\": \"X\", \"body\": \"b\", \"l\": \"te\"}\n",
        "{\"_id\": \"x\", \"text\": \"b\"}\n",
    );
    let entries = read_with(source(lines), &options).unwrap();
    assert_eq!(entries[0].record, Ok(record("a", Some("te"), Some("T"), "b")));
    let bad = entries[1].record.clone().unwrap_err();
    assert_eq!(bad.to_string(), "s:2: missing field: `docno`");
}

#[test]
fn tab_separated_lines_are_read_with_and_without_a_header() {
    assert_eq!(
        records("1\tone\n2\ttitle\ttwo\n"),
        [record("1", None, None, "one"), record("2", None, Some("title"), "two")]
    );
    assert_eq!(
        records("lang\ttext\tnote\tid\nsw\tmoja\t-\t1\n"),
        [record("1", Some("sw"), None, "moja")]
    );
    let entries = read_with(source("1\n1\t2\t3\t4\n").format(Format::Tsv), &ReadOptions::default());
    for entry in entries.unwrap() {
        assert_eq!(entry.record.unwrap_err().kind, BadKind::Malformed);
    }
}

#[test]
fn a_beir_folder_stands_for_its_corpus_compressed_or_not() {
    let line = b"{\"_id\": \"a\", \"text\": \"one\"}\n";
    // Several members and frames in a row, as pigz and zstd make them.
    let gz = [gzip(line), gzip(b"{\"_id\": \"b\", \"text\": \"two\"}\n")].concat();
    let zst = [
        zstd::encode_all(&line[..], 3).unwrap(),
        zstd::encode_all(&b"{\"_id\": \"b\", \"text\": \"two\"}\n"[..], 3).unwrap(),
    ]
    .concat();
    for (name, bytes, ids) in [
        ("corpus.jsonl", line.to_vec(), vec!["a"]),
        ("corpus.jsonl.gz", gz, vec!["a", "b"]),
        ("corpus.jsonl.zst", zst, vec!["a", "b"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &bytes).unwrap();
        let source = Source::at(folder.path()).unwrap();
        assert_eq!(source.bytes(), Some(bytes.len() as u64));
        let entries = read_with(source, &ReadOptions::default()).unwrap();
        let read: Vec<_> = entries.into_iter().map(|entry| entry.record.unwrap().id).collect();
        assert_eq!(read, ids, "{name}");
    }
}

#[test]
fn what_is_no_source_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Source::at(folder.path()), Err(SourceError::Folder { .. })));
    let missing = Source::at(folder.path().join("missing.jsonl")).unwrap_err();
    assert!(missing.to_string().ends_with("missing.jsonl: cannot be opened"), "{missing}");
}

#[test]
fn each_bad_line_says_where_and_what() {
    for (line, kind, message) in [
        (&b"{\"_id\": \"a\""[..], BadKind::Malformed, "s:1: malformed line: no JSON"),
        (
            b"{\"_id\": \"a\", \"text\": 3}",
            BadKind::Malformed,
            "s:1: malformed line: `text` is not a string",
        ),
        (
            b"{\"_id\": [1], \"text\": \"a\"}",
            BadKind::Malformed,
            "s:1: malformed line: `_id` is not a string or a whole number of 64 bits",
        ),
        (b"{\"_id\": \"a\"}", BadKind::MissingField, "s:1: missing field: `text`"),
        (b"{\"text\": \"a\"}", BadKind::MissingField, "s:1: missing field: `_id` or `id`"),
        (
            b"{\"_id\": \" \", \"text\": \"a\"}",
            BadKind::MissingField,
            "s:1: missing field: the id is empty",
        ),
        (b"{\"_id\": \"a\", \"text\": \" \"}", BadKind::EmptyText, "s:1: empty text: document `a`"),
        (
            b"{\"_id\": \"a\", \"text\": \"t\", \"lang\": \"no language\"}",
            BadKind::UnknownLanguage,
            "s:1: unknown language: document `a`: `no language` is no language tag",
        ),
        (
            b"{\"_id\": \"\xff\", \"text\": \"a\"}",
            BadKind::InvalidUtf8,
            "s:1: invalid UTF-8: at byte 10 of the line",
        ),
    ] {
        let (found, words) = one(line).unwrap_err();
        assert_eq!(found, kind, "{words}");
        assert!(words.starts_with(message), "{words}");
    }
}

#[test]
fn a_number_that_json_readers_round_is_no_id() {
    for id in ["18446744073709551615", "-7", "0"] {
        let line = format!("{{\"_id\": {id}, \"text\": \"t\"}}");
        assert_eq!(one(line), Ok(record(id, None, None, "t")));
    }
    // The first two are one number to a reader that keeps 64 bits of it.
    for id in ["123456789012345678901", "123456789012345678902", "1.5", "1e3"] {
        let (kind, words) = one(format!("{{\"_id\": {id}, \"text\": \"t\"}}")).unwrap_err();
        assert_eq!(kind, BadKind::Malformed, "{words}");
    }
}

#[test]
fn an_id_too_long_to_be_looked_up_again_is_a_bad_line() {
    let line = |bytes| format!("{{\"_id\": \"{}\", \"text\": \"t\"}}", "x".repeat(bytes));
    assert!(one(line(65_530)).is_ok());
    let (kind, words) = one(line(65_531)).unwrap_err();
    assert_eq!(kind, BadKind::Malformed);
    assert_eq!(words, "s:1: malformed line: the id is longer than 65530 bytes");
}

#[test]
fn a_field_that_is_null_leaves_its_place_to_the_next_usual_name() {
    let line = r#"{"_id": null, "id": 7, "text": "t", "lang": null, "language": "swa"}"#;
    assert_eq!(records(line), [record("7", Some("sw"), None, "t")]);
}

#[test]
fn a_column_that_is_asked_for_and_not_there_makes_every_line_bad() {
    let name = |name: &str| Some(name.to_owned());
    let lines = "id\tbody\tnote\n1\tthe body\tthe note\n2\tbdy\tid\n";
    for (fields, column) in [
        (Fields { text: name("bdy"), ..Fields::default() }, "bdy"),
        (Fields { id: name("docno"), text: name("body"), ..Fields::default() }, "docno"),
        (Fields { text: name("body"), language: name("l"), ..Fields::default() }, "l"),
        (Fields { title: name("note"), ..Fields::default() }, "text"),
    ] {
        let options = ReadOptions { fields, ..ReadOptions::default() };
        let entries = read_with(source(lines), &options).unwrap();
        assert_eq!(entries.len(), 3);
        for entry in entries {
            let bad = entry.record.unwrap_err();
            assert_eq!(bad.kind, BadKind::MissingField);
            assert_eq!(bad.detail, format!("the first line names no column `{column}`"));
        }
    }
}

#[test]
fn a_file_in_utf_16_is_refused_with_what_to_do() {
    let text = "1\tone\r\n2\ttwo\r\n";
    let little = text.encode_utf16().flat_map(u16::to_le_bytes);
    let big = text.encode_utf16().flat_map(u16::to_be_bytes);
    for bytes in [
        b"\xff\xfe".iter().copied().chain(little).collect::<Vec<u8>>(),
        b"\xfe\xff".iter().copied().chain(big).collect(),
    ] {
        for bytes in [gzip(&bytes), bytes] {
            let error = read_with(source(bytes), &ReadOptions::default()).unwrap_err();
            assert!(error.to_string().starts_with("s: UTF-16, not UTF-8; convert it"), "{error}");
        }
    }
}

#[test]
fn zstandard_that_begins_with_a_frame_to_skip_is_read() {
    // As pzstd writes it: each frame's length goes before it, in a frame of its own.
    let frame = zstd::encode_all(&b"{\"_id\": \"a\", \"text\": \"one\"}\n"[..], 3).unwrap();
    let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
    let bytes = [&b"\x50\x2a\x4d\x18\x04\0\0\0"[..], &length, &frame].concat();
    assert_eq!(records(bytes), [record("a", None, None, "one")]);
}

#[test]
fn deeply_nested_json_is_a_bad_line() {
    let nested = format!("{{\"_id\": \"a\", \"text\": {}", "[".repeat(100_000));
    assert_eq!(one(nested).unwrap_err().0, BadKind::Malformed);
}

#[test]
fn a_line_over_the_limit_is_passed_over_and_the_next_is_read() {
    let options = ReadOptions { longest_line: 100, ..ReadOptions::default() };
    let long = format!("{{\"_id\": \"a\", \"text\": \"{}\"}}", "x".repeat(200_000));
    let lines = format!("{long}\n{{\"_id\": \"b\", \"text\": \"t\"}}\n");
    let entries = read_with(source(lines), &options).unwrap();
    assert_eq!(entries[0].record.as_ref().unwrap_err().kind, BadKind::LineTooLong);
    assert_eq!(entries[1].record, Ok(record("b", None, None, "t")));
    assert_eq!(entries[1].place.line, 2);
}

#[test]
fn a_compressed_file_cut_short_ends_in_an_error_after_what_came_before() {
    use std::fmt::Write as _;
    let mut lines = String::new();
    for i in 0..20_000_u32 {
        // Not too compressible, so that the middle of the file is the middle of the lines.
        let noise = i.wrapping_mul(2_654_435_761);
        writeln!(lines, "{{\"_id\": {i}, \"text\": \"number {noise}\"}}").unwrap();
    }
    for whole in [gzip(lines.as_bytes()), zstd::encode_all(lines.as_bytes(), 3).unwrap()] {
        let cut = whole[..whole.len() / 2].to_vec();
        let mut read = Records::open(source(cut), &ReadOptions::default()).unwrap();
        let mut last = 0;
        let error = loop {
            match read.next().unwrap() {
                Ok(entry) => {
                    assert!(entry.record.is_ok(), "no half line is taken for a whole one");
                    last = entry.place.line;
                }
                Err(error) => break error,
            }
        };
        assert!(last > 1_000, "{last}");
        assert!(error.to_string().starts_with(&format!("s:{last}: what follows")), "{error}");
        assert!(read.next().is_none());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        magic in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"{", b"\xef\xbb\xbf"]),
        limit in 1_usize..100,
    ) {
        let options = ReadOptions { longest_line: limit, ..ReadOptions::default() };
        if let Ok(records) = Records::open(source([magic, &bytes].concat()), &options) {
            for entry in records.flatten() {
                prop_assert!(entry.place.line >= 1);
            }
        }
    }

    #[test]
    fn any_record_is_read_back_from_json(
        id in "[^\\s]{1,8}", title in "\\PC{0,8}", text in "\\PC{1,40}",
    ) {
        prop_assume!(!text.trim().is_empty() && !id.trim().is_empty());
        let line = serde_json::json!({"_id": id, "title": title, "text": text}).to_string();
        let read = one(line).unwrap();
        prop_assert_eq!(&read.id, id.trim());
        prop_assert_eq!(read.title.as_deref().unwrap_or(""), title.trim());
        prop_assert_eq!(&read.text, text.trim());
    }
}

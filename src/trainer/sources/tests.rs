use super::*;
use std::fs;
use std::sync::Arc;

fn read(name: &str, lines: &str, kind: Kind) -> Vec<Found> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, lines).unwrap();
    assert_eq!(Kind::of(&file).unwrap(), Some(kind));
    all(kind, &file)
}

fn all(kind: Kind, file: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    assert_eq!(kind.read(file, OnBadLine::Refuse, &mut |set| found.push(set)).unwrap(), 0);
    found
}

fn texts(wordings: &[Wording]) -> Vec<(&str, &str)> {
    wordings.iter().map(|w| (w.language.as_str(), w.text.as_str())).collect()
}

#[test]
fn headings_find_sections_paragraphs_translations_and_keywords_openings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aligned.jsonl");
    let lines = [
        r#"{"page": "a", "id": "hd_1", "text": {"en": "Find", "de": "Suchen", "pt": "Procurar", "pt-BR": "Localizar"}}"#,
        r#"{"page": "a", "id": "par_1", "text": {"en": "Searches the whole text.", "de": "Durchsucht den Text.", "el": "Searches the whole text."}}"#,
        r#"{"page": "a", "id": "par_2", "text": {"en": "Or not.", "el": "Ή όχι."}}"#,
        r#"{"page": "a", "id": "hd_2", "text": {"en": "Nothing below"}}"#,
        r#"{"page": "b", "id": "hd_1", "text": {"en": "Next", "de": "Weiter"}}"#,
        r#"{"page": "b", "id": "par_1", "text": {"en": "Short.", "de": "Kurz."}}"#,
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let keywords = [
        r#"{"lang": "en-US", "page": "a", "anchor": "x", "text": " -- finding --  texts"}"#,
        r#"{"lang": "de", "page": "a", "anchor": "x", "text": "Suche"}"#,
        r#"{"lang": "de", "page": "none", "anchor": "x", "text": "Suche"}"#,
    ];
    fs::write(folder.path().join("index-queries.jsonl.gz"), keywords.join("\n")).unwrap();
    let found = all(Kind::Help, &file);
    let names: Vec<&str> = found.iter().map(|found| found.source.as_str()).collect();
    let [section, translations, keywords] =
        ["libreoffice-help", "libreoffice-help-translations", "libreoffice-help-keywords"];
    assert_eq!(names, [section, translations, section, keywords]);
    assert_eq!(
        texts(&found[0].set.queries),
        [("de", "Suchen"), ("en", "Find"), ("pt", "Procurar")]
    );
    let both = [("de", "Durchsucht den Text."), ("en", "Searches the whole text. Or not.")];
    assert_eq!(texts(&found[0].set.passages), both, "Greek only repeats the English");
    assert!(Arc::ptr_eq(&found[1].set.queries, &found[1].set.passages));
    assert_eq!(texts(&found[3].set.queries), [("en", "finding texts"), ("de", "Suche")]);
    assert_eq!(found[3].set.passages[0].text, "Suchen: Durchsucht den Text.");
    assert_eq!(found[3].set.question, found[0].set.question);
    assert_eq!(found[3].set.document, found[1].set.document);
}

#[test]
fn blocks_of_gnome_are_put_in_order_and_their_headings_are_guessed() {
    let lines = [
        r#"{"page": "a", "i": 2, "text": {"en": "You can search for files.", "sr@latin": "Datoteke."}}"#,
        r#"{"page": "a", "i": 0, "text": {"en": "Search"}}"#,
        r#"{"page": "a", "i": 1, "text": {"en": "Search for files", "sr@latin": "Traži"}}"#,
    ];
    let found = read("aligned.jsonl", &lines.join("\n"), Kind::Gnome);
    assert_eq!(texts(&found[0].set.queries), [("en", "Search for files"), ("sr-Latn", "Traži")]);
    assert_eq!(texts(&found[0].set.passages)[1], ("sr-Latn", "Datoteke."));
    assert_eq!(found[1].source, "gnome-user-docs-translations");
    assert_eq!(found.len(), 2);
}

#[test]
fn packages_are_found_by_their_titles_and_strings_by_their_translations() {
    let row = r#"{"id": "a", "md5": "0", "text": {"en": {"title": "dictionary", "body": "Words."}, "pt_BR": {"title": "dicionário", "body": "Palavras."}}}"#;
    let found = read("d.jsonl", row, Kind::Ddtp);
    assert_eq!(texts(&found[0].set.queries), [("en", "dictionary"), ("pt", "dicionário")]);
    assert_eq!(texts(&found[0].set.passages)[1], ("pt", "Palavras."));
    let rows = [
        r#"{"en": "Do not ask me again", "cy": "Peidio gofyn eto", "xx-bad-": "?", "is": ""}"#,
        r#"{"en": "OK", "cy": "Iawn"}"#,
    ];
    let found = read("s.jsonl", &rows.join("\n"), Kind::Strings);
    assert_eq!(found.len(), 1);
    assert_eq!(
        texts(&found[0].set.queries),
        [("cy", "Peidio gofyn eto"), ("en", "Do not ask me again")]
    );
}

#[test]
fn a_file_of_something_else_is_of_no_kind() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a", ""), ("b", "{}"), ("c", "not JSON"), ("d", "[1]")] {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        assert_eq!(Kind::of(&file).unwrap(), None);
    }
    assert_eq!(Kind::in_folder(folder.path()), []);
}

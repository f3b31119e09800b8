//! Debian's package descriptions: title -> body.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Found, Tags, Texts, wordings};
use crate::trainer::corpus::NewSet;
use crate::trainer::lines::{OnBadLine, ReadError, each_row};

#[derive(Deserialize)]
struct Row {
    id: String,
    text: BTreeMap<String, Description>,
}

#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
}

pub(super) fn read(
    file: &Path,
    on_bad: OnBadLine,
    take: &mut dyn FnMut(Found),
) -> Result<usize, ReadError> {
    let mut tags = Tags::default();
    each_row(file, on_bad, |row: Row| {
        let (mut titles, mut bodies) = (Texts::new(), Texts::new());
        for (language, Description { title, body }) in row.text {
            titles.insert(language.clone(), title);
            bodies.insert(language, body);
        }
        take(Found {
            source: "ddtp".to_owned(),
            // Each description is under its package's licence, all of them free.
            licence: Some("LicenseRef-mixed-free".to_owned()),
            set: NewSet {
                queries: wordings(&titles, &mut tags).into(),
                passages: wordings(&bodies, &mut tags).into(),
                negatives: Vec::new(),
                question: None,
                passage: None,
                document: format!("ddtp/{}", row.id),
            },
        });
        Ok(())
    })
}

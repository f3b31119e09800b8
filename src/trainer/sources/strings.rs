//! `LibreOffice`'s interface: text -> translation, in the most languages of all.

use std::path::Path;

use super::{Found, Tags, Texts, is_long, translations, wordings};
use crate::trainer::lines::{OnBadLine, ReadError, each_row};

/// Shorter strings ("Find All") mean one thing here and another there.
const LEAST_CHARS: usize = 12;

pub(super) fn read(
    file: &Path,
    on_bad: OnBadLine,
    take: &mut dyn FnMut(Found),
) -> Result<usize, ReadError> {
    let mut tags = Tags::default();
    each_row(file, on_bad, |texts: Texts| {
        if is_long(&texts, LEAST_CHARS) {
            let document = format!("libreoffice-ui/{}", texts["en"]);
            take(Found {
                source: "libreoffice-ui".to_owned(),
                licence: Some("MPL-2.0".to_owned()),
                set: translations(wordings(&texts, &mut tags), document),
            });
        }
        Ok(())
    })
}

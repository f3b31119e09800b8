//! Passages cut to the sentence that answers, as far as the untrained encoder can tell.
//!
//! A passage longer than a run's tokens is cut at its end, and its answer may be behind the cut. One sentence is short, and
//! is what collections of sentences hold.
//!
//! Invariant: what is left of a passage answers no other query of the batch as its negative.

use dense_plugin::{EncodeError, Encoder, Role, Text};
use unicode_segmentation::UnicodeSegmentation;

use super::batch::{Batch, BatchText};
use super::guard::NEAR;
use super::text::sketch;

/// Characters of a sentence; a shorter one goes with the one after it.
const SHORTEST: usize = 20;

/// Sentences of a passage that are looked at.
const MOST: usize = 16;

/// A batch with the passages cut that it says are to be cut. A passage of one sentence stays as it is; a cut one has no
/// English wording any more.
///
/// # Errors
/// [`EncodeError`] if the encoder fails.
pub fn focused<'a>(batch: &Batch<'a>, encoder: &dyn Encoder) -> Result<Batch<'a>, EncodeError> {
    let mut batch = batch.clone();
    let mut asked: Vec<(usize, Vec<&str>)> = Vec::new();
    for row in (0..batch.queries.len()).filter(|&row| batch.focus[row]) {
        let sentences = sentences(batch.passages[row].body);
        if sentences.len() > 1 {
            asked.push((row, sentences));
        }
    }
    if asked.is_empty() {
        return Ok(batch);
    }
    let queries: Vec<Text<'_>> = asked.iter().map(|(row, _)| batch.queries[*row].into()).collect();
    let texts = asked.iter().flat_map(|(row, sentences)| {
        let language = batch.passages[*row].language;
        sentences.iter().map(move |body| Text::from(BatchText { body, language }))
    });
    let texts: Vec<Text<'_>> = texts.collect();
    let queries = encoder.encode(Role::Query, &queries)?.vectors;
    let found = encoder.encode(Role::Passage, &texts)?.vectors;
    let dim = encoder.dim().get();
    let mut found = found.as_flat().chunks_exact(dim);
    let mut cut = Vec::new();
    for ((row, sentences), query) in asked.into_iter().zip(queries.as_flat().chunks_exact(dim)) {
        let cosine = |sentence: &[f32]| query.iter().zip(sentence).map(|(a, b)| a * b).sum::<f32>();
        let scored = sentences.into_iter().zip(found.by_ref().map(cosine));
        let nearest = scored.max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some((sentence, _)) = nearest {
            batch.passages[row].body = sentence;
            batch.english[row] = None;
            cut.push(row);
        }
    }
    keep_apart(&mut batch, &cut);
    Ok(batch)
}

/// Passages that differed may be alike once they are cut: they are no negatives of each other's queries then.
fn keep_apart(batch: &mut Batch<'_>, cut: &[usize]) {
    let columns = batch.passages.len();
    let sketches: Vec<u64> = batch.passages.iter().map(|passage| sketch(passage.body)).collect();
    for &row in cut {
        for other in (0..columns).filter(|&other| other != row) {
            if (sketches[row] ^ sketches[other]).count_ones() <= NEAR {
                batch.allowed[row * columns + other] = false;
                if other < batch.queries.len() {
                    batch.allowed[other * columns + row] = false;
                }
            }
        }
    }
}

/// A text's sentences, without white space around them.
fn sentences(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut start = 0;
    for (at, sentence) in text.split_sentence_bound_indices() {
        let end = at + sentence.len();
        let part = text[start..end].trim();
        if part.chars().count() >= SHORTEST || (end == text.len() && !part.is_empty()) {
            found.push(part);
            start = end;
        }
    }
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::BatchKind;
    use dense_plugin::toy::ToyEncoder;
    use dense_plugin::{Dim, LanguageTag};

    #[test]
    fn sentences_end_where_unicode_says_and_short_ones_go_with_the_next() {
        let text = "No. The toolbar is docked at the left. 最後の文はここにあります、終わりです。それでは、また明日お会いしましょうね。 End";
        assert_eq!(
            sentences(text),
            [
                "No. The toolbar is docked at the left.",
                "最後の文はここにあります、終わりです。それでは、また明日お会いしましょうね。",
                "End"
            ]
        );
        assert_eq!(sentences("  "), Vec::<&str>::new());
        assert_eq!(sentences(" one "), ["one"]);
    }

    #[test]
    fn passages_are_cut_to_the_sentence_nearest_to_their_query_where_that_is_asked_for() {
        let tag: LanguageTag = "en".parse().unwrap();
        let text = |body| BatchText { body, language: &tag };
        let long = "Tables hold rows of numbers. A toolbar can be docked at an edge. Nothing else is said of it.";
        let batch = Batch {
            number: 0,
            kind: BatchKind::Mono(tag.clone()),
            queries: ["where is a toolbar docked", "rows of numbers", "one"].map(text).to_vec(),
            passages: [long, long, "One sentence alone is here."].map(text).to_vec(),
            allowed: vec![true; 9],
            english: vec![Some(text("docked")), Some(text("rows")), Some(text("one"))],
            focus: vec![true, false, true],
        };
        let batch = focused(&batch, &ToyEncoder::new(Dim::new(64).unwrap())).unwrap();
        let bodies: Vec<&str> = batch.passages.iter().map(|text| text.body).collect();
        assert_eq!(
            bodies,
            ["A toolbar can be docked at an edge.", long, "One sentence alone is here."]
        );
        let has_english: Vec<bool> = batch.english.iter().map(Option::is_some).collect();
        assert_eq!(has_english, [false, true, true]);
        assert!(batch.allowed.iter().all(|allowed| *allowed));
    }

    #[test]
    fn passages_that_are_cut_to_the_same_sentence_are_no_negatives_of_each_other() {
        let tag: LanguageTag = "en".parse().unwrap();
        let text = |body| BatchText { body, language: &tag };
        let passages = [
            "Rows of a table hold numbers or texts. Choose Insert and then Table in the menu.",
            "A frame can be placed anywhere on a page. Choose Insert and then Table in the menu.",
            "Nothing of the kind is told about headers here.",
        ];
        let batch = Batch {
            number: 0,
            kind: BatchKind::Mono(tag.clone()),
            queries: ["insert and then table", "table in the menu"].map(text).to_vec(),
            passages: passages.map(text).to_vec(),
            allowed: vec![true; 6],
            english: vec![None; 2],
            focus: vec![true; 2],
        };
        let batch = focused(&batch, &ToyEncoder::new(Dim::new(64).unwrap())).unwrap();
        assert_eq!(batch.passages[0].body, batch.passages[1].body);
        assert_eq!(batch.allowed, [true, false, true, false, true, true]);
    }
}

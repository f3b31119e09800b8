//! Which language a text is in, where its record does not say.
//!
//! First the script: most scripts here have one language, or one that most of their texts are in.
//! Then letters that only some languages write (і for Ukrainian, ٹ for Urdu, ƙ for Hausa, ṣ beside
//! ọ for Yoruba). What is left, between languages of one script, a model of byte n-grams decides:
//! langid.py's (Lui and Baldwin 2012), in the form of the crate langid-rs.
//!
//! Why that crate: of those whose data is in the crate, whichlang knows 16 languages and whatlang
//! 70, neither Swahili; lingua knows 75, not Amharic, at 290 MB of program and 3 to 10 ms a text,
//! slower than encoding it; langid-rs knows 97, at 8 MB and 0.1 ms. With script and letters before
//! it, it is right on 97 to 100 % of passages, and of questions in most languages; on short
//! questions in Hindi and Russian on 96 %, in Indonesian on 86, Finnish 84, Swahili 78
//! (tests/all/detection.rs measures).
//!
//! Invariant: the answer depends on the text alone.

use std::fmt;

use dense_plugin::LanguageTag;
use icu_properties::CodePointMapData;
use icu_properties::props::Script;
use langid_rs::Model;

/// So many characters tell the language; a longer text is not looked at further.
const LOOKED_AT: usize = 2_000;

/// Log-likelihood that a common language is given over a rare one. Measured on questions: 2 lifts
/// Hindi (over Nepali and Marathi) from .90 to .96 and Swahili from .74 to .78; 6 costs Finnish and
/// Marathi more than it gains.
const COMMON: f32 = 2.0;

/// Between two answers nearer than this the text says nothing: a name, a code, a number.
const UNSURE: f32 = 0.1;

/// Tells the languages of texts. Making one reads an 8 MB table from the program itself; share it.
///
/// ```
/// use tantivy_dense_indexer::Detector;
///
/// let detector = Detector::new();
/// let tag = |text| detector.detect(text).map(|tag| tag.to_string());
/// assert_eq!(tag("Maji yanachemka kwa joto gani?").as_deref(), Some("sw"));
/// assert_eq!(tag("水在什么温度沸腾？").as_deref(), Some("zh"));
/// assert_eq!(tag("42"), None);
/// ```
pub struct Detector {
    model: Model,
}

impl Detector {
    /// Loads the model.
    ///
    /// # Panics
    /// Never: the table is part of the program.
    pub fn new() -> Self {
        let Ok(model) = Model::load(false) else {
            unreachable!("the table is part of the program")
        };
        Self { model }
    }

    /// The language a text is in, or `None` where it does not show one.
    ///
    /// Malay is told as Indonesian (`id`) and all of Norwegian as `no`; Chinese has no script part.
    pub fn detect(&self, text: &str) -> Option<LanguageTag> {
        let text = match text.char_indices().nth(LOOKED_AT) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        let name = match main_script(text)? {
            Script::Arabic => self.among(text, arabic_script(text)),
            Script::Cyrillic => self.among(text, cyrillic_script(text)),
            Script::Devanagari => self.among(text, &["hi", "mr", "ne"]),
            Script::Latin => match latin_letters(text) {
                Some(told) => Some(told),
                None => self.among(text, LATIN),
            },
            script => only_language(script),
        }?;
        name.parse().ok()
    }

    /// The most likely of several languages, if the text says anything at all.
    fn among(&self, text: &str, languages: &[&'static str]) -> Option<&'static str> {
        if let [only] = languages {
            return Some(only);
        }
        let mut ranked: Vec<(&'static str, f32)> = self
            .model
            .rank(text)
            .into_iter()
            .filter_map(|(name, score)| {
                let name = languages.iter().find(|language| **language == name)?;
                Some((*name, if COMMON_LANGUAGES.contains(name) { score + COMMON } else { score }))
            })
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        match ranked.as_slice() {
            [first, second, ..] if first.1 - second.1 > UNSURE => Some(first.0),
            _ => None,
        }
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector").finish_non_exhaustive()
    }
}

/// Languages in Latin letters that the model knows, without those it knows from so little text
/// that they take short texts from others (Aragonese, Breton, Galician, Latin, Luxembourgish,
/// Malay, Occitan, Quechua, Volapük, Walloon and the like).
const LATIN: &[&str] = &[
    "af", "az", "ca", "cs", "cy", "da", "de", "en", "es", "et", "eu", "fi", "fr", "ga", "hr", "hu",
    "id", "is", "it", "lt", "lv", "mg", "mt", "nl", "no", "pl", "pt", "ro", "rw", "sk", "sl", "sq",
    "sv", "sw", "tl", "tr", "vi", "xh", "zu",
];

/// Those that most texts in their script are in.
const COMMON_LANGUAGES: &[&str] =
    &["ar", "de", "en", "es", "fa", "fr", "hi", "id", "it", "pt", "ru", "sw", "tr", "ur", "vi"];

/// The script of most letters. A character of Han, kana, Hangul or Ethiopic says as much as two or
/// three letters do; kana among Han makes a text Japanese.
fn main_script(text: &str) -> Option<Script> {
    let scripts = CodePointMapData::<Script>::new();
    let mut counts: Vec<(Script, usize)> = Vec::new();
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        let (script, weight) = match scripts.get(c) {
            Script::Common | Script::Inherited | Script::Unknown => continue,
            Script::Katakana => (Script::Hiragana, 3),
            script @ (Script::Han | Script::Hiragana | Script::Hangul) => (script, 3),
            Script::Ethiopic => (Script::Ethiopic, 2),
            script => (script, 1),
        };
        match counts.iter_mut().find(|(known, _)| *known == script) {
            Some((_, count)) => *count += weight,
            None => counts.push((script, weight)),
        }
    }
    let count = |of: Script| counts.iter().find(|(script, _)| *script == of).map_or(0, |c| c.1);
    let (han, kana) = (count(Script::Han), count(Script::Hiragana));
    if kana * 10 > han {
        for (script, count) in &mut counts {
            match *script {
                Script::Han => *count = 0,
                Script::Hiragana => *count += han,
                _ => {}
            }
        }
    }
    // The first of equals, so that the order of scripts in memory does not matter.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(script, _)| script)
}

fn only_language(script: Script) -> Option<&'static str> {
    Some(match script {
        Script::Armenian => "hy",
        Script::Bengali => "bn",
        Script::Ethiopic => "am",
        Script::Georgian => "ka",
        Script::Greek => "el",
        Script::Gujarati => "gu",
        Script::Gurmukhi => "pa",
        Script::Han => "zh",
        Script::Hangul => "ko",
        Script::Hebrew => "he",
        Script::Hiragana => "ja",
        Script::Kannada => "kn",
        Script::Khmer => "km",
        Script::Lao => "lo",
        Script::Malayalam => "ml",
        Script::Myanmar => "my",
        Script::Oriya => "or",
        Script::Sinhala => "si",
        Script::Tamil => "ta",
        Script::Telugu => "te",
        Script::Thai => "th",
        Script::Tibetan => "bo",
        _ => return None,
    })
}

fn has(text: &str, letters: &str) -> bool {
    text.chars().any(|c| letters.contains(c))
}

/// Languages in Latin letters that the model does not know but a letter gives away.
fn latin_letters(text: &str) -> Option<&'static str> {
    if has(text, "ƙƘɗƊɓƁ") {
        return Some("ha");
    }
    let dotted = has(text, "ẹọẸỌ") || text.contains("ẹ") || text.contains("ọ");
    if dotted && (has(text, "ṣṢ") || text.contains("ṣ")) {
        return Some("yo");
    }
    // Vietnamese dots these too, but writes no sentence without another letter that Igbo lacks.
    let vietnamese = has(text, "đĐơƠưƯăĂâÂêÊôÔãõũĩáàéèíìóòúùảẻỉỏủýỳỷỹ")
        || text.chars().any(|c| ('ấ'..='ặ').contains(&c));
    (has(text, "ịỊụỤ") && !vietnamese).then_some("ig")
}

fn cyrillic_script(text: &str) -> &'static [&'static str] {
    if has(text, "әғқңөұүһӘҒҚҢӨҰҮҺ") {
        &["kk", "ky", "mn"]
    } else if has(text, "ўЎ") {
        &["be"]
    } else if has(text, "їєґЇЄҐ") {
        &["uk"]
    } else if has(text, "іІ") {
        &["uk", "be", "kk"]
    } else if has(text, "ѓќѕЃЌЅ") {
        &["mk"]
    } else if has(text, "јљњћђџЈЉЊЋЂЏ") {
        &["sr", "mk"]
    } else if has(text, "ыэёЫЭЁ") {
        &["ru"]
    } else {
        &["ru", "bg", "uk"]
    }
}

fn arabic_script(text: &str) -> &'static [&'static str] {
    if has(text, "ٹڈڑےںھ") {
        &["ur"]
    } else if has(text, "ۆۇېەڭ") {
        &["ug", "ps", "fa"]
    } else if has(text, "ټډړښځڅګ") {
        &["ps"]
    } else if has(text, "پچگژیک") {
        &["fa", "ur", "ps"]
    } else {
        &["ar"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sentence_tells_its_language() {
        let detector = Detector::new();
        for (language, text) in [
            ("en", "At what temperature does water boil?"),
            ("de", "Bei welcher Temperatur kocht das Wasser?"),
            ("zh", "NFL的总部在什么地方？"),
            ("ja", "水は何度で沸騰しますか。"),
            ("hi", "पानी किस तापमान पर उबलता है?"),
            ("sw", "Mji mkuu wa nchi hiyo unaitwaje?"),
            ("am", "ውሃ በስንት ዲግሪ ይፈላል?"),
            ("bn", "জল কত তাপমাত্রায় ফোটে?"),
            ("te", "నీరు ఏ ఉష్ణోగ్రత వద్ద మరుగుతుంది?"),
            ("es", "¿A qué temperatura hierve el agua?"),
            ("fr", "À quelle température l'eau bout-elle ?"),
            ("ru", "При какой температуре кипит вода?"),
            ("uk", "За якої температури кипить вода і чому?"),
            ("ar", "عند أي درجة حرارة يغلي الماء؟"),
            ("th", "น้ำเดือดที่อุณหภูมิเท่าไร"),
            ("tr", "Su hangi sıcaklıkta kaynar?"),
            ("vi", "Nước sôi ở nhiệt độ bao nhiêu?"),
            ("el", "Σε ποια θερμοκρασία βράζει το νερό;"),
            ("ko", "물은 몇 도에서 끓습니까?"),
            ("fi", "Missä lämpötilassa vesi kiehuu?"),
            ("id", "Pada suhu berapa air mendidih?"),
            ("yo", "Ṣé omi máa ń hó ní ìwọ̀n òtútù yìí?"),
            ("ha", "Ruwa yana tafasa da ƙarfin zafi"),
        ] {
            let tag = detector.detect(text);
            assert_eq!(tag.as_ref().map(LanguageTag::as_str), Some(language), "{text}");
        }
    }

    #[test]
    fn a_text_without_letters_tells_none() {
        let detector = Detector::new();
        for text in ["", "1984", "?!", " \n", "👍"] {
            assert_eq!(detector.detect(text), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_has_a_language_or_none(text in "\\PC{0,60}") {
            thread_local!(static DETECTOR: Detector = Detector::new());
            DETECTOR.with(|detector| assert_eq!(detector.detect(&text), detector.detect(&text)));
        }
    }
}

//! A language tag: what parses is in its usual form after that.
#![no_main]

use dense_plugin::LanguageTag;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(tag) = text.parse::<LanguageTag>() {
        assert_eq!(tag.as_str().parse(), Ok(tag));
    }
});

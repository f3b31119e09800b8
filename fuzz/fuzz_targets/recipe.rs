//! The text of a recipe: what parses prints as it parses.
#![no_main]

use dense_plugin::AnnRecipe;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(recipe) = text.parse::<AnnRecipe>() {
        assert_eq!(recipe.to_string().parse(), Ok(recipe));
    }
});

//! Which analysis each language has by default.

use super::plan::Analysis;

pub(super) fn second(_language: &str) -> Analysis {
    Analysis::STEM
}

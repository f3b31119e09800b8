//! A bar that a comparison must meet: for scripts that should stop where a release got worse.

use std::fmt;
use std::str::FromStr;

use super::Comparison;
use crate::measure::{Measure, MeasureError};

/// What must hold: `AP>=.7`, `sw:AP>=.6`, `each:diff(AP)>=-.01`.
///
/// The value is that of the second system, or with `diff(...)` how far it is ahead of the first. It
/// is the mean over languages; with a language and a colon before it that language's; with `each` it
/// must hold in every language. `>`, `>=`, `<` and `<=` compare.
///
/// ```
/// # use tantivy_dense_eval::{Bar, BarError};
/// let bar: Bar = "sw:diff(nDCG@10)>=-.01".parse()?;
/// assert_eq!(bar.to_string(), "sw:diff(nDCG@10)>=-.01");
/// # Ok::<(), BarError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    written: String,
    language: Where,
    what: What,
    measure: Measure,
    sign: Sign,
    limit: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Where {
    Mean,
    Each,
    Language(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Second,
    Difference,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sign {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// What starts with `each` means every language.
const EACH: &str = "each";

impl Bar {
    /// The measure it is about.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// The value in a comparison by the bar's measure, and whether it meets the bar. Of several
    /// languages it is the one that is nearest to failing, or fails most.
    ///
    /// # Errors
    /// [`BarError`] if the comparison is by another measure, or does not have the language.
    pub fn check(&self, comparison: &Comparison) -> Result<(f64, bool), BarError> {
        if comparison.measure != self.measure {
            return Err(BarError::OtherMeasure {
                measure: self.measure.to_string(),
                found: comparison.measure.to_string(),
            });
        }
        let mean = &comparison.mean;
        let rows = comparison.languages.iter();
        let of = |second, difference| match self.what {
            What::Second => second,
            What::Difference => difference,
        };
        let mut rows = rows.map(|row| (&row.language, of(row.second, row.difference)));
        let value = match &self.language {
            Where::Mean => Some(of(mean.second, mean.difference)),
            Where::Each => {
                let values = rows.map(|(_, value)| value);
                match self.sign {
                    Sign::Above | Sign::AtLeast => values.min_by(f64::total_cmp),
                    Sign::Below | Sign::AtMost => values.max_by(f64::total_cmp),
                }
            }
            Where::Language(wanted) => {
                rows.find(|(language, _)| *language == wanted).map(|(_, value)| value)
            }
        };
        let value = value.ok_or_else(|| BarError::NoLanguage { written: self.written.clone() })?;
        let met = match self.sign {
            Sign::Above => value > self.limit,
            Sign::AtLeast => value >= self.limit,
            Sign::Below => value < self.limit,
            Sign::AtMost => value <= self.limit,
        };
        Ok((value, met))
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Bar {
    type Err = BarError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let unknown = || BarError::Unknown { written: written.chars().take(60).collect() };
        let at = written.find(['<', '>']).ok_or_else(unknown)?;
        let (left, right) = written.split_at(at);
        let signs =
            [(">=", Sign::AtLeast), ("<=", Sign::AtMost), (">", Sign::Above), ("<", Sign::Below)];
        let found = signs.iter().find_map(|(text, sign)| Some((right.strip_prefix(text)?, *sign)));
        let (limit, sign) = found.ok_or_else(unknown)?;
        let limit: f64 = limit.trim().parse().map_err(|_| unknown())?;
        if !limit.is_finite() {
            return Err(unknown());
        }
        let (language, value) = match left.split_once(':') {
            Some((EACH, value)) => (Where::Each, value),
            Some((language, value)) => (Where::Language(language.trim().to_owned()), value),
            None => (Where::Mean, left),
        };
        let value = value.trim();
        let inner = value.strip_prefix("diff(").and_then(|inner| inner.strip_suffix(')'));
        let what = if inner.is_some() { What::Difference } else { What::Second };
        let measure = inner.unwrap_or(value).parse().map_err(BarError::Measure)?;
        Ok(Self { written: written.to_owned(), language, what, measure, sign, limit })
    }
}

/// Why a bar cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum BarError {
    /// The text is no bar.
    #[error("`{written}` is no bar: try AP>=.7, sw:AP>=.6, diff(AP)>=0 or each:diff(AP)>=-.01")]
    Unknown { written: String },
    /// The text names no measure.
    #[error(transparent)]
    Measure(MeasureError),
    /// The comparison is about something else.
    #[error("a bar for {measure} says nothing about {found}")]
    OtherMeasure { measure: String, found: String },
    /// The language was not compared.
    #[error("`{written}`: no such language was measured in both")]
    NoLanguage { written: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Evaluation;
    use crate::report::{Report, RunReport, Side};
    use crate::stats::Draws;
    use proptest::prelude::*;

    /// One language, `all`: .25 and .75.
    fn comparison() -> Comparison {
        let report = |value| {
            let mut values = Evaluation::new(&["AP(rel=2)".parse().unwrap()]);
            values.insert("q", vec![value]);
            Report::from(RunReport::new("r", &values).unwrap())
        };
        let (first, second) = (report(0.25), report(0.75));
        let side = |report| Side { report, system: "r" };
        let measure = "AP(rel=2)".parse().unwrap();
        Comparison::new(side(&first), side(&second), measure, Draws::new(1)).unwrap()
    }

    #[test]
    fn a_bar_is_about_the_second_system_or_how_far_it_is_ahead() {
        for (written, value, met) in [
            ("AP(rel=2)>=.75", 0.75, true),
            ("AP(rel=2)>.75", 0.75, false),
            ("all:AP(rel=2) < 0.8", 0.75, true),
            ("diff(AP(rel=2))>=.6", 0.5, false),
            ("each:diff(AP(rel=2))<=.5", 0.5, true),
        ] {
            let bar: Bar = written.parse().unwrap();
            assert_eq!(bar.check(&comparison()), Ok((value, met)), "{written}");
        }
    }

    #[test]
    fn what_is_no_bar_is_refused_with_what_would_do() {
        let unknown = "is no bar: try AP>=.7, sw:AP>=.6, diff(AP)>=0 or each:diff(AP)>=-.01";
        for (written, message) in [
            ("AP", format!("`AP` {unknown}")),
            ("AP>=", format!("`AP>=` {unknown}")),
            ("AP>=nan", format!("`AP>=nan` {unknown}")),
            ("P>=.5", "`P` needs a number of ranks, as in `P@10`".to_owned()),
        ] {
            assert_eq!(written.parse::<Bar>().unwrap_err().to_string(), message);
        }
        let check = |written: &str| written.parse::<Bar>().unwrap().check(&comparison());
        assert!(matches!(check("sw:AP(rel=2)>0"), Err(BarError::NoLanguage { .. })));
        assert!(matches!(check("AP>0"), Err(BarError::OtherMeasure { .. })));
    }

    proptest! {
        #[test]
        fn any_text_is_a_bar_or_refused(
            written in prop_oneof!["\\PC{0,20}", "(sw:|each:)?(diff\\()?AP\\)?[<>]=?-?[0-9.]{0,3}"],
        ) {
            if let Ok(bar) = written.parse::<Bar>() {
                prop_assert_eq!(bar.to_string().parse::<Bar>(), Ok(bar));
            }
        }
    }
}

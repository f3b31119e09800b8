//! Findings as CSV: a line for each language, system and measure.
//!
//! Invariant: numbers are written so that they read back as they were; what is not known is empty.

use super::Findings;

/// The columns.
const HEAD: [&str; 19] = [
    "language",
    "tier",
    "topics",
    "pool",
    "system",
    "measure",
    "value",
    "value_low",
    "value_high",
    "against",
    "difference",
    "difference_low",
    "difference_high",
    "p_holm",
    "p",
    "p_t",
    "cohens_d",
    "detectable",
    "significant",
];

/// Writes the lines; those of means over languages have the language `mean`.
///
/// # Errors
/// `csv::Error` does not happen in memory; the writer's type has it.
pub(crate) fn csv(findings: &Findings<'_>) -> Result<String, ::csv::Error> {
    let mut out = ::csv::Writer::from_writer(Vec::new());
    out.write_record(HEAD)?;
    for (of_measure, measure) in findings.asked.measures.iter().enumerate() {
        let name = measure.to_string();
        for (at, contender) in findings.asked.contenders.iter().enumerate() {
            let versus = findings.by(*measure).find(|versus| versus.second == at);
            let against = versus.map(|versus| findings.name(versus.first).to_owned());
            for row in &findings.rows {
                let Some(value) = findings.score(row, at, &name) else { continue };
                let compared = versus.and_then(|versus| {
                    let mut rows = versus.comparison.languages.iter();
                    rows.find(|compared| compared.language == row.language)
                });
                let interval = row.intervals[at].filter(|_| of_measure == 0);
                let (topics, pool) = row.sizes();
                let difference = compared.map(|row| row.interval);
                out.write_record([
                    row.language.to_owned(),
                    row.tier.as_ref().map(|tier| tier.name.clone()).unwrap_or_default(),
                    topics.to_string(),
                    if pool == 0 { String::new() } else { pool.to_string() },
                    contender.name.clone(),
                    name.clone(),
                    value.to_string(),
                    number(interval.map(|ends| ends[0])),
                    number(interval.map(|ends| ends[1])),
                    compared.and(against.clone()).unwrap_or_default(),
                    number(compared.map(|row| row.difference)),
                    number(difference.map(|ends| ends[0])),
                    number(difference.map(|ends| ends[1])),
                    number(compared.map(|row| row.p)),
                    number(compared.map(|row| row.p_alone)),
                    number(compared.and_then(|row| row.p_of_t)),
                    number(compared.and_then(|row| row.effect)),
                    number(compared.and_then(|row| row.detectable)),
                    compared.map(|row| (row.p < super::ALPHA).to_string()).unwrap_or_default(),
                ])?;
            }
            let Some(value) = findings.mean(at, &name) else { continue };
            let mean = versus.map(|versus| &versus.comparison.mean);
            let topics: usize = findings.rows.iter().map(|row| row.sizes().0).sum();
            let empty = String::new;
            out.write_record([
                "mean".to_owned(),
                empty(),
                topics.to_string(),
                empty(),
                contender.name.clone(),
                name.clone(),
                value.to_string(),
                empty(),
                empty(),
                against.unwrap_or_default(),
                number(mean.map(|mean| mean.difference)),
                number(mean.map(|mean| mean.interval[0])),
                number(mean.map(|mean| mean.interval[1])),
                empty(),
                number(mean.map(|mean| mean.p)),
                empty(),
                empty(),
                empty(),
                mean.map(|mean| (mean.p < super::ALPHA).to_string()).unwrap_or_default(),
            ])?;
        }
    }
    let bytes = out.into_inner().map_err(::csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8(bytes).expect("all fields are text"))
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

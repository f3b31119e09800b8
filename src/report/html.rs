//! Findings as one HTML page.
//!
//! Invariant: every text that comes from outside is escaped, and the page's own policy forbids it to load
//! anything; it can be read without its script, which only sorts tables.

use dense_eval::{Answer, Example};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plots::{COLOURS, DrawError, Plot, heat};
use super::tables::{Cell, Table, plain, sentence, signed};
use super::{ALPHA, Findings};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("sort.js");

/// Nothing from anywhere but what stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

/// Writes the page.
///
/// # Errors
/// [`DrawError`] if a plot cannot be drawn.
pub(crate) fn html(findings: &Findings<'_>) -> Result<String, DrawError> {
    let title = findings.title();
    let [first, second] = findings.verdict();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    p.verdict { (first) " " (second) }
                    (scores(findings)?)
                    (differences(findings)?)
                    (settings(findings)?)
                    (recall(findings)?)
                    (examples(findings))
                    (facts(findings))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(page.into_string())
}

fn scores(findings: &Findings<'_>) -> Result<Markup, DrawError> {
    let plot = findings.bars()?;
    let measure = findings.measure().map(|measure| measure.to_string()).unwrap_or_default();
    Ok(html! {
        h2 { "Scores" }
        @if let Some(plot) = plot {
            (figure(&plot, &keys(findings), &format!(
                "{measure} by language; the lines are 95 % bootstrap intervals of the means"
            )))
        }
        @for &measure in &findings.asked.measures { (table(&findings.scores(measure))) }
    })
}

fn differences(findings: &Findings<'_>) -> Result<Markup, DrawError> {
    let Some(main) = findings.main() else { return Ok(html! {}) };
    let (first, second) = (findings.name(main.first), findings.name(main.second));
    let (scatter, counts) = findings.scatter(main)?;
    let measure = main.comparison.measure;
    let [worse, same, better] = counts;
    let tiers = if findings.has_tiers() { ", by resource tier" } else { "" };
    Ok(html! {
        h2 { "Differences" }
        div.plots {
            (figure(&findings.ahead(main)?, &html! {}, &format!(
                "How far {second} is ahead of {first} in {measure}{tiers}, with 95 % intervals. Full \
                 marks are significant (Holm-corrected p < {ALPHA})"
            )))
            (figure(&scatter, &html! {}, &format!(
                "Every query by its {measure} with {first} and with {second}: {second} is better for \
                 {better}, {first} for {worse}, both alike for {same}. Larger dots are more queries"
            )))
        }
        @if let Some(tiers) = findings.tiers() { (table(&tiers)) }
        @for versus in findings.by(measure) { (table(&findings.differences(versus))) }
    })
}

fn settings(findings: &Findings<'_>) -> Result<Markup, DrawError> {
    let Some(settings) = findings.settings() else { return Ok(html! {}) };
    let measure = findings.measure().map(|measure| measure.to_string()).unwrap_or_default();
    let mut plots = Vec::new();
    let mut tables = Vec::new();
    for contender in 0..findings.asked.contenders.len() {
        let Some(matrix) = findings.matrix(contender) else { continue };
        let caption = format!(
            "{measure} of {}, queries in the language of the row against passages in that of the \
             column: the stronger the colour, the higher",
            findings.name(contender)
        );
        plots.push(figure(&heat(&matrix, contender)?, &html! {}, &caption));
        tables.extend(findings.pairs(contender));
    }
    Ok(html! {
        h2 { "Across languages" }
        (table(&settings))
        @if !plots.is_empty() {
            div.plots { @for plot in &plots { (plot) } }
            details {
                summary { "The same as tables" }
                @for pairs in &tables { (table(pairs)) }
            }
        }
    })
}

fn recall(findings: &Findings<'_>) -> Result<Markup, DrawError> {
    let (Some(plot), Some(recall)) = (findings.recall_curves()?, findings.recall()) else {
        return Ok(html! {});
    };
    Ok(html! {
        h2 { "Recall" }
        div.plots {
            (figure(&plot, &keys(findings), "Share of the relevant passages that are among the first ones"))
            (table(&recall))
        }
    })
}

fn examples(findings: &Findings<'_>) -> Markup {
    let examples = findings.asked.sources.iter().flat_map(|(_, report)| report.examples());
    let (gains, losses): (Vec<_>, Vec<_>) =
        examples.partition(|example| example.difference() > 0.0);
    html! {
        @for (what, examples) in [("gain", gains), ("lose", losses)] {
            @if !examples.is_empty() {
                h2 { "Queries that " (what) " most" }
                @for example in examples { (one_example(example)) }
            }
        }
    }
}

fn one_example(example: &Example) -> Markup {
    let difference = signed(example.difference());
    html! {
        article.example {
            h4 lang=(example.language) dir="auto" { (example.text) }
            p.small {
                (example.language) ", " (example.measure) " " (difference) ", topic "
                code { (example.topic) }
            }
            div.answers {
                @for answer in &example.answers { (one_answer(answer, &example.language)) }
            }
        }
    }
}

fn one_answer(answer: &Answer, language: &str) -> Markup {
    let found = match answer.first_relevant {
        Some(rank) => format!("first relevant at rank {rank}"),
        None => "nothing relevant found".to_owned(),
    };
    html! {
        section {
            h5 { (answer.system) ": " (plain(answer.value)) ", " (found) }
            ol {
                @for hit in &answer.hits {
                    li.relevant[hit.relevant] {
                        @if hit.relevant { b { "relevant" } }
                        p lang=(language) dir="auto" { (hit.text) }
                    }
                }
            }
        }
    }
}

fn facts(findings: &Findings<'_>) -> Markup {
    html! {
        h2 { "What was run" }
        @for (source, facts) in findings.facts() {
            @if !source.is_empty() { h3 { (source) } }
            dl {
                @for (what, value) in facts {
                    dt { (what) }
                    dd { code { (value) } }
                }
            }
        }
    }
}

/// Which colour is which system.
fn keys(findings: &Findings<'_>) -> Markup {
    html! {
        ul.keys {
            @for (at, contender) in findings.asked.contenders.iter().enumerate() {
                li class=(format!("c{}", at % COLOURS)) { (contender.name) }
            }
        }
    }
}

fn figure(plot: &Plot, keys: &Markup, caption: &str) -> Markup {
    let Plot { width, height, body } = plot;
    html! {
        figure {
            (keys)
            svg role="img" aria-label=(caption) viewBox=(format!("0 0 {width} {height}")) {
                (PreEscaped(body))
            }
            figcaption { (sentence(caption)) }
        }
    }
}

fn table(table: &Table) -> Markup {
    let Table { caption, head, rows, foot } = table;
    html! {
        // Whoever has no mouse must be able to scroll too.
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.sortable {
                caption { (sentence(caption)) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { @for row in rows { (line(row)) } }
                @if !foot.is_empty() { tfoot { (line(foot)) } }
            }
        }
    }
}

fn line(cells: &[Cell]) -> Markup {
    html! {
        tr {
            @for (at, cell) in cells.iter().enumerate() {
                @if at == 0 { (first_cell(cell)) } @else { (other_cell(cell)) }
            }
        }
    }
}

fn first_cell(cell: &Cell) -> Markup {
    match cell {
        Cell::Text(text) => html! { th scope="row" { (text) } },
        Cell::Number(text, value) => html! { th scope="row" data-value=(value) { (text) } },
        Cell::Marked(..) | Cell::Empty => html! { th scope="row" {} },
    }
}

fn other_cell(cell: &Cell) -> Markup {
    match cell {
        Cell::Text(text) => html! { td.text { (text) } },
        Cell::Number(text, value) => html! { td data-value=(value) { (text) } },
        Cell::Marked(text, value, mark) => {
            let class = format!("mark {}", mark.class());
            html! {
                td data-value=(value) {
                    (text)
                    span class=(class) role="img" aria-label=(mark.words()) title=(mark.words()) {
                        (mark.sign())
                    }
                }
            }
        }
        Cell::Empty => html! { td { "–" } },
    }
}

impl Findings<'_> {
    pub(super) fn title(&self) -> String {
        let contenders = &self.asked.contenders;
        let names: Vec<&str> = contenders.iter().map(|contender| &*contender.name).collect();
        let names = match &names[..] {
            [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
            all => all.concat(),
        };
        format!("{names} on {}", self.asked.title)
    }
}

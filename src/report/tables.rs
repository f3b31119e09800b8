//! The tables of a page, before anybody writes them as HTML or Markdown.
//!
//! Invariant: a table has as many cells in each row as in its head; beside every score of a language stand
//! the number of topics and the size of the pool.

use dense_eval::{ComparedLanguage, Measure};

use super::{ALPHA, Findings, Row, Versus, mean_of};

/// More languages than that make a matrix that nobody can read.
const MOST_LANGUAGES: usize = 48;

/// A table with the rows that it may be sorted by, and one that stays below.
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) foot: Vec<Cell>,
}

/// What stands in a table.
pub(super) enum Cell {
    Text(String),
    /// A number as it is shown, and what it is sorted by.
    Number(String, f64),
    /// The same, and that it is significantly better or worse than what it is compared with.
    Marked(String, f64, Mark),
    Empty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Better,
    Worse,
}

impl Mark {
    fn of(row: &ComparedLanguage) -> Option<Self> {
        Self::from(row.p, row.difference)
    }

    fn from(p: f64, difference: f64) -> Option<Self> {
        (p < ALPHA).then_some(if difference > 0.0 { Self::Better } else { Self::Worse })
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Better => "▲",
            Self::Worse => "▼",
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Better => "significantly better",
            Self::Worse => "significantly worse",
        }
    }
}

impl Cell {
    fn count(count: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "what a column is sorted by")]
        let value = count as f64;
        Self::Number(grouped(count), value)
    }

    fn score(value: Option<f64>, mark: Option<Mark>) -> Self {
        match (value, mark) {
            (None, _) => Self::Empty,
            (Some(value), None) => Self::Number(plain(value), value),
            (Some(value), Some(mark)) => Self::Marked(plain(value), value, mark),
        }
    }

    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl Findings<'_> {
    /// The scores of all contenders by one measure.
    pub(super) fn scores(&self, measure: Measure) -> Table {
        let name = measure.to_string();
        let marks: Vec<String> = self
            .by(measure)
            .map(|versus| {
                format!("{} against {}", self.name(versus.second), self.name(versus.first))
            })
            .collect();
        let legend = if marks.is_empty() {
            String::new()
        } else {
            format!(
                ". ▲ and ▼: significantly better and worse ({}; p < {ALPHA}, Holm-corrected over the \
                 languages of one comparison; the mean is one test of its own, and several systems are not \
                 corrected for)",
                marks.join(", ")
            )
        };
        let mut head = self.head();
        head.extend(self.asked.contenders.iter().map(|contender| contender.name.clone()));
        let rows = self.rows.iter().map(|row| {
            let mut cells = self.start(row);
            cells.extend((0..self.asked.contenders.len()).map(|contender| {
                let mark = self.versus_of(measure, contender).and_then(|versus| {
                    let rows = &versus.comparison.languages;
                    Mark::of(rows.iter().find(|compared| compared.language == row.language)?)
                });
                Cell::score(self.score(row, contender, &name), mark)
            }));
            cells
        });
        let mut foot = self.end(self.rows.iter().map(|row| row.sizes().0).sum());
        foot.extend((0..self.asked.contenders.len()).map(|contender| {
            let versus = self.versus_of(measure, contender);
            let mean = versus.map(|versus| &versus.comparison.mean);
            let mark = mean.and_then(|mean| Mark::from(mean.p, mean.difference));
            Cell::score(self.mean(contender, &name), mark)
        }));
        Table { caption: format!("{name} by language{legend}"), head, rows: rows.collect(), foot }
    }

    /// The comparison in which a contender is the second.
    fn versus_of(&self, measure: Measure, contender: usize) -> Option<&Versus> {
        self.by(measure).find(|versus| versus.second == contender)
    }

    /// One comparison in full.
    pub(super) fn differences(&self, versus: &Versus) -> Table {
        let Versus { first, second, comparison } = versus;
        let (first, second) = (self.name(*first), self.name(*second));
        let mut head = self.head();
        let columns = ["difference", "from", "to", "p", "p of t", "d", "detectable"];
        head.extend(columns.map(str::to_owned));
        let rows = comparison.languages.iter().map(|compared| {
            let row = self.rows.iter().find(|row| row.language == compared.language);
            let mut cells = row.map(|row| self.start(row)).unwrap_or_default();
            let [low, high] = compared.interval;
            cells.push(difference(compared.difference, Mark::of(compared)));
            cells.extend([low, high].map(|end| difference(end, None)));
            cells.push(Cell::Number(p_value(compared.p), compared.p));
            cells.push(number(compared.p_of_t, p_value));
            cells.push(number(compared.effect, |d| minus(&format!("{d:+.2}"))));
            cells.push(number(compared.detectable, plain));
            cells
        });
        let mean = &comparison.mean;
        let mut foot = self.end(mean.topics);
        foot.push(difference(mean.difference, Mark::from(mean.p, mean.difference)));
        foot.extend(mean.interval.map(|end| difference(end, None)));
        foot.push(Cell::Number(p_value(mean.p), mean.p));
        foot.extend([Cell::Empty, Cell::Empty, Cell::Empty]);
        let same = if mean.observations < mean.topics {
            format!(
                " The topics ask for {} things, each one observation of the mean.",
                mean.observations
            )
        } else {
            String::new()
        };
        let left_out = match &comparison.left_out[..] {
            [] => String::new(),
            all => format!(" In one of both alone: {}.", all.join(", ")),
        };
        let caption = format!(
            "{}: {second} less {first}. From, to: 95 % bootstrap interval. p: two-sided randomization \
             test, Holm-corrected; p of t: paired t-test, uncorrected. d: Cohen's, paired. Detectable: with \
             power .8 at {ALPHA}.{same}{left_out}",
            comparison.measure
        );
        Table { caption, head, rows: rows.collect(), foot }
    }

    /// What was run, by source: names and values.
    pub(super) fn facts(&self) -> Vec<(String, Vec<(String, String)>)> {
        let draws = serde_json::to_value(self.asked.draws).unwrap_or_default();
        let all = self.asked.sources.iter().map(|(name, report)| {
            let mut facts = Vec::new();
            for (what, value) in &report.facts {
                flatten(what, value, &mut facts);
            }
            (name.clone(), facts)
        });
        let mut all: Vec<_> = all.collect();
        if let Some((_, facts)) = all.last_mut() {
            flatten("tests and intervals", &draws, facts);
        }
        all
    }

    fn head(&self) -> Vec<String> {
        let tier = self.has_tiers().then_some("tier");
        ["language"].into_iter().chain(tier).chain(["topics", "pool"]).map(str::to_owned).collect()
    }

    fn start(&self, row: &Row<'_>) -> Vec<Cell> {
        let (topics, passages) = row.sizes();
        let mut cells = vec![Cell::text(row.language)];
        if self.has_tiers() {
            cells.push(row.tier.as_ref().map_or(Cell::Empty, |tier| Cell::text(&tier.name)));
        }
        cells.push(Cell::count(topics));
        // 0: what a run was searched in is not known.
        cells.push(if passages == 0 { Cell::Empty } else { Cell::count(passages) });
        cells
    }

    fn end(&self, topics: usize) -> Vec<Cell> {
        let mut cells = vec![Cell::text("mean")];
        cells.extend(self.has_tiers().then_some(Cell::Empty));
        cells.extend([Cell::count(topics), Cell::Empty]);
        cells
    }

    /// The means in the three settings.
    pub(super) fn settings(&self) -> Option<Table> {
        let measure = self.measure()?;
        let rows = self.asked.contenders.iter().filter_map(|contender| {
            let mut rows = contender.report.settings().iter();
            let row = rows.find(|row| row.system == contender.system && row.measure == measure)?;
            let mut cells = vec![Cell::text(&contender.name)];
            cells.extend([row.mono, row.cross, row.multi].map(|value| Cell::score(value, None)));
            cells.push(number(row.rank_distance, |ranks| format!("{ranks:.0}")));
            Some(cells)
        });
        let rows: Vec<_> = rows.collect();
        let head = ["system", "mono", "cross", "multi", "rank distance"].map(str::to_owned).into();
        let caption = format!(
            "{measure} where the passages searched are in the query's own language (mono), in one other \
             language (cross, the mean over ordered pairs), in all languages at once (multi). Rank distance: \
             ranks between the best and the worst relevant passage, fewer is better"
        );
        (!rows.is_empty()).then_some(Table { caption, head, rows, foot: Vec::new() })
    }

    /// The languages of queries by those of passages.
    pub(super) fn pairs(&self, contender: usize) -> Option<Table> {
        let measure = self.measure()?;
        let matrix = self.matrix(contender)?;
        let mut head = vec!["query \\ passage".to_owned()];
        head.extend(matrix.languages.iter().map(|language| (*language).to_owned()));
        let rows = matrix.languages.iter().zip(&matrix.values).map(|(language, values)| {
            let values = values.iter().map(|&value| Cell::score(value, None));
            std::iter::once(Cell::text(*language)).chain(values).collect()
        });
        let name = self.name(contender);
        let caption =
            format!("{measure} of {name} by the language of the query and of the passages");
        Some(Table { caption, head, rows: rows.collect(), foot: Vec::new() })
    }

    /// What a contender has for each pair of languages; `None` if no pair of two was measured, or if there
    /// are too many to be read.
    pub(super) fn matrix(&self, contender: usize) -> Option<Matrix<'_>> {
        let measure = self.measure()?.to_string();
        let super::Contender { report, system, .. } = &self.asked.contenders[contender];
        let pairs = report.pairs().iter().filter(|pair| pair.scores.contains_key(*system));
        let pairs: Vec<_> = pairs.collect();
        let both = pairs.iter().flat_map(|pair| [&*pair.topics_in, &*pair.passages_in]);
        let mut languages: Vec<&str> = both.collect();
        languages.sort_unstable();
        languages.dedup();
        let has_two = pairs.iter().any(|pair| pair.topics_in != pair.passages_in);
        if !has_two || languages.len() > MOST_LANGUAGES {
            return None;
        }
        let mut values = vec![vec![None; languages.len()]; languages.len()];
        for pair in pairs {
            let at = |language: &String| languages.binary_search(&language.as_str()).ok();
            if let (Some(row), Some(column)) = (at(&pair.topics_in), at(&pair.passages_in)) {
                values[row][column] = pair.scores[*system].get(&measure).copied();
            }
        }
        Some(Matrix { languages, values })
    }

    /// Recall by depth.
    pub(super) fn recall(&self) -> Option<Table> {
        let curves: Vec<_> = self.curves().collect();
        let depths = &curves.first()?.1;
        let mut head = vec!["depth".to_owned()];
        head.extend(curves.iter().map(|(name, _)| (*name).to_owned()));
        let rows = depths.iter().enumerate().map(|(at, (depth, _))| {
            let values = curves.iter().map(|(_, curve)| curve.get(at).map(|point| point.1));
            std::iter::once(Cell::count(*depth))
                .chain(values.map(|value| Cell::score(value, None)))
                .collect()
        });
        let caption = "Recall among the first passages, the mean over languages".to_owned();
        Some(Table { caption, head, rows: rows.collect(), foot: Vec::new() })
    }

    /// The recall curves of those contenders that have one.
    pub(super) fn curves(&self) -> impl Iterator<Item = (&str, Vec<(usize, f64)>)> {
        self.asked.contenders.iter().filter_map(|contender| {
            let curve = contender.report.recall(contender.system);
            let curve: Vec<_> = curve.into_iter().map(|at| (at.depth, at.recall)).collect();
            (!curve.is_empty()).then_some((contender.name.as_str(), curve))
        })
    }

    /// The mean difference of the first comparison within each tier.
    pub(super) fn tiers(&self) -> Option<Table> {
        let versus = self.main()?;
        let mut tiers: Vec<_> = self.rows.iter().filter_map(|row| row.tier.as_ref()).collect();
        tiers.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        tiers.dedup();
        let rows: Vec<_> = tiers
            .into_iter()
            .filter_map(|tier| {
                let of_tier = |compared: &&ComparedLanguage| {
                    let row = self.rows.iter().find(|row| row.language == compared.language);
                    row.is_some_and(|row| row.tier.as_ref() == Some(tier))
                };
                let compared = versus.comparison.languages.iter().filter(of_tier);
                let values: Vec<f64> = compared.map(|compared| compared.difference).collect();
                let mean = mean_of(&values)?;
                Some(vec![
                    Cell::text(&tier.name),
                    Cell::count(values.len()),
                    difference(mean, None),
                ])
            })
            .collect();
        let head = ["tier", "languages", "difference"].map(str::to_owned).into();
        let caption = format!(
            "{}: {} less {}, the mean of the differences within languages, by tier",
            versus.comparison.measure,
            self.name(versus.second),
            self.name(versus.first)
        );
        (!rows.is_empty()).then_some(Table { caption, head, rows, foot: Vec::new() })
    }
}

/// Values by the language of queries (rows) and of passages (columns).
pub(super) struct Matrix<'a> {
    pub(super) languages: Vec<&'a str>,
    pub(super) values: Vec<Vec<Option<f64>>>,
}

fn flatten(what: &str, value: &serde_json::Value, facts: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(inner) => {
            for (name, value) in inner {
                flatten(&format!("{what}: {name}"), value, facts);
            }
        }
        serde_json::Value::String(text) => facts.push((what.to_owned(), text.clone())),
        other => facts.push((what.to_owned(), other.to_string())),
    }
}

fn number(value: Option<f64>, shown: impl Fn(f64) -> String) -> Cell {
    value.map_or(Cell::Empty, |value| Cell::Number(shown(value), value))
}

fn difference(value: f64, mark: Option<Mark>) -> Cell {
    match mark {
        Some(mark) => Cell::Marked(signed(value), value, mark),
        None => Cell::Number(signed(value), value),
    }
}

/// A caption with a full stop.
pub(super) fn sentence(caption: &str) -> String {
    format!("{}.", caption.trim_end_matches('.'))
}

pub(super) fn plain(value: f64) -> String {
    // An empty sum of floats is -0; no reader wants to see that.
    format!("{:.3}", value + 0.0)
}

/// With a true minus, so that both signs are as wide as a digit.
pub(super) fn signed(value: f64) -> String {
    minus(&format!("{value:+.3}"))
}

fn minus(written: &str) -> String {
    written.replace('-', "−")
}

pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "<.001".to_owned() } else { format!("{p:.3}") }
}

/// With a narrow space between thousands, which no language reads as a point.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

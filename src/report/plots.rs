//! The plots of a page, as SVG without colours or fonts of its own: the page's style sheet gives both, so
//! that they fit light, dark and print.
//!
//! Invariant: drawn on 720 units, twice the width of a small phone, with text of 22: it is readable where
//! the plot fills the screen. Values beyond 0 to 1 (or -1 to 1 for differences) are drawn at the end.

use std::collections::BTreeMap;
use std::io;

use dense_eval::ComparedLanguage;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::tables::Matrix;
use super::{ALPHA, Findings, Versus};

/// Why a plot could not be drawn.
pub(crate) type DrawError = DrawingAreaErrorKind<io::Error>;

/// A drawing without the tag around it.
pub(super) struct Plot {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) body: String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const WIDTH: u32 = 720;
/// Of text.
const SIZE: i32 = 22;
/// A line of text.
const LINE: i32 = 32;
/// Where the languages end and the plot begins.
const LEFT: i32 = 110;
const RIGHT: i32 = 24;
/// The names and numbers below an axis.
const BELOW: i32 = 80;

/// Colours that stand for those of the style sheet.
const INK: RGBColor = RGBColor(0, 0, 1);
const MUTED: RGBColor = RGBColor(0, 0, 2);
const GRID: RGBColor = RGBColor(0, 0, 3);
const STYLES: [(&str, &str); 11] = [
    ("\"#000001\"", "\"currentColor\""),
    ("\"#000002\"", "\"var(--muted)\""),
    ("\"#000003\"", "\"var(--line)\""),
    ("\"#000010\"", "\"var(--s0)\""),
    ("\"#000011\"", "\"var(--s1)\""),
    ("\"#000012\"", "\"var(--s2)\""),
    ("\"#000013\"", "\"var(--s3)\""),
    ("\"#000014\"", "\"var(--s4)\""),
    ("\"#000015\"", "\"var(--s5)\""),
    ("\"#000016\"", "\"var(--s6)\""),
    ("\"#000017\"", "\"var(--s7)\""),
];

/// How many colours systems have; then they begin again.
pub(super) const COLOURS: usize = 8;

fn colour(contender: usize) -> RGBColor {
    let at = u8::try_from(contender % COLOURS).unwrap_or(0);
    RGBColor(0, 0, 16 + at)
}

impl Findings<'_> {
    /// Each language with a bar for each contender, and the interval of its mean.
    pub(super) fn bars(&self) -> Result<Option<Plot>, DrawError> {
        let Some(measure) = self.measure().map(|measure| measure.to_string()) else {
            return Ok(None);
        };
        let count = self.asked.contenders.len();
        if self.rows.is_empty() {
            return Ok(None);
        }
        let row_height = pixels(count) * 18 + 18;
        let height = pixels(self.rows.len()) * row_height + BELOW;
        draw(height, |root| {
            let mut chart =
                axes(root, 0.0..1.0, real(self.rows.len()), &measure, &|x| format!("{x:.1}"))?;
            for (at, row) in self.rows.iter().enumerate() {
                let top = real(self.rows.len() - at);
                label(root, &chart, row.language, top - 0.5, INK)?;
                let high = 0.76 / real(count);
                for contender in 0..count {
                    let Some(value) = self.score(row, contender, &measure) else { continue };
                    let y = top - 0.12 - high * real(contender);
                    let ends = [(0.0, y), (value.clamp(0.0, 1.0), y - high * 0.9)];
                    let bar = Rectangle::new(ends, colour(contender).filled());
                    chart.draw_series([bar])?;
                    if let Some(interval) = row.intervals[contender] {
                        let y = y - high * 0.45;
                        let line = interval.map(|x| (x.clamp(0.0, 1.0), y)).to_vec();
                        chart.draw_series([PathElement::new(line, INK.stroke_width(3))])?;
                    }
                }
            }
            Ok(())
        })
        .map(Some)
    }

    /// How far the second system is ahead in each language, by tier where tiers are known.
    pub(super) fn ahead(&self, versus: &Versus) -> Result<Plot, DrawError> {
        let comparison = &versus.comparison;
        let tier = |compared: &ComparedLanguage| {
            let row = self.rows.iter().find(|row| row.language == compared.language);
            // Unknown ones come last.
            match row.and_then(|row| row.tier.as_ref()) {
                Some(tier) => (false, tier.key()),
                None => (true, (0, "no tier known")),
            }
        };
        let mut tiers: BTreeMap<_, Vec<&ComparedLanguage>> = BTreeMap::new();
        for compared in &comparison.languages {
            tiers.entry(tier(compared)).or_default().push(compared);
        }
        let headings = if self.has_tiers() { tiers.len() } else { 0 };
        let lines = comparison.languages.len() + headings;
        let ends = comparison
            .languages
            .iter()
            .flat_map(|row| row.interval.into_iter().chain([row.difference]).map(f64::abs));
        let farthest = ends.fold(0.02, f64::max).min(1.0) * 1.05;
        let name = format!(
            "{}: {} less {}",
            comparison.measure,
            self.name(versus.second),
            self.name(versus.first)
        );
        draw(pixels(lines) * 40 + BELOW, |root| {
            // Eleven marks at most: closer ends have marks that one digit does not tell apart.
            let digits = if farthest < 0.5 { 2 } else { 1 };
            let mut chart = axes(root, -farthest..farthest, real(lines), &name, &|x| {
                if x.abs() < 1e-9 { "0".to_owned() } else { format!("{x:+.digits$}") }
            })?;
            let zero =
                PathElement::new(vec![(0.0, 0.0), (0.0, real(lines))], MUTED.stroke_width(3));
            chart.draw_series([zero])?;
            let mut y = real(lines) - 0.5;
            for ((_, (_, name)), mut languages) in tiers {
                if self.has_tiers() {
                    let (_, at) = chart.backend_coord(&(0.0, y));
                    text(root, name, (0, at), HPos::Left, MUTED)?;
                    y -= 1.0;
                }
                languages.sort_by(|a, b| b.difference.total_cmp(&a.difference));
                for compared in languages {
                    label(root, &chart, &compared.language, y, INK)?;
                    let at = |x: f64| (x.clamp(-1.0, 1.0), y);
                    let line = compared.interval.map(at).to_vec();
                    let second = colour(versus.second);
                    chart.draw_series([PathElement::new(line, second.stroke_width(4))])?;
                    let sure = compared.p < ALPHA;
                    let style = if sure { second.filled() } else { second.stroke_width(3) };
                    // The size of a hollow mark is that of a full one with its rim.
                    let size = if sure { 10 } else { 8 };
                    chart.draw_series([Circle::new(at(compared.difference), size, style)])?;
                    y -= 1.0;
                }
            }
            Ok(())
        })
    }

    /// Every query by its value with the first and with the second system.
    pub(super) fn scatter(&self, versus: &Versus) -> Result<(Plot, [usize; 3]), DrawError> {
        let measure = versus.comparison.measure.to_string();
        let mut dots: BTreeMap<[i32; 2], usize> = BTreeMap::new();
        let mut counts = [0; 3];
        for row in &self.rows {
            let values = |contender: usize| {
                let system = self.asked.contenders[contender].system;
                row.scores[contender]?.by_topic.scores.get(system)?.get(&measure)
            };
            let (Some(first), Some(second)) = (values(versus.first), values(versus.second)) else {
                continue;
            };
            for (first, second) in first.iter().zip(second) {
                counts[match second.total_cmp(first) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => 1,
                    std::cmp::Ordering::Greater => 2,
                }] += 1;
                *dots.entry([*first, *second].map(step)).or_default() += 1;
            }
        }
        let most = dots.values().copied().max().unwrap_or(1);
        let plot = draw(pixels(WIDTH as usize) - LEFT - RIGHT + BELOW, |root| {
            let name = format!("{measure} of {}", self.name(versus.first));
            let mut chart = axes(root, 0.0..1.0, 1.0, &name, &|x| format!("{x:.1}"))?;
            for tenths in [0, 2, 4, 6, 8, 10] {
                let y = f64::from(tenths) / 10.0;
                label(root, &chart, &format!("{y:.1}"), y, MUTED)?;
                let line = vec![(0.0, y), (1.0, y)];
                chart.draw_series([PathElement::new(line, GRID.stroke_width(1))])?;
            }
            let diagonal = PathElement::new(vec![(0.0, 0.0), (1.0, 1.0)], MUTED.stroke_width(2));
            chart.draw_series([diagonal])?;
            let name = format!("{measure} of {}", self.name(versus.second));
            let style = font(INK).transform(FontTransform::Rotate270);
            let style = style.pos(Pos::new(HPos::Center, VPos::Center));
            let (_, middle) = chart.backend_coord(&(0.0, 0.5));
            root.draw(&Text::new(name, (16, middle), style))?;
            for ([x, y], count) in &dots {
                let centre = (f64::from(*x) / STEPS, f64::from(*y) / STEPS);
                let size = 5.0 + 15.0 * (real(*count) / real(most)).sqrt();
                let style = colour(versus.second).mix(0.6).filled();
                #[expect(clippy::cast_possible_truncation, reason = "it is at most 20")]
                chart.draw_series([Circle::new(centre, size as i32, style)])?;
            }
            Ok(())
        })?;
        Ok((plot, counts))
    }

    /// Recall by depth; the depths stand side by side as they are nearly even in their logarithm.
    pub(super) fn recall_curves(&self) -> Result<Option<Plot>, DrawError> {
        let curves: Vec<_> = self.curves().collect();
        let Some(depths) = curves.first().map(|(_, curve)| curve.iter().map(|at| at.0)) else {
            return Ok(None);
        };
        let depths: Vec<usize> = depths.collect();
        let last = real(depths.len().max(2) - 1);
        let at_depth = |x: f64| {
            let nearest = depths.iter().enumerate().find(|(at, _)| (real(*at) - x).abs() < 1e-6);
            nearest.map(|(_, depth)| depth.to_string()).unwrap_or_default()
        };
        draw(460 + BELOW, |root| {
            let mut chart = axes(root, 0.0..last, 1.0, "passages looked at", &at_depth)?;
            for tenths in [0, 2, 4, 6, 8, 10] {
                let y = f64::from(tenths) / 10.0;
                label(root, &chart, &format!("{y:.1}"), y, MUTED)?;
                let line = vec![(0.0, y), (last, y)];
                chart.draw_series([PathElement::new(line, GRID.stroke_width(1))])?;
            }
            for (name, curve) in &curves {
                let mut all = self.asked.contenders.iter();
                let contender = all.position(|contender| contender.name == *name).unwrap_or(0);
                let points: Vec<(f64, f64)> = curve
                    .iter()
                    .enumerate()
                    .map(|(at, (_, recall))| (real(at), recall.clamp(0.0, 1.0)))
                    .collect();
                let style = colour(contender);
                chart.draw_series([PathElement::new(points.clone(), style.stroke_width(4))])?;
                for point in points {
                    // Told apart by their form as well as by their colour.
                    match contender % 3 {
                        0 => chart.draw_series([Circle::new(point, 9, style.filled())])?,
                        1 => chart.draw_series([TriangleMarker::new(point, 13, style.filled())])?,
                        _ => chart.draw_series([Cross::new(point, 9, style.stroke_width(4))])?,
                    };
                }
            }
            Ok(())
        })
        .map(Some)
    }
}

/// The languages of queries by those of passages: the higher the value, the stronger the colour.
pub(super) fn heat(matrix: &Matrix<'_>, contender: usize) -> Result<Plot, DrawError> {
    let count = pixels(matrix.languages.len()).max(1);
    let cell = ((pixels(WIDTH as usize) - LEFT) / count).min(120);
    // A digit is about half as wide as it is high.
    let has_numbers = cell >= 44;
    let size = cell.min(SIZE);
    let longest = matrix.languages.iter().map(|language| language.len()).max().unwrap_or(0);
    let is_turned = pixels(longest) * 13 > cell;
    let top = if is_turned { pixels(longest) * 13 + 16 } else { LINE + 8 };
    let at_side = sized(size, INK).pos(Pos::new(HPos::Right, VPos::Center));
    let at_top = if is_turned {
        let turned = sized(size, INK).transform(FontTransform::Rotate270);
        turned.pos(Pos::new(HPos::Left, VPos::Center))
    } else {
        sized(size, INK).pos(Pos::new(HPos::Center, VPos::Center))
    };
    draw(top + cell * count, |root| {
        for (at, language) in (0_i32..).zip(&matrix.languages) {
            let middle = at * cell + cell / 2;
            root.draw(&Text::new(*language, (LEFT - 14, top + middle), at_side.clone()))?;
            let y = if is_turned { top - 8 } else { top - 20 };
            root.draw(&Text::new(*language, (LEFT + middle, y), at_top.clone()))?;
        }
        for (y, row) in (0_i32..).zip(&matrix.values) {
            for (x, value) in (0_i32..).zip(row) {
                let Some(value) = value.map(|value| value.clamp(0.0, 1.0)) else { continue };
                let corner = (LEFT + x * cell, top + y * cell);
                let ends = [corner, (corner.0 + cell - 2, corner.1 + cell - 2)];
                // Text on the full colour would be hard to read.
                let style = colour(contender).mix(0.04 + 0.66 * value).filled();
                root.draw(&Rectangle::new(ends, style))?;
                if has_numbers {
                    let shown = format!("{value:.2}");
                    let shown = shown.strip_prefix('0').unwrap_or(&shown);
                    let middle = (corner.0 + cell / 2 - 1, corner.1 + cell / 2);
                    text(root, shown, middle, HPos::Center, INK)?;
                }
            }
        }
        Ok(())
    })
}

fn draw(
    height: i32,
    content: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<Plot, DrawError> {
    let height = u32::try_from(height).unwrap_or(0).max(1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        content(&root)?;
        root.present()?;
    }
    // The page writes a tag of its own, with what the plot shows in words.
    let inner = svg.split_once('>').map_or("", |(_, rest)| rest);
    let mut body =
        inner.trim_end().trim_end_matches("</svg>").replace(" font-family=\"sans-serif\"", "");
    for (marker, style) in STYLES {
        body = body.replace(marker, style);
    }
    Ok(Plot { width: WIDTH, height, body })
}

/// A plot with `lines` lines, counted from below, and an axis of values under them.
fn axes<'a, 'b>(
    root: &'a Area<'b>,
    range: std::ops::Range<f64>,
    lines: f64,
    name: &str,
    shown: &dyn Fn(f64) -> String,
) -> Result<Chart<'a, 'b>, DrawError> {
    let mut chart = ChartBuilder::on(root)
        .margin_top(12)
        .margin_right(RIGHT)
        .x_label_area_size(BELOW - 12)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(range, 0.0..lines)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_labels(11)
        .x_max_light_lines(1)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .x_label_style(font(MUTED))
        .x_label_formatter(&|x| shown(*x))
        .axis_desc_style(font(INK))
        .x_desc(name)
        .draw()?;
    Ok(chart)
}

/// The name of a line, left of the plot.
fn label(
    root: &Area<'_>,
    chart: &Chart<'_, '_>,
    name: &str,
    y: f64,
    colour: RGBColor,
) -> Result<(), DrawError> {
    let (x, y) = chart.backend_coord(&(chart.x_range().start, y));
    text(root, name, (x - 14, y), HPos::Right, colour)
}

fn text(
    root: &Area<'_>,
    text: &str,
    at: (i32, i32),
    side: HPos,
    colour: RGBColor,
) -> Result<(), DrawError> {
    let style = font(colour).pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(text.to_owned(), at, style))
}

fn font(colour: RGBColor) -> TextStyle<'static> {
    sized(SIZE, colour)
}

/// The library writes sizes divided by 1.24.
fn sized(size: i32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", f64::from(size) * 1.24).into_font().color(&colour)
}

/// How finely the values of queries are told apart.
const STEPS: f64 = 40.0;

#[expect(clippy::cast_possible_truncation, reason = "it is from 0 to 40")]
fn step(value: f64) -> i32 {
    (value.clamp(0.0, 1.0) * STEPS).round() as i32
}

fn pixels(count: usize) -> i32 {
    // More lines than that are no plot.
    i32::try_from(count.min(10_000)).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 lines")]
fn real(count: usize) -> f64 {
    count as f64
}

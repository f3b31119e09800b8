//! Pictures of what was measured, as SVG.

use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::commands::scale::{QUANTITIES, Scaled, points};
use crate::sweep::Curve;
use crate::systems::Config;

const SIZE: (u32, u32) = (960, 640);

/// Recalls below are of no use to anybody.
const LEAST_RECALL: f64 = 0.85;

/// One line of a picture.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Queries a second against recall.
pub(crate) fn curves(file: &Path, title: &str, curves: &[Curve]) -> anyhow::Result<()> {
    let lines: Vec<Line> = curves
        .iter()
        .map(|curve| Line {
            name: curve.config.to_string(),
            points: curve
                .points
                .iter()
                .filter(|point| point.recall >= LEAST_RECALL)
                .map(|point| (point.recall, point.qps))
                .collect(),
        })
        .collect();
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (least, most) = range(&lines).context("nothing to draw")?;
    chart(
        &root,
        title,
        ("recall@10", "queries a second"),
        LEAST_RECALL..1.0,
        (least..most).log_scale(),
        (&lines, SeriesLabelPosition::LowerLeft),
    )?;
    Ok(root.present()?)
}

/// What grows with the number of rows, one picture beside another.
pub(crate) fn scaling(file: &Path, all: &[Scaled], configs: &[Config]) -> anyhow::Result<()> {
    let root = SVGBackend::new(file, (SIZE.0 * 3 / 2, SIZE.1)).into_drawing_area();
    root.fill(&WHITE)?;
    for ((name, of), area) in QUANTITIES.into_iter().zip(root.split_evenly((2, 3))) {
        let lines: Vec<Line> = configs
            .iter()
            .map(|config| Line { name: config.to_string(), points: points(all, config, of) })
            .collect();
        let Some((least, most)) = range(&lines) else { continue };
        let rows = lines.iter().flat_map(|line| &line.points).map(|point| point.0);
        let (first, last) = rows.fold((f64::MAX, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
        let x = (first..last.max(first * 2.0)).log_scale();
        let legend = (&*lines, SeriesLabelPosition::UpperLeft);
        chart(&area, name, ("rows", name), x, (least..most).log_scale(), legend)?;
    }
    Ok(root.present()?)
}

/// A number at an axis.
fn short(number: f64) -> String {
    if number >= 100.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// The range of all values, with a margin.
fn range(lines: &[Line]) -> Option<(f64, f64)> {
    let values = || lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    let least = values().min_by(f64::total_cmp)?;
    let most = values().max_by(f64::total_cmp)?;
    Some((least * 0.8, most * 1.25))
}

fn chart<X, Y>(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    (x_name, y_name): (&str, &str),
    x: X,
    y: Y,
    (lines, legend): (&[Line], SeriesLabelPosition),
) -> anyhow::Result<()>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let failed = |error: DrawingAreaErrorKind<std::io::Error>| anyhow!("{error}");
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc(x_name)
        .y_desc(y_name)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()
        .map_err(failed)?;
    for (at, line) in lines.iter().enumerate() {
        let color = Palette99::pick(at).to_rgba();
        let series =
            LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(3);
        chart
            .draw_series(series)
            .map_err(failed)?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(failed)
}

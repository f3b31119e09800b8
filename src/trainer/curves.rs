//! The curves of a run as one picture, from its log.

use std::path::Path;

use plotters::prelude::*;

use super::log::Line;

/// Losses are drawn as means of about so many parts of the run: single batches differ much.
const POINTS: usize = 100;

const SIZE: (u32, u32) = (900, 640);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("the curves cannot be drawn: {reason}")]
pub struct CurvesError {
    reason: String,
}

/// Draws the loss, and below it the precisions on the development set, by step, as SVG.
pub(super) fn draw(lines: &[Line], file: &Path) -> Result<(), CurvesError> {
    let losses = smoothed(lines);
    let values = |of: fn(&Line) -> Option<f64>| -> Vec<(f64, f64)> {
        lines.iter().filter_map(|line| Some((real(line.steps()), of(line)?))).collect()
    };
    let measures = [
        ("mono mAP", BLUE, values(|line| line.validation()?.mono)),
        ("cross mAP", RED, values(|line| line.validation()?.cross)),
        ("multi mAP", BLACK, values(|line| line.validation()?.multi)),
    ];
    let last = lines.last().map_or(1.0, |line| real(line.steps())).max(1.0);
    let fail = |error: &dyn std::fmt::Display| CurvesError { reason: error.to_string() };
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|e| fail(&e))?;
    let [above, below]: [_; 2] = root
        .split_evenly((2, 1))
        .try_into()
        .map_err(|_| CurvesError { reason: "the picture has no two halves".to_owned() })?;
    let loss = [("loss", BLUE, losses)];
    for (area, title, curves) in [(above, "loss", &loss[..]), (below, "development set", &measures)]
    {
        let all = || curves.iter().flat_map(|(_, _, points)| points.iter().map(|(_, y)| *y));
        let least = all().fold(f64::INFINITY, f64::min).min(1e9);
        let most = all().fold(f64::NEG_INFINITY, f64::max).max(least + 1e-6);
        let room = (most - least) * 0.05;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..last, least - room..most + room)
            .map_err(|e| fail(&e))?;
        chart.configure_mesh().x_desc("step").draw().map_err(|e| fail(&e))?;
        for (name, color, points) in curves {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color))
                .map_err(|e| fail(&e))?
                .label(*name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], *color));
        }
        chart.configure_series_labels().background_style(WHITE).draw().map_err(|e| fail(&e))?;
    }
    root.present().map_err(|e| fail(&e))
}

fn smoothed(lines: &[Line]) -> Vec<(f64, f64)> {
    let losses: Vec<(f64, f64)> =
        lines.iter().filter_map(|line| Some((real(line.steps()), line.loss()?))).collect();
    let part = losses.len().div_ceil(POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let count = real(part.len() as u64);
        let sum = part.iter().fold((0.0, 0.0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
        (sum.0 / count, sum.1 / count)
    };
    losses.chunks(part).map(mean).collect()
}

#[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
fn real(steps: u64) -> f64 {
    steps as f64
}

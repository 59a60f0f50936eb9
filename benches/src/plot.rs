//! Plots of raw data, as SVG.

use crate::Spread;
use anyhow::anyhow;
use plotters::prelude::*;
use std::path::Path;

/// A line of a plot: its name, and at each x the spread of the rounds.
pub struct Line {
    /// As the legend calls it.
    pub name: String,
    /// In the order of x.
    pub points: Vec<(f64, Spread)>,
}

/// Draws lines over a logarithmic x, and y from zero: medians, with a stroke from the lowest to the
/// highest.
///
/// # Errors
/// Fails where there is nothing to draw, or the file cannot be written.
pub fn draw(path: &Path, title: &str, x: &str, y: &str, lines: &[Line]) -> anyhow::Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let least = all().map(|(x, _)| *x).min_by(f64::total_cmp);
    let least = least.ok_or_else(|| anyhow!("nothing to draw"))?;
    let most = all().map(|(x, _)| *x).fold(least, f64::max);
    let highest = all().map(|(_, spread)| spread.max).fold(1.0, f64::max);
    let area = SVGBackend::new(path, (720, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d((least * 0.9..most * 1.1).log_scale(), 0.0..highest * 1.1)?;
    chart.configure_mesh().x_desc(x).y_desc(y).x_label_formatter(&|x| short(*x)).draw()?;
    for (line, color) in lines.iter().zip([BLUE, RED, GREEN, MAGENTA]) {
        let medians = || line.points.iter().map(|(x, spread)| (*x, spread.median));
        chart
            .draw_series(LineSeries::new(medians(), color.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(medians().map(|point| Circle::new(point, 3, color.filled())))?;
        chart.draw_series(line.points.iter().map(|(x, spread)| {
            PathElement::new([(*x, spread.min), (*x, spread.max)], color.stroke_width(1))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}

/// Numbers as axes show them: 1000 as 1k, 10000000 as 10M.
fn short(number: f64) -> String {
    if number >= 1e6 {
        format!("{}M", number / 1e6)
    } else if number >= 1e3 {
        format!("{}k", number / 1e3)
    } else {
        format!("{number}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_holds_its_lines() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = folder.path().join("plot.svg");
        let point = |x, median| (x, Spread { min: median - 1.0, median, max: median + 2.0 });
        let line =
            Line { name: "bursty".into(), points: vec![point(10.0, 50.0), point(1e4, 60.0)] };
        assert!(draw(&path, "cost", "instruments", "ns", &[line]).is_ok());
        let svg = std::fs::read_to_string(&path).unwrap_or_default();
        for text in ["bursty", "cost", "instruments", "10k"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(draw(&path, "cost", "instruments", "ns", &[]).is_err());
    }
}

//! The plot: one bar for each server and request.

use anyhow::anyhow;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::table::Bar;

const WIDTH: u32 = 860;
const ROW: u32 = 34;
const TOP: u32 = 64;
const BOTTOM: u32 = 34;
/// Where bars begin; what they are of stands to the left.
const LEFT: i32 = 290;
/// Room for the number behind the longest bar.
const RIGHT: i32 = 110;

const BASELINE: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb2);
const REFUSED: RGBColor = RGBColor(0xb8, 0x5c, 0x38);
const INK: RGBColor = RGBColor(0x22, 0x2b, 0x36);

/// The picture, as SVG: length is the median, the thin line the least and the most.
///
/// # Errors
/// The drawing's.
pub fn bars(bars: &[Bar]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(&mut svg, bars).map_err(|error| anyhow!("cannot draw: {error}"))?;
    Ok(svg + "\n")
}

fn draw(svg: &mut String, bars: &[Bar]) -> Result<(), Box<dyn std::error::Error>> {
    let height = TOP + BOTTOM + ROW * u32::try_from(bars.len())?;
    let area = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, color: &RGBColor, h: HPos| {
        ("sans-serif", size).into_font().color(color).pos(Pos::new(h, VPos::Center))
    };
    area.draw(&Text::new("CPU of the server for one Check, microseconds", (16, 22), style(18, &INK, HPos::Left)))?;
    let note = "one core; median of the rounds, line: least to most; shorter is better";
    area.draw(&Text::new(note, (16, 44), style(13, &BASELINE, HPos::Left)))?;
    let most = bars.iter().map(|bar| bar.cpu_us.max).fold(1.0, f64::max);
    let room = f64::from(i32::try_from(WIDTH)? - LEFT - RIGHT);
    let x = |value: f64| LEFT + (value / most * room).round() as i32;
    for (n, bar) in bars.iter().enumerate() {
        let middle = i32::try_from(TOP + ROW * u32::try_from(n)? + ROW / 2)?;
        area.draw(&Text::new(bar.label.clone(), (LEFT - 12, middle), style(14, &INK, HPos::Right)))?;
        let color = color(&bar.label);
        area.draw(&Rectangle::new([(LEFT, middle - 11), (x(bar.cpu_us.median), middle + 11)], color.filled()))?;
        area.draw(&PathElement::new(
            vec![(x(bar.cpu_us.min), middle), (x(bar.cpu_us.max), middle)],
            INK.stroke_width(1),
        ))?;
        let behind = x(bar.cpu_us.max.max(bar.cpu_us.median)) + 8;
        area.draw(&Text::new(format!("{:.1}", bar.cpu_us.median), (behind, middle), style(14, &INK, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}

fn color(label: &str) -> RGBColor {
    if !label.starts_with("gate") {
        BASELINE
    } else if label.contains("missing") || label.contains("no token") {
        REFUSED
    } else {
        OURS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Spread;

    #[test]
    fn every_bar_is_drawn_with_its_label_and_figure() {
        let bar = |label: &str, median| Bar { label: label.to_owned(), cpu_us: Spread { median, min: 5.0, max: 90.0 } };
        let svg = bars(&[bar("stock", 13.24), bar("gate, cached allow", 9.0)]).unwrap();
        for text in ["stock", "gate, cached allow", "13.2", "9.0", "</svg>"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn nothing_measured_is_an_empty_picture() {
        assert!(bars(&[]).unwrap().contains("</svg>"));
    }
}

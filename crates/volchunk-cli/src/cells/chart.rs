//! Bar charts as SVG, in the page's own colours.

use std::fmt::Write;

use super::{
    frame::{number, round_length},
    histogram::Bar,
    page::escape,
};

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// A bar chart.
pub(crate) struct Chart<'a> {
    pub(crate) bars: &'a [Bar],
    /// What lies along x, and up y.
    pub(crate) across: &'a str,
    pub(crate) up: &'a str,
    /// What it shows, for who cannot see it.
    pub(crate) told: &'a str,
    /// A line at a height, and a band that far on both sides.
    pub(crate) reference: Option<(f64, f64)>,
    /// Where x is cut by a line: a border of chunks.
    pub(crate) border: bool,
    /// Names of the bars, one each; else x is a scale.
    pub(crate) names: Option<Vec<String>>,
    /// Whether x counts: ticks at whole numbers only.
    pub(crate) whole: bool,
}

impl Chart<'_> {
    pub(crate) fn svg(&self) -> String {
        let (Some(first), Some(last)) = (self.bars.first(), self.bars.last()) else {
            return "<p>Nothing to draw.</p>".into();
        };
        let (low, high) = (first.0, last.1);
        let band = self.reference.map_or(0.0, |(at, reach)| at + reach);
        let top = self.bars.iter().fold(band, |most, b| most.max(b.2)) * 1.04;
        let top = if top > 0.0 { top } else { 1.0 };
        let x = |v: f64| LEFT + (v - low) / (high - low) * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| TOP + (1.0 - v.clamp(0.0, top) / top) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(self.told)
        );
        let step = round_length(top / 3.0);
        for k in 0..=(top / step) as usize {
            let (value, at) = (k as f64 * step, y(k as f64 * step));
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{LEFT} {at:.1}H{:.1}"/><text class="left" x="{:.1}" y="{:.1}">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(value)
            );
        }
        if let Some((at, reach)) = self.reference {
            let (above, below) = (y(at + reach), y(at - reach));
            let _ = write!(
                svg,
                r#"<rect class="band" x="{LEFT}" y="{above:.1}" width="{:.1}" height="{:.1}"/>"#,
                WIDTH - LEFT - RIGHT,
                below - above
            );
        }
        for (k, &(from, to, value)) in self.bars.iter().enumerate() {
            let gap = ((x(to) - x(from)) * 0.12).min(1.5);
            let name = match &self.names {
                Some(names) => names.get(k).cloned().unwrap_or_default(),
                None if self.whole && to - from == 1.0 => number(from),
                None if self.whole => format!("{} – {}", number(from), number(to - 1.0)),
                None => format!("{} – {}", number(from), number(to)),
            };
            let _ = write!(
                svg,
                r#"<rect class="bar" x="{:.2}" y="{:.2}" width="{:.2}" height="{:.2}"><title>{}: {}</title></rect>"#,
                x(from) + gap / 2.0,
                y(value),
                (x(to) - x(from) - gap).max(0.3),
                HEIGHT - BOTTOM - y(value),
                escape(&name),
                number(value)
            );
        }
        if let Some((at, _)) = self.reference {
            let _ =
                write!(svg, r#"<path class="ref" d="M{LEFT} {:.1}H{:.1}"/>"#, y(at), WIDTH - RIGHT);
        }
        if self.border {
            let _ = write!(
                svg,
                r#"<path class="border" d="M{:.1} {TOP}V{:.1}"/>"#,
                x(0.0),
                HEIGHT - BOTTOM
            );
        }
        let base = HEIGHT - BOTTOM;
        let _ = write!(svg, r#"<path class="axis" d="M{LEFT} {base:.1}H{:.1}"/>"#, WIDTH - RIGHT);
        let mut tick = |at: f64, text: &str| {
            let _ = write!(
                svg,
                r#"<text class="below" x="{:.1}" y="{:.1}">{}</text>"#,
                at,
                base + 16.0,
                escape(text)
            );
        };
        match &self.names {
            Some(names) => {
                let every = names.len().div_ceil(7).max(1);
                for (bar, name) in self.bars.iter().zip(names).step_by(every) {
                    tick(x((bar.0 + bar.1) / 2.0), name);
                }
            }
            // A chunk's number stands below the middle of its bar.
            None if self.whole && !self.border => {
                let step = round_length((high - low) / 5.0).max(1.0);
                for k in 0..=((high - 1.0 - low) / step) as usize {
                    tick(x(low + k as f64 * step + 0.5), &number(low + k as f64 * step));
                }
            }
            None => {
                let step = round_length((high - low) / 4.0);
                let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
                (first..=last).for_each(|k| tick(x(k as f64 * step), &number(k as f64 * step)));
            }
        }
        let _ = write!(
            svg,
            r#"<text class="below name" x="{:.1}" y="{:.1}">{}</text><text class="up name" transform="translate(12 {:.1}) rotate(-90)">{}</text></svg>"#,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            escape(self.across),
            (TOP + base) / 2.0,
            escape(self.up)
        );
        svg
    }
}

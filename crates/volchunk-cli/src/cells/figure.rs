//! The figure: projections along each axis, side by side with shared axes, and the cells on them.

use volchunk::ChunkGrid;

use super::{
    frame::{Frame, Shown, number, round_length},
    marks::{self, Marks, Style},
    projections::Image,
};
use crate::{
    draw::{Canvas, Colour, text_width},
    report::grouped,
};

const PAPER: Colour = [255; 3];
const INK: Colour = [28, 32, 38];
const SOFT: Colour = [96, 104, 114];
const FRAME: Colour = [170, 176, 184];
const BORDER: Colour = [110, 215, 205];

/// Pixels left of the panels, above them, between them, and under them for ticks.
const LEFT: usize = 66;
const TOP: usize = 16;
const GAP: usize = 14;
const TICKS: usize = 46;
const RIGHT: usize = 22;
/// Pixels of a capital: the title, text, ticks.
const TITLE: f32 = 14.0;
const TEXT: f32 = 9.5;
const LABEL: f32 = 9.0;
/// Pixels from a line of text to the next.
const LINE: usize = 21;
/// Width of a figure, at least, so that its text has room.
const LEAST: usize = 640;
/// Pixels between the chunks' borders, at least; closer ones are left out.
const CLOSE: f64 = 5.0;

/// What the colours of cells tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Colours {
    /// σ, from the first to the last.
    Scale(f64, f64),
    /// These channels.
    Channels(Vec<u64>),
}

impl Colours {
    /// The colour of a cell.
    pub(crate) fn of(&self, sigma: f64, channel: u64) -> Colour {
        match self {
            Self::Scale(low, high) if high > low => {
                marks::scale(((sigma - low) / (high - low)) as f32)
            }
            Self::Scale(..) => marks::scale(0.0),
            Self::Channels(all) => {
                marks::channel(all.iter().position(|c| *c == channel).unwrap_or(0))
            }
        }
    }
}

/// What is drawn.
pub(crate) struct Picture<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) grid: &'a ChunkGrid,
    pub(crate) images: &'a [Image],
    pub(crate) marks: &'a [Marks],
    pub(crate) colours: &'a Colours,
    pub(crate) sigma_unit: &'a str,
    pub(crate) title: &'a str,
    /// What stands under the title.
    pub(crate) lines: &'a [String],
}

impl Picture<'_> {
    /// The voxels that are drawn black and white: the 0.5th and 99.8th percentiles of all panels.
    pub(crate) fn contrast(&self) -> (f32, f32) {
        let mut values: Vec<f32> =
            self.images.iter().flatten().copied().filter(|v| v.is_finite()).collect();
        if values.is_empty() {
            return (0.0, 1.0);
        }
        let last = values.len() - 1;
        let mut at = |share: f64| {
            let k = (last as f64 * share).round() as usize;
            *values.select_nth_unstable_by(k, f32::total_cmp).1
        };
        let (low, high) = (at(0.005), at(0.998));
        if high > low {
            return (low, high);
        }
        // Nearly all of it is one value.
        let (low, high) = (at(0.0), at(1.0));
        if high > low { (low, high) } else { (low - 1.0, low + 1.0) }
    }

    /// A panel as it stands in figure and page.
    pub(crate) fn panel(&self, k: usize) -> Canvas {
        let panel = self.frame.panels[k];
        let (down, across) = (&self.frame.axes[panel.down], &self.frame.axes[panel.across]);
        let (low, high) = self.contrast();
        let dim = if self.marks[k].style() == Style::Density { 0.55 } else { 1.0 };
        let grey: Vec<f32> = self.images[k]
            .iter()
            .map(|v| ((v - low) / (high - low)).clamp(0.0, 1.0) * 255.0 * dim)
            .map(|v| if v.is_nan() { 0.0 } else { v })
            .collect();
        let mut canvas = Canvas::new(across.pixels, down.pixels, [0; 3]);
        let rows = Weights::of(down);
        let columns = Weights::of(across);
        let mut line = vec![0f32; across.blocks];
        for row in 0..down.pixels {
            line.fill(0.0);
            for (block, weight) in rows.at(row) {
                let values = &grey[block * across.blocks..][..across.blocks];
                line.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * v);
            }
            for column in 0..across.pixels {
                let value: f32 =
                    columns.at(column).map(|(block, weight)| weight * line[block]).sum();
                canvas.fill(column, row, 1, 1, [value.round() as u8; 3]);
            }
        }
        for column in self.borders(across) {
            (0..down.pixels).for_each(|row| canvas.blend(column, row, BORDER, 0.3));
        }
        for row in self.borders(down) {
            (0..across.pixels).for_each(|column| canvas.blend(column, row, BORDER, 0.3));
        }
        self.marks[k].draw(&mut canvas, (0, 0));
        canvas
    }

    /// Pixels at which chunks border on one another; none where they would cover the panel.
    fn borders(&self, shown: &Shown) -> Vec<usize> {
        let Some((axis, _)) = shown.axis else { return Vec::new() };
        let chunk = self.grid.chunk_shape()[axis] as f64 * shown.zoom();
        if chunk < CLOSE {
            return Vec::new();
        }
        (1..self.grid.counts()[axis]).map(|k| (k as f64 * chunk) as usize).collect()
    }

    /// The whole figure.
    pub(crate) fn draw(&self) -> Canvas {
        let pixels: Vec<usize> = self.frame.axes.iter().map(|s| s.pixels).collect();
        let n = pixels.len();
        let depth = if n == 3 { GAP + pixels[0] } else { 0 };
        let width = (LEFT + pixels[n - 1] + depth + RIGHT).max(LEAST);
        let room = (width - 2 * RIGHT) as f32;
        let title = shortened(self.title, room, TITLE);
        let lines: Vec<String> = self.lines.iter().flat_map(|l| wrapped(l, room)).collect();
        let notes = self.notes();
        let notes: Vec<String> = notes.iter().flat_map(|l| wrapped(l, room)).collect();
        let head = TOP + 30 + LINE * lines.len() + 12;
        let foot = head + pixels[n - 2] + depth + TICKS;
        let height = foot + LINE * (notes.len() + 1) + 14;
        let mut canvas = Canvas::new(width, height, PAPER);
        canvas.text((RIGHT as f32, TOP as f32), TITLE, &title, INK);
        let put = |canvas: &mut Canvas, k: usize, from: usize, text: &str| {
            canvas.text((RIGHT as f32, (from + LINE * k) as f32), TEXT, text, SOFT);
        };
        lines.iter().enumerate().for_each(|(k, line)| put(&mut canvas, k, TOP + 30, line));
        for (k, panel) in self.frame.panels.iter().enumerate() {
            let below = panel.along == Some(n - 2) && n == 3;
            let beside = panel.along == Some(n - 1) && n == 3;
            let left = LEFT + if beside { pixels[2] + GAP } else { 0 };
            let top = head + if below { pixels[1] + GAP } else { 0 };
            let [height, width] = [panel.down, panel.across].map(|a| pixels[a]);
            canvas.fill(left - 1, top - 1, width + 2, height + 2, FRAME);
            canvas.paste(left, top, &self.panel(k));
            let bottom = top + self.frame.axes[panel.down].pixels;
            if n < 3 || below || beside {
                self.ticks_across(&mut canvas, panel.across, left, bottom);
            }
            if !beside {
                self.ticks_down(&mut canvas, panel.down, left, top);
            }
        }
        self.key(&mut canvas, foot);
        notes.iter().enumerate().for_each(|(k, line)| put(&mut canvas, k + 1, foot + 4, line));
        canvas
    }

    fn ticks_across(&self, canvas: &mut Canvas, axis: usize, left: usize, bottom: usize) {
        let shown = &self.frame.axes[axis];
        let middle = |canvas: &mut Canvas, x: f32, y: f32, text: &str, colour| {
            let start = x - text_width(LABEL, text) / 2.0;
            canvas.text((start, y), LABEL, text, colour);
        };
        for tick in self.frame.ticks(axis) {
            let x = left as f32 + shown.place(tick / shown.size) as f32;
            canvas.line([(x, bottom as f32), (x, bottom as f32 + 5.0)], 1.2, SOFT, 1.0);
            middle(canvas, x, bottom as f32 + 10.0, &number(tick), SOFT);
        }
        let name = format!("{} / {}", shown.name, self.frame.unit);
        let x = left as f32 + shown.pixels as f32 / 2.0;
        middle(canvas, x, bottom as f32 + 28.0, &name, INK);
    }

    fn ticks_down(&self, canvas: &mut Canvas, axis: usize, left: usize, top: usize) {
        let shown = &self.frame.axes[axis];
        for tick in self.frame.ticks(axis) {
            let y = top as f32 + shown.place(tick / shown.size) as f32;
            canvas.line([(left as f32 - 5.0, y), (left as f32, y)], 1.2, SOFT, 1.0);
            let text = number(tick);
            let x = left as f32 - 9.0 - text_width(LABEL, &text);
            canvas.text((x, y - LABEL / 2.0), LABEL, &text, SOFT);
        }
        let y = top as f32 + shown.pixels as f32 / 2.0 - LABEL / 2.0;
        canvas.text((8.0, y), LABEL, &shown.name, INK);
    }

    /// What the colours mean, in one line under the panels.
    fn key(&self, canvas: &mut Canvas, top: usize) {
        let (mut x, y) = (RIGHT as f32, top as f32);
        let text = |canvas: &mut Canvas, x: &mut f32, text: &str| {
            canvas.text((*x, y + 4.0), TEXT, text, INK);
            *x += text_width(TEXT, text) + 10.0;
        };
        let bar = |canvas: &mut Canvas, x: &mut f32, colour: &dyn Fn(f32) -> Colour| {
            for k in 0..110 {
                canvas.fill(*x as usize + k, top + 3, 1, 12, colour(k as f32 / 109.0));
            }
            *x += 120.0;
        };
        if self.marks.iter().any(|m| m.style() != Style::Density) {
            match self.colours {
                Colours::Scale(low, high) => {
                    text(canvas, &mut x, &format!("σ  {}", number(*low)));
                    if high > low {
                        bar(canvas, &mut x, &marks::scale);
                        text(canvas, &mut x, &format!("{} {}", number(*high), self.sigma_unit));
                    } else {
                        text(canvas, &mut x, self.sigma_unit);
                    }
                }
                Colours::Channels(all) => {
                    for (k, channel) in all.iter().enumerate() {
                        canvas.fill(x as usize, top + 3, 12, 12, marks::channel(k));
                        x += 20.0;
                        text(canvas, &mut x, &format!("channel {channel}"));
                    }
                }
            }
            x += 14.0;
        }
        if let Some((most, square)) = self.densest() {
            text(canvas, &mut x, "cells  0");
            bar(canvas, &mut x, &|share| {
                let alpha = (share * 2.5).min(0.85);
                let under: Colour = [40; 3];
                let over = marks::heat(share);
                [0, 1, 2].map(|c| crate::draw::mix(under[c], over[c], alpha))
            });
            text(canvas, &mut x, &format!("{most} behind {square}"));
        }
    }

    /// Of the first panel that is shaded, the most cells behind a square, and that square. Each
    /// panel's shading goes up to its own most.
    pub(crate) fn densest(&self) -> Option<(String, String)> {
        let k = self.marks.iter().position(|m| m.style() == Style::Density)?;
        let panel = self.frame.panels[k];
        let [down, across] = [panel.down, panel.across].map(|a| &self.frame.axes[a]);
        let side = round_length(40.0 / self.frame.scale);
        let pixels = |shown: &Shown| side / shown.size * shown.zoom();
        let most = self.marks[k].densest(pixels(down) * pixels(across));
        let unit = self.frame.unit;
        let square = format!("{0} × {0} {unit} of {1}{2}", number(side), down.name, across.name);
        Some((grouped(most.ceil() as u64), square))
    }

    /// What else is to be known.
    fn notes(&self) -> Vec<String> {
        let (low, high) = self.contrast();
        let mut notes = vec![format!(
            "Largest voxel along each axis, black to white: {} to {}; lines: borders of chunks",
            number(f64::from(low)),
            number(f64::from(high)),
        )];
        let stretched = (0..self.frame.axes.len()).filter_map(|k| {
            let ratio = self.frame.stretched(k)?;
            Some(format!(
                "{} is drawn {:.1} times as long as it is",
                self.frame.axes[k].name, ratio
            ))
        });
        notes.extend(stretched);
        notes
    }
}

/// For each pixel of an axis, the blocks that lie under it and their shares.
struct Weights {
    zoom: f64,
    step: f64,
    voxels: f64,
}

impl Weights {
    fn of(shown: &Shown) -> Self {
        Self { zoom: shown.zoom(), step: shown.step as f64, voxels: shown.voxels as f64 }
    }

    fn at(&self, pixel: usize) -> impl Iterator<Item = (usize, f32)> {
        let (from, to) = (pixel as f64 / self.zoom, (pixel + 1) as f64 / self.zoom);
        let to = to.min(self.voxels);
        let (zoom, step) = (1.0 / (to - from), self.step);
        // A sliver of the next block may be due to rounding alone.
        let last = ((to - 1e-9) / step).floor() as usize;
        ((from / step).floor() as usize..=last).map(move |block| {
            let low = (block as f64 * step).max(from);
            let high = ((block + 1) as f64 * step).min(to);
            (block, ((high - low).max(0.0) * zoom) as f32)
        })
    }
}

/// `text` in lines no wider than `room`, broken at blanks.
fn wrapped(text: &str, room: f32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let longer = match lines.last().map(String::as_str) {
            Some("") | None => word.to_owned(),
            Some(line) => format!("{line} {word}"),
        };
        if text_width(TEXT, &longer) <= room || lines.last().is_some_and(String::is_empty) {
            lines.pop();
            lines.push(longer);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.into_iter().map(|line| shortened(&line, room, TEXT)).collect()
}

/// `text` with its middle left out where it is wider than `room`: names differ at both ends.
fn shortened(text: &str, room: f32, size: f32) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut keep = letters.len();
    loop {
        let short: String = if keep == letters.len() {
            text.to_owned()
        } else {
            let head = keep / 2;
            let ends = [&letters[..head], &['…'][..], &letters[letters.len() - (keep - head)..]];
            ends.concat().into_iter().collect()
        };
        if keep == 0 || text_width(size, &short) <= room {
            return short;
        }
        // Straight to about the right length, then one by one.
        let guess = (keep as f32 * room / text_width(size, &short)) as usize;
        keep = guess.min(keep - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_in_the_middle() {
        let name = "a".repeat(300) + ".zarr: 4,148 cells";
        let short = shortened(&name, 400.0, TITLE);
        assert!(
            text_width(TITLE, &short) <= 400.0 && short.ends_with("cells") && short.contains('…')
        );
        assert_eq!(shortened("short", 400.0, TITLE), "short");
        let lines = wrapped(&"some words ".repeat(40), 300.0);
        assert!(lines.len() > 5 && lines.iter().all(|l| text_width(TEXT, l) <= 300.0));
    }

    #[test]
    fn every_pixel_is_covered_once() {
        for (voxels, step, pixels) in
            [(64u64, 1u64, 700usize), (667, 1, 500), (10_000, 7, 1200), (5, 2, 56)]
        {
            let weights = Weights {
                zoom: pixels as f64 / voxels as f64,
                step: step as f64,
                voxels: voxels as f64,
            };
            for pixel in 0..pixels {
                let sum: f32 = weights.at(pixel).map(|(_, w)| w).sum();
                assert!((sum - 1.0).abs() < 1e-4, "{pixel} of {pixels}: {sum}");
                assert!(weights.at(pixel).all(|(b, _)| b < voxels.div_ceil(step) as usize));
            }
        }
    }
}

//! A canvas of pixels, with anti-aliased lines, circles and letters.

mod font;

pub(crate) type Colour = [u8; 3];

/// Pixels of three bytes each, rows from the top.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize, colour: Colour) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// Width and height.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub(crate) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// A rectangle; what lies outside is left out.
    pub(crate) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        for row in y..(y + height).min(self.height) {
            for column in x..(x + width).min(self.width) {
                let at = (row * self.width + column) * 3;
                self.pixels[at..at + 3].copy_from_slice(&colour);
            }
        }
    }

    /// Another canvas at `(x, y)`; what lies outside is left out.
    pub(crate) fn paste(&mut self, x: usize, y: usize, other: &Self) {
        let width = other.width.min(self.width.saturating_sub(x));
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let from = &other.pixels[row * other.width * 3..][..width * 3];
            self.pixels[((y + row) * self.width + x) * 3..][..width * 3].copy_from_slice(from);
        }
    }

    /// Lays `colour` over a pixel, 0 ≤ `alpha` ≤ 1; outside: nothing.
    pub(crate) fn blend(&mut self, x: usize, y: usize, colour: Colour, alpha: f32) {
        if x < self.width && y < self.height {
            let at = (y * self.width + x) * 3;
            for (pixel, c) in self.pixels[at..at + 3].iter_mut().zip(colour) {
                *pixel = mix(*pixel, c, alpha);
            }
        }
    }

    /// A line with round ends; the centre of a pixel lies at .5.
    pub(crate) fn line(
        &mut self,
        [from, to]: [(f32, f32); 2],
        width: f32,
        colour: Colour,
        alpha: f32,
    ) {
        self.lines(&[[from, to]], width, colour, alpha);
    }

    /// Text in one line, the top of its capitals at `y`, these `size` pixels high.
    pub(crate) fn text(&mut self, (x, y): (f32, f32), size: f32, text: &str, colour: Colour) {
        let unit = size / font::CAPITAL;
        let place = |p: (f32, f32)| (x + p.0 * unit, y + p.1 * unit);
        let lines: Vec<_> =
            font::strokes(text).lines.iter().map(|&[a, b]| [place(a), place(b)]).collect();
        self.lines(&lines, (1.65 * unit).max(1.15), colour, 1.0);
    }

    /// Lines whose overlaps are no darker than the lines.
    fn lines(&mut self, lines: &[[(f32, f32); 2]], width: f32, colour: Colour, alpha: f32) {
        let reach = width / 2.0 + 1.0;
        let bounds = |of: fn(&(f32, f32)) -> f32| {
            let ends = lines.iter().flatten().map(of);
            ends.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (left, right) = bounds(|p| p.0);
        let (top, bottom) = bounds(|p| p.1);
        let clip = |v: f32, most: usize| v.clamp(0.0, most as f32) as usize;
        let columns = clip(left - reach, self.width)..clip(right + reach + 1.0, self.width);
        let rows = clip(top - reach, self.height)..clip(bottom + reach + 1.0, self.height);
        let mut cover = vec![0f32; columns.len() * rows.len()];
        for &[from, to] in lines {
            let span = |a: f32, b: f32, within: &std::ops::Range<usize>| {
                let low = clip(a.min(b) - reach, within.end).max(within.start);
                low..clip(a.max(b) + reach + 1.0, within.end).max(low)
            };
            for row in span(from.1, to.1, &rows) {
                for column in span(from.0, to.0, &columns) {
                    let centre = (column as f32 + 0.5, row as f32 + 0.5);
                    let covered = (width / 2.0 + 0.5 - distance(centre, from, to)).clamp(0.0, 1.0);
                    let at = (row - rows.start) * columns.len() + column - columns.start;
                    cover[at] = cover[at].max(covered);
                }
            }
        }
        for (k, &covered) in cover.iter().enumerate().filter(|(_, c)| **c > 0.0) {
            let (row, column) = (k / columns.len(), k % columns.len());
            self.blend(columns.start + column, rows.start + row, colour, covered * alpha);
        }
    }
}

/// Pixels that `text` takes, its capitals `size` pixels high.
pub(crate) fn text_width(size: f32, text: &str) -> f32 {
    font::strokes(text).width * size / font::CAPITAL
}

/// From `under` to `over`, as 0 ≤ `alpha` ≤ 1 says.
pub(crate) fn mix(under: u8, over: u8, alpha: f32) -> u8 {
    (f32::from(under) + (f32::from(over) - f32::from(under)) * alpha).round() as u8
}

/// How far `at` is from the line between two points.
fn distance(at: (f32, f32), from: (f32, f32), to: (f32, f32)) -> f32 {
    let (along, off) = ((to.0 - from.0, to.1 - from.1), (at.0 - from.0, at.1 - from.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let t = if length > 0.0 { (off.0 * along.0 + off.1 * along.1) / length } else { 0.0 };
    let t = t.clamp(0.0, 1.0);
    (off.0 - t * along.0).hypot(off.1 - t * along.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_left_out() {
        let mut canvas = Canvas::new(8, 6, [0; 3]);
        canvas.fill(6, 5, 10, 10, [9; 3]);
        canvas.line([(-20.0, 3.0), (40.0, 3.0)], 2.0, [200; 3], 1.0);
        canvas.text((-3.0, -4.0), 12.0, "Wide text", [50; 3]);
        canvas.line([(90.0, 90.0), (99.0, 99.0)], 2.0, [200; 3], 1.0);
        assert_eq!(canvas.pixels().len(), 8 * 6 * 3);
    }

    #[test]
    fn a_line_covers_what_it_covers() {
        let mut canvas = Canvas::new(9, 9, [0; 3]);
        canvas.line([(2.0, 4.0), (7.0, 4.0)], 2.0, [200; 3], 1.0);
        let at = |x: usize, y: usize| canvas.pixels()[(y * 9 + x) * 3];
        assert_eq!((at(4, 3), at(4, 4)), (200, 200), "the two rows beside y = 4");
        assert_eq!((at(4, 1), at(4, 6)), (0, 0));
    }

    #[test]
    fn the_width_of_text_grows_with_it() {
        assert!(text_width(12.0, "mm") > text_width(12.0, "ll"));
        assert_eq!(text_width(24.0, "cells"), 2.0 * text_width(12.0, "cells"));
        assert_eq!(text_width(12.0, ""), 0.0);
    }
}

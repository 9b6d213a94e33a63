//! Cells as they are laid on a panel: rings, dots, or shading by density, all gathered while the
//! table streams by, so that no cell is held.

use super::frame::Frame;
use crate::draw::{Canvas, Colour, mix};

/// Pixels of a ring's line, and of a dot.
const LINE: f32 = 1.4;
const DOT: f32 = 2.0;
/// Share of a panel that rings, and dots, may cover.
const CROWDED: f64 = 0.3;
/// Pixels over which density is smoothed, to each side.
const BLUR: usize = 4;

/// How a panel shows its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Each with its radius.
    Rings,
    /// Each as a dot: rings would cover one another, or be too small.
    Dots,
    /// Brighter where more lie behind one another: dots would cover the panel.
    Density,
}

/// Colours laid over one another, with how much they cover.
struct Layer(Vec<[u8; 4]>);

impl Layer {
    fn cover(&mut self, at: usize, colour: Colour, alpha: f32) {
        let pixel = &mut self.0[at];
        let under = f32::from(pixel[3]) / 255.0;
        let all = alpha + under * (1.0 - alpha);
        if all > 0.0 {
            for (to, c) in pixel.iter_mut().zip(colour) {
                *to = mix(*to, c, alpha / all);
            }
            pixel[3] = (all * 255.0).round() as u8;
        }
    }
}

/// The marks of one panel.
pub(crate) struct Marks {
    width: usize,
    height: usize,
    rings: Layer,
    dots: Layer,
    counts: Vec<u32>,
    cells: u64,
    /// Pixels that rings, drawn side by side, would cover.
    covered: f64,
    /// Sum of radii, pixels.
    radii: f64,
}

impl Marks {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let blank = || Layer(vec![[0; 4]; width * height]);
        Self {
            width,
            height,
            rings: blank(),
            dots: blank(),
            counts: vec![0; width * height],
            cells: 0,
            covered: 0.0,
            radii: 0.0,
        }
    }

    /// Bytes that the marks of all panels take.
    pub(crate) fn bytes(frame: &Frame) -> u64 {
        let pixels = |k: usize| frame.axes[k].pixels as u64;
        frame.panels.iter().map(|p| 12 * pixels(p.down) * pixels(p.across)).sum()
    }

    fn area(&self) -> f64 {
        (self.width * self.height) as f64
    }

    /// A cell centred at `(x, y)` with radii along x and y, in pixels; outside: nothing.
    pub(crate) fn add(&mut self, (x, y): (f64, f64), (rx, ry): (f64, f64), colour: Colour) {
        if !(x >= 0.0 && x < self.width as f64 && y >= 0.0 && y < self.height as f64) {
            return;
        }
        self.cells += 1;
        self.counts[y as usize * self.width + x as usize] += 1;
        let centre = (x as f32, y as f32);
        let valid = |r: f64| if r.is_finite() { r.clamp(0.5, 1e4) } else { 0.5 };
        let (rx, ry) = (valid(rx), valid(ry));
        self.radii += rx.min(ry);
        // Once the panel is crowded they will not be shown.
        if self.covered <= CROWDED * self.area() {
            self.covered += std::f64::consts::PI * (rx + ry) * f64::from(LINE);
            self.ellipse(centre, (rx as f32, ry as f32), colour);
        }
        if self.dots_fit() {
            let reach = DOT + 2.5;
            self.each(centre, (reach, reach), |layers, at, (dx, dy)| {
                // A dark rim sets a dot apart from bright voxels.
                let off = dx.hypot(dy);
                layers.1.cover(at, [10, 14, 20], 0.55 * (DOT + 1.4 - off).clamp(0.0, 1.0));
                layers.1.cover(at, colour, (DOT + 0.3 - off).clamp(0.0, 1.0));
            });
        }
    }

    fn ellipse(&mut self, centre: (f32, f32), (rx, ry): (f32, f32), colour: Colour) {
        self.each(centre, (rx + 3.0, ry + 3.0), |layers, at, (dx, dy)| {
            // Distance to the ellipse, to first order: the value of its equation by its slope.
            let (u, v) = (dx / rx, dy / ry);
            let value = u.hypot(v);
            let slope = (u / rx).hypot(v / ry) / value.max(1e-3);
            let off = ((value - 1.0) / slope.max(1e-6)).abs();
            layers.0.cover(at, [10, 14, 20], 0.4 * (LINE / 2.0 + 1.2 - off).clamp(0.0, 1.0));
            layers.0.cover(at, colour, (LINE / 2.0 + 0.5 - off).clamp(0.0, 1.0));
        });
    }

    /// Calls `visit` with every pixel within `reach` of `centre` and its distances to it.
    fn each(
        &mut self,
        centre: (f32, f32),
        reach: (f32, f32),
        mut visit: impl FnMut((&mut Layer, &mut Layer), usize, (f32, f32)),
    ) {
        let span = |at: f32, reach: f32, n: usize| {
            let low = (at - reach).max(0.0) as usize;
            low..((at + reach + 1.0).max(0.0) as usize).min(n)
        };
        for row in span(centre.1, reach.1, self.height) {
            for column in span(centre.0, reach.0, self.width) {
                let off = (column as f32 + 0.5 - centre.0, row as f32 + 0.5 - centre.1);
                visit((&mut self.rings, &mut self.dots), row * self.width + column, off);
            }
        }
    }

    /// How these cells are best shown.
    pub(crate) fn style(&self) -> Style {
        let radius = self.radii / self.cells.max(1) as f64;
        if self.covered <= CROWDED * self.area() && radius >= 2.0 {
            Style::Rings
        } else if self.dots_fit() {
            Style::Dots
        } else {
            Style::Density
        }
    }

    /// Whether the dots of the cells so far leave most of the panel to be seen.
    fn dots_fit(&self) -> bool {
        self.cells as f64 * std::f64::consts::PI * f64::from(DOT).powi(2) <= CROWDED * self.area()
    }

    /// Lays the marks over the panel of their size at `(left, top)` of `canvas`.
    pub(crate) fn draw(&self, canvas: &mut Canvas, (left, top): (usize, usize)) {
        let layer = match self.style() {
            Style::Rings => &self.rings,
            Style::Dots => &self.dots,
            Style::Density => return self.shade(canvas, (left, top)),
        };
        for (k, pixel) in layer.0.iter().enumerate().filter(|(_, p)| p[3] > 0) {
            let colour = [pixel[0], pixel[1], pixel[2]];
            let alpha = f32::from(pixel[3]) / 255.0;
            canvas.blend(left + k % self.width, top + k / self.width, colour, alpha);
        }
    }

    fn shade(&self, canvas: &mut Canvas, (left, top): (usize, usize)) {
        let density = self.density();
        let most = density.iter().fold(0f32, |most, &v| most.max(v)).max(1e-6);
        for (k, value) in density.iter().enumerate() {
            // The square root shows sparse places beside dense ones.
            let share = (value / most).sqrt();
            let (x, y) = (left + k % self.width, top + k / self.width);
            canvas.blend(x, y, heat(share), (share * 2.5).min(0.85));
        }
    }

    /// Cells for each pixel, smoothed.
    fn density(&self) -> Vec<f32> {
        let mut density: Vec<f32> = self.counts.iter().map(|&n| n as f32).collect();
        // Two boxes in a row are a tent.
        for _ in 0..2 {
            smooth(&mut density, self.height, self.width, 1);
            smooth(&mut density, self.width, self.height, self.width);
        }
        density
    }

    /// The most cells, behind one another, that `area` pixels hold anywhere.
    pub(crate) fn densest(&self, area: f64) -> f64 {
        f64::from(self.density().into_iter().fold(0f32, f32::max)) * area
    }
}

/// Means over a window along lines: `lines` of `length` values, `stride` apart.
fn smooth(values: &mut [f32], lines: usize, length: usize, stride: usize) {
    let mut sums = vec![0f64; length + 1];
    for line in 0..lines {
        let start = if stride == 1 { line * length } else { line };
        for k in 0..length {
            sums[k + 1] = sums[k] + f64::from(values[start + k * stride]);
        }
        for k in 0..length {
            let (low, high) = (k.saturating_sub(BLUR), (k + BLUR + 1).min(length));
            values[start + k * stride] = ((sums[high] - sums[low]) / (high - low) as f64) as f32;
        }
    }
}

/// A colour between `stops`, 0 ≤ `share` ≤ 1.
fn between(stops: &[Colour], share: f32) -> Colour {
    let at = share.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let k = (at as usize).min(stops.len() - 2);
    [0, 1, 2].map(|c| mix(stops[k][c], stops[k + 1][c], at - k as f32))
}

/// From few to many.
pub(crate) fn heat(share: f32) -> Colour {
    between(&[[90, 20, 110], [205, 50, 85], [250, 140, 40], [252, 230, 120]], share)
}

/// From the smallest to the largest σ: colours that stand out from grey, also for eyes that see no
/// red or no green.
pub(crate) fn scale(share: f32) -> Colour {
    between(&[[60, 200, 255], [95, 235, 140], [255, 225, 70], [255, 95, 60]], share)
}

/// A colour for the `k`-th channel.
pub(crate) fn channel(k: usize) -> Colour {
    const COLOURS: [Colour; 6] = [
        [60, 200, 255],
        [255, 150, 40],
        [240, 110, 230],
        [120, 230, 120],
        [255, 230, 80],
        [255, 95, 80],
    ];
    COLOURS[k % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(cells: usize, radius: f64) -> Marks {
        let mut marks = Marks::new(300, 200);
        for k in 0..cells {
            let (x, y) = ((k * 7919) % 300, (k * 104_729 / 300) % 200);
            marks.add((x as f64 + 0.5, y as f64 + 0.5), (radius, radius), [60, 200, 255]);
        }
        marks
    }

    #[test]
    fn many_cells_are_shown_otherwise_than_few() {
        assert_eq!(crowd(20, 8.0).style(), Style::Rings);
        assert_eq!(crowd(20, 1.0).style(), Style::Dots);
        assert_eq!(crowd(900, 20.0).style(), Style::Dots);
        assert_eq!(crowd(100_000, 8.0).style(), Style::Density);
        let mut nothing = Canvas::new(300, 200, [7; 3]);
        crowd(0, 1.0).draw(&mut nothing, (0, 0));
        assert!(nothing.pixels().iter().all(|&v| v == 7));
    }

    #[test]
    fn a_million_cells_do_not_fill_the_panel() {
        let mut marks = Marks::new(300, 200);
        for k in 0..1_000_000u64 {
            let random = k.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (x, y) =
                ((random >> 40) as f64 / 16_777_216.0, (random >> 16 & 0xffff) as f64 / 65536.0);
            marks.add((x * x * 300.0, y * 200.0), (3.0, 3.0), [60, 200, 255]);
        }
        let mut canvas = Canvas::new(300, 200, [0; 3]);
        marks.draw(&mut canvas, (0, 0));
        let at = |x: usize| canvas.pixels()[(100 * 300 + x) * 3];
        assert!(at(4) > at(150) + 20 && at(150) > 0, "dense {} sparse {}", at(4), at(150));
        // A square of 10 × 10 pixels holds 1/600 of the cells on average.
        assert!(marks.densest(100.0) > 1_000_000.0 / 600.0);
    }

    #[test]
    fn a_ring_is_a_ring() {
        let mut marks = Marks::new(41, 41);
        marks.add((20.5, 20.5), (10.0, 5.0), [200; 3]);
        marks.add((f64::NAN, 3.0), (10.0, 5.0), [200; 3]);
        marks.add((99.0, 3.0), (10.0, 5.0), [200; 3]);
        let on = |x: usize, y: usize| marks.rings.0[y * 41 + x][3] > 128;
        assert!(on(30, 20) && on(10, 20) && on(20, 15) && on(20, 25));
        assert!(!on(20, 20) && !on(20, 30) && !on(36, 20));
        assert_eq!(marks.cells, 1);
    }
}

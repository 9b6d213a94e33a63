//! The figure: voxels across the worst seam, the differences there, and the profile.

use std::path::Path;

use volchunk::{AxisSeams, Buffer, Element, Finding, Region, Result, Scratch, Source, dispatch};

use super::SOFTWARE;
use crate::{
    draw::{Canvas, Colour, text_width},
    picture,
};

/// Pixels for each voxel.
const ZOOM: usize = 6;
/// Pixels between and around the panels.
const GAP: usize = 24;
/// Pixels above the panels, for what they are.
const HEAD: usize = 52;
/// Pixels of a capital.
const LETTER: f32 = 12.0;
/// Columns of the profile for each plane.
const BAR: usize = 7;
/// Rows of the panels at least, so that the profile can be read.
const LEAST: usize = 300;

const WHITE: Colour = [255; 3];
const BLACK: Colour = [30; 3];
const GREY: Colour = [150, 158, 166];
const PALE: Colour = [225, 228, 232];
const RED: Colour = [214, 39, 40];

/// Draws the strongest finding of all axes. False where nothing was measured.
pub(super) fn draw(
    path: &Path,
    source: &dyn Source,
    seams: &[AxisSeams],
    names: &[String],
) -> Result<bool> {
    let measured = seams.iter().filter_map(|axis| {
        let (region, plane) = axis.worst.as_ref()?;
        Some((axis, region, *plane, axis.strongest()?))
    });
    let Some((axis, region, plane, finding)) = measured.max_by(|a, b| {
        (a.3.found, a.3.score)
            .partial_cmp(&(b.3.found, b.3.score))
            .unwrap_or(std::cmp::Ordering::Equal)
    }) else {
        return Ok(false);
    };
    let patch = Patch::read(source, region, axis.axis, plane, finding.jump.order)?;
    let [height, width] = patch.size;
    let rows = (height * ZOOM).max(LEAST);
    let mut canvas =
        Canvas::new(4 * GAP + 2 * width * ZOOM + 65 * BAR, HEAD + rows + 2 * GAP, WHITE);
    let name = &names[axis.axis];
    let lefts = [GAP, 2 * GAP + width * ZOOM, 3 * GAP + 2 * width * ZOOM];
    let mut put = |left: usize, top: f32, text: &str, colour| {
        canvas.text((left as f32, top), LETTER, text, colour);
    };
    put(
        lefts[0],
        8.0,
        &format!("{name} = {plane}: {}", if finding.found { "seam" } else { "no seam" }),
        if finding.found { RED } else { BLACK },
    );
    put(lefts[0], 29.0, &format!("voxels, {name} to the right"), BLACK);
    put(lefts[1], 29.0, &format!("differences of order {}", finding.jump.order), BLACK);
    let what = if finding.jump.step { "their mean" } else { "their size" };
    put(lefts[2], 8.0, &format!("{what}, by planes from the grid:"), BLACK);
    put(lefts[2], 29.0, &format!("× {:.2}, score {:.1}", finding.ratio, finding.score), BLACK);
    let top = HEAD;
    for (left, values) in [(lefts[0], &patch.voxels), (lefts[1], &patch.jumps)] {
        image(&mut canvas, left, top, patch.size, &picture::stretch(values));
        // Where the plane is, beside the voxels and not over them.
        let x = left + patch.middle * ZOOM;
        canvas.fill(x - 1, top - 7, 2, 5, RED);
        canvas.fill(x - 1, top + height * ZOOM + 2, 2, 5, RED);
    }
    profile(&mut canvas, lefts[2], top, rows, finding);
    picture::save(path, canvas.size(), canvas.pixels(), SOFTWARE)?;
    Ok(true)
}

/// One bar for each plane, on a logarithmic scale; the grid's is red.
fn profile(canvas: &mut Canvas, left: usize, top: usize, rows: usize, finding: &Finding) {
    let logs = finding.profile.iter().map(|(_, v)| v.max(1e-3).ln());
    let high = logs.clone().fold(0.0, f64::max).max(0.1);
    let low = logs.fold(0.0, f64::min).min(-0.05) - 0.1 * high;
    let y = |v: f64| ((high - v) / (high - low) * rows as f64) as usize;
    canvas.fill(left, top, 65 * BAR, rows, PALE);
    for (k, ratio) in &finding.profile {
        let at = y(ratio.max(1e-3).ln()).min(rows - 1);
        let colour = if *k == 0 { RED } else { GREY };
        canvas.fill(left + (k + 32) as usize * BAR, top + at, BAR - 1, rows - at, colour);
    }
    canvas.fill(left, top + y(0.0), 65 * BAR, 1, BLACK);
    for k in [-32, -16, 0, 16, 32i64] {
        let text = k.to_string();
        let x = (left + (k + 32) as usize * BAR + BAR / 2) as f32;
        let x = x - text_width(LETTER, &text) / 2.0;
        canvas.text((x, (top + rows + 5) as f32), LETTER, &text, BLACK);
    }
}

/// A slice through a patch, across its plane.
struct Patch {
    /// Rows, and columns along the axis.
    size: [usize; 2],
    /// The first column behind the plane.
    middle: usize,
    voxels: Vec<f32>,
    /// Magnitudes of the differences across the plane before each voxel.
    jumps: Vec<f32>,
}

impl Patch {
    /// Of the slices that `region` holds, the one with the largest differences across the plane.
    fn read(
        source: &dyn Source,
        region: &Region,
        axis: usize,
        plane: u64,
        order: u8,
    ) -> Result<Self> {
        let mut buffer = Buffer::zeros(region.shape(), source.info().dtype);
        source.read(region, buffer.view_mut(), &mut Scratch::new())?;
        // Slices, rows, columns along the axis.
        let ndim = region.ndim();
        let others: Vec<usize> = (0..ndim).filter(|&a| a != axis).collect();
        let mut axes = others.clone();
        axes.push(axis);
        let view = buffer.view().permuted(&axes);
        let mut turned = Buffer::zeros(view.shape(), view.dtype());
        turned.view_mut().copy_from(&view);
        let width = region.shape()[axis] as usize;
        let height = others.last().map_or(1, |&a| region.shape()[a] as usize);
        let voxels: Vec<f32> = dispatch!(turned.dtype(), T => {
            turned.as_slice::<T>().iter().map(|v| v.to_f64() as f32).collect()
        });
        let middle = (plane - region.start()[axis]) as usize;
        let slices = voxels.chunks(height * width).map(|slice| {
            let jumps: Vec<f32> =
                slice.chunks(width).flat_map(|row| differences(row, order)).collect();
            let across: f32 =
                jumps.iter().skip(middle).step_by(width).filter(|v| v.is_finite()).sum();
            (across, slice, jumps)
        });
        let best = slices.max_by(|a, b| a.0.total_cmp(&b.0));
        let (voxels, jumps) = best.map(|(_, v, j)| (v.to_vec(), j)).unwrap_or_default();
        Ok(Self { size: [height, width], middle, voxels, jumps })
    }
}

/// Magnitudes of the differences of an odd order across the plane before each voxel of a row; 0
/// where they reach beyond its ends.
fn differences(row: &[f32], order: u8) -> Vec<f32> {
    let reach = usize::from(order) / 2;
    let mut line: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
    for k in (1..line.len()).rev() {
        line[k] -= line[k - 1];
    }
    for _ in 0..reach {
        let before = line.clone();
        for k in 1..line.len().saturating_sub(1) {
            line[k] = before[k + 1] - 2.0 * before[k] + before[k - 1];
        }
    }
    let inside = reach + 1..line.len().saturating_sub(reach);
    let known = |k: usize| inside.contains(&k);
    line.iter().enumerate().map(|(k, v)| if known(k) { v.abs() as f32 } else { 0.0 }).collect()
}

/// Grey voxels, each as a square of pixels.
fn image(canvas: &mut Canvas, x: usize, y: usize, [height, width]: [usize; 2], grey: &[u8]) {
    for row in 0..height {
        for column in 0..width {
            let colour = [grey[row * width + column]; 3];
            canvas.fill(x + column * ZOOM, y + row * ZOOM, ZOOM, ZOOM, colour);
        }
    }
}

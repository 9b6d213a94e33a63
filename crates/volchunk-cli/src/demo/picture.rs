//! The picture that the demo draws.

use std::path::Path;

use volchunk::{Buffer, Result, Source};

use super::{for_each_plane, own::SOFTWARE};
use crate::picture;

/// Columns between the two halves.
const GAP: usize = 8;

/// Draws the brightest voxel along z of `before`, with the borders of the chunks, beside that of
/// `after`; uint16 and float32 volumes of one shape.
pub(super) fn draw(path: &Path, before: &dyn Source, after: &Buffer, chunk: &[u64]) -> Result<()> {
    let shape: Vec<usize> = before.info().shape.iter().map(|&n| n as usize).collect();
    let (height, width) = (shape[1], shape[2]);
    let mut left = vec![0f32; height * width];
    for_each_plane(before, |_, plane| {
        let pairs = left.iter_mut().zip(plane.as_slice::<u16>());
        pairs.for_each(|(most, &v)| *most = most.max(f32::from(v)));
    })?;
    let mut right = vec![0f32; height * width];
    for plane in after.as_slice::<f32>().chunks(height * width) {
        right.iter_mut().zip(plane).for_each(|(most, &v)| *most = most.max(v));
    }
    let (left, right) = (picture::stretch(&left), picture::stretch(&right));
    let mut pixels = Vec::with_capacity(height * (2 * width + GAP) * 3);
    for y in 0..height {
        for x in 0..width {
            let v = left[y * width + x];
            let border = (y as u64).is_multiple_of(chunk[1]) || (x as u64).is_multiple_of(chunk[2]);
            let faint = |tint: u8| {
                if border { ((u16::from(v) * 3 + u16::from(tint)) / 4) as u8 } else { v }
            };
            pixels.extend([faint(80), faint(220), faint(255)]);
        }
        pixels.extend([255; GAP * 3]);
        for x in 0..width {
            pixels.extend([right[y * width + x]; 3]);
        }
    }
    picture::save(path, (2 * width + GAP, height), &pixels, SOFTWARE)
}

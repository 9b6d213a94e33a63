//! The picture that the demo draws.

use std::{fs::File, io::BufWriter, path::Path};

use volchunk::{Buffer, Error, Result, Source};

use super::{for_each_plane, own::SOFTWARE};

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
    let (left, right) = (stretch(&left), stretch(&right));
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
    let fail = |e: png::EncodingError| {
        Error::io(format_args!("writing {}", path.display()), std::io::Error::other(e))
    };
    let file = File::create(path)
        .map_err(|e| Error::io(format_args!("creating {}", path.display()), e))?;
    let mut encoder =
        png::Encoder::new(BufWriter::new(file), (2 * width + GAP) as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.add_text_chunk("Software".into(), SOFTWARE.into()).map_err(fail)?;
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&pixels).map_err(fail)?;
    writer.finish().map_err(fail)
}

/// Grey values such that all but the brightest in 500 fit.
fn stretch(values: &[f32]) -> Vec<u8> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let low = sorted[sorted.len() / 100];
    let high = sorted[sorted.len() - 1 - sorted.len() / 500].max(low + 1.0);
    values.iter().map(|v| (255.0 * (v - low) / (high - low)) as u8).collect()
}

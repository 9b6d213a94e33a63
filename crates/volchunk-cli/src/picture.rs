//! Pictures: PNG files that say which command made them.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
};

use volchunk::{Error, Result};

/// Writes `size` (width, height) pixels, three bytes each, as PNG, made with `software`.
pub(crate) fn save(path: &Path, size: (usize, usize), pixels: &[u8], software: &str) -> Result<()> {
    let file = File::create(path)
        .map_err(|e| Error::io(format_args!("creating {}", path.display()), e))?;
    encode(BufWriter::new(file), size, pixels, software).map_err(|e| {
        Error::io(format_args!("writing {}", path.display()), std::io::Error::other(e))
    })
}

/// The same to anything that takes bytes.
pub(crate) fn encode(
    to: impl Write,
    size: (usize, usize),
    pixels: &[u8],
    software: &str,
) -> std::result::Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(to, size.0 as u32, size.1 as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.add_text_chunk("Software".into(), software.into())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}

/// Whether the file at `path` is a picture that was made with `software`.
pub(crate) fn is_made_with(path: &Path, software: &str) -> bool {
    let Ok(file) = File::open(path) else { return false };
    png::Decoder::new(BufReader::new(file)).read_info().is_ok_and(|reader| {
        let mut texts = reader.info().uncompressed_latin1_text.iter();
        texts.any(|t| t.keyword == "Software" && t.text == software)
    })
}
/// Grey values such that all but the brightest in 500 fit.
pub(crate) fn stretch(values: &[f32]) -> Vec<u8> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let low = sorted[sorted.len() / 100];
    let high = sorted[sorted.len() - 1 - sorted.len() / 500];
    let span = if high > low { high - low } else { 1.0 };
    values.iter().map(|v| (255.0 * (v - low) / span) as u8).collect()
}

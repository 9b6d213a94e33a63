//! What one directory says about its image: size, dtype, how and where the voxels are stored.

use volchunk::{Dtype, Error, Result};

use super::directory::{Directory, Order, Reader, UintArray, tag};
use crate::CountedFile;

/// How the bytes of a strip or tile are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
}

impl Compression {
    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::None,
            5 => Self::Lzw,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            50000 => Self::Zstd,
            _ => return None,
        })
    }

    /// The code to hand to the decoder.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Lzw => 5,
            Self::Deflate => 8,
            Self::PackBits => 32773,
            Self::Zstd => 50000,
        }
    }

    /// No byte of input becomes more bytes of output than this, by the format's own limits: a
    /// claim beyond it is refused before memory is set aside for it.
    pub(super) fn most_expansion(self) -> u64 {
        match self {
            Self::None => 1,
            Self::PackBits => 64,
            Self::Deflate => 1032,
            // A 12-bit code stands for at most 4094 bytes.
            Self::Lzw => 2730,
            // A block of 128 KiB in four bytes.
            Self::Zstd => 32768,
        }
    }
}

/// Everything that pages of one volume share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) order: Order,
    pub(super) width: u64,
    pub(super) height: u64,
    /// Values per pixel, side by side.
    pub(super) samples: u64,
    pub(super) dtype: Dtype,
    pub(super) compression: Compression,
    /// 1 none, 2 horizontal differences, 3 floating point.
    pub(super) predictor: u16,
    /// Whether it is stored in tiles, whole ones even at the edges, rather than in strips.
    pub(super) tiled: bool,
    /// Width and height of a tile; a strip is as wide as the image.
    pub(super) chunk_width: u64,
    pub(super) chunk_height: u64,
}

impl Layout {
    /// Bytes of one pixel.
    pub(super) fn pixel_bytes(&self) -> u64 {
        self.samples * self.dtype.size() as u64
    }

    /// Bytes of one row of a strip or tile. Checked when the page was read.
    pub(super) fn chunk_row_bytes(&self) -> u64 {
        self.chunk_width * self.pixel_bytes()
    }

    /// Strips or tiles side by side.
    pub(super) fn chunks_across(&self) -> u64 {
        self.width.div_ceil(self.chunk_width)
    }

    /// Strips or tiles of the image.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks_across() * self.height.div_ceil(self.chunk_height)
    }

    /// Rows that are stored in chunk `index`: a last strip ends with the image, tiles are whole.
    pub(super) fn stored_rows(&self, index: u64) -> u64 {
        if self.tiled {
            return self.chunk_height;
        }
        self.chunk_height.min(self.height - index * self.chunk_height)
    }

    /// `510×667 uint16`, for messages.
    pub(super) fn describe(&self) -> String {
        let samples =
            if self.samples > 1 { format!("×{} samples", self.samples) } else { String::new() };
        format!("{}×{}{samples} {}", self.height, self.width, self.dtype)
    }
}

/// Where the strips or tiles of one page lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    pub(super) offsets: UintArray,
    pub(super) byte_counts: UintArray,
}

/// Reads what `directory` says; None for thumbnails, pyramid levels and masks.
///
/// # Errors
/// Claims that contradict each other or the file's length; images that volchunk does not read.
pub(super) fn read(
    file: &CountedFile,
    reader: &mut Reader<'_>,
    directory: &Directory,
) -> Result<Option<(Layout, Chunks)>> {
    let place =
        || format!("{}, the directory at offset {}", file.path().display(), directory.offset);
    let unsupported = |what: String| Error::unsupported(format!("{}: {what}", place()));
    let bad = |what: String| Error::data(format!("{}: {what}", place()));

    if reader.uint(directory, tag::NEW_SUBFILE_TYPE)?.unwrap_or(0) & 0b101 != 0 {
        return Ok(None);
    }
    let mut size = |tag, what: &str| match reader.uint(directory, tag)? {
        Some(n @ 1..=0xffff_ffff) => Ok(n),
        Some(n) => Err(bad(format!("{what} is {n}; legal: 1 to 4294967295"))),
        None => Err(bad(format!("{what} (tag {tag}) is missing"))),
    };
    let width = size(tag::IMAGE_WIDTH, "ImageWidth")?;
    let height = size(tag::IMAGE_LENGTH, "ImageLength")?;
    let tiled = reader.field(directory, tag::TILE_OFFSETS).is_some();
    let (chunk_width, chunk_height) = if tiled {
        let mut size = |tag, what: &str| match reader.uint(directory, tag)? {
            Some(n @ 1..=0x7fff_ffff) => Ok(n),
            found => Err(bad(format!("{what} is {found:?}; legal: 1 to 2147483647"))),
        };
        (size(tag::TILE_WIDTH, "TileWidth")?, size(tag::TILE_LENGTH, "TileLength")?)
    } else {
        let rows = reader.uint(directory, tag::ROWS_PER_STRIP)?.unwrap_or(height);
        if rows == 0 {
            return Err(bad("RowsPerStrip is 0".into()));
        }
        (width, rows.min(height))
    };

    let samples = reader.uint(directory, tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
    if samples == 0 || samples > u64::from(u16::MAX) {
        return Err(bad(format!("SamplesPerPixel is {samples}; legal: 1 to 65535")));
    }
    if samples > 1 && reader.uint(directory, tag::PLANAR_CONFIGURATION)?.unwrap_or(1) != 1 {
        return Err(unsupported(format!(
            "its {samples} samples per pixel are stored in separate planes (PlanarConfiguration 2); volchunk reads samples side by side"
        )));
    }
    if let Some(6 | 8 | 9 | 10) = reader.uint(directory, tag::PHOTOMETRIC)? {
        return Err(unsupported(
            "a colour space of luminance and chrominance; legal: gray, RGB, palette indices".into(),
        ));
    }
    if reader.uint(directory, tag::FILL_ORDER)?.unwrap_or(1) != 1 {
        return Err(unsupported("FillOrder 2 (bits of a byte reversed); legal: 1".into()));
    }
    let bits = reader.uniform(directory, tag::BITS_PER_SAMPLE)?.unwrap_or(1);
    let format = reader.uniform(directory, tag::SAMPLE_FORMAT)?.unwrap_or(1);
    let dtype = dtype(format, bits).ok_or_else(|| {
        unsupported(format!(
            "SampleFormat {format} with {bits} bits; legal: unsigned (1) and signed (2) of 8, 16, 32, 64 bits, float (3) of 32, 64"
        ))
    })?;
    let code = reader.uint(directory, tag::COMPRESSION)?.unwrap_or(1);
    let compression = Compression::from_code(code).ok_or_else(|| {
        unsupported(format!(
            "compression {code}{}; legal: none (1), LZW (5), deflate (8, 32946), PackBits (32773), Zstandard (50000)",
            compression_name(code)
        ))
    })?;
    let predictor = match reader.uint(directory, tag::PREDICTOR)?.unwrap_or(1) {
        _ if compression == Compression::None => 1,
        1 => 1,
        2 => 2,
        3 if dtype.is_float() => 3,
        other => {
            return Err(unsupported(format!(
                "predictor {other} on {dtype}; legal: none (1), horizontal (2), floating point (3, on floats)"
            )));
        }
    };

    let layout = Layout {
        order: reader.order(),
        width,
        height,
        samples,
        dtype,
        compression,
        predictor,
        tiled,
        chunk_width,
        chunk_height,
    };
    let chunk_bytes = chunk_width
        .checked_mul(layout.pixel_bytes())
        .and_then(|row| row.checked_mul(chunk_height))
        .filter(|&n| n <= i64::MAX as u64);
    let chunks = width.div_ceil(chunk_width).checked_mul(height.div_ceil(chunk_height));
    let (Some(_), Some(chunks)) = (chunk_bytes, chunks) else {
        return Err(bad(format!(
            "{} in strips or tiles of {chunk_height}×{chunk_width} exceeds what can be addressed",
            layout.describe()
        )));
    };
    let (offsets, counts) = if tiled {
        (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
    } else {
        (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
    };
    let mut array = |tag| match reader.array(directory, tag)? {
        Some((array, n)) if n >= chunks => Ok(Some(array)),
        Some((_, n)) => Err(bad(format!(
            "{} needs {chunks} strips or tiles of {chunk_height}×{chunk_width}, tag {tag} lists {n}",
            layout.describe()
        ))),
        None => Ok(None),
    };
    let missing = |tag| bad(format!("tag {tag} (where the voxels lie) is missing"));
    let stored = Chunks {
        offsets: array(offsets)?.ok_or_else(|| missing(offsets))?,
        byte_counts: match array(counts)? {
            Some(counts) => counts,
            // Uncompressed voxels need no byte counts, and old writers leave them out.
            None if compression == Compression::None => UintArray::One(0),
            None => return Err(missing(counts)),
        },
    };
    check_whole(file, &layout, &stored, &bad)?;
    Ok(Some((layout, stored)))
}

/// Refuses voxels that the file is too short for, where that shows before any is read.
fn check_whole(
    file: &CountedFile,
    layout: &Layout,
    stored: &Chunks,
    bad: &dyn Fn(String) -> Error,
) -> Result<()> {
    let plane = (layout.width * layout.pixel_bytes()).saturating_mul(layout.height);
    let (at, bytes, what) = match (layout.compression, stored.offsets, stored.byte_counts) {
        (Compression::None, UintArray::One(at), _) => (at, plane, "uncompressed"),
        (Compression::None, ..) => (0, plane, "uncompressed"),
        (_, UintArray::One(at), UintArray::One(count)) => (at, count, "compressed"),
        _ => return Ok(()),
    };
    if at.checked_add(bytes).is_none_or(|stop| stop > file.len()) {
        return Err(bad(format!(
            "the file is truncated: {} takes {bytes} {what} bytes from offset {at}, the file has {}",
            layout.describe(),
            file.len()
        )));
    }
    Ok(())
}

fn dtype(format: u64, bits: u64) -> Option<Dtype> {
    Some(match (format, bits) {
        // 4: 'undefined', which writers use for plain integers.
        (1 | 4, 8) => Dtype::U8,
        (1 | 4, 16) => Dtype::U16,
        (1 | 4, 32) => Dtype::U32,
        (1 | 4, 64) => Dtype::U64,
        (2, 8) => Dtype::I8,
        (2, 16) => Dtype::I16,
        (2, 32) => Dtype::I32,
        (2, 64) => Dtype::I64,
        (3, 32) => Dtype::F32,
        (3, 64) => Dtype::F64,
        _ => return None,
    })
}

fn compression_name(code: u64) -> &'static str {
    match code {
        2..=4 => " (fax)",
        6 | 7 => " (JPEG)",
        33003 | 33005 | 34712 => " (JPEG 2000)",
        34887 => " (LERC)",
        34925 => " (LZMA)",
        50001 => " (WebP)",
        50002 => " (JPEG XL)",
        _ => "",
    }
}

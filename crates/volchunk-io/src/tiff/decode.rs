//! Compressed strips and tiles.
//!
//! Each is handed to the `tiff` crate as a TIFF of its own, one strip in memory behind a header
//! written here. So the decoder sees only sizes that were checked, and no byte of a hostile file
//! but the compressed ones.

use std::io::Cursor;

use tiff::decoder::{Decoder, Limits};
use volchunk::Dtype;

use super::{directory::Order, page::Layout};

/// Number of fields in the header.
const FIELDS: usize = 11;
/// Bytes before the compressed data: header, one directory, the offset of no next directory.
pub(super) const HEADER: usize = 8 + 2 + FIELDS * 12 + 4;

/// Decodes one strip or tile of `rows` rows.
///
/// `input` holds [`HEADER`] bytes of room and then the compressed bytes; `out` receives exactly
/// the voxels, in native byte order. Both are shorter than 4 GiB.
pub(super) fn decode(
    layout: &Layout,
    rows: u64,
    input: &mut [u8],
    out: &mut [u8],
) -> tiff::TiffResult<()> {
    write_header(layout, rows, input);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = out.len();
    limits.intermediate_buffer_size = input.len();
    let mut decoder = Decoder::new(Cursor::new(&*input))?.with_limits(limits);
    decoder.read_chunk_bytes(0, out)
}

fn write_header(layout: &Layout, rows: u64, input: &mut [u8]) {
    let short = |v: u16| match layout.order {
        Order::Little => v.to_le_bytes(),
        Order::Big => v.to_be_bytes(),
    };
    let long = |v: u64| match layout.order {
        Order::Little => (v as u32).to_le_bytes(),
        Order::Big => (v as u32).to_be_bytes(),
    };
    let format = match layout.dtype {
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 2,
        Dtype::F32 | Dtype::F64 => 3,
        _ => 1,
    };
    // Longs are marked; all else is a short. Black-is-zero keeps the decoder from changing values.
    let fields: [(u16, bool, u64); FIELDS] = [
        (256, true, layout.chunk_width),
        (257, true, rows),
        (258, false, layout.dtype.size() as u64 * 8),
        (259, false, u64::from(layout.compression.code())),
        (262, false, 1),
        (273, true, HEADER as u64),
        (277, false, layout.samples),
        (278, true, rows),
        (279, true, (input.len() - HEADER) as u64),
        (317, false, u64::from(layout.predictor)),
        (339, false, format),
    ];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        input[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(if layout.order == Order::Little { b"II" } else { b"MM" });
    put(&short(42));
    put(&long(8));
    put(&short(FIELDS as u16));
    for (tag, is_long, value) in fields {
        put(&short(tag));
        put(&short(if is_long { 4 } else { 3 }));
        put(&long(1));
        if is_long {
            put(&long(value));
        } else {
            put(&short(value as u16));
            put(&[0, 0]);
        }
    }
    put(&[0; 4]);
}

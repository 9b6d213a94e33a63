//! Decoding the bytes of a storage chunk into memory of exactly the size that its shape needs,
//! so that no header and no bomb decides how much is allocated.

use std::{borrow::Cow, cell::RefCell, io::Read};

use volchunk::{Error, ErrorKind, Result};
use zarrs::array::BytesRepresentation;
use zstd::zstd_safe::{self, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::{
    layout::{BytesCodec, BytesSteps},
    shard::codec_options,
};

/// No codec here expands more: a block of Zstandard of 128 KiB takes at least 4 bytes.
const MAX_RATIO: usize = 128 << 10 >> 2;

thread_local! {
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Most bytes that `len` bytes encode to as Zstandard.
pub(super) fn encoded_bound(len: u64) -> u64 {
    usize::try_from(len).map_or(u64::MAX, |n| zstd_safe::compress_bound(n) as u64)
}

/// Undoes the codecs behind the first, which only zarrs knows; commonly there are none.
///
/// # Errors
/// Corrupt data; bytes that cannot decode to `expected`.
pub(super) fn undo_outer<'a>(
    steps: &BytesSteps,
    encoded: &'a [u8],
    expected: usize,
) -> Result<Cow<'a, [u8]>> {
    let mut bytes = Cow::Borrowed(encoded);
    for (_, codec) in steps.iter().skip(1).rev() {
        bytes = codec
            .decode(bytes, &BytesRepresentation::UnboundedSize, &codec_options())
            .map_err(|e| Error::data(e.to_string()))?;
    }
    let least = match steps.first() {
        None | Some((BytesCodec::Other, _)) => 0,
        Some(_) => expected / MAX_RATIO,
    };
    if bytes.len() < least {
        return Err(too_short(bytes.len() as u64, expected));
    }
    Ok(bytes)
}

fn too_short(len: u64, expected: usize) -> Error {
    Error::data(format!("{len} encoded bytes cannot hold a storage chunk of {expected}"))
}

/// Refuses a storage chunk of Zstandard alone whose `len` encoded bytes cannot decode to
/// `expected`: no memory is taken for it.
pub(super) fn check_ratio(len: u64, expected: usize) -> Result<()> {
    match len < (expected / MAX_RATIO) as u64 {
        true => Err(too_short(len, expected)),
        false => Ok(()),
    }
}

/// Decodes what the first codec of `steps` made into `out`, which it must fill exactly.
///
/// # Errors
/// Corrupt or truncated data; another size than `out`'s.
pub(super) fn undo_first(steps: &BytesSteps, encoded: &[u8], out: &mut [u8]) -> Result<()> {
    match steps.first() {
        None => copy(encoded, out),
        Some((BytesCodec::Zstd, _)) => zstd_into(encoded, out),
        Some((BytesCodec::Gzip, _)) => fill(flate2::read::MultiGzDecoder::new(encoded), out),
        Some((BytesCodec::Zlib, _)) => fill(flate2::read::ZlibDecoder::new(encoded), out),
        Some((step, codec)) => {
            if *step == BytesCodec::Blosc {
                // c-blosc allocates what its header claims.
                let claim = encoded.get(4..8).and_then(|b| b.try_into().ok());
                let claim = claim.map(u32::from_le_bytes).map_or(0, u64::from);
                if claim != out.len() as u64 {
                    return Err(wrong_size(claim, out.len()));
                }
            }
            let size = BytesRepresentation::FixedSize(out.len() as u64);
            let decoded = codec
                .decode(Cow::Borrowed(encoded), &size, &codec_options())
                .map_err(|e| Error::data(e.to_string()))?;
            copy(&decoded, out)
        }
    }
}

/// Decodes the first `out.len()` bytes of what Zstandard alone made, and no further: the low end
/// of a storage chunk costs a part of its time. `next` puts the encoded bytes into `piece`, one piece
/// after the other, and tells their number.
///
/// # Errors
/// Corrupt data; a frame that ends before; what `next` reports.
pub(super) fn zstd_prefix(
    out: &mut [u8],
    piece: &mut [u8],
    mut next: impl FnMut(&mut [u8]) -> Result<usize>,
) -> Result<()> {
    let expected = out.len();
    let mut output = OutBuffer::around(out);
    with_context(|context| context.reset(ResetDirective::SessionOnly))?;
    while output.pos() < expected {
        let len = next(piece)?;
        if len == 0 {
            return Err(wrong_size(output.pos() as u64, expected));
        }
        let mut input = InBuffer::around(&piece[..len]);
        while input.pos() < len && output.pos() < expected {
            with_context(|context| context.decompress_stream(&mut output, &mut input))?;
        }
    }
    Ok(())
}

/// Calls `work` with this thread's context.
fn with_context<T>(
    work: impl FnOnce(&mut DCtx<'static>) -> std::result::Result<T, zstd_safe::ErrorCode>,
) -> Result<T> {
    CONTEXT.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => slot.insert(DCtx::try_create().ok_or_else(|| {
                Error::new(ErrorKind::OverMemory, "no memory for a zstd context")
            })?),
        };
        work(context)
            .map_err(|code| Error::data(format!("zstd: {}", zstd_safe::get_error_name(code))))
    })
}

fn zstd_into(encoded: &[u8], out: &mut [u8]) -> Result<()> {
    // The header's claim, where it makes one, saves decoding what cannot fit.
    if let Ok(Some(claim)) = zstd_safe::get_frame_content_size(encoded)
        && claim > out.len() as u64
    {
        return Err(wrong_size(claim, out.len()));
    }
    let done = with_context(|context| context.decompress(out, encoded))?;
    if done != out.len() {
        return Err(wrong_size(done as u64, out.len()));
    }
    Ok(())
}

/// Fills `out` from a decoder that must end with it.
fn fill(mut decoder: impl Read, out: &mut [u8]) -> Result<()> {
    decoder.read_exact(out).map_err(|e| {
        Error::data(format!("its {} bytes cannot be decoded: {e}", out.len())).caused_by(e)
    })?;
    // The end is where the checksum is verified.
    match decoder.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Error::data(format!("it decodes to more than {} bytes", out.len()))),
        Err(e) => Err(Error::data(format!("at its end: {e}")).caused_by(e)),
    }
}

fn copy(decoded: &[u8], out: &mut [u8]) -> Result<()> {
    if decoded.len() != out.len() {
        return Err(wrong_size(decoded.len() as u64, out.len()));
    }
    out.copy_from_slice(decoded);
    Ok(())
}

fn wrong_size(found: u64, expected: usize) -> Error {
    Error::data(format!("it decodes to {found} bytes, its shape needs {expected}"))
}

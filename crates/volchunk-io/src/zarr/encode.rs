//! Encoding a storage chunk as Zstandard, with a context that the thread keeps: a fresh one per
//! chunk would cost its tables each time.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
};

use volchunk::{Buffer, Dtype, Error, Result, Scratch};
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, zstd_sys::ZSTD_EndDirective};

/// The level where none is asked for. Beside 3, the library's own: float32 images three times as
/// fast, and within a hundredth as small.
pub(super) const DEFAULT_LEVEL: i32 = 1;

thread_local! {
    static CONTEXT: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
}

fn failed(code: usize) -> Error {
    Error::data(format!("zstd: {}", zstd_safe::get_error_name(code)))
}

fn no_memory() -> Error {
    Error::new(volchunk::ErrorKind::OverMemory, "no memory for a zstd context")
}

/// Encodes `bytes` as one frame with its content size; returns a buffer, to be given back, and the
/// encoded length in it.
///
/// In one call, which copies no input into a window. Of a fresh buffer only what is written becomes
/// resident.
///
/// # Errors
/// No memory for the context.
pub(super) fn encode(level: i32, bytes: &[u8], scratch: &mut Scratch) -> Result<(Buffer, usize)> {
    CONTEXT.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => slot.insert(CCtx::try_create().ok_or_else(no_memory)?),
        };
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        let bound = zstd_safe::compress_bound(bytes.len());
        let mut out = scratch.take(&[bound as u64], Dtype::U8);
        match context.compress2(out.bytes_mut(), bytes) {
            Ok(len) => Ok((out, len)),
            Err(code) => {
                scratch.give(out);
                Err(failed(code))
            }
        }
    })
}

/// Memory that a thread's encoder holds at most, for chunks of any length.
///
/// # Errors
/// No memory for the context.
pub(super) fn encoder_memory(level: i32) -> Result<u64> {
    // Plans ask often, and for one level.
    static KNOWN: Mutex<Option<(i32, u64)>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, bytes)) = known.filter(|(l, _)| *l == level) {
        return Ok(bytes);
    }
    let mut context = CCtx::try_create().ok_or_else(no_memory)?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    // The first byte makes it allocate its window and tables.
    let mut out = [0; 64];
    let mut output = OutBuffer::around(&mut out);
    let mut input = InBuffer::around(&[0]);
    context
        .compress_stream2(&mut output, &mut input, ZSTD_EndDirective::ZSTD_e_continue)
        .map_err(failed)?;
    let bytes = context.sizeof() as u64;
    *known = Some((level, bytes));
    Ok(bytes)
}

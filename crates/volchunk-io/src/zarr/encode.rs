//! Encoding a storage chunk as Zstandard, with a context that the thread keeps: a fresh one per
//! chunk would cost its tables each time.

use std::{cell::RefCell, io::Write};

use volchunk::{Error, Result};
use zstd::zstd_safe::{
    self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, zstd_sys::ZSTD_EndDirective,
};

struct Encoder {
    context: CCtx<'static>,
    /// Encoded bytes on their way to the file.
    out: Box<[u8]>,
}

thread_local! {
    static ENCODER: RefCell<Option<Encoder>> = const { RefCell::new(None) };
}

fn failed(code: usize) -> Error {
    Error::data(format!("zstd: {}", zstd_safe::get_error_name(code)))
}

fn no_memory() -> Error {
    Error::new(volchunk::ErrorKind::OverMemory, "no memory for a zstd context")
}

/// Encodes the `len` bytes that `produce` hands over, in any pieces, as one frame into `to`.
///
/// Pieces go into the context's window and leave it through a buffer of 128 KiB, so that neither
/// the decoded nor the encoded chunk needs memory of its own. Returns the bytes written.
///
/// # Errors
/// I/O; another number of bytes than `len`.
pub(super) fn encode(
    level: i32,
    len: u64,
    to: &mut impl Write,
    produce: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
) -> Result<u64> {
    ENCODER.with_borrow_mut(|slot| {
        let Encoder { context, out } = match slot {
            Some(encoder) => encoder,
            None => {
                let context = CCtx::try_create().ok_or_else(no_memory)?;
                let out = vec![0; CCtx::out_size()].into_boxed_slice();
                slot.insert(Encoder { context, out })
            }
        };
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        context.set_pledged_src_size(Some(len)).map_err(failed)?;
        let (mut at, mut written) = (0, 0);
        let mut step = |bytes: &[u8], end| -> Result<()> {
            let mut input = InBuffer::around(bytes);
            loop {
                let mut output = OutBuffer::around_pos(&mut out[..], at);
                let left =
                    context.compress_stream2(&mut output, &mut input, end).map_err(failed)?;
                at = output.pos();
                let done = match end {
                    ZSTD_EndDirective::ZSTD_e_end => left == 0,
                    _ => input.pos() == bytes.len(),
                };
                if done && end == ZSTD_EndDirective::ZSTD_e_continue {
                    return Ok(());
                }
                if done || at == out.len() {
                    to.write_all(&out[..at]).map_err(|e| Error::io("writing", e))?;
                    written += at as u64;
                    at = 0;
                }
                if done {
                    return Ok(());
                }
            }
        };
        produce(&mut |bytes| step(bytes, ZSTD_EndDirective::ZSTD_e_continue))?;
        step(&[], ZSTD_EndDirective::ZSTD_e_end)?;
        Ok(written)
    })
}

/// Memory that a thread's encoder holds for chunks of `len` bytes.
pub(super) fn encoder_memory(level: i32, len: u64) -> Result<u64> {
    let mut context = CCtx::try_create().ok_or_else(no_memory)?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    context.set_pledged_src_size(Some(len)).map_err(failed)?;
    // The first byte makes it allocate its window and tables.
    let mut out = [0; 64];
    let mut output = OutBuffer::around(&mut out);
    let mut input = InBuffer::around(&[0]);
    context
        .compress_stream2(&mut output, &mut input, ZSTD_EndDirective::ZSTD_e_continue)
        .map_err(failed)?;
    Ok((context.sizeof() + CCtx::out_size()) as u64)
}

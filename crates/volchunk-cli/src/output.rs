//! Standard output, whose reader may leave early.

use std::io::{self, Write};

use volchunk::{Error, Result};

/// Prints `text`.
///
/// # Errors
/// I/O; [`is_broken_pipe`] where the reader has gone.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Error::io("writing to standard output", e))
}

/// Whether the reader of standard output had enough, as `head` has: no failure.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|e| e.downcast_ref::<io::Error>())
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error, on standard error.
pub(crate) fn complain(error: &Error) {
    // With nobody to read it, the exit code has to do.
    let _ = writeln!(io::stderr(), "error: {error}");
}

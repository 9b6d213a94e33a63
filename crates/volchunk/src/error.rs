//! The one error type: a kind to match on, a message for the person who reads it.

use std::fmt;

/// What sort of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument that cannot be right: zero chunk, unknown op, region outside the volume.
    InvalidArgument,
    /// Data that contradicts itself: truncated file, hostile header, planes that differ.
    InvalidData,
    /// The operating system refused: missing file, permission, full disk.
    Io,
    /// The job does not fit under the memory cap.
    OverMemory,
    /// Chunk cores do not align with what the output stores.
    Misaligned,
    /// Legal, but not something volchunk does: a codec or dtype that it does not know.
    Unsupported,
    /// An output that was begun has lost its end, and with it what was written there.
    Truncated,
    /// The operating system told last of all that what was written may be lost, whoever wrote it.
    Lost,
    /// The output already exists and is not this job's.
    Exists,
    /// The caller asked the run to stop.
    Cancelled,
}

/// The error of every volchunk crate.
///
/// One type serves the whole project, because sources, sinks and ops are traits of the core whose
/// errors pass through the engine unchanged. The message says what was found, where, and what
/// would be legal.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// `Result` with volchunk's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a complete `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Shorthand for [`ErrorKind::InvalidArgument`].
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Shorthand for [`ErrorKind::InvalidData`].
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidData, message)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An I/O error and what was being done: "reading /data/a.tif".
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: format!("{what}: {source}"),
            source: Some(Box::new(source)),
        }
    }

    /// The error that led to this one, kept for [`std::error::Error::source`].
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the caller's own request to stop caused this.
    pub fn is_cancelled(&self) -> bool {
        self.kind == ErrorKind::Cancelled
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

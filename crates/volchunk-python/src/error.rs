//! The core's errors as the exceptions that a Python user expects, and back.

use pyo3::{
    exceptions::{
        PyFileExistsError, PyFileNotFoundError, PyKeyboardInterrupt, PyMemoryError, PyOSError,
        PyPermissionError, PyValueError,
    },
    prelude::*,
};
use volchunk::{Error, ErrorKind};

/// An exception that Python code raised under the engine; [`to_python`] gives it back as it was, and
/// the engine's context as a note. An `OSError` is one of I/O, which a run may try again.
pub(crate) fn from_python(error: PyErr) -> Error {
    let is_io = Python::attach(|py| error.is_instance_of::<PyOSError>(py));
    let kind = if is_io { ErrorKind::Io } else { ErrorKind::InvalidData };
    Error::new(kind, error.to_string()).caused_by(error)
}

/// `error` as the exception that caused it, or else one with the same message.
pub(crate) fn to_python(error: Error) -> PyErr {
    let cause = std::error::Error::source(&error);
    if let Some(raised) = cause.and_then(|c| c.downcast_ref::<PyErr>()) {
        let message = error.to_string();
        return Python::attach(|py| {
            let raised = raised.clone_ref(py);
            let context = message.strip_suffix(&raised.to_string()).unwrap_or_default();
            if let Some(context) = context.strip_suffix(": ") {
                // An exception without notes is better than none.
                let _ = raised.value(py).call_method1("add_note", (format!("in {context}"),));
            }
            raised
        });
    }
    let io = cause.and_then(|c| c.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    let message = error.to_string();
    match (error.kind(), io) {
        (ErrorKind::Io, Some(std::io::ErrorKind::NotFound)) => {
            PyFileNotFoundError::new_err(message)
        }
        (ErrorKind::Io, Some(std::io::ErrorKind::PermissionDenied)) => {
            PyPermissionError::new_err(message)
        }
        (ErrorKind::Io | ErrorKind::Lost, _) => PyOSError::new_err(message),
        (ErrorKind::Exists, _) => PyFileExistsError::new_err(message),
        (ErrorKind::OverMemory, _) => PyMemoryError::new_err(message),
        (ErrorKind::Cancelled, _) => PyKeyboardInterrupt::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

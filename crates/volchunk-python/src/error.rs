//! The core's errors as the exceptions that a Python user expects.

use pyo3::{
    PyErr,
    exceptions::{PyMemoryError, PyOSError, PyValueError},
};
use volchunk::{Error, ErrorKind};

/// `error` as an exception with the same message.
pub(crate) fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Io => PyOSError::new_err(message),
        ErrorKind::OverMemory => PyMemoryError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

//! The program, from Python.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the program with `args`, the first of which is its name; its exit code. This process is the
/// program from then on: it takes Ctrl-C for itself.
#[pyfunction]
pub(crate) fn program(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| volchunk_cli::program(args).code())
}

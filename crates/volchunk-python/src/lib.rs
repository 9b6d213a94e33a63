//! `volchunk._native`: what the Python package calls of the core. Private to the package.
//!
//! Arguments were checked by the Python code that calls, so messages here speak of chunks and
//! shapes; `error` turns the core's errors into Python's. Arrays pass as buffers, without a copy.

mod array;
mod error;
mod merge;
mod program;
mod volume;

use pyo3::prelude::*;

/// What the Python package wraps.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        merge::{join_cores, merge_points, merged_lengths},
        program::program,
        volume::FileSource,
    };
}

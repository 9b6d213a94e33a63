//! `volchunk._native`: what the Python package calls of the core. Private to the package.
//!
//! Arguments were checked by the Python code that calls, so messages here speak of chunks and
//! shapes; `error` turns the core's errors into Python's. Arrays pass as buffers, without a copy.

mod array;
mod blobs;
mod divide;
mod error;
mod function;
mod job;
mod keep;
mod merge;
mod object;
mod points;
mod program;
mod running;
mod select;
#[cfg(unix)]
mod shared;
mod source;
mod volume;
mod watch;

use pyo3::prelude::*;

/// The functions of the core that the Python package wraps.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        blobs::detect,
        job::{Job, parse_bytes, result_info},
        keep::{Known, found, known_ops},
        merge::{join_cores, merge_points, merged_lengths},
        points::dedupe_points,
        program::program,
        running::{forget_all, stop_all},
        source::{array_source, default_axes, object_source},
        volume::VolumeSource,
    };

    #[cfg(unix)]
    #[pymodule_export]
    use crate::shared::SharedMemory;
}

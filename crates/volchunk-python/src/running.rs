//! Which runs are under way, for the interpreter's end and for forks.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};

/// The runs under way: the interpreter may not end under them.
static RUNNING: Mutex<Vec<Arc<AtomicBool>>> = Mutex::new(Vec::new());
static LAST_ENDED: Condvar = Condvar::new();
static EXITING: AtomicBool = AtomicBool::new(false);

/// A run under way, until it is dropped.
pub(crate) struct Running {
    pub(crate) stop: Arc<AtomicBool>,
}

impl Running {
    pub(crate) fn begin() -> PyResult<Self> {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if EXITING.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("cannot run a job while the interpreter exits"));
        }
        let stop = Arc::new(AtomicBool::new(false));
        all.push(stop.clone());
        Ok(Self { stop })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| !Arc::ptr_eq(other, &self.stop));
        LAST_ENDED.notify_all();
    }
}

/// Forgets the runs of the process that this one was forked from: their threads are not here.
#[pyfunction]
pub(crate) fn forget_all() {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Stops what runs in daemon threads and waits for it: for the interpreter's end.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>) {
    EXITING.store(true, Ordering::Relaxed);
    py.detach(|| {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while !all.is_empty() {
            all.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
            all = LAST_ENDED.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
    });
}

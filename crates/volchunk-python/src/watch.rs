//! Work on threads of its own, while the caller's looks for signals and tells how far it is.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};
use volchunk::{Control, Progress, Result};

use crate::{error::to_python, running::Running};

/// Time between two looks for signals, and between two calls of the progress.
const LOOK: Duration = Duration::from_millis(50);

/// Who is told of a run.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Watch {
    /// Called with the number of chunks that are done.
    progress: Option<Py<PyAny>>,
    /// Called when the run is to stop, for chunks under way that can be cut short.
    interrupt: Option<Py<PyAny>>,
}

impl Watch {
    /// Of work that tells nothing of itself.
    pub(crate) fn silent() -> Self {
        Self { progress: None, interrupt: None }
    }

    pub(crate) fn tell(&self, py: Python<'_>, chunks: u64) -> PyResult<()> {
        self.progress.as_ref().map_or(Ok(()), |p| p.call1(py, (chunks,)).map(drop))
    }

    fn interrupt(&self, py: Python<'_>) {
        if let Some(interrupt) = &self.interrupt {
            // The interrupt itself is what the caller hears of.
            let _ = interrupt.call0(py);
        }
    }

    /// Does `work` on a thread of its own: signals reach Python in its main thread only, and there
    /// an exception would meet whatever the user's function catches. `work` is to end soon once the
    /// control's `cancel` is set.
    pub(crate) fn over<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Control<'_>) -> Result<T> + Send,
    ) -> PyResult<T> {
        let run = Running::begin()?;
        let done = AtomicU64::new(0);
        let count = |p: Progress| done.store(p.chunks_done, Ordering::Relaxed);
        let control = Control { cancel: &run.stop, progress: &count };
        let (ended, end) = mpsc::channel::<()>();
        let work = || {
            // Dropped when the work ends, however it does.
            let _ended = ended;
            // Attached and detached once: the interpreter then keeps what it holds of this thread, a
            // worker, between its calls, instead of making it anew for each.
            Python::attach(|py| py.detach(|| work(control)))
        };
        let look = |raised: &mut Option<PyErr>| {
            *raised = Python::attach(|py| {
                let seen = py.check_signals();
                seen.and_then(|()| self.tell(py, done.load(Ordering::Relaxed))).err()
            });
            if raised.is_some() {
                run.stop.store(true, Ordering::Relaxed);
                Python::attach(|py| self.interrupt(py));
            }
        };
        let (raised, result) = py.detach(move || {
            thread::scope(|scope| {
                let runner = scope.spawn(work);
                let mut raised = None;
                while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(LOOK) {
                    if raised.is_none() {
                        look(&mut raised);
                    }
                }
                (raised, runner.join())
            })
        });
        match (raised, result) {
            (Some(error), _) => Err(error),
            (None, Ok(result)) => result.map_err(to_python),
            (None, Err(_)) => Err(PyRuntimeError::new_err("internal error: the run panicked")),
        }
    }
}

//! Chunks on threads that end with the call.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{Error, ErrorKind, Result};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that are done.
    pub chunks_done: u64,
    /// Chunks of the whole run.
    pub chunks: u64,
    /// Output voxels that are done.
    pub voxels_done: u64,
    /// Output voxels of the whole run.
    pub voxels: u64,
    /// Of the voxels that are done, those that an earlier run had done.
    pub voxels_kept: u64,
}

/// How a caller watches and stops a run.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Set it, from any thread, to stop: no further chunk begins.
    pub cancel: &'a AtomicBool,
    /// Called after each chunk, from the worker that did it.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("cancel", self.cancel).finish_non_exhaustive()
    }
}

impl Default for Control<'_> {
    /// Never cancelled, progress unseen.
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { cancel: &NEVER, progress: &|_| {} }
    }
}

/// Calls `work` for every chunk number below `count`, in ascending order of start, on `workers`
/// threads of their own, each with the state that `start` made for it. Returns the states.
///
/// All threads have ended when this returns. The first error stops the run: chunks in flight end,
/// none begins. A panic in `work` is an error that names the chunk.
///
/// # Errors
/// What `start` or `work` report; [`ErrorKind::Cancelled`] once `cancel` is set.
pub fn for_each_chunk<S: Send>(
    count: u64,
    workers: usize,
    cancel: &AtomicBool,
    start: impl Fn(usize) -> Result<S> + Sync,
    work: impl Fn(&mut S, u64) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failure: Mutex<Option<(u64, Error)>> = Mutex::new(None);
    let fail = |chunk: u64, error: Error| {
        stop.store(true, Ordering::Relaxed);
        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
        // Of errors that race, the lowest chunk's is told, so that a message is repeatable.
        if first.as_ref().is_none_or(|(c, _)| chunk < *c) {
            *first = Some((chunk, error));
        }
    };
    let body = |worker: usize| {
        let mut state = match start(worker) {
            Ok(state) => state,
            Err(e) => {
                fail(0, e);
                return None;
            }
        };
        while !stop.load(Ordering::Relaxed) {
            if cancel.load(Ordering::Relaxed) {
                fail(u64::MAX, Error::new(ErrorKind::Cancelled, "cancelled"));
                break;
            }
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= count {
                break;
            }
            let panicked =
                |text| Err(Error::data(format!("chunk number {chunk}: internal error: {text}")));
            if let Err(e) = catch(|| work(&mut state, chunk)).unwrap_or_else(panicked) {
                fail(chunk, e);
            }
        }
        Some(state)
    };
    let workers = workers.clamp(1, usize::try_from(count).unwrap_or(usize::MAX).max(1));
    let states = std::thread::scope(|scope| {
        let body = &body;
        let spawned: Vec<_> = (1..workers)
            .map_while(|w| {
                std::thread::Builder::new()
                    .name(format!("volchunk-{w}"))
                    .spawn_scoped(scope, move || body(w))
                    .ok()
            })
            .collect();
        // The caller's thread is a worker too: one thread less, and none at all for one worker.
        let mut states: Vec<S> = body(0).into_iter().collect();
        states.extend(spawned.into_iter().filter_map(|t| t.join().ok().flatten()));
        states
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(states),
    }
}

/// What `work` returns, or the message of its panic.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_once() {
        for workers in 1..5 {
            for count in [0, 1, 2, 7, 1000] {
                let seen: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
                for_each_chunk(
                    count,
                    workers,
                    &AtomicBool::new(false),
                    |_| Ok(()),
                    |(), i| {
                        seen[i as usize].fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    },
                )
                .unwrap();
                assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_is_an_error_and_stops_the_run() {
        let done = AtomicU64::new(0);
        let error = for_each_chunk(
            1_000_000,
            3,
            &AtomicBool::new(false),
            |_| Ok(()),
            |(), i| {
                assert!(i != 10, "ten");
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            },
        )
        .unwrap_err();
        assert!(error.to_string().contains("chunk number 10") && error.to_string().contains("ten"));
        assert!(done.into_inner() < 1_000_000);
    }

    #[test]
    fn cancelling_ends_it() {
        let cancel = AtomicBool::new(false);
        let done = AtomicU64::new(0);
        let error = for_each_chunk(
            u64::MAX,
            2,
            &cancel,
            |_| Ok(()),
            |(), i| {
                done.fetch_add(1, Ordering::Relaxed);
                cancel.fetch_or(i == 20, Ordering::Relaxed);
                Ok(())
            },
        )
        .unwrap_err();
        assert!(error.is_cancelled());
        assert!(done.into_inner() <= 23);
    }
}

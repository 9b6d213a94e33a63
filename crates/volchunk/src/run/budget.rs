//! A semaphore that counts bytes.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{Error, ErrorKind, Result};

/// Bytes that the chunks in flight may hold together.
#[derive(Debug)]
pub struct ByteBudget {
    total: u64,
    free: AtomicU64,
    /// Threads that wait; the lock and the condition are touched only if there are any.
    waiting: AtomicU64,
    lock: Mutex<()>,
    freed: Condvar,
}

/// Bytes taken from a [`ByteBudget`]; they return when it is dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    budget: &'a ByteBudget,
    bytes: u64,
}

impl ByteBudget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self {
            total,
            free: AtomicU64::new(total),
            waiting: AtomicU64::new(0),
            lock: Mutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// Waits until `bytes` are free and takes them.
    ///
    /// # Errors
    /// More than the whole budget; `cancel` was set while waiting.
    pub fn acquire(&self, bytes: u64, cancel: &AtomicBool) -> Result<Permit<'_>> {
        if bytes > self.total {
            return Err(Error::new(
                ErrorKind::OverMemory,
                format!("one chunk needs {bytes} bytes, the budget is {}", self.total),
            ));
        }
        while !self.take(bytes) {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            // Bounded, since the flag has no condition of its own, and a return that was missed
            // between the look and the wait costs no more than this.
            drop(self.freed.wait_timeout(guard, Duration::from_millis(20)));
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(Permit { budget: self, bytes })
    }

    fn take(&self, bytes: u64) -> bool {
        let enough = |free: u64| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enough).is_ok()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::SeqCst);
        if self.budget.waiting.load(Ordering::SeqCst) > 0 {
            let _guard = self.budget.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.budget.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn never_exceeds_the_total() {
        let budget = ByteBudget::new(10);
        let cancel = AtomicBool::new(false);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for t in 1..=4u64 {
                let (budget, cancel, held, most) = (&budget, &cancel, &held, &most);
                scope.spawn(move || {
                    for i in 0..500 {
                        let bytes = (t * 7 + i) % 10 + 1;
                        let _permit = budget.acquire(bytes, cancel).unwrap();
                        most.fetch_max(
                            held.fetch_add(bytes, Ordering::SeqCst) + bytes,
                            Ordering::SeqCst,
                        );
                        held.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 10);
        assert_eq!(budget.acquire(11, &cancel).unwrap_err().kind(), ErrorKind::OverMemory);
    }

    #[test]
    fn a_waiter_sees_the_cancellation() {
        let budget = ByteBudget::new(1);
        let cancel = AtomicBool::new(false);
        let _all = budget.acquire(1, &cancel).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| budget.acquire(1, &cancel).map(|_| ()));
            cancel.store(true, Ordering::Relaxed);
            assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
        });
    }
}

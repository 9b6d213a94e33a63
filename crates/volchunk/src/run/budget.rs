//! A semaphore that counts bytes.

use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// Bytes that the chunks in flight may hold together.
#[derive(Debug)]
pub struct ByteBudget {
    total: u64,
    free: Mutex<u64>,
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
        Self { total, free: Mutex::new(total), freed: Condvar::new() }
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
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            // The flag has no condition variable of its own, so look at it now and then.
            let waited = self.freed.wait_timeout(free, Duration::from_millis(50));
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= bytes;
        Ok(Permit { budget: self, bytes })
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
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

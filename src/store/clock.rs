//! Time, as an argument.
//!
//! For: commit timestamps, idle marks and checkpoint intervals, so that the crash simulator can stand in.
//! Promises: nothing else in this crate asks the operating system for the time. Does not: promise that the wall clock
//! never goes back; commit sequences, not times, order commits.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970-01-01 UTC.
    fn now_us(&self) -> i64;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        // A clock before 1970 is a broken clock: 0 keeps commits going, since times order nothing.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

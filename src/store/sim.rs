//! The crash simulator: a disk that knows what a power cut would keep, and a meta store with sled's vices.
//!
//! For: tests of this crate and of those above (feature `sim`). Promises: one seed, one outcome; nothing here waits, so a
//! store is stepped by whoever holds it. Does not: model a disk that lies about a flush, or threads.

mod disk;
mod meta;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::StoreConfig;
use crate::error::Result;
use crate::store::Store;

pub use disk::{Lies, Point, SimDisk};
pub use meta::{SimMeta, Vice};

/// A small seeded generator (splitmix64).
#[derive(Debug, Clone)]
pub struct SimRandom(u64);

impl SimRandom {
    /// Same seed, same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit.max(1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct SimClock {
    now_us: AtomicI64,
}

impl SimClock {
    /// Moves time forward, or back.
    pub fn advance_us(&self, us: i64) {
        self.now_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now_us()).unwrap_or(0))
    }
}

impl Store {
    /// A store without threads: commits are queued until [`Store::step_commit`], metadata until [`Store::step_meta`];
    /// flush and checkpoint step by themselves.
    pub fn open_simulated(config: &StoreConfig, disk: &SimDisk, clock: Arc<SimClock>, meta: &SimMeta) -> Result<Self> {
        Self::open_with(config, Arc::new(disk.clone()), clock, Arc::new(meta.clone()), true)
    }

    /// Handles one group of queued commits; false when there was none.
    pub fn step_commit(&self) -> bool {
        self.shared().step_commit()
    }

    /// Hands queued metadata to the meta store; false when there was none.
    pub fn step_meta(&self) -> bool {
        crate::meta::step(self.shared())
    }

    /// Writes a mark frame, as after a second without commits.
    pub fn step_mark(&self) {
        self.shared().committer().mark(self.shared());
    }
}

//! How many may be connected, and how fast wrong passwords may be tried.
//!
//! Three bounds, each held by a guard or counted under one lock: sessions in all, of which the last few are for
//! superusers; connections that have not logged in; and failures from one address, which delay that address alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;

/// Failures that are free.
const FAILURES_FREE: u32 = 5;
/// Added to the answer for each failure after those.
const DELAY_STEP: Duration = Duration::from_millis(250);
/// Limit of the delay.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// An address without a failure for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Limit: addresses remembered. Beyond it the table starts again: a flood of addresses must not cost memory.
const ADDRESSES_MAX: usize = 10_000;

/// The session bound.
#[derive(Debug)]
pub struct Slots {
    used: AtomicUsize,
    slots_max: usize,
    reserved: usize,
}

/// One of the slots, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    /// How many were in use when it was taken, itself included.
    number: usize,
}

impl Slots {
    /// `slots_max` sessions, the last `reserved` of them for superusers.
    pub fn new(slots_max: usize, reserved: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), slots_max, reserved })
    }

    /// A slot, or 53300.
    pub fn take(self: &Arc<Self>) -> Result<Slot, PgError> {
        let number = self.used.fetch_add(1, Ordering::AcqRel) + 1;
        // The guard exists before the check, so that a refusal gives back what it counted.
        let slot = Slot { slots: Arc::clone(self), number };
        if number <= self.slots_max { Ok(slot) } else { Err(too_many("sorry, too many clients already")) }
    }

    /// Sessions and logins in progress.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Slot {
    /// Checks, once the role is known, that the slot is not one of the reserved.
    pub fn admit(&self, superuser: bool) -> Result<(), PgError> {
        if superuser || self.number + self.slots.reserved <= self.slots.slots_max {
            return Ok(());
        }
        Err(too_many("remaining connection slots are reserved for superusers"))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.used.fetch_sub(1, Ordering::AcqRel);
    }
}

fn too_many(message: &str) -> PgError {
    PgError::new(sqlstate::TOO_MANY_CONNECTIONS, message)
        .hint("Raise server.max_connections to let more in.")
        .severity(Severity::Fatal)
}

/// Failed logins by address.
#[derive(Debug, Default)]
pub struct Failures {
    addresses: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Failures {
    /// Counts a failure and says how long its answer must wait.
    pub fn count(&self, address: IpAddr, now: Instant) -> Duration {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            addresses.retain(|_, (_, last)| now.duration_since(*last) < FORGET_AFTER);
            if addresses.len() >= ADDRESSES_MAX {
                addresses.clear();
            }
        }
        let (count, last) = addresses.entry(address).or_insert((0, now));
        if now.duration_since(*last) >= FORGET_AFTER {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
        (DELAY_STEP * count.saturating_sub(FAILURES_FREE).min(1_000)).min(DELAY_MAX)
    }

    /// Forgets an address whose user has logged in.
    pub fn clear(&self, address: IpAddr) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slots_are_for_superusers() {
        let slots = Slots::new(3, 1);
        let first = slots.take().unwrap();
        let second = slots.take().unwrap();
        let third = slots.take().unwrap();
        assert!(first.admit(false).is_ok() && second.admit(false).is_ok());
        assert_eq!(third.admit(false).unwrap_err().code.as_str(), "53300");
        assert!(third.admit(true).is_ok());
        assert_eq!(slots.take().unwrap_err().message, "sorry, too many clients already");
        drop(third);
        assert_eq!(slots.used(), 2);
        assert!(slots.take().unwrap().admit(true).is_ok());
    }

    #[test]
    fn failures_slow_their_own_address_only() {
        let failures = Failures::default();
        let (eve, ann): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let now = Instant::now();
        let delays: Vec<u64> = (0..30).map(|_| failures.count(eve, now).as_millis() as u64).collect();
        assert_eq!(delays[..8], [0, 0, 0, 0, 0, 250, 500, 750]);
        assert_eq!(delays[29], 5_000);
        assert_eq!(failures.count(ann, now), Duration::ZERO);
        assert_eq!(failures.count(eve, now + FORGET_AFTER), Duration::ZERO);
        failures.clear(eve);
        assert_eq!(failures.count(eve, now), Duration::ZERO);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for number in 0..3 * ADDRESSES_MAX as u32 {
            failures.count(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(failures.addresses.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}

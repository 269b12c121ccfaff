//! A meta store in memory with sled's vices.
//!
//! For: everything a metadata store may do wrong. After a crash it is at any state between its last checkpoint and its
//! last apply; armed, it errs, panics, forgets or lies once. Promises: a store of an earlier life is dead. Does not: keep
//! more than one older copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SimRandom;
use crate::Seq;
use crate::error::{Result, StoreError};
use crate::meta::{MetaOpener, MetaPut, MetaStore, Visit};
use crate::snapshot::Space;

/// Unwinds without the panic hook's backtrace: thousands of them would drown a test's output.
fn quiet_panic() -> ! {
    std::panic::resume_unwind(Box::new("simulated meta store panic"))
}

type Entries = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

#[derive(Debug, Clone, Default)]
struct MetaState {
    applied: Seq,
    entries: Entries,
    /// A store that lies about its own content.
    digest_offset: u64,
}

/// What the meta store does wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vice {
    /// The next apply or open is an error.
    Err,
    /// The next apply or open panics.
    Panic,
    /// The next open gives the state of an earlier checkpoint.
    OldCopy,
    /// The next open gives entries that do not match the digest.
    WrongDigest,
    /// The next open finds nothing.
    Empty,
}

#[derive(Debug)]
struct MetaInner {
    /// From the last checkpoint to the last apply.
    history: Vec<MetaState>,
    older: MetaState,
    vice: Option<Vice>,
    life: u64,
}

/// A meta store in memory that, after a crash, is at any state between its last checkpoint and its last apply.
#[derive(Debug, Clone)]
pub struct SimMeta {
    inner: Arc<Mutex<MetaInner>>,
}

impl Default for SimMeta {
    fn default() -> Self {
        let inner = MetaInner { history: vec![MetaState::default()], older: MetaState::default(), vice: None, life: 0 };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }
}

impl SimMeta {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, MetaInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power.
    pub fn crash(&self, random: &mut SimRandom) {
        let mut inner = self.inner();
        let survivor = random.below(inner.history.len() as u64) as usize;
        inner.history = vec![inner.history.swap_remove(survivor)];
        inner.life += 1;
    }

    /// A copy as it is now.
    #[must_use]
    pub fn fork(&self) -> Self {
        let inner = self.inner();
        let copy = MetaInner { history: inner.history.clone(), older: inner.older.clone(), vice: None, life: 0 };
        Self { inner: Arc::new(Mutex::new(copy)) }
    }

    /// Arms a vice.
    pub fn arm(&self, vice: Vice) {
        self.inner().vice = Some(vice);
    }
}

impl MetaOpener for SimMeta {
    fn open(&self) -> Result<Box<dyn MetaStore>> {
        let mut inner = self.inner();
        match inner.vice.take() {
            Some(Vice::Err) => return Err(StoreError::new("58030", "simulated meta store error")),
            Some(Vice::Panic) => {
                drop(inner);
                quiet_panic();
            }
            Some(Vice::OldCopy) => inner.history = vec![inner.older.clone()],
            Some(Vice::WrongDigest) => {
                if let Some(state) = inner.history.last_mut() {
                    state.digest_offset = 1;
                }
            }
            Some(Vice::Empty) => inner.history = vec![MetaState::default()],
            None => {}
        }
        let life = inner.life;
        drop(inner);
        Ok(Box::new(SimMetaStore { meta: self.clone(), life }))
    }

    fn set_aside(&self, _time_us: i64) -> Result<()> {
        self.inner().history = vec![MetaState::default()];
        Ok(())
    }
}

struct SimMetaStore {
    meta: SimMeta,
    life: u64,
}

impl SimMetaStore {
    fn last<T>(&self, f: impl FnOnce(&MetaState) -> T) -> Result<T> {
        let inner = self.meta.inner();
        let state = inner.history.last().filter(|_| inner.life == self.life);
        Ok(f(state.ok_or_else(|| StoreError::new("58030", "the power is gone"))?))
    }
}

impl MetaStore for SimMetaStore {
    fn applied(&self) -> Result<Seq> {
        self.last(|state| state.applied)
    }

    fn digest(&self) -> Result<u64> {
        self.last(|state| {
            let entries: Vec<_> = state.entries.iter().map(|((s, k), v)| (*s, k.clone(), v.clone())).collect();
            crate::state::digest(&entries).wrapping_add(state.digest_offset)
        })
    }

    fn scan(&self, space: Space, f: &mut Visit<'_>) -> Result<()> {
        let entries = self.last(|state| state.entries.clone())?;
        entries.iter().filter(|((of, _), _)| *of == space).try_for_each(|((_, key), value)| f(key, value))
    }

    fn apply(&mut self, seq: Seq, puts: &[MetaPut]) -> Result<()> {
        let mut next = self.last(MetaState::clone)?;
        let mut inner = self.meta.inner();
        match inner.vice.take_if(|vice| matches!(vice, Vice::Err | Vice::Panic)) {
            Some(Vice::Panic) => {
                drop(inner);
                quiet_panic();
            }
            Some(_) => return Err(StoreError::new("58030", "simulated meta store error")),
            None => {}
        }
        for put in puts {
            let key = (put.space, put.key.clone());
            match &put.value {
                Some(value) => drop(next.entries.insert(key, value.clone())),
                None => drop(next.entries.remove(&key)),
            }
        }
        next.applied = seq;
        inner.history.push(next);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Seq> {
        let last = self.last(MetaState::clone)?;
        let mut inner = self.meta.inner();
        inner.older = inner.history.swap_remove(0);
        let applied = last.applied;
        inner.history = vec![last];
        Ok(applied)
    }
}

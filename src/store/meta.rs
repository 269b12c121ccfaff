//! The metadata store and the one thread that owns it.
//!
//! For: a copy of all definitions, part lists, delete vectors and keyed values that survives a restart without reading
//! the whole log. Promises: it is never the durability point (operations arrive after their frames are synced) and
//! never fatal: an error, a panic or a wrong content sets it aside and rebuilds it from the newest state; commits that
//! are queued together reach it as one transaction, the last value per key. Does not: answer queries; readers use the
//! in-memory snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use crate::Seq;
use crate::error::{Result, StoreError};
use crate::increment::Changes;
use crate::snapshot::{Snapshot, Space};
use crate::state::{Entry, MetaOp, MetaValue, entries};
use crate::store::Shared;

/// Groups waiting for the meta thread before the commit thread waits for it.
const QUEUE_GROUPS_MAX: usize = 4_096;
/// Groups joined into one transaction.
const JOIN_GROUPS_MAX: usize = 256;

/// A put or, without a value, a delete of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaPut {
    /// Space of the key.
    pub space: Space,
    /// The key.
    pub key: Vec<u8>,
    /// None = delete.
    pub value: Option<Vec<u8>>,
}

/// Takes the key and value of an entry; an error ends the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// An ordered store of entries, owned by the meta thread alone.
pub trait MetaStore: Send {
    /// The commit up to which everything was applied; 0 when empty.
    fn applied(&self) -> Result<Seq>;
    /// Digest of all entries, as maintained beside them.
    fn digest(&self) -> Result<u64>;
    /// Every entry of a space, in key order.
    fn scan(&self, space: Space, f: &mut Visit<'_>) -> Result<()>;
    /// All or nothing; writes `applied` in the same transaction.
    fn apply(&mut self, seq: Seq, puts: &[MetaPut]) -> Result<()>;
    /// Durable when it returns; gives the commit it holds.
    fn checkpoint(&mut self) -> Result<Seq>;
}

/// Opens the meta store and puts a bad one out of the way.
pub trait MetaOpener: Send + Sync + 'static {
    /// Opens or creates.
    fn open(&self) -> Result<Box<dyn MetaStore>>;
    /// Renames what is there to `meta.bad-<time>`, so that `open` starts empty.
    fn set_aside(&self, time_us: i64) -> Result<()>;
}

/// How long the meta store may take to open.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// An opener under a watchdog: one that hangs is an error like any other, and its thread is left behind.
pub(crate) struct Watched {
    pub(crate) opener: Arc<dyn MetaOpener>,
    pub(crate) timeout: Duration,
}

impl MetaOpener for Watched {
    fn open(&self) -> Result<Box<dyn MetaStore>> {
        let (send, receive) = mpsc::sync_channel(1);
        let opener = Arc::clone(&self.opener);
        let open = move || {
            if send.send(caught(|| opener.open())).is_err() {
                tracing::error!("the meta store opened after its watchdog gave up");
            }
        };
        let thread = std::thread::Builder::new().name("meta-open".into()).spawn(open);
        thread.map_err(|error| StoreError::new("53000", format!("could not start thread meta-open: {error}")))?;
        receive.recv_timeout(self.timeout).unwrap_or_else(|_| {
            Err(StoreError::new("58030", format!("meta store did not open within {:?}", self.timeout)))
        })
    }

    fn set_aside(&self, time_us: i64) -> Result<()> {
        self.opener.set_aside(time_us)
    }
}

enum Job {
    Apply(Seq, Vec<MetaOp>),
    Checkpoint(mpsc::SyncSender<Result<Seq>>),
}

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Job>,
    stopped: bool,
}

/// The meta store with its queue.
pub(crate) struct Meta {
    jobs: Mutex<Jobs>,
    changed: Condvar,
    store: Mutex<Option<Box<dyn MetaStore>>>,
    opener: Arc<dyn MetaOpener>,
    /// Keys for the next increment of the dump.
    changes: Mutex<Changes>,
    /// How often it had to be made again since the start.
    rebuilds: AtomicU64,
}

fn lock_changes(changes: &Mutex<Changes>) -> MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meta {
    /// `seq`: the newest commit; what changed before it is not known here.
    pub(crate) fn new(opener: Arc<dyn MetaOpener>, store: Box<dyn MetaStore>, seq: Seq, rebuilt: bool) -> Self {
        Self {
            jobs: Mutex::default(),
            changed: Condvar::new(),
            store: Mutex::new(Some(store)),
            opener,
            changes: Mutex::new(Changes::from(seq)),
            rebuilds: AtomicU64::new(u64::from(rebuilt)),
        }
    }

    /// How often it had to be made again, at the start or since.
    pub(crate) fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Changes> {
        lock_changes(&self.changes)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the operations of a group; waits while the thread is too far behind.
    pub(crate) fn push(&self, shared: &Shared, seq: Seq, ops: Vec<MetaOp>) {
        let mut jobs = self.jobs();
        while jobs.queue.len() >= QUEUE_GROUPS_MAX && !jobs.stopped {
            if shared.stepped {
                drop(jobs);
                step(shared);
                jobs = self.jobs();
            } else {
                jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
        lock_changes(&self.changes).add(ops.iter().map(|op| (op.space, op.key.clone())));
        jobs.queue.push_back(Job::Apply(seq, ops));
        drop(jobs);
        self.changed.notify_all();
    }

    /// Applies everything queued, then makes the store durable.
    pub(crate) fn checkpoint(&self, shared: &Shared) -> Result<Seq> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.jobs().queue.push_back(Job::Checkpoint(reply));
        self.changed.notify_all();
        if shared.stepped {
            while step(shared) {}
        }
        answer.recv().map_err(|_| StoreError::closed())?
    }

    pub(crate) fn stop(&self) {
        self.jobs().stopped = true;
        self.changed.notify_all();
    }
}

/// The meta thread: runs until stopped and drained.
pub(crate) fn run(shared: &Shared) {
    loop {
        {
            let mut jobs = shared.meta.jobs();
            while jobs.queue.is_empty() {
                if jobs.stopped {
                    return;
                }
                jobs = shared.meta.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
        step(shared);
    }
}

/// Does the next piece of work; false when there is none.
pub(crate) fn step(shared: &Shared) -> bool {
    let meta = &shared.meta;
    let mut store = meta.store.lock().unwrap_or_else(PoisonError::into_inner);
    let mut joined: BTreeMap<(Space, Vec<u8>), Option<MetaValue>> = BTreeMap::new();
    let mut seq = None;
    let mut groups = 0;
    let mut checkpoint = None;
    {
        let mut jobs = meta.jobs();
        while groups < JOIN_GROUPS_MAX {
            match jobs.queue.front() {
                Some(Job::Apply(..)) => {}
                Some(Job::Checkpoint(_)) if seq.is_none() => {}
                _ => break,
            }
            match jobs.queue.pop_front() {
                Some(Job::Apply(to, ops)) => {
                    seq = Some(to);
                    groups += 1;
                    joined.extend(ops.into_iter().map(|op| ((op.space, op.key), op.value)));
                }
                Some(Job::Checkpoint(reply)) => {
                    checkpoint = Some(reply);
                    break;
                }
                None => break,
            }
        }
    }
    meta.changed.notify_all();
    if let Some(seq) = seq {
        let puts: Vec<MetaPut> = joined
            .into_iter()
            .map(|((space, key), value)| MetaPut { space, key, value: value.map(|value| value.to_bytes()) })
            .collect();
        if let Err(error) = guarded(shared, &mut store, &mut |store| store.apply(seq, &puts).map(|()| seq)) {
            tracing::error!(%error, seq, "metadata is behind the log; the next start replays it");
        }
        return true;
    }
    let Some(reply) = checkpoint else { return false };
    let answer = guarded(shared, &mut store, &mut |store| store.checkpoint());
    if reply.send(answer).is_err() {
        tracing::debug!("nobody waits for this checkpoint of the meta store any more");
    }
    true
}

/// Runs one operation; when it fails, the store is set aside, rebuilt, and the operation's purpose fulfilled by that.
fn guarded(
    shared: &Shared,
    store: &mut Option<Box<dyn MetaStore>>,
    operation: &mut dyn FnMut(&mut Box<dyn MetaStore>) -> Result<Seq>,
) -> Result<Seq> {
    let outcome = match store {
        Some(store) => caught(|| operation(store)),
        None => Err(StoreError::internal("the meta store is not open")),
    };
    let Err(error) = outcome else { return outcome };
    tracing::error!(%error, "meta store failed; setting it aside and rebuilding it");
    *store = None;
    let snapshot = shared.published.load_full();
    shared.meta.rebuilds.fetch_add(1, Ordering::Relaxed);
    match rebuild(shared.meta.opener.as_ref(), shared.clock.now_us(), &snapshot) {
        Ok(mut rebuilt) => {
            let durable = caught(|| rebuilt.checkpoint());
            *store = Some(rebuilt);
            durable
        }
        Err(error) => {
            tracing::error!(%error, "meta store cannot be rebuilt; checkpoints wait, commits go on in the log");
            Err(error)
        }
    }
}

/// A panic inside the meta store is an error like any other.
pub(crate) fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(StoreError::internal("the meta store panicked")))
}

/// A fresh store with the content of a snapshot.
pub(crate) fn rebuild(opener: &dyn MetaOpener, time_us: i64, snapshot: &Snapshot) -> Result<Box<dyn MetaStore>> {
    metrics::counter!("meta_rebuilds_total").increment(1);
    opener.set_aside(time_us)?;
    let mut store = caught(|| opener.open())?;
    fill(store.as_mut(), snapshot.seq, &entries(snapshot)?)?;
    Ok(store)
}

/// Puts entries into an empty store, `applied` with the last of them: a crash in between leaves 0.
pub(crate) fn fill(store: &mut dyn MetaStore, seq: Seq, entries: &[Entry]) -> Result<()> {
    const ENTRIES_PER_TRANSACTION: usize = 1_000;
    let mut chunks = entries.chunks(ENTRIES_PER_TRANSACTION).peekable();
    if chunks.peek().is_none() {
        return caught(|| store.apply(seq, &[]));
    }
    while let Some(chunk) = chunks.next() {
        let puts: Vec<MetaPut> = chunk
            .iter()
            .map(|(space, key, value)| MetaPut { space: *space, key: key.clone(), value: Some(value.clone()) })
            .collect();
        let applied = if chunks.peek().is_none() { seq } else { 0 };
        caught(|| store.apply(applied, &puts))?;
    }
    Ok(())
}

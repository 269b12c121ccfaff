//! The store: what the floors above hold.
//!
//! For: opening a data directory and everything the engine asks of it. Threads: one commits, one owns the meta store,
//! one does maintenance (prepares log segments, flushes, takes checkpoints), one or more merge parts. Promises: see the crate's front page.
//! Does not: know SQL, run queries, or wait on anything but its own threads.
//!
//! Lock order, outermost first; never the other way: maintenance, the claim of a table to be rewritten, committer, checkpoint, meta store, meta jobs,
//! changed keys, request queue, open transactions, relocations, source counters, retired files, recyclable segments, failed
//! merges, wake-up, history of rewrites.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::backup::{self, BackupDone};
use crate::checkpoint::{self, SmallDeltas};
use crate::clock::{Clock, SystemClock};
use crate::commit::{self, Committer, Install, Queue, Request, SealedAt};
use crate::config::StoreConfig;
use crate::disk::{Disk, DiskLock, RealDisk};
use crate::error::{Result, StoreError};
use crate::flush::{self, flush_table};
use crate::format::{self, Checkpoint};
use crate::frame::Position;
use crate::history::{History, Rewrite};
use crate::hook::CommitHook;
use crate::increment::Since;
use crate::meta::{self, Meta, MetaOpener, OPEN_TIMEOUT, Watched};
use crate::part::PartPlace;
use crate::prepare::prepare;
use crate::recover::{self, Recovered};
use crate::relocation::{OpenTxns, Relocations};
use crate::sled_meta::SledOpener;
use crate::snapshot::Snapshot;
use crate::state::Retired;
use crate::ticket::{Ticket, ticket};
use crate::txn::{Isolation, Txn};
use crate::{Oid, Seq, compact, wal};

/// How often the maintenance thread looks around without being woken.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// The last checkpoint and what the next one must know of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct LastCheckpoint {
    pub(crate) checkpoint: Checkpoint,
    /// The newest commit when its log position was taken.
    pub(crate) sealed_seq: Seq,
    pub(crate) at: Duration,
    pub(crate) wal_written: u64,
    /// Log bytes before this process that the last checkpoint does not cover.
    pub(crate) replayed_bytes: u64,
    /// Dumps this process wrote, and what came after the newest.
    pub(crate) bases: u32,
    pub(crate) base_bytes: u64,
    pub(crate) increment_bytes: u64,
}

type FatalHook = Box<dyn Fn(&StoreError) + Send + Sync>;

/// Shared by the handle, its transactions and its threads.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) place: Arc<PartPlace>,
    pub(crate) published: ArcSwap<Snapshot>,
    pub(crate) queue: Queue,
    pub(crate) meta: Meta,
    pub(crate) history: History,
    pub(crate) relocations: Relocations,
    pub(crate) open_txns: OpenTxns,
    pub(crate) checkpoint: Mutex<LastCheckpoint>,
    /// No threads: whoever waits does the work himself (the crash simulator).
    pub(crate) stepped: bool,
    committer: Mutex<Committer>,
    retired: Mutex<Vec<(Seq, Retired)>>,
    source_counters: Mutex<HashMap<Oid, u32>>,
    next_blob: AtomicU64,
    next_oid: AtomicU32,
    hook: RwLock<Option<Arc<dyn CommitHook>>>,
    fatal: OnceLock<StoreError>,
    /// Bytes the log wanted in vain when the last group was written; 0 when it was written.
    pub(crate) wal_short_of: AtomicU64,
    fatal_hook: OnceLock<FatalHook>,
    /// Held by a flush or a checkpoint.
    maintenance: Mutex<()>,
    /// Tables whose parts are rewritten now; a flush may run beside it, because they never touch the same sources.
    pub(crate) rewriting: compact::Rewriting,
    pub(crate) merge_failures: compact::Failures,
    wakeup: (Mutex<Wakeup>, Condvar),
    checkpoint_wanted: AtomicBool,
    warned_minute: AtomicU64,
    /// Log segments nobody needs, smallest first: size and number.
    recyclable: Mutex<Vec<(u64, u32)>>,
    /// Runs once between the writing of a part and its install: what tests do "meanwhile".
    #[cfg(test)]
    pub(crate) before_install: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    _lock: Box<dyn DiskLock>,
}

#[derive(Debug, Default)]
struct Wakeup {
    due: bool,
    stopped: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn committer(&self) -> MutexGuard<'_, Committer> {
        lock(&self.committer)
    }

    pub(crate) fn hook(&self) -> Option<Arc<dyn CommitHook>> {
        self.hook.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fatal(&self) -> Option<&StoreError> {
        self.fatal.get()
    }

    /// Storage failed in a way that leaves the outcome of commits unknown: nothing is accepted any more.
    pub(crate) fn fail(&self, cause: &StoreError) {
        tracing::error!(error = %cause, "storage failed while syncing; the store stops");
        let unknown = StoreError::outcome_unknown().with_detail(format!("{cause}."));
        if self.fatal.set(unknown.clone()).is_ok() {
            self.queue.close(&unknown);
            if let Some(hook) = self.fatal_hook.get() {
                hook(&unknown);
            }
        }
    }

    pub(crate) fn retire(&self, retired: &mut Vec<(Seq, Retired)>) {
        if !retired.is_empty() {
            lock(&self.retired).append(retired);
        }
    }

    /// Retired files whose removal was committed by `seq` and that nobody holds any more.
    pub(crate) fn take_retired(&self, seq: Seq) -> Vec<Retired> {
        let mut out = Vec::new();
        lock(&self.retired).retain(|(at, retired)| {
            let held = match retired {
                Retired::Part(part) => Arc::strong_count(part) > 1,
                Retired::Blob(blob) => Arc::strong_count(blob) > 1,
            };
            let due = *at <= seq && !held;
            if due {
                out.push(retired.clone());
            }
            !due
        });
        out
    }

    /// A source number of the table that was never used.
    pub(crate) fn allocate_source(&self, table: Oid) -> u32 {
        let committed = self.published.load().table(table).map_or(1, |state| state.next_source);
        let mut counters = lock(&self.source_counters);
        let next = counters.entry(table).or_insert(1);
        let number = committed.max(*next);
        *next = number + 1;
        number
    }

    pub(crate) fn allocate_blob(&self) -> u64 {
        self.next_blob.fetch_add(1, Ordering::Relaxed)
    }

    fn submit(&self, make: impl FnOnce(crate::ticket::Answer) -> Request) -> Result<Seq> {
        let (ticket, answer) = ticket();
        self.queue.push(make(answer));
        if self.stepped {
            while ticket.try_wait().is_none() && self.step_commit() {}
            return ticket.try_wait().unwrap_or_else(|| Err(StoreError::closed()));
        }
        ticket.wait()
    }

    /// Handles one group; false when nothing was queued.
    pub(crate) fn step_commit(&self) -> bool {
        let requests = self.queue.take(self);
        if requests.is_empty() {
            return false;
        }
        self.committer().process(self, requests);
        true
    }

    /// The newest state, after the metadata thread was given all that belongs to it, and the keys that changed up to it.
    pub(crate) fn published_and_handed_on(&self) -> (Arc<Snapshot>, Option<Since>, Since) {
        let _between_groups = self.committer();
        let snapshot = self.published.load_full();
        // Commits that changed no metadata were not handed on; its seq must not stay behind for that.
        self.meta.push(self, snapshot.seq, Vec::new());
        let (since, taken) = self.meta.changes().take(snapshot.seq);
        (snapshot, since, taken)
    }

    /// Bytes written to the log since the start.
    pub(crate) fn committer_written(&self) -> u64 {
        self.committer().wal.written
    }

    pub(crate) fn recyclable(&self) -> MutexGuard<'_, Vec<(u64, u32)>> {
        lock(&self.recyclable)
    }

    /// Writes a table's delta into the log once more. 40001 when it grew too large or is gone.
    pub(crate) fn carry(&self, table: Oid) -> Result<Seq> {
        self.submit(|answer| Request::Carry(table, answer))
    }

    /// Ends a table's open generation, if one is named; gives the end of the log and the newest commit at that moment.
    pub(crate) fn seal(&self, table: Option<Oid>) -> Result<(Position, Seq)> {
        let sealed_at = SealedAt::default();
        let slot = Arc::clone(&sealed_at);
        self.submit(move |answer| Request::Seal(table, slot, answer))?;
        let sealed = *lock(&sealed_at);
        sealed.ok_or_else(|| StoreError::internal("a seal was answered without a position"))
    }

    pub(crate) fn install(&self, install: Install) -> Result<Seq> {
        #[cfg(test)]
        {
            // Taken first: what is done meanwhile may install something itself.
            let meanwhile = lock(&self.before_install).take();
            meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        }
        self.submit(move |answer| Request::Install(install, answer))
    }

    pub(crate) fn stopping(&self) -> bool {
        lock(&self.wakeup.0).stopped
    }

    /// Waits for the interval; false once stopped.
    fn compaction_due(&self) -> bool {
        let wakeup = lock(&self.wakeup.0);
        if wakeup.stopped {
            return false;
        }
        let waited = self.wakeup.1.wait_timeout(wakeup, MAINTENANCE_INTERVAL).unwrap_or_else(PoisonError::into_inner);
        !waited.0.stopped
    }

    pub(crate) fn wake_maintenance(&self) {
        lock(&self.wakeup.0).due = true;
        self.wakeup.1.notify_all();
    }

    /// Waits for a wake-up or the interval; false once stopped.
    fn maintenance_due(&self) -> bool {
        let mut wakeup = lock(&self.wakeup.0);
        if !wakeup.due && !wakeup.stopped {
            wakeup = self.wakeup.1.wait_timeout(wakeup, MAINTENANCE_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
        }
        wakeup.due = false;
        !wakeup.stopped
    }

    fn stop(&self) {
        lock(&self.wakeup.0).stopped = true;
        self.wakeup.1.notify_all();
        self.queue.close(&StoreError::closed());
        self.meta.stop();
    }

    pub(crate) fn prepare_segment(&self) {
        let Some((number, size)) = self.committer().wal.reserve() else { return };
        let data_dir = &self.config.data_dir;
        let recycled = {
            let mut recyclable = self.recyclable();
            let fitting = recyclable.iter().position(|(bytes, _)| *bytes >= size);
            fitting.map(|index| wal::recycle(self.disk.as_ref(), data_dir, recyclable.remove(index).1, number))
        };
        let prepared = recycled.unwrap_or_else(|| wal::prepare(self.disk.as_ref(), data_dir, number, size));
        if let Err(error) = &prepared {
            tracing::warn!(%error, "the next log segment could not be prepared");
        }
        self.committer().wal.offer(prepared.ok());
    }

    fn flush_due(self: &Arc<Self>) -> Result<()> {
        let snapshot = self.published.load_full();
        let config = &self.config;
        let mut total = 0;
        let mut biggest: Option<(u64, Oid)> = None;
        for (oid, table) in snapshot.tables() {
            let bytes = table.delta_bytes();
            total += bytes;
            biggest = biggest.max(Some((bytes, oid)));
            let rows: u64 = table.sources.iter().filter(|source| !source.is_part()).map(|source| source.rows()).sum();
            if bytes >= config.delta_flush_bytes || rows >= config.delta_flush_rows {
                flush_table(self, oid)?;
            }
        }
        match biggest {
            Some((_, oid)) if total > config.delta_memory => flush_table(self, oid).map(drop),
            _ => Ok(()),
        }
    }

    fn checkpoint_due(&self) -> bool {
        let written = self.committer().wal.written;
        let last = lock(&self.checkpoint);
        let wal = written.saturating_sub(last.wal_written) + last.replayed_bytes;
        // Files that were replaced before the last checkpoint wait for one more, also when nobody writes.
        let idle = self.published.load().seq == last.checkpoint.seq && lock(&self.retired).is_empty();
        self.checkpoint_wanted.swap(false, Ordering::Relaxed)
            || wal >= self.config.checkpoint_wal_bytes
            || (!idle && self.clock.monotonic().saturating_sub(last.at) >= self.config.checkpoint_interval)
    }

    /// Says once a minute that a power cut will lose data.
    fn warn_unsafe(&self) {
        let minute = self.clock.monotonic().as_secs() / 60 + 1;
        if self.config.unsafe_no_fsync && self.warned_minute.swap(minute, Ordering::Relaxed) != minute {
            tracing::warn!("store.unsafe_no_fsync is on: acknowledged data is lost in a power cut");
        }
    }

    /// Whether nobody holds the lock of flushes and checkpoints.
    #[cfg(test)]
    pub(crate) fn maintenance_is_free(&self) -> bool {
        self.maintenance.try_lock().is_ok()
    }

    /// One round of background work.
    pub(crate) fn maintain(self: &Arc<Self>) {
        self.warn_unsafe();
        self.prepare_segment();
        let _held = lock(&self.maintenance);
        if let Err(error) = self.flush_due() {
            tracing::warn!(%error, "flush failed; it is tried again");
        }
        if self.checkpoint_due()
            && let Err(error) = checkpoint::checkpoint(self, SmallDeltas::Carry)
        {
            tracing::warn!(%error, "checkpoint failed; it is tried again");
            self.checkpoint_wanted.store(true, Ordering::Relaxed);
        }
    }
}

/// Stops the threads when the last clone of a store goes.
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Handle {
    fn join(&self) {
        self.shared.stop();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.join();
    }
}

/// An open data directory. Clones share it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data_dir", &self.data_dir()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a data directory, creating it if it does not exist or is empty.
    ///
    /// Errors: 22023 for settings, 55006 when another process has it, XX001 when it is damaged or newer, 58030.
    pub fn open(config: &StoreConfig, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Self> {
        let cache_bytes = config.budget()?.meta_cache;
        let sled = Arc::new(SledOpener::new(&config.data_dir, cache_bytes, !config.unsafe_no_fsync));
        let opener = Arc::new(Watched { opener: sled, timeout: OPEN_TIMEOUT });
        Self::open_with(config, disk, clock, opener, false)
    }

    /// As [`Store::open`], with another meta store, and without threads if `stepped`.
    pub(crate) fn open_with(
        config: &StoreConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        opener: Arc<dyn MetaOpener>,
        stepped: bool,
    ) -> Result<Self> {
        config.validate()?;
        let recovered = recover::recover(config, &disk, clock.as_ref(), opener.as_ref())?;
        let shared = Arc::new(assemble(config, disk, clock, opener, stepped, recovered));
        let mut threads = Vec::new();
        if !stepped {
            threads.push(spawn("store-commit", &shared, |shared| commit::run(shared))?);
            threads.push(spawn("store-meta", &shared, |shared| meta::run(shared))?);
            if config.background {
                threads.push(spawn("store-maintenance", &shared, |shared| {
                    while shared.maintenance_due() {
                        shared.maintain();
                    }
                })?);
                for _ in 0..config.compaction_threads {
                    threads.push(spawn("store-compaction", &shared, |shared| {
                        compact::yield_to_others();
                        while shared.compaction_due() {
                            compact::compact_all(shared);
                        }
                    })?);
                }
            }
        }
        Ok(Self { handle: Arc::new(Handle { shared, threads: Mutex::new(threads) }) })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.shared().config.data_dir
    }

    /// Identifies this database in every file of it.
    pub fn uuid(&self) -> [u8; 16] {
        self.shared().place.uuid
    }

    /// The newest committed state. O(1), never blocks.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared().published.load_full()
    }

    /// Starts a transaction on the newest state.
    pub fn begin(&self, isolation: Isolation) -> Txn {
        Txn::new(Arc::clone(self.shared()), isolation)
    }

    /// Commits. The ticket resolves after the frame is synced and visible, or with the reason it was refused:
    /// 40001 for conflicts, 53100 and 58030 when the log cannot be written, 08007 when nobody knows.
    ///
    /// Encoding and staging happen here, on the caller's thread: up to 64 MiB of rows may be sorted and written.
    pub fn commit(&self, txn: Txn) -> Ticket {
        if let Some(error) = self.shared().fatal() {
            return Ticket::resolved(Err(error.clone()));
        }
        if !txn.has_writes() {
            return Ticket::resolved(Ok(txn.snapshot().seq()));
        }
        match prepare(txn) {
            Err(error) => Ticket::resolved(Err(error)),
            Ok(prepared) => {
                let (ticket, answer) = ticket();
                self.shared().queue.push(Request::Txn(Box::new(prepared), answer));
                ticket
            }
        }
    }

    /// An oid that no object ever had.
    pub fn allocate_oid(&self) -> Oid {
        self.shared().next_oid.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes a table's delta into sorted parts.
    pub fn flush(&self, table: Oid) -> Result<()> {
        let _held = lock(&self.shared().maintenance);
        flush_table(self.shared(), table).map(drop)
    }

    /// Brings the sketches of a table up to date: they are those of its parts, so rows in memory are flushed if they are a
    /// tenth of the table or more.
    pub fn analyze(&self, table: Oid) -> Result<()> {
        match self.snapshot().table(table) {
            Some(state) if state.delta_rows() * 10 >= state.live_rows().max(1) => self.flush(table),
            _ => Ok(()),
        }
    }

    /// Runs the merges that are due in a table; gives their number.
    pub fn compact(&self, table: Oid) -> Result<usize> {
        let _held = self.shared().rewriting.claim(table);
        compact::compact_table(self.shared(), table, compact::Failed::Retry)
    }

    /// Flushes a table's delta, then rewrites every part of the table that has deleted rows. Other flushes go on
    /// beside the rewriting.
    pub fn rewrite_deleted(&self, table: Oid) -> Result<()> {
        self.flush(table)?;
        let _held = self.shared().rewriting.claim(table);
        flush::rewrite_deleted(self.shared(), table)
    }

    /// Makes the metadata durable and cuts the log; small deltas stay in memory. Gives the commit it holds.
    pub fn checkpoint(&self) -> Result<Seq> {
        let _held = lock(&self.shared().maintenance);
        checkpoint::checkpoint(self.shared(), SmallDeltas::Carry)
    }

    /// As [`Store::checkpoint`], with every delta flushed.
    fn checkpoint_flushed(&self) -> Result<Seq> {
        let _held = lock(&self.shared().maintenance);
        checkpoint::checkpoint(self.shared(), SmallDeltas::Flush)
    }

    /// Copies the newest commit into `dir`, which must not exist or be empty: the copy is a data directory. Writers go
    /// on. Errors: 58P02, 53100, 58030.
    pub fn backup(&self, dir: &Path) -> Result<BackupDone> {
        let shared = self.shared();
        // A checkpoint first: what is in memory is written once, not for each backup.
        self.checkpoint_flushed()?;
        backup::backup(shared, dir)
    }

    /// Directories a statement may write backups into.
    pub fn backup_dirs(&self) -> &[PathBuf] {
        &self.shared().config.backup_dirs
    }

    /// Directories statements may read files from and write files into.
    pub fn external_dirs(&self) -> &[PathBuf] {
        &self.shared().config.external_dirs
    }

    /// Registers the one hook that sees commits in order; see [`CommitHook`].
    pub fn set_commit_hook(&self, hook: Arc<dyn CommitHook>) {
        *self.shared().hook.write().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    /// Registers what happens when storage fails while syncing (the server logs and exits with code 70). Once only.
    pub fn set_fatal_hook(&self, hook: impl Fn(&StoreError) + Send + Sync + 'static) {
        if self.shared().fatal_hook.set(Box::new(hook)).is_err() {
            tracing::warn!("the fatal hook was already set");
        }
    }

    /// How long idempotency tokens are remembered.
    pub fn idempotency_retention(&self) -> Duration {
        self.shared().config.idempotency_retention
    }

    /// Why the store takes no more commits, if storage failed.
    pub fn failed(&self) -> Option<StoreError> {
        self.shared().fatal().cloned()
    }

    /// Whether the last commit found no room for the log and there still is none. Reads go on meanwhile.
    pub fn disk_full(&self) -> bool {
        let shared = self.shared();
        let wanted = shared.wal_short_of.load(Ordering::Relaxed);
        wanted > 0 && shared.disk.free_space(&shared.config.data_dir).is_ok_and(|free| free < wanted)
    }

    /// The newest flushes and merges, running ones included, oldest first.
    pub fn rewrites(&self) -> Vec<Rewrite> {
        self.shared().history.all()
    }

    /// Figures for views and metrics.
    pub fn status(&self) -> Status {
        let shared = self.shared();
        let snapshot = self.snapshot();
        let wal_written = shared.committer_written();
        let checkpoint = lock(&shared.checkpoint);
        Status {
            seq: snapshot.seq,
            checkpoint_seq: checkpoint.checkpoint.seq,
            checkpoint_age: shared.clock.monotonic().saturating_sub(checkpoint.at),
            wal_bytes: wal_written.saturating_sub(checkpoint.wal_written) + checkpoint.replayed_bytes,
            meta_rebuilds: shared.meta.rebuilds(),
            delta_bytes: snapshot.tables().map(|(_, table)| table.delta_bytes()).sum(),
            parts: snapshot.tables().map(|(_, table)| table.part_count()).sum(),
            queue_depth: shared.queue.depth(),
            oldest_open_seq: shared.open_txns.oldest(),
            free_bytes: shared.disk.free_space(&shared.config.data_dir).ok(),
        }
    }

    /// Finishes what is queued, takes a checkpoint, marks the log and stops. Other clones then get 57P01.
    pub fn close(self) -> Result<()> {
        let shared = self.shared();
        let outcome = match shared.fatal() {
            Some(error) => Err(error.clone()),
            None => self.checkpoint_flushed().and_then(|_| shared.submit(Request::Mark)).map(drop),
        };
        self.handle.join();
        outcome
    }
}

/// Sets the metadata store of a stopped directory aside, so that it is made again from dump and log; gives the newest
/// commit.
pub fn rebuild_meta(config: &StoreConfig) -> Result<Seq> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let clock = Arc::new(SystemClock::new());
    let held = format::lock(disk.as_ref(), &config.data_dir, "rebuild-meta")?;
    if format::read_format(disk.as_ref(), &config.data_dir)?.is_none() {
        let message = format!("directory \"{}\" is not a tributary data directory", config.data_dir.display());
        return Err(StoreError::setting(message));
    }
    SledOpener::new(&config.data_dir, config.budget()?.meta_cache, true).set_aside(clock.now_us())?;
    drop(held);
    let store = Store::open(config, disk, clock)?;
    let seq = store.snapshot().seq();
    store.close().map(|()| seq)
}

/// Figures of an open store.
#[derive(Debug, Clone)]
pub struct Status {
    /// Newest commit.
    pub seq: Seq,
    /// Commit of the last checkpoint.
    pub checkpoint_seq: Seq,
    /// Time since the last checkpoint or the start.
    pub checkpoint_age: Duration,
    /// Bytes of log since the last checkpoint: what a start would read.
    pub wal_bytes: u64,
    /// How often the metadata store had to be made again, at the start or since.
    pub meta_rebuilds: u64,
    /// Bytes of all deltas.
    pub delta_bytes: u64,
    /// Parts of all tables.
    pub parts: usize,
    /// Requests waiting for the commit thread.
    pub queue_depth: usize,
    /// Snapshot of the oldest open transaction.
    pub oldest_open_seq: Option<Seq>,
    /// Free bytes of the file system, if it tells.
    pub free_bytes: Option<u64>,
}

fn spawn(name: &str, shared: &Arc<Shared>, run: fn(&Arc<Shared>)) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let guarded = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&shared))).is_err() {
            shared.fail(&StoreError::internal("a thread of the store panicked"));
        }
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(guarded)
        .map_err(|error| StoreError::new("53000", format!("could not start thread {name}: {error}")))
}

fn assemble(
    config: &StoreConfig,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    opener: Arc<dyn MetaOpener>,
    stepped: bool,
    recovered: Recovered,
) -> Shared {
    let Recovered { lock, place, mut state, wal, meta, meta_pending, checkpoint, next_blob, .. } = recovered;
    let retired = std::mem::take(&mut state.retired);
    let snapshot = state.snap.clone();
    let (seq, next_oid) = (snapshot.seq, snapshot.next_oid);
    let at = clock.monotonic();
    let shared = Shared {
        config: config.clone(),
        disk,
        clock,
        place,
        published: ArcSwap::from_pointee(snapshot),
        queue: Queue::default(),
        meta: Meta::new(opener, meta, seq, recovered.meta_rebuilt),
        history: History::default(),
        relocations: Relocations::default(),
        open_txns: OpenTxns::default(),
        checkpoint: Mutex::new(LastCheckpoint {
            checkpoint,
            sealed_seq: checkpoint.seq,
            at,
            replayed_bytes: recovered.replayed_bytes,
            ..LastCheckpoint::default()
        }),
        stepped,
        committer: Mutex::new(Committer::new(state, wal)),
        retired: Mutex::new(retired),
        source_counters: Mutex::default(),
        next_blob: AtomicU64::new(next_blob),
        next_oid: AtomicU32::new(next_oid),
        hook: RwLock::new(None),
        fatal: OnceLock::new(),
        wal_short_of: AtomicU64::new(0),
        fatal_hook: OnceLock::new(),
        maintenance: Mutex::new(()),
        rewriting: compact::Rewriting::default(),
        merge_failures: compact::Failures::default(),
        wakeup: (Mutex::default(), Condvar::new()),
        checkpoint_wanted: AtomicBool::new(recovered.dump_wanted),
        warned_minute: AtomicU64::new(0),
        recyclable: Mutex::default(),
        #[cfg(test)]
        before_install: Mutex::new(None),
        _lock: lock,
    };
    if !meta_pending.is_empty() {
        shared.meta.push(&shared, seq, meta_pending);
    }
    shared
}

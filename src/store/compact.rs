//! Merging parts, so that their number grows with the logarithm of the rows.
//!
//! For: tables that get many small flushes. A run is a list of parts of one bucket with disjoint keys; its class is
//! `floor(log8(bytes / 64 MiB))`. When `fan_in` runs of one class and bucket exist they become one run; a part with too
//! many deleted rows is rewritten alone. Promises: reads see either the old parts or the new; deletes that arrive
//! meanwhile move along; killed at any point it leaves only files nobody names; what cannot be rewritten is left alone
//! for a while, each time twice as long, and keeps nothing else from being merged. Does not: merge more than its limits at
//! once, so runs of some gigabytes stay beside each other, or start without twice its input and 256 MiB of free space.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Oid;
use crate::config::StoreConfig;
use crate::error::Result;
use crate::flush::{Into, rewrite};
use crate::snapshot::{Snapshot, TableState};
use crate::source::{Body, Source};
use crate::store::Shared;

/// Bytes of a run of class 0.
const CLASS_BYTES: f64 = (64u64 << 20) as f64;
/// Free space that stays, whatever is merged.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// What the compaction thread leaves to others: the nice value of a background job.
const NICE: i32 = 10;

/// How long a source whose rewrite failed is left alone at first, and at most.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// See [`PAUSE_FIRST`].
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Sources that could not be rewritten, and until when they are left alone.
#[derive(Default)]
pub(crate) struct Failures {
    by_source: Mutex<HashMap<(Oid, u32), Pause>>,
}

struct Pause {
    until: Duration,
    length: Duration,
}

impl Failures {
    fn by_source(&self) -> MutexGuard<'_, HashMap<(Oid, u32), Pause>> {
        self.by_source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, table: Oid, source: u32, now: Duration) {
        let mut by_source = self.by_source();
        let length = by_source.get(&(table, source)).map_or(PAUSE_FIRST, |pause| (pause.length * 2).min(PAUSE_MAX));
        by_source.insert((table, source), Pause { until: now + length, length });
    }

    /// Sources of a table to be left alone now.
    fn paused(&self, table: Oid, now: Duration) -> HashSet<u32> {
        let by_source = self.by_source();
        let paused = by_source.iter().filter(|((oid, _), pause)| *oid == table && now < pause.until);
        paused.map(|((_, source), _)| *source).collect()
    }

    /// Forgets sources that are gone.
    fn forget_gone(&self, snapshot: &Snapshot) {
        let there = |table, source| snapshot.table(table).is_some_and(|state| state.source(source).is_some());
        self.by_source().retain(|(table, source), _| there(*table, *source));
    }
}

/// Tables whose parts are being rewritten, each by one thread.
#[derive(Default)]
pub(crate) struct Rewriting {
    tables: Mutex<HashSet<Oid>>,
    released: Condvar,
}

/// A claimed table; released when dropped.
pub(crate) struct Claim<'a> {
    of: &'a Rewriting,
    table: Oid,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.of.tables().remove(&self.table);
        self.of.released.notify_all();
    }
}

impl Rewriting {
    fn tables(&self) -> MutexGuard<'_, HashSet<Oid>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a table, after whoever has it.
    pub(crate) fn claim(&self, table: Oid) -> Claim<'_> {
        let mut tables = self.tables();
        while !tables.insert(table) {
            tables = self.released.wait(tables).unwrap_or_else(PoisonError::into_inner);
        }
        Claim { of: self, table }
    }

    /// Claims a table that nobody has.
    fn try_claim(&self, table: Oid) -> Option<Claim<'_>> {
        let free = self.tables().insert(table);
        // Not made unless it is ours: dropping it releases the table.
        free.then(|| Claim { of: self, table })
    }
}

/// What to merge, and where the result belongs.
struct Merge {
    sources: Vec<Arc<Source>>,
    into: Into,
}

/// Parts of one run.
#[derive(Default)]
struct Run {
    parts: Vec<Arc<Source>>,
    bytes: u64,
    rows: u64,
    level: u8,
}

fn class(bytes: u64) -> i32 {
    // A few dozen classes at most: the logarithm is far inside the range of i32.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let class = ((bytes.max(1) as f64 / CLASS_BYTES).ln() / 8f64.ln()).floor() as i32;
    class
}

/// Whether a run of this size is left as it is: it is above half of what a merge takes. Any two others fit into one.
fn settled(config: &StoreConfig, bytes: u64, rows: u64) -> bool {
    bytes > config.merge_bytes_max / 2 || rows > config.merge_rows() / 2
}

/// Runs of the bucket that has most of those a merge can help: how far compaction is behind, whatever the number of
/// buckets and the size of the table.
pub(crate) fn runs_behind(config: &StoreConfig, table: &TableState) -> usize {
    let mut runs: HashMap<(i64, u32), (u64, u64)> = HashMap::new();
    for source in &table.sources {
        let Body::Part(part) = &source.body else { continue };
        let (bytes, rows) = runs.entry((part.entry.bucket, part.entry.run)).or_default();
        *bytes += source.bytes();
        *rows += source.rows();
    }
    let mut of_bucket: HashMap<i64, usize> = HashMap::new();
    for ((bucket, _), (bytes, rows)) in runs {
        *of_bucket.entry(bucket).or_default() += usize::from(!settled(config, bytes, rows));
    }
    of_bucket.into_values().max().unwrap_or(0)
}

/// The next rewrite that is due in a table, without the sources that are paused and the runs they belong to.
fn due(config: &StoreConfig, table: &TableState, paused: &HashSet<u32>) -> Option<Merge> {
    let mut broken: HashSet<(i64, u32)> = HashSet::new();
    let mut runs: BTreeMap<(i64, u32), Run> = BTreeMap::new();
    for source in &table.sources {
        let Body::Part(part) = &source.body else { continue };
        let (bucket, run, level) = (part.entry.bucket, part.entry.run, part.entry.level);
        if paused.contains(&source.number()) {
            broken.insert((bucket, run));
            continue;
        }
        let deleted = source.deletes().map_or(0, |deletes| deletes.len());
        if deleted as f64 > source.rows() as f64 * config.rewrite_deleted_ratio {
            return Some(Merge { sources: vec![Arc::clone(source)], into: Into::Run { bucket, run, level } });
        }
        let found = runs.entry((bucket, run)).or_default();
        found.parts.push(Arc::clone(source));
        found.bytes += source.bytes();
        found.rows += source.rows();
        found.level = found.level.max(level);
    }
    let mut classes: BTreeMap<(i64, i32), Vec<Run>> = BTreeMap::new();
    runs.retain(|number, run| !broken.contains(number) && !settled(config, run.bytes, run.rows));
    for ((bucket, _), run) in runs {
        classes.entry((bucket, class(run.bytes))).or_default().push(run);
    }
    let crowded = classes.into_values().filter(|runs| runs.len() >= config.compaction_fan_in);
    crowded.filter_map(|runs| merge_of(config, runs)).next()
}

/// The longest stretch of neighbours in age that fits the limits: neighbours, because rows of one time stay together.
fn merge_of(config: &StoreConfig, runs: Vec<Run>) -> Option<Merge> {
    let mut best = 0..0;
    for start in 0..runs.len() {
        let (mut bytes, mut rows) = (0, 0);
        let fitting = runs[start..].iter().take(config.compaction_fan_in).take_while(|run| {
            bytes += run.bytes;
            rows += run.rows;
            bytes <= config.merge_bytes_max && rows <= config.merge_rows()
        });
        let end = start + fitting.count();
        if end - start > best.len() {
            best = start..end;
        }
    }
    if best.len() < 2 {
        return None;
    }
    let level = runs[best.clone()].iter().map(|run| run.level).max().unwrap_or(0).saturating_add(1);
    let mut sources: Vec<Arc<Source>> =
        runs.into_iter().skip(best.start).take(best.len()).flat_map(|r| r.parts).collect();
    sources.sort_by_key(|source| source.number());
    Some(Merge { sources, into: Into::NewRuns { level } })
}

/// Whether sources whose rewrite failed lately are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    Retry,
    LeaveAlone,
}

/// Runs every merge that is due in a table; gives their number. The caller has claimed the table.
pub(crate) fn compact_table(shared: &Arc<Shared>, table: Oid, failed: Failed) -> Result<usize> {
    let mut merges = 0;
    loop {
        let snapshot = shared.published.load_full();
        let Some(state) = snapshot.table(table) else { return Ok(merges) };
        let paused = match failed {
            Failed::Retry => HashSet::new(),
            Failed::LeaveAlone => shared.merge_failures.paused(table, shared.clock.monotonic()),
        };
        let Some(merge) = due(&shared.config, state, &paused) else { return Ok(merges) };
        if shared.stopping() || !has_room(shared, &merge)? {
            return Ok(merges);
        }
        let started = shared.clock.monotonic();
        if let Err(error) = rewrite(shared, &snapshot, table, merge.sources.clone(), &merge.into) {
            // Replaced meanwhile, or stopping: no fault of a source.
            if error.sqlstate != "40001" && error.sqlstate != "57P01" {
                remember(shared, table, &merge.sources);
            }
            return Err(error);
        }
        merges += 1;
        let took = shared.clock.monotonic().saturating_sub(started);
        metrics::histogram!("compaction_seconds").record(took.as_secs_f64());
    }
}

/// Finds the sources of a failed rewrite that cannot be read; if all can, something about the whole was wrong.
fn remember(shared: &Shared, table: Oid, sources: &[Arc<Source>]) {
    let unreadable = |source: &&Arc<Source>| match &source.body {
        Body::Part(part) => part.verify_files().is_err(),
        Body::Delta(_) => false,
    };
    let mut culprits: Vec<&Arc<Source>> = sources.iter().filter(unreadable).collect();
    if culprits.is_empty() {
        culprits = sources.iter().collect();
    }
    let now = shared.clock.monotonic();
    culprits.into_iter().for_each(|source| shared.merge_failures.remember(table, source.number(), now));
}

fn has_room(shared: &Shared, merge: &Merge) -> Result<bool> {
    let dir = &shared.config.data_dir;
    let free = crate::disk::at("stat", dir, shared.disk.free_space(dir))?;
    let input: u64 = merge.sources.iter().map(|source| source.bytes()).sum();
    let enough = free >= input.saturating_mul(2).saturating_add(FREE_BYTES_MIN);
    if !enough {
        tracing::warn!(free, input, "compaction waits for free space");
    }
    Ok(enough)
}

/// Runs what is due in any table.
pub(crate) fn compact_all(shared: &Arc<Shared>) {
    let snapshot = shared.published.load_full();
    shared.merge_failures.forget_gone(&snapshot);
    for (oid, _) in snapshot.tables() {
        // Another thread is at it.
        let Some(_claim) = shared.rewriting.try_claim(oid) else { continue };
        match compact_table(shared, oid, Failed::LeaveAlone) {
            Ok(_) => {}
            // A source was truncated or rewritten meanwhile: the next round sees the new state.
            Err(error) if error.sqlstate == "40001" => {}
            Err(error) => tracing::warn!(table = oid, %error, "compaction failed; it is tried again later"),
        }
    }
}

/// Gives the calling thread the priority of a background job. Linux keeps it per thread; where it is refused the
/// compaction just competes.
pub(crate) fn yield_to_others() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the compaction thread keeps its priority");
    }
}

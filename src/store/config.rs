//! Settings of the store, with their limits.
//!
//! For: one plain struct the server fills from its configuration file or `--set store.key=value`; see `config_keys`.
//! Promises: every value is validated before the directory is touched. Does not: read files or the environment, or look
//! how much memory the machine has.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Result, StoreError};

pub(crate) const MIB: u64 = 1 << 20;

/// Limit: bytes of one value.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
/// Limit: bytes of a key given to `put`.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// Limit: columns of a table.
pub const COLUMNS_MAX: usize = 1_600;
/// Limit: rows and bytes of one transaction that are logged; more are staged as parts.
pub const LOGGED_ROWS_MAX: usize = 65_536;
/// See [`LOGGED_ROWS_MAX`].
pub const LOGGED_BYTES_MAX: usize = 8 << 20;
/// Limit: a value or delete set above this is a file in `blobs/`.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Limit: the log's buffers, which are one commit group and what is being encoded for it.
const WAL_BUFFER_BYTES: u64 = 16 * MIB;
/// Less than this for queries is refused.
const QUERY_BYTES_MIN: u64 = 64 * MIB;

/// How the columns of parts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanIo {
    /// Through memory maps: nothing is copied, and the page cache is the only cache.
    #[default]
    Mmap,
    /// By pread into memory, chunk by chunk: an error of the device is an error of the statement, not SIGBUS.
    Pread,
}

/// Shares of `memory`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Rows that are in no part yet; at twice this, writers wait.
    pub delta: u64,
    /// The cache of the metadata store.
    pub meta_cache: u64,
    /// Maps of merges from old places to new ones.
    pub compaction: u64,
    /// Buffers of the log.
    pub log: u64,
    /// What queries may use together: the rest.
    pub queries: u64,
}

/// All settings that exist now. Keys are those of the `[store]` table.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Written into LOCK beside the process id, for whoever finds the directory in use.
    pub listen_note: String,
    /// Memory of the whole process, divided by [`StoreConfig::budget`].
    pub memory: u64,
    /// How parts are read.
    pub scan_io: ScanIo,
    /// Flush the largest delta when all of them together pass this many bytes.
    pub delta_memory: u64,
    /// Flush a generation at this many bytes.
    pub delta_flush_bytes: u64,
    /// Flush a generation at this many rows.
    pub delta_flush_rows: u64,
    /// Bytes of one commit group.
    pub commit_group_bytes_max: usize,
    /// Transactions of one commit group.
    pub commit_group_transactions_max: usize,
    /// Bytes of a part.
    pub part_bytes_max: u64,
    /// Rows of a part.
    pub part_rows_max: u64,
    /// Rows held by one transaction before they are staged as a part.
    pub stage_rows_max: u64,
    /// Bytes held by one transaction before they are staged as a part.
    pub stage_bytes_max: u64,
    /// Size of the first log segment; each next one doubles.
    pub wal_segment_bytes_first: u64,
    /// Size a log segment never passes, unless one frame needs more.
    pub wal_segment_bytes_max: u64,
    /// Checkpoint after this much log.
    pub checkpoint_wal_bytes: u64,
    /// Checkpoint after this long, if anything was written.
    pub checkpoint_interval: Duration,
    /// Rewrite a part when this share of its rows is deleted.
    pub rewrite_deleted_ratio: f64,
    /// Tables whose parts are merged at the same time.
    pub compaction_threads: usize,
    /// Runs of one class that are merged into one.
    pub compaction_fan_in: usize,
    /// Bytes one merge takes at most.
    pub merge_bytes_max: u64,
    /// Rows one merge takes at most: the maps from old places to new ones are four bytes a row.
    pub merge_rows_max: u64,
    /// Writers wait when more runs of a bucket than this wait to be merged.
    pub parts_soft: usize,
    /// Writers are refused when more runs of a bucket than this wait to be merged.
    pub parts_hard: usize,
    /// How long an idempotency token is remembered.
    pub idempotency_retention: Duration,
    /// Directories statements may write backups into. None = nowhere.
    pub backup_dirs: Vec<PathBuf>,
    /// Directories statements may read files from and write files into. None = nowhere.
    pub external_dirs: Vec<PathBuf>,
    /// Open a directory on a network file system.
    pub allow_network_fs: bool,
    /// Start although acknowledged commits are damaged; what is lost is listed in `LOSS-<time>.txt`.
    pub accept_data_loss: bool,
    /// Never sync. Only with `accept_data_loss`; the null control of the power-cut test.
    pub unsafe_no_fsync: bool,
    /// A checkpoint writes a table's delta into the log again, instead of into a part, up to this many bytes.
    pub carry_table_bytes: u64,
    /// All carried deltas together.
    pub carry_bytes: u64,
    /// Run the maintenance thread (flush, checkpoint, compaction by themselves).
    pub background: bool,
    /// Deliberate faults for the null controls of the crash simulator.
    #[cfg(any(test, feature = "sim"))]
    pub sabotage: Sabotage,
}

/// Ways to break the store on purpose, so that the detectors are seen to fire.
#[cfg(any(test, feature = "sim"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// Publish a snapshot before its frames are synced.
    pub publish_before_sync: bool,
    /// Replay whatever verifies, past any hole.
    pub no_tail_rule: bool,
    /// Give operations to the meta store before their frames are written.
    pub meta_before_wal: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            listen_note: String::new(),
            memory: 1_024 * MIB,
            scan_io: ScanIo::Mmap,
            delta_memory: 256 * MIB,
            delta_flush_bytes: 64 * MIB,
            delta_flush_rows: 1_000_000,
            commit_group_bytes_max: 4 << 20,
            commit_group_transactions_max: 1_024,
            part_bytes_max: 512 * MIB,
            part_rows_max: 4_194_304,
            stage_rows_max: 1_048_576,
            stage_bytes_max: 64 * MIB,
            wal_segment_bytes_first: MIB,
            wal_segment_bytes_max: 64 * MIB,
            checkpoint_wal_bytes: 128 * MIB,
            checkpoint_interval: Duration::from_secs(300),
            rewrite_deleted_ratio: 0.15,
            compaction_threads: 1,
            compaction_fan_in: 8,
            merge_bytes_max: 4_096 * MIB,
            merge_rows_max: 32 << 20,
            parts_soft: 300,
            parts_hard: 1_000,
            idempotency_retention: Duration::from_secs(7 * 86_400),
            backup_dirs: Vec::new(),
            external_dirs: Vec::new(),
            allow_network_fs: false,
            accept_data_loss: false,
            unsafe_no_fsync: false,
            carry_table_bytes: MIB,
            carry_bytes: 16 * MIB,
            background: true,
            #[cfg(any(test, feature = "sim"))]
            sabotage: Sabotage::default(),
        }
    }
}

impl StoreConfig {
    /// Settings for a directory, all others default.
    pub fn at(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), ..Self::default() }
    }

    /// What `memory` is divided into. Errors: 22023 if nothing is left for queries.
    pub fn budget(&self) -> Result<MemoryBudget> {
        let shares =
            [self.delta_memory, (self.memory / 16).min(64 * MIB), (self.memory / 8).min(128 * MIB), WAL_BUFFER_BYTES];
        let [delta, meta_cache, compaction, log] = shares;
        let taken = shares.into_iter().fold(0u64, u64::saturating_add);
        match self.memory.checked_sub(taken).filter(|queries| *queries >= QUERY_BYTES_MIN) {
            Some(queries) => Ok(MemoryBudget { delta, meta_cache, compaction, log, queries }),
            None => Err(StoreError::setting(format!(
                "store.memory of {} bytes leaves less than {QUERY_BYTES_MIN} for queries",
                self.memory
            ))
            .with_hint("Raise store.memory, or lower store.delta_memory.")),
        }
    }

    /// Rows one of the merges that run side by side takes at most: the maps from old places to new ones are four bytes a
    /// row.
    pub(crate) fn merge_rows(&self) -> u64 {
        let share = (self.memory / 8).min(128 * MIB) / self.compaction_threads.max(1) as u64;
        self.merge_rows_max.min(share / 4)
    }

    /// Checks every limit; called by `Store::open` before anything is touched.
    pub fn validate(&self) -> Result<()> {
        let ranges: [(&str, u64, u64, u64); 15] = [
            ("memory", self.memory, 256 * MIB, 1 << 50),
            ("compaction_threads", self.compaction_threads as u64, 1, 16),
            ("delta_memory", self.delta_memory, MIB, 1 << 40),
            ("delta_flush_bytes", self.delta_flush_bytes, 1 << 10, 1 << 40),
            ("delta_flush_rows", self.delta_flush_rows, 1, 1 << 31),
            ("commit_group_max", self.commit_group_bytes_max as u64, 1 << 10, 1 << 30),
            ("commit_group_tx_max", self.commit_group_transactions_max as u64, 1, 1 << 20),
            ("part_max_bytes", self.part_bytes_max, 1 << 16, 1 << 31),
            ("part_max_rows", self.part_rows_max, 8_192, 1 << 31),
            ("stage_bytes", self.stage_bytes_max, 1 << 10, 1 << 31),
            ("stage_rows", self.stage_rows_max, 1, 1 << 31),
            ("wal_segment_max", self.wal_segment_bytes_max, 1 << 14, 1 << 31),
            ("checkpoint_wal", self.checkpoint_wal_bytes, 1 << 14, 1 << 40),
            ("fan_in", self.compaction_fan_in as u64, 2, 64),
            ("parts_hard", self.parts_hard as u64, self.parts_soft as u64, 1 << 20),
        ];
        for (key, value, min, max) in ranges {
            if value < min || value > max {
                return Err(StoreError::setting(format!(
                    "{value} is outside the valid range for parameter \"store.{key}\" ({min} .. {max})"
                )));
            }
        }
        self.budget()?;
        if !(self.rewrite_deleted_ratio > 0.0 && self.rewrite_deleted_ratio <= 1.0) {
            return Err(StoreError::setting(format!(
                "{} is outside the valid range for parameter \"store.rewrite_deleted_ratio\" (0 .. 1)",
                self.rewrite_deleted_ratio
            )));
        }
        for (key, dirs) in [("backup_dirs", &self.backup_dirs), ("external_dirs", &self.external_dirs)] {
            if let Some(relative) = dirs.iter().find(|dir| !dir.is_absolute()) {
                let message = format!("invalid value for parameter \"store.{key}\": \"{}\"", relative.display());
                return Err(StoreError::setting(message).with_hint("Directories are written in full, from the root."));
            }
        }
        if self.unsafe_no_fsync && !self.accept_data_loss {
            return Err(StoreError::setting("store.unsafe_no_fsync loses acknowledged data in a power cut")
                .with_hint("Add --accept-data-loss to say that this is wanted."));
        }
        Ok(())
    }
}

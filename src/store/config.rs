//! Settings of the store, with their limits.
//!
//! For: one plain struct the server fills from its configuration file or `--set store.key=value`. Promises: every
//! value is validated before the directory is touched; an unknown key is refused with the nearest known one as hint.
//! Does not: read files or the environment.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Result, StoreError};

const MIB: u64 = 1 << 20;

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

/// All settings that exist now. Keys are those of the `[store]` table.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Written into LOCK beside the process id, for whoever finds the directory in use.
    pub listen_note: String,
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

/// Keys [`StoreConfig::set`] takes.
pub const KEYS: [&str; 22] = [
    "allow_network_fs",
    "backup_dirs",
    "checkpoint_interval",
    "checkpoint_wal",
    "commit_group_max",
    "commit_group_tx_max",
    "data_dir",
    "delta_flush_bytes",
    "delta_flush_rows",
    "delta_memory",
    "external_dirs",
    "fan_in",
    "idempotency_retention",
    "part_max_bytes",
    "part_max_rows",
    "parts_hard",
    "parts_soft",
    "rewrite_deleted_ratio",
    "stage_bytes",
    "stage_rows",
    "unsafe_no_fsync",
    "wal_segment_max",
];

impl StoreConfig {
    /// Settings for a directory, all others default.
    pub fn at(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), ..Self::default() }
    }

    /// Sets one key from text: sizes as `64 MiB`, times as `5 min`, switches as `true`.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "allow_network_fs" => self.allow_network_fs = parse_bool(key, value)?,
            "backup_dirs" => self.backup_dirs = directories(value),
            "external_dirs" => self.external_dirs = directories(value),
            "checkpoint_interval" => self.checkpoint_interval = parse_duration(key, value)?,
            "checkpoint_wal" => self.checkpoint_wal_bytes = parse_size(key, value)?,
            "commit_group_max" => self.commit_group_bytes_max = to_usize(key, parse_size(key, value)?)?,
            "commit_group_tx_max" => self.commit_group_transactions_max = to_usize(key, parse_count(key, value)?)?,
            "data_dir" => self.data_dir = PathBuf::from(value),
            "delta_flush_bytes" => self.delta_flush_bytes = parse_size(key, value)?,
            "delta_flush_rows" => self.delta_flush_rows = parse_count(key, value)?,
            "delta_memory" => self.delta_memory = parse_size(key, value)?,
            "fan_in" => self.compaction_fan_in = to_usize(key, parse_count(key, value)?)?,
            "idempotency_retention" => self.idempotency_retention = parse_duration(key, value)?,
            "part_max_bytes" => self.part_bytes_max = parse_size(key, value)?,
            "part_max_rows" => self.part_rows_max = parse_count(key, value)?,
            "parts_hard" => self.parts_hard = to_usize(key, parse_count(key, value)?)?,
            "parts_soft" => self.parts_soft = to_usize(key, parse_count(key, value)?)?,
            "rewrite_deleted_ratio" => {
                self.rewrite_deleted_ratio = value.trim().parse().map_err(|_| invalid(key, value))?;
            }
            "stage_bytes" => self.stage_bytes_max = parse_size(key, value)?,
            "stage_rows" => self.stage_rows_max = parse_count(key, value)?,
            "unsafe_no_fsync" => self.unsafe_no_fsync = parse_bool(key, value)?,
            "wal_segment_max" => self.wal_segment_bytes_max = parse_size(key, value)?,
            _ => return Err(unknown_key(key)),
        }
        Ok(())
    }

    /// Checks every limit; called by `Store::open` before anything is touched.
    pub fn validate(&self) -> Result<()> {
        let ranges: [(&str, u64, u64, u64); 13] = [
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

/// Paths divided by commas.
fn directories(value: &str) -> Vec<PathBuf> {
    value.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

fn invalid(key: &str, value: &str) -> StoreError {
    StoreError::setting(format!("invalid value for parameter \"store.{key}\": \"{value}\""))
}

fn unknown_key(key: &str) -> StoreError {
    let error = StoreError::new("42704", format!("unrecognized configuration parameter \"store.{key}\""));
    let nearest = KEYS.iter().map(|known| (edit_distance(key, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 3 => error.with_hint(format!("Did you mean \"store.{known}\"?")),
        _ => error.with_hint(format!("Known keys are {}.", KEYS.join(", "))),
    }
}

/// Levenshtein distance over bytes; both sides are short identifiers.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn parse_bool(key: &str, value: &str) -> Result<bool> {
    match value.trim() {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(invalid(key, value)),
    }
}

fn parse_count(key: &str, value: &str) -> Result<u64> {
    value.trim().replace(['_', ','], "").parse().map_err(|_| invalid(key, value))
}

fn to_usize(key: &str, value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| invalid(key, &value.to_string()))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..digits], text[digits..].trim())
}

fn parse_size(key: &str, value: &str) -> Result<u64> {
    let (number, unit) = split_unit(value);
    let number: u64 = number.parse().map_err(|_| invalid(key, value))?;
    let scale = match unit {
        "" | "B" => 1,
        "KiB" | "kB" => 1 << 10,
        "MiB" | "MB" => MIB,
        "GiB" | "GB" => 1 << 30,
        _ => return Err(invalid(key, value).with_hint("Valid units are B, KiB, MiB and GiB.")),
    };
    number.checked_mul(scale).ok_or_else(|| invalid(key, value))
}

fn parse_duration(key: &str, value: &str) -> Result<Duration> {
    let (number, unit) = split_unit(value);
    let number: u64 = number.parse().map_err(|_| invalid(key, value))?;
    let seconds = match unit {
        "s" | "" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" | "days" => 86_400,
        _ => return Err(invalid(key, value).with_hint("Valid units are s, min, h and d.")),
    };
    Ok(Duration::from_secs(number.checked_mul(seconds).ok_or_else(|| invalid(key, value))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_does_not_understand() {
        let cases: [(&str, &str, &str, &str); 6] = [
            ("delta_memroy", "1 MiB", "42704", "unrecognized configuration parameter \"store.delta_memroy\""),
            ("delta_memory", "1 MB2", "22023", "invalid value for parameter \"store.delta_memory\": \"1 MB2\""),
            ("delta_memory", "-1", "22023", "invalid value for parameter \"store.delta_memory\": \"-1\""),
            ("unsafe_no_fsync", "maybe", "22023", "invalid value for parameter \"store.unsafe_no_fsync\": \"maybe\""),
            (
                "checkpoint_interval",
                "5 years",
                "22023",
                "invalid value for parameter \"store.checkpoint_interval\": \"5 years\"",
            ),
            (
                "part_max_bytes",
                "99999999999999 GiB",
                "22023",
                "invalid value for parameter \"store.part_max_bytes\": \"99999999999999 GiB\"",
            ),
        ];
        for (key, value, sqlstate, message) in cases {
            let error = StoreConfig::default().set(key, value).unwrap_err();
            assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message));
        }
        let error = StoreConfig::default().set("delta_memroy", "1").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("Did you mean \"store.delta_memory\"?"));
    }

    #[test]
    fn takes_units_and_checks_ranges() {
        let mut config = StoreConfig::default();
        config.set("delta_memory", "64 MiB").unwrap();
        config.set("checkpoint_interval", "2 min").unwrap();
        config.set("delta_flush_rows", "1_000_000").unwrap();
        assert_eq!((config.delta_memory, config.checkpoint_interval.as_secs()), (64 << 20, 120));
        config.validate().unwrap();
        config.set("delta_memory", "1 B").unwrap();
        assert_eq!(config.validate().unwrap_err().sqlstate, "22023");
        let unsafe_config = StoreConfig { unsafe_no_fsync: true, ..StoreConfig::default() };
        assert_eq!(unsafe_config.validate().unwrap_err().sqlstate, "22023");
    }

    #[test]
    fn every_known_key_is_settable() {
        for key in KEYS {
            let mut config = StoreConfig::default();
            let accepted = ["1", "true", "0.5"].iter().any(|value| config.set(key, value).is_ok());
            assert!(accepted, "{key}");
        }
    }
}

//! The table of the store's configuration keys.
//!
//! For: `[store]` in the configuration file, `--set store.key=value`, and the help text. One row is everything about a key:
//! name, shown default, what it does and why one would change it, and how its text becomes a value. Promises: an unknown
//! key is refused with the nearest known one as hint. Does not: check ranges; `StoreConfig::validate` does.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{MIB, ScanIo, StoreConfig};
use crate::error::{Result, StoreError};

/// One key.
#[derive(Debug)]
pub struct StoreKey {
    /// Without the section.
    pub name: &'static str,
    /// The default as a person would write it; in parentheses where it depends on something.
    pub default: &'static str,
    /// What it does and what for, in one line.
    pub doc: &'static str,
    set: fn(&mut StoreConfig, &str, &str) -> Result<()>,
}

/// All keys, by name.
pub static STORE_KEYS: &[StoreKey] = &[
    StoreKey {
        name: "allow_network_fs",
        default: "false",
        doc: "open a directory on a network file system, whose locks and syncs are then trusted",
        set: |c, k, v| {
            c.allow_network_fs = parse_bool(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "backup_dirs",
        default: "(none)",
        doc: "directories, in full and with commas between them, BACKUP TO may write into",
        set: |c, _, v| {
            c.backup_dirs = directories(v);
            Ok(())
        },
    },
    StoreKey {
        name: "checkpoint_interval",
        default: "5 min",
        doc: "checkpoint after this long with writes, so that a start after a quiet day is short too",
        set: |c, k, v| {
            c.checkpoint_interval = parse_duration(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "checkpoint_wal",
        default: "128 MiB",
        doc: "checkpoint after this much log: it bounds what a start must replay",
        set: |c, k, v| {
            c.checkpoint_wal_bytes = parse_size(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "commit_group_max",
        default: "4 MiB",
        doc: "bytes of one commit group: it bounds one write, and so the wait of a small commit behind large ones",
        set: |c, k, v| {
            c.commit_group_bytes_max = to_usize(k, parse_size(k, v)?)?;
            Ok(())
        },
    },
    StoreKey {
        name: "commit_group_tx_max",
        default: "1024",
        doc: "transactions of one commit group, which are validated one after the other",
        set: |c, k, v| {
            c.commit_group_transactions_max = to_usize(k, parse_count(k, v)?)?;
            Ok(())
        },
    },
    StoreKey {
        name: "compaction_threads",
        default: "1",
        doc: "tables merged at the same time; more of them share the same memory and disk, so it pays on many cores only",
        set: |c, k, v| {
            c.compaction_threads = to_usize(k, parse_count(k, v)?)?;
            Ok(())
        },
    },
    StoreKey {
        name: "data_dir",
        default: "./data",
        doc: "directory of the data",
        set: |c, _, v| {
            c.data_dir = PathBuf::from(v);
            Ok(())
        },
    },
    StoreKey {
        name: "delta_flush_bytes",
        default: "64 MiB",
        doc: "rows of a table become a part at this many bytes: smaller parts must be merged more often",
        set: |c, k, v| {
            c.delta_flush_bytes = parse_size(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "delta_flush_rows",
        default: "1000000",
        doc: "rows of a table become a part at this many rows",
        set: |c, k, v| {
            c.delta_flush_rows = parse_count(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "delta_memory",
        default: "(256 MiB, a quarter of memory at most)",
        doc: "rows in no part yet, of all tables; above it the largest is flushed, at twice that writers wait",
        set: |c, k, v| {
            c.delta_memory = parse_size(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "external_dirs",
        default: "(none)",
        doc: "directories, in full and with commas between them, statements may read files from and write files to",
        set: |c, _, v| {
            c.external_dirs = directories(v);
            Ok(())
        },
    },
    StoreKey {
        name: "fan_in",
        default: "8",
        doc: "runs of like size that become one: more means fewer rewrites of a row and more parts to look into",
        set: |c, k, v| {
            c.compaction_fan_in = to_usize(k, parse_count(k, v)?)?;
            Ok(())
        },
    },
    StoreKey {
        name: "idempotency_retention",
        default: "7 d",
        doc: "how long an idempotency token is remembered",
        set: |c, k, v| {
            c.idempotency_retention = parse_duration(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "memory",
        default: "(half of the machine's or the control group's)",
        doc: "memory of the process: rows in no part, metadata cache, merges, log, and the rest for queries",
        set: |c, k, v| {
            c.set_memory(parse_size(k, v)?);
            Ok(())
        },
    },
    StoreKey {
        name: "part_max_bytes",
        default: "512 MiB",
        doc: "bytes of a part: what a rewrite for deleted rows costs at most",
        set: |c, k, v| {
            c.part_bytes_max = parse_size(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "part_max_rows",
        default: "4194304",
        doc: "rows of a part",
        set: |c, k, v| {
            c.part_rows_max = parse_count(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "parts_hard",
        default: "1000",
        doc: "writers are refused when more runs of a bucket than this wait to be merged",
        set: |c, k, v| {
            c.parts_hard = to_usize(k, parse_count(k, v)?)?;
            Ok(())
        },
    },
    StoreKey {
        name: "parts_soft",
        default: "300",
        doc: "writers wait when more runs of a bucket than this wait to be merged",
        set: |c, k, v| {
            c.parts_soft = to_usize(k, parse_count(k, v)?)?;
            Ok(())
        },
    },
    StoreKey {
        name: "rewrite_deleted_ratio",
        default: "0.15",
        doc: "a part is rewritten when this share of its rows is deleted",
        set: |c, k, v| {
            c.rewrite_deleted_ratio = v.trim().parse().map_err(|_| invalid(k, v))?;
            Ok(())
        },
    },
    StoreKey {
        name: "scan_io",
        default: "mmap",
        doc: "how parts are read: mmap copies nothing, pread turns errors of a failing device into errors of statements",
        set: |c, k, v| {
            c.scan_io = parse_scan_io(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "stage_bytes",
        default: "64 MiB",
        doc: "bytes a transaction holds before they are written as a part",
        set: |c, k, v| {
            c.stage_bytes_max = parse_size(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "stage_rows",
        default: "1048576",
        doc: "rows a transaction holds before they are written as a part",
        set: |c, k, v| {
            c.stage_rows_max = parse_count(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "unsafe_no_fsync",
        default: "false",
        doc: "never sync: loses acknowledged data in a power cut; only with --accept-data-loss",
        set: |c, k, v| {
            c.unsafe_no_fsync = parse_bool(k, v)?;
            Ok(())
        },
    },
    StoreKey {
        name: "wal_segment_max",
        default: "64 MiB",
        doc: "size of a log segment, which is filled with zeros before use",
        set: |c, k, v| {
            c.wal_segment_bytes_max = parse_size(k, v)?;
            Ok(())
        },
    },
];

impl StoreConfig {
    /// Sets one key from text: sizes as `64 MiB`, times as `5 min`, switches as `true`.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match STORE_KEYS.iter().find(|known| known.name == key) {
            Some(known) => (known.set)(self, key, value),
            None => Err(unknown_key(key)),
        }
    }

    /// Sets keys in any order: `memory` comes first, because it gives `delta_memory` its default.
    pub fn set_all<'a>(&mut self, keys: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<()> {
        let memory = |(key, _): &(&str, &str)| *key == "memory";
        keys.clone().filter(memory).try_for_each(|(key, value)| self.set(key, value))?;
        keys.filter(|pair| !memory(pair)).try_for_each(|(key, value)| self.set(key, value))
    }

    /// Sets `memory` and what is a share of it.
    pub fn set_memory(&mut self, bytes: u64) {
        self.memory = bytes;
        self.delta_memory = (bytes / 4).min(256 * MIB);
    }
}

/// Paths divided by commas.
fn directories(value: &str) -> Vec<PathBuf> {
    value.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

fn parse_scan_io(key: &str, value: &str) -> Result<ScanIo> {
    match value.trim() {
        "mmap" => Ok(ScanIo::Mmap),
        "pread" => Ok(ScanIo::Pread),
        _ => Err(invalid(key, value).with_hint("Available values: mmap, pread.")),
    }
}

fn invalid(key: &str, value: &str) -> StoreError {
    StoreError::setting(format!("invalid value for parameter \"store.{key}\": \"{value}\""))
}

fn unknown_key(key: &str) -> StoreError {
    let error = StoreError::new("42704", format!("unrecognized configuration parameter \"store.{key}\""));
    let names = || STORE_KEYS.iter().map(|known| known.name);
    let nearest = names().map(|known| (edit_distance(key, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 3 => error.with_hint(format!("Did you mean \"store.{known}\"?")),
        _ => error.with_hint(format!("Known keys are {}.", names().collect::<Vec<_>>().join(", "))),
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
    use crate::config::MemoryBudget;

    #[test]
    fn refuses_what_it_does_not_understand() {
        let cases: [(&str, &str, &str, &str); 7] = [
            ("scan_io", "read", "22023", "invalid value for parameter \"store.scan_io\": \"read\""),
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
    fn shown_defaults_are_true() {
        let mut config = StoreConfig::default();
        for key in STORE_KEYS.iter().filter(|key| !key.default.starts_with('(')) {
            config.set(key.name, key.default).unwrap();
        }
        assert_eq!(format!("{config:?}"), format!("{:?}", StoreConfig::default()));
        assert!(STORE_KEYS.is_sorted_by_key(|key| key.name));
    }

    #[test]
    fn memory_is_divided_and_what_leaves_nothing_for_queries_is_refused() {
        let set = |pairs: &[(&'static str, &'static str)]| {
            let mut config = StoreConfig::default();
            config.set_all(pairs.iter().copied()).unwrap();
            config.validate().and_then(|()| config.budget())
        };
        let mib = |budget: MemoryBudget| {
            [budget.delta, budget.meta_cache, budget.compaction, budget.log, budget.queries].map(|bytes| bytes / MIB)
        };
        assert_eq!(mib(set(&[("memory", "4 GiB")]).unwrap()), [256, 64, 128, 16, 3_632]);
        assert_eq!(mib(set(&[("memory", "256 MiB")]).unwrap()), [64, 16, 32, 16, 128]);
        // Whatever the order, what is said of a share holds.
        for pairs in
            [[("delta_memory", "100 MiB"), ("memory", "512 MiB")], [("memory", "512 MiB"), ("delta_memory", "100 MiB")]]
        {
            assert_eq!(mib(set(&pairs).unwrap()), [100, 32, 64, 16, 300]);
        }
        let error = set(&[("memory", "255 MiB")]).unwrap_err();
        assert_eq!((error.sqlstate, error.message.contains("store.memory")), ("22023", true));
        let error = set(&[("memory", "512 MiB"), ("delta_memory", "400 MiB")]).unwrap_err();
        assert_eq!(error.message, "store.memory of 536870912 bytes leaves less than 67108864 for queries");
        for (key, value) in
            [("compaction_threads", "0"), ("compaction_threads", "17"), ("fan_in", "1"), ("commit_group_max", "1 B")]
        {
            assert_eq!(set(&[(key, value)]).unwrap_err().sqlstate, "22023", "{key} = {value}");
        }
    }
}

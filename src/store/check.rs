//! `tributary check DIR`: reads everything a stopped directory or a backup holds and says what is wrong.
//!
//! For: operators, and the tests that flip bits. Promises: every crc is checked (FORMAT, CHECKPOINT, dumps, log from
//! the older checkpoint on, index and data of every live part, blobs), the log replayed over the dump equals the meta
//! store, and files nobody names are listed as notes. Changes nothing of the store's own files (sled may tidy its own
//! when opened). Does not: repair.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::Seq;
use crate::config::ScanIo;
use crate::disk::Disk;
use crate::dump;
use crate::error::{Result, StoreError};
use crate::format::{self, Checkpoint};
use crate::frame::{FrameKind, FrameView};
use crate::increment;
use crate::meta::{MetaOpener, OPEN_TIMEOUT, Watched, caught};
use crate::op::{Frame, decode_payload};
use crate::part::PartPlace;
use crate::sled_meta::SledOpener;
use crate::snapshot::{Space, ValueBody};
use crate::source::Body;
use crate::state::{Entry, MetaOp, State, digest, entries};
use crate::wal::{self, ScanOptions};

/// Cache of the metadata store, which is read once.
const META_CACHE_BYTES: u64 = 64 << 20;

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the data directory.
    pub file: String,
    /// What is wrong.
    pub message: String,
    /// False for notes: leftovers of an unclean stop, which the next start removes.
    pub damage: bool,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.damage { "damage" } else { "note" };
        write!(f, "{kind}: {}: {}", self.file, self.message)
    }
}

/// Checks a directory. An error means it could not be read at all (in use, not a data directory).
pub fn check(data_dir: &Path, disk: &Arc<dyn Disk>) -> Result<Vec<Finding>> {
    let watched =
        || Watched { opener: Arc::new(SledOpener::new(data_dir, META_CACHE_BYTES, true)), timeout: OPEN_TIMEOUT };
    let opener = disk.exists(&data_dir.join("meta")).then(watched);
    check_with(data_dir, disk, opener.as_ref().map(|opener| opener as &dyn MetaOpener))
}

pub(crate) fn check_with(
    data_dir: &Path,
    disk: &Arc<dyn Disk>,
    opener: Option<&dyn MetaOpener>,
) -> Result<Vec<Finding>> {
    let _lock = format::lock(disk.as_ref(), data_dir, "check")?;
    let mut report = Report { findings: Vec::new() };
    let uuid = match format::read_format(disk.as_ref(), data_dir) {
        Ok(Some(uuid)) => uuid,
        Ok(None) => {
            let message = format!("directory \"{}\" is not a tributary data directory", data_dir.display());
            return Err(StoreError::setting(message));
        }
        Err(error) => {
            report.damage("FORMAT", &error);
            return Ok(report.findings);
        }
    };
    let place =
        Arc::new(PartPlace { disk: Arc::clone(disk), data_dir: data_dir.to_path_buf(), uuid, scan_io: ScanIo::Mmap });
    let checkpoint = Checkpoint::read(disk.as_ref(), data_dir)?;
    if checkpoint.is_none() {
        report.note("CHECKPOINT", "missing, or its checksum does not match", true);
    }
    let base = report.dumps(&place, checkpoint.as_ref())?;
    let Some(base) = base else { return Ok(report.findings) };
    report.older_log(&place, checkpoint.as_ref());
    let stored = opener.and_then(|opener| report.meta(opener));
    let Some(state) = report.replay(&place, base, stored) else { return Ok(report.findings) };
    report.files(&place, &state)?;
    Ok(report.findings)
}

struct Report {
    findings: Vec<Finding>,
}

struct Stored {
    applied: Seq,
    entries: Vec<Entry>,
}

impl Report {
    fn note(&mut self, file: &str, message: &str, damage: bool) {
        self.findings.push(Finding { file: file.to_owned(), message: message.to_owned(), damage });
    }

    fn damage(&mut self, file: &str, error: &StoreError) {
        self.note(file, &error.to_string(), true);
    }

    /// Reads every dump and increment; gives the state the log is put on.
    fn dumps(&mut self, place: &PartPlace, checkpoint: Option<&Checkpoint>) -> Result<Option<dump::Dump>> {
        let disk = place.disk.as_ref();
        let limit = checkpoint.map_or(Seq::MAX, |checkpoint| checkpoint.seq);
        let chain = increment::newest(disk, &place.data_dir, limit)?;
        for (file, error) in &chain.damaged {
            self.damage(file, error);
        }
        // What is newer than CHECKPOINT was being written when the server stopped.
        let (bases, increments) = (dump::dumps(disk, &place.data_dir)?, increment::increments(disk, &place.data_dir)?);
        let newer = bases.into_iter().map(|seq| (seq, "base")).chain(increments.into_iter().map(|seq| (seq, "inc")));
        for (seq, kind) in newer.filter(|(seq, _)| *seq > limit) {
            self.note(&format!("ckpt/{seq}.{kind}"), "newer than CHECKPOINT", false);
        }
        match (&chain.dump, checkpoint) {
            (None, _) => self.note("ckpt", "no dump verifies", true),
            (Some(dump), Some(checkpoint)) if dump.seq == checkpoint.seq && dump.digest != checkpoint.digest => {
                self.note("ckpt", "its digest is not the one of CHECKPOINT", true);
            }
            (Some(dump), Some(checkpoint)) if dump.seq < checkpoint.seq => {
                self.note("ckpt", &format!("reaches commit {} of {}", dump.seq, checkpoint.seq), true);
            }
            _ => {}
        }
        Ok(chain.dump)
    }

    /// The log that is kept for the older dump must verify too.
    fn older_log(&mut self, place: &PartPlace, checkpoint: Option<&Checkpoint>) {
        let Some(checkpoint) = checkpoint else { return };
        if checkpoint.previous_wal_start == checkpoint.wal_start {
            return;
        }
        let options = ScanOptions { accept_data_loss: false, no_tail_rule: false };
        let start = checkpoint.previous_wal_start;
        let scanned = wal::scan(place.disk.as_ref(), &place.data_dir, &place.uuid, start, &options, &mut |_| Ok(()));
        match scanned {
            Ok(end) if end.end < checkpoint.wal_start => {
                self.note(
                    "wal",
                    &format!("ends at {}, before the checkpoint's {}", end.end, checkpoint.wal_start),
                    true,
                );
            }
            Ok(_) => {}
            Err(error) => self.damage("wal", &error),
        }
    }

    fn meta(&mut self, opener: &dyn MetaOpener) -> Option<Stored> {
        let read = caught(|| {
            let meta = opener.open()?;
            let mut found = Vec::new();
            for space in Space::ALL {
                meta.scan(space, &mut |key, value| {
                    found.push((space, key.to_vec(), value.to_vec()));
                    Ok(())
                })?;
            }
            if digest(&found) != meta.digest()? {
                return Err(StoreError::damaged("the digest does not match the entries"));
            }
            Ok(Stored { applied: meta.applied()?, entries: found })
        });
        match read {
            Ok(stored) => Some(stored),
            Err(error) => {
                self.damage("meta", &error);
                None
            }
        }
    }

    /// Dump plus log gives the state; on the way it must pass through what the meta store holds.
    fn replay(&mut self, place: &Arc<PartPlace>, base: dump::Dump, stored: Option<Stored>) -> Option<State> {
        let wal_start = base.wal_start;
        let mut state = match State::load(place, base.seq, base.entries) {
            Ok(state) => state,
            Err(error) => {
                self.damage("ckpt", &error);
                return None;
            }
        };
        let mut differs = None;
        let mut compare = |state: &State| -> Result<()> {
            let Some(stored) = stored.as_ref().filter(|stored| stored.applied == state.snap.seq) else { return Ok(()) };
            let mut found = stored.entries.clone();
            found.sort();
            differs = Some(entries(&state.snap)? != found);
            Ok(())
        };
        let mut ops: Vec<MetaOp> = Vec::new();
        let scanned = compare(&state).and_then(|()| {
            let options = ScanOptions { accept_data_loss: false, no_tail_rule: false };
            let mut visit = |frame: FrameView<'_>| -> Result<()> {
                if frame.kind == FrameKind::Mark {
                    return Ok(());
                }
                ops.clear();
                let payload = decode_payload(&frame.content()?, place)?;
                state.apply(&Frame { seq: frame.seq, ops: payload }, &mut ops)?;
                compare(&state)
            };
            wal::scan(place.disk.as_ref(), &place.data_dir, &place.uuid, wal_start, &options, &mut visit)
        });
        match scanned {
            Ok(end) if end.torn_bytes > 0 => {
                self.note("wal", &format!("{} bytes of a torn tail at {}", end.torn_bytes, end.end), false);
            }
            Ok(_) => {}
            Err(error) => {
                self.damage("wal", &error);
                return None;
            }
        }
        if let Some(stored) = &stored {
            match differs {
                Some(true) => self.note("meta", "its entries are not those of dump and log", true),
                Some(false) => {}
                None if stored.applied > state.snap.seq => self.note("meta", "it is ahead of the log", true),
                None => self.note("meta", "it is older than the dump", true),
            }
        }
        Some(state)
    }

    fn files(&mut self, place: &Arc<PartPlace>, state: &State) -> Result<()> {
        let relative = |path: &Path| path.strip_prefix(&place.data_dir).unwrap_or(path).display().to_string();
        let mut named = HashSet::new();
        for (_, table) in state.snap.tables() {
            for source in table.sources() {
                let Body::Part(part) = &source.body else { continue };
                let [data, idx] = part.paths();
                if let Err(error) = part.verify_files() {
                    self.damage(&relative(&data), &error);
                }
                if source.deletes().and_then(|deletes| deletes.max()).is_some_and(|row| u64::from(row) >= source.rows())
                {
                    self.note(&relative(&data), "its delete vector names rows it does not have", true);
                }
                named.extend([data, idx]);
            }
        }
        for value in state.snap.keyed.iter().flat_map(|map| map.iter()).map(|(_, value)| value) {
            if let ValueBody::Blob(blob) = &value.body {
                if let Err(error) = blob.read() {
                    self.damage(&relative(&blob.path()), &error);
                }
                named.insert(blob.path());
            }
        }
        let list = |dir: &Path| place.disk.list(dir).map_err(|error| StoreError::io("list", dir, &error));
        let mut dirs = vec![place.data_dir.join("blobs")];
        let parts = place.data_dir.join("parts");
        dirs.extend(list(&parts)?.into_iter().map(|table| parts.join(table)));
        for dir in dirs {
            for name in list(&dir)? {
                let path = dir.join(name);
                if !named.contains(&path) {
                    self.note(&relative(&path), "nothing names this file", false);
                }
            }
        }
        Ok(())
    }
}

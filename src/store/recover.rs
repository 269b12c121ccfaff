//! Start: from files to a state.
//!
//! For: `Store::open`. Steps: LOCK, FORMAT, CHECKPOINT (missing or bad: the newest valid dump), meta store or dump,
//! replay of every frame from there through `State::apply`, opening of every live part, a new log segment, removal of
//! files nobody names. Promises: nothing old is written before the state is complete, so a crash during recovery
//! changes nothing; a lost or bad meta store is rebuilt; a damaged part does not keep the others from being read.
//! Does not: repair damaged rows or logs.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::blob::blob_path;
use crate::disk::{Disk, DiskLock, at, create_dir_durably};
use crate::dump::{self, Dump};
use crate::error::{Result, StoreError};
use crate::format::{self, Checkpoint};
use crate::frame::{FrameKind, FrameView, Position, frame_bytes};
use crate::meta::{MetaOpener, MetaStore, caught, fill};
use crate::op::{Frame, decode_payload};
use crate::part::PartPlace;
use crate::snapshot::Space;
use crate::source::Body;
use crate::state::{Entry, MetaOp, Retired, State, digest};
use crate::wal::{self, ScanOptions, WalWriter};
use crate::{Oid, Seq, clock::Clock, config::StoreConfig, increment};

/// Everything `Store::open` assembles a store from.
pub(crate) struct Recovered {
    pub(crate) lock: Box<dyn DiskLock>,
    pub(crate) place: Arc<PartPlace>,
    pub(crate) state: State,
    pub(crate) wal: WalWriter,
    pub(crate) meta: Box<dyn MetaStore>,
    /// Operations the meta store lacks.
    pub(crate) meta_pending: Vec<MetaOp>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) next_blob: u64,
    /// Bytes of the frames since the checkpoint.
    pub(crate) replayed_bytes: u64,
    /// A dump was damaged: write a new one soon.
    pub(crate) dump_wanted: bool,
    /// The metadata store had to be made again.
    pub(crate) meta_rebuilt: bool,
}

pub(crate) fn recover(
    config: &StoreConfig,
    disk: &Arc<dyn Disk>,
    clock: &dyn Clock,
    opener: &dyn MetaOpener,
) -> Result<Recovered> {
    let data_dir = &config.data_dir;
    create_dir_durably(disk.as_ref(), data_dir)?;
    if !config.allow_network_fs && at("stat", data_dir, disk.network(data_dir))? {
        return Err(StoreError::setting(format!(
            "data directory \"{}\" is on a network file system",
            data_dir.display()
        ))
        .with_hint("Set store.allow_network_fs = true if its locks and syncs can be trusted."));
    }
    let lock = format::lock(disk.as_ref(), data_dir, &config.listen_note)?;
    let (uuid, checkpoint) = identify(disk.as_ref(), data_dir)?;
    let place =
        Arc::new(PartPlace { disk: Arc::clone(disk), data_dir: data_dir.clone(), uuid, scan_io: config.scan_io });
    empty_tmp(disk.as_ref(), data_dir)?;
    let base = Base::load(disk.as_ref(), config, clock, opener, checkpoint)?;
    let mut state = State::load(&place, base.seq, base.entries)?;
    let mut meta_pending = Vec::new();
    let (end, replayed_bytes) = replay(config, disk.as_ref(), &place, base.wal_start, &mut state, &mut meta_pending)?;
    if end.seq_last < base.seq && end.seq_last != 0 || (end.seq_last == 0 && base.seq > base.checkpoint.seq) {
        return Err(StoreError::damaged(format!(
            "write-ahead log is damaged at {}: it ends at commit {}, metadata at commit {}",
            end.end, end.seq_last, base.seq
        ))
        .with_hint("Restore a backup, or remove the directory \"meta\" to drop the commits only it knows of."));
    }
    finish_state(&mut state)?;
    report_tail(config, disk.as_ref(), clock, &end)?;
    let sizes = (config.wal_segment_bytes_first.min(config.wal_segment_bytes_max), config.wal_segment_bytes_max);
    let (number, next_seq) = (end.segment_last + 1, state.snap.seq + 1);
    let wal = WalWriter::start(Arc::clone(disk), data_dir, uuid, number, next_seq, end.end, sizes)?;
    let next_blob = remove_orphans(disk.as_ref(), &place, &mut state)?;
    state.meta_floor = state.snap.seq;
    Ok(Recovered {
        lock,
        place,
        state,
        wal,
        meta: base.meta,
        meta_pending,
        checkpoint: base.checkpoint,
        next_blob,
        replayed_bytes,
        dump_wanted: base.dump_wanted,
        meta_rebuilt: base.meta_rebuilt,
    })
}

/// Reads FORMAT and CHECKPOINT, or makes a new directory. The checkpoint is None when it is lost.
fn identify(disk: &dyn Disk, data_dir: &Path) -> Result<([u8; 16], Option<Checkpoint>)> {
    let sub = ["wal", "ckpt", "parts", "blobs", "tmp"].map(|name| data_dir.join(name));
    let uuid = match format::read_format(disk, data_dir)? {
        Some(uuid) => uuid,
        None => {
            const OURS: [&str; 8] = ["LOCK", "FORMAT.tmp", "CHECKPOINT", "wal", "ckpt", "parts", "blobs", "tmp"];
            let names = at("list", data_dir, disk.list(data_dir))?;
            if let Some(stranger) = names.iter().find(|name| !OURS.contains(&name.as_str())) {
                let message = format!("directory \"{}\" is not a tributary data directory", data_dir.display());
                return Err(StoreError::setting(message).with_detail(format!("It contains \"{stranger}\".")));
            }
            let uuid = *uuid::Uuid::new_v4().as_bytes();
            for dir in &sub {
                at("create", dir, disk.create_dir(dir))?;
            }
            at("sync", data_dir, disk.sync_dir(data_dir))?;
            // FORMAT is durable before the first file in these, so this is no crash of a new directory; a restore writes
            // FORMAT last.
            let mut begun = names.iter().any(|name| name == "CHECKPOINT");
            for dir in &sub[..4] {
                begun |= !at("list", dir, disk.list(dir))?.is_empty();
            }
            if begun {
                return Err(StoreError::damaged("data directory is damaged: FORMAT is missing")
                    .with_hint("If a restore was interrupted, remove the directory and restore again."));
            }
            format::write_format(disk, data_dir, &uuid)?;
            uuid
        }
    };
    for dir in &sub {
        at("create", dir, disk.create_dir(dir))?;
    }
    if let Some(checkpoint) = Checkpoint::read(disk, data_dir)? {
        return Ok((uuid, Some(checkpoint)));
    }
    // A crash between FORMAT and the first CHECKPOINT leaves a directory without log and parts.
    let fresh = wal::segments(disk, data_dir)?.is_empty()
        && at("list", &sub[2], disk.list(&sub[2]))?.is_empty()
        && dump::dumps(disk, data_dir)?.iter().all(|seq| *seq == 0);
    if !fresh {
        return Ok((uuid, None));
    }
    let wal_start = wal::log_start();
    let digest = dump::write(disk, data_dir, 0, wal_start, &[])?;
    let first = Checkpoint { wal_start, digest, previous_wal_start: wal_start, ..Checkpoint::default() };
    first.write(disk, data_dir)?;
    Ok((uuid, Some(first)))
}

fn empty_tmp(disk: &dyn Disk, data_dir: &Path) -> Result<()> {
    empty_dir(disk, &data_dir.join("tmp"))
}

/// Removes everything inside; queries spill into directories of their own.
fn empty_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for name in at("list", dir, disk.list(dir))? {
        let path = dir.join(name);
        if disk.list(&path).is_ok() {
            empty_dir(disk, &path)?;
            at("remove", &path, disk.remove_dir(&path))?;
        } else {
            at("unlink", &path, disk.unlink(&path))?;
        }
    }
    Ok(())
}

/// The state replay starts from.
struct Base {
    seq: Seq,
    entries: Vec<Entry>,
    wal_start: Position,
    meta: Box<dyn MetaStore>,
    checkpoint: Checkpoint,
    dump_wanted: bool,
    meta_rebuilt: bool,
}

impl Base {
    fn load(
        disk: &dyn Disk,
        config: &StoreConfig,
        clock: &dyn Clock,
        opener: &dyn MetaOpener,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self> {
        let data_dir = &config.data_dir;
        let (dump, dump_wanted) = newest_dump(disk, data_dir, checkpoint.as_ref())?;
        let checkpoint = match (checkpoint, &dump) {
            (Some(checkpoint), _) => checkpoint,
            (None, Some(dump)) => {
                tracing::error!(seq = dump.seq, "CHECKPOINT is lost or damaged; starting from the newest valid dump");
                Checkpoint {
                    seq: dump.seq,
                    wal_start: dump.wal_start,
                    base: dump.seq,
                    increments: 0,
                    digest: dump.digest,
                    previous_seq: dump.seq,
                    previous_wal_start: dump.wal_start,
                }
            }
            (None, None) => {
                return Err(StoreError::damaged("data directory is damaged: no valid checkpoint"));
            }
        };
        match open_meta(opener, &checkpoint) {
            Ok((seq, entries, meta)) => {
                let wal_start = checkpoint.wal_start;
                Ok(Self { seq, entries, wal_start, meta, checkpoint, dump_wanted, meta_rebuilt: false })
            }
            Err(error) => {
                let Some(dump) = dump else {
                    return Err(StoreError::damaged("data directory is damaged: no valid checkpoint")
                        .with_detail(format!("The meta store is unusable ({error}) and no dump verifies.")));
                };
                tracing::error!(%error, seq = dump.seq, "meta store is unusable; rebuilding it from the dump and the log");
                metrics::counter!("meta_rebuilds_total").increment(1);
                opener.set_aside(clock.now_us())?;
                let mut meta = caught(|| opener.open())?;
                fill(meta.as_mut(), dump.seq, &dump.entries)?;
                let Dump { seq, wal_start, entries, .. } = dump;
                Ok(Self { seq, entries, wal_start, meta, checkpoint, dump_wanted, meta_rebuilt: true })
            }
        }
    }
}

/// The state CHECKPOINT names, or the newest that dumps and increments give. The flag says that some file was damaged.
fn newest_dump(disk: &dyn Disk, data_dir: &Path, checkpoint: Option<&Checkpoint>) -> Result<(Option<Dump>, bool)> {
    let chain = increment::newest(disk, data_dir, checkpoint.map_or(Seq::MAX, |checkpoint| checkpoint.seq))?;
    for (_, error) in &chain.damaged {
        tracing::error!(%error, "a file of the checkpoint cannot be used");
    }
    let reached = chain.dump.as_ref().map(|dump| dump.seq);
    let wanted = !chain.damaged.is_empty() || checkpoint.is_some_and(|checkpoint| reached != Some(checkpoint.seq));
    Ok((chain.dump, wanted))
}

/// Opens the meta store and accepts it only if it is complete: at or after the checkpoint, with the digest it claims.
fn open_meta(opener: &dyn MetaOpener, checkpoint: &Checkpoint) -> Result<(Seq, Vec<Entry>, Box<dyn MetaStore>)> {
    let meta = caught(|| opener.open())?;
    let (seq, entries, claimed) = caught(|| {
        let mut entries = Vec::new();
        for space in Space::ALL {
            meta.scan(space, &mut |key, value| {
                entries.push((space, key.to_vec(), value.to_vec()));
                Ok(())
            })?;
        }
        Ok((meta.applied()?, entries, meta.digest()?))
    })?;
    if seq < checkpoint.seq {
        return Err(StoreError::damaged(format!("it ends at commit {seq}, the checkpoint at {}", checkpoint.seq)));
    }
    if digest(&entries) != claimed {
        return Err(StoreError::damaged("its digest does not match its entries"));
    }
    if seq == checkpoint.seq && claimed != checkpoint.digest {
        return Err(StoreError::damaged("its digest is not the one of the checkpoint"));
    }
    Ok((seq, entries, meta))
}

/// Applies every frame from `start` on; gives where the log ends and the bytes of the frames.
fn replay(
    config: &StoreConfig,
    disk: &dyn Disk,
    place: &Arc<PartPlace>,
    start: Position,
    state: &mut State,
    meta_pending: &mut Vec<MetaOp>,
) -> Result<(wal::ScanEnd, u64)> {
    #[cfg(any(test, feature = "sim"))]
    let no_tail_rule = config.sabotage.no_tail_rule;
    #[cfg(not(any(test, feature = "sim")))]
    let no_tail_rule = false;
    let options = ScanOptions { accept_data_loss: config.accept_data_loss, no_tail_rule };
    let mut bytes = 0;
    let mut visit = |frame: FrameView<'_>| -> Result<()> {
        bytes += frame_bytes(frame.payload.len()) as u64;
        if frame.kind == FrameKind::Mark {
            return Ok(());
        }
        let ops = decode_payload(&frame.content()?, place)?;
        state.apply(&Frame { seq: frame.seq, ops }, meta_pending)
    };
    let end = wal::scan(disk, &config.data_dir, &place.uuid, start, &options, &mut visit)?;
    Ok((end, bytes))
}

/// After replay: no generation is open, delete sets that were lost must not matter, live parts are opened.
fn finish_state(state: &mut State) -> Result<()> {
    for (table, source, error) in std::mem::take(&mut state.missing) {
        if state.snap.table(table).is_some_and(|table| table.source(source).is_some()) {
            return Err(error);
        }
    }
    let tables: Vec<_> = state.snap.tables().map(|(oid, _)| oid).collect();
    for oid in tables {
        let Some(table) = state.snap.tables.get_mut(&oid) else { continue };
        Arc::make_mut(table).open_generation = None;
        for source in &table.sources {
            if let Body::Part(part) = &source.body
                && let Err(error) = part.open()
            {
                let part = source.number();
                tracing::error!(table = oid, part, %error, "a part cannot be opened; queries that need it fail");
            }
        }
    }
    Ok(())
}

fn report_tail(config: &StoreConfig, disk: &dyn Disk, clock: &dyn Clock, end: &wal::ScanEnd) -> Result<()> {
    if end.torn_bytes > 0 {
        tracing::info!(at = %end.end, bytes = end.torn_bytes, "dropped the torn tail of the write-ahead log");
    }
    if end.lost.is_empty() {
        return Ok(());
    }
    let path = config.data_dir.join(format!("LOSS-{}.txt", clock.now_us()));
    let mut text = format!("write-ahead log damaged at {}; commits dropped:\n", end.end);
    for seq in &end.lost {
        text.push_str(&format!("{seq}\n"));
    }
    tracing::error!(commits = end.lost.len(), file = %path.display(), "acknowledged commits were dropped");
    let file = at("create", &path, disk.create(&path))?;
    at("write", &path, file.write_at(0, text.as_bytes()))?;
    at("sync", &path, file.sync_all())?;
    at("sync", &config.data_dir, disk.sync_dir(&config.data_dir))
}

/// Unlinks parts nobody names; gives the next free blob id. Unnamed blobs wait for a checkpoint, because a log kept
/// for the older dump may still name them.
fn remove_orphans(disk: &dyn Disk, place: &Arc<PartPlace>, state: &mut State) -> Result<u64> {
    let parts = place.data_dir.join("parts");
    let mut live = HashSet::new();
    for (_, table) in state.snap.tables() {
        for source in &table.sources {
            if let Body::Part(part) = &source.body {
                live.extend(part.paths());
            }
        }
    }
    for table in at("list", &parts, disk.list(&parts))? {
        let Ok(oid) = table.parse::<Oid>() else { continue };
        let dir = parts.join(&table);
        for name in at("list", &dir, disk.list(&dir))? {
            let path = dir.join(&name);
            let ours = [".arrow", ".idx", ".tmp"].iter().any(|ending| name.ends_with(ending));
            if ours && !live.contains(&path) {
                at("unlink", &path, disk.unlink(&path))?;
            }
        }
        if state.snap.table(oid).is_none()
            && let Err(error) = disk.remove_dir(&dir)
        {
            tracing::debug!(dir = %dir.display(), %error, "directory of a dropped table stays");
        }
    }
    state.retired.retain(|(_, retired)| matches!(retired, Retired::Blob(_)));
    let named: HashSet<u64> = state
        .snap
        .keyed
        .iter()
        .flat_map(|map| map.iter())
        .filter_map(|(_, value)| match &value.body {
            crate::snapshot::ValueBody::Blob(blob) => Some(blob.reference.id),
            crate::snapshot::ValueBody::Inline(_) => None,
        })
        .chain(state.retired.iter().filter_map(|(_, retired)| match retired {
            Retired::Blob(blob) => Some(blob.reference.id),
            Retired::Part(_) => None,
        }))
        .collect();
    let blobs = place.data_dir.join("blobs");
    let mut next = 1;
    for name in at("list", &blobs, disk.list(&blobs))? {
        let Ok(id) = u64::from_str_radix(&name, 16) else {
            if name.ends_with(".tmp") {
                let path = blobs.join(name);
                at("unlink", &path, disk.unlink(&path))?;
            }
            continue;
        };
        next = next.max(id + 1);
        if !named.contains(&id) {
            let reference = crate::blob::BlobRef { id, len: 0, crc: 0 };
            debug_assert_eq!(blob_path(place, id), blobs.join(&name));
            let blob = Arc::new(crate::blob::Blob::kept(place, reference));
            state.retired.push((state.snap.seq, Retired::Blob(blob)));
        }
    }
    Ok(next)
}

//! Backups: a copy of one commit that is itself a data directory, without `meta/` and without a log.
//!
//! For: `BACKUP TO 'dir'` and `tributary restore`. Steps: pin a snapshot; link or copy its parts and blobs; write the rows
//! that are still in memory as parts of the copy; write the dump, FORMAT and, last of all, CHECKPOINT. Promises: the copy
//! is exactly the state at its commit, whatever is written meanwhile; writers are not held up at all; nothing is ever
//! overwritten; a copy that was interrupted has no CHECKPOINT and what a failed one made is removed. Files that an
//! earlier backup beside the new one has are linked from there, so a further backup costs what changed.
//! Hard links guard against mistakes, not against the disk. Does not: hold what is not the store's (the first superuser's
//! password file).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Seq;
use crate::arrange::{self, Piece};
use crate::blob::{Blob, BlobRef};
use crate::check::{Finding, check_with};
use crate::cut::{Target, write_parts};
use crate::disk::{Disk, DiskLock, at, create_dir_durably};
use crate::dump;
use crate::error::{Result, StoreError};
use crate::format::{self, Checkpoint};
use crate::manifest::FileSum;
use crate::part::PartPlace;
use crate::snapshot::{Snapshot, TableState, ValueBody};
use crate::source::{Body, Source};
use crate::state::entries;
use crate::store::Shared;
use crate::wal::log_start;

/// Directories of a data directory.
const DIRS: [&str; 5] = ["wal", "ckpt", "parts", "blobs", "tmp"];
/// Bytes copied at a time.
const COPY_BYTES: usize = 4 << 20;

/// What a backup holds and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupDone {
    /// The commit it holds.
    pub seq: Seq,
    /// Files that share their bytes with the data directory or an earlier backup.
    pub linked_files: usize,
    /// Files that were written.
    pub written_files: usize,
    /// Their bytes.
    pub written_bytes: u64,
}

/// Copies the newest commit into `dir`, which must not exist or be empty. The snapshot pins its files, so no lock is
/// needed and flushes and checkpoints go on.
pub(crate) fn backup(shared: &Arc<Shared>, dir: &Path) -> Result<BackupDone> {
    let disk = &shared.disk;
    let _lock = create_target(disk.as_ref(), dir, "backup")?;
    let snapshot = shared.published.load_full();
    let place = PartPlace {
        disk: Arc::clone(disk),
        data_dir: dir.to_path_buf(),
        uuid: shared.place.uuid,
        scan_io: shared.place.scan_io,
    };
    let earlier = earlier_backup(disk.as_ref(), dir, &shared.place.uuid, snapshot.seq);
    let mut writing = Writing {
        disk: disk.as_ref(),
        from: &shared.config.data_dir,
        to: dir,
        earlier,
        done: BackupDone { seq: snapshot.seq, ..BackupDone::default() },
        made: vec![dir.join("LOCK")],
    };
    let outcome = writing.everything(shared, &Arc::new(place), &snapshot);
    if outcome.is_err() {
        writing.remove_all();
    }
    outcome.map(|()| writing.done)
}

/// Takes the directory, which must be empty, and makes those a data directory has.
fn create_target(disk: &dyn Disk, dir: &Path, note: &str) -> Result<Box<dyn DiskLock>> {
    let not_empty = || {
        let message = format!("directory \"{}\" exists but is not empty", dir.display());
        StoreError::new("58P02", message).with_hint("Nothing is ever overwritten: name a new directory.")
    };
    if disk.exists(dir) && !at("list", dir, disk.list(dir))?.is_empty() {
        return Err(not_empty());
    }
    create_dir_durably(disk, dir)?;
    let lock = format::lock(disk, dir, note)?;
    // Looked at again under the lock: two backups into one directory would destroy each other's files.
    if at("list", dir, disk.list(dir))?.iter().any(|name| name != "LOCK") {
        return Err(not_empty());
    }
    for name in DIRS {
        let path = dir.join(name);
        at("create", &path, disk.create_dir(&path))?;
    }
    at("sync", dir, disk.sync_dir(dir))?;
    Ok(lock)
}

/// The newest complete backup of this database in the same parent directory.
fn earlier_backup(disk: &dyn Disk, dir: &Path, uuid: &[u8; 16], seq: Seq) -> Option<PathBuf> {
    let parent = dir.parent()?;
    let candidates = disk.list(parent).ok()?.into_iter().map(|name| parent.join(name)).filter(|path| path != dir);
    let complete = candidates.filter_map(|path| {
        let same = format::read_format(disk, &path).ok().flatten().as_ref() == Some(uuid);
        let checkpoint = Checkpoint::read(disk, &path).ok().flatten().filter(|_| same)?;
        // A live data directory beside the backups has a log; its files may vanish.
        let stopped = disk.list(&path.join("wal")).is_ok_and(|segments| segments.is_empty());
        (stopped && checkpoint.seq <= seq).then_some((checkpoint.seq, path))
    });
    complete.max().map(|(_, path)| path)
}

struct Writing<'a> {
    disk: &'a dyn Disk,
    from: &'a Path,
    to: &'a Path,
    earlier: Option<PathBuf>,
    done: BackupDone,
    /// Files made so far, for when the backup fails.
    made: Vec<PathBuf>,
}

impl Writing<'_> {
    fn everything(&mut self, shared: &Shared, place: &Arc<PartPlace>, pinned: &Arc<Snapshot>) -> Result<()> {
        let mut copied = Snapshot::clone(pinned);
        for (oid, table) in pinned.tables() {
            let table = self.table(shared, place, pinned.seq, oid, table)?;
            copied.tables.insert(oid, Arc::new(table));
        }
        for (_, value) in pinned.keyed.iter().flat_map(|map| map.iter()) {
            if let ValueBody::Blob(blob) = &value.body {
                self.blob(blob)?;
            }
        }
        let all = entries(&copied)?;
        for name in DIRS {
            self.sync_dir(&self.to.join(name))?;
        }
        let digest = dump::write(self.disk, self.to, copied.seq, log_start(), &all)?;
        self.made.push(dump::dump_path(self.to, copied.seq));
        self.done.written_files += 1;
        format::write_format(self.disk, self.to, &place.uuid)?;
        self.made.push(self.to.join("FORMAT"));
        let checkpoint = Checkpoint {
            seq: copied.seq,
            wal_start: log_start(),
            base: copied.seq,
            increments: 0,
            digest,
            previous_seq: copied.seq,
            previous_wal_start: log_start(),
        };
        checkpoint.write(self.disk, self.to)
    }

    /// The files of a table's parts, and its rows in memory as parts; gives the table as the copy has it.
    fn table(
        &mut self,
        shared: &Shared,
        place: &Arc<PartPlace>,
        seq: Seq,
        oid: crate::Oid,
        table: &TableState,
    ) -> Result<TableState> {
        let dir = place.dir(oid);
        let mut copied = TableState { sources: Vec::new(), open_generation: None, ..table.clone() };
        let mut in_memory = Vec::new();
        if !table.sources.is_empty() {
            at("create", &dir, self.disk.create_dir(&dir))?;
            self.sync_dir(&self.to.join("parts"))?;
        }
        for source in &table.sources {
            match &source.body {
                Body::Delta(_) => in_memory.push(Piece::whole(Arc::clone(source))),
                Body::Part(part) => {
                    let [data, idx] = part.paths();
                    self.file(&data, part.entry.data)?;
                    self.file(&idx, part.entry.idx)?;
                    copied.sources.push(Arc::clone(source));
                }
            }
        }
        let (rows, bytes) = (table.delta_rows(), table.delta_bytes());
        let arranged = arrange::arrange(&table.layout, in_memory)?;
        let target = Target {
            place,
            config: &shared.config,
            table: oid,
            layout: &table.layout,
            min_seq: 0,
            max_seq: seq,
            level: 0,
            row_bytes: bytes / rows.max(1),
        };
        let mut number = || {
            copied.next_source += 1;
            copied.next_source - 1
        };
        for (_, part) in write_parts(&target, &arranged, &mut BTreeMap::new(), &mut number)? {
            part.keep();
            self.made.extend(part.paths());
            self.done.written_files += 2;
            self.done.written_bytes += part.entry.data.len + part.entry.idx.len;
            copied.sources.push(Arc::new(Source::part(part.entry.part, Arc::clone(&part), None)));
        }
        copied.sources.sort_by_key(|source| source.number());
        if !table.sources.is_empty() {
            self.sync_dir(&dir)?;
        }
        Ok(copied)
    }

    fn blob(&mut self, blob: &Blob) -> Result<()> {
        let BlobRef { len, crc, .. } = blob.reference;
        self.file(&blob.path(), FileSum { len, crc })
    }

    /// Links a file from the data directory or from the earlier backup, or copies it.
    fn file(&mut self, path: &Path, sum: FileSum) -> Result<()> {
        let relative =
            path.strip_prefix(self.from).map_err(|_| StoreError::internal("a file lies outside the data"))?;
        let to = self.to.join(relative);
        // A second name must never be written through: the bytes behind it may be the live ones.
        if self.disk.exists(&to) {
            return Err(StoreError::new("58P02", format!("file \"{}\" already exists", to.display())));
        }
        self.made.push(to.clone());
        if self.link(path, &to)? {
            return Ok(());
        }
        // A name alone proves nothing: rows in memory become parts of a copy under numbers the database uses again, and a
        // restored database goes on under the same uuid.
        if let Some(earlier) = self.earlier.as_ref().map(|earlier| earlier.join(relative))
            && holds(self.disk, &earlier, sum)
            && self.link(&earlier, &to)?
        {
            return Ok(());
        }
        self.done.written_files += 1;
        self.done.written_bytes += copy(self.disk, path, &to)?;
        Ok(())
    }

    /// False when the file system cannot link the two places.
    fn link(&mut self, from: &Path, to: &Path) -> Result<bool> {
        match self.disk.link(from, to) {
            Ok(()) => {
                self.done.linked_files += 1;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::io("link", to, &error)),
            Err(_) => Ok(false),
        }
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        at("sync", dir, self.disk.sync_dir(dir))
    }

    fn remove_all(&self) {
        for path in self.made.iter().rev() {
            match self.disk.unlink(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "file of a failed backup could not be removed");
                }
                _ => {}
            }
        }
        let parts = self.to.join("parts");
        let tables = self.disk.list(&parts).unwrap_or_default().into_iter().map(|name| parts.join(name));
        let dirs = tables.chain(DIRS.iter().map(|name| self.to.join(name))).chain([self.to.to_path_buf()]);
        for dir in dirs {
            if let Err(error) = self.disk.remove_dir(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "directory of a failed backup stays");
            }
        }
    }
}

/// Whether a file can be read and has this content.
fn holds(disk: &dyn Disk, path: &Path, sum: FileSum) -> bool {
    let Ok(file) = disk.open(path) else { return false };
    if !file.size().is_ok_and(|size| size == sum.len) {
        return false;
    }
    let mut buffer = vec![0; COPY_BYTES];
    let (mut offset, mut crc) = (0, 0);
    while offset < sum.len {
        match file.read_at(offset, &mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(read) => {
                crc = crc32c::crc32c_append(crc, &buffer[..read]);
                offset += read as u64;
            }
        }
    }
    crc == sum.crc
}

/// Copies a file and syncs it; gives its size.
fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> Result<u64> {
    let source = at("open", from, disk.open(from))?;
    let target = at("create", to, disk.create(to))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        let read = at("read", from, source.read_at(offset, &mut buffer))?;
        if read == 0 {
            break;
        }
        at("write", to, target.write_at(offset, &buffer[..read]))?;
        offset += read as u64;
    }
    at("sync", to, target.sync_all())?;
    Ok(offset)
}

/// Copies a backup to a new data directory and checks the copy; gives the number of files. Refuses a damaged backup.
/// What an interrupted one leaves is refused as a data directory.
///
/// Errors: 58P02 when `dir` is not empty, XX001 with the first finding when the backup or its copy is damaged.
pub fn restore(backup: &Path, dir: &Path, disk: &Arc<dyn Disk>) -> Result<usize> {
    sound(check_with(backup, disk, None)?, backup)?;
    let lock = create_target(disk.as_ref(), dir, "restore")?;
    let mut files = 0;
    // FORMAT makes it a data directory, so it comes when everything else is durable.
    for name in ["parts", "blobs", "ckpt"] {
        files += copy_dir(disk.as_ref(), &backup.join(name), &dir.join(name))?;
    }
    for name in ["CHECKPOINT", "FORMAT"] {
        copy(disk.as_ref(), &backup.join(name), &dir.join(name))?;
        at("sync", dir, disk.sync_dir(dir))?;
    }
    drop(lock);
    sound(check_with(dir, disk, None)?, dir)?;
    Ok(files + 2)
}

fn sound(findings: Vec<Finding>, dir: &Path) -> Result<()> {
    match findings.into_iter().find(|finding| finding.damage) {
        None => Ok(()),
        Some(finding) => Err(StoreError::damaged(format!("\"{}\" is damaged", dir.display()))
            .with_detail(format!("{}: {}.", finding.file, finding.message))),
    }
}

fn copy_dir(disk: &dyn Disk, from: &Path, to: &Path) -> Result<usize> {
    at("create", to, disk.create_dir(to))?;
    let mut files = 0;
    for name in at("list", from, disk.list(from))? {
        let (from, to) = (from.join(&name), to.join(&name));
        if disk.list(&from).is_ok() {
            files += copy_dir(disk, &from, &to)?;
        } else {
            copy(disk, &from, &to)?;
            files += 1;
        }
    }
    at("sync", to, disk.sync_dir(to))?;
    Ok(files)
}

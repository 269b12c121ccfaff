//! A disk in memory that knows what is durable.
//!
//! For: power cuts at any call, errors at any call, a disk that is full. [`SimDisk`] knows per file the synced content and
//! the later writes in blocks of 512 bytes, per directory the synced entries and the later changes. [`SimDisk::crash`]
//! keeps any subset of the unsynced blocks and drops or keeps each unsynced directory change. Promises: a handle of an
//! earlier life is dead; a file that loses its last name gives its bytes back. Does not: count directories or blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::SimRandom;
use crate::disk::{Disk, DiskFile, DiskLock};

const BLOCK_BYTES: usize = 512;

/// Syncs the disk pretends to do: the null controls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lies {
    /// fdatasync of log segments does nothing.
    pub segments: bool,
    /// fsync of part files does nothing.
    pub parts: bool,
    /// fsync of directories does nothing.
    pub directories: bool,
}

/// An operation and the kind of file or directory it touches.
pub type Point = (&'static str, &'static str);

#[derive(Debug, Clone, Default)]
struct File {
    path: PathBuf,
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Unsynced writes, in order.
    writes: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum Change {
    Bind { path: PathBuf, file: usize },
    Move { from: PathBuf, to: PathBuf, file: usize },
    Unbind { path: PathBuf },
    MakeDir { path: PathBuf },
    RemoveDir { path: PathBuf },
}

impl Change {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Bind { path, .. } | Self::Unbind { path } | Self::MakeDir { path } | Self::RemoveDir { path } => {
                path.parent()
            }
            Self::Move { to, .. } => to.parent(),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Bind { path, file } => drop(names.files.insert(path.clone(), *file)),
            Self::Move { from, to, file } => {
                if names.files.get(from) == Some(file) {
                    names.files.remove(from);
                }
                names.files.insert(to.clone(), *file);
            }
            Self::Unbind { path } => drop(names.files.remove(path)),
            Self::MakeDir { path } => drop(names.dirs.insert(path.clone())),
            Self::RemoveDir { path } => drop(names.dirs.remove(path)),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<File>,
    now: Names,
    durable: Names,
    changes: Vec<Change>,
    calls: u64,
    crash_at: Option<u64>,
    crashed: bool,
    /// Counts crashes: handles of an earlier life are dead.
    life: u64,
    lies: Lies,
    budget: Option<u64>,
    fail_write_at: Option<u64>,
    fail_sync_at: Option<u64>,
    locks: BTreeMap<PathBuf, (u64, String)>,
    /// Hard links are refused, as between two file systems.
    no_links: bool,
    no_links_from: Option<PathBuf>,
    /// Every operation and kind of file seen.
    points: BTreeSet<Point>,
    inject: Option<(u64, io::ErrorKind)>,
    injected: Option<Point>,
}

/// What an operation touches: the extension of a file, the name of a directory or of a file without one.
fn kind_of(path: &Path) -> &'static str {
    const KINDS: [&str; 13] =
        ["wal", "arrow", "idx", "base", "inc", "tmp", "parts", "blobs", "ckpt", "CHECKPOINT", "FORMAT", "LOCK", "data"];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    if let Some(kind) = KINDS.iter().find(|kind| **kind == ending || (ending.is_empty() && **kind == name)) {
        return kind;
    }
    let inside = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    match &*inside {
        "blobs" => "blob",
        "parts" => "table",
        _ => "other",
    }
}

fn power_cut() -> io::Error {
    io::Error::other("simulated power cut")
}

impl Inner {
    fn call_file(&mut self, file: &SimFile, what: &'static str) -> io::Result<()> {
        let path = self.files[file.file].path.clone();
        self.call(Some(file.life), what, &path)
    }

    /// Counts a call; the power may go here, or an error be injected.
    fn call(&mut self, life: Option<u64>, what: &'static str, path: &Path) -> io::Result<()> {
        if self.crashed || life.is_some_and(|life| life != self.life) {
            return Err(power_cut());
        }
        self.calls += 1;
        let point = (what, kind_of(path));
        self.points.insert(point);
        if let Some((at, error)) = self.inject
            && self.calls >= at
            && self.injected.is_none()
        {
            self.injected = Some(point);
            return Err(error.into());
        }
        if self.crash_at.is_some_and(|at| self.calls >= at) {
            self.crashed = true;
            return Err(power_cut());
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        let named = |names: &Names| names.files.values().copied().collect::<BTreeSet<usize>>();
        let before = self.budget.map(|_| named(&self.now));
        change.apply(&mut self.now);
        self.changes.push(change);
        if let Some(before) = before {
            let freed = before.difference(&named(&self.now)).map(|file| self.files[*file].current.len() as u64).sum();
            self.budget = self.budget.map(|left| left.saturating_add(freed));
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.now.files.get(path).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn lied_about(&self, path: &Path) -> bool {
        let name = path.to_string_lossy();
        (self.lies.segments && name.ends_with(".wal"))
            || (self.lies.parts && (name.ends_with(".arrow") || name.ends_with(".idx")))
    }

    fn settle(&mut self, file: usize) {
        let file = &mut self.files[file];
        for (offset, data) in std::mem::take(&mut file.writes) {
            overwrite(&mut file.durable, offset, &data);
        }
    }
}

fn overwrite(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    content[offset..offset + data.len()].copy_from_slice(data);
}

/// See the module. Clones share the disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

struct SimFile {
    disk: SimDisk,
    file: usize,
    life: u64,
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if inner.locks.get(&self.path).is_some_and(|(life, _)| *life == self.life) {
            inner.locks.remove(&self.path);
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// Lets the power go at the n-th call from now.
    pub fn crash_after(&self, calls: u64) {
        let mut inner = self.inner();
        inner.crash_at = Some(inner.calls + calls);
    }

    /// Whether the power went.
    pub fn crashed(&self) -> bool {
        self.inner().crashed
    }

    /// Which syncs do nothing from now on.
    pub fn lie(&self, lies: Lies) {
        self.inner().lies = lies;
    }

    /// Bytes that may still be written beyond what files have now; None = no limit.
    pub fn limit(&self, budget: Option<u64>) {
        self.inner().budget = budget;
    }

    /// Lets the n-th call from now fail once; a sync that fails loses the pages it was about.
    pub fn fail_call_after(&self, calls: u64, error: io::ErrorKind) {
        let mut inner = self.inner();
        inner.inject = Some((inner.calls + calls, error));
        inner.injected = None;
    }

    /// The call that was made to fail, once it was.
    pub fn failed_point(&self) -> Option<Point> {
        self.inner().injected
    }

    /// Every operation and kind of file seen so far.
    pub fn points(&self) -> BTreeSet<Point> {
        self.inner().points.clone()
    }

    /// Refuses hard links from now on, as between two file systems.
    pub fn refuse_links(&self, refuse: bool) {
        self.inner().no_links = refuse;
    }

    /// Refuses hard links to files below a directory: it lies on another file system.
    pub fn refuse_links_from(&self, dir: Option<PathBuf>) {
        self.inner().no_links_from = dir;
    }

    /// The n-th write from now writes a part of its bytes and fails.
    pub fn fail_write_after(&self, calls: u64) {
        self.inner().fail_write_at = Some(calls);
    }

    /// The n-th file sync from now fails, and the pages it was about are lost.
    pub fn fail_sync_after(&self, calls: u64) {
        self.inner().fail_sync_at = Some(calls);
    }

    /// Cuts the power, if it is still on, and comes back with what survived.
    pub fn crash(&self, random: &mut SimRandom) {
        let mut inner = self.inner();
        // Some cuts keep nearly everything, some nearly nothing: both ends find bugs the middle does not.
        let keep_changes = [0, 25, 50, 75, 100][random.below(5) as usize];
        let keep_blocks = [0, 25, 50, 75, 100][random.below(5) as usize];
        let changes = std::mem::take(&mut inner.changes);
        let mut names = inner.durable.clone();
        for change in changes.iter().filter(|_| random.chance(keep_changes)) {
            change.apply(&mut names);
        }
        let dirs = names.dirs.clone();
        names.files.retain(|path, _| path.parent().is_none_or(|dir| dirs.contains(dir)));
        for file in &mut inner.files {
            for (offset, data) in std::mem::take(&mut file.writes) {
                let mut at = 0;
                while at < data.len() {
                    let len = (BLOCK_BYTES - (offset + at) % BLOCK_BYTES).min(data.len() - at);
                    if random.chance(keep_blocks) {
                        overwrite(&mut file.durable, offset + at, &data[at..at + len]);
                    }
                    at += len;
                }
            }
            file.current = file.durable.clone();
        }
        inner.durable = names.clone();
        inner.now = names;
        inner.life += 1;
        inner.crashed = false;
        inner.crash_at = None;
        inner.fail_sync_at = None;
        inner.fail_write_at = None;
        inner.inject = None;
        inner.locks.clear();
    }

    /// Changes bytes of a file behind the store's back, durably.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.file(path)?;
        inner.settle(file);
        let file = &mut inner.files[file];
        change(&mut file.durable);
        file.current = file.durable.clone();
        Ok(())
    }

    /// A copy of the disk as it is now, with nothing unsynced and the power on.
    #[must_use]
    pub fn fork(&self) -> Self {
        let inner = self.inner();
        let mut files = inner.files.clone();
        for file in &mut files {
            file.durable = file.current.clone();
            file.writes.clear();
        }
        let copy = Inner { files, now: inner.now.clone(), durable: inner.now.clone(), ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(copy)) }
    }

    /// The bytes of a file now.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.inner();
        Ok(inner.files[inner.file(path)?].current.clone())
    }

    /// Every file there is now.
    pub fn files(&self) -> Vec<PathBuf> {
        self.inner().now.files.keys().cloned().collect()
    }

    fn handle(&self, file: usize, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), file, life })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.call(None, "create", path)?;
        if path.parent().is_some_and(|dir| !inner.now.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = inner.files.len();
        inner.files.push(File { path: path.to_path_buf(), ..File::default() });
        inner.change(Change::Bind { path: path.to_path_buf(), file });
        let life = inner.life;
        drop(inner);
        Ok(self.handle(file, life))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.call(None, "open", path)?;
        let (file, life) = (inner.file(path)?, inner.life);
        drop(inner);
        Ok(self.handle(file, life))
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let mut inner = self.inner();
        inner.call(None, "map", path)?;
        let file = inner.file(path)?;
        Ok(Bytes::copy_from_slice(&inner.files[file].current))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(None, "rename", to)?;
        let file = inner.file(from)?;
        inner.change(Change::Move { from: from.to_path_buf(), to: to.to_path_buf(), file });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(None, "link", to)?;
        if inner.no_links || inner.no_links_from.as_ref().is_some_and(|dir| from.starts_with(dir)) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let file = inner.file(from)?;
        if inner.now.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.change(Change::Bind { path: to.to_path_buf(), file });
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(None, "unlink", path)?;
        inner.file(path)?;
        inner.change(Change::Unbind { path: path.to_path_buf() });
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut inner = self.inner();
        inner.call(None, "list", path)?;
        if !inner.now.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = |entry: &&PathBuf| entry.parent() == Some(path);
        let names = inner.now.files.keys().filter(inside).chain(inner.now.dirs.iter().filter(inside));
        let mut names: Vec<String> =
            names.filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(None, "create_dir", path)?;
        let mut missing: Vec<PathBuf> =
            path.ancestors().take_while(|dir| !inner.now.dirs.contains(*dir)).map(Path::to_path_buf).collect();
        while let Some(dir) = missing.pop() {
            if dir.parent().is_none_or(|parent| parent == Path::new("") || parent == Path::new("/")) {
                // The root and its children were there before the store.
                inner.durable.dirs.insert(dir.clone());
                inner.now.dirs.insert(dir);
            } else {
                inner.change(Change::MakeDir { path: dir });
            }
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(None, "remove_dir", path)?;
        inner.change(Change::RemoveDir { path: path.to_path_buf() });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(None, "sync_dir", path)?;
        if inner.lies.directories {
            return Ok(());
        }
        let (settled, left) = inner.changes.drain(..).partition(|change: &Change| change.dir() == Some(path));
        inner.changes = left;
        for change in settled {
            change.apply(&mut inner.durable);
        }
        Ok(())
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let mut inner = self.inner();
        inner.call(None, "free_space", path)?;
        Ok(inner.budget.unwrap_or(1 << 40))
    }

    fn exists(&self, path: &Path) -> bool {
        let inner = self.inner();
        inner.now.files.contains_key(path) || inner.now.dirs.contains(path)
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<std::result::Result<Box<dyn DiskLock>, String>> {
        let mut inner = self.inner();
        inner.call(None, "lock", path)?;
        if let Some((_, holder)) = inner.locks.get(path) {
            return Ok(Err(holder.clone()));
        }
        let life = inner.life;
        inner.locks.insert(path.to_path_buf(), (life, note.to_owned()));
        drop(inner);
        Ok(Ok(Box::new(SimLock { disk: self.clone(), path: path.to_path_buf(), life })))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        inner.call_file(self, "read_at")?;
        let content = &inner.files[self.file].current;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let len = buf.len().min(content.len() - from);
        buf[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        // The write during which the power goes may reach the device; later ones cannot.
        let off = inner.crashed || self.life != inner.life;
        let called = inner.call_file(self, "write_at");
        if called.is_err() && off {
            return called;
        }
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut data = data;
        if called.is_err() && !inner.crashed {
            // A write that fails may have written a part.
            data = &data[..data.len() / 2];
        }
        let mut outcome = called;
        let grows = (offset + data.len()).saturating_sub(inner.files[self.file].current.len()) as u64;
        if let Some(left) = inner.budget {
            // What fits is written, as the kernel does it.
            let missing = grows.saturating_sub(left);
            if missing > 0 {
                data = &data[..data.len() - usize::try_from(missing).map_err(io::Error::other)?];
                outcome = Err(io::ErrorKind::StorageFull.into());
            }
            inner.budget = Some(left - (grows - missing));
        }
        if let Some(left) = inner.fail_write_at {
            inner.fail_write_at = left.checked_sub(1);
            if left == 0 {
                data = &data[..data.len() / 2];
                outcome = Err(io::Error::other("simulated write error"));
            }
        }
        let file = &mut inner.files[self.file];
        overwrite(&mut file.current, offset, data);
        file.writes.push((offset, data.to_vec()));
        outcome
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync("sync_data")
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync("sync_all")
    }

    fn size(&self) -> io::Result<u64> {
        let mut inner = self.disk.inner();
        inner.call_file(self, "size")?;
        Ok(inner.files[self.file].current.len() as u64)
    }
}

impl SimFile {
    fn sync(&self, what: &'static str) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let called = inner.call_file(self, what);
        if called.is_err() && !inner.crashed {
            // The kernel dropped the dirty pages: a second fsync would report success.
            inner.files[self.file].writes.clear();
        }
        called?;
        if let Some(left) = inner.fail_sync_at {
            inner.fail_sync_at = left.checked_sub(1);
            if left == 0 {
                // The kernel dropped the dirty pages: a second fsync would report success.
                inner.files[self.file].writes.clear();
                return Err(io::Error::other("simulated sync error"));
            }
        }
        let path = inner.files[self.file].path.clone();
        if !inner.lied_about(&path) {
            inner.settle(self.file);
        }
        Ok(())
    }
}

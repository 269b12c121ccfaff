//! All file access of the store, behind one trait.
//!
//! For: the crash simulator stands in for [`RealDisk`] and knows what a power cut would keep. Promises: `sync_data`,
//! `sync_all` and `sync_dir` return only after the device has the bytes, and their errors are never retried here.
//! Does not: cover sled, which does its own I/O; create a file without an explicit call.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Result, StoreError};

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// fdatasync.
    fn sync_data(&self) -> io::Result<()>;
    /// fsync.
    fn sync_all(&self) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// Keeps a directory locked while it lives.
pub trait DiskLock: Send + Sync {}

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Creates the file, or empties it. Mode 0600.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// The whole file as bytes that stay valid after it is unlinked. The file must not change afterwards.
    fn map(&self, path: &Path) -> io::Result<Bytes>;
    /// Atomic replace.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory, sorted. A missing directory is an error of kind `NotFound`.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents, mode 0700. Existing ones are left alone.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and unlinks in the directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes an unprivileged writer may still use.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
    /// Whether a file or directory of this name exists.
    fn exists(&self, path: &Path) -> bool;
    /// Takes the exclusive lock on `path` without waiting and writes `note` into it. `Ok(Err(holder))` names the
    /// content left by whoever holds it.
    fn lock(&self, path: &Path, note: &str) -> io::Result<std::result::Result<Box<dyn DiskLock>, String>>;
    /// Whether the directory is on a network file system.
    fn network(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

/// The operating system's files.
#[derive(Debug, Default)]
pub struct RealDisk {
    no_fsync: bool,
}

impl RealDisk {
    /// Files with every sync done.
    pub fn new() -> Self {
        Self { no_fsync: false }
    }

    /// Files as the configuration wants them.
    pub fn of(config: &crate::StoreConfig) -> Self {
        Self { no_fsync: config.unsafe_no_fsync }
    }

    /// Files whose syncs do nothing: the null control of the power-cut test. Loses acknowledged data.
    pub fn without_fsync() -> Self {
        Self { no_fsync: true }
    }
}

struct RealFile {
    file: File,
    no_fsync: bool,
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.no_fsync { Ok(()) } else { self.file.sync_data() }
    }
    fn sync_all(&self) -> io::Result<()> {
        if self.no_fsync { Ok(()) } else { self.file.sync_all() }
    }
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

struct RealLock {
    _file: File,
    _directory: File,
}

impl DiskLock for RealLock {}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile { file, no_fsync: self.no_fsync }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile { file, no_fsync: self.no_fsync }))
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        crate::map::map_file(&File::open(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.no_fsync { Ok(()) } else { File::open(path)?.sync_all() }
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<std::result::Result<Box<dyn DiskLock>, String>> {
        // The directory is locked too: whoever deletes the file does not let a second process in.
        let held = |file: &File| match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(io::Error::from(error)),
        };
        let directory = File::open(path.parent().unwrap_or(Path::new(".")))?;
        if held(&directory)? {
            return Ok(Err(std::fs::read_to_string(path).unwrap_or_default()));
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if held(&file)? {
            return Ok(Err(std::fs::read_to_string(path)?));
        }
        file.set_len(0)?;
        file.write_all_at(note.as_bytes(), 0)?;
        Ok(Ok(Box::new(RealLock { _file: file, _directory: directory })))
    }

    fn network(&self, path: &Path) -> io::Result<bool> {
        // Magic numbers of statfs(2): NFS, SMB, SMB2, CIFS, AFS, CODA, NCP.
        const NETWORK: [u64; 7] = [0x6969, 0x517B, 0xFE53_4D42, 0xFF53_4D42, 0x5346_414F, 0x7375_7245, 0x564C];
        let kind = rustix::fs::statfs(path)?.f_type;
        // The type is signed on some targets; the magic numbers are 32 bits.
        #[expect(clippy::cast_sign_loss, reason = "a bit pattern, compared in its low 32 bits")]
        let magic = (kind as u64) & 0xFFFF_FFFF;
        Ok(NETWORK.contains(&magic))
    }
}

/// Turns an I/O error into a store error naming the operation and the file.
pub(crate) fn at<T>(what: &str, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|error| StoreError::io(what, path, &error))
}

/// Creates a directory with its missing parents, durably.
pub(crate) fn create_dir_durably(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !disk.exists(dir)).collect();
    at("create", dir, disk.create_dir(dir))?;
    for parent in missing.into_iter().filter_map(Path::parent).filter(|parent| !parent.as_os_str().is_empty()) {
        at("sync", parent, disk.sync_dir(parent))?;
    }
    Ok(())
}

/// The whole file in memory.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = at("open", path, disk.open(path))?;
    let size = at("stat", path, file.size())?;
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| StoreError::damaged("file is too large"))?];
    let mut done = 0;
    while done < bytes.len() {
        let read = at("read", path, file.read_at(done as u64, &mut bytes[done..]))?;
        if read == 0 {
            break;
        }
        done += read;
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Replaces `path` as a whole: temporary file, fsync, rename, fsync of the directory.
pub(crate) fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let tmp = path.with_extension("tmp");
    let file = at("create", &tmp, disk.create(&tmp))?;
    at("write", &tmp, file.write_at(0, bytes))?;
    at("sync", &tmp, file.sync_all())?;
    at("rename", &tmp, disk.rename(&tmp, path))?;
    let dir = path.parent().expect("files of the store have a directory");
    at("sync", dir, disk.sync_dir(dir))
}

//! The small files at the top of a data directory: FORMAT, LOCK and CHECKPOINT.
//!
//! For: knowing what a directory is before touching it. Promises: each is text with a crc32c, replaced as a whole; a
//! newer format is refused with both versions named. Does not: migrate; a minor upgrade happens at a checkpoint.

use std::path::{Path, PathBuf};

use crate::Seq;
use crate::disk::{Disk, DiskLock, at, read_file, write_atomic};
use crate::error::{Result, StoreError};
use crate::frame::Position;

/// The format this build writes.
pub(crate) const MAJOR: u32 = 1;
/// See [`MAJOR`].
pub(crate) const MINOR: u32 = 0;

fn sealed(text: &str) -> Vec<u8> {
    format!("{text}crc32c {:08x}\n", crc32c::crc32c(text.as_bytes())).into_bytes()
}

/// The text before the crc line, if the crc matches.
fn unsealed(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let at = text.rfind("crc32c ")?;
    let crc = u32::from_str_radix(text[at..].trim_end().strip_prefix("crc32c ")?, 16).ok()?;
    let body = &text[..at];
    (crc32c::crc32c(body.as_bytes()) == crc && text.len() == at + 16).then_some(body)
}

fn format_path(data_dir: &Path) -> PathBuf {
    data_dir.join("FORMAT")
}

/// Writes FORMAT for a new directory.
pub(crate) fn write_format(disk: &dyn Disk, data_dir: &Path, uuid: &[u8; 16]) -> Result<()> {
    let uuid = uuid::Uuid::from_bytes(*uuid);
    write_atomic(disk, &format_path(data_dir), &sealed(&format!("tributary {MAJOR}.{MINOR}\n{uuid}\n")))
}

/// The directory's uuid; None when there is no FORMAT.
pub(crate) fn read_format(disk: &dyn Disk, data_dir: &Path) -> Result<Option<[u8; 16]>> {
    let path = format_path(data_dir);
    if !disk.exists(&path) {
        return Ok(None);
    }
    let bytes = read_file(disk, &path)?;
    let damaged = || {
        StoreError::damaged("data directory is damaged: FORMAT does not verify")
            .with_detail(format!("File {}.", path.display()))
    };
    let body = unsealed(&bytes).ok_or_else(damaged)?;
    let mut lines = body.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("tributary ")).ok_or_else(damaged)?;
    let (major, minor) = version
        .split_once('.')
        .and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)))
        .ok_or_else(damaged)?;
    if major > MAJOR || (major == MAJOR && minor > MINOR) {
        return Err(StoreError::new(
            "XX001",
            format!(
                "data directory was written by a newer version (format {major}.{minor}, this server reads up to {MAJOR}.{MINOR})"
            ),
        ));
    }
    if major < MAJOR {
        return Err(StoreError::new(
            "XX001",
            format!("data directory has format {major}.{minor}, this server reads {MAJOR}.{MINOR}"),
        )
        .with_hint("Run \"tributary upgrade DIR\"."));
    }
    let uuid = lines.next().and_then(|line| line.parse::<uuid::Uuid>().ok()).ok_or_else(damaged)?;
    Ok(Some(*uuid.as_bytes()))
}

/// Takes the directory for this process. 55006 when another one has it.
pub(crate) fn lock(disk: &dyn Disk, data_dir: &Path, note: &str) -> Result<Box<dyn DiskLock>> {
    let path = data_dir.join("LOCK");
    let content = format!("{}\n{note}\n", std::process::id());
    match at("lock", &path, disk.lock(&path, &content))? {
        Ok(lock) => Ok(lock),
        Err(holder) => {
            let by = holder.lines().next().map_or("another process".to_owned(), |pid| format!("process {pid}"));
            let message = format!("data directory \"{}\" is in use by {by}", data_dir.display());
            Err(StoreError::new("55006", message))
        }
    }
}

/// Where recovery starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    /// The meta store and the dump hold everything up to here.
    pub(crate) seq: Seq,
    /// Frames from here on are replayed.
    pub(crate) wal_start: Position,
    /// The newest base dump, `ckpt/<base>.base`.
    pub(crate) base: Seq,
    /// Increments written since that.
    pub(crate) increments: u32,
    /// Digest of all entries at `seq`.
    pub(crate) digest: u64,
    /// The checkpoint before: its dump and log are kept too.
    pub(crate) previous_seq: Seq,
    pub(crate) previous_wal_start: Position,
}

fn checkpoint_path(data_dir: &Path) -> PathBuf {
    data_dir.join("CHECKPOINT")
}

impl Checkpoint {
    pub(crate) fn write(&self, disk: &dyn Disk, data_dir: &Path) -> Result<()> {
        let text = format!(
            "tributary checkpoint 1\nseq {}\nwal_start {:016x}\nbase {}\nincrements {}\ndigest {:016x}\n\
             previous_seq {}\nprevious_wal_start {:016x}\n",
            self.seq,
            self.wal_start.0,
            self.base,
            self.increments,
            self.digest,
            self.previous_seq,
            self.previous_wal_start.0
        );
        write_atomic(disk, &checkpoint_path(data_dir), &sealed(&text))
    }

    /// None when the file is missing or does not verify.
    pub(crate) fn read(disk: &dyn Disk, data_dir: &Path) -> Result<Option<Self>> {
        let path = checkpoint_path(data_dir);
        if !disk.exists(&path) {
            return Ok(None);
        }
        let bytes = read_file(disk, &path)?;
        Ok(unsealed(&bytes).and_then(Self::parse))
    }

    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.lines();
        if lines.next()? != "tributary checkpoint 1" {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let hex = |text: String| u64::from_str_radix(&text, 16).ok();
        let checkpoint = Self {
            seq: field("seq")?.parse().ok()?,
            wal_start: Position(hex(field("wal_start")?)?),
            base: field("base")?.parse().ok()?,
            increments: field("increments")?.parse().ok()?,
            digest: hex(field("digest")?)?,
            previous_seq: field("previous_seq")?.parse().ok()?,
            previous_wal_start: Position(hex(field("previous_wal_start")?)?),
        };
        Some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_round_trip_and_flips_are_seen() {
        let checkpoint = Checkpoint {
            seq: 42,
            wal_start: Position::new(3, 4096),
            base: 40,
            increments: 2,
            digest: 0xdead_beef,
            previous_seq: 7,
            previous_wal_start: Position::new(1, 64),
        };
        let dir = tempfile::tempdir().unwrap();
        let disk = crate::disk::RealDisk::new();
        assert_eq!(Checkpoint::read(&disk, dir.path()).unwrap(), None);
        checkpoint.write(&disk, dir.path()).unwrap();
        assert_eq!(Checkpoint::read(&disk, dir.path()).unwrap(), Some(checkpoint));
        let path = dir.path().join("CHECKPOINT");
        let bytes = std::fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            let read = Checkpoint::read(&disk, dir.path()).unwrap();
            assert!(read.is_none() || read == Some(checkpoint), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let disk = crate::disk::RealDisk::new();
        assert_eq!(read_format(&disk, dir.path()).unwrap(), None);
        write_format(&disk, dir.path(), &[9; 16]).unwrap();
        assert_eq!(read_format(&disk, dir.path()).unwrap(), Some([9; 16]));
        let newer = sealed("tributary 1.4\n00000000-0000-0000-0000-000000000000\n");
        std::fs::write(dir.path().join("FORMAT"), newer).unwrap();
        assert_eq!(
            read_format(&disk, dir.path()).unwrap_err().message,
            "data directory was written by a newer version (format 1.4, this server reads up to 1.0)"
        );
    }

    #[test]
    fn a_second_opener_learns_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let disk = crate::disk::RealDisk::new();
        let held = lock(&disk, dir.path(), "127.0.0.1:5488").unwrap();
        let error = lock(&disk, dir.path(), "").err().unwrap();
        let expected =
            format!("data directory \"{}\" is in use by process {}", dir.path().display(), std::process::id());
        assert_eq!(error.message, expected);
        drop(held);
        lock(&disk, dir.path(), "").unwrap();
    }
}

//! The bytes of an immutable file, mapped or read piece by piece.
//!
//! For: parts and their indexes, which a server reads through maps, or with pread where the device is not trusted: what it
//! cannot read is then an error of the statement and not a signal that ends the process. Promises: a piece lies inside
//! the file or is an error; nothing that was read is kept. Does not: check what it reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::buffer::{Buffer, MutableBuffer};
use bytes::Bytes;

use crate::config::ScanIo;
use crate::disk::{Disk, DiskFile, at};
use crate::error::{Result, StoreError};

/// See the module. A file that is read is opened for each read, so that many parts need few descriptors.
pub(crate) enum FileBytes {
    Whole(Bytes),
    Read { disk: Arc<dyn Disk>, path: PathBuf, len: u64 },
}

impl std::fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBytes").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl FileBytes {
    pub(crate) fn open(disk: &Arc<dyn Disk>, path: &Path, io: ScanIo) -> std::io::Result<Self> {
        Ok(match io {
            ScanIo::Mmap => Self::Whole(disk.map(path)?),
            ScanIo::Pread => {
                let len = disk.open(path)?.size()?;
                Self::Read { disk: Arc::clone(disk), path: path.to_path_buf(), len }
            }
        })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Read { len, .. } => *len,
        }
    }

    /// Whether every access reads again, so that what was decoded should not be kept.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self, Self::Read { .. })
    }

    fn inside(&self, offset: u64, len: u64) -> Result<(usize, usize)> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len());
        let end = end.ok_or_else(|| StoreError::damaged("a range reaches past the end of its file"))?;
        let index = |at: u64| usize::try_from(at).map_err(|_| StoreError::damaged("a file is too large"));
        Ok((index(offset)?, index(end)?))
    }

    /// A piece of the file.
    pub(crate) fn range(&self, offset: u64, len: u64) -> Result<Bytes> {
        let (from, to) = self.inside(offset, len)?;
        match self {
            Self::Whole(bytes) => Ok(bytes.slice(from..to)),
            Self::Read { disk, path, .. } => {
                let mut out = vec![0; to - from];
                read(at("open", path, disk.open(path))?.as_ref(), path, offset, &mut out)?;
                Ok(Bytes::from(out))
            }
        }
    }

    /// A block of the file, of which only some ranges, given by offset and length in the file, are sure to be there.
    pub(crate) fn block(&self, offset: u64, len: u64, wanted: &[(u64, u64)]) -> Result<Buffer> {
        let (from, to) = self.inside(offset, len)?;
        match self {
            Self::Whole(bytes) => Ok(Buffer::from(bytes.slice(from..to))),
            Self::Read { disk, path, .. } => {
                let file = at("open", path, disk.open(path))?;
                // Pages that nothing is read into are never touched, so they cost no memory.
                let mut out = MutableBuffer::from_len_zeroed(to - from);
                for (offset, len) in wanted {
                    let (start, end) = self.inside(*offset, *len)?;
                    let inside = start >= from && end <= to;
                    let place = inside.then(|| &mut out.as_slice_mut()[start - from..end - from]);
                    let place =
                        place.ok_or_else(|| StoreError::damaged("a column reaches past the end of its block"))?;
                    read(file.as_ref(), path, *offset, place)?;
                }
                Ok(out.into())
            }
        }
    }
}

fn read(file: &dyn DiskFile, path: &Path, offset: u64, out: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < out.len() {
        match at("read", path, file.read_at(offset + done as u64, &mut out[done..]))? {
            0 => return Err(StoreError::damaged("the file ended while it was read")),
            read => done += read,
        }
    }
    Ok(())
}

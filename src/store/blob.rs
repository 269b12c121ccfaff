//! Immutable values above 64 KiB, one file each.
//!
//! For: bitmap versions and big delete sets, which would bloat the log and the meta store. Promises: a blob is whole
//! and durable before a frame names it, its crc travels in the reference, and one that no frame ever named takes its
//! file with it. Does not: share or deduplicate content.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::codec::{Put, Reader};
use crate::disk::at;
use crate::error::{Result, StoreError};
use crate::part::PartPlace;

/// Names a blob and what it must contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobRef {
    pub(crate) id: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

impl BlobRef {
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.put_u64(self.id);
        out.put_u64(self.len);
        out.put_u32(self.crc);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { id: reader.u64()?, len: reader.u64()?, crc: reader.u32()? })
    }
}

/// A blob file.
pub(crate) struct Blob {
    pub(crate) reference: BlobRef,
    place: Arc<PartPlace>,
    kept: AtomicBool,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Blob").field(&self.reference).finish()
    }
}

pub(crate) fn blob_path(place: &PartPlace, id: u64) -> PathBuf {
    place.data_dir.join("blobs").join(format!("{id:016x}"))
}

impl Blob {
    /// Writes a new blob; durable when this returns.
    pub(crate) fn write(place: &Arc<PartPlace>, id: u64, bytes: &[u8]) -> Result<Self> {
        let path = blob_path(place, id);
        crate::disk::write_atomic(place.disk.as_ref(), &path, bytes)?;
        let reference = BlobRef { id, len: bytes.len() as u64, crc: crc32c::crc32c(bytes) };
        Ok(Self { reference, place: Arc::clone(place), kept: AtomicBool::new(false) })
    }

    /// A blob some frame or metadata entry names.
    pub(crate) fn kept(place: &Arc<PartPlace>, reference: BlobRef) -> Self {
        Self { reference, place: Arc::clone(place), kept: AtomicBool::new(true) }
    }

    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    pub(crate) fn path(&self) -> PathBuf {
        blob_path(&self.place, self.reference.id)
    }

    /// The content, checked.
    pub(crate) fn read(&self) -> Result<Bytes> {
        let path = self.path();
        let bytes = at("map", &path, self.place.disk.map(&path))?;
        if bytes.len() as u64 != self.reference.len || crc32c::crc32c(&bytes) != self.reference.crc {
            metrics::counter!("crc_failures_total").increment(1);
            return Err(StoreError::damaged(format!("blob {:016x} is damaged", self.reference.id))
                .with_detail(format!("File blobs/{:016x}, offset 0.", self.reference.id)));
        }
        Ok(bytes)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Acquire) {
            return;
        }
        let path = self.path();
        if let Err(error) = self.place.disk.unlink(&path) {
            tracing::warn!(path = %path.display(), %error, "staged blob could not be removed; it is swept later");
        }
    }
}

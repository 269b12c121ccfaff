//! Files of `ckpt/`: eight bytes of magic, numbers, a compressed body, a checksum over all of it.
//!
//! For: dumps and increments, which differ in their numbers and in what the body means. Promises: nothing is believed
//! before the checksum matched; a body is never unpacked beyond the length the file gives, and that length allocates
//! nothing by itself. Does not: know what it holds.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Seq;
use crate::codec::{Put, Reader};
use crate::disk::{Disk, at};
use crate::error::{Result, StoreError};

const LEVEL: i32 = 1;

/// A kind of file: what it begins with, how its name ends, what messages call it.
pub(crate) struct Kind {
    pub(crate) magic: &'static [u8; 8],
    pub(crate) ending: &'static str,
    pub(crate) noun: &'static str,
}

pub(crate) fn ckpt_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("ckpt")
}

impl Kind {
    pub(crate) fn path(&self, data_dir: &Path, seq: Seq) -> PathBuf {
        ckpt_dir(data_dir).join(format!("{seq}.{}", self.ending))
    }

    /// Seqs of the files present, ascending.
    pub(crate) fn seqs(&self, disk: &dyn Disk, data_dir: &Path) -> Result<Vec<Seq>> {
        let dir = ckpt_dir(data_dir);
        let names = at("list", &dir, disk.list(&dir))?;
        let seq = |name: &String| name.strip_suffix(self.ending)?.strip_suffix('.')?.parse().ok();
        let mut seqs: Vec<Seq> = names.iter().filter_map(seq).collect();
        seqs.sort_unstable();
        Ok(seqs)
    }

    /// The error for a file that cannot be what it says.
    pub(crate) fn damaged(&self, seq: Seq, what: &str) -> StoreError {
        StoreError::damaged(format!("checkpoint {} {seq} is damaged", self.noun))
            .with_detail(format!("File ckpt/{seq}.{}: {what}.", self.ending))
    }

    /// The bytes of a file; its seq is the first of the numbers.
    pub(crate) fn encode<const N: usize>(&self, numbers: [u64; N], body: &[u8]) -> Result<Vec<u8>> {
        let packed = zstd::bulk::compress(body, LEVEL).map_err(|e| StoreError::internal(format!("zstd: {e}")))?;
        let mut out = Vec::with_capacity(packed.len() + 8 * N + 20);
        out.extend_from_slice(self.magic);
        numbers.into_iter().for_each(|number| out.put_u64(number));
        out.put_u64(body.len() as u64);
        out.extend_from_slice(&packed);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        Ok(out)
    }

    /// Numbers and body of a file.
    pub(crate) fn decode<const N: usize>(&self, bytes: &[u8], seq: Seq) -> Result<([u64; N], Vec<u8>)> {
        let damaged = |what| self.damaged(seq, what);
        let (checked, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("too short"))?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
            return Err(damaged("the checksum does not match"));
        }
        let mut reader = Reader::new(checked);
        if reader.take(8)? != self.magic {
            return Err(damaged("it is another kind of file"));
        }
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = reader.u64()?;
        }
        if numbers.first() != Some(&seq) {
            return Err(damaged("it is another kind of file"));
        }
        let len = reader.u64()?;
        let mut body = Vec::new();
        let packed = zstd::stream::read::Decoder::new(reader.take(reader.remaining())?);
        let unpacked = packed.and_then(|packed| packed.take(len.saturating_add(1)).read_to_end(&mut body));
        if unpacked.is_err() || body.len() as u64 != len {
            return Err(damaged("it does not decompress"));
        }
        Ok((numbers, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { magic: b"TRIBTST1", ending: "tst", noun: "test" };

    /// A file whose checksum matches but whose length does not: neither gigabytes nor a shortened body.
    #[test]
    fn a_length_is_believed_only_if_the_body_has_it() {
        let body = vec![7; 100_000];
        let good = KIND.encode([5, 6], &body).unwrap();
        assert_eq!(KIND.decode::<2>(&good, 5).unwrap(), ([5, 6], body));
        for claimed in [0, 99_999, 100_001, u64::MAX] {
            let mut bad = good.clone();
            bad[24..32].copy_from_slice(&claimed.to_le_bytes());
            let end = bad.len() - 4;
            let crc = crc32c::crc32c(&bad[..end]);
            bad[end..].copy_from_slice(&crc.to_le_bytes());
            let error = KIND.decode::<2>(&bad, 5).unwrap_err();
            assert_eq!(error.detail.as_deref(), Some("File ckpt/5.tst: it does not decompress."), "{claimed}");
        }
        for (bytes, seq) in [(&good[..3], 5), (&good[..20], 5), (&good[1..], 5), (&good[..], 6)] {
            assert_eq!(KIND.decode::<2>(bytes, seq).unwrap_err().sqlstate, "XX001");
        }
    }
}

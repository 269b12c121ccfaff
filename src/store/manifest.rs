//! What the metadata says about a source of rows.
//!
//! For: the manifest space of the meta store and the Replace operation of the log. Promises: an entry is at most 512
//! bytes and every field it will ever need for compaction, cold parts and keyed ranges is laid out now.
//! Does not: hold delete vectors; they have their own space.

use crate::Seq;
use crate::codec::{Put, Reader};
use crate::error::{Result, StoreError};

/// Limit: bytes of one bound of the key range.
const KEY_RANGE_BYTES_MAX: usize = 64;

/// File format of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartFormat {
    Arrow,
    /// Reserved for cold parts.
    Parquet,
}

/// Length and crc32c of a whole file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileSum {
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    pub(crate) part: u32,
    pub(crate) format: PartFormat,
    pub(crate) idx_generation: u32,
    pub(crate) run: u32,
    pub(crate) level: u8,
    /// Value of `partition_by`; 0 without one.
    pub(crate) bucket: i64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) min_seq: Seq,
    pub(crate) max_seq: Seq,
    /// Bounds of the leading `order_by` column in its row encoding, empty when unknown.
    pub(crate) key_min: Vec<u8>,
    pub(crate) key_max: Vec<u8>,
    pub(crate) data: FileSum,
    pub(crate) idx: FileSum,
}

/// A value of the manifest space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceEntry {
    Part(ManifestEntry),
    /// A delta generation that is live; its rows are in the log.
    Delta,
}

impl ManifestEntry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.part);
        out.put_u8(match self.format {
            PartFormat::Arrow => 0,
            PartFormat::Parquet => 1,
        });
        out.put_u32(self.idx_generation);
        out.put_u32(self.run);
        out.put_u8(self.level);
        out.put_i64(self.bucket);
        out.put_u64(self.rows);
        out.put_u64(self.bytes);
        out.put_u64(self.min_seq);
        out.put_u64(self.max_seq);
        for bound in [&self.key_min, &self.key_max] {
            out.put_bytes(&bound[..bound.len().min(KEY_RANGE_BYTES_MAX)]);
        }
        for sum in [self.data, self.idx] {
            out.put_u64(sum.len);
            out.put_u32(sum.crc);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            part: reader.u32()?,
            format: match reader.u8()? {
                0 => PartFormat::Arrow,
                1 => PartFormat::Parquet,
                other => return Err(StoreError::damaged(format!("part has unknown format {other}"))),
            },
            idx_generation: reader.u32()?,
            run: reader.u32()?,
            level: reader.u8()?,
            bucket: reader.i64()?,
            rows: rows_of_a_part(reader)?,
            bytes: reader.u64()?,
            min_seq: reader.u64()?,
            max_seq: reader.u64()?,
            key_min: reader.bytes()?.to_vec(),
            key_max: reader.bytes()?.to_vec(),
            data: FileSum { len: reader.u64()?, crc: reader.u32()? },
            idx: FileSum { len: reader.u64()?, crc: reader.u32()? },
        })
    }
}

/// Limit: row numbers of a part are 32 bits.
fn rows_of_a_part(reader: &mut Reader<'_>) -> Result<u64> {
    let rows = reader.u64()?;
    if rows > 1 << 32 {
        return Err(StoreError::damaged(format!("part claims {rows} rows")));
    }
    Ok(rows)
}

impl SourceEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Delta => out.put_u8(0),
            Self::Part(entry) => {
                out.put_u8(1);
                entry.encode(&mut out);
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let entry = match reader.u8()? {
            0 => Self::Delta,
            1 => Self::Part(ManifestEntry::decode(&mut reader)?),
            other => return Err(StoreError::damaged(format!("manifest entry has unknown kind {other}"))),
        };
        reader.end()?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_within_their_limit() {
        let entry = SourceEntry::Part(ManifestEntry {
            part: 17,
            format: PartFormat::Arrow,
            idx_generation: 1,
            run: 2,
            level: 3,
            bucket: -4,
            rows: 1 << 32,
            bytes: 6,
            min_seq: 7,
            max_seq: 8,
            key_min: vec![9; KEY_RANGE_BYTES_MAX],
            key_max: vec![10; KEY_RANGE_BYTES_MAX],
            data: FileSum { len: 11, crc: 12 },
            idx: FileSum { len: 13, crc: 14 },
        });
        let bytes = entry.encode();
        assert!(bytes.len() <= 512);
        assert_eq!(SourceEntry::decode(&bytes).unwrap(), entry);
        for cut in 0..bytes.len() {
            assert!(SourceEntry::decode(&bytes[..cut]).is_err());
        }
    }
}

//! The logical dump: all metadata entries at one commit, in one file.
//!
//! For: rebuilding the meta store when it is lost. Promises: written under another name, synced, renamed, read back
//! and compared before CHECKPOINT points at it; carries its own log position, so the newest valid dump is enough when
//! CHECKPOINT is lost too; equal states give byte-identical dumps. Does not: hold increments; see `increment.rs`.

use std::path::{Path, PathBuf};

use crate::Seq;
use crate::codec::{Put, Reader};
use crate::disk::{Disk, at, read_file, write_atomic};
use crate::error::{Result, StoreError};
use crate::frame::Position;
use crate::snapshot::Space;
use crate::state::{Entry, digest};

const MAGIC: &[u8; 8] = b"TRIBDMP1";
const LEVEL: i32 = 1;

/// A dump in memory.
#[derive(Debug)]
pub(crate) struct Dump {
    pub(crate) seq: Seq,
    pub(crate) wal_start: Position,
    pub(crate) digest: u64,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) fn ckpt_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("ckpt")
}

pub(crate) fn dump_path(data_dir: &Path, seq: Seq) -> PathBuf {
    ckpt_dir(data_dir).join(format!("{seq}.base"))
}

/// Seqs of the dumps present, ascending.
pub(crate) fn dumps(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<Seq>> {
    let dir = ckpt_dir(data_dir);
    let names = at("list", &dir, disk.list(&dir))?;
    let mut seqs: Vec<Seq> = names.iter().filter_map(|name| name.strip_suffix(".base")?.parse().ok()).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

fn encode(seq: Seq, wal_start: Position, digest: u64, entries: &[Entry]) -> Result<Vec<u8>> {
    let mut raw = Vec::new();
    for (space, key, value) in entries {
        raw.put_u8(*space as u8);
        raw.put_bytes(key);
        raw.put_bytes(value);
    }
    let packed = zstd::bulk::compress(&raw, LEVEL).map_err(|e| StoreError::internal(format!("zstd: {e}")))?;
    let mut out = Vec::with_capacity(packed.len() + 64);
    out.extend_from_slice(MAGIC);
    out.put_u64(seq);
    out.put_u64(wal_start.0);
    out.put_u64(digest);
    out.put_u64(entries.len() as u64);
    out.put_u64(raw.len() as u64);
    out.extend_from_slice(&packed);
    let crc = crc32c::crc32c(&out);
    out.put_u32(crc);
    Ok(out)
}

/// Reads a dump and checks all of it.
pub(crate) fn read(disk: &dyn Disk, data_dir: &Path, seq: Seq) -> Result<Dump> {
    let path = dump_path(data_dir, seq);
    let damaged = |what: &str| {
        StoreError::damaged(format!("checkpoint dump {seq} is damaged"))
            .with_detail(format!("File ckpt/{seq}.base: {what}."))
    };
    let bytes = read_file(disk, &path)?;
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("too short"))?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(damaged("the checksum does not match"));
    }
    let mut reader = Reader::new(body);
    if reader.take(8)? != MAGIC || reader.u64()? != seq {
        return Err(damaged("it is another kind of file"));
    }
    let wal_start = Position(reader.u64()?);
    let expected = reader.u64()?;
    let count = reader.u64()?;
    let raw_len = usize::try_from(reader.u64()?).map_err(|_| damaged("too large"))?;
    let packed = reader.take(reader.remaining())?;
    let raw = zstd::bulk::decompress(packed, raw_len).map_err(|_| damaged("it does not decompress"))?;
    let mut reader = Reader::new(&raw);
    let mut entries = Vec::new();
    while reader.remaining() > 0 {
        entries.push((Space::from_u8(reader.u8()?)?, reader.bytes()?.to_vec(), reader.bytes()?.to_vec()));
    }
    if entries.len() as u64 != count || digest(&entries) != expected {
        return Err(damaged("its entries do not add up"));
    }
    Ok(Dump { seq, wal_start, digest: expected, entries })
}

/// Writes a dump and reads it back. Gives its digest.
pub(crate) fn write(disk: &dyn Disk, data_dir: &Path, seq: Seq, wal_start: Position, entries: &[Entry]) -> Result<u64> {
    let digest = digest(entries);
    let path = dump_path(data_dir, seq);
    write_atomic(disk, &path, &encode(seq, wal_start, digest, entries)?)?;
    let back = read(disk, data_dir, seq)?;
    if back.digest != digest || back.wal_start != wal_start {
        return Err(StoreError::damaged(format!("checkpoint dump {seq} reads back differently")));
    }
    Ok(digest)
}

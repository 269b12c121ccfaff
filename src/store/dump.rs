//! The logical dump: all metadata entries at one commit, in one file.
//!
//! For: rebuilding the meta store when it is lost. Promises: written under another name, synced, renamed, read back
//! and compared before CHECKPOINT points at it; carries its own log position, so the newest valid dump is enough when
//! CHECKPOINT is lost too; equal states give byte-identical dumps. Does not: hold increments; see `increment.rs`.

use std::path::{Path, PathBuf};

use crate::Seq;
use crate::ckpt_file::Kind;
use crate::codec::{Put, Reader};
use crate::disk::{Disk, read_file, write_atomic};
use crate::error::{Result, StoreError};
use crate::frame::Position;
use crate::snapshot::Space;
use crate::state::{Entry, digest};

const KIND: Kind = Kind { magic: b"TRIBDMP1", ending: "base", noun: "dump" };

/// A dump in memory.
#[derive(Debug)]
pub(crate) struct Dump {
    pub(crate) seq: Seq,
    pub(crate) wal_start: Position,
    pub(crate) digest: u64,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) fn dump_path(data_dir: &Path, seq: Seq) -> PathBuf {
    KIND.path(data_dir, seq)
}

/// Seqs of the dumps present, ascending.
pub(crate) fn dumps(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<Seq>> {
    KIND.seqs(disk, data_dir)
}

fn encode(seq: Seq, wal_start: Position, digest: u64, entries: &[Entry]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for (space, key, value) in entries {
        body.put_u8(*space as u8);
        body.put_bytes(key);
        body.put_bytes(value);
    }
    KIND.encode([seq, wal_start.0, digest, entries.len() as u64], &body)
}

/// Checks all bytes of a dump.
pub(crate) fn decode(bytes: &[u8], seq: Seq) -> Result<Dump> {
    let ([_, wal_start, expected, count], body) = KIND.decode(bytes, seq)?;
    let mut reader = Reader::new(&body);
    let mut entries = Vec::new();
    while reader.remaining() > 0 {
        entries.push((Space::from_u8(reader.u8()?)?, reader.bytes()?.to_vec(), reader.bytes()?.to_vec()));
    }
    if entries.len() as u64 != count || digest(&entries) != expected {
        return Err(KIND.damaged(seq, "its entries do not add up"));
    }
    Ok(Dump { seq, wal_start: Position(wal_start), digest: expected, entries })
}

/// Reads a dump and checks all of it.
pub(crate) fn read(disk: &dyn Disk, data_dir: &Path, seq: Seq) -> Result<Dump> {
    decode(&read_file(disk, &dump_path(data_dir, seq))?, seq)
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

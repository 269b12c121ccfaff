//! Increments of the dump: the latest value of every key that changed, so that a checkpoint writes what is new.
//!
//! For: large catalogs and key spaces. `<seq>.inc` holds what changed since `from`, which lies two checkpoints back, and
//! can be put on any state from there on: so every interval is in two files, and one damaged increment or base is
//! survivable. Promises: written as dumps are (other name, synced, renamed, read back); a chain counts only as far as its
//! digests hold. Does not: decide between increment and base; checkpoints do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::Seq;
use crate::codec::{Put, Reader};
use crate::disk::{Disk, at, read_file, write_atomic};
use crate::dump::{self, Dump, ckpt_dir};
use crate::error::{Result, StoreError};
use crate::frame::Position;
use crate::snapshot::Space;
use crate::state::{Entry, digest};

const MAGIC: &[u8; 8] = b"TRIBINC1";
const LEVEL: i32 = 1;

/// A key of the metadata.
pub(crate) type MetaKey = (Space, Vec<u8>);

/// What changed between two commits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Increment {
    /// Can be put on any state from here on.
    pub(crate) from: Seq,
    /// The state it leads to.
    pub(crate) seq: Seq,
    pub(crate) wal_start: Position,
    /// Digest of all entries at `seq`.
    pub(crate) digest: u64,
    /// None = the key is gone.
    pub(crate) changes: Vec<(MetaKey, Option<Vec<u8>>)>,
}

pub(crate) fn increment_path(data_dir: &Path, seq: Seq) -> PathBuf {
    ckpt_dir(data_dir).join(format!("{seq}.inc"))
}

/// Seqs of the increments present, ascending.
pub(crate) fn increments(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<Seq>> {
    let dir = ckpt_dir(data_dir);
    let names = at("list", &dir, disk.list(&dir))?;
    let mut seqs: Vec<Seq> = names.iter().filter_map(|name| name.strip_suffix(".inc")?.parse().ok()).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

impl Increment {
    /// The entries of these keys as they are in `all`, which is sorted.
    pub(crate) fn of(keys: &BTreeSet<MetaKey>, all: &[Entry]) -> Vec<(MetaKey, Option<Vec<u8>>)> {
        let value = |(space, key): &MetaKey| {
            let found = all.binary_search_by(|(s, k, _)| (s, k).cmp(&(space, key)));
            found.ok().map(|index| all[index].2.clone())
        };
        keys.iter().map(|key| (key.clone(), value(key))).collect()
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        for ((space, key), value) in &self.changes {
            raw.put_u8(*space as u8);
            raw.put_bytes(key);
            raw.put_u8(u8::from(value.is_some()));
            raw.put_bytes(value.as_deref().unwrap_or_default());
        }
        let packed = zstd::bulk::compress(&raw, LEVEL).map_err(|e| StoreError::internal(format!("zstd: {e}")))?;
        let mut out = Vec::with_capacity(packed.len() + 72);
        out.extend_from_slice(MAGIC);
        out.put_u64(self.seq);
        out.put_u64(self.from);
        out.put_u64(self.wal_start.0);
        out.put_u64(self.digest);
        out.put_u64(self.changes.len() as u64);
        out.put_u64(raw.len() as u64);
        out.extend_from_slice(&packed);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        Ok(out)
    }

    /// Reads an increment and checks all of it.
    pub(crate) fn read(disk: &dyn Disk, data_dir: &Path, seq: Seq) -> Result<Self> {
        let damaged = |what: &str| {
            StoreError::damaged(format!("checkpoint increment {seq} is damaged"))
                .with_detail(format!("File ckpt/{seq}.inc: {what}."))
        };
        let bytes = read_file(disk, &increment_path(data_dir, seq))?;
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("too short"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged("the checksum does not match"));
        }
        let mut reader = Reader::new(body);
        if reader.take(8)? != MAGIC || reader.u64()? != seq {
            return Err(damaged("it is another kind of file"));
        }
        let (from, wal_start, digest) = (reader.u64()?, Position(reader.u64()?), reader.u64()?);
        let count = reader.u64()?;
        let raw_len = usize::try_from(reader.u64()?).map_err(|_| damaged("too large"))?;
        let raw = zstd::bulk::decompress(reader.take(reader.remaining())?, raw_len)
            .map_err(|_| damaged("it does not decompress"))?;
        let mut reader = Reader::new(&raw);
        let mut changes = Vec::new();
        while reader.remaining() > 0 {
            let key = (Space::from_u8(reader.u8()?)?, reader.bytes()?.to_vec());
            let present = reader.u8()? != 0;
            let value = reader.bytes()?.to_vec();
            changes.push((key, present.then_some(value)));
        }
        if changes.len() as u64 != count || from >= seq {
            return Err(damaged("its entries do not add up"));
        }
        Ok(Self { from, seq, wal_start, digest, changes })
    }

    /// Writes the increment and reads it back; gives its bytes.
    pub(crate) fn write(&self, disk: &dyn Disk, data_dir: &Path) -> Result<u64> {
        let bytes = self.encode()?;
        write_atomic(disk, &increment_path(data_dir, self.seq), &bytes)?;
        if Self::read(disk, data_dir, self.seq)? != *self {
            return Err(StoreError::damaged(format!("checkpoint increment {} reads back differently", self.seq)));
        }
        Ok(bytes.len() as u64)
    }
}

/// What the files of `ckpt/` give.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// The newest state that can be built.
    pub(crate) dump: Option<Dump>,
    /// Files that do not verify, by name.
    pub(crate) damaged: Vec<(String, StoreError)>,
}

/// The newest state at or before `limit` that some base and the increments after it give.
pub(crate) fn newest(disk: &dyn Disk, data_dir: &Path, limit: Seq) -> Result<Chain> {
    let mut chain = Chain::default();
    let mut later: Vec<Increment> = Vec::new();
    for seq in increments(disk, data_dir)?.into_iter().filter(|seq| *seq <= limit) {
        match Increment::read(disk, data_dir, seq) {
            Ok(increment) => later.push(increment),
            Err(error) => chain.damaged.push((format!("ckpt/{seq}.inc"), error)),
        }
    }
    for seq in dump::dumps(disk, data_dir)?.into_iter().rev().filter(|seq| *seq <= limit) {
        let base = match dump::read(disk, data_dir, seq) {
            Ok(base) => base,
            Err(error) => {
                chain.damaged.push((format!("ckpt/{seq}.base"), error));
                continue;
            }
        };
        if let Some(best) = &chain.dump
            && later.iter().all(|increment| increment.seq <= best.seq)
        {
            continue;
        }
        let built = build(base, &later);
        if chain.dump.as_ref().is_none_or(|best| built.seq > best.seq) {
            chain.dump = Some(built);
        }
    }
    Ok(chain)
}

/// Puts every increment that fits on a base, the furthest first.
fn build(base: Dump, increments: &[Increment]) -> Dump {
    let mut state = base;
    loop {
        let fitting = increments.iter().filter(|next| next.seq > state.seq && next.from <= state.seq);
        let mut fitting: Vec<&Increment> = fitting.collect();
        fitting.sort_by_key(|next| std::cmp::Reverse(next.seq));
        let Some(next) = fitting.into_iter().find_map(|next| applied(&state, next)) else { return state };
        state = next;
    }
}

/// The state after an increment; None if its digest is another one.
fn applied(state: &Dump, next: &Increment) -> Option<Dump> {
    let mut entries: BTreeMap<MetaKey, Vec<u8>> =
        state.entries.iter().map(|(space, key, value)| ((*space, key.clone()), value.clone())).collect();
    for (key, value) in &next.changes {
        match value {
            Some(value) => drop(entries.insert(key.clone(), value.clone())),
            None => drop(entries.remove(key)),
        }
    }
    let entries: Vec<Entry> = entries.into_iter().map(|((space, key), value)| (space, key, value)).collect();
    let (seq, wal_start) = (next.seq, next.wal_start);
    (digest(&entries) == next.digest).then_some(Dump { seq, wal_start, digest: next.digest, entries })
}

/// Keys that changed since the last checkpoint and since the one before.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    now: Since,
    before: Option<Since>,
}

/// Every key that changed after a commit.
#[derive(Debug, Default, Clone)]
pub(crate) struct Since {
    pub(crate) seq: Seq,
    pub(crate) keys: BTreeSet<MetaKey>,
}

impl Changes {
    /// Nothing is known of what changed before `seq`.
    pub(crate) fn from(seq: Seq) -> Self {
        Self { now: Since { seq, keys: BTreeSet::new() }, before: None }
    }

    pub(crate) fn add(&mut self, keys: impl Iterator<Item = MetaKey>) {
        self.now.keys.extend(keys);
    }

    /// What an increment to `seq` must hold: everything since the checkpoint before the last. None when that is not
    /// known. From here on, changes belong to the next one.
    pub(crate) fn take(&mut self, seq: Seq) -> (Option<Since>, Since) {
        let taken = std::mem::replace(&mut self.now, Since { seq, keys: BTreeSet::new() });
        let both = self.before.clone().map(|mut before| {
            before.keys.extend(taken.keys.iter().cloned());
            before
        });
        (both, taken)
    }

    /// The checkpoint was taken.
    pub(crate) fn settle(&mut self, taken: Since) {
        self.before = Some(taken);
    }

    /// The checkpoint failed: what was taken is still to be written.
    pub(crate) fn put_back(&mut self, taken: Since) {
        self.now.seq = taken.seq;
        self.now.keys.extend(taken.keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{SimDisk, SimRandom};

    /// Random histories of checkpoints: whatever single file is damaged, the newest state, or the one before if it is
    /// the newest increment, is built from the others.
    #[test]
    fn any_one_damaged_file_is_survivable() {
        for seed in 0..30 {
            let mut random = SimRandom::new(seed);
            let (disk, dir) = (SimDisk::new(), Path::new("/sim/data"));
            disk.create_dir(&ckpt_dir(dir)).unwrap();
            let mut state: BTreeMap<MetaKey, Vec<u8>> = BTreeMap::new();
            let mut history: Vec<(Seq, Vec<Entry>)> = Vec::new();
            let mut changes = Changes::from(0);
            for checkpoint in 1..=9u64 {
                let seq = checkpoint * 10;
                for _ in 0..random.below(6) {
                    let key = (Space::Kv, vec![random.below(8) as u8]);
                    match random.chance(30) {
                        true => drop(state.remove(&key)),
                        false => drop(state.insert(key.clone(), random.bits().to_le_bytes().to_vec())),
                    }
                    changes.add([key].into_iter());
                }
                let all: Vec<Entry> = state.iter().map(|((s, k), v)| (*s, k.clone(), v.clone())).collect();
                let (since, taken) = changes.take(seq);
                let wal_start = Position::new(1, checkpoint as u32);
                if let Some(since) = since {
                    let changes = Increment::of(&since.keys, &all);
                    let increment = Increment { from: since.seq, seq, wal_start, digest: digest(&all), changes };
                    increment.write(&disk, dir).unwrap();
                }
                if checkpoint <= 2 || checkpoint == 6 {
                    dump::write(&disk, dir, seq, wal_start, &all).unwrap();
                }
                changes.settle(taken);
                history.push((seq, all));
            }
            let files: Vec<PathBuf> = disk.files();
            assert_eq!(files.len(), 3 + 8);
            for damaged in [None].into_iter().chain(files.iter().map(Some)) {
                let copy = disk.fork();
                if let Some(path) = damaged {
                    copy.damage(path, |bytes| bytes[20] ^= 1).unwrap();
                }
                let chain = newest(&copy, dir, Seq::MAX).unwrap();
                let dump = chain.dump.unwrap();
                let newest_lost = damaged.is_some_and(|path| path.ends_with("90.inc"));
                assert_eq!(dump.seq, if newest_lost { 80 } else { 90 }, "seed {seed}, {damaged:?}");
                let expected = history.iter().find(|(seq, _)| *seq == dump.seq).map(|(_, all)| all.clone()).unwrap();
                assert_eq!(dump.entries, expected, "seed {seed}, {damaged:?}");
                assert_eq!(dump.wal_start, Position::new(1, (dump.seq / 10) as u32));
                assert_eq!(chain.damaged.len(), usize::from(damaged.is_some()));
            }
        }
    }
}

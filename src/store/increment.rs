//! Increments of the dump: the latest value of every key that changed, so that a checkpoint writes what is new.
//!
//! For: large catalogs and key spaces. `<seq>.inc` holds what changed since `from`, which lies two checkpoints back, and
//! can be put on any state from there on: so every interval is in two files, and one damaged increment or base is
//! survivable. Promises: written as dumps are (other name, synced, renamed, read back); a chain counts only as far as its
//! digests hold. Does not: decide between increment and base; checkpoints do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::Seq;
use crate::ckpt_file::Kind;
use crate::codec::{Put, Reader};
use crate::disk::{Disk, read_file, write_atomic};
use crate::dump::{self, Dump};
use crate::error::{Result, StoreError};
use crate::frame::Position;
use crate::snapshot::Space;
use crate::state::{Entry, entry_hash};

const KIND: Kind = Kind { magic: b"TRIBINC1", ending: "inc", noun: "increment" };

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
    KIND.path(data_dir, seq)
}

/// Seqs of the increments present, ascending.
pub(crate) fn increments(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<Seq>> {
    KIND.seqs(disk, data_dir)
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
        let mut body = Vec::new();
        for ((space, key), value) in &self.changes {
            body.put_u8(*space as u8);
            body.put_bytes(key);
            body.put_u8(u8::from(value.is_some()));
            body.put_bytes(value.as_deref().unwrap_or_default());
        }
        KIND.encode([self.seq, self.from, self.wal_start.0, self.digest, self.changes.len() as u64], &body)
    }

    /// Checks all bytes of an increment.
    pub(crate) fn decode(bytes: &[u8], seq: Seq) -> Result<Self> {
        let ([_, from, wal_start, digest, count], body) = KIND.decode(bytes, seq)?;
        let mut reader = Reader::new(&body);
        let mut changes = Vec::new();
        while reader.remaining() > 0 {
            let key = (Space::from_u8(reader.u8()?)?, reader.bytes()?.to_vec());
            let present = reader.u8()? != 0;
            let value = reader.bytes()?.to_vec();
            changes.push((key, present.then_some(value)));
        }
        if changes.len() as u64 != count || from >= seq {
            return Err(KIND.damaged(seq, "its entries do not add up"));
        }
        Ok(Self { from, seq, wal_start: Position(wal_start), digest, changes })
    }

    /// Reads an increment and checks all of it.
    pub(crate) fn read(disk: &dyn Disk, data_dir: &Path, seq: Seq) -> Result<Self> {
        Self::decode(&read_file(disk, &increment_path(data_dir, seq))?, seq)
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

/// Puts increments on a base, always the furthest that fits. Costs the base once and each change a few times, however
/// many increments there are.
fn build(base: Dump, increments: &[Increment]) -> Dump {
    let mut state = Building {
        seq: base.seq,
        wal_start: base.wal_start,
        digest: base.digest,
        entries: base.entries.into_iter().map(|(space, key, value)| ((space, key), value)).collect(),
    };
    loop {
        let fitting = increments.iter().filter(|next| next.seq > state.seq && next.from <= state.seq);
        let mut fitting: Vec<&Increment> = fitting.collect();
        fitting.sort_by_key(|next| std::cmp::Reverse(next.seq));
        if !fitting.into_iter().any(|next| state.advance(next)) {
            break;
        }
    }
    let entries = state.entries.into_iter().map(|((space, key), value)| (space, key, value)).collect();
    Dump { seq: state.seq, wal_start: state.wal_start, digest: state.digest, entries }
}

/// A state that increments are put on, with its digest kept up.
struct Building {
    seq: Seq,
    wal_start: Position,
    digest: u64,
    entries: BTreeMap<MetaKey, Vec<u8>>,
}

impl Building {
    /// Sets one key; gives what was there.
    fn set(&mut self, key: &MetaKey, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let share = |value: &Vec<u8>| entry_hash(key.0, &key.1, value);
        let added = value.as_ref().map_or(0, share);
        let before = match value {
            Some(value) => self.entries.insert(key.clone(), value),
            None => self.entries.remove(key),
        };
        self.digest = self.digest.wrapping_add(added).wrapping_sub(before.as_ref().map_or(0, share));
        before
    }

    /// Takes an increment; if its digest is another one, everything is as before and the answer is false.
    fn advance(&mut self, next: &Increment) -> bool {
        let undo: Vec<_> = next.changes.iter().map(|(key, value)| (key, self.set(key, value.clone()))).collect();
        let right = self.digest == next.digest;
        if right {
            (self.seq, self.wal_start) = (next.seq, next.wal_start);
        } else {
            undo.into_iter().rev().for_each(|(key, before)| drop(self.set(key, before)));
        }
        right
    }
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
    use crate::ckpt_file::ckpt_dir;
    use crate::sim::{SimDisk, SimRandom};
    use crate::state::digest;

    /// An increment that leads somewhere else than it says is passed over, and nothing of it stays.
    #[test]
    fn an_increment_with_another_digest_leaves_the_state_as_it_was() {
        let entry = |key: u8, value: u8| (Space::Kv, vec![key], vec![value]);
        let change = |key: u8, value: Option<u8>| ((Space::Kv, vec![key]), value.map(|value| vec![value]));
        let base = || {
            let entries = vec![entry(1, 1), entry(2, 2), entry(3, 3)];
            Dump { seq: 10, wal_start: Position::new(1, 64), digest: digest(&entries), entries }
        };
        let after = vec![entry(1, 9), entry(3, 3), entry(4, 4)];
        let wal_start = Position::new(2, 64);
        let changes = vec![change(1, Some(9)), change(2, None), change(4, Some(4)), change(5, None)];
        let right = Increment { from: 10, seq: 20, wal_start, digest: digest(&after), changes };
        let wrong = Increment { digest: right.digest + 1, seq: 30, ..right.clone() };
        let built = build(base(), std::slice::from_ref(&wrong));
        assert_eq!((built.seq, built.digest, &built.entries), (10, base().digest, &base().entries));
        let built = build(base(), &[right, wrong]);
        assert_eq!((built.seq, built.wal_start, built.digest, &built.entries), (20, wal_start, digest(&after), &after));
    }

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

//! The meta store in sled 0.34.7, under rules that make its weaknesses harmless.
//!
//! For: `data/meta/`. The rules: one thread owns it; operations arrive after the log is synced; no flush by time, no
//! compression, a bounded cache; values are paged into pieces of at most 4 KiB, because sled's files for large values
//! are never synced; durable only through `flush` followed by `syncfs` on the directory, because sled's own flush is
//! `sync_file_range`; opened under `catch_unwind` and `meta::Watched`; a digest is kept beside the entries and compared at
//! open, so an older or damaged copy is found. Does not: serve readers.

use std::path::{Path, PathBuf};

use sled::Tree;
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional, TransactionalTree};

use crate::Seq;
use crate::codec::Reader;
use crate::error::{Result, StoreError};
use crate::meta::{MetaOpener, MetaPut, MetaStore, Visit, caught};
use crate::snapshot::Space;
use crate::state::entry_hash;

/// Limit: bytes of one stored piece of a value.
const PAGE_BYTES: usize = 4_096;
const APPLIED: &[u8] = b"applied";
const DIGEST: &[u8] = b"digest";

/// Opens `data/meta`.
pub(crate) struct SledOpener {
    dir: PathBuf,
    cache_bytes: u64,
    syncs: bool,
}

impl SledOpener {
    pub(crate) fn new(data_dir: &Path, cache_bytes: u64, syncs: bool) -> Self {
        Self { dir: data_dir.join("meta"), cache_bytes, syncs }
    }
}

struct SledMeta {
    db: sled::Db,
    /// One per space, in the order of `Space::ALL`, then the counters.
    trees: Vec<Tree>,
    dir: PathBuf,
    syncs: bool,
}

fn failed(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new("58030", format!("meta store failed: {error}"))
}

impl MetaOpener for SledOpener {
    fn open(&self) -> Result<Box<dyn MetaStore>> {
        Ok(Box::new(caught(|| SledMeta::open(self))?))
    }

    fn set_aside(&self, time_us: i64) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let aside = self.dir.with_extension(format!("bad-{time_us}"));
        std::fs::rename(&self.dir, &aside).map_err(|error| StoreError::io("rename", &self.dir, &error))
    }
}

impl SledMeta {
    fn open(opener: &SledOpener) -> Result<Self> {
        let config = sled::Config::new()
            .path(&opener.dir)
            .flush_every_ms(None)
            .use_compression(false)
            .cache_capacity(opener.cache_bytes)
            .mode(sled::Mode::LowSpace);
        let db = opened(&config).map_err(|error| failed(&error))?;
        let names = ["catalog", "manifest", "deletes", "kv", "token", "counters"];
        let open = |name: &&str| db.open_tree(name).map_err(|error| failed(&error));
        let trees = names.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Self { db, trees, dir: opener.dir.clone(), syncs: opener.syncs })
    }

    fn tree(&self, space: Space) -> &Tree {
        &self.trees[space as usize]
    }

    fn counter(&self, name: &[u8]) -> Result<u64> {
        match self.trees[Space::ALL.len()].get(name).map_err(|error| failed(&error))? {
            Some(bytes) => Reader::new(&bytes).u64(),
            None => Ok(0),
        }
    }
}

/// The stored form of a key: zeros are escaped, two bytes end it, a page number follows. Order is preserved and no
/// key is a prefix of another.
fn stored_key(key: &[u8], page: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 6);
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&page.to_be_bytes());
    out
}

fn original_key(stored: &[u8]) -> Result<(Vec<u8>, u32)> {
    let damaged = || StoreError::damaged("meta store holds a malformed key");
    let (body, page) = stored.split_last_chunk::<4>().ok_or_else(damaged)?;
    let body = body.strip_suffix(&[0, 1]).ok_or_else(damaged)?;
    let mut key = Vec::with_capacity(body.len());
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xFF) {
            return Err(damaged());
        }
    }
    Ok((key, u32::from_be_bytes(*page)))
}

type InTransaction<T> = std::result::Result<T, ConflictableTransactionError<StoreError>>;

/// Removes the pages of a key and gives the value they made, if any.
fn remove_pages(tree: &TransactionalTree, key: &[u8]) -> InTransaction<Option<Vec<u8>>> {
    let mut value: Option<Vec<u8>> = None;
    for page in 0.. {
        let Some(bytes) = tree.remove(stored_key(key, page))? else { break };
        value.get_or_insert_default().extend_from_slice(&bytes);
    }
    Ok(value)
}

fn insert_pages(tree: &TransactionalTree, key: &[u8], value: &[u8]) -> InTransaction<()> {
    if value.is_empty() {
        tree.insert(stored_key(key, 0), Vec::new())?;
    }
    for (page, piece) in (0..).zip(value.chunks(PAGE_BYTES)) {
        tree.insert(stored_key(key, page), piece)?;
    }
    Ok(())
}

impl MetaStore for SledMeta {
    fn applied(&self) -> Result<Seq> {
        self.counter(APPLIED)
    }

    fn digest(&self) -> Result<u64> {
        self.counter(DIGEST)
    }

    fn scan(&self, space: Space, f: &mut Visit<'_>) -> Result<()> {
        let mut current: Option<(Vec<u8>, Vec<u8>, u32)> = None;
        for entry in self.tree(space).iter() {
            let (stored, piece) = entry.map_err(|error| failed(&error))?;
            let (key, page) = original_key(&stored)?;
            match &mut current {
                Some((of, value, next)) if *of == key && page == *next => {
                    value.extend_from_slice(&piece);
                    *next += 1;
                }
                _ if page != 0 => return Err(StoreError::damaged("meta store lacks a page of a value")),
                _ => {
                    if let Some((key, value, _)) = current.replace((key, piece.to_vec(), 1)) {
                        f(&key, &value)?;
                    }
                }
            }
        }
        match current {
            Some((key, value, _)) => f(&key, &value),
            None => Ok(()),
        }
    }

    fn apply(&mut self, seq: Seq, puts: &[MetaPut]) -> Result<()> {
        let digest = self.digest()?;
        let outcome = self.trees.as_slice().transaction(|trees| {
            let mut digest = digest;
            for put in puts {
                let tree = &trees[put.space as usize];
                if let Some(old) = remove_pages(tree, &put.key)? {
                    digest = digest.wrapping_sub(entry_hash(put.space, &put.key, &old));
                }
                if let Some(value) = &put.value {
                    insert_pages(tree, &put.key, value)?;
                    digest = digest.wrapping_add(entry_hash(put.space, &put.key, value));
                }
            }
            let counters = &trees[Space::ALL.len()];
            counters.insert(APPLIED, &seq.to_le_bytes())?;
            counters.insert(DIGEST, &digest.to_le_bytes())?;
            Ok(())
        });
        outcome.map_err(|error: TransactionError<StoreError>| match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) => failed(&error),
        })
    }

    fn checkpoint(&mut self) -> Result<Seq> {
        self.db.flush().map_err(|error| failed(&error))?;
        if self.syncs {
            let dir = std::fs::File::open(&self.dir).map_err(|error| failed(&error))?;
            rustix::fs::syncfs(&dir).map_err(|error| failed(&error))?;
        }
        self.applied()
    }
}

/// Opens sled, whose threads let go of its lock some time after it was closed. The directory's own LOCK is held, so
/// nobody else can have it.
fn opened(config: &sled::Config) -> sled::Result<sled::Db> {
    let mut left = LOCK_TRIES;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if left > 0 && error.to_string().contains("could not acquire lock") => {
                left -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            done => return done,
        }
    }
}

/// How often, and how far apart, a lock that is about to be let go is asked for: two seconds in all.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn put(space: Space, key: &[u8], value: Option<&[u8]>) -> MetaPut {
        MetaPut { space, key: key.to_vec(), value: value.map(<[u8]>::to_vec) }
    }

    fn contents(store: &dyn MetaStore) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for space in Space::ALL {
            store
                .scan(space, &mut |key, value| {
                    all.push((space, key.to_vec(), value.to_vec()));
                    Ok(())
                })
                .unwrap();
        }
        all
    }

    #[test]
    fn paged_values_awkward_keys_and_the_digest_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let opener = SledOpener::new(dir.path(), 16 << 20, true);
        let long: Vec<u8> = (0..300_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut store = opener.open().unwrap();
        assert_eq!(store.applied().unwrap(), 0);
        let puts = [
            put(Space::Kv, b"", Some(b"empty key")),
            put(Space::Kv, b"a", Some(b"")),
            put(Space::Kv, b"a\0", Some(&long)),
            put(Space::Kv, b"a\0\x01b", Some(&long[..4_096])),
            put(Space::Kv, b"a\xff", Some(&long[..4_097])),
            put(Space::Deletes, b"d", Some(&long)),
        ];
        store.apply(7, &puts).unwrap();
        store.apply(8, &[put(Space::Deletes, b"d", Some(b"short now")), put(Space::Kv, b"a", None)]).unwrap();
        assert_eq!(store.checkpoint().unwrap(), 8);
        let expected = vec![
            (Space::Deletes, b"d".to_vec(), b"short now".to_vec()),
            (Space::Kv, b"".to_vec(), b"empty key".to_vec()),
            (Space::Kv, b"a\0".to_vec(), long.clone()),
            (Space::Kv, b"a\0\x01b".to_vec(), long[..4_096].to_vec()),
            (Space::Kv, b"a\xff".to_vec(), long[..4_097].to_vec()),
        ];
        assert_eq!(contents(store.as_ref()), expected);
        drop(store);
        let store = opener.open().unwrap();
        assert_eq!((store.applied().unwrap(), contents(store.as_ref())), (8, expected.clone()));
        assert_eq!(store.digest().unwrap(), crate::state::digest(&expected));
    }

    #[test]
    fn an_older_copy_or_garbage_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let opener = SledOpener::new(dir.path(), 16 << 20, true);
        std::fs::create_dir(dir.path().join("meta")).unwrap();
        std::fs::write(dir.path().join("meta/db"), vec![0xA5; 100_000]).unwrap();
        std::fs::write(dir.path().join("meta/conf"), vec![0xA5; 100]).unwrap();
        assert!(opener.open().is_err());
        opener.set_aside(42).unwrap();
        assert!(dir.path().join("meta.bad-42").exists());
        assert_eq!(opener.open().unwrap().applied().unwrap(), 0);
    }
}

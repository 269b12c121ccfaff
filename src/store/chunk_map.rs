//! An ordered map that is cheap to clone and cheap to change after a clone.
//!
//! For: the tables, objects and key spaces of a snapshot. A commit changes a few keys while readers hold older
//! versions. Promises: clone is O(1); the first change after a clone copies one chunk and the list of chunks (for a
//! million keys about 4,000 pointers). Does not: shrink chunks after removals beyond dropping empty ones.
//! Tried: `BTreeMap` behind an `Arc` copies everything per commit; a persistent tree is four times the code.

use std::borrow::Borrow;
use std::sync::Arc;

/// Entries per chunk before it is split.
const CHUNK_ENTRIES_MAX: usize = 512;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct ChunkMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for ChunkMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for ChunkMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> ChunkMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The chunk that holds `key`, or would.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key).saturating_sub(1)
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let index = chunk.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        Some(&chunk[index].1)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let index = self.chunks.get(at)?.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[at]);
        Some(&mut chunk[index].1)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        }
        let chunk = Arc::make_mut(&mut chunks[at]);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(index) => Some(std::mem::replace(&mut chunk[index].1, value)),
            Err(index) => {
                chunk.insert(index, (key, value));
                self.len += 1;
                if chunk.len() > CHUNK_ENTRIES_MAX {
                    let upper = chunk.split_off(CHUNK_ENTRIES_MAX / 2);
                    chunks.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let index = self.chunks.get(at)?.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let (_, value) = Arc::make_mut(&mut chunks[at]).remove(index);
        if chunks[at].is_empty() {
            chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(k, v)| (k, v))
    }

    /// Entries from the first key `>= from` on, in order.
    pub(crate) fn iter_from<Q: Ord + ?Sized>(&self, from: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(from);
        let skip = self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|(k, _)| k.borrow() < from));
        self.chunks[at.min(self.chunks.len())..].iter().flat_map(|chunk| chunk.iter()).skip(skip).map(|(k, v)| (k, v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_like_a_btree_map(ops in prop::collection::vec((0u8..3, 0u16..3000, any::<u8>()), 0..4000)) {
            let mut map = ChunkMap::default();
            let mut twin = BTreeMap::new();
            let mut old = (map.clone(), twin.clone());
            for (i, (op, key, value)) in ops.into_iter().enumerate() {
                match op {
                    0 | 1 => prop_assert_eq!(map.insert(key, value), twin.insert(key, value)),
                    _ => prop_assert_eq!(map.remove(&key), twin.remove(&key)),
                }
                if i == 1000 {
                    old = (map.clone(), twin.clone());
                }
            }
            prop_assert_eq!(map.len(), twin.len());
            prop_assert!(map.iter().eq(twin.iter()));
            prop_assert!(map.iter_from(&1500).eq(twin.range(1500..)));
            prop_assert!(old.0.iter().eq(old.1.iter()), "a clone changed with its origin");
        }
    }
}

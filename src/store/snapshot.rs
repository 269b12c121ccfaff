//! One consistent state of everything, immutable and shared.
//!
//! For: every reader. A statement reads exactly one snapshot; taking one is a pointer copy and readers never wait.
//! Promises: nothing in a snapshot changes; files it names stay readable while it lives (they are mapped, and unlinked
//! only later). Does not: contain the own writes of a transaction; see `Txn::overlay`.

use std::sync::Arc;

use bytes::Bytes;

use crate::blob::Blob;
use crate::chunk_map::ChunkMap;
use crate::error::{Result, StoreError};
use crate::object::{Object, TableLayout};
use crate::source::Source;
use crate::{Oid, Seq};

/// Key spaces. Only [`Space::Kv`] and [`Space::Token`] take puts from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// Definitions of objects.
    Catalog = 0,
    /// Parts and delta generations.
    Manifest = 1,
    /// Delete vectors.
    Deletes = 2,
    /// State of the floors above: sequences, roles, settings, segment versions.
    Kv = 3,
    /// Idempotency tokens.
    Token = 4,
}

impl Space {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Catalog, Self::Manifest, Self::Deletes, Self::Kv, Self::Token];

    pub(crate) fn from_u8(value: u8) -> Result<Self> {
        let space = Self::ALL.get(usize::from(value)).copied();
        space.ok_or_else(|| StoreError::damaged(format!("unknown key space {value}")))
    }

    pub(crate) fn keyed(self) -> Result<usize> {
        match self {
            Self::Kv => Ok(0),
            Self::Token => Ok(1),
            _ => Err(StoreError::internal("this key space is the store's own")),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum ValueBody {
    Inline(Arc<[u8]>),
    Blob(Arc<Blob>),
}

/// A stored value.
#[derive(Debug, Clone)]
pub struct Value {
    pub(crate) version: Seq,
    pub(crate) body: ValueBody,
}

impl Value {
    pub(crate) fn inline(version: Seq, bytes: &[u8]) -> Self {
        Self { version, body: ValueBody::Inline(bytes.into()) }
    }

    pub(crate) fn blob(version: Seq, blob: Arc<Blob>) -> Self {
        Self { version, body: ValueBody::Blob(blob) }
    }

    /// The commit that put it, for `Expect::Version`.
    pub fn version(&self) -> Seq {
        self.version
    }

    /// Bytes of the value.
    pub fn size(&self) -> u64 {
        match &self.body {
            ValueBody::Inline(bytes) => bytes.len() as u64,
            ValueBody::Blob(blob) => blob.reference.len,
        }
    }

    /// The bytes; a value above 64 KiB is mapped from its file and its crc checked (XX001).
    pub fn read(&self) -> Result<Bytes> {
        match &self.body {
            ValueBody::Inline(bytes) => Ok(Bytes::from_owner(Arc::clone(bytes))),
            ValueBody::Blob(blob) => blob.read(),
        }
    }
}

/// A table at one commit.
#[derive(Debug, Clone)]
pub struct TableState {
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) sources: Vec<Arc<Source>>,
    /// Above every source number ever used by the table.
    pub(crate) next_source: u32,
    /// The generation that takes appends; not stored.
    pub(crate) open_generation: Option<u32>,
    pub(crate) last_change: Seq,
}

impl TableState {
    pub(crate) fn new(layout: Arc<TableLayout>) -> Self {
        Self { layout, sources: Vec::new(), next_source: 1, open_generation: None, last_change: 0 }
    }

    /// Columns and order.
    pub fn layout(&self) -> &Arc<TableLayout> {
        &self.layout
    }

    /// Parts and delta generations, by number.
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.sources.iter().map(|source| source.live_rows()).sum()
    }

    /// Bytes on disk and in memory, deleted rows included.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.bytes()).sum()
    }

    /// The last commit that changed rows or definition.
    pub fn last_change(&self) -> Seq {
        self.last_change
    }

    /// The source of this number.
    pub fn source(&self, number: u32) -> Option<&Arc<Source>> {
        let index = self.sources.binary_search_by_key(&number, |source| source.number()).ok()?;
        self.sources.get(index)
    }

    pub(crate) fn source_mut(&mut self, number: u32) -> Option<&mut Arc<Source>> {
        let index = self.sources.binary_search_by_key(&number, |source| source.number()).ok()?;
        self.sources.get_mut(index)
    }

    pub(crate) fn insert(&mut self, source: Source) {
        match self.sources.binary_search_by_key(&source.number(), |other| other.number()) {
            Ok(index) => self.sources[index] = Arc::new(source),
            Err(index) => self.sources.insert(index, Arc::new(source)),
        }
    }

    pub(crate) fn delta_bytes(&self) -> u64 {
        self.sources.iter().filter(|source| !source.is_part()).map(|source| source.bytes()).sum()
    }

    pub(crate) fn delta_rows(&self) -> u64 {
        self.sources.iter().filter(|source| !source.is_part()).map(|source| source.rows()).sum()
    }

    pub(crate) fn part_count(&self) -> usize {
        self.sources.iter().filter(|source| source.is_part()).count()
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) seq: Seq,
    pub(crate) catalog_version: Seq,
    pub(crate) next_oid: Oid,
    pub(crate) objects: ChunkMap<Oid, Arc<Object>>,
    pub(crate) names: ChunkMap<Arc<[u8]>, Oid>,
    pub(crate) tables: ChunkMap<Oid, Arc<TableState>>,
    pub(crate) keyed: [ChunkMap<Arc<[u8]>, Value>; 2],
    pub(crate) keyed_change: [Seq; 2],
}

impl Snapshot {
    /// The last commit it contains.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The last commit that changed a definition; plans and catalog views may be cached by it.
    pub fn catalog_version(&self) -> Seq {
        self.catalog_version
    }

    /// All objects, by oid.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter().map(|(_, object)| object)
    }

    /// The object of this oid.
    pub fn object(&self, oid: Oid) -> Option<&Arc<Object>> {
        self.objects.get(&oid)
    }

    /// The object that holds this name key.
    pub fn object_named(&self, name_key: &[u8]) -> Option<&Arc<Object>> {
        self.objects.get(self.names.get(name_key)?)
    }

    /// Number of objects.
    pub fn object_count(&self) -> usize {
        self.objects.len()
    }

    /// The rows of this object, if it has any layout.
    pub fn table(&self, oid: Oid) -> Option<&Arc<TableState>> {
        self.tables.get(&oid)
    }

    /// Every object with rows.
    pub fn tables(&self) -> impl Iterator<Item = (Oid, &Arc<TableState>)> {
        self.tables.iter().map(|(oid, table)| (*oid, table))
    }

    /// A value of [`Space::Kv`] or [`Space::Token`]; other spaces hold none.
    pub fn get(&self, space: Space, key: &[u8]) -> Option<Value> {
        self.keyed[space.keyed().ok()?].get(key).cloned()
    }

    /// Entries whose key starts with `prefix`, in key order.
    pub fn scan<'a>(&'a self, space: Space, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Arc<[u8]>, &'a Value)> + 'a {
        let map = space.keyed().ok().map(|index| &self.keyed[index]);
        map.into_iter().flat_map(move |map| map.iter_from(prefix)).take_while(move |(key, _)| key.starts_with(prefix))
    }
}

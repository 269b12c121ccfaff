//! `State::apply`: the one way a frame changes the state.
//!
//! For: the commit thread and recovery, which share this file so that what was acknowledged and what is replayed
//! cannot differ. Promises: applying a frame yields the metadata operations that bring the meta store to the same
//! state; frames the meta store already has (`seq <= meta_floor`) only bring back delta rows, which live nowhere else.
//! Does not: validate (the commit thread did) or touch the disk, except for delete sets kept as blobs.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::blob::Blob;
use crate::codec::{Put, Reader};
use crate::delta::{Delta, DeltaBatch};
use crate::error::{Result, StoreError};
use crate::manifest::SourceEntry;
use crate::object::Object;
use crate::op::{self, AddedPart, DeleteSet, Frame, Op, Rows};
use crate::part::{Part, PartPlace};
use crate::snapshot::{Snapshot, Space, TableState, Value};
use crate::source::{Body, Source};
use crate::{Oid, Seq};

/// The first oid given to an object of the engine, as in PostgreSQL.
pub const FIRST_OID: Oid = 16_384;

/// Key of the catalog entry that holds the oid counter; object keys have four bytes.
const COUNTER_KEY: &[u8] = b"o";

/// One metadata entry: space, key, value.
pub(crate) type Entry = (Space, Vec<u8>, Vec<u8>);

/// A value on its way to the meta store.
#[derive(Debug, Clone)]
pub(crate) enum MetaValue {
    Bytes(Vec<u8>),
    /// Serialized by the meta thread, once for all commits it takes together.
    Deletes(Arc<RoaringBitmap>),
}

/// An absolute put (or, without a value, delete) of one metadata entry.
#[derive(Debug, Clone)]
pub(crate) struct MetaOp {
    pub(crate) space: Space,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<MetaValue>,
}

impl MetaValue {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Deletes(rows) => op::bitmap_bytes(rows),
        }
    }
}

/// A file nothing in the newest state names any more.
#[derive(Debug, Clone)]
pub(crate) enum Retired {
    Part(Arc<Part>),
    Blob(Arc<Blob>),
}

/// The newest state, owned by the commit thread.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) snap: Snapshot,
    /// The meta store has everything up to here.
    pub(crate) meta_floor: Seq,
    /// Files to unlink once no snapshot and no log needs them.
    pub(crate) retired: Vec<(Seq, Retired)>,
    /// Delete sets whose blob was missing on replay: harmless unless the source is live at the end.
    pub(crate) missing: Vec<(Oid, u32, StoreError)>,
    place: Arc<PartPlace>,
}

fn source_key(table: Oid, source: u32) -> Vec<u8> {
    let mut key = table.to_be_bytes().to_vec();
    key.extend_from_slice(&source.to_be_bytes());
    key
}

fn put(space: Space, key: Vec<u8>, value: Vec<u8>) -> MetaOp {
    MetaOp { space, key, value: Some(MetaValue::Bytes(value)) }
}

fn remove(space: Space, key: Vec<u8>) -> MetaOp {
    MetaOp { space, key, value: None }
}

fn no_table(table: Oid) -> StoreError {
    StoreError::damaged(format!("write-ahead log names table {table}, which does not exist"))
}

impl State {
    pub(crate) fn new(place: Arc<PartPlace>) -> Self {
        let snap = Snapshot { next_oid: FIRST_OID, ..Snapshot::default() };
        Self { snap, meta_floor: 0, retired: Vec::new(), missing: Vec::new(), place }
    }

    /// Applies a committed transaction and adds to `meta` what the meta store must learn.
    pub(crate) fn apply(&mut self, frame: &Frame, meta: &mut Vec<MetaOp>) -> Result<()> {
        let known = frame.seq <= self.meta_floor;
        for op in &frame.ops {
            match op {
                Op::Append { table, generation, rows, .. } => {
                    self.append(frame.seq, known, *table, *generation, rows, meta)?;
                }
                Op::Carry { table, generation, pieces, deletes } => {
                    self.carry(known, *table, *generation, pieces, deletes.as_ref(), meta)?;
                }
                Op::Delete { table, sets } => {
                    for set in sets {
                        self.delete(frame.seq, known, *table, set, meta)?;
                    }
                }
                _ if known => {}
                Op::Replace { table, removed, added } => self.replace(frame.seq, *table, removed, added, meta)?,
                Op::Ddl { oid, object } => self.ddl(frame.seq, *oid, object.as_ref(), meta)?,
                Op::Put { space, key, value } => self.put(frame.seq, *space, key, value, meta)?,
                Op::Remove { space, key } => self.remove(frame.seq, *space, key, meta)?,
            }
        }
        self.snap.seq = self.snap.seq.max(frame.seq);
        Ok(())
    }

    fn table_mut(&mut self, table: Oid) -> Option<&mut TableState> {
        self.snap.tables.get_mut(&table).map(Arc::make_mut)
    }

    /// The delta generation, created if this is its first frame; None when it is gone from a state that is newer.
    fn generation(
        &mut self,
        known: bool,
        table: Oid,
        generation: u32,
        meta: &mut Vec<MetaOp>,
    ) -> Result<Option<&mut TableState>> {
        let Some(state) = self.snap.tables.get_mut(&table).map(Arc::make_mut) else {
            return if known { Ok(None) } else { Err(no_table(table)) };
        };
        if state.source(generation).is_none() {
            if known {
                return Ok(None);
            }
            state.insert(Source::delta(generation, Arc::default(), None));
            meta.push(put(Space::Manifest, source_key(table, generation), SourceEntry::Delta.encode()));
            raise_next_source(state, table, generation, meta);
        }
        Ok(Some(state))
    }

    fn append(
        &mut self,
        seq: Seq,
        known: bool,
        table: Oid,
        generation: u32,
        rows: &Rows,
        meta: &mut Vec<MetaOp>,
    ) -> Result<()> {
        let Some(state) = self.generation(known, table, generation, meta)? else { return Ok(()) };
        state.last_change = seq;
        state.open_generation = Some(generation);
        let source = state.source_mut(generation).map(Arc::make_mut);
        let source = source.ok_or_else(|| StoreError::internal("the generation was just made sure of"))?;
        let Body::Delta(delta) = &mut source.body else {
            return Err(StoreError::damaged(format!("source {generation} of table {table} is not a delta")));
        };
        Arc::make_mut(delta).push(DeltaBatch::new(Arc::clone(&rows.ids), rows.columns.clone(), rows.rows))
    }

    fn carry(
        &mut self,
        known: bool,
        table: Oid,
        generation: u32,
        pieces: &[Rows],
        deletes: Option<&Arc<RoaringBitmap>>,
        meta: &mut Vec<MetaOp>,
    ) -> Result<()> {
        let Some(state) = self.generation(known, table, generation, meta)? else { return Ok(()) };
        // Not a change: the rows are those there are.
        let mut delta = Delta::default();
        for rows in pieces {
            delta.push(DeltaBatch::new(Arc::clone(&rows.ids), rows.columns.clone(), rows.rows))?;
        }
        // Bits are only ever set: those a newer meta store already knows stay.
        let mut bits = deletes.map(|rows| RoaringBitmap::clone(rows)).unwrap_or_default();
        if let Some(old) = state.source(generation).and_then(|source| source.deletes()) {
            bits |= old;
        }
        let bits = if bits.is_empty() { None } else { Some(Arc::new(bits)) };
        state.insert(Source::delta(generation, Arc::new(delta), bits));
        Ok(())
    }

    fn delete(&mut self, seq: Seq, known: bool, table: Oid, set: &DeleteSet, meta: &mut Vec<MetaOp>) -> Result<()> {
        let rows = match &set.blob {
            Some(blob) => {
                blob.keep();
                self.retired.push((seq, Retired::Blob(Arc::clone(blob))));
                if set.rows.is_empty() {
                    blob.read().and_then(|bytes| op::bitmap_from(&bytes))
                } else {
                    Ok(RoaringBitmap::clone(&set.rows))
                }
            }
            None => Ok(RoaringBitmap::clone(&set.rows)),
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                self.missing.push((table, set.source, error));
                return Ok(());
            }
        };
        let Some(state) = self.table_mut(table) else {
            return if known { Ok(()) } else { Err(no_table(table)) };
        };
        let Some(source) = state.source_mut(set.source) else {
            if known {
                return Ok(());
            }
            let message = format!("write-ahead log deletes from source {} of table {table}, which is gone", set.source);
            return Err(StoreError::damaged(message));
        };
        if known && source.is_part() {
            return Ok(());
        }
        let mut bits = source.deletes.as_ref().map(|bits| RoaringBitmap::clone(bits)).unwrap_or_default();
        bits |= rows;
        let bits = Arc::new(bits);
        *source = Arc::new(source.with_deletes(Some(Arc::clone(&bits))));
        state.last_change = seq;
        if !known {
            let value = Some(MetaValue::Deletes(bits));
            meta.push(MetaOp { space: Space::Deletes, key: source_key(table, set.source), value });
        }
        Ok(())
    }

    fn replace(
        &mut self,
        seq: Seq,
        table: Oid,
        removed: &[u32],
        added: &[AddedPart],
        meta: &mut Vec<MetaOp>,
    ) -> Result<()> {
        let mut retired = Vec::new();
        let state = self.table_mut(table).ok_or_else(|| no_table(table))?;
        state.last_change = seq;
        for number in removed {
            let Ok(index) = state.sources.binary_search_by_key(number, |source| source.number()) else { continue };
            let source = state.sources.remove(index);
            retire(seq, &source, &mut retired);
            forget(table, &source, meta);
            if state.open_generation == Some(*number) {
                state.open_generation = None;
            }
        }
        for AddedPart { part, deletes } in added {
            let number = part.entry.part;
            part.keep();
            state.insert(Source::part(number, Arc::clone(part), deletes.clone()));
            let entry = SourceEntry::Part(part.entry.clone());
            meta.push(put(Space::Manifest, source_key(table, number), entry.encode()));
            if let Some(bits) = deletes {
                let value = Some(MetaValue::Deletes(Arc::clone(bits)));
                meta.push(MetaOp { space: Space::Deletes, key: source_key(table, number), value });
            }
            raise_next_source(state, table, number, meta);
        }
        self.retired.append(&mut retired);
        Ok(())
    }

    fn ddl(&mut self, seq: Seq, oid: Oid, object: Option<&Arc<Object>>, meta: &mut Vec<MetaOp>) -> Result<()> {
        self.snap.catalog_version = seq;
        if let Some(old) = self.snap.objects.get(&oid) {
            let name = Arc::clone(&old.name_key);
            if self.snap.names.get(&*name) == Some(&oid) {
                self.snap.names.remove(&*name);
            }
        }
        let layout = object.and_then(|object| object.layout.clone());
        match (layout, self.table_mut(oid)) {
            (Some(layout), Some(table)) => {
                table.layout = layout;
                table.last_change = seq;
            }
            (Some(layout), None) => {
                let table = TableState { last_change: seq, ..TableState::new(layout) };
                self.snap.tables.insert(oid, Arc::new(table));
            }
            (None, Some(_)) => self.drop_rows(seq, oid, meta),
            (None, None) => {}
        }
        match object {
            None => {
                self.snap.objects.remove(&oid);
                meta.push(remove(Space::Catalog, oid.to_be_bytes().to_vec()));
            }
            Some(object) => {
                if !object.name_key.is_empty() {
                    self.snap.names.insert(Arc::clone(&object.name_key), oid);
                }
                self.snap.objects.insert(oid, Arc::clone(object));
                meta.push(put(Space::Catalog, oid.to_be_bytes().to_vec(), object.encode()?));
                if oid >= self.snap.next_oid {
                    self.snap.next_oid = oid + 1;
                    meta.push(put(Space::Catalog, COUNTER_KEY.to_vec(), (oid + 1).to_le_bytes().to_vec()));
                }
            }
        }
        Ok(())
    }

    fn drop_rows(&mut self, seq: Seq, oid: Oid, meta: &mut Vec<MetaOp>) {
        if let Some(table) = self.snap.tables.remove(&oid) {
            for source in &table.sources {
                retire(seq, source, &mut self.retired);
                forget(oid, source, meta);
            }
            meta.push(remove(Space::Manifest, oid.to_be_bytes().to_vec()));
        }
    }

    fn put(&mut self, seq: Seq, space: Space, key: &Arc<[u8]>, value: &Value, meta: &mut Vec<MetaOp>) -> Result<()> {
        let index = space.keyed()?;
        let value = Value { version: seq, body: value.body.clone() };
        let mut bytes = Vec::new();
        op::put_value(&mut bytes, &value);
        meta.push(put(space, key.to_vec(), bytes));
        if let crate::snapshot::ValueBody::Blob(blob) = &value.body {
            blob.keep();
        }
        let old = self.snap.keyed[index].insert(Arc::clone(key), value);
        self.retire_value(seq, old);
        self.snap.keyed_change[index] = seq;
        Ok(())
    }

    fn remove(&mut self, seq: Seq, space: Space, key: &Arc<[u8]>, meta: &mut Vec<MetaOp>) -> Result<()> {
        let index = space.keyed()?;
        let old = self.snap.keyed[index].remove(&**key);
        self.retire_value(seq, old);
        self.snap.keyed_change[index] = seq;
        meta.push(remove(space, key.to_vec()));
        Ok(())
    }

    fn retire_value(&mut self, seq: Seq, old: Option<Value>) {
        if let Some(Value { body: crate::snapshot::ValueBody::Blob(blob), .. }) = old {
            self.retired.push((seq, Retired::Blob(blob)));
        }
    }

    /// Starts from the entries of a meta store or a dump.
    pub(crate) fn load(place: &Arc<PartPlace>, seq: Seq, entries: impl IntoIterator<Item = Entry>) -> Result<Self> {
        let mut state = Self::new(Arc::clone(place));
        let mut manifest = Vec::new();
        let mut deletes = Vec::new();
        for (space, key, value) in entries {
            match space {
                Space::Catalog if key == COUNTER_KEY => state.snap.next_oid = Reader::new(&value).u32()?,
                Space::Catalog => state.load_object(&value)?,
                Space::Manifest => manifest.push((key, value)),
                Space::Deletes => deletes.push((key, value)),
                Space::Kv | Space::Token => {
                    let mut reader = Reader::new(&value);
                    let loaded = op::get_value(&mut reader, place)?;
                    reader.end()?;
                    state.snap.keyed[space.keyed()?].insert(key.into(), loaded);
                }
            }
        }
        for (key, value) in &manifest {
            state.load_source(key, value)?;
        }
        for (key, value) in &deletes {
            let (table, number) = split_key(key)?;
            let bits = Arc::new(op::bitmap_from(value)?);
            let source = state.table_mut(table).and_then(|table| table.source_mut(number));
            let source = source.ok_or_else(|| StoreError::damaged("a delete vector has no source"))?;
            *source = Arc::new(source.with_deletes(Some(bits)));
        }
        state.snap.seq = seq;
        state.snap.catalog_version = seq;
        state.snap.keyed_change = [seq; 2];
        state.meta_floor = seq;
        Ok(state)
    }

    fn load_object(&mut self, value: &[u8]) -> Result<()> {
        let object = Arc::new(Object::decode(value)?);
        if let Some(layout) = &object.layout {
            self.snap.tables.insert(object.oid, Arc::new(TableState::new(Arc::clone(layout))));
        }
        if !object.name_key.is_empty() {
            self.snap.names.insert(Arc::clone(&object.name_key), object.oid);
        }
        self.snap.objects.insert(object.oid, object);
        Ok(())
    }

    fn load_source(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let place = Arc::clone(&self.place);
        let mut reader = Reader::new(key);
        let table = u32::from_be_bytes(reader.u32()?.to_le_bytes());
        let state = self.table_mut(table).ok_or_else(|| StoreError::damaged("a source has no table"))?;
        if key.len() == 4 {
            state.next_source = state.next_source.max(Reader::new(value).u32()?);
            return Ok(());
        }
        let (_, number) = split_key(key)?;
        state.next_source = state.next_source.max(number + 1);
        match SourceEntry::decode(value)? {
            SourceEntry::Delta => state.insert(Source::delta(number, Arc::default(), None)),
            SourceEntry::Part(entry) => {
                state.insert(Source::part(number, Arc::new(Part::kept(place, table, entry)), None));
            }
        }
        Ok(())
    }
}

fn split_key(key: &[u8]) -> Result<(Oid, u32)> {
    let halves: Option<([u8; 4], [u8; 4])> =
        key.split_at_checked(4).and_then(|(a, b)| Some((a.try_into().ok()?, b.try_into().ok()?)));
    let (table, number) = halves.ok_or_else(|| StoreError::damaged("a source key has a wrong length"))?;
    Ok((u32::from_be_bytes(table), u32::from_be_bytes(number)))
}

fn raise_next_source(state: &mut TableState, table: Oid, used: u32, meta: &mut Vec<MetaOp>) {
    if used >= state.next_source {
        state.next_source = used + 1;
        meta.push(put(Space::Manifest, table.to_be_bytes().to_vec(), (used + 1).to_le_bytes().to_vec()));
    }
}

fn retire(seq: Seq, source: &Source, retired: &mut Vec<(Seq, Retired)>) {
    if let Body::Part(part) = &source.body {
        retired.push((seq, Retired::Part(Arc::clone(part))));
    }
}

fn forget(table: Oid, source: &Source, meta: &mut Vec<MetaOp>) {
    meta.push(remove(Space::Manifest, source_key(table, source.number())));
    if source.deletes.is_some() {
        meta.push(remove(Space::Deletes, source_key(table, source.number())));
    }
}

/// Every metadata entry of a snapshot, in key order within each space: what the meta store holds at its seq.
pub(crate) fn entries(snap: &Snapshot) -> Result<Vec<Entry>> {
    let mut out = Vec::new();
    for object in snap.objects() {
        out.push((Space::Catalog, object.oid.to_be_bytes().to_vec(), object.encode()?));
    }
    if snap.next_oid > FIRST_OID {
        out.push((Space::Catalog, COUNTER_KEY.to_vec(), snap.next_oid.to_le_bytes().to_vec()));
    }
    let mut deletes = Vec::new();
    for (oid, table) in snap.tables() {
        if table.next_source > 1 {
            let mut value = Vec::new();
            value.put_u32(table.next_source);
            out.push((Space::Manifest, oid.to_be_bytes().to_vec(), value));
        }
        for source in &table.sources {
            let key = source_key(oid, source.number());
            let entry = match &source.body {
                Body::Part(part) => SourceEntry::Part(part.entry.clone()),
                Body::Delta(_) => SourceEntry::Delta,
            };
            if let Some(bits) = &source.deletes {
                deletes.push((Space::Deletes, key.clone(), op::bitmap_bytes(bits)));
            }
            out.push((Space::Manifest, key, entry.encode()));
        }
    }
    out.append(&mut deletes);
    for (space, map) in [Space::Kv, Space::Token].into_iter().zip(&snap.keyed) {
        for (key, value) in map.iter() {
            let mut bytes = Vec::new();
            op::put_value(&mut bytes, value);
            out.push((space, key.to_vec(), bytes));
        }
    }
    out.sort();
    Ok(out)
}

/// Order-independent sum over entries; equal states have equal digests.
pub(crate) fn digest(entries: &[Entry]) -> u64 {
    entries.iter().map(|(space, key, value)| entry_hash(*space, key, value)).fold(0, u64::wrapping_add)
}

/// One entry's share of the digest.
pub(crate) fn entry_hash(space: Space, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&[space as u8]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.digest()
}

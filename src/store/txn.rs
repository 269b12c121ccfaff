//! A transaction: a snapshot and what it wants to change.
//!
//! For: the engine's sessions and the domain floors. Promises: nothing is visible to others before the commit; own
//! writes are an overlay every scan of the session can merge; memory is bounded, because rows above a limit are staged
//! as parts while they arrive; dropping a transaction removes what it staged. Does not: enforce constraints (the
//! engine did) or take locks; conflicts show at commit as 40001.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use crate::arrange::{self, Piece, no_places};
use crate::blob::Blob;
use crate::config::{INLINE_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::cut::{Target, write_parts};
use crate::delta::{Delta, DeltaBatch};
use crate::error::{Result, StoreError};
use crate::key_check::KeysSeen;
use crate::object::{Object, TableLayout};
use crate::part::Part;
use crate::relocation::{Relocations, Targets, locate};
use crate::snapshot::{Snapshot, Space, Value};
use crate::source::{PRIVATE_SOURCES_FROM, Source};
use crate::store::Shared;
use crate::{ColumnId, Oid, Seq, ipc};

/// What a transaction asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A new snapshot per statement ([`Txn::refresh_snapshot`]).
    ReadCommitted,
    /// One snapshot; the first committer wins.
    RepeatableRead,
    /// One snapshot, and at commit every table and key space read must be unchanged.
    Serializable,
}

/// What a put expects of the key it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// The key does not exist.
    Absent,
    /// The key was last put by this commit (`Value::version`).
    Version(Seq),
}

/// A savepoint of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// Own rows that were staged after a scan may have seen their addresses.
#[derive(Debug, Clone)]
struct Moved {
    from: u32,
    /// Private numbers of the parts, each with its first row in the arrangement.
    to: Targets,
    /// Place in the arrangement by old row; `u32::MAX` = was deleted.
    rows: Arc<Vec<u32>>,
}

#[derive(Debug, Clone)]
pub(crate) struct DeleteEntry {
    pub(crate) rows: Arc<RoaringBitmap>,
    /// The snapshot the rows were found in.
    pub(crate) snapshot_seq: Seq,
}

/// Writes to one table.
#[derive(Debug, Clone)]
pub(crate) struct TableWrites {
    /// The layout the rows were planned for.
    pub(crate) schema_version: u32,
    pub(crate) truncated: bool,
    /// Rows of committed sources.
    pub(crate) deletes: BTreeMap<u32, DeleteEntry>,
    /// Own rows in memory and their private source number.
    pub(crate) generation: u32,
    pub(crate) memory: Arc<Delta>,
    /// Own rows on disk.
    pub(crate) staged: Vec<(u32, Arc<Part>)>,
    /// Own rows deleted again, by private source.
    pub(crate) own_deletes: BTreeMap<u32, Arc<RoaringBitmap>>,
    /// What the first statement that added rows had seen.
    pub(crate) keys_seen: Option<KeysSeen>,
    /// See [`Txn::note_upsert`].
    pub(crate) upsert: bool,
    moved: Vec<Moved>,
}

#[derive(Debug, Clone)]
pub(crate) struct ObjectWrite {
    pub(crate) object: Option<Arc<Object>>,
    /// What was there when the transaction first touched it.
    pub(crate) expected: Option<Arc<Object>>,
}

#[derive(Debug, Clone)]
pub(crate) struct PutWrite {
    /// None = remove.
    pub(crate) value: Option<Value>,
    pub(crate) expect: Expect,
}

/// Everything a transaction wants to change, and what it read.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteSet {
    pub(crate) tables: BTreeMap<Oid, TableWrites>,
    pub(crate) objects: BTreeMap<Oid, ObjectWrite>,
    pub(crate) puts: BTreeMap<(Space, Arc<[u8]>), PutWrite>,
    pub(crate) tables_read: BTreeMap<Oid, Seq>,
    /// Tables that must be unchanged at commit, whatever the level.
    pub(crate) tables_held: BTreeMap<Oid, Seq>,
    pub(crate) spaces_read: BTreeMap<Space, Seq>,
    /// Committed rows that must not be deleted before the commit, by table and source.
    pub(crate) rows_locked: BTreeMap<Oid, BTreeMap<u32, Arc<RoaringBitmap>>>,
    next_private: u32,
}

impl WriteSet {
    /// Maps deletes and locks to where their rows are in a newer snapshot.
    fn forward(&mut self, relocations: &Relocations, snapshot: &Snapshot) {
        for (oid, sources) in &mut self.rows_locked {
            let Some(state) = snapshot.table(*oid) else { continue };
            let gone: Vec<u32> = sources.keys().copied().filter(|n| state.source(*n).is_none()).collect();
            for number in gone {
                let forward = sources.get(&number).and_then(|rows| relocations.forward(*oid, state, number, rows));
                // What is gone altogether stays: the commit finds the source missing and answers 40001.
                let Some(moved) = forward else { continue };
                sources.remove(&number);
                for (source, rows) in moved {
                    *Arc::make_mut(sources.entry(source).or_default()) |= rows;
                }
            }
        }
        for (oid, table) in &mut self.tables {
            let Some(state) = snapshot.table(*oid) else { continue };
            let gone: Vec<u32> = table.deletes.keys().copied().filter(|n| state.source(*n).is_none()).collect();
            for number in gone {
                let Some(entry) = table.deletes.remove(&number) else { continue };
                match relocations.forward(*oid, state, number, &entry.rows) {
                    // A row that is gone altogether: the commit finds the source missing and answers 40001.
                    None => {
                        table.deletes.insert(number, entry);
                    }
                    Some(moved) => {
                        for (source, rows) in moved {
                            merge_deletes(&mut table.deletes, source, &rows, entry.snapshot_seq);
                        }
                    }
                }
            }
        }
    }
}

/// Own writes to one table, for a scan of the session.
#[derive(Debug)]
pub struct Overlay<'a> {
    /// Own rows, as sources numbered from 2^31 with their own delete vectors.
    pub sources: Vec<Arc<Source>>,
    writes: &'a TableWrites,
}

impl Overlay<'_> {
    /// Rows of a committed source this transaction deleted, to be added to the source's own.
    pub fn deletes(&self, source: u32) -> Option<&RoaringBitmap> {
        self.writes.deletes.get(&source).map(|entry| entry.rows.as_ref())
    }

    /// Committed sources this transaction deleted from.
    pub fn deleted_sources(&self) -> impl Iterator<Item = (u32, &RoaringBitmap)> {
        self.writes.deletes.iter().map(|(source, entry)| (*source, entry.rows.as_ref()))
    }

    /// Whether the transaction truncated the table: no committed source is visible to it.
    pub fn truncated(&self) -> bool {
        self.writes.truncated
    }
}

/// See the module.
pub struct Txn {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) isolation: Isolation,
    pub(crate) writes: WriteSet,
    marks: Vec<WriteSet>,
    /// Set when a scan took own rows, so that moving them must leave a map.
    observed: AtomicBool,
    registered: Seq,
}

impl std::fmt::Debug for Txn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Txn")
            .field("snapshot", &self.snapshot.seq)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        self.shared.open_txns.leave(self.registered);
    }
}

fn no_such_table(table: Oid) -> StoreError {
    StoreError::new("42P01", format!("relation with OID {table} does not exist"))
}

impl Txn {
    pub(crate) fn new(shared: Arc<Shared>, isolation: Isolation) -> Self {
        // Registered first: a relocation map made between the two lives longer than needed, never shorter.
        let registered = shared.open_txns.enter(&shared.published);
        let snapshot = shared.published.load_full();
        Self {
            shared,
            snapshot,
            isolation,
            writes: WriteSet::default(),
            marks: Vec::new(),
            observed: AtomicBool::new(false),
            registered,
        }
    }

    /// The snapshot reads of this transaction use now.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The isolation level asked for.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// READ COMMITTED: takes the newest snapshot for a new statement and maps own deletes to where their rows are now.
    /// Other levels keep their snapshot.
    pub fn refresh_snapshot(&mut self) {
        if self.isolation != Isolation::ReadCommitted {
            return;
        }
        let registered = self.shared.open_txns.enter(&self.shared.published);
        let snapshot = self.shared.published.load_full();
        // What a savepoint brings back must name sources of the new snapshot too: the maps may be gone by then.
        for writes in self.marks.iter_mut().chain([&mut self.writes]) {
            writes.forward(&self.shared.relocations, &snapshot);
        }
        self.snapshot = snapshot;
        self.shared.open_txns.leave(std::mem::replace(&mut self.registered, registered));
    }

    /// The layout of a table as this transaction sees it.
    pub fn layout(&self, table: Oid) -> Option<Arc<TableLayout>> {
        match self.writes.objects.get(&table) {
            Some(write) => write.object.as_ref()?.layout.clone(),
            None => self.snapshot.table(table).map(|state| Arc::clone(state.layout())),
        }
    }

    fn table_mut(&mut self, table: Oid) -> Result<(Arc<TableLayout>, &mut TableWrites)> {
        let layout = self.layout(table).ok_or_else(|| no_such_table(table))?;
        let next_private = &mut self.writes.next_private;
        let writes = self.writes.tables.entry(table).or_insert_with(|| {
            *next_private += 1;
            TableWrites {
                schema_version: layout.schema_version,
                truncated: false,
                deletes: BTreeMap::new(),
                generation: PRIVATE_SOURCES_FROM + *next_private - 1,
                memory: Arc::default(),
                staged: Vec::new(),
                own_deletes: BTreeMap::new(),
                keys_seen: None,
                upsert: false,
                moved: Vec::new(),
            }
        });
        Ok((layout, writes))
    }

    /// Adds rows: exactly the live columns of the layout, in order, in their scan types. The data is canonicalised
    /// (one zero, one NaN) and kept without the buffers it does not need. Above the staging limits rows go to disk.
    pub fn append(&mut self, table: Oid, batch: RecordBatch) -> Result<()> {
        let layout = self.layout(table).ok_or_else(|| no_such_table(table))?;
        let columns: Vec<_> = layout.live_columns().collect();
        if columns.len() != batch.num_columns() {
            return Err(StoreError::internal("appended rows do not have the columns of their table"));
        }
        let mut arrays = Vec::with_capacity(columns.len());
        for (column, array) in columns.iter().zip(batch.columns()) {
            if column.field.data_type() != array.data_type() {
                return Err(StoreError::internal(format!(
                    "column \"{}\" is of type {} but the appended rows have {}",
                    column.field.name(),
                    column.field.data_type(),
                    array.data_type()
                )));
            }
            check_sizes(array)?;
            arrays.push(ipc::compact(&canonical(array)));
        }
        let ids: Arc<[ColumnId]> = columns.iter().map(|column| column.id).collect();
        let snapshot = Arc::clone(&self.snapshot);
        let (_, writes) = self.table_mut(table)?;
        writes.schema_version = layout.schema_version;
        if layout.keys.iter().any(|key| key.unique) {
            let state = snapshot.table(table).map(AsRef::as_ref);
            writes.keys_seen.get_or_insert_with(|| KeysSeen::of(state));
        }
        Arc::make_mut(&mut writes.memory).push(DeltaBatch::new(ids, arrays, batch.num_rows()))?;
        let (rows, bytes) = (writes.memory.rows(), writes.memory.bytes());
        if rows >= self.shared.config.stage_rows_max || bytes >= self.shared.config.stage_bytes_max {
            self.stage(table)?;
        }
        Ok(())
    }

    /// Moves the own rows of a table from memory into parts, one per bucket at least.
    pub(crate) fn stage(&mut self, table: Oid) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let observed = self.observed.load(Ordering::Relaxed);
        let seq = self.snapshot.seq;
        self.writes.next_private += 1;
        let generation = PRIVATE_SOURCES_FROM + self.writes.next_private - 1;
        let (layout, writes) = self.table_mut(table)?;
        let deletes = writes.own_deletes.remove(&writes.generation);
        let source = Arc::new(Source::delta(writes.generation, Arc::clone(&writes.memory), deletes));
        let old_generation = std::mem::replace(&mut writes.generation, generation);
        writes.memory = Arc::default();
        let row_bytes = source.bytes() / source.rows().max(1);
        let mut rows = if observed { no_places(&source) } else { Vec::new() };
        let arranged = arrange::arrange(&layout, vec![Piece::whole(source)])?;
        if arranged.rows() == 0 {
            return Ok(());
        }
        if observed {
            arranged.place_rows(0, &mut [&mut rows]);
        }
        let (place, config) = (&shared.place, &shared.config);
        let target = Target { place, config, table, layout: &layout, min_seq: seq, max_seq: seq, level: 0, row_bytes };
        let mut number = || shared.allocate_source(table);
        let mut to = Vec::new();
        for (first, part) in write_parts(&target, &arranged, &mut BTreeMap::new(), &mut number)? {
            self.writes.next_private += 1;
            let number = PRIVATE_SOURCES_FROM + self.writes.next_private - 1;
            self.table_mut(table)?.1.staged.push((number, part));
            to.push((number, u32::try_from(first).expect("row numbers fit 32 bits")));
        }
        if observed {
            self.table_mut(table)?.1.moved.push(Moved { from: old_generation, to: to.into(), rows: Arc::new(rows) });
        }
        Ok(())
    }

    /// Deletes rows by address: `source` and row numbers as the scan gave them out (own rows included).
    pub fn delete(&mut self, table: Oid, source: u32, rows: &RoaringBitmap) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let snapshot_seq = self.snapshot.seq;
        let (_, writes) = self.table_mut(table)?;
        if source < PRIVATE_SOURCES_FROM {
            merge_deletes(&mut writes.deletes, source, rows, snapshot_seq);
            return Ok(());
        }
        let places: BTreeMap<u32, RoaringBitmap> = match writes.moved.iter().find(|moved| moved.from == source) {
            None => [(source, rows.clone())].into(),
            Some(moved) => {
                let mut places: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
                let place = |row: u32| locate(&moved.to, moved.rows.get(row as usize).copied().unwrap_or(u32::MAX));
                for (part, row) in rows.iter().filter_map(place) {
                    places.entry(part).or_default().insert(row);
                }
                places
            }
        };
        for (source, rows) in places {
            let known = source == writes.generation || writes.staged.iter().any(|(number, _)| *number == source);
            if !known {
                return Err(StoreError::internal(format!("transaction has no own rows numbered {source}")));
            }
            *Arc::make_mut(writes.own_deletes.entry(source).or_default()) |= rows;
        }
        Ok(())
    }

    /// Notes that a statement would update the rows its new keys clash with: if such a row appears before the commit,
    /// that is 40001 and not 23505.
    pub fn note_upsert(&mut self, table: Oid) -> Result<()> {
        self.table_mut(table).map(|(_, writes)| writes.upsert = true)
    }

    /// Removes every row of the table, those committed until the commit included.
    pub fn truncate(&mut self, table: Oid) -> Result<()> {
        self.writes.next_private += 1;
        let generation = PRIVATE_SOURCES_FROM + self.writes.next_private - 1;
        let (_, writes) = self.table_mut(table)?;
        *writes = TableWrites {
            schema_version: writes.schema_version,
            truncated: true,
            deletes: BTreeMap::new(),
            generation,
            memory: Arc::default(),
            staged: Vec::new(),
            own_deletes: BTreeMap::new(),
            keys_seen: None,
            upsert: false,
            moved: Vec::new(),
        };
        Ok(())
    }

    /// Puts a value; above 64 KiB it becomes a blob file. Keys are at most 1 KiB, values 64 MiB (54000).
    pub fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_expecting(space, key, value, Expect::Any)
    }

    /// As [`Txn::put`], refused at commit with 40001 unless the key is as expected then.
    pub fn put_expecting(&mut self, space: Space, key: &[u8], value: &[u8], expect: Expect) -> Result<()> {
        if value.len() > INLINE_BYTES_MAX {
            check_key(space, key)?;
            check_size(value.len())?;
            let blob = Arc::new(Blob::write(&self.shared.place, self.shared.allocate_blob(), value)?);
            return self.set(space, key, Some(Value::blob(0, blob)), expect);
        }
        self.set(space, key, Some(Value::inline(0, value)), expect)
    }

    /// Puts a value as a blob file, however small.
    pub fn put_blob(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<()> {
        check_key(space, key)?;
        check_size(value.len())?;
        let blob = Arc::new(Blob::write(&self.shared.place, self.shared.allocate_blob(), value)?);
        self.set(space, key, Some(Value::blob(0, blob)), Expect::Any)
    }

    /// Removes a key, present or not.
    pub fn remove(&mut self, space: Space, key: &[u8]) -> Result<()> {
        self.set(space, key, None, Expect::Any)
    }

    fn set(&mut self, space: Space, key: &[u8], value: Option<Value>, expect: Expect) -> Result<()> {
        check_key(space, key)?;
        let write = self.writes.puts.entry((space, key.into())).or_insert(PutWrite { value: None, expect });
        write.value = value;
        // The first expectation is about the committed value; later ones are about this transaction's own.
        if write.expect == Expect::Any {
            write.expect = expect;
        }
        Ok(())
    }

    /// A value as this transaction sees it.
    pub fn get(&self, space: Space, key: &[u8]) -> Option<Value> {
        match self.writes.puts.get(&(space, Arc::from(key))) {
            Some(write) => write.value.clone(),
            None => self.snapshot.get(space, key),
        }
    }

    /// Creates or replaces an object. Its layout, if any, is checked (42701, 54011, 0A000).
    pub fn ddl(&mut self, object: Object) -> Result<()> {
        if let Some(layout) = &object.layout {
            layout.check()?;
            layout.live_columns().try_for_each(|column| crate::ipc_check::storable(column.field.data_type()))?;
        }
        self.write_object(object.oid, Some(Arc::new(object)));
        Ok(())
    }

    /// Removes an object and its rows.
    pub fn drop_object(&mut self, oid: Oid) {
        self.writes.tables.remove(&oid);
        self.write_object(oid, None);
    }

    fn write_object(&mut self, oid: Oid, object: Option<Arc<Object>>) {
        let expected = self.snapshot.object(oid).cloned();
        let write = self.writes.objects.entry(oid).or_insert(ObjectWrite { object: None, expected });
        write.object = object;
    }

    /// Notes that a table was read: SERIALIZABLE then requires it unchanged at commit.
    pub fn note_read(&mut self, table: Oid) {
        let seq = self.snapshot.seq;
        self.writes.tables_read.entry(table).or_insert(seq);
    }

    /// Requires at commit, at any level, that nobody else has changed the table since the snapshot: what was found out
    /// about all of its rows then still holds. A table this transaction has made is nobody else's.
    pub fn hold(&mut self, table: Oid) {
        if self.snapshot.table(table).is_some() {
            let seq = self.snapshot.seq;
            self.writes.tables_held.entry(table).or_insert(seq);
        }
    }

    /// Requires at commit, at any level, that nobody else has deleted or replaced these rows since the snapshot they were
    /// read in. Own rows are nobody else's.
    pub fn lock_rows(&mut self, table: Oid, source: u32, rows: &RoaringBitmap) {
        if source < PRIVATE_SOURCES_FROM && !rows.is_empty() {
            let sources = self.writes.rows_locked.entry(table).or_default();
            *Arc::make_mut(sources.entry(source).or_default()) |= rows;
        }
    }

    /// 40001 if a row that was locked has been deleted or replaced by now: for a transaction that ends without writes.
    pub fn check_locked(&self) -> Result<()> {
        crate::validate::check_locked(&self.shared, &self.writes, &self.shared.published.load())
    }

    /// Notes that a key space was read, as [`Txn::note_read`].
    pub fn note_read_space(&mut self, space: Space) {
        let seq = self.snapshot.seq;
        self.writes.spaces_read.entry(space).or_insert(seq);
    }

    /// Whether a commit would write anything.
    pub fn has_writes(&self) -> bool {
        !(self.writes.tables.is_empty() && self.writes.objects.is_empty() && self.writes.puts.is_empty())
    }

    /// Whether this transaction changed rows of the table.
    pub fn wrote_table(&self, table: Oid) -> bool {
        self.writes.tables.contains_key(&table)
    }

    /// Tables whose rows this transaction changed.
    pub fn tables_written(&self) -> impl Iterator<Item = Oid> {
        self.writes.tables.keys().copied()
    }

    /// Marks the present state of the writes.
    pub fn savepoint(&mut self) -> Mark {
        self.marks.push(self.writes.clone());
        Mark(self.marks.len() - 1)
    }

    /// Returns to a mark, which stays valid; later ones are gone. False when there is no such mark.
    #[must_use]
    pub fn rollback_to(&mut self, mark: Mark) -> bool {
        let Some(writes) = self.marks.get(mark.0) else { return false };
        let next_private = self.writes.next_private;
        self.writes = WriteSet { next_private, ..writes.clone() };
        self.marks.truncate(mark.0 + 1);
        true
    }

    /// Forgets a mark and later ones, keeping the writes.
    pub fn release(&mut self, mark: Mark) {
        self.marks.truncate(mark.0);
    }

    /// Own writes to a table; None when there are none.
    pub fn overlay(&self, table: Oid) -> Option<Overlay<'_>> {
        let writes = self.writes.tables.get(&table)?;
        self.observed.store(true, Ordering::Relaxed);
        Some(Overlay { sources: Self::own_sources(writes), writes })
    }

    /// Own rows of a table, for a look that keeps no addresses: they may move with the next append.
    pub fn own_rows(&self, table: Oid) -> Vec<Arc<Source>> {
        self.writes.tables.get(&table).map(Self::own_sources).unwrap_or_default()
    }

    fn own_sources(writes: &TableWrites) -> Vec<Arc<Source>> {
        let bits = |number: u32| writes.own_deletes.get(&number).cloned();
        let mut sources: Vec<Arc<Source>> = writes
            .staged
            .iter()
            .map(|(number, part)| Arc::new(Source::part(*number, Arc::clone(part), bits(*number))))
            .collect();
        if writes.memory.rows() > 0 {
            let number = writes.generation;
            sources.push(Arc::new(Source::delta(number, Arc::clone(&writes.memory), bits(number))));
        }
        sources
    }

    /// `Some(None)` = dropped here; `Some(Some(object))` = created or replaced here; None = not touched.
    pub fn catalog_overlay(&self, oid: Oid) -> Option<Option<Arc<Object>>> {
        self.writes.objects.get(&oid).map(|write| write.object.clone())
    }

    /// Every object this transaction created, replaced (`Some`) or dropped (`None`).
    pub fn objects_overlay(&self) -> impl Iterator<Item = (Oid, Option<&Arc<Object>>)> {
        self.writes.objects.iter().map(|(oid, write)| (*oid, write.object.as_ref()))
    }

    /// An object as this transaction sees it.
    pub fn object(&self, oid: Oid) -> Option<Arc<Object>> {
        match self.writes.objects.get(&oid) {
            Some(write) => write.object.clone(),
            None => self.snapshot.object(oid).cloned(),
        }
    }
}

fn merge_deletes(deletes: &mut BTreeMap<u32, DeleteEntry>, source: u32, rows: &RoaringBitmap, snapshot_seq: Seq) {
    let entry = deletes.entry(source).or_insert_with(|| DeleteEntry { rows: Arc::default(), snapshot_seq });
    *Arc::make_mut(&mut entry.rows) |= rows;
    entry.snapshot_seq = entry.snapshot_seq.max(snapshot_seq);
}

fn check_key(space: Space, key: &[u8]) -> Result<()> {
    space.keyed()?;
    if key.len() > KEY_BYTES_MAX {
        let message = format!("key of {} bytes exceeds the limit of {KEY_BYTES_MAX}", key.len());
        return Err(StoreError::new("54000", message));
    }
    Ok(())
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes > VALUE_BYTES_MAX {
        let message = format!("value of {bytes} bytes exceeds the limit of {VALUE_BYTES_MAX}");
        return Err(StoreError::new("54000", message));
    }
    Ok(())
}

fn check_sizes(array: &ArrayRef) -> Result<()> {
    let longest = match array.data_type() {
        DataType::Utf8View => {
            let view = array.as_string_view();
            let held: usize = view.data_buffers().iter().map(|b| b.len()).sum();
            if held <= VALUE_BYTES_MAX { 0 } else { view.lengths().max().unwrap_or(0) as usize }
        }
        DataType::BinaryView => {
            let view = array.as_binary_view();
            let held: usize = view.data_buffers().iter().map(|b| b.len()).sum();
            if held <= VALUE_BYTES_MAX { 0 } else { view.lengths().max().unwrap_or(0) as usize }
        }
        _ => 0,
    };
    check_size(longest)
}

/// -0.0 becomes 0.0 and every NaN the quiet positive one: Arrow orders by IEEE total order, PostgreSQL tells neither
/// the zeros nor the NaNs apart.
fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            let odd =
                |v: &f64| (*v == 0.0 && v.is_sign_negative()) || (v.is_nan() && v.to_bits() != f64::NAN.to_bits());
            if !floats.values().iter().any(odd) {
                return Arc::clone(array);
            }
            Arc::new(floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }))
        }
        DataType::Float32 => {
            let floats = array.as_primitive::<Float32Type>();
            let odd =
                |v: &f32| (*v == 0.0 && v.is_sign_negative()) || (v.is_nan() && v.to_bits() != f32::NAN.to_bits());
            if !floats.values().iter().any(odd) {
                return Arc::clone(array);
            }
            Arc::new(floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }))
        }
        _ => Arc::clone(array),
    }
}

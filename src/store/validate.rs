//! What the commit thread checks of a transaction, and the operations it becomes.
//!
//! For: `commit.rs`. Promises: a transaction is checked against committed state plus the accepted members of its
//! group; what passes cannot fail in `State::apply`. Does not: change anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::{Result, StoreError};
use crate::hook::{CommitHook, HookWrites, TableChange};
use crate::key::KeyDef;
use crate::object::Object;
use crate::op::{AddedPart, DeleteSet, Op, Rows};
use crate::prepare::{Prepared, PreparedTable};
use crate::snapshot::{Snapshot, Space, TableState, Value};
use crate::source::{PRIVATE_SOURCES_FROM, Source};
use crate::store::Shared;
use crate::txn::{Expect, Isolation, ObjectWrite, WriteSet};
use crate::{Oid, ipc};

const SCHEMA_CHANGE: &str = "schema change";
const UPDATE: &str = "update";

/// Checks a transaction and gives its operations, in the order they must be applied.
pub(crate) fn validate(shared: &Shared, prepared: &Prepared, state: &Snapshot) -> Result<Vec<Op>> {
    check_objects(prepared, state)?;
    check_puts(prepared, state)?;
    if prepared.txn.isolation == Isolation::Serializable {
        check_reads(prepared, state)?;
    }
    let changed = |(oid, seq): (&Oid, &u64)| state.table(*oid).is_none_or(|table| table.last_change > *seq);
    if prepared.txn.writes.tables_held.iter().any(changed) {
        return Err(StoreError::conflict(UPDATE));
    }
    check_locked(shared, &prepared.txn.writes, state)?;
    let mut ops = Vec::new();
    for (oid, write) in &prepared.txn.writes.objects {
        ops.push(Op::Ddl { oid: *oid, object: write.object.clone() });
    }
    for table in &prepared.tables {
        table_ops(shared, prepared, table, state, &mut ops)?;
    }
    for ((space, key), put) in &prepared.txn.writes.puts {
        ops.push(match &put.value {
            Some(value) => Op::Put { space: *space, key: Arc::clone(key), value: value.clone() },
            None => Op::Remove { space: *space, key: Arc::clone(key) },
        });
    }
    Ok(ops)
}

fn same(a: Option<&Arc<Object>>, b: Option<&Arc<Object>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn check_objects(prepared: &Prepared, state: &Snapshot) -> Result<()> {
    let objects = &prepared.txn.writes.objects;
    for (oid, write) in objects {
        if !same(state.object(*oid), write.expected.as_ref()) {
            return Err(StoreError::conflict(SCHEMA_CHANGE));
        }
        check_new_constraints(prepared, *oid, write, state)?;
        let Some(object) = write.object.as_ref().filter(|object| !object.name_key.is_empty()) else { continue };
        let Some(owner) = state.names.get(&*object.name_key) else { continue };
        let given_up = objects
            .get(owner)
            .is_some_and(|write| write.object.as_ref().is_none_or(|new| new.name_key != object.name_key));
        if owner != oid && !given_up {
            return Err(StoreError::conflict(SCHEMA_CHANGE));
        }
    }
    Ok(())
}

/// A unique key that a table gets was checked against the rows of the snapshot: there must be no others.
fn check_new_constraints(prepared: &Prepared, oid: Oid, write: &ObjectWrite, state: &Snapshot) -> Result<()> {
    let (Some(table), Some(new)) = (state.table(oid), write.object.as_ref().and_then(|new| new.layout.as_ref())) else {
        return Ok(());
    };
    let known = |def: &KeyDef| table.layout.keys.iter().any(|known| known.id == def.id && known.unique);
    let added = new.keys.iter().any(|def| def.unique && !known(def));
    if added && table.last_change > prepared.txn.snapshot.seq {
        return Err(StoreError::conflict(UPDATE));
    }
    Ok(())
}

fn check_puts(prepared: &Prepared, state: &Snapshot) -> Result<()> {
    for ((space, key), put) in &prepared.txn.writes.puts {
        let found = state.get(*space, key).map(|value| value.version);
        let holds = match put.expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        if !holds {
            return Err(StoreError::conflict(UPDATE));
        }
    }
    Ok(())
}

/// No locked row may be deleted, wherever it is now.
pub(crate) fn check_locked(shared: &Shared, writes: &WriteSet, state: &Snapshot) -> Result<()> {
    let conflict = || StoreError::conflict(UPDATE);
    for (oid, sources) in &writes.rows_locked {
        let table = state.table(*oid).ok_or_else(conflict)?;
        let untouched = |source: u32, rows: &RoaringBitmap| match table.source(source).map(|source| source.deletes()) {
            Some(deleted) => deleted.is_none_or(|deleted| deleted.is_disjoint(rows)),
            None => false,
        };
        for (source, rows) in sources {
            let held = if table.source(*source).is_some() {
                untouched(*source, rows)
            } else {
                let forward = shared.relocations.forward(*oid, table, *source, rows);
                forward.is_some_and(|moved| moved.iter().all(|(source, rows)| untouched(*source, rows)))
            };
            if !held {
                return Err(conflict());
            }
        }
    }
    Ok(())
}

fn check_reads(prepared: &Prepared, state: &Snapshot) -> Result<()> {
    let writes = &prepared.txn.writes;
    let table_changed = |(oid, seq): (&Oid, &u64)| state.table(*oid).is_none_or(|table| table.last_change > *seq);
    let space_changed =
        |(space, seq): (&Space, &u64)| space.keyed().is_ok_and(|index| state.keyed_change[index] > *seq);
    if writes.tables_read.iter().any(table_changed) || writes.spaces_read.iter().any(space_changed) {
        return Err(StoreError::new(
            "40001",
            "could not serialize access due to read/write dependencies among transactions",
        )
        .with_hint("Retry the transaction."));
    }
    Ok(())
}

fn table_ops(
    shared: &Shared,
    prepared: &Prepared,
    table: &PreparedTable,
    state: &Snapshot,
    ops: &mut Vec<Op>,
) -> Result<()> {
    let oid = table.table;
    let committed = state.table(oid);
    match prepared.txn.writes.objects.get(&oid) {
        Some(write) if write.object.as_ref().is_some_and(|object| object.layout.is_some()) => {}
        Some(_) => return Ok(()),
        None => {
            if committed.is_none_or(|state| state.layout.schema_version != table.schema_version) {
                return Err(StoreError::conflict(SCHEMA_CHANGE));
            }
        }
    }
    let removed: Vec<u32> = match committed {
        Some(state) if table.truncated => state.sources.iter().map(|source| source.number()).collect(),
        _ => Vec::new(),
    };
    let mut sets = Vec::new();
    if !table.deletes.is_empty() {
        let committed = committed.ok_or_else(|| StoreError::conflict(SCHEMA_CHANGE))?;
        sets = delete_sets(shared, oid, table, committed)?;
    }
    if let (Some(keys), Some(state)) = (&table.new_keys, committed.filter(|_| !table.truncated)) {
        keys.check(oid, state, &sets)?;
    }
    if !sets.is_empty() {
        ops.push(Op::Delete { table: oid, sets });
    }
    if !removed.is_empty() || !table.staged.is_empty() {
        let added = table
            .staged
            .iter()
            .map(|(part, deletes)| AddedPart { part: Arc::clone(part), deletes: deletes.clone() })
            .collect();
        ops.push(Op::Replace { table: oid, removed, added });
    }
    if !table.appends.is_empty() {
        let open = committed.filter(|_| !table.truncated).and_then(|state| open_generation(shared, state));
        let generation = open.unwrap_or_else(|| shared.allocate_source(oid));
        for (rows, ipc) in &table.appends {
            ops.push(Op::Append {
                table: oid,
                generation,
                schema_version: table.schema_version,
                rows: rows.clone(),
                ipc: Arc::clone(ipc),
            });
        }
    }
    Ok(())
}

/// The generation that takes appends, unless it is due for a flush.
fn open_generation(shared: &Shared, state: &TableState) -> Option<u32> {
    let number = state.open_generation?;
    let source = state.source(number)?;
    let config = &shared.config;
    (source.rows() < config.delta_flush_rows && source.bytes() < config.delta_flush_bytes).then_some(number)
}

fn delete_sets(shared: &Shared, oid: Oid, table: &PreparedTable, state: &TableState) -> Result<Vec<DeleteSet>> {
    let mut moved: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
    let mut sets = Vec::new();
    for delete in &table.deletes {
        if state.source(delete.source).is_some() {
            sets.push(DeleteSet { source: delete.source, rows: Arc::clone(&delete.rows), blob: delete.blob.clone() });
            continue;
        }
        let forward = shared.relocations.forward(oid, state, delete.source, &delete.rows);
        for (source, rows) in forward.ok_or_else(|| StoreError::conflict(UPDATE))? {
            *moved.entry(source).or_default() |= rows;
        }
    }
    // Large sets that had to be moved stay in the frame: at most one bitmap per part, and the frame limit still holds.
    sets.extend(moved.into_iter().map(|(source, rows)| DeleteSet { source, rows: Arc::new(rows), blob: None }));
    for set in &sets {
        let source = state.source(set.source).ok_or_else(|| StoreError::conflict(UPDATE))?;
        if source.deletes().is_some_and(|deleted| !deleted.is_disjoint(&set.rows)) {
            return Err(StoreError::conflict(UPDATE));
        }
        if set.rows.max().is_some_and(|row| u64::from(row) >= source.rows()) {
            return Err(StoreError::internal("a deleted row is not in its source"));
        }
    }
    Ok(sets)
}

/// Runs the hook and gives the operations it adds.
pub(crate) fn hook_ops(
    shared: &Shared,
    hook: &dyn CommitHook,
    prepared: &Prepared,
    ops: &[Op],
    state: &Snapshot,
) -> Result<Vec<Op>> {
    let mut changes: BTreeMap<Oid, TableChange> = BTreeMap::new();
    for table in prepared.tables.iter().filter(|table| hook.watches(table.table)) {
        let staged = table.staged.iter().enumerate().map(|(i, (part, deletes))| {
            let number = PRIVATE_SOURCES_FROM + u32::try_from(i).expect("a transaction stages few parts");
            Arc::new(Source::part(number, Arc::clone(part), deletes.clone()))
        });
        let change = TableChange {
            table: table.table,
            appended: staged.collect(),
            deleted: Vec::new(),
            truncated: table.truncated,
        };
        changes.insert(table.table, change);
    }
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    for op in ops {
        match op {
            Op::Append { table, rows, .. } => {
                if let Some(change) = changes.get_mut(table) {
                    let mut delta = crate::delta::Delta::default();
                    delta.push(crate::delta::DeltaBatch::new(
                        Arc::clone(&rows.ids),
                        rows.columns.clone(),
                        rows.rows,
                    ))?;
                    let number = PRIVATE_SOURCES_FROM
                        + u32::try_from(change.appended.len()).expect("a transaction has few appends");
                    change.appended.push(Arc::new(Source::delta(number, Arc::new(delta), None)));
                }
            }
            Op::Delete { table, sets } => {
                if let Some(change) = changes.get_mut(table) {
                    change.deleted.extend(sets.iter().map(|set| (set.source, Arc::clone(&set.rows))));
                }
            }
            _ => {}
        }
    }
    let changes: Vec<TableChange> = changes.into_values().collect();
    added_ops(shared, hook.on_commit(state, &changes)?, state)
}

fn added_ops(shared: &Shared, writes: HookWrites, state: &Snapshot) -> Result<Vec<Op>> {
    let missing = || StoreError::internal("a commit hook writes to a table that does not exist");
    let mut ops = Vec::new();
    let mut deletes: BTreeMap<Oid, Vec<DeleteSet>> = BTreeMap::new();
    for (table, source, rows) in writes.deletes {
        let source_state = state.table(table).and_then(|t| t.source(source)).ok_or_else(missing)?;
        if source_state.deletes().is_some_and(|deleted| !deleted.is_disjoint(&rows)) {
            return Err(StoreError::conflict(UPDATE));
        }
        deletes.entry(table).or_default().push(DeleteSet { source, rows: Arc::new(rows), blob: None });
    }
    ops.extend(deletes.into_iter().map(|(table, sets)| Op::Delete { table, sets }));
    for (table, batch) in writes.appends {
        let table_state = state.table(table).ok_or_else(missing)?;
        let generation = open_generation(shared, table_state).unwrap_or_else(|| shared.allocate_source(table));
        let ids: Arc<[u32]> = table_state.layout.live_columns().map(|column| column.id).collect();
        if ids.len() != batch.num_columns() {
            return Err(StoreError::internal("a commit hook appends rows of a wrong shape"));
        }
        let columns = batch.columns().iter().map(ipc::compact).collect();
        ops.push(Op::Append {
            table,
            generation,
            schema_version: table_state.layout.schema_version,
            rows: Rows { ids, columns, rows: batch.num_rows() },
            ipc: Arc::default(),
        });
    }
    for (space, key, value) in writes.puts {
        ops.push(Op::Put { space, key: key.into(), value: Value::inline(0, &value) });
    }
    for (space, key) in writes.removes {
        ops.push(Op::Remove { space, key: key.into() });
    }
    Ok(ops)
}

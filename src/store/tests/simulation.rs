//! Simulated power cuts against a model, with the null controls that show the detectors fire.
//!
//! One run: random operations from a seed, the power goes at a random I/O call, recovery (with more cuts in it),
//! comparison with the model, and on. Every transaction also writes its own number, so after a cut the survivor names
//! the model state it must equal: an acknowledged one missing is lost, one never accepted is a phantom, anything else
//! is half a transaction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use super::kit;
use crate::sim::{Lies, SimClock, SimDisk, SimMeta, SimRandom, Vice};
use crate::{
    FIRST_OID, Isolation, KeyDef, KeyHash, KeyRows, KeySearch, Object, Oid, Result, Sabotage, Snapshot, Space, Store,
    StoreConfig, TableLayout, Ticket, Txn,
};

/// Tables alive at a time.
const SLOTS: u64 = 2;

/// What the store must contain: per table the rows, and the keyed values.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    tables: BTreeMap<Oid, BTreeMap<i64, String>>,
    keyed: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    /// The differences, for the one who has to find the bug.
    fn unlike(&self, found: &Self) -> String {
        let mut out = format!("tables {:?} / {:?}", self.tables.keys(), found.tables.keys());
        for (oid, rows) in &self.tables {
            let Some(other) = found.tables.get(oid) else { continue };
            let missing: Vec<_> = rows.iter().filter(|(id, value)| other.get(id) != Some(value)).collect();
            let extra: Vec<_> = other.iter().filter(|(id, value)| rows.get(id) != Some(value)).collect();
            out.push_str(&format!("; table {oid}: missing {missing:?}, extra {extra:?}"));
        }
        let keyed = |model: &Self| model.keyed.iter().map(|(k, v)| (k.clone(), v.len())).collect::<Vec<_>>();
        out.push_str(&format!("; keys {:?} / {:?}", keyed(self), keyed(found)));
        out
    }
}

struct World {
    disk: SimDisk,
    meta: SimMeta,
    clock: Arc<SimClock>,
    config: StoreConfig,
    random: SimRandom,
    /// States by transaction number.
    states: Vec<Model>,
    acked: usize,
    seen: usize,
    next_id: i64,
    crashes: usize,
    commits: usize,
    backups: usize,
}

fn object(oid: Oid) -> Object {
    let mut layout = TableLayout::new([
        Arc::new(Field::new("id", DataType::Int64, false)),
        Arc::new(Field::new("value", DataType::Utf8View, true)),
    ]);
    if oid.is_multiple_of(2) {
        layout.order_by = vec![1];
        layout.keys = vec![KeyDef { id: 1, columns: vec![1], unique: true, nulls_distinct: true, hash: KeyHash::Xxh3 }];
    }
    let name_key = format!("t{oid}").into_bytes().into();
    Object { oid, kind: b't', name_key, body: b"{}"[..].into(), layout: Some(Arc::new(layout)) }
}

fn batch(rows: &[(i64, String)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|(id, _)| *id).collect();
    let values: StringViewArray = rows.iter().map(|(_, value)| Some(value.as_str())).collect();
    let schema = object(FIRST_OID).layout.unwrap().schema();
    RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(values)]).unwrap()
}

type Found = BTreeMap<i64, (String, u32, u32)>;

fn read_table(snapshot: &Snapshot, table: Oid) -> Result<Option<Found>> {
    let Some(state) = snapshot.table(table) else { return Ok(None) };
    let columns: Vec<_> = state.layout().live_columns().collect();
    let mut out = BTreeMap::new();
    for source in state.sources() {
        for (index, chunk) in source.chunks().iter().enumerate() {
            let ids = source.column(index, columns[0])?;
            let values = source.column(index, columns[1])?;
            for row in 0..chunk.rows {
                let at = u32::try_from(chunk.first_row).unwrap() + u32::try_from(row).unwrap();
                if source.deletes().is_some_and(|deletes| deletes.contains(at)) {
                    continue;
                }
                let id = ids.as_primitive::<Int64Type>().value(row);
                let value = values.as_string_view().value(row).to_owned();
                out.insert(id, (value, source.number(), at));
            }
        }
        let live = source.chunks().iter().map(|chunk| chunk.rows as u64).sum::<u64>();
        assert_eq!(live, source.rows(), "chunks and rows disagree");
    }
    Ok(Some(out))
}

/// Every row is found by its key, at its address and nowhere else.
fn check_keys(snapshot: &Snapshot, table: Oid, found: &Found) -> Result<()> {
    let Some(state) = snapshot.table(table) else { return Ok(()) };
    let column = state.layout().columns[0].clone();
    for def in &state.layout().keys {
        let ids: arrow::array::ArrayRef = Arc::new(Int64Array::from_iter_values(found.keys().copied()));
        let keys = KeyRows::new(def, std::slice::from_ref(&ids))?;
        let search = KeySearch::new(def, std::slice::from_ref(&column), &keys, &ids)?;
        let mut places = BTreeMap::new();
        for source in state.sources() {
            let gone = |row| source.deletes().is_some_and(|deletes| deletes.contains(row));
            for (index, row) in search.find(source, &gone)? {
                assert!(places.insert(index, (source.number(), row)).is_none(), "a key is there twice");
            }
        }
        assert!(
            found.values().map(|(_, source, row)| (*source, *row)).eq(places.into_values()),
            "keys and rows disagree"
        );
    }
    Ok(())
}

fn read_model(snapshot: &Snapshot) -> Result<(usize, Model)> {
    let mut model = Model::default();
    for (oid, _) in snapshot.tables() {
        let found = read_table(snapshot, oid)?.unwrap_or_default();
        check_keys(snapshot, oid, &found)?;
        let rows = found.into_iter().map(|(id, (value, _, _))| (id, value)).collect();
        model.tables.insert(oid, rows);
    }
    let mut number = 0;
    for (key, value) in snapshot.scan(Space::Kv, b"") {
        let bytes = value.read()?;
        if &**key == b"number" {
            number = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        } else {
            model.keyed.insert(key.to_vec(), bytes.to_vec());
        }
    }
    Ok((number, model))
}

impl World {
    fn new(seed: u64, sabotage: Sabotage, lies: Lies) -> Self {
        let disk = SimDisk::new();
        disk.lie(lies);
        let config = StoreConfig {
            wal_segment_bytes_first: 1 << 14,
            wal_segment_bytes_max: 1 << 16,
            stage_rows_max: 60,
            delta_flush_rows: 200,
            compaction_fan_in: 3,
            // Every second world carries small deltas over its checkpoints, the others flush them.
            carry_table_bytes: if seed.is_multiple_of(2) { 0 } else { 3_000 },
            sabotage,
            ..StoreConfig::at("/sim/data")
        };
        Self {
            disk,
            meta: SimMeta::new(),
            clock: Arc::default(),
            config,
            random: SimRandom::new(seed),
            states: vec![Model::default()],
            acked: 0,
            seen: 0,
            next_id: 1,
            crashes: 0,
            commits: 0,
            backups: 0,
        }
    }

    fn open(&self) -> Result<Store> {
        Store::open_simulated(&self.config, &self.disk, Arc::clone(&self.clock), &self.meta)
    }

    /// Recovers, with more cuts during recovery, and compares.
    fn recover(&mut self) -> std::result::Result<Store, String> {
        for depth in 0.. {
            if depth < 3 && self.random.chance(33) {
                let calls = 1 + self.random.below(40);
                self.disk.crash_after(calls);
            }
            match self.open() {
                Ok(store) if !self.disk.crashed() => {
                    // The armed cut is later than the recovery: it will hit the work.
                    self.verify(&store)?;
                    return Ok(store);
                }
                Ok(_) => {}
                Err(_) if self.disk.crashed() => {}
                Err(error) => return Err(format!("recovery refused: {error}")),
            }
            self.cut();
        }
        unreachable!()
    }

    fn cut(&mut self) {
        self.crashes += 1;
        self.disk.crash(&mut self.random);
        self.meta.crash(&mut self.random);
    }

    fn verify(&mut self, store: &Store) -> std::result::Result<(), String> {
        let read = read_model(&store.snapshot());
        if self.disk.crashed() {
            return Ok(());
        }
        let (number, model) = read.map_err(|error| format!("damaged: {error}"))?;
        if number < self.acked {
            return Err(format!("lost: transaction {} was acknowledged, {number} is the last one present", self.acked));
        }
        if number < self.seen {
            return Err(format!("lost: transaction {} was visible, {number} is the last one present", self.seen));
        }
        let Some(expected) = self.states.get(number) else {
            return Err(format!("phantom: transaction {number} was never accepted"));
        };
        if *expected != model {
            return Err(format!(
                "half or wrong: the state is not that of transaction {number}: {}",
                expected.unlike(&model)
            ));
        }
        // What was not acknowledged and is gone never happened.
        self.states.truncate(number + 1);
        self.acked = number;
        self.seen = number;
        Ok(())
    }

    /// One of the tables, or an oid that has none.
    fn pick(&mut self, model: &Model) -> Oid {
        let slot = usize::try_from(self.random.below(SLOTS)).unwrap();
        model.tables.keys().nth(slot).copied().unwrap_or(1)
    }

    fn pick_last(&mut self) -> Oid {
        let model = self.states.last().cloned().unwrap_or_default();
        self.pick(&model)
    }

    /// Builds one transaction over the newest queued state and gives what it leads to.
    fn write(&mut self, txn: &mut Txn, base: &Model, touched: &mut BTreeMap<Oid, Vec<i64>>) -> Result<Model> {
        let mut model = base.clone();
        for _ in 0..=self.random.below(2) {
            let oid = self.pick(&model);
            let committed = read_table(txn.snapshot(), oid)?;
            let usable = model.tables.contains_key(&oid) && committed.is_some();
            match self.random.below(12) {
                0..=4 if usable => self.insert(txn, &mut model, oid)?,
                5..=7 if usable => self.change(txn, &mut model, oid, committed.unwrap_or_default(), touched)?,
                8 => {
                    let key = vec![b'k', u8::try_from(self.random.below(5)).unwrap_or(0)];
                    let len = if self.random.chance(5) { 70_000 } else { self.random.below(40) as usize };
                    let value = vec![u8::try_from(self.random.below(256)).unwrap_or(0); len];
                    txn.put(Space::Kv, &key, &value)?;
                    model.keyed.insert(key, value);
                }
                9 => {
                    let key = vec![b'k', u8::try_from(self.random.below(5)).unwrap_or(0)];
                    txn.remove(Space::Kv, &key)?;
                    model.keyed.remove(&key);
                }
                10 if usable => {
                    let mark = txn.savepoint();
                    let mut dropped = model.clone();
                    self.insert(txn, &mut dropped, oid)?;
                    assert!(txn.rollback_to(mark));
                }
                _ => {}
            }
        }
        Ok(model)
    }

    fn insert(&mut self, txn: &mut Txn, model: &mut Model, oid: Oid) -> Result<()> {
        // More than 60 rows pass the staging limit.
        let count = if self.random.chance(20) { 50 + self.random.below(100) } else { 1 + self.random.below(5) };
        let mut rows = Vec::new();
        for _ in 0..count {
            let pad = "y".repeat(self.random.below(30) as usize);
            rows.push((self.next_id, format!("{}-{pad}", self.next_id)));
            self.next_id += 1;
        }
        let half = rows.len() / 2;
        txn.append(oid, batch(&rows[half..]))?;
        txn.append(oid, batch(&rows[..half]))?;
        model.tables.entry(oid).or_default().extend(rows);
        Ok(())
    }

    fn change(
        &mut self,
        txn: &mut Txn,
        model: &mut Model,
        oid: Oid,
        committed: Found,
        touched: &mut BTreeMap<Oid, Vec<i64>>,
    ) -> Result<()> {
        let done = touched.entry(oid).or_default();
        let ids: Vec<i64> = committed.keys().copied().filter(|id| !done.contains(id)).collect();
        for _ in 0..=self.random.below(4).min(ids.len() as u64) {
            if ids.is_empty() {
                break;
            }
            let id = ids[self.random.below(ids.len() as u64) as usize];
            if done.contains(&id) {
                continue;
            }
            done.push(id);
            let (_, source, row) = committed[&id];
            txn.delete(oid, source, &RoaringBitmap::from_iter([row]))?;
            let rows = model.tables.entry(oid).or_default();
            rows.remove(&id);
            if self.random.chance(50) {
                let value = format!("{id} changed by {}", self.states.len());
                txn.append(oid, batch(&[(id, value.clone())]))?;
                rows.insert(id, value);
            }
        }
        Ok(())
    }

    /// Queues some transactions, commits them as a group, and records what was acknowledged.
    fn commit_group(&mut self, store: &Store) -> Result<()> {
        let mut txns: Vec<(Txn, usize)> = Vec::new();
        let mut touched = BTreeMap::new();
        for _ in 0..=self.random.below(5) {
            let mut txn = store.begin(Isolation::ReadCommitted);
            let before = self.states.last().cloned().unwrap_or_default();
            let model = self.write(&mut txn, &before, &mut touched)?;
            txns.push(self.number(txn, model)?);
        }
        let mut tickets = if self.random.chance(30) {
            self.commit_during_flush(store, txns)?
        } else {
            let oid = self.pick_last();
            if self.random.chance(30) {
                // Moves rows between the snapshot of the transactions and their commit.
                store.flush(oid)?;
            }
            commit_all(store, txns)
        };
        store.step_commit();
        if self.random.chance(25) {
            // A definition or a truncation conflicts with whatever is queued, so it goes alone.
            self.settle(&tickets);
            if self.disk.crashed() {
                return Ok(());
            }
            tickets = commit_all(store, vec![self.define(store)?]);
            store.step_commit();
        }
        self.settle(&tickets);
        Ok(())
    }

    /// Commits between the writing of a new part and its install.
    fn commit_during_flush(&mut self, store: &Store, txns: Vec<(Txn, usize)>) -> Result<Vec<(Ticket, usize)>> {
        let waiting = Arc::new(Mutex::new(txns));
        let tickets = Arc::new(Mutex::new(Vec::new()));
        let (queue, from, to) = (store.clone(), Arc::clone(&waiting), Arc::clone(&tickets));
        let meanwhile = move || {
            let txns = std::mem::take(&mut *from.lock().unwrap());
            *to.lock().unwrap() = commit_all(&queue, txns);
        };
        *store.shared().before_install.lock().unwrap() = Some(Box::new(meanwhile));
        let oid = self.pick_last();
        let flushed = if self.random.chance(50) { store.flush(oid) } else { store.rewrite_deleted(oid) };
        *store.shared().before_install.lock().unwrap() = None;
        let mut tickets = std::mem::take(&mut *tickets.lock().unwrap());
        self.settle(&tickets);
        flushed?;
        // Nothing to flush: they are committed now.
        tickets.extend(commit_all(store, std::mem::take(&mut *waiting.lock().unwrap())));
        Ok(tickets)
    }

    fn define(&mut self, store: &Store) -> Result<(Txn, usize)> {
        let mut txn = store.begin(Isolation::ReadCommitted);
        let mut model = self.states.last().cloned().unwrap_or_default();
        let oid = self.pick(&model);
        if model.tables.len() < SLOTS as usize {
            let oid = store.allocate_oid();
            txn.ddl(object(oid))?;
            model.tables.insert(oid, BTreeMap::new());
            self.insert(&mut txn, &mut model, oid)?;
        } else if self.random.chance(20) {
            txn.drop_object(oid);
            model.tables.remove(&oid);
        } else if self.random.chance(40) {
            txn.truncate(oid)?;
            model.tables.insert(oid, BTreeMap::new());
            self.insert(&mut txn, &mut model, oid)?;
        }
        self.number(txn, model)
    }

    /// Gives the transaction its number and notes the state it leads to.
    fn number(&mut self, mut txn: Txn, model: Model) -> Result<(Txn, usize)> {
        let number = self.states.len();
        txn.put(Space::Kv, b"number", &(number as u64).to_le_bytes())?;
        self.states.push(model);
        Ok((txn, number))
    }

    fn settle(&mut self, tickets: &[(Ticket, usize)]) {
        for (ticket, number) in tickets {
            match ticket.try_wait() {
                Some(Ok(_)) => {
                    self.commits += 1;
                    self.acked = self.acked.max(*number);
                }
                Some(Err(error)) => {
                    assert!(self.disk.crashed(), "transaction {number} was refused: {error}");
                }
                None => {}
            }
        }
    }

    fn work(&mut self, store: &Store) -> Result<()> {
        for _ in 0..40 {
            match self.random.below(20) {
                0..=13 => self.commit_group(store)?,
                14 | 15 => drop(store.step_meta()),
                16 => {
                    let oid = self.pick_last();
                    store.flush(oid)?;
                }
                17 => drop(store.checkpoint()?),
                18 if self.random.chance(20) => self.back_up(store)?,
                // Prepares the next segment, by recycling where it can.
                19 if self.random.chance(60) => store.shared().maintain(),
                18 if self.random.chance(50) => store.step_mark(),
                18 => {
                    let oid = self.pick_last();
                    store.compact(oid)?;
                }
                _ => {
                    let oid = self.pick_last();
                    store.rewrite_deleted(oid)?;
                }
            }
            if self.disk.crashed() {
                break;
            }
            assert!(store.failed().is_none(), "{:?}", store.failed());
        }
        Ok(())
    }

    /// A backup holds exactly the state that is visible, and opens as a database of its own.
    fn back_up(&mut self, store: &Store) -> Result<()> {
        let dir = format!("/sim/backups/{}-{}", self.crashes, self.random.bits());
        store.backup(Path::new(&dir))?;
        if self.disk.crashed() {
            return Ok(());
        }
        let config = StoreConfig { data_dir: dir.into(), ..self.config.clone() };
        let copy = Store::open_simulated(&config, &self.disk.fork(), Arc::clone(&self.clock), &SimMeta::new())?;
        assert_eq!(read_model(&copy.snapshot())?, read_model(&store.snapshot())?, "the backup is another state");
        self.backups += 1;
        Ok(())
    }

    /// Works until the power goes, many times.
    fn live(&mut self, crashes: usize, vices: bool) -> std::result::Result<(), String> {
        let mut store = self.recover()?;
        while self.crashes < crashes {
            let calls = 1 + self.random.below(250);
            self.disk.crash_after(calls);
            if vices && self.random.chance(10) {
                self.meta.arm([Vice::Err, Vice::Panic][self.random.below(2) as usize]);
            }
            if let Err(error) = self.work(&store)
                && !self.disk.crashed()
            {
                return Err(format!("an operation failed: {error}"));
            }
            if self.disk.crashed() {
                let seen = store.snapshot().get(Space::Kv, b"number").and_then(|value| value.read().ok());
                let seen = seen.map_or(0, |bytes| u64::from_le_bytes(bytes[..8].try_into().unwrap()));
                self.seen = self.seen.max(usize::try_from(seen).unwrap());
            }
            drop(store);
            self.cut();
            if vices && self.random.chance(30) {
                let all = [Vice::Err, Vice::Panic, Vice::OldCopy, Vice::WrongDigest, Vice::Empty];
                self.meta.arm(all[self.random.below(5) as usize]);
            }
            store = self.recover()?;
        }
        Ok(())
    }
}

fn commit_all(store: &Store, txns: Vec<(Txn, usize)>) -> Vec<(Ticket, usize)> {
    txns.into_iter().map(|(txn, number)| (store.commit(txn), number)).collect()
}

struct Ran {
    crashes: usize,
    commits: usize,
    backups: usize,
    outcome: std::result::Result<(), String>,
}

fn run(seed: u64, crashes: usize, sabotage: Sabotage, lies: Lies, vices: bool) -> Ran {
    let mut world = World::new(seed, sabotage, lies);
    let outcome = world.live(crashes, vices);
    assert!(
        Path::new("/sim").parent().is_some() && !Path::new("/sim/data").exists(),
        "the simulation touched real files"
    );
    Ran { crashes: world.crashes, commits: world.commits, backups: world.backups, outcome }
}

#[test]
fn a_thousand_power_cuts_lose_nothing() {
    survive(0..seeds(), false);
}

#[test]
fn a_thousand_power_cuts_with_a_faulty_meta_store_lose_nothing() {
    survive(10_000..10_000 + seeds(), true);
}

/// Seeds of 50 cuts each; a campaign takes more.
fn seeds() -> u64 {
    kit::campaign("CRASH_SIMULATED_SEEDS", 20)
}

fn survive(seeds: std::ops::Range<u64>, vices: bool) {
    let (mut crashes, mut commits, mut backups) = (0, 0, 0);
    for seed in seeds {
        let ran = run(seed, 50, Sabotage::default(), Lies::default(), vices);
        ran.outcome.unwrap_or_else(|damage| panic!("seed {seed}: {damage}"));
        crashes += ran.crashes;
        commits += ran.commits;
        backups += ran.backups;
    }
    println!("{crashes} power cuts, {commits} acknowledged transactions, {backups} backups, none lost");
    assert!(
        crashes >= 1_000 && commits >= 5_000 && backups >= 10,
        "the simulation hardly worked: {crashes} cuts, {commits} commits"
    );
}

/// A detector that never fired is not trusted: each broken store must be caught within 1,000 cuts.
fn must_be_caught(sabotage: Sabotage, lies: Lies) {
    let mut total = 0;
    for seed in 1_000.. {
        let ran = run(seed, 50, sabotage, lies, false);
        total += ran.crashes;
        if let Err(damage) = ran.outcome {
            println!("caught after {total} cuts: {damage}");
            return;
        }
        assert!(total < 1_000, "{sabotage:?} {lies:?} went unnoticed for {total} cuts");
    }
}

#[test]
fn null_control_no_segment_sync() {
    must_be_caught(Sabotage::default(), Lies { segments: true, ..Lies::default() });
}

#[test]
fn null_control_no_part_sync() {
    must_be_caught(Sabotage::default(), Lies { parts: true, ..Lies::default() });
}

#[test]
fn null_control_no_directory_sync() {
    must_be_caught(Sabotage::default(), Lies { directories: true, ..Lies::default() });
}

#[test]
fn null_control_publish_before_sync() {
    must_be_caught(Sabotage { publish_before_sync: true, ..Sabotage::default() }, Lies::default());
}

#[test]
fn null_control_no_tail_rule() {
    must_be_caught(Sabotage { no_tail_rule: true, ..Sabotage::default() }, Lies::default());
}

#[test]
fn null_control_meta_before_wal() {
    must_be_caught(Sabotage { meta_before_wal: true, ..Sabotage::default() }, Lies::default());
}

//! Sequences at work: the next value, never given twice.
//!
//! A sequence's definition is an object of the catalog; where it stands is a value in the store under the definition's
//! state number. That number changes with RESTART, so a rollback of RESTART needs no undo, while nextval and setval are
//! not undone, as in PostgreSQL. Values are given from memory; before the first of a block is given, the last of the
//! block is made durable by a commit of its own, and after a crash the sequence goes on behind it. The state of a
//! sequence that its transaction has not committed yet stays in memory until that commit stores it. A state leaves memory
//! when its sequence is dropped or restarted, and at the end of a transaction that used one nobody committed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_store::{Isolation, Snapshot, Space, Store, Txn};

use super::catalog::shared::CatalogChanges;
use super::catalog::{Catalog, SequenceObject};
use super::store_error::store_error;

/// Values made durable at a time. Reason: a commit a value would be as slow as the disk; PostgreSQL logs 32.
const BLOCK: i64 = 1_000;

/// What one session remembers: currval and lastval, and the states its transaction moved.
#[derive(Debug, Default)]
pub struct SessionSequences {
    values: HashMap<u32, i64>,
    last: Option<u32>,
    /// OID and state number of each.
    moved: BTreeSet<(u32, u32)>,
}

impl SessionSequences {
    /// Keeps that the transaction moves a sequence.
    pub fn moves(&mut self, sequence: &SequenceObject) {
        self.moved.insert((sequence.oid, sequence.state));
    }

    /// The states the transaction that ends moved.
    pub(super) fn take_moved(&mut self) -> BTreeSet<(u32, u32)> {
        std::mem::take(&mut self.moved)
    }

    /// Keeps a value that nextval gave.
    pub fn note(&mut self, sequence: u32, value: i64, by_nextval: bool) {
        self.values.insert(sequence, value);
        if by_nextval {
            self.last = Some(sequence);
        }
    }

    /// currval.
    pub fn current(&self, sequence: u32) -> Option<i64> {
        self.values.get(&sequence).copied()
    }

    /// Sequence and value of lastval.
    pub fn last(&self) -> Option<(u32, i64)> {
        self.last.and_then(|sequence| self.current(sequence).map(|value| (sequence, value)))
    }

    /// DISCARD SEQUENCES.
    pub fn forget(&mut self) {
        *self = Self { moved: self.take_moved(), ..Self::default() };
    }
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The last value, or the first if none was given.
    pub value: i64,
    /// Whether `value` was given.
    pub called: bool,
}

#[derive(Debug)]
struct State {
    position: Position,
    /// The value up to which nothing needs to be stored, if a block is open.
    stored_to: Option<i64>,
}

/// The sequences of an engine.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    states: Mutex<HashMap<u32, Arc<Mutex<State>>>>,
}

fn key(state: u32) -> Vec<u8> {
    format!("sequence/{state}").into_bytes()
}

fn encoded(position: Position) -> [u8; 9] {
    let mut bytes = [0; 9];
    bytes[..8].copy_from_slice(&position.value.to_le_bytes());
    bytes[8] = u8::from(position.called);
    bytes
}

/// What the store knows of a state; the beginning if it knows nothing.
fn stored(snapshot: &Snapshot, sequence: &SequenceObject) -> PgResult<Position> {
    let Some(value) = snapshot.get(Space::Kv, &key(sequence.state)) else {
        return Ok(Position { value: sequence.first, called: false });
    };
    let bytes = value.read().map_err(store_error)?;
    match <[u8; 9]>::try_from(bytes.as_ref()) {
        Ok([value @ .., called]) => Ok(Position { value: i64::from_le_bytes(value), called: called != 0 }),
        Err(_) => Err(PgError::new(
            sqlstate::DATA_CORRUPTED,
            format!("the state of sequence \"{}\" cannot be read", sequence.name),
        )),
    }
}

/// One commit that nothing else waits for.
fn put(store: &Store, state: u32, position: Position) -> PgResult<()> {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.put(Space::Kv, &key(state), &encoded(position)).map_err(store_error)?;
    store.commit(txn).wait().map(drop).map_err(store_error)
}

/// Is the sequence, in this state, part of the committed catalog?
fn committed(catalog: &Catalog, sequence: &SequenceObject) -> bool {
    catalog.sequences.get(&sequence.oid).is_some_and(|known| known.state == sequence.state)
}

impl Sequences {
    fn state(&self, store: &Store, sequence: &SequenceObject) -> PgResult<Arc<Mutex<State>>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(&sequence.state) {
            return Ok(Arc::clone(state));
        }
        let state = State { position: stored(&store.snapshot(), sequence)?, stored_to: None };
        let state = Arc::new(Mutex::new(state));
        states.insert(sequence.state, Arc::clone(&state));
        Ok(state)
    }

    /// Where a sequence stands.
    pub(super) fn position(&self, store: &Store, sequence: &SequenceObject) -> PgResult<Position> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get(&sequence.state).map(Arc::clone) else {
            return stored(&store.snapshot(), sequence);
        };
        drop(states);
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.position)
    }

    /// How many sequences' states are in memory.
    pub(super) fn count(&self) -> usize {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets go of those of these states, given with their sequences' OIDs, that the committed catalog does not know.
    pub(super) fn drop_unknown(&self, newest: &Catalog, used: impl IntoIterator<Item = (u32, u32)>) {
        let known = |oid: u32| newest.sequences.get(&oid).map(|sequence| sequence.state);
        let mut gone = used.into_iter().filter(|(oid, state)| known(*oid) != Some(*state)).peekable();
        if gone.peek().is_none() {
            return;
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, state) in gone {
            states.remove(&state);
        }
    }

    /// Lets go of the states that a committed transaction replaced or dropped.
    pub(super) fn drop_replaced(&self, changes: &CatalogChanges) {
        let before = changes.touched.iter().filter_map(|oid| changes.base.sequences.get(oid));
        self.drop_unknown(&changes.catalog, before.map(|sequence| (sequence.oid, sequence.state)));
    }

    /// nextval. `newest` is the committed catalog.
    pub(super) fn next(&self, store: &Store, newest: &Catalog, sequence: &SequenceObject) -> PgResult<i64> {
        let state = self.state(store, sequence)?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = following(sequence, state.position)?;
        let up = sequence.increment > 0;
        // A sequence that begins again is outside its block, though below its end.
        let onward = |from: Position| !from.called || if up { next > from.value } else { next < from.value };
        let open = state.stored_to.is_some_and(|to| if up { next <= to } else { next >= to }) && onward(state.position);
        if committed(newest, sequence) && !open {
            let last = end_of_block(sequence, next);
            put(store, sequence.state, Position { value: last, called: true })?;
            state.stored_to = Some(last);
        }
        state.position = Position { value: next, called: true };
        Ok(next)
    }

    /// setval.
    pub(super) fn set(
        &self,
        store: &Store,
        newest: &Catalog,
        sequence: &SequenceObject,
        position: Position,
    ) -> PgResult<()> {
        if position.value < sequence.min || position.value > sequence.max {
            let SequenceObject { name, min, max, .. } = sequence;
            let message =
                format!("setval: value {} is out of bounds for sequence \"{name}\" ({min}..{max})", position.value);
            return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message));
        }
        let state = self.state(store, sequence)?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if committed(newest, sequence) {
            put(store, sequence.state, position)?;
        }
        state.position = position;
        state.stored_to = None;
        Ok(())
    }

    /// Adds to a transaction what it must store of sequences it made, restarted or dropped.
    pub(super) fn join_commit(&self, txn: &mut Txn, changes: &CatalogChanges) -> PgResult<()> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for oid in &changes.touched {
            let (before, after) = (changes.base.sequences.get(oid), changes.catalog.sequences.get(oid));
            if before.map(|sequence| sequence.state) == after.map(|sequence| sequence.state) {
                continue;
            }
            if let Some(sequence) = before {
                txn.remove(Space::Kv, &key(sequence.state)).map_err(store_error)?;
            }
            let used = after.and_then(|sequence| states.get(&sequence.state).map(|state| (sequence.state, state)));
            if let Some((number, state)) = used {
                let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                txn.put(Space::Kv, &key(number), &encoded(state.position)).map_err(store_error)?;
            }
        }
        Ok(())
    }

    /// Stores where every sequence stands, so that a clean stop leaves no gap.
    pub(super) fn settle(&self, store: &Store) -> PgResult<()> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut txn = store.begin(Isolation::ReadCommitted);
        for (number, state) in states.iter() {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.stored_to.take().is_some() {
                txn.put(Space::Kv, &key(*number), &encoded(state.position)).map_err(store_error)?;
            }
        }
        if !txn.has_writes() {
            return Ok(());
        }
        store.commit(txn).wait().map(drop).map_err(store_error)
    }
}

/// The value after a position; 2200H at the end of a sequence that does not cycle.
fn following(sequence: &SequenceObject, position: Position) -> PgResult<i64> {
    if !position.called {
        return Ok(position.value);
    }
    let up = sequence.increment > 0;
    let next = position.value.checked_add(sequence.increment);
    if let Some(next) = next.filter(|next| if up { *next <= sequence.max } else { *next >= sequence.min }) {
        return Ok(next);
    }
    match (sequence.cycle, up) {
        (true, true) => Ok(sequence.min),
        (true, false) => Ok(sequence.max),
        (false, _) => {
            let (word, bound) = if up { ("maximum", sequence.max) } else { ("minimum", sequence.min) };
            let message = format!("nextval: reached {word} value of sequence \"{}\" ({bound})", sequence.name);
            Err(PgError::new(sqlstate::SEQUENCE_GENERATOR_LIMIT_EXCEEDED, message))
        }
    }
}

/// The last value of the block that begins with `next`, within the bounds.
fn end_of_block(sequence: &SequenceObject, next: i64) -> i64 {
    let count = i128::from(sequence.cache.max(BLOCK) - 1);
    let (next, step) = (i128::from(next), i128::from(sequence.increment));
    let room = match step > 0 {
        true => (i128::from(sequence.max) - next) / step,
        false => (next - i128::from(sequence.min)) / -step,
    };
    let last = next + step * count.min(room.max(0));
    i64::try_from(last).unwrap_or(if step > 0 { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use tributary_store::{RealDisk, StoreConfig, SystemClock};

    use super::super::catalog::CatalogObject;
    use super::*;

    fn sequence(increment: i64, min: i64, max: i64, cycle: bool) -> SequenceObject {
        SequenceObject { increment, min, max, cycle, ..SequenceObject::plain(1, 1, "s".to_owned(), 10) }
    }

    /// Every value of a short sequence, as a plain loop finds them.
    fn walk(sequence: &SequenceObject, first: i64, count: usize) -> Vec<PgResult<i64>> {
        let mut position = Position { value: first, called: false };
        let mut values = Vec::new();
        for _ in 0..count {
            let next = following(sequence, position);
            if let Ok(value) = next {
                position = Position { value, called: true };
            }
            values.push(next);
        }
        values
    }

    #[test]
    fn ends_wrap_or_fail() {
        let values = |walked: Vec<PgResult<i64>>| walked.into_iter().map(|v| v.ok()).collect::<Vec<_>>();
        assert_eq!(values(walk(&sequence(2, 1, 5, true), 3, 4)), [Some(3), Some(5), Some(1), Some(3)]);
        assert_eq!(values(walk(&sequence(-4, -10, -1, false), -1, 4)), [Some(-1), Some(-5), Some(-9), None]);
        assert_eq!(values(walk(&sequence(1, 1, i64::MAX, false), i64::MAX, 2)), [Some(i64::MAX), None]);
        assert_eq!(values(walk(&sequence(-1, i64::MIN, -1, true), i64::MIN, 2)), [Some(i64::MIN), Some(-1)]);
    }

    /// Takes values from sequences of one store that crash between two takes: each must go on where a plain loop that
    /// skips at most the rest of a block may be.
    #[test]
    fn a_sequence_that_cycled_gives_no_value_again_after_a_crash() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = StoreConfig { data_dir: directory.path().to_owned(), ..StoreConfig::default() };
        let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("opens");
        for (increment, min, max, first) in [(1, 1, 5_000, 4_999), (-3, -9_000, -1, -8_999), (1, 1, 3, 3), (1, 7, 7, 7)]
        {
            let sequence = SequenceObject { first, ..sequence(increment, min, max, true) };
            let sequence = SequenceObject { state: max.unsigned_abs() as u32, ..sequence };
            let catalog = Catalog::new(1, vec![CatalogObject::Sequence(Arc::new(sequence.clone()))]);
            let running = Sequences::default();
            let taken: Vec<i64> = (0..5).map(|_| running.next(&store, &catalog, &sequence).expect("a value")).collect();
            let wrapped = taken.iter().position(|value| *value == if increment > 0 { min } else { max });
            let of_this_round = &taken[wrapped.expect("it began again")..];
            let last = *of_this_round.last().expect("the first value of the round");
            // What is in memory is lost.
            let next = Sequences::default().next(&store, &catalog, &sequence).expect("a value");
            let room = (max - min) / increment.abs() > BLOCK;
            if room {
                assert!(!of_this_round.contains(&next), "{increment} {min} {max}: {next} again");
                assert_eq!((next - last).signum(), increment.signum(), "{increment} {min} {max}");
            } else {
                assert!((min..=max).contains(&next));
            }
        }
    }

    #[test]
    fn states_of_no_sequence_leave_memory() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = StoreConfig { data_dir: directory.path().to_owned(), ..StoreConfig::default() };
        let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("opens");
        let known = SequenceObject { state: 1, ..sequence(1, 1, 10, false) };
        let catalog = Catalog::new(1, vec![CatalogObject::Sequence(Arc::new(known.clone()))]);
        let (sequences, mut session) = (Sequences::default(), SessionSequences::default());
        for state in 1..=5 {
            let sequence = SequenceObject { state, ..known.clone() };
            assert_eq!(sequences.position(&store, &sequence).expect("reads").value, 1);
            assert_eq!(sequences.count(), state as usize - 1, "reading keeps nothing");
            sequences.next(&store, &catalog, &sequence).expect("a value");
            session.moves(&sequence);
        }
        session.forget();
        sequences.drop_unknown(&catalog, session.take_moved());
        assert_eq!(sequences.count(), 1);
        assert_eq!(sequences.next(&store, &catalog, &known).expect("a value"), 2);
    }

    #[test]
    fn a_block_ends_on_a_value_of_the_sequence() {
        for (increment, min, max, next) in
            [(1, 1, 10, 4), (3, 1, 20, 2), (-3, -20, -1, -1), (1, 1, i64::MAX, i64::MAX - 5), (-1, i64::MIN, 0, 0)]
        {
            let sequence = sequence(increment, min, max, false);
            let last = end_of_block(&sequence, next);
            let walked = walk(&sequence, next, usize::try_from(BLOCK).expect("small"));
            let walked: Vec<i64> = walked.into_iter().flatten().collect();
            assert_eq!(walked.last(), Some(&last), "{increment} {min} {max} {next}");
        }
    }
}

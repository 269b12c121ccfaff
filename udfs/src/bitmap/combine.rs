//! And, or, xor and andnot over any number of bitmaps: the key lists are merged and each key's containers go through
//! one scratch slot into a sink (writer, counter).
//!
//! Containers that only one operand has are passed on as they are. Arrays stay arrays while they can; other pairs are
//! combined in one 8 KiB buffer that stays in the first cache level. A range of values is an operand like any other
//! ([`Operand::Range`]), which makes `rb_range`, `rb_fill`, `rb_clear`, `rb_flip`, `rb_add` and `rb_remove` the same code.

use super::container::{Container, Words, intersect_arrays, run_bytes};
use super::format::{ARRAY_MAX, Entries, Entry, View};
use super::writer::Sink;
use crate::SqlError;

/// The operation, applied from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// In all.
    And,
    /// In any.
    Or,
    /// In an odd number of them.
    Xor,
    /// In the first and in none of the others.
    AndNot,
}

/// An operand of [`combine`].
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a> {
    /// A bitmap.
    View(&'a View<'a>),
    /// The values of a range.
    Range(Range),
}

/// All values from `first` to `last`, both included.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    first: u64,
    last: u64,
    /// The containers at the first key, in between and at the last key.
    runs: [[[u8; 4]; 1]; 3],
}

impl Range {
    /// The range `first..=last`.
    pub fn new(first: u64, last: u64) -> Self {
        let (low, high) = (first as u16, last as u16);
        let runs = match first >> 16 == last >> 16 {
            true => [run_bytes(low, high); 3],
            false => [run_bytes(low, u16::MAX), run_bytes(0, u16::MAX), run_bytes(0, high)],
        };
        Self { first, last, runs: runs.map(|run| [run]) }
    }

    fn entry(&self, key: u64) -> Entry<'_> {
        let run = match key {
            key if key == self.first >> 16 => &self.runs[0],
            key if key == self.last >> 16 => &self.runs[2],
            _ => &self.runs[1],
        };
        let container = Container::Run(run);
        Entry { key, container, cardinality: container.cardinality() }
    }
}

/// Where an operand is read.
enum Cursor<'o> {
    View(Entries<'o, 'o>),
    Range(&'o Range, u64),
}

impl<'o> Cursor<'o> {
    fn new(operand: &'o Operand<'_>) -> Self {
        match operand {
            Operand::View(view) => Self::View(view.entries()),
            Operand::Range(range) => Self::Range(range, range.first >> 16),
        }
    }

    fn peek(&mut self) -> Option<u64> {
        match self {
            Self::View(entries) => entries.peek(),
            Self::Range(range, key) => Some(*key).filter(|key| *key <= range.last >> 16),
        }
    }

    fn next(&mut self) -> Option<Entry<'o>> {
        match self {
            Self::View(entries) => entries.next(),
            Self::Range(range, key) if *key <= range.last >> 16 => {
                *key += 1;
                Some(range.entry(*key - 1))
            }
            Self::Range(_, _) => None,
        }
    }

    fn seek(&mut self, to: u64) {
        match self {
            Self::View(entries) => entries.seek(to),
            Self::Range(_, key) => *key = to.max(*key),
        }
    }

    /// The container of a key, moving there.
    fn at(&mut self, key: u64) -> Option<Entry<'o>> {
        self.seek(key);
        match self.peek() {
            Some(found) if found == key => self.next(),
            _ => None,
        }
    }
}

/// Buffers of one slot, kept between calls.
#[derive(Debug)]
pub struct Buffers {
    words: Box<Words>,
    array: Vec<u16>,
    spare: Vec<u16>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { words: Box::new([0; 1024]), array: Vec::new(), spare: Vec::new() }
    }
}

impl Buffers {
    /// Bytes held outside the struct itself.
    pub fn size(&self) -> usize {
        size_of::<Words>() + 2 * (self.array.capacity() + self.spare.capacity())
    }
}

/// The result so far of one key.
pub struct Slot<'b, 'c> {
    buffers: &'b mut Buffers,
    state: State<'c>,
}

#[derive(Clone, Copy)]
enum State<'c> {
    Empty,
    Borrowed(Container<'c>, u32),
    Array,
    Words,
}

impl<'b, 'c> Slot<'b, 'c> {
    /// A slot that holds one container.
    pub fn holding(buffers: &'b mut Buffers, container: Container<'c>, cardinality: u32) -> Self {
        Self { buffers, state: State::Borrowed(container, cardinality) }
    }

    /// Combines with the next operand's container.
    pub fn apply(&mut self, operation: Operation, other: Container<'c>, cardinality: u32) {
        if matches!(self.state, State::Empty) {
            if matches!(operation, Operation::Or | Operation::Xor) {
                self.state = State::Borrowed(other, cardinality);
            }
            return;
        }
        match operation {
            Operation::And => self.and(other),
            Operation::AndNot => self.andnot(other),
            Operation::Or | Operation::Xor => self.or_xor(operation, other, cardinality),
        }
    }

    fn and(&mut self, other: Container<'c>) {
        match (self.state, other) {
            (State::Borrowed(Container::Array(left), _), Container::Array(right)) => {
                self.buffers.array.clear();
                let array = &mut self.buffers.array;
                intersect_arrays(left, right, |value| {
                    array.push(value);
                    true
                });
                self.state = State::Array;
            }
            (State::Borrowed(Container::Array(_), _) | State::Array, _) => {
                self.load_array();
                self.buffers.array.retain(|value| other.contains(*value));
            }
            (State::Borrowed(left, _), Container::Array(right)) => {
                self.buffers.array.clear();
                let common = right.iter().map(|v| u16::from_le_bytes(*v)).filter(|value| left.contains(*value));
                self.buffers.array.extend(common);
                self.state = State::Array;
            }
            (_, Container::Array(right)) => {
                let words = &self.buffers.words;
                let values = right.iter().map(|v| u16::from_le_bytes(*v));
                self.buffers.array.clear();
                self.buffers.array.extend(values.filter(|v| words[usize::from(v / 64)] >> (v % 64) & 1 == 1));
                self.state = State::Array;
            }
            _ => {
                self.load_words();
                other.and_into(&mut self.buffers.words);
            }
        }
    }

    fn andnot(&mut self, other: Container<'c>) {
        if let State::Borrowed(Container::Array(_), _) | State::Array = self.state {
            self.load_array();
            self.buffers.array.retain(|value| !other.contains(*value));
            return;
        }
        self.load_words();
        other.andnot_into(&mut self.buffers.words);
    }

    fn or_xor(&mut self, operation: Operation, other: Container<'c>, cardinality: u32) {
        let left_len = match self.state {
            State::Borrowed(Container::Array(values), _) => Some(values.len() as u32),
            State::Array => Some(self.buffers.array.len() as u32),
            _ => None,
        };
        if let (Some(left_len), Container::Array(right)) = (left_len, other)
            && left_len + cardinality <= ARRAY_MAX
        {
            self.load_array();
            let Buffers { array, spare, .. } = &mut *self.buffers;
            merge_arrays(array, right, operation == Operation::Or, spare);
            std::mem::swap(array, spare);
            return;
        }
        self.load_words();
        match operation {
            Operation::Or => other.or_into(&mut self.buffers.words),
            _ => other.xor_into(&mut self.buffers.words),
        }
    }

    fn load_array(&mut self) {
        if let State::Borrowed(container, _) = self.state {
            self.buffers.array.clear();
            container.for_each(|value| self.buffers.array.push(value));
        }
        self.state = State::Array;
    }

    fn load_words(&mut self) {
        match self.state {
            State::Words => return,
            State::Empty => self.buffers.words.fill(0),
            State::Array => {
                self.buffers.words.fill(0);
                for value in &self.buffers.array {
                    self.buffers.words[usize::from(value / 64)] |= 1 << (value % 64);
                }
            }
            State::Borrowed(container, _) => {
                self.buffers.words.fill(0);
                container.or_into(&mut self.buffers.words);
            }
        }
        self.state = State::Words;
    }

    /// Hands the result to a sink.
    pub fn emit(&self, key: u64, sink: &mut impl Sink) -> Result<(), SqlError> {
        match self.state {
            State::Empty => Ok(()),
            State::Borrowed(container, cardinality) => sink.borrowed(key, container, cardinality),
            State::Array => sink.array(key, &self.buffers.array),
            State::Words => sink.words(key, &self.buffers.words),
        }
    }
}

/// Union (`keep_common`) or symmetric difference of two ascending arrays.
fn merge_arrays(left: &[u16], right: &[[u8; 2]], keep_common: bool, out: &mut Vec<u16>) {
    out.clear();
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        let (x, y) = (left[i], u16::from_le_bytes(right[j]));
        if x != y || keep_common {
            out.push(x.min(y));
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    out.extend_from_slice(&left[i..]);
    out.extend(right[j..].iter().map(|v| u16::from_le_bytes(*v)));
}

/// Combines the operands from left to right into `sink`, by ascending key. No operand: nothing.
pub fn combine(
    operation: Operation,
    operands: &[Operand<'_>],
    buffers: &mut Buffers,
    sink: &mut impl Sink,
) -> Result<(), SqlError> {
    match (operation, operands) {
        (_, []) => Ok(()),
        (Operation::And | Operation::AndNot, [first, others @ ..]) => {
            filter_first(operation, first, others, buffers, sink)
        }
        (Operation::Or | Operation::Xor, [a, b]) => merge_two(operation, a, b, buffers, sink),
        (Operation::Or | Operation::Xor, _) => merge_all(operation, operands, buffers, sink),
    }
}

/// And and andnot: the first operand's keys decide.
fn filter_first(
    operation: Operation,
    first: &Operand<'_>,
    others: &[Operand<'_>],
    buffers: &mut Buffers,
    sink: &mut impl Sink,
) -> Result<(), SqlError> {
    let mut first = Cursor::new(first);
    if let ([other], Operation::And) = (others, operation) {
        return and_two(first, Cursor::new(other), buffers, sink);
    }
    let mut others: Vec<Cursor<'_>> = others.iter().map(Cursor::new).collect();
    'keys: while let Some(entry) = first.next() {
        let mut slot = Slot::holding(buffers, entry.container, entry.cardinality);
        for other in &mut others {
            match other.at(entry.key) {
                Some(found) => slot.apply(operation, found.container, found.cardinality),
                None if operation == Operation::And => continue 'keys,
                None => {}
            }
        }
        slot.emit(entry.key, sink)?;
    }
    Ok(())
}

/// And of two: both sides skip to each other's keys.
fn and_two(mut a: Cursor<'_>, mut b: Cursor<'_>, buffers: &mut Buffers, sink: &mut impl Sink) -> Result<(), SqlError> {
    while let (Some(left_key), Some(right_key)) = (a.peek(), b.peek()) {
        if left_key < right_key {
            a.seek(right_key);
        } else if right_key < left_key {
            b.seek(left_key);
        } else if let (Some(left), Some(right)) = (a.next(), b.next()) {
            let mut slot = Slot::holding(buffers, left.container, left.cardinality);
            slot.apply(Operation::And, right.container, right.cardinality);
            slot.emit(left_key, sink)?;
        }
    }
    Ok(())
}

fn merge_two(
    operation: Operation,
    a: &Operand<'_>,
    b: &Operand<'_>,
    buffers: &mut Buffers,
    sink: &mut impl Sink,
) -> Result<(), SqlError> {
    let (mut a, mut b) = (Cursor::new(a), Cursor::new(b));
    loop {
        let (left_key, right_key) = (a.peek().unwrap_or(u64::MAX), b.peek().unwrap_or(u64::MAX));
        let key = left_key.min(right_key);
        let left = if left_key == key { a.next() } else { None };
        let right = if right_key == key { b.next() } else { None };
        match (left, right) {
            (Some(left), Some(right)) => {
                let mut slot = Slot::holding(buffers, left.container, left.cardinality);
                slot.apply(operation, right.container, right.cardinality);
                slot.emit(key, sink)?;
            }
            (Some(one), None) | (None, Some(one)) => sink.borrowed(key, one.container, one.cardinality)?,
            (None, None) => return Ok(()),
        }
    }
}

fn merge_all(
    operation: Operation,
    operands: &[Operand<'_>],
    buffers: &mut Buffers,
    sink: &mut impl Sink,
) -> Result<(), SqlError> {
    let mut cursors: Vec<Cursor<'_>> = operands.iter().map(Cursor::new).collect();
    while let Some(key) = cursors.iter_mut().filter_map(Cursor::peek).min() {
        let mut slot = Slot { buffers: &mut *buffers, state: State::Empty };
        for cursor in &mut cursors {
            if cursor.peek() == Some(key)
                && let Some(entry) = cursor.next()
            {
                slot.apply(operation, entry.container, entry.cardinality);
            }
        }
        slot.emit(key, sink)?;
    }
    Ok(())
}

/// Number of common values of two bitmaps; nothing is written.
pub fn and_cardinality(a: &View<'_>, b: &View<'_>) -> u64 {
    let mut count = 0;
    for_common_keys(a, b, |left, right| {
        count += u64::from(left.and_count(right));
        true
    });
    count
}

/// Is there a common value? Stops at the first.
pub fn intersects(a: &View<'_>, b: &View<'_>) -> bool {
    let mut found = false;
    for_common_keys(a, b, |left, right| {
        found = left.intersects(right);
        !found
    });
    found
}

/// Are all values of `part` in `whole`? Stops at the first container with one that is not.
pub fn contains_all(whole: &View<'_>, part: &View<'_>) -> bool {
    let mut at = whole.entries();
    for entry in part.entries() {
        at.seek(entry.key);
        match at.peek() {
            Some(key) if key == entry.key => {}
            _ => return false,
        }
        let Some(around) = at.next() else { return false };
        if around.cardinality < entry.cardinality || around.container.and_count(&entry.container) != entry.cardinality {
            return false;
        }
    }
    true
}

fn for_common_keys(a: &View<'_>, b: &View<'_>, mut visit: impl FnMut(&Container<'_>, &Container<'_>) -> bool) {
    let (mut a, mut b) = (a.entries(), b.entries());
    while let (Some(left_key), Some(right_key)) = (a.peek(), b.peek()) {
        if left_key < right_key {
            a.seek(right_key);
        } else if right_key < left_key {
            b.seek(left_key);
        } else if let (Some(left), Some(right)) = (a.next(), b.next())
            && !visit(&left.container, &right.container)
        {
            return;
        }
    }
}

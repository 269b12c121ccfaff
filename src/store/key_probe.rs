//! Finding rows by their key, in parts and in the delta.
//!
//! For: constraints, point lookups, and the commit thread's check of new keys. A source that may hold a key by the
//! bounds of its first column is asked for the rows under the key's hash (Bloom filter, then a search among sorted
//! hashes), and those rows are compared by their real values, so a hash never decides alone. Promises: finds exactly
//! what a full scan would; nothing is kept in memory for parts whose `.idx` has the key's section. A part written
//! before the key existed, or whose section is damaged, gets its section computed at first need and kept (13 bytes a
//! row) until the part is rewritten. Does not: apply delete vectors; the caller says which rows are gone.

use std::cmp::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{Array, ArrayRef, UInt32Array, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use crate::Oid;
use crate::error::{Result, StoreError};
use crate::key::{KeyDef, KeyRows, push_hashes};
use crate::key_section::KeySection;
use crate::object::{Column, TableLayout};
use crate::part::Encoded;
use crate::source::{Body, Chunk, Source};

/// Sections of a part or a batch that were needed before.
#[derive(Default)]
pub(crate) struct KeyCache {
    sections: RwLock<Vec<(Oid, Arc<KeySection>)>>,
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCache").finish_non_exhaustive()
    }
}

impl KeyCache {
    fn get(&self, key: Oid) -> Option<Arc<KeySection>> {
        let sections = self.sections.read().unwrap_or_else(PoisonError::into_inner);
        sections.iter().find(|(id, _)| *id == key).map(|(_, section)| Arc::clone(section))
    }

    fn get_or_make(&self, key: Oid, make: impl FnOnce() -> Result<KeySection>) -> Result<Arc<KeySection>> {
        if let Some(section) = self.get(key) {
            return Ok(section);
        }
        let made = Arc::new(make()?);
        let mut sections = self.sections.write().unwrap_or_else(PoisonError::into_inner);
        if !sections.iter().any(|(id, _)| *id == key) {
            sections.push((key, Arc::clone(&made)));
        }
        Ok(made)
    }
}

/// Rows of a source that share one section.
struct Unit {
    /// What is added to the rows the section names.
    first_row: u32,
    section: Arc<KeySection>,
}

fn row_number(row: u64) -> u32 {
    u32::try_from(row).expect("row numbers of a source fit 32 bits")
}

/// The sections of a source for a key; of a delta, only those of batches with rows from `from` on.
fn units(source: &Source, def: &KeyDef, columns: &[Column], from: u32) -> Result<Vec<Unit>> {
    let hashes = |chunks: &[Chunk], first_chunk: usize, base: u64| -> Result<KeySection> {
        let mut pairs = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let arrays = columns.iter().map(|c| source.column(first_chunk + index, c)).collect::<Result<Vec<_>>>()?;
            push_hashes(def, &arrays, row_number(chunk.first_row - base), &mut pairs)?;
        }
        KeySection::of(pairs)
    };
    match &source.body {
        Body::Part(part) => {
            let section = part.key_cache()?.get_or_make(def.id, || match part.key_section(def.id) {
                Ok(Some(section)) => Ok(section),
                Ok(None) => hashes(source.chunks(), 0, 0),
                Err(error) => {
                    tracing::error!(part = part.entry.part, table = part.table, %error, "a key section is damaged; it is computed from the rows");
                    hashes(source.chunks(), 0, 0)
                }
            })?;
            Ok(vec![Unit { first_row: 0, section }])
        }
        Body::Delta(delta) => {
            let batches = delta.chunks().iter().zip(delta.batches()).enumerate();
            let wanted = batches.filter(|(_, (chunk, _))| chunk.first_row + chunk.rows as u64 > u64::from(from));
            wanted
                .map(|(index, (chunk, batch))| {
                    let make = || hashes(std::slice::from_ref(chunk), index, chunk.first_row);
                    let section = batch.keys.get_or_make(def.id, make)?;
                    Ok(Unit { first_row: row_number(chunk.first_row), section })
                })
                .collect()
        }
    }
}

/// The columns of a key, in key order.
pub(crate) fn columns_of(layout: &TableLayout, def: &KeyDef) -> Result<Vec<Column>> {
    let missing = || StoreError::internal("a key names a column that does not exist");
    def.columns.iter().map(|id| layout.column(*id).cloned().ok_or_else(missing)).collect()
}

/// Keys to look for.
pub struct KeySearch<'a> {
    def: &'a KeyDef,
    columns: &'a [Column],
    keys: &'a KeyRows,
    /// The keys by hash: sections and their filters are then read from front to back.
    by_hash: Vec<u32>,
    /// Smallest and greatest value of the first column, one row each.
    range: Option<(ArrayRef, ArrayRef)>,
}

impl std::fmt::Debug for KeySearch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySearch").field("key", &self.def.id).field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl<'a> KeySearch<'a> {
    /// A search for `keys`; `columns` are the table's columns of the key in key order, `leading` the values of the first
    /// one in the rows the keys were made from.
    pub fn new(def: &'a KeyDef, columns: &'a [Column], keys: &'a KeyRows, leading: &ArrayRef) -> Result<Self> {
        let rows = u32::try_from(keys.len()).map_err(|_| StoreError::internal("too many keys for one search"))?;
        let mut by_hash: Vec<u32> = (0..rows).filter(|row| keys.has_key(*row as usize)).collect();
        by_hash.sort_unstable_by_key(|row| keys.hash(*row as usize));
        Ok(Self { def, columns, keys, by_hash, range: range_of(leading)? })
    }

    /// Rows of the source with one of the keys: (index of the key, row number), in order of the keys. Rows that `gone`
    /// names are left out; deleted ones are not left out by themselves.
    pub fn find(&self, source: &Source, gone: &dyn Fn(u32) -> bool) -> Result<Vec<(usize, u32)>> {
        Ok(self.find_few(source, gone, usize::MAX)?.unwrap_or_default())
    }

    /// The same; None if more than `rows_max` rows have one of the hashes.
    pub fn find_few(
        &self,
        source: &Source,
        gone: &dyn Fn(u32) -> bool,
        rows_max: usize,
    ) -> Result<Option<Vec<(usize, u32)>>> {
        if self.keys.is_empty() || source.rows() == 0 || self.out_of_range(source)? {
            return Ok(Some(Vec::new()));
        }
        let mut candidates = Vec::new();
        for unit in units(source, self.def, self.columns, 0)? {
            for index in self.by_hash.iter().map(|index| *index as usize) {
                let rows = unit.section.rows(self.keys.hash(index)).map(|row| unit.first_row + row);
                let left = rows_max.saturating_sub(candidates.len()).saturating_add(1);
                candidates.extend(rows.filter(|row| !gone(*row)).map(|row| (index, row)).take(left));
                if candidates.len() > rows_max {
                    return Ok(None);
                }
            }
        }
        candidates.sort_unstable();
        if candidates.is_empty() {
            return Ok(Some(candidates));
        }
        let mut rows: Vec<u32> = candidates.iter().map(|(_, row)| *row).collect();
        rows.sort_unstable();
        rows.dedup();
        let real = keys_at(source, self.def, self.columns, &rows)?;
        candidates.retain(|(index, row)| {
            let at = rows.binary_search(row).expect("every candidate's row was collected");
            real.has_key(at) && real.key(at) == self.keys.key(*index)
        });
        Ok(Some(candidates))
    }

    /// Whether the bounds of the source say that none of the keys is in it.
    fn out_of_range(&self, source: &Source) -> Result<bool> {
        let (Some((min, max)), Some(column)) = (&self.range, self.columns.first()) else { return Ok(false) };
        let Some(summary) = source.summary_as(column) else { return Ok(false) };
        let above = summary.min.is_valid(0) && compare(max, &summary.min)? == Ordering::Less;
        let below = summary.max.is_valid(0) && compare(min, &summary.max)? == Ordering::Greater;
        Ok(above || below)
    }
}

fn compare(a: &ArrayRef, b: &ArrayRef) -> Result<Ordering> {
    Ok(make_comparator(a, b, SortOptions::default())?(0, 0))
}

/// Bounds of some values; None where there is none, or where equal keys need not be equal values.
fn range_of(values: &ArrayRef) -> Result<Option<(ArrayRef, ArrayRef)>> {
    let ordered = !matches!(
        values.data_type(),
        DataType::Float32 | DataType::Float64 | DataType::Interval(_) | DataType::List(_) | DataType::Boolean
    );
    let mut rows = (0..values.len()).filter(|row| values.is_valid(*row));
    let Some(first) = rows.next().filter(|_| ordered && values.null_count() == 0) else { return Ok(None) };
    let order = make_comparator(values, values, SortOptions::default())?;
    let (mut min, mut max) = (first, first);
    for row in rows {
        if order(row, min) == Ordering::Less {
            min = row;
        } else if order(row, max) == Ordering::Greater {
            max = row;
        }
    }
    Ok(Some((values.slice(min, 1), values.slice(max, 1))))
}

/// The keys of some rows, ascending, of a source.
fn keys_at(source: &Source, def: &KeyDef, columns: &[Column], rows: &[u32]) -> Result<KeyRows> {
    let arrays = columns.iter().map(|column| source.take_rows(column, rows)).collect::<Result<Vec<_>>>()?;
    KeyRows::new(def, &arrays)
}

impl Source {
    /// The values of a column in some rows, which must be ascending.
    pub fn take_rows(&self, column: &Column, rows: &[u32]) -> Result<ArrayRef> {
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let chunks = self.chunks();
            let index = chunks.partition_point(|chunk| chunk.first_row <= u64::from(*first)).checked_sub(1);
            let index = index.ok_or_else(|| StoreError::internal("a row is before its source"))?;
            let chunk = chunks[index];
            let end = chunk.first_row + chunk.rows as u64;
            let (here, later) = rest.split_at(rest.partition_point(|row| u64::from(*row) < end));
            if here.is_empty() {
                return Err(StoreError::internal("a row is not in its source"));
            }
            let at: UInt32Array = here.iter().map(|row| row - row_number(chunk.first_row)).collect();
            pieces.push(match self.encoded(index, column)? {
                Some(Encoded::Plain(array)) => arrow::compute::take(&array, &at, None)?,
                Some(Encoded::Dictionary { keys, values }) => {
                    let keys = arrow::compute::take(&keys, &at, None)?;
                    crate::dictionary::gather(&keys, &values)?
                }
                None => arrow::compute::take(&self.column(index, column)?, &at, None)?,
            });
            rest = later;
        }
        match pieces.as_slice() {
            [] => Ok(arrow::array::new_empty_array(column.field.data_type())),
            [one] => Ok(Arc::clone(one)),
            more => {
                let more: Vec<&dyn Array> = more.iter().map(AsRef::as_ref).collect();
                Ok(arrow::compute::concat(&more)?)
            }
        }
    }
}

/// A live row of `new` whose key a live row of `old` from `from` on has, if there is one. `gone` names rows of `old`
/// that count as deleted besides its own.
pub(crate) fn clash(
    def: &KeyDef,
    columns: &[Column],
    new: &Source,
    old: &Source,
    from: u32,
    gone: &dyn Fn(u32) -> bool,
) -> Result<Option<u32>> {
    let dead = |source: &Source, row: u32| source.deletes().is_some_and(|deletes| deletes.contains(row));
    let equal = |new_row: u32, old_row: u32| -> Result<bool> {
        if old_row < from || dead(new, new_row) || dead(old, old_row) || gone(old_row) {
            return Ok(false);
        }
        let (a, b) = (keys_at(new, def, columns, &[new_row])?, keys_at(old, def, columns, &[old_row])?);
        Ok(a.has_key(0) && b.has_key(0) && a.key(0) == b.key(0))
    };
    let old_units = units(old, def, columns, from)?;
    for a in units(new, def, columns, 0)? {
        for b in &old_units {
            // The smaller one is walked, the larger one searched.
            let swapped = b.section.len() < a.section.len();
            let (walked, searched) = if swapped { (b, &a) } else { (&a, b) };
            for index in 0..walked.section.len() {
                let row = walked.first_row + walked.section.row(index);
                for other in searched.section.rows(walked.section.hash(index)) {
                    let other = searched.first_row + other;
                    let (new_row, old_row) = if swapped { (other, row) } else { (row, other) };
                    if equal(new_row, old_row)? {
                        return Ok(Some(new_row));
                    }
                }
            }
        }
    }
    Ok(None)
}

/// The key of a row as it was given, one array of one row per column.
pub(crate) fn values_at(source: &Source, columns: &[Column], row: u32) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| source.take_rows(column, &[row])).collect()
}

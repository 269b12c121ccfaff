//! The rows of order-dependent aggregates: collected for all groups in one log, handed out group by group in time order.
//!
//! Rows are appended to one log with their group's number beside them and brought together by one counting sort at the end: no vector for
//! each group, 20 bytes a row, and nothing to move when groups arrive in order. Merging is appending, so partial states may be split and
//! merged in any way. The state of a group is a version byte, the number of rows in 8 bytes and the rows, 16 bytes each, little-endian.

use std::mem::size_of;

use arrow::array::{Array, ArrayRef, BooleanArray, LargeBinaryArray, LargeBinaryBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion_expr_common::groups_accumulator::EmitTo;

use super::funnel::Row;

/// First byte of a group's state.
const STATE_VERSION: u8 = 1;
const ROW_BYTES: usize = 16;
/// Version and row count.
const HEAD_BYTES: usize = 9;

/// Rows of many groups in the order they came.
#[derive(Debug, Default)]
pub struct RowLog {
    groups: Vec<u32>,
    rows: Vec<Row>,
    group_count: usize,
}

/// Rows of some groups, each group's rows together and ordered by time, then mask.
#[derive(Debug, Default)]
pub struct GroupedRows {
    ends: Vec<usize>,
    rows: Vec<Row>,
}

impl GroupedRows {
    /// One group, ordered here.
    pub fn single(rows: Vec<Row>) -> Self {
        let mut grouped = Self { ends: vec![rows.len()], rows };
        grouped.order();
        grouped
    }

    /// Takes the rows back.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// Number of groups.
    pub fn group_count(&self) -> usize {
        self.ends.len()
    }

    /// The groups' rows, in the order of the groups.
    pub fn iter(&self) -> impl Iterator<Item = &[Row]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.rows[start..end])
    }

    fn order(&mut self) {
        let mut start = 0;
        for &end in &self.ends {
            let rows = &mut self.rows[start..end];
            if !rows.is_sorted() {
                rows.sort_unstable();
            }
            start = end;
        }
    }
}

impl RowLog {
    /// Makes the log know of `group_count` groups, with or without rows.
    pub fn grow(&mut self, group_count: usize) {
        self.group_count = self.group_count.max(group_count);
    }

    /// Appends a row. `group` is below the count given to [`Self::grow`].
    pub fn push(&mut self, group: u32, row: Row) {
        self.groups.push(group);
        self.rows.push(row);
    }

    /// Prepares for `count` more rows.
    pub fn reserve(&mut self, count: usize) {
        self.groups.reserve(count);
        self.rows.reserve(count);
    }

    /// Bytes owned, used or not.
    pub fn size(&self) -> usize {
        self.groups.capacity() * size_of::<u32>() + self.rows.capacity() * size_of::<Row>()
    }

    /// Removes the groups that `emit_to` names and returns their rows in time order; the others are renumbered from 0.
    pub fn take(&mut self, emit_to: EmitTo) -> GroupedRows {
        let mut grouped = self.take_unordered(emit_to);
        grouped.order();
        grouped
    }

    fn take_unordered(&mut self, emit_to: EmitTo) -> GroupedRows {
        let count = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count.min(self.group_count),
        };
        let (groups, rows) = if count == self.group_count {
            (std::mem::take(&mut self.groups), std::mem::take(&mut self.rows))
        } else {
            self.split_off_first(count as u32)
        };
        self.group_count -= count;
        bring_together(&groups, rows, count)
    }

    /// Removes the rows of the first `count` groups and renumbers the rest.
    fn split_off_first(&mut self, count: u32) -> (Vec<u32>, Vec<Row>) {
        let (mut groups, mut rows) = (Vec::new(), Vec::new());
        let mut kept = 0;
        for at in 0..self.rows.len() {
            if self.groups[at] < count {
                groups.push(self.groups[at]);
                rows.push(self.rows[at]);
            } else {
                self.groups[kept] = self.groups[at] - count;
                self.rows[kept] = self.rows[at];
                kept += 1;
            }
        }
        self.groups.truncate(kept);
        self.rows.truncate(kept);
        (groups, rows)
    }

    /// The groups' states, removing the groups.
    pub fn take_state(&mut self, emit_to: EmitTo) -> ArrayRef {
        let grouped = self.take_unordered(emit_to);
        let bytes = grouped.rows.len() * ROW_BYTES + grouped.group_count() * HEAD_BYTES;
        let mut builder = LargeBinaryBuilder::with_capacity(grouped.group_count(), bytes);
        let mut state = Vec::new();
        for rows in grouped.iter() {
            encode(rows, &mut state);
            builder.append_value(&state);
        }
        std::sync::Arc::new(builder.finish())
    }

    /// Appends the rows of a state; `None` if the bytes are not one.
    pub fn push_state(&mut self, group: u32, state: &[u8]) -> Option<()> {
        for row in decode(state)? {
            self.push(group, row);
        }
        Some(())
    }
}

/// A counting sort by group, left out when the groups came in order.
fn bring_together(groups: &[u32], rows: Vec<Row>, count: usize) -> GroupedRows {
    let mut ends = vec![0_usize; count];
    for &group in groups {
        ends[group as usize] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        total += std::mem::replace(end, total);
    }
    // `ends` holds the starts now and is moved forward to the ends while rows are placed.
    if groups.is_sorted() {
        for &group in groups {
            ends[group as usize] += 1;
        }
        return GroupedRows { ends, rows };
    }
    let mut placed = vec![Row::default(); rows.len()];
    for (&group, row) in groups.iter().zip(rows) {
        let at = &mut ends[group as usize];
        placed[*at] = row;
        *at += 1;
    }
    GroupedRows { ends, rows: placed }
}

/// Writes the state of one group over `state`.
pub fn encode(rows: &[Row], state: &mut Vec<u8>) {
    state.clear();
    state.push(STATE_VERSION);
    state.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    for row in rows {
        state.extend_from_slice(&row.ts.to_le_bytes());
        state.extend_from_slice(&row.mask.to_le_bytes());
    }
}

/// Reads the state of one group; `None` if the bytes are not one.
pub fn decode(state: &[u8]) -> Option<impl Iterator<Item = Row>> {
    let (head, rows) = state.split_first_chunk::<HEAD_BYTES>()?;
    let (rows, rest) = rows.as_chunks::<ROW_BYTES>();
    let row_count = head[1..].try_into().map(u64::from_le_bytes).ok()?;
    if head[0] != STATE_VERSION || !rest.is_empty() || row_count != rows.len() as u64 {
        return None;
    }
    Some(rows.iter().map(|bytes| {
        let (ts, mask) = bytes.split_at(8);
        let word = |half: &[u8]| <[u8; 8]>::try_from(half).expect("half of sixteen bytes");
        Row { ts: i64::from_le_bytes(word(ts)), mask: u64::from_le_bytes(word(mask)) }
    }))
}

/// One state for each row of a batch: how a partial aggregation that does not reduce is skipped.
pub fn row_states(rows: impl ExactSizeIterator<Item = Option<Row>>) -> LargeBinaryArray {
    let mut builder = LargeBinaryBuilder::with_capacity(rows.len(), rows.len() * (HEAD_BYTES + ROW_BYTES));
    let mut state = Vec::with_capacity(HEAD_BYTES + ROW_BYTES);
    for row in rows {
        encode(row.as_slice(), &mut state);
        builder.append_value(&state);
    }
    builder.finish()
}

/// Conditions as masks: bit i of a row's mask is condition i; NULL is false.
pub fn masks(conditions: &[&BooleanArray], masks: &mut Vec<u64>) {
    masks.clear();
    masks.resize(conditions.first().map_or(0, |condition| condition.len()), 0);
    for (bit, condition) in conditions.iter().enumerate() {
        for row in truths(condition).set_indices() {
            masks[row] |= 1 << bit;
        }
    }
}

/// The rows where a condition is true, NULL being false.
pub fn truths(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        None => condition.values().clone(),
        Some(nulls) => condition.values() & nulls.inner(),
    }
}

/// The rows an aggregate's FILTER and the time's NULLs leave; `None` when all are left.
pub fn kept(filter: Option<&BooleanArray>, nulls: Option<&NullBuffer>) -> Option<BooleanBuffer> {
    match (filter.map(truths), nulls) {
        (None, None) => None,
        (Some(filter), None) => Some(filter),
        (None, Some(nulls)) => Some(nulls.inner().clone()),
        (Some(filter), Some(nulls)) => Some(&filter & nulls.inner()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(pairs: &[(u32, i64)]) -> RowLog {
        let mut log = RowLog::default();
        log.grow(4);
        for &(group, ts) in pairs {
            log.push(group, Row { ts, mask: 1 });
        }
        log
    }

    fn times(grouped: &GroupedRows) -> Vec<Vec<i64>> {
        grouped.iter().map(|rows| rows.iter().map(|row| row.ts).collect()).collect()
    }

    #[test]
    fn groups_come_together_in_time_order() {
        let pairs = [(2, 5), (0, 9), (2, 1), (3, 0), (0, 3)];
        assert_eq!(times(&log(&pairs).take(EmitTo::All)), [vec![3, 9], vec![], vec![1, 5], vec![0]]);
        let mut ordered = pairs;
        ordered.sort_unstable();
        assert_eq!(times(&log(&ordered).take(EmitTo::All)), [vec![3, 9], vec![], vec![1, 5], vec![0]]);
    }

    #[test]
    fn the_first_groups_leave_and_the_others_move_up() {
        let mut log = log(&[(2, 5), (0, 9), (2, 1), (3, 0), (0, 3)]);
        assert_eq!(times(&log.take(EmitTo::First(2))), [vec![3, 9], vec![]]);
        log.grow(3);
        log.push(2, Row { ts: 7, mask: 1 });
        assert_eq!(times(&log.take(EmitTo::All)), [vec![1, 5], vec![0], vec![7]]);
        assert_eq!(log.take(EmitTo::All).group_count(), 0);
    }

    #[test]
    fn states_survive_and_corrupt_ones_are_refused() {
        let rows = [Row { ts: -3, mask: u64::MAX }, Row { ts: i64::MAX, mask: 0 }];
        let mut state = Vec::new();
        encode(&rows, &mut state);
        assert_eq!(decode(&state).unwrap().collect::<Vec<_>>(), rows);
        assert!(decode(&[]).is_none());
        assert!(decode(&state[..state.len() - 1]).is_none());
        state[0] = 9;
        assert!(decode(&state).is_none());
    }

    #[test]
    fn null_conditions_are_false() {
        let first = BooleanArray::from(vec![Some(true), None, Some(false)]);
        let second = BooleanArray::from(vec![true, true, false]);
        let mut found = Vec::new();
        masks(&[&first, &second], &mut found);
        assert_eq!(found, [3, 2, 0]);
        masks(&[&first.slice(1, 2), &second.slice(1, 2)], &mut found);
        assert_eq!(found, [2, 0]);
    }
}

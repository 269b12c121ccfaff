//! One accumulator for every aggregate that reads a group's rows in time order: collect, merge by appending, sort, digest.
//!
//! What differs between the functions is a [`Digest`]. Arguments are `[parameters..., ts, condition...]`; a row is its time and a mask of
//! the conditions it meets. Rows that meet none are kept only if the digest says so. Rows with NULL time are ignored.

use std::fmt::Debug;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeBinaryArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::funnel::Row;
use super::rows::{GroupedRows, RowLog, decode, encode, kept, masks, row_states};
use super::time::ticks;
use crate::SqlError;

/// Type of the one state column.
pub const STATE_TYPE: DataType = DataType::LargeBinary;

/// What a function makes of the rows of a group.
pub trait Digest: Debug + Send + Sync + 'static {
    /// SQL name, for errors.
    fn name(&self) -> &'static str;

    /// Position of the time among the arguments; the conditions follow it.
    fn time_at(&self) -> usize;

    /// Whether rows that meet no condition matter.
    fn keeps_every_row(&self) -> bool;

    /// One value for each group.
    fn digest(&mut self, groups: &GroupedRows) -> Result<ArrayRef>;
}

/// Reads batches of arguments into rows.
#[derive(Debug, Default)]
struct Reader {
    masks: Vec<u64>,
}

impl Reader {
    /// Calls `take` with each row that is kept, and its number in the batch.
    fn each(
        &mut self,
        digest: &dyn Digest,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
        mut take: impl FnMut(usize, Row),
    ) -> Result<()> {
        let time_at = digest.time_at();
        let times = ticks(&values[time_at])?;
        let conditions: Vec<&BooleanArray> = values[time_at + 1..].iter().map(|value| value.as_boolean()).collect();
        masks(&conditions, &mut self.masks);
        let kept: Option<BooleanBuffer> = kept(filter, times.nulls());
        let every = digest.keeps_every_row();
        for (index, (&ts, &mask)) in times.values().iter().zip(&self.masks).enumerate() {
            if (mask != 0 || every) && kept.as_ref().is_none_or(|kept| kept.value(index)) {
                take(index, Row { ts, mask });
            }
        }
        Ok(())
    }
}

/// The grouped form.
#[derive(Debug)]
pub struct RowGroups<D> {
    digest: D,
    log: RowLog,
    reader: Reader,
}

impl<D: Digest> RowGroups<D> {
    /// No groups yet.
    pub fn new(digest: D) -> Self {
        Self { digest, log: RowLog::default(), reader: Reader::default() }
    }
}

impl<D: Digest> GroupsAccumulator for RowGroups<D> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        check_group_count(total_num_groups)?;
        self.log.grow(total_num_groups);
        let log = &mut self.log;
        self.reader.each(&self.digest, values, opt_filter, |index, row| log.push(group_indices[index] as u32, row))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.digest.digest(&self.log.take(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.log.take_state(emit_to)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        check_group_count(total_num_groups)?;
        self.log.grow(total_num_groups);
        let states: &LargeBinaryArray = values[0].as_binary();
        for (state, &group) in states.iter().zip(group_indices) {
            if let Some(state) = state {
                self.log.push_state(group as u32, state).ok_or_else(|| corrupt(&self.digest))?;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = vec![None; values[0].len()];
        Reader::default().each(&self.digest, values, opt_filter, |index, row| rows[index] = Some(row))?;
        Ok(vec![Arc::new(row_states(rows.into_iter()))])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.log.size() + self.reader.masks.capacity() * size_of::<u64>()
    }
}

/// Group numbers are kept in 32 bits.
fn check_group_count(count: usize) -> Result<()> {
    if u32::try_from(count).is_err() { exec_err!("more than 4,294,967,295 groups in one aggregation") } else { Ok(()) }
}

fn corrupt(digest: &dyn Digest) -> SqlError {
    SqlError::corrupt_state(digest.name(), "The bytes are not a version, a row count and that many rows.")
}

/// The form for one group, also over window frames: rows that leave the frame are taken out again.
#[derive(Debug)]
pub struct RowGroup<D> {
    digest: D,
    rows: Vec<Row>,
    reader: Reader,
}

impl<D: Digest> RowGroup<D> {
    /// No rows yet.
    pub fn new(digest: D) -> Self {
        Self { digest, rows: Vec::new(), reader: Reader::default() }
    }
}

impl<D: Digest> Accumulator for RowGroup<D> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = &mut self.rows;
        self.reader.each(&self.digest, values, None, |_, row| rows.push(row))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = &mut self.rows;
        if !rows.is_sorted() {
            rows.sort_unstable();
        }
        let mut missing = false;
        self.reader.each(&self.digest, values, None, |_, row| match rows.binary_search(&row) {
            Ok(at) => {
                rows.remove(at);
            }
            Err(_) => missing = true,
        })?;
        if missing { exec_err!("{}: a row left the frame that was not in it", self.digest.name()) } else { Ok(()) }
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let grouped = GroupedRows::single(std::mem::take(&mut self.rows));
        let value = self.digest.digest(&grouped);
        self.rows = grouped.into_rows();
        ScalarValue::try_from_array(&value?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut state = Vec::new();
        encode(&self.rows, &mut state);
        Ok(vec![ScalarValue::LargeBinary(Some(state))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states: &LargeBinaryArray = states[0].as_binary();
        for state in states.iter().flatten() {
            self.rows.extend(decode(state).ok_or_else(|| corrupt(&self.digest))?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * size_of::<Row>() + self.reader.masks.capacity() * size_of::<u64>()
    }
}

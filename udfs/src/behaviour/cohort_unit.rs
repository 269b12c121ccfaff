//! The aggregates under the report `cohort_retention`: which cohorts a unit belongs to and when it was active, then the cohorts' rows.
//!
//! Neither is registered under a name. [`cohort_unit`] takes `(ts, by, (period, value), NULL, start, active)` at the places of
//! [`super::unit_log`], where period is the number of the row's calendar period, and returns the unit's last time and its memberships.
//! [`cohort_rows`] takes the memberships of one cohort and `by` value and returns one record for each period that has begun.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, LargeBinaryArray, ListArray,
    StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int32Type, Int64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::time::{ticks, times_of};
use super::unit_aggregate::{UnitAnswer, many_units, one_unit};
use super::unit_log::{BY, TS, UnitLog, UnitOrder, state_fields};
use crate::SqlError;
use crate::statistics::ExactSum;

/// Bit of a row that may start a membership.
const START: u64 = 1;
/// Bit of a row that counts as activity.
const ACTIVE: u64 = 2;

/// What a call fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CohortRule {
    /// A membership for each period in which the unit starts, not only the first.
    pub every: bool,
    /// Length of a rolling period in ticks; `None` counts calendar periods.
    pub rolling: Option<i64>,
    /// Active in a period means in it or in any later one.
    pub or_after: bool,
    /// The last period reported.
    pub period_max: i32,
}

/// Memberships of each unit.
pub fn cohort_unit(rule: CohortRule) -> AggregateUDF {
    AggregateUDF::from(CohortUnit { rule, signature: Signature::user_defined(Volatility::Immutable) })
}

/// Rows of each cohort, from `(cohort, entered_at, active, value_periods, values, as_of, as_of_period)`.
pub fn cohort_rows(rule: CohortRule) -> AggregateUDF {
    AggregateUDF::from(CohortRows { rule, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CohortUnit {
    rule: CohortRule,
    signature: Signature,
}

fn membership_fields(types: &[DataType]) -> Fields {
    let columns = [
        ("cohort", DataType::Int32),
        ("entered_at", types[TS].clone()),
        ("by", types[BY].clone()),
        ("active", DataType::new_list(DataType::Int32, true)),
        ("value_periods", DataType::new_list(DataType::Int32, true)),
        ("values", DataType::new_list(DataType::Float64, true)),
    ];
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

fn unit_fields(types: &[DataType]) -> Fields {
    let memberships = DataType::new_list(DataType::Struct(membership_fields(types)), true);
    vec![Field::new("last_ts", types[TS].clone(), true), Field::new("memberships", memberships, true)].into()
}

impl AggregateUDFImpl for CohortUnit {
    fn name(&self) -> &str {
        "cohort_unit"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(unit_fields(types)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(state_fields(args.name, &types))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        one_unit(Memberships { rule: self.rule }, &args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(many_units(Memberships { rule: self.rule }, &args))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

#[derive(Debug)]
struct Memberships {
    rule: CohortRule,
}

impl UnitAnswer for Memberships {
    fn name(&self) -> &'static str {
        "cohort_unit"
    }

    fn keeps_every_row(&self) -> bool {
        false
    }

    fn answer(&self, types: &[DataType], log: &UnitLog) -> Result<ArrayRef> {
        let order = log.order()?;
        let carried = log.hold()?.unwrap_or_else(|| new_null_array(&types[super::unit_log::HOLD], 0));
        let carried = carried.as_struct();
        let periods: &Int32Array = carried.column(0).as_primitive();
        let values = carried.column(1).as_primitive_opt::<Float64Type>();
        let reader = Reader { rule: self.rule, log, order: &order, periods, values };
        let (mut rows, ends) = log.by_group();
        let mut found = Found::default();
        let mut start = 0;
        for end in ends {
            reader.read(&mut rows[start..end], &mut found);
            found.ends.push(found.cohorts.len());
            start = end;
        }
        found.finish(types, log)
    }
}

struct Reader<'a> {
    rule: CohortRule,
    log: &'a UnitLog,
    order: &'a UnitOrder,
    periods: &'a Int32Array,
    values: Option<&'a Float64Array>,
}

impl Reader<'_> {
    fn read(&self, rows: &mut [u32], found: &mut Found) {
        let log = self.log;
        let of = |row: u32| log.rows[row as usize];
        rows.sort_unstable_by(|&a, &b| of(a).ts.cmp(&of(b).ts).then_with(|| self.order.by(a, b)));
        let mut starts: Vec<u32> = Vec::new();
        for &row in rows.iter().filter(|&&row| of(row).mask & START != 0) {
            let period = self.periods.value(row as usize);
            let again =
                starts.last().is_some_and(|&last| !self.rule.every || self.periods.value(last as usize) == period);
            if !again {
                starts.push(row);
            }
        }
        for entry in starts {
            let from = rows.partition_point(|&row| of(row).ts < of(entry).ts);
            self.membership(entry, &rows[from..], found);
        }
    }

    /// One membership; `rows` are those at or after the entry.
    fn membership(&self, entry: u32, rows: &[u32], found: &mut Found) {
        let entered_at = self.log.rows[entry as usize].ts;
        let cohort = self.periods.value(entry as usize);
        found.cohorts.push(cohort);
        found.entered.push(entered_at);
        found.entries.push(entry);
        let mut latest = None;
        for &row in rows {
            let at = self.log.rows[row as usize];
            if at.mask & ACTIVE == 0 {
                continue;
            }
            let period = match self.rule.rolling {
                None => i64::from(self.periods.value(row as usize)) - i64::from(cohort),
                Some(length) => at.ts.saturating_sub(entered_at) / length.max(1),
            };
            let reported = period.min(i64::from(self.rule.period_max)) as i32;
            if period <= i64::from(self.rule.period_max) {
                if latest != Some(reported) && !self.rule.or_after {
                    found.active.push(reported);
                }
                if let Some(values) = self.values.filter(|values| values.is_valid(row as usize)) {
                    found.value_periods.push(reported);
                    found.values.push(values.value(row as usize));
                }
            }
            latest = latest.max(Some(reported));
        }
        if self.rule.or_after {
            found.active.extend(0..latest.map_or(0, |latest| latest + 1));
        }
        found.active_ends.push(found.active.len());
        found.value_ends.push(found.values.len());
    }
}

/// Memberships of all units, column by column.
#[derive(Default)]
struct Found {
    cohorts: Vec<i32>,
    entered: Vec<i64>,
    entries: Vec<u32>,
    active: Vec<i32>,
    active_ends: Vec<usize>,
    value_periods: Vec<i32>,
    values: Vec<f64>,
    value_ends: Vec<usize>,
    ends: Vec<usize>,
}

fn offsets(ends: &[usize]) -> OffsetBuffer<i32> {
    OffsetBuffer::from_lengths(ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end))))
}

fn list_of(values: ArrayRef, ends: &[usize]) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, offsets(ends), values, None)?))
}

impl Found {
    fn finish(self, types: &[DataType], log: &UnitLog) -> Result<ArrayRef> {
        let by = match log.by()? {
            Some(by) => take(&by, &UInt32Array::from(self.entries), None)?,
            None => new_null_array(&types[BY], self.cohorts.len()),
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(self.cohorts)),
            times_of(Int64Array::from(self.entered), &types[TS])?,
            by,
            list_of(Arc::new(Int32Array::from(self.active)), &self.active_ends)?,
            list_of(Arc::new(Int32Array::from(self.value_periods)), &self.value_ends)?,
            list_of(Arc::new(Float64Array::from(self.values)), &self.value_ends)?,
        ];
        let memberships: ArrayRef = Arc::new(StructArray::try_new(membership_fields(types), columns, None)?);
        let last = log.spans.iter().map(|span| (span.0 <= span.1).then_some(span.1)).collect::<Int64Array>();
        let columns = vec![times_of(last, &types[TS])?, list_of(memberships, &self.ends)?];
        Ok(Arc::new(StructArray::try_new(unit_fields(types), columns, None)?))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CohortRows {
    rule: CohortRule,
    signature: Signature,
}

fn row_fields() -> Fields {
    let columns = [
        ("period", DataType::Int32),
        ("size", DataType::Int64),
        ("retained", DataType::Int64),
        ("rate", DataType::Float64),
        ("complete", DataType::Boolean),
        ("value", DataType::Float64),
    ];
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

impl AggregateUDFImpl for CohortRows {
    fn name(&self) -> &str {
        "cohort_rows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Struct(row_fields()), true))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let columns = [("sizes", DataType::new_list(DataType::Int64, true)), ("sums", DataType::LargeBinary)];
        Ok(columns
            .map(|(name, data_type)| Arc::new(Field::new(format_state_name(args.name, name), data_type, true)))
            .to_vec())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let periods = self.rule.period_max as usize + 1;
        Ok(Box::new(Cohort {
            rule: self.rule,
            size: 0,
            retained: vec![0; periods],
            sums: vec![ExactSum::new(); periods],
            entered: (i64::MAX, i64::MIN),
            as_of: (i64::MIN, i64::MIN),
            cohort: i64::MIN,
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// One cohort.
#[derive(Debug)]
struct Cohort {
    rule: CohortRule,
    size: i64,
    retained: Vec<i64>,
    sums: Vec<ExactSum>,
    /// First and last entry.
    entered: (i64, i64),
    /// The instant the report speaks of, and its calendar period; the same on all rows.
    as_of: (i64, i64),
    cohort: i64,
}

impl Cohort {
    /// Whether period `period` has begun for anybody, and ended for all.
    fn begun_and_ended(&self, period: usize) -> (bool, bool) {
        let period = period as i64;
        match self.rule.rolling {
            None => (self.as_of.1 >= self.cohort + period, self.as_of.1 > self.cohort + period),
            Some(length) => {
                let after = |entry: i64, count: i64| entry.saturating_add(length.saturating_mul(count));
                let (first, last) = self.entered;
                (after(first, period) <= self.as_of.0, after(last, period + 1) <= self.as_of.0)
            }
        }
    }
}

impl Accumulator for Cohort {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [cohort, entered, active, value_periods, sums, as_of, as_of_period] = values else {
            return datafusion_common::exec_err!("cohort_rows takes 7 arguments, not {}", values.len());
        };
        let (entered, as_of) = (ticks(entered)?, ticks(as_of)?);
        let as_of_period = as_of_period.as_primitive::<Int32Type>();
        let (active, value_periods, sums) =
            (active.as_list::<i32>(), value_periods.as_list::<i32>(), sums.as_list::<i32>());
        for row in 0..entered.len() {
            self.size += 1;
            self.cohort = i64::from(cohort.as_primitive::<Int32Type>().value(row));
            self.entered = (self.entered.0.min(entered.value(row)), self.entered.1.max(entered.value(row)));
            self.as_of = (as_of.value(row), i64::from(as_of_period.value(row)));
            for &period in active.value(row).as_primitive::<Int32Type>().values() {
                self.retained[period as usize] += 1;
            }
            let (periods, values) = (value_periods.value(row), sums.value(row));
            let pairs =
                periods.as_primitive::<Int32Type>().values().iter().zip(values.as_primitive::<Float64Type>().values());
            for (&period, &value) in pairs {
                self.sums[period as usize].add(value)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let reported: Vec<usize> = (0..self.retained.len()).filter(|&period| self.begun_and_ended(period).0).collect();
        let sums = reported.iter().map(|&period| self.sums[period].value().map(Some));
        let sums = sums.collect::<Result<Float64Array, SqlError>>()?;
        let of =
            |value: fn(&Self, usize) -> i64| reported.iter().map(|&p| Some(value(self, p))).collect::<Int64Array>();
        let rate = |period: usize| (self.size > 0).then(|| self.retained[period] as f64 / self.size as f64);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(reported.iter().map(|&period| period as i32))),
            Arc::new(of(|cohort, _| cohort.size)),
            Arc::new(of(|cohort, period| cohort.retained[period])),
            Arc::new(reported.iter().map(|&period| rate(period)).collect::<Float64Array>()),
            Arc::new(reported.iter().map(|&period| Some(self.begun_and_ended(period).1)).collect::<BooleanArray>()),
            Arc::new(sums),
        ];
        let rows: ArrayRef = Arc::new(StructArray::try_new(row_fields(), columns, None)?);
        ScalarValue::try_from_array(&list_of(Arc::clone(&rows), &[rows.len()])?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut numbers = vec![self.size, self.entered.0, self.entered.1, self.as_of.0, self.as_of.1, self.cohort];
        numbers.extend_from_slice(&self.retained);
        let numbers: Vec<ScalarValue> = numbers.into_iter().map(ScalarValue::from).collect();
        let sums: Vec<u8> = self.sums.iter().flat_map(ExactSum::to_bytes).collect();
        let numbers = ScalarValue::List(ScalarValue::new_list_nullable(&numbers, &DataType::Int64));
        Ok(vec![numbers, ScalarValue::LargeBinary(Some(sums))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let corrupt = || SqlError::corrupt_state("cohort_rows", "It has another number of periods.");
        let (numbers, sums) = (states[0].as_list::<i32>(), states[1].as_binary::<i64>());
        let sums: &LargeBinaryArray = sums;
        for state in (0..numbers.len()).filter(|&row| numbers.is_valid(row) && sums.is_valid(row)) {
            let numbers = numbers.value(state);
            let [size, first, last, as_of, as_of_period, cohort, retained @ ..] =
                &numbers.as_primitive::<Int64Type>().values()[..]
            else {
                return Err(corrupt().into());
            };
            let bytes = sums.value(state);
            if retained.len() != self.retained.len() || bytes.len() != self.sums.len() * ExactSum::BYTES {
                return Err(corrupt().into());
            }
            self.size += size;
            self.entered = (self.entered.0.min(*first), self.entered.1.max(*last));
            self.as_of = self.as_of.max((*as_of, *as_of_period));
            self.cohort = self.cohort.max(*cohort);
            for (sum, more) in self.retained.iter_mut().zip(retained) {
                *sum += more;
            }
            for (sum, bytes) in self.sums.iter_mut().zip(bytes.chunks(ExactSum::BYTES)) {
                sum.merge(&ExactSum::from_bytes(bytes).ok_or_else(corrupt)?);
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.retained.capacity() * size_of::<i64>() + self.sums.capacity() * size_of::<ExactSum>()
    }
}

//! The aggregate under the report `sessions`: the sessions of each unit, as a list of records.
//!
//! It is not registered under a name. Arguments are `(ts, tie, event, restart, true)` with NULL for what the call does not have: the
//! places of [`super::unit_log`]. Rows are ordered by (ts, tie, restarting rows first, event), NULLs last.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::Result;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::time::{TimeType, times_of};
use super::unit_aggregate::{UnitAnswer, many_units, one_unit};
use super::unit_log::{HOLD, TS, UnitLog, state_fields};

const NAME: &str = "session_unit";

/// When a session ends, in ticks of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionRule {
    /// A longer distance between two rows begins a new session.
    pub gap: i64,
    /// A row later than this after its session's start begins a new one.
    pub length_max: Option<i64>,
}

/// The aggregate for one call of the report.
pub fn session_unit(rule: SessionRule) -> AggregateUDF {
    AggregateUDF::from(SessionUnit { rule, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionUnit {
    rule: SessionRule,
    signature: Signature,
}

fn element_fields(types: &[DataType]) -> Fields {
    let (ts, event) = (&types[TS], &types[HOLD]);
    let columns = [
        ("session", DataType::Int64),
        ("started_at", ts.clone()),
        ("ended_at", ts.clone()),
        ("seconds", DataType::Float64),
        ("events", DataType::Int64),
        ("first_event", event.clone()),
        ("last_event", event.clone()),
    ];
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

impl AggregateUDFImpl for SessionUnit {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Struct(element_fields(types)), true))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(state_fields(args.name, &types))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        one_unit(Sessions { rule: self.rule }, &args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(many_units(Sessions { rule: self.rule }, &args))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

#[derive(Debug)]
struct Sessions {
    rule: SessionRule,
}

impl Sessions {
    /// Whether a row begins a new session.
    fn breaks(&self, infinities: bool, started_at: i64, before: i64, ts: i64) -> bool {
        let infinite = |ts: i64| infinities && (ts == i64::MIN || ts == i64::MAX);
        if infinite(before) || infinite(ts) {
            return ts != before;
        }
        let longer = |from: i64, limit: i64| (ts as u64).wrapping_sub(from as u64) > limit as u64;
        longer(before, self.rule.gap) || self.rule.length_max.is_some_and(|most| longer(started_at, most))
    }
}

impl UnitAnswer for Sessions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_every_row(&self) -> bool {
        true
    }

    fn answer(&self, types: &[DataType], log: &UnitLog) -> Result<ArrayRef> {
        let order = log.order()?;
        let infinities = TimeType::of(&types[TS]).is_some_and(TimeType::infinities);
        let (mut rows, ends) = log.by_group();
        let restarts = |row: u32| log.excluded.get(row as usize).copied().unwrap_or(false);
        let ts_of = |row: u32| log.rows[row as usize].ts;
        let mut found = Found::default();
        let mut start = 0;
        for end in ends {
            let unit = &mut rows[start..end];
            start = end;
            unit.sort_unstable_by(|&a, &b| {
                let by_tie = || order.by(a, b).then_with(|| restarts(b).cmp(&restarts(a)));
                ts_of(a).cmp(&ts_of(b)).then_with(by_tie).then_with(|| order.hold(a, b))
            });
            let (mut number, mut first) = (0, 0);
            for at in 0..unit.len() {
                let (ts, row) = (ts_of(unit[at]), unit[at]);
                if at == 0 || restarts(row) || self.breaks(infinities, ts_of(unit[first]), ts_of(unit[at - 1]), ts) {
                    number += 1;
                    first = at;
                    found.begin(number, ts, row);
                }
                found.extend(ts, row);
            }
            found.ends.push(found.numbers.len());
        }
        found.finish(types, log.hold()?)
    }
}

/// Sessions of all units, column by column.
#[derive(Default)]
struct Found {
    numbers: Vec<i64>,
    started: Vec<i64>,
    ended: Vec<i64>,
    events: Vec<i64>,
    first_rows: Vec<u32>,
    last_rows: Vec<u32>,
    ends: Vec<usize>,
}

impl Found {
    fn begin(&mut self, number: i64, ts: i64, row: u32) {
        self.numbers.push(number);
        self.started.push(ts);
        self.ended.push(ts);
        self.events.push(0);
        self.first_rows.push(row);
        self.last_rows.push(row);
    }

    fn extend(&mut self, ts: i64, row: u32) {
        let last = (self.ended.last_mut(), self.events.last_mut(), self.last_rows.last_mut());
        if let (Some(ended), Some(events), Some(last_row)) = last {
            (*ended, *last_row) = (ts, row);
            *events += 1;
        }
    }

    fn finish(self, types: &[DataType], events: Option<ArrayRef>) -> Result<ArrayRef> {
        let per_second = TimeType::of(&types[TS]).map_or(1.0, TimeType::ticks_per_second);
        let seconds = self.started.iter().zip(&self.ended);
        let seconds = seconds.map(|(from, to)| (i128::from(*to) - i128::from(*from)) as f64 / per_second);
        let seconds = Float64Array::from_iter_values(seconds);
        let event = |rows: Vec<u32>| match &events {
            Some(events) => take(events, &UInt32Array::from(rows), None),
            None => Ok(new_null_array(&types[HOLD], rows.len())),
        };
        let fields = element_fields(types);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.numbers)),
            times_of(Int64Array::from(self.started), &types[TS])?,
            times_of(Int64Array::from(self.ended), &types[TS])?,
            Arc::new(seconds),
            Arc::new(Int64Array::from(self.events)),
            event(self.first_rows)?,
            event(self.last_rows)?,
        ];
        let lengths = self.ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end)));
        let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
        let elements = StructArray::try_new(fields, columns, None)?;
        Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(elements), None)?))
    }
}

//! The aggregate under the funnel reports: what each unit did, for `funnel`, `funnel_people` and `funnel_time`.
//!
//! It is not registered under a name; the engine builds it with the constants of a call. Arguments are `(ts, by, hold, exclude, step...)`
//! with NULL for what the call does not have. The result is a record:
//!
//! * `level` and `times` of the reported chain; with `hold` of the best chain over all values, then of the smallest value;
//! * `expires`: until when a chain of `level` steps could still go on, if one is alive at the end and it is not complete;
//! * `last_ts`: time of the unit's last row;
//! * `by`: its value on the row of step 1, or of the last reached step, or on the unit's first row at level 0; the smallest if several
//!   rows qualify, NULL last.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::Result;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::arguments::{Conditions, check_conditions, condition_type};
use super::funnel::{FunnelRule, FunnelScan, Row};
use super::time::{TimeType, times_of};
use super::unit_aggregate::{UnitAnswer, many_units, one_unit};
use super::unit_log::{BY, EXCLUDE, STEPS, TS, UnitLog, UnitOrder, state_fields};
use crate::SqlError;
use crate::error::DATATYPE_MISMATCH;
use crate::type_name::sql_type_name;

const NAME: &str = "funnel_unit";
const CONDITIONS: Conditions = Conditions { function: "funnel", word: "step" };

/// Which row of the chain gives the `by` value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ByAt {
    /// The row of step 1.
    #[default]
    First,
    /// The row of the last reached step.
    Last,
}

/// The aggregate for one call of a report.
pub fn funnel_unit(rule: FunnelRule, by_at: ByAt) -> AggregateUDF {
    AggregateUDF::from(FunnelUnit { rule, by_at, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FunnelUnit {
    rule: FunnelRule,
    by_at: ByAt,
    signature: Signature,
}

fn result_fields(types: &[DataType]) -> Fields {
    let ts = types[TS].clone();
    Fields::from(vec![
        Field::new("level", DataType::Int32, false),
        Field::new("times", DataType::new_list(ts.clone(), true), false),
        Field::new("expires", ts.clone(), true),
        Field::new("last_ts", ts, true),
        Field::new("by", types[BY].clone(), true),
    ])
}

impl AggregateUDFImpl for FunnelUnit {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = types.iter().enumerate().map(|(at, data_type)| match at {
            at if at >= STEPS => condition_type(data_type),
            _ => data_type.clone(),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check_conditions(CONDITIONS, types.get(STEPS..).unwrap_or_default())?;
        if TimeType::of(&types[TS]).is_none() {
            let message = format!("ts must be a timestamp, a date or an integer, not {}", sql_type_name(&types[TS]));
            return Err(SqlError::new(DATATYPE_MISMATCH, message).into());
        }
        if !matches!(types[EXCLUDE], DataType::Null | DataType::Boolean) {
            let message = format!("exclude must be boolean, not {}", sql_type_name(&types[EXCLUDE]));
            return Err(SqlError::new(DATATYPE_MISMATCH, message).into());
        }
        Ok(DataType::Struct(result_fields(types)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(state_fields(args.name, &types))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        one_unit(Funnels { rule: self.rule, by_at: self.by_at }, &args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(many_units(Funnels { rule: self.rule, by_at: self.by_at }, &args))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// Reads each unit's chains.
#[derive(Debug, Clone)]
struct Funnels {
    rule: FunnelRule,
    by_at: ByAt,
}

impl UnitAnswer for Funnels {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_every_row(&self) -> bool {
        self.rule.mode.needs_every_row()
    }

    fn answer(&self, types: &[DataType], log: &UnitLog) -> Result<ArrayRef> {
        let order = log.order()?;
        let (mut rows, ends) = log.by_group();
        let mut found = Found::default();
        let mut reader = UnitReader::new(self, log, &order);
        let mut start = 0;
        for (group, end) in ends.into_iter().enumerate() {
            reader.read(&mut rows[start..end]);
            found.push(&reader, log.spans[group]);
            start = end;
        }
        found.finish(types, log.by()?)
    }
}

/// The best chain of one unit.
struct UnitReader<'a> {
    funnels: &'a Funnels,
    log: &'a UnitLog,
    order: &'a UnitOrder,
    scan: FunnelScan,
    chain_rows: Vec<Row>,
    excluded: Vec<i64>,
    level: usize,
    times: Vec<i64>,
    expires: Option<i64>,
    by_row: Option<u32>,
}

impl<'a> UnitReader<'a> {
    fn new(funnels: &'a Funnels, log: &'a UnitLog, order: &'a UnitOrder) -> Self {
        Self {
            funnels,
            log,
            order,
            scan: FunnelScan::new(funnels.rule, true),
            chain_rows: Vec::new(),
            excluded: Vec::new(),
            level: 0,
            times: Vec::new(),
            expires: None,
            by_row: None,
        }
    }

    /// Reads the rows of one unit; orders them on the way.
    fn read(&mut self, rows: &mut [u32]) {
        let (log, order) = (self.log, self.order);
        let at = |row: u32| log.rows[row as usize];
        rows.sort_unstable_by(|&a, &b| order.hold(a, b).then_with(|| at(a).cmp(&at(b))));
        (self.level, self.expires, self.by_row) = (0, None, None);
        self.times.clear();
        for run in rows.chunk_by(|&a, &b| order.hold(a, b).is_eq()) {
            if !order.takes_no_part(run[0]) {
                self.read_run(run);
            }
        }
        if self.level == 0 {
            self.by_row = self.smallest(
                rows.iter()
                    .copied()
                    .min_by_key(|&row| at(row).ts)
                    .into_iter()
                    .flat_map(|first| rows.iter().copied().filter(move |&row| at(row).ts == at(first).ts)),
            );
        }
    }

    /// The rows of one value of `hold`.
    fn read_run(&mut self, run: &[u32]) {
        let log = self.log;
        self.chain_rows.clear();
        self.chain_rows.extend(run.iter().map(|&row| log.rows[row as usize]));
        self.excluded.clear();
        if !log.excluded.is_empty() {
            let excluded = run.iter().filter(|&&row| log.excluded[row as usize]);
            self.excluded.extend(excluded.map(|&row| log.rows[row as usize].ts));
        }
        let outcome = self.scan.run(&self.chain_rows, &self.excluded);
        if outcome.level == 0 || outcome.level < self.level {
            return;
        }
        let expires = outcome.alive_since.and_then(|since| self.expiry(since));
        let times = self.scan.times();
        let key = |times: &[i64]| (times[times.len() - 1], std::cmp::Reverse(times[0]));
        let better = outcome.level > self.level
            || key(times).cmp(&key(&self.times)).then_with(|| times.cmp(&self.times)).is_lt();
        // Open if a chain of any value at the final level could go on.
        self.expires = if outcome.level > self.level { expires } else { self.expires.max(expires) };
        self.level = outcome.level;
        if better {
            self.times.clear();
            self.times.extend_from_slice(times);
            let (ts, step) = match self.funnels.by_at {
                ByAt::First => (times[0], 0),
                ByAt::Last => (times[times.len() - 1], times.len() - 1),
            };
            let serves = |row: &u32| log.rows[*row as usize].ts == ts && log.rows[*row as usize].mask >> step & 1 == 1;
            self.by_row = self.smallest(run.iter().copied().filter(serves));
        }
    }

    fn expiry(&self, since: i64) -> Option<i64> {
        self.funnels.rule.window.map(|window| since.saturating_add(window))
    }

    fn smallest(&self, rows: impl Iterator<Item = u32>) -> Option<u32> {
        rows.min_by(|&a, &b| self.order.by(a, b))
    }
}

/// The records, column by column.
#[derive(Default)]
struct Found {
    levels: Vec<i32>,
    times: Vec<i64>,
    lengths: Vec<usize>,
    expires: Vec<Option<i64>>,
    last: Vec<Option<i64>>,
    by_rows: Vec<Option<u32>>,
}

impl Found {
    fn push(&mut self, reader: &UnitReader, span: (i64, i64)) {
        self.levels.push(reader.level as i32);
        self.times.extend_from_slice(&reader.times);
        self.lengths.push(reader.times.len());
        self.expires.push(reader.expires);
        self.last.push((span.0 <= span.1).then_some(span.1));
        self.by_rows.push(reader.by_row);
    }

    fn finish(self, types: &[DataType], by: Option<ArrayRef>) -> Result<ArrayRef> {
        let ts = &types[TS];
        let times = times_of(Int64Array::from(self.times), ts)?;
        let field = Arc::new(Field::new_list_field(ts.clone(), true));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let by_rows = UInt32Array::from(self.by_rows);
        let by = match by {
            Some(by) => take(&by, &by_rows, None)?,
            None => arrow::array::new_null_array(&types[BY], by_rows.len()),
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(self.levels)),
            Arc::new(arrow::array::ListArray::try_new(field, offsets, times, None)?),
            times_of(Int64Array::from(self.expires), ts)?,
            times_of(Int64Array::from(self.last), ts)?,
            by,
        ];
        Ok(Arc::new(StructArray::try_new(result_fields(types), columns, None)?))
    }
}

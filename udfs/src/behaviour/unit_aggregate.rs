//! The accumulators of every aggregate over a [`UnitLog`]: collect, merge, hand the whole to an answer.

use std::fmt::Debug;
use std::mem::size_of;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::unit_log::UnitLog;

/// What a report makes of the rows of each unit.
pub trait UnitAnswer: Debug + Send + Sync + 'static {
    /// Name for errors.
    fn name(&self) -> &'static str;

    /// Whether rows that meet no condition matter.
    fn keeps_every_row(&self) -> bool;

    /// One value for each unit of `log`; `types` are those of the arguments.
    fn answer(&self, types: &[DataType], log: &UnitLog) -> Result<ArrayRef>;
}

/// The form for many units.
pub fn many_units<A: UnitAnswer>(answer: A, args: &AccumulatorArgs) -> Box<dyn GroupsAccumulator> {
    Box::new(Units::new(answer, args))
}

/// The form for one unit.
pub fn one_unit<A: UnitAnswer>(answer: A, args: &AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
    let mut units = Units::new(answer, args);
    units.log.grow(1)?;
    Ok(Box::new(OneUnit(units)))
}

#[derive(Debug)]
struct Units<A> {
    answer: A,
    types: Vec<DataType>,
    log: UnitLog,
}

impl<A: UnitAnswer> Units<A> {
    fn new(answer: A, args: &AccumulatorArgs) -> Self {
        let types = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        Self { answer, types, log: UnitLog::default() }
    }
}

impl<A: UnitAnswer> GroupsAccumulator for Units<A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.log.grow(total_num_groups)?;
        self.log.append(values, opt_filter, self.answer.keeps_every_row(), |row| group_indices[row])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let log = self.log.take(emit_to)?;
        self.answer.answer(&self.types, &log)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.log.take(emit_to)?.state(&self.types)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.log.grow(total_num_groups)?;
        self.log.merge(self.answer.name(), &self.types, values, |state| group_indices[state])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut log = UnitLog::default();
        log.grow(values[0].len())?;
        log.append(values, opt_filter, self.answer.keeps_every_row(), |row| row)?;
        log.state(&self.types)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.log.size()
    }
}

#[derive(Debug)]
struct OneUnit<A>(Units<A>);

impl<A: UnitAnswer> Accumulator for OneUnit<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let every_row = self.0.answer.keeps_every_row();
        self.0.log.append(values, None, every_row, |_| 0)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.answer.answer(&self.0.types, &self.0.log)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.0.log.state(&self.0.types)?;
        state.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.log.merge(self.0.answer.name(), &self.0.types, states, |_| 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.log.size()
    }
}

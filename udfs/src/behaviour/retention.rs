//! `retention(c1, ..., cN)`: who did the first thing and also each of the others, in any order of time.
//!
//! The state of a group is one word with a bit for each condition some row met; merging is OR.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility};

use super::arguments::{Conditions, check_conditions, condition_type};
use super::rows::{masks, truths};
use crate::documentation::{Documentation, Example};
use crate::family::{Function, LawCase};

const CONDITIONS: Conditions = Conditions { function: "retention", word: "condition" };

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Retention {
    signature: Signature,
}

/// `retention`.
pub(super) fn function() -> Function {
    let documentation = Documentation {
        syntax: vec!["retention(condition1 boolean, ..., conditionN boolean) -> integer[]".into()],
        description: "N values 0 or 1: the first says whether any row met condition 1, the i-th whether that is so and any row met \
            condition i, in any order of time."
            .into(),
        arguments: vec![("condition", "1 to 64 conditions; write the period into them")],
        rules: "A NULL condition is false. An empty group gives zeros. DISTINCT changes nothing.".into(),
        cost: "O(true conditions) time, 8 bytes per group.",
        source: "ClickHouse, StarRocks, Doris",
        examples: vec![Example::new(
            "SELECT retention(day = 1, day = 2, day = 3) FROM (VALUES (3), (1)) AS t(day)",
            "{1,0,1}",
        )],
    };
    let udf = Retention { signature: Signature::user_defined(Volatility::Immutable) };
    Function::aggregate(udf, documentation, || vec![LawCase::new("three conditions", super::samples::conditions())])
}

impl AggregateUDFImpl for Retention {
    fn name(&self) -> &str {
        CONDITIONS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.iter().map(condition_type).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check_conditions(CONDITIONS, types)?;
        Ok(DataType::new_list(DataType::Int32, true))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "met"), DataType::UInt64, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(RetentionGroup { rows: vec![0; args.exprs.len()] }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(RetentionGroups { met: Vec::new(), condition_count: args.exprs.len() }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A list of `condition_count` values for each word.
fn lists(words: &[u64], condition_count: usize) -> Result<ListArray> {
    let bit = |word: u64, at: usize| if word & 1 == 1 { (word >> at & 1) as i32 } else { 0 };
    let values: Int32Array = words.iter().flat_map(|&word| (0..condition_count).map(move |at| bit(word, at))).collect();
    let offsets = OffsetBuffer::from_repeated_length(condition_count, words.len());
    Ok(ListArray::try_new(Arc::new(Field::new_list_field(DataType::Int32, true)), offsets, Arc::new(values), None)?)
}

#[derive(Debug)]
struct RetentionGroups {
    met: Vec<u64>,
    condition_count: usize,
}

impl GroupsAccumulator for RetentionGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.met.resize(total_num_groups, 0);
        let filter = opt_filter.map(truths);
        for (bit, condition) in values.iter().enumerate() {
            let mut met = truths(condition.as_boolean());
            if let Some(filter) = &filter {
                met = &met & filter;
            }
            for row in met.set_indices() {
                self.met[group_indices[row]] |= 1 << bit;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(lists(&emit_to.take_needed(&mut self.met), self.condition_count)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(UInt64Array::from(emit_to.take_needed(&mut self.met)))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.met.resize(total_num_groups, 0);
        for (met, &group) in values[0].as_primitive::<UInt64Type>().iter().zip(group_indices) {
            self.met[group] |= met.unwrap_or(0);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let conditions: Vec<&BooleanArray> = values.iter().map(|value| value.as_boolean()).collect();
        let mut met = Vec::new();
        masks(&conditions, &mut met);
        if let Some(filter) = opt_filter.map(truths) {
            for (row, met) in met.iter_mut().enumerate() {
                *met *= u64::from(filter.value(row));
            }
        }
        Ok(vec![Arc::new(UInt64Array::from(met))])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.met.capacity() * size_of::<u64>()
    }
}

/// The form for one group: it counts rows, so that a sliding frame can take them back.
#[derive(Debug)]
struct RetentionGroup {
    rows: Vec<u64>,
}

impl RetentionGroup {
    fn met(&self) -> u64 {
        self.rows.iter().enumerate().fold(0, |met, (bit, &rows)| met | u64::from(rows > 0) << bit)
    }
}

impl Accumulator for RetentionGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (rows, condition) in self.rows.iter_mut().zip(values) {
            *rows += condition.as_boolean().true_count() as u64;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (rows, condition) in self.rows.iter_mut().zip(values) {
            *rows = rows.saturating_sub(condition.as_boolean().true_count() as u64);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::List(Arc::new(lists(&[self.met()], self.rows.len())?)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::UInt64(Some(self.met()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for met in states[0].as_primitive::<UInt64Type>().iter().flatten() {
            for (bit, rows) in self.rows.iter_mut().enumerate() {
                *rows += met >> bit & 1;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::{numbers, table};
    use super::*;

    #[test]
    fn golden_table() {
        let events = table("sequence_events", ',');
        let expected = table("retention_expected", ';');
        assert_eq!(expected.len(), 200);
        let groups: Vec<usize> =
            events.iter().filter_map(|event| expected.iter().position(|case| case[0] == event[0])).collect();
        assert_eq!(groups.len(), events.len(), "an event of no case");
        let bit = |event: &Vec<String>, bit: u32| event[2].parse::<u64>().unwrap() >> bit & 1 == 1;
        let columns: Vec<ArrayRef> = (0..4)
            .map(|at| Arc::new(BooleanArray::from_iter(events.iter().map(|event| Some(bit(event, at))))) as ArrayRef)
            .collect();
        let mut retention = RetentionGroups { met: Vec::new(), condition_count: 4 };
        retention.update_batch(&columns, &groups, None, expected.len()).unwrap();
        let result = retention.evaluate(EmitTo::All).unwrap();
        for (row, case) in expected.iter().enumerate() {
            let found: Vec<i64> = result
                .as_list::<i32>()
                .value(row)
                .as_primitive::<arrow::datatypes::Int32Type>()
                .values()
                .iter()
                .map(|v| i64::from(*v))
                .collect();
            assert_eq!(found, numbers(&case[1]), "{case:?}");
        }
    }
}

//! `sum_exact(x)`: [`ExactSum`] as a SQL aggregate.
//!
//! One state of 25 bytes per group; groups, sliding windows and merging are all integer additions.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, TypeSignature, Volatility};

use super::ExactSum;
use crate::SqlError;
use crate::documentation::{Documentation, Example};
use crate::error::FEATURE_NOT_SUPPORTED;
use crate::family::{Function, LawArgument, LawCase};

const STATE_VERSION: u8 = 1;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SumExact {
    signature: Signature,
}

pub(super) fn function() -> Function {
    let signature = Signature::one_of(vec![TypeSignature::Exact(vec![DataType::Float64])], Volatility::Immutable);
    let documentation = Documentation {
        syntax: vec!["sum_exact(x double precision) -> double precision".into()],
        description: "The sum of x, bit for bit the same for any row order, partitioning and thread count.".into(),
        arguments: vec![("x", "the values; anything that casts to double precision")],
        rules:
            "NULLs are ignored; an empty group gives 0. Values of magnitude at least 2^-12 are added exactly, smaller \
                ones are rounded to 2^-64. NaN or infinity: 22023. A sum or a value of magnitude 2^63 or more: 22003."
                .into(),
        cost: "O(1) per row, 24 bytes per group; sliding windows retract.",
        source: "fixed-point accumulation, 64 fractional bits",
        examples: vec![
            Example::new("SELECT sum_exact(x) FROM (VALUES (1e15), (0.0625), (-1e15)) AS t(x)", "0.0625"),
            Example::new("SELECT sum_exact(x) FROM (VALUES (0.1), (0.2), (NULL)) AS t(x) WHERE x > 1", "0"),
        ],
    };
    Function::aggregate(SumExact { signature }, documentation, || {
        let values =
            vec![Some(0.1), None, Some(-2.5e15), Some(1e-30), Some(7.25), Some(3e-20), Some(2.5e15), Some(-0.0)];
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        vec![LawCase::new("mixed magnitudes", vec![LawArgument::column(column)])]
    })
}

impl AggregateUDFImpl for SumExact {
    fn name(&self) -> &str {
        "sum_exact"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(Some(0.0)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(SqlError::new(FEATURE_NOT_SUPPORTED, "DISTINCT is not supported for sum_exact").into());
        }
        Ok(Box::<SumAccumulator>::default())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::<SumGroups>::default())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug, Default)]
struct SumAccumulator {
    sum: ExactSum,
}

impl Accumulator for SumAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.sum.add(value)?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.sum.subtract(value)?;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(Some(self.sum.value()?)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(encode(&self.sum).to_vec()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i32>().iter().flatten() {
            self.sum.merge(&decode(state)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

#[derive(Debug, Default)]
struct SumGroups {
    sums: Vec<ExactSum>,
}

impl GroupsAccumulator for SumGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.resize(total_num_groups, ExactSum::new());
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if values.is_valid(row) && opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                self.sums[*group].add(values.value(row))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let values: Result<Vec<f64>, SqlError> = sums.iter().map(ExactSum::value).collect();
        Ok(Arc::new(Float64Array::from(values?)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let states: BinaryArray = sums.iter().map(|sum| Some(encode(sum))).collect();
        Ok(vec![Arc::new(states)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.sums.resize(total_num_groups, ExactSum::new());
        let states = values[0].as_binary::<i32>();
        for (row, group) in group_indices.iter().enumerate() {
            if states.is_valid(row) {
                self.sums[*group].merge(&decode(states.value(row))?);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Float64Type>();
        let mut states = BinaryBuilder::with_capacity(values.len(), values.len() * (ExactSum::BYTES + 1));
        for row in 0..values.len() {
            if values.is_valid(row) && opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                let mut sum = ExactSum::new();
                sum.add(values.value(row))?;
                states.append_value(encode(&sum));
            } else {
                states.append_null();
            }
        }
        Ok(vec![Arc::new(states.finish())])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sums.capacity() * size_of::<ExactSum>()
    }
}

fn encode(sum: &ExactSum) -> [u8; ExactSum::BYTES + 1] {
    let mut bytes = [STATE_VERSION; ExactSum::BYTES + 1];
    bytes[1..].copy_from_slice(&sum.to_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<ExactSum, SqlError> {
    match bytes.split_first() {
        Some((&STATE_VERSION, sum)) => ExactSum::from_bytes(sum),
        _ => None,
    }
    .ok_or_else(|| SqlError::corrupt_state("sum_exact", format!("It has {} bytes.", bytes.len())))
}

//! `intersect_count(b, key, v1, v2, ...)`: how many elements are, for every value v, in some bitmap whose key is v.
//!
//! One growing union per value; the intersection is counted at the end and never built for the caller. The values are
//! constants and compared in the type of the key column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, Int32Array};
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::combine::{Buffers, Operand, Operation, combine};
use super::format::{View, validate};
use super::types::{Width, sql_type_name};
use super::union::Union;
use super::writer::{Counter, Writer};
use crate::SqlError;
use crate::arguments::{Blobs, literal_of_aggregate};
use crate::documentation::{Documentation, Example};
use crate::error::{PROGRAM_LIMIT_EXCEEDED, UNDEFINED_FUNCTION};
use crate::family::{Function, LawArgument, LawCase};
use crate::frame::FrameAccumulator;

const STATE_VERSION: u8 = 1;
/// Limit: what one value of an Arrow array can hold.
const STATE_BYTES_MAX: usize = i32::MAX as usize;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntersectCount {
    signature: Signature,
}

pub(super) fn function() -> Function {
    // Any types, so that the check with PostgreSQL's message is ours.
    let signature = Signature::variadic_any(Volatility::Immutable);
    let documentation = Documentation {
        syntax: vec!["intersect_count(b roaringbitmap, key anyelement, v1 anyelement, ...) -> bigint".into()],
        description:
            "The number of elements that are, for every value v, in some bitmap whose key is v: the cardinality \
                      of the intersection over the values of the unions over the rows."
                .into(),
        arguments: vec![
            ("key", "what the values are compared with"),
            ("v1, ...", "constants of a type that casts to the key's; a NULL matches no row"),
        ],
        rules: "Rows with a NULL bitmap or key are skipped. No rows: 0.".into(),
        cost: "O(bytes) per bitmap and value that matches.",
        source: "StarRocks, Doris",
        examples: vec![Example::new(
            "SELECT intersect_count(b, day, 1, 2) FROM (VALUES ('{1,2}'::roaringbitmap, 1), ('{3}'::roaringbitmap, 1), \
             ('{2,3,4}'::roaringbitmap, 2)) AS t(b, day)",
            "2",
        )],
    };
    Function::aggregate(IntersectCount { signature }, documentation, cases)
}

fn width_of(fields: &[FieldRef]) -> Result<Width, SqlError> {
    let undefined = || {
        let types: Vec<String> = fields.iter().map(|field| sql_type_name(field)).collect();
        let message = format!("function intersect_count({}) does not exist", types.join(", "));
        SqlError::new(UNDEFINED_FUNCTION, message)
            .with_hint("Write intersect_count(bitmap, key, value, ...) with at least one value.")
    };
    match fields {
        [bitmap, _, _, ..] if bitmap.data_type().is_null() => Ok(Width::W32),
        [bitmap, _, _, ..] => Width::of_field(bitmap).ok_or_else(undefined),
        _ => Err(undefined()),
    }
}

impl AggregateUDFImpl for IntersectCount {
    fn name(&self) -> &str {
        "intersect_count"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        width_of(fields)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Int64, true)))
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sets"), DataType::BinaryView, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sets::new(&args)?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let empty = Sets::new(&args)?;
        let (width, values) = (empty.width, empty.values);
        Ok(Box::new(FrameAccumulator::new(move || Ok(Box::new(Sets::empty(width, values.clone()))))))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// One union per value.
#[derive(Debug)]
struct Sets {
    width: Width,
    /// The values in the type of the key.
    values: Vec<ScalarValue>,
    sets: Vec<Union>,
    /// Heap bytes of the sets.
    ledger: usize,
}

impl Sets {
    fn new(args: &AccumulatorArgs) -> Result<Self> {
        let width = width_of(args.expr_fields)?;
        let key_type = args.expr_fields[1].data_type();
        let mut values = Vec::new();
        for index in 2..args.exprs.len() {
            let value = literal_of_aggregate(args, index, "value")?.unwrap_or(ScalarValue::Null);
            // A dictionary of text is compared as its text.
            values.push(value.cast_to(key_type)?);
        }
        Ok(Self::empty(width, values))
    }

    fn empty(width: Width, values: Vec<ScalarValue>) -> Self {
        let sets = values.iter().map(|_| Union::default()).collect();
        Self { width, values, sets, ledger: 0 }
    }

    /// The canonical bytes of each set.
    fn written(&mut self) -> Result<Vec<Vec<u8>>, SqlError> {
        let mut writer = Writer::new(self.width, STATE_BYTES_MAX);
        let mut all = Vec::with_capacity(self.sets.len());
        for set in &mut self.sets {
            set.emit(&mut writer)?;
            let mut bytes = Vec::new();
            writer.finish(&mut bytes);
            all.push(bytes);
        }
        Ok(all)
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<(), SqlError> {
        let corrupt = |what: &str| SqlError::corrupt_state("intersect_count", what);
        let mut rest = match state.split_first() {
            Some((&STATE_VERSION, rest)) => rest,
            _ => return Err(corrupt("The version is unknown.")),
        };
        for set in &mut self.sets {
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(|| corrupt("A length is cut."))?;
            let length = u32::from_le_bytes(*length) as usize;
            let (bytes, after) = after.split_at_checked(length).ok_or_else(|| corrupt("A set is cut."))?;
            let view =
                validate(bytes, self.width).map_err(|e| corrupt(&format!("At byte {} of a set: {}.", e.at, e.what)))?;
            set.merge(&view, &mut self.ledger);
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(corrupt("There are surplus bytes.")) }
    }
}

impl Accumulator for Sets {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let blobs = Blobs::new(arrays[0].as_ref())?;
        for (value, set) in self.values.iter().zip(&mut self.sets) {
            if value.is_null() {
                continue;
            }
            let matching = eq(&arrays[1], &value.to_scalar()?)?;
            for row in 0..blobs.len() {
                if matching.is_valid(row)
                    && matching.value(row)
                    && let Some(bytes) = blobs.get(row)
                {
                    set.merge(&View::open(bytes, self.width).map_err(SqlError::from)?, &mut self.ledger);
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let written = self.written()?;
        let views: Vec<View<'_>> = written
            .iter()
            .map(|bytes| View::open(bytes, self.width))
            .collect::<Result<_, _>>()
            .map_err(SqlError::from)?;
        let operands: Vec<Operand<'_>> = views.iter().map(Operand::View).collect();
        let mut counter = Counter::default();
        combine(Operation::And, &operands, &mut Buffers::default(), &mut counter)?;
        Ok(ScalarValue::Int64(Some(counter.count as i64)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut state = vec![STATE_VERSION];
        for bytes in self.written()? {
            state.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            state.extend_from_slice(&bytes);
        }
        if state.len() > STATE_BYTES_MAX {
            let message = "the sets of intersect_count are larger than 2 GiB";
            return Err(SqlError::new(PROGRAM_LIMIT_EXCEEDED, message).into());
        }
        Ok(vec![ScalarValue::BinaryView(Some(state))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states: &BinaryViewArray = states[0].as_binary_view();
        for state in states.iter().flatten() {
            self.merge_state(state)?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let values: usize = self.values.iter().map(ScalarValue::size).sum();
        size_of::<Self>() + values + self.sets.capacity() * size_of::<Union>() + self.ledger
    }
}

fn cases() -> Vec<LawCase> {
    let keys: Int32Array = [Some(1), Some(1), Some(2), Some(1), Some(2), None, Some(2), Some(3)].into_iter().collect();
    let keys: ArrayRef = Arc::new(keys);
    let case = |width: Width, values: &[i64]| {
        let mut arguments = vec![super::entry::sample_bitmaps(width), LawArgument::column(Arc::clone(&keys))];
        arguments.extend(values.iter().map(|value| LawArgument::constant(ScalarValue::from(*value))));
        LawCase::new(format!("{}, {values:?}", width.type_name()), arguments)
    };
    vec![case(Width::W32, &[1, 2]), case(Width::W64, &[2]), case(Width::W32, &[1, 2, 9])]
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;

    #[test]
    fn counts_the_intersection_of_the_unions() {
        let rows = [("{1,2}", Some(1)), ("{3}", Some(1)), ("{2,3,4}", Some(2)), ("{3,9}", Some(3)), ("{7}", None)];
        let bytes = rows.map(|(literal, _)| parse(literal, Width::W32).unwrap());
        let bitmaps: ArrayRef = Arc::new(bytes.iter().map(|b| Some(b.as_slice())).collect::<BinaryViewArray>());
        let keys: ArrayRef = Arc::new(rows.iter().map(|(_, key)| *key).collect::<Int32Array>());
        for (values, expected) in [
            (vec![Some(1)], 3),
            (vec![Some(1), Some(2)], 2),
            (vec![Some(1), Some(2), Some(3)], 1),
            (vec![Some(1), Some(4)], 0),
            (vec![Some(1), None], 0),
        ] {
            let values: Vec<ScalarValue> = values.into_iter().map(ScalarValue::Int32).collect();
            let mut sets = Sets::empty(Width::W32, values.clone());
            sets.update_batch(&[Arc::clone(&bitmaps), Arc::clone(&keys)]).unwrap();
            assert_eq!(sets.evaluate().unwrap(), ScalarValue::Int64(Some(expected)), "{values:?}");
        }
    }
}

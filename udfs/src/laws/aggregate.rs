//! Laws of aggregate functions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{Accumulator, AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};

use super::memory::live_bytes;
use super::{Dice, all_functions, layouts, map_columns, row_count, rows_of, sliced};
use crate::family::{Implementation, LawArgument, LawCase};

/// A planned call: the function with its argument fields and the coerced argument arrays.
struct Call {
    udf: Arc<AggregateUDF>,
    fields: Vec<FieldRef>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    arrays: Vec<ArrayRef>,
    return_field: FieldRef,
    rows: usize,
    ordered: bool,
    label: String,
}

impl Call {
    fn plan(udf: &Arc<AggregateUDF>, case: &LawCase) -> Result<Self> {
        let rows = row_count(case);
        let fields: Vec<FieldRef> = case.arguments.iter().map(|argument| Arc::clone(argument.field())).collect();
        let fields = fields_with_udf(&fields, udf.as_ref())?;
        let (mut exprs, mut arrays) = (Vec::<Arc<dyn PhysicalExpr>>::new(), Vec::new());
        for (index, (argument, field)) in case.arguments.iter().zip(&fields).enumerate() {
            match argument {
                LawArgument::Column(_, array) => {
                    exprs.push(Arc::new(Column::new(field.name(), index)));
                    arrays.push(cast(array, field.data_type())?);
                }
                LawArgument::Constant(_, value) => {
                    let value = value.cast_to(field.data_type())?;
                    arrays.push(value.to_array_of_size(rows)?);
                    exprs.push(Arc::new(Literal::new(value)));
                }
            }
        }
        let return_field = udf.return_field(&fields)?;
        let label = format!("{}, {}", udf.name(), case.name);
        Ok(Self { udf: Arc::clone(udf), fields, exprs, arrays, return_field, rows, ordered: case.ordered, label })
    }

    fn with<T>(&self, create: impl FnOnce(AccumulatorArgs) -> T) -> T {
        let schema = Schema::new(self.fields.clone());
        create(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: self.udf.name(),
            is_distinct: false,
            exprs: &self.exprs,
            expr_fields: &self.fields,
        })
    }

    fn accumulator(&self) -> Box<dyn Accumulator> {
        self.with(|args| self.udf.accumulator(args)).unwrap_or_else(|e| panic!("{}: {e}", self.label))
    }

    fn groups(&self) -> Option<Box<dyn GroupsAccumulator>> {
        if !self.with(|args| self.udf.groups_accumulator_supported(args)) {
            return None;
        }
        Some(self.with(|args| self.udf.create_groups_accumulator(args)).unwrap())
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        let args = StateFieldsArgs {
            name: self.udf.name(),
            input_fields: &self.fields,
            return_field: Arc::clone(&self.return_field),
            ordering_fields: &[],
            is_distinct: false,
        };
        self.udf.state_fields(args).unwrap()
    }

    fn slice(&self, from: usize, len: usize) -> Vec<ArrayRef> {
        self.arrays.iter().map(|array| array.slice(from, len)).collect()
    }

    fn one_pass(&self) -> ScalarValue {
        let mut accumulator = self.accumulator();
        accumulator.update_batch(&self.arrays).unwrap_or_else(|e| panic!("{}: {e}", self.label));
        let value = accumulator.evaluate().unwrap();
        assert_eq!(&value.data_type(), self.return_field.data_type(), "{}: announced another type", self.label);
        value
    }

    /// The state of these rows as arrays of one row, checked against the announced state fields.
    fn state(&self, from: usize, len: usize) -> Vec<ArrayRef> {
        let mut accumulator = self.accumulator();
        accumulator.update_batch(&self.slice(from, len)).unwrap();
        let state = accumulator.state().unwrap();
        let fields = self.state_fields();
        assert_eq!(state.len(), fields.len(), "{}: number of state columns", self.label);
        for (value, field) in state.iter().zip(&fields) {
            assert_eq!(&value.data_type(), field.data_type(), "{}: state column {}", self.label, field.name());
        }
        state.iter().map(|value| value.to_array().unwrap()).collect()
    }
}

fn calls() -> Vec<(Arc<AggregateUDF>, Vec<LawCase>)> {
    let functions = all_functions().into_iter();
    functions
        .filter_map(|(function, cases)| match function.implementation {
            Implementation::Aggregate(udf) => Some((udf, cases)),
            _ => None,
        })
        .collect()
}

fn each_call(mut check: impl FnMut(&Call, &LawCase)) {
    for (udf, cases) in calls() {
        for case in cases {
            let call = Call::plan(&udf, &case).unwrap_or_else(|e| panic!("{}, {}: {e}", udf.name(), case.name));
            check(&call, &case);
        }
    }
}

fn merged(call: &Call, states: &[Vec<ArrayRef>]) -> ScalarValue {
    let mut target = call.accumulator();
    for state in states {
        target.merge_batch(state).unwrap_or_else(|e| panic!("{}: {e}", call.label));
    }
    target.evaluate().unwrap()
}

/// Cuts 0..rows into up to five pieces, some of them empty.
fn pieces(dice: &mut Dice, rows: usize) -> Vec<(usize, usize)> {
    let mut cuts = vec![0, rows];
    cuts.extend((0..4).map(|_| dice.below(rows + 1)));
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect()
}

#[test]
fn any_split_and_order_of_merging_gives_one_pass() {
    let mut dice = Dice(1);
    each_call(|call, _| {
        let whole = call.one_pass();
        for _ in 0..6 {
            let mut states: Vec<_> =
                pieces(&mut dice, call.rows).into_iter().map(|(from, len)| call.state(from, len)).collect();
            if !call.ordered {
                dice.shuffle(&mut states);
            }
            assert_eq!(merged(call, &states), whole, "{}", call.label);
            // All states in one batch, then a second level of merging.
            let columns = states[0].len();
            let stacked: Vec<ArrayRef> = (0..columns)
                .map(|c| concat(&states.iter().map(|s| s[c].as_ref()).collect::<Vec<_>>()).unwrap())
                .collect();
            let mut middle = call.accumulator();
            middle.merge_batch(&stacked).unwrap();
            let state: Vec<ArrayRef> = middle.state().unwrap().iter().map(|v| v.to_array().unwrap()).collect();
            assert_eq!(merged(call, &[state]), whole, "{}: two levels", call.label);
        }
    });
}

#[test]
fn row_order_batches_slices_and_layouts_change_nothing() {
    let mut dice = Dice(2);
    each_call(|call, case| {
        let whole = call.one_pass();
        let mut order: Vec<usize> = (0..call.rows).collect();
        if !call.ordered {
            dice.shuffle(&mut order);
        }
        let shuffled = Call::plan(&call.udf, &rows_of(case, &order)).unwrap();
        assert_eq!(shuffled.one_pass(), whole, "{}: row order", call.label);
        assert_eq!(Call::plan(&call.udf, &sliced(case)).unwrap().one_pass(), whole, "{}: sliced", call.label);
        for (layout, variant) in layouts(case) {
            let variant = Call::plan(&call.udf, &variant).unwrap_or_else(|e| panic!("{}, {layout}: {e}", call.label));
            let value = variant.one_pass();
            let same = match value.data_type() == whole.data_type() {
                true => value == whole,
                false => value.cast_to(&whole.data_type()).unwrap() == whole,
            };
            assert!(same, "{}, {layout}", call.label);
        }
        // Batch by batch, looking at the value in between as a window does.
        let mut accumulator = call.accumulator();
        for (from, len) in pieces(&mut dice, call.rows) {
            accumulator.update_batch(&call.slice(from, len)).unwrap();
            let first = accumulator.evaluate().unwrap();
            assert_eq!(accumulator.evaluate().unwrap(), first, "{}: evaluating twice", call.label);
        }
        assert_eq!(accumulator.evaluate().unwrap(), whole, "{}: evaluating in between", call.label);
    });
}

#[test]
fn no_rows_and_null_columns_are_legal() {
    each_call(|call, case| {
        let nothing = call.accumulator().evaluate().unwrap();
        assert_eq!(&nothing.data_type(), call.return_field.data_type(), "{}: empty group", call.label);
        assert_eq!(merged(call, &[call.state(0, 0)]), nothing, "{}: merging nothing", call.label);
        for chosen in 0..=case.arguments.len() {
            let mut index = 0;
            let nulls = map_columns(case, |field, array| {
                index += 1;
                match chosen == case.arguments.len() || chosen + 1 == index {
                    true => (Arc::clone(field), new_null_array(field.data_type(), array.len())),
                    false => (Arc::clone(field), Arc::clone(array)),
                }
            });
            Call::plan(&call.udf, &nulls).unwrap().one_pass();
        }
    });
}

/// Where a sliding accumulator can retract, it gives what a fresh one gives over the frame.
#[test]
fn retracting_gives_the_frame() {
    each_call(|call, _| {
        let mut sliding = call.with(|args| call.udf.create_sliding_accumulator(args)).unwrap();
        if !sliding.supports_retract_batch() {
            return;
        }
        let frame = 3.min(call.rows);
        for row in 0..call.rows {
            sliding.update_batch(&call.slice(row, 1)).unwrap();
            let start = (row + 1).saturating_sub(frame);
            if row >= frame {
                sliding.retract_batch(&call.slice(row - frame, 1)).unwrap();
            }
            let mut fresh = call.accumulator();
            fresh.update_batch(&call.slice(start, row + 1 - start)).unwrap();
            assert_eq!(sliding.evaluate().unwrap(), fresh.evaluate().unwrap(), "{}, row {row}", call.label);
        }
    });
}

/// What the plain accumulator says about the rows of each group that pass the filter.
fn expected_groups(call: &Call, groups: &[usize], count: usize, filter: Option<&BooleanArray>) -> Vec<ScalarValue> {
    (0..count)
        .map(|group| {
            let mut accumulator = call.accumulator();
            for (row, of) in groups.iter().enumerate() {
                let passes = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
                if *of == group && passes {
                    accumulator.update_batch(&call.slice(row, 1)).unwrap();
                }
            }
            accumulator.evaluate().unwrap()
        })
        .collect()
}

fn values_of(array: &dyn Array) -> Vec<ScalarValue> {
    (0..array.len()).map(|row| ScalarValue::try_from_array(array, row).unwrap()).collect()
}

#[test]
fn groups_give_what_single_accumulators_give() {
    let mut dice = Dice(3);
    each_call(|call, _| {
        if call.groups().is_none() {
            return;
        }
        let count = 1 + dice.below(4);
        let groups: Vec<usize> = (0..call.rows).map(|_| dice.below(count)).collect();
        let filter: BooleanArray =
            (0..call.rows).map(|_| [Some(true), Some(true), Some(false), None][dice.below(4)]).collect();
        for filter in [None, Some(&filter)] {
            let expected = expected_groups(call, &groups, count, filter);
            check_groups(call, &mut dice, &groups, filter, &expected);
        }
    });
}

fn check_groups(
    call: &Call,
    dice: &mut Dice,
    groups: &[usize],
    filter: Option<&BooleanArray>,
    expected: &[ScalarValue],
) {
    let (label, count) = (&call.label, expected.len());
    let fresh = || call.groups().expect("checked by the caller");
    let fill = |target: &mut Box<dyn GroupsAccumulator>, from: usize, len: usize| {
        let filter = filter.map(|f| f.slice(from, len));
        target.update_batch(&call.slice(from, len), &groups[from..from + len], filter.as_ref(), count).unwrap();
    };
    // In pieces, all groups at once.
    let mut accumulator = fresh();
    for (from, len) in pieces(dice, call.rows) {
        fill(&mut accumulator, from, len);
    }
    assert_eq!(values_of(&accumulator.evaluate(EmitTo::All).unwrap()), expected, "{label}: grouped");
    // The first groups first; the rest moves down.
    let mut accumulator = fresh();
    fill(&mut accumulator, 0, call.rows);
    let first = dice.below(count) + 1;
    let mut values = values_of(&accumulator.evaluate(EmitTo::First(first)).unwrap());
    values.extend(values_of(&accumulator.evaluate(EmitTo::All).unwrap()));
    assert_eq!(values, expected, "{label}: first {first} groups first");
    // Partial states of pieces, merged in any order.
    let mut states = Vec::new();
    for (from, len) in pieces(dice, call.rows) {
        let mut part = fresh();
        fill(&mut part, from, len);
        let mut state = part.state(EmitTo::First(first)).unwrap();
        for (column, rest) in state.iter_mut().zip(part.state(EmitTo::All).unwrap()) {
            *column = concat(&[column.as_ref(), rest.as_ref()]).unwrap();
        }
        for (column, field) in state.iter().zip(call.state_fields()) {
            assert_eq!(column.data_type(), field.data_type(), "{label}: grouped state");
            assert_eq!(column.len(), count, "{label}: grouped state");
        }
        states.push(state);
    }
    if !call.ordered {
        dice.shuffle(&mut states);
    }
    let mut accumulator = fresh();
    for state in &states {
        accumulator.merge_batch(state, &(0..count).collect::<Vec<_>>(), count).unwrap();
    }
    assert_eq!(values_of(&accumulator.evaluate(EmitTo::All).unwrap()), expected, "{label}: grouped merge");
    // Rows turned into states directly, when grouping does not pay.
    let state = fresh().convert_to_state(&call.arrays, filter).unwrap();
    assert!(state.iter().all(|column| column.len() == call.rows), "{label}: convert_to_state length");
    let mut accumulator = fresh();
    accumulator.merge_batch(&state, groups, count).unwrap();
    assert_eq!(values_of(&accumulator.evaluate(EmitTo::All).unwrap()), expected, "{label}: convert_to_state");
}

/// `size()` against the allocator: never much less than what is held, never several times more.
#[test]
fn size_is_honest() {
    each_call(|call, case| {
        let many: Vec<usize> = (0..2000).map(|i| i % call.rows).collect();
        let grown = match call.ordered {
            true => Call::plan(&call.udf, case).unwrap(),
            false => Call::plan(&call.udf, &rows_of(case, &many)).unwrap(),
        };
        let check = |kind: &str, held: isize, size: usize| {
            let (held, size) = (held.max(0) as usize, size);
            assert!(size + 512 >= held * 9 / 10, "{}, {kind}: size() is {size}, held are {held} bytes", call.label);
            assert!(size <= held * 2 + 4096, "{}, {kind}: size() is {size}, held are {held} bytes", call.label);
        };
        let before = live_bytes();
        let mut accumulator = grown.accumulator();
        accumulator.update_batch(&grown.arrays).unwrap();
        check("accumulator", live_bytes() - before, accumulator.size());
        drop(accumulator);
        let groups: Vec<usize> = (0..grown.rows).map(|row| row % 50).collect();
        let before = live_bytes();
        if let Some(mut accumulator) = grown.groups() {
            accumulator.update_batch(&grown.arrays, &groups, None, 50).unwrap();
            check("groups", live_bytes() - before, accumulator.size());
        }
    });
}

/// Damaged state bytes: an unknown version, a cut and a surplus byte must be errors; anything else must not panic.
#[test]
fn corrupt_state_is_an_error() {
    let mut dice = Dice(4);
    each_call(|call, _| {
        let state = call.state(0, call.rows);
        for (index, column) in state.iter().enumerate() {
            let original = match column.data_type() {
                DataType::Binary => column.as_binary::<i32>().value(0).to_vec(),
                DataType::LargeBinary => column.as_binary::<i64>().value(0).to_vec(),
                DataType::BinaryView => column.as_binary_view().value(0).to_vec(),
                _ => continue,
            };
            let mut damaged = vec![(true, Vec::new()), (true, original[..original.len() - 1].to_vec())];
            damaged.push((true, [&original[..], &[0]].concat()));
            damaged.push((true, [&[0xff], &original[1..]].concat()));
            for _ in 0..200 {
                let mut bytes = original.clone();
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
                damaged.push((false, bytes.clone()));
                bytes.truncate(dice.below(bytes.len()));
                damaged.push((true, bytes));
            }
            for (must_fail, bytes) in damaged {
                let value = ScalarValue::Binary(Some(bytes.clone())).cast_to(column.data_type()).unwrap();
                let mut columns = state.clone();
                columns[index] = value.to_array().unwrap();
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let mut target = call.accumulator();
                    target.merge_batch(&columns)?;
                    target.evaluate()
                }));
                let result = result.unwrap_or_else(|_| panic!("{}: panic on state {bytes:02x?}", call.label));
                assert!(!must_fail || result.is_err(), "{}: accepted state {bytes:02x?}", call.label);
            }
        }
    });
}

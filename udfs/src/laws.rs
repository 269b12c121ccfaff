//! The laws every registered function keeps, as ordinary tests over [`crate::FAMILIES`].
//!
//! Scalars: one row at a time = all rows at once; sliced = compact; every text and byte string layout gives the same
//! answer; the result has the announced type and length. Aggregates: any split, any order of merging, `convert_to_state`
//! and the grouped form give what one pass gives; evaluating leaves the state usable; `size()` counts the memory that the
//! allocator handed out; a damaged state is an error, never a panic.
//!
//! The samples come with each function's registration; a function without samples fails here.

mod aggregate;
mod memory;
mod scalar;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, FieldRef};

use crate::FAMILIES;
use crate::arguments::{blob_type, text_type};
use crate::family::{Function, Implementation, LawArgument, LawCase};

/// All functions, each with its cases.
fn all_functions() -> Vec<(Function, Vec<LawCase>)> {
    let functions = FAMILIES.iter().flat_map(|family| (family.functions)());
    functions
        .map(|function| {
            let cases = (function.cases)();
            (function, cases)
        })
        .collect()
}

#[test]
fn every_function_has_samples() {
    for (function, cases) in all_functions() {
        let name = function.name();
        assert!(!cases.is_empty(), "{name} has no sample arguments for the laws");
        for case in cases {
            let rows = row_count(&case);
            let least = if matches!(function.implementation, Implementation::Aggregate(_)) { 8 } else { 1 };
            let counted = rows >= least || case.arguments.iter().all(|a| matches!(a, LawArgument::Constant(_, _)));
            assert!(counted, "{name}, {}: {rows} rows", case.name);
            for argument in &case.arguments {
                if let LawArgument::Column(field, array) = argument {
                    assert_eq!(field.data_type(), array.data_type(), "{name}, {}", case.name);
                    assert_eq!(array.len(), rows, "{name}, {}: columns differ in length", case.name);
                }
            }
        }
    }
}

/// Rows of a case; 1 if it has no column.
fn row_count(case: &LawCase) -> usize {
    let mut columns = case.arguments.iter().filter_map(|argument| match argument {
        LawArgument::Column(_, array) => Some(array.len()),
        LawArgument::Constant(_, _) => None,
    });
    columns.next().unwrap_or(1)
}

/// The same case over these rows.
fn rows_of(case: &LawCase, rows: &[usize]) -> LawCase {
    let indices = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
    map_columns(case, |field, array| (Arc::clone(field), take(array, &indices, None).unwrap()))
}

/// The same case whose columns are slices of longer arrays with other rows before and after.
fn sliced(case: &LawCase) -> LawCase {
    map_columns(case, |field, array| {
        let padded = concat(&[&array.slice(0, array.len().min(3)), array, array]).unwrap();
        (Arc::clone(field), padded.slice(array.len().min(3), array.len()))
    })
}

/// The case in other layouts of its text and byte string columns, one layout at a time for all columns.
fn layouts(case: &LawCase) -> Vec<(String, LawCase)> {
    let dictionary = |value: DataType| DataType::Dictionary(Box::new(DataType::Int16), Box::new(value));
    let texts = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary(DataType::Utf8)];
    let blobs = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView, dictionary(DataType::Binary)];
    let mut variants = Vec::new();
    for (text, blob) in texts.iter().zip(&blobs) {
        let mut touched = false;
        let variant = map_columns(case, |field, array| {
            let target = match field.data_type() {
                t if text_type(t) => text,
                t if blob_type(t) => blob,
                _ => return (Arc::clone(field), Arc::clone(array)),
            };
            touched = true;
            let field = field.as_ref().clone().with_data_type(target.clone());
            (Arc::new(field), cast(array, target).unwrap())
        });
        if touched {
            variants.push((format!("{} as {text}/{blob}", case.name), variant));
        }
    }
    variants
}

fn map_columns(case: &LawCase, mut change: impl FnMut(&FieldRef, &ArrayRef) -> (FieldRef, ArrayRef)) -> LawCase {
    let arguments = case.arguments.iter().map(|argument| match argument {
        LawArgument::Column(field, array) => {
            let (field, array) = change(field, array);
            LawArgument::Column(field, array)
        }
        constant => constant.clone(),
    });
    LawCase { name: case.name.clone(), arguments: arguments.collect(), ordered: case.ordered }
}

/// A small seeded generator: the laws must fail the same way twice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

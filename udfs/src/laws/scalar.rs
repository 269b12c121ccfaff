//! Laws of scalar functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::FieldRef;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use super::{all_functions, layouts, map_columns, row_count, rows_of, sliced};
use crate::family::{Implementation, LawArgument, LawCase};

/// Plans and calls the function as the engine does: coerce, announce the result, invoke, check type and length.
fn call(udf: &ScalarUDF, case: &LawCase) -> Result<ArrayRef> {
    let rows = row_count(case);
    let fields: Vec<FieldRef> = case.arguments.iter().map(|argument| Arc::clone(argument.field())).collect();
    let fields = if fields.is_empty() { fields } else { fields_with_udf(&fields, udf)? };
    let mut arguments = Vec::new();
    for (argument, field) in case.arguments.iter().zip(&fields) {
        arguments.push(match argument {
            LawArgument::Column(_, array) => ColumnarValue::Array(cast(array, field.data_type())?),
            LawArgument::Constant(_, value) => ColumnarValue::Scalar(value.cast_to(field.data_type())?),
        });
    }
    let constants: Vec<Option<&ScalarValue>> = arguments
        .iter()
        .map(|argument| match argument {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let return_field =
        udf.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants })?;
    let result = udf.invoke_with_args(ScalarFunctionArgs {
        args: arguments,
        arg_fields: fields,
        number_rows: rows,
        return_field: Arc::clone(&return_field),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    let array = result.to_array(rows)?;
    assert_eq!(array.data_type(), return_field.data_type(), "{}: announced another type", udf.name());
    assert_eq!(array.len(), rows, "{}: announced another length", udf.name());
    Ok(array)
}

fn scalars() -> Vec<(Arc<ScalarUDF>, Vec<LawCase>)> {
    let functions = all_functions().into_iter();
    functions
        .filter_map(|(function, cases)| match function.implementation {
            Implementation::Scalar(udf) => Some((udf, cases)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_row_alone_gives_what_it_gives_among_others() {
    for (udf, cases) in scalars() {
        for case in cases {
            let whole = call(&udf, &case).unwrap_or_else(|e| panic!("{}, {}: {e}", udf.name(), case.name));
            for row in 0..row_count(&case) {
                let mut single = rows_of(&case, &[row]);
                let one_row = call(&udf, &single).unwrap();
                for argument in &mut single.arguments {
                    if let LawArgument::Column(field, array) = argument {
                        let value = ScalarValue::try_from_array(array, 0).unwrap();
                        *argument = LawArgument::Constant(Arc::clone(field), value);
                    }
                }
                let folded = call(&udf, &single).unwrap();
                let at = format!("{}, {}, row {row}", udf.name(), case.name);
                assert_eq!(&one_row, &whole.slice(row, 1), "{at}");
                assert_eq!(&folded, &whole.slice(row, 1), "{at} folded");
            }
        }
    }
}

#[test]
fn slices_layouts_and_constants_among_columns_change_nothing() {
    for (udf, cases) in scalars() {
        for case in cases {
            let name = udf.name();
            let whole = call(&udf, &case).unwrap();
            assert_eq!(&call(&udf, &sliced(&case)).unwrap(), &whole, "{name}, {} sliced", case.name);
            for (layout, variant) in layouts(&case) {
                let result = call(&udf, &variant).unwrap_or_else(|e| panic!("{name}, {layout}: {e}"));
                assert_eq!(&result, &whole, "{name}, {layout}");
                assert_eq!(&call(&udf, &sliced(&variant)).unwrap(), &whole, "{name}, {layout} sliced");
            }
            let empty = call(&udf, &rows_of(&case, &[])).unwrap();
            let only_constants = case.arguments.iter().all(|a| matches!(a, LawArgument::Constant(_, _)));
            assert!(only_constants || empty.is_empty(), "{name}, {}: rows out of nothing", case.name);
        }
    }
}

/// Columns of NULLs, one at a time and together, are legal input of every function.
#[test]
fn null_columns_are_legal() {
    for (udf, cases) in scalars() {
        for case in cases {
            for chosen in 0..=case.arguments.len() {
                let mut index = 0;
                let nulls = map_columns(&case, |field, array| {
                    index += 1;
                    match chosen == case.arguments.len() || chosen + 1 == index {
                        true => (Arc::clone(field), new_null_array(field.data_type(), array.len())),
                        false => (Arc::clone(field), Arc::clone(array)),
                    }
                });
                call(&udf, &nulls).unwrap_or_else(|e| panic!("{}, {}: {e}", udf.name(), case.name));
            }
        }
    }
}

//! Rows as values: the engine's structs, whose fields keep their PostgreSQL types.
//!
//! The engine's own constructor forgets what the fields' metadata say, and with it that a text is json or a number an
//! oid. A function around it puts that back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, lit};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;

use super::call::Call;
use super::kernels;
use super::operators::function;
use super::signatures::oid;
use super::typed::{Scope, Typed};
use super::types::{NUMERIC_KEY, NUMERIC_SCALE_KEY, PgType, TYPE_KEY, TYPMOD_KEY};

/// Name of the engine's constructor: name, value, name, value.
const CONSTRUCTOR: &str = "named_struct";

/// Name of the function that gives fields their types.
const TYPED: &str = "typed_row";

/// A row of fields, each with its name. There is at least one.
pub(super) fn row(scope: &Scope<'_>, fields: Vec<(String, Expr)>) -> Result<Typed, PgError> {
    let udf = kernels::engine_function(CONSTRUCTOR)
        .ok_or_else(|| PgError::internal("the engine has no function named_struct"))?;
    let mut told = Vec::with_capacity(fields.len());
    for (name, value) in &fields {
        let field = scope.field(value)?;
        told.push(Field::new(name, field.data_type().clone(), true).with_metadata(type_keys(&field)));
    }
    let made = udf.call(fields.into_iter().flat_map(|(name, value)| [lit(name), value]).collect());
    let row = Typed::new(made, oid::RECORD);
    if told.iter().all(|field| field.metadata().is_empty()) {
        return Ok(row);
    }
    let field = Field::new("", DataType::Struct(Fields::from(told)), true);
    Ok(function(TYPED, typed, vec![row], PgType::plain(oid::RECORD), field, true, Volatility::Immutable))
}

/// What of a field's metadata is about its type.
fn type_keys(field: &Field) -> std::collections::HashMap<String, String> {
    let keys = [TYPE_KEY, TYPMOD_KEY, NUMERIC_KEY, NUMERIC_SCALE_KEY];
    field
        .metadata()
        .iter()
        .filter(|(key, _)| keys.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn typed(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let DataType::Struct(fields) = call.data_type() else { return Err(PgError::internal("a row is no struct")) };
    let told = |array: &StructArray| {
        let (columns, nulls) = (array.columns().to_vec(), array.nulls().cloned());
        StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())
            .map_err(|error| PgError::internal(error.to_string()))
    };
    Ok(match &values[0] {
        ColumnarValue::Scalar(ScalarValue::Struct(one)) => {
            ColumnarValue::Scalar(ScalarValue::Struct(Arc::new(told(one)?)))
        }
        other => {
            let array = other.to_array(1).map_err(super::map_error)?;
            let array = array.as_struct_opt().ok_or_else(|| PgError::internal("a row is no struct"))?;
            ColumnarValue::Array(Arc::new(told(array)?) as ArrayRef)
        }
    })
}

/// Values of the fields of a row that was just made.
pub(super) fn fields_of(row: &Expr) -> Option<Vec<Expr>> {
    constructed(row).map(|arguments| arguments.iter().skip(1).step_by(2).cloned().collect())
}

/// The field of a row that was just made.
pub(super) fn field_of(row: &Expr, name: &str) -> Option<Expr> {
    let arguments = constructed(row)?;
    let named = |one: &Expr| matches!(one, Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) if text == name);
    let index = arguments.iter().step_by(2).position(named)?;
    arguments.get(2 * index + 1).cloned()
}

/// The constructor's arguments.
fn constructed(row: &Expr) -> Option<&[Expr]> {
    match row {
        Expr::ScalarFunction(function) if function.func.name() == CONSTRUCTOR => Some(&function.args),
        Expr::ScalarFunction(function) if function.func.name() == TYPED => constructed(function.args.first()?),
        Expr::Case(case) => case.when_then_expr.first().and_then(|(_, row)| constructed(row)),
        _ => None,
    }
}

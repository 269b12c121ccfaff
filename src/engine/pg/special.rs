//! Calls that are no functions in PostgreSQL's table: COALESCE, NULLIF, GREATEST, LEAST, CURRENT_DATE, ROW, fields.

use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::casts;
use super::coerce::pathway;
use super::kernels;
use super::operators;
use super::signatures::{Context, display_name, oid};
use super::typed::{Scope, Typed, literal, placed};
use super::types::{PgType, arrow_type};

/// Names that [`call`] answers, whatever is registered under them.
pub(super) const NAMES: &[&str] = &[
    "coalesce",
    "greatest",
    "least",
    "nullif",
    "current_timestamp",
    "localtimestamp",
    "current_date",
    "localtime",
    "current_time",
    "pg_typeof",
];

/// Plans a special call; None when the name is an ordinary function.
pub(super) fn call(scope: &Scope<'_>, name: &str, arguments: &[Typed], at: usize) -> Option<Result<Typed, PgError>> {
    let arguments = arguments.to_vec();
    match name {
        "coalesce" => Some(siblings(scope, "coalesce", "COALESCE", arguments)),
        "greatest" => Some(siblings(scope, "greatest", "GREATEST", arguments)),
        "least" => Some(siblings(scope, "least", "LEAST", arguments)),
        "nullif" => Some(null_if(scope, arguments, at)),
        "current_timestamp" => Some(clock("now", oid::TIMESTAMPTZ, &arguments)),
        "localtimestamp" => Some(clock("localtimestamp_now", oid::TIMESTAMP, &arguments)),
        "current_date" => Some(clock("current_date_now", oid::DATE, &[])),
        "localtime" => Some(clock("localtime_now", oid::TIME, &arguments)),
        "current_time" => Some(Err(placed(PgError::unsupported("type \"timetz\" is not supported"), at))),
        crate::engine::dml::ASSIGN => Some(assign(scope, arguments)),
        "pg_typeof" => match arguments.as_slice() {
            [value] => Some(Ok(literal_type(value))),
            _ => None,
        },
        _ => None,
    }
}

/// A value on its way into a column, which the second argument describes: the assignment cast of INSERT and UPDATE.
fn assign(scope: &Scope<'_>, arguments: Vec<Typed>) -> Result<Typed, PgError> {
    let [value, target] =
        <[Typed; 2]>::try_from(arguments).map_err(|_| PgError::internal("an assignment has a value and a column"))?;
    let Expr::Literal(ScalarValue::Utf8(Some(target)), _) = &target.expr else {
        return Err(PgError::internal("an assignment does not describe its column"));
    };
    let (of, column) = crate::engine::dml::assignment_target(target)?;
    if !value.unknown() && pathway(value.of.oid, of.oid, Context::Assignment).is_none() {
        let message = format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            display_name(of.oid),
            display_name(value.of.oid)
        );
        let error = PgError::new(sqlstate::DATATYPE_MISMATCH, message);
        return Err(placed(error.hint("You will need to rewrite or cast the expression."), value.at));
    }
    let (at, plain) = (value.at, PgType::plain(of.oid));
    let cast = scope.coerce(value, plain, Context::Assignment)?;
    casts::sized(scope, cast, of, Context::Assignment).map_err(|error| placed(error, at))
}

fn literal_type(value: &Typed) -> Typed {
    let of = PgType::plain(oid::REGTYPE);
    Typed { of, ..Typed::new(literal(ScalarValue::UInt32(Some(value.of.oid)), of), oid::REGTYPE) }
}

fn clock(code: &str, of: u32, arguments: &[Typed]) -> Result<Typed, PgError> {
    // A precision rounds what the session's clock says to whole microseconds anyway.
    let _precision = arguments;
    kernels::call(code, Vec::new(), of)
}

fn siblings(scope: &Scope<'_>, function: &str, shown: &str, arguments: Vec<Typed>) -> Result<Typed, PgError> {
    let (arguments, of) = scope.unify(arguments, shown)?;
    let udf = kernels::engine_function(function)
        .ok_or_else(|| PgError::internal(format!("the engine has no function {function}")))?;
    let decimals = arguments.first().map(kernels::numeric::precision_scale);
    let expr = udf.call(arguments.into_iter().map(|one| one.expr).collect());
    Ok(Typed { expr, of, at: 0, decimals: decimals.filter(|_| of.oid == oid::NUMERIC) })
}

fn null_if(scope: &Scope<'_>, arguments: Vec<Typed>, at: usize) -> Result<Typed, PgError> {
    let [left, right] = arguments.as_slice() else {
        return Err(placed(PgError::new(sqlstate::SYNTAX_ERROR, "NULLIF requires two arguments"), at));
    };
    let left = if left.unknown() && right.unknown() {
        scope.coerce(left.clone(), PgType::plain(oid::TEXT), Context::Implicit)?
    } else if left.unknown() {
        scope.coerce(left.clone(), PgType::plain(right.of.oid), Context::Implicit)?
    } else {
        left.clone()
    };
    let same = operators::infix(scope, "=", left.clone(), right.clone(), at)?.expr;
    let null = ScalarValue::try_from(&arrow_of(&left)?).map_err(super::map_error)?;
    let case =
        Case::new(None, vec![(Box::new(same), Box::new(literal(null, left.of)))], Some(Box::new(left.expr.clone())));
    Ok(Typed { expr: Expr::Case(case), of: left.of, at: 0, decimals: left.decimals })
}

fn arrow_of(value: &Typed) -> Result<arrow::datatypes::DataType, PgError> {
    if value.of.oid == oid::NUMERIC {
        let (precision, scale) = kernels::numeric::precision_scale(value);
        return Ok(kernels::numeric::decimal_type(precision - scale, scale));
    }
    arrow_type(value.of)
}

/// ROW(...): a struct of fields f1, f2, ...
pub(super) fn row(scope: &Scope<'_>, values: Vec<Typed>) -> Result<Typed, PgError> {
    let udf = kernels::engine_function("named_struct")
        .ok_or_else(|| PgError::internal("the engine has no function named_struct"))?;
    let mut arguments = Vec::with_capacity(values.len() * 2);
    for (index, value) in values.into_iter().enumerate() {
        let value = super::planning::output(scope, value)?;
        arguments.push(lit(format!("f{}", index + 1)));
        arguments.push(scope.finish(value)?);
    }
    if arguments.is_empty() {
        return Err(PgError::unsupported("a row without fields is not supported"));
    }
    Ok(Typed::new(udf.call(arguments), oid::RECORD))
}

/// `(value).name`.
pub(super) fn struct_field(scope: &Scope<'_>, name: &str, value: Typed, at: usize) -> Result<Typed, PgError> {
    if value.of.oid != oid::RECORD {
        let message = format!(
            "column notation .{name} applied to type {}, which is not a composite type",
            display_name(value.of.oid)
        );
        return Err(placed(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message), at));
    }
    let udf = kernels::engine_function("get_field")
        .ok_or_else(|| PgError::internal("the engine has no function get_field"))?;
    scope.typed(udf.call(vec![value.expr, lit(name)])).map_err(|_| {
        placed(
            PgError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("could not identify column \"{name}\" in record data type"),
            ),
            at,
        )
    })
}

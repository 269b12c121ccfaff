//! Calls that are no functions in PostgreSQL's table: COALESCE, NULLIF, GREATEST, LEAST, CURRENT_DATE, ROW, fields.

use datafusion::common::Column;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::casts;
use super::coerce::pathway;
use super::kernels;
use super::operators;
use super::records;
use super::signatures::{Context, display_name, oid};
use super::typed::{Scope, Typed, literal, placed};
use super::types::{PgType, arrow_type};
use crate::dialect::forms::visible;
use crate::dialect::rows::RowName;

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
    "_pg_truetypid",
    "_pg_truetypmod",
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
        "_pg_truetypid" => true_type(scope, "typbasetype", "atttypid", &arguments),
        "_pg_truetypmod" => true_type(scope, "typtypmod", "atttypmod", &arguments),
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
    if of.oid == oid::INTERVAL && function != "coalesce" {
        return kernels::call(&format!("interval_{function}"), arguments, oid::INTERVAL);
    }
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
    let mut fields = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let value = super::planning::output(scope, value)?;
        fields.push((format!("f{}", index + 1), scope.finish(value)?));
    }
    if fields.is_empty() {
        return Err(PgError::unsupported("a row without fields is not supported"));
    }
    records::row(scope, fields)
}

/// A column of USING: the left side's, which is there whenever the row is.
pub(super) fn merged_column(scope: &Scope<'_>, name: &str) -> Result<Typed, PgError> {
    let column = match scope.schema.qualified_fields_with_unqualified_name(name).first() {
        Some((relation, field)) => Column::new(relation.cloned(), field.name()),
        None => Column::new_unqualified(name),
    };
    scope.typed(Expr::Column(column))
}

/// A name that is a column of the relations in sight, or else one of those relations: then the value is its row.
pub(super) fn whole_row(scope: &Scope<'_>, name: &str, at: usize) -> Result<Typed, PgError> {
    let RowName { name, starred, may_be_missing } = RowName::read(name);
    if !starred && let Ok((relation, field)) = scope.schema.qualified_field_with_unqualified_name(name) {
        return scope.typed(Expr::Column(Column::new(relation.cloned(), field.name())));
    }
    let fields: Vec<Column> = scope
        .schema
        .iter()
        .filter(|(relation, field)| {
            relation.is_some_and(|relation| relation.table() == name) && visible(field.name()) == field.name()
        })
        .map(|(relation, field)| Column::new(relation.cloned(), field.name()))
        .collect();
    if fields.is_empty() {
        let (code, message) = if starred {
            (sqlstate::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{name}\""))
        } else {
            (sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
        };
        return Err(placed(PgError::new(code, message), at));
    }
    let row = records::row(scope, fields.iter().map(|c| (c.name.clone(), Expr::Column(c.clone()))).collect())?.expr;
    // The missing side of an outer join has no row at all; it shows in columns that are all NULL.
    // Limit: a row of that side whose columns are all NULL is taken for a missing one.
    let missing = fields.iter().map(|column| Expr::IsNull(Box::new(Expr::Column(column.clone())))).reduce(Expr::and);
    let expr = match missing.filter(|_| may_be_missing) {
        Some(missing) => {
            Expr::Case(Case::new(None, vec![(Box::new(Expr::Not(Box::new(missing))), Box::new(row))], None))
        }
        None => row,
    };
    Ok(Typed::new(expr, oid::RECORD))
}

/// `row IS [NOT] NULL`: every field is, or none is.
pub(super) fn row_test(scope: &Scope<'_>, value: Typed, not: bool) -> Result<Typed, PgError> {
    let test = |expr: Expr| {
        if not { Expr::IsNotNull(Box::new(expr)) } else { Expr::IsNull(Box::new(expr)) }
    };
    let fields: Option<Vec<Expr>> = records::fields_of(&value.expr);
    let expr = match fields {
        Some(fields) => fields.into_iter().map(test).reduce(|left, right| left.and(right)),
        None => Some(test(super::planning::output(scope, value)?.expr)),
    };
    expr.map(|expr| Typed::new(expr, oid::BOOL)).ok_or_else(|| PgError::internal("a row has no fields"))
}

/// `information_schema._pg_truetypid(a, t)`: what a domain is over, else the column's own type.
fn true_type(
    scope: &Scope<'_>,
    of_domain: &str,
    of_column: &str,
    arguments: &[Typed],
) -> Option<Result<Typed, PgError>> {
    let [attribute, of] = arguments else { return None };
    if attribute.of.oid != oid::RECORD || of.of.oid != oid::RECORD {
        return None;
    }
    let field = |row: &Typed, name: &str| struct_field(scope, name, row.clone(), 0);
    let built = || {
        let kind = field(of, "typtype")?.expr;
        let (domain, column) = (field(of, of_domain)?, field(attribute, of_column)?);
        let is_domain = Expr::eq(kind, lit(ScalarValue::Utf8View(Some("d".to_owned()))));
        let case = Case::new(None, vec![(Box::new(is_domain), Box::new(domain.expr))], Some(Box::new(column.expr)));
        Ok(Typed::new(Expr::Case(case), column.of.oid))
    };
    Some(built())
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
    if let Some(field) = records::field_of(&value.expr, name) {
        return scope.typed(field);
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

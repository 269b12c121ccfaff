//! Operators: from a symbol and two typed operands to an expression.
//!
//! Comparisons become DataFusion's own `BinaryExpr` over one Arrow type, so that filters, joins and pruning see them.
//! Arithmetic becomes checked functions. LIKE and regular expressions with constant patterns use the engine's own nodes.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, Volatility};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::bitmaps;
use super::call::PgFunction;
use super::casts;
use super::kernels;
use super::resolve::{Resolution, binary_operator, concrete, prefix_operator};
use super::signatures::{Context, Oid, OperatorRow, display_name, element_of, oid};
use super::typed::{Scope, Typed, placed};
use super::types::{PgType, arrow_type};

const OPERATOR_HINT: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";
const AMBIGUOUS_HINT: &str = "Could not choose a best candidate operator. You might need to add explicit type casts.";

/// An infix operator.
pub(super) fn infix(scope: &Scope<'_>, name: &str, left: Typed, right: Typed, at: usize) -> Result<Typed, PgError> {
    if let Some(function) = bitmaps::function(name, left.of.oid, right.of.oid) {
        return function.call(scope, left, right).map_err(|error| placed(error, at));
    }
    let (left_oid, right_oid) = (left.of.oid, right.of.oid);
    let described = || format!("{} {name} {}", display_name(left_oid), display_name(right_oid));
    let row = match binary_operator(name, left_oid, right_oid) {
        Resolution::Found(row) => row,
        Resolution::Missing => {
            let message = format!("operator does not exist: {}", described());
            return Err(placed(PgError::new(sqlstate::UNDEFINED_FUNCTION, message).hint(OPERATOR_HINT), at));
        }
        Resolution::Ambiguous => {
            let message = format!("operator is not unique: {}", described());
            return Err(placed(PgError::new(sqlstate::AMBIGUOUS_FUNCTION, message).hint(AMBIGUOUS_HINT), at));
        }
    };
    let declared = [row.left, row.right];
    let Some((arguments, result)) = concrete(&[left_oid, right_oid], &declared, row.result) else {
        let message = "could not determine polymorphic type because input has type unknown";
        return Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at));
    };
    // An undecided array operand of an array operator: the other side's array type.
    let left = scope.coerce(left, PgType::plain(arguments[0]), Context::Implicit)?;
    let right = scope.coerce(right, PgType::plain(arguments[1]), Context::Implicit)?;
    build(scope, row, left, right, result).map_err(|error| placed(error, at))
}

/// A prefix operator.
pub(super) fn prefix(scope: &Scope<'_>, name: &str, operand: Typed, at: usize) -> Result<Typed, PgError> {
    let described = display_name(operand.of.oid);
    let row = match prefix_operator(name, operand.of.oid) {
        Resolution::Found(row) => row,
        Resolution::Missing => {
            let message = format!("operator does not exist: {name} {described}");
            return Err(placed(PgError::new(sqlstate::UNDEFINED_FUNCTION, message).hint(OPERATOR_HINT), at));
        }
        Resolution::Ambiguous => {
            let message = format!("operator is not unique: {name} {described}");
            return Err(placed(PgError::new(sqlstate::AMBIGUOUS_FUNCTION, message).hint(AMBIGUOUS_HINT), at));
        }
    };
    let operand = scope.coerce(operand, PgType::plain(row.right), Context::Implicit)?;
    if name == "+" {
        return Ok(Typed { of: PgType::plain(row.result), ..operand });
    }
    kernels::call(row.code, vec![operand], row.result).map_err(|error| placed(error, at))
}

fn build(scope: &Scope<'_>, row: &OperatorRow, left: Typed, right: Typed, result: Oid) -> Result<Typed, PgError> {
    if let Some(operator) = comparison_operator(row.name)
        && result == oid::BOOL
        && comparable(left.of.oid)
        && comparable(right.of.oid)
    {
        return compare(scope, operator, left, right);
    }
    match row.code {
        "textlike" | "bpcharlike" | "namelike" => like(scope, left, right, false, false),
        "textnlike" | "bpcharnlike" | "namenlike" => like(scope, left, right, true, false),
        "texticlike" | "bpcharic like" | "bpchariclike" | "nameiclike" => like(scope, left, right, false, true),
        "texticnlike" | "bpcharicnlike" | "nameicnlike" => like(scope, left, right, true, true),
        "anytextcat" | "textanycat" => {
            let left = scope.coerce(left, PgType::plain(oid::TEXT), Context::Explicit)?;
            let right = scope.coerce(right, PgType::plain(oid::TEXT), Context::Explicit)?;
            kernels::call("textcat", vec![left, right], oid::TEXT)
        }
        code => match swapped(code) {
            Some(straight) => kernels::call(straight, vec![right, left], result),
            None => widened(scope, code, left, right, result),
        },
    }
}

/// Operators that are another one with its operands exchanged.
fn swapped(code: &str) -> Option<&'static str> {
    Some(match code {
        "interval_pl_date" => "date_pl_interval",
        "interval_pl_timestamp" => "timestamp_pl_interval",
        "interval_pl_timestamptz" => "timestamptz_pl_interval",
        "interval_pl_time" => "time_pl_interval",
        "integer_pl_date" => "date_pli",
        "timedate_pl" => "datetime_pl",
        "mul_d_interval" => "interval_mul",
        "arraycontained" => "arraycontains",
        "jsonb_contained" => "jsonb_contains",
        _ => return None,
    })
}

/// Integer and float operators over two widths compute in the wider one.
fn widened(scope: &Scope<'_>, code: &'static str, left: Typed, right: Typed, result: Oid) -> Result<Typed, PgError> {
    let verb = |prefix: &str| code.strip_prefix(prefix).filter(|verb| matches!(*verb, "pl" | "mi" | "mul" | "div"));
    let mixed = ["int24", "int42", "int28", "int82", "int48", "int84", "float48", "float84"];
    if let Some(verb) = mixed.iter().find_map(|prefix| verb(prefix)) {
        let prefix = match result {
            oid::INT4 => "int4",
            oid::INT8 => "int8",
            _ => "float8",
        };
        let left = scope.coerce(left, PgType::plain(result), Context::Implicit)?;
        let right = scope.coerce(right, PgType::plain(result), Context::Implicit)?;
        return kernels::call(&format!("{prefix}{verb}"), vec![left, right], result);
    }
    kernels::call(code, vec![left, right], result)
}

/// The engine's operator for a comparison symbol.
pub(super) fn comparison_operator(name: &str) -> Option<Operator> {
    Some(match name {
        "=" => Operator::Eq,
        "<>" => Operator::NotEq,
        "<" => Operator::Lt,
        "<=" => Operator::LtEq,
        ">" => Operator::Gt,
        ">=" => Operator::GtEq,
        _ => return None,
    })
}

/// Types whose values compare as their Arrow values do, perhaps after a key function.
fn comparable(of: Oid) -> bool {
    matches!(
        of,
        oid::BOOL
            | oid::BYTEA
            | oid::CHAR
            | oid::NAME
            | oid::INT8
            | oid::INT2
            | oid::INT4
            | oid::TEXT
            | oid::OID
            | oid::XID
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::BPCHAR
            | oid::VARCHAR
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::INTERVAL
            | oid::NUMERIC
            | oid::UUID
            | oid::JSONB
            | oid::REGPROC
            | oid::REGCLASS
            | oid::REGTYPE
            | oid::REGNAMESPACE
            | oid::REGROLE
            | oid::OIDVECTOR
            | oid::INT2VECTOR
            | oid::RECORD
    ) || element_of(of).is_some_and(|element| element != oid::JSON && comparable(element))
}

/// A comparison over one Arrow type.
pub(super) fn compare(scope: &Scope<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed, PgError> {
    let (left, right) = comparison_keys(scope, left, right)?;
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr)));
    Ok(Typed::new(expr, oid::BOOL))
}

/// Brings two operands to one Arrow type in which they compare as PostgreSQL compares them.
pub(super) fn comparison_keys(scope: &Scope<'_>, left: Typed, right: Typed) -> Result<(Typed, Typed), PgError> {
    let (a, b) = (left.of.oid, right.of.oid);
    if a == oid::NUMERIC && b == oid::NUMERIC {
        let mut both = casts::same_scale(scope, vec![left, right])?.into_iter();
        return match (both.next(), both.next()) {
            (Some(left), Some(right)) => Ok((left, right)),
            _ => Err(PgError::internal("two operands went in")),
        };
    }
    if a == oid::INTERVAL && b == oid::INTERVAL {
        return Ok((
            kernels::call("interval_key", vec![left], oid::INTERVAL)?,
            kernels::call("interval_key", vec![right], oid::INTERVAL)?,
        ));
    }
    if a == b && element_of(a) == Some(oid::INTERVAL) {
        return Ok((
            kernels::call("interval_array_key", vec![left], a)?,
            kernels::call("interval_array_key", vec![right], a)?,
        ));
    }
    if a == oid::JSONB && b == oid::JSONB {
        return Ok((
            kernels::call("jsonb_key", vec![left], oid::BYTEA)?,
            kernels::call("jsonb_key", vec![right], oid::BYTEA)?,
        ));
    }
    if arrow_type(left.of)? == arrow_type(right.of)? {
        return Ok((left, right));
    }
    let common = wider(a, b);
    let target = PgType::plain(common);
    Ok((scope.coerce(left, target, Context::Explicit)?, scope.coerce(right, target, Context::Explicit)?))
}

/// The type in which two comparable types meet.
fn wider(a: Oid, b: Oid) -> Oid {
    const ORDER: [Oid; 9] = [
        oid::INT2,
        oid::INT4,
        oid::OID,
        oid::INT8,
        oid::FLOAT4,
        oid::FLOAT8,
        oid::DATE,
        oid::TIMESTAMP,
        oid::TIMESTAMPTZ,
    ];
    let rank = |of: Oid| ORDER.iter().position(|one| *one == of);
    match (rank(a), rank(b)) {
        // float4 and float8 operands compare as float8; so do all mixed ones.
        (Some(x), Some(y)) => ORDER[x.max(y)],
        _ => a,
    }
}

/// IS [NOT] DISTINCT FROM.
pub(super) fn distinct(
    scope: &Scope<'_>,
    left: Typed,
    right: Typed,
    negated: bool,
    at: usize,
) -> Result<Typed, PgError> {
    let operator = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
    let compared = infix(scope, "=", left, right, at)?;
    match compared.expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            Ok(Typed::new(Expr::BinaryExpr(BinaryExpr::new(left, operator, right)), oid::BOOL))
        }
        _ => Err(placed(PgError::unsupported("IS DISTINCT FROM for these types is not supported"), at)),
    }
}

/// LIKE with the engine's node.
fn like(scope: &Scope<'_>, left: Typed, right: Typed, negated: bool, folded: bool) -> Result<Typed, PgError> {
    let left = padded(scope, left)?;
    if let Expr::Literal(ScalarValue::Utf8View(Some(pattern)), _) = &right.expr {
        let trailing = pattern.chars().rev().take_while(|one| *one == '\\').count();
        if trailing % 2 == 1 {
            let message = "LIKE pattern must not end with escape character";
            return Err(PgError::new(sqlstate::INVALID_ESCAPE_SEQUENCE, message));
        }
    }
    let node = Like::new(negated, Box::new(left.expr), Box::new(right.expr), None, folded);
    Ok(Typed::new(Expr::Like(node), oid::BOOL))
}

/// char(n) with its blanks, where they count.
fn padded(scope: &Scope<'_>, value: Typed) -> Result<Typed, PgError> {
    if value.of.oid != oid::BPCHAR || value.of.typmod < 5 {
        return Ok(value);
    }
    let length = Typed::new(Expr::Literal(ScalarValue::Int32(Some(value.of.typmod - 4)), None), oid::INT4);
    let _scope = scope;
    kernels::call("bpchar_pad", vec![value, length], oid::TEXT)
}

/// A same-type Arrow cast.
pub(super) fn arrow_cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(Field::new("", data_type, true))))
}

/// A function over fixed types as an expression.
pub(super) fn function(
    name: &str,
    kernel: super::call::Kernel,
    arguments: Vec<Typed>,
    result: PgType,
    field: Field,
    strict: bool,
    volatility: Volatility,
) -> Typed {
    let types = arguments.iter().map(|one| one.of).collect();
    let own = PgFunction::new(name.to_owned(), types, result, Arc::new(field), kernel, strict, volatility);
    let expr = own.call(arguments.into_iter().map(|one| one.expr).collect());
    Typed { expr, of: result, at: 0, decimals: None }
}

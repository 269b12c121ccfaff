//! Implementations: from the code name in PostgreSQL's function table to a computation.
//!
//! One lookup over the families below. A function whose code no family knows may be one that DataFusion computes as
//! PostgreSQL does ([`borrowed`]); what neither has is refused with 0A000, never guessed.

mod arithmetic;
mod array;
mod buckets;
mod datetime;
mod fields;
mod identifiers;
mod json;
mod lengths;
pub(super) mod numeric;
mod patterns;
mod regex;
mod row;
mod text;
mod transcendental;
mod uuids;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::Field;
use datafusion::logical_expr::{Expr, ScalarUDF, Volatility};
use tributary_pg::error::PgError;

use super::call::{Kernel, PgFunction};
use super::signatures::{Oid, Proc, oid};
use super::typed::Typed;
use super::types::{PgType, arrow_type, field, of_field};

pub(super) use array::zero_step;
pub(super) use numeric::Decimal;

/// How the result's field follows from the arguments.
pub(super) enum Shape {
    /// The declared result type says it all.
    Declared,
    /// Computed: the scale of a numeric, the depth of an array.
    Computed(fn(&[Typed]) -> Result<Field, PgError>),
}

/// A computation and what planning must know of it.
pub(super) struct Implementation {
    /// The computation.
    pub kernel: Kernel,
    /// The result.
    pub shape: Shape,
    /// Whether NULL in gives NULL out; the kernel then never sees a NULL constant.
    pub strict: bool,
}

impl Implementation {
    /// A strict kernel with the declared result.
    pub const fn strict(kernel: Kernel) -> Option<Implementation> {
        Some(Implementation { kernel, shape: Shape::Declared, strict: true })
    }

    /// A kernel that sees NULLs.
    pub const fn lenient(kernel: Kernel) -> Option<Implementation> {
        Some(Implementation { kernel, shape: Shape::Declared, strict: false })
    }

    /// A strict kernel whose result field is computed.
    pub const fn shaped(kernel: Kernel, shape: fn(&[Typed]) -> Result<Field, PgError>) -> Option<Implementation> {
        Some(Implementation { kernel, shape: Shape::Computed(shape), strict: true })
    }
}

fn find(code: &str) -> Option<Implementation> {
    if code == "output_text" {
        return Implementation::strict(super::casts::printed);
    }
    arithmetic::find(code)
        .or_else(|| numeric::find(code))
        .or_else(|| datetime::find(code))
        .or_else(|| fields::find(code))
        .or_else(|| text::find(code))
        .or_else(|| regex::find(code))
        .or_else(|| array::find(code))
        .or_else(|| json::find(code))
        .or_else(|| patterns::find(code))
        .or_else(|| identifiers::find(code))
        .or_else(|| transcendental::find(code))
        .or_else(|| buckets::find(code))
        .or_else(|| uuids::find(code))
        .or_else(|| lengths::find(code))
        .or_else(|| super::aggregates::find(code))
}

/// Whether a function's code is implemented here.
pub(super) fn implemented(code: &str) -> bool {
    find(code).is_some()
}

/// A call by code name; immutable unless the code is known to read the session.
pub(super) fn call(code: &str, arguments: Vec<Typed>, result: Oid) -> Result<Typed, PgError> {
    let volatility = if reads_session(code) { Volatility::Stable } else { Volatility::Immutable };
    let Some(implementation) = find(code) else {
        return Err(PgError::unsupported(format!("function {code} is not supported")));
    };
    built(code, implementation, arguments, result, volatility)
}

/// A call of a resolved function.
pub(super) fn proc_call(proc: &'static Proc, arguments: Vec<Typed>, result: Oid) -> Result<Typed, PgError> {
    let volatility = match proc.volatile {
        b'i' => Volatility::Immutable,
        b's' => Volatility::Stable,
        _ => Volatility::Volatile,
    };
    if let Some(implementation) = find(proc.code) {
        return built(proc.code, implementation, arguments, result, volatility);
    }
    if let Some(function) = crate::engine::system::function_named(proc.name) {
        let expr = function.call(arguments.into_iter().map(|one| one.expr).collect());
        return Ok(Typed::new(expr, result));
    }
    if let Some(expr) = borrowed(proc, &arguments) {
        return typed_as(expr, result);
    }
    Err(PgError::unsupported(format!("function {} is not supported", proc.name)))
}

fn built(
    code: &str,
    implementation: Implementation,
    arguments: Vec<Typed>,
    result: Oid,
    volatility: Volatility,
) -> Result<Typed, PgError> {
    let of = PgType::plain(result);
    let own = match implementation.shape {
        Shape::Declared => field("", of, true)?,
        Shape::Computed(shape) => shape(&arguments)?,
    };
    let of = PgType { oid: result, typmod: of_field(&own).typmod };
    let types = arguments.iter().map(|one| one.of).collect();
    let function = PgFunction::new(
        code.to_owned(),
        types,
        of,
        Arc::new(own),
        implementation.kernel,
        implementation.strict,
        volatility,
    );
    let expr = function.call(arguments.into_iter().map(|one| one.expr).collect());
    Ok(Typed { expr, of, at: 0, decimals: None })
}

fn reads_session(code: &str) -> bool {
    code.contains("timestamptz") || code.starts_with("cast_") || code.contains("now")
}

/// Functions whose DataFusion namesake gives PostgreSQL's answers on PostgreSQL's argument types.
const BORROWED: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "pi",
    "radians",
    "sin",
    "sinh",
    "tan",
    "tanh",
    "lower",
    "upper",
    "initcap",
    "reverse",
    "repeat",
    "replace",
    "translate",
    "strpos",
    "starts_with",
    "octet_length",
    "bit_length",
    "left",
    "right",
    "lpad",
    "rpad",
    "btrim",
    "ltrim",
    "rtrim",
    "split_part",
    "md5",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "ascii",
    "chr",
    "random",
    "concat_ws",
    "concat",
];

static ENGINE_FUNCTIONS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    datafusion::functions::all_default_functions().into_iter().map(|one| (one.name().to_owned(), one)).collect()
});

/// DataFusion's own function of a name.
pub(super) fn engine_function(name: &str) -> Option<Arc<ScalarUDF>> {
    ENGINE_FUNCTIONS.get(name).cloned()
}

fn borrowed(proc: &Proc, arguments: &[Typed]) -> Option<Expr> {
    if !BORROWED.contains(&proc.name) || proc.arguments.contains(&oid::BYTEA) {
        return None;
    }
    let function = engine_function(proc.name)?;
    Some(function.call(arguments.iter().map(|one| one.expr.clone()).collect()))
}

/// An expression of DataFusion's, brought to the Arrow type that carries the declared result.
fn typed_as(expr: Expr, result: Oid) -> Result<Typed, PgError> {
    let of = PgType::plain(result);
    let wanted = arrow_type(of)?;
    Ok(Typed { expr: super::operators::arrow_cast(expr, wanted), of, at: 0, decimals: None })
}

/// Last adjustments to an argument of an aggregate.
pub(super) fn aggregate_argument(function: &str, index: usize, value: Typed) -> Result<Typed, PgError> {
    Ok(super::aggregates::argument(function, index, value))
}

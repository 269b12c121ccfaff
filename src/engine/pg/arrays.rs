//! Arrays while planning: constructors, subscripts, ANY and ALL, and functions that return sets as lists.

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::functions_nested::make_array::make_array_udf;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, Operator, lit};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::kernels;
use super::operators;
use super::planning::unresolved;
use super::resolve::{Resolution, binary_operator, concrete, function as resolve_function};
use super::signatures::{Context, Oid, array_of, display_name, element_of, oid};
use super::typed::{Scope, Typed, literal, placed};
use super::types::{PgType, arrow_type};

/// An array of elements that are of one type already; `nested` when they are arrays themselves.
pub(super) fn make(scope: &Scope<'_>, elements: Vec<Typed>, element: Oid, nested: bool) -> Result<Typed, PgError> {
    let of = PgType::plain(array_of(element).unwrap_or(oid::TEXT_ARRAY));
    if elements.is_empty() {
        let list = ScalarValue::new_list_nullable(&[], &arrow_type(PgType::plain(element))?);
        return Ok(Typed { expr: literal(ScalarValue::List(list), of), of, at: 0, decimals: None });
    }
    let elements =
        if element == oid::NUMERIC && !nested { super::casts::same_scale(scope, elements)? } else { elements };
    let expr = make_array_udf().call(elements.into_iter().map(|one| one.expr).collect());
    Ok(Typed { expr, of, at: 0, decimals: None })
}

/// The list of a subquery's values: `{}` instead of NULL.
pub(super) fn of_query(value: Typed) -> Result<Typed, PgError> {
    let Some(element) = element_of(value.of.oid) else {
        return Err(PgError::internal("ARRAY(subquery) is no array"));
    };
    let item = arrow_type(PgType::plain(element))?;
    let empty = ScalarValue::List(ScalarValue::new_list_nullable(&[], &item));
    let coalesce =
        kernels::engine_function("coalesce").ok_or_else(|| PgError::internal("the engine has no function coalesce"))?;
    Ok(Typed { expr: coalesce.call(vec![value.expr, lit(empty)]), of: value.of, at: 0, decimals: None })
}

/// `a[1]`, `a[2:3]`, `a[1][2]`, `j['key']`, and `r['field']` of a record.
pub(super) fn subscript(
    scope: &Scope<'_>,
    shape: &str,
    value: Typed,
    indexes: Vec<Typed>,
    at: usize,
) -> Result<Typed, PgError> {
    if value.of.oid == oid::JSONB {
        return json_path(scope, value, indexes, at);
    }
    if value.of.oid == oid::RECORD
        && let [Typed { expr: Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _), .. }] =
            indexes.as_slice()
    {
        return super::special::struct_field(scope, name, value, at);
    }
    let Some(element) = element_of(value.of.oid) else {
        let message =
            format!("cannot subscript type {} because it does not support subscripting", display_name(value.of.oid));
        return Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at));
    };
    let mut list = indexes.into_iter();
    let mut built = value;
    let slices = shape.contains('s');
    for step in shape.chars() {
        let mut bounds = Vec::new();
        for _ in 0..(if step == 's' { 2 } else { 1 }) {
            let Some(index) = list.next() else { return Err(PgError::internal("a subscript has no index")) };
            bounds.push(scope.coerce(index, PgType::plain(oid::INT4), Context::Assignment)?);
        }
        let array = built.of;
        let first = built;
        built = if slices {
            let code = if step == 's' { "array_slice" } else { "array_slice_to" };
            kernels::call(code, std::iter::once(first).chain(bounds).collect(), array.oid)?
        } else if first.depth() > 1 {
            kernels::call("array_subscript", std::iter::once(first).chain(bounds).collect(), array.oid)?
        } else {
            kernels::call("array_subscript", std::iter::once(first).chain(bounds).collect(), element)?
        };
    }
    Ok(built)
}

fn json_path(scope: &Scope<'_>, value: Typed, indexes: Vec<Typed>, at: usize) -> Result<Typed, PgError> {
    let mut built = value;
    for index in indexes {
        let index =
            if index.unknown() { scope.coerce(index, PgType::plain(oid::TEXT), Context::Implicit)? } else { index };
        built = operators::infix(scope, "->", built, index, at)?;
    }
    Ok(built)
}

/// `x op ANY (array)` and `x op ALL (array)`.
pub(super) fn quantified(
    scope: &Scope<'_>,
    name: &str,
    left: Typed,
    right: Typed,
    all: bool,
    at: usize,
) -> Result<Typed, PgError> {
    let word = if all { "ALL" } else { "ANY" };
    let element = match element_of(right.of.oid) {
        Some(element) => element,
        None if right.unknown() => oid::UNKNOWN,
        None => {
            let message = format!("op {word}/ALL (array) requires array on right side").replace("ALL/ALL", "ANY/ALL");
            return Err(placed(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message), at));
        }
    };
    let row = match binary_operator(name, left.of.oid, element) {
        Resolution::Found(row) => row,
        missing => {
            let message = format!(
                "operator {}: {} {name} {}",
                if matches!(missing, Resolution::Missing) { "does not exist" } else { "is not unique" },
                display_name(left.of.oid),
                display_name(element)
            );
            return Err(placed(PgError::new(sqlstate::UNDEFINED_FUNCTION, message), at));
        }
    };
    let inputs = [left.of.oid, element];
    let Some((types, _)) = concrete(&inputs, &[row.left, row.right], row.result) else {
        return Err(placed(PgError::new(sqlstate::INDETERMINATE_DATATYPE, "could not determine polymorphic type"), at));
    };
    if row.result != oid::BOOL {
        let message = format!("op {word} (array) requires operator to yield boolean");
        return Err(placed(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message), at));
    }
    let Some(array) = array_of(types[1]) else {
        return Err(placed(PgError::unsupported("ANY over this type is not supported"), at));
    };
    let left = scope.coerce(left, PgType::plain(types[0]), Context::Implicit)?;
    let right = scope.coerce(right, PgType::plain(array), Context::Implicit)?;
    if let Some(list) = constant_elements(&right) {
        return expanded(scope, name, left, list, types[1], all, at);
    }
    // Elements compare in one type with the left side.
    let common = if types[0] == types[1] { types[0] } else { types[1] };
    let left = scope.coerce(left, PgType::plain(common), Context::Explicit)?;
    let code = format!("{}\u{2}{name}", if all { "all" } else { "any" });
    kernels::call(&code, vec![left, right], oid::BOOL).map_err(|error| placed(error, at))
}

/// Elements of a constant array or constructor.
fn constant_elements(array: &Typed) -> Option<Vec<Expr>> {
    match &array.expr {
        Expr::Literal(ScalarValue::List(list), _) => {
            if list.is_empty() || list.is_null(0) {
                return None;
            }
            let values = list.value(0);
            if matches!(values.data_type(), DataType::List(_)) || values.len() > 1000 {
                return None;
            }
            (0..values.len())
                .map(|row| ScalarValue::try_from_array(&values, row).ok().map(|one| Expr::Literal(one, None)))
                .collect()
        }
        Expr::ScalarFunction(function) if function.func.name() == "make_array" => {
            (array.depth() == 1).then(|| function.args.clone())
        }
        _ => None,
    }
}

fn expanded(
    scope: &Scope<'_>,
    name: &str,
    left: Typed,
    list: Vec<Expr>,
    element: Oid,
    all: bool,
    at: usize,
) -> Result<Typed, PgError> {
    if list.is_empty() {
        return Ok(Typed::new(lit(all), oid::BOOL));
    }
    let plain = left.of.oid == element && !matches!(element, oid::INTERVAL | oid::JSONB | oid::NUMERIC);
    if plain && ((name == "=" && !all) || (name == "<>" && all)) {
        let expr = Expr::InList(InList::new(Box::new(left.expr), list, all));
        return Ok(Typed::new(expr, oid::BOOL));
    }
    let operator = if all { Operator::And } else { Operator::Or };
    let mut built: Option<Expr> = None;
    for one in list {
        let one = Typed { of: PgType::plain(element), ..scope.typed(one)? };
        let test = operators::infix(scope, name, left.clone(), one, at)?.expr;
        built = Some(match built {
            None => test,
            Some(before) => {
                Expr::BinaryExpr(datafusion::logical_expr::BinaryExpr::new(Box::new(before), operator, Box::new(test)))
            }
        });
    }
    built.map(|expr| Typed::new(expr, oid::BOOL)).ok_or_else(|| PgError::internal("an array has no elements"))
}

/// Values out of a list, with the type its elements have: the list's Arrow type says less.
pub(super) fn unnested(scope: &Scope<'_>, values: Expr) -> Result<Typed, PgError> {
    let plain = scope.typed(values)?;
    let element = match &plain.expr {
        Expr::Unnest(list) => {
            let list = scope.typed(list.expr.as_ref().clone())?;
            // What comes out of a list of arrays is an array.
            if list.depth() > 1 { Some(list.of.oid) } else { element_of(list.of.oid) }
        }
        _ => None,
    };
    Ok(match element {
        Some(element) if element != plain.of.oid => Typed { of: PgType::plain(element), ..plain },
        _ => plain,
    })
}

/// A set-returning function as the list of the values it returns.
pub(super) fn set_function(
    scope: &Scope<'_>,
    name: &str,
    mut arguments: Vec<Typed>,
    at: usize,
) -> Result<Typed, PgError> {
    // A list of records is not among PostgreSQL's polymorphic arrays, but what our aggregates give back.
    if name == "unnest" && matches!(arguments.as_slice(), [one] if one.of.oid == oid::RECORD_ARRAY) {
        return Ok(arguments.remove(0));
    }
    if name == "\u{2}ordinality" {
        return kernels::call("list_ordinality", arguments, array_of(oid::INT8).unwrap_or(oid::TEXT_ARRAY));
    }
    // `name/1` is the second column of a function that returns rows.
    let (name, column) = match name.split_once('/') {
        Some((name, index)) => (name, index.parse::<usize>().ok()),
        None => (name, None),
    };
    let inputs: Vec<Oid> = arguments.iter().map(|one| one.of.oid).collect();
    let found = match resolve_function(name, &inputs) {
        Resolution::Found(found) => found,
        missing => return Err(unresolved(name, &inputs, matches!(missing, Resolution::Ambiguous), at)),
    };
    let Some((targets, result)) = concrete(&inputs, &found.arguments, found.proc.result) else {
        let message = "could not determine polymorphic type because input has type unknown";
        return Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at));
    };
    let mut coerced = Vec::with_capacity(arguments.len());
    for (value, target) in arguments.into_iter().zip(&targets) {
        coerced.push(scope.coerce(value, PgType::plain(*target), Context::Implicit)?);
    }
    if found.proc.code == "array_unnest" {
        let array = coerced.remove(0);
        let flat = if array.depth() > 1 {
            let of = array.of.oid;
            kernels::call("array_flatten", vec![array], of)?
        } else {
            array
        };
        return Ok(flat);
    }
    if let Some(udf) = crate::engine::system::list_form(name) {
        let expr = udf.call(coerced.into_iter().map(|one| one.expr).collect());
        return Ok(Typed::new(expr, array_of(result).unwrap_or(result)));
    }
    if let Some(index) = column {
        let Some((_, of)) = found.proc.columns.get(index) else { return Err(PgError::internal("no such column")) };
        let code = format!("{}/{index}", found.proc.code);
        let list = array_of(*of).unwrap_or(oid::TEXT_ARRAY);
        return kernels::call(&code, coerced, list).map_err(|error| placed(error, at));
    }
    if !kernels::implemented(found.proc.code) {
        return Err(placed(PgError::unsupported(format!("function {name} is not supported")), at));
    }
    let list = array_of(result).unwrap_or(result);
    kernels::call(found.proc.code, coerced, list).map_err(|error| placed(error, at))
}

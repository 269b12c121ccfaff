//! Pass B: forms become typed expressions.
//!
//! DataFusion hands every form to [`PgPlanner`] with its operands already planned and the schema at hand, bottom up, so
//! here all types are known. The order of cases follows `dialect::forms::Kind`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result as EngineResult};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::registry::MemoryFunctionRegistry;
use datafusion::logical_expr::expr::{Case, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::{PgError, nearest};
use tributary_pg::sqlstate;

use super::parameters::Parameters;
use super::resolve::{Resolution, concrete, function as resolve_function};
use super::signatures::{Context, Oid, array_of, display_name, element_of, oid, signatures};
use super::typed::{Scope, Typed, placed, unknown_literal};
use super::types::PgType;
use super::{arrays, casts, kernels, operators, special};
use crate::dialect::forms::{Form, Kind};
use crate::engine::session_vars::SessionVars;

const FUNCTION_HINT: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";

/// Plans forms for one statement.
#[derive(Debug)]
pub(in crate::engine) struct PgPlanner {
    /// Parameters of the statement.
    pub parameters: Arc<Parameters>,
    /// The session.
    pub session: SessionVars,
}

impl ExprPlanner for PgPlanner {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> EngineResult<PlannerResult<RawBinaryExpr>> {
        let Some(form) = Form::read(&raw.op) else { return Ok(PlannerResult::Original(raw)) };
        let scope = Scope { schema, parameters: &self.parameters, session: &self.session };
        plan(&scope, &form, raw.left, raw.right)
            .map(PlannerResult::Planned)
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

fn plan(scope: &Scope<'_>, form: &Form, left: Expr, right: Expr) -> Result<Expr, PgError> {
    let at = form.position;
    let typed = match form.kind {
        Kind::String => return Ok(unknown_literal(text_of(left)?, at)),
        Kind::Number => casts::number_literal(&text_of(left)?).map_err(|error| placed(error, at))?,
        Kind::Bits => return Err(placed(PgError::unsupported("type \"bit\" is not supported"), at)),
        Kind::Prefix => operators::prefix(scope, &form.name, scope.typed(left)?, at)?,
        Kind::Infix => operators::infix(scope, &form.name, scope.typed(left)?, scope.typed(right)?, at)?,
        Kind::Cast => {
            let target = target_type(right)?;
            let mut value = scope.typed(left)?;
            if value.at == 0 {
                value.at = at;
            }
            scope.coerce(value, target, Context::Explicit)?
        }
        Kind::Call => call(scope, &form.name, operands(scope, left)?, at)?,
        Kind::Argument => return argument(scope, &form.name, operands(scope, left)?, at),
        Kind::Set => arrays::set_function(scope, &form.name, operands(scope, left)?, at)?,
        Kind::Case => case(scope, operands(scope, left)?)?,
        Kind::InList => in_list(scope, scope.typed(left)?, operands(scope, right)?, form.name == "not", at)?,
        Kind::InQuery => in_query(scope, scope.typed(left)?, right, form.name == "not", at)?,
        Kind::Any => arrays::quantified(scope, &form.name, scope.typed(left)?, scope.typed(right)?, false, at)?,
        Kind::All => arrays::quantified(scope, &form.name, scope.typed(left)?, scope.typed(right)?, true, at)?,
        Kind::Distinct => operators::distinct(scope, scope.typed(left)?, scope.typed(right)?, form.name == "not", at)?,
        Kind::Array => {
            let target = if form.name == "cast" { Some(target_type(right)?) } else { None };
            array(scope, operands(scope, left)?, target, at)?
        }
        Kind::ArrayQuery => arrays::of_query(scope.typed(left)?)?,
        Kind::Row => special::row(scope, operands(scope, left)?)?,
        Kind::Subscript => arrays::subscript(scope, &form.name, scope.typed(left)?, operands(scope, right)?, at)?,
        Kind::Field => special::struct_field(scope, &form.name, scope.typed(left)?, at)?,
        Kind::Condition => condition(scope, &form.name, scope.typed(left)?, at)?,
        Kind::Output => output(scope, scope.typed(left)?)?,
        Kind::Limit => limit(scope, &form.name, scope.typed(left)?, at)?,
        Kind::Merged => special::merged_column(scope, &form.name)?,
        Kind::WholeRow => special::whole_row(scope, &form.name, at)?,
        Kind::RowTest => special::row_test(scope, scope.typed(left)?, form.name == "not null")?,
        Kind::Unnested => arrays::unnested(scope, left)?,
        Kind::Aggregated => super::aggregates::finished(scope, &form.name, left)?,
    };
    scope.finish(typed)
}

fn text_of(expr: Expr) -> Result<String, PgError> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Ok(text),
        _ => Err(PgError::internal("a literal's form holds no text")),
    }
}

fn target_type(expr: Expr) -> Result<PgType, PgError> {
    match expr {
        Expr::Cast(cast) => Ok(super::types::of_field(&cast.field)),
        _ => Err(PgError::internal("a cast's form names no type")),
    }
}

fn operands(scope: &Scope<'_>, packed: Expr) -> Result<Vec<Typed>, PgError> {
    match packed {
        Expr::ScalarFunction(ScalarFunction { args, .. }) => args.into_iter().map(|one| scope.typed(one)).collect(),
        _ => Err(PgError::internal("a form's operands are not packed")),
    }
}

/// A function call.
pub(super) fn call(scope: &Scope<'_>, name: &str, arguments: Vec<Typed>, at: usize) -> Result<Typed, PgError> {
    if let Some(done) = special::call(scope, name, &arguments, at) {
        return done;
    }
    let inputs: Vec<Oid> = arguments.iter().map(|one| one.of.oid).collect();
    if let [value] = arguments.as_slice()
        && value.unknown()
        && let Some(cast) = function_style_cast(scope, name, &arguments)?
    {
        return Ok(cast);
    }
    let found = match resolve_function(name, &inputs) {
        Resolution::Found(found) => found,
        missing => {
            if let Some(cast) = function_style_cast(scope, name, &arguments)? {
                return Ok(cast);
            }
            return Err(unresolved(name, &inputs, matches!(missing, Resolution::Ambiguous), at));
        }
    };
    let Some((targets, result)) = concrete(&inputs, &found.arguments, found.proc.result) else {
        let message = "could not determine polymorphic type because input has type unknown";
        return Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at));
    };
    let mut coerced = Vec::with_capacity(arguments.len());
    // concat() and format() print whatever they are given.
    let prints = found.proc.code.starts_with("text_concat") || found.proc.code.starts_with("text_format");
    for (value, target) in arguments.into_iter().zip(&targets) {
        let target = if *target == oid::UNKNOWN { oid::TEXT } else { *target };
        let value = scope.coerce(value, PgType::plain(target), Context::Implicit)?;
        coerced.push(if prints && target != oid::TEXT {
            kernels::call("output_text", vec![value], oid::TEXT)?
        } else {
            value
        });
    }
    // The functions behind casts are called by their type's name.
    if let [value] = coerced.as_slice()
        && signatures().type_named(name) == Some(result)
        && !kernels::implemented(found.proc.code)
    {
        return scope.coerce(value.clone(), PgType::plain(result), Context::Explicit);
    }
    kernels::proc_call(found.proc, coerced, result).map_err(|error| placed(error, at))
}

/// 42883 or 42725 for a call.
pub(super) fn unresolved(name: &str, inputs: &[Oid], ambiguous: bool, at: usize) -> PgError {
    let list = inputs.iter().map(|one| display_name(*one)).collect::<Vec<_>>().join(", ");
    if ambiguous {
        let message = format!("function {name}({list}) is not unique");
        let hint = "Could not choose a best candidate function. You might need to add explicit type casts.";
        return placed(PgError::new(sqlstate::AMBIGUOUS_FUNCTION, message).hint(hint), at);
    }
    let message = format!("function {name}({list}) does not exist");
    let hint = near_function(name).unwrap_or_else(|| FUNCTION_HINT.to_owned());
    placed(PgError::new(sqlstate::UNDEFINED_FUNCTION, message).hint(hint), at)
}

/// What to try instead of a function that nobody knows by that name. A known name with other types is no case of this.
pub(in crate::engine) fn near_function(name: &str) -> Option<String> {
    if !signatures().procs(name).is_empty() {
        return None;
    }
    // Sorted, so that of two equally near names it is always the same one.
    let names: std::collections::BTreeSet<&str> =
        signatures().proc_names().chain(own_names().iter().map(String::as_str)).collect();
    nearest(name, names).map(|near| format!("Perhaps you meant the function \"{near}\"."))
}

/// Names of the functions that are ours alone.
fn own_names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut registry = MemoryFunctionRegistry::new();
        // The engine's start has registered them before; a name taken twice would have ended it.
        if tributary_udfs::register_all(&mut registry).is_err() {
            return Vec::new();
        }
        let reports = crate::engine::table_functions::names().into_iter().map(str::to_owned);
        registry.udfs().into_iter().chain(registry.udafs()).chain(registry.udwfs()).chain(reports).collect()
    });
    &NAMES
}

/// `date('2024-01-01')`: a type's name called like a function.
fn function_style_cast(scope: &Scope<'_>, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, PgError> {
    let [value] = arguments else { return Ok(None) };
    let Some(target) = signatures().type_named(name) else { return Ok(None) };
    let from = value.of.oid;
    let allowed = value.unknown()
        || matches!(super::coerce::pathway(from, target, Context::Explicit), Some(super::coerce::Pathway::Relabel))
        || super::signatures::category(target) == b'S';
    if !allowed {
        return Ok(None);
    }
    scope.coerce(value.clone(), PgType::plain(target), Context::Explicit).map(Some)
}

/// One argument of an aggregate or window function, coerced to what the chosen function declares.
fn argument(scope: &Scope<'_>, name: &str, arguments: Vec<Typed>, at: usize) -> Result<Expr, PgError> {
    let (function, index) = name.rsplit_once('/').unwrap_or((name, "0"));
    let index: usize = index.parse().unwrap_or(0);
    let inputs: Vec<Oid> = arguments.iter().map(|one| one.of.oid).collect();
    let found = match resolve_function(function, &inputs) {
        Resolution::Found(found) => found,
        missing => return Err(unresolved(function, &inputs, matches!(missing, Resolution::Ambiguous), at)),
    };
    let Some((targets, _)) = concrete(&inputs, &found.arguments, oid::TEXT) else {
        let message = "could not determine polymorphic type because input has type unknown";
        return Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at));
    };
    let Some(value) = arguments.into_iter().nth(index) else { return Err(PgError::internal("argument out of range")) };
    let target = match targets[index] {
        oid::UNKNOWN => oid::TEXT,
        other => other,
    };
    let value = scope.coerce(value, PgType::plain(target), Context::Implicit)?;
    scope.finish(kernels::aggregate_argument(function, index, value)?)
}

fn case(scope: &Scope<'_>, operands: Vec<Typed>) -> Result<Typed, PgError> {
    let mut conditions = Vec::new();
    let mut results = Vec::new();
    let mut list = operands.into_iter();
    while let Some(one) = list.next() {
        match list.next() {
            Some(result) => {
                conditions.push(one.expr);
                results.push(result);
            }
            None => results.push(one),
        }
    }
    // PostgreSQL looks at the ELSE branch first.
    results.rotate_right(1);
    let (mut results, of) = scope.unify(results, "CASE")?;
    results.rotate_left(1);
    let otherwise = results.pop().map(|one| Box::new(one.expr));
    let branches =
        conditions.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then.expr))).collect();
    Ok(Typed { expr: Expr::Case(Case::new(None, branches, otherwise)), of, at: 0, decimals: None })
}

fn in_list(scope: &Scope<'_>, value: Typed, list: Vec<Typed>, negated: bool, at: usize) -> Result<Typed, PgError> {
    let inputs: Vec<Oid> = std::iter::once(&value).chain(&list).map(|one| one.of.oid).collect();
    // As in PostgreSQL: one common type makes it one array comparison, else each element is compared by itself.
    if super::coerce::common_type(&inputs).is_some() && value.of.oid != oid::INTERVAL && value.of.oid != oid::JSONB {
        let all = std::iter::once(value.clone()).chain(list.iter().cloned()).collect();
        let (mut all, of) = scope.unify(all, "IN")?;
        let plain = of.oid != oid::INTERVAL && of.oid != oid::JSONB;
        let equal = super::resolve::binary_operator("=", of.oid, of.oid);
        if plain && matches!(equal, Resolution::Found(_)) {
            let list = all.split_off(1).into_iter().map(|one| one.expr).collect();
            let value = all.remove(0).expr;
            return Ok(Typed::new(Expr::InList(InList::new(Box::new(value), list, negated)), oid::BOOL));
        }
    }
    let mut any: Option<Expr> = None;
    for one in list {
        let same = operators::infix(scope, if negated { "<>" } else { "=" }, value.clone(), one, at)?.expr;
        let operator = if negated { Operator::And } else { Operator::Or };
        any = Some(match any {
            None => same,
            Some(left) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(same))),
        });
    }
    any.map(|expr| Typed::new(expr, oid::BOOL)).ok_or_else(|| PgError::internal("IN needs a list"))
}

fn in_query(scope: &Scope<'_>, value: Typed, query: Expr, negated: bool, at: usize) -> Result<Typed, PgError> {
    let Expr::ScalarSubquery(subquery) = query else { return Err(PgError::internal("IN needs a subquery")) };
    let inner_schema = Arc::clone(subquery.subquery.schema());
    let inner = Scope { schema: &inner_schema, parameters: scope.parameters, session: scope.session };
    let column = Expr::Column(inner_schema.columns().remove(0));
    let compared = operators::infix(scope, "=", value, Typed { at, ..inner.typed(column.clone())? }, at)?;
    let (left, right) = match compared.expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => (left, right),
        _ => return Err(placed(PgError::unsupported("IN (subquery) for these types is not supported"), at)),
    };
    let subquery = if *right == column { subquery } else { project(subquery, *right)? };
    Ok(Typed::new(Expr::InSubquery(InSubquery::new(left, subquery, negated)), oid::BOOL))
}

fn project(
    subquery: datafusion::logical_expr::Subquery,
    expr: Expr,
) -> Result<datafusion::logical_expr::Subquery, PgError> {
    let plan = datafusion::logical_expr::LogicalPlanBuilder::from((*subquery.subquery).clone())
        .project([expr.alias("value")])
        .and_then(|builder| builder.build())
        .map_err(super::map_error)?;
    Ok(datafusion::logical_expr::Subquery { subquery: Arc::new(plan), ..subquery })
}

/// ARRAY[..], perhaps under a cast that reaches the elements.
fn array(scope: &Scope<'_>, elements: Vec<Typed>, target: Option<PgType>, at: usize) -> Result<Typed, PgError> {
    if let Some(target) = target {
        let Some(element) = element_of(target.oid) else {
            let plain = array(scope, elements, None, at)?;
            return scope.coerce(plain, target, Context::Explicit);
        };
        let nested = elements.iter().any(|one| element_of(one.of.oid).is_some());
        let wanted = PgType { oid: if nested { target.oid } else { element }, typmod: target.typmod };
        let mut coerced = Vec::with_capacity(elements.len());
        for one in elements {
            coerced.push(scope.coerce(one, wanted, Context::Explicit)?);
        }
        return arrays::make(scope, coerced, element, nested);
    }
    if elements.is_empty() {
        let message = "cannot determine type of empty array";
        let hint = "Explicitly cast to the desired type, for example ARRAY[]::integer[].";
        return Err(placed(PgError::new(sqlstate::INDETERMINATE_DATATYPE, message).hint(hint), at));
    }
    let (elements, of) = scope.unify(elements, "ARRAY")?;
    let nested = element_of(of.oid);
    let element = nested.unwrap_or(of.oid);
    if array_of(element).is_none() {
        let message = format!("could not find array type for data type {}", display_name(element));
        return Err(placed(PgError::new(sqlstate::UNDEFINED_OBJECT, message), at));
    }
    arrays::make(scope, elements, element, nested.is_some())
}

fn condition(scope: &Scope<'_>, clause: &str, value: Typed, at: usize) -> Result<Typed, PgError> {
    if value.unknown() || value.of.oid == oid::BOOL {
        return scope.coerce(value, PgType::plain(oid::BOOL), Context::Implicit);
    }
    let message = format!("argument of {clause} must be type boolean, not type {}", display_name(value.of.oid));
    Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at))
}

/// A value that leaves the query: unknown literals and undecided parameters become text.
pub(super) fn output(scope: &Scope<'_>, value: Typed) -> Result<Typed, PgError> {
    match &value.expr {
        // The second run makes it text if nothing else decides.
        Expr::Placeholder(placeholder) if value.unknown() => {
            let _mentioned = scope.parameters.mention(&placeholder.id)?;
            Ok(value)
        }
        _ if value.unknown() => scope.coerce(value, PgType::plain(oid::TEXT), Context::Implicit),
        _ => Ok(value),
    }
}

fn limit(scope: &Scope<'_>, clause: &str, value: Typed, at: usize) -> Result<Typed, PgError> {
    let from = value.of.oid;
    let message = || format!("argument of {clause} must be type bigint, not type {}", display_name(from));
    if !value.unknown() && super::coerce::pathway(from, oid::INT8, Context::Assignment).is_none() {
        return Err(placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message()), at));
    }
    let written = match &value.expr {
        Expr::Literal(ScalarValue::Int32(Some(count)), _) => Some(i64::from(*count)),
        Expr::Literal(ScalarValue::Int64(Some(count)), _) => Some(*count),
        _ => None,
    };
    let number = scope.coerce(value, PgType::plain(oid::INT8), Context::Assignment)?;
    if let Some(count) = written
        && count < 0
    {
        let code = if clause == "LIMIT" {
            sqlstate::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE
        } else {
            sqlstate::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE
        };
        return Err(PgError::new(code, format!("{clause} must not be negative")));
    }
    Ok(number)
}

/// The private function that carries operands to a form; it never survives planning.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Pack {
    signature: datafusion::logical_expr::Signature,
}

impl Pack {
    /// The function.
    pub(in crate::engine) fn new() -> Self {
        use datafusion::logical_expr::{Signature, TypeSignature};
        let signature =
            Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Immutable);
        Self { signature }
    }
}

impl datafusion::logical_expr::ScalarUDFImpl for Pack {
    fn name(&self) -> &str {
        crate::dialect::forms::PACK
    }

    fn signature(&self) -> &datafusion::logical_expr::Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(
        &self,
        _arguments: datafusion::logical_expr::ScalarFunctionArgs,
    ) -> EngineResult<datafusion::logical_expr::ColumnarValue> {
        datafusion::common::internal_err!("the operands of a form were left in a plan")
    }
}

//! The arguments of a report: the relation and the options by name, read and checked one by one.
//!
//! An option that is NULL is as good as left out. Constants are folded with the planner's own simplifier and must not read columns.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, SchemaError};
use datafusion::functions::core::get_field;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_udfs::behaviour::time::{TimeType, window_type};
use tributary_udfs::type_name::sql_type_name;

use super::TableFunction;
use crate::dialect::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, TableFactor, TableFunctionArgs, Value,
};
use crate::dialect::table_functions::WRITTEN;

/// An error of ours inside the planner's.
pub(super) fn external(error: PgError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// 22023.
pub(super) fn invalid(message: impl Into<String>) -> DataFusionError {
    external(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message))
}

/// WITH ORDINALITY is for functions that return sets in an order of their own.
pub(super) fn not_with_ordinality(function: &str) -> DataFusionError {
    external(PgError::unsupported(format!("{function} does not support WITH ORDINALITY")))
}

/// A report being planned.
pub(super) struct Call<'a> {
    function: &'static TableFunction,
    context: &'a mut dyn RelationPlannerContext,
    /// The first argument.
    pub(super) relation: LogicalPlan,
    options: Vec<GivenOption>,
}

/// An option as the planner takes it and as the user wrote it.
struct GivenOption {
    name: String,
    value: ast::Expr,
    written: ast::Expr,
}

/// The text of an expression: as the planner takes it and as written.
pub(super) struct Text {
    value: ast::Expr,
    written: ast::Expr,
}

/// An expression of an option, bound, with its text.
pub(super) struct Bound {
    /// Over the relation's columns.
    pub(super) expr: Expr,
    /// As written.
    pub(super) text: ast::Expr,
}

impl<'a> Call<'a> {
    /// Takes the arguments apart and plans the relation.
    pub(super) fn new(
        function: &'static TableFunction,
        arguments: Vec<FunctionArg>,
        context: &'a mut dyn RelationPlannerContext,
    ) -> Result<Self> {
        let mut relation = None;
        let mut options: Vec<GivenOption> = Vec::new();
        let mut repeated = None;
        for argument in arguments {
            let (name, value) = match argument {
                FunctionArg::Unnamed(value) => (None, value),
                FunctionArg::Named { name, arg, .. } => (Some(name), arg),
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => (Some(name), arg),
                FunctionArg::ExprNamed { name, .. } => {
                    let message = format!("\"{name}\" is not the name of an option of {}", function.name);
                    return Err(external(PgError::new(sqlstate::SYNTAX_ERROR, message)));
                }
            };
            let FunctionArgExpr::Expr(value) = value else {
                return Err(external(PgError::new(sqlstate::SYNTAX_ERROR, format!("{} takes no *", function.name))));
            };
            match name {
                None if relation.is_none() && options.is_empty() => relation = Some(value),
                None => return Err(no_such_call(function, None, &options)),
                Some(name) => {
                    let name = context.normalize_ident(name);
                    if let Some(name) = name.strip_suffix(WRITTEN) {
                        let name = option_name(name);
                        options.iter_mut().filter(|option| option.name == name).for_each(|o| o.written = value.clone());
                        continue;
                    }
                    let name = option_name(&name);
                    let known = options.iter().any(|option| option.name == name);
                    repeated = repeated.or_else(|| known.then(|| name.to_owned()));
                    options.push(GivenOption { name: name.to_owned(), written: value.clone(), value });
                }
            }
        }
        if let Some(name) = repeated {
            let message = format!("argument name \"{name}\" used more than once");
            return Err(external(PgError::new(sqlstate::SYNTAX_ERROR, message)));
        }
        let known = |name: &str| function.options.contains(&name);
        let missing = function.options[..function.required]
            .iter()
            .find(|name| !options.iter().any(|given| given.name == **name && !is_null(&given.written)));
        let Some(relation) = relation else {
            return Err(no_such_call(function, Some("The relation is missing.".into()), &options));
        };
        if let Some(unknown) = options.iter().find(|option| !known(&option.name)) {
            return Err(no_such_call(function, Some(format!("It has no option {}.", unknown.name)), &options));
        }
        if let Some(missing) = missing {
            return Err(no_such_call(function, Some(format!("Option {missing} is missing.")), &options));
        }
        let relation = plan_relation(context, relation, function.name)?;
        Ok(Self { function, context, relation, options })
    }

    /// The text of an option; `None` if it is left out or NULL.
    fn take(&mut self, name: &str) -> Option<GivenOption> {
        debug_assert!(self.function.options.contains(&name), "{name} is not listed");
        let at = self.options.iter().position(|known| known.name == name)?;
        Some(self.options.swap_remove(at)).filter(|option| !is_null(&option.written))
    }

    /// An expression over the relation.
    pub(super) fn expr(&mut self, name: &str) -> Result<Option<Bound>> {
        match self.take(name) {
            None => Ok(None),
            Some(option) => self.bind(Text { value: option.value, written: option.written }).map(Some),
        }
    }

    /// An expression that must be given.
    pub(super) fn required(&mut self, name: &str) -> Result<Bound> {
        match self.expr(name)? {
            Some(bound) => Ok(bound),
            None => Err(self.missing(name)),
        }
    }

    fn bind(&mut self, text: Text) -> Result<Bound> {
        let expr = self.context.sql_to_expr(text.value, self.relation.schema())?;
        Ok(Bound { expr, text: text.written })
    }

    /// A relation given as an option.
    pub(super) fn relation_option(&mut self, name: &str) -> Result<LogicalPlan> {
        let relation = self.take(name).ok_or_else(|| self.missing(name))?;
        plan_relation(self.context, relation.value, self.function.name)
    }

    /// The texts of a list of expressions; a single one counts as a list of one.
    pub(super) fn list_texts(&mut self, name: &str) -> Vec<Text> {
        match self.take(name) {
            None => Vec::new(),
            Some(GivenOption { value: ast::Expr::Array(values), written: ast::Expr::Array(written), .. }) => {
                let pairs = values.elem.into_iter().zip(written.elem);
                pairs.map(|(value, written)| Text { value, written }).collect()
            }
            Some(one) => vec![Text { value: one.value, written: one.written }],
        }
    }

    /// The text of an option, to be bound with [`Call::bind_on`].
    pub(super) fn text_of(&mut self, name: &str) -> Option<Text> {
        self.take(name).map(|option| Text { value: option.value, written: option.written })
    }

    /// An expression over another relation than the first; `relation` names it in the message about an unknown column.
    pub(super) fn bind_on(&mut self, text: &Text, plan: &LogicalPlan, relation: &str) -> Result<Bound> {
        match self.context.sql_to_expr(text.value.clone(), plan.schema()) {
            Ok(expr) => Ok(Bound { expr, text: text.written.clone() }),
            Err(error) => match error.find_root() {
                DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
                    SchemaError::FieldNotFound { field, .. } => {
                        let message = format!("column \"{}\" does not exist in the {relation} relation", field.name);
                        let error = PgError::new(sqlstate::UNDEFINED_COLUMN, message);
                        Err(external(error.hint("Alias it in a subquery.")))
                    }
                    _ => Err(error),
                },
                _ => Err(error),
            },
        }
    }

    /// An aggregate that is registered under this name.
    pub(super) fn aggregate(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        self.context.context_provider().get_aggregate_meta(name).ok_or_else(|| {
            external(PgError::new(sqlstate::UNDEFINED_FUNCTION, format!("function {name} does not exist")))
        })
    }

    /// The kind of time an expression of the relation is.
    pub(super) fn time_of(&self, ts: &Bound) -> Result<(TimeType, DataType)> {
        let ts_type = self.type_of(ts)?;
        match TimeType::of(&ts_type) {
            Some(time) => Ok((time, ts_type)),
            None => Err(mismatch("ts", "a timestamp, a date or an integer", &ts_type)),
        }
    }

    /// A constant length of time, in ticks of `time`; `shown` is its name in messages.
    pub(super) fn length(&mut self, name: &str, time: TimeType, shown: &str) -> Result<Option<i64>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let value = match window_type(&value.data_type()) {
            Some(wanted) if wanted != value.data_type() => value.cast_to(&wanted)?,
            _ => value,
        };
        Ok(Some(time.window(Some(&value), shown)?))
    }

    fn missing(&self, name: &str) -> DataFusionError {
        no_such_call(self.function, Some(format!("Option {name} is missing.")), &[])
    }

    /// A list of expressions; a single one counts as a list of one.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Bound>> {
        self.list_texts(name).into_iter().map(|item| self.bind(item)).collect()
    }

    /// The type of an expression over the relation.
    pub(super) fn type_of(&self, bound: &Bound) -> Result<DataType> {
        bound.expr.get_type(self.relation.schema())
    }

    /// An expression that reads no column, not folded.
    pub(super) fn outer(&mut self, name: &str) -> Result<Option<Expr>> {
        self.take(name).map(|option| self.context.sql_to_expr(option.value, &DFSchema::empty())).transpose()
    }

    /// A constant.
    pub(super) fn constant(&mut self, name: &str) -> Result<Option<ScalarValue>> {
        match self.take(name) {
            None => Ok(None),
            Some(option) => Ok(Some(self.folded(option.value, name)?).filter(|value| !value.is_null())),
        }
    }

    fn folded(&mut self, value: ast::Expr, name: &str) -> Result<ScalarValue> {
        let schema = DFSchema::empty();
        let expr = self.context.sql_to_expr(value, &schema)?;
        let options = Arc::new(self.context.context_provider().options().clone());
        let context = SimplifyContext::builder().with_schema(Arc::new(DFSchema::empty())).with_config_options(options);
        let simplifier = ExprSimplifier::new(context.build());
        match simplifier.simplify(simplifier.coerce(expr, &schema)?)? {
            Expr::Literal(value, _) => Ok(value),
            _ => Err(invalid(format!("{name} must be a constant"))),
        }
    }

    /// A constant list, element by element.
    pub(super) fn constants(&mut self, name: &str) -> Result<Option<Vec<ScalarValue>>> {
        let Some(option) = self.take(name) else { return Ok(None) };
        let elements = match option.value {
            ast::Expr::Array(list) => list.elem,
            one => match self.folded(one, name)? {
                ScalarValue::List(list) if list.len() == 1 => {
                    let items = list.value(0);
                    let items = (0..items.len()).map(|at| ScalarValue::try_from_array(&items, at));
                    return items.collect::<Result<Vec<_>>>().map(Some);
                }
                other => return Err(mismatch(name, "a list", &other.data_type())),
            },
        };
        elements.into_iter().map(|element| self.folded(element, name)).collect::<Result<Vec<_>>>().map(Some)
    }

    /// A constant text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(Some(text))) if value.data_type().is_string() => Ok(Some(text)),
            _ => Err(mismatch(name, "text", &value.data_type())),
        }
    }

    /// A constant text that is one of `values`.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, values: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match values.iter().find(|(known, _)| *known == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
                let error =
                    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("unknown value \"{text}\" for {name}"));
                Err(external(error.detail(format!("Values are {}.", names.join(", ")))))
            }
        }
    }

    /// A constant list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(values) = self.constants(name)? else { return Ok(None) };
        let text = |value: ScalarValue| match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(Some(text))) if value.data_type().is_string() => Ok(text),
            _ => Err(mismatch(name, "a list of texts", &value.data_type())),
        };
        values.into_iter().map(text).collect::<Result<Vec<_>>>().map(Some)
    }
}

/// 42804.
pub(super) fn mismatch(name: &str, wanted: &str, found: &DataType) -> DataFusionError {
    let message = format!("{name} must be {wanted}, not {}", sql_type_name(found));
    external(PgError::new(sqlstate::DATATYPE_MISMATCH, message))
}

/// `window` is a word of the grammar; quoted it is the older name of `within`.
fn option_name(name: &str) -> &str {
    if name == "window" { "within" } else { name }
}

fn is_null(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Value(value) if matches!(value.value, Value::Null))
}

/// 42883 in the words of a function call that fits none.
fn no_such_call(function: &TableFunction, detail: Option<String>, options: &[GivenOption]) -> DataFusionError {
    let given: String = options.iter().map(|option| format!(", {} => ...", option.name)).collect();
    let message = format!("function {}(relation{given}) does not exist", function.name);
    let mut error = PgError::new(sqlstate::UNDEFINED_FUNCTION, message);
    if let Some(detail) = detail {
        error = error.detail(detail);
    }
    let (required, optional) = function.options.split_at(function.required);
    external(error.hint(format!(
        "Options of {} are {} (required), {}.",
        function.name,
        required.join(", "),
        optional.join(", ")
    )))
}

/// A relation given as an argument.
pub(super) fn plan_relation(
    context: &mut dyn RelationPlannerContext,
    relation: ast::Expr,
    function: &str,
) -> Result<LogicalPlan> {
    let named = |parts: Vec<Ident>, args: Option<TableFunctionArgs>| TableFactor::Table {
        name: ObjectName::from(parts),
        alias: None,
        args,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    let factor = match relation {
        ast::Expr::Identifier(name) => named(vec![name], None),
        ast::Expr::CompoundIdentifier(parts) => named(parts, None),
        ast::Expr::Subquery(subquery) => TableFactor::Derived { lateral: false, subquery, alias: None, sample: None },
        ast::Expr::Nested(inner) => return plan_relation(context, *inner, function),
        ast::Expr::Function(call) => match call.args {
            FunctionArguments::List(list) => {
                let mut factor = named(Vec::new(), Some(TableFunctionArgs { args: list.args, settings: None }));
                if let TableFactor::Table { name, .. } = &mut factor {
                    *name = call.name;
                }
                factor
            }
            _ => return Err(not_a_relation(function)),
        },
        _ => return Err(not_a_relation(function)),
    };
    context.plan(factor)
}

fn not_a_relation(function: &str) -> DataFusionError {
    let error = PgError::new(sqlstate::SYNTAX_ERROR, format!("the first argument of {function} must be a relation"));
    external(error.hint("Write a table name, a subquery in parentheses or a table function."))
}

/// A field of a record.
pub(super) fn field(record: Expr, name: &str) -> Expr {
    get_field().call(vec![record, lit(name)])
}

/// The name of an expression's result column: of a plain column its own unless the report has a column of that name, else `fallback`.
pub(super) fn column_name(bound: &Bound, fallback: &str, taken: &[&str]) -> String {
    let own = match &bound.expr {
        Expr::Column(column) => Some(column.name.clone()),
        _ => None,
    };
    own.filter(|name| !taken.contains(&name.as_str())).unwrap_or_else(|| fallback.to_owned())
}

//! The AST pass over calls: which function a name means, and the calls that SQL spells with key words.
//!
//! Aggregates and window functions keep their node, because DataFusion plans FILTER, OVER and ORDER BY in it; all other
//! calls become forms. A set-returning function becomes `unnest` over the list of its values.

use super::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, ObjectName,
    TrimWhereField, Value, WindowType,
};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::expressions::text;
use super::forms::{Kind, call, form, null, packed, unnest};
use super::names::folded;
use super::semantics::{FunctionKind, Rewriter, Windowing, unsupported};

/// Functions without parentheses, and what they are called in the function table.
const KEYWORD_FUNCTIONS: [&str; 12] = [
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "system_user",
    "user",
];

/// Schemas whose functions are found; the qualification is dropped.
const FUNCTION_SCHEMAS: [&str; 4] = ["pg_catalog", "information_schema", "tributary", "cron"];

impl Rewriter<'_> {
    /// A function's name without its schema; 42883 for schemas that hold no functions.
    pub(super) fn function_name(&self, name: &ObjectName) -> Result<String, PgError> {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            [.., schema, one] if FUNCTION_SCHEMAS.contains(&schema.as_str()) => Ok(one.clone()),
            [.., schema, _] if !["public", "pg_temp"].contains(&schema.as_str()) => {
                let message = format!("schema \"{schema}\" does not exist");
                Err(PgError::new(sqlstate::INVALID_SCHEMA_NAME, message).at(self.at_name(name)))
            }
            _ => Err(PgError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("function {} does not exist", parts.join(".")),
            )
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
            .at(self.at_name(name))),
        }
    }

    /// Calls that SQL spells with keywords between the arguments.
    pub(super) fn keyword_call(&mut self, expr: Expr, position: usize) -> Result<Expr, PgError> {
        let (name, operands) = match expr {
            Expr::Extract { field, expr, .. } => ("extract", vec![text(&field.to_string().to_lowercase()), *expr]),
            Expr::Ceil { expr, .. } => ("ceil", vec![*expr]),
            Expr::Floor { expr, .. } => ("floor", vec![*expr]),
            Expr::Position { expr, r#in } => ("position", vec![*r#in, *expr]),
            Expr::AtTimeZone { timestamp, time_zone } => ("timezone", vec![*time_zone, *timestamp]),
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let mut operands = vec![*expr];
                if substring_from.is_none() && substring_for.is_some() {
                    operands.push(Expr::value(Value::Number("1".to_owned(), false)));
                }
                operands.extend([substring_from, substring_for].into_iter().flatten().map(|one| *one));
                (if shorthand { "substr" } else { "substring" }, operands)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut operands = vec![*expr];
                operands.extend(trim_what.map(|one| *one));
                operands.extend(trim_characters.unwrap_or_default());
                (name, operands)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut operands = vec![*expr, *overlay_what, *overlay_from];
                operands.extend(overlay_for.map(|one| *one));
                ("overlay", operands)
            }
            other => {
                let shown: String = other.to_string().chars().take(60).collect();
                return Err(unsupported(&format!("the expression \"{shown}\"")).at(position));
            }
        };
        let operands = self.list(operands)?;
        Ok(packed(Kind::Call, name, position, operands))
    }

    /// `current_user` and its like, when they come as bare identifiers.
    pub(super) fn keyword_function(&self, ident: &Ident, position: usize) -> Option<Expr> {
        let name = ident.value.to_lowercase();
        if ident.quote_style.is_some() || !KEYWORD_FUNCTIONS.contains(&name.as_str()) {
            return None;
        }
        Some(match self.functions.kind(&name) {
            FunctionKind::Own => call(&name, Vec::new()),
            _ => packed(Kind::Call, &name, position, Vec::new()),
        })
    }

    /// Calls: aggregates and window functions keep their node, all others become forms.
    pub(super) fn function(&mut self, mut function: Function, position: usize) -> Result<Expr, PgError> {
        let name = self.function_name(&function.name)?;
        if let FunctionArguments::Subquery(query) = function.args {
            return self.array_query(*query, position);
        }
        let kind = self.functions.kind(&name);
        let windowed = function.over.is_some();
        match self.functions.windowing(&name) {
            Windowing::Needed if !windowed => {
                let message = format!("window function {name} requires an OVER clause");
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message).at(position));
            }
            Windowing::Refused if windowed => {
                let message = format!("OVER specified, but {name} is not a window function nor an aggregate function");
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message).at(position));
            }
            _ => {}
        }
        let aggregate = matches!(kind, FunctionKind::Aggregate | FunctionKind::Window);
        if aggregate || kind == FunctionKind::Own || name == "grouping" {
            let postgres = matches!(kind, FunctionKind::Aggregate | FunctionKind::Window);
            let engine = if postgres { self.functions.engine_name(&name) } else { name.clone() };
            function.name = ObjectName::from(vec![Ident::with_quote('"', engine)]);
            if let (FunctionKind::Own, FunctionArguments::List(list)) = (kind, &mut function.args) {
                self.place_named_arguments(&name, &mut list.args).map_err(|error| error.at(position))?;
            }
            let kept = self.kept_function(function, &name, kind, position)?;
            return Ok(if postgres { form(Kind::Aggregated, &name, position, kept, null()) } else { kept });
        }
        let mut operands = Vec::new();
        if let FunctionArguments::List(list) = function.args {
            if list.duplicate_treatment.is_some() || function.filter.is_some() || !list.clauses.is_empty() {
                let message =
                    format!("DISTINCT, FILTER or ORDER BY specified, but {name} is not an aggregate function");
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message).at(position));
            }
            for arg in list.args {
                operands.push(match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(one)) => self.rewritten(one)?,
                    FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(relation)) => self.starred_row(&relation),
                    _ => return Err(unsupported(&format!("a named or * argument of function {name}")).at(position)),
                });
            }
        }
        if kind == FunctionKind::Set {
            if !self.sets_allowed {
                return Err(PgError::new(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "set-returning functions are not allowed here",
                )
                .at(position));
            }
            return Ok(unnest(packed(Kind::Set, &name, position, operands), position));
        }
        if name == "row" {
            return Ok(packed(Kind::Row, "", position, operands));
        }
        Ok(packed(Kind::Call, &name, position, operands))
    }

    fn kept_function(
        &mut self,
        mut function: Function,
        name: &str,
        kind: FunctionKind,
        position: usize,
    ) -> Result<Expr, PgError> {
        let sets = std::mem::replace(&mut self.sets_allowed, false);
        let ordered_set = !function.within_group.is_empty();
        if let FunctionArguments::List(list) = &mut function.args {
            if function.over.is_some() && list.duplicate_treatment.is_some() {
                let message = "DISTINCT is not implemented for window functions";
                return Err(PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, message).at(position));
            }
            let mut positional = Vec::new();
            for arg in &mut list.args {
                let inner = match arg {
                    FunctionArg::Unnamed(inner) => inner,
                    FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } => arg,
                };
                if let FunctionArgExpr::QualifiedWildcard(relation) = inner
                    && kind != FunctionKind::Own
                {
                    *inner = FunctionArgExpr::Expr(self.starred_row(relation));
                    if let FunctionArgExpr::Expr(one) = inner {
                        positional.push(one.clone());
                    }
                } else if let FunctionArgExpr::Expr(one) = inner {
                    self.expr(one)?;
                    positional.push(one.clone());
                }
            }
            let typed = matches!(kind, FunctionKind::Aggregate | FunctionKind::Window) && !ordered_set;
            if matches!(name, "json_object_agg" | "jsonb_object_agg") && positional.len() == 2 {
                // The engine gathers pairs; they become one object at the end.
                let pair = packed(Kind::Row, "", position, positional);
                list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(pair))];
            } else if typed && positional.len() == list.args.len() {
                for (index, arg) in list.args.iter_mut().enumerate() {
                    let one = packed(Kind::Argument, &format!("{name}/{index}"), position, positional.clone());
                    *arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(one));
                }
            }
            for clause in &mut list.clauses {
                if let FunctionArgumentClause::OrderBy(keys) = clause {
                    self.sort_keys(keys)?;
                }
            }
        }
        self.sort_keys(&mut function.within_group)?;
        if let Some(filter) = &mut function.filter {
            self.condition(filter, "FILTER")?;
        }
        if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
            self.window(spec)?;
        }
        self.sets_allowed = sets;
        Ok(Expr::Function(function))
    }
}

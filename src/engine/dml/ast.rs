//! Pieces of syntax tree that writes are made of.
//!
//! Trees are built from parsed skeletons, because sqlparser's structs gain fields with every release. Pieces of the user's
//! statement keep their positions, so errors point into the text the client sent.

use std::ops::ControlFlow;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::assign::{self, ASSIGN};
use crate::dialect::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint, JoinOperator,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Spanned, Statement as Sql, TableAlias, TableFactor,
    TableWithJoins, Value, Visit, Visitor, With,
};
use crate::dialect::sqlparser::tokenizer::Location;
use crate::dialect::{Ast, parse};
use crate::engine::catalog::ColumnObject;
use crate::engine::catalog::ddl::next_of;
use crate::engine::scan::ADDR;

/// Schema name by which only the planner of a write knows its target. It cannot clash: control characters are
/// refused in names of objects.
pub(in crate::engine) const TARGET_SCHEMA: &str = "\u{1}target";

/// Schema name of the rows a write has made, for RETURNING.
pub(in crate::engine) const ROWS_SCHEMA: &str = "\u{1}rows";

/// Schema names of the pairs that ON CONFLICT DO UPDATE works on.
pub(in crate::engine) const IN_THE_WAY_SCHEMA: &str = "\u{1}in_the_way";
/// See [`IN_THE_WAY_SCHEMA`].
pub(in crate::engine) const EXCLUDED_SCHEMA: &str = "\u{1}excluded";

/// The column by which a row in the way finds its new row.
pub(super) const PAIR: &str = "\u{1}pair";

/// A quoted identifier.
pub(super) fn ident(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// An identifier's meaning: lower case unless quoted.
pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Schema and name of a relation; a database before them must be ours and is not checked here.
pub(super) fn split_name(name: &ObjectName) -> Result<(Option<String>, String), PgError> {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(folded)).collect();
    match parts.as_deref() {
        Some([table]) => Ok((None, table.clone())),
        Some([schema, table] | [_, schema, table]) => Ok((Some(schema.clone()), table.clone())),
        _ => Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("improper qualified name: {name}"))),
    }
}

/// Parses a query that is known to be sound.
fn skeleton(text: &str) -> Query {
    let statement = parse(text).ok().and_then(|statements| statements.into_iter().next());
    match statement.map(|statement| statement.ast) {
        Some(Ast::Sql(sql)) => match *sql {
            Sql::Query(query) => *query,
            _ => unreachable!("skeletons are queries"),
        },
        _ => unreachable!("skeletons parse"),
    }
}

/// `SELECT row_to_json(r) FROM (query) AS r`.
pub(super) fn as_json(query: Query) -> Query {
    const ROW: &str = "_row_of_copy";
    let mut outer = skeleton(&format!("SELECT row_to_json({ROW}) FROM (SELECT 1) AS {ROW}"));
    if let SetExpr::Select(select) = outer.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|from| &mut from.relation)
    {
        **subquery = query;
    }
    outer
}

/// `SELECT items FROM tables WHERE selection`.
pub(super) fn select(items: Vec<SelectItem>, from: Vec<TableWithJoins>, selection: Option<Expr>) -> Query {
    let mut query = skeleton("SELECT 1");
    if let SetExpr::Select(select) = query.body.as_mut() {
        let select: &mut Select = select;
        select.projection = items;
        select.from = from;
        select.selection = selection;
    }
    query
}

/// `VALUES rows`.
pub(super) fn values(rows: Vec<Vec<Expr>>) -> Query {
    let mut query = skeleton("VALUES (1)");
    if let SetExpr::Values(values) = query.body.as_mut()
        && let Some(first) = values.rows.first().cloned()
    {
        values.rows = rows
            .into_iter()
            .map(|row| {
                let mut parens = first.clone();
                parens.content = row;
                parens
            })
            .collect();
    }
    query
}

/// The write's own scan of its target, under the name the statement gives it.
pub(super) fn hidden_table(schema: &str, oid: u32, name: &str) -> TableWithJoins {
    let mut query = skeleton("SELECT 1 FROM a AS b");
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("the skeleton is a SELECT") };
    let mut table = select.from.remove(0);
    if let TableFactor::Table { name: relation, alias, .. } = &mut table.relation {
        *relation = ObjectName(vec![
            ObjectNamePart::Identifier(ident(schema)),
            ObjectNamePart::Identifier(ident(&oid.to_string())),
        ]);
        if let Some(TableAlias { name: shown, .. }) = alias {
            *shown = ident(name);
        }
    }
    table
}

/// `(query) AS name(columns)`.
pub(super) fn derived(query: Query, name: &str, columns: &[String]) -> TableWithJoins {
    let list: Vec<String> = columns.iter().map(|column| ident(column).to_string()).collect();
    let mut outer = skeleton(&format!("SELECT 1 FROM (SELECT 1) AS b({})", list.join(", ")));
    let SetExpr::Select(select) = outer.body.as_mut() else { unreachable!("the skeleton is a SELECT") };
    let mut table = select.from.remove(0);
    if let TableFactor::Derived { subquery, alias, .. } = &mut table.relation {
        **subquery = query;
        if let Some(TableAlias { name: shown, .. }) = alias {
            *shown = ident(name);
        }
    }
    table
}

/// `SELECT columns FROM table`, `*` without columns.
pub(super) fn table_query(schema: Option<&str>, name: &str, columns: Option<&[&str]>) -> Query {
    let list = match columns {
        None => "*".to_owned(),
        Some(columns) => columns.iter().map(|column| ident(column).to_string()).collect::<Vec<_>>().join(", "),
    };
    let schema = schema.map(|schema| format!("{}.", ident(schema))).unwrap_or_default();
    skeleton(&format!("SELECT {list} FROM {schema}{}", ident(name)))
}

/// `qualifier.column`.
pub(super) fn column(qualifier: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![ident(qualifier), ident(name)])
}

/// An expression under a name.
pub(super) fn named(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: ident(name) }
}

/// `NULL`.
pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// `expr` as the value of a column: assignment cast, length check.
pub(super) fn assigned(expr: Expr, column: &ColumnObject) -> Expr {
    let mut call = expression(&format!("{ASSIGN}(1, 2)")).unwrap_or_else(|_| unreachable!("the skeleton parses"));
    if let Expr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        let target = Expr::Value(Value::SingleQuotedString(assign::description(column)).into());
        list.args = [expr, target].map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).into();
    }
    call
}

/// Parses an expression kept as text: a DEFAULT, a CHECK.
pub(in crate::engine) fn expression(text: &str) -> Result<Expr, PgError> {
    let statement = parse(&format!("SELECT {text}"))?.into_iter().next();
    if let Some(Ast::Sql(sql)) = statement.map(|statement| statement.ast)
        && let Sql::Query(query) = *sql
        && let SetExpr::Select(select) = *query.body
        && let Some(SelectItem::UnnamedExpr(expr)) = select.projection.into_iter().next()
    {
        return Ok(expr);
    }
    Err(PgError::internal(format!("a stored expression does not parse: {text}")))
}

/// The value of a column that is not given: the next of its sequence, its default, else NULL.
pub(super) fn default_of(column: &ColumnObject) -> Result<Expr, PgError> {
    let value = match (&column.default, column.identity) {
        (_, Some(_)) => expression(&next_of(column.identity_sequence))?,
        (Some(text), None) => expression(text)?,
        (None, None) => null(),
    };
    Ok(assigned(value, column))
}

/// RETURNING over the rows that were written.
pub(super) fn returning_query(items: Vec<SelectItem>, name: &str) -> Query {
    select(items, vec![hidden_table(ROWS_SCHEMA, 0, name)], None)
}

/// ON CONFLICT DO UPDATE over pairs: the address, then the columns of the row that takes its place.
pub(super) fn conflict_query(name: &str, mut items: Vec<SelectItem>, selection: Option<Expr>) -> Query {
    items.insert(0, named(column(name, ADDR), ADDR));
    let paired = binary(column(name, PAIR), BinaryOperator::Eq, column("excluded", PAIR));
    let selection = match selection {
        Some(selection) => binary(paired, BinaryOperator::And, Expr::Nested(Box::new(selection))),
        None => paired,
    };
    let from = vec![hidden_table(IN_THE_WAY_SCHEMA, 0, name), hidden_table(EXCLUDED_SCHEMA, 0, "excluded")];
    select(items, from, Some(selection))
}

/// `rows` as one query; more than one are joined by UNION ALL in a balanced tree, so that depth stays small.
pub(super) fn union_of(mut rows: Vec<Vec<SelectItem>>) -> Query {
    if rows.len() <= 1 {
        return select(rows.pop().unwrap_or_default(), Vec::new(), None);
    }
    let right = rows.split_off(rows.len() / 2);
    let mut query = skeleton("SELECT 1 UNION ALL SELECT 1");
    if let SetExpr::SetOperation { left: first, right: second, .. } = query.body.as_mut() {
        *first = union_of(rows).body;
        *second = union_of(right).body;
    }
    query
}

/// Puts the CTEs before a write in front of its source's own.
pub(super) fn with_ctes(query: &mut Query, outer: Option<&With>) {
    let Some(outer) = outer else { return };
    match &mut query.with {
        None => query.with = Some(outer.clone()),
        Some(own) => {
            own.recursive |= outer.recursive;
            own.cte_tables.splice(0..0, outer.cte_tables.iter().cloned());
        }
    }
}

/// Whether a subquery is in it.
pub(super) fn holds_subquery(expr: &Expr) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Find).is_break()
}

/// Whether a column may be named in it, be it in a subquery.
pub(super) fn names_column(expr: &Expr) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let named = match expr {
                Expr::Identifier(ident) => ident.quote_style.is_some() || !ident.value.eq_ignore_ascii_case("default"),
                Expr::CompoundIdentifier(_) => true,
                _ => false,
            };
            if named { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Find).is_break()
}

/// Where the first call of an aggregate is, those in subqueries not counted.
pub(super) fn aggregate_call(expr: &impl Visit, aggregate: &dyn Fn(&str) -> bool) -> Option<Location> {
    struct Find<'a>(usize, &'a dyn Fn(&str) -> bool);
    impl Visitor for Find<'_> {
        type Break = Location;
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Location> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Location> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Location> {
            match expr {
                Expr::Function(call) if self.0 == 0 && call.over.is_none() => match call.name.0.last() {
                    Some(part) if part.as_ident().is_some_and(|name| (self.1)(&folded(name))) => {
                        ControlFlow::Break(expr.span().start)
                    }
                    _ => ControlFlow::Continue(()),
                },
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match expr.visit(&mut Find(0, aggregate)) {
        ControlFlow::Break(place) => Some(place),
        ControlFlow::Continue(()) => None,
    }
}

/// `left AND right`.
pub(super) fn and(left: Expr, right: Expr) -> Expr {
    binary(left, BinaryOperator::And, right)
}

/// A whole number.
pub(super) fn number(value: i64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// `*`.
pub(super) fn star() -> SelectItem {
    let query = skeleton("SELECT *");
    match *query.body {
        SetExpr::Select(mut select) => select.projection.remove(0),
        _ => unreachable!("the skeleton is a SELECT"),
    }
}

/// A FROM item without joins.
pub(super) fn alone(relation: TableFactor) -> TableWithJoins {
    TableWithJoins { relation, joins: Vec::new() }
}

/// `left [LEFT] JOIN right ON condition`.
pub(super) fn join(left: TableFactor, right: TableFactor, condition: Expr, outer: bool) -> TableWithJoins {
    let word = if outer { "LEFT JOIN" } else { "JOIN" };
    let mut query = skeleton(&format!("SELECT 1 FROM a {word} b ON true"));
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("the skeleton is a SELECT") };
    let mut table = select.from.remove(0);
    table.relation = left;
    for join in &mut table.joins {
        join.relation = right.clone();
        match &mut join.join_operator {
            JoinOperator::Left(JoinConstraint::On(on))
            | JoinOperator::LeftOuter(JoinConstraint::On(on))
            | JoinOperator::Join(JoinConstraint::On(on))
            | JoinOperator::Inner(JoinConstraint::On(on)) => *on = condition.clone(),
            _ => unreachable!("the skeleton joins ON"),
        }
    }
    table
}

/// `CASE WHEN condition THEN value ... ELSE otherwise END`; the last alone without conditions.
pub(super) fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Result<Expr, PgError> {
    if branches.is_empty() {
        return Ok(otherwise);
    }
    let mut made = expression("CASE WHEN true THEN 1 ELSE 2 END")?;
    if let Expr::Case { conditions, else_result, .. } = &mut made {
        let shape = conditions.remove(0);
        conditions.extend(branches.into_iter().map(|(condition, result)| {
            let mut branch = shape.clone();
            branch.condition = condition;
            branch.result = result;
            branch
        }));
        *else_result = Some(Box::new(otherwise));
    }
    Ok(made)
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Whether an expression is the word DEFAULT.
pub(super) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

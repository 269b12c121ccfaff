//! UPDATE and DELETE as queries of the addresses they change.

use std::sync::Arc;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::ast::{self, TARGET_SCHEMA, folded};
use super::insert::{table_name, unknown_column};
use super::{Queries, WriteKind, target};
use crate::dialect::sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    ObjectName, Query, SelectItem, SetExpr, Spanned, TableWithJoins, Update, UpdateTableFromKind, Visit, With,
};
use crate::engine::catalog::{ColumnObject, TableObject, rights};
use crate::engine::planner::{Planner, ReadView};
use crate::engine::scan::ADDR;

/// DELETE FROM target [USING ...] [WHERE ...].
pub(super) fn delete_queries(
    planner: &Planner<'_>,
    delete: &Delete,
    with: Option<&With>,
) -> Result<(Arc<TableObject>, Queries), PgError> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [table] = from.as_slice() else {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "DELETE takes one table; others belong into USING"));
    };
    refuse_limit(!delete.order_by.is_empty(), delete.limit.is_some())?;
    let (table, name) = resolved(planner.view, table, 'd')?;
    if delete.selection.is_some() || delete.using.is_some() || delete.returning.is_some() {
        must_read(planner, &table)?;
    }
    let mut relations = vec![ast::hidden_table(TARGET_SCHEMA, table.oid, &name)];
    relations.extend(delete.using.iter().flatten().cloned());
    let mut items = vec![ast::named(ast::column(&name, ADDR), ADDR)];
    if delete.returning.is_some() {
        items.extend(table.live_columns().map(|column| ast::named(ast::column(&name, &column.name), &column.name)));
    }
    let mut input = ast::select(items, relations, delete.selection.clone());
    input.with = with.cloned();
    let returning = delete.returning.clone();
    Ok((table, Queries { kind: WriteKind::Delete, known_as: name, input, changed: None, returning, on_conflict: None }))
}

/// UPDATE target SET ... [FROM ...] [WHERE ...].
pub(super) fn update_queries(
    planner: &Planner<'_>,
    update: &Update,
    with: Option<&With>,
) -> Result<(Arc<TableObject>, Queries), PgError> {
    refuse_limit(!update.order_by.is_empty(), update.limit.is_some())?;
    let (table, name) = resolved(planner.view, &update.table, 'w')?;
    let mut relations = vec![ast::hidden_table(TARGET_SCHEMA, table.oid, &name)];
    let from = match &update.from {
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
        None => &[],
    };
    let joined = !from.is_empty();
    relations.extend(from.iter().cloned());
    let mut values = new_values(planner, &table, &update.assignments)?;
    for (_, value) in &values {
        no_aggregate(planner, value, "UPDATE")?;
    }
    let reads = joined || update.selection.is_some() || update.returning.is_some();
    if reads || values.iter().any(|(_, value)| ast::names_column(value)) {
        must_read(planner, &table)?;
    }
    let changed = values.iter().map(|(attnum, _)| *attnum).collect();
    let mut items = vec![ast::named(ast::column(&name, ADDR), ADDR)];
    items.extend(new_row(&table, &name, &mut values)?);
    let mut input = ast::select(items, relations, update.selection.clone());
    input.with = with.cloned();
    let returning = update.returning.clone();
    let kind = WriteKind::Update { joined };
    Ok((table, Queries { kind, known_as: name, input, changed: Some(changed), returning, on_conflict: None }))
}

/// What reads columns of its target needs the right to read them.
fn must_read(planner: &Planner<'_>, table: &TableObject) -> Result<(), PgError> {
    rights::must_allow_on_table(&planner.view.catalog, &planner.view.vars.current_user, 'r', table)
}

fn resolved(view: &ReadView, table: &TableWithJoins, right: char) -> Result<(Arc<TableObject>, String), PgError> {
    if !table.joins.is_empty() {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "the target of a write cannot be a join"));
    }
    let (name, alias) = table_name(&table.relation)?;
    let object = target(view, name, right)?;
    let name = alias.unwrap_or_else(|| object.name.clone());
    Ok((object, name))
}

/// PostgreSQL has neither.
fn refuse_limit(order_by: bool, limit: bool) -> Result<(), PgError> {
    let word = match (order_by, limit) {
        (true, _) => "ORDER",
        (false, true) => "LIMIT",
        (false, false) => return Ok(()),
    };
    Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{word}\"")))
}

/// Every column of the table, set or as it was.
pub(super) fn new_row(
    table: &TableObject,
    name: &str,
    values: &mut Vec<(i16, Expr)>,
) -> Result<Vec<SelectItem>, PgError> {
    let item = |column: &ColumnObject| Ok(ast::named(set_value(column, name, values)?, &column.name));
    table.live_columns().map(item).collect()
}

/// A column's value, set or as it was.
pub(super) fn set_value(column: &ColumnObject, name: &str, values: &mut Vec<(i16, Expr)>) -> Result<Expr, PgError> {
    let place = values.iter().position(|(attnum, _)| *attnum == column.attnum);
    match place.map(|place| values.swap_remove(place).1) {
        Some(value) if ast::is_default(&value) => ast::default_of(column),
        Some(_) if column.identity == Some('a') => {
            let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
            Err(generated_always(message, column))
        }
        Some(value) => Ok(ast::assigned(value, column)),
        None => Ok(ast::column(name, &column.name)),
    }
}

/// 428C9 for a value given to GENERATED ALWAYS AS IDENTITY.
pub(super) fn generated_always(message: String, column: &ColumnObject) -> PgError {
    let detail = format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name);
    PgError::new(sqlstate::GENERATED_ALWAYS, message).detail(detail)
}

/// Columns set and their expressions. `(a, b) = (1, 2)` is taken apart.
pub(super) fn new_values(
    planner: &Planner<'_>,
    table: &TableObject,
    assignments: &[Assignment],
) -> Result<Vec<(i16, Expr)>, PgError> {
    let mut values: Vec<(i16, Expr)> = Vec::new();
    let mut push = |column: &ColumnObject, value: Expr| {
        if values.iter().any(|(attnum, _)| *attnum == column.attnum) {
            return Err(PgError::new(
                sqlstate::SYNTAX_ERROR,
                format!("multiple assignments to same column \"{}\"", column.name),
            ));
        }
        values.push((column.attnum, value));
        Ok(())
    };
    for assignment in assignments {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => push(column_of(planner, table, name)?, assignment.value.clone())?,
            AssignmentTarget::Tuple(names) => {
                let row = row_values(&assignment.value, names.len())?;
                for (name, value) in names.iter().zip(row) {
                    push(column_of(planner, table, name)?, value)?;
                }
            }
        }
    }
    Ok(values)
}

fn column_of<'a>(
    planner: &Planner<'_>,
    table: &'a TableObject,
    object: &ObjectName,
) -> Result<&'a ColumnObject, PgError> {
    let name = match object.0.as_slice() {
        [part] => part.as_ident().map(folded).unwrap_or_default(),
        // `SET t.x = 1`: the first word is taken for the column, as PostgreSQL does.
        [part, ..] => part.as_ident().map(folded).unwrap_or_default(),
        [] => String::new(),
    };
    let column = table.live_columns().find(|column| column.name == name);
    column.ok_or_else(|| planner.at(unknown_column(table, &name), object.span().start))
}

fn row_values(value: &Expr, width: usize) -> Result<Vec<Expr>, PgError> {
    let values = match value {
        Expr::Tuple(values) => values.clone(),
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("row") => row_arguments(call),
        Expr::Subquery(query) => return subquery_columns(query, width),
        _ => {
            return Err(PgError::unsupported(
                "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
            ));
        }
    };
    if values.len() != width {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "number of columns does not match number of values"));
    }
    Ok(values)
}

/// The values of `ROW (...)`.
fn row_arguments(call: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &call.args else { return Vec::new() };
    list.args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// 42803 for an aggregate where a clause has one row at a time.
pub(super) fn no_aggregate(planner: &Planner<'_>, expr: &impl Visit, clause: &str) -> Result<(), PgError> {
    let aggregates = planner.state.aggregate_functions();
    match ast::aggregate_call(expr, &|name| aggregates.contains_key(name)) {
        None => Ok(()),
        Some(place) => {
            let message = format!("aggregate functions are not allowed in {clause}");
            Err(planner.at(PgError::new(sqlstate::GROUPING_ERROR, message), place))
        }
    }
}

/// `(a, b) = (SELECT x, y ...)`: one scalar subquery a column, each keeping one item.
fn subquery_columns(query: &Query, width: usize) -> Result<Vec<Expr>, PgError> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(PgError::unsupported("a multiple-column UPDATE from a set operation is not supported"));
    };
    if select.projection.len() != width {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "number of columns does not match number of values"));
    }
    let columns = (0..width).map(|index| {
        let mut one = query.clone();
        if let SetExpr::Select(select) = one.body.as_mut() {
            let item = select.projection.swap_remove(index);
            select.projection = vec![item];
        }
        Expr::Subquery(Box::new(one))
    });
    Ok(columns.collect())
}

//! INSERT as a query of its rows: every column of the table in order, given, defaulted or NULL.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::ast::{self, folded};
use super::change::{generated_always, new_row, new_values, no_aggregate};
use super::{Queries, WriteKind, target};
use crate::dialect::sqlparser::ast::{
    ConflictTarget, DoUpdate, Expr, Insert, ObjectName, OnConflictAction, OnInsert, Query, SelectItem, SetExpr,
    Spanned, Statement as Sql, TableFactor, TableObject as InsertTarget, Value, With,
};
use crate::dialect::sqlparser::tokenizer::Location;
use crate::dialect::{Overriding, overriding};
use crate::engine::catalog::{ColumnObject, ConstraintKind, IndexObject, TableObject, rights};
use crate::engine::planner::Planner;

/// ON CONFLICT.
#[derive(Clone, Debug)]
pub(in crate::engine) struct OnConflict {
    /// OIDs of the keys it watches; `None` for all.
    pub keys: Option<Vec<u32>>,
    /// DO UPDATE.
    pub update: Option<OnConflictUpdate>,
}

/// DO UPDATE.
#[derive(Clone, Debug)]
pub(in crate::engine) struct OnConflictUpdate {
    /// Pairs of existing and new rows to addresses and the rows that take their place.
    pub plan: LogicalPlan,
    /// Columns it sets.
    pub changed: Vec<i16>,
}

/// Plans an INSERT.
pub(super) fn queries(
    planner: &Planner<'_>,
    insert: &Insert,
    with: Option<&With>,
) -> Result<(Arc<TableObject>, Queries), PgError> {
    let InsertTarget::TableName(name) = &insert.table else {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "INSERT needs the name of a table"));
    };
    let table = target(planner.view, name, 'a')?;
    let columns = target_columns(planner, &table, &insert.columns)?;
    let targets = Targets { columns, named: &insert.columns, overriding: overriding(insert), planner };
    let input = match &insert.source {
        None => ast::values(vec![row_of(&table, &targets, Vec::new())?]),
        Some(source) => match source.body.as_ref() {
            SetExpr::Values(values) if bare(source) => {
                let rows = values.rows.iter().map(|row| row.content.as_slice());
                let mut query = of_values(&table, &targets, rows)?;
                query.with.clone_from(&source.with);
                ast::with_ctes(&mut query, with);
                query
            }
            _ => of_query(&table, &targets, source, with)?,
        },
    };
    let name = insert.table_alias.as_ref().map_or_else(|| table.name.clone(), |alias| folded(&alias.alias));
    let on_conflict = insert.on.as_ref().map(|on| on_conflict(planner, &table, &name, on)).transpose()?;
    let returning = insert.returning.clone();
    let updates =
        matches!(&insert.on, Some(OnInsert::OnConflict(on)) if matches!(on.action, OnConflictAction::DoUpdate(_)));
    // A conflict's target names columns, which is reading them.
    let targeted = matches!(&insert.on, Some(OnInsert::OnConflict(on)) if on.conflict_target.is_some());
    let reads = returning.is_some() || targeted;
    let needed = reads.then_some('r').into_iter().chain(updates.then_some('w'));
    for right in needed {
        rights::must_allow_on_table(&planner.view.catalog, &planner.view.vars.current_user, right, &table)?;
    }
    Ok((table, Queries { kind: WriteKind::Insert, known_as: name, input, changed: None, returning, on_conflict }))
}

/// Whether a VALUES list is the whole source.
fn bare(query: &Query) -> bool {
    query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none()
}

/// The columns an INSERT gives values for.
struct Targets<'a> {
    columns: Vec<&'a ColumnObject>,
    /// As named in the statement; empty if it names none.
    named: &'a [ObjectName],
    overriding: Option<Overriding>,
    planner: &'a Planner<'a>,
}

impl Targets<'_> {
    /// 42601 unless a row of values fits. `place` finds the n-th value.
    fn check_width(&self, given: usize, place: impl Fn(usize) -> Location) -> Result<(), PgError> {
        let wanted = self.columns.len();
        if given > wanted {
            let error = PgError::new(sqlstate::SYNTAX_ERROR, "INSERT has more expressions than target columns");
            return Err(self.planner.at(error, place(wanted)));
        }
        if let Some(missing) = self.named.get(given) {
            let error = PgError::new(sqlstate::SYNTAX_ERROR, "INSERT has more target columns than expressions");
            return Err(self.planner.at(error, missing.span().start));
        }
        Ok(())
    }
}

fn target_columns<'a>(
    planner: &Planner<'_>,
    table: &'a TableObject,
    names: &[ObjectName],
) -> Result<Vec<&'a ColumnObject>, PgError> {
    if names.is_empty() {
        return Ok(table.live_columns().collect());
    }
    let mut columns: Vec<&ColumnObject> = Vec::with_capacity(names.len());
    for object in names {
        let [part] = object.0.as_slice() else {
            return Err(PgError::unsupported("assigning to a part of a column is not supported"));
        };
        let name = part.as_ident().map(folded).unwrap_or_default();
        let column = table.live_columns().find(|column| column.name == name);
        let column = column.ok_or_else(|| planner.at(unknown_column(table, &name), object.span().start))?;
        if columns.iter().any(|known| known.attnum == column.attnum) {
            let message = format!("column \"{name}\" specified more than once");
            let error = PgError::new(sqlstate::DUPLICATE_COLUMN, message);
            return Err(planner.at(error, object.span().start));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// 42703 for a column of a target.
pub(in crate::engine) fn unknown_column(table: &TableObject, name: &str) -> PgError {
    PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" of relation \"{}\" does not exist", table.name))
}

/// One row of the table: the given values in their columns, defaults elsewhere.
fn row_of(table: &TableObject, targets: &Targets<'_>, given: Vec<Expr>) -> Result<Vec<Expr>, PgError> {
    let mut given: Vec<Option<Expr>> = given.into_iter().map(Some).collect();
    table
        .live_columns()
        .map(|column| {
            let place = targets.columns.iter().position(|target| target.attnum == column.attnum);
            match place.and_then(|place| given.get_mut(place)).and_then(Option::take) {
                Some(expr) if !ast::is_default(&expr) => match (column.identity, targets.overriding) {
                    (Some(_), Some(Overriding::User)) => ast::default_of(column),
                    (Some('a'), None) => {
                        let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
                        Err(generated_always(message, column).hint("Use OVERRIDING SYSTEM VALUE to override."))
                    }
                    _ => Ok(ast::assigned(expr, column)),
                },
                _ => ast::default_of(column),
            }
        })
        .collect()
}

fn of_values<'a>(
    table: &TableObject,
    targets: &Targets<'_>,
    rows: impl Iterator<Item = &'a [Expr]>,
) -> Result<Query, PgError> {
    let mut width = None;
    let mut subqueries = false;
    let mut complete = Vec::new();
    for row in rows {
        if *width.get_or_insert(row.len()) != row.len() {
            let error = PgError::new(sqlstate::SYNTAX_ERROR, "VALUES lists must all be the same length");
            let place = row.first().map_or(Location::empty(), |first| first.span().start);
            return Err(targets.planner.at(error, place));
        }
        targets.check_width(row.len(), |index| row[index].span().start)?;
        for value in row {
            no_aggregate(targets.planner, value, "VALUES")?;
            subqueries |= ast::holds_subquery(value);
        }
        complete.push(row_of(table, targets, row.to_vec())?);
    }
    // The engine evaluates VALUES while it plans, when no subquery has run.
    Ok(match subqueries {
        false => ast::values(complete),
        true => ast::union_of(complete.into_iter().map(|row| named_row(table, row)).collect()),
    })
}

fn named_row(table: &TableObject, row: Vec<Expr>) -> Vec<SelectItem> {
    row.into_iter().zip(table.live_columns()).map(|(expr, column)| ast::named(expr, &column.name)).collect()
}

/// One row of values for named columns, all without names; `defaults` alone for DEFAULT VALUES.
pub(super) fn given_values(
    planner: &Planner<'_>,
    table: &TableObject,
    named: &[ObjectName],
    row: Vec<Expr>,
    defaults: bool,
) -> Result<Vec<Expr>, PgError> {
    let targets = Targets { columns: target_columns(planner, table, named)?, named, overriding: None, planner };
    if !defaults {
        targets.check_width(row.len(), |index| row[index].span().start)?;
    }
    row_of(table, &targets, row)
}

/// A query's rows as rows of a table: one column each.
pub(super) fn rows_of_query(planner: &Planner<'_>, table: &TableObject, source: &Query) -> Result<Query, PgError> {
    let columns = table.live_columns().collect();
    let targets = Targets { columns, named: &[], overriding: None, planner };
    of_query(table, &targets, source, None)
}

/// `SELECT <assigned columns> FROM (source) AS source(c1, c2, ...)`.
fn of_query(table: &TableObject, targets: &Targets<'_>, source: &Query, with: Option<&With>) -> Result<Query, PgError> {
    let mut source = source.clone();
    ast::with_ctes(&mut source, with);
    type_literals(&mut source, &targets.columns);
    let plan = targets.planner.plan(Sql::Query(Box::new(source.clone())))?;
    let width = plan.schema().fields().len();
    targets.check_width(width, |_| source.span().start)?;
    let names: Vec<String> = (1..=width).map(|number| format!("c{number}")).collect();
    let given = names.iter().map(|name| ast::column("source", name)).collect();
    let row = row_of(table, targets, given)?;
    Ok(ast::select(named_row(table, row), vec![ast::derived(source, "source", &names)], None))
}

/// Literals and parameters that are a column of the source take the type of the column they go to; anything else
/// has a type of its own.
fn type_literals(source: &mut Query, columns: &[&ColumnObject]) {
    let SetExpr::Select(select) = source.body.as_mut() else { return };
    for (item, column) in select.projection.iter_mut().zip(columns) {
        let expr = match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
            // How many columns a star stands for is not known yet.
            _ => return,
        };
        let untyped = matches!(expr, Expr::Value(value) if matches!(
            value.value,
            Value::SingleQuotedString(_) | Value::DollarQuotedString(_) | Value::EscapedStringLiteral(_)
                | Value::Null | Value::Placeholder(_)
        ));
        if untyped {
            let literal = std::mem::replace(expr, ast::null());
            *expr = ast::assigned(literal, column);
        }
    }
}

fn on_conflict(
    planner: &Planner<'_>,
    table: &Arc<TableObject>,
    name: &str,
    on: &OnInsert,
) -> Result<OnConflict, PgError> {
    let OnInsert::OnConflict(on) = on else {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"DUPLICATE\""));
    };
    let update = match &on.action {
        OnConflictAction::DoNothing => None,
        OnConflictAction::DoUpdate(_) if on.conflict_target.is_none() => {
            return Err(PgError::new(
                sqlstate::SYNTAX_ERROR,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("For example, ON CONFLICT (column_name)."));
        }
        OnConflictAction::DoUpdate(update) => Some(do_update(planner, table, name, update)?),
    };
    let keys = match &on.conflict_target {
        None => None,
        Some(ConflictTarget::OnConstraint(name)) => {
            let (_, name) = ast::split_name(name)?;
            let key = table.constraints.iter().find(|constraint| constraint.name == name);
            let key = key.ok_or_else(|| {
                PgError::new(
                    sqlstate::UNDEFINED_OBJECT,
                    format!("constraint \"{name}\" for table \"{}\" does not exist", table.name),
                )
            })?;
            if !matches!(key.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique) {
                let message = "constraint in ON CONFLICT clause has no associated index";
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message));
            }
            Some(vec![key.oid])
        }
        Some(ConflictTarget::Columns(names)) => Some(vec![inferred_key(table, names.iter().map(folded).collect())?]),
    };
    Ok(OnConflict { keys, update })
}

fn do_update(
    planner: &Planner<'_>,
    table: &Arc<TableObject>,
    name: &str,
    update: &DoUpdate,
) -> Result<OnConflictUpdate, PgError> {
    let mut values = new_values(planner, table, &update.assignments)?;
    let changed = values.iter().map(|(attnum, _)| *attnum).collect();
    let items = new_row(table, name, &mut values)?;
    let query = ast::conflict_query(name, items, update.selection.clone());
    let plan = planner.for_target(table).plan(Sql::Query(Box::new(query)))?;
    Ok(OnConflictUpdate { plan, changed })
}

/// The key on exactly these columns, in any order.
fn inferred_key(table: &TableObject, names: Vec<String>) -> Result<u32, PgError> {
    let mut wanted = Vec::with_capacity(names.len());
    for name in names {
        let column = table.live_columns().find(|column| column.name == name);
        let missing = || PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"));
        wanted.push(column.ok_or_else(missing)?.attnum);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let key = table.indexes.iter().filter(|index| index.unique).find(|index| {
        let mut columns = index.columns.clone();
        columns.sort_unstable();
        columns == wanted
    });
    // A unique index that no constraint owns goes by its own OID.
    let named = |index: &IndexObject| {
        let owner = table.constraints.iter().find(|constraint| constraint.index_oid == index.oid);
        owner.map_or(index.oid, |constraint| constraint.oid)
    };
    key.map(named).ok_or_else(|| {
        PgError::new(
            sqlstate::INVALID_COLUMN_REFERENCE,
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        )
    })
}

/// The relation of a FROM item, if it is a plain name.
pub(super) fn table_name(factor: &TableFactor) -> Result<(&ObjectName, Option<String>), PgError> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            Ok((name, alias.as_ref().map(|alias| folded(&alias.name))))
        }
        _ => Err(PgError::new(sqlstate::SYNTAX_ERROR, "the target of a write must be the name of a table")),
    }
}

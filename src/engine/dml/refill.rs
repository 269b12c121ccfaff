//! Writes that no statement of the user's spells: rows of CREATE TABLE AS, rows that ALTER TABLE makes anew.

use std::sync::Arc;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_pg::types::format_type;

use super::ast::{self, TARGET_SCHEMA};
use super::{WriteKind, WritePlan, insert, run};
use crate::dialect::sqlparser::ast::{Query, Statement as Sql};
use crate::engine::catalog::ddl::Rewrite;
use crate::engine::catalog::{ColumnObject, TableObject};
use crate::engine::planner::Planner;
use crate::engine::prepared::Portal;
use crate::engine::scan::ADDR;
use crate::engine::session::Session;
use crate::engine::statement::query::analyzed;

/// Puts a query's rows into a table. Gives their number.
pub(in crate::engine) async fn fill(
    session: &mut Session,
    portal: &mut Portal,
    table: &Arc<TableObject>,
    query: &Query,
    text: &str,
) -> Result<usize, PgError> {
    let view = session.read_view();
    let state = session.state(&view);
    let planner = Planner::with_parameters(&state, &view, text, Arc::default());
    let rows = insert::rows_of_query(&planner, table, query)?;
    let plan = planner.for_target(table).plan(Sql::Query(Box::new(rows)))?;
    let write = WritePlan {
        kind: WriteKind::Insert,
        table: Arc::clone(table),
        input: analyzed(&state, plan)?,
        changed: None,
        returning: None,
        on_conflict: None,
    };
    run::written(session, portal, &write).await
}

/// Writes all rows of a table anew: columns of another type from their old values, new columns from their defaults.
pub(in crate::engine) async fn rewrite(
    session: &mut Session,
    portal: &mut Portal,
    table: &Arc<TableObject>,
    rewrite: &Rewrite,
) -> Result<usize, PgError> {
    let before = &rewrite.before;
    let name = before.name.as_str();
    let mut items = vec![ast::named(ast::column(name, ADDR), ADDR)];
    for column in table.live_columns() {
        let old = before.live_columns().find(|old| old.attnum == column.attnum);
        let retyped = rewrite.retyped.iter().find(|(attnum, _)| *attnum == column.attnum);
        let value = match (old, retyped) {
            (Some(_), Some((_, Some(using)))) => ast::assigned(ast::expression(using)?, column),
            (Some(old), Some((_, None))) => ast::assigned(ast::column(name, &old.name), column),
            (Some(old), None) => ast::column(name, &old.name),
            (None, _) => ast::default_of(column)?,
        };
        items.push(ast::named(value, &column.name));
    }
    let query = ast::select(items, vec![ast::hidden_table(TARGET_SCHEMA, before.oid, name)], None);
    let view = session.read_view();
    let state = session.state(&view);
    let planner = Planner::with_parameters(&state, &view, "", Arc::default());
    let plan = planner.for_target(before).plan(Sql::Query(Box::new(query))).map_err(|mut error| {
        error.position = None;
        not_automatic(error, table, rewrite)
    })?;
    let write = WritePlan {
        kind: WriteKind::Update { joined: false },
        table: Arc::clone(table),
        input: analyzed(&state, plan)?,
        changed: Some(rewrite.retyped.iter().map(|(attnum, _)| *attnum).collect()),
        returning: None,
        on_conflict: None,
    };
    run::written(session, portal, &write).await
}

/// A cast that assignment does not allow, in the words of ALTER TABLE.
fn not_automatic(error: PgError, table: &TableObject, rewrite: &Rewrite) -> PgError {
    if error.code != sqlstate::DATATYPE_MISMATCH {
        return error;
    }
    let named = |column: &&ColumnObject| error.message.starts_with(&format!("column \"{}\" ", column.name));
    let Some(column) = table.live_columns().find(named) else { return error };
    let Some((_, using)) = rewrite.retyped.iter().find(|(attnum, _)| *attnum == column.attnum) else { return error };
    let (name, target) = (&column.name, format_type(column.type_oid, None));
    let error = |message: String| PgError::new(sqlstate::DATATYPE_MISMATCH, message);
    match using {
        None => error(format!("column \"{name}\" cannot be cast automatically to type {target}")).hint(format!(
            "You might need to specify \"USING {name}::{}\".",
            format_type(column.type_oid, Some(column.typmod))
        )),
        Some(_) => {
            let message =
                format!("result of USING clause for column \"{name}\" cannot be cast automatically to type {target}");
            error(message).hint("You might need to add an explicit cast.")
        }
    }
}

//! What DDL leaves to be done with rows: filled, made anew, held against new constraints.
//!
//! It runs in the statement's transaction, after the catalog has changed and before anything is durable. Each check reads
//! the whole table, and the transaction then requires that nobody has changed the table meanwhile: what was checked is
//! what the constraint will hold for.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use tributary_pg::TextStyle;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_pg::types::format_type;

use super::query::{analyzed, start};
use crate::dialect::{self, Ast};
use crate::engine::catalog::ddl::RowWork;
use crate::engine::catalog::deparse::quote_ident;
use crate::engine::catalog::{Catalog, IndexObject, TableObject, stored};
use crate::engine::dml;
use crate::engine::planner::Planner;
use crate::engine::prepared::Portal;
use crate::engine::session::Session;

/// Does the work that the last DDL statement has left.
pub(super) async fn run(session: &mut Session, portal: &mut Portal) -> Result<(), PgError> {
    for work in session.take_row_work() {
        let catalog = session.catalog();
        let table = |oid: u32| {
            let found = catalog.tables.get(&oid).cloned();
            found.ok_or_else(|| PgError::internal("a table with work to do is gone"))
        };
        match work {
            RowWork::Fill { table: oid, attnum } => fill(session, &*table(oid)?, attnum).await?,
            RowWork::Rewrite(rewrite) => {
                let table = table(rewrite.before.oid)?;
                session.store_transaction().hold(table.oid);
                dml::rewrite(session, portal, &table, &rewrite).await?;
            }
            RowWork::NotNull { table: oid, attnum } => not_null(session, &catalog, &*table(oid)?, attnum).await?,
            RowWork::Check { table: oid, constraint } => check(session, &catalog, &*table(oid)?, constraint).await?,
            RowWork::Key { table: oid, index } => {
                let table = table(oid)?;
                if let Some(index) = table.indexes.iter().find(|known| known.oid == index) {
                    key(session, &catalog, &table, index).await?;
                }
            }
        }
    }
    Ok(())
}

/// The first row of a query made here. In the catalog it is planned over no column of `table` is NOT NULL: what is
/// asked must not be taken for granted.
async fn first_row(session: &mut Session, table: &TableObject, text: &str) -> Result<Option<RecordBatch>, PgError> {
    let statement = dialect::parse(text)?.into_iter().next();
    let Some(Ast::Sql(sql)) = statement.map(|statement| statement.ast) else {
        return Err(PgError::internal(format!("a query made here does not parse: {text}")));
    };
    let mut view = session.read_view();
    let mut relaxed = table.clone();
    for column in &mut relaxed.columns {
        column.not_null = false;
    }
    let mut catalog = view.catalog.as_ref().clone();
    catalog.insert(relaxed);
    view.catalog = Arc::new(catalog);
    let state = session.state(&view);
    let plan = analyzed(&state, Planner::new(&state, &view).plan(*sql)?)?;
    let token = session.token().clone();
    let mut rows = start(session, plan).await?;
    loop {
        match token.run(rows.next()).await? {
            Some(batch) if batch.num_rows() == 0 => {}
            Some(batch) => return Ok(Some(batch.slice(0, 1))),
            None => return Ok(None),
        }
    }
}

/// `schema.table`, quoted.
fn full_name(catalog: &Catalog, table: &TableObject) -> String {
    format!("{}.{}", quote_ident(catalog.schema_name(table.schema)), quote_ident(&table.name))
}

/// A constant default becomes what rows written before the column hold; nothing is written anew.
async fn fill(session: &mut Session, table: &TableObject, attnum: i16) -> Result<(), PgError> {
    let Some(column) = table.column_by_attnum(attnum) else { return Ok(()) };
    let Some(default) = &column.default else { return Ok(()) };
    let text = format!("SELECT CAST({default} AS {})", format_type(column.type_oid, Some(column.typmod)));
    let value = first_row(session, table, &text).await?.map(|row| row.column(0).clone());
    let Some(value) = value.filter(|value| value.is_valid(0)) else { return Ok(()) };
    stored::write_added_default(session.store_transaction(), table, column.column_id, value)
}

async fn not_null(session: &mut Session, catalog: &Catalog, table: &TableObject, attnum: i16) -> Result<(), PgError> {
    let Some(column) = table.column_by_attnum(attnum) else { return Ok(()) };
    session.store_transaction().hold(table.oid);
    let (name, from) = (quote_ident(&column.name), full_name(catalog, table));
    let text = format!("SELECT 1 FROM {from} WHERE {name} IS NULL LIMIT 1");
    if first_row(session, table, &text).await?.is_none() {
        return Ok(());
    }
    let message = format!("column \"{}\" of relation \"{}\" contains null values", column.name, table.name);
    Err(PgError::new(sqlstate::NOT_NULL_VIOLATION, message)
        .table(catalog.schema_name(table.schema), &table.name)
        .column(&column.name))
}

async fn check(session: &mut Session, catalog: &Catalog, table: &TableObject, oid: u32) -> Result<(), PgError> {
    let Some(constraint) = table.constraints.iter().find(|constraint| constraint.oid == oid) else { return Ok(()) };
    let Some(expression) = &constraint.expression else { return Ok(()) };
    session.store_transaction().hold(table.oid);
    let from = full_name(catalog, table);
    let text = format!("SELECT 1 FROM {from} WHERE NOT ({expression}) LIMIT 1");
    if first_row(session, table, &text).await?.is_none() {
        return Ok(());
    }
    let message =
        format!("check constraint \"{}\" of relation \"{}\" is violated by some row", constraint.name, table.name);
    Err(PgError::new(sqlstate::CHECK_VIOLATION, message)
        .table(catalog.schema_name(table.schema), &table.name)
        .constraint(&constraint.name))
}

async fn key(
    session: &mut Session,
    catalog: &Catalog,
    table: &TableObject,
    index: &IndexObject,
) -> Result<(), PgError> {
    session.store_transaction().hold(table.oid);
    let columns: Vec<&str> = index
        .columns
        .iter()
        .filter_map(|attnum| table.column_by_attnum(*attnum).map(|column| column.name.as_str()))
        .collect();
    let list = columns.iter().map(|name| quote_ident(name)).collect::<Vec<_>>().join(", ");
    // NULL is equal to nothing, unless the index says otherwise.
    let keyed = match index.nulls_not_distinct {
        true => String::new(),
        false => {
            let known: Vec<String> = columns.iter().map(|name| format!("{} IS NOT NULL", quote_ident(name))).collect();
            format!("WHERE {}", known.join(" AND "))
        }
    };
    let from = full_name(catalog, table);
    let text = format!("SELECT {list} FROM {from} {keyed} GROUP BY {list} HAVING count(*) > 1 ORDER BY {list} LIMIT 1");
    let Some(row) = first_row(session, table, &text).await? else { return Ok(()) };
    let mut values = Vec::with_capacity(columns.len());
    for (field, column) in row.schema().fields().iter().zip(row.columns()) {
        let mut shown = ColumnText::new();
        TextPrinter::for_field(field, &TextStyle::default())?.print(column, &mut shown)?;
        values.push(shown.text(0).unwrap_or("null").to_owned());
    }
    let message = format!("could not create unique index \"{}\"", index.name);
    Err(PgError::new(sqlstate::UNIQUE_VIOLATION, message)
        .detail(format!("Key ({})=({}) is duplicated.", columns.join(", "), values.join(", ")))
        .table(catalog.schema_name(table.schema), &table.name)
        .constraint(&index.name))
}

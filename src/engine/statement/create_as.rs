//! CREATE TABLE AS and SELECT INTO: a table of a query's columns, filled with its rows in the same transaction.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::ddl::with_ddl;
use super::query::analyzed;
use crate::dialect::sqlparser::ast::{
    CreateTable, CreateTableOptions, ObjectName, OnCommit, Query, SelectInto, SetExpr, Statement as Sql,
};
use crate::dialect::without_data;
use crate::engine::catalog::ddl::TablePlan;
use crate::engine::catalog::deparse::fold;
use crate::engine::planner::Planner;
use crate::engine::prepared::{Outcome, Portal};
use crate::engine::session::Session;
use crate::engine::{dml, pg};

/// What both statements say.
struct CreateAs<'a> {
    name: &'a ObjectName,
    /// Names of columns given, in order.
    columns: Vec<String>,
    query: Query,
    options: &'a CreateTableOptions,
    if_not_exists: bool,
    temporary: bool,
    on_commit: Option<OnCommit>,
    with_data: bool,
}

/// INTO of a query, if it has one.
pub(super) fn into_of(query: &Query) -> Option<&SelectInto> {
    match query.body.as_ref() {
        SetExpr::Select(select) => select.into.as_ref(),
        _ => None,
    }
}

/// Whether a statement makes a table of a query.
pub(super) fn creates(sql: &Sql) -> bool {
    match sql {
        Sql::CreateTable(create) => create.query.is_some(),
        Sql::Query(query) => into_of(query).is_some(),
        _ => false,
    }
}

/// Runs such a statement.
pub(super) async fn run(session: &mut Session, portal: &mut Portal, sql: &Sql, text: &str) -> Result<Outcome, PgError> {
    match sql {
        Sql::CreateTable(create) => {
            let create_as = of_create(create)?;
            create_and_fill(session, portal, &create_as, text).await
        }
        Sql::Query(query) => {
            let mut plain = query.as_ref().clone();
            let into = match plain.body.as_mut() {
                SetExpr::Select(select) => select.into.take(),
                _ => None,
            };
            let into = into.ok_or_else(|| PgError::internal("SELECT INTO without INTO"))?;
            let create_as = CreateAs {
                name: &into.name,
                columns: Vec::new(),
                query: plain,
                options: &CreateTableOptions::None,
                if_not_exists: false,
                temporary: into.temporary,
                on_commit: None,
                with_data: true,
            };
            create_and_fill(session, portal, &create_as, text).await
        }
        _ => Err(PgError::internal("no CREATE TABLE AS")),
    }
}

fn of_create(create: &CreateTable) -> Result<CreateAs<'_>, PgError> {
    let query = create.query.as_deref().ok_or_else(|| PgError::internal("CREATE TABLE AS without a query"))?;
    Ok(CreateAs {
        name: &create.name,
        columns: create.columns.iter().map(|column| fold(&column.name)).collect(),
        query: query.clone(),
        options: &create.table_options,
        if_not_exists: create.if_not_exists,
        temporary: create.temporary,
        on_commit: create.on_commit,
        with_data: !without_data(create),
    })
}

async fn create_and_fill(
    session: &mut Session,
    portal: &mut Portal,
    create: &CreateAs<'_>,
    text: &str,
) -> Result<Outcome, PgError> {
    let view = session.read_view();
    let state = session.state(&view);
    let sql = Sql::Query(Box::new(create.query.clone()));
    let plan = Planner::with_parameters(&state, &view, text, std::sync::Arc::default()).plan(sql)?;
    let mut columns: Vec<_> = pg::output_columns(&analyzed(&state, plan)?)
        .into_iter()
        .map(|column| (column.name, column.type_oid, column.typmod))
        .collect();
    if create.columns.len() > columns.len() {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "too many column names were specified"));
    }
    for (column, name) in columns.iter_mut().zip(&create.columns) {
        column.0.clone_from(name);
    }
    let mut made = None;
    with_ddl(session, "CREATE TABLE AS", |ddl| {
        let plan = TablePlan {
            name: create.name,
            columns,
            options: create.options,
            if_not_exists: create.if_not_exists,
            temporary: create.temporary,
            on_commit: create.on_commit,
        };
        let (oid, done) = ddl.create_table_for(plan)?;
        made = oid;
        Ok(done)
    })?;
    let table = made.and_then(|oid| session.catalog().tables.get(&oid).cloned());
    let Some(table) = table.filter(|_| create.with_data) else {
        return Ok(Outcome::Done("CREATE TABLE AS".to_owned()));
    };
    let count = dml::fill(session, portal, &table, &create.query, text).await?;
    Ok(Outcome::Done(format!("SELECT {count}")))
}

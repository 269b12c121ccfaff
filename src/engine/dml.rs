//! INSERT, UPDATE, DELETE, TRUNCATE: planned as queries, run into the transaction.
//!
//! DataFusion's own DML plans are never used: they lose filters (an EMPTY filter list reaches the table for IN and EXISTS
//! subqueries and for `WHERE false`, which then means all rows). Here a DELETE is the query `SELECT _addr FROM target
//! WHERE ...`, an UPDATE the query of `_addr` and the new row, an INSERT the query of its rows; each runs like any other
//! query over one snapshot and its rows go to a sink that checks constraints and fills the transaction. So subqueries,
//! joins, CTEs and parameters mean exactly what they mean in a SELECT, and a statement never sees its own writes.
//!
//! [`analyze`] plans, [`run`] writes. What this does deliberately not do: make anything durable (COMMIT does).

mod assign;
mod ast;
mod change;
mod insert;
pub(super) mod keys;
mod made_rows;
mod memory;
mod merge;
mod refill;
mod run;
mod sink;
mod values;

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr as Expression, LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::physical_expr::PhysicalExpr;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::catalog::{ColumnObject, Relation, TableObject, rights};
use super::pg::{self, Parameters};
use super::planner::{Planner, ReadView};
use super::prepared::Action;
use super::session::Session;
use super::statement::Analysis;
use super::statement::query::analyzed;
use crate::dialect::sqlparser::ast::{Expr, ObjectName, Query, SelectItem, SetExpr, Statement as Sql, With};

use made_rows::Role;

pub(super) use assign::{ASSIGN, assignment_target};
pub(super) use insert::unknown_column;
pub(super) use keys::KeyTurns;
pub(super) use memory::Kept;
pub(super) use refill::{fill, rewrite};
pub(super) use run::{run, run_explained, truncate};

/// What a statement does to the rows its query finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteKind {
    /// Query columns: the table's.
    Insert,
    /// Query columns: `_addr`, then the table's with their new values.
    Update {
        /// Whether a join may find a row more than once.
        joined: bool,
    },
    /// Query columns: `_addr`, then the table's if RETURNING wants them.
    Delete,
    /// Query columns: `_addr` or NULL, the action, then the table's with their new values.
    Merge,
}

impl WriteKind {
    /// The statement's word, which begins its command tag too.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update { .. } => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
        }
    }

    /// Whether its query's rows come in order of their address.
    fn by_address(self) -> bool {
        matches!(self, Self::Update { joined: true } | Self::Merge)
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Insert => "INSERT 0",
            Self::Update { .. } => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
        }
    }
}

/// An analyzed write.
#[derive(Clone, Debug)]
pub(super) struct WritePlan {
    pub kind: WriteKind,
    pub table: Arc<TableObject>,
    /// The query whose rows are written.
    pub input: LogicalPlan,
    /// Columns an UPDATE sets, `None` for all.
    pub changed: Option<Vec<i16>>,
    /// RETURNING, as a query over the rows written.
    pub returning: Option<LogicalPlan>,
    /// What to do with rows whose key exists.
    pub on_conflict: Option<insert::OnConflict>,
}

/// The parts of a DML statement that are planned as queries.
struct Queries {
    kind: WriteKind,
    /// The name by which the statement knows its target.
    known_as: String,
    input: Query,
    changed: Option<Vec<i16>>,
    returning: Option<Vec<SelectItem>>,
    on_conflict: Option<insert::OnConflict>,
}

/// The write inside a statement, with the CTEs before it.
fn write_of(sql: &Sql) -> Option<(&Sql, Option<&With>)> {
    match sql {
        Sql::Insert(_) | Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) => Some((sql, None)),
        Sql::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) | SetExpr::Merge(inner) => {
                Some((inner, query.with.as_ref()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The query whose one column is an expression over rows of a table.
pub(super) fn rows_query(table: &TableObject, expr: &Expr) -> Query {
    ast::returning_query(vec![SelectItem::UnnamedExpr(expr.clone())], &table.name)
}

/// The same for a CHECK.
pub(super) fn check_query(table: &TableObject, text: &str) -> Result<Query, PgError> {
    Ok(rows_query(table, &ast::expression(text)?))
}

/// The query whose columns are the defaults of columns.
pub(super) fn default_query(table: &TableObject, columns: &[&ColumnObject]) -> Result<Query, PgError> {
    let items = columns.iter().map(|column| Ok(ast::named(ast::default_of(column)?, &column.name)));
    Ok(ast::returning_query(items.collect::<Result<_, PgError>>()?, &table.name))
}

/// `SELECT columns FROM table`.
pub(super) fn table_query(schema: Option<&str>, name: &str, columns: Option<&[&str]>) -> Query {
    ast::table_query(schema, name, columns)
}

/// The rows of a query, each as one JSON object.
pub(super) fn as_json(query: Query) -> Query {
    ast::as_json(query)
}

/// The expressions of a query over rows of a table, ready to be evaluated on batches of such rows.
pub(super) fn row_expressions(
    state: &SessionState,
    view: &ReadView,
    table: &Arc<TableObject>,
    query: Query,
) -> Result<Vec<Arc<dyn PhysicalExpr>>, PgError> {
    let plan = Planner::new(state, view).with_target(Arc::clone(table)).plan(Sql::Query(Box::new(query)))?;
    let LogicalPlan::Projection(projection) = analyzed(state, plan)? else {
        return Err(PgError::internal("expressions over rows are no projection"));
    };
    let schema = projection.input.schema();
    let physical = projection.expr.iter().map(|expr| state.create_physical_expr(expr.clone().unalias(), schema));
    physical.collect::<Result<_, _>>().map_err(pg::map_error)
}

/// What a name in the planner of a write stands for, if it is one of the names only such planners know.
pub(super) fn hidden_source(
    table: &Arc<TableObject>,
    schema: Option<&str>,
) -> Option<Result<Arc<dyn TableSource>, PgError>> {
    match schema? {
        ast::TARGET_SCHEMA => Some(super::table::target_source(table)),
        ast::ROWS_SCHEMA => Some(made_rows::rows_source(table, Role::Written)),
        ast::IN_THE_WAY_SCHEMA => Some(made_rows::rows_source(table, Role::InTheWay)),
        ast::EXCLUDED_SCHEMA => Some(made_rows::rows_source(table, Role::Excluded)),
        _ => None,
    }
}

/// Whether a statement writes rows, CTEs before it included.
pub(super) fn writes(sql: &Sql) -> bool {
    write_of(sql).is_some()
}

/// Plans a write.
pub(super) fn analyze(session: &mut Session, sql: &Sql, text: &str, declared: &[u32]) -> Result<Analysis, PgError> {
    let view = session.read_view();
    let state = session.state(&view);
    let mut parameters = Arc::new(Parameters::declared(declared)?);
    let mut write = planned(&state, &view, sql, text, &parameters)?;
    let mut parameter_types = Vec::new();
    if parameters.any() {
        // What decides a parameter may come after its first use: the second time all are known from the start.
        parameters = Arc::new(parameters.again());
        write = planned(&state, &view, sql, text, &parameters)?;
        parameter_types = parameters.settled()?;
    }
    write.input = analyzed(&state, write.input)?;
    write.returning = write.returning.map(|returning| analyzed(&state, returning)).transpose()?;
    if let Some(update) = write.on_conflict.as_mut().and_then(|on| on.update.as_mut()) {
        update.plan = analyzed(&state, update.plan.clone())?;
    }
    let columns = write.returning.as_ref().map(pg::output_columns);
    Ok(Analysis { action: Action::Write(Arc::new(write)), parameter_types, columns })
}

fn planned(
    state: &SessionState,
    view: &ReadView,
    sql: &Sql,
    text: &str,
    parameters: &Arc<Parameters>,
) -> Result<WritePlan, PgError> {
    let Some((write, with)) = write_of(sql) else {
        return Err(PgError::internal("a write was not recognised as one"));
    };
    let planner = || Planner::with_parameters(state, view, text, Arc::clone(parameters));
    let (table, queries) = match write {
        Sql::Insert(insert) => insert::queries(&planner(), insert, with)?,
        Sql::Update(update) => change::update_queries(&planner(), update, with)?,
        Sql::Delete(delete) => change::delete_queries(&planner(), delete, with)?,
        Sql::Merge(merge) => merge::queries(&planner(), merge, with)?,
        _ => return Err(PgError::internal("a write was not recognised as one")),
    };
    let planner = planner().with_target(Arc::clone(&table));
    let name = queries.known_as;
    let hidden = |error| hidden_by_alias(error, &table, &name);
    let mut input = planner.plan(Sql::Query(Box::new(queries.input))).map_err(hidden)?;
    if queries.kind.by_address() {
        input = by_address(input)?;
    }
    if queries.kind == WriteKind::Merge {
        refuse_volatile(&input)?;
    }
    let returning = queries.returning.map(|items| {
        for item in &items {
            change::no_aggregate(&planner, item, "RETURNING")?;
        }
        planner.plan(Sql::Query(Box::new(ast::returning_query(items, &name)))).map_err(hidden)
    });
    Ok(WritePlan {
        kind: queries.kind,
        table,
        input,
        changed: queries.changed,
        returning: returning.transpose()?,
        on_conflict: queries.on_conflict,
    })
}

/// Rows in order of their address, so that what a join finds more than once comes together.
fn by_address(input: LogicalPlan) -> Result<LogicalPlan, PgError> {
    let addr = input.schema().columns().into_iter().next().map(|addr| Expression::Column(addr).sort(true, false));
    LogicalPlanBuilder::from(input).sort(addr).and_then(LogicalPlanBuilder::build).map_err(pg::map_error)
}

/// Conditions of MERGE are asked for the action and for each column: their answers must agree.
fn refuse_volatile(input: &LogicalPlan) -> Result<(), PgError> {
    let projection = input.inputs().first().map(|plan| plan.expressions()).unwrap_or_default();
    if projection.get(1).is_some_and(Expression::is_volatile) {
        return Err(PgError::unsupported("volatile functions in conditions of MERGE are not supported"));
    }
    Ok(())
}

/// A table named although the statement knows it by an alias.
fn hidden_by_alias(mut error: PgError, table: &TableObject, alias: &str) -> PgError {
    let name = &table.name;
    if error.message != format!("missing FROM-clause entry for table \"{name}\"") || name == alias {
        return error;
    }
    let hint = format!("Perhaps you meant to reference the table alias \"{alias}\".");
    error.message = format!("invalid reference to FROM-clause entry for table \"{name}\"");
    error.hint(hint)
}

/// The base table a write names, if the right to it (an aclitem letter) is there.
pub(super) fn target(view: &ReadView, name: &ObjectName, right: char) -> Result<Arc<TableObject>, PgError> {
    let (schema, table) = ast::split_name(name)?;
    match view.catalog.resolve(&view.search_path, schema.as_deref(), &table)? {
        Relation::Table(object) => {
            rights::must_allow_on_table(&view.catalog, &view.vars.current_user, right, &object)?;
            object.must_be_writable()?;
            Ok(object)
        }
        Relation::View(object) => {
            Err(PgError::unsupported(format!("writing to view \"{}\" is not supported", object.name)))
        }
        Relation::Sequence(object) => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot change sequence \"{}\"", object.name)))
        }
        Relation::System(_, name) => Err(PgError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{name}\" is a system catalog"),
        )),
    }
}

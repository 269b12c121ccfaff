//! PREPARE, EXECUTE, DEALLOCATE: the SQL names of the protocol's prepared statements.

use std::sync::Arc;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Analysis;
use crate::dialect::sqlparser::ast::{DataType, Expr, Ident, ObjectName, Statement as Sql};
use crate::dialect::{Ast, Statement};
use crate::engine::prepared::{Outcome, Portal, Prepared};
use crate::engine::session::Session;

/// EXECUTE returns what the prepared statement returns.
pub(super) fn analyze_execute(session: &mut Session, name: Option<&ObjectName>) -> Result<Analysis, PgError> {
    let prepared = session.prepared(&name_of(name))?;
    Ok(Analysis { columns: prepared.columns.clone(), ..Analysis::utility() })
}

/// PREPARE name [(types)] AS statement.
pub(super) fn prepare(
    session: &mut Session,
    name: &Ident,
    data_types: &[DataType],
    statement: &Sql,
    outer: &Prepared,
) -> Result<Outcome, PgError> {
    let declared = data_types.iter().map(crate::engine::pg::type_oid).collect::<Result<Vec<_>, _>>()?;
    let inner = Statement {
        ast: Ast::Sql(Box::new(statement.clone())),
        text: Arc::clone(&outer.statement.text),
        offset: outer.statement.offset,
    };
    let prepared = Prepared { from_sql: true, ..super::analyze(session, inner, &declared)? };
    session.store_prepared(&name.value, Arc::new(prepared))?;
    Ok(Outcome::Done("PREPARE".to_owned()))
}

/// EXECUTE name (values): runs in the portal of the EXECUTE itself.
pub(super) async fn execute(
    session: &mut Session,
    portal: &mut Portal,
    name: Option<&ObjectName>,
    arguments: &[Expr],
) -> Result<Outcome, PgError> {
    let name = name_of(name);
    let prepared = session.prepared(&name)?;
    if prepared.parameter_types.len() != arguments.len() {
        return Err(PgError::new(
            sqlstate::SYNTAX_ERROR,
            format!("wrong number of parameters for prepared statement \"{name}\""),
        )
        .detail(format!("Expected {} parameters but got {}.", prepared.parameter_types.len(), arguments.len())));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for (argument, type_oid) in arguments.iter().zip(&prepared.parameter_types) {
        values.push(super::query::constant(session, argument, *type_oid).await?);
    }
    let mut inner = session.bind(&prepared, values).await?;
    let outcome = Box::pin(super::run(session, &mut inner)).await?;
    portal.rows = inner.rows;
    portal.left = inner.left;
    Ok(outcome)
}

/// DEALLOCATE name | ALL.
pub(super) fn deallocate(session: &mut Session, name: &Ident) -> Result<Outcome, PgError> {
    if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
        session.close_all_prepared();
        return Ok(Outcome::Done("DEALLOCATE ALL".to_owned()));
    }
    session.prepared(&name.value)?;
    session.close_prepared(&name.value);
    Ok(Outcome::Done("DEALLOCATE".to_owned()))
}

fn name_of(name: Option<&ObjectName>) -> String {
    name.map(super::settings::object_name).unwrap_or_default()
}

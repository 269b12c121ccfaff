//! The one match over statement kinds: what analysis finds out and what running does.
//!
//! Each family has a file below; this one only routes. A kind that is not listed is refused, never ignored.

mod create_as;
pub(super) mod cursors;
pub(super) mod ddl;
mod external;
mod listen;
mod lock;
pub(super) mod prepare;
pub(super) mod query;
mod row_work;
pub(super) mod settings;
mod size;
pub(super) mod transactions;
mod upkeep;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::prepared::{Action, Outcome, OutputColumn, Portal, Prepared};
use super::session::Session;
use super::{dml, explain};
use crate::dialect::sqlparser::ast::{Set, Statement as Sql};
use crate::dialect::{Ast, OwnStatement, Statement};

/// What is known before parameters have values.
pub(super) struct Analysis {
    pub action: Action,
    pub parameter_types: Vec<u32>,
    pub columns: Option<Vec<OutputColumn>>,
}

impl Analysis {
    /// A statement without parameters that returns no rows.
    pub(super) fn utility() -> Self {
        Self { action: Action::Utility, parameter_types: Vec::new(), columns: None }
    }

    /// A statement without parameters that returns rows of these columns.
    pub(super) fn utility_rows(columns: Vec<OutputColumn>) -> Self {
        Self { columns: Some(columns), ..Self::utility() }
    }
}

/// Analyzes a statement. Parameter types the client declared are kept.
pub(super) fn analyze(session: &mut Session, statement: Statement, declared: &[u32]) -> Result<Prepared, PgError> {
    let analysis =
        analyze_ast(session, &statement, declared).map_err(|error| shift_position(error, statement.offset))?;
    Ok(Prepared {
        statement,
        parameter_types: analysis.parameter_types,
        declared: declared.to_vec(),
        columns: analysis.columns,
        prepared_at: std::time::SystemTime::now(),
        from_sql: false,
        action: analysis.action,
        dependencies: session.dependencies(),
    })
}

fn analyze_ast(session: &mut Session, statement: &Statement, declared: &[u32]) -> Result<Analysis, PgError> {
    match &statement.ast {
        Ast::Own(OwnStatement::Fetch { name, moves: false, .. }) => cursors::analyze_fetch(session, name),
        Ast::Own(_) => Ok(Analysis::utility()),
        Ast::Sql(sql) => match sql.as_ref() {
            write if dml::writes(write) => dml::analyze(session, write, &statement.text, declared),
            Sql::Explain { .. } => explain::analyze(session, statement, sql, declared),
            Sql::Truncate(_) => Ok(Analysis::utility()),
            create if create_as::creates(create) => Ok(Analysis::utility()),
            Sql::Query(_) => query::analyze(session, sql, &statement.text, declared),
            Sql::ShowVariable { variable } => settings::analyze_show(variable),
            Sql::Execute { name, .. } => prepare::analyze_execute(session, name.as_ref()),
            Sql::Set(_)
            | Sql::StartTransaction { .. }
            | Sql::Commit { .. }
            | Sql::Rollback { .. }
            | Sql::Savepoint { .. }
            | Sql::ReleaseSavepoint { .. }
            | Sql::Prepare { .. }
            | Sql::Deallocate { .. }
            | Sql::Declare { .. }
            | Sql::Close { .. }
            | Sql::Lock(_)
            | Sql::LISTEN { .. }
            | Sql::UNLISTEN { .. }
            | Sql::NOTIFY { .. } => Ok(Analysis::utility()),
            other if ddl::is_ddl(other) => Ok(Analysis::utility()),
            other => Err(unsupported(other)),
        },
    }
}

/// Analyzes a statement within another, as if it were written alone.
pub(super) fn analyze_inner(
    session: &mut Session,
    outer: &Statement,
    inner: &Sql,
    declared: &[u32],
) -> Result<Analysis, PgError> {
    let ast = Ast::Sql(Box::new(inner.clone()));
    analyze_ast(session, &Statement { ast, text: std::sync::Arc::clone(&outer.text), offset: outer.offset }, declared)
}

/// What Bind does beyond keeping values: a query is optimized, and what that finds wrong is an error of Bind.
pub(super) fn bind(session: &mut Session, portal: &mut Portal) -> Result<(), PgError> {
    let offset = portal.prepared.statement.offset;
    match &portal.prepared.action {
        Action::Query(_) => query::bind(session, portal).map_err(|error| shift_position(error, offset)),
        _ => Ok(()),
    }
}

/// Runs a portal.
pub(super) async fn run(session: &mut Session, portal: &mut Portal) -> Result<Outcome, PgError> {
    let prepared = std::sync::Arc::clone(&portal.prepared);
    let offset = prepared.statement.offset;
    run_ast(session, portal, &prepared).await.map_err(|error| shift_position(error, offset))
}

async fn run_ast(session: &mut Session, portal: &mut Portal, prepared: &Prepared) -> Result<Outcome, PgError> {
    match &prepared.statement.ast {
        Ast::Own(OwnStatement::Fetch { name, to, moves }) => cursors::fetch(session, portal, name, *to, *moves).await,
        Ast::Own(own) => run_own(session, own).await,
        Ast::Sql(sql) => match sql.as_ref() {
            write if dml::writes(write) => dml::run(session, portal).await,
            Sql::Explain { .. } => explain::run(session, portal).await,
            Sql::Truncate(truncate) => dml::truncate(session, truncate),
            create if create_as::creates(create) => {
                create_as::run(session, portal, create, &prepared.statement.text).await
            }
            Sql::Query(_) => query::run(session, portal).await,
            Sql::Set(Set::SetTransaction { modes, snapshot, session: for_session }) => {
                transactions::set_modes(session, modes, snapshot.is_some(), *for_session)
            }
            Sql::Set(set) => settings::set(session, set),
            Sql::ShowVariable { variable } => settings::show(session, portal, variable),
            Sql::StartTransaction { modes, begin, .. } => transactions::begin(session, modes, *begin),
            Sql::Commit { chain, .. } => transactions::commit_block(session, *chain).await,
            Sql::Rollback { chain, savepoint: None } => transactions::roll_back_block(session, *chain),
            Sql::Rollback { savepoint: Some(name), .. } => transactions::roll_back_to(session, &name.value),
            Sql::Savepoint { name } => transactions::savepoint(session, &name.value),
            Sql::ReleaseSavepoint { name } => transactions::release(session, &name.value),
            Sql::Prepare { name, data_types, statement } => {
                prepare::prepare(session, name, data_types, statement, prepared)
            }
            Sql::Execute { name, parameters, .. } => prepare::execute(session, portal, name.as_ref(), parameters).await,
            Sql::Deallocate { name, .. } => prepare::deallocate(session, name),
            Sql::Declare { stmts } => cursors::declare(session, stmts, prepared).await,
            Sql::Close { cursor } => cursors::close(session, cursor),
            Sql::Lock(lock) => lock::run(session, lock).await,
            Sql::LISTEN { channel } => listen::listen(session, channel),
            Sql::UNLISTEN { channel } => listen::unlisten(session, channel),
            Sql::NOTIFY { channel, payload } => listen::notify(session, channel, payload.as_deref()),
            other if ddl::is_ddl(other) => {
                let outcome = ddl::run(session, other, &prepared.statement.text)?;
                row_work::run(session, portal).await?;
                Ok(outcome)
            }
            other => Err(unsupported(other)),
        },
    }
}

async fn run_own(session: &mut Session, own: &OwnStatement) -> Result<Outcome, PgError> {
    match own {
        OwnStatement::Copy(copy) => super::copy::run(session, copy).await,
        OwnStatement::Upkeep(statement) => upkeep::run(session, statement).await,
        OwnStatement::Discard(target) => settings::discard(session, *target).await,
        OwnStatement::SessionAuthorization(role) => settings::session_authorization(session, role.as_deref()),
        OwnStatement::Reset(name) => settings::reset(session, name.as_deref()),
        OwnStatement::Role(statement) => ddl::run_role(session, statement),
        OwnStatement::Sequence(statement) => ddl::run_sequence(session, statement),
        OwnStatement::External(create) => external::create(session, create),
        OwnStatement::DropExternal { names, if_exists, cascade } => {
            external::drop(session, names, *if_exists, *cascade)
        }
        OwnStatement::Fetch { .. } => Err(PgError::internal("FETCH needs a portal")),
        OwnStatement::SetConstraints => Ok(Outcome::Done("SET CONSTRAINTS".to_owned())),
        OwnStatement::Empty => Ok(Outcome::Empty),
        OwnStatement::Do(body) if body.trim().is_empty() => Ok(Outcome::Done("DO".to_owned())),
        OwnStatement::Do(_) => Err(PgError::unsupported("language \"plpgsql\" is not supported")),
    }
}

/// Whether a failed block accepts the statement: only its end and ROLLBACK TO.
pub(super) fn ends_failed_block(ast: &Ast) -> bool {
    matches!(ast, Ast::Sql(sql) if matches!(sql.as_ref(), Sql::Commit { .. } | Sql::Rollback { .. }))
}

/// Whether it returns rows through its own plan.
fn unsupported(statement: &Sql) -> PgError {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, format!("{} is not supported", words.join(" ").to_uppercase()))
}

fn shift_position(mut error: PgError, offset: usize) -> PgError {
    if let Some(position) = error.position.as_mut() {
        *position += offset;
    }
    error
}

/// A text column that a utility statement returns.
pub(super) fn text_column(name: &str) -> OutputColumn {
    use arrow::datatypes::{DataType, Field};
    OutputColumn {
        name: name.to_owned(),
        table_oid: 0,
        attnum: 0,
        type_oid: 25,
        type_len: -1,
        typmod: -1,
        field: std::sync::Arc::new(Field::new(name, DataType::Utf8View, true)),
    }
}

/// Puts rows of text into the portal.
pub(super) fn text_rows(portal: &mut Portal, columns: &[OutputColumn], rows: &[Vec<String>]) -> Result<(), PgError> {
    use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
    use arrow::datatypes::Schema;
    let schema = Schema::new(columns.iter().map(|column| std::sync::Arc::clone(&column.field)).collect::<Vec<_>>());
    let arrays: Vec<ArrayRef> = (0..columns.len())
        .map(|index| {
            let values = rows.iter().map(|row| row[index].as_str());
            std::sync::Arc::new(StringViewArray::from_iter_values(values)) as ArrayRef
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(std::sync::Arc::new(schema), arrays, &options)
        .map_err(|error| PgError::internal(error.to_string()))?;
    portal.rows = Some(super::RowStream::of_batch(batch));
    Ok(())
}

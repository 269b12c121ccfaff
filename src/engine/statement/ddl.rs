//! DDL in a session: the statement works on a copy of the catalog, the transaction keeps what it did.

use std::sync::Arc;

use datafusion::execution::SessionState;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::types::format_type;

use crate::dialect::sqlparser::ast::{Expr, Statement as Sql};
use crate::dialect::{self, Ast, RoleStatement, SequenceStatement};
use crate::engine::catalog::ddl::{Ddl, DdlDone, DdlHost, ViewColumn};
use crate::engine::catalog::{Catalog, RoleObject, SequenceObject, TableObject};
use crate::engine::pg;
use crate::engine::planner::{Planner, ReadView};
use crate::engine::prepared::Outcome;
use crate::engine::session::Session;

/// Is it a statement that [`run`] knows?
pub(super) fn is_ddl(sql: &Sql) -> bool {
    match sql {
        Sql::CreateTable(create) => create.query.is_none(),
        Sql::CreateView(_)
        | Sql::CreateSchema { .. }
        | Sql::AlterSchema(_)
        | Sql::AlterTable(_)
        | Sql::CreateIndex(_)
        | Sql::Comment { .. }
        | Sql::Grant(_)
        | Sql::Revoke(_)
        | Sql::Drop { .. } => true,
        _ => false,
    }
}

/// Runs a DDL statement.
pub(super) fn run(session: &mut Session, sql: &Sql, text: &str) -> Result<Outcome, PgError> {
    let words = text.split_whitespace().map(str::to_uppercase);
    let rights = matches!(sql, Sql::Grant(_) | Sql::Revoke(_));
    let verb = words
        .filter(|word| !["TEMP", "TEMPORARY", "UNLOGGED", "UNIQUE", "OR", "REPLACE"].contains(&word.as_str()))
        .take(if rights { 1 } else { 2 })
        .collect::<Vec<_>>()
        .join(" ");
    with_ddl(session, &verb, |ddl| {
        ddl.run(sql, text)?.ok_or_else(|| PgError::unsupported(format!("{verb} is not supported")))
    })
}

/// Runs a statement about roles.
pub(super) fn run_role(session: &mut Session, statement: &RoleStatement) -> Result<Outcome, PgError> {
    let verb = match statement {
        RoleStatement::Create { .. } => "CREATE ROLE",
        RoleStatement::Drop { .. } => "DROP ROLE",
        RoleStatement::Grant { .. } => "GRANT ROLE",
        RoleStatement::Revoke { .. } => "REVOKE ROLE",
        RoleStatement::Alter { .. } | RoleStatement::Rename { .. } | RoleStatement::Setting { .. } => "ALTER ROLE",
    };
    with_ddl(session, verb, |ddl| ddl.run_role(statement))
}

/// Runs a statement about sequences.
pub(super) fn run_sequence(session: &mut Session, statement: &SequenceStatement) -> Result<Outcome, PgError> {
    let verb = match statement {
        SequenceStatement::Create { .. } => "CREATE SEQUENCE",
        SequenceStatement::Alter { .. } => "ALTER SEQUENCE",
        SequenceStatement::Identity { .. } => "ALTER TABLE",
    };
    with_ddl(session, verb, |ddl| ddl.run_sequence(statement))
}

/// Gives a closure the statement's working copy and keeps what it did with the transaction.
pub(in crate::engine) fn with_ddl(
    session: &mut Session,
    verb: &str,
    work: impl FnOnce(Ddl<'_>) -> PgResult<DdlDone>,
) -> Result<Outcome, PgError> {
    let transaction = session.ensure_transaction();
    transaction.queried = true;
    if transaction.read_only {
        return Err(PgError::new(
            sqlstate::READ_ONLY_SQL_TRANSACTION,
            format!("cannot execute {verb} in a read-only transaction"),
        ));
    }
    let view = session.read_view();
    let state = session.state(&view);
    let role = current_role(&view.catalog, &view.vars.current_user)?;
    let seen = Arc::clone(&view.catalog);
    let path = view.search_path.clone();
    let txn = session.store_transaction();
    let (snapshot, written) = (Arc::clone(txn.snapshot()), txn.tables_written().collect());
    let mut host = Host { snapshot, written, view: &view, state: &state };
    let done = work(Ddl::new(&seen, &path, role, &mut host))?;
    session.keep_ddl(seen, done)
}

fn current_role(catalog: &Catalog, name: &str) -> PgResult<Arc<RoleObject>> {
    catalog
        .role(name)
        .cloned()
        .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")))
}

struct Host<'a> {
    /// What is committed.
    snapshot: Arc<tributary_store::Snapshot>,
    /// Tables this transaction has written to.
    written: Vec<u32>,
    view: &'a ReadView,
    state: &'a SessionState,
}

impl Host<'_> {
    fn plan(&self, catalog: Option<&Catalog>, text: &str) -> PgResult<datafusion::logical_expr::LogicalPlan> {
        let statement = dialect::parse(text)?.into_iter().next();
        let Some(Ast::Sql(sql)) = statement.map(|statement| statement.ast) else {
            return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at end of input"));
        };
        let mut view = self.view.clone();
        if let Some(catalog) = catalog {
            view.catalog = Arc::new(catalog.clone());
        }
        super::query::analyzed(self.state, Planner::new(self.state, &view).plan(*sql)?)
    }
}

impl DdlHost for Host<'_> {
    fn new_oid(&mut self) -> PgResult<u32> {
        match &self.view.vars.engine {
            Some(engine) => engine.shared_catalog().new_oid(),
            None => Err(PgError::internal("DDL outside an engine")),
        }
    }

    fn check_default(&mut self, expr: &Expr, type_oid: u32, typmod: i32) -> PgResult<()> {
        let text = format!("SELECT CAST({expr} AS {})", format_type(type_oid, Some(typmod)));
        self.plan(None, &text).map(drop).map_err(|mut error| {
            // Positions count in the text made here.
            error.position = None;
            error
        })
    }

    fn volatile(&mut self, expr: &Expr) -> PgResult<bool> {
        let plan = self.plan(None, &format!("SELECT {expr}"))?;
        Ok(plan.expressions().iter().any(|one| one.is_volatile()))
    }

    fn check_condition(&mut self, _catalog: &Catalog, table: &TableObject, expr: &Expr) -> PgResult<()> {
        let columns: Vec<String> = table
            .live_columns()
            .map(|column| {
                let name = crate::engine::catalog::deparse::quote_ident(&column.name);
                format!("CAST(NULL AS {}) AS {name}", format_type(column.type_oid, Some(column.typmod)))
            })
            .collect();
        let text = format!("SELECT 1 FROM (SELECT {}) AS row_to_check WHERE ({expr})", columns.join(", "));
        self.plan(None, &text).map(drop).map_err(|mut error| {
            error.position = None;
            error
        })
    }

    fn view_columns(&mut self, catalog: &Catalog, query: &str) -> PgResult<Vec<ViewColumn>> {
        let plan = self.plan(Some(catalog), query)?;
        Ok(pg::output_columns(&plan).into_iter().map(|column| (column.name, column.type_oid, column.typmod)).collect())
    }

    fn sequence_position(&mut self, sequence: &SequenceObject) -> PgResult<(i64, bool)> {
        let Some(engine) = &self.view.vars.engine else { return Ok((sequence.first, false)) };
        let position = engine.sequences().position(engine.store(), sequence)?;
        Ok((position.value, position.called))
    }

    fn temporary_schema(&self) -> String {
        self.view.vars.temporary_schema()
    }

    fn has_rows(&mut self, table: u32) -> PgResult<bool> {
        let committed = self.snapshot.table(table).is_some_and(|state| state.live_rows() > 0);
        Ok(committed || self.written.contains(&table))
    }

    fn parse_time(&mut self, text: &str) -> PgResult<i64> {
        if text.eq_ignore_ascii_case("infinity") {
            return Ok(i64::MAX);
        }
        let bad = || {
            PgError::new(
                sqlstate::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type timestamp with time zone: \"{text}\""),
            )
        };
        let date_time = text.parse::<chrono::DateTime<chrono::Utc>>().ok();
        let date = || {
            let date = chrono::NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?;
            date.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc())
        };
        date_time.or_else(date).map(|time| time.timestamp_micros()).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Implicit, Login};

    /// Runs a text's statements in one session and shows each outcome: tag or error, notices before it.
    async fn script(texts: &[&str]) -> Vec<String> {
        let engine = Engine::open_temporary();
        let login = Login { user: "postgres".to_owned(), database: "postgres".to_owned(), ..Login::default() };
        let mut session = engine.connect(login).expect("connects");
        let mut shown = Vec::new();
        for text in texts {
            let outcome = run_text(&mut session, text).await;
            let notices = session.drain().notices.into_iter().map(|notice| format!("{notice:?}; ")).collect::<String>();
            shown.push(format!("{notices}{}", outcome.unwrap_or_else(|error| format!("{error:?}"))));
        }
        shown
    }

    async fn run_text(session: &mut Session, text: &str) -> Result<String, PgError> {
        let mut tags = Vec::new();
        for statement in session.parse(text)? {
            let result = async {
                let prepared = session.analyze(statement, &[]).await?;
                let mut portal = session.bind(&prepared, Vec::new()).await?;
                session.run(&mut portal).await
            };
            match result.await {
                Ok(Outcome::Done(tag)) => tags.push(tag),
                Ok(other) => tags.push(format!("{other:?}")),
                Err(error) => {
                    session.fail();
                    return Err(error);
                }
            }
        }
        session.finish(Implicit::Commit).await?;
        Ok(tags.join(", "))
    }

    async fn check(table: &[(&str, &str)]) {
        let texts: Vec<&str> = table.iter().map(|(text, _)| *text).collect();
        for ((text, expect), got) in table.iter().zip(script(&texts).await) {
            assert_eq!(got, *expect, "{text}");
        }
    }

    #[tokio::test]
    async fn tables_and_their_errors() {
        check(&[
            ("CREATE TABLE t (id bigint PRIMARY KEY, v varchar(10) UNIQUE, n int CHECK (n > 0))", "CREATE TABLE"),
            ("CREATE TABLE t (a int)", "ERROR 42P07: relation \"t\" already exists"),
            (
                "CREATE TABLE IF NOT EXISTS t (a int)",
                "NOTICE 42P07: relation \"t\" already exists, skipping; CREATE TABLE",
            ),
            ("CREATE TABLE t_pkey (a int)", "ERROR 42P07: relation \"t_pkey\" already exists"),
            ("CREATE TABLE u (a int, a int)", "ERROR 42701: column \"a\" specified more than once"),
            ("CREATE TABLE nowhere.u (a int)", "ERROR 3F000: schema \"nowhere\" does not exist"),
            ("CREATE TABLE u (a nonsense)", "ERROR 42704: type \"nonsense\" does not exist"),
            (
                "CREATE TABLE u (a int primary key, b int primary key)",
                "ERROR 42P16: multiple primary keys for table \"u\" are not allowed",
            ),
            ("CREATE TABLE u (primary key (b))", "ERROR 42703: column \"b\" named in key does not exist"),
            (
                "CREATE TABLE u (a int) WITH (orderby = 'a')",
                "ERROR 22023: unrecognized table option \"orderby\" HINT: Did you mean \"order_by\"?",
            ),
            (
                "CREATE TABLE u (t_id bigint REFERENCES t)",
                "NOTICE 00000: foreign key constraint \"u_t_id_fkey\" is recorded but not enforced; CREATE TABLE",
            ),
            (
                "DROP TABLE t",
                "ERROR 2BP01: cannot drop table t because other objects depend on it \
                 DETAIL: constraint u_t_id_fkey on table u depends on table t \
                 HINT: Use DROP ... CASCADE to drop the dependent objects too.",
            ),
            ("DROP TABLE t CASCADE", "NOTICE 00000: drop cascades to constraint u_t_id_fkey on table u; DROP TABLE"),
            ("DROP TABLE t", "ERROR 42P01: table \"t\" does not exist"),
            ("DROP TABLE IF EXISTS t", "NOTICE 00000: table \"t\" does not exist, skipping; DROP TABLE"),
            ("DROP VIEW u", "ERROR 42809: \"u\" is not a view HINT: Use DROP TABLE to remove a table."),
        ])
        .await;
    }

    #[tokio::test]
    async fn ddl_is_transactional() {
        check(&[
            (
                "BEGIN; CREATE TABLE a (x int); SAVEPOINT s; CREATE TABLE b (x int)",
                "BEGIN, CREATE TABLE, SAVEPOINT, CREATE TABLE",
            ),
            ("ROLLBACK TO s; DROP TABLE b", "ERROR 42P01: table \"b\" does not exist"),
            ("ROLLBACK TO s; COMMIT", "ROLLBACK, COMMIT"),
            ("BEGIN; DROP TABLE a; CREATE TABLE a (y text); ROLLBACK", "BEGIN, DROP TABLE, CREATE TABLE, ROLLBACK"),
            ("ALTER TABLE a RENAME COLUMN x TO z", "ALTER TABLE"),
            ("ALTER TABLE a DROP COLUMN x", "ERROR 42703: column \"x\" of relation \"a\" does not exist"),
        ])
        .await;
    }

    #[tokio::test]
    async fn roles_and_schemas() {
        check(&[
            ("CREATE ROLE ann LOGIN PASSWORD 'secret'", "CREATE ROLE"),
            ("CREATE USER ann", "ERROR 42710: role \"ann\" already exists"),
            ("CREATE ROLE pg_x", "ERROR 42939: role name \"pg_x\" is reserved DETAIL: Role names starting with \"pg_\" are reserved."),
            ("CREATE ROLE readers; GRANT readers TO ann", "CREATE ROLE, GRANT ROLE"),
            ("GRANT ann TO readers", "ERROR 0LP01: role \"ann\" is a member of role \"readers\""),
            ("CREATE SCHEMA s AUTHORIZATION ann", "CREATE SCHEMA"),
            ("CREATE SCHEMA s", "ERROR 42P06: schema \"s\" already exists"),
            ("DROP ROLE ann", "ERROR 2BP01: role \"ann\" cannot be dropped because some objects depend on it DETAIL: owner of schema s"),
            ("CREATE TABLE s.t (a int)", "CREATE TABLE"),
            ("DROP SCHEMA s", "ERROR 2BP01: cannot drop schema s because other objects depend on it DETAIL: table s.t depends on schema s HINT: Use DROP ... CASCADE to drop the dependent objects too."),
            ("DROP SCHEMA s CASCADE", "NOTICE 00000: drop cascades to table s.t; DROP SCHEMA"),
            ("DROP ROLE ann, readers", "DROP ROLE"),
        ])
        .await;
    }
}

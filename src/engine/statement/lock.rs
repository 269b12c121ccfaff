//! LOCK TABLE.

use std::collections::BTreeSet;
use std::sync::Arc;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use crate::dialect::sqlparser::ast::{Lock, LockTableMode};
use crate::engine::activity::CancelReason;
use crate::engine::catalog::ddl::split_name;
use crate::engine::catalog::{Catalog, Relation, rights};
use crate::engine::prepared::Outcome;
use crate::engine::session::Session;
use crate::engine::table_locks::{TableLock, excludes_writers};
use crate::engine::transaction::{TransactionStatus, needs_block};

/// LOCK TABLE t, ... IN mode MODE: waits for other sessions' LOCK TABLE, and keeps it until the transaction ends. A mode
/// that keeps writers out also requires at commit that nobody has written meanwhile: they do not wait.
pub(super) async fn run(session: &mut Session, lock: &Lock) -> Result<Outcome, PgError> {
    if session.transaction_status() == TransactionStatus::Idle {
        return Err(needs_block("LOCK TABLE"));
    }
    let mode = lock.lock_mode.clone().unwrap_or(LockTableMode::AccessExclusive);
    let catalog = session.catalog();
    for target in &lock.tables {
        let (schema, name) = split_name(&target.name)?;
        for table in named(session, &catalog, (schema.as_deref(), &name), &mode)? {
            let held = take(session, (table, &name), &mode, lock.nowait).await?;
            if let Some(transaction) = session.transaction.as_mut() {
                transaction.table_locks.push(held);
            }
            // Only now: the snapshot has what the last holder did.
            if excludes_writers(&mode) && catalog.tables.contains_key(&table) {
                session.store_transaction().hold(table);
            }
        }
    }
    Ok(Outcome::Done("LOCK TABLE".to_owned()))
}

/// The relations that a name locks: a view and what it reads, or a table.
fn named(
    session: &Session,
    catalog: &Catalog,
    (schema, name): (Option<&str>, &str),
    mode: &LockTableMode,
) -> Result<Vec<u32>, PgError> {
    let user = session.current_user();
    let path = session.search_path(&user);
    let letters = match mode {
        LockTableMode::AccessShare => "r",
        LockTableMode::RowExclusive => "awdD",
        _ => "wdD",
    };
    let allowed = |schema: u32, object: (&str, &str, u32, Option<&[String]>)| {
        rights::must_use_schema(catalog, &user, schema)?;
        let mut answers = letters.chars().map(|right| rights::must_allow(catalog, &user, right, object));
        let first = answers.next().unwrap_or(Ok(()));
        if answers.any(|answer| answer.is_ok()) { Ok(()) } else { first }
    };
    match catalog.resolve(&path, schema, name)? {
        Relation::Table(table) if table.external.is_some() => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table or view")))
        }
        Relation::Table(table) => {
            allowed(table.schema, ("table", &table.name, table.owner, table.acl.as_deref()))?;
            Ok(vec![table.oid])
        }
        Relation::View(view) => {
            allowed(view.schema, ("view", &view.name, view.owner, view.acl.as_deref()))?;
            let mut found = BTreeSet::from([view.oid]);
            let mut todo = view.depends_on.clone();
            while let Some(oid) = todo.pop() {
                if found.insert(oid) {
                    todo.extend(catalog.views.get(&oid).iter().flat_map(|view| &view.depends_on));
                }
            }
            Ok(found.into_iter().collect())
        }
        Relation::Sequence(_) => {
            let error = PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot lock relation \"{name}\""));
            Err(error.detail("This operation is not supported for sequences."))
        }
        // Nobody writes to them.
        Relation::System(..) => Ok(Vec::new()),
    }
}

/// The lock, waited for until `lock_timeout` unless NOWAIT is asked for.
async fn take(
    session: &mut Session,
    (table, name): (u32, &str),
    mode: &LockTableMode,
    nowait: bool,
) -> Result<TableLock, PgError> {
    let locks = Arc::clone(session.engine().table_locks());
    let owner = session.backend().pid;
    if nowait {
        let refused = || {
            let message = format!("could not obtain lock on relation \"{name}\"");
            PgError::new(sqlstate::LOCK_NOT_AVAILABLE, message)
        };
        return locks.try_take(owner, table, mode).ok_or_else(refused);
    }
    let timeout = session.settings().duration("lock_timeout");
    let taken = locks.take(owner, table, mode);
    let bounded = async {
        match timeout {
            None => taken.await,
            Some(timeout) => match tokio::time::timeout(timeout, taken).await {
                Ok(taken) => taken,
                Err(_) => Err(CancelReason::LockTimeout.error()),
            },
        }
    };
    session.token().run(bounded).await
}

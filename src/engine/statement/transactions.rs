//! BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their kin.

use std::sync::Arc;

use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;
use tributary_store::Txn;

use crate::dialect::sqlparser::ast::{TransactionAccessMode, TransactionIsolationLevel, TransactionMode};
use crate::engine::Engine;
use crate::engine::dml::keys::commit_error;
use crate::engine::prepared::Outcome;
use crate::engine::session::Session;
use crate::engine::store_error::store_error;
use crate::engine::transaction::{Isolation, Savepoint, Transaction, TransactionStatus, needs_block};

/// Opens a transaction with the session's default modes.
pub(in crate::engine) fn open(session: &mut Session, block: bool) {
    let isolation = session.default_isolation();
    let read_only = session.settings().flag("default_transaction_read_only");
    let mark = session.settings().mark();
    session.transaction = Some(Transaction::new(block, isolation, read_only, mark));
    show_modes(session, isolation, read_only);
    let started_at = session.transaction.as_ref().map(|t| t.started_at);
    session.backend().update(|status| status.transaction_started_at = started_at);
}

/// SHOW transaction_isolation and transaction_read_only tell what the defaults made of this transaction.
fn show_modes(session: &mut Session, isolation: Isolation, read_only: bool) {
    let mut settings = session.settings();
    let modes = [
        ("transaction_isolation", isolation.as_str()),
        ("transaction_read_only", if read_only { "on" } else { "off" }),
    ];
    for (name, value) in modes {
        if settings.get(name).as_deref() != Some(value)
            && let Err(error) = settings.set(name, value, true)
        {
            tracing::error!(%error, name, "a transaction's mode cannot be shown");
        }
    }
}

/// Commits what is open and ends it.
pub(in crate::engine) async fn commit(session: &mut Session) -> Result<(), PgError> {
    if session.transaction.is_some()
        && let Err(error) = session.prepare_temporary()
    {
        roll_back(session);
        return Err(error);
    }
    if let Err(error) = super::cursors::hold(session).await {
        roll_back(session);
        return Err(error);
    }
    let Some(mut transaction) = session.transaction.take() else { return Ok(()) };
    if let Err(error) = make_durable(&Arc::clone(session.engine()), &mut transaction).await {
        session.settings().undo_to(transaction.settings);
        session.mailbox().undo_to(0);
        end(session);
        return Err(error);
    }
    session.settings().commit();
    let pid = session.backend().pid;
    session.mailbox().commit(session.engine().channels(), pid);
    end(session);
    Ok(())
}

/// Hands the work to the store and waits. Not under the statement's token: once handed over, a commit is waited for, so
/// that its outcome is known.
async fn make_durable(engine: &Engine, transaction: &mut Transaction) -> Result<(), PgError> {
    transaction.tell_locked();
    let Some(mut txn) = transaction.store.take() else { return Ok(()) };
    if !txn.has_writes() {
        // A statement alone has told its rows already.
        return if transaction.block { txn.check_locked().map_err(store_error) } else { Ok(()) };
    }
    if transaction.isolation == Isolation::Serializable {
        transaction.read.tell(&mut txn);
    }
    let store = engine.store();
    if let Some(changes) = &transaction.catalog {
        engine.sequences().join_commit(&mut txn, changes)?;
    }
    match &transaction.catalog {
        None => {
            let committed = store.commit(txn).await.map(drop);
            committed.map_err(|error| commit_error(&engine.shared_catalog().load(), error))
        }
        // DDL commits one at a time: the catalog that others see next must be the one that is durable.
        Some(changes) => {
            engine.shared_catalog().publish(changes, |_, _| {
                let committed = store.commit(txn).wait().map(drop);
                committed.map_err(|error| commit_error(&changes.catalog, error))
            })?;
            engine.sequences().drop_replaced(changes);
            Ok(())
        }
    }
}

/// Undoes what is open and ends it.
pub(in crate::engine) fn roll_back(session: &mut Session) {
    if let Some(transaction) = session.transaction.take() {
        session.settings().undo_to(transaction.settings);
        session.mailbox().undo_to(0);
        end(session);
    }
}

fn end(session: &mut Session) {
    session.close_transaction_portals();
    session.drop_moved_sequences();
    session.backend().update(|status| status.transaction_started_at = None);
}

/// BEGIN, START TRANSACTION.
pub(super) fn begin(session: &mut Session, modes: &[TransactionMode], begin: bool) -> Result<Outcome, PgError> {
    let tag = if begin { "BEGIN" } else { "START TRANSACTION" };
    match session.transaction.as_mut() {
        Some(transaction) if transaction.block => {
            session.notice(
                PgError::new(sqlstate::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress")
                    .severity(Severity::Warning),
            );
        }
        // An implicit transaction of this message becomes the block, with what ran before in it.
        Some(transaction) => transaction.block = true,
        None => open(session, true),
    }
    apply_modes(session, modes)?;
    Ok(Outcome::Done(tag.to_owned()))
}

/// SET TRANSACTION, SET SESSION CHARACTERISTICS AS TRANSACTION.
pub(super) fn set_modes(
    session: &mut Session,
    modes: &[TransactionMode],
    snapshot: bool,
    for_session: bool,
) -> Result<Outcome, PgError> {
    if snapshot {
        return Err(PgError::unsupported("SET TRANSACTION SNAPSHOT is not supported"));
    }
    if for_session {
        for mode in modes {
            let (name, value) = match mode {
                TransactionMode::AccessMode(access) => {
                    let read_only = matches!(access, TransactionAccessMode::ReadOnly);
                    ("default_transaction_read_only", if read_only { "on" } else { "off" })
                }
                TransactionMode::IsolationLevel(level) => ("default_transaction_isolation", isolation(level)?.as_str()),
            };
            session.settings().set(name, value, false)?;
        }
        return Ok(Outcome::Done("SET".to_owned()));
    }
    match session.transaction.as_ref() {
        Some(transaction) if transaction.block => {
            let level = modes.iter().any(|mode| matches!(mode, TransactionMode::IsolationLevel(_)));
            if transaction.queried && level {
                return Err(PgError::new(
                    sqlstate::ACTIVE_SQL_TRANSACTION,
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                ));
            }
            apply_modes(session, modes)?;
        }
        _ => session.notice(
            PgError::new(sqlstate::NO_ACTIVE_SQL_TRANSACTION, "SET TRANSACTION can only be used in transaction blocks")
                .severity(Severity::Warning),
        ),
    }
    Ok(Outcome::Done("SET".to_owned()))
}

fn apply_modes(session: &mut Session, modes: &[TransactionMode]) -> Result<(), PgError> {
    for mode in modes {
        match mode {
            TransactionMode::AccessMode(access) => {
                let read_only = matches!(access, TransactionAccessMode::ReadOnly);
                if let Some(transaction) = session.transaction.as_mut() {
                    transaction.read_only = read_only;
                }
                session.settings().set("transaction_read_only", if read_only { "on" } else { "off" }, true)?;
            }
            TransactionMode::IsolationLevel(level) => {
                let level = isolation(level)?;
                if let Some(transaction) = session.transaction.as_mut() {
                    transaction.isolation = level;
                }
                session.settings().set("transaction_isolation", level.as_str(), true)?;
            }
        }
    }
    Ok(())
}

fn isolation(level: &TransactionIsolationLevel) -> Result<Isolation, PgError> {
    match level {
        TransactionIsolationLevel::ReadUncommitted => Ok(Isolation::ReadUncommitted),
        TransactionIsolationLevel::ReadCommitted => Ok(Isolation::ReadCommitted),
        TransactionIsolationLevel::RepeatableRead => Ok(Isolation::RepeatableRead),
        TransactionIsolationLevel::Serializable => Ok(Isolation::Serializable),
        TransactionIsolationLevel::Snapshot => {
            Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"SNAPSHOT\""))
        }
    }
}

/// COMMIT, END. A failed block rolls back and says so in its tag.
pub(super) async fn commit_block(session: &mut Session, chain: bool) -> Result<Outcome, PgError> {
    let Some((failed, isolation, read_only)) = block_modes(session) else {
        return no_block(session, chain, "COMMIT");
    };
    let tag = if failed { "ROLLBACK" } else { "COMMIT" };
    if failed {
        roll_back(session);
    } else {
        commit(session).await?;
    }
    if chain {
        reopen(session, isolation, read_only);
    }
    Ok(Outcome::Done(tag.to_owned()))
}

/// ROLLBACK, ABORT.
pub(super) fn roll_back_block(session: &mut Session, chain: bool) -> Result<Outcome, PgError> {
    let Some((_, isolation, read_only)) = block_modes(session) else {
        return no_block(session, chain, "ROLLBACK");
    };
    roll_back(session);
    if chain {
        reopen(session, isolation, read_only);
    }
    Ok(Outcome::Done("ROLLBACK".to_owned()))
}

fn block_modes(session: &Session) -> Option<(bool, Isolation, bool)> {
    let transaction = session.transaction.as_ref().filter(|transaction| transaction.block)?;
    Some((transaction.failed, transaction.isolation, transaction.read_only))
}

fn reopen(session: &mut Session, isolation: Isolation, read_only: bool) {
    open(session, true);
    if let Some(transaction) = session.transaction.as_mut() {
        transaction.isolation = isolation;
        transaction.read_only = read_only;
    }
}

/// COMMIT or ROLLBACK outside a block: a warning, and the message's own transaction ends that way.
fn no_block(session: &mut Session, chain: bool, tag: &str) -> Result<Outcome, PgError> {
    if chain {
        return Err(needs_block(&format!("{tag} AND CHAIN")));
    }
    session.notice(
        PgError::new(sqlstate::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress")
            .severity(Severity::Warning),
    );
    if tag == "ROLLBACK" {
        roll_back(session);
    }
    Ok(Outcome::Done(tag.to_owned()))
}

/// SAVEPOINT.
pub(super) fn savepoint(session: &mut Session, name: &str) -> Result<Outcome, PgError> {
    let settings = session.settings().mark();
    let messages = session.mailbox().mark();
    let transaction = block(session, "SAVEPOINT")?;
    transaction.tell_locked();
    let catalog = transaction.catalog.clone();
    let store = transaction.store.as_mut().map(Txn::savepoint);
    let table_locks = transaction.table_locks.len();
    transaction.savepoints.push(Savepoint { name: name.to_owned(), settings, messages, store, catalog, table_locks });
    Ok(Outcome::Done("SAVEPOINT".to_owned()))
}

/// RELEASE SAVEPOINT: the mark goes, the work stays.
pub(super) fn release(session: &mut Session, name: &str) -> Result<Outcome, PgError> {
    let transaction = block(session, "RELEASE SAVEPOINT")?;
    let index = transaction.savepoint(name)?;
    if let (Some(txn), Some(mark)) = (transaction.store.as_mut(), transaction.savepoints[index].store) {
        txn.release(mark);
    }
    transaction.savepoints.truncate(index);
    Ok(Outcome::Done("RELEASE".to_owned()))
}

/// ROLLBACK TO SAVEPOINT: undoes the work since the mark, keeps the mark, leaves the failed state.
pub(super) fn roll_back_to(session: &mut Session, name: &str) -> Result<Outcome, PgError> {
    let transaction = block(session, "ROLLBACK TO SAVEPOINT")?;
    let index = transaction.savepoint(name)?;
    transaction.tell_locked();
    transaction.savepoints.truncate(index + 1);
    transaction.failed = false;
    transaction.table_locks.truncate(transaction.savepoints[index].table_locks);
    transaction.catalog.clone_from(&transaction.savepoints[index].catalog);
    match (transaction.savepoints[index].store, transaction.store.as_mut()) {
        (Some(mark), Some(txn)) => {
            if !txn.rollback_to(mark) {
                return Err(PgError::internal(format!("savepoint \"{name}\" is unknown to the store")));
            }
        }
        // Nothing was read or written before the savepoint, so all of it came after.
        (None, _) => transaction.store = None,
        (Some(_), None) => {}
    }
    let (mark, messages) = (transaction.savepoints[index].settings, transaction.savepoints[index].messages);
    session.settings().undo_to(mark);
    session.mailbox().undo_to(messages);
    Ok(Outcome::Done("ROLLBACK".to_owned()))
}

fn block<'a>(session: &'a mut Session, what: &str) -> Result<&'a mut Transaction, PgError> {
    match session.transaction_status() {
        TransactionStatus::Idle => Err(needs_block(what)),
        _ => session.transaction.as_mut().ok_or_else(|| needs_block(what)),
    }
}

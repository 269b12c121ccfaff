//! VACUUM, ANALYZE, CHECKPOINT, BACKUP TO: asking the store for what it otherwise does by itself.
//!
//! The store's work blocks, so it runs beside the session; a session that is canceled stops waiting and says so, and the
//! work that was begun ends by itself. None of it runs inside a transaction block.

use std::path::{Component, Path, PathBuf};

use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;
use tributary_store::{BackupDone, Store, StoreError};

use crate::dialect::UpkeepStatement;
use crate::dialect::upkeep::TableName;
use crate::engine::catalog::rights::has_role;
use crate::engine::catalog::{Catalog, Relation, RoleObject, TableObject, lookup_path};
use crate::engine::prepared::Outcome;
use crate::engine::session::Session;
use crate::engine::store_error::store_error;
use crate::engine::transaction::TransactionStatus;

/// Runs a statement of upkeep.
pub(super) async fn run(session: &mut Session, statement: &UpkeepStatement) -> Result<Outcome, PgError> {
    let tag = match statement {
        UpkeepStatement::Vacuum { full, tables } => {
            refuse_in_block(session, "VACUUM")?;
            let (full, tables) = (*full, vacuumable(session, tables, "vacuum")?);
            work(session, move |store| tables.iter().try_for_each(|table| vacuum(store, *table, full))).await?;
            "VACUUM"
        }
        // The store keeps statistics of its parts as it writes them: what is left is what is in no part yet.
        UpkeepStatement::Analyze { tables } => {
            let tables = vacuumable(session, tables, "analyze")?;
            work(session, move |store| tables.iter().try_for_each(|table| settled(store.analyze(*table)))).await?;
            "ANALYZE"
        }
        UpkeepStatement::Checkpoint => {
            let (catalog, role) = current_role(session)?;
            let allowed = catalog.role("pg_checkpoint").is_some_and(|group| has_role(&catalog, &role, group.oid));
            if !role.superuser && !allowed {
                let message = "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT";
                return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message));
            }
            work(session, |store| store.checkpoint().map(drop)).await?;
            "CHECKPOINT"
        }
        UpkeepStatement::Nothing(verb) => {
            session.notice(said(Severity::Notice, format!("{verb} has nothing to do here")));
            verb
        }
        UpkeepStatement::Backup { directory } => {
            refuse_in_block(session, "BACKUP")?;
            let (_, role) = current_role(session)?;
            if !role.superuser {
                let message = "must be superuser to back up the database";
                return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message));
            }
            let directory = allowed(Path::new(directory), session.engine().store().backup_dirs())?;
            let done = work(session, move |store| store.backup(&directory)).await?;
            let BackupDone { seq, linked_files, written_files, written_bytes } = done;
            session.notice(said(
                Severity::Notice,
                format!("backup holds commit {seq}: {linked_files} files linked, {written_files} written, {written_bytes} bytes"),
            ));
            "BACKUP"
        }
    };
    Ok(Outcome::Done(tag.to_owned()))
}

/// A table that was truncated or dropped meanwhile leaves nothing to do.
fn settled(outcome: Result<(), StoreError>) -> Result<(), StoreError> {
    match outcome {
        Err(error) if error.sqlstate == "40001" => Ok(()),
        outcome => outcome,
    }
}

/// Flush, then the merges that are due; FULL also rewrites every part with deleted rows.
fn vacuum(store: &Store, table: u32, full: bool) -> Result<(), StoreError> {
    if full {
        settled(store.rewrite_deleted(table))?;
    } else {
        settled(store.flush(table))?;
    }
    settled(store.compact(table).map(drop))
}

fn refuse_in_block(session: &Session, verb: &str) -> Result<(), PgError> {
    if session.transaction_status() == TransactionStatus::Idle {
        return Ok(());
    }
    let message = format!("{verb} cannot run inside a transaction block");
    Err(PgError::new(sqlstate::ACTIVE_SQL_TRANSACTION, message))
}

/// The directory with its links resolved, if it lies inside one of those allowed. It need not exist yet.
fn allowed(directory: &Path, inside: &[PathBuf]) -> Result<PathBuf, PgError> {
    let refused = || {
        let message = "path is outside the allowed directories";
        PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message).hint("Set store.backup_dirs.")
    };
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !directory.is_absolute() || !directory.components().all(plain) {
        return Err(refused());
    }
    let known = directory.ancestors().find(|ancestor| ancestor.exists()).ok_or_else(refused)?;
    let rest = directory.strip_prefix(known).map_err(|_| refused())?;
    let resolved = known.canonicalize().map_err(|_| refused())?.join(rest);
    let holds = |dir: &PathBuf| dir.canonicalize().is_ok_and(|dir| resolved.starts_with(&dir) && resolved != dir);
    if inside.iter().any(holds) { Ok(resolved) } else { Err(refused()) }
}

/// Runs the store's blocking work beside the session.
async fn work<T: Send + 'static>(
    session: &mut Session,
    job: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, PgError> {
    let (store, token) = (session.engine().store().clone(), session.token().clone());
    let running = tokio::task::spawn_blocking(move || job(&store));
    let finished = async {
        let outcome = running.await.map_err(|error| PgError::internal(format!("upkeep ended early: {error}")))?;
        outcome.map_err(store_error)
    };
    token.run(finished).await
}

fn current_role(session: &Session) -> Result<(std::sync::Arc<Catalog>, std::sync::Arc<RoleObject>), PgError> {
    let catalog = session.catalog();
    let name = session.current_user();
    let role = catalog.role(&name).cloned();
    let role =
        role.ok_or_else(|| PgError::new(sqlstate::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")))?;
    Ok((catalog, role))
}

/// The tables named, or all; those of others are skipped with a warning, as in PostgreSQL.
fn vacuumable(session: &mut Session, names: &[TableName], verb: &str) -> Result<Vec<u32>, PgError> {
    let (catalog, role) = current_role(session)?;
    let mut warnings = Vec::new();
    let mut out = Vec::new();
    let owned = |table: &TableObject| has_role(&catalog, &role, table.owner);
    if names.is_empty() {
        out.extend(
            catalog.tables.values().filter(|table| table.external.is_none() && owned(table)).map(|table| table.oid),
        );
    }
    // One after the other: both take the lock of the settings.
    let search_path = session.settings().get("search_path").unwrap_or_default();
    let search_path = lookup_path(&search_path, &role.name);
    for (schema, name) in names {
        match catalog.resolve(&search_path, schema.as_deref(), name)? {
            Relation::Table(table) if table.external.is_none() && owned(&table) => out.push(table.oid),
            Relation::Table(table) if table.external.is_none() => {
                warnings.push(format!("permission denied to {verb} \"{name}\", skipping it"))
            }
            _ => warnings.push(format!("skipping \"{name}\" --- cannot {verb} non-tables or special system tables")),
        }
    }
    for warning in warnings {
        session.notice(said(Severity::Warning, warning));
    }
    Ok(out)
}

fn said(severity: Severity, message: String) -> PgError {
    PgError::new(sqlstate::SUCCESSFUL_COMPLETION, message).severity(severity)
}

//! Relations of the running server: sessions, settings, prepared statements.
//!
//! Their rows are made when a scan begins, so each execution sees the present. What another role's session runs is
//! shown to that role, its members and superusers only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use tributary_pg::error::PgResult;

use super::functions::micros;
use super::rows::{Cell, Rows};
use crate::engine::activity::{Backend, BackendState};
use crate::engine::catalog::{oid, rights};
use crate::engine::planner::ReadView;
use crate::engine::settings::{Class, Kind, definitions};

/// Fills a live relation; others stay empty.
pub(super) fn fill(name: &str, view: &ReadView, rows: &mut Rows) -> PgResult<()> {
    match name {
        "pg_stat_activity" => activity(view, rows),
        "pg_stat_progress_copy" => copies(view, rows),
        "pg_settings" => settings(view, rows),
        "pg_prepared_statements" => prepared_statements(view, rows),
        "pg_cursors" => cursors(view, rows),
        _ => {}
    }
    Ok(())
}

fn activity(view: &ReadView, rows: &mut Rows) {
    let Some(engine) = &view.vars.engine else { return };
    for backend in engine.activity().list() {
        push_backend(view, &backend, rows);
    }
    for (pid, worker) in (BACKGROUND_PID..).zip(["checkpointer", "compaction", "meta"]) {
        rows.push([
            ("pid", pid.into()),
            ("backend_start", micros(engine.started_at()).into()),
            ("wait_event_type", "Activity".into()),
            ("backend_type", worker.into()),
        ]);
    }
}

/// Where the numbers of the store's own threads begin: sessions count up from one.
const BACKGROUND_PID: i32 = 2_000_000_000;

fn push_backend(view: &ReadView, backend: &Arc<Backend>, rows: &mut Rows) {
    let status = backend.status();
    let user = view.catalog.role(&backend.user);
    let may_see = may_see(view, backend);
    let shown = |cell: Cell| if may_see { cell } else { Cell::Null };
    let waits = status.state != BackendState::Active;
    rows.push([
        ("datid", oid::DATABASE.into()),
        ("datname", backend.database.clone().into()),
        ("pid", backend.pid.into()),
        ("usesysid", user.map(|user| user.oid).into()),
        ("usename", backend.user.clone().into()),
        ("application_name", status.application_name.into()),
        ("client_addr", shown(backend.peer.map(|peer| peer.ip().to_string()).into())),
        ("client_port", shown(backend.peer.map_or(-1, |peer| i32::from(peer.port())).into())),
        ("backend_start", shown(micros(backend.started_at).into())),
        ("xact_start", shown(status.transaction_started_at.map(micros).into())),
        ("query_start", shown(status.query_started_at.map(micros).into())),
        ("state_change", shown(micros(status.state_changed_at).into())),
        ("wait_event_type", shown(waits.then_some("Client").into())),
        ("wait_event", shown(waits.then_some("ClientRead").into())),
        ("state", shown(status.state.as_str().into())),
        ("query", if may_see { status.query.into() } else { "<insufficient privilege>".into() }),
        ("backend_type", "client backend".into()),
    ]);
}

/// Whether the current role may see what a session does.
fn may_see(view: &ReadView, backend: &Backend) -> bool {
    let user = view.catalog.role(&backend.user);
    view.catalog.role(&view.vars.current_user).is_some_and(|role| {
        let group = view.catalog.role("pg_read_all_stats");
        group.is_some_and(|group| rights::has_role(&view.catalog, role, group.oid))
            || user.is_some_and(|user| rights::has_role(&view.catalog, role, user.oid))
    })
}

/// COPY statements that run.
fn copies(view: &ReadView, rows: &mut Rows) {
    let Some(engine) = &view.vars.engine else { return };
    for backend in engine.activity().list() {
        let Some(copy) = backend.status().copy else { continue };
        let may_see = may_see(view, &backend);
        let count = |value: &AtomicU64| match may_see {
            true => Cell::Int(i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX)),
            false => Cell::Null,
        };
        let shown = |cell: Cell| if may_see { cell } else { Cell::Null };
        rows.push([
            ("pid", backend.pid.into()),
            ("datid", oid::DATABASE.into()),
            ("datname", backend.database.clone().into()),
            ("relid", shown(copy.relid.into())),
            ("command", shown(if copy.from { "COPY FROM" } else { "COPY TO" }.into())),
            ("type", shown(if copy.file { "FILE" } else { "PIPE" }.into())),
            ("bytes_processed", count(&copy.bytes)),
            ("bytes_total", count(&copy.bytes_total)),
            ("tuples_processed", count(&copy.rows)),
            ("tuples_excluded", count(&copy.excluded)),
        ]);
    }
}

fn prepared_statements(view: &ReadView, rows: &mut Rows) {
    let named = view.vars.named.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, entry) in &named.prepared {
        rows.push([
            ("name", name.clone().into()),
            ("statement", entry.statement.clone().into()),
            ("prepare_time", micros(entry.prepared_at).into()),
            ("parameter_types", Cell::List(entry.parameter_types.iter().map(|oid| (*oid).into()).collect())),
            ("from_sql", entry.from_sql.into()),
            // Every execution plans anew with its values.
            ("generic_plans", 0_i64.into()),
            ("custom_plans", 0_i64.into()),
        ]);
    }
}

fn cursors(view: &ReadView, rows: &mut Rows) {
    let named = view.vars.named.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, entry) in &named.cursors {
        rows.push([
            ("name", name.clone().into()),
            ("statement", entry.statement.clone().into()),
            ("is_holdable", entry.holdable.into()),
            ("is_binary", entry.binary.into()),
            ("is_scrollable", entry.scrollable.into()),
            ("creation_time", micros(entry.created_at).into()),
        ]);
    }
}

fn settings(view: &ReadView, rows: &mut Rows) {
    let current = view.vars.settings.lock().unwrap_or_else(PoisonError::into_inner);
    for definition in definitions().values() {
        if matches!(definition.name.as_str(), "role" | "session_authorization" | "is_superuser") {
            continue;
        }
        let value = current.get(&definition.name).unwrap_or_default();
        let text = |text: &str| Cell::Text(text.to_owned());
        let (kind, unit, min, max, words) = match &definition.kind {
            Kind::Bool => ("bool", None, None, None, None),
            Kind::Integer { unit, min, max } => {
                ("integer", unit.clone(), Some(min.to_string()), Some(max.to_string()), None)
            }
            Kind::Real { unit, min, max } => ("real", unit.clone(), Some(min.to_string()), Some(max.to_string()), None),
            Kind::Enum(words) => ("enum", None, None, None, Some(words.clone())),
            Kind::Text => ("string", None, None, None, None),
        };
        let source = if value == definition.default { "default" } else { "session" };
        rows.push([
            ("name", text(&definition.name)),
            ("setting", text(&definition.in_base_unit(&value))),
            ("unit", unit.into()),
            ("category", text(&definition.category)),
            ("short_desc", text(&definition.short_desc)),
            ("context", text(if definition.class == Class::Fixed { "internal" } else { &definition.context })),
            ("vartype", kind.into()),
            ("source", source.into()),
            ("min_val", min.into()),
            ("max_val", max.into()),
            ("enumvals", words.into()),
            ("boot_val", text(&definition.in_base_unit(&definition.default))),
            ("reset_val", text(&definition.in_base_unit(&definition.default))),
            ("pending_restart", false.into()),
        ]);
    }
}

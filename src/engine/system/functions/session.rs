//! The session and the server: version, current_user, current_setting, pg_backend_pid, ...

use std::sync::PoisonError;
use std::time::SystemTime;

use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

use super::arguments::{boolean, integer, oid, text};
use super::{Definition, Scope, function};
use crate::engine::VERSION;
use crate::engine::activity::{Backend, CancelReason};
use crate::engine::catalog::{TEMPORARY_PREFIX, rights};
use crate::engine::system::rows::Cell;

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    function("version", &[0], "text", |_, _| Ok(version().into())),
    function("current_user", &[0], "name", current_user),
    function("current_role", &[0], "name", current_user),
    function("user", &[0], "name", current_user),
    function("session_user", &[0], "name", |scope, _| Ok(scope.vars.session_user.clone().into())),
    function("current_database", &[0], "name", current_database),
    function("current_catalog", &[0], "name", current_database),
    function("current_schema", &[0], "name", current_schema),
    function("current_schemas", &[1], "_name", current_schemas),
    function("current_setting", &[1, 2], "text", current_setting).volatile(),
    function("set_config", &[3], "text", set_config).with_nulls().volatile(),
    function("pg_backend_pid", &[0], "int4", |scope, _| Ok(scope.vars.backend.as_ref().map(|b| b.pid).into())),
    function("pg_postmaster_start_time", &[0], "timestamptz", started_at),
    function("pg_conf_load_time", &[0], "timestamptz", started_at),
    function("inet_client_addr", &[0], "inet", |scope, _| Ok(peer(scope).map(|peer| peer.ip().to_string()).into())),
    function("inet_client_port", &[0], "int4", |scope, _| Ok(peer(scope).map(|peer| i32::from(peer.port())).into())),
    function("inet_server_addr", &[0], "inet", |_, _| Ok(Cell::Null)),
    function("inet_server_port", &[0], "int4", |_, _| Ok(Cell::Null)),
    function("pg_is_in_recovery", &[0], "bool", |_, _| Ok(false.into())),
    function("pg_is_wal_replay_paused", &[0], "bool", |_, _| Err(not_in_recovery())),
    function("pg_my_temp_schema", &[0], "oid", |scope, _| Ok(temporary_schema(scope).unwrap_or(0).into())),
    function("pg_is_other_temp_schema", &[1], "bool", other_temporary_schema),
    function("pg_cancel_backend", &[1], "bool", |scope, args| signal(scope, &args[0], false)).volatile(),
    function("pg_terminate_backend", &[1, 2], "bool", |scope, args| signal(scope, &args[0], true)).volatile(),
    function("pg_notify", &[2], "void", |scope, row| {
        scope.vars.notify(text(&row[0])?, text(&row[1])?)?;
        Ok(Cell::Null)
    })
    .volatile(),
    function("pg_notification_queue_usage", &[0], "float8", |_, _| Ok(0.0.into())).volatile(),
    function("pg_blocking_pids", &[1], "_int4", |_, _| Ok(Cell::List(Vec::new()))),
    function("pg_advisory_unlock_all", &[0], "void", |_, _| Ok("".into())).volatile(),
    function("txid_current", &[0], "int8", transaction_id),
    function("pg_current_xact_id", &[0], "xid", transaction_id),
    function("pg_jit_available", &[0], "bool", |_, _| Ok(false.into())),
    function("getdatabaseencoding", &[0], "name", |_, _| Ok("UTF8".into())),
    function("pg_client_encoding", &[0], "name", |scope, _| Ok(scope.vars.setting("client_encoding").into())),
];

/// OID of the session's schema for temporary objects, if it has one.
fn temporary_schema(scope: &Scope<'_>) -> Option<u32> {
    scope.catalog.schema(&scope.vars.temporary_schema()).map(|schema| schema.oid)
}

/// pg_is_other_temp_schema(oid)
fn other_temporary_schema(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    let temporary = scope.catalog.schema_name(wanted).starts_with(TEMPORARY_PREFIX);
    Ok((temporary && temporary_schema(scope) != Some(wanted)).into())
}

/// What `version()` says.
fn version() -> String {
    format!(
        "PostgreSQL 15.18 (Tributary {VERSION}, DataFusion {}) on x86_64-unknown-linux-gnu, 64-bit",
        datafusion::DATAFUSION_VERSION
    )
}

fn current_user(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    Ok(scope.vars.current_user.clone().into())
}

fn current_database(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    Ok(scope.vars.engine.as_ref().map(|engine| engine.config().database.clone()).into())
}

/// The schema new objects go to.
fn current_schema(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    Ok(visible_path(scope, false).into_iter().next().into())
}

/// current_schemas(include_implicit)
fn current_schemas(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    Ok(visible_path(scope, boolean(&args[0])?).into())
}

/// Existing schemas of search_path in order; the implicit pg_catalog only if asked, `tributary` never.
fn visible_path(scope: &Scope<'_>, implicit: bool) -> Vec<String> {
    let setting = scope.vars.setting("search_path").unwrap_or_default();
    let named = |name: &str| setting.split(',').any(|part| part.trim().trim_matches('"') == name);
    scope
        .path
        .iter()
        .filter(|name| match name.as_str() {
            "pg_catalog" => implicit || named("pg_catalog"),
            name if name.starts_with(TEMPORARY_PREFIX) => implicit,
            "tributary" => named("tributary"),
            _ => true,
        })
        .filter(|name| scope.catalog.schema(name).is_some())
        .cloned()
        .collect()
}

/// current_setting(name [, missing_ok])
fn current_setting(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let missing_ok = args.get(1).map(boolean).transpose()?.unwrap_or(false);
    let settings = scope.vars.settings.lock().unwrap_or_else(PoisonError::into_inner);
    match settings.show(text(&args[0])?) {
        Ok(value) => Ok(value.into()),
        Err(_) if missing_ok => Ok(Cell::Null),
        Err(error) => Err(error),
    }
}

/// set_config(name, value, is_local)
fn set_config(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    if args[0] == Cell::Null {
        return Err(PgError::new(sqlstate::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name"));
    }
    let name = text(&args[0])?;
    let local = args[2] != Cell::Null && boolean(&args[2])?;
    let mut settings = scope.vars.settings.lock().unwrap_or_else(PoisonError::into_inner);
    match &args[1] {
        Cell::Null => settings.reset(name)?,
        value if name.eq_ignore_ascii_case("role") => {
            let wanted = text(value)?;
            if wanted != "none" {
                let user = settings.get("session_authorization").unwrap_or_default();
                rights::must_be_member(scope.catalog, &user, wanted)?;
            }
            settings.set_identity("role", wanted, local);
        }
        value => settings.set(name, text(value)?, local)?,
    }
    Ok(settings.show(name)?.into())
}

fn started_at(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    let started_at = scope.vars.engine.as_ref().map(|engine| engine.started_at());
    Ok(started_at.map(micros).into())
}

/// Microseconds since 1970.
pub(in crate::engine::system) fn micros(time: SystemTime) -> i64 {
    let age = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
}

fn peer(scope: &Scope<'_>) -> Option<std::net::SocketAddr> {
    scope.vars.backend.as_ref().and_then(|backend| backend.peer)
}

fn not_in_recovery() -> PgError {
    PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, "recovery is not in progress")
        .hint("Recovery control functions can only be executed during recovery.")
}

/// A number that differs from transaction to transaction and grows with time.
fn transaction_id(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    Ok((micros(scope.vars.transaction_started_at) & i64::from(u32::MAX)).into())
}

/// pg_cancel_backend, pg_terminate_backend: false with a warning when there is no such session.
fn signal(scope: &Scope<'_>, pid: &Cell, terminate: bool) -> PgResult<Cell> {
    let pid = integer(pid)?;
    let engine = scope.vars.engine.as_ref();
    let backend = i32::try_from(pid).ok().and_then(|pid| engine.and_then(|engine| engine.activity().get(pid)));
    let Some(backend) = backend else {
        tracing::debug!(pid, severity = Severity::Warning.as_str(), "no session with this pid to signal");
        return Ok(false.into());
    };
    may_signal(scope, &backend, terminate)?;
    if terminate {
        backend.terminate();
    } else {
        backend.cancel(CancelReason::UserRequest);
    }
    Ok(true.into())
}

/// Own role, members of pg_signal_backend; superusers' sessions only by superusers.
fn may_signal(scope: &Scope<'_>, backend: &Backend, terminate: bool) -> PgResult<()> {
    let verb = if terminate { "terminate" } else { "cancel" };
    let Some(role) = scope.role() else {
        return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "permission denied"));
    };
    let target = scope.catalog.role(&backend.user);
    if target.is_some_and(|target| target.superuser) && !role.superuser {
        return Err(PgError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("must be a superuser to {verb} superuser {}", if terminate { "process" } else { "query" }),
        ));
    }
    let signaller =
        scope.catalog.role("pg_signal_backend").is_some_and(|group| rights::has_role(scope.catalog, role, group.oid));
    let member = target.is_none_or(|target| rights::has_role(scope.catalog, role, target.oid));
    if role.superuser || signaller || member {
        return Ok(());
    }
    Err(PgError::new(
        sqlstate::INSUFFICIENT_PRIVILEGE,
        format!(
            "must be a member of the role whose {} is being {} or member of pg_signal_backend",
            if terminate { "process" } else { "query" },
            if terminate { "terminated" } else { "canceled" }
        ),
    ))
}

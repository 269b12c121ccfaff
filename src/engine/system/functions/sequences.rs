//! nextval, currval, setval, lastval and what clients ask about sequences.

use std::sync::{Arc, PoisonError};

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::arguments::{boolean, integer, oid, text};
use super::names::relation_oid;
use super::{Definition, Scope, function};
use crate::engine::Engine;
use crate::engine::catalog::deparse::quote_ident;
use crate::engine::catalog::{SequenceObject, rights};
use crate::engine::sequences::Position;
use crate::engine::system::rows::Cell;

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    function("nextval", &[1], "int8", next).volatile(),
    function("currval", &[1], "int8", current).volatile(),
    function("setval", &[2, 3], "int8", set).volatile(),
    function("lastval", &[0], "int8", last).volatile(),
    function("pg_sequence_last_value", &[1], "int8", last_value).volatile(),
    function("pg_get_serial_sequence", &[2], "text", serial_sequence),
];

/// The sequence an argument names, by OID or by name.
fn sequence<'a>(scope: &'a Scope<'_>, argument: &Cell) -> PgResult<&'a Arc<SequenceObject>> {
    let wanted = match argument {
        Cell::Text(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) => {
            name.parse().unwrap_or(0)
        }
        Cell::Text(name) => relation_oid(scope.catalog, scope.path, name)?,
        other => oid(other)?,
    };
    scope.catalog.sequences.get(&wanted).ok_or_else(|| match super::names::relation_name(scope.catalog, wanted) {
        Some(found) => PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{}\" is not a sequence", found.name)),
        None => PgError::new(sqlstate::UNDEFINED_TABLE, format!("could not open relation with OID {wanted}")),
    })
}

fn engine<'a>(scope: &'a Scope<'_>) -> PgResult<&'a Arc<Engine>> {
    scope.vars.engine.as_ref().ok_or_else(|| PgError::internal("a sequence is used outside an engine"))
}

/// 25006 in a read-only transaction, but for temporary sequences.
fn refuse_read_only(scope: &Scope<'_>, sequence: &SequenceObject, verb: &str) -> PgResult<()> {
    let temporary = scope.catalog.schema_name(sequence.schema) == scope.vars.temporary_schema();
    if !temporary && scope.vars.setting("transaction_read_only").as_deref() == Some("on") {
        let message = format!("cannot execute {verb}() in a read-only transaction");
        return Err(PgError::new(sqlstate::READ_ONLY_SQL_TRANSACTION, message));
    }
    Ok(())
}

/// 42501 unless the current role has one of these rights on the sequence.
fn must_have(scope: &Scope<'_>, sequence: &SequenceObject, needed: [char; 2]) -> PgResult<()> {
    let object = ("sequence", sequence.name.as_str(), sequence.owner, sequence.acl.as_deref());
    let check = |right| rights::must_allow(scope.catalog, &scope.vars.current_user, right, object);
    check(needed[0]).or_else(|_| check(needed[1]))
}

fn next(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let (sequence, engine) = (sequence(scope, &args[0])?, engine(scope)?);
    // Who may insert into an identity column needs no right to what it draws from.
    if !sequence.identity {
        must_have(scope, sequence, ['U', 'w'])?;
    }
    refuse_read_only(scope, sequence, "nextval")?;
    let value = engine.sequences().next(engine.store(), &engine.catalog(), sequence)?;
    let mut session = scope.vars.sequences.lock().unwrap_or_else(PoisonError::into_inner);
    session.moves(sequence);
    session.note(sequence.oid, value, true);
    Ok(value.into())
}

fn current(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let sequence = sequence(scope, &args[0])?;
    must_have(scope, sequence, ['r', 'U'])?;
    let session = scope.vars.sequences.lock().unwrap_or_else(PoisonError::into_inner);
    session.current(sequence.oid).map(Cell::from).ok_or_else(|| {
        let message = format!("currval of sequence \"{}\" is not yet defined in this session", sequence.name);
        PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
    })
}

fn set(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let (sequence, engine) = (sequence(scope, &args[0])?, engine(scope)?);
    must_have(scope, sequence, ['w', 'w'])?;
    refuse_read_only(scope, sequence, "setval")?;
    let value = integer(&args[1])?;
    let called = args.get(2).map(boolean).transpose()?.unwrap_or(true);
    engine.sequences().set(engine.store(), &engine.catalog(), sequence, Position { value, called })?;
    let mut session = scope.vars.sequences.lock().unwrap_or_else(PoisonError::into_inner);
    session.moves(sequence);
    if called {
        session.note(sequence.oid, value, false);
    }
    Ok(value.into())
}

fn last(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    let session = scope.vars.sequences.lock().unwrap_or_else(PoisonError::into_inner);
    let known = session.last().filter(|(sequence, _)| scope.catalog.sequences.contains_key(sequence));
    known.map(|(_, value)| value.into()).ok_or_else(|| {
        PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, "lastval is not yet defined in this session")
    })
}

/// pg_sequence_last_value(regclass): NULL while no value was given.
fn last_value(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let (sequence, engine) = (sequence(scope, &args[0])?, engine(scope)?);
    let position = engine.sequences().position(engine.store(), sequence)?;
    Ok(position.called.then_some(position.value).into())
}

/// pg_get_serial_sequence(table, column)
fn serial_sequence(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let (name, column) = (text(&args[0])?, text(&args[1])?);
    let wanted = relation_oid(scope.catalog, scope.path, name)?;
    let missing = |table: &str| {
        let message = format!("column \"{column}\" of relation \"{table}\" does not exist");
        PgError::new(sqlstate::UNDEFINED_COLUMN, message)
    };
    let Some(table) = scope.catalog.tables.get(&wanted) else { return Err(missing(name)) };
    let attnum = table.column(column).ok_or_else(|| missing(&table.name))?.attnum;
    let owned = scope.catalog.sequences.values().find(|sequence| sequence.owned_by == Some((wanted, attnum)));
    let full = owned.map(|sequence| {
        format!("{}.{}", quote_ident(scope.catalog.schema_name(sequence.schema)), quote_ident(&sequence.name))
    });
    Ok(full.into())
}

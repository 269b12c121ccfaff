//! Relations the server itself fills: pg_catalog, information_schema, tributary.
//!
//! Every system relation has PostgreSQL 15's columns, in order and type; those we have nothing for are empty, not
//! missing. Rows come from three places: PostgreSQL's own embedded ones ([`fixed`]), the catalog a statement sees
//! ([`derived`]), and the running server ([`live`], [`storage`]). All are read by the ordinary engine, so every client's query plans,
//! filters and joins. Visibility does not depend on rights, as in PostgreSQL; values that others must not see are blank.

mod derived;
pub mod fixed;
mod functions;
pub mod library;
mod live;
pub mod provider;
mod reg_names;
pub mod relation;
pub mod rows;
mod storage;
pub(super) mod tables;
pub(super) mod views;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::datasource::provider_as_source;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::TableSource;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::{sqlstate, types};

use super::catalog::{Catalog, Membership, RoleObject, SequenceObject};
use super::planner::ReadView;
pub(super) use functions::{list_form, named as function_named};
use provider::ComputedTable;
pub(super) use reg_names::SessionNames;
use relation::relation;
use rows::Rows;

/// Relations with password verifiers in them: superusers only.
const SECRET: [&str; 2] = ["pg_authid", "pg_shadow"];

/// Whether a system schema has a relation of that name.
pub fn exists(schema: &str, name: &str) -> bool {
    relation(schema, name).is_some()
}

/// The rows of a system relation.
///
/// `trusted`: read on behalf of a system view, which shows no secrets.
pub(super) fn source(schema: &str, name: &str, view: &ReadView, trusted: bool) -> PgResult<Arc<dyn TableSource>> {
    let Some(relation) = relation(schema, name) else {
        return Err(PgError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{schema}.{name}\" does not exist")));
    };
    let superuser = view.catalog.role(&view.vars.current_user).is_some_and(|role| role.superuser);
    if !trusted && !superuser && SECRET.contains(&relation.name) {
        let kind = if relation.relkind == 'v' { "view" } else { "table" };
        return Err(PgError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for {kind} {}", relation.name),
        ));
    }
    let view = view.clone();
    let catalog = Arc::clone(&view.catalog);
    let database = view.vars.engine.as_ref().map(|engine| engine.config().database.clone()).unwrap_or_default();
    let source = move || {
        fixed::batch(relation).or_else(|| derived::batch(relation, &catalog, &database)).unwrap_or_else(|| {
            let mut rows = Rows::new(relation);
            match relation.schema {
                "pg_catalog" => live::fill(relation.name, &view, &mut rows)?,
                "tributary" => storage::fill(relation.name, &view, &mut rows)?,
                _ => {}
            }
            rows.finish()
        })
    };
    let table = ComputedTable::new(relation.name, Arc::clone(&relation.arrow), Arc::new(source));
    Ok(provider_as_source(Arc::new(table)))
}

/// Columns of a sequence read as a relation, and their types.
pub(super) const SEQUENCE_COLUMNS: [(&str, u32); 3] =
    [("last_value", types::oid::INT8), ("log_cnt", types::oid::INT8), ("is_called", types::oid::BOOL)];

/// The one row of a sequence.
pub(super) fn sequence_source(sequence: &Arc<SequenceObject>, view: &ReadView) -> PgResult<Arc<dyn TableSource>> {
    let fields =
        SEQUENCE_COLUMNS.map(|(name, of)| types::known(of).field(name, -1).map(|one| one.with_nullable(false)));
    let schema = Arc::new(Schema::new(fields.into_iter().collect::<PgResult<Vec<_>>>()?));
    let (sequence, engine) = (Arc::clone(sequence), view.vars.engine.clone());
    let made = Arc::clone(&schema);
    let source = move || {
        let engine = engine.as_ref().ok_or_else(|| PgError::internal("a sequence is read outside an engine"))?;
        let position = engine.sequences().position(engine.store(), &sequence)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![position.value])),
            Arc::new(Int64Array::from(vec![0])),
            Arc::new(BooleanArray::from(vec![position.called])),
        ];
        RecordBatch::try_new(Arc::clone(&made), columns).map_err(|error| PgError::internal(error.to_string()))
    };
    Ok(provider_as_source(Arc::new(ComputedTable::new("sequence", schema, Arc::new(source)))))
}

/// OID of a relation by its perhaps qualified name; 42P01.
pub(super) fn find_relation_oid(catalog: &Catalog, path: &[String], name: &str) -> PgResult<u32> {
    functions::names::relation_oid(catalog, path, name)
}

/// System-information functions.
pub(super) fn register_functions(registry: &mut dyn FunctionRegistry) -> datafusion::common::Result<()> {
    functions::register(registry)
}

/// PostgreSQL's predefined roles, pg_monitor and its like.
pub(super) fn predefined_roles() -> Vec<RoleObject> {
    let members: Vec<(u32, Membership)> = fixed::raw_rows("pg_auth_members")
        .filter_map(|row| {
            let membership =
                Membership { role: row[0].parse().ok()?, grantor: row[2].parse().ok()?, admin: row[3] == "t" };
            Some((row[1].parse().ok()?, membership))
        })
        .collect();
    fixed::raw_rows("pg_authid")
        .filter_map(|row| {
            let oid = row[0].parse().ok()?;
            Some(RoleObject {
                oid,
                name: row[1].to_owned(),
                superuser: row[2] == "t",
                inherit: row[3] == "t",
                create_role: row[4] == "t",
                create_database: row[5] == "t",
                login: row[6] == "t",
                replication: row[7] == "t",
                bypass_rls: row[8] == "t",
                connection_limit: -1,
                verifier: None,
                valid_until_us: None,
                member_of: members.iter().filter(|(member, _)| *member == oid).map(|(_, m)| m.clone()).collect(),
                settings: Vec::new(),
                comment: None,
            })
        })
        .collect()
}

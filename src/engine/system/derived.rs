//! Relations derived from the catalog: what users made, beside PostgreSQL's own rows.
//!
//! Each is built when first read and kept for the catalog version it was built from, so a client's burst of catalog
//! queries builds each relation once. Rows are ordered by OID. A user's object appears in every relation where
//! PostgreSQL has a row for it: a table is a pg_class row, a row type, an array type, attributes, and so on.

mod constraints;
mod functions;
mod names;
mod relations;
mod roles;
mod types;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use tributary_pg::error::PgResult;

use super::relation::SystemRelation;
use super::rows::Rows;
use crate::engine::catalog::Catalog;

/// Fills one relation from a catalog.
type Build = fn(&Catalog, &mut Rows) -> PgResult<()>;

/// Batches kept at most. Reason: transactions that change the catalog make versions of their own.
const KEPT_MAX: usize = 128;

/// The relations that are derived.
const BUILDS: [(&str, Build); 21] = [
    ("pg_attrdef", constraints::attrdef),
    ("pg_attribute", relations::attribute),
    ("pg_auth_members", roles::auth_members),
    ("pg_authid", roles::authid),
    ("pg_class", relations::class),
    ("pg_constraint", constraints::constraint),
    ("pg_database", names::database),
    ("pg_depend", constraints::depend),
    ("pg_description", names::description),
    ("pg_foreign_data_wrapper", relations::foreign_data_wrapper),
    ("pg_foreign_server", relations::foreign_server),
    ("pg_foreign_table", relations::foreign_table),
    ("pg_index", constraints::index),
    ("pg_namespace", names::namespace),
    ("pg_proc", functions::proc),
    ("pg_rewrite", relations::rewrite),
    ("pg_sequence", relations::sequence),
    ("pg_shdescription", names::shared_description),
    ("pg_tablespace", names::tablespace),
    ("pg_type", types::types),
    ("pg_db_role_setting", roles::settings),
];

/// The rows of a derived relation; `None` if the relation is of another kind.
pub fn batch(relation: &'static SystemRelation, catalog: &Catalog, database: &str) -> Option<PgResult<RecordBatch>> {
    static KEPT: LazyLock<Mutex<HashMap<(u64, u32), RecordBatch>>> = LazyLock::new(Mutex::default);
    if relation.schema != "pg_catalog" {
        return None;
    }
    let (_, build) = BUILDS.iter().find(|(name, _)| *name == relation.name)?;
    let key = (catalog.version, relation.oid);
    // pg_database alone knows the database's name, which the catalog does not.
    if relation.name == "pg_database" {
        let mut rows = Rows::new(relation);
        return Some(names::database_named(database, &mut rows).and_then(|()| rows.finish()));
    }
    if let Some(batch) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Some(Ok(batch.clone()));
    }
    let mut rows = Rows::new(relation);
    Some(build(catalog, &mut rows).and_then(|()| rows.finish()).inspect(|batch| {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|(version, _), _| *version == catalog.version);
        }
        kept.insert(key, batch.clone());
    }))
}

//! The catalog as statements see it: every object of one snapshot plus the transaction's own changes, parsed and named.
//!
//! A [`Catalog`] is immutable and shared. The store keeps objects as opaque bodies; here they are typed. Name lookup
//! follows search_path the way PostgreSQL does: `pg_temp` and `pg_catalog` first unless named, `tributary` last.

mod objects;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tributary_pg::error::{PgError, nearest};
use tributary_pg::sqlstate;

pub use objects::{ColumnObject, ConstraintKind, ConstraintObject, RoleObject, SchemaObject, TableObject, ViewObject};

/// OIDs of PostgreSQL's own schemas and roles.
pub mod oid {
    /// Schema `pg_catalog`.
    pub const PG_CATALOG: u32 = 11;
    /// Schema `public`.
    pub const PUBLIC: u32 = 2200;
    /// Schema `information_schema`.
    pub const INFORMATION_SCHEMA: u32 = 13_000;
    /// Schema `tributary`: our functions and views.
    pub const TRIBUTARY: u32 = 8_100;
    /// The role made at first start.
    pub const BOOTSTRAP_ROLE: u32 = 10;
    /// First OID of user objects.
    pub const FIRST_USER: u32 = 16_384;
}

/// A relation a name can mean.
#[derive(Clone, Debug)]
pub enum Relation {
    /// A base table.
    Table(Arc<TableObject>),
    /// A view.
    View(Arc<ViewObject>),
    /// A relation of pg_catalog, information_schema or tributary that the server itself fills.
    System(Arc<str>, Arc<str>),
}

/// All objects at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Changes with every DDL commit, and within a transaction with every DDL statement.
    pub version: u64,
    /// Schemas by OID.
    pub schemas: BTreeMap<u32, Arc<SchemaObject>>,
    /// Tables by OID.
    pub tables: BTreeMap<u32, Arc<TableObject>>,
    /// Views by OID.
    pub views: BTreeMap<u32, Arc<ViewObject>>,
    /// Roles by OID.
    pub roles: BTreeMap<u32, Arc<RoleObject>>,
    /// (schema, relation name) to OID.
    pub relation_names: HashMap<(u32, String), u32>,
}

impl Catalog {
    /// A schema by name.
    pub fn schema(&self, name: &str) -> Option<&Arc<SchemaObject>> {
        self.schemas.values().find(|schema| schema.name == name)
    }

    /// A role by name.
    pub fn role(&self, name: &str) -> Option<&Arc<RoleObject>> {
        self.roles.values().find(|role| role.name == name)
    }

    /// A relation of one schema.
    pub fn relation_in(&self, schema: &SchemaObject, name: &str) -> Option<Relation> {
        if let Some(oid) = self.relation_names.get(&(schema.oid, name.to_owned())) {
            return self
                .tables
                .get(oid)
                .map(|table| Relation::Table(Arc::clone(table)))
                .or_else(|| self.views.get(oid).map(|view| Relation::View(Arc::clone(view))));
        }
        super::system::exists(&schema.name, name)
            .then(|| Relation::System(Arc::from(schema.name.as_str()), Arc::from(name)))
    }

    /// What a possibly qualified name means; 42P01 or 3F000 with the nearest name as hint.
    pub fn resolve(&self, search_path: &[String], schema: Option<&str>, name: &str) -> Result<Relation, PgError> {
        match schema {
            Some(schema_name) => {
                let schema = self.schema(schema_name).ok_or_else(|| {
                    PgError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{schema_name}.{name}\" does not exist"))
                })?;
                self.relation_in(schema, name)
                    .ok_or_else(|| self.missing(&format!("{schema_name}.{name}"), name, &[schema.oid]))
            }
            None => {
                let path: Vec<&Arc<SchemaObject>> = search_path.iter().filter_map(|name| self.schema(name)).collect();
                path.iter().find_map(|schema| self.relation_in(schema, name)).ok_or_else(|| {
                    let oids: Vec<u32> = path.iter().map(|schema| schema.oid).collect();
                    self.missing(name, name, &oids)
                })
            }
        }
    }

    fn missing(&self, shown: &str, name: &str, schemas: &[u32]) -> PgError {
        let candidates =
            self.relation_names.keys().filter(|(schema, _)| schemas.contains(schema)).map(|(_, name)| name.as_str());
        let mut candidates: Vec<&str> = candidates.collect();
        candidates.sort_unstable();
        PgError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"))
            .hint_opt(nearest(name, candidates).map(|near| format!("Perhaps you meant \"{near}\".")))
    }
}

/// search_path as a list of schema names in lookup order: `$user` replaced, pg_catalog first unless named, `tributary`
/// last.
pub fn lookup_path(search_path: &str, current_user: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for item in search_path.split(',') {
        let item = item.trim();
        let name = match item.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some("$user") => current_user.to_owned(),
            Some(quoted) => quoted.replace("\"\"", "\""),
            None if item == "$user" => current_user.to_owned(),
            None => item.to_lowercase(),
        };
        if !name.is_empty() && !path.contains(&name) {
            path.push(name);
        }
    }
    if !path.iter().any(|name| name == "pg_catalog") {
        path.insert(0, "pg_catalog".to_owned());
    }
    if !path.iter().any(|name| name == "tributary") {
        path.push("tributary".to_owned());
    }
    path
}

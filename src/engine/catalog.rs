//! The catalog as statements see it: every object of one snapshot plus the transaction's own changes, parsed and named.
//!
//! A [`Catalog`] is immutable and shared. The store keeps objects as opaque bodies; here they are typed. Name lookup
//! follows search_path the way PostgreSQL does: `pg_temp` and `pg_catalog` first unless named, `tributary` last.

pub mod ddl;
pub mod deparse;
pub mod keywords;
mod objects;
pub mod rights;
pub mod shared;
pub(in crate::engine) mod stored;
pub mod verifier;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tributary_pg::error::{PgError, nearest};
use tributary_pg::sqlstate;

pub use objects::{
    ColumnObject, ConstraintKind, ConstraintObject, ExternalObject, ForeignKey, IndexObject, Membership, RoleObject,
    SchemaObject, SequenceObject, TableObject, ViewObject,
};

/// OIDs of PostgreSQL's own schemas and roles.
pub mod oid {
    /// Schema `pg_catalog`.
    pub const PG_CATALOG: u32 = 11;
    /// Schema `public`.
    pub const PUBLIC: u32 = 2200;
    /// Schema `information_schema`.
    pub const INFORMATION_SCHEMA: u32 = 13_207;
    /// Schema `pg_toast`, which is empty.
    pub const PG_TOAST: u32 = 99;
    /// The one database.
    pub const DATABASE: u32 = 5;
    /// The server that external tables belong to in pg_foreign_server.
    pub const FILES_SERVER: u32 = 8_130;
    /// Its wrapper in pg_foreign_data_wrapper.
    pub const FILES_WRAPPER: u32 = 8_131;
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
    /// A sequence.
    Sequence(Arc<SequenceObject>),
    /// A relation of pg_catalog, information_schema or tributary that the server itself fills.
    System(Arc<str>, Arc<str>),
}

/// One object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogObject {
    /// A schema.
    Schema(Arc<SchemaObject>),
    /// A table.
    Table(Arc<TableObject>),
    /// A view.
    View(Arc<ViewObject>),
    /// A role.
    Role(Arc<RoleObject>),
    /// A sequence.
    Sequence(Arc<SequenceObject>),
}

impl CatalogObject {
    /// Its OID.
    pub fn oid(&self) -> u32 {
        match self {
            Self::Schema(schema) => schema.oid,
            Self::Table(table) => table.oid,
            Self::View(view) => view.oid,
            Self::Role(role) => role.oid,
            Self::Sequence(sequence) => sequence.oid,
        }
    }

    /// The number of its kind on disk.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Schema(_) => 1,
            Self::Table(_) => 2,
            Self::View(_) => 3,
            Self::Role(_) => 4,
            Self::Sequence(_) => 5,
        }
    }

    /// Reads a stored body.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, PgError> {
        fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<Arc<T>, PgError> {
            serde_json::from_slice(body).map(Arc::new).map_err(|error| {
                PgError::new(sqlstate::DATA_CORRUPTED, format!("catalog object cannot be read: {error}"))
            })
        }
        match kind {
            1 => read(body).map(Self::Schema),
            2 => read(body).map(Self::Table),
            3 => read(body).map(Self::View),
            4 => read(body).map(Self::Role),
            5 => read(body).map(Self::Sequence),
            _ => Err(PgError::new(sqlstate::DATA_CORRUPTED, format!("catalog object has unknown kind {kind}"))),
        }
    }

    /// The body to store.
    pub fn encode(&self) -> Result<Vec<u8>, PgError> {
        let body = match self {
            Self::Schema(schema) => serde_json::to_vec(schema.as_ref()),
            Self::Table(table) => serde_json::to_vec(table.as_ref()),
            Self::View(view) => serde_json::to_vec(view.as_ref()),
            Self::Role(role) => serde_json::to_vec(role.as_ref()),
            Self::Sequence(sequence) => serde_json::to_vec(sequence.as_ref()),
        };
        body.map_err(|error| PgError::internal(format!("catalog object cannot be written: {error}")))
    }

    /// Are both the same stored value, not merely equal?
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Schema(a), Self::Schema(b)) => Arc::ptr_eq(a, b),
            (Self::Table(a), Self::Table(b)) => Arc::ptr_eq(a, b),
            (Self::View(a), Self::View(b)) => Arc::ptr_eq(a, b),
            (Self::Role(a), Self::Role(b)) => Arc::ptr_eq(a, b),
            (Self::Sequence(a), Self::Sequence(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

macro_rules! into_object {
    ($($kind:ident: $object:ty),*) => {$(
        impl From<$object> for CatalogObject {
            fn from(object: $object) -> Self {
                Self::$kind(Arc::new(object))
            }
        }
    )*};
}
into_object!(Schema: SchemaObject, Table: TableObject, View: ViewObject, Role: RoleObject, Sequence: SequenceObject);

/// All objects at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Changes with every DDL commit, and within a transaction with every DDL statement.
    pub version: u64,
    /// Schemas by OID, the program's own included.
    pub schemas: BTreeMap<u32, Arc<SchemaObject>>,
    /// Tables by OID.
    pub tables: BTreeMap<u32, Arc<TableObject>>,
    /// Views by OID.
    pub views: BTreeMap<u32, Arc<ViewObject>>,
    /// Roles by OID, the predefined ones included.
    pub roles: BTreeMap<u32, Arc<RoleObject>>,
    /// Sequences by OID.
    pub sequences: BTreeMap<u32, Arc<SequenceObject>>,
    /// (schema, relation name) to the OID of the table, view or sequence; for an index, of its table.
    pub relation_names: HashMap<(u32, String), u32>,
}

impl Catalog {
    /// A catalog of these stored objects beside what the program brings.
    pub fn new(version: u64, objects: impl IntoIterator<Item = CatalogObject>) -> Self {
        let mut catalog = Self { version, ..Self::default() };
        for (oid, name) in SYSTEM_SCHEMAS {
            let acl = (oid != oid::PG_TOAST).then(|| vec!["=U/postgres".to_owned()]);
            let name = name.to_owned();
            catalog.insert(SchemaObject { oid, name, owner: oid::BOOTSTRAP_ROLE, acl, comment: None });
        }
        for role in super::system::predefined_roles() {
            catalog.insert(role);
        }
        for object in objects {
            catalog.insert(object);
        }
        catalog
    }

    /// What a new database stores at its first start: schema public and the superuser.
    pub fn bootstrap(superuser: &str, verifier: Option<String>) -> Vec<CatalogObject> {
        let role = RoleObject {
            oid: oid::BOOTSTRAP_ROLE,
            name: superuser.to_owned(),
            superuser: true,
            login: true,
            create_role: true,
            create_database: true,
            inherit: true,
            replication: true,
            bypass_rls: true,
            connection_limit: -1,
            verifier,
            valid_until_us: None,
            member_of: Vec::new(),
            settings: Vec::new(),
            comment: None,
        };
        let public = SchemaObject {
            oid: oid::PUBLIC,
            name: "public".to_owned(),
            owner: oid::BOOTSTRAP_ROLE,
            acl: Some(vec![format!("{superuser}=UC/{superuser}"), format!("=U/{superuser}")]),
            comment: Some("standard public schema".to_owned()),
        };
        vec![role.into(), public.into()]
    }

    /// Adds an object or replaces the one with its OID.
    pub fn insert(&mut self, object: impl Into<CatalogObject>) {
        let object = object.into();
        let oid = object.oid();
        self.remove(oid);
        match object {
            CatalogObject::Schema(schema) => {
                self.schemas.insert(oid, schema);
            }
            CatalogObject::Role(role) => {
                self.roles.insert(oid, role);
            }
            CatalogObject::Sequence(sequence) => {
                self.relation_names.insert((sequence.schema, sequence.name.clone()), oid);
                self.sequences.insert(oid, sequence);
            }
            CatalogObject::View(view) => {
                self.relation_names.insert((view.schema, view.name.clone()), oid);
                self.views.insert(oid, view);
            }
            CatalogObject::Table(table) => {
                self.relation_names.insert((table.schema, table.name.clone()), oid);
                for index in &table.indexes {
                    self.relation_names.insert((table.schema, index.name.clone()), oid);
                }
                self.tables.insert(oid, table);
            }
        }
    }

    /// Takes an object out.
    pub fn remove(&mut self, oid: u32) {
        self.schemas.remove(&oid);
        self.roles.remove(&oid);
        if let Some(view) = self.views.remove(&oid) {
            self.relation_names.remove(&(view.schema, view.name.clone()));
        }
        if let Some(sequence) = self.sequences.remove(&oid) {
            self.relation_names.remove(&(sequence.schema, sequence.name.clone()));
        }
        if let Some(table) = self.tables.remove(&oid) {
            self.relation_names.remove(&(table.schema, table.name.clone()));
            for index in &table.indexes {
                self.relation_names.remove(&(table.schema, index.name.clone()));
            }
        }
    }

    /// An object by OID.
    pub fn object(&self, oid: u32) -> Option<CatalogObject> {
        let table = self.tables.get(&oid).map(|table| CatalogObject::Table(Arc::clone(table)));
        table
            .or_else(|| self.views.get(&oid).map(|view| CatalogObject::View(Arc::clone(view))))
            .or_else(|| self.schemas.get(&oid).map(|schema| CatalogObject::Schema(Arc::clone(schema))))
            .or_else(|| self.roles.get(&oid).map(|role| CatalogObject::Role(Arc::clone(role))))
            .or_else(|| self.sequences.get(&oid).map(|sequence| CatalogObject::Sequence(Arc::clone(sequence))))
    }

    /// Is there an object with this OID?
    pub fn contains(&self, oid: u32) -> bool {
        self.tables.contains_key(&oid)
            || self.views.contains_key(&oid)
            || self.schemas.contains_key(&oid)
            || self.roles.contains_key(&oid)
            || self.sequences.contains_key(&oid)
    }

    /// A schema by name.
    pub fn schema(&self, name: &str) -> Option<&Arc<SchemaObject>> {
        self.schemas.values().find(|schema| schema.name == name)
    }

    /// A schema's name; empty for an unknown OID.
    pub fn schema_name(&self, oid: u32) -> &str {
        self.schemas.get(&oid).map_or("", |schema| &schema.name)
    }

    /// A role by name.
    pub fn role(&self, name: &str) -> Option<&Arc<RoleObject>> {
        self.roles.values().find(|role| role.name == name)
    }

    /// Is the name of a table, view, sequence or index taken in a schema?
    pub fn relation_exists(&self, schema: u32, name: &str) -> bool {
        self.relation_names.contains_key(&(schema, name.to_owned()))
    }

    /// An index and its table, by the index's OID.
    pub fn index(&self, oid: u32) -> Option<(&Arc<TableObject>, &IndexObject)> {
        self.tables
            .values()
            .find_map(|table| table.indexes.iter().find(|index| index.oid == oid).map(|index| (table, index)))
    }

    /// An index and its table, by name.
    pub fn index_named(&self, schema: u32, name: &str) -> Option<(&Arc<TableObject>, &IndexObject)> {
        let table = self.tables.get(self.relation_names.get(&(schema, name.to_owned()))?)?;
        table.indexes.iter().find(|index| index.name == name).map(|index| (table, index))
    }

    /// Views that read a relation directly, by OID.
    pub fn dependents(&self, oid: u32) -> impl Iterator<Item = &Arc<ViewObject>> {
        self.views.values().filter(move |view| view.depends_on.contains(&oid))
    }

    /// A relation of one schema.
    pub fn relation_in(&self, schema: &SchemaObject, name: &str) -> Option<Relation> {
        if let Some(oid) = self.relation_names.get(&(schema.oid, name.to_owned())) {
            return self
                .tables
                .get(oid)
                .filter(|table| table.name == name)
                .map(|table| Relation::Table(Arc::clone(table)))
                .or_else(|| self.views.get(oid).map(|view| Relation::View(Arc::clone(view))))
                .or_else(|| self.sequences.get(oid).map(|sequence| Relation::Sequence(Arc::clone(sequence))));
        }
        super::system::exists(&schema.name, name)
            .then(|| Relation::System(Arc::from(schema.name.as_str()), Arc::from(name)))
    }

    /// What a possibly qualified name means; 42P01 or 3F000 with the nearest name as hint.
    pub fn resolve(&self, search_path: &[String], schema: Option<&str>, name: &str) -> Result<Relation, PgError> {
        match schema {
            Some(schema_name) => {
                let schema_name = own_temporary(schema_name, search_path);
                let schema = self.schema(schema_name).ok_or_else(|| {
                    PgError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{schema_name}.{name}\" does not exist"))
                })?;
                self.relation_in(schema, name)
                    .ok_or_else(|| self.missing(&format!("{schema_name}.{name}"), name, &[schema.oid]))
            }
            None => {
                let path: Vec<&Arc<SchemaObject>> = search_path.iter().filter_map(|name| self.schema(name)).collect();
                // Of schema tributary an unqualified name finds functions only: no view of ours passes for a table of the
                // user's that is missing.
                let mut searched = path.iter().filter(|schema| schema.oid != oid::TRIBUTARY);
                searched.find_map(|schema| self.relation_in(schema, name)).ok_or_else(|| {
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

/// Begins the name of a session's schema for temporary objects.
pub const TEMPORARY_PREFIX: &str = "pg_temp_";

/// What `pg_temp` means in a session.
pub fn own_temporary<'a>(schema: &'a str, search_path: &'a [String]) -> &'a str {
    let own = || search_path.iter().find(|name| name.starts_with(TEMPORARY_PREFIX));
    if schema == "pg_temp" { own().map_or(schema, String::as_str) } else { schema }
}

/// Schemas that are not stored: they hold what the program brings.
const SYSTEM_SCHEMAS: [(u32, &str); 4] = [
    (oid::PG_CATALOG, "pg_catalog"),
    (oid::PG_TOAST, "pg_toast"),
    (oid::INFORMATION_SCHEMA, "information_schema"),
    (oid::TRIBUTARY, "tributary"),
];

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

//! The objects users make. Bodies are stored as JSON: fields may be added with a default, never renamed.
//!
//! Names of types, schemas, roles and other relations are OIDs, so a stored object says nothing that a rename could
//! make wrong. Expressions are kept twice: as SQL the planner reads, and as PostgreSQL shows them.

use serde::{Deserialize, Serialize};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

/// CREATE SCHEMA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaObject {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Owning role.
    pub owner: u32,
    /// Rights as aclitem texts, `None` for the default.
    #[serde(default)]
    pub acl: Option<Vec<String>>,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

/// CREATE ROLE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleObject {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// SUPERUSER.
    pub superuser: bool,
    /// LOGIN.
    pub login: bool,
    /// CREATEROLE.
    pub create_role: bool,
    /// CREATEDB, accepted and shown.
    pub create_database: bool,
    /// INHERIT.
    pub inherit: bool,
    /// REPLICATION, accepted and shown.
    #[serde(default)]
    pub replication: bool,
    /// BYPASSRLS, accepted and shown.
    #[serde(default)]
    pub bypass_rls: bool,
    /// CONNECTION LIMIT, -1 for none.
    pub connection_limit: i32,
    /// SCRAM verifier; never a password.
    pub verifier: Option<String>,
    /// VALID UNTIL, microseconds since 1970.
    pub valid_until_us: Option<i64>,
    /// Roles this one is a member of.
    #[serde(default)]
    pub member_of: Vec<Membership>,
    /// ALTER ROLE .. SET, as `name=value`.
    #[serde(default)]
    pub settings: Vec<String>,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Membership of a role in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role it is a member of.
    pub role: u32,
    /// Who granted it.
    pub grantor: u32,
    /// WITH ADMIN OPTION.
    pub admin: bool,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnObject {
    /// Number, from 1, never reused.
    pub attnum: i16,
    /// The store's column id.
    pub column_id: u32,
    /// Name.
    pub name: String,
    /// Type.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub typmod: i32,
    /// NOT NULL.
    pub not_null: bool,
    /// DEFAULT expression as SQL text.
    pub default: Option<String>,
    /// DEFAULT as PostgreSQL shows it.
    #[serde(default)]
    pub default_shown: Option<String>,
    /// OID of the pg_attrdef row; 0 without a default.
    #[serde(default)]
    pub default_oid: u32,
    /// GENERATED AS IDENTITY: `a` for ALWAYS, `d` for BY DEFAULT.
    #[serde(default)]
    pub identity: Option<char>,
    /// OID of the sequence behind an identity; 0 without one.
    #[serde(default)]
    pub identity_sequence: u32,
    /// Dropped columns keep their number.
    #[serde(default)]
    pub dropped: bool,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Kinds of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConstraintKind {
    /// CHECK.
    Check,
    /// PRIMARY KEY.
    PrimaryKey,
    /// UNIQUE.
    Unique,
    /// FOREIGN KEY, recorded and not enforced.
    ForeignKey,
}

/// A constraint of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintObject {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: ConstraintKind,
    /// Columns by attnum.
    pub columns: Vec<i16>,
    /// CHECK's expression as SQL text.
    pub expression: Option<String>,
    /// CHECK's expression as PostgreSQL shows it.
    #[serde(default)]
    pub expression_shown: Option<String>,
    /// The index of a key, also a relation; for FOREIGN KEY the referenced key's.
    pub index_oid: u32,
    /// FOREIGN KEY: what is referenced.
    #[serde(default)]
    pub references: Option<ForeignKey>,
    /// DEFERRABLE, recorded and shown.
    #[serde(default)]
    pub deferrable: bool,
    /// INITIALLY DEFERRED, recorded and shown.
    #[serde(default)]
    pub deferred: bool,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

/// What a foreign key references.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// OID of the table.
    pub table: u32,
    /// Its columns by attnum.
    pub columns: Vec<i16>,
    /// confupdtype: a r c n d.
    pub on_update: char,
    /// confdeltype.
    pub on_delete: char,
    /// confmatchtype: s f.
    pub match_type: char,
}

/// An index of a table, a key's or one of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexObject {
    /// OID in pg_class.
    pub oid: u32,
    /// Name, unique among the relations of the schema.
    pub name: String,
    /// Key columns by attnum.
    pub columns: Vec<i16>,
    /// Per column 1 for DESC plus 2 for NULLS FIRST; empty for all ascending.
    #[serde(default)]
    pub options: Vec<i16>,
    /// No two rows alike.
    pub unique: bool,
    /// A primary key's.
    pub primary: bool,
    /// NULLS NOT DISTINCT: NULL equals NULL.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// Access method: `btree`, `hash`.
    pub method: String,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Where the rows of an external table are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalObject {
    /// `csv`, `json`, `parquet`.
    pub format: String,
    /// A file, a directory or a pattern.
    pub location: String,
    /// OPTIONS as given.
    pub options: Vec<(String, String)>,
}

/// CREATE TABLE, CREATE EXTERNAL TABLE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableObject {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: u32,
    /// Name.
    pub name: String,
    /// Owning role.
    pub owner: u32,
    /// Columns by attnum, dropped ones too.
    pub columns: Vec<ColumnObject>,
    /// Constraints.
    pub constraints: Vec<ConstraintObject>,
    /// Indexes, those of keys included.
    #[serde(default)]
    pub indexes: Vec<IndexObject>,
    /// Row type and its array type.
    pub row_type: u32,
    /// Array of the row type.
    pub array_type: u32,
    /// `order_by` columns by attnum.
    #[serde(default)]
    pub order_by: Vec<i16>,
    /// WITH options as written.
    #[serde(default)]
    pub options: Vec<(String, String)>,
    /// Files that hold the rows, instead of the store.
    #[serde(default)]
    pub external: Option<ExternalObject>,
    /// ON COMMIT of a temporary table: `d` for DELETE ROWS, `x` for DROP.
    #[serde(default)]
    pub on_commit: Option<char>,
    /// Rights as aclitem texts, `None` for the default.
    #[serde(default)]
    pub acl: Option<Vec<String>>,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

impl TableObject {
    /// What it is called in messages.
    pub fn kind_name(&self) -> &'static str {
        if self.external.is_some() { "foreign table" } else { "table" }
    }

    /// 25006 for an external table.
    pub fn must_be_writable(&self) -> Result<(), PgError> {
        match self.external {
            None => Ok(()),
            Some(_) => {
                let message = format!("external table \"{}\" is read-only", self.name);
                Err(PgError::new(sqlstate::READ_ONLY_SQL_TRANSACTION, message))
            }
        }
    }

    /// Columns that are not dropped, in order.
    pub fn live_columns(&self) -> impl Iterator<Item = &ColumnObject> {
        self.columns.iter().filter(|column| !column.dropped)
    }

    /// A live column by name.
    pub fn column(&self, name: &str) -> Option<&ColumnObject> {
        self.live_columns().find(|column| column.name == name)
    }

    /// A column by number.
    pub fn column_by_attnum(&self, attnum: i16) -> Option<&ColumnObject> {
        self.columns.get(usize::try_from(attnum).ok()?.checked_sub(1)?)
    }

    /// The primary key.
    pub fn primary_key(&self) -> Option<&ConstraintObject> {
        self.constraints.iter().find(|constraint| constraint.kind == ConstraintKind::PrimaryKey)
    }
}

/// CREATE SEQUENCE. Where it stands is kept in the store under `state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceObject {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: u32,
    /// Name.
    pub name: String,
    /// Owning role.
    pub owner: u32,
    /// smallint, integer or bigint.
    pub type_oid: u32,
    /// START WITH.
    pub start: i64,
    /// INCREMENT BY.
    pub increment: i64,
    /// MINVALUE.
    pub min: i64,
    /// MAXVALUE.
    pub max: i64,
    /// CACHE, recorded and shown.
    pub cache: i64,
    /// CYCLE.
    pub cycle: bool,
    /// OWNED BY: table and attnum.
    #[serde(default)]
    pub owned_by: Option<(u32, i16)>,
    /// Behind an identity column.
    #[serde(default)]
    pub identity: bool,
    /// Number of its state: another one after each RESTART.
    pub state: u32,
    /// The first value of that state.
    pub first: i64,
    /// Rights as aclitem texts, `None` for the default.
    #[serde(default)]
    pub acl: Option<Vec<String>>,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

impl SequenceObject {
    /// A sequence with default options.
    pub fn plain(oid: u32, schema: u32, name: String, owner: u32) -> Self {
        Self {
            oid,
            schema,
            name,
            owner,
            type_oid: tributary_pg::types::oid::INT8,
            start: 1,
            increment: 1,
            min: 1,
            max: i64::MAX,
            cache: 1,
            cycle: false,
            owned_by: None,
            identity: false,
            state: oid,
            first: 1,
            acl: None,
            comment: None,
        }
    }
}

/// CREATE VIEW.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewObject {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: u32,
    /// Name.
    pub name: String,
    /// Owning role.
    pub owner: u32,
    /// The query as written.
    pub query: String,
    /// search_path at creation, by which the query is planned again.
    pub search_path: String,
    /// Output columns as (name, type, typmod).
    pub columns: Vec<(String, u32, i32)>,
    /// Comments of columns, by number.
    #[serde(default)]
    pub column_comments: Vec<(i16, String)>,
    /// Relations it reads.
    pub depends_on: Vec<u32>,
    /// Row type and its array type.
    pub row_type: u32,
    /// Array of the row type.
    pub array_type: u32,
    /// Rights as aclitem texts, `None` for the default.
    #[serde(default)]
    pub acl: Option<Vec<String>>,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

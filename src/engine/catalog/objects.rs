//! The objects users make. Bodies are stored as JSON: fields may be added with a default, never renamed.

use serde::{Deserialize, Serialize};

/// CREATE SCHEMA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaObject {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Owning role.
    pub owner: u32,
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
    /// CONNECTION LIMIT, -1 for none.
    pub connection_limit: i32,
    /// SCRAM verifier; never a password.
    pub verifier: Option<String>,
    /// VALID UNTIL, microseconds since 1970.
    pub valid_until_us: Option<i64>,
    /// Roles this one is a member of.
    #[serde(default)]
    pub member_of: Vec<u32>,
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
    /// The index of a key, also a relation.
    pub index_oid: u32,
    /// FOREIGN KEY: table and columns referenced.
    #[serde(default)]
    pub references: Option<(u32, Vec<i16>)>,
}

/// CREATE TABLE.
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
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

impl TableObject {
    /// Columns that are not dropped, in order.
    pub fn live_columns(&self) -> impl Iterator<Item = &ColumnObject> {
        self.columns.iter().filter(|column| !column.dropped)
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
    /// Relations it reads.
    pub depends_on: Vec<u32>,
    /// Row type and its array type.
    pub row_type: u32,
    /// Array of the row type.
    pub array_type: u32,
    /// COMMENT ON.
    #[serde(default)]
    pub comment: Option<String>,
}

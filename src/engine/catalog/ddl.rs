//! Statements that change the catalog: what they check, what they make, what they say.
//!
//! A statement works on its own copy of the catalog and notes which objects it touched; the session hands those to the
//! store's transaction. So every statement is all or nothing, and ROLLBACK needs no undo here. Error texts, notices and
//! the order of checks are PostgreSQL's. Nothing here reads or writes rows.

mod alter_table;
mod comment;
mod constraint;
mod create_table;
mod drop;
mod grant;
mod index;
mod like;
mod role;
mod schema;
mod sequence;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;
use tributary_pg::types::{self, TypeRef};

use super::deparse::fold;
use super::{Catalog, CatalogObject, RoleObject, SchemaObject, SequenceObject, TEMPORARY_PREFIX, TableObject, oid};
use crate::dialect::sqlparser::ast::{DataType, Expr, Ident, ObjectName, Statement};
use crate::dialect::sqlparser::dialect::PostgreSqlDialect;
use crate::dialect::sqlparser::parser::Parser;

pub use create_table::TablePlan;
pub(in crate::engine) use create_table::partition;
pub(in crate::engine) use sequence::next_of;

/// Longest name in bytes, as NAMEDATALEN - 1.
pub const NAME_BYTES_MAX: usize = 63;
/// Most columns of a table.
pub const COLUMNS_MAX: usize = 1600;

/// A column of a view as its query gives it: name, type OID, typmod.
pub type ViewColumn = (String, u32, i32);

/// What DDL asks of the rest of the engine.
pub trait DdlHost {
    /// The next OID; it is used up even if the statement fails.
    fn new_oid(&mut self) -> PgResult<u32>;

    /// Checks that an expression can be assigned to a column of this type (DEFAULT).
    fn check_default(&mut self, expr: &Expr, type_oid: u32, typmod: i32) -> PgResult<()>;

    /// Whether a default must be evaluated for each row.
    fn volatile(&mut self, expr: &Expr) -> PgResult<bool>;

    /// Checks that an expression is a condition over these columns (CHECK).
    fn check_condition(&mut self, catalog: &Catalog, table: &TableObject, expr: &Expr) -> PgResult<()>;

    /// Output columns of a view's query, planned against `catalog`.
    fn view_columns(&mut self, catalog: &Catalog, query: &str) -> PgResult<Vec<ViewColumn>>;

    /// A timestamp with time zone as the session reads it, in microseconds since 1970.
    fn parse_time(&mut self, text: &str) -> PgResult<i64>;

    /// Where a sequence stands: its last value, and whether it was given.
    fn sequence_position(&mut self, sequence: &SequenceObject) -> PgResult<(i64, bool)>;

    /// Name of the session's schema for temporary objects.
    fn temporary_schema(&self) -> String;

    /// Has the table any row, as far as this transaction sees?
    fn has_rows(&mut self, table: u32) -> PgResult<bool>;
}

/// One statement at work.
pub struct Ddl<'a> {
    /// The catalog with the changes made so far.
    pub catalog: Catalog,
    /// Schemas searched, in order.
    pub search_path: &'a [String],
    /// The role in force.
    pub role: Arc<RoleObject>,
    /// The rest of the engine.
    pub host: &'a mut dyn DdlHost,
    /// OIDs made, changed or dropped.
    pub touched: BTreeSet<u32>,
    /// NOTICEs for the client.
    pub notices: Vec<PgError>,
    /// What is left to do with rows.
    pub work: Vec<RowWork>,
    /// CHECKs added NOT VALID.
    unchecked: Vec<u32>,
}

/// What a statement leaves to be done with the rows of a table, in this order.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum RowWork {
    /// The value of a new column in rows that are there: its default, evaluated once.
    Fill {
        /// The table.
        table: u32,
        /// The column.
        attnum: i16,
    },
    /// Rows are made anew: columns have another type, or a default of their own for each row.
    Rewrite(Rewrite),
    /// No two rows may have the same key.
    Key {
        /// The table.
        table: u32,
        /// OID of the index.
        index: u32,
    },
    /// NOT NULL must hold.
    NotNull {
        /// The table.
        table: u32,
        /// The column.
        attnum: i16,
    },
    /// A CHECK must hold.
    Check {
        /// The table.
        table: u32,
        /// OID of the constraint.
        constraint: u32,
    },
}

/// See [`RowWork::Rewrite`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The table as its rows are stored.
    pub before: Arc<TableObject>,
    /// Columns of another type, with USING as it was written.
    pub retyped: Vec<(i16, Option<String>)>,
}

impl PartialOrd for Rewrite {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.before.oid.partial_cmp(&other.before.oid)
    }
}

/// What a statement did.
#[derive(Debug)]
pub struct DdlDone {
    /// The catalog after it.
    pub catalog: Catalog,
    /// OIDs of objects to store (they are in `catalog`) or to drop (they are not).
    pub touched: BTreeSet<u32>,
    /// NOTICEs, in order.
    pub notices: Vec<PgError>,
    /// What is left to do with rows.
    pub work: Vec<RowWork>,
    /// The command tag.
    pub tag: &'static str,
}

impl<'a> Ddl<'a> {
    /// A statement about to run in this catalog.
    pub fn new(catalog: &Catalog, search_path: &'a [String], role: Arc<RoleObject>, host: &'a mut dyn DdlHost) -> Self {
        Self {
            catalog: catalog.clone(),
            search_path,
            role,
            host,
            touched: BTreeSet::new(),
            notices: Vec::new(),
            work: Vec::new(),
            unchecked: Vec::new(),
        }
    }

    /// Runs a DDL statement; `None` if it is of another kind. `text` is the statement as the client wrote it.
    pub fn run(mut self, statement: &Statement, text: &str) -> PgResult<Option<DdlDone>> {
        let tag = match statement {
            Statement::CreateTable(create) if create.query.is_none() => {
                self.create_table(create).map(|_| "CREATE TABLE")
            }
            Statement::CreateView(create) => self.create_view(create, text),
            Statement::CreateSchema { schema_name, if_not_exists, .. } => {
                self.create_schema(schema_name, *if_not_exists)
            }
            Statement::AlterSchema(alter) => self.alter_schema(alter),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::CreateIndex(create) => self.create_index(create),
            Statement::Grant(grant) => self.grant(grant),
            Statement::Revoke(revoke) => self.revoke(revoke),
            Statement::Comment { object_type, object_name, comment, if_exists } => {
                self.comment_on(*object_type, object_name, comment.as_deref(), *if_exists)
            }
            Statement::Drop { object_type, if_exists, names, cascade, .. } => {
                self.drop(object_type, names, *if_exists, *cascade)
            }
            _ => return Ok(None),
        }?;
        Ok(Some(self.done(tag)))
    }

    fn done(self, tag: &'static str) -> DdlDone {
        let mut work = self.work;
        work.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
        DdlDone { catalog: self.catalog, touched: self.touched, notices: self.notices, work, tag }
    }

    fn put(&mut self, object: impl Into<CatalogObject>) {
        let object = object.into();
        self.touched.insert(object.oid());
        self.catalog.insert(object);
    }

    /// Drops an object, and with a table the sequences its columns own.
    fn take(&mut self, oid: u32) {
        let owned = self.catalog.sequences.values().filter(|sequence| sequence.owned_by.is_some_and(|o| o.0 == oid));
        for oid in owned.map(|sequence| sequence.oid).chain([oid]).collect::<Vec<_>>() {
            self.touched.insert(oid);
            self.catalog.remove(oid);
        }
    }

    fn notice(&mut self, error: PgError) {
        self.notices.push(error.severity(Severity::Notice));
    }

    /// NOTICE with SQLSTATE 00000.
    fn say(&mut self, message: String) {
        self.notice(PgError::new(sqlstate::SUCCESSFUL_COMPLETION, message));
    }

    /// The schema a new object goes to, and its own name; `temporary` ones go to the session's own schema.
    fn creation_place(
        &mut self,
        schema: Option<String>,
        own: String,
        temporary: bool,
    ) -> PgResult<(Arc<SchemaObject>, String)> {
        if temporary || schema.as_deref() == Some("pg_temp") {
            return match schema.as_deref() {
                None | Some("pg_temp") => Ok((self.temporary_schema()?, own)),
                Some(_) => Err(PgError::new(
                    sqlstate::INVALID_TABLE_DEFINITION,
                    "cannot create temporary relation in non-temporary schema",
                )),
            };
        }
        let found = match &schema {
            Some(schema) => self.schema(schema)?,
            None => self
                .search_path
                .iter()
                .filter(|name| name.as_str() != "pg_catalog" && name.as_str() != "tributary")
                .filter(|name| !name.starts_with(TEMPORARY_PREFIX))
                .find_map(|name| self.catalog.schema(name))
                .cloned()
                .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_SCHEMA, "no schema has been selected to create in"))?,
        };
        self.may_create_in(&found)?;
        Ok((found, own))
    }

    /// The session's schema for temporary objects, made when it is first needed.
    fn temporary_schema(&mut self) -> PgResult<Arc<SchemaObject>> {
        let name = self.host.temporary_schema();
        if let Some(schema) = self.catalog.schema(&name) {
            return Ok(Arc::clone(schema));
        }
        let oid = self.host.new_oid()?;
        self.put(SchemaObject { oid, name: name.clone(), owner: oid::BOOTSTRAP_ROLE, acl: None, comment: None });
        self.schema(&name)
    }

    /// A schema by name, or 3F000.
    fn schema(&self, name: &str) -> PgResult<Arc<SchemaObject>> {
        self.catalog
            .schema(name)
            .cloned()
            .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist")))
    }

    fn may_create_in(&self, schema: &SchemaObject) -> PgResult<()> {
        if is_system_schema(schema.oid) || schema.name.starts_with(TEMPORARY_PREFIX) {
            return Err(PgError::new(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for schema {}", schema.name),
            )
            .detail("System catalog modifications are currently disallowed."));
        }
        if self.owns(schema.owner) || super::rights::acl_allows(&self.catalog, schema.acl.as_deref(), &self.role, 'C') {
            return Ok(());
        }
        Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("permission denied for schema {}", schema.name)))
    }

    /// Has the current role the rights of this owner?
    fn owns(&self, owner: u32) -> bool {
        super::rights::has_role(&self.catalog, &self.role, owner)
    }

    fn must_own(&self, owner: u32, kind: &str, name: &str) -> PgResult<()> {
        if self.owns(owner) {
            return Ok(());
        }
        Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("must be owner of {kind} {name}")))
    }

    /// Cuts a name to 63 bytes with PostgreSQL's notice.
    fn cut_name(&mut self, name: String) -> String {
        if name.len() <= NAME_BYTES_MAX {
            return name;
        }
        let cut = truncate(&name, NAME_BYTES_MAX).to_owned();
        self.notice(PgError::new(
            sqlstate::NAME_TOO_LONG,
            format!("identifier \"{name}\" will be truncated to \"{cut}\""),
        ));
        cut
    }

    /// A relation name nobody in the schema has: `base`, `base1`, `base2`, ...
    fn free_relation_name(
        &self,
        schema: u32,
        name1: &str,
        name2: Option<&str>,
        label: &str,
        also: &[String],
    ) -> String {
        (0..)
            .map(|pass: u32| {
                object_name(name1, name2, &if pass == 0 { label.to_owned() } else { format!("{label}{pass}") })
            })
            .find(|name| !self.catalog.relation_exists(schema, name) && !also.contains(name))
            .expect("an endless range of names has a free one")
    }
}

/// Is it one of the schemas the program brings?
pub fn is_system_schema(schema: u32) -> bool {
    [oid::PG_CATALOG, oid::INFORMATION_SCHEMA, oid::TRIBUTARY, oid::PG_TOAST].contains(&schema)
}

/// Schema (if given) and own name of an object; a leading database name must be ours or is dropped by the caller.
pub fn split_name(name: &ObjectName) -> PgResult<(Option<String>, String)> {
    let mut parts = Vec::new();
    for part in &name.0 {
        match part.as_ident() {
            Some(ident) => parts.push(fold(ident)),
            None => return Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("improper qualified name: {name}"))),
        }
    }
    match parts.as_mut_slice() {
        [own] => Ok((None, std::mem::take(own))),
        [schema, own] | [_, schema, own] => Ok((Some(std::mem::take(schema)), std::mem::take(own))),
        _ => Err(PgError::new(
            sqlstate::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {name}"),
        )),
    }
}

/// A name as errors show it: `schema.name` if it was given so.
pub fn shown_name(schema: Option<&str>, name: &str) -> String {
    schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"))
}

/// makeObjectName: `name1_name2_label` within 63 bytes, the longer name shortened first.
pub fn object_name(name1: &str, name2: Option<&str>, label: &str) -> String {
    let overhead = label.len() + 1 + usize::from(name2.is_some());
    let room = NAME_BYTES_MAX.saturating_sub(overhead);
    let (mut length1, mut length2) = (name1.len(), name2.map_or(0, str::len));
    while length1 + length2 > room {
        if length1 > length2 { length1 -= 1 } else { length2 -= 1 }
    }
    let first = truncate(name1, length1);
    match name2 {
        Some(name2) => format!("{first}_{}_{label}", truncate(name2, length2)),
        None => format!("{first}_{label}"),
    }
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
fn truncate(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Type and typmod of a column definition.
pub fn column_type(data_type: &DataType) -> PgResult<(TypeRef, i32)> {
    let text = data_type.to_string();
    let (ty, typmod) = types::parse_type(&text)?;
    if ty.typtype == 'p' {
        return Err(PgError::new(sqlstate::INVALID_TABLE_DEFINITION, format!("column has pseudo-type {}", ty.display)));
    }
    ty.arrow_type(typmod)?;
    Ok((ty, typmod))
}

/// An expression made here.
fn parsed(text: &str) -> PgResult<Expr> {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| PgError::internal(format!("expression {text} cannot be read: {error}")))
}

fn names(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_shorten_the_longer_part() {
        assert_eq!(object_name("t", Some("a"), "key"), "t_a_key");
        assert_eq!(object_name("t", None, "pkey"), "t_pkey");
        let long = "x".repeat(70);
        let name = object_name(&long, Some("col"), "key");
        assert_eq!(name.len(), 63);
        assert!(name.ends_with("x_col_key"), "{name}");
    }
}

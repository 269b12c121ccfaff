//! pg_namespace, pg_database, pg_tablespace, pg_description, pg_shdescription.

use tributary_pg::error::PgResult;

use crate::engine::catalog::{Catalog, oid};
use crate::engine::system::fixed;
use crate::engine::system::relation::relation;
use crate::engine::system::rows::{Cell, Rows};

/// OID of pg_class, as a class of comments and dependencies.
pub(super) const CLASS: u32 = 1259;
/// OID of pg_namespace.
pub(super) const NAMESPACE: u32 = 2615;
/// OID of pg_constraint.
pub(super) const CONSTRAINT: u32 = 2606;
/// OID of pg_authid.
pub(super) const AUTHID: u32 = 1260;
/// OID of pg_database.
const DATABASE: u32 = 1262;

/// pg_namespace
pub(super) fn namespace(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for schema in catalog.schemas.values() {
        rows.push([
            ("oid", schema.oid.into()),
            ("nspname", schema.name.clone().into()),
            ("nspowner", schema.owner.into()),
            ("nspacl", schema.acl.clone().into()),
        ]);
    }
    Ok(())
}

/// pg_database
pub(super) fn database(_: &Catalog, _: &mut Rows) -> PgResult<()> {
    Ok(())
}

/// pg_database with the database's name.
pub(super) fn database_named(name: &str, rows: &mut Rows) -> PgResult<()> {
    rows.push([
        ("oid", oid::DATABASE.into()),
        ("datname", name.to_owned().into()),
        ("datdba", oid::BOOTSTRAP_ROLE.into()),
        ("encoding", 6_i32.into()),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1_i32).into()),
        ("datminmxid", 1_u32.into()),
        ("dattablespace", 1663_u32.into()),
        ("datcollate", "C.UTF-8".into()),
        ("datctype", "C.UTF-8".into()),
    ]);
    Ok(())
}

/// pg_tablespace
pub(super) fn tablespace(_: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for (oid, name) in [(1663_u32, "pg_default"), (1664, "pg_global")] {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", oid::BOOTSTRAP_ROLE.into())]);
    }
    Ok(())
}

/// pg_description
pub(super) fn description(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    if let Some(relation) = relation("pg_catalog", "pg_description") {
        fixed::append(relation, rows)?;
    }
    let mut push = |object: u32, class: u32, sub: i32, text: &Option<String>| {
        if let Some(text) = text {
            rows.push([
                ("objoid", object.into()),
                ("classoid", class.into()),
                ("objsubid", sub.into()),
                ("description", Cell::Text(text.clone())),
            ]);
        }
    };
    for schema in catalog.schemas.values() {
        push(schema.oid, NAMESPACE, 0, &schema.comment);
    }
    for table in catalog.tables.values() {
        push(table.oid, CLASS, 0, &table.comment);
        for column in table.live_columns() {
            push(table.oid, CLASS, i32::from(column.attnum), &column.comment);
        }
        for index in &table.indexes {
            push(index.oid, CLASS, 0, &index.comment);
        }
        for constraint in &table.constraints {
            push(constraint.oid, CONSTRAINT, 0, &constraint.comment);
        }
    }
    for sequence in catalog.sequences.values() {
        push(sequence.oid, CLASS, 0, &sequence.comment);
    }
    for view in catalog.views.values() {
        push(view.oid, CLASS, 0, &view.comment);
        for (attnum, comment) in &view.column_comments {
            push(view.oid, CLASS, i32::from(*attnum), &Some(comment.clone()));
        }
    }
    Ok(())
}

/// pg_shdescription
pub(super) fn shared_description(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for role in catalog.roles.values() {
        if let Some(comment) = &role.comment {
            rows.push([
                ("objoid", role.oid.into()),
                ("classoid", AUTHID.into()),
                ("description", comment.clone().into()),
            ]);
        }
    }
    rows.push([
        ("objoid", oid::DATABASE.into()),
        ("classoid", DATABASE.into()),
        ("description", "the customer-data database".into()),
    ]);
    Ok(())
}

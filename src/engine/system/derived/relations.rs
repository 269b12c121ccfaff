//! pg_class, pg_attribute, pg_rewrite.

use tributary_pg::error::PgResult;

use crate::engine::catalog::{Catalog, ConstraintKind, TEMPORARY_PREFIX, TableObject, ViewObject, oid};
use crate::engine::system::SEQUENCE_COLUMNS;
use crate::engine::system::fixed::{self, SystemType};
use crate::engine::system::relation::relations;
use crate::engine::system::rows::{Cell, Rows};

const HEAP: u32 = 2;
const BTREE: u32 = 403;
const HASH: u32 = 405;
/// Views have no access method.
const NONE: u32 = 0;

/// OID of an access method.
pub(super) fn method_oid(method: &str) -> u32 {
    if method == "hash" { HASH } else { BTREE }
}

/// pg_class
pub(super) fn class(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for relation in relations() {
        let table = relation.relkind == 'r';
        rows.push([
            ("oid", relation.oid.into()),
            ("relname", relation.name.into()),
            ("relnamespace", relation.schema_oid.into()),
            ("reltype", relation.row_type.into()),
            ("relowner", oid::BOOTSTRAP_ROLE.into()),
            ("relam", if table { HEAP } else { NONE }.into()),
            ("reltuples", Cell::Float(-1.0)),
            ("relpersistence", "p".into()),
            ("relkind", relation.relkind.into()),
            ("relnatts", small(relation.columns.len())),
            ("relhasrules", (!table).into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
            ("relacl", vec!["postgres=arwdDxt/postgres", "=r/postgres"].into()),
        ]);
    }
    for table in catalog.tables.values() {
        push_table(catalog, table, rows);
    }
    for view in catalog.views.values() {
        push_view(catalog, view, rows);
    }
    for sequence in catalog.sequences.values() {
        rows.push([
            ("oid", sequence.oid.into()),
            ("relname", sequence.name.clone().into()),
            ("relnamespace", sequence.schema.into()),
            ("relowner", sequence.owner.into()),
            ("relfilenode", sequence.state.into()),
            ("relpages", 1_i32.into()),
            ("reltuples", Cell::Float(1.0)),
            ("relpersistence", persistence(catalog, sequence.schema).into()),
            ("relkind", "S".into()),
            ("relnatts", small(SEQUENCE_COLUMNS.len())),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
            ("relacl", sequence.acl.clone().into()),
        ]);
    }
    Ok(())
}

/// pg_foreign_table: external tables.
pub(super) fn foreign_table(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for (table, external) in catalog.tables.values().filter_map(|table| Some((table, table.external.as_ref()?))) {
        let own = [("format", &external.format), ("location", &external.location)];
        let given = external.options.iter().map(|(name, value)| (name.as_str(), value));
        let options: Vec<String> =
            own.into_iter().chain(given).map(|(name, value)| format!("{name}={value}")).collect();
        rows.push([
            ("ftrelid", table.oid.into()),
            ("ftserver", oid::FILES_SERVER.into()),
            ("ftoptions", options.into()),
        ]);
    }
    Ok(())
}

fn has_external(catalog: &Catalog) -> bool {
    catalog.tables.values().any(|table| table.external.is_some())
}

/// pg_foreign_server: the server's own files, once there are external tables.
pub(super) fn foreign_server(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    if has_external(catalog) {
        rows.push([
            ("oid", oid::FILES_SERVER.into()),
            ("srvname", "files".into()),
            ("srvowner", oid::BOOTSTRAP_ROLE.into()),
            ("srvfdw", oid::FILES_WRAPPER.into()),
        ]);
    }
    Ok(())
}

/// pg_foreign_data_wrapper, likewise.
pub(super) fn foreign_data_wrapper(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    if has_external(catalog) {
        rows.push([
            ("oid", oid::FILES_WRAPPER.into()),
            ("fdwname", "files".into()),
            ("fdwowner", oid::BOOTSTRAP_ROLE.into()),
        ]);
    }
    Ok(())
}

/// relpersistence: `t` in a session's schema for temporary objects.
fn persistence(catalog: &Catalog, schema: u32) -> &'static str {
    if catalog.schema_name(schema).starts_with(TEMPORARY_PREFIX) { "t" } else { "p" }
}

/// pg_sequence
pub(super) fn sequence(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for sequence in catalog.sequences.values() {
        rows.push([
            ("seqrelid", sequence.oid.into()),
            ("seqtypid", sequence.type_oid.into()),
            ("seqstart", sequence.start.into()),
            ("seqincrement", sequence.increment.into()),
            ("seqmax", sequence.max.into()),
            ("seqmin", sequence.min.into()),
            ("seqcache", sequence.cache.into()),
            ("seqcycle", sequence.cycle.into()),
        ]);
    }
    Ok(())
}

fn push_table(catalog: &Catalog, table: &TableObject, rows: &mut Rows) {
    let checks = table.constraints.iter().filter(|constraint| constraint.kind == ConstraintKind::Check).count();
    let foreign = table.constraints.iter().any(|constraint| constraint.kind == ConstraintKind::ForeignKey)
        || catalog
            .tables
            .values()
            .flat_map(|other| &other.constraints)
            .any(|constraint| constraint.references.as_ref().is_some_and(|key| key.table == table.oid));
    let external = table.external.is_some();
    let options: Vec<String> = table.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    rows.push([
        ("oid", table.oid.into()),
        ("relname", table.name.clone().into()),
        ("relnamespace", table.schema.into()),
        ("reltype", table.row_type.into()),
        ("relowner", table.owner.into()),
        ("relam", if external { NONE } else { HEAP }.into()),
        ("relfilenode", if external { 0 } else { table.oid }.into()),
        ("reltuples", Cell::Float(-1.0)),
        ("relhasindex", (!table.indexes.is_empty()).into()),
        ("relpersistence", persistence(catalog, table.schema).into()),
        ("relkind", if external { "f" } else { "r" }.into()),
        ("relnatts", small(table.columns.len())),
        ("relchecks", small(checks)),
        ("relhastriggers", foreign.into()),
        ("relispopulated", true.into()),
        ("relreplident", if external { "n" } else { "d" }.into()),
        ("relminmxid", u32::from(!external).into()),
        ("relacl", table.acl.clone().into()),
        ("reloptions", if options.is_empty() { Cell::Null } else { options.into() }),
    ]);
    for index in &table.indexes {
        rows.push([
            ("oid", index.oid.into()),
            ("relname", index.name.clone().into()),
            ("relnamespace", table.schema.into()),
            ("relowner", table.owner.into()),
            ("relam", method_oid(&index.method).into()),
            ("relfilenode", index.oid.into()),
            ("reltuples", Cell::Float(-1.0)),
            ("relpersistence", persistence(catalog, table.schema).into()),
            ("relkind", "i".into()),
            ("relnatts", small(index.columns.len())),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
}

fn push_view(catalog: &Catalog, view: &ViewObject, rows: &mut Rows) {
    rows.push([
        ("oid", view.oid.into()),
        ("relname", view.name.clone().into()),
        ("relnamespace", view.schema.into()),
        ("reltype", view.row_type.into()),
        ("relowner", view.owner.into()),
        ("reltuples", Cell::Float(-1.0)),
        ("relpersistence", persistence(catalog, view.schema).into()),
        ("relkind", "v".into()),
        ("relnatts", small(view.columns.len())),
        ("relhasrules", true.into()),
        ("relispopulated", true.into()),
        ("relreplident", "n".into()),
        ("relacl", view.acl.clone().into()),
    ]);
}

/// What pg_attribute says of one column.
struct Attribute {
    relation: u32,
    attnum: i16,
    name: Cell,
    type_oid: u32,
    typmod: i32,
    not_null: bool,
    has_default: bool,
    dropped: bool,
    identity: Option<char>,
    collation: Option<u32>,
    stat_target: i32,
}

/// pg_attribute
pub(super) fn attribute(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for relation in relations() {
        for (attnum, column) in (1..).zip(&relation.columns) {
            let attribute = Attribute {
                relation: relation.oid,
                attnum,
                name: column.name.into(),
                type_oid: column.type_oid,
                typmod: column.typmod,
                not_null: column.not_null,
                has_default: false,
                dropped: false,
                identity: None,
                collation: Some(column.collation),
                stat_target: -1,
            };
            push_attribute(catalog, attribute, rows);
        }
    }
    for table in catalog.tables.values() {
        for column in &table.columns {
            let attribute = Attribute {
                relation: table.oid,
                attnum: column.attnum,
                name: column.name.clone().into(),
                type_oid: if column.dropped { 0 } else { column.type_oid },
                typmod: column.typmod,
                not_null: column.not_null,
                has_default: column.default.is_some(),
                dropped: column.dropped,
                identity: column.identity,
                collation: None,
                stat_target: if column.dropped { 0 } else { -1 },
            };
            push_attribute(catalog, attribute, rows);
        }
        for index in &table.indexes {
            for (attnum, key) in (1..).zip(&index.columns) {
                let Some(column) = table.column_by_attnum(*key) else { continue };
                let attribute = Attribute {
                    relation: index.oid,
                    attnum,
                    name: column.name.clone().into(),
                    type_oid: column.type_oid,
                    typmod: column.typmod,
                    not_null: false,
                    has_default: false,
                    dropped: false,
                    identity: None,
                    collation: None,
                    stat_target: -1,
                };
                push_attribute(catalog, attribute, rows);
            }
        }
    }
    for sequence in catalog.sequences.values() {
        for (attnum, (name, type_oid)) in (1..).zip(SEQUENCE_COLUMNS) {
            let attribute = Attribute {
                relation: sequence.oid,
                attnum,
                name: name.into(),
                type_oid,
                typmod: -1,
                not_null: true,
                has_default: false,
                dropped: false,
                identity: None,
                collation: None,
                stat_target: -1,
            };
            push_attribute(catalog, attribute, rows);
        }
    }
    for view in catalog.views.values() {
        for (attnum, (name, type_oid, typmod)) in (1..).zip(&view.columns) {
            let attribute = Attribute {
                relation: view.oid,
                attnum,
                name: name.clone().into(),
                type_oid: *type_oid,
                typmod: *typmod,
                not_null: false,
                has_default: false,
                dropped: false,
                identity: None,
                collation: None,
                stat_target: -1,
            };
            push_attribute(catalog, attribute, rows);
        }
    }
    Ok(())
}

fn push_attribute(catalog: &Catalog, attribute: Attribute, rows: &mut Rows) {
    let ty = type_facts(catalog, attribute.type_oid);
    let dimensions = i32::from(ty.is_some_and(|ty| ty.length == -1 && ty.element != 0 && ty.name.starts_with('_')));
    let collation = attribute.collation.unwrap_or_else(|| ty.map_or(0, |ty| ty.collation));
    rows.push([
        ("attrelid", attribute.relation.into()),
        ("attname", attribute.name),
        ("atttypid", attribute.type_oid.into()),
        ("attstattarget", attribute.stat_target.into()),
        ("attlen", ty.map_or(-1, |ty| ty.length).into()),
        ("attnum", attribute.attnum.into()),
        ("attndims", dimensions.into()),
        ("attcacheoff", (-1_i32).into()),
        ("atttypmod", attribute.typmod.into()),
        ("attbyval", ty.is_some_and(|ty| ty.by_value).into()),
        ("attalign", ty.map_or("i", |ty| ty.align).into()),
        ("attstorage", ty.map_or("x", |ty| ty.storage).into()),
        ("attnotnull", attribute.not_null.into()),
        ("atthasdef", attribute.has_default.into()),
        ("attidentity", attribute.identity.map_or_else(|| "".into(), Cell::from)),
        ("attisdropped", attribute.dropped.into()),
        ("attislocal", true.into()),
        ("attcollation", collation.into()),
    ]);
}

/// Facts of a type; row types of user relations behave like any composite.
fn type_facts(catalog: &Catalog, type_oid: u32) -> Option<SystemType> {
    if let Some(ty) = fixed::types().get(&type_oid) {
        return Some(*ty);
    }
    let user = catalog.tables.values().any(|table| table.row_type == type_oid || table.array_type == type_oid)
        || catalog.views.values().any(|view| view.row_type == type_oid || view.array_type == type_oid);
    (user || super::types::own(type_oid).is_some()).then_some(SystemType {
        oid: type_oid,
        name: "",
        schema_oid: 0,
        length: -1,
        by_value: false,
        element: 0,
        array: 0,
        relation: 0,
        align: "d",
        storage: "x",
        collation: 0,
    })
}

/// pg_rewrite: the _RETURN rule of each view, numbered by the view itself.
pub(super) fn rewrite(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    let system = relations().iter().filter(|relation| relation.relkind == 'v').map(|relation| relation.oid);
    for view in system.chain(catalog.views.keys().copied()) {
        rows.push([
            ("oid", view.into()),
            ("rulename", "_RETURN".into()),
            ("ev_class", view.into()),
            ("ev_type", "1".into()),
            ("ev_enabled", "O".into()),
            ("is_instead", true.into()),
            ("ev_qual", "<>".into()),
            ("ev_action", "<>".into()),
        ]);
    }
    Ok(())
}

/// A count as smallint.
pub(super) fn small(count: usize) -> Cell {
    Cell::Int(i64::try_from(count).unwrap_or(i64::from(i16::MAX)))
}

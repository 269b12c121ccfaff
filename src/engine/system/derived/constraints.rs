//! pg_constraint, pg_index, pg_attrdef, pg_depend.

use tributary_pg::error::PgResult;

use super::names::{CLASS, CONSTRAINT, NAMESPACE};
use super::relations::small;
use crate::engine::catalog::ddl::next_of;
use crate::engine::catalog::{Catalog, ConstraintKind, ConstraintObject, TableObject};
use crate::engine::system::fixed;
use crate::engine::system::rows::{Cell, Rows};

/// OID of pg_attrdef.
const ATTRDEF: u32 = 2604;
/// OID of pg_rewrite.
const REWRITE: u32 = 2618;

/// contype of a constraint.
pub(in crate::engine::system) fn contype(kind: ConstraintKind) -> &'static str {
    match kind {
        ConstraintKind::Check => "c",
        ConstraintKind::PrimaryKey => "p",
        ConstraintKind::Unique => "u",
        ConstraintKind::ForeignKey => "f",
    }
}

/// pg_constraint
pub(super) fn constraint(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for table in catalog.tables.values() {
        for constraint in &table.constraints {
            push_constraint(table, constraint, rows);
        }
    }
    Ok(())
}

fn push_constraint(table: &TableObject, constraint: &ConstraintObject, rows: &mut Rows) {
    let foreign = constraint.references.as_ref();
    let types = constraint.columns.iter().map(|attnum| table.column_by_attnum(*attnum).map_or(0, |c| c.type_oid));
    let operators: Cell = foreign.map(|_| types.map(equality_operator).collect::<Vec<u32>>()).into();
    let letter = |letter: Option<char>| letter.unwrap_or(' ');
    rows.push([
        ("oid", constraint.oid.into()),
        ("conname", constraint.name.clone().into()),
        ("connamespace", table.schema.into()),
        ("contype", contype(constraint.kind).into()),
        ("condeferrable", constraint.deferrable.into()),
        ("condeferred", constraint.deferred.into()),
        // A foreign key is recorded and not enforced.
        ("convalidated", foreign.is_none().into()),
        ("conrelid", table.oid.into()),
        ("conindid", constraint.index_oid.into()),
        ("confrelid", foreign.map_or(0, |key| key.table).into()),
        ("confupdtype", letter(foreign.map(|key| key.on_update)).into()),
        ("confdeltype", letter(foreign.map(|key| key.on_delete)).into()),
        ("confmatchtype", letter(foreign.map(|key| key.match_type)).into()),
        ("conislocal", true.into()),
        ("connoinherit", (constraint.kind != ConstraintKind::Check).into()),
        ("conkey", constraint.columns.clone().into()),
        ("confkey", foreign.map(|key| key.columns.clone()).into()),
        ("conpfeqop", operators.clone()),
        ("conppeqop", operators.clone()),
        ("conffeqop", operators),
        ("conbin", constraint.expression_shown.clone().into()),
    ]);
}

/// The `=` operator of a type with itself; 0 if unknown.
fn equality_operator(type_oid: u32) -> u32 {
    let type_oid = if type_oid == 1043 { 25 } else { type_oid };
    let same = type_oid.to_string();
    fixed::raw_rows("pg_operator")
        .find(|row| row[1] == "=" && row[7] == same && row[8] == same)
        .and_then(|row| row[0].parse().ok())
        .unwrap_or(0)
}

/// pg_index
pub(super) fn index(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for table in catalog.tables.values() {
        for index in &table.indexes {
            let owner = table
                .constraints
                .iter()
                .find(|constraint| constraint.index_oid == index.oid && constraint.kind != ConstraintKind::ForeignKey);
            let types: Vec<u32> = index
                .columns
                .iter()
                .map(|attnum| table.column_by_attnum(*attnum).map_or(0, |column| column.type_oid))
                .collect();
            let collations: Vec<u32> =
                types.iter().map(|oid| fixed::types().get(oid).map_or(0, |ty| ty.collation)).collect();
            let classes: Vec<u32> = types.iter().map(|oid| operator_class(*oid, &index.method)).collect();
            let options: Vec<i16> =
                (0..index.columns.len()).map(|i| index.options.get(i).copied().unwrap_or(0)).collect();
            rows.push([
                ("indexrelid", index.oid.into()),
                ("indrelid", table.oid.into()),
                ("indnatts", small(index.columns.len())),
                ("indnkeyatts", small(index.columns.len())),
                ("indisunique", index.unique.into()),
                ("indnullsnotdistinct", index.nulls_not_distinct.into()),
                ("indisprimary", index.primary.into()),
                ("indimmediate", (!owner.is_some_and(|constraint| constraint.deferrable)).into()),
                ("indisvalid", true.into()),
                ("indisready", true.into()),
                ("indislive", true.into()),
                ("indkey", index.columns.clone().into()),
                ("indcollation", collations.into()),
                ("indclass", classes.into()),
                ("indoption", options.into()),
            ]);
        }
    }
    Ok(())
}

/// The default operator class of a type for an access method; 0 if it has none.
fn operator_class(type_oid: u32, method: &str) -> u32 {
    let type_oid = if type_oid == 1043 { 25 } else { type_oid };
    let (method, input) = (super::relations::method_oid(method).to_string(), type_oid.to_string());
    // oid, opcmethod, opcname, opcnamespace, opcowner, opcfamily, opcintype, opcdefault, opckeytype
    fixed::raw_rows("pg_opclass")
        .find(|row| row[1] == method && row[6] == input && row[7] == "t")
        .and_then(|row| row[0].parse().ok())
        .unwrap_or(0)
}

/// pg_attrdef
pub(super) fn attrdef(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for table in catalog.tables.values() {
        for column in table.live_columns().filter(|column| column.default.is_some()) {
            let shown = column.default_shown.clone().or_else(|| column.default.clone());
            rows.push([
                ("oid", column.default_oid.into()),
                ("adrelid", table.oid.into()),
                ("adnum", column.attnum.into()),
                ("adbin", shown.into()),
            ]);
        }
    }
    Ok(())
}

/// pg_depend: what a table's parts, a view's sources and a key's index hang on.
pub(super) fn depend(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    let mut push = |object: (u32, u32, i16), on: (u32, u32, i16), kind: &'static str| {
        rows.push([
            ("classid", object.0.into()),
            ("objid", object.1.into()),
            ("objsubid", i32::from(object.2).into()),
            ("refclassid", on.0.into()),
            ("refobjid", on.1.into()),
            ("refobjsubid", i32::from(on.2).into()),
            ("deptype", kind.into()),
        ]);
    };
    for table in catalog.tables.values() {
        push((CLASS, table.oid, 0), (NAMESPACE, table.schema, 0), "n");
        for column in table.live_columns().filter(|column| column.default.is_some()) {
            push((ATTRDEF, column.default_oid, 0), (CLASS, table.oid, column.attnum), "a");
        }
        for constraint in &table.constraints {
            for attnum in &constraint.columns {
                push((CONSTRAINT, constraint.oid, 0), (CLASS, table.oid, *attnum), "a");
            }
            match &constraint.references {
                Some(key) => {
                    for attnum in &key.columns {
                        push((CONSTRAINT, constraint.oid, 0), (CLASS, key.table, *attnum), "n");
                    }
                    push((CONSTRAINT, constraint.oid, 0), (CLASS, constraint.index_oid, 0), "n");
                }
                None if constraint.index_oid != 0 => {
                    push((CLASS, constraint.index_oid, 0), (CONSTRAINT, constraint.oid, 0), "i");
                }
                None => {}
            }
        }
        let owned: Vec<u32> = table
            .constraints
            .iter()
            .filter(|constraint| constraint.references.is_none())
            .map(|constraint| constraint.index_oid)
            .collect();
        for index in table.indexes.iter().filter(|index| !owned.contains(&index.oid)) {
            for attnum in &index.columns {
                push((CLASS, index.oid, 0), (CLASS, table.oid, *attnum), "a");
            }
        }
    }
    for sequence in catalog.sequences.values() {
        push((CLASS, sequence.oid, 0), (NAMESPACE, sequence.schema, 0), "n");
        if let Some((table, attnum)) = sequence.owned_by {
            push((CLASS, sequence.oid, 0), (CLASS, table, attnum), if sequence.identity { "i" } else { "a" });
        }
        let next = next_of(sequence.oid);
        for column in catalog.tables.values().flat_map(|table| table.live_columns()) {
            if column.default.as_ref().is_some_and(|text| text.contains(&next)) {
                push((ATTRDEF, column.default_oid, 0), (CLASS, sequence.oid, 0), "n");
            }
        }
    }
    for view in catalog.views.values() {
        push((CLASS, view.oid, 0), (NAMESPACE, view.schema, 0), "n");
        push((REWRITE, view.oid, 0), (CLASS, view.oid, 0), "i");
        push((REWRITE, view.oid, 0), (CLASS, view.oid, 0), "n");
        for relation in &view.depends_on {
            push((REWRITE, view.oid, 0), (CLASS, *relation, 0), "n");
        }
    }
    Ok(())
}

//! pg_type: PostgreSQL's types, ours, and the row types of user relations.

use tributary_pg::error::PgResult;
use tributary_pg::types::{self, PgType};

use crate::engine::catalog::{Catalog, oid};
use crate::engine::system::fixed;
use crate::engine::system::relation::{relation, relations};
use crate::engine::system::rows::Rows;

/// A type of ours, by OID.
pub(super) fn own(type_oid: u32) -> Option<&'static PgType> {
    (8000..9000).contains(&type_oid).then(|| types::by_oid(type_oid)).flatten()
}

/// pg_type
pub(super) fn types(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    if let Some(relation) = relation("pg_catalog", "pg_type") {
        fixed::append(relation, rows)?;
    }
    let mut ours: Vec<&PgType> = types::all().filter(|ty| own(ty.oid).is_some()).collect();
    ours.sort_by_key(|ty| ty.oid);
    for ty in ours {
        push_own(ty, rows);
    }
    for view in relations().iter().filter(|relation| relation.array_type != 0) {
        let (schema, owner) = (view.schema_oid, oid::BOOTSTRAP_ROLE);
        let (row_type, array_type) = (view.row_type, view.array_type);
        let name = view.name.to_owned();
        push_user(
            UserType { oid: row_type, name, schema, owner, relation: view.oid, element: 0, array: array_type },
            rows,
        );
        let name = array_name(view.name);
        push_user(UserType { oid: array_type, name, schema, owner, relation: 0, element: row_type, array: 0 }, rows);
    }
    let tables = catalog.tables.values().map(|t| (&t.name, t.schema, t.owner, t.oid, t.row_type, t.array_type));
    let views = catalog.views.values().map(|v| (&v.name, v.schema, v.owner, v.oid, v.row_type, v.array_type));
    for (name, schema, owner, relation, row_type, array_type) in tables.chain(views) {
        push_user(
            UserType { oid: row_type, name: name.clone(), schema, owner, relation, element: 0, array: array_type },
            rows,
        );
        let name = array_name(name);
        push_user(UserType { oid: array_type, name, schema, owner, relation: 0, element: row_type, array: 0 }, rows);
    }
    Ok(())
}

/// `_name`, cut to 63 bytes.
fn array_name(name: &str) -> String {
    let mut end = name.len().min(62);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("_{}", &name[..end])
}

struct UserType {
    oid: u32,
    name: String,
    schema: u32,
    owner: u32,
    relation: u32,
    element: u32,
    array: u32,
}

/// A row type or an array of one.
fn push_user(ty: UserType, rows: &mut Rows) {
    let array = ty.element != 0;
    let function = |name: &str| fixed::functions().by_name.get(name).and_then(|f| f.first()).map_or(0, |f| f.oid);
    let word = if array { "array" } else { "record" };
    rows.push([
        ("oid", ty.oid.into()),
        ("typname", ty.name.into()),
        ("typnamespace", ty.schema.into()),
        ("typowner", ty.owner.into()),
        ("typlen", (-1_i16).into()),
        ("typtype", if array { "b" } else { "c" }.into()),
        ("typcategory", if array { "A" } else { "C" }.into()),
        ("typisdefined", true.into()),
        ("typdelim", ",".into()),
        ("typrelid", ty.relation.into()),
        ("typsubscript", if array { function("array_subscript_handler") } else { 0 }.into()),
        ("typelem", ty.element.into()),
        ("typarray", ty.array.into()),
        ("typinput", function(&format!("{word}_in")).into()),
        ("typoutput", function(&format!("{word}_out")).into()),
        ("typreceive", function(&format!("{word}_recv")).into()),
        ("typsend", function(&format!("{word}_send")).into()),
        ("typanalyze", if array { function("array_typanalyze") } else { 0 }.into()),
        ("typalign", "d".into()),
        ("typstorage", "x".into()),
        ("typtypmod", (-1_i32).into()),
    ]);
}

/// A type of ours: like bytea, whose input and output functions stand in for its own.
fn push_own(ty: &PgType, rows: &mut Rows) {
    let array = ty.elem_oid != 0;
    let function = |name: &str| fixed::functions().by_name.get(name).and_then(|f| f.first()).map_or(0, |f| f.oid);
    let word = if array { "array_" } else { "bytea" };
    rows.push([
        ("oid", ty.oid.into()),
        ("typname", ty.name.into()),
        ("typnamespace", oid::TRIBUTARY.into()),
        ("typowner", oid::BOOTSTRAP_ROLE.into()),
        ("typlen", ty.len.into()),
        ("typtype", ty.typtype.into()),
        ("typcategory", ty.category.into()),
        ("typispreferred", ty.preferred.into()),
        ("typisdefined", true.into()),
        ("typdelim", ty.delim.into()),
        ("typsubscript", if array { function("array_subscript_handler") } else { 0 }.into()),
        ("typelem", ty.elem_oid.into()),
        ("typarray", ty.array_oid.into()),
        ("typinput", function(&format!("{word}in")).into()),
        ("typoutput", function(&format!("{word}out")).into()),
        ("typreceive", function(&format!("{word}recv")).into()),
        ("typsend", function(&format!("{word}send")).into()),
        ("typalign", if array { "d" } else { "i" }.into()),
        ("typstorage", "x".into()),
        ("typtypmod", (-1_i32).into()),
    ]);
}

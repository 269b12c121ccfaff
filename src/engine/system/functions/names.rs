//! Names and visibility: format_type, pg_table_is_visible, to_regclass, obj_description, ...

use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::types;

use super::arguments::{integer, oid, text};
use super::{Definition, Place, Scope, function};
use crate::engine::catalog::deparse::{quote_ident, quote_literal};
use crate::engine::catalog::{Catalog, Relation, oid as well_known};
use crate::engine::system::fixed;
use crate::engine::system::relation::{relation, relation_by_oid, relations};
use crate::engine::system::rows::Cell;

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    function("pg_table_is_visible", &[1], "bool", |scope, args| {
        Ok(relation_is_visible(&scope.place(), oid(&args[0])?).into())
    }),
    function("pg_type_is_visible", &[1], "bool", type_is_visible),
    function("pg_function_is_visible", &[1], "bool", function_is_visible),
    function("pg_operator_is_visible", &[1], "bool", |_, args| in_catalog("pg_operator", &args[0])),
    function("pg_collation_is_visible", &[1], "bool", |_, args| in_catalog("pg_collation", &args[0])),
    function("pg_opclass_is_visible", &[1], "bool", |_, args| in_catalog("pg_opclass", &args[0])),
    function("pg_opfamily_is_visible", &[1], "bool", |_, args| in_catalog("pg_opfamily", &args[0])),
    function("pg_conversion_is_visible", &[1], "bool", |_, args| in_catalog("pg_conversion", &args[0])),
    function("pg_ts_config_is_visible", &[1], "bool", |_, args| in_catalog("pg_ts_config", &args[0])),
    function("pg_ts_dict_is_visible", &[1], "bool", |_, args| in_catalog("pg_ts_dict", &args[0])),
    function("pg_ts_parser_is_visible", &[1], "bool", |_, args| in_catalog("pg_ts_parser", &args[0])),
    function("pg_ts_template_is_visible", &[1], "bool", |_, args| in_catalog("pg_ts_template", &args[0])),
    function("pg_statistics_obj_is_visible", &[1], "bool", |_, _| Ok(Cell::Null)),
    function("format_type", &[2], "text", format_type).with_nulls(),
    function("pg_get_userbyid", &[1], "name", user_by_id),
    function("to_regclass", &[1], "regclass", |scope, args| Ok(find_relation(scope, text(&args[0])?).into())),
    function("to_regtype", &[1], "regtype", |scope, args| Ok(find_type(scope, text(&args[0])?).into())),
    function("to_regproc", &[1], "regproc", |_, args| Ok(find_function(text(&args[0])?).ok().into())),
    function("to_regnamespace", &[1], "regnamespace", to_regnamespace),
    function("to_regrole", &[1], "regrole", to_regrole),
    function("obj_description", &[1, 2], "text", object_description),
    function("col_description", &[2], "text", column_description),
    function("shobj_description", &[2], "text", shared_description),
    function("pg_encoding_to_char", &[1], "name", |_, args| encoding_name(integer(&args[0])?)),
    function("pg_char_to_encoding", &[1], "int4", |_, args| encoding_number(text(&args[0])?)),
    function("pg_describe_object", &[3], "text", describe_object),
    function("pg_tablespace_location", &[1], "text", |_, _| Ok("".into())),
    function("quote_ident", &[1], "text", |_, args| Ok(quote_ident(text(&args[0])?).into())),
    function("quote_literal", &[1], "text", |_, args| Ok(quote_literal(&shown(&args[0])).into())),
    function("quote_nullable", &[1], "text", quote_nullable).with_nulls(),
    function("pg_typeof", &[1], "regtype", type_of).with_nulls(),
];

/// Name, schema and kind of any relation.
pub(in crate::engine::system) struct RelationName<'a> {
    pub name: &'a str,
    pub schema: u32,
    pub index: bool,
}

/// A relation by OID: a system relation, a table, a view or an index.
pub(in crate::engine::system) fn relation_name(catalog: &Catalog, relation: u32) -> Option<RelationName<'_>> {
    if let Some(system) = relation_by_oid(relation) {
        return Some(RelationName { name: system.name, schema: system.schema_oid, index: false });
    }
    if let Some(table) = catalog.tables.get(&relation) {
        return Some(RelationName { name: &table.name, schema: table.schema, index: false });
    }
    if let Some(view) = catalog.views.get(&relation) {
        return Some(RelationName { name: &view.name, schema: view.schema, index: false });
    }
    if let Some(sequence) = catalog.sequences.get(&relation) {
        return Some(RelationName { name: &sequence.name, schema: sequence.schema, index: false });
    }
    catalog.index(relation).map(|(table, index)| RelationName { name: &index.name, schema: table.schema, index: true })
}

/// Does an unqualified name find this relation and no other before it? `None` if there is no such relation. The views of
/// schema tributary are only found with their schema, so they neither clutter `\d` nor take a name like `parts`.
pub(in crate::engine::system) fn relation_is_visible(scope: &Place<'_>, relation_oid: u32) -> Option<bool> {
    let found = relation_name(scope.catalog, relation_oid)?;
    if found.schema == well_known::TRIBUTARY {
        return Some(false);
    }
    let first = scope.path.iter().filter_map(|name| scope.catalog.schema(name)).find(|schema| {
        scope.catalog.relation_exists(schema.oid, found.name) || relation(&schema.name, found.name).is_some()
    });
    Some(first.is_some_and(|schema| schema.oid == found.schema))
}

fn schema_on_path(scope: &Place<'_>, schema: u32) -> bool {
    let name = scope.catalog.schema_name(schema);
    scope.path.iter().any(|path| path == name)
}

fn type_is_visible(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    Ok(type_place(scope.catalog, wanted).map(|(_, schema)| schema_on_path(&scope.place(), schema)).into())
}

/// typname and schema of a type.
pub(in crate::engine::system) fn type_place(catalog: &Catalog, type_oid: u32) -> Option<(String, u32)> {
    if let Some(ty) = fixed::types().get(&type_oid) {
        return Some((ty.name.to_owned(), ty.schema_oid));
    }
    if let Some(ty) = types::by_oid(type_oid) {
        return Some((ty.name.to_owned(), well_known::TRIBUTARY));
    }
    if let Some(view) = relations().iter().find(|view| view.array_type != 0 && view.row_type == type_oid) {
        return Some((view.name.to_owned(), view.schema_oid));
    }
    let tables = catalog.tables.values().map(|t| (&t.name, t.schema, t.row_type, t.array_type));
    let views = catalog.views.values().map(|v| (&v.name, v.schema, v.row_type, v.array_type));
    tables.chain(views).find_map(|(name, schema, row_type, array_type)| {
        if row_type == type_oid {
            Some((name.clone(), schema))
        } else {
            (array_type == type_oid).then(|| (format!("_{name}"), schema))
        }
    })
}

fn function_is_visible(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    if let Some(function) = fixed::functions().by_oid.get(&wanted) {
        return Ok(schema_on_path(&scope.place(), function.schema_oid).into());
    }
    Ok(crate::engine::system::library::by_oid(wanted).map(|_| true).into())
}

/// Objects of pg_catalog are always visible; others do not exist.
fn in_catalog(name: &str, wanted: &Cell) -> PgResult<Cell> {
    let wanted = oid(wanted)?.to_string();
    Ok(fixed::raw_rows(name).any(|row| row[0] == wanted).then_some(true).into())
}

/// format_type(type, typmod)
fn format_type(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    if args[0] == Cell::Null {
        return Ok(Cell::Null);
    }
    let type_oid = oid(&args[0])?;
    let typmod = match &args[1] {
        Cell::Null => None,
        other => Some(i32::try_from(integer(other)?).unwrap_or(-1)),
    };
    Ok(type_text(&scope.place(), type_oid, typmod).into())
}

/// A type as SQL spells it, qualified when search_path does not find it.
pub(in crate::engine::system) fn type_text(scope: &Place<'_>, type_oid: u32, typmod: Option<i32>) -> String {
    let known = types::by_oid(type_oid).is_some();
    if type_oid == 0 || known {
        return types::format_type(type_oid, typmod);
    }
    let Some((name, schema)) = type_place(scope.catalog, type_oid) else { return "???".to_owned() };
    if let Some(element) = name.strip_prefix('_') {
        let element_oid = match fixed::types().get(&type_oid) {
            Some(ty) => ty.element,
            None => row_type_of_array(scope.catalog, type_oid),
        };
        return match element_oid {
            0 => element.to_owned(),
            element => format!("{}[]", type_text(scope, element, typmod)),
        };
    }
    if schema_on_path(scope, schema) {
        quote_ident(&name)
    } else {
        format!("{}.{}", quote_ident(scope.catalog.schema_name(schema)), quote_ident(&name))
    }
}

fn row_type_of_array(catalog: &Catalog, array: u32) -> u32 {
    let table = catalog.tables.values().find(|table| table.array_type == array).map(|table| table.row_type);
    let view = || catalog.views.values().find(|view| view.array_type == array).map(|view| view.row_type);
    table.or_else(view).unwrap_or(0)
}

fn user_by_id(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    Ok(match scope.catalog.roles.get(&wanted) {
        Some(role) => role.name.clone().into(),
        None => format!("unknown (OID={wanted})").into(),
    })
}

/// Splits `a.b`, folding what is not quoted.
pub(in crate::engine::system) fn split(name: &str) -> PgResult<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut chars = name.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("there is always a part");
        match c {
            '"' => loop {
                match chars.next() {
                    Some('"') if chars.peek() == Some(&'"') => {
                        chars.next();
                        last.push('"');
                    }
                    Some('"') => break,
                    Some(c) => last.push(c),
                    None => return Err(PgError::new(sqlstate::INVALID_NAME, "invalid name syntax")),
                }
            },
            '.' => parts.push(String::new()),
            c => last.extend(c.to_lowercase()),
        }
    }
    if parts.iter().any(String::is_empty) {
        return Err(PgError::new(sqlstate::INVALID_NAME, "invalid name syntax"));
    }
    Ok(parts)
}

/// A relation's OID by its perhaps qualified name; `None` if there is none.
pub(super) fn find_relation(scope: &Scope<'_>, name: &str) -> Option<u32> {
    relation_oid(scope.catalog, scope.path, name).ok()
}

/// A relation's OID by its perhaps qualified name.
pub(in crate::engine) fn relation_oid(catalog: &Catalog, path: &[String], name: &str) -> PgResult<u32> {
    let parts = split(name)?;
    let missing =
        || PgError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", parts.join(".")));
    let (schema, own) = match parts.as_slice() {
        [own] => (None, own),
        [schema, own] | [_, schema, own] => (Some(schema.as_str()), own),
        _ => return Err(PgError::new(sqlstate::SYNTAX_ERROR, "improper relation name (too many dotted names)")),
    };
    match catalog.resolve(path, schema, own) {
        Ok(Relation::Table(table)) => return Ok(table.oid),
        Ok(Relation::View(view)) => return Ok(view.oid),
        Ok(Relation::Sequence(sequence)) => return Ok(sequence.oid),
        Ok(Relation::System(schema, name)) => {
            return relation(&schema, &name).map(|relation| relation.oid).ok_or_else(missing);
        }
        Err(_) => {}
    }
    let schemas: Vec<u32> = match schema {
        Some(schema) => catalog.schema(schema).map(|schema| schema.oid).into_iter().collect(),
        None => path.iter().filter_map(|name| catalog.schema(name)).map(|schema| schema.oid).collect(),
    };
    schemas.iter().find_map(|schema| catalog.index_named(*schema, own)).map(|(_, index)| index.oid).ok_or_else(missing)
}

fn find_type(scope: &Scope<'_>, name: &str) -> Option<u32> {
    type_oid(scope.catalog, scope.path, name).ok()
}

/// A type's OID by its SQL name: of the type table, or of a relation's row type.
pub(in crate::engine) fn type_oid(catalog: &Catalog, path: &[String], name: &str) -> PgResult<u32> {
    match types::parse_type(name) {
        Ok((ty, _)) => Ok(ty.oid),
        Err(error) => {
            let parts = split(name)?;
            let own = parts.last().map_or("", String::as_str);
            if let Some(ty) = fixed::types().values().find(|ty| ty.name == own) {
                return Ok(ty.oid);
            }
            let found = relation_oid(catalog, path, name).ok();
            let table = found.and_then(|oid| catalog.tables.get(&oid)).map(|table| table.row_type);
            let view = || found.and_then(|oid| catalog.views.get(&oid)).map(|view| view.row_type);
            table.or_else(view).ok_or(error)
        }
    }
}

/// A function's OID by name; several of one name are 42725.
pub(in crate::engine) fn find_function(name: &str) -> PgResult<u32> {
    let parts = split(name)?;
    let own = parts.last().map_or("", String::as_str);
    if let Some(ours) = crate::engine::system::library::by_name(own) {
        return Ok(ours);
    }
    match fixed::functions().by_name.get(own).map(Vec::as_slice) {
        Some([only]) => Ok(only.oid),
        Some(_) => Err(PgError::new(sqlstate::AMBIGUOUS_FUNCTION, format!("more than one function named \"{name}\""))),
        None => Err(PgError::new(sqlstate::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist"))),
    }
}

fn to_regnamespace(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let parts = split(text(&args[0])?)?;
    Ok(parts.last().and_then(|name| scope.catalog.schema(name)).map(|schema| schema.oid).into())
}

fn to_regrole(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let parts = split(text(&args[0])?)?;
    Ok(parts.last().and_then(|name| scope.catalog.role(name)).map(|role| role.oid).into())
}

/// obj_description(oid [, catalog])
fn object_description(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    let class = args.get(1).map(text).transpose()?;
    let is = |name: &str| class.is_none_or(|class| class == name);
    let catalog = scope.catalog;
    if is("pg_class") {
        let table = catalog.tables.get(&wanted).and_then(|table| table.comment.clone());
        let view = || catalog.views.get(&wanted).and_then(|view| view.comment.clone());
        let index = || catalog.index(wanted).and_then(|(_, index)| index.comment.clone());
        let sequence = || catalog.sequences.get(&wanted).and_then(|sequence| sequence.comment.clone());
        if let Some(comment) = table.or_else(view).or_else(index).or_else(sequence) {
            return Ok(comment.into());
        }
    }
    if is("pg_namespace")
        && let Some(comment) = catalog.schemas.get(&wanted).and_then(|schema| schema.comment.clone())
    {
        return Ok(comment.into());
    }
    if is("pg_constraint") {
        let constraints = catalog.tables.values().flat_map(|table| &table.constraints);
        let found = constraints.into_iter().find(|constraint| constraint.oid == wanted);
        if let Some(comment) = found.and_then(|constraint| constraint.comment.clone()) {
            return Ok(comment.into());
        }
    }
    let class_oid = class.and_then(|class| relation("pg_catalog", class)).map(|relation| relation.oid.to_string());
    let wanted = wanted.to_string();
    let row = fixed::raw_rows("pg_description")
        .find(|row| row[0] == wanted && row[2] == "0" && class_oid.as_ref().is_none_or(|class| row[1] == class));
    Ok(row.map(|row| row[3].to_owned()).into())
}

/// col_description(table, attnum)
fn column_description(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let (relation, attnum) = (oid(&args[0])?, i16::try_from(integer(&args[1])?).unwrap_or(0));
    let table = scope.catalog.tables.get(&relation).and_then(|table| table.column_by_attnum(attnum));
    if let Some(column) = table {
        return Ok(column.comment.clone().into());
    }
    let view = scope.catalog.views.get(&relation);
    let comment = view.and_then(|view| view.column_comments.iter().find(|(number, _)| *number == attnum));
    Ok(comment.map(|(_, comment)| comment.clone()).into())
}

/// shobj_description(oid, catalog)
fn shared_description(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    Ok(match text(&args[1])? {
        "pg_authid" | "pg_roles" => scope.catalog.roles.get(&wanted).and_then(|role| role.comment.clone()).into(),
        "pg_database" if wanted == well_known::DATABASE => "the customer-data database".into(),
        _ => Cell::Null,
    })
}

/// Encodings by their PostgreSQL number; the ones that are never used here keep their place.
const ENCODINGS: [&str; 42] = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

fn encoding_name(number: i64) -> PgResult<Cell> {
    Ok(usize::try_from(number).ok().and_then(|index| ENCODINGS.get(index)).copied().unwrap_or("").into())
}

fn encoding_number(name: &str) -> PgResult<Cell> {
    let plain = |name: &str| name.to_uppercase().replace(['-', '_'], "");
    let wanted = match plain(name).as_str() {
        "UNICODE" => "UTF8".to_owned(),
        other => other.to_owned(),
    };
    let found = ENCODINGS.iter().position(|known| plain(known) == wanted);
    Ok(found.and_then(|index| i32::try_from(index).ok()).unwrap_or(-1).into())
}

/// pg_describe_object(class, object, sub-object)
fn describe_object(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let (class, object, sub) = (oid(&args[0])?, oid(&args[1])?, integer(&args[2])?);
    let class = relation_by_oid(class).map_or("", |relation| relation.name);
    Ok(match class {
        "pg_class" => relation_name(scope.catalog, object)
            .map(|found| {
                let kind = match (found.index, scope.catalog.views.contains_key(&object)) {
                    (true, _) => "index",
                    (_, true) => "view",
                    _ if scope.catalog.sequences.contains_key(&object) => "sequence",
                    _ => "table",
                };
                let whole = if relation_is_visible(&scope.place(), object) == Some(true) {
                    quote_ident(found.name)
                } else {
                    format!("{}.{}", quote_ident(scope.catalog.schema_name(found.schema)), quote_ident(found.name))
                };
                let column = scope.catalog.tables.get(&object).and_then(|table| {
                    table.column_by_attnum(i16::try_from(sub).ok()?).map(|column| column.name.clone())
                });
                match column {
                    Some(column) => format!("column {column} of {kind} {whole}"),
                    None => format!("{kind} {whole}"),
                }
            })
            .into(),
        "pg_namespace" => scope.catalog.schemas.get(&object).map(|schema| format!("schema {}", schema.name)).into(),
        "pg_authid" => scope.catalog.roles.get(&object).map(|role| format!("role {}", role.name)).into(),
        "pg_type" => type_place(scope.catalog, object)
            .map(|_| format!("type {}", type_text(&scope.place(), object, None)))
            .into(),
        "pg_proc" => {
            fixed::functions().by_oid.get(&object).map(|f| format!("function {}({})", f.name, f.arguments)).into()
        }
        _ => Cell::Null,
    })
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Static(text) => (*text).to_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Int(value) => value.to_string(),
        Cell::Float(value) => value.to_string(),
        _ => String::new(),
    }
}

fn quote_nullable(_: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    Ok(match &args[0] {
        Cell::Null => "NULL".into(),
        other => quote_literal(&shown(other)).into(),
    })
}

fn type_of(scope: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    let field = scope.fields.first().map(Arc::clone);
    let Some(field) = field else { return Ok(Cell::Null) };
    Ok(types::of_field(&field)?.0.oid.into())
}

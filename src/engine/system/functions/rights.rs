//! Who may do what: has_table_privilege and its kin, pg_has_role, acldefault.

use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::arguments::{oid, text};
use super::{Definition, Scope, function};
use crate::engine::catalog::ddl::is_system_schema;
use crate::engine::catalog::{RoleObject, rights};
use crate::engine::system::rows::Cell;

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    function("has_table_privilege", &[2, 3], "bool", table),
    function("has_any_column_privilege", &[2, 3], "bool", table),
    function("has_column_privilege", &[3, 4], "bool", column),
    function("has_sequence_privilege", &[2, 3], "bool", table),
    function("has_schema_privilege", &[2, 3], "bool", schema),
    function("has_database_privilege", &[2, 3], "bool", database),
    function("has_function_privilege", &[2, 3], "bool", |_, _| Ok(true.into())),
    function("has_language_privilege", &[2, 3], "bool", |_, _| Ok(true.into())),
    function("has_type_privilege", &[2, 3], "bool", |_, _| Ok(true.into())),
    function("has_tablespace_privilege", &[2, 3], "bool", owner_only),
    function("has_foreign_data_wrapper_privilege", &[2, 3], "bool", owner_only),
    function("has_server_privilege", &[2, 3], "bool", owner_only),
    function("has_parameter_privilege", &[2, 3], "bool", owner_only),
    function("pg_has_role", &[2, 3], "bool", has_role),
    function("acldefault", &[2], "_aclitem", default_acl),
    function("row_security_active", &[1], "bool", |_, _| Ok(false.into())),
];

/// The role asked about: named or numbered as the first of `count` arguments, else the one in force.
fn role<'a>(scope: &'a Scope<'_>, args: &[Cell], count: usize) -> PgResult<&'a Arc<RoleObject>> {
    if args.len() < count {
        return scope.role().ok_or_else(|| missing_role(&scope.vars.current_user));
    }
    role_of(scope, &args[0])
}

fn role_of<'a>(scope: &'a Scope<'_>, cell: &Cell) -> PgResult<&'a Arc<RoleObject>> {
    match cell {
        Cell::Int(_) => {
            let wanted = oid(cell)?;
            scope.catalog.roles.get(&wanted).ok_or_else(|| {
                PgError::new(sqlstate::UNDEFINED_OBJECT, format!("role with OID {wanted} does not exist"))
            })
        }
        other => {
            let name = text(other)?;
            scope.catalog.role(name).ok_or_else(|| missing_role(name))
        }
    }
}

fn missing_role(name: &str) -> PgError {
    PgError::new(sqlstate::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

/// aclitem letters of a comma-separated list of rights, and whether the right to hand them on is asked for; 22023 for an
/// unknown one.
fn letters(list: &str) -> PgResult<Vec<(char, bool)>> {
    list.split(',')
        .map(|word| {
            let word = word.trim().to_ascii_uppercase();
            let (word, option) = match word.strip_suffix(" WITH GRANT OPTION") {
                Some(word) => (word.to_owned(), true),
                None => (word, false),
            };
            let letter = match word.as_str() {
                "SELECT" => 'r',
                "INSERT" => 'a',
                "UPDATE" => 'w',
                "DELETE" => 'd',
                "TRUNCATE" => 'D',
                "REFERENCES" => 'x',
                "TRIGGER" | "RULE" => 't',
                "USAGE" => 'U',
                "CREATE" => 'C',
                "CONNECT" => 'c',
                "TEMP" | "TEMPORARY" => 'T',
                _ => {
                    return Err(PgError::new(
                        sqlstate::INVALID_PARAMETER_VALUE,
                        format!("unrecognized privilege type: \"{word}\""),
                    ));
                }
            };
            Ok((letter, option))
        })
        .collect()
}

/// A relation by OID or name: `None` for an OID that is none's, an error for a name that is none's.
fn relation(scope: &Scope<'_>, cell: &Cell) -> PgResult<Option<u32>> {
    match cell {
        Cell::Int(_) => Ok(Some(oid(cell)?)),
        other => super::names::relation_oid(scope.catalog, scope.path, text(other)?).map(Some),
    }
}

fn table(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let role = role(scope, args, 3)?;
    let [.., relation_cell, rights_cell] = args else { return Ok(Cell::Null) };
    let wanted = letters(text(rights_cell)?)?;
    Ok(relation(scope, relation_cell)?.and_then(|oid| relation_allows(scope, role, oid, &wanted)).into())
}

fn column(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let role = role(scope, args, 4)?;
    let [.., relation_cell, _, rights_cell] = args else { return Ok(Cell::Null) };
    let wanted = letters(text(rights_cell)?)?;
    Ok(relation(scope, relation_cell)?.and_then(|oid| relation_allows(scope, role, oid, &wanted)).into())
}

/// Has the role any of these rights on a relation? `None` if there is no such relation.
fn relation_allows(scope: &Scope<'_>, role: &RoleObject, relation: u32, wanted: &[(char, bool)]) -> Option<bool> {
    let catalog = scope.catalog;
    let found = super::names::relation_name(catalog, relation)?;
    if is_system_schema(found.schema) {
        return Some(role.superuser || wanted.contains(&('r', false)));
    }
    let table = catalog.tables.get(&relation).map(|table| (table.owner, table.acl.as_deref()));
    let view = || catalog.views.get(&relation).map(|view| (view.owner, view.acl.as_deref()));
    let index = || catalog.index(relation).map(|(table, _)| (table.owner, table.acl.as_deref()));
    let sequence = || catalog.sequences.get(&relation).map(|sequence| (sequence.owner, sequence.acl.as_deref()));
    let (owner, acl) = table.or_else(view).or_else(index).or_else(sequence)?;
    let owns = rights::has_role(catalog, role, owner);
    Some(owns || wanted.iter().any(|wanted| rights::acl_gives(catalog, acl, role, *wanted)))
}

fn schema(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let role = role(scope, args, 3)?;
    let [.., schema_cell, rights_cell] = args else { return Ok(Cell::Null) };
    let wanted = letters(text(rights_cell)?)?;
    let schema = match schema_cell {
        Cell::Int(_) => match scope.catalog.schemas.get(&oid(schema_cell)?) {
            Some(schema) => schema,
            None => return Ok(Cell::Null),
        },
        other => {
            let name = text(other)?;
            scope
                .catalog
                .schema(name)
                .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist")))?
        }
    };
    let owns = rights::has_role(scope.catalog, role, schema.owner);
    let allowed = |wanted: &(char, bool)| rights::acl_gives(scope.catalog, schema.acl.as_deref(), role, *wanted);
    Ok((owns || wanted.iter().any(allowed)).into())
}

/// Everyone may connect; only superusers may create schemas.
fn database(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let role = role(scope, args, 3)?;
    let wanted = letters(text(&args[args.len() - 1])?)?;
    Ok((role.superuser || wanted.iter().any(|wanted| matches!(wanted, ('c' | 'T', false)))).into())
}

fn owner_only(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    Ok(role(scope, args, 3)?.superuser.into())
}

/// pg_has_role([member,] role, MEMBER | USAGE)
fn has_role(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let member = role(scope, args, 3)?;
    let [.., group_cell, kind] = args else { return Ok(Cell::Null) };
    let group = role_of(scope, group_cell)?;
    let kind = text(kind)?.to_ascii_uppercase();
    Ok(if kind.starts_with("MEMBER") {
        rights::member_of(scope.catalog, member, group.oid).into()
    } else {
        rights::has_role(scope.catalog, member, group.oid).into()
    })
}

/// acldefault(kind, owner)
fn default_acl(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let owner = oid(&args[1])?;
    let owner = scope.catalog.roles.get(&owner).map_or_else(|| owner.to_string(), |role| role.name.clone());
    let (everyone, own) = match text(&args[0])? {
        "c" => ("", ""),
        "r" => ("", "arwdDxt"),
        "s" => ("", "rwU"),
        "d" => ("Tc", "CTc"),
        "f" => ("X", "X"),
        "l" | "T" => ("U", "U"),
        "n" => ("", "UC"),
        "t" => ("", "C"),
        "F" | "S" => ("", "U"),
        "L" => ("", "rw"),
        "p" => ("", "sA"),
        other => {
            return Err(PgError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("unrecognized object type abbreviation: {other}"),
            ));
        }
    };
    let mut items = Vec::new();
    if !everyone.is_empty() {
        items.push(format!("={everyone}/{owner}"));
    }
    if !own.is_empty() {
        items.push(format!("{owner}={own}/{owner}"));
    }
    Ok(items.into())
}

//! Who may do what: membership of roles and access lists.
//!
//! A superuser may do everything; the owner of an object, and every role that has the owner's rights by membership with
//! INHERIT, may do everything with the object. Access lists are aclitem texts, `grantee=letters/grantor`.

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::{Catalog, RoleObject, TableObject};

/// Has `role` the rights of the role with this OID: is it the same, a superuser, or a member that inherits?
pub fn has_role(catalog: &Catalog, role: &RoleObject, wanted: u32) -> bool {
    role.superuser || reaches(catalog, role, wanted, true)
}

/// Is `role` a member of the role with this OID, directly or not, whether or not it inherits?
pub fn member_of(catalog: &Catalog, role: &RoleObject, wanted: u32) -> bool {
    role.superuser || reaches(catalog, role, wanted, false)
}

fn reaches(catalog: &Catalog, role: &RoleObject, wanted: u32, inherit_only: bool) -> bool {
    let mut seen = vec![role.oid];
    let mut next = 0;
    while next < seen.len() {
        let oid = seen[next];
        next += 1;
        if oid == wanted {
            return true;
        }
        let Some(member) = catalog.roles.get(&oid) else { continue };
        if inherit_only && !member.inherit {
            continue;
        }
        for membership in &member.member_of {
            if !seen.contains(&membership.role) {
                seen.push(membership.role);
            }
        }
    }
    false
}

/// 42501 unless the role of this name has a right (one aclitem letter) on a relation or schema.
pub fn must_allow(
    catalog: &Catalog,
    user: &str,
    right: char,
    (kind, name, owner, acl): (&str, &str, u32, Option<&[String]>),
) -> PgResult<()> {
    let allowed =
        catalog.role(user).is_some_and(|role| has_role(catalog, role, owner) || acl_allows(catalog, acl, role, right));
    if allowed {
        return Ok(());
    }
    Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("permission denied for {kind} {name}")))
}

/// 42501 unless the role of this name may name objects of a schema. A session's temporary schema is its own.
pub fn must_use_schema(catalog: &Catalog, user: &str, schema: u32) -> PgResult<()> {
    let Some(schema) = catalog.schemas.get(&schema).filter(|schema| !schema.name.starts_with("pg_")) else {
        return Ok(());
    };
    must_allow(catalog, user, 'U', ("schema", &schema.name, schema.owner, schema.acl.as_deref()))
}

/// The same for a table and its schema.
pub fn must_allow_on_table(catalog: &Catalog, user: &str, right: char, table: &TableObject) -> PgResult<()> {
    must_use_schema(catalog, user, table.schema)?;
    must_allow(catalog, user, right, ("table", &table.name, table.owner, table.acl.as_deref()))
}

/// Does an access list give a role a right (one aclitem letter)? An absent list gives nothing.
pub fn acl_allows(catalog: &Catalog, acl: Option<&[String]>, role: &RoleObject, right: char) -> bool {
    if role.superuser {
        return true;
    }
    acl.unwrap_or_default().iter().any(|item| {
        let Some((grantee, rest)) = item.split_once('=') else { return false };
        let letters = rest.split('/').next().unwrap_or_default();
        let grantee = grantee.trim_matches('"');
        letters.contains(right)
            && (grantee.is_empty() || catalog.role(grantee).is_some_and(|group| has_role(catalog, role, group.oid)))
    })
}

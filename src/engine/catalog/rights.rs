//! Who may do what: membership of roles and access lists.
//!
//! A superuser may do everything; the owner of an object, and every role that has the owner's rights by membership with
//! INHERIT, may do everything with the object. Access lists are aclitem texts, `grantee=letters/grantor`.

use super::{Catalog, RoleObject};

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

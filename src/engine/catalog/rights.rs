//! Who may do what: membership of roles and access lists.
//!
//! A superuser may do everything; the owner of an object, and every role that has the owner's rights by membership with
//! INHERIT, may do everything with the object. Access lists are aclitem texts, `grantee=letters/grantor`.

use std::fmt;

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

/// 22023 or 42501 unless a session of `user` may take the role `wanted`: it must be a member of it.
pub fn must_be_member(catalog: &Catalog, user: &str, wanted: &str) -> PgResult<()> {
    let Some(role) = catalog.role(wanted) else {
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("role \"{wanted}\" does not exist")));
    };
    if catalog.role(user).is_some_and(|user| member_of(catalog, user, role.oid)) {
        return Ok(());
    }
    Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("permission denied to set role \"{wanted}\"")))
}

/// The same for the user of the whole session, who only a superuser (by login) may change.
pub fn must_be_superuser_or_same(catalog: &Catalog, login: &str, wanted: &str) -> PgResult<()> {
    if wanted == login {
        return Ok(());
    }
    if catalog.role(wanted).is_none() {
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("role \"{wanted}\" does not exist")));
    }
    if catalog.role(login).is_some_and(|role| role.superuser) {
        return Ok(());
    }
    let message = format!("permission denied to set session authorization \"{wanted}\"");
    Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message))
}

/// 42501 unless the role of this name has a right (one aclitem letter) on a relation or schema.
pub fn must_allow(
    catalog: &Catalog,
    user: &str,
    right: char,
    (kind, name, owner, acl): (&str, &str, u32, Option<&[String]>),
) -> PgResult<()> {
    let allowed = |role: &RoleObject| {
        let of_all = match right {
            'r' => ["pg_read_all_data"].as_slice(),
            'U' if kind == "schema" => &["pg_read_all_data", "pg_write_all_data"],
            'a' | 'w' | 'd' => &["pg_write_all_data"],
            _ => &[],
        };
        let by_predefined = |name: &&str| catalog.role(name).is_some_and(|all| has_role(catalog, role, all.oid));
        has_role(catalog, role, owner) || acl_allows(catalog, acl, role, right) || of_all.iter().any(by_predefined)
    };
    if catalog.role(user).is_some_and(|role| allowed(role)) {
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
    must_allow(catalog, user, right, (table.kind_name(), &table.name, table.owner, table.acl.as_deref()))
}

/// Does an access list give a role a right (one aclitem letter)? An absent list gives nothing.
pub fn acl_allows(catalog: &Catalog, acl: Option<&[String]>, role: &RoleObject, right: char) -> bool {
    acl_gives(catalog, acl, role, (right, false))
}

/// The same, and if the second is true, does it also give the right to hand it on?
pub fn acl_gives(catalog: &Catalog, acl: Option<&[String]>, role: &RoleObject, wanted: (char, bool)) -> bool {
    held(catalog, acl, role).any(|(letter, option)| letter == wanted.0 && (option || !wanted.1))
}

/// What an access list gives a role, itself or through roles it has the rights of.
fn held<'a>(
    catalog: &'a Catalog,
    acl: Option<&'a [String]>,
    role: &'a RoleObject,
) -> impl Iterator<Item = (char, bool)> + 'a {
    let everything = role.superuser.then_some(ORDER).into_iter().flat_map(str::chars).map(|letter| (letter, true));
    let items = acl.unwrap_or_default().iter().filter_map(|item| AclItem::parse(item));
    let given = items.filter(|item| item.is_for(catalog, role)).flat_map(|item| item.rights);
    everything.chain(given)
}

/// The letters of an aclitem, in PostgreSQL's order.
pub const ORDER: &str = "arwdDxtXUCTc";

/// Whom who gave what: `grantee=letters/grantor`, where `*` follows a letter that may be handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclItem {
    /// Role, empty for PUBLIC.
    pub grantee: String,
    /// Letters, and whether they may be handed on.
    pub rights: Vec<(char, bool)>,
    /// Role.
    pub grantor: String,
}

impl AclItem {
    /// Reads an item. Names may be quoted, and are if anything but letters, digits and `_` is in them.
    pub fn parse(item: &str) -> Option<Self> {
        let (grantee, rest) = name_of(item)?;
        let (letters, rest) = rest.strip_prefix('=')?.split_once('/')?;
        let (grantor, rest) = name_of(rest)?;
        let mut rights: Vec<(char, bool)> = Vec::new();
        for one in letters.chars() {
            match (one, rights.last_mut()) {
                ('*', Some(last)) => last.1 = true,
                _ => rights.push((one, false)),
            }
        }
        rest.is_empty().then_some(Self { grantee, rights, grantor })
    }

    /// Has the role what this gives?
    pub fn is_for(&self, catalog: &Catalog, role: &RoleObject) -> bool {
        self.grantee.is_empty()
            || catalog.role(&self.grantee).is_some_and(|group| reaches(catalog, role, group.oid, true))
    }

    /// The letters that may be handed on.
    pub fn options(&self) -> impl Iterator<Item = char> + '_ {
        self.rights.iter().filter_map(|(letter, option)| option.then_some(*letter))
    }

    /// Adds rights.
    pub fn give(&mut self, letters: impl IntoIterator<Item = char>, option: bool) {
        for letter in letters {
            match self.rights.iter_mut().find(|(known, _)| *known == letter) {
                Some(known) => known.1 |= option,
                None => self.rights.push((letter, option)),
            }
        }
    }
}

impl fmt::Display for AclItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| {
            let plain = name.chars().all(|one| one.is_alphanumeric() || one == '_');
            if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
        };
        write!(f, "{}=", quoted(&self.grantee))?;
        for letter in ORDER.chars() {
            if let Some((_, option)) = self.rights.iter().find(|(known, _)| *known == letter) {
                write!(f, "{letter}{}", if *option { "*" } else { "" })?;
            }
        }
        write!(f, "/{}", quoted(&self.grantor))
    }
}

/// A name at the start of a text, and what follows it.
fn name_of(text: &str) -> Option<(String, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find(['=', '/']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut name, mut rest) = (String::new(), inside);
    loop {
        let (piece, after) = rest.split_once('"')?;
        name.push_str(piece);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_as_they_are_written() {
        let names = ["", "ann", "x=arwdDxt", "=arwd", "a/b", "a\"b", "\"", "a*b", "\u{e4}rger", "with space"];
        for grantee in names {
            for grantor in names.iter().filter(|name| !name.is_empty()) {
                for rights in [vec![('r', false)], vec![('a', true), ('r', false), ('D', true)], vec![]] {
                    let item = AclItem { grantee: grantee.to_owned(), rights, grantor: (*grantor).to_owned() };
                    assert_eq!(AclItem::parse(&item.to_string()), Some(item.clone()), "{item}");
                }
            }
        }
        assert_eq!(AclItem::parse("team=a*w*/tributary").expect("is one").options().collect::<String>(), "aw");
        assert!(["ann", "ann=r", "\"ann=r/x", "ann=r/x/y"].iter().all(|text| AclItem::parse(text).is_none()));
    }
}

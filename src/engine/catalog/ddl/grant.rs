//! GRANT and REVOKE of rights on relations and schemas.
//!
//! Rights are given by the owner, or by whom the owner gave them WITH GRANT OPTION. Superusers give as the owner would.
//! Rights of single columns and of functions, GRANT OPTION FOR, GRANTED BY another role and ALTER DEFAULT PRIVILEGES are
//! not there.

use tributary_pg::error::{PgError, PgResult, Severity, SqlState};
use tributary_pg::sqlstate;

use super::{Ddl, split_name};
use crate::dialect::sqlparser::ast::{
    Action, CascadeOption, Grant, GrantObjects, Grantee, GranteeName, GranteesType, ObjectName, Privileges, Revoke,
};
use crate::engine::catalog::rights::AclItem;
use crate::engine::catalog::{CatalogObject, Relation};

const RELATION: &str = "arwdDxt";
const SEQUENCE: &str = "rwU";
const SCHEMA: &str = "UC";

/// An object with rights, taken out of the catalog to be changed.
struct Entry {
    object: CatalogObject,
    kind: &'static str,
    name: String,
    owner: u32,
    acl: Option<Vec<String>>,
    /// The rights there are on its kind.
    all: &'static str,
}

impl Entry {
    fn items(&self) -> Vec<AclItem> {
        self.acl.iter().flatten().filter_map(|item| AclItem::parse(item)).collect()
    }
}

/// What is done with rights.
#[derive(Clone, Copy)]
enum Change {
    Grant,
    Revoke,
}

impl Ddl<'_> {
    /// GRANT rights ON objects TO roles.
    pub(super) fn grant(&mut self, grant: &Grant) -> PgResult<&'static str> {
        let grantees = self.grantees(&grant.grantees)?;
        if grant.with_grant_option && grantees.iter().any(String::is_empty) {
            return Err(PgError::new(sqlstate::INVALID_GRANT_OPERATION, "grant options can only be granted to roles"));
        }
        for entry in self.granted(grant.objects.as_ref())? {
            let wanted = letters(&grant.privileges, &entry)?;
            let Some((letters, grantor)) = self.grantable(&entry, &wanted, Change::Grant)? else { continue };
            let mut acl = self.acl_of(&entry);
            for grantee in &grantees {
                item_for(&mut acl, grantee, &grantor).give(letters.chars(), grant.with_grant_option);
            }
            self.keep(entry, &acl);
        }
        Ok("GRANT")
    }

    /// REVOKE rights ON objects FROM roles.
    pub(super) fn revoke(&mut self, revoke: &Revoke) -> PgResult<&'static str> {
        let grantees = self.grantees(&revoke.grantees)?;
        for entry in self.granted(revoke.objects.as_ref())? {
            let wanted = letters(&revoke.privileges, &entry)?;
            let Some((letters, grantor)) = self.grantable(&entry, &wanted, Change::Revoke)? else { continue };
            let mut acl = self.acl_of(&entry);
            for grantee in &grantees {
                take(&mut acl, grantee, &grantor, &letters, revoke.cascade == Some(CascadeOption::Cascade))?;
            }
            self.keep(entry, &acl);
        }
        Ok("REVOKE")
    }

    /// In all access lists, a role's name becomes its new one.
    pub(super) fn rename_in_rights(&mut self, from: &str, to: &str) {
        for entry in self.all_entries() {
            let mut acl = entry.items();
            let names = acl.iter_mut().flat_map(|item| [&mut item.grantee, &mut item.grantor]);
            let mut renamed = false;
            for name in names.filter(|name| *name == from) {
                to.clone_into(name);
                renamed = true;
            }
            if renamed {
                self.keep(entry, &acl);
            }
        }
    }

    /// What a role was given, as PostgreSQL tells why it cannot be dropped.
    pub(super) fn rights_given_to(&self, role: &str) -> Vec<String> {
        let given = |entry: &Entry| entry.items().iter().any(|item| item.grantee == role);
        let entries = self.all_entries().into_iter().filter(given);
        entries.map(|entry| format!("privileges for {} {}", entry.kind, entry.name)).collect()
    }

    /// The list of an object with another owner: what the old one had is the new one's.
    pub(super) fn acl_of_new_owner(&self, acl: Option<Vec<String>>, old: u32, new: u32) -> Option<Vec<String>> {
        let (old, new) = (self.role_of(old), self.role_of(new));
        let named = |name: &str| if name == old { new.clone() } else { name.to_owned() };
        acl.map(|acl| {
            let mut changed: Vec<AclItem> = Vec::with_capacity(acl.len());
            for item in acl.iter().filter_map(|item| AclItem::parse(item)) {
                let merged = item_for(&mut changed, &named(&item.grantee), &named(&item.grantor));
                for (letter, option) in item.rights {
                    merged.give([letter], option);
                }
            }
            changed.iter().map(ToString::to_string).collect()
        })
    }

    fn grantees(&self, grantees: &[Grantee]) -> PgResult<Vec<String>> {
        let one = |grantee: &Grantee| {
            if grantee.grantee_type == GranteesType::Public {
                return Ok(String::new());
            }
            let Some(GranteeName::ObjectName(name)) = &grantee.name else {
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, "rights are given to roles"));
            };
            match split_name(name)?.1.as_str() {
                "public" => Ok(String::new()),
                name => Ok(self.role_named(name)?.name.clone()),
            }
        };
        grantees.iter().map(one).collect()
    }

    fn granted(&self, objects: Option<&GrantObjects>) -> PgResult<Vec<Entry>> {
        let named = |names: &[ObjectName]| names.iter().map(|name| self.relation_entry(name)).collect();
        match objects {
            Some(GrantObjects::Tables(names) | GrantObjects::Views(names) | GrantObjects::Sequences(names)) => {
                named(names)
            }
            Some(GrantObjects::Schemas(names)) => names.iter().map(|name| self.schema_entry(name)).collect(),
            Some(GrantObjects::AllTablesInSchema { schemas }) => self.within(schemas, &["table", "view"]),
            Some(GrantObjects::AllSequencesInSchema { schemas }) => self.within(schemas, &["sequence"]),
            _ => Err(PgError::unsupported("rights on this kind of object are not supported")
                .hint("Rights are given on tables, views, sequences and schemas.")),
        }
    }

    fn within(&self, schemas: &[ObjectName], kinds: &[&str]) -> PgResult<Vec<Entry>> {
        let mut found = Vec::new();
        for schema in schemas {
            let Entry { object: CatalogObject::Schema(schema), .. } = self.schema_entry(schema)? else { continue };
            let of_schema = |entry: &Entry| match &entry.object {
                CatalogObject::Table(table) => table.schema == schema.oid,
                CatalogObject::View(view) => view.schema == schema.oid,
                CatalogObject::Sequence(sequence) => sequence.schema == schema.oid,
                _ => false,
            };
            let entries = self.all_entries().into_iter();
            found.extend(entries.filter(|entry| kinds.contains(&entry.kind) && of_schema(entry)));
        }
        Ok(found)
    }

    fn relation_entry(&self, name: &ObjectName) -> PgResult<Entry> {
        let (schema, own) = split_name(name)?;
        match self.catalog.resolve(self.search_path, schema.as_deref(), &own)? {
            Relation::Table(table) => Ok(entry(CatalogObject::Table(table))),
            Relation::View(view) => Ok(entry(CatalogObject::View(view))),
            Relation::Sequence(sequence) => Ok(entry(CatalogObject::Sequence(sequence))),
            Relation::System(..) => {
                Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("permission denied for table {own}"))
                    .detail("Rights on system relations are fixed."))
            }
        }
        .and_then(|entry| entry.ok_or_else(|| PgError::internal("a relation has no rights")))
    }

    fn schema_entry(&self, name: &ObjectName) -> PgResult<Entry> {
        let (_, name) = split_name(name)?;
        let schema = self.catalog.schema(&name).cloned();
        schema
            .and_then(|schema| entry(CatalogObject::Schema(schema)))
            .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist")))
    }

    fn all_entries(&self) -> Vec<Entry> {
        let tables = self.catalog.tables.values().cloned().map(CatalogObject::Table);
        let views = self.catalog.views.values().cloned().map(CatalogObject::View);
        let sequences = self.catalog.sequences.values().cloned().map(CatalogObject::Sequence);
        let schemas = self.catalog.schemas.values().cloned().map(CatalogObject::Schema);
        tables.chain(views).chain(sequences).chain(schemas).filter_map(entry).collect()
    }

    fn role_of(&self, oid: u32) -> String {
        self.catalog.roles.get(&oid).map_or_else(|| oid.to_string(), |role| role.name.clone())
    }

    /// The list with the default written out.
    fn acl_of(&self, entry: &Entry) -> Vec<AclItem> {
        if entry.acl.is_some() {
            return entry.items();
        }
        let owner = self.role_of(entry.owner);
        let rights = entry.all.chars().map(|letter| (letter, false)).collect();
        vec![AclItem { grantee: owner.clone(), rights, grantor: owner }]
    }

    /// Those of the rights that the current role may hand on, and in whose name: the role it has the rights of that may
    /// hand on most of them. 42501 if it has no right on the object at all; a warning, as in PostgreSQL, where it has
    /// not all the options.
    fn grantable(&mut self, entry: &Entry, wanted: &str, change: Change) -> PgResult<Option<(String, String)>> {
        if self.owns(entry.owner) {
            return Ok(Some((wanted.to_owned(), self.role_of(entry.owner))));
        }
        let items: Vec<AclItem> =
            entry.items().into_iter().filter(|item| item.is_for(&self.catalog, &self.role)).collect();
        if items.is_empty() {
            let message = format!("permission denied for {} {}", entry.kind, entry.name);
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message));
        }
        let mut best = (String::new(), String::new());
        for item in &items {
            let of_grantee = items.iter().filter(|other| other.grantee == item.grantee);
            let options: Vec<char> = of_grantee.flat_map(AclItem::options).collect();
            let granted: String = wanted.chars().filter(|letter| options.contains(letter)).collect();
            if granted.len() > best.0.len() {
                best = (granted, item.grantee.clone());
            }
        }
        let (code, done) = match change {
            Change::Grant => (sqlstate::WARNING_PRIVILEGE_NOT_GRANTED, "were granted"),
            Change::Revoke => (sqlstate::WARNING_PRIVILEGE_NOT_REVOKED, "could be revoked"),
        };
        if best.0.is_empty() {
            self.warn(code, format!("no privileges {done} for \"{}\"", entry.name));
            return Ok(None);
        }
        if best.0.len() < wanted.len() {
            self.warn(code, format!("not all privileges {done} for \"{}\"", entry.name));
        }
        Ok(Some(best))
    }

    fn warn(&mut self, code: SqlState, message: String) {
        let warning = PgError::new(code, message);
        self.notices.push(warning.severity(Severity::Warning));
    }

    fn keep(&mut self, entry: Entry, acl: &[AclItem]) {
        let acl = Some(acl.iter().map(ToString::to_string).collect());
        match entry.object {
            CatalogObject::Table(table) => {
                let mut table = table.as_ref().clone();
                table.acl = acl;
                self.put(table);
            }
            CatalogObject::View(view) => {
                let mut view = view.as_ref().clone();
                view.acl = acl;
                self.put(view);
            }
            CatalogObject::Sequence(sequence) => {
                let mut sequence = sequence.as_ref().clone();
                sequence.acl = acl;
                self.put(sequence);
            }
            CatalogObject::Schema(schema) => {
                let mut schema = schema.as_ref().clone();
                schema.acl = acl;
                self.put(schema);
            }
            CatalogObject::Role(_) => {}
        }
    }
}

fn entry(object: CatalogObject) -> Option<Entry> {
    let (kind, name, owner, acl, all) = match &object {
        CatalogObject::Table(one) => ("table", &one.name, one.owner, &one.acl, RELATION),
        CatalogObject::View(one) => ("view", &one.name, one.owner, &one.acl, RELATION),
        CatalogObject::Sequence(one) => ("sequence", &one.name, one.owner, &one.acl, SEQUENCE),
        CatalogObject::Schema(one) => ("schema", &one.name, one.owner, &one.acl, SCHEMA),
        CatalogObject::Role(_) => return None,
    };
    let (name, acl) = (name.clone(), acl.clone());
    Some(Entry { object, kind, name, owner, acl, all })
}

/// The letters of rights on an object; 0LP01 for rights its kind does not have.
fn letters(privileges: &Privileges, entry: &Entry) -> PgResult<String> {
    let Privileges::Actions(actions) = privileges else { return Ok(entry.all.to_owned()) };
    let mut letters = String::new();
    for action in actions {
        let columns = match action {
            Action::Select { columns }
            | Action::Insert { columns }
            | Action::Update { columns }
            | Action::References { columns } => columns.is_some(),
            _ => false,
        };
        if columns {
            return Err(PgError::unsupported("rights on single columns are not supported"));
        }
        let letter = match action {
            Action::Select { .. } => 'r',
            Action::Insert { .. } => 'a',
            Action::Update { .. } => 'w',
            Action::Delete => 'd',
            Action::Truncate => 'D',
            Action::References { .. } => 'x',
            Action::Trigger => 't',
            Action::Usage => 'U',
            Action::Create { obj_type: None } => 'C',
            other => {
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("unrecognized privilege type \"{other}\"")));
            }
        };
        if !entry.all.contains(letter) {
            let kind = if entry.kind == "view" { "table" } else { entry.kind };
            let message = format!("invalid privilege type {action} for {kind}");
            return Err(PgError::new(sqlstate::INVALID_GRANT_OPERATION, message));
        }
        letters.push(letter);
    }
    Ok(letters)
}

/// What one role gave another: the item in the list, added if there is none.
fn item_for<'a>(acl: &'a mut Vec<AclItem>, grantee: &str, grantor: &str) -> &'a mut AclItem {
    let place = acl.iter().position(|item| item.grantee == grantee && item.grantor == grantor);
    let place = place.unwrap_or_else(|| {
        acl.push(AclItem { grantee: grantee.to_owned(), rights: Vec::new(), grantor: grantor.to_owned() });
        acl.len() - 1
    });
    &mut acl[place]
}

/// Takes what `grantor` gave, and with CASCADE what its holder gave on.
fn take(acl: &mut Vec<AclItem>, grantee: &str, grantor: &str, letters: &str, cascade: bool) -> PgResult<()> {
    let Some(place) = acl.iter().position(|item| item.grantee == grantee && item.grantor == grantor) else {
        return Ok(());
    };
    let handed_on: String = acl[place].options().filter(|letter| letters.contains(*letter)).collect();
    acl[place].rights.retain(|(letter, _)| !letters.contains(*letter));
    if acl[place].rights.is_empty() {
        acl.remove(place);
    }
    // What the holder may still hand on by another's gift, it has not lost.
    let still: String = acl.iter().filter(|item| item.grantee == grantee).flat_map(AclItem::options).collect();
    let lost: String = handed_on.chars().filter(|letter| !still.contains(*letter)).collect();
    let depends = |item: &&AclItem| item.grantor == grantee && item.rights.iter().any(|(one, _)| lost.contains(*one));
    let dependents: Vec<String> = acl.iter().filter(depends).map(|item| item.grantee.clone()).collect();
    if !cascade && !dependents.is_empty() {
        return Err(PgError::new(sqlstate::DEPENDENT_OBJECTS_STILL_EXIST, "dependent privileges exist")
            .hint("Use CASCADE to revoke them too."));
    }
    dependents.iter().try_for_each(|who| take(acl, who, grantee, &lost, true))
}

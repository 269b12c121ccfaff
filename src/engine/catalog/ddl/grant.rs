//! GRANT and REVOKE of rights on relations and schemas.
//!
//! Rights are given by the owner, or by whom the owner gave them WITH GRANT OPTION. Superusers give as the owner would.
//! Rights of single columns, of functions and ALTER DEFAULT PRIVILEGES are not there.

use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

use super::{Ddl, split_name};
use crate::dialect::sqlparser::ast::{
    Action, CascadeOption, Grant, GrantObjects, Grantee, GranteeName, GranteesType, ObjectName, Privileges, Revoke,
};
use crate::engine::catalog::{CatalogObject, Relation};

/// The letters of an aclitem, in PostgreSQL's order.
const ORDER: &str = "arwdDxtXUCTc";
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

impl Ddl<'_> {
    /// GRANT rights ON objects TO roles.
    pub(super) fn grant(&mut self, grant: &Grant) -> PgResult<&'static str> {
        let grantees = self.grantees(&grant.grantees)?;
        for entry in self.granted(grant.objects.as_ref())? {
            let letters = letters(&grant.privileges, &entry)?;
            let (letters, grantor) = self.grantable(&entry, &letters)?;
            if letters.is_empty() {
                continue;
            }
            let mut acl = self.acl_of(&entry);
            for grantee in &grantees {
                give(&mut acl, grantee, &grantor, &letters, grant.with_grant_option);
            }
            self.keep(entry, acl);
        }
        Ok("GRANT")
    }

    /// REVOKE rights ON objects FROM roles.
    pub(super) fn revoke(&mut self, revoke: &Revoke) -> PgResult<&'static str> {
        let grantees = self.grantees(&revoke.grantees)?;
        for entry in self.granted(revoke.objects.as_ref())? {
            let letters = letters(&revoke.privileges, &entry)?;
            let (letters, grantor) = self.grantable(&entry, &letters)?;
            let mut acl = self.acl_of(&entry);
            for grantee in &grantees {
                take(&mut acl, grantee, &grantor, &letters, revoke.cascade == Some(CascadeOption::Cascade))?;
            }
            self.keep(entry, acl);
        }
        Ok("REVOKE")
    }

    /// In all access lists, a role's name becomes its new one.
    pub(super) fn rename_in_rights(&mut self, from: &str, to: &str) {
        for entry in self.all_entries() {
            let Some(acl) = &entry.acl else { continue };
            let named = |name: &str| if name == from { to.to_owned() } else { name.to_owned() };
            let renamed: Vec<String> = acl
                .iter()
                .filter_map(|item| parts(item))
                .map(|(grantee, letters, grantor)| item_of(&named(&grantee), &letters, &named(&grantor)))
                .collect();
            if renamed != *acl {
                self.keep(entry, renamed);
            }
        }
    }

    /// What a role was given, as PostgreSQL tells why it cannot be dropped.
    pub(super) fn rights_given_to(&self, role: &str) -> Vec<String> {
        let given = |entry: &Entry| {
            entry.acl.iter().flatten().filter_map(|item| parts(item)).any(|(grantee, ..)| grantee == role)
        };
        self.all_entries()
            .into_iter()
            .filter(given)
            .map(|entry| format!("privileges for {} {}", entry.kind, entry.name))
            .collect()
    }

    /// The list of an object with another owner: what the old one had is the new one's.
    pub(super) fn acl_of_new_owner(&self, acl: Option<Vec<String>>, old: u32, new: u32) -> Option<Vec<String>> {
        let (old, new) = (self.role_of(old), self.role_of(new));
        let named = |name: String| if name == old { new.clone() } else { name };
        acl.map(|acl| {
            let mut changed: Vec<String> = Vec::with_capacity(acl.len());
            for (grantee, letters, grantor) in acl.iter().filter_map(|item| parts(item)) {
                let (grantee, grantor) = (named(grantee), named(grantor));
                let options = letters.contains('*');
                let plain: String = letters.chars().filter(|one| *one != '*').collect();
                give(&mut changed, &grantee, &grantor, &plain, options);
            }
            changed
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
                "current_user" | "current_role" | "session_user" => Ok(self.role.name.clone()),
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
    fn acl_of(&self, entry: &Entry) -> Vec<String> {
        let owner = self.role_of(entry.owner);
        entry.acl.clone().unwrap_or_else(|| vec![item_of(&owner, entry.all, &owner)])
    }

    /// The rights of these that the current role may hand on, and in whose name. 42501 if it has none on the object;
    /// without the options to those it has, a warning, as in PostgreSQL.
    fn grantable(&mut self, entry: &Entry, letters: &str) -> PgResult<(String, String)> {
        if self.owns(entry.owner) {
            return Ok((letters.to_owned(), self.role_of(entry.owner)));
        }
        let items: Vec<_> = entry.acl.iter().flatten().filter_map(|item| parts(item)).collect();
        let (mut grantor, mut held, mut any) = (self.role.name.clone(), String::new(), false);
        for (grantee, given, _) in items {
            let mine = match self.catalog.role(&grantee) {
                Some(role) => self.owns(role.oid),
                None => grantee.is_empty(),
            };
            any |= mine;
            for (letter, _) in read(&given).into_iter().filter(|(_, option)| mine && *option) {
                grantor.clone_from(&grantee);
                held.push(letter);
            }
        }
        let granted: String = letters.chars().filter(|letter| held.contains(*letter)).collect();
        match (granted.is_empty(), any) {
            (true, false) => {
                let message = format!("permission denied for {} {}", entry.kind, entry.name);
                return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message));
            }
            (true, true) => self.warn(format!("no privileges were granted for \"{}\"", entry.name)),
            (false, _) if granted.len() < letters.len() => {
                self.warn(format!("not all privileges were granted for \"{}\"", entry.name));
            }
            (false, _) => {}
        }
        Ok((granted, grantor))
    }

    fn warn(&mut self, message: String) {
        let warning = PgError::new(sqlstate::WARNING_PRIVILEGE_NOT_GRANTED, message);
        self.notices.push(warning.severity(Severity::Warning));
    }

    fn keep(&mut self, entry: Entry, acl: Vec<String>) {
        let acl = Some(acl);
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

/// An aclitem's grantee, letters and grantor.
fn parts(item: &str) -> Option<(String, String, String)> {
    let bare = |name: &str| match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_owned(),
    };
    let (grantee, rest) = item.rsplit_once('=')?;
    let (letters, grantor) = rest.split_once('/')?;
    Some((bare(grantee), letters.to_owned(), bare(grantor)))
}

fn item_of(grantee: &str, letters: &str, grantor: &str) -> String {
    let shown = |name: &str| {
        let plain = name.chars().all(|one| one.is_alphanumeric() || one == '_');
        if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    };
    format!("{}={letters}/{}", shown(grantee), shown(grantor))
}

/// Letters in their order, each with `*` if it may be handed on.
fn written(letters: &[(char, bool)]) -> String {
    let in_order = ORDER.chars().filter_map(|one| letters.iter().find(|(letter, _)| *letter == one));
    in_order.flat_map(|(letter, option)| std::iter::once(*letter).chain(option.then_some('*'))).collect()
}

fn read(letters: &str) -> Vec<(char, bool)> {
    let mut read: Vec<(char, bool)> = Vec::new();
    for one in letters.chars() {
        match (one, read.last_mut()) {
            ('*', Some(last)) => last.1 = true,
            _ => read.push((one, false)),
        }
    }
    read
}

fn give(acl: &mut Vec<String>, grantee: &str, grantor: &str, letters: &str, option: bool) {
    let place = acl.iter().position(|item| parts(item).is_some_and(|(who, _, by)| who == grantee && by == grantor));
    let mut held = place.and_then(|place| parts(&acl[place])).map(|(_, letters, _)| read(&letters)).unwrap_or_default();
    for letter in letters.chars() {
        match held.iter_mut().find(|(known, _)| *known == letter) {
            Some(known) => known.1 |= option,
            None => held.push((letter, option)),
        }
    }
    let item = item_of(grantee, &written(&held), grantor);
    match place {
        Some(place) => acl[place] = item,
        None => acl.push(item),
    }
}

/// Takes what `grantor` gave, and with CASCADE what its holder gave on.
fn take(acl: &mut Vec<String>, grantee: &str, grantor: &str, letters: &str, cascade: bool) -> PgResult<()> {
    let place = acl.iter().position(|item| parts(item).is_some_and(|(who, _, by)| who == grantee && by == grantor));
    let Some((place, (_, held, _))) = place.and_then(|place| Some((place, parts(&acl[place])?))) else { return Ok(()) };
    let (taken, left): (Vec<_>, Vec<_>) = read(&held).into_iter().partition(|(letter, _)| letters.contains(*letter));
    if left.is_empty() {
        acl.remove(place);
    } else {
        acl[place] = item_of(grantee, &written(&left), grantor);
    }
    let handed_on: String = taken.into_iter().filter_map(|(letter, option)| option.then_some(letter)).collect();
    let dependents: Vec<String> = acl
        .iter()
        .filter_map(|item| parts(item))
        .filter(|(_, held, by)| by == grantee && held.contains(|letter| handed_on.contains(letter)))
        .map(|(who, ..)| who)
        .collect();
    if !cascade && !dependents.is_empty() {
        return Err(PgError::new(sqlstate::DEPENDENT_OBJECTS_STILL_EXIST, "dependent privileges exist")
            .hint("Use CASCADE to revoke them too."));
    }
    dependents.iter().try_for_each(|who| take(acl, who, grantee, &handed_on, true))
}

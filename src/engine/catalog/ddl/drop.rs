//! DROP of every kind: what stands in the way, and what CASCADE takes along.

use std::collections::BTreeSet;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::constraint::is_key;
use super::sequence::next_of;
use super::{Ddl, is_system_schema, shown_name, split_name};
use crate::dialect::sqlparser::ast::{ObjectName, ObjectType};
use crate::engine::catalog::{ConstraintKind, Relation, SequenceObject, TableObject, oid};

/// Dependents named in DETAIL; the rest is counted.
const DETAIL_MAX: usize = 100;

/// Something that goes with what is dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dropped {
    /// A table or view.
    Relation(u32),
    /// A foreign key: table OID and constraint OID.
    ForeignKey(u32, u32),
    /// A default: table OID and attnum.
    Default(u32, i16),
}

impl Ddl<'_> {
    /// DROP kind [IF EXISTS] name, ... [CASCADE]
    pub(super) fn drop(
        &mut self,
        kind: &ObjectType,
        names: &[ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> PgResult<&'static str> {
        match kind {
            ObjectType::Table => self.drop_relations(names, 'r', if_exists, cascade).map(|()| "DROP TABLE"),
            ObjectType::View => self.drop_relations(names, 'v', if_exists, cascade).map(|()| "DROP VIEW"),
            ObjectType::Index => self.drop_indexes(names, if_exists, cascade).map(|()| "DROP INDEX"),
            ObjectType::Schema => self.drop_schemas(names, if_exists, cascade).map(|()| "DROP SCHEMA"),
            ObjectType::Sequence => self.drop_relations(names, 'S', if_exists, cascade).map(|()| "DROP SEQUENCE"),
            ObjectType::MaterializedView if if_exists => {
                for name in names {
                    let (_, name) = split_name(name)?;
                    self.say(format!("materialized view \"{name}\" does not exist, skipping"));
                }
                Ok("DROP MATERIALIZED VIEW")
            }
            ObjectType::Database => Err(PgError::unsupported("one server holds one database")),
            other => Err(PgError::unsupported(format!("DROP {other} is not supported"))),
        }
    }

    /// `DROP FOREIGN TABLE [IF EXISTS] name, ... [CASCADE]`
    pub fn drop_external(mut self, names: &[ObjectName], if_exists: bool, cascade: bool) -> PgResult<super::DdlDone> {
        self.drop_relations(names, 'f', if_exists, cascade)?;
        Ok(self.done("DROP FOREIGN TABLE"))
    }

    fn drop_relations(&mut self, names: &[ObjectName], kind: char, if_exists: bool, cascade: bool) -> PgResult<()> {
        let word = match kind {
            'r' => "table",
            'f' => "foreign table",
            'S' => "sequence",
            _ => "view",
        };
        let mut doomed = Vec::new();
        for name in names {
            let (schema, own) = split_name(name)?;
            let shown = shown_name(schema.as_deref(), &own);
            let found = self.find_relation(schema.as_deref(), &own);
            match found {
                None => {
                    if !if_exists {
                        let code = if kind == 'f' { sqlstate::UNDEFINED_OBJECT } else { sqlstate::UNDEFINED_TABLE };
                        return Err(PgError::new(code, format!("{word} \"{shown}\" does not exist")));
                    }
                    let missing = schema.as_deref().filter(|schema| self.catalog.schema(schema).is_none());
                    match missing {
                        Some(schema) => self.say(format!("schema \"{schema}\" does not exist, skipping")),
                        None => self.say(format!("{word} \"{own}\" does not exist, skipping")),
                    }
                }
                Some(Relation::System(..)) => {
                    return Err(PgError::new(
                        sqlstate::INSUFFICIENT_PRIVILEGE,
                        format!("permission denied: \"{own}\" is a system catalog"),
                    ));
                }
                Some(Relation::Table(table)) if kind == 'r' || kind == 'f' && table.external.is_some() => {
                    self.must_own_or_schema(table.owner, table.schema, table.kind_name(), &own)?;
                    doomed.push((table.oid, own));
                }
                Some(Relation::View(view)) if kind == 'v' => {
                    self.must_own_or_schema(view.owner, view.schema, "view", &own)?;
                    doomed.push((view.oid, own));
                }
                Some(Relation::Sequence(sequence)) if kind == 'S' => {
                    self.must_own_or_schema(sequence.owner, sequence.schema, "sequence", &own)?;
                    self.refuse_identity(&sequence, &own)?;
                    doomed.push((sequence.oid, own));
                }
                Some(other) => return Err(wrong_kind(&own, word, &other)),
            }
        }
        let together: BTreeSet<u32> = doomed.iter().map(|(oid, _)| *oid).collect();
        for (oid, name) in &doomed {
            let dependents = self.dependents_of(*oid, &together);
            self.drop_dependents(&format!("{word} {name}"), dependents, cascade)?;
        }
        for (oid, _) in doomed {
            self.take(oid);
        }
        Ok(())
    }

    /// 2BP01 for the sequence of an identity column.
    fn refuse_identity(&self, sequence: &SequenceObject, name: &str) -> PgResult<()> {
        let owner = sequence.owned_by.filter(|_| sequence.identity);
        let Some((table, attnum)) = owner else { return Ok(()) };
        let Some(table) = self.catalog.tables.get(&table) else { return Ok(()) };
        let column = table.column_by_attnum(attnum).map_or("", |column| &column.name);
        let what = format!("column {column} of table {}", self.visible_name(table.schema, &table.name));
        let message = format!("cannot drop sequence {name} because {what} requires it");
        Err(PgError::new(sqlstate::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .hint(format!("You can drop {what} instead.")))
    }

    /// Defaults that take their value from a sequence.
    pub(super) fn default_users(&self, sequence: u32) -> Vec<Dropped> {
        let next = next_of(sequence);
        let uses = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(&next));
        let tables = self.catalog.tables.values();
        let columns = tables.flat_map(|table| table.live_columns().map(|column| (table.oid, column)));
        let users = columns.filter(|(_, column)| uses(&column.default));
        users.map(|(table, column)| Dropped::Default(table, column.attnum)).collect()
    }

    /// Views over a relation, foreign keys to it and defaults from it, directly or through other views, without those
    /// in `together`.
    fn dependents_of(&self, relation: u32, together: &BTreeSet<u32>) -> Vec<Dropped> {
        let mut found = Vec::new();
        let mut queue = vec![relation];
        let mut seen = together.clone();
        let owned = self.catalog.sequences.values().filter(|sequence| {
            sequence.oid == relation || sequence.owned_by.is_some_and(|(table, _)| table == relation)
        });
        for sequence in owned.map(|sequence| sequence.oid).collect::<Vec<_>>() {
            let outside = |user: &Dropped| match user {
                Dropped::Default(table, _) => *table != relation && !together.contains(table),
                _ => true,
            };
            found.extend(self.default_users(sequence).into_iter().filter(outside));
        }
        while let Some(oid) = queue.pop() {
            for view in self.catalog.dependents(oid) {
                if seen.insert(view.oid) {
                    found.push(Dropped::Relation(view.oid));
                    queue.push(view.oid);
                }
            }
            for table in self.catalog.tables.values().filter(|table| table.oid != oid && !together.contains(&table.oid))
            {
                for constraint in &table.constraints {
                    if constraint.references.as_ref().is_some_and(|key| key.table == oid) {
                        found.push(Dropped::ForeignKey(table.oid, constraint.oid));
                    }
                }
            }
        }
        found
    }

    /// Drops what depends on something, or says what does.
    pub(super) fn drop_dependents(&mut self, what: &str, dependents: Vec<Dropped>, cascade: bool) -> PgResult<()> {
        if dependents.is_empty() {
            return Ok(());
        }
        let described: Vec<String> = dependents.iter().map(|dropped| self.describe(dropped)).collect();
        if !cascade {
            let mut lines: Vec<String> =
                described.iter().take(DETAIL_MAX).map(|name| format!("{name} depends on {what}")).collect();
            if described.len() > DETAIL_MAX {
                lines.push(format!("and {} other objects (see server log for list)", described.len() - DETAIL_MAX));
            }
            return Err(PgError::new(
                sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop {what} because other objects depend on it"),
            )
            .detail(lines.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        match described.as_slice() {
            [only] => self.say(format!("drop cascades to {only}")),
            several => {
                let lines: Vec<String> = several.iter().map(|name| format!("drop cascades to {name}")).collect();
                let notice = PgError::new(
                    sqlstate::SUCCESSFUL_COMPLETION,
                    format!("drop cascades to {} other objects", several.len()),
                );
                self.notice(notice.detail(lines.join("\n")));
            }
        }
        for dropped in dependents {
            match dropped {
                Dropped::Relation(oid) => self.take(oid),
                Dropped::ForeignKey(table, constraint) => self.drop_one_constraint(table, constraint),
                Dropped::Default(table, attnum) => self.drop_one_default(table, attnum),
            }
        }
        Ok(())
    }

    fn drop_one_constraint(&mut self, table: u32, constraint: u32) {
        if let Some(table) = self.catalog.tables.get(&table) {
            let mut table = table.as_ref().clone();
            table.constraints.retain(|other| other.oid != constraint);
            self.put(table);
        }
    }

    fn drop_one_default(&mut self, table: u32, attnum: i16) {
        if let Some(table) = self.catalog.tables.get(&table) {
            let mut table = table.as_ref().clone();
            for column in table.columns.iter_mut().filter(|column| column.attnum == attnum) {
                column.default = None;
                column.default_shown = None;
                column.default_oid = 0;
            }
            self.put(table);
        }
    }

    /// Foreign keys of other tables that rely on these indexes.
    pub(super) fn drop_foreign_keys(
        &mut self,
        table: &TableObject,
        indexes: &[u32],
        what: &str,
        cascade: bool,
    ) -> PgResult<()> {
        let keys: Vec<Dropped> = self
            .catalog
            .tables
            .values()
            .filter(|other| other.oid != table.oid)
            .flat_map(|other| {
                let relies = other.constraints.iter().filter(|constraint| {
                    constraint.kind == ConstraintKind::ForeignKey && indexes.contains(&constraint.index_oid)
                });
                relies.map(|constraint| Dropped::ForeignKey(other.oid, constraint.oid))
            })
            .collect();
        self.drop_dependents(what, keys, cascade)
    }

    /// `view v`, `constraint c on table t`; names are qualified when search_path does not find them.
    fn describe(&self, dropped: &Dropped) -> String {
        match dropped {
            Dropped::Relation(oid) => match (self.catalog.tables.get(oid), self.catalog.views.get(oid)) {
                (Some(table), _) => format!("table {}", self.visible_name(table.schema, &table.name)),
                (_, Some(view)) => format!("view {}", self.visible_name(view.schema, &view.name)),
                _ => match self.catalog.sequences.get(oid) {
                    Some(sequence) => format!("sequence {}", self.visible_name(sequence.schema, &sequence.name)),
                    None => format!("relation {oid}"),
                },
            },
            Dropped::Default(table, attnum) => match self.catalog.tables.get(table) {
                Some(table) => {
                    let column = table.column_by_attnum(*attnum).map_or("", |column| &column.name);
                    let table = self.visible_name(table.schema, &table.name);
                    format!("default value for column {column} of table {table}")
                }
                None => format!("default {attnum}"),
            },
            Dropped::ForeignKey(table, constraint) => match self.catalog.tables.get(table) {
                Some(table) => {
                    let name = table.constraints.iter().find(|other| other.oid == *constraint);
                    let name = name.map_or("", |constraint| &constraint.name);
                    format!("constraint {name} on table {}", self.visible_name(table.schema, &table.name))
                }
                None => format!("constraint {constraint}"),
            },
        }
    }

    fn visible_name(&self, schema: u32, name: &str) -> String {
        let schema_name = self.catalog.schema_name(schema);
        if self.search_path.iter().any(|path| path == schema_name) {
            name.to_owned()
        } else {
            format!("{schema_name}.{name}")
        }
    }

    fn find_relation(&self, schema: Option<&str>, name: &str) -> Option<Relation> {
        self.catalog.resolve(self.search_path, schema, name).ok()
    }

    fn must_own_or_schema(&self, owner: u32, schema: u32, kind: &str, name: &str) -> PgResult<()> {
        if self.catalog.schemas.get(&schema).is_some_and(|schema| self.owns(schema.owner)) {
            return Ok(());
        }
        self.must_own(owner, kind, name)
    }

    fn drop_indexes(&mut self, names: &[ObjectName], if_exists: bool, cascade: bool) -> PgResult<()> {
        for name in names {
            let (schema, own) = split_name(name)?;
            let schemas: Vec<u32> = match &schema {
                Some(schema) => self.catalog.schema(schema).map(|schema| schema.oid).into_iter().collect(),
                None => self.search_path.iter().filter_map(|name| self.catalog.schema(name)).map(|s| s.oid).collect(),
            };
            let found = schemas.iter().find_map(|schema| self.catalog.index_named(*schema, &own));
            let Some((table, index)) = found else {
                if let Some(other) = self.find_relation(schema.as_deref(), &own) {
                    return Err(wrong_kind(&own, "index", &other));
                }
                if if_exists {
                    self.say(format!("index \"{own}\" does not exist, skipping"));
                    continue;
                }
                let shown = shown_name(schema.as_deref(), &own);
                return Err(PgError::new(sqlstate::UNDEFINED_OBJECT, format!("index \"{shown}\" does not exist")));
            };
            self.must_own(table.owner, "index", &own)?;
            let owner =
                table.constraints.iter().find(|constraint| is_key(constraint) && constraint.index_oid == index.oid);
            if let Some(constraint) = owner {
                return Err(PgError::new(
                    sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!(
                        "cannot drop index {own} because constraint {} on table {} requires it",
                        constraint.name, table.name
                    ),
                )
                .hint(format!("You can drop constraint {} on table {} instead.", constraint.name, table.name)));
            }
            let (mut table, oid) = (table.as_ref().clone(), index.oid);
            self.drop_foreign_keys(&table, &[oid], &format!("index {own}"), cascade)?;
            table.indexes.retain(|index| index.oid != oid);
            self.put(table);
        }
        Ok(())
    }

    /// Drops tables for ON COMMIT DROP, or all that is in a session's schema for temporary objects.
    pub fn drop_temporary(mut self, tables: Option<&[u32]>, schema: u32) -> PgResult<super::DdlDone> {
        let within = |inside: u32| inside == schema;
        let (tables, views, sequences): (Vec<u32>, Vec<u32>, Vec<u32>) = match tables {
            Some(tables) => (tables.to_vec(), Vec::new(), Vec::new()),
            None => (
                self.catalog.tables.values().filter(|one| within(one.schema)).map(|one| one.oid).collect(),
                self.catalog.views.values().filter(|one| within(one.schema)).map(|one| one.oid).collect(),
                self.catalog.sequences.values().filter(|one| within(one.schema)).map(|one| one.oid).collect(),
            ),
        };
        for oid in tables.into_iter().chain(views) {
            for dependent in self.dependents_of(oid, &BTreeSet::new()) {
                if let Dropped::Relation(view) = dependent {
                    self.take(view);
                }
            }
            self.take(oid);
        }
        for oid in sequences {
            self.take(oid);
        }
        Ok(self.done("DROP TABLE"))
    }

    fn drop_schemas(&mut self, names: &[ObjectName], if_exists: bool, cascade: bool) -> PgResult<()> {
        for name in names {
            let (_, name) = split_name(name)?;
            let Some(schema) = self.catalog.schema(&name).cloned() else {
                let message = format!("schema \"{name}\" does not exist");
                if if_exists {
                    self.say(format!("{message}, skipping"));
                    continue;
                }
                return Err(PgError::new(sqlstate::UNDEFINED_SCHEMA, message));
            };
            self.must_own(schema.owner, "schema", &name)?;
            if is_system_schema(schema.oid) {
                return Err(PgError::new(
                    sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!("cannot drop schema {name} because it is required by the database system"),
                ));
            }
            let mut inside: Vec<Dropped> = Vec::new();
            let tables = self.catalog.tables.values().filter(|table| table.schema == schema.oid);
            inside.extend(tables.map(|table| Dropped::Relation(table.oid)));
            let views = self.catalog.views.values().filter(|view| view.schema == schema.oid);
            inside.extend(views.map(|view| Dropped::Relation(view.oid)));
            let sequences = self.catalog.sequences.values();
            let sequences = sequences.filter(|one| one.schema == schema.oid && one.owned_by.is_none());
            inside.extend(sequences.map(|sequence| Dropped::Relation(sequence.oid)));
            let together: BTreeSet<u32> =
                inside.iter().filter_map(|d| if let Dropped::Relation(oid) = d { Some(*oid) } else { None }).collect();
            for oid in &together {
                for dependent in self.dependents_of(*oid, &together) {
                    if !inside.contains(&dependent) {
                        inside.push(dependent);
                    }
                }
            }
            self.drop_dependents(&format!("schema {name}"), inside, cascade)?;
            self.take(schema.oid);
        }
        Ok(())
    }

    pub(super) fn drop_roles(&mut self, names: &[String], if_exists: bool) -> PgResult<()> {
        if !self.role.superuser && !self.role.create_role {
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "permission denied to drop role"));
        }
        for name in names {
            let Some(role) = self.catalog.role(name).cloned() else {
                let message = format!("role \"{name}\" does not exist");
                if if_exists {
                    self.say(format!("{message}, skipping"));
                    continue;
                }
                return Err(PgError::new(sqlstate::UNDEFINED_OBJECT, message));
            };
            if role.oid == self.role.oid {
                return Err(PgError::new(sqlstate::OBJECT_IN_USE, "current user cannot be dropped"));
            }
            if role.superuser && !self.role.superuser {
                return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "must be superuser to drop superusers"));
            }
            if role.oid < oid::FIRST_USER {
                return Err(PgError::new(
                    sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!("cannot drop role {name} because it is required by the database system"),
                ));
            }
            self.refuse_owner(&role.name, role.oid)?;
            let members: Vec<_> = self
                .catalog
                .roles
                .values()
                .filter(|member| member.member_of.iter().any(|membership| membership.role == role.oid))
                .cloned()
                .collect();
            for member in members {
                let mut member = member.as_ref().clone();
                member.member_of.retain(|membership| membership.role != role.oid);
                self.put(member);
            }
            self.take(role.oid);
        }
        Ok(())
    }

    /// 2BP01 while the role owns something.
    fn refuse_owner(&self, name: &str, role: u32) -> PgResult<()> {
        let mut owned = Vec::new();
        for schema in self.catalog.schemas.values().filter(|schema| schema.owner == role) {
            owned.push(format!("owner of schema {}", schema.name));
        }
        for table in self.catalog.tables.values().filter(|table| table.owner == role) {
            owned.push(format!("owner of table {}", self.visible_name(table.schema, &table.name)));
        }
        for view in self.catalog.views.values().filter(|view| view.owner == role) {
            owned.push(format!("owner of view {}", self.visible_name(view.schema, &view.name)));
        }
        for sequence in self.catalog.sequences.values().filter(|sequence| sequence.owner == role) {
            owned.push(format!("owner of sequence {}", self.visible_name(sequence.schema, &sequence.name)));
        }
        owned.extend(self.rights_given_to(name));
        if owned.is_empty() {
            return Ok(());
        }
        Err(PgError::new(
            sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
            format!("role \"{name}\" cannot be dropped because some objects depend on it"),
        )
        .detail(owned.join("\n")))
    }
}

/// 42809 with the hint that names the right statement.
fn wrong_kind(name: &str, wanted: &str, found: &Relation) -> PgError {
    let article = if wanted.starts_with('i') { "an" } else { "a" };
    let hint = match found {
        Relation::Table(table) if table.external.is_some() => "Use DROP FOREIGN TABLE to remove a foreign table.",
        Relation::Table(_) => "Use DROP TABLE to remove a table.",
        Relation::Sequence(_) => "Use DROP SEQUENCE to remove a sequence.",
        _ => "Use DROP VIEW to remove a view.",
    };
    PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{name}\" is not {article} {wanted}")).hint(hint)
}

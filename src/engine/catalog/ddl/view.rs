//! CREATE VIEW: the query's text is kept with the schemas it was written under, and planned again at each use.
//!
//! A name means what it meant when the view was made: the path kept has the creator's schemas, not those of who reads, and
//! the relations found then are kept too and come before others that got their names later. A view that reads a temporary
//! relation is temporary itself.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::types::format_type;

use super::{Ddl, ViewColumn, fold, split_name};
use crate::dialect::sqlparser::ast::{CreateView, ObjectName, Query, Visit, Visitor};
use crate::engine::catalog::{Relation, TEMPORARY_PREFIX, ViewObject};

impl Ddl<'_> {
    /// CREATE [OR REPLACE] VIEW name [(columns)] AS query
    pub(super) fn create_view(&mut self, create: &CreateView, text: &str) -> PgResult<&'static str> {
        if create.materialized {
            return Err(PgError::unsupported("materialized views are not supported yet"));
        }
        let (schema, name) = split_name(&create.name)?;
        let read = self.relations_of(&create.query)?;
        if read.temporary && !create.temporary {
            self.say(format!("view \"{name}\" will be a temporary view"));
        }
        let (schema, name) = self.creation_place(schema, name, create.temporary || read.temporary)?;
        let name = self.cut_name(name);
        let query = query_text(create, text);
        let mut columns = self.host.view_columns(&self.catalog, &query)?;
        rename_columns(&mut columns, create)?;
        check_columns(&columns)?;
        let existing = match self.catalog.relation_in(&schema, &name) {
            Some(Relation::View(view)) if create.or_replace => Some(view),
            Some(Relation::View(_)) if create.if_not_exists => {
                let message = format!("relation \"{name}\" already exists, skipping");
                self.notice(PgError::new(sqlstate::DUPLICATE_TABLE, message));
                return Ok("CREATE VIEW");
            }
            Some(_) if create.or_replace => {
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a view")));
            }
            _ if self.catalog.relation_exists(schema.oid, &name) => {
                return Err(PgError::new(sqlstate::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")));
            }
            _ => None,
        };
        let mut view = match existing {
            Some(old) => {
                self.must_own(old.owner, "view", &name)?;
                check_replacement(&old.columns, &columns)?;
                old.as_ref().clone()
            }
            None => ViewObject {
                oid: self.host.new_oid()?,
                schema: schema.oid,
                name,
                owner: self.role.oid,
                query: String::new(),
                search_path: String::new(),
                columns: Vec::new(),
                column_comments: Vec::new(),
                depends_on: Vec::new(),
                row_type: self.host.new_oid()?,
                array_type: self.host.new_oid()?,
                acl: None,
                comment: None,
            },
        };
        if read.oids.contains(&view.oid) {
            return Err(PgError::new(
                sqlstate::INVALID_OBJECT_DEFINITION,
                format!("infinite recursion detected in rules for relation \"{}\"", view.name),
            ));
        }
        view.query = query;
        view.search_path = self.path_now();
        view.columns = columns;
        view.depends_on = read.oids.into_iter().collect();
        self.put(view);
        Ok("CREATE VIEW")
    }

    /// The schemas searched now, as search_path would name them; temporary ones a view finds by itself.
    fn path_now(&self) -> String {
        let known = self.search_path.iter().filter(|name| !name.starts_with(TEMPORARY_PREFIX));
        let known = known.filter(|name| self.catalog.schema(name).is_some());
        known.map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect::<Vec<_>>().join(", ")
    }

    /// The relations a query names outside its own WITH list.
    fn relations_of(&self, query: &Query) -> PgResult<Read> {
        let mut found = Relations::default();
        if query.visit(&mut found).is_break() {
            return Err(PgError::internal("collecting relations never stops early"));
        }
        let mut read = Read::default();
        for name in &found.relations {
            let (schema, own) = split_name(name)?;
            if schema.is_none() && found.local.contains(&own) {
                continue;
            }
            let place = match self.catalog.resolve(self.search_path, schema.as_deref(), &own) {
                Ok(Relation::Table(table)) => {
                    read.oids.insert(table.oid);
                    table.schema
                }
                Ok(Relation::View(view)) => {
                    read.oids.insert(view.oid);
                    view.schema
                }
                Ok(Relation::Sequence(sequence)) => sequence.schema,
                // A table function's name is no relation; planning checks the query later.
                Ok(Relation::System(..)) | Err(_) => continue,
            };
            read.temporary |= self.catalog.schema_name(place).starts_with(TEMPORARY_PREFIX);
        }
        Ok(read)
    }
}

/// What a view's query reads.
#[derive(Default)]
struct Read {
    /// OIDs of its tables and views.
    oids: BTreeSet<u32>,
    /// Is one of them, or a sequence, temporary?
    temporary: bool,
}

#[derive(Default)]
struct Relations {
    relations: Vec<ObjectName>,
    local: BTreeSet<String>,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.local.extend(with.cte_tables.iter().map(|cte| fold(&cte.alias.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.relations.push(relation.clone());
        ControlFlow::Continue(())
    }
}

/// The query as written, cut from the statement; printed from the tree where the text cannot be cut.
fn query_text(create: &CreateView, text: &str) -> String {
    if create.columns.is_empty()
        && let Some(query) = text_after_as(text)
    {
        return query.trim().trim_end_matches(';').trim_end().to_owned();
    }
    match create.columns.is_empty() {
        true => create.query.to_string(),
        false => {
            let names: Vec<String> = create.columns.iter().map(|column| column.name.to_string()).collect();
            format!("SELECT * FROM ({}) AS view_query({})", create.query, names.join(", "))
        }
    }
}

/// What follows the first word AS outside quotes and parentheses.
fn text_after_as(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => at += 1 + text[at + 1..].find(char::from(quote))?,
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b'-' if text[at..].starts_with("--") => return None,
            b'/' if text[at..].starts_with("/*") => return None,
            b'a' | b'A' if depth == 0 && at > 0 && bytes[at - 1].is_ascii_whitespace() => {
                let word = text.get(at..at + 2)?;
                let rest = text.get(at + 2..)?;
                if word.eq_ignore_ascii_case("as") && rest.starts_with(|c: char| c.is_whitespace() || c == '(') {
                    return Some(rest);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn rename_columns(columns: &mut [ViewColumn], create: &CreateView) -> PgResult<()> {
    if create.columns.len() > columns.len() {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "CREATE VIEW specifies more column names than columns"));
    }
    for (column, given) in columns.iter_mut().zip(&create.columns) {
        column.0 = fold(&given.name);
    }
    Ok(())
}

fn check_columns(columns: &[ViewColumn]) -> PgResult<()> {
    let mut seen = BTreeSet::new();
    for (name, ..) in columns {
        if !seen.insert(name) {
            return Err(PgError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
    }
    Ok(())
}

/// OR REPLACE may add columns at the end and change nothing else.
fn check_replacement(old: &[ViewColumn], new: &[ViewColumn]) -> PgResult<()> {
    let refuse = |message: String| Err(PgError::new(sqlstate::INVALID_TABLE_DEFINITION, message));
    if new.len() < old.len() {
        return refuse("cannot drop columns from view".to_owned());
    }
    for ((old_name, old_type, old_typmod), (name, type_oid, typmod)) in old.iter().zip(new) {
        if old_name != name {
            return Err(PgError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("cannot change name of view column \"{old_name}\" to \"{name}\""),
            )
            .hint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead."));
        }
        if (old_type, old_typmod) != (type_oid, typmod) {
            let (from, to) = (format_type(*old_type, Some(*old_typmod)), format_type(*type_oid, Some(*typmod)));
            return refuse(format!("cannot change data type of view column \"{name}\" from {from} to {to}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_cut_from_the_text() {
        for (text, expect) in [
            ("create view v as select 1", Some(" select 1")),
            ("CREATE VIEW \"as x\" AS(select 1)", Some("(select 1)")),
            ("create view v with (a = 'as ') as select 1 as x", Some(" select 1 as x")),
            ("create view v -- as\n as select 1", None),
            ("create view v", None),
        ] {
            assert_eq!(text_after_as(text), expect, "{text}");
        }
    }
}

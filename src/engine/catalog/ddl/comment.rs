//! COMMENT ON: a sentence beside an object, for clients to show.

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::{Ddl, fold, split_name};
use crate::dialect::sqlparser::ast::{CommentObject, ObjectName};
use crate::engine::catalog::Relation;

impl Ddl<'_> {
    /// COMMENT ON kind name IS 'text' | NULL. An empty text is none.
    pub(super) fn comment_on(
        &mut self,
        kind: CommentObject,
        name: &ObjectName,
        comment: Option<&str>,
        if_exists: bool,
    ) -> PgResult<&'static str> {
        let comment = comment.filter(|text| !text.is_empty()).map(str::to_owned);
        let done = match kind {
            CommentObject::Table | CommentObject::View => self.comment_relation(kind, name, comment),
            CommentObject::Column => self.comment_column(name, comment),
            CommentObject::Schema => self.comment_schema(name, comment),
            CommentObject::Role | CommentObject::User => self.comment_role(name, comment),
            CommentObject::Index => self.comment_index(name, comment),
            CommentObject::Sequence => self.comment_sequence(name, comment),
            CommentObject::Database | CommentObject::Extension => Ok(()),
            other => Err(PgError::unsupported(format!("COMMENT ON {other} is not supported"))),
        };
        match done {
            Err(_) if if_exists => Ok("COMMENT"),
            done => done.map(|()| "COMMENT"),
        }
    }

    fn comment_relation(&mut self, kind: CommentObject, name: &ObjectName, comment: Option<String>) -> PgResult<()> {
        let (schema, own) = split_name(name)?;
        match self.catalog.resolve(self.search_path, schema.as_deref(), &own)? {
            Relation::Table(table) if kind == CommentObject::Table => {
                self.must_own(table.owner, "table", &own)?;
                let mut table = table.as_ref().clone();
                table.comment = comment;
                self.put(table);
            }
            Relation::View(view) if kind == CommentObject::View => {
                self.must_own(view.owner, "view", &own)?;
                let mut view = view.as_ref().clone();
                view.comment = comment;
                self.put(view);
            }
            _ => {
                let word = if kind == CommentObject::Table { "table" } else { "view" };
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{own}\" is not a {word}")));
            }
        }
        Ok(())
    }

    fn comment_column(&mut self, name: &ObjectName, comment: Option<String>) -> PgResult<()> {
        let mut relation = name.clone();
        let column = relation.0.pop().and_then(|part| part.as_ident().map(fold));
        let (Some(column), false) = (column, relation.0.is_empty()) else {
            return Err(PgError::new(sqlstate::SYNTAX_ERROR, "column name must be qualified"));
        };
        let (schema, own) = split_name(&relation)?;
        let missing = || {
            PgError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{column}\" of relation \"{own}\" does not exist"),
            )
        };
        match self.catalog.resolve(self.search_path, schema.as_deref(), &own)? {
            Relation::Table(table) => {
                self.must_own(table.owner, "table", &own)?;
                let mut table = table.as_ref().clone();
                let found = table.columns.iter_mut().find(|other| !other.dropped && other.name == column);
                found.ok_or_else(missing)?.comment = comment;
                self.put(table);
            }
            Relation::View(view) => {
                self.must_own(view.owner, "view", &own)?;
                let mut view = view.as_ref().clone();
                let index = view.columns.iter().position(|(name, ..)| *name == column).ok_or_else(missing)?;
                let attnum = i16::try_from(index + 1).unwrap_or(i16::MAX);
                view.column_comments.retain(|(other, _)| *other != attnum);
                view.column_comments.extend(comment.map(|comment| (attnum, comment)));
                self.put(view);
            }
            Relation::Sequence(_) | Relation::System(..) => return Err(missing()),
        }
        Ok(())
    }

    fn comment_schema(&mut self, name: &ObjectName, comment: Option<String>) -> PgResult<()> {
        let (_, own) = split_name(name)?;
        let mut schema = self.schema(&own)?.as_ref().clone();
        self.must_own(schema.owner, "schema", &own)?;
        schema.comment = comment;
        self.put(schema);
        Ok(())
    }

    fn comment_role(&mut self, name: &ObjectName, comment: Option<String>) -> PgResult<()> {
        let (_, own) = split_name(name)?;
        let mut role = self.role_named(&own)?.as_ref().clone();
        if !self.role.superuser && !self.role.create_role {
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "permission denied"));
        }
        role.comment = comment;
        self.put(role);
        Ok(())
    }

    fn comment_index(&mut self, name: &ObjectName, comment: Option<String>) -> PgResult<()> {
        let (schema, own) = split_name(name)?;
        let schemas: Vec<u32> = match &schema {
            Some(schema) => vec![self.schema(schema)?.oid],
            None => self.search_path.iter().filter_map(|name| self.catalog.schema(name)).map(|s| s.oid).collect(),
        };
        let found = schemas.iter().find_map(|schema| self.catalog.index_named(*schema, &own));
        let Some((table, index)) = found else {
            return Err(PgError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{own}\" does not exist")));
        };
        self.must_own(table.owner, "index", &own)?;
        let (mut table, oid) = (table.as_ref().clone(), index.oid);
        for index in table.indexes.iter_mut().filter(|index| index.oid == oid) {
            index.comment.clone_from(&comment);
        }
        self.put(table);
        Ok(())
    }
}

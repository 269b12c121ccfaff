//! CREATE TABLE (LIKE source ...): columns of another relation, and what INCLUDING asks for beside them.

use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::Ddl;
use super::constraint::KeyKind;
use super::create_table::{check_new_name, new_column_object, next_attnum, next_column_id};
use crate::dialect::sqlparser::ast::{CheckConstraint, Ident};
use crate::dialect::{LikeClause, SequenceOptions};
use crate::engine::catalog::{ConstraintKind, Relation, TableObject, rights};

impl Ddl<'_> {
    /// Adds the columns of the source; gives it back for its constraints.
    pub(super) fn columns_like(
        &mut self,
        table: &mut TableObject,
        like: LikeClause,
    ) -> PgResult<(Option<Arc<TableObject>>, LikeClause)> {
        let (schema, name) = &like.source;
        match self.catalog.resolve(self.search_path, schema.as_deref(), name)? {
            Relation::Table(source) => {
                rights::must_allow_on_table(&self.catalog, &self.role.name, 'r', &source)?;
                for column in source.live_columns() {
                    check_new_name(table, &column.name)?;
                    let attnum = next_attnum(table);
                    let mut copy = new_column_object(attnum, column.name.clone(), column.type_oid, column.typmod);
                    copy.column_id = next_column_id(table);
                    copy.not_null = column.not_null;
                    if like.includes("DEFAULTS") && column.default.is_some() {
                        copy.default.clone_from(&column.default);
                        copy.default_shown.clone_from(&column.default_shown);
                        copy.default_oid = self.host.new_oid()?;
                    }
                    if like.includes("COMMENTS") {
                        copy.comment.clone_from(&column.comment);
                    }
                    let sequence = self.catalog.sequences.get(&column.identity_sequence).cloned();
                    if let (true, Some(kind), Some(sequence)) = (like.includes("IDENTITY"), column.identity, sequence) {
                        let options = SequenceOptions {
                            increment: Some(sequence.increment),
                            min: Some(Some(sequence.min)),
                            max: Some(Some(sequence.max)),
                            start: Some(sequence.start),
                            cache: Some(sequence.cache),
                            cycle: Some(sequence.cycle),
                            ..SequenceOptions::default()
                        };
                        self.make_identity(table, &mut copy, kind == 'a', &options)?;
                    }
                    table.columns.push(copy);
                }
                Ok((Some(source), like))
            }
            Relation::View(view) => {
                let object = ("view", view.name.as_str(), view.owner, view.acl.as_deref());
                rights::must_use_schema(&self.catalog, &self.role.name, view.schema)?;
                rights::must_allow(&self.catalog, &self.role.name, 'r', object)?;
                for (name, type_oid, typmod) in &view.columns {
                    check_new_name(table, name)?;
                    table.columns.push(new_column_object(next_attnum(table), name.clone(), *type_oid, *typmod));
                }
                Ok((None, like))
            }
            Relation::Sequence(_) | Relation::System(..) => {
                Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("relation \"{name}\" is invalid in LIKE clause")))
            }
        }
    }

    /// Adds checks, keys and indexes of the source.
    pub(super) fn constraints_like(
        &mut self,
        table: &mut TableObject,
        source: &Option<Arc<TableObject>>,
        like: &LikeClause,
    ) -> PgResult<()> {
        let Some(source) = source else { return Ok(()) };
        if like.includes("CONSTRAINTS") {
            for check in source.constraints.iter().filter(|constraint| constraint.kind == ConstraintKind::Check) {
                let Some(text) = &check.expression else { continue };
                let name = Some(Ident::with_quote('"', &check.name));
                let expr = Box::new(super::parsed(text)?);
                self.add_check(table, None, &CheckConstraint { name, expr, enforced: None })?;
            }
        }
        if !like.includes("INDEXES") {
            return Ok(());
        }
        for index in &source.indexes {
            let names: Vec<String> = index
                .columns
                .iter()
                .filter_map(|attnum| source.column_by_attnum(*attnum).map(|column| column.name.clone()))
                .collect();
            let key = source
                .constraints
                .iter()
                .find(|constraint| constraint.index_oid == index.oid && constraint.kind != ConstraintKind::ForeignKey);
            if key.is_some() {
                let kind = if index.primary { KeyKind::Primary } else { KeyKind::Unique };
                self.add_key(table, None, names, kind, None)?;
                continue;
            }
            let taken: Vec<String> = table.indexes.iter().map(|index| index.name.clone()).collect();
            let mut copy = index.clone();
            copy.oid = self.host.new_oid()?;
            copy.name = self.free_relation_name(table.schema, &table.name, Some(&names.join("_")), "idx", &taken);
            copy.columns = names.iter().filter_map(|name| table.column(name).map(|column| column.attnum)).collect();
            table.indexes.push(copy);
        }
        Ok(())
    }
}

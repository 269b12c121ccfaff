//! CREATE INDEX: recorded and shown; a unique one is enforced like a unique constraint.
//!
//! Ranges are found by zone maps, so an index adds no access path of its own here. Methods other than btree and hash are
//! accepted with a notice, because tools ask for them.

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::constraint::key_columns;
use super::{Ddl, split_name};
use crate::dialect::sqlparser::ast::CreateIndex;
use crate::engine::catalog::{IndexObject, Relation};

impl Ddl<'_> {
    /// CREATE [UNIQUE] INDEX [CONCURRENTLY] [IF NOT EXISTS] [name] ON table (columns)
    pub(super) fn create_index(&mut self, create: &CreateIndex) -> PgResult<&'static str> {
        let (schema, own) = split_name(&create.table_name)?;
        let table = match self.catalog.resolve(self.search_path, schema.as_deref(), &own)? {
            Relation::Table(table) => table,
            Relation::View(_) | Relation::Sequence(_) => {
                return Err(PgError::new(
                    sqlstate::WRONG_OBJECT_TYPE,
                    format!("cannot create index on relation \"{own}\""),
                )
                .detail("This operation is not supported for views."));
            }
            Relation::System(..) => {
                return Err(PgError::new(
                    sqlstate::INSUFFICIENT_PRIVILEGE,
                    format!("permission denied: \"{own}\" is a system catalog"),
                ));
            }
        };
        self.must_own(table.owner, table.kind_name(), &own)?;
        if table.external.is_some() {
            let message = format!("cannot create index on relation \"{own}\"");
            return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message)
                .detail("This operation is not supported for foreign tables."));
        }
        if create.predicate.is_some() {
            return Err(PgError::unsupported("partial indexes are not supported yet"));
        }
        let columns = key_columns(&create.columns)?;
        let attnums = columns
            .iter()
            .map(|name| {
                table.column(name).map(|column| column.attnum).ok_or_else(|| {
                    PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
                })
            })
            .collect::<PgResult<Vec<_>>>()?;
        let name = match &create.name {
            Some(name) => {
                let (_, name) = split_name(name)?;
                let name = self.cut_name(name);
                if self.catalog.relation_exists(table.schema, &name) {
                    let message = format!("relation \"{name}\" already exists");
                    if create.if_not_exists {
                        self.notice(PgError::new(sqlstate::DUPLICATE_TABLE, format!("{message}, skipping")));
                        return Ok("CREATE INDEX");
                    }
                    return Err(PgError::new(sqlstate::DUPLICATE_TABLE, message));
                }
                name
            }
            None => self.free_relation_name(table.schema, &table.name, Some(&columns.join("_")), "idx", &[]),
        };
        let method = self.index_method(create)?;
        let options = create
            .columns
            .iter()
            .map(|column| {
                let descending = column.column.options.asc == Some(false);
                let nulls_first = column.column.options.nulls_first.unwrap_or(descending);
                i16::from(descending) + 2 * i16::from(nulls_first)
            })
            .collect();
        let index = IndexObject {
            oid: self.host.new_oid()?,
            name,
            columns: attnums,
            options,
            unique: create.unique,
            primary: false,
            nulls_not_distinct: create.nulls_distinct == Some(false),
            method,
            comment: None,
        };
        let before = table;
        let mut table = before.as_ref().clone();
        table.indexes.push(index);
        if self.host.has_rows(table.oid)? {
            self.work_on_rows(&before, &table)?;
        }
        self.put(table);
        Ok("CREATE INDEX")
    }

    fn index_method(&mut self, create: &CreateIndex) -> PgResult<String> {
        let Some(using) = &create.using else { return Ok("btree".to_owned()) };
        let method = using.to_string().to_lowercase();
        match method.as_str() {
            "btree" | "hash" => Ok(method),
            "gin" | "gist" | "spgist" | "brin" => {
                self.say(format!("access method \"{method}\" is not supported, the index is kept as btree"));
                Ok("btree".to_owned())
            }
            _ => Err(PgError::new(sqlstate::UNDEFINED_OBJECT, format!("access method \"{method}\" does not exist"))),
        }
    }
}

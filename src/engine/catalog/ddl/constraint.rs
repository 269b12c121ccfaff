//! Constraints of tables: names, columns, the indexes behind keys.
//!
//! Foreign keys are recorded for clients that read them and not enforced; a notice says so each time.

use std::ops::ControlFlow;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::create_table::types_of;
use super::{Ddl, fold, names, object_name, split_name};
use crate::dialect::sqlparser::ast::{
    CheckConstraint, ConstraintCharacteristics, ConstraintReferenceMatchKind, DeferrableInitial, Expr,
    ForeignKeyConstraint, IndexColumn, NullsDistinctOption, ReferentialAction, TableConstraint, Visit, Visitor,
};
use crate::engine::catalog::deparse;
use crate::engine::catalog::{
    ConstraintKind, ConstraintObject, ForeignKey, IndexObject, Relation, TableObject, rights,
};

/// Most columns of a key.
const KEY_COLUMNS_MAX: usize = 32;

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Primary,
    Unique,
    /// NULLS NOT DISTINCT.
    UniqueNulls,
}

impl Ddl<'_> {
    /// Adds constraints in PostgreSQL's order: checks, then keys, then foreign keys. The text beside each is the column
    /// it was written at.
    pub(super) fn add_constraints(
        &mut self,
        table: &mut TableObject,
        constraints: &[(Option<String>, TableConstraint)],
    ) -> PgResult<()> {
        for (column, constraint) in constraints {
            if let TableConstraint::Check(check) = constraint {
                self.add_check(table, column.as_deref(), check)?;
            }
        }
        for primary in [true, false] {
            for (_, constraint) in constraints {
                match constraint {
                    TableConstraint::PrimaryKey(key) if primary => {
                        let name = key.name.as_ref().map(fold);
                        let columns = key_columns(&key.columns)?;
                        self.add_key(table, name, columns, KeyKind::Primary, key.characteristics.as_ref())?;
                    }
                    TableConstraint::Unique(key) if !primary => {
                        let name = key.name.as_ref().map(fold);
                        let columns = key_columns(&key.columns)?;
                        let kind = match key.nulls_distinct {
                            NullsDistinctOption::NotDistinct => KeyKind::UniqueNulls,
                            _ => KeyKind::Unique,
                        };
                        self.add_key(table, name, columns, kind, key.characteristics.as_ref())?;
                    }
                    TableConstraint::PrimaryKey(_)
                    | TableConstraint::Unique(_)
                    | TableConstraint::Check(_)
                    | TableConstraint::ForeignKey(_) => {}
                    other => return Err(PgError::unsupported(format!("constraint {other} is not supported"))),
                }
            }
        }
        for (_, constraint) in constraints {
            if let TableConstraint::ForeignKey(key) = constraint {
                self.add_foreign_key(table, key)?;
            }
        }
        Ok(())
    }

    pub(super) fn add_check(
        &mut self,
        table: &mut TableObject,
        column: Option<&str>,
        check: &CheckConstraint,
    ) -> PgResult<()> {
        let columns = columns_in(&check.expr, table)?;
        self.host.check_condition(&self.catalog, table, &check.expr)?;
        let name = match &check.name {
            Some(name) => self.given_name(table, fold(name))?,
            None => {
                let only = match columns.as_slice() {
                    [only] => table.column_by_attnum(*only).map(|column| column.name.clone()),
                    _ => None,
                };
                self.free_constraint_name(table, only.as_deref().or(column.filter(|_| columns.len() == 1)), "check")
            }
        };
        let types = types_of(table);
        let shown = deparse::expression(&check.expr, &types, tributary_pg::types::oid::BOOL);
        let constraint = ConstraintObject {
            oid: self.host.new_oid()?,
            expression: Some(check.expr.to_string()),
            expression_shown: Some(shown),
            ..plain(name, ConstraintKind::Check, columns)
        };
        table.constraints.push(constraint);
        Ok(())
    }

    pub(super) fn add_key(
        &mut self,
        table: &mut TableObject,
        name: Option<String>,
        columns: Vec<String>,
        kind: KeyKind,
        characteristics: Option<&ConstraintCharacteristics>,
    ) -> PgResult<()> {
        let primary = kind == KeyKind::Primary;
        let word = if primary { "primary key" } else { "unique" };
        if primary && table.primary_key().is_some() {
            return Err(PgError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{}\" are not allowed", table.name),
            ));
        }
        let mut attnums = Vec::new();
        for column in &columns {
            let attnum = table.column(column).map(|column| column.attnum).ok_or_else(|| {
                PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{column}\" named in key does not exist"))
            })?;
            if attnums.contains(&attnum) {
                return Err(PgError::new(
                    sqlstate::DUPLICATE_COLUMN,
                    format!("column \"{column}\" appears twice in {word} constraint"),
                ));
            }
            attnums.push(attnum);
        }
        if attnums.len() > KEY_COLUMNS_MAX {
            return Err(PgError::new(
                sqlstate::TOO_MANY_COLUMNS,
                format!("cannot use more than {KEY_COLUMNS_MAX} columns in an index"),
            ));
        }
        // An equal unique constraint without a name of its own is the same constraint.
        if !primary && name.is_none() && table.constraints.iter().any(|c| is_key(c) && c.columns == attnums) {
            return Ok(());
        }
        let name = match name {
            Some(name) => {
                let name = self.given_name(table, name)?;
                let taken = name == table.name || table.indexes.iter().any(|index| index.name == name);
                if taken || self.catalog.relation_exists(table.schema, &name) {
                    return Err(PgError::new(sqlstate::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")));
                }
                name
            }
            None if primary => self.free_index_name(table, None, "pkey"),
            None => self.free_index_name(table, Some(&columns.join("_")), "key"),
        };
        if primary {
            for column in &mut table.columns {
                column.not_null |= attnums.contains(&column.attnum);
            }
        }
        let index = IndexObject {
            oid: self.host.new_oid()?,
            name: name.clone(),
            columns: attnums.clone(),
            options: Vec::new(),
            unique: true,
            primary,
            nulls_not_distinct: kind == KeyKind::UniqueNulls,
            method: "btree".to_owned(),
            comment: None,
        };
        let (deferrable, deferred) = deferral(characteristics);
        let constraint_kind = if primary { ConstraintKind::PrimaryKey } else { ConstraintKind::Unique };
        let constraint = ConstraintObject {
            oid: self.host.new_oid()?,
            index_oid: index.oid,
            deferrable,
            deferred,
            ..plain(name, constraint_kind, attnums)
        };
        table.indexes.push(index);
        table.constraints.push(constraint);
        Ok(())
    }

    fn add_foreign_key(&mut self, table: &mut TableObject, key: &ForeignKeyConstraint) -> PgResult<()> {
        let missing = |column: &String| {
            PgError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{column}\" referenced in foreign key constraint does not exist"),
            )
        };
        let columns = names(&key.columns);
        let attnums = columns
            .iter()
            .map(|column| table.column(column).map(|column| column.attnum).ok_or_else(|| missing(column)))
            .collect::<PgResult<Vec<_>>>()?;
        let referenced = self.referenced_table(table, &key.foreign_table)?;
        let wanted = names(&key.referred_columns);
        let (target_columns, index_oid) = referenced_key(&referenced, &wanted, missing)?;
        if target_columns.len() != attnums.len() {
            return Err(PgError::new(
                sqlstate::INVALID_FOREIGN_KEY,
                "number of referencing and referenced columns for foreign key disagree",
            ));
        }
        let name = match &key.name {
            Some(name) => self.given_name(table, fold(name))?,
            None => self.free_constraint_name(table, Some(&columns.join("_")), "fkey"),
        };
        self.say(format!("foreign key constraint \"{name}\" is recorded but not enforced"));
        let (deferrable, deferred) = deferral(key.characteristics.as_ref());
        let constraint = ConstraintObject {
            oid: self.host.new_oid()?,
            index_oid,
            references: Some(ForeignKey {
                table: referenced.oid,
                columns: target_columns,
                on_update: action(key.on_update.as_ref()),
                on_delete: action(key.on_delete.as_ref()),
                match_type: match key.match_kind {
                    Some(ConstraintReferenceMatchKind::Full) => 'f',
                    Some(ConstraintReferenceMatchKind::Partial) => 'p',
                    _ => 's',
                },
            }),
            deferrable,
            deferred,
            ..plain(name, ConstraintKind::ForeignKey, attnums)
        };
        table.constraints.push(constraint);
        Ok(())
    }

    /// The table a foreign key names: another one, or the table itself while it is being made.
    fn referenced_table(
        &self,
        table: &TableObject,
        name: &crate::dialect::sqlparser::ast::ObjectName,
    ) -> PgResult<TableObject> {
        let (schema, own) = split_name(name)?;
        let own_schema = self.catalog.schemas.get(&table.schema).map(|schema| schema.name.as_str());
        if own == table.name && schema.as_deref().is_none_or(|schema| Some(schema) == own_schema) {
            return Ok(table.clone());
        }
        match self.catalog.resolve(self.search_path, schema.as_deref(), &own)? {
            Relation::Table(found) if found.external.is_none() => {
                rights::must_allow_on_table(&self.catalog, &self.role.name, 'x', &found)?;
                Ok(found.as_ref().clone())
            }
            _ => {
                Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("referenced relation \"{own}\" is not a table")))
            }
        }
    }

    /// A constraint's name as the user gave it: 42710 if the table has it.
    pub(super) fn given_name(&mut self, table: &TableObject, name: String) -> PgResult<String> {
        let name = self.cut_name(name);
        if table.constraints.iter().any(|constraint| constraint.name == name) {
            return Err(PgError::new(
                sqlstate::DUPLICATE_OBJECT,
                format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
            ));
        }
        Ok(name)
    }

    /// PostgreSQL asks for names unused by any constraint of the schema.
    fn free_constraint_name(&self, table: &TableObject, columns: Option<&str>, label: &str) -> String {
        let taken = |name: &str| {
            table.constraints.iter().any(|constraint| constraint.name == name)
                || self.catalog.tables.values().any(|other| {
                    other.schema == table.schema
                        && other.oid != table.oid
                        && other.constraints.iter().any(|constraint| constraint.name == name)
                })
        };
        (0u32..)
            .map(|pass| {
                let label = if pass == 0 { label.to_owned() } else { format!("{label}{pass}") };
                object_name(&table.name, columns, &label)
            })
            .find(|name| !taken(name))
            .expect("an endless range of names has a free one")
    }

    fn free_index_name(&self, table: &TableObject, columns: Option<&str>, label: &str) -> String {
        let mut also: Vec<String> = table.indexes.iter().map(|index| index.name.clone()).collect();
        also.extend(table.constraints.iter().map(|constraint| constraint.name.clone()));
        also.push(table.name.clone());
        self.free_relation_name(table.schema, &table.name, columns, label, &also)
    }
}

fn plain(name: String, kind: ConstraintKind, columns: Vec<i16>) -> ConstraintObject {
    ConstraintObject {
        oid: 0,
        name,
        kind,
        columns,
        expression: None,
        expression_shown: None,
        index_oid: 0,
        references: None,
        deferrable: false,
        deferred: false,
        comment: None,
    }
}

/// Is it a primary key or unique constraint?
pub(super) fn is_key(constraint: &ConstraintObject) -> bool {
    matches!(constraint.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique)
}

fn deferral(characteristics: Option<&ConstraintCharacteristics>) -> (bool, bool) {
    let Some(characteristics) = characteristics else { return (false, false) };
    let deferred = characteristics.initially == Some(DeferrableInitial::Deferred);
    (characteristics.deferrable.unwrap_or(deferred), deferred)
}

fn action(action: Option<&ReferentialAction>) -> char {
    match action {
        None | Some(ReferentialAction::NoAction) => 'a',
        Some(ReferentialAction::Restrict) => 'r',
        Some(ReferentialAction::Cascade) => 'c',
        Some(ReferentialAction::SetNull) => 'n',
        Some(ReferentialAction::SetDefault) => 'd',
    }
}

/// Columns and index of the key a foreign key refers to.
fn referenced_key(
    table: &TableObject,
    wanted: &[String],
    missing: impl Fn(&String) -> PgError,
) -> PgResult<(Vec<i16>, u32)> {
    if wanted.is_empty() {
        return table.primary_key().map(|key| (key.columns.clone(), key.index_oid)).ok_or_else(|| {
            PgError::new(
                sqlstate::UNDEFINED_OBJECT,
                format!("there is no primary key for referenced table \"{}\"", table.name),
            )
        });
    }
    let attnums = wanted
        .iter()
        .map(|column| table.column(column).map(|column| column.attnum).ok_or_else(|| missing(column)))
        .collect::<PgResult<Vec<_>>>()?;
    let mut sorted = attnums.clone();
    sorted.sort_unstable();
    let index = table.indexes.iter().filter(|index| index.unique).find(|index| {
        let mut columns = index.columns.clone();
        columns.sort_unstable();
        columns == sorted
    });
    match index {
        Some(index) => Ok((attnums, index.oid)),
        None => Err(PgError::new(
            sqlstate::INVALID_FOREIGN_KEY,
            format!("there is no unique constraint matching given keys for referenced table \"{}\"", table.name),
        )),
    }
}

/// Names of a key's columns; expressions are no columns.
pub(super) fn key_columns(columns: &[IndexColumn]) -> PgResult<Vec<String>> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            Expr::Identifier(ident) => Ok(fold(ident)),
            _ => Err(PgError::unsupported("indexes on expressions are not supported yet")),
        })
        .collect()
}

/// Attnums of the columns an expression names, in table order; 42703 for unknown ones, 0A000 for subqueries.
pub(super) fn columns_in(expr: &Expr, table: &TableObject) -> PgResult<Vec<i16>> {
    struct Names(Vec<String>, bool);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(ident) => self.0.push(fold(ident)),
                Expr::CompoundIdentifier(parts) => self.0.extend(parts.last().map(fold)),
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => self.1 = true,
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Names(Vec::new(), false);
    if expr.visit(&mut found).is_break() || found.1 {
        return Err(PgError::unsupported("cannot use subquery in check constraint"));
    }
    let mut attnums = Vec::new();
    for name in found.0 {
        let attnum = table
            .column(&name)
            .map(|column| column.attnum)
            .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))?;
        if !attnums.contains(&attnum) {
            attnums.push(attnum);
        }
    }
    attnums.sort_unstable();
    Ok(attnums)
}

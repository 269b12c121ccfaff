//! ALTER TABLE: one statement may hold several actions, applied in order to one copy of the table.

use std::ops::ControlFlow;
use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::types::oid;

use super::constraint::{columns_in, is_key};
use super::create_table::{column_constraints, next_column_id};
use super::drop::Dropped;
use super::{Ddl, Rewrite, RowWork, column_type, fold, split_name};
use crate::dialect::sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, DataType, DropBehavior, Expr, Ident, RenameTableNameKind,
    TableConstraint, VisitMut, VisitorMut,
};
use crate::dialect::sqlparser::dialect::PostgreSqlDialect;
use crate::dialect::sqlparser::parser::Parser;
use crate::engine::catalog::deparse::{expression, quote_ident};
use crate::engine::catalog::{ColumnObject, ConstraintKind, Relation, TableObject, ViewObject};

/// 42809 for actions that an external table has no room for: its columns are the files'.
fn refuse_of_files(table: &TableObject, operations: &[AlterTableOperation]) -> PgResult<()> {
    let able = |operation: &AlterTableOperation| {
        matches!(operation, AlterTableOperation::RenameTable { .. } | AlterTableOperation::OwnerTo { .. })
    };
    if table.external.is_none() || operations.iter().all(able) {
        return Ok(());
    }
    let message = format!("this ALTER TABLE action cannot be performed on relation \"{}\"", table.name);
    Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message)
        .detail("This operation is not supported for foreign tables."))
}

impl Ddl<'_> {
    /// ALTER TABLE [IF EXISTS] name action, ...
    pub(super) fn alter_table(&mut self, alter: &AlterTable) -> PgResult<&'static str> {
        let (schema, name) = split_name(&alter.name)?;
        let found = match self.catalog.resolve(self.search_path, schema.as_deref(), &name) {
            Ok(found) => found,
            Err(error) if alter.if_exists && error.code == sqlstate::UNDEFINED_TABLE => {
                self.say(format!("{}, skipping", error.message));
                return Ok("ALTER TABLE");
            }
            Err(error) => return Err(error),
        };
        match found {
            Relation::Table(table) => {
                self.must_own(table.owner, table.kind_name(), &name)?;
                refuse_of_files(&table, &alter.operations)?;
                let before = Arc::clone(&table);
                let mut table = table.as_ref().clone();
                let has_rows = self.host.has_rows(table.oid)?;
                let mut rewrite = Rewrite { before: Arc::clone(&before), retyped: Vec::new() };
                let mut fresh_values = false;
                for operation in &alter.operations {
                    let known: Vec<i16> = table.columns.iter().map(|column| column.attnum).collect();
                    self.alter_action(&mut table, operation, &mut rewrite)?;
                    for column in table.columns.iter().filter(|column| !known.contains(&column.attnum)) {
                        fresh_values |= self.needs_values(column)?;
                    }
                    self.put(table.clone());
                }
                if has_rows {
                    self.work_on_rows(&before, &table)?;
                    if fresh_values || !rewrite.retyped.is_empty() {
                        self.work.push(RowWork::Rewrite(rewrite));
                    }
                } else {
                    self.work.clear();
                }
            }
            Relation::View(view) => {
                self.must_own(view.owner, "view", &name)?;
                self.alter_view_actions(&view, &alter.operations)?;
            }
            Relation::Sequence(sequence) => {
                self.must_own(sequence.owner, "sequence", &name)?;
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table")));
            }
            Relation::System(..) => {
                return Err(PgError::new(
                    sqlstate::INSUFFICIENT_PRIVILEGE,
                    format!("permission denied: \"{name}\" is a system catalog"),
                ));
            }
        }
        Ok("ALTER TABLE")
    }

    /// Whether a new column has another value in each row.
    fn needs_values(&mut self, column: &ColumnObject) -> PgResult<bool> {
        match &column.default {
            _ if column.identity.is_some() => Ok(true),
            Some(text) => {
                let expr = super::parsed(text)?;
                self.host.volatile(&expr)
            }
            None => Ok(false),
        }
    }

    /// What must be checked or filled because of what is new in a table with rows.
    pub(super) fn work_on_rows(&mut self, before: &TableObject, after: &TableObject) -> PgResult<()> {
        let table = after.oid;
        for column in after.live_columns() {
            let known = before.columns.iter().find(|known| known.attnum == column.attnum);
            if known.is_none() && column.default.is_some() && !self.needs_values(column)? {
                self.work.push(RowWork::Fill { table, attnum: column.attnum });
            }
            if column.not_null && !known.is_some_and(|known| known.not_null) {
                self.work.push(RowWork::NotNull { table, attnum: column.attnum });
            }
        }
        let new = |oid: u32| !before.constraints.iter().any(|known| known.oid == oid);
        for constraint in after.constraints.iter().filter(|constraint| new(constraint.oid)) {
            if constraint.kind == ConstraintKind::Check && !self.unchecked.contains(&constraint.oid) {
                self.work.push(RowWork::Check { table, constraint: constraint.oid });
            }
        }
        for index in after.indexes.iter().filter(|index| index.unique) {
            if !before.indexes.iter().any(|known| known.oid == index.oid) {
                self.work.push(RowWork::Key { table, index: index.oid });
            }
        }
        Ok(())
    }

    fn alter_action(
        &mut self,
        table: &mut TableObject,
        operation: &AlterTableOperation,
        rewrite: &mut Rewrite,
    ) -> PgResult<()> {
        match operation {
            AlterTableOperation::AddColumn { if_not_exists, column_def, .. } => {
                self.add_column(table, *if_not_exists, column_def)
            }
            AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                for column in column_names {
                    let cascade = *drop_behavior == Some(DropBehavior::Cascade);
                    self.drop_column(table, &fold(column), *if_exists, cascade)?;
                }
                Ok(())
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                self.rename_column(table, old_column_name, new_column_name)
            }
            AlterTableOperation::RenameTable { table_name } => {
                let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) = table_name;
                let (_, new) = split_name(name)?;
                let new = self.cut_name(new);
                self.check_free(table.schema, &new)?;
                self.warn_dependents(table.oid, &table.name)?;
                table.name = new;
                Ok(())
            }
            AlterTableOperation::AlterColumn {
                column_name,
                op: AlterColumnOperation::SetDataType { data_type, using, .. },
            } => self.retype(table, &fold(column_name), data_type, using.as_ref(), rewrite),
            AlterTableOperation::AlterColumn { column_name, op } => self.alter_column(table, &fold(column_name), op),
            AlterTableOperation::AddConstraint { constraint, not_valid } => {
                self.add_constraint_later(table, constraint, *not_valid)
            }
            AlterTableOperation::DropConstraint { if_exists, name, drop_behavior } => {
                let cascade = *drop_behavior == Some(DropBehavior::Cascade);
                self.drop_constraint(table, &fold(name), *if_exists, cascade)
            }
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                let (old, new) = (fold(old_name), fold(new_name));
                let new = self.given_name(table, new)?;
                let Some(constraint) = table.constraints.iter_mut().find(|constraint| constraint.name == old) else {
                    return Err(no_constraint(&old, table));
                };
                constraint.name.clone_from(&new);
                let index_oid = constraint.index_oid;
                if constraint.kind != ConstraintKind::ForeignKey
                    && let Some(index) = table.indexes.iter_mut().find(|index| index.oid == index_oid)
                {
                    index.name = new;
                }
                Ok(())
            }
            AlterTableOperation::OwnerTo { new_owner } => {
                let owner = self.owner_named(new_owner)?.oid;
                table.acl = self.acl_of_new_owner(table.acl.take(), table.owner, owner);
                table.owner = owner;
                Ok(())
            }
            AlterTableOperation::ValidateConstraint { name } => {
                let name = fold(name);
                let known = table.constraints.iter().find(|constraint| constraint.name == name);
                let known = known.ok_or_else(|| no_constraint(&name, table))?;
                if known.kind == ConstraintKind::Check {
                    self.work.push(RowWork::Check { table: table.oid, constraint: known.oid });
                }
                Ok(())
            }
            other => Err(PgError::unsupported(format!("ALTER TABLE {other} is not supported"))),
        }
    }

    fn add_column(
        &mut self,
        table: &mut TableObject,
        if_not_exists: bool,
        definition: &crate::dialect::sqlparser::ast::ColumnDef,
    ) -> PgResult<()> {
        let name = fold(&definition.name);
        if table.column(&name).is_some() {
            let message = format!("column \"{name}\" of relation \"{}\" already exists", table.name);
            if if_not_exists {
                self.notice(PgError::new(sqlstate::DUPLICATE_COLUMN, format!("{message}, skipping")));
                return Ok(());
            }
            return Err(PgError::new(sqlstate::DUPLICATE_COLUMN, message));
        }
        if table.columns.len() >= super::COLUMNS_MAX {
            return Err(PgError::new(
                sqlstate::TOO_MANY_COLUMNS,
                format!("tables can have at most {} columns", super::COLUMNS_MAX),
            ));
        }
        let column = self.new_column(table, definition)?;
        table.columns.push(column);
        let constraints = column_constraints(definition);
        self.add_constraints(table, &constraints)
    }

    fn drop_column(&mut self, table: &mut TableObject, name: &str, if_exists: bool, cascade: bool) -> PgResult<()> {
        let Some(attnum) = table.column(name).map(|column| column.attnum) else {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            if if_exists {
                self.say(format!("{message}, skipping"));
                return Ok(());
            }
            return Err(PgError::new(sqlstate::UNDEFINED_COLUMN, message));
        };
        self.drop_column_dependents(table, name, attnum, cascade)?;
        let owned: Vec<u32> = self
            .catalog
            .sequences
            .values()
            .filter(|sequence| sequence.owned_by == Some((table.oid, attnum)))
            .map(|sequence| sequence.oid)
            .collect();
        let users: Vec<Dropped> = owned.iter().flat_map(|sequence| self.default_users(*sequence)).collect();
        let others = users.into_iter().filter(|user| *user != Dropped::Default(table.oid, attnum)).collect();
        self.drop_dependents(&format!("column {name} of table {}", table.name), others, cascade)?;
        let involved = |columns: &[i16]| columns.contains(&attnum);
        table.constraints.retain(|constraint| !involved(&constraint.columns));
        table.indexes.retain(|index| !involved(&index.columns));
        if table.order_by.contains(&attnum) || table.options.iter().any(|(key, value)| names_column(key, value, name)) {
            return Err(PgError::new(
                sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop column {name} of table {} because a table option names it", table.name),
            ));
        }
        if let Some(column) = table.columns.iter_mut().find(|column| column.attnum == attnum) {
            column.dropped = true;
            column.name = format!("........pg.dropped.{attnum}........");
            column.not_null = false;
            column.default = None;
            column.default_shown = None;
            column.default_oid = 0;
            column.identity = None;
            column.identity_sequence = 0;
            column.comment = None;
        }
        for sequence in owned {
            self.take(sequence);
        }
        Ok(())
    }

    /// Views that read the column, and foreign keys that refer to it.
    fn drop_column_dependents(&mut self, table: &TableObject, name: &str, attnum: i16, cascade: bool) -> PgResult<()> {
        let views: Vec<Arc<ViewObject>> =
            self.catalog.dependents(table.oid).filter(|view| mentions(&view.query, name)).cloned().collect();
        let dropped: Vec<Dropped> = views.iter().map(|view| Dropped::Relation(view.oid)).collect();
        self.drop_dependents(&format!("column {name} of table {}", table.name), dropped, cascade)?;
        let keys: Vec<u32> = table
            .constraints
            .iter()
            .filter(|constraint| is_key(constraint) && constraint.columns.contains(&attnum))
            .map(|constraint| constraint.index_oid)
            .collect();
        self.drop_foreign_keys(table, &keys, &format!("column {name} of table {}", table.name), cascade)
    }

    fn rename_column(&mut self, table: &mut TableObject, old: &Ident, new: &Ident) -> PgResult<()> {
        let (old, new) = (fold(old), fold(new));
        let new = self.cut_name(new);
        if table.column(&old).is_none() {
            return Err(PgError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{old}\" does not exist")));
        }
        if table.column(&new).is_some() {
            return Err(PgError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{new}\" of relation \"{}\" already exists", table.name),
            ));
        }
        if let Some(view) = self.catalog.dependents(table.oid).find(|view| mentions(&view.query, &old)) {
            return Err(PgError::unsupported(format!(
                "column \"{old}\" cannot be renamed while view \"{}\" reads it",
                view.name
            ))
            .hint("Drop the view, rename the column and create the view again."));
        }
        for column in &mut table.columns {
            if !column.dropped && column.name == old {
                column.name.clone_from(&new);
            }
        }
        let types = super::create_table::types_of(table);
        for constraint in &mut table.constraints {
            if let Some(text) = &constraint.expression {
                let expr = rename_in(text, &old, &new)?;
                constraint.expression = Some(expr.to_string());
                constraint.expression_shown = Some(expression(&expr, &types, tributary_pg::types::oid::BOOL));
            }
        }
        for (key, value) in &mut table.options {
            if names_column(key, value, &old) {
                *value = value
                    .split_inclusive([',', '(', ')'])
                    .map(|piece| {
                        let end = piece.len() - usize::from(piece.ends_with([',', '(', ')']));
                        if piece[..end].trim() == old {
                            piece.replace(&old, &quote_ident(&new))
                        } else {
                            piece.to_owned()
                        }
                    })
                    .collect();
            }
        }
        Ok(())
    }

    fn alter_column(&mut self, table: &mut TableObject, name: &str, op: &AlterColumnOperation) -> PgResult<()> {
        let Some(index) = table.columns.iter().position(|column| !column.dropped && column.name == name) else {
            return Err(PgError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
            ));
        };
        let identity = table.columns[index].identity.is_some();
        let defaults = matches!(
            op,
            AlterColumnOperation::SetDefault { .. }
                | AlterColumnOperation::DropDefault
                | AlterColumnOperation::DropNotNull
        );
        if identity && defaults {
            let message = format!("column \"{name}\" of relation \"{}\" is an identity column", table.name);
            let error = PgError::new(sqlstate::SYNTAX_ERROR, message);
            return Err(match op {
                AlterColumnOperation::DropDefault => {
                    error.hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.")
                }
                _ => error,
            });
        }
        match op {
            AlterColumnOperation::SetNotNull => {
                table.columns[index].not_null = true;
            }
            AlterColumnOperation::DropNotNull => {
                let attnum = table.columns[index].attnum;
                if table.primary_key().is_some_and(|key| key.columns.contains(&attnum)) {
                    return Err(PgError::new(
                        sqlstate::INVALID_TABLE_DEFINITION,
                        format!("column \"{name}\" is in a primary key"),
                    ));
                }
                table.columns[index].not_null = false;
            }
            AlterColumnOperation::SetDefault { value } => {
                let mut column = table.columns[index].clone();
                self.set_default(&mut column, value)?;
                table.columns[index] = column;
            }
            AlterColumnOperation::DropDefault => {
                let column = &mut table.columns[index];
                column.default = None;
                column.default_shown = None;
                column.default_oid = 0;
            }
            AlterColumnOperation::SetDataType { .. } => {
                return Err(PgError::internal("a change of type is an action of its own"));
            }
            AlterColumnOperation::AddGenerated { .. } => {
                return Err(PgError::unsupported("generated and identity columns are not supported yet"));
            }
        }
        Ok(())
    }

    /// ALTER COLUMN TYPE. A type that is stored alike changes nothing in the rows; for another the column gets a new id
    /// and its values are computed from the old ones.
    fn retype(
        &mut self,
        table: &mut TableObject,
        name: &str,
        data_type: &DataType,
        using: Option<&Expr>,
        rewrite: &mut Rewrite,
    ) -> PgResult<()> {
        let Some(index) = table.columns.iter().position(|column| !column.dropped && column.name == name) else {
            return Err(PgError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
            ));
        };
        let view = self.catalog.dependents(table.oid).find(|view| mentions(&view.query, name));
        if let Some(view) = view {
            let detail = format!("rule _RETURN on view {} depends on column \"{name}\"", view.name);
            return Err(PgError::unsupported("cannot alter type of a column used by a view or rule").detail(detail));
        }
        let (ty, typmod) = column_type(data_type)?;
        let mut column = table.columns[index].clone();
        let before = (column.type_oid, column.typmod);
        if column.identity.is_some() && ![oid::INT2, oid::INT4, oid::INT8].contains(&ty.oid) {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
        }
        column.type_oid = ty.oid;
        column.typmod = typmod;
        if let Some(text) = column.default.clone() {
            let expr = super::parsed(&text)?;
            self.host.check_default(&expr, ty.oid, typmod).map_err(|error| match error.code {
                sqlstate::DATATYPE_MISMATCH
                | sqlstate::CANNOT_COERCE
                | sqlstate::INVALID_TEXT_REPRESENTATION
                | sqlstate::INVALID_DATETIME_FORMAT => PgError::new(
                    sqlstate::DATATYPE_MISMATCH,
                    format!("default for column \"{name}\" cannot be cast automatically to type {}", ty.display),
                ),
                _ => error,
            })?;
        }
        if using.is_some() || !stored_alike(before, (ty.oid, typmod)) {
            column.column_id = next_column_id(table);
            rewrite.retyped.push((column.attnum, using.map(ToString::to_string)));
        }
        table.columns[index] = column;
        Ok(())
    }

    fn add_constraint_later(
        &mut self,
        table: &mut TableObject,
        constraint: &TableConstraint,
        not_valid: bool,
    ) -> PgResult<()> {
        let known: Vec<u32> = table.constraints.iter().map(|constraint| constraint.oid).collect();
        if let TableConstraint::Check(check) = constraint {
            columns_in(&check.expr, table)?;
        }
        self.add_constraints(table, &[(None, constraint.clone())])?;
        if not_valid {
            let new = table.constraints.iter().filter(|constraint| !known.contains(&constraint.oid));
            self.unchecked.extend(new.map(|constraint| constraint.oid));
        }
        Ok(())
    }

    fn drop_constraint(&mut self, table: &mut TableObject, name: &str, if_exists: bool, cascade: bool) -> PgResult<()> {
        let Some(index) = table.constraints.iter().position(|constraint| constraint.name == name) else {
            let error = no_constraint(name, table);
            if if_exists {
                self.say(format!("{}, skipping", error.message));
                return Ok(());
            }
            return Err(error);
        };
        let constraint = table.constraints[index].clone();
        if is_key(&constraint) {
            let what = format!("constraint {name} on table {}", table.name);
            self.drop_foreign_keys(table, &[constraint.index_oid], &what, cascade)?;
            table.indexes.retain(|index| index.oid != constraint.index_oid);
        }
        table.constraints.remove(index);
        Ok(())
    }

    pub(super) fn alter_view_actions(&mut self, view: &ViewObject, actions: &[AlterTableOperation]) -> PgResult<()> {
        let mut view = view.clone();
        for action in actions {
            match action {
                AlterTableOperation::RenameTable { table_name } => {
                    let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) = table_name;
                    let (_, new) = split_name(name)?;
                    let new = self.cut_name(new);
                    self.check_free(view.schema, &new)?;
                    self.warn_dependents(view.oid, &view.name)?;
                    view.name = new;
                }
                AlterTableOperation::OwnerTo { new_owner } => {
                    let owner = self.owner_named(new_owner)?.oid;
                    view.acl = self.acl_of_new_owner(view.acl.take(), view.owner, owner);
                    view.owner = owner;
                }
                other => {
                    return Err(PgError::new(
                        sqlstate::WRONG_OBJECT_TYPE,
                        format!("ALTER action {other} cannot be performed on relation \"{}\"", view.name),
                    )
                    .detail("This operation is not supported for views."));
                }
            }
        }
        self.put(view);
        Ok(())
    }

    pub(super) fn check_free(&self, schema: u32, name: &str) -> PgResult<()> {
        if self.catalog.relation_exists(schema, name) {
            return Err(PgError::new(sqlstate::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")));
        }
        Ok(())
    }

    /// Views keep their text, which would not find the relation under its new name.
    fn warn_dependents(&self, oid: u32, name: &str) -> PgResult<()> {
        match self.catalog.dependents(oid).next() {
            Some(view) => Err(PgError::unsupported(format!(
                "relation \"{name}\" cannot be renamed while view \"{}\" reads it",
                view.name
            ))
            .hint("Drop the view, rename the relation and create the view again.")),
            None => Ok(()),
        }
    }
}

fn no_constraint(name: &str, table: &TableObject) -> PgError {
    PgError::new(
        sqlstate::UNDEFINED_OBJECT,
        format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name),
    )
}

/// Whether values of one type are stored as values of the other: text of at least the same length.
fn stored_alike(from: (u32, i32), to: (u32, i32)) -> bool {
    let text = |of: u32| of == oid::VARCHAR || of == oid::TEXT;
    from == to || text(from.0) && text(to.0) && (to.1 == -1 || from.0 == oid::VARCHAR && from.1 != -1 && to.1 >= from.1)
}

/// Does `order_by` or `partition_by` name the column?
fn names_column(key: &str, value: &str, column: &str) -> bool {
    matches!(key, "order_by" | "partition_by")
        && value.split([',', '(', ')']).any(|word| word.trim().trim_matches('"') == column)
}

/// Does a query's text hold a word, or a star that may stand for it? Errs on the side of yes.
fn mentions(query: &str, name: &str) -> bool {
    query.contains('*') || query.to_lowercase().contains(&name.to_lowercase())
}

/// An expression's text with one column renamed.
fn rename_in(text: &str, old: &str, new: &str) -> PgResult<Expr> {
    struct Rename<'a>(&'a str, &'a str);
    impl VisitorMut for Rename<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let ident = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last_mut(),
                _ => None,
            };
            if let Some(ident) = ident
                && fold(ident) == self.0
            {
                *ident = Ident::with_quote('"', self.1);
            }
            ControlFlow::Continue(())
        }
    }
    let mut expr = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| PgError::internal(format!("stored expression {text} cannot be read: {error}")))?;
    match expr.visit(&mut Rename(old, new)) {
        ControlFlow::Continue(()) => Ok(expr),
        ControlFlow::Break(()) => Err(PgError::internal("renaming never stops early")),
    }
}

//! CREATE TABLE: columns, defaults, options. Constraints are in [`super::constraint`].

use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult, nearest};
use tributary_pg::sqlstate;
use tributary_pg::types::{TypeKind, by_oid};
use tributary_store::{BucketUnit, Partition};

use super::sequence::{given_options, serial_type};
use super::{COLUMNS_MAX, Ddl, ViewColumn, column_type, fold, split_name};
use crate::dialect::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, Expr, GeneratedAs, ObjectName, OnCommit, SqlOption,
    TableConstraint, Value,
};
use crate::dialect::{ExternalStatement, like_of};
use crate::engine::catalog::deparse;
use crate::engine::catalog::{ColumnObject, ExternalObject, TEMPORARY_PREFIX, TableObject};

/// Options with a meaning here.
const OPTIONS: [&str; 2] = ["order_by", "partition_by"];
/// Options that later versions will know.
const LATER: [&str; 2] = ["retention", "cold_after"];
/// PostgreSQL's storage parameters: accepted, shown, without effect.
const POSTGRESQL: [&str; 4] = ["fillfactor", "toast_tuple_target", "parallel_workers", "user_catalog_table"];
const POSTGRESQL_PREFIXES: [&str; 4] = ["autovacuum_", "toast.", "log_autovacuum_", "vacuum_"];
const ORDER_BY_MAX: usize = 8;

/// Name and columns of a table to be made from a query (CREATE TABLE AS, SELECT INTO).
#[derive(Debug)]
pub struct TablePlan<'a> {
    /// Its name.
    pub name: &'a ObjectName,
    /// Columns of the query: name, type OID, typmod.
    pub columns: Vec<ViewColumn>,
    /// WITH options.
    pub options: &'a CreateTableOptions,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// TEMPORARY.
    pub temporary: bool,
    /// ON COMMIT.
    pub on_commit: Option<OnCommit>,
}

impl Ddl<'_> {
    /// CREATE TABLE with column definitions; the OID of the table, `None` if it was there and IF NOT EXISTS said so.
    pub(super) fn create_table(&mut self, create: &CreateTable) -> PgResult<Option<u32>> {
        refuse_unsupported(create)?;
        let begun = self.begin_table(&create.name, create.if_not_exists, create.temporary, create.on_commit)?;
        let Some(mut table) = begun else { return Ok(None) };
        if create.columns.len() > COLUMNS_MAX {
            return Err(PgError::new(
                sqlstate::TOO_MANY_COLUMNS,
                format!("tables can have at most {COLUMNS_MAX} columns"),
            ));
        }
        let mut copied = Vec::new();
        for definition in &create.columns {
            match like_of(definition) {
                Some(like) => copied.push(self.columns_like(&mut table, like)?),
                None => {
                    let column = self.new_column(&table, definition)?;
                    table.columns.push(column);
                }
            }
        }
        let mut constraints: Vec<(Option<String>, TableConstraint)> = Vec::new();
        for definition in &create.columns {
            constraints.extend(column_constraints(definition));
        }
        constraints.extend(create.constraints.iter().map(|constraint| (None, constraint.clone())));
        self.set_options(&mut table, &create.table_options)?;
        self.add_constraints(&mut table, &constraints)?;
        for (source, like) in copied {
            self.constraints_like(&mut table, &source, &like)?;
        }
        let oid = table.oid;
        self.put(table);
        Ok(Some(oid))
    }

    /// CREATE TABLE AS, SELECT INTO: the table without rows. `None` if it was there and IF NOT EXISTS said so.
    pub fn create_table_for(mut self, plan: TablePlan<'_>) -> PgResult<(Option<u32>, super::DdlDone)> {
        let table = self.begin_table(plan.name, plan.if_not_exists, plan.temporary, plan.on_commit)?;
        let Some(mut table) = table else { return Ok((None, self.done("CREATE TABLE AS"))) };
        for (name, type_oid, typmod) in plan.columns {
            let name = self.cut_name(name);
            check_new_name(&table, &name)?;
            let type_oid =
                if type_oid == tributary_pg::types::oid::UNKNOWN { tributary_pg::types::oid::TEXT } else { type_oid };
            let attnum = next_attnum(&table);
            table.columns.push(new_column_object(attnum, name, type_oid, typmod));
        }
        self.set_options(&mut table, plan.options)?;
        let oid = table.oid;
        self.put(table);
        Ok((Some(oid), self.done("CREATE TABLE AS")))
    }

    /// CREATE EXTERNAL TABLE. `inferred` gives the columns of the files when none are defined.
    pub fn create_external(
        mut self,
        create: &ExternalStatement,
        external: ExternalObject,
        inferred: impl FnOnce() -> PgResult<Vec<ViewColumn>>,
    ) -> PgResult<super::DdlDone> {
        let tag = "CREATE EXTERNAL TABLE";
        let begun = self.begin_table(&create.name, create.if_not_exists, false, None)?;
        let Some(mut table) = begun else { return Ok(self.done(tag)) };
        let defined = create.columns.iter().map(|definition| {
            let plain = |option: &ColumnOption| matches!(option, ColumnOption::Null | ColumnOption::Collation(_));
            if !create.constraints.is_empty() || !definition.options.iter().all(|option| plain(&option.option)) {
                return Err(PgError::unsupported("constraints and defaults are not supported on external tables"));
            }
            let (ty, typmod) = column_type(&definition.data_type)?;
            Ok((fold(&definition.name), ty.oid, typmod))
        });
        let defined = defined.collect::<PgResult<Vec<ViewColumn>>>()?;
        let columns = if defined.is_empty() { inferred()? } else { defined };
        if columns.len() > COLUMNS_MAX {
            let message = format!("tables can have at most {COLUMNS_MAX} columns");
            return Err(PgError::new(sqlstate::TOO_MANY_COLUMNS, message));
        }
        for (name, type_oid, typmod) in columns {
            let name = self.cut_name(name);
            check_new_name(&table, &name)?;
            let attnum = next_attnum(&table);
            table.columns.push(new_column_object(attnum, name, type_oid, typmod));
        }
        table.external = Some(external);
        self.put(table);
        Ok(self.done(tag))
    }

    fn begin_table(
        &mut self,
        name: &ObjectName,
        if_not_exists: bool,
        temporary: bool,
        on_commit: Option<OnCommit>,
    ) -> PgResult<Option<TableObject>> {
        let (schema, name) = split_name(name)?;
        let (schema, name) = self.creation_place(schema, name, temporary)?;
        let name = self.cut_name(name);
        if on_commit.is_some() && !schema.name.starts_with(TEMPORARY_PREFIX) {
            let message = "ON COMMIT can only be used on temporary tables";
            return Err(PgError::new(sqlstate::INVALID_TABLE_DEFINITION, message));
        }
        if self.catalog.relation_exists(schema.oid, &name) {
            let error = PgError::new(sqlstate::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"));
            if !if_not_exists {
                return Err(error);
            }
            let message = format!("{}, skipping", error.message);
            self.notice(PgError::new(sqlstate::DUPLICATE_TABLE, message));
            return Ok(None);
        }
        Ok(Some(TableObject {
            oid: self.host.new_oid()?,
            schema: schema.oid,
            name,
            owner: self.role.oid,
            columns: Vec::new(),
            constraints: Vec::new(),
            indexes: Vec::new(),
            row_type: self.host.new_oid()?,
            array_type: self.host.new_oid()?,
            order_by: Vec::new(),
            options: Vec::new(),
            external: None,
            on_commit: match on_commit {
                Some(OnCommit::DeleteRows) => Some('d'),
                Some(OnCommit::Drop) => Some('x'),
                Some(OnCommit::PreserveRows) | None => None,
            },
            acl: None,
            comment: None,
        }))
    }

    /// A column as defined, with its default checked; its key and check constraints come later.
    pub(super) fn new_column(&mut self, table: &TableObject, definition: &ColumnDef) -> PgResult<ColumnObject> {
        let name = self.cut_name(fold(&definition.name));
        check_new_name(table, &name)?;
        let serial = serial_type(&definition.data_type.to_string());
        let (type_oid, typmod) = match serial {
            Some(type_oid) => (type_oid, -1),
            None => column_type(&definition.data_type).map(|(ty, typmod)| (ty.oid, typmod))?,
        };
        let mut column = new_column_object(next_attnum(table), name, type_oid, typmod);
        column.column_id = next_column_id(table);
        let mut identity = None;
        let mut declared_null = None;
        for option in &definition.options {
            match &option.option {
                ColumnOption::Null | ColumnOption::NotNull => {
                    let not_null = option.option == ColumnOption::NotNull;
                    if declared_null.is_some_and(|before| before != not_null) {
                        return Err(PgError::new(
                            sqlstate::SYNTAX_ERROR,
                            format!(
                                "conflicting NULL/NOT NULL declarations for column \"{}\" of table \"{}\"",
                                column.name, table.name
                            ),
                        ));
                    }
                    declared_null = Some(not_null);
                    column.not_null = not_null;
                }
                ColumnOption::Default(expr) => {
                    if column.default.is_some() || serial.is_some() {
                        return Err(PgError::new(
                            sqlstate::SYNTAX_ERROR,
                            format!(
                                "multiple default values specified for column \"{}\" of table \"{}\"",
                                column.name, table.name
                            ),
                        ));
                    }
                    self.set_default(&mut column, expr)?;
                }
                ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) | ColumnOption::Check(_) => {}
                ColumnOption::ForeignKey(_) => {}
                ColumnOption::Collation(name) => check_collation(name)?,
                ColumnOption::Comment(text) => column.comment = Some(text.clone()),
                ColumnOption::Generated { generated_as, sequence_options, generation_expr: None, .. } => {
                    if identity.is_some() {
                        return Err(twice(table, &column, "multiple identity specifications"));
                    }
                    let options = given_options(sequence_options.as_deref().unwrap_or_default())?;
                    identity = Some((*generated_as == GeneratedAs::Always, options));
                }
                ColumnOption::Generated { .. } | ColumnOption::Identity(_) => {
                    return Err(PgError::unsupported("generated columns are not supported yet"));
                }
                other => return Err(PgError::unsupported(format!("column option {other} is not supported"))),
            }
        }
        if serial.is_some() {
            self.make_serial(table, &mut column)?;
        }
        if let Some((always, options)) = identity {
            if declared_null == Some(false) {
                return Err(twice(table, &column, "conflicting NULL/NOT NULL declarations"));
            }
            if column.default.is_some() {
                return Err(twice(table, &column, "both default and identity specified"));
            }
            self.make_identity(table, &mut column, always, &options)?;
        }
        Ok(column)
    }

    /// DEFAULT expr; NULL means none, as in PostgreSQL.
    pub(super) fn set_default(&mut self, column: &mut ColumnObject, expr: &Expr) -> PgResult<()> {
        if matches!(expr, Expr::Value(value) if value.value == Value::Null) {
            column.default = None;
            column.default_shown = None;
            column.default_oid = 0;
            return Ok(());
        }
        let (planned, shown) = self.bind_sequences(expr)?;
        self.host.check_default(&planned, column.type_oid, column.typmod)?;
        column.default_oid = self.host.new_oid()?;
        column.default = Some(planned.to_string());
        column.default_shown = Some(deparse::expression(&shown, &|_| None, column.type_oid));
        Ok(())
    }

    pub(super) fn set_options(&mut self, table: &mut TableObject, options: &CreateTableOptions) -> PgResult<()> {
        let list = match options {
            CreateTableOptions::None => return Ok(()),
            CreateTableOptions::With(list)
            | CreateTableOptions::Options(list)
            | CreateTableOptions::Plain(list)
            | CreateTableOptions::TableProperties(list) => list,
        };
        for option in list {
            let SqlOption::KeyValue { key, value } = option else {
                if let SqlOption::Ident(ident) = option {
                    known_option(&fold(ident))?;
                    table.options.push((fold(ident), "true".to_owned()));
                    continue;
                }
                return Err(PgError::new(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    format!("unrecognized table option \"{option}\""),
                ));
            };
            let (key, value) = (fold(key), option_text(value));
            known_option(&key)?;
            if table.options.iter().any(|(known, _)| *known == key) {
                return Err(PgError::new(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    format!("parameter \"{key}\" specified more than once"),
                ));
            }
            match key.as_str() {
                "order_by" => table.order_by = order_by(table, &value)?,
                "partition_by" => drop(partition(table, &value)?),
                "oids" if value.eq_ignore_ascii_case("false") => continue,
                _ => {}
            }
            table.options.push((key, value));
        }
        Ok(())
    }
}

fn refuse_unsupported(create: &CreateTable) -> PgResult<()> {
    let refused = [
        (create.external, "external tables are not supported yet"),
        (create.like.is_some(), "CREATE TABLE LIKE is written in parentheses: CREATE TABLE t (LIKE source)"),
        (create.inherits.is_some(), "table inheritance is not supported"),
        (create.partition_of.is_some() || create.partition_by.is_some(), "declarative partitioning is not supported"),
        (create.clone.is_some(), "CREATE TABLE CLONE is not supported"),
        (create.or_replace, "CREATE OR REPLACE TABLE is not supported"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        Some((_, message)) if message.starts_with("declarative") => {
            Err(PgError::unsupported(*message).hint("Use the table option partition_by."))
        }
        Some((_, message)) => Err(PgError::unsupported(*message)),
        None => Ok(()),
    }
}

/// 42601 for a column said to be two things.
fn twice(table: &TableObject, column: &ColumnObject, what: &str) -> PgError {
    let message = format!("{what} for column \"{}\" of table \"{}\"", column.name, table.name);
    PgError::new(sqlstate::SYNTAX_ERROR, message)
}

/// 42701 if a live column has the name.
pub(super) fn check_new_name(table: &TableObject, name: &str) -> PgResult<()> {
    if table.column(name).is_some() {
        return Err(PgError::new(sqlstate::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
    }
    Ok(())
}

/// A column id that no column of the table has or had.
pub(super) fn next_column_id(table: &TableObject) -> u32 {
    table.columns.iter().map(|column| column.column_id).max().unwrap_or(0) + 1
}

/// The number after the last column's.
pub(super) fn next_attnum(table: &TableObject) -> i16 {
    i16::try_from(table.columns.len() + 1).unwrap_or(i16::MAX)
}

pub(super) fn new_column_object(attnum: i16, name: String, type_oid: u32, typmod: i32) -> ColumnObject {
    ColumnObject {
        attnum,
        column_id: u32::from(attnum.unsigned_abs()),
        name,
        type_oid,
        typmod,
        not_null: false,
        default: None,
        default_shown: None,
        default_oid: 0,
        identity: None,
        identity_sequence: 0,
        dropped: false,
        comment: None,
    }
}

/// The key, check and foreign key constraints written at a column, as table constraints.
pub(super) fn column_constraints(definition: &ColumnDef) -> Vec<(Option<String>, TableConstraint)> {
    let column = &definition.name;
    let mut found = Vec::new();
    for option in &definition.options {
        let name = option.name.clone();
        let constraint = match option.option.clone() {
            ColumnOption::PrimaryKey(mut key) => {
                key.columns = vec![column.clone().into()];
                key.name = name.or(key.name);
                TableConstraint::PrimaryKey(key)
            }
            ColumnOption::Unique(mut key) => {
                key.columns = vec![column.clone().into()];
                key.name = name.or(key.name);
                TableConstraint::Unique(key)
            }
            ColumnOption::Check(mut check) => {
                check.name = name.or(check.name);
                TableConstraint::Check(check)
            }
            ColumnOption::ForeignKey(mut key) => {
                key.columns = vec![column.clone()];
                key.name = name.or(key.name);
                TableConstraint::ForeignKey(key)
            }
            _ => continue,
        };
        found.push((Some(fold(column)), constraint));
    }
    found
}

fn check_collation(name: &ObjectName) -> PgResult<()> {
    let (_, own) = split_name(name)?;
    match own.as_str() {
        "C" | "default" | "POSIX" | "C.utf8" | "C.UTF-8" | "ucs_basic" => Ok(()),
        _ => Err(PgError::new(
            sqlstate::UNDEFINED_OBJECT,
            format!("collation \"{own}\" for encoding \"UTF8\" does not exist"),
        )),
    }
}

fn option_text(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(ident) => fold(ident),
        other => other.to_string(),
    }
}

fn known_option(key: &str) -> PgResult<()> {
    if OPTIONS.contains(&key)
        || POSTGRESQL.contains(&key)
        || key == "oids"
        || POSTGRESQL_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    {
        return Ok(());
    }
    if LATER.contains(&key) {
        return Err(PgError::unsupported(format!("table option \"{key}\" is not supported yet")));
    }
    Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("unrecognized table option \"{key}\"")).hint_opt(
        nearest(key, OPTIONS.iter().chain(&POSTGRESQL).copied()).map(|near| format!("Did you mean \"{near}\"?")),
    ))
}

/// `'person_id, ts'` as attnums.
fn order_by(table: &TableObject, value: &str) -> PgResult<Vec<i16>> {
    let mut attnums = Vec::new();
    for name in value.split(',') {
        let attnum = option_column(table, "order_by", name)?.attnum;
        if attnums.contains(&attnum) {
            return Err(bad_option("order_by", value, "A column is named twice."));
        }
        attnums.push(attnum);
    }
    if attnums.len() > ORDER_BY_MAX {
        return Err(bad_option("order_by", value, "At most 8 columns can be named."));
    }
    Ok(attnums)
}

/// `day | week | month | year (column)` of a date or timestamp column.
pub(in crate::engine) fn partition(table: &TableObject, value: &str) -> PgResult<Partition> {
    let form = "Use day(column), week(column), month(column) or year(column).";
    let bad = || bad_option("partition_by", value, form);
    let (unit, rest) = value.split_once('(').ok_or_else(bad)?;
    let column = rest.trim_end().strip_suffix(')').ok_or_else(bad)?;
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "day" => BucketUnit::Day,
        "week" => BucketUnit::Week,
        "month" => BucketUnit::Month,
        "year" => BucketUnit::Year,
        _ => return Err(bad()),
    };
    let column = option_column(table, "partition_by", column)?;
    let kind = by_oid(column.type_oid).map(|ty| ty.kind);
    if matches!(kind, Some(TypeKind::Date | TypeKind::Timestamp | TypeKind::TimestampTz)) {
        return Ok(Partition { column: column.column_id, unit });
    }
    Err(bad_option("partition_by", value, "The column must be a date or timestamp."))
}

fn option_column<'a>(table: &'a TableObject, option: &str, name: &str) -> PgResult<&'a ColumnObject> {
    let name = name.trim();
    let name = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => name.to_lowercase(),
    };
    table.column(&name).ok_or_else(|| {
        PgError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column \"{name}\" named in table option \"{option}\" does not exist"),
        )
    })
}

fn bad_option(option: &str, value: &str, hint: &str) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("invalid value for table option \"{option}\": \"{value}\""))
        .hint(hint)
}

/// Type and typmod of a table's column by name, for deparsing.
pub(super) fn types_of(table: &TableObject) -> impl Fn(&str) -> Option<(u32, i32)> + use<> {
    let columns: Arc<[(String, u32, i32)]> =
        table.live_columns().map(|column| (column.name.clone(), column.type_oid, column.typmod)).collect();
    move |name| columns.iter().find(|(known, ..)| known == name).map(|(_, oid, typmod)| (*oid, *typmod))
}

//! CREATE, ALTER, DROP SEQUENCE; serial and identity columns; defaults that take their value from a sequence.
//!
//! A default names its sequence by OID in the text that is planned, so that a rename leaves it working; what is shown is
//! kept beside it by name.

use std::ops::ControlFlow;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::types::{self, oid};

use super::{Ddl, object_name, shown_name};
use crate::dialect::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, SequenceOptions as Given, Value,
    VisitMut, VisitorMut,
};
use crate::dialect::{IdentityChange, Qualified, SequenceChange, SequenceOptions, SequenceStatement};
use crate::engine::catalog::deparse::quote_ident;
use crate::engine::catalog::{ColumnObject, Relation, SequenceObject, TableObject};
use crate::engine::system::find_relation_oid;

/// serial types and the types of their columns.
const SERIAL: [(&str, u32); 6] = [
    ("smallserial", oid::INT2),
    ("serial2", oid::INT2),
    ("serial", oid::INT4),
    ("serial4", oid::INT4),
    ("bigserial", oid::INT8),
    ("serial8", oid::INT8),
];

/// The integer type of a serial type's name.
pub(super) fn serial_type(name: &str) -> Option<u32> {
    SERIAL.iter().find(|(serial, _)| name.eq_ignore_ascii_case(serial)).map(|(_, of)| *of)
}

/// The text by which a default takes the next value of a sequence, as the parser prints it.
pub(in crate::engine) fn next_of(sequence: u32) -> String {
    format!("nextval('{sequence}'::REGCLASS)")
}

impl Ddl<'_> {
    /// Runs a statement about sequences.
    pub fn run_sequence(mut self, statement: &SequenceStatement) -> PgResult<super::DdlDone> {
        let tag = match statement {
            SequenceStatement::Create { temporary, if_not_exists, name, options } => {
                self.create_sequence(*temporary, *if_not_exists, name, options)?
            }
            SequenceStatement::Alter { if_exists, name, change } => self.alter_sequence(*if_exists, name, change)?,
            SequenceStatement::Identity { if_exists, table, column, change } => {
                self.alter_identity(*if_exists, table, column, change)?
            }
        };
        Ok(self.done(tag))
    }

    fn create_sequence(
        &mut self,
        temporary: bool,
        if_not_exists: bool,
        name: &Qualified,
        options: &SequenceOptions,
    ) -> PgResult<&'static str> {
        let (schema, name) = self.creation_place(name.0.clone(), name.1.clone(), temporary)?;
        let name = self.cut_name(name);
        if self.catalog.relation_exists(schema.oid, &name) {
            let message = format!("relation \"{name}\" already exists");
            if !if_not_exists {
                return Err(PgError::new(sqlstate::DUPLICATE_TABLE, message));
            }
            self.notice(PgError::new(sqlstate::DUPLICATE_TABLE, format!("{message}, skipping")));
            return Ok("CREATE SEQUENCE");
        }
        let sequence = self.new_sequence(schema.oid, name, options, None)?;
        let sequence = self.owned(sequence, options)?;
        self.put(sequence);
        Ok("CREATE SEQUENCE")
    }

    /// A sequence with these options. `column`: the type of the identity column it is for.
    fn new_sequence(
        &mut self,
        schema: u32,
        name: String,
        options: &SequenceOptions,
        column: Option<u32>,
    ) -> PgResult<SequenceObject> {
        let oid = self.host.new_oid()?;
        let mut sequence = SequenceObject::plain(oid, schema, name, self.role.oid);
        sequence.type_oid = column.unwrap_or(oid::INT8);
        settle(&mut sequence, options, true)?;
        sequence.first = sequence.start;
        if let Some(restart) = options.restart {
            return Err(restart.map_or_else(invalid_restart, |_| invalid_restart()));
        }
        Ok(sequence)
    }

    /// OWNED BY.
    fn owned(&mut self, mut sequence: SequenceObject, options: &SequenceOptions) -> PgResult<SequenceObject> {
        let Some(owner) = &options.owned_by else { return Ok(sequence) };
        if sequence.identity {
            let table = sequence.owned_by.and_then(|(table, _)| self.catalog.tables.get(&table));
            let table = table.map_or_else(String::new, |table| table.name.clone());
            return Err(PgError::unsupported("cannot change ownership of identity sequence")
                .detail(format!("Sequence \"{}\" is linked to table \"{table}\".", sequence.name)));
        }
        let Some(parts) = owner else {
            sequence.owned_by = None;
            return Ok(sequence);
        };
        let (column, table) = match parts.as_slice() {
            [table, column] => (column, (None, table.as_str())),
            [.., schema, table, column] => (column, (Some(schema.as_str()), table.as_str())),
            _ => {
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, "invalid OWNED BY option")
                    .hint("Specify OWNED BY table.column or OWNED BY NONE."));
            }
        };
        let Relation::Table(table) = self.catalog.resolve(self.search_path, table.0, table.1)? else {
            let message = format!("sequence cannot be owned by relation \"{}\"", table.1);
            return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message));
        };
        let refused = |message: &str| PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
        if table.owner != sequence.owner {
            return Err(refused("sequence must have same owner as table it is linked to"));
        }
        if table.schema != sequence.schema {
            return Err(refused("sequence must be in same schema as table it is linked to"));
        }
        let column = table.column(column).ok_or_else(|| no_column(column, &table))?;
        sequence.owned_by = Some((table.oid, column.attnum));
        Ok(sequence)
    }

    fn alter_sequence(&mut self, if_exists: bool, name: &Qualified, change: &SequenceChange) -> PgResult<&'static str> {
        let shown = shown_name(name.0.as_deref(), &name.1);
        let sequence = match self.catalog.resolve(self.search_path, name.0.as_deref(), &name.1) {
            Ok(Relation::Sequence(sequence)) => sequence,
            Ok(_) => {
                let message = format!("\"{}\" is not a sequence", name.1);
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message));
            }
            Err(_) if if_exists => {
                self.say(format!("relation \"{shown}\" does not exist, skipping"));
                return Ok("ALTER SEQUENCE");
            }
            Err(error) => return Err(error),
        };
        self.must_own(sequence.owner, "sequence", &name.1)?;
        let mut sequence = sequence.as_ref().clone();
        match change {
            SequenceChange::Options(options) => {
                self.change_options(&mut sequence, options)?;
                sequence = self.owned(sequence, options)?;
            }
            SequenceChange::Rename(new) => {
                let new = self.cut_name(new.clone());
                self.check_free(sequence.schema, &new)?;
                sequence.name = new;
            }
            SequenceChange::Owner(_) | SequenceChange::Schema(_) if sequence.owned_by.is_some() => {
                let word = if matches!(change, SequenceChange::Owner(_)) { "change owner of" } else { "move an owned" };
                let message = match word {
                    "change owner of" => format!("cannot change owner of sequence \"{}\"", sequence.name),
                    _ => "cannot move an owned sequence into another schema".to_owned(),
                };
                return Err(PgError::unsupported(message));
            }
            SequenceChange::Owner(owner) => {
                let owner = self.new_owner(owner)?.oid;
                sequence.acl = self.acl_of_new_owner(sequence.acl.take(), sequence.owner, owner);
                sequence.owner = owner;
            }
            SequenceChange::Schema(schema) => {
                let schema = self.schema(schema)?;
                self.may_create_in(&schema)?;
                self.check_free(schema.oid, &sequence.name)?;
                sequence.schema = schema.oid;
            }
        }
        self.put(sequence.clone());
        self.show_defaults(&sequence);
        Ok("ALTER SEQUENCE")
    }

    /// New options of a sequence that exists; RESTART begins a new state.
    fn change_options(&mut self, sequence: &mut SequenceObject, options: &SequenceOptions) -> PgResult<()> {
        let (last, _) = self.host.sequence_position(sequence)?;
        settle(sequence, options, false)?;
        let last = match options.restart {
            Some(value) => value.unwrap_or(sequence.start),
            None => last,
        };
        check_between(sequence, "RESTART", last)?;
        if options.restart.is_some() {
            sequence.first = last;
            sequence.state = self.host.new_oid()?;
        }
        Ok(())
    }

    /// Writes anew how defaults show a sequence.
    fn show_defaults(&mut self, sequence: &SequenceObject) {
        let planned = next_of(sequence.oid);
        let shown = format!("nextval({}::regclass)", self.shown_sequence(sequence));
        let users: Vec<TableObject> = self
            .catalog
            .tables
            .values()
            .filter(|table| table.columns.iter().any(|column| column.default.as_ref() == Some(&planned)))
            .map(|table| table.as_ref().clone())
            .collect();
        for mut table in users {
            for column in table.columns.iter_mut().filter(|column| column.default.as_ref() == Some(&planned)) {
                column.default_shown = Some(shown.clone());
            }
            self.put(table);
        }
    }

    /// The name as a literal, qualified when search_path does not find it.
    fn shown_sequence(&self, sequence: &SequenceObject) -> String {
        let name = quote_ident(&sequence.name);
        let visible = matches!(
            self.catalog.resolve(self.search_path, None, &sequence.name),
            Ok(Relation::Sequence(found)) if found.oid == sequence.oid
        );
        let full = match visible {
            true => name,
            false => format!("{}.{name}", quote_ident(self.catalog.schema_name(sequence.schema))),
        };
        format!("'{}'", full.replace('\'', "''"))
    }

    /// Puts OIDs in place of the names of sequences in a default; what is shown has the names.
    pub(super) fn bind_sequences(&self, expr: &Expr) -> PgResult<(Expr, Expr)> {
        let (mut planned, mut shown) = (expr.clone(), expr.clone());
        for (tree, by_oid) in [(&mut planned, true), (&mut shown, false)] {
            let mut bind = Bind { ddl: self, by_oid };
            if let ControlFlow::Break(error) = tree.visit(&mut bind) {
                return Err(*error);
            }
        }
        Ok((planned, shown))
    }

    /// The sequence behind a serial column.
    pub(super) fn make_serial(&mut self, table: &TableObject, column: &mut ColumnObject) -> PgResult<()> {
        let options = SequenceOptions::default();
        let sequence = self.column_sequence(table, column, &options, false)?;
        column.not_null = true;
        column.default = Some(next_of(sequence.oid));
        column.default_oid = self.host.new_oid()?;
        self.put(sequence.clone());
        column.default_shown = Some(format!("nextval({}::regclass)", self.shown_sequence(&sequence)));
        Ok(())
    }

    /// The sequence behind an identity column.
    pub(super) fn make_identity(
        &mut self,
        table: &TableObject,
        column: &mut ColumnObject,
        always: bool,
        options: &SequenceOptions,
    ) -> PgResult<()> {
        integer_column(column.type_oid)?;
        let sequence = self.column_sequence(table, column, options, true)?;
        column.not_null = true;
        column.identity = Some(if always { 'a' } else { 'd' });
        column.identity_sequence = sequence.oid;
        self.put(sequence);
        Ok(())
    }

    fn column_sequence(
        &mut self,
        table: &TableObject,
        column: &ColumnObject,
        options: &SequenceOptions,
        identity: bool,
    ) -> PgResult<SequenceObject> {
        let name = (0..)
            .map(|pass: u32| {
                let label = if pass == 0 { "seq".to_owned() } else { format!("seq{pass}") };
                object_name(&table.name, Some(&column.name), &label)
            })
            .find(|name| !self.catalog.relation_exists(table.schema, name) && *name != table.name)
            .ok_or_else(|| PgError::internal("an endless range of names has no free one"))?;
        let mut sequence = self.new_sequence(table.schema, name, options, Some(column.type_oid))?;
        sequence.owner = table.owner;
        sequence.identity = identity;
        sequence.owned_by = Some((table.oid, column.attnum));
        Ok(sequence)
    }

    fn alter_identity(
        &mut self,
        if_exists: bool,
        name: &Qualified,
        column: &str,
        change: &IdentityChange,
    ) -> PgResult<&'static str> {
        let found = self.catalog.resolve(self.search_path, name.0.as_deref(), &name.1);
        let table = match found {
            Ok(Relation::Table(table)) => table,
            Ok(_) => {
                let message = format!("\"{}\" is not a table", name.1);
                return Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message));
            }
            Err(error) if if_exists => {
                self.say(format!("{}, skipping", error.message));
                return Ok("ALTER TABLE");
            }
            Err(error) => return Err(error),
        };
        self.must_own(table.owner, "table", &name.1)?;
        let mut table = table.as_ref().clone();
        let place = table.columns.iter().position(|known| !known.dropped && known.name == column);
        let place = place.ok_or_else(|| no_column(column, &table))?;
        let mut changed = table.columns[place].clone();
        let said = |words: &str| {
            let message = format!("column \"{column}\" of relation \"{}\" {words}", table.name);
            PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        };
        match (change, changed.identity) {
            (IdentityChange::Add { .. }, Some(_)) => return Err(said("is already an identity column")),
            (IdentityChange::Add { always, options }, None) => {
                if changed.default.is_some() {
                    return Err(said("already has a default value"));
                }
                integer_column(changed.type_oid)?;
                if !changed.not_null {
                    return Err(said("must be declared NOT NULL before identity can be added"));
                }
                self.make_identity(&table, &mut changed, *always, options)?;
            }
            (IdentityChange::Drop { if_exists: true }, None) => {
                self.say(format!("{}, skipping", said("is not an identity column").message));
            }
            (IdentityChange::Drop { .. } | IdentityChange::Set { .. }, None) => {
                return Err(said("is not an identity column"));
            }
            (IdentityChange::Drop { .. }, Some(_)) => {
                self.take(changed.identity_sequence);
                changed.identity = None;
                changed.identity_sequence = 0;
            }
            (IdentityChange::Set { always, options }, Some(_)) => {
                if let Some(sequence) = self.catalog.sequences.get(&changed.identity_sequence) {
                    let mut sequence = sequence.as_ref().clone();
                    self.change_options(&mut sequence, options)?;
                    self.put(sequence);
                }
                if let Some(always) = always {
                    changed.identity = Some(if *always { 'a' } else { 'd' });
                }
            }
        }
        table.columns[place] = changed;
        self.put(table);
        Ok("ALTER TABLE")
    }

    /// TRUNCATE ... RESTART IDENTITY: sequences owned by columns of these tables begin anew.
    pub fn restart_owned(mut self, tables: &[u32]) -> PgResult<super::DdlDone> {
        let owned: Vec<SequenceObject> = self
            .catalog
            .sequences
            .values()
            .filter(|sequence| sequence.owned_by.is_some_and(|(table, _)| tables.contains(&table)))
            .map(|sequence| sequence.as_ref().clone())
            .collect();
        for mut sequence in owned {
            self.must_own(sequence.owner, "sequence", &sequence.name)?;
            sequence.first = sequence.start;
            sequence.state = self.host.new_oid()?;
            self.put(sequence);
        }
        Ok(self.done("TRUNCATE TABLE"))
    }

    /// COMMENT ON SEQUENCE.
    pub(super) fn comment_sequence(&mut self, name: &ObjectName, comment: Option<String>) -> PgResult<()> {
        let (schema, own) = super::split_name(name)?;
        match self.catalog.resolve(self.search_path, schema.as_deref(), &own)? {
            Relation::Sequence(sequence) => {
                self.must_own(sequence.owner, "sequence", &own)?;
                let mut sequence = sequence.as_ref().clone();
                sequence.comment = comment;
                self.put(sequence);
                Ok(())
            }
            _ => Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{own}\" is not a sequence"))),
        }
    }
}

/// 22023 for an identity of another type.
fn integer_column(type_oid: u32) -> PgResult<()> {
    if [oid::INT2, oid::INT4, oid::INT8].contains(&type_oid) {
        return Ok(());
    }
    let message = "identity column type must be smallint, integer, or bigint";
    Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message))
}

/// PostgreSQL reads RESTART of a new sequence as a mistake.
fn invalid_restart() -> PgError {
    PgError::new(sqlstate::SYNTAX_ERROR, "invalid sequence option: RESTART")
}

fn no_column(column: &str, table: &TableObject) -> PgError {
    let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
    PgError::new(sqlstate::UNDEFINED_COLUMN, message)
}

/// Options read by sqlparser, of an identity column.
pub(super) fn given_options(given: &[Given]) -> PgResult<SequenceOptions> {
    let number = |expr: &Expr| {
        expr.to_string().replace(' ', "").parse::<i64>().map_err(|_| {
            let message = format!("value \"{expr}\" is out of range for type bigint");
            PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message)
        })
    };
    let mut options = SequenceOptions::default();
    for option in given {
        match option {
            Given::IncrementBy(expr, _) => options.increment = Some(number(expr)?),
            Given::MinValue(expr) => options.min = Some(expr.as_ref().map(number).transpose()?),
            Given::MaxValue(expr) => options.max = Some(expr.as_ref().map(number).transpose()?),
            Given::StartWith(expr, _) => options.start = Some(number(expr)?),
            Given::Cache(expr) => options.cache = Some(number(expr)?),
            // The parser's flag says NO.
            Given::Cycle(no) => options.cycle = Some(!no),
        }
    }
    Ok(options)
}

fn type_bounds(type_oid: u32) -> (i64, i64) {
    match type_oid {
        oid::INT2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        oid::INT4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

/// Lays options over a sequence and checks them, in PostgreSQL's order.
fn settle(sequence: &mut SequenceObject, options: &SequenceOptions, new: bool) -> PgResult<()> {
    let invalid = |message: String| Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
    let before = type_bounds(sequence.type_oid);
    let (mut reset_min, mut reset_max) = (new, new);
    if let Some(name) = &options.data_type {
        let given = types::parse_type(name)?.0.oid;
        if ![oid::INT2, oid::INT4, oid::INT8].contains(&given) {
            let what = if sequence.identity { "identity column" } else { "sequence" };
            return invalid(format!("{what} type must be smallint, integer, or bigint"));
        }
        reset_min |= sequence.min == before.0;
        reset_max |= sequence.max == before.1;
        sequence.type_oid = given;
    }
    let (least, greatest) = type_bounds(sequence.type_oid);
    if let Some(increment) = options.increment {
        if increment == 0 {
            return invalid("INCREMENT must not be zero".to_owned());
        }
        sequence.increment = increment;
    }
    if let Some(cycle) = options.cycle {
        sequence.cycle = cycle;
    }
    let up = sequence.increment > 0;
    match options.max {
        Some(Some(max)) => sequence.max = max,
        Some(None) => sequence.max = if up { greatest } else { -1 },
        None if reset_max => sequence.max = if up { greatest } else { -1 },
        None => {}
    }
    let type_name = types::format_type(sequence.type_oid, None);
    for (word, value) in [("MAXVALUE", sequence.max)] {
        if value < least || value > greatest {
            return invalid(format!("{word} ({value}) is out of range for sequence data type {type_name}"));
        }
    }
    match options.min {
        Some(Some(min)) => sequence.min = min,
        Some(None) => sequence.min = if up { 1 } else { least },
        None if reset_min => sequence.min = if up { 1 } else { least },
        None => {}
    }
    if sequence.min < least || sequence.min > greatest {
        return invalid(format!("MINVALUE ({}) is out of range for sequence data type {type_name}", sequence.min));
    }
    if sequence.min >= sequence.max {
        return invalid(format!("MINVALUE ({}) must be less than MAXVALUE ({})", sequence.min, sequence.max));
    }
    match options.start {
        Some(start) => sequence.start = start,
        None if new => sequence.start = if up { sequence.min } else { sequence.max },
        None => {}
    }
    check_between(sequence, "START", sequence.start)?;
    if let Some(cache) = options.cache {
        if cache <= 0 {
            return invalid(format!("CACHE ({cache}) must be greater than zero"));
        }
        sequence.cache = cache;
    }
    Ok(())
}

fn check_between(sequence: &SequenceObject, word: &str, value: i64) -> PgResult<()> {
    let message = if value < sequence.min {
        format!("{word} value ({value}) cannot be less than MINVALUE ({})", sequence.min)
    } else if value > sequence.max {
        format!("{word} value ({value}) cannot be greater than MAXVALUE ({})", sequence.max)
    } else {
        return Ok(());
    };
    Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message))
}

/// Finds the sequences that `nextval('name')` means.
struct Bind<'a, 'b> {
    ddl: &'a Ddl<'b>,
    by_oid: bool,
}

impl VisitorMut for Bind<'_, '_> {
    type Break = Box<PgError>;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Box<PgError>> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Some(name) = sequence_argument(function) else { return ControlFlow::Continue(()) };
        let oid = match find_relation_oid(&self.ddl.catalog, self.ddl.search_path, &name) {
            Ok(oid) => oid,
            Err(error) => return ControlFlow::Break(Box::new(error)),
        };
        let Some(sequence) = self.ddl.catalog.sequences.get(&oid) else {
            let message = format!("\"{name}\" is not a sequence");
            return ControlFlow::Break(Box::new(PgError::new(sqlstate::WRONG_OBJECT_TYPE, message)));
        };
        let literal = if self.by_oid { format!("'{oid}'") } else { self.ddl.shown_sequence(sequence) };
        match super::parsed(&format!("nextval({literal}::regclass)")) {
            Ok(bound) => *expr = bound,
            Err(error) => return ControlFlow::Break(Box::new(error)),
        }
        ControlFlow::Continue(())
    }
}

/// The literal in `nextval('name')` or `nextval('name'::regclass)`.
fn sequence_argument(function: &Function) -> Option<String> {
    let name = function.name.to_string().to_lowercase();
    if name != "nextval" && name != "pg_catalog.nextval" {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    let value = match argument {
        Expr::Value(value) => &value.value,
        Expr::Cast { expr, data_type, .. } if data_type.to_string().eq_ignore_ascii_case("regclass") => {
            match expr.as_ref() {
                Expr::Value(value) => &value.value,
                _ => return None,
            }
        }
        _ => return None,
    };
    match value {
        // A number is an OID already.
        Value::SingleQuotedString(text) if !text.bytes().all(|b| b.is_ascii_digit()) => Some(text.clone()),
        _ => None,
    }
}

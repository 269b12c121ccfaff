//! The extended protocol: Parse, Bind, Describe, Execute, Close.
//!
//! Names are the session's, shared with SQL's PREPARE and DECLARE. Analysis happens in Parse, so Describe only reads;
//! values are checked and converted in Bind; Execute follows the table of portal states. An error of any of them is
//! reported by the conversation, which then skips to Sync.

use std::sync::Arc;

use arrow::array::ArrayRef;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::{sqlstate, types};

use super::backend::{self, Plain};
use super::conversation::{Conversation, Step};
use super::frontend::{Bind, Target, Text};
use super::parameters;
use super::rows::Formats;
use crate::dialect::Statement;
use crate::engine::{Outcome, Portal, PortalState, Prepared, TransactionStatus};

impl Conversation {
    pub(super) async fn parse(&mut self, name: &Text, sql: &Text, declared: Vec<u32>) -> Step {
        let (name, sql) = (name.as_str()?, sql.as_str()?);
        self.open_statement(sql);
        if name.is_empty() {
            self.session.close_prepared("");
        }
        if let Some(unknown) = declared.iter().find(|oid| **oid != 0 && types::by_oid(**oid).is_none()) {
            return Err(types::missing_oid(*unknown).into());
        }
        let mut statements = self.session.parse(sql)?;
        let statement = match (statements.pop(), statements.is_empty()) {
            (None, _) => Statement::empty(),
            (Some(statement), true) => statement,
            (Some(_), false) => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, message).into());
            }
        };
        let prepared = self.session.analyze(statement, &declared).await?;
        self.session.store_prepared(name, prepared)?;
        backend::plain(self.out.buffer(), Plain::ParseComplete);
        Ok(())
    }

    pub(super) async fn bind(&mut self, bind: Bind) -> Step {
        let (portal_name, statement_name) = (bind.portal.as_str()?, bind.statement.as_str()?);
        let prepared = self.session.prepared(statement_name)?;
        self.open_statement(&Arc::clone(&prepared.statement.text));
        if portal_name.is_empty() {
            self.session.close_portal("");
        } else if self.session.has_portal(portal_name) {
            let message = format!("cursor \"{portal_name}\" already exists");
            return Err(PgError::new(sqlstate::DUPLICATE_CURSOR, message).into());
        }
        let values = self.parameter_values(&bind, &prepared)?;
        let mut portal = self.session.bind(&prepared, values).await?;
        portal.result_formats = result_formats(&bind.result_formats, &portal.prepared)?;
        self.session.store_portal(portal_name, portal)?;
        backend::plain(self.out.buffer(), Plain::BindComplete);
        Ok(())
    }

    fn parameter_values(&self, bind: &Bind, prepared: &Prepared) -> PgResult<Vec<ArrayRef>> {
        let violation = |message: String| PgError::new(sqlstate::PROTOCOL_VIOLATION, message);
        let (given, wanted) = (bind.parameters.len(), prepared.parameter_types.len());
        let formats = &bind.parameter_formats;
        if formats.len() > 1 && formats.len() != given {
            let count = formats.len();
            return Err(violation(format!("bind message has {count} parameter formats but {given} parameters")));
        }
        if given != wanted {
            let name = bind.statement.as_str()?;
            return Err(violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {wanted}"
            )));
        }
        let portal = bind.portal.as_str()?;
        let style = self.session.text_style();
        let mut values = Vec::with_capacity(given);
        for (index, (value, oid)) in bind.parameters.iter().zip(&prepared.parameter_types).enumerate() {
            let format = formats.get(index).or(formats.first()).copied().unwrap_or(0);
            let value = parameters::decode(value.as_ref(), format, *oid, index, &style)
                .map_err(|error| parameters::name_parameter(error, portal, index, format))?;
            values.push(value);
        }
        Ok(values)
    }

    pub(super) fn describe(&mut self, target: Target, name: &Text) -> Step {
        let name = name.as_str()?;
        match target {
            Target::Statement => {
                let prepared = self.session.prepared(name)?;
                self.check_describable(&prepared)?;
                backend::parameter_description(self.out.buffer(), &prepared.parameter_types);
                self.describe_rows(&prepared, &Formats::text());
            }
            Target::Portal => {
                let portal = self.session.portal(name)?;
                let (prepared, formats) = (Arc::clone(&portal.prepared), Formats::of_portal(portal));
                self.check_describable(&prepared)?;
                self.describe_rows(&prepared, &formats);
            }
            Target::Other(_) => return Err(Self::target_error(target, "DESCRIBE").into()),
        }
        Ok(())
    }

    /// In a failed block the columns may belong to tables that do not exist any more.
    fn check_describable(&self, prepared: &Prepared) -> PgResult<()> {
        if self.session.transaction_status() == TransactionStatus::Failed && prepared.columns.is_some() {
            return Err(PgError::new(
                sqlstate::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    fn describe_rows(&mut self, prepared: &Prepared, formats: &Formats) {
        match &prepared.columns {
            Some(columns) => backend::row_description(self.out.buffer(), columns, |index| formats.code(index)),
            None => backend::plain(self.out.buffer(), Plain::NoData),
        }
    }

    pub(super) async fn execute(&mut self, name: &Text, row_limit: i32) -> Step {
        let name = name.as_str()?;
        let mut portal = self.session.take_portal(name)?;
        self.open_statement(&Arc::clone(&portal.prepared.statement.text));
        // What Sync would commit right after may as well commit now, and be rerun if another commit was faster.
        if self.intake.sync_is_next() {
            self.session.set_alone();
        }
        let result = self.execute_portal(name, &mut portal, row_limit).await;
        // Statements such as COMMIT, ROLLBACK and CLOSE end portals, perhaps this one: it comes back only if it may run
        // again. The name may have been taken by a DECLARE meanwhile; then that one stays.
        if result.is_ok() && !self.session.has_portal(name) {
            self.session.store_portal(name, portal)?;
        }
        self.close_statement();
        result
    }

    async fn execute_portal(&mut self, name: &str, portal: &mut Portal, row_limit: i32) -> Step {
        let row_limit = u64::try_from(row_limit).ok().filter(|limit| *limit > 0);
        let formats = Formats::of_portal(portal);
        formats.check()?;
        match portal.state {
            PortalState::New => {
                let outcome = self.session.run(portal).await?;
                self.answer_execute(portal, outcome, &formats, row_limit).await
            }
            PortalState::Suspended => self.send_rows(portal, &formats, row_limit).await,
            PortalState::Done => {
                let tag = Outcome::row_tag(portal.tag_word, 0);
                backend::command_complete(self.out.buffer(), &tag);
                Ok(())
            }
            PortalState::Spent => {
                let message = format!("portal \"{name}\" cannot be run");
                Err(PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into())
            }
        }
    }

    async fn answer_execute(
        &mut self,
        portal: &mut Portal,
        outcome: Outcome,
        formats: &Formats,
        row_limit: Option<u64>,
    ) -> Step {
        let tag = match outcome {
            Outcome::Rows(_) => return self.send_rows(portal, formats, row_limit).await,
            Outcome::Empty => {
                backend::plain(self.out.buffer(), Plain::EmptyQuery);
                return Ok(());
            }
            Outcome::Done(tag) => tag,
            Outcome::CopyIn(copy) => self.copy_in(*copy).await?,
            Outcome::CopyOut(copy) => self.copy_out(*copy).await?,
        };
        self.notices();
        backend::command_complete(self.out.buffer(), &tag);
        Ok(())
    }

    async fn send_rows(&mut self, portal: &mut Portal, formats: &Formats, row_limit: Option<u64>) -> Step {
        let sent = self.stream_rows(portal, formats, row_limit).await?;
        self.notices();
        if sent.more {
            backend::plain(self.out.buffer(), Plain::PortalSuspended);
        } else {
            let tag = Outcome::row_tag(portal.tag_word, sent.row_count);
            backend::command_complete(self.out.buffer(), &tag);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, target: Target, name: &Text) -> Step {
        let name = name.as_str()?;
        match target {
            Target::Statement => self.session.close_prepared(name),
            Target::Portal => self.session.close_portal(name),
            Target::Other(_) => return Err(Self::target_error(target, "CLOSE").into()),
        };
        backend::plain(self.out.buffer(), Plain::CloseComplete);
        Ok(())
    }
}

/// Checks the count of result format codes; the codes themselves are checked when rows are sent.
fn result_formats(formats: &[i16], prepared: &Prepared) -> PgResult<Vec<i16>> {
    // Without rows there is nothing to format, and PostgreSQL does not look.
    let Some(columns) = prepared.columns.as_ref().map(Vec::len) else { return Ok(Vec::new()) };
    if formats.len() > 1 && formats.len() != columns {
        let count = formats.len();
        return Err(PgError::new(
            sqlstate::PROTOCOL_VIOLATION,
            format!("bind message has {count} result formats but query has {columns} columns"),
        ));
    }
    Ok(formats.to_vec())
}

//! The simple protocol: a text of any number of statements, one answer each, one ReadyForQuery.
//!
//! The text is parsed whole before anything runs. Without BEGIN all its statements are one implicit transaction; the
//! last one commits it before its CommandComplete, so a tag the client has seen is durable.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::backend::{self, Plain};
use super::conversation::{Conversation, Step};
use super::frontend::Text;
use super::rows::Formats;
use crate::dialect::Statement;
use crate::dialect::sqlparser::dialect::PostgreSqlDialect;
use crate::dialect::sqlparser::tokenizer::{Token, Tokenizer};
use crate::engine::{Implicit, Outcome, Portal};

impl Conversation {
    pub(super) async fn query(&mut self, sql: &Text) -> Step {
        let sql = sql.as_str()?;
        self.open_statement(sql);
        self.session.close_prepared("");
        self.session.close_portal("");
        let statements = self.session.parse(sql)?;
        if statements.is_empty() {
            backend::plain(self.out.buffer(), Plain::EmptyQuery);
            return self.ready().await;
        }
        let alone = statements.len() == 1;
        let mut statements = statements.into_iter().peekable();
        while let Some(statement) = statements.next() {
            let last = statements.peek().is_none();
            self.open_statement(&statement.text.clone());
            if alone {
                self.session.set_alone();
            }
            self.one_statement(statement, last).await?;
            self.close_statement();
        }
        self.ready().await
    }

    async fn one_statement(&mut self, statement: Statement, last: bool) -> Step {
        let prepared = self.session.analyze(statement, &[]).await?;
        if !prepared.parameter_types.is_empty() {
            return Err(no_parameter(&prepared.statement).into());
        }
        let mut portal = self.session.bind(&prepared, Vec::new()).await?;
        let outcome = self.session.run(&mut portal).await?;
        let tag = self.answer(&mut portal, outcome).await?;
        if last {
            self.session.finish(Implicit::Commit).await?;
        }
        self.notices();
        if let Some(tag) = tag {
            backend::command_complete(self.out.buffer(), &tag);
        }
        Ok(())
    }

    /// Sends the whole result and gives the command tag.
    async fn answer(&mut self, portal: &mut Portal, outcome: Outcome) -> Step<Option<String>> {
        match outcome {
            Outcome::Rows(word) => {
                let prepared = std::sync::Arc::clone(&portal.prepared);
                let columns = prepared.columns.as_deref().unwrap_or_default();
                let formats = Formats::of_portal(portal);
                backend::row_description(self.out.buffer(), columns, |index| formats.code(index));
                let sent = self.stream_rows(portal, &formats, None).await?;
                Ok(Some(Outcome::row_tag(word, sent.row_count)))
            }
            Outcome::Done(tag) => Ok(Some(tag)),
            Outcome::Empty => {
                backend::plain(self.out.buffer(), Plain::EmptyQuery);
                Ok(None)
            }
            Outcome::CopyIn(copy) => self.copy_in(*copy).await.map(Some),
            Outcome::CopyOut(copy) => self.copy_out(*copy).await.map(Some),
        }
    }
}

/// 42P02: a text of the simple protocol has no values to put in place of `$1`.
fn no_parameter(statement: &Statement) -> PgError {
    let mut tokens =
        Tokenizer::new(&PostgreSqlDialect {}, &statement.text).tokenize_with_location().unwrap_or_default();
    tokens.retain(|token| matches!(&token.token, Token::Placeholder(name) if name.starts_with('$')));
    let error = |name: &str| PgError::new(sqlstate::UNDEFINED_PARAMETER, format!("there is no parameter {name}"));
    match tokens.first() {
        None => error("$1"),
        Some(token) => {
            let lines = statement.text.split_inclusive('\n');
            let before = lines.take(token.span.start.line as usize - 1).map(|line| line.chars().count()).sum::<usize>();
            error(&token.token.to_string()).at(statement.offset + before + token.span.start.column as usize)
        }
    }
}

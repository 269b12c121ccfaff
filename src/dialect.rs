//! Text to statements: PostgreSQL's grammar through sqlparser, plus the statements sqlparser does not know.
//!
//! A text is parsed exactly once and whole, so a syntax error anywhere runs nothing. Each statement keeps the slice of
//! text it came from, because error positions count characters of what the client sent.
//! This module knows no catalog and no types: what needs them is planned in `engine`.

mod calls;
mod copy;
mod create_words;
mod distinct;
mod expressions;
mod external;
mod fetch;
pub mod forms;
mod from_functions;
mod joins;
pub mod locks;
pub mod names;
mod nesting;
mod parse;
mod roles;
pub mod rows;
pub mod semantics;
mod sequences;
mod subqueries;
mod syntax_error;
pub mod table_functions;
pub mod upkeep;
mod weight;
mod write_words;

use std::sync::Arc;

pub use copy::{CopyPlace, CopyStatement, CopySubject};
pub use create_words::{LikeClause, like_of, without_data};
pub use datafusion::sql::sqlparser;
pub use external::ExternalStatement;
pub use parse::parse;
pub use roles::{RoleOption, RoleStatement};
pub use sequences::{IdentityChange, Qualified, SequenceChange, SequenceOptions, SequenceStatement};
pub use upkeep::UpkeepStatement;
pub use write_words::{MERGE_DEFAULTS, MERGE_NOTHING, Overriding, overriding};

use sqlparser::ast;

/// One statement of a text, not yet planned.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it says.
    pub ast: Ast,
    /// Its own text, without the closing semicolon.
    pub text: Arc<str>,
    /// Characters of the message before `text`: added to positions within the statement.
    pub offset: usize,
}

impl Statement {
    /// The statement of an empty text.
    pub fn empty() -> Self {
        Self { ast: Ast::Own(OwnStatement::Empty), text: Arc::from(""), offset: 0 }
    }
}

/// The statements of the dialect.
#[derive(Clone, Debug)]
pub enum Ast {
    /// What sqlparser understands.
    Sql(Box<ast::Statement>),
    /// What we parse ourselves.
    Own(OwnStatement),
}

/// Where FETCH goes from the row the cursor is on. `i64::MAX` is to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchTo {
    /// So many rows on, all of them; back when negative.
    Forward(i64),
    /// To the row of that number, from the end when negative.
    Absolute(i64),
    /// To the row so many on.
    Relative(i64),
}

/// Statements sqlparser rejects or takes for something else.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnStatement {
    /// VACUUM, ANALYZE, CHECKPOINT, BACKUP and their kin.
    Upkeep(UpkeepStatement),
    /// `COPY`.
    Copy(Box<CopyStatement>),
    /// `DISCARD ALL | PLANS | SEQUENCES | TEMP`.
    Discard(DiscardTarget),
    /// `SET SESSION AUTHORIZATION name | DEFAULT`.
    SessionAuthorization(Option<String>),
    /// `RESET name | ALL`.
    Reset(Option<String>),
    /// `SET CONSTRAINTS ...`: nothing is deferred, so nothing happens.
    SetConstraints,
    /// FETCH, or MOVE, which only passes the rows.
    Fetch {
        /// The cursor.
        name: String,
        /// Where it goes.
        to: FetchTo,
        /// MOVE.
        moves: bool,
    },
    /// CREATE EXTERNAL TABLE.
    External(Box<ExternalStatement>),
    /// DROP FOREIGN TABLE.
    DropExternal {
        /// What to drop.
        names: Vec<ast::ObjectName>,
        /// IF EXISTS.
        if_exists: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// CREATE, ALTER, DROP ROLE, and membership.
    Role(RoleStatement),
    /// CREATE, ALTER SEQUENCE, and identity columns.
    Sequence(Box<SequenceStatement>),
    /// `DO`: refused unless empty.
    Do(String),
    /// Nothing at all: what Parse may be given.
    Empty,
}

/// What DISCARD throws away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscardTarget {
    /// Everything of the session.
    All,
    /// Cached plans: nothing here.
    Plans,
    /// Cached sequence values.
    Sequences,
    /// Temporary tables.
    Temp,
}

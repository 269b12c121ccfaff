//! LISTEN, UNLISTEN, NOTIFY: what the transaction will do when it commits.

use tributary_pg::error::PgError;

use crate::dialect::names::folded;
use crate::dialect::sqlparser::ast::Ident;
use crate::engine::prepared::Outcome;
use crate::engine::session::Session;

/// LISTEN channel.
pub(super) fn listen(session: &mut Session, channel: &Ident) -> Result<Outcome, PgError> {
    session.ensure_transaction();
    session.mailbox().listen(&folded(channel))?;
    Ok(Outcome::Done("LISTEN".to_owned()))
}

/// UNLISTEN channel | *.
pub(super) fn unlisten(session: &mut Session, channel: &Ident) -> Result<Outcome, PgError> {
    session.ensure_transaction();
    let all = channel.quote_style.is_none() && channel.value == "*";
    session.mailbox().unlisten((!all).then(|| folded(channel)).as_deref());
    Ok(Outcome::Done("UNLISTEN".to_owned()))
}

/// NOTIFY channel [, payload].
pub(super) fn notify(session: &mut Session, channel: &Ident, payload: Option<&str>) -> Result<Outcome, PgError> {
    session.ensure_transaction();
    session.mailbox().notify(&folded(channel), payload.unwrap_or_default())?;
    Ok(Outcome::Done("NOTIFY".to_owned()))
}

//! Idempotency tokens: a load that is sent again is not done again.
//!
//! `SET tributary.idempotency_token = 'batch-42'` holds for the next INSERT, COPY or MERGE. The token, the table and the number
//! of rows commit with the rows, so either all of it is durable or none. When the token is known already, the statement
//! writes nothing and gives the recorded count, with a notice. Of two at once one commits; the other finds the token when
//! it is run again. Tokens are kept for `store.idempotency_retention`; older ones count as unknown and are removed in
//! passing. Does not: remember what a statement returned, so RETURNING and a token exclude each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;
use tributary_store::{Expect, KEY_BYTES_MAX, Space, Txn};

use super::session::Session;
use super::store_error::store_error;

/// The setting.
const SETTING: &str = "tributary.idempotency_token";

/// Bytes of a recorded use: version, table, rows, time.
const RECORD_BYTES: usize = 21;

/// Limit: old tokens removed by one statement.
const REMOVED_MAX: usize = 1_000;

/// Least time between two looks for old tokens.
const LOOK_INTERVAL_US: i64 = 60_000_000;

/// When old tokens were last looked for, in microseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct LastLook(AtomicI64);

/// A committed use of a token.
struct Use {
    table: u32,
    rows: u64,
    at_us: i64,
    version: u64,
}

impl Use {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&self.table.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.at_us.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], version: u64) -> Result<Self, PgError> {
        let wrong = || PgError::new(sqlstate::DATA_CORRUPTED, "the record of an idempotency token cannot be read");
        let bytes: &[u8; RECORD_BYTES] = bytes.try_into().map_err(|_| wrong())?;
        let [1, rest @ ..] = bytes else { return Err(wrong()) };
        let (table, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let (rows, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let at_us = rest.first_chunk().ok_or_else(wrong)?;
        Ok(Self {
            table: u32::from_le_bytes(*table),
            rows: u64::from_le_bytes(*rows),
            at_us: i64::from_le_bytes(*at_us),
            version,
        })
    }
}

/// A token given to one statement.
#[derive(Clone, Debug)]
pub(super) struct Token {
    text: String,
    /// What a new use expects to find: nothing, or the use that is too old to count.
    expect: Expect,
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn expired(at_us: i64, retention: Duration) -> bool {
    let kept_us = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    now_us() >= at_us.saturating_add(kept_us)
}

impl Token {
    /// The session's token, which is used up by this, whatever becomes of the statement: a token left over would make a
    /// later statement pass for this one.
    pub(super) fn take(session: &mut Session) -> Result<Option<Self>, PgError> {
        let text = session.settings().take_text(SETTING);
        if text.len() > KEY_BYTES_MAX {
            let message = format!("idempotency token of {} bytes exceeds the limit of {KEY_BYTES_MAX}", text.len());
            return Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok((!text.is_empty()).then_some(Self { text, expect: Expect::Absent }))
    }

    /// Rows of the statement that has used the token before. 22023 if that wrote to another table.
    pub(super) fn used(&mut self, session: &mut Session, table: u32) -> Result<Option<u64>, PgError> {
        let retention = session.engine().store().idempotency_retention();
        let Some(value) = session.store_transaction().get(Space::Token, self.text.as_bytes()) else {
            self.expect = Expect::Absent;
            return Ok(None);
        };
        let known = Use::decode(&value.read().map_err(store_error)?, value.version())?;
        if expired(known.at_us, retention) {
            self.expect = Expect::Version(known.version);
            return Ok(None);
        }
        if known.table != table {
            let message = format!("token \"{}\" was already committed for another table", self.text);
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
        }
        Ok(Some(known.rows))
    }

    /// What a statement says that finds its token used.
    pub(super) fn notice(&self) -> PgError {
        PgError::new(sqlstate::SUCCESSFUL_COMPLETION, format!("token \"{}\" was already committed", self.text))
            .severity(Severity::Notice)
    }

    /// Puts the use into the transaction.
    pub(super) fn record(&self, session: &mut Session, table: u32, rows: u64) -> Result<(), PgError> {
        let at_us = now_us();
        let value = Use { table, rows, at_us, version: 0 }.encode();
        let engine = Arc::clone(session.engine());
        let txn = session.store_transaction();
        remove_old(engine.store().idempotency_retention(), &engine.tokens, txn, at_us)?;
        txn.put_expecting(Space::Token, self.text.as_bytes(), &value, self.expect).map_err(store_error)
    }
}

/// Now and then: removes tokens that are too old to count.
fn remove_old(retention: Duration, last: &LastLook, txn: &mut Txn, now_us: i64) -> Result<(), PgError> {
    let looked = last.0.load(Ordering::Relaxed);
    let due = now_us.saturating_sub(looked) >= LOOK_INTERVAL_US;
    if !due || last.0.compare_exchange(looked, now_us, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return Ok(());
    }
    let mut old = Vec::new();
    for (key, value) in txn.snapshot().scan(Space::Token, b"") {
        let known = Use::decode(&value.read().map_err(store_error)?, value.version())?;
        if expired(known.at_us, retention) {
            old.push(key.to_vec());
        }
        if old.len() == REMOVED_MAX {
            break;
        }
    }
    old.iter().try_for_each(|key| txn.remove(Space::Token, key)).map_err(store_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_and_no_other_bytes_are_taken_for_one() {
        let bytes = Use { table: 7, rows: 1 << 40, at_us: -5, version: 0 }.encode();
        let back = Use::decode(&bytes, 3).expect("decodes");
        assert_eq!((back.table, back.rows, back.at_us, back.version), (7, 1 << 40, -5, 3));
        assert!((0..bytes.len()).all(|len| Use::decode(&bytes[..len], 0).is_err()));
        assert!(Use::decode(&[&[2], &bytes[1..]].concat(), 0).is_err());
    }
}

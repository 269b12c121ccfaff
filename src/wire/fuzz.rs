//! What reads bytes of clients, each given arbitrary bytes.
//!
//! For: the fuzz targets in `tests/fuzz` and the test that replays their corpora. Promises: each function returns, whatever
//! it is given; a panic or an endless loop is a bug. Does not: judge what is read.

use bytes::Bytes;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use tributary_pg::types;
use tributary_pg::value::PgValue;

use super::scram::{ScramExchange, ScramStep};
use super::{frontend, startup};

/// A reader: its name, which is that of its corpus and of its fuzz target, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 5] = [
    ("frontend", frontend_message),
    ("startup", startup_packet),
    ("scram", scram_exchange),
    ("sql", sql_text),
    ("binary_value", binary_value),
];

/// A message: its type byte, then its body.
pub fn frontend_message(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    if frontend::known_type(*kind)
        && let Err(error) = frontend::decode(*kind, Bytes::copy_from_slice(body))
    {
        assert!(!error.message.is_empty());
    }
}

/// The body of a start-up packet, and its `options`.
pub fn startup_packet(data: &[u8]) {
    if let Err(error) = startup::parse(Bytes::copy_from_slice(data)) {
        assert!(!error.message.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(error) = startup::parse_options(text)
    {
        assert!(!error.message.is_empty());
    }
}

/// Messages of a client that proves a password, one a line.
pub fn scram_exchange(data: &[u8]) {
    let mut exchange = ScramExchange::new(ScramServerAuth::new(), "fuzz", None, &[7; 32]);
    for line in data.split(|byte| *byte == b'\n') {
        if !matches!(exchange.step(Bytes::copy_from_slice(line)), Ok(ScramStep::Continue(_))) {
            return;
        }
    }
}

/// The text of statements.
pub fn sql_text(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(error) = crate::dialect::parse(text)
    {
        assert!(!error.message.is_empty());
    }
}

/// A binary parameter: the OID of its type, then its bytes.
pub fn binary_value(data: &[u8]) {
    let Some((oid, bytes)) = data.split_first_chunk::<4>() else { return };
    if let Some(ty) = types::by_oid(u32::from_be_bytes(*oid))
        && let Err(error) = PgValue::from_binary(ty, -1, bytes, 1)
    {
        assert!(!error.message.is_empty());
    }
}

//! What a client may say after start-up, decoded from one frame.
//!
//! A frame's body is cut into its fields with every read checked: a body that ends early, goes on too long or holds
//! an unterminated string is an error, never a panic, and a count is believed only as far as bytes follow it. Text
//! stays bytes until somebody needs it ([`Text::as_str`]), because malformed UTF-8 is an error of the statement
//! (22021), not of the connection. pgwire's own decoders are not used here: they read past the end of a short body
//! and replace malformed text silently. Nothing in this file awaits or writes.

use bytes::{Buf, Bytes};
use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

/// Text from the client, not yet checked for being UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Bytes);

impl Text {
    /// The text, or 22021 naming the offending bytes as PostgreSQL does.
    pub fn as_str(&self) -> PgResult<&str> {
        std::str::from_utf8(&self.0).map_err(|error| {
            let at = error.valid_up_to();
            let length = error.error_len().unwrap_or(self.0.len() - at).max(1);
            let shown: Vec<String> = self.0[at..at + length].iter().map(|byte| format!("0x{byte:02x}")).collect();
            PgError::new(
                sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
            )
            .detail(format!("The sequence begins at byte {}.", at + 1))
        })
    }
}

/// Whether Describe or Close means a prepared statement or a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `S`.
    Statement,
    /// `P`.
    Portal,
    /// Anything else: an error of that message.
    Other(u8),
}

/// One frontend message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// A text of any number of statements.
    Query(Text),
    /// Analyse one statement and keep it under a name.
    Parse {
        /// Name, empty for the unnamed statement.
        name: Text,
        /// The statement.
        sql: Text,
        /// Declared parameter types; 0 is undeclared.
        types: Vec<u32>,
    },
    /// Make a portal from a statement and parameter values.
    Bind(Bind),
    /// Ask for parameter and column types.
    Describe(Target, Text),
    /// Run a portal.
    Execute {
        /// Name, empty for the unnamed portal.
        portal: Text,
        /// At most so many rows; 0 or less is no limit.
        row_limit: i32,
    },
    /// Forget a statement or portal.
    Close(Target, Text),
    /// Send what is buffered.
    Flush,
    /// End of a pipeline.
    Sync,
    /// The old fast-path call of one function.
    FunctionCall(u32),
    /// A piece of COPY input.
    CopyData(Bytes),
    /// End of COPY input.
    CopyDone,
    /// The client gives up its COPY input.
    CopyFail(Text),
    /// A password or SASL message; only expected during start-up.
    Password(Bytes),
    /// Goodbye.
    Terminate,
}

impl Frontend {
    /// The type byte it came with.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Query(_) => b'Q',
            Self::Parse { .. } => b'P',
            Self::Bind(_) => b'B',
            Self::Describe(..) => b'D',
            Self::Execute { .. } => b'E',
            Self::Close(..) => b'C',
            Self::Flush => b'H',
            Self::Sync => b'S',
            Self::FunctionCall(_) => b'F',
            Self::CopyData(_) => b'd',
            Self::CopyDone => b'c',
            Self::CopyFail(_) => b'f',
            Self::Password(_) => b'p',
            Self::Terminate => b'X',
        }
    }
}

/// The fields of Bind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// Name of the new portal.
    pub portal: Text,
    /// Name of its statement.
    pub statement: Text,
    /// None, one for all, or one for each parameter.
    pub parameter_formats: Vec<i16>,
    /// Values; `None` is NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// None, one for all, or one for each column.
    pub result_formats: Vec<i16>,
}

/// Whether a byte is the type of a message a client may send. The frame reader asks before it believes a length.
pub fn known_type(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'F' | b'd' | b'c' | b'f' | b'p' | b'X')
}

/// Cuts the body of a frame of type `kind` into its fields. Errors are FATAL 08P01.
pub fn decode(kind: u8, body: Bytes) -> PgResult<Frontend> {
    let mut fields = Fields(body);
    let message = match kind {
        b'Q' => Frontend::Query(fields.string()?),
        b'P' => Frontend::Parse { name: fields.string()?, sql: fields.string()?, types: fields.list(Fields::oid)? },
        b'B' => Frontend::Bind(Bind {
            portal: fields.string()?,
            statement: fields.string()?,
            parameter_formats: fields.list(Fields::short)?,
            parameters: fields.list(Fields::value)?,
            result_formats: fields.list(Fields::short)?,
        }),
        b'D' => Frontend::Describe(fields.target()?, fields.string()?),
        b'E' => Frontend::Execute { portal: fields.string()?, row_limit: fields.long()? },
        b'C' => Frontend::Close(fields.target()?, fields.string()?),
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'F' => {
            let oid = fields.oid()?;
            fields.list(Fields::short)?;
            fields.list(Fields::value)?;
            fields.short()?;
            Frontend::FunctionCall(oid)
        }
        b'd' => Frontend::CopyData(fields.rest()),
        // Some drivers append a reason or padding here; PostgreSQL reads none of it.
        b'c' => {
            fields.rest();
            Frontend::CopyDone
        }
        b'f' => Frontend::CopyFail(fields.string()?),
        b'p' => Frontend::Password(fields.rest()),
        b'X' => {
            fields.rest();
            Frontend::Terminate
        }
        other => return Err(protocol_violation(format!("invalid frontend message type {other}"))),
    };
    if fields.0.is_empty() { Ok(message) } else { Err(protocol_violation("invalid message format")) }
}

/// A FATAL 08P01.
pub fn protocol_violation(message: impl Into<String>) -> PgError {
    PgError::new(sqlstate::PROTOCOL_VIOLATION, message).severity(Severity::Fatal)
}

/// The unread rest of a body.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, byte_count: usize) -> PgResult<Bytes> {
        if self.0.len() < byte_count {
            return Err(protocol_violation("insufficient data left in message"));
        }
        Ok(self.0.split_to(byte_count))
    }

    fn string(&mut self) -> PgResult<Text> {
        let Some(end) = self.0.iter().position(|byte| *byte == 0) else {
            return Err(protocol_violation("invalid string in message"));
        };
        let text = self.0.split_to(end);
        self.0.advance(1);
        Ok(Text(text))
    }

    fn short(&mut self) -> PgResult<i16> {
        Ok(self.take(2)?.get_i16())
    }

    fn long(&mut self) -> PgResult<i32> {
        Ok(self.take(4)?.get_i32())
    }

    fn oid(&mut self) -> PgResult<u32> {
        Ok(self.take(4)?.get_u32())
    }

    fn target(&mut self) -> PgResult<Target> {
        Ok(match self.take(1)?[0] {
            b'S' => Target::Statement,
            b'P' => Target::Portal,
            other => Target::Other(other),
        })
    }

    /// A counted list. Capacity follows the bytes that are there, not the count that is claimed.
    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> PgResult<T>) -> PgResult<Vec<T>> {
        let count = usize::from(self.take(2)?.get_u16());
        let mut elements = Vec::with_capacity(count.min(self.0.len() / 2));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn value(&mut self) -> PgResult<Option<Bytes>> {
        match self.long()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length).map(Some),
                Err(_) => Err(protocol_violation("insufficient data left in message")),
            },
        }
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &'static str) -> Text {
        Text(Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn messages_decode() {
        for (kind, body, expect) in [
            (b'Q', &b"select 1\0"[..], Frontend::Query(text("select 1"))),
            (
                b'P',
                b"n\0select $1\0\0\x01\0\0\0\x17",
                Frontend::Parse { name: text("n"), sql: text("select $1"), types: vec![23] },
            ),
            (
                b'B',
                b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0",
                Frontend::Bind(Bind {
                    portal: text("p"),
                    statement: text("s"),
                    parameter_formats: vec![1],
                    parameters: vec![Some(Bytes::from_static(b"x")), None],
                    result_formats: vec![],
                }),
            ),
            (b'D', b"Sn\0", Frontend::Describe(Target::Statement, text("n"))),
            (b'D', b"Pn\0", Frontend::Describe(Target::Portal, text("n"))),
            (b'D', b"xn\0", Frontend::Describe(Target::Other(b'x'), text("n"))),
            (b'E', b"\0\x7f\xff\xff\xff", Frontend::Execute { portal: text(""), row_limit: i32::MAX }),
            (b'E', b"\0\xff\xff\xff\xff", Frontend::Execute { portal: text(""), row_limit: -1 }),
            (b'C', b"S\0", Frontend::Close(Target::Statement, text(""))),
            (b'F', b"\0\0\x27\x0f\0\0\0\0\0\0", Frontend::FunctionCall(9999)),
            (b'd', b"abc", Frontend::CopyData(Bytes::from_static(b"abc"))),
            (b'f', b"why\0", Frontend::CopyFail(text("why"))),
            (b'S', b"", Frontend::Sync),
        ] {
            assert_eq!(expect.kind(), kind);
            assert_eq!(decode(kind, Bytes::from_static(body)).unwrap(), expect);
        }
    }

    #[test]
    fn short_and_long_bodies_are_refused() {
        for (kind, body, message) in [
            (b'Q', &b"select 1"[..], "invalid string in message"),
            (b'Q', b"select 1\0x", "invalid message format"),
            (b'P', b"\0s\0", "insufficient data left in message"),
            (b'P', b"\0s\0\xff\xff", "insufficient data left in message"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x09x\0\0", "insufficient data left in message"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "insufficient data left in message"),
            (b'B', b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0", "insufficient data left in message"),
            (b'D', b"", "insufficient data left in message"),
            (b'E', b"\0\0", "insufficient data left in message"),
            (b'S', b"x", "invalid message format"),
            (b'1', b"", "invalid frontend message type 49"),
        ] {
            let error = decode(kind, Bytes::from_static(body)).unwrap_err();
            assert_eq!((error.code, error.severity), (sqlstate::PROTOCOL_VIOLATION, Severity::Fatal));
            assert_eq!(error.message, message, "{}", kind as char);
        }
    }

    #[test]
    fn malformed_text_names_its_bytes() {
        let error = Text(Bytes::from_static(b"ab\xe4\xb8z")).as_str().unwrap_err();
        assert_eq!(error.code.as_str(), "22021");
        assert_eq!(error.message, "invalid byte sequence for encoding \"UTF8\": 0xe4 0xb8");
    }

    proptest! {
        /// No body makes the decoder panic or allocate more than the body's own order of size.
        #[test]
        fn any_body_is_decoded_or_refused(kind in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            match decode(kind, Bytes::from(body)) {
                Ok(_) => prop_assert!(known_type(kind)),
                Err(error) => prop_assert_eq!(error.severity, Severity::Fatal),
            }
        }
    }
}

//! What the server says, appended to a buffer.
//!
//! Small messages go through pgwire's structs; rows are written by the columnar encoders and COPY printers of the value
//! crate, never here. Every function appends whole messages, so a buffer may be cut and sent between any two calls.

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, NotificationResponse, ReadyForQuery,
    TransactionStatus,
};
use pgwire::messages::startup::{Authentication, NegotiateProtocolVersion, ParameterStatus};
use tributary_pg::error::{PgError, PgErrorFields, Severity};

use crate::engine::{Notification, OutputColumn};

/// Appends a message that always fits its own limit.
fn put(out: &mut BytesMut, message: &impl Message) {
    message.encode(out).expect("the message is far smaller than the protocol's limit");
}

/// Messages without fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Parse succeeded.
    ParseComplete,
    /// Bind succeeded.
    BindComplete,
    /// Close succeeded.
    CloseComplete,
    /// Describe: no rows will come.
    NoData,
    /// Execute stopped at its row limit.
    PortalSuspended,
    /// The text held no statement.
    EmptyQuery,
    /// The rows of a COPY TO have ended.
    CopyDone,
}

/// Appends a message without fields.
pub fn plain(out: &mut BytesMut, message: Plain) {
    match message {
        Plain::ParseComplete => put(out, &ParseComplete::new()),
        Plain::BindComplete => put(out, &BindComplete::new()),
        Plain::CloseComplete => put(out, &CloseComplete::new()),
        Plain::NoData => put(out, &NoData::new()),
        Plain::PortalSuspended => put(out, &PortalSuspended::new()),
        Plain::EmptyQuery => put(out, &EmptyQueryResponse::new()),
        Plain::CopyDone => put(out, &pgwire::messages::copy::CopyDone::new()),
    }
}

/// NotificationResponse.
pub fn notification(out: &mut BytesMut, told: &Notification) {
    put(out, &NotificationResponse::new(told.pid, told.channel.clone(), told.payload.clone()));
}

/// CommandComplete.
pub fn command_complete(out: &mut BytesMut, tag: &str) {
    put(out, &CommandComplete::new(tag.to_owned()));
}

/// ReadyForQuery with `I`, `T` or `E`.
pub fn ready(out: &mut BytesMut, status: u8) {
    put(
        out,
        &ReadyForQuery::new(match status {
            b'T' => TransactionStatus::Transaction,
            b'E' => TransactionStatus::Error,
            _ => TransactionStatus::Idle,
        }),
    );
}

/// ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    put(out, &ParameterStatus::new(name.to_owned(), value.to_owned()));
}

/// An authentication request or answer.
pub fn authentication(out: &mut BytesMut, message: &Authentication) {
    put(out, message);
}

/// BackendKeyData with the classic four byte secret.
pub fn backend_key(out: &mut BytesMut, pid: i32, secret: i32) {
    out.put_u8(b'K');
    out.put_i32(12);
    out.put_i32(pid);
    out.put_i32(secret);
}

/// Tells a client which minor version and options it will not get.
pub fn negotiate_version(out: &mut BytesMut, newest_minor: i32, unknown_options: Vec<String>) {
    put(out, &NegotiateProtocolVersion::new(newest_minor, unknown_options));
}

/// ParameterDescription.
pub fn parameter_description(out: &mut BytesMut, oids: &[u32]) {
    put(out, &ParameterDescription::new(oids.to_vec()));
}

/// RowDescription. `format` gives the format code of each column.
pub fn row_description(out: &mut BytesMut, columns: &[OutputColumn], format: impl Fn(usize) -> i16) {
    let fields = columns.iter().enumerate().map(|(index, column)| {
        FieldDescription::new(
            column.name.clone(),
            column.table_oid.cast_signed(),
            column.attnum,
            column.type_oid,
            column.type_len,
            column.typmod,
            format(index),
        )
    });
    put(out, &RowDescription::new(fields.collect()));
}

/// CopyInResponse or CopyOutResponse: overall format and one code a column.
pub fn copy_response(out: &mut BytesMut, inward: bool, binary: bool, column_count: usize) {
    let format = i16::from(binary);
    let columns = i16::try_from(column_count).expect("a relation has at most 1,600 columns");
    let codes = vec![format; column_count];
    if inward {
        put(out, &CopyInResponse::new(i8::from(binary), columns, codes));
    } else {
        put(out, &CopyOutResponse::new(i8::from(binary), columns, codes));
    }
}

/// ErrorResponse, or NoticeResponse for anything milder than ERROR.
pub fn error_or_notice(out: &mut BytesMut, error: &PgError) {
    let fields = fields(error);
    if error.severity >= Severity::Error {
        put(out, &ErrorResponse::new(fields));
    } else {
        put(out, &NoticeResponse::new(fields));
    }
}

/// The fields in PostgreSQL's order. NUL cannot be sent inside a field, so it is shown as a question mark.
fn fields(error: &PgErrorFields) -> Vec<(u8, String)> {
    let severity = error.severity.as_str().to_owned();
    let position = error.position.map(|position| position.to_string());
    let mut fields = vec![(b'S', severity.clone()), (b'V', severity), (b'C', error.code.to_string())];
    let optional = [
        (b'M', Some(&error.message)),
        (b'D', error.detail.as_ref()),
        (b'H', error.hint.as_ref()),
        (b'P', position.as_ref()),
        (b'W', error.context.as_ref()),
        (b's', error.schema.as_ref()),
        (b't', error.table.as_ref()),
        (b'c', error.column.as_ref()),
        (b'd', error.datatype.as_ref()),
        (b'n', error.constraint.as_ref()),
    ];
    for (code, value) in optional {
        if let Some(value) = value {
            fields.push((code, value.replace('\0', "?")));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_pg::sqlstate;

    #[test]
    fn an_error_carries_all_its_fields() {
        let error = PgError::new(sqlstate::UNIQUE_VIOLATION, "dup\0licate")
            .detail("Key (id)=(1) already exists.")
            .at(7)
            .context("COPY t, line 2")
            .table("public", "t")
            .constraint("t_pkey");
        let mut out = BytesMut::new();
        error_or_notice(&mut out, &error);
        let expect: &[u8] = b"SERROR\0VERROR\0C23505\0Mdup?licate\0DKey (id)=(1) already exists.\0P7\0\
            WCOPY t, line 2\0spublic\0tt\0nt_pkey\0\0";
        assert_eq!(out[0], b'E');
        assert_eq!(&out[5..], expect);
        out.clear();
        error_or_notice(&mut out, &error.severity(Severity::Notice));
        assert_eq!(out[0], b'N');
    }

    #[test]
    fn messages_have_their_bytes() {
        let mut out = BytesMut::new();
        ready(&mut out, b'E');
        backend_key(&mut out, 7, -2);
        copy_response(&mut out, false, true, 2);
        assert_eq!(&out[..], b"Z\0\0\0\x05EK\0\0\0\x0c\0\0\0\x07\xff\xff\xff\xfeH\0\0\0\x0b\x01\0\x02\0\x01\0\x01");
    }
}

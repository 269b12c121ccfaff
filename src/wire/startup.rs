//! The start-up packet: what a connection asks for before it may say anything else.
//!
//! Pure parsing: the packet's body to a [`Request`], and the `options` string to settings. Sockets and answers are
//! `negotiation`'s business; whether the settings are good is the engine's.

use bytes::{Buf, Bytes};
use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

use super::frontend::protocol_violation;

/// Limit: PostgreSQL's own for a start-up packet, length word not counted.
pub const STARTUP_BYTES_MAX: usize = 10_000;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What the first packets of a connection may be.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Encrypt, please.
    Tls,
    /// Encrypt by GSSAPI, please.
    Gss,
    /// Cancel what another connection runs.
    Cancel {
        /// Its process id.
        pid: i32,
        /// Its secret.
        secret: i32,
    },
    /// A session.
    Startup(Startup),
}

/// A request for a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// Minor version of protocol 3 that the client speaks.
    pub minor_version: u16,
    /// Role to log in as.
    pub user: String,
    /// Database, the user's name if not given.
    pub database: String,
    /// Whether a replication connection is asked for.
    pub replication: bool,
    /// Settings in the order they apply: first those of `options`, then the packet's own keys.
    pub settings: Vec<(String, String)>,
    /// `_pq_.` protocol options, none of which we know.
    pub protocol_options: Vec<String>,
}

/// Reads the body of an untyped packet.
pub fn parse(mut body: Bytes) -> PgResult<Request> {
    if body.len() < 4 {
        return Err(protocol_violation("invalid length of startup packet"));
    }
    let code = body.get_u32();
    match code {
        SSL_REQUEST => Ok(Request::Tls),
        GSSENC_REQUEST => Ok(Request::Gss),
        CANCEL_REQUEST if body.len() == 8 => Ok(Request::Cancel { pid: body.get_i32(), secret: body.get_i32() }),
        CANCEL_REQUEST => Err(protocol_violation("invalid length of startup packet")),
        _ if code >> 16 == 3 => Ok(Request::Startup(parse_startup((code & 0xffff) as u16, &body)?)),
        _ => Err(PgError::new(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", code >> 16, code & 0xffff),
        )
        .severity(Severity::Fatal)),
    }
}

fn parse_startup(minor_version: u16, body: &[u8]) -> PgResult<Startup> {
    let mut startup = Startup { minor_version, ..Startup::default() };
    let mut options = None;
    let mut packet_settings = Vec::new();
    for (key, value) in pairs(body)? {
        match key {
            "user" => startup.user = value.to_owned(),
            "database" => startup.database = value.to_owned(),
            "options" => options = Some(value),
            "replication" => startup.replication = !matches!(value, "false" | "off" | "no" | "0"),
            _ if key.starts_with("_pq_.") => startup.protocol_options.push(key.to_owned()),
            _ => packet_settings.push((key.to_owned(), value.to_owned())),
        }
    }
    if startup.user.is_empty() {
        return Err(PgError::new(
            sqlstate::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        )
        .severity(Severity::Fatal));
    }
    if startup.database.is_empty() {
        startup.database.clone_from(&startup.user);
    }
    startup.settings = parse_options(options.unwrap_or_default())?;
    startup.settings.extend(packet_settings);
    Ok(startup)
}

/// Key and value strings up to the empty key that must be the last byte.
fn pairs(body: &[u8]) -> PgResult<Vec<(&str, &str)>> {
    let layout = || protocol_violation("invalid startup packet layout: expected terminator as last byte");
    let Some(strings) = body.strip_suffix(&[0]) else { return Err(layout()) };
    let mut fields = Vec::new();
    for field in strings.split(|byte| *byte == 0) {
        fields.push(std::str::from_utf8(field).map_err(|_| {
            PgError::new(
                sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\" in startup packet",
            )
            .severity(Severity::Fatal)
        })?);
    }
    // What follows the last value's terminator splits into one empty string.
    if fields.pop() != Some("") || fields.len() % 2 != 0 || fields.iter().step_by(2).any(|key| key.is_empty()) {
        return Err(layout());
    }
    Ok(fields.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Splits `-c name=value --name=value` as PostgreSQL does: by blanks, a backslash quotes the next character.
pub fn parse_options(options: &str) -> PgResult<Vec<(String, String)>> {
    let words = split_options(options);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (assignment, dashed) = if let Some(rest) = word.strip_prefix("--") {
            (rest.to_owned(), true)
        } else if word == "-c" {
            (words.next().ok_or_else(|| invalid_option("-c"))?, false)
        } else if let Some(rest) = word.strip_prefix("-c") {
            (rest.to_owned(), false)
        } else {
            return Err(invalid_option(&word));
        };
        let Some((name, value)) = assignment.split_once('=') else {
            let form = if dashed { format!("--{assignment}") } else { format!("-c {assignment}") };
            return Err(
                PgError::new(sqlstate::SYNTAX_ERROR, format!("{form} requires a value")).severity(Severity::Fatal)
            );
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn invalid_option(word: &str) -> PgError {
    PgError::new(sqlstate::SYNTAX_ERROR, format!("invalid command-line argument for server process: {word}"))
        .hint("Settings are given as -c name=value or --name=value.")
        .severity(Severity::Fatal)
}

fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                if let Some(next) = characters.next() {
                    word.get_or_insert_default().push(next);
                }
            }
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, rest: &[u8]) -> Bytes {
        let mut body = code.to_be_bytes().to_vec();
        body.extend_from_slice(rest);
        body.into()
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(parse(packet(SSL_REQUEST, b"")).unwrap(), Request::Tls);
        assert_eq!(parse(packet(GSSENC_REQUEST, b"")).unwrap(), Request::Gss);
        assert_eq!(
            parse(packet(CANCEL_REQUEST, b"\0\0\0\x07\xff\xff\xff\xff")).unwrap(),
            Request::Cancel { pid: 7, secret: -1 }
        );
        let body = b"user\0ann\0application_name\0x y\0options\0-c work_mem=3MB --my.own=a\\ b\0_pq_.z\x001\0\0";
        assert_eq!(
            parse(packet(0x0003_0002, body)).unwrap(),
            Request::Startup(Startup {
                minor_version: 2,
                user: "ann".into(),
                database: "ann".into(),
                replication: false,
                settings: vec![
                    ("work_mem".into(), "3MB".into()),
                    ("my.own".into(), "a b".into()),
                    ("application_name".into(), "x y".into()),
                ],
                protocol_options: vec!["_pq_.z".into()],
            })
        );
    }

    #[test]
    fn bad_packets_have_their_codes() {
        for (code, rest, state) in [
            (0x0002_0000, &b"user\0a\0\0"[..], "0A000"),
            (0x1234_0000, b"", "0A000"),
            (CANCEL_REQUEST, b"\0\0", "08P01"),
            (0x0003_0000, b"user\0a\0", "08P01"),
            (0x0003_0000, b"user\0a", "08P01"),
            (0x0003_0000, b"user\0\0", "08P01"),
            (0x0003_0000, b"", "08P01"),
            (0x0003_0000, b"user\0\xff\0\0", "22021"),
            (0x0003_0000, b"database\0d\0\0", "28000"),
            (0x0003_0000, b"user\0a\0options\0-x\0\0", "42601"),
            (0x0003_0000, b"user\0a\0options\0-c\0\0", "42601"),
            (0x0003_0000, b"user\0a\0options\0-c work_mem\0\0", "42601"),
        ] {
            let error = parse(packet(code, rest)).unwrap_err();
            assert_eq!((error.code.as_str(), error.severity), (state, Severity::Fatal), "{rest:?} {error:?}");
        }
        assert!(parse(Bytes::from_static(b"\0\x03")).is_err());
    }
}

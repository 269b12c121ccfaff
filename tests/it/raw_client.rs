//! A client that says exactly what it is told to: bytes, frames, messages. It knows the protocol from its description
//! alone and shares no code with the server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// A read that takes longer has failed. Nothing in a test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct RawClient {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
    /// Why the last read waited in vain.
    given_up: Option<String>,
    /// Process id and secret, once greeted.
    pub key: Option<(i32, i32)>,
}

/// A message from the server: type byte and body.
pub type Message = (u8, Vec<u8>);

impl RawClient {
    /// A socket on which nothing has been said.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        Self { stream, address, buffer: Vec::new(), given_up: None, key: None }
    }

    /// A greeted session.
    pub fn session(address: SocketAddr, parameters: &[(&str, &str)]) -> Self {
        let mut client = Self::silent(address);
        client.send(&startup(0x0003_0000, parameters));
        let greeting = client.read_until(b'Z', 1);
        assert!(greeting.iter().any(|(kind, _)| *kind == b'Z'), "{greeting:?}");
        client
    }

    /// The usual session of the tests.
    pub fn postgres(address: SocketAddr) -> Self {
        Self::session(address, &[("user", "postgres"), ("database", "postgres")])
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        // A server that has hung up already answers by what it sent before: the reads show it.
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
        }
    }

    /// The same socket again, for sending from another thread.
    pub fn another_handle(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be shared")
    }

    /// Sends a simple query and gives back everything up to ReadyForQuery.
    pub fn query(&mut self, sql: &str) -> Vec<Value> {
        self.send(&frame(b'Q', &text(sql)));
        self.answers(b'Z', 1)
    }

    /// One raw byte, as answers to SSLRequest are.
    pub fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    /// Waits less long in vain: for conversations that may go wrong.
    pub fn impatient(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout can be set");
    }

    /// The next message; `None` when the server has closed or does not answer.
    pub fn message(&mut self) -> Option<Message> {
        loop {
            if self.buffer.len() >= 5 {
                let length = u32::from_be_bytes(self.buffer[1..5].try_into().expect("four bytes")) as usize;
                if self.buffer.len() > length {
                    let rest = self.buffer.split_off(length + 1);
                    let whole = std::mem::replace(&mut self.buffer, rest);
                    return Some((whole[0], whole[5..].to_vec()));
                }
            }
            let mut more = [0; 65_536];
            match self.stream.read(&mut more) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&more[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => {
                    self.given_up = Some(error.to_string());
                    return None;
                }
            }
        }
    }

    /// Messages up to the `count`th of type `until`, or to the end.
    pub fn read_until(&mut self, until: u8, count: usize) -> Vec<Message> {
        let (mut messages, mut seen) = (Vec::new(), 0);
        while seen < count {
            let Some((kind, body)) = self.message() else { break };
            if kind == b'K' {
                let number = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
                self.key = Some((number(0), number(4)));
            }
            seen += usize::from(kind == until);
            messages.push((kind, body));
        }
        messages
    }

    /// The same in the form of the wire scripts; a closed connection is `["EOF"]`.
    pub fn answers(&mut self, until: u8, count: usize) -> Vec<Value> {
        let messages = self.read_until(until, count);
        let ended = messages.iter().filter(|(kind, _)| *kind == until).count() < count;
        let mut shown: Vec<Value> = messages.iter().filter_map(|(kind, body)| show(*kind, body)).collect();
        if ended {
            // A server that says nothing has not closed: the two must never be taken for each other.
            shown.push(self.given_up.take().map_or_else(|| json!(["EOF"]), |error| json!(["NOTHING", error])));
        }
        shown
    }

    /// Everything until the server closes.
    pub fn until_closed(&mut self) -> Vec<Value> {
        self.answers(0, 1)
    }

    /// Sends a CancelRequest for this session on a connection of its own, and waits until it has been taken.
    pub fn cancel(&self) {
        let (pid, secret) = self.key.expect("greeted");
        self.cancel_as(pid, secret);
    }

    /// A CancelRequest with any numbers.
    pub fn cancel_as(&self, pid: i32, secret: i32) {
        let mut other = Self::silent(self.address);
        let words = [16, 80_877_102, pid, secret];
        other.send(&words.iter().flat_map(|word: &i32| word.to_be_bytes()).collect::<Vec<u8>>());
        assert_eq!(other.byte(), None, "a cancel is not answered");
    }
}

/// A start-up packet.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (key, value) in parameters {
        body.extend(text(key));
        body.extend(text(value));
    }
    body.push(0);
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

/// A packet without type, as SSLRequest is.
pub fn request(code: u32) -> Vec<u8> {
    [8, code].iter().flat_map(|word: &u32| word.to_be_bytes()).collect()
}

/// A message.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((body.len() as u32 + 4).to_be_bytes());
    frame.extend(body);
    frame
}

/// A string field.
pub fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn strings(body: &[u8]) -> Vec<String> {
    body.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned()).collect()
}

fn short(body: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(body[at..at + 2].try_into().expect("two bytes"))
}

fn long(body: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"))
}

/// A message in the form of the wire scripts; `None` for those they leave out.
pub fn show(kind: u8, body: &[u8]) -> Option<Value> {
    Some(match kind {
        b'T' => show_columns(body),
        b'D' => show_row(body),
        b'E' | b'N' => {
            let fields: serde_json::Map<String, Value> = strings(body)
                .iter()
                .filter(|field| !field.is_empty() && "SVCMDHPWstcdn".contains(&field[..1]))
                .map(|field| (field[..1].to_owned(), json!(field[1..])))
                .collect();
            json!([if kind == b'E' { "Error" } else { "Notice" }, fields])
        }
        b'C' => json!(["CommandComplete", strings(body)[0]]),
        b'Z' => json!(["ReadyForQuery", String::from_utf8_lossy(body)]),
        b't' => {
            let oids: Vec<i32> = (0..(body.len() - 2) / 4).map(|index| long(body, 2 + 4 * index)).collect();
            json!(["ParameterDescription", oids])
        }
        b'G' | b'H' => {
            let codes: Vec<i16> = (0..short(body, 1) as usize).map(|index| short(body, 3 + 2 * index)).collect();
            json!([if kind == b'G' { "CopyIn" } else { "CopyOut" }, body[0], codes])
        }
        b'd' => json!(["CopyData", show_value(body, true)]),
        b'S' => {
            let fields = strings(body);
            json!(["ParameterStatus", fields[0], fields[1]])
        }
        b'A' => {
            let fields = strings(&body[4..]);
            json!(["Notification", fields[0], fields[1]])
        }
        b'R' | b'K' | b'v' => return None,
        b'1' => json!(["ParseComplete"]),
        b'2' => json!(["BindComplete"]),
        b'3' => json!(["CloseComplete"]),
        b'n' => json!(["NoData"]),
        b's' => json!(["PortalSuspended"]),
        b'I' => json!(["EmptyQuery"]),
        b'c' => json!(["CopyDone"]),
        other => json!([format!("?{}", other as char)]),
    })
}

fn show_columns(body: &[u8]) -> Value {
    let mut columns = Vec::new();
    let mut rest = &body[2..];
    for _ in 0..short(body, 0) {
        let end = rest.iter().position(|byte| *byte == 0).expect("a name ends");
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let fields = &rest[end + 1..end + 19];
        columns.push(json!([
            name,
            i32::from(long(fields, 0) != 0),
            i32::from(short(fields, 4) != 0),
            long(fields, 6),
            short(fields, 10),
            long(fields, 12),
            short(fields, 16)
        ]));
        rest = &rest[end + 19..];
    }
    json!(["RowDescription", columns])
}

fn show_row(body: &[u8]) -> Value {
    let mut values = Vec::new();
    let mut rest = &body[2..];
    for _ in 0..short(body, 0) {
        let length = long(rest, 0);
        rest = &rest[4..];
        if length < 0 {
            values.push(Value::Null);
            continue;
        }
        let (value, after) = rest.split_at(length as usize);
        values.push(show_value(value, false));
        rest = after;
    }
    json!(["DataRow", values])
}

/// Text where it is printable, else hex: the rule of the recordings.
fn show_value(value: &[u8], copy: bool) -> Value {
    let hex = || json!({"hex": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>()});
    match std::str::from_utf8(value) {
        Err(_) => hex(),
        Ok(text) if text.contains('\0') => hex(),
        Ok(text) if copy || text.contains('\n') || !text.chars().any(char::is_control) => json!(text),
        Ok(_) => hex(),
    }
}

//! Plays the wire scripts of `tests/data/wire` and compares every message with what PostgreSQL answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::raw_client::{RawClient, frame, text};

/// ParameterStatus is compared for these.
const COMPARED_SETTINGS: [&str; 12] = [
    "application_name",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "client_encoding",
    "standard_conforming_strings",
    "default_transaction_read_only",
    "session_authorization",
    "is_superuser",
    "integer_datetimes",
    "server_encoding",
    "in_hot_standby",
];

/// A script that waits in vain has failed; the longest one runs for half a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an answer compares with the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Same,
    /// Only wording, details, hints, positions or contexts differ.
    Text,
    Differs,
}

#[test]
fn scripts_are_answered_as_by_postgresql() {
    let server = Harness::as_postgres();
    let pending: BTreeSet<&str> = include_str!("../data/wire/pending.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut totals: BTreeMap<Verdict, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for line in include_str!("../data/wire/scripts.jsonl").lines() {
        let script: Value = serde_json::from_str(line).expect("a script is JSON");
        let name = script["name"].as_str().expect("a script has a name").to_owned();
        names.insert(name.clone());
        if pending.contains(name.as_str()) {
            continue;
        }
        let (verdict, report) = play(server.address(), &script);
        *totals.entry(verdict).or_default() += 1;
        if verdict == Verdict::Differs {
            failures.push(format!("{name}\n{report}"));
        }
    }
    println!("{totals:?}, {} pending", pending.len());
    assert!(failures.is_empty(), "{} scripts differ:\n{}", failures.len(), failures.join("\n"));
    let unknown: Vec<_> = pending.iter().filter(|name| !names.contains(**name)).collect();
    assert!(unknown.is_empty(), "pending.txt names scripts that do not exist: {unknown:?}");
}

fn play(address: SocketAddr, script: &Value) -> (Verdict, String) {
    let mut clients: HashMap<String, RawClient> = HashMap::new();
    let (mut worst, mut report) = (Verdict::Same, String::new());
    for step in script["steps"].as_array().expect("a script has steps") {
        if let Some(name) = step["cancel"].as_str() {
            clients[name].cancel();
            continue;
        }
        let name = step["to"].as_str().unwrap_or("a");
        let client = clients.entry(name.to_owned()).or_insert_with(|| connect(address, script));
        let bytes: Vec<u8> = step["send"].as_array().into_iter().flatten().flat_map(encode).collect();
        client.send(&bytes);
        let until = step["until"].as_str().unwrap_or("Z");
        if until == "NONE" {
            continue;
        }
        let count = step["count"].as_u64().unwrap_or(1) as usize;
        let got = match until {
            "EOF" => client.until_closed(),
            kind => client.answers(kind.as_bytes()[0], count),
        };
        let got: Vec<Value> = got.into_iter().filter(compared).collect();
        let want = step["expect"].as_array().expect("a recorded step");
        let verdict = compare(want, &got);
        if verdict == Verdict::Differs {
            report += &format!("  sent {}\n  want {}\n  got  {}\n", step["send"], json!(want), json!(got));
        }
        worst = worst.max(verdict);
        if got.last().is_some_and(|message| message[0] == "NOTHING") {
            // What follows would only wait again.
            return (worst, report);
        }
    }
    (worst, report)
}

fn connect(address: SocketAddr, script: &Value) -> RawClient {
    let mut parameters: Vec<(&str, &str)> = vec![
        ("user", script["user"].as_str().unwrap_or("postgres")),
        ("database", script["database"].as_str().unwrap_or("postgres")),
        ("client_encoding", "UTF8"),
        ("application_name", "wire"),
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, MDY"),
    ];
    for (key, value) in script["startup"].as_object().into_iter().flatten() {
        parameters.retain(|(known, _)| known != key);
        parameters.push((key, value.as_str().expect("a startup value is text")));
    }
    let mut client = RawClient::session(address, &parameters);
    client.impatient(PATIENCE);
    client
}

fn compared(message: &Value) -> bool {
    message[0] != "ParameterStatus" || COMPARED_SETTINGS.iter().any(|name| message[1] == *name)
}

/// RowDescription directly before an error may be missing: we may find at planning time what PostgreSQL finds while
/// running.
fn without_lone_descriptions(messages: &[Value]) -> Vec<&Value> {
    let lone = |index: usize| {
        messages[index][0] == "RowDescription" && messages.get(index + 1).is_some_and(|next| next[0] == "Error")
    };
    (0..messages.len()).filter(|index| !lone(*index)).map(|index| &messages[index]).collect()
}

fn compare(want: &[Value], got: &[Value]) -> Verdict {
    let (want, got) = (without_lone_descriptions(want), without_lone_descriptions(got));
    if want.len() != got.len() {
        return Verdict::Differs;
    }
    let compare_one = |(want, got): (&&Value, &&Value)| {
        if want == got {
            return Verdict::Same;
        }
        let (Some(want_fields), Some(got_fields)) = (want[1].as_object(), got[1].as_object()) else {
            return Verdict::Differs;
        };
        if want[0] != got[0] {
            return Verdict::Differs;
        }
        let keys: BTreeSet<&String> =
            want_fields.keys().chain(got_fields.keys().filter(|key| key.as_str() != "W")).collect();
        let differing: Vec<_> = keys.into_iter().filter(|key| want_fields.get(*key) != got_fields.get(*key)).collect();
        match differing.iter().all(|key| "MDHPW".contains(key.as_str())) {
            true if differing.is_empty() => Verdict::Same,
            true => Verdict::Text,
            false => Verdict::Differs,
        }
    };
    want.iter().zip(&got).map(compare_one).max().unwrap_or(Verdict::Same)
}

/// One `[message, arguments]` pair as bytes.
fn encode(message: &Value) -> Vec<u8> {
    let field = |name: &str| message[1][name].as_str().unwrap_or_default();
    let number = |name: &str| message[1][name].as_i64().unwrap_or_default() as i32;
    match message[0].as_str().expect("a message has a name") {
        "Query" => frame(b'Q', &text(field("sql"))),
        "Parse" => {
            let oids = message[1]["oids"].as_array().cloned().unwrap_or_default();
            let mut body = [text(field("name")), text(field("sql"))].concat();
            body.extend((oids.len() as u16).to_be_bytes());
            body.extend(oids.iter().flat_map(|oid| (oid.as_u64().expect("an OID") as u32).to_be_bytes()));
            frame(b'P', &body)
        }
        "Bind" => {
            let parameters = message[1]["params"].as_array().cloned().unwrap_or_default();
            let mut body = [text(field("portal")), text(field("stmt")), shorts(&message[1]["pfmt"])].concat();
            body.extend((parameters.len() as u16).to_be_bytes());
            body.extend(parameters.iter().flat_map(value));
            body.extend(shorts(&message[1]["rfmt"]));
            frame(b'B', &body)
        }
        "Describe" => frame(b'D', &[field("kind").as_bytes(), &text(field("name"))].concat()),
        "Close" => frame(b'C', &[field("kind").as_bytes(), &text(field("name"))].concat()),
        "Execute" => frame(b'E', &[&text(field("portal"))[..], &number("max").to_be_bytes()].concat()),
        "Sync" => frame(b'S', b""),
        "Flush" => frame(b'H', b""),
        "CopyData" => match message[1]["hex"].as_str() {
            Some(hex) => frame(b'd', &unhex(hex)),
            None => frame(b'd', field("text").as_bytes()),
        },
        "CopyDone" => frame(b'c', b""),
        "CopyFail" => frame(b'f', &text(field("reason"))),
        "Terminate" => frame(b'X', b""),
        "Raw" => unhex(field("hex")),
        other => panic!("unknown message {other}"),
    }
}

fn shorts(values: &Value) -> Vec<u8> {
    let values = values.as_array().cloned().unwrap_or_default();
    let codes = values.iter().flat_map(|code| (code.as_i64().expect("a code") as i16).to_be_bytes());
    (values.len() as u16).to_be_bytes().into_iter().chain(codes).collect()
}

/// A parameter: null, text, or `{"hex": "..."}`.
fn value(value: &Value) -> Vec<u8> {
    let raw = match (value, value["hex"].as_str()) {
        (Value::Null, _) => return (-1i32).to_be_bytes().to_vec(),
        (_, Some(hex)) => unhex(hex),
        (Value::String(text), _) => text.as_bytes().to_vec(),
        (other, _) => other.to_string().into_bytes(),
    };
    [&(raw.len() as u32).to_be_bytes()[..], &raw].concat()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hex")).collect()
}

//! Roles that logged in as themselves: what each may do, against PostgreSQL's answers.
//!
//! A superuser that takes a role by SET ROLE may always go back, so only sessions of the roles themselves can show that
//! rights hold.

use std::collections::HashMap;

use futures::{StreamExt, pin_mut};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::Harness;

const STATEMENTS: &str = include_str!("../data/rights/statements.tsv");
const EVERYONE_IN: &str =
    "[server]\nsuperuser = \"tributary\"\n[[access]]\naddress = \"loopback\"\nuser = \"all\"\nmethod = \"trust\"\n";

/// SQLSTATE and message, or the tag and the rows.
async fn answer(client: &Client, sql: &str) -> String {
    let copies = sql.starts_with("COPY");
    let messages = if copies { copied_out(client, sql).await } else { client.simple_query(sql).await };
    match messages {
        Ok(messages) => shown(sql, &messages),
        Err(error) => match error.as_db_error() {
            Some(error) => format!("{} {}", error.code().code(), error.message()),
            None => format!("no answer: {error}"),
        },
    }
}

async fn copied_out(client: &Client, sql: &str) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
    let rows = client.copy_out(sql).await?;
    pin_mut!(rows);
    while let Some(chunk) = rows.next().await {
        chunk?;
    }
    Ok(Vec::new())
}

fn shown(sql: &str, messages: &[SimpleQueryMessage]) -> String {
    let mut rows = String::new();
    let mut count = None;
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                let values: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect();
                rows.push_str(&format!(" [{}]", values.join(", ")));
            }
            SimpleQueryMessage::CommandComplete(affected) => count = Some(*affected),
            _ => {}
        }
    }
    // The client keeps of a tag its count alone.
    let mut words = sql.split_whitespace();
    let verb = words.next().unwrap_or_default();
    format!("{verb} {}{rows}", count.unwrap_or(0))
}

/// The same of a recorded answer: errors as they are, of tags the statement's first word and the count.
fn expected(sql: &str, recorded: &str) -> String {
    let is_code =
        |word: &str| word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let first = recorded.split(' ').next().unwrap_or_default();
    if is_code(first) && first.bytes().any(|byte| byte.is_ascii_digit()) {
        return recorded.to_owned();
    }
    let (tag, rows) = recorded.split_at(recorded.find(" [").unwrap_or(recorded.len()));
    let count: u64 = tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    format!("{} {count}{rows}", sql.split_whitespace().next().unwrap_or_default())
}

#[test]
fn roles_may_do_what_they_were_given_and_no_more() {
    let server = Harness::with_file(EVERYONE_IN);
    server.block_on(async {
        let mut clients: HashMap<&str, Client> = HashMap::new();
        let mut differ = Vec::new();
        for line in STATEMENTS.lines().filter(|line| !line.starts_with('#')) {
            let [who, sql, recorded] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("no three fields: {line}")
            };
            let user = if who == "S" { "tributary" } else { who };
            if !clients.contains_key(user) {
                clients.insert(user, server.connect_as(user).await);
            }
            let given = answer(&clients[user], sql).await;
            let wanted = expected(sql, recorded);
            if given != wanted {
                differ.push(format!("{who}: {sql}\n  PostgreSQL {wanted}\n  here       {given}"));
            }
        }
        assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    });
}

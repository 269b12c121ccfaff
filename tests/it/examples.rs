//! Every documented example of every SQL function, executed over the wire and compared with what its page shows.

use tokio_postgres::SimpleQueryMessage;

use crate::harness::Harness;

#[test]
fn examples_print_what_their_page_shows() {
    let harness = Harness::start();
    let faults: Vec<String> = harness.block_on(async {
        let client = harness.connect().await;
        let mut faults = Vec::new();
        for (name, example) in tributary_udfs::examples() {
            match client.simple_query(&example.sql).await {
                Ok(messages) if printed(&messages) == example.output => {}
                Ok(messages) => faults.push(format!(
                    "{name}: {}\n  expected {:?}\n  got      {:?}",
                    example.sql,
                    example.output,
                    printed(&messages)
                )),
                Err(error) => {
                    let shown = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
                    faults.push(format!("{name}: {}\n  failed: {shown}", example.sql));
                }
            }
        }
        faults
    });
    assert!(faults.is_empty(), "{} examples are wrong:\n{}", faults.len(), faults.join("\n"));
}

/// Rows as `psql --no-align --tuples-only` prints them.
fn printed(messages: &[SimpleQueryMessage]) -> String {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|index| row.get(index).unwrap_or_default()).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect::<Vec<_>>().join("\n")
}

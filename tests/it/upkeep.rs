//! VACUUM, CHECKPOINT and their kin through SQL, and what partition_by does to a scan.

use tributary_store::StoreConfig;

use crate::database::{Client, Database};

/// 12,000 events of 100 persons over the twelve months of 2024, loaded in four flushed pieces.
async fn events(options: &str) -> (Database, Client) {
    let database = Database::with(StoreConfig { background: false, ..StoreConfig::default() });
    let mut client = database.connect();
    client.ok(&format!("CREATE TABLE e (person int, ts timestamptz, n int) {options}")).await;
    for piece in 0..4 {
        let rows = (0..3_000).map(|row| {
            let n = piece * 3_000 + row;
            format!("{}\t2024-{:02}-{:02} 12:00:00+00\t{n}\n", n * 7 % 100, n % 12 + 1, n % 28 + 1)
        });
        let data: String = rows.collect();
        client.copy_in("COPY e FROM STDIN", &[data.as_bytes()]).await.expect("loads");
        client.ok("VACUUM e").await;
    }
    (database, client)
}

async fn pruned(client: &mut Client, filter: &str) -> String {
    let lines = client.ok(&format!("EXPLAIN SELECT * FROM e WHERE {filter}")).await;
    lines.iter().map(|line| line.trim().to_owned()).find(|line| line.starts_with("Parts:")).expect("says its parts")
}

#[tokio::test]
async fn a_time_range_skips_the_parts_of_other_buckets_under_a_person_order() {
    let (_database, mut plain) = events("WITH (order_by = 'person, ts')").await;
    let (_other, mut divided) = events("WITH (order_by = 'person, ts', partition_by = 'month(ts)')").await;
    let march = "ts >= '2024-03-01+00' AND ts < '2024-04-01+00'";
    assert_eq!(pruned(&mut plain, march).await, "Parts: 4 of 4, granules: 4 of 4");
    assert_eq!(pruned(&mut divided, march).await, "Parts: 4 of 48, granules: 4 of 48");
    for filter in [march, "person = 3", "ts IS NULL", "true"] {
        let query = format!("SELECT count(*), sum(n), min(ts), max(person) FROM e WHERE {filter}");
        assert_eq!(plain.ok(&query).await, divided.ok(&query).await, "{filter}");
    }
}

#[tokio::test]
async fn vacuum_full_leaves_only_live_rows() {
    let (database, mut client) = events("WITH (order_by = 'person, ts')").await;
    let table_bytes = || {
        let snapshot = database.engine.store().snapshot();
        snapshot.tables().map(|(_, table)| table.bytes()).max().unwrap_or(0)
    };
    let full = table_bytes();
    client.ok("DELETE FROM e WHERE person < 10").await;
    assert_eq!(client.ok("VACUUM FULL e").await, ["VACUUM"]);
    assert_eq!(client.ok("SELECT count(*), min(person) FROM e").await[0], "10800|10");
    assert!(table_bytes() < full, "{} of {full} bytes are left", table_bytes());
    let snapshot = database.engine.store().snapshot();
    let sources: Vec<_> = snapshot.tables().flat_map(|(_, table)| table.sources()).collect();
    assert!(sources.iter().all(|source| source.is_part() && source.deletes().is_none()));
    for text in ["VACUUM", "VACUUM (ANALYZE)", "VACUUM FULL", "ANALYZE e", "CHECKPOINT", "REINDEX TABLE e"] {
        let tag = text.split([' ', '(']).next().unwrap_or_default();
        assert_eq!(client.ok(text).await, [tag], "{text}");
    }
}

#[tokio::test]
async fn upkeep_is_refused_where_postgresql_refuses_it() {
    let (_database, mut client) = events("").await;
    client.ok("CREATE ROLE clerk LOGIN").await;
    let cases = [
        ("VACUUM nowhere", "42P01", "relation \"nowhere\" does not exist"),
        ("ANALYZE s.e", "42P01", "relation \"s.e\" does not exist"),
        ("VACUUM (fool) e", "42601", "unrecognized VACUUM option \"fool\""),
    ];
    for (text, code, message) in cases {
        let error = client.error(text).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{text}");
    }
    client.ok("BEGIN").await;
    let error = client.error("VACUUM e").await;
    assert_eq!(error.message, "VACUUM cannot run inside a transaction block");
    client.ok("ROLLBACK").await;
    client.ok("SET ROLE clerk").await;
    let error = client.error("CHECKPOINT").await;
    let message = "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT";
    assert_eq!((error.code.as_str(), error.message.as_str()), ("42501", message));
    client.ok("VACUUM e").await;
    let notices: Vec<String> = client.session.drain().notices.into_iter().map(|n| n.message.clone()).collect();
    assert_eq!(notices, ["permission denied to vacuum \"e\", skipping it"]);
    client.ok("RESET ROLE; GRANT pg_checkpoint TO clerk; SET ROLE clerk").await;
    client.ok("CHECKPOINT").await;
}

#[tokio::test]
async fn wrong_table_options_are_named() {
    let database = Database::new();
    let mut client = database.connect();
    let cases = [
        ("orderby = 'a'", "22023", "unrecognized table option \"orderby\"", "Did you mean \"order_by\"?"),
        (
            "partition_by = 'hour(ts)'",
            "22023",
            "invalid value for table option \"partition_by\": \"hour(ts)\"",
            "Use day(column), week(column), month(column) or year(column).",
        ),
        (
            "partition_by = 'ts'",
            "22023",
            "invalid value for table option \"partition_by\": \"ts\"",
            "Use day(column), week(column), month(column) or year(column).",
        ),
        (
            "partition_by = 'day(a)'",
            "22023",
            "invalid value for table option \"partition_by\": \"day(a)\"",
            "The column must be a date or timestamp.",
        ),
        ("partition_by = 'day(b)'", "42703", "column \"b\" named in table option \"partition_by\" does not exist", ""),
        ("order_by = 'a, nix'", "42703", "column \"nix\" named in table option \"order_by\" does not exist", ""),
        (
            "order_by = 'a, a'",
            "22023",
            "invalid value for table option \"order_by\": \"a, a\"",
            "A column is named twice.",
        ),
        ("retention = '400 days'", "0A000", "table option \"retention\" is not supported yet", ""),
    ];
    for (option, code, message, hint) in cases {
        let error = client.error(&format!("CREATE TABLE t (a int, ts timestamp) WITH ({option})")).await;
        let found = (error.code.as_str(), error.message.as_str(), error.hint.as_deref().unwrap_or_default());
        assert_eq!(found, (code, message, hint), "{option}");
    }
    client.ok("CREATE TABLE t (a int, ts date) WITH (order_by = 'a', partition_by = 'week(ts)')").await;
    assert_eq!(client.error("ALTER TABLE t DROP COLUMN ts").await.code.as_str(), "2BP01");
    client.ok("ALTER TABLE t RENAME COLUMN ts TO at; INSERT INTO t VALUES (1, '2024-01-01'), (2, NULL)").await;
    client.ok("VACUUM t").await;
    assert_eq!(client.ok("SELECT a FROM t WHERE at IS NULL").await[0], "2");
}

fn tributary(arguments: &[&std::path::Path]) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tributary")).args(arguments).output().expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_backup_taken_by_a_statement_is_restored_by_the_command_line() {
    let root = tempfile::tempdir().expect("a directory");
    let (inside, outside) = (root.path().join("backups"), root.path().join("elsewhere"));
    std::fs::create_dir(&inside).expect("made");
    std::fs::create_dir(&outside).expect("made");
    std::os::unix::fs::symlink(&outside, inside.join("link")).expect("linked");
    let config = StoreConfig { background: false, backup_dirs: vec![inside.clone()], ..StoreConfig::default() };
    let database = Database::with(config);
    let mut client = database.connect();
    client.ok("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)").await;
    client.ok("CREATE ROLE clerk LOGIN").await;
    let backup = |dir: &std::path::Path| format!("BACKUP TO '{}'", dir.display());
    let first = inside.join("monday");
    for wrong in [
        inside.clone(),
        outside.join("x"),
        inside.join("link/x"),
        inside.join("../elsewhere/x"),
        "relative".into(),
        "/".into(),
    ] {
        let error = client.error(&backup(&wrong)).await;
        let found = (error.code.as_str(), error.message.as_str());
        assert_eq!(found, ("42501", "path is outside the allowed directories"), "{}", wrong.display());
    }
    client.ok("SET ROLE clerk").await;
    assert_eq!(client.error(&backup(&first)).await.message, "must be superuser to back up the database");
    client.ok("RESET ROLE").await;
    assert_eq!(client.ok(&backup(&first)).await, ["BACKUP"]);
    let notice = client.session.drain().notices.pop().expect("a notice").message.clone();
    assert!(notice.starts_with("backup holds commit "), "{notice}");
    assert_eq!(client.error(&backup(&first)).await.code.as_str(), "58P02");
    client.ok("DELETE FROM t").await;

    let restored = root.path().join("restored");
    let (code, text) = tributary(&["restore".as_ref(), &first, &restored]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(tributary(&["restore".as_ref(), &first, &restored]).0, Some(1), "it is not empty any more");
    for dir in [&first, &restored] {
        let (code, text) = tributary(&["check".as_ref(), dir]);
        assert_eq!((code, text.contains("no damage found")), (Some(0), true), "{text}");
    }
    let query = |text: &'static str| tributary(&["sql".as_ref(), text.as_ref(), "--data-dir".as_ref(), &restored]);
    let (code, text) = query("SELECT count(*), max(b) FROM t");
    assert!(code == Some(0) && text.contains('2') && text.contains('x'), "{text}");
    let (code, text) = tributary(&["rebuild-meta".as_ref(), &restored]);
    assert!(code == Some(0) && text.contains("metadata rebuilt up to commit"), "{text}");
    let (code, text) = query("INSERT INTO t VALUES (1, 'again')");
    assert!(code == Some(1) && text.contains("duplicate key"), "{text}");
    assert_eq!(tributary(&["check".as_ref(), &root.path().join("nowhere")]).0, Some(2));
}

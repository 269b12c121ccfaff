//! The figures of the admin port: each one that is promised is there and moves when what it counts happens.

use crate::process::{Process, first, runtime, until};

#[test]
fn every_promised_figure_is_there_and_moves() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let server = Process::start(&data);
    let promised = [
        "wal_sync_seconds_count",
        "commit_group_size_count",
        "commit_queue_depth",
        "delta_bytes",
        "parts",
        "compaction_seconds_count",
        "checkpoint_age_seconds",
        "snapshot_oldest_seconds",
        "meta_rebuilds_total",
        "crc_failures_total",
        "io_errors_total",
        "conflicts_total",
        "disk_free_bytes",
    ];
    for name in promised {
        assert!(server.figure(name).is_some(), "{name} is missing: {}", server.get("/metrics").1);
    }
    let rises = |name: &str, before: f64| until(|| server.figure(name).is_some_and(|now| now > before));
    let figure = |name: &str| server.figure(name).expect("it was there");
    let before = promised.map(|name| (name, figure(name)));
    let was = |name: &str| before.iter().find(|(one, _)| *one == name).expect("listed").1;
    let runtime = runtime();
    runtime.block_on(async {
        let client = server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)").await.expect("written");
        assert!(rises("wal_sync_seconds_count", was("wal_sync_seconds_count")));
        assert!(rises("commit_group_size_count", was("commit_group_size_count")));
        assert!(rises("delta_bytes", was("delta_bytes")));
        client.batch_execute("VACUUM t").await.expect("flushed");
        client.batch_execute("INSERT INTO t VALUES (2)").await.expect("written");
        client.batch_execute("VACUUM t").await.expect("flushed");
        assert!(rises("parts", was("parts")));
        // Enough small parts are merged.
        for row in 3..40 {
            client.batch_execute(&format!("INSERT INTO t VALUES ({row})")).await.expect("written");
            client.batch_execute("VACUUM t").await.expect("flushed");
        }
        assert!(rises("compaction_seconds_count", was("compaction_seconds_count")));
        assert!(rises("checkpoint_age_seconds", figure("checkpoint_age_seconds")), "time passes");
        let other = server.connect().await.expect("connects");
        let level = "BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE t SET a = a + 100 WHERE a = 1";
        client.batch_execute(level).await.expect("open");
        assert!(rises("snapshot_oldest_seconds", 0.0), "a transaction is open");
        let level = "BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE t SET a = a + 200 WHERE a = 1";
        other.batch_execute(level).await.expect("open");
        client.batch_execute("COMMIT").await.expect("the first wins");
        assert_eq!(first(&other, "COMMIT").await, Err("40001".to_owned()));
        assert!(rises("conflicts_total", was("conflicts_total")));
        // A figure of free bytes that never moves would not be one of this disk.
        std::fs::write(home.path().join("ballast"), vec![1_u8; 64 << 20]).expect("written");
        assert!(until(|| figure("disk_free_bytes") != was("disk_free_bytes")));
        client.batch_execute("CHECKPOINT").await.expect("the metadata store is needed from now on");
        assert!(server.get("/ready").0.contains("200") && server.get("/health").0.contains("200"));
    });
    drop(server);
    std::fs::remove_dir_all(data.join("meta")).expect("it was there");
    let server = Process::start(&data);
    assert_eq!(server.figure("meta_rebuilds_total"), Some(1.0));
    drop(server);
    // One bit of a part: whoever reads it is told, and it is counted.
    let parts =
        std::fs::read_dir(data.join("parts")).expect("there are parts").map(|entry| entry.expect("an entry").path());
    for path in parts.filter(|path| path.extension().is_some_and(|extension| extension == "arrow")) {
        let mut bytes = std::fs::read(&path).expect("readable");
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("written");
    }
    if let Ok(server) = Process::start_with(&data, &["--trust"]) {
        runtime.block_on(async {
            let client = server.connect().await.expect("connects");
            let answer = first(&client, "SELECT count(*), sum(a) FROM t").await.map_err(|code| code == "XX001");
            assert!(matches!(answer.as_deref(), Ok("39") | Err(true)), "{answer:?}");
            if answer.is_err() {
                assert!(server.figure("crc_failures_total").is_some_and(|count| count > 0.0));
            }
        });
    }
}

#[test]
fn figures_carry_no_names_and_no_texts() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Process::start(&home.path().join("data"));
    runtime().block_on(async {
        let client = server.connect().await.expect("connects");
        client
            .batch_execute("CREATE TABLE planted_table (a text); INSERT INTO planted_table VALUES ('planted_value')")
            .await
            .expect("made");
        client.batch_execute("CREATE ROLE planted_role PASSWORD 'planted_password'").await.expect("made");
        client.batch_execute("SELECT a FROM planted_table WHERE a = 'planted_text'").await.expect("read");
        for sql in ["SELECT planted_column FROM planted_table", "CREATE ROLE planted_role PASSWORD 'planted_password'"]
        {
            client.batch_execute(sql).await.expect_err(sql);
        }
    });
    // The client is told the key that is there already; the log is not.
    runtime().block_on(async {
        let client = server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE k (k text PRIMARY KEY)").await.expect("made");
        client.batch_execute("INSERT INTO k VALUES ('planted_key')").await.expect("written");
        let error = client.batch_execute("INSERT INTO k VALUES ('planted_key')").await.expect_err("there already");
        let told = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default().to_owned();
        assert_eq!(told, "Key (k)=(planted_key) already exists.");
        client
            .batch_execute("ALTER ROLE planted_role PASSWORD 'planted_password' NOSUCHOPTION")
            .await
            .expect_err("wrong");
    });
    for path in ["/metrics", "/ready", "/health", "/nothing"] {
        let (status, body) = server.get(path);
        assert!(!body.contains("planted") && !status.contains("planted"), "{path}: {body}");
    }
    for planted in ["planted_password", "planted_value", "planted_key", "planted_text"] {
        assert!(!server.log().contains(planted), "{planted}: {}", server.log());
    }
}

//! A disk that is really full: a small file system in memory, filled beside the data.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::Client;

use crate::process::{Process, first, runtime, skipped, until};

/// Size of the file system. Reason: log segments double, so this holds a few of them and some parts.
const SIZE: &str = "size=48m";

/// Rows that do not shrink.
const INSERT: &str = "INSERT INTO t SELECT md5(random()::text) || md5(random()::text) FROM generate_series(1, 5000)";

/// A mounted file system; unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).expect("made");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(at).output();
        done.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("ballast")).expect("made");
        let block = vec![1_u8; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("removed");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may still have a server on it.
        Command::new("umount").arg("-l").arg(&self.0).status().expect("umount runs");
    }
}

/// Writes until the disk has no room for more: rows that were acknowledged.
async fn until_full(client: &Client, expected: &mut i64) {
    for _ in 0..200 {
        match first(client, INSERT).await {
            Ok(_) => *expected += 5000,
            Err(code) => return assert_eq!(code, "53100"),
        }
    }
    panic!("the disk is full and writes go on");
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let home = tempfile::tempdir().expect("a directory");
    let Some(disk) = Mounted::new(&home.path().join("disk")) else {
        return skipped("full_disk", "needs root to mount a tmpfs");
    };
    let data = disk.0.join("data");
    let backup = disk.0.join("backups");
    std::fs::create_dir(&backup).expect("made");
    let allowed = format!("store.backup_dirs={}", backup.display());
    let server =
        Process::start_with(&data, &["--trust", "--set", &allowed]).unwrap_or_else(|ended| panic!("{ended:?}"));
    let mut expected = 0;
    runtime().block_on(async {
        let client = server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE t (v text); CREATE TABLE u (v text)").await.expect("made");
        client.batch_execute(INSERT).await.expect("room for these");
        expected += 5000;
        client.batch_execute("CHECKPOINT").await.expect("flushed");
        for round in 0..3 {
            disk.fill();
            // What writes more than the log has room for fails with its name, and leaves all as it was.
            let backup_to = format!("BACKUP TO '{}'", backup.join(format!("b{round}")).display());
            for sql in
                [backup_to.as_str(), "VACUUM FULL t", "CREATE TABLE v AS SELECT * FROM t, generate_series(1, 100)"]
            {
                assert_eq!(first(&client, sql).await, Err("53100".to_owned()), "{sql}, round {round}");
            }
            until_full(&client, &mut expected).await;
            let (status, body) = server.get("/ready");
            assert!(status.contains("503") && body == "read-only: disk full\n", "{status} {body}, round {round}");
            assert!(server.get("/health").0.contains("200"));
            let count = first(&client, "SELECT count(*) FROM t").await;
            assert_eq!(count, Ok(expected.to_string()), "reads go on, round {round}");
            assert_eq!(first(&client, "CHECKPOINT").await.err().as_deref().unwrap_or("53100"), "53100");
            disk.free();
            assert!(until(|| server.get("/ready").0.contains("200")), "round {round}");
            client.batch_execute(INSERT).await.expect("writing goes on by itself");
            expected += 5000;
            client.batch_execute("CHECKPOINT; TRUNCATE t; CHECKPOINT").await.expect("so does all else");
            client.batch_execute(&format!("{INSERT}; CHECKPOINT")).await.expect("written");
            expected = 5000;
        }
    });
    drop(server);
    let checked = Command::new(env!("CARGO_BIN_EXE_tributary")).arg("check").arg(&data).output().expect("runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let server = Process::start(&data);
    runtime().block_on(async {
        let client = server.connect().await.expect("connects");
        assert_eq!(first(&client, "SELECT count(*) FROM t").await.as_deref(), Ok("5000"));
    });
}

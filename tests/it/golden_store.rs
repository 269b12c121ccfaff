//! Data directories of every released format open, answer and take writes; newer ones are refused in clear words.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Process, first, runtime};

/// Length of the log's first file.
const LOG_BYTES: u64 = 1 << 20;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
            continue;
        }
        fs::copy(entry.path(), &target).expect("copied");
        if target.extension().is_some_and(|extension| extension == "wal") {
            fs::OpenOptions::new()
                .write(true)
                .open(&target)
                .expect("open")
                .set_len(LOG_BYTES)
                .expect("as long as it was");
        }
    }
}

fn check(data: &Path) {
    let checked = Command::new(env!("CARGO_BIN_EXE_tributary")).arg("check").arg(data).output().expect("runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()));
}

#[test]
fn directories_of_released_formats_open_answer_and_take_writes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store");
    let formats: Vec<_> = fs::read_dir(&golden)
        .expect("readable")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    assert!(!formats.is_empty());
    let answers = [
        ("SELECT count(*) FROM people", "451"),
        ("SELECT sum(id) FROM people WHERE id <= 500", "112500"),
        ("SELECT name FROM people WHERE id = 1", "changed"),
        ("SELECT name FROM people WHERE id = 501", "in the log"),
        ("SELECT tags::text || note::text FROM people WHERE id = 7", "{7,14}{\"n\": 7}"),
        ("SELECT count(*) FROM adults", "328"),
        ("SELECT has_table_privilege('reader', 'people', 'SELECT')", "t"),
    ];
    for format in formats {
        let home = tempfile::tempdir().expect("a directory");
        let data = home.path().join("data");
        copy(&format, &data);
        let mut expected = 451;
        for start in 0..2 {
            let server = Process::start(&data);
            runtime().block_on(async {
                let client = server.connect().await.expect("connects");
                if start == 0 {
                    for (sql, answer) in answers {
                        assert_eq!(first(&client, sql).await.as_deref(), Ok(answer), "{}: {sql}", format.display());
                    }
                    let next = first(&client, "SELECT nextval('s') > 5").await;
                    assert_eq!(next.as_deref(), Ok("t"), "a value of a sequence is never given again");
                    assert_eq!(first(&client, "INSERT INTO people VALUES (1, 'x')").await, Err("23505".to_owned()));
                    let write = "INSERT INTO people VALUES (600, 'new'); UPDATE people SET name = 'x' WHERE id = 2;
                        DELETE FROM people WHERE id IN (3, 4)";
                    client.batch_execute(write).await.expect("writes");
                    client.batch_execute("VACUUM FULL people; CHECKPOINT").await.expect("rewrites");
                    expected -= 1;
                }
                assert_eq!(first(&client, "SELECT count(*) FROM people").await, Ok(expected.to_string()));
            });
            drop(server);
            check(&data);
        }
    }
}

#[test]
fn newer_formats_are_refused_in_clear_words() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    drop(Process::start(&data));
    let path = data.join("FORMAT");
    let sound = fs::read_to_string(&path).expect("readable");
    let body = sound.rsplit_once("crc32c ").expect("it ends with its checksum").0;
    let newer = body.replacen("1.0", "2.0", 1);
    let sealed = format!("{newer}crc32c {:08x}\n", crc32c(newer.as_bytes()));
    fs::write(&path, sealed).expect("written");
    let ended = Process::start_with(&data, &["--trust"]).err().expect("a newer format is refused");
    assert_eq!(ended.code, Some(3), "{}", ended.log);
    assert!(
        ended.log.contains("written by a newer version (format 2.0, this server reads up to 1.0)"),
        "{}",
        ended.log
    );
    fs::write(&path, sound).expect("written");
    drop(Process::start(&data));
}

/// Reference: RFC 3720, Castagnoli's polynomial, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

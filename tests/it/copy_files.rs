//! COPY with files of the server: what goes out comes in again, whom and what it is refused, and that no half of a file
//! or of a load stays.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tributary_store::StoreConfig;

use crate::database::{Client, Database};

/// A database that may use one directory, that directory, and one beside it that it may not.
struct Place {
    _database: Database,
    client: Client,
    inside: PathBuf,
    outside: PathBuf,
    _directory: tempfile::TempDir,
}

async fn place() -> Place {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (inside, outside) = (directory.path().join("inside"), directory.path().join("outside"));
    std::fs::create_dir(&inside).expect("creates");
    std::fs::create_dir(&outside).expect("creates");
    let config = StoreConfig { background: false, external_dirs: vec![inside.clone()], ..StoreConfig::default() };
    let database = Database::with(config);
    let mut client = database.connect();
    client.ok("CREATE TABLE t (a int NOT NULL, b text, c timestamptz)").await;
    Place { _database: database, client, inside, outside, _directory: directory }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("lists");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("lists").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_goes_out_comes_in_again() {
    let Place { mut client, inside, _database, _directory, .. } = place().await;
    client.ok("INSERT INTO t SELECT n, CASE WHEN n % 3 = 0 THEN NULL ELSE 'row, ' || n END, '2024-05-01 12:00+00' FROM generate_series(1, 5000) n").await;
    for format in ["text", "csv", "binary"] {
        let file = inside.join(format).display().to_string();
        assert_eq!(client.ok(&format!("COPY t TO '{file}' (FORMAT {format})")).await, ["COPY 5000"]);
        client.ok("CREATE TABLE again (LIKE t)").await;
        assert_eq!(client.ok(&format!("COPY again FROM '{file}' (FORMAT {format})")).await, ["COPY 5000"]);
        let differ = "SELECT count(*) FROM (SELECT * FROM t EXCEPT ALL SELECT * FROM again) d";
        assert_eq!(client.ok(differ).await[0], "0", "{format}");
        client.ok("DROP TABLE again").await;
    }
    assert_eq!(names(&inside), ["binary", "csv", "text"]);
    let csv = inside.join("csv");
    let text = std::fs::read_to_string(&csv).expect("reads");
    assert!(text.starts_with("1,\"row, 1\",2024-05-01 12:00:00+00\n"), "{}", &text[..80]);
    // A query, over the file that is there.
    let query = format!("COPY (SELECT a FROM t WHERE a < 3 ORDER BY a) TO '{}' CSV HEADER", csv.display());
    assert_eq!(client.ok(&query).await, ["COPY 2"]);
    assert_eq!(std::fs::read_to_string(&csv).expect("reads"), "a\n1\n2\n");
}

#[tokio::test]
async fn a_bad_line_is_named_and_nothing_is_loaded() {
    let Place { mut client, inside, _database, _directory, .. } = place().await;
    let file = inside.join("bad.csv");
    let good: String = (0..20_000).map(|n| format!("{n},x,2024-05-01\n")).collect();
    // Contents after 20,000 good lines, SQLSTATE, message, CONTEXT: PostgreSQL's.
    let cases = [
        ("1,b,2024-13-01\n", "22008", "date/time field value out of range: \"2024-13-01\"", "column c: \"2024-13-01\""),
        ("2x,b,\n", "22P02", "invalid input syntax for type integer: \"2x\"", "column a: \"2x\""),
    ];
    for (line, code, message, context) in cases {
        std::fs::write(&file, format!("{good}{line}1,x,\n")).expect("writes");
        let error = client.error(&format!("COPY t FROM '{}' CSV", file.display())).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{line}");
        assert_eq!(error.context.as_deref(), Some(format!("COPY t, line 20001, {context}").as_str()), "{line}");
        assert_eq!(client.ok("SELECT count(*) FROM t").await[0], "0", "{line}");
    }
}

#[tokio::test]
async fn only_allowed_directories_are_reached() {
    let Place { mut client, inside, outside, _database, _directory } = place().await;
    std::fs::write(outside.join("secret"), "1\tx\t\\N\n").expect("writes");
    std::fs::write(inside.join("plain"), "1\tx\t\\N\n").expect("writes");
    symlink(outside.join("secret"), inside.join("leads_out")).expect("links");
    symlink(&outside, inside.join("directory_out")).expect("links");
    symlink(outside.join("not_there"), inside.join("dangling")).expect("links");
    symlink(inside.join("plain"), inside.join("leads_in")).expect("links");
    symlink(inside.join("plain"), outside.join("back_in")).expect("links");
    let (inside, out) = (inside.display(), outside.display());
    let refused = [
        format!("{out}/secret"),
        format!("{out}/not_there"),
        "/etc/passwd".to_owned(),
        "/etc/no_such_file".to_owned(),
        format!("{inside}/../outside/secret"),
        format!("{inside}/../inside/plain"),
        format!("{inside}/leads_out"),
        format!("{inside}/directory_out/secret"),
        format!("{inside}/dangling"),
        "secret".to_owned(),
        "http://example.com/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        String::new(),
        "/".to_owned(),
        "/proc/self/environ".to_owned(),
    ];
    for path in &refused {
        let error = client.error(&format!("COPY t FROM '{path}'")).await;
        assert_eq!(error.code.as_str(), "42501", "{path}: {}", error.message);
        if !path.ends_with("dangling") {
            assert_eq!(error.message, "path is outside the allowed directories", "{path}");
        }
    }
    // A link that leads where it may is as good as the file.
    assert_eq!(client.ok(&format!("COPY t FROM '{inside}/leads_in'")).await, ["COPY 1"]);
    assert_eq!(client.ok(&format!("COPY t FROM '{out}/back_in'")).await, ["COPY 1"]);
    for path in refused.iter().filter(|path| path.starts_with('/') && !path.ends_with("dangling")) {
        let error = client.error(&format!("COPY t TO '{path}'")).await;
        assert_eq!(error.message, "path is outside the allowed directories", "{path}");
    }
    for path in ["rel.csv", "http://example.com/x"] {
        let error = client.error(&format!("COPY t TO '{path}'")).await;
        let expected = ("42602", "relative path not allowed for COPY to file");
        assert_eq!((error.code.as_str(), error.message.as_str()), expected);
    }
    // A dangling link is replaced where it is; what it names is not made.
    assert_eq!(client.ok(&format!("COPY t TO '{inside}/made'")).await, ["COPY 2"]);
    assert!(client.run(&format!("COPY t TO '{inside}/dangling'")).await.is_err());
    assert_eq!(names(&outside), ["back_in", "secret"]);
    assert_eq!(std::fs::read_to_string(outside.join("secret")).expect("reads"), "1\tx\t\\N\n");
}

#[tokio::test]
async fn only_regular_files_are_opened_and_missing_ones_are_58p01() {
    let Place { mut client, inside, _database, _directory, .. } = place().await;
    rustix::fs::mknodat(rustix::fs::CWD, inside.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("makes a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).expect("binds");
    std::fs::create_dir(inside.join("sub")).expect("creates");
    std::fs::write(inside.join("file"), "").expect("writes");
    let at = |name: &str| inside.join(name).display().to_string();
    let hint = "COPY FROM instructs the PostgreSQL server process to read a file. You may want a client-side facility \
                such as psql's \\copy.";
    let cases = [
        ("FROM", "none", "58P01", "could not open file \"{}\" for reading: No such file or directory", Some(hint)),
        ("FROM", "file/x", "42809", "could not open file \"{}\" for reading: Not a directory", None),
        ("FROM", "sub", "42809", "\"{}\" is a directory", None),
        ("FROM", "", "42809", "\"{}\" is a directory", None),
        ("FROM", "pipe", "42809", "\"{}\" is not a regular file", None),
        ("FROM", "socket", "42809", "\"{}\" is not a regular file", None),
        ("TO", "sub", "42809", "could not open file \"{}\" for writing: Is a directory", None),
        ("TO", "pipe", "42809", "\"{}\" is not a regular file", None),
    ];
    for (direction, name, code, message, hint) in cases {
        let path = at(name);
        let error = client.error(&format!("COPY t {direction} '{path}'")).await;
        let expected = message.replace("{}", &path);
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, expected.as_str()), "{direction} {name}");
        assert_eq!(error.hint.as_deref(), hint, "{direction} {name}");
    }
    let error = client.error(&format!("COPY t TO '{}'", at("no/x"))).await;
    assert_eq!(error.code.as_str(), "58P01");
    assert_eq!(names(&inside), ["file", "pipe", "socket", "sub"]);
}

#[tokio::test]
async fn a_copy_that_fails_leaves_the_old_file_and_nothing_else() {
    let Place { mut client, inside, _database, _directory, .. } = place().await;
    let file = inside.join("out");
    std::fs::write(&file, "before").expect("writes");
    let query = "SELECT 1 / (n - 4000) FROM generate_series(1, 5000) n";
    let error = client.error(&format!("COPY ({query}) TO '{}'", file.display())).await;
    assert_eq!(error.code.as_str(), "22012");
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), "before");
    assert_eq!(names(&inside), ["out"]);
}

#[tokio::test]
async fn files_need_postgresqls_roles() {
    let Place { mut client, inside, _database, _directory, .. } = place().await;
    std::fs::write(inside.join("in"), "1\tx\t\\N\n").expect("writes");
    let (from, to) = (format!("COPY t FROM '{}/in'", inside.display()), format!("COPY t TO '{}/to'", inside.display()));
    client.ok("CREATE ROLE clerk; GRANT ALL ON t TO clerk; SET ROLE clerk").await;
    let hint = "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.";
    let needs = |group: &str, what: &str| format!("must be superuser or have privileges of the {group} role to {what}");
    let cases = [
        (from.as_str(), needs("pg_read_server_files", "COPY from a file")),
        ("COPY nowhere FROM '/x' (FORMAT nope)", needs("pg_read_server_files", "COPY from a file")),
        (to.as_str(), needs("pg_write_server_files", "COPY to a file")),
        ("COPY t FROM PROGRAM 'true'", needs("pg_execute_server_program", "COPY to or from an external program")),
    ];
    for (text, message) in cases {
        let error = client.error(text).await;
        assert_eq!(
            (error.code.as_str(), error.message.clone(), error.hint.as_deref()),
            ("42501", message, Some(hint)),
            "{text}"
        );
    }
    client.ok("RESET ROLE; GRANT pg_read_server_files TO clerk; SET ROLE clerk").await;
    assert_eq!(client.ok(&from).await, ["COPY 1"]);
    assert_eq!(client.error(&to).await.code.as_str(), "42501");
    client.ok("RESET ROLE; GRANT pg_write_server_files TO clerk; SET ROLE clerk").await;
    assert_eq!(client.ok(&to).await, ["COPY 1"]);
    client.ok("RESET ROLE; REVOKE ALL ON t FROM clerk; SET ROLE clerk").await;
    assert_eq!(client.error(&from).await.message, "permission denied for table t");
    client.ok("RESET ROLE").await;
    let error = client.error("COPY t FROM PROGRAM 'true'").await;
    assert_eq!((error.code.as_str(), error.message.as_str()), ("0A000", "COPY with a program is not supported"));
    client.ok("BEGIN READ ONLY").await;
    assert_eq!(client.error(&from).await.code.as_str(), "25006");
    client.ok("ROLLBACK").await;
}

#[tokio::test]
async fn without_directories_there_are_no_files() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE t (a int)").await;
    for text in ["COPY t FROM '/tmp/x'", "COPY t TO '/tmp/x'"] {
        let error = client.error(text).await;
        let expected = ("42501", "path is outside the allowed directories");
        assert_eq!((error.code.as_str(), error.message.as_str()), expected);
    }
}

#[tokio::test]
async fn the_data_directory_is_nobodys() {
    let database = Database::with(StoreConfig { external_dirs: vec![PathBuf::from("/")], ..StoreConfig::default() });
    let mut client = database.connect();
    client.ok("CREATE TABLE t (a text)").await;
    let data = database.engine.store().data_dir().display().to_string();
    for text in [
        format!("COPY t FROM '{data}/FORMAT'"),
        format!("COPY t TO '{data}/CHECKPOINT'"),
        format!("COPY t TO '{data}/new'"),
        format!("CREATE EXTERNAL TABLE x (a text) STORED AS CSV LOCATION '{data}/FORMAT'"),
    ] {
        let error = client.error(&text).await;
        let expected = ("42501", "path is outside the allowed directories");
        assert_eq!((error.code.as_str(), error.message.as_str()), expected, "{text}");
    }
    // Beside it there are files.
    let beside = tempfile::tempdir().expect("a temporary directory");
    assert_eq!(client.ok(&format!("COPY t TO '{}'", beside.path().join("out").display())).await, ["COPY 0"]);
}

//! The life of the process: who may start, what signals do, how it ends.

use rustix::process::Signal;

use crate::process::{Process, first, runtime, until};
use crate::raw_client::RawClient;

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let first_server = Process::start(&data);
    let refused = |what: &str| {
        let ended = Process::start_with(&data, &["--trust"]).err().unwrap_or_else(|| panic!("a second server: {what}"));
        assert_eq!(ended.code, Some(2), "{what}: {}", ended.log);
        assert!(ended.log.contains("is in use by"), "{what}: {}", ended.log);
    };
    refused("beside the first");
    std::fs::remove_file(data.join("LOCK")).expect("deleted");
    refused("after LOCK was deleted");
    std::fs::write(data.join("LOCK"), "1\nsomebody\n").expect("written");
    refused("after LOCK was replaced");
    runtime().block_on(async {
        let client = first_server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await.expect("written");
        assert_eq!(first(&client, "SELECT a FROM t").await.as_deref(), Ok("1"));
    });
    drop(first_server);
    // What a killed server left in LOCK names a process that is gone, or has another program's number by now.
    std::fs::write(data.join("LOCK"), format!("{}\nstale\n", std::process::id())).expect("written");
    let again = Process::start(&data);
    runtime().block_on(async {
        let client = again.connect().await.expect("connects");
        assert_eq!(first(&client, "SELECT a FROM t").await.as_deref(), Ok("1"));
    });
}

#[test]
fn sigterm_under_load_says_goodbye_and_loses_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let mut server = Process::start(&home.path().join("data"));
    let runtime = runtime();
    let mut idle = RawClient::postgres(server.address());
    let written = runtime.block_on(async {
        let client = server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE t (client int, n int)").await.expect("made");
        let mut writers = Vec::new();
        for number in 0..16 {
            let (client, goodbye) = server.connect_and_listen().await;
            writers.push(tokio::spawn(async move {
                let mut acknowledged = 0;
                while client.batch_execute(&format!("INSERT INTO t VALUES ({number}, {acknowledged})")).await.is_ok() {
                    acknowledged += 1;
                }
                (acknowledged, goodbye.await.expect("the connection ends"))
            }));
        }
        while first(&client, "SELECT count(DISTINCT client) FROM t").await.as_deref() != Ok("16") {}
        server.signal(Signal::TERM);
        let mut written = Vec::new();
        for writer in writers {
            written.push(writer.await.expect("writers do not panic"));
        }
        written
    });
    let goodbye = format!("{:?}", idle.until_closed());
    assert!(goodbye.contains("57P01"), "{goodbye}");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    // Whose next statement was on its way may find the connection reset before he reads why.
    let told = written.iter().filter(|(_, code)| code == "57P01").count();
    assert!(
        written.iter().all(|(_, code)| code == "57P01" || code.contains("closed") || code.contains("reset")),
        "{written:?}"
    );
    assert!(told >= 4, "{written:?}");
    let server = Process::start(&home.path().join("data"));
    runtime.block_on(async {
        let client = server.connect().await.expect("connects");
        for (number, (acknowledged, _)) in written.iter().enumerate() {
            let sql =
                format!("SELECT count(*), count(DISTINCT n) FROM t WHERE client = {number} AND n < {acknowledged}");
            assert_eq!(first(&client, &sql).await, Ok(acknowledged.to_string()), "client {number}");
            // The last one was not answered: there or not.
            let sql = format!("SELECT count(*) <= 1 FROM t WHERE client = {number} AND n >= {acknowledged}");
            assert_eq!(first(&client, &sql).await.as_deref(), Ok("t"), "client {number}");
        }
    });
}

#[test]
fn a_stopped_process_goes_on_and_hangups_end_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let mut server = Process::start(&home.path().join("data"));
    runtime().block_on(async {
        let client = server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE t (a int)").await.expect("made");
        for round in 0..20 {
            let insert = client.batch_execute("INSERT INTO t VALUES (1)");
            let stopped = async {
                server.signal(Signal::STOP);
                server.signal(Signal::CONT);
            };
            let (done, ()) = tokio::join!(insert, stopped);
            done.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        server.signal(Signal::HUP);
        assert!(server.said("SIGHUP"), "{}", server.log());
        assert_eq!(first(&client, "SELECT count(*) FROM t").await.as_deref(), Ok("20"));
    });
    server.signal(Signal::INT);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn exit_codes_say_why_a_server_did_not_start() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let cases: [(&[&str], &str); 4] = [
        (&["--trust", "--set", "server.no_such_key=1"], "no_such_key"),
        (&["--trust", "--set", "server.max_connections=many"], "max_connections"),
        (&["--set", "server.tls_cert=/nowhere/c.pem", "--set", "server.tls_key=/nowhere/k.pem"], "cannot be read"),
        (&["--trust", "--set", "settings.no_such_setting=1"], "no_such_setting"),
    ];
    for (arguments, named) in cases {
        let ended = Process::start_with(&data, arguments).err().unwrap_or_else(|| panic!("started with {arguments:?}"));
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.log);
        assert!(ended.log.contains(named), "{arguments:?}: {}", ended.log);
    }
    drop(Process::start(&data));
    let format = data.join("FORMAT");
    let sound = std::fs::read_to_string(&format).expect("readable");
    for (content, named) in [(sound.replacen(char::is_numeric, "9", 1), "FORMAT"), ("rubbish\n".to_owned(), "FORMAT")] {
        std::fs::write(&format, content).expect("written");
        let ended = Process::start_with(&data, &["--trust"]).err().expect("started on a strange format");
        assert_eq!(ended.code, Some(3), "{}", ended.log);
        assert!(ended.log.contains(named), "{}", ended.log);
    }
    std::fs::write(&format, sound).expect("written");
    let server = Process::start(&data);
    assert!(until(|| server.get("/ready").0.contains("200")));
}

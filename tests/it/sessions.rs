//! Sessions in process: no sockets, so a failure here is the engine's.

use std::sync::Arc;

use tributary::engine::{Engine, EngineConfig, Implicit, Login, Outcome, Session};
use tributary::error::PgError;
use tributary_store::{RealDisk, Store, StoreConfig, SystemClock};

use crate::database::Database;

fn session() -> Session {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = StoreConfig { data_dir: directory.keep(), ..StoreConfig::default() };
    let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("opens");
    connect(&Engine::open(EngineConfig::default(), store).expect("opens"))
}

fn connect(engine: &Arc<Engine>) -> Session {
    let login = Login { user: "tributary".to_owned(), database: "tributary".to_owned(), ..Login::default() };
    engine.connect(login).expect("connects")
}

/// Runs a text as one simple-protocol message would, and gives back tags and the first column's texts.
async fn run(session: &mut Session, text: &str) -> Result<Vec<String>, PgError> {
    let mut out = Vec::new();
    for statement in session.parse(text)? {
        session.begin_statement(text);
        let result = run_one(session, statement, &mut out).await;
        session.end_statement();
        if let Err(error) = result {
            session.fail();
            return Err(error);
        }
    }
    session.finish(Implicit::Commit).await?;
    Ok(out)
}

async fn run_one(
    session: &mut Session,
    statement: tributary::dialect::Statement,
    out: &mut Vec<String>,
) -> Result<(), PgError> {
    let prepared = session.analyze(statement, &[]).await?;
    let mut portal = session.bind(&prepared, Vec::new()).await?;
    match session.run(&mut portal).await? {
        Outcome::Rows(word) => {
            let mut rows = 0;
            while let Some(batch) = session.fetch(&mut portal, usize::MAX).await? {
                rows += batch.num_rows() as u64;
                for row in 0..batch.num_rows() {
                    out.push(arrow::util::display::array_value_to_string(batch.column(0), row).expect("prints"));
                }
            }
            out.push(Outcome::row_tag(word, rows));
        }
        Outcome::Done(tag) => out.push(tag),
        other => panic!("unexpected {other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_query_answers() {
    assert_eq!(run(&mut session(), "SELECT 1 + 1").await.expect("runs"), ["2", "SELECT 1"]);
}

#[tokio::test]
async fn a_failed_block_takes_only_its_end() {
    let mut session = session();
    run(&mut session, "BEGIN; SAVEPOINT a").await.expect("runs");
    assert!(run(&mut session, "SELECT * FROM nowhere").await.is_err());
    assert_eq!(run(&mut session, "SELECT 1").await.unwrap_err().code.as_str(), "25P02");
    assert_eq!(
        run(&mut session, "ROLLBACK TO a; SELECT 1; COMMIT").await.expect("runs"),
        ["ROLLBACK", "1", "SELECT 1", "COMMIT"]
    );
}

#[tokio::test]
async fn settings_follow_the_block() {
    let mut session = session();
    run(&mut session, "BEGIN; SET work_mem = '9MB'; ROLLBACK").await.expect("runs");
    assert_eq!(run(&mut session, "SHOW work_mem").await.expect("runs"), ["4MB", "SHOW"]);
    run(&mut session, "SET work_mem = '9MB'").await.expect("runs");
    assert_eq!(run(&mut session, "SHOW work_mem").await.expect("runs"), ["9MB", "SHOW"]);
}

#[tokio::test]
async fn cursors_read_forward() {
    let mut session = session();
    let out = run(
        &mut session,
        "BEGIN; DECLARE c CURSOR FOR SELECT * FROM (VALUES (1), (2), (3)) v(x); FETCH 2 FROM c; FETCH ALL FROM c; CLOSE c; COMMIT",
    );
    assert_eq!(
        out.await.expect("runs"),
        ["BEGIN", "DECLARE CURSOR", "1", "2", "FETCH 2", "3", "FETCH 1", "CLOSE CURSOR", "COMMIT"]
    );
}

#[tokio::test]
async fn errors_carry_positions() {
    let error = run(&mut session(), "SELECT 1;  SELEC 2").await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str(), error.position),
        ("42601", "syntax error at or near \"SELEC\"", Some(12))
    );
    let error = run(&mut session(), "SELECT 1 +").await.unwrap_err();
    assert_eq!(error.message, "syntax error at end of input");
}

#[tokio::test]
async fn prepared_statements_have_sql_names() {
    let mut session = session();
    let out = run(&mut session, "PREPARE p AS SELECT 7; EXECUTE p; DEALLOCATE p").await.expect("runs");
    assert_eq!(out, ["PREPARE", "7", "SELECT 1", "DEALLOCATE"]);
    assert_eq!(run(&mut session, "EXECUTE p").await.unwrap_err().code.as_str(), "26000");
}

#[tokio::test]
async fn a_view_of_something_temporary_says_that_it_is_temporary() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE lasting (a int); CREATE TEMPORARY TABLE passing (a int)").await;
    for (view, told) in [
        ("VIEW one AS SELECT a FROM lasting", false),
        ("VIEW two AS SELECT a FROM lasting WHERE a IN (SELECT a FROM passing)", true),
        ("VIEW three AS SELECT a FROM two", true),
        ("TEMPORARY VIEW four AS SELECT a FROM passing", false),
        ("VIEW pg_temp.five AS SELECT a FROM passing", true),
    ] {
        client.ok(&format!("CREATE {view}")).await;
        let notices: Vec<_> = client.session.drain_notices().into_iter().map(|notice| notice.message.clone()).collect();
        let name = view.split(" AS ").next().and_then(|head| head.rsplit([' ', '.']).next()).unwrap_or_default();
        let expected = told.then(|| format!("view \"{name}\" will be a temporary view"));
        assert_eq!(notices, Vec::from_iter(expected), "{view}");
    }
    database.connect().ok("SELECT a FROM one").await;
    assert_eq!(database.connect().error("SELECT a FROM two").await.code.as_str(), "42P01");
}

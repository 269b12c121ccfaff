//! Storage that fails under the real server: `strace` makes its system calls fail.
//!
//! What was acknowledged survives, a sync that failed ends the process with 70 and is never tried again, and no client
//! waits for ever.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::process::{Process, first, runtime, skipped};

/// What a server does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It ends with 70: nobody knows what is on disk.
    Ends,
    /// It refuses what it could not do, or tries again, and goes on.
    GoesOn,
}

/// Writes while a call fails; the rows that were acknowledged, and the codes of those that were not.
async fn write(server: &Process, first_row: i64) -> (Vec<i64>, BTreeSet<String>) {
    let (mut acknowledged, mut codes) = (Vec::new(), BTreeSet::new());
    let Some(client) = server.connect().await else { return (acknowledged, codes) };
    for row in first_row..first_row + 40 {
        match first(&client, &format!("INSERT INTO t VALUES ({row}, repeat('x', 40000))")).await {
            Ok(_) => acknowledged.push(row),
            Err(code) => drop(codes.insert(code)),
        }
        if row % 10 == 5
            && let Err(code) = first(&client, "CHECKPOINT").await
        {
            codes.insert(code);
        }
        if client.is_closed() {
            break;
        }
    }
    (acknowledged, codes)
}

async fn rows(server: &Process) -> BTreeSet<i64> {
    let client = server.connect().await.expect("connects");
    let rows = client.query("SELECT a::bigint FROM t", &[]).await.expect("readable");
    rows.iter().map(|row| row.get(0)).collect()
}

fn prepare(data: &Path) {
    let server = Process::start(data);
    runtime().block_on(async {
        let client = server.connect().await.expect("connects");
        client.batch_execute("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (0, 'x')").await.expect("made");
    });
}

#[test]
fn injected_faults_lose_nothing_that_was_acknowledged() {
    if !Command::new("strace").args(["-f", "true"]).output().is_ok_and(|output| output.status.success()) {
        return skipped("faults", "needs strace and leave to trace");
    }
    let cases = [
        ("fdatasync:error=EIO:when=3", Then::Ends),
        ("fdatasync:error=EIO:when=9", Then::Ends),
        ("fdatasync:error=ENOSPC:when=5", Then::Ends),
        ("fsync:error=EIO:when=1", Then::GoesOn),
        ("fsync:error=EIO:when=4", Then::GoesOn),
        ("syncfs:error=EIO:when=1", Then::GoesOn),
        ("pwrite64:error=EIO:when=8", Then::GoesOn),
        ("pwrite64:error=ENOSPC:when=12", Then::GoesOn),
        ("pwrite64:error=EINTR:when=6", Then::GoesOn),
        ("rename:error=EIO:when=1", Then::GoesOn),
        ("openat:error=ENOSPC:when=200", Then::GoesOn),
        ("mmap:error=ENOMEM:when=400", Then::GoesOn),
    ];
    let runtime = runtime();
    let mut injected = 0;
    for (fault, then) in cases {
        let home = tempfile::tempdir().expect("a directory");
        let data = home.path().join("data");
        prepare(&data);
        let call = fault.split(':').next().unwrap_or_default();
        let log = home.path().join("calls");
        let calls = format!("trace={call}");
        let inject = format!("inject={fault}");
        let arguments = ["-f", "-qq", "-o", log.to_str().expect("a plain path"), "-e", &calls, "-e", &inject];
        let (acknowledged, codes, code) = match Process::start_under("strace", &arguments, &data) {
            Ok(mut server) => {
                let (acknowledged, codes) = runtime.block_on(write(&server, 1));
                let ends = server.ended();
                let code = if then == Then::Ends || ends { server.wait() } else { None };
                (acknowledged, codes, code)
            }
            // The fault met the start: it says so and ends.
            Err(ended) => (Vec::new(), BTreeSet::new(), ended.code),
        };
        let met = std::fs::read_to_string(&log).unwrap_or_default().matches("(INJECTED)").count();
        injected += usize::from(met > 0);
        match then {
            Then::Ends => assert_eq!(code, Some(70), "{fault}: met {met} times, {codes:?}"),
            Then::GoesOn => assert!(matches!(code, None | Some(1 | 3 | 70)), "{fault}: ended with {code:?}"),
        }
        let allowed = |code: &String| {
            matches!(code.as_str(), "08007" | "58030" | "53100" | "53200" | "XX001") || code.starts_with("no answer")
        };
        assert!(codes.iter().all(allowed), "{fault}: {codes:?}");
        let server = Process::start(&data);
        let there = runtime.block_on(rows(&server));
        let lost: Vec<&i64> = acknowledged.iter().filter(|row| !there.contains(row)).collect();
        assert!(lost.is_empty() && there.contains(&0), "{fault}: lost {lost:?}");
        let most = acknowledged.last().copied().unwrap_or(0) + 40;
        assert!(there.iter().all(|row| *row <= most), "{fault}: rows nobody wrote: {there:?}");
    }
    println!("{} faults, {injected} of them met by the server", cases.len());
    assert!(injected >= 9, "only {injected} faults were met");
}

//! The real server as a process of its own, for what only a process can show: signals, exit codes, its log.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// What takes longer has failed. Nothing in a test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server process.
pub struct Process {
    /// What was started: the server, or the program it runs under.
    child: Child,
    /// The server itself.
    pid: Pid,
    address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// Why a server did not start: its exit code and all it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub log: String,
}

/// A runtime for clients.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Process {
    /// Starts on a directory; returns when it is ready.
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &["--trust"]).unwrap_or_else(|ended| panic!("{ended:?}"))
    }

    /// The same with arguments of its own, or how it ended.
    pub fn start_with(data_dir: &Path, arguments: &[&str]) -> Result<Self, Ended> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.args(serving(data_dir, arguments));
        Self::spawn(command, data_dir)
    }

    /// Starts under another program, which is given the server's command line at the end of its own.
    pub fn start_under(program: &str, its_arguments: &[&str], data_dir: &Path) -> Result<Self, Ended> {
        let mut command = Command::new(program);
        command.args(its_arguments).arg(env!("CARGO_BIN_EXE_tributary")).args(serving(data_dir, &["--trust"]));
        Self::spawn(command, data_dir)
    }

    fn spawn(mut command: Command, data_dir: &Path) -> Result<Self, Ended> {
        let child = command.env("NO_COLOR", "1").stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut log = String::new();
        let (mut address, mut admin) = (None, None);
        while address.is_none() || admin.is_none() {
            let Some(line) = lines.next() else {
                let code = child.wait().expect("it is gone").code();
                return Err(Ended { code, log });
            };
            let line = line.expect("the log is readable");
            let told = || line.split_once("address=").and_then(|(_, rest)| rest.trim().parse().ok());
            if line.contains("ready for connections") {
                address = told();
            } else if line.contains("watched on the admin port") {
                admin = told();
            }
            log.push_str(&line);
            log.push('\n');
        }
        let log = Arc::new(Mutex::new(log));
        let kept = Arc::clone(&log);
        // The log must be read on, or a chatty server would block on a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = kept.lock().expect("no panic holds it");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let lock = std::fs::read_to_string(data_dir.join("LOCK")).expect("a running server has one");
        let pid = lock.lines().next().and_then(|line| Pid::from_raw(line.parse().ok()?)).expect("it names the process");
        Ok(Self { child, pid, address: address.expect("seen"), admin: admin.expect("seen"), log })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All it said so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic holds it").clone()
    }

    /// Waits until the log says something.
    pub fn said(&self, what: &str) -> bool {
        until(|| self.log().contains(what))
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the process is there");
    }

    /// Waits for its end: the exit code, or `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        assert!(
            until(|| {
                status = self.child.try_wait().expect("its state is known");
                status.is_some()
            }),
            "the server does not end:\n{}",
            self.log()
        );
        status.and_then(|status| status.code())
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("its state is known").is_some()
    }

    /// A connection, if the server still takes them.
    pub async fn connect(&self) -> Option<Client> {
        let url = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.address.port());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.ok()?;
        tokio::spawn(async move {
            connection.await.ok();
        });
        Some(client)
    }

    /// A connection, and the code it ends with.
    pub async fn connect_and_listen(&self) -> (Client, tokio::task::JoinHandle<String>) {
        let url = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.address.port());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connects");
        let ended = tokio::spawn(async move {
            match connection.await {
                Ok(()) => "the client left".to_owned(),
                Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
            }
        });
        (client, ended)
    }

    /// An answer of the admin port: status line and body.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.admin).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    /// A figure of `/metrics`.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let wanted = format!("tributary_{name} ");
        let (_, figures) = self.get("/metrics");
        figures.lines().find_map(|line| line.strip_prefix(&wanted)?.parse().ok())
    }
}

/// SIGKILL, also when a test fails.
impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::KILL);
            self.child.wait().expect("it is gone");
        }
    }
}

fn serving<'a>(data_dir: &'a Path, arguments: &'a [&'a str]) -> Vec<&'a OsStr> {
    let mut all: Vec<&OsStr> =
        ["serve", "--listen", "127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"].map(OsStr::new).to_vec();
    all.extend([OsStr::new("--data-dir"), data_dir.as_os_str()]);
    all.extend(arguments.iter().map(OsStr::new));
    all
}

/// Asks again until it is so; false if that takes too long.
pub fn until(mut so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// The first value of the answer, or the SQLSTATE.
pub async fn first(client: &Client, sql: &str) -> Result<String, String> {
    let messages = client
        .simple_query(sql)
        .await
        .map_err(|error| error.code().map_or_else(|| format!("no answer: {error}"), |code| code.code().to_owned()))?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(row.unwrap_or_default())
}

/// Says that a test could not run here and why; the count of these lines is printed by whoever runs the tests.
pub fn skipped(name: &str, why: &str) {
    println!("SKIPPED {name}: {why}");
}

//! Who is connected, what each session runs, and how it is stopped.
//!
//! Cancel, timeout and shutdown all end in one place: the token of the statement that runs now. A request that arrives
//! between two statements hits nothing: it can never reach a later one, because each statement gets a token of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;

/// Longest query text kept for pg_stat_activity, as PostgreSQL's track_activity_query_size.
const QUERY_BYTES_MAX: usize = 1024;

/// Why a statement stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CancelReason {
    /// CancelRequest or pg_cancel_backend.
    UserRequest = 1,
    /// statement_timeout.
    StatementTimeout = 2,
    /// lock_timeout.
    LockTimeout = 3,
    /// The client is gone.
    ClientGone = 4,
    /// pg_terminate_backend or server stop.
    Terminate = 5,
}

impl CancelReason {
    fn from_code(code: u8) -> Self {
        match code {
            2 => Self::StatementTimeout,
            3 => Self::LockTimeout,
            4 => Self::ClientGone,
            5 => Self::Terminate,
            _ => Self::UserRequest,
        }
    }

    /// The error the statement ends with.
    pub fn error(self) -> PgError {
        match self {
            Self::UserRequest => PgError::new(sqlstate::QUERY_CANCELED, "canceling statement due to user request"),
            Self::StatementTimeout => {
                PgError::new(sqlstate::QUERY_CANCELED, "canceling statement due to statement timeout")
                    .hint("Raise statement_timeout to let it run longer.")
            }
            Self::LockTimeout => PgError::new(sqlstate::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout"),
            Self::ClientGone => {
                PgError::new(sqlstate::QUERY_CANCELED, "canceling statement because the client is gone")
            }
            Self::Terminate => {
                PgError::new(sqlstate::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
                    .severity(Severity::Fatal)
            }
        }
    }
}

/// The token of one statement together with the reason it fired.
#[derive(Clone, Debug, Default)]
pub struct StatementToken {
    token: CancellationToken,
    reason: Arc<AtomicU8>,
}

impl StatementToken {
    fn child_of(parent: &CancellationToken) -> Self {
        Self { token: parent.child_token(), reason: Arc::default() }
    }

    /// Stops the statement; the first reason wins.
    pub fn cancel(&self, reason: CancelReason) {
        // Failure means another reason came first, and that one is reported.
        if self.reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.token.cancel();
        }
    }

    /// Resolves when the statement must stop.
    pub async fn fired(&self) -> PgError {
        self.token.cancelled().await;
        self.error()
    }

    /// The error if the statement must stop, for code that cannot await.
    pub fn check(&self) -> Result<(), PgError> {
        if self.token.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }

    fn error(&self) -> PgError {
        match self.reason.load(Ordering::Acquire) {
            // Only the parent fired: the session ends.
            0 => CancelReason::ClientGone.error(),
            code => CancelReason::from_code(code).error(),
        }
    }

    /// Runs a future unless the statement is stopped first.
    pub async fn run<T>(&self, future: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
        tokio::select! {
            biased;
            error = self.fired() => Err(error),
            result = future => result,
        }
    }
}

/// The words of pg_stat_activity.state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendState {
    /// Runs a statement.
    Active,
    /// Waits for the client outside a transaction.
    #[default]
    Idle,
    /// Waits for the client inside a transaction.
    IdleInTransaction,
    /// The same after an error.
    IdleInFailedTransaction,
}

impl BackendState {
    /// PostgreSQL's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::IdleInTransaction => "idle in transaction",
            Self::IdleInFailedTransaction => "idle in transaction (aborted)",
        }
    }
}

/// How far a COPY has come.
#[derive(Debug)]
pub struct CopyProgress {
    /// Its table, 0 for a query.
    pub relid: u32,
    /// COPY FROM.
    pub from: bool,
    /// With a file rather than the client.
    pub file: bool,
    /// Bytes of the file that is read, 0 if unknown.
    pub bytes_total: AtomicU64,
    /// Bytes read or written.
    pub bytes: AtomicU64,
    /// Rows loaded or given out.
    pub rows: AtomicU64,
    /// Rows that WHERE left out.
    pub excluded: AtomicU64,
}

impl CopyProgress {
    /// At its start.
    pub fn new(relid: u32, from: bool, file: bool) -> Self {
        let zero = AtomicU64::default;
        Self { relid, from, file, bytes_total: zero(), bytes: zero(), rows: zero(), excluded: zero() }
    }
}

/// What changes while a session lives.
#[derive(Clone, Debug)]
pub struct BackendStatus {
    /// What it does.
    pub state: BackendState,
    /// Current or last statement, cut to a kilobyte.
    pub query: String,
    /// When the statement began.
    pub query_started_at: Option<SystemTime>,
    /// When the transaction began.
    pub transaction_started_at: Option<SystemTime>,
    /// When `state` last changed.
    pub state_changed_at: SystemTime,
    /// The session's application_name.
    pub application_name: String,
    /// Current role, which SET ROLE changes.
    pub role: String,
    /// The COPY that runs.
    pub copy: Option<Arc<CopyProgress>>,
}

/// One session as others see it.
#[derive(Debug)]
pub struct Backend {
    /// Process number: positive, unique in this process.
    pub pid: i32,
    /// Secret of CancelRequest.
    pub secret: i32,
    /// Role that logged in.
    pub user: String,
    /// Database name.
    pub database: String,
    /// Peer, `None` for a local socket.
    pub peer: Option<SocketAddr>,
    /// When it connected.
    pub started_at: SystemTime,
    /// Fires when the session ends.
    pub session: CancellationToken,
    status: Mutex<BackendStatus>,
    running: Mutex<Option<StatementToken>>,
}

impl Backend {
    /// A copy of the changing part.
    pub fn status(&self) -> BackendStatus {
        self.lock_status().clone()
    }

    /// Changes the changing part.
    pub fn update(&self, change: impl FnOnce(&mut BackendStatus)) {
        change(&mut self.lock_status());
    }

    /// Begins a statement: a fresh token that fires at the session's end, on cancel, and after `timeout`.
    pub fn begin_statement(&self, query: &str, timeout: Option<Duration>) -> StatementToken {
        let token = StatementToken::child_of(&self.session);
        if let Some(timeout) = timeout {
            let timed = token.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = timed.token.cancelled() => {}
                    () = tokio::time::sleep(timeout) => timed.cancel(CancelReason::StatementTimeout),
                }
            });
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        self.update(|status| {
            let now = SystemTime::now();
            status.state = BackendState::Active;
            status.query = cut(query, QUERY_BYTES_MAX).to_owned();
            status.query_started_at = Some(now);
            status.transaction_started_at.get_or_insert(now);
            status.state_changed_at = now;
        });
        token
    }

    /// Ends the statement: later cancels find nothing. Its timer ends with the token.
    pub fn end_statement(&self, state: BackendState) {
        let ended = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // Frees the timer task; nobody listens to the token any more.
            ended.token.cancel();
        }
        self.update(|status| {
            status.state = state;
            status.state_changed_at = SystemTime::now();
            status.copy = None;
            if state == BackendState::Idle {
                status.transaction_started_at = None;
            }
        });
    }

    /// Stops the statement that runs now, if one does.
    pub fn cancel(&self, reason: CancelReason) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|token| token.cancel(reason)).is_some()
    }

    /// The token of the statement that runs now.
    pub fn running(&self) -> Option<StatementToken> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The error if the statement that runs now must stop.
    pub fn check_running(&self) -> Result<(), PgError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map_or(Ok(()), StatementToken::check)
    }

    /// Ends the session.
    pub fn terminate(&self) {
        self.cancel(CancelReason::Terminate);
        self.session.cancel();
    }

    fn lock_status(&self) -> std::sync::MutexGuard<'_, BackendStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sessions of the process.
#[derive(Debug, Default)]
pub struct Activity {
    backends: RwLock<HashMap<i32, Arc<Backend>>>,
    last_pid: AtomicI32,
}

impl Activity {
    /// Enters a new session; the entry leaves when the guard is dropped.
    pub fn register(self: &Arc<Self>, user: &str, database: &str, peer: Option<SocketAddr>) -> BackendGuard {
        let now = SystemTime::now();
        let mut backends = self.backends.write().unwrap_or_else(PoisonError::into_inner);
        let pid = loop {
            // Positive and not in use, also after the counter wrapped.
            let pid = self.last_pid.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
            if pid > 0 && !backends.contains_key(&pid) {
                break pid;
            }
        };
        let backend = Arc::new(Backend {
            pid,
            secret: rand::random(),
            user: user.to_owned(),
            database: database.to_owned(),
            peer,
            started_at: now,
            session: CancellationToken::new(),
            status: Mutex::new(BackendStatus {
                state: BackendState::Idle,
                query: String::new(),
                query_started_at: None,
                transaction_started_at: None,
                state_changed_at: now,
                application_name: String::new(),
                role: user.to_owned(),
                copy: None,
            }),
            running: Mutex::default(),
        });
        backends.insert(pid, Arc::clone(&backend));
        BackendGuard { backend, activity: Arc::clone(self) }
    }

    /// CancelRequest: wrong numbers are ignored in silence, in constant time for the secret.
    pub fn cancel_request(&self, pid: i32, secret: i32) {
        if let Some(backend) = self.get(pid)
            && std::hint::black_box(backend.secret ^ secret) == 0
        {
            backend.cancel(CancelReason::UserRequest);
        }
    }

    /// One session.
    pub fn get(&self, pid: i32) -> Option<Arc<Backend>> {
        self.backends.read().unwrap_or_else(PoisonError::into_inner).get(&pid).cloned()
    }

    /// All sessions, by pid.
    pub fn list(&self) -> Vec<Arc<Backend>> {
        let backends = self.backends.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Backend>> = backends.values().cloned().collect();
        all.sort_by_key(|backend| backend.pid);
        all
    }
}

/// Keeps a session listed while it lives.
#[derive(Debug)]
pub struct BackendGuard {
    backend: Arc<Backend>,
    activity: Arc<Activity>,
}

impl std::ops::Deref for BackendGuard {
    type Target = Arc<Backend>;
    fn deref(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for BackendGuard {
    fn drop(&mut self) {
        self.backend.session.cancel();
        self.activity.backends.write().unwrap_or_else(PoisonError::into_inner).remove(&self.backend.pid);
    }
}

/// The longest prefix of at most `bytes_max` bytes that ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancel_hits_the_running_statement_and_no_later_one() {
        let activity = Arc::new(Activity::default());
        let backend = activity.register("ann", "tributary", None);
        activity.cancel_request(backend.pid, backend.secret);
        let first = backend.begin_statement("SELECT 1", None);
        assert!(first.check().is_ok(), "a cancel while idle is ignored");
        activity.cancel_request(backend.pid, backend.secret.wrapping_add(1));
        assert!(first.check().is_ok(), "a wrong secret is ignored");
        activity.cancel_request(backend.pid, backend.secret);
        assert_eq!(first.fired().await.message, "canceling statement due to user request");
        backend.end_statement(BackendState::Idle);
        let second = backend.begin_statement("SELECT 2", None);
        assert!(second.check().is_ok());
    }

    #[tokio::test]
    async fn a_timeout_names_itself() {
        let activity = Arc::new(Activity::default());
        let backend = activity.register("ann", "tributary", None);
        let token = backend.begin_statement("SELECT 1", Some(Duration::from_millis(1)));
        assert_eq!(token.fired().await.message, "canceling statement due to statement timeout");
    }

    #[test]
    fn a_dropped_session_is_listed_no_more() {
        let activity = Arc::new(Activity::default());
        let backend = activity.register("ann", "tributary", None);
        let pid = backend.pid;
        assert!(activity.get(pid).is_some());
        drop(backend);
        assert!(activity.get(pid).is_none());
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("a\u{e9}", 2), "a");
        assert_eq!(cut("abc", 9), "abc");
    }
}

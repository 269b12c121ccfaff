//! The session task: takes messages in order, runs statements, answers.
//!
//! One [`Conversation`] owns the engine's session, the queue of messages and the way out. It promises that an error ends
//! its statement and no more, that after an error of the extended protocol nothing runs until Sync, that a panic is one
//! more error, and that whatever ends the conversation rolls back what is open (the session is dropped). The messages
//! themselves are handled in `simple`, `extended` and `copy`.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use pgwire::messages::startup::Authentication;
use tokio_util::sync::CancellationToken;
use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;

use super::backend;
use super::frontend::{Frontend, Target};
use super::intake::{Incoming, Intake};
use super::outbox::{Disconnected, Outbox};
use crate::engine::{Engine, Implicit, Login, Session, TransactionStatus};

/// Why a message's handling stopped early.
#[derive(Debug)]
pub enum Stop {
    /// An error to tell the client; FATAL ends the conversation.
    Error(PgError),
    /// The client is gone or said goodbye.
    Ended,
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

impl From<Disconnected> for Stop {
    fn from(_: Disconnected) -> Self {
        Self::Ended
    }
}

/// Result of a step of the conversation.
pub type Step<T = ()> = Result<T, Stop>;

/// One client's session.
pub struct Conversation {
    pub(super) session: Session,
    pub(super) intake: Intake,
    pub(super) out: Outbox,
    stopping: CancellationToken,
    /// After an error in the extended protocol: everything up to Sync is discarded.
    skip_to_sync: bool,
    /// When the message in hand arrived.
    pub(super) arrived_at: Instant,
    /// When the last statement ended.
    ended_at: Instant,
    /// A statement has begun that has not ended: cancel and timeout apply.
    statement_open: bool,
}

/// Opens the session and greets the client, or tells it why not.
pub async fn open(
    engine: &std::sync::Arc<Engine>,
    login: Login,
    intake: Intake,
    mut out: Outbox,
    stopping: CancellationToken,
) -> Option<Conversation> {
    backend::authentication(out.buffer(), &Authentication::Ok);
    match engine.connect(login) {
        Ok(session) => {
            let mut conversation = Conversation {
                session,
                intake,
                out,
                stopping,
                skip_to_sync: false,
                arrived_at: Instant::now(),
                ended_at: Instant::now(),
                statement_open: false,
            };
            conversation.greet();
            Some(conversation)
        }
        Err(error) => {
            backend::error_or_notice(out.buffer(), &error.severity(Severity::Fatal));
            // A client that has left in the meantime needs no answer.
            if out.send().await.is_err() {
                tracing::trace!("client closed first");
            }
            None
        }
    }
}

impl Conversation {
    /// Fires when the session must end: the client is gone, or somebody ended it.
    pub fn session_end(&self) -> CancellationToken {
        self.session.backend().session.clone()
    }

    /// Talks until one side ends it.
    pub async fn run(mut self) {
        if self.flush().await.is_err() {
            return;
        }
        loop {
            let ended = match self.receive().await {
                Ok(Frontend::Terminate) => break,
                Ok(message) => self.guarded(message).await,
                Err(stop) => self.report(stop).await,
            };
            if ended.is_err() {
                break;
            }
        }
        self.close_statement();
    }

    fn greet(&mut self) {
        for (name, value) in self.session.reported() {
            backend::parameter_status(self.out.buffer(), name, &value);
        }
        let (pid, secret) = (self.session.backend().pid, self.session.backend().secret);
        backend::backend_key(self.out.buffer(), pid, secret);
        backend::ready(self.out.buffer(), TransactionStatus::Idle.byte());
    }

    /// The next message. Before waiting, what is gathered is not sent: only Flush, Sync and the end of a query do that;
    /// but the statement ends, because between messages there is nothing to cancel.
    async fn receive(&mut self) -> Step<Frontend> {
        if let Some(incoming) = self.intake.next_now() {
            return self.open_message(incoming);
        }
        self.close_statement();
        let session_end = self.session_end();
        let (idle, what, code) = self.idle_limit();
        // One deadline for the whole wait: telling of notifications does not make a session less idle.
        let mut idle = std::pin::pin!(sleep(idle));
        loop {
            let listens = self.session.transaction_status() == TransactionStatus::Idle;
            let notified = self.session.notified();
            tokio::select! {
                biased;
                incoming = self.intake.next() => return self.open_message(incoming.ok_or(Stop::Ended)?),
                () = session_end.cancelled() => return Err(terminated().into()),
                () = self.stopping.cancelled() => return Err(terminated().into()),
                () = notified, if listens => {}
                () = &mut idle => {
                    let message = format!("terminating connection due to {what} timeout");
                    return Err(PgError::new(code, message).severity(Severity::Fatal).into());
                }
            }
            self.notifications()?;
            self.flush().await?;
        }
    }

    fn open_message(&mut self, incoming: Incoming) -> Step<Frontend> {
        self.arrived_at = incoming.at;
        Ok(incoming.message?)
    }

    fn idle_limit(&self) -> (Option<Duration>, &'static str, tributary_pg::error::SqlState) {
        let settings = self.session.settings();
        match self.session.transaction_status() {
            TransactionStatus::Idle => {
                (settings.duration("idle_session_timeout"), "idle-session", sqlstate::IDLE_SESSION_TIMEOUT)
            }
            _ => (
                settings.duration("idle_in_transaction_session_timeout"),
                "idle-in-transaction",
                sqlstate::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            ),
        }
    }

    /// Handles one message; a panic becomes an error of that message.
    async fn guarded(&mut self, message: Frontend) -> Step {
        let simple = matches!(message, Frontend::Query(_) | Frontend::FunctionCall(_));
        let result = AssertUnwindSafe(self.handle(message)).catch_unwind().await.unwrap_or_else(|_| {
            let log_id = format!("{:08x}", rand::random::<u32>());
            // The panic's own text and place have been written by the panic hook just before.
            tracing::error!(log_id, "a statement panicked; its session goes on");
            Err(PgError::internal("internal error").hint(format!("The server log has more under {log_id}.")).into())
        });
        let Err(stop) = result else { return Ok(()) };
        self.report(stop).await?;
        if simple {
            return self.ready().await;
        }
        self.skip_to_sync = true;
        Ok(())
    }

    async fn handle(&mut self, message: Frontend) -> Step {
        if self.skip_to_sync && message != Frontend::Sync {
            return Ok(());
        }
        match message {
            Frontend::Query(sql) => self.query(&sql).await,
            Frontend::Parse { name, sql, types } => self.parse(&name, &sql, types).await,
            Frontend::Bind(bind) => self.bind(bind).await,
            Frontend::Describe(target, name) => self.describe(target, &name),
            Frontend::Execute { portal, row_limit } => self.execute(&portal, row_limit).await,
            Frontend::Close(target, name) => self.close(target, &name),
            Frontend::Flush => self.flush().await,
            Frontend::Sync => self.sync().await,
            Frontend::FunctionCall(oid) => self.function_call(oid).await,
            // The rest of a COPY that has failed already.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            Frontend::Password(_) => {
                Err(super::frontend::protocol_violation("invalid frontend message type 112").into())
            }
            Frontend::Terminate => Err(Stop::Ended),
        }
    }

    async fn sync(&mut self) -> Step {
        self.skip_to_sync = false;
        if let Err(error) = self.session.finish(Implicit::Commit).await {
            self.report(error.into()).await?;
        }
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.session.close_transaction_portals();
        }
        self.ready().await
    }

    /// There is no fast path; drivers of the last twenty years send none.
    async fn function_call(&mut self, oid: u32) -> Step {
        let error = PgError::new(sqlstate::UNDEFINED_FUNCTION, format!("function with OID {oid} does not exist"));
        Err(error.hint("The function call protocol is not supported; use SELECT.").into())
    }

    /// Tells the client of an error and fails its transaction. `Err` ends the conversation.
    async fn report(&mut self, stop: Stop) -> Step {
        let Stop::Error(error) = stop else { return Err(Stop::Ended) };
        self.session.fail();
        self.notices();
        backend::error_or_notice(self.out.buffer(), &error);
        if error.severity >= Severity::Fatal {
            self.flush().await?;
            return Err(Stop::Ended);
        }
        Ok(())
    }

    /// Appends what must be told before the next CommandComplete or error.
    pub(super) fn notices(&mut self) {
        let drained = self.session.drain_notices();
        for notice in drained {
            backend::error_or_notice(self.out.buffer(), &notice);
        }
    }

    /// Appends what other sessions have said.
    fn notifications(&mut self) -> Step {
        for told in self.session.notifications()? {
            backend::notification(self.out.buffer(), &told);
        }
        Ok(())
    }

    /// ReadyForQuery, with changed settings before it. Everything gathered is sent.
    pub(super) async fn ready(&mut self) -> Step {
        self.close_statement();
        let drained = self.session.drain();
        for notice in &drained.notices {
            backend::error_or_notice(self.out.buffer(), notice);
        }
        for (name, value) in &drained.settings {
            backend::parameter_status(self.out.buffer(), name, value);
        }
        self.notifications()?;
        let status = self.session.transaction_status().byte();
        backend::ready(self.out.buffer(), status);
        self.flush().await?;
        // A client slow to take its answer does not use up the time of the next statement.
        self.ended_at = Instant::now();
        Ok(())
    }

    /// Begins a statement unless one is open.
    pub(super) fn open_statement(&mut self, text: &str) {
        if !self.statement_open {
            // The reader runs ahead: a message's statement cannot begin before the one in front of it has ended.
            self.session.begin_statement_of(text, self.arrived_at.max(self.ended_at));
            self.statement_open = true;
        }
    }

    pub(super) fn close_statement(&mut self) {
        if std::mem::take(&mut self.statement_open) {
            self.session.end_statement();
            self.ended_at = Instant::now();
        }
    }

    /// Sends what is gathered. Only the session's end interrupts it.
    pub(super) async fn flush(&mut self) -> Step {
        if self.out.empty() {
            return Ok(());
        }
        let session_end = self.session_end();
        tokio::select! {
            biased;
            sent = self.out.send() => Ok(sent?),
            () = session_end.cancelled() => Err(Stop::Ended),
        }
    }

    /// Sends a full chunk while a statement runs; its token interrupts the wait.
    pub(super) async fn send_chunk(&mut self) -> Step {
        let token = self.session.token().clone();
        tokio::select! {
            biased;
            sent = self.out.send() => Ok(sent?),
            error = token.fired() => Err(error.into()),
        }
    }

    /// The name of a statement or portal.
    pub(super) fn target_error(target: Target, message: &str) -> PgError {
        let Target::Other(kind) = target else { return PgError::internal("a known target") };
        PgError::new(sqlstate::PROTOCOL_VIOLATION, format!("invalid {message} message subtype {kind}"))
    }
}

fn terminated() -> PgError {
    PgError::new(sqlstate::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
        .severity(Severity::Fatal)
}

async fn sleep(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

//! Accepting connections and giving each its three tasks.
//!
//! The reader and the writer live on the reactor and only move bytes; the session task lives on the CPU runtime and does
//! everything else. Whichever ends first ends the others: the reader's end fires the session's token, the session's end
//! closes the way out, and the writer's end stops the reader.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::access::Origin;
use super::conversation;
use super::intake::{intake, read_messages};
use super::login::{Admitted, Door, Peer, admit};
use super::negotiation::Socket;
use super::outbox::{outbox, write_chunks};

/// Limit: connections that have not logged in. More of them wait to be accepted.
const UNAUTHENTICATED_MAX: usize = 64;

/// How long the last bytes may take to reach a client whose session has ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// What all connections of a server share.
#[derive(Debug)]
pub struct Wire {
    /// Who may come in.
    pub door: Door,
    /// Where statements run.
    pub cpu: Handle,
    /// Time for encryption, start-up packet and password together.
    pub authentication_timeout: Duration,
    /// Longest message of a logged-in client.
    pub message_bytes_max: usize,
    /// Connections that exist, logged in or not.
    live: watch::Sender<usize>,
    unauthenticated: Arc<Semaphore>,
}

impl Wire {
    /// The shared part of a server.
    pub fn new(door: Door, cpu: Handle, authentication_timeout: Duration, message_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            door,
            cpu,
            authentication_timeout,
            message_bytes_max,
            live: watch::Sender::new(0),
            unauthenticated: Arc::new(Semaphore::new(UNAUTHENTICATED_MAX)),
        })
    }

    /// Accepts TCP connections until the server stops.
    pub async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        let stopping = self.door.stopping.clone();
        let accepting = async {
            loop {
                let permit = self.permit().await;
                match listener.accept().await {
                    Ok((stream, address)) => {
                        if let Err(error) = prepare(&stream) {
                            tracing::debug!(%error, "socket options");
                        }
                        let peer = Peer { origin: Origin::Host(address.ip()), address: Some(address) };
                        self.begin(Socket::Tcp(stream), peer, permit);
                    }
                    Err(error) => accept_failed(&error).await,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Accepts connections of the Unix socket until the server stops.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener) {
        let stopping = self.door.stopping.clone();
        let accepting = async {
            loop {
                let permit = self.permit().await;
                match listener.accept().await {
                    Ok((stream, _)) => match stream.peer_cred() {
                        Ok(credentials) => {
                            let peer = Peer { origin: Origin::Socket { uid: credentials.uid() }, address: None };
                            self.begin(Socket::Unix(stream), peer, permit);
                        }
                        Err(error) => tracing::warn!(%error, "a local client without credentials was turned away"),
                    },
                    Err(error) => accept_failed(&error).await,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Waits until the last connection has ended.
    pub async fn drained(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        if let Err(error) = self.live.subscribe().wait_for(|count| *count == 0).await {
            tracing::error!(%error, "the count of connections is lost");
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.unauthenticated).acquire_owned().await.expect("the semaphore is never closed")
    }

    fn begin(self: &Arc<Self>, socket: Socket, peer: Peer, permit: OwnedSemaphorePermit) {
        let wire = Arc::clone(self);
        let live = Live::count(self);
        tokio::spawn(async move {
            let _live = live;
            let admitted = tokio::time::timeout(wire.authentication_timeout, admit(&wire.door, socket, peer)).await;
            drop(permit);
            match admitted {
                Ok(Some(admitted)) => wire.converse(admitted).await,
                Ok(None) => {}
                Err(_) => tracing::debug!("a connection did not log in in time"),
            }
        });
    }

    /// Runs a session to its end. This task becomes the reader.
    async fn converse(&self, admitted: Admitted) {
        let Admitted { reader, login, slot } = admitted;
        let (socket, read_ahead) = reader.into_parts();
        let (read_half, write_half) = tokio::io::split(socket);
        let (feed, intake) = intake();
        let (outbox, chunks) = outbox();
        let ended = CancellationToken::new();
        // The session's token, once there is one: before that nothing runs that a vanished client could stop.
        let session_end: Arc<OnceLock<CancellationToken>> = Arc::default();
        let session = {
            let (engine, stopping) = (Arc::clone(&self.door.engine), self.door.stopping.clone());
            let (ended, session_end) = (ended.clone(), Arc::clone(&session_end));
            let cpu = self.cpu.clone();
            // A thread of its own: what a session plans and computes itself never keeps another from being served.
            self.cpu.spawn_blocking(move || {
                cpu.block_on(async move {
                    let _ended = ended.drop_guard();
                    let _slot = slot;
                    if let Some(conversation) = conversation::open(&engine, login, intake, outbox, stopping).await {
                        session_end.get_or_init(|| conversation.session_end());
                        conversation.run().await;
                    }
                });
            })
        };
        let writer = tokio::spawn(write_chunks(chunks, write_half));
        let reader = super::frame::FrameReader::with_buffer(read_half, read_ahead);
        let reading = read_messages(reader, self.message_bytes_max, feed, || {
            if let Some(token) = session_end.get() {
                token.cancel();
            }
        });
        tokio::select! {
            () = ended.cancelled() => {}
            () = async { reading.await; ended.cancelled().await } => {}
        }
        if let Err(error) = session.await {
            tracing::error!(%error, "a session task failed");
        }
        let abort = writer.abort_handle();
        if tokio::time::timeout(FAREWELL, writer).await.is_err() {
            // A client that reads nothing does not keep its socket open.
            abort.abort();
        }
    }
}

/// Small messages leave at once, and a peer that vanished without a word is noticed after two minutes.
fn prepare(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(6);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Counts a connection while it lives.
struct Live(Arc<Wire>);

impl Live {
    fn count(wire: &Arc<Wire>) -> Self {
        wire.live.send_modify(|count| *count += 1);
        Self(Arc::clone(wire))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.send_modify(|count| *count -= 1);
    }
}

/// Out of descriptors, mostly: waiting a moment is all that can be done.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

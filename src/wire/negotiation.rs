//! The first exchange on a socket: encryption, cancel requests, the start-up packet.
//!
//! Promises: a byte that arrives in clear after SSLRequest and before the handshake ends the connection (it could be a
//! command smuggled into the encrypted session); each kind of encryption is asked for at most once; a server with a
//! certificate never falls back after it has said yes. Deadlines are the caller's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::frame::{FrameFault, FrameReader};
use super::frontend::protocol_violation;
use super::startup::{self, Request, STARTUP_BYTES_MAX, Startup};
use super::tls::{ALPN, Tls};

/// First byte of a TLS handshake record. No start-up packet begins with it: its length would be over the limit.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client's socket, before or after encryption.
#[derive(Debug)]
pub enum Socket {
    /// Clear TCP.
    Tcp(TcpStream),
    /// The Unix socket.
    Unix(UnixStream),
    /// Encrypted TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Whether what is said here is encrypted.
    pub fn encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// What a connection turned out to want.
#[derive(Debug)]
pub enum Opening {
    /// Cancel another session's statement; nothing is answered.
    Cancel {
        /// Its process id.
        pid: i32,
        /// Its secret.
        secret: i32,
    },
    /// A session.
    Session(Box<FrameReader<Socket>>, Startup),
    /// Nothing that can be served: send the error, if there is one, and close.
    Refused(Box<FrameReader<Socket>>, FrameFault),
    /// The connection is lost.
    Gone,
}

/// Reads packets until the client has asked for something.
pub async fn open(socket: Socket, tls: Option<&Tls>) -> Opening {
    match encrypt_direct(socket, tls).await {
        Some(socket) => read_packets(Box::new(FrameReader::new(socket)), tls).await,
        None => Opening::Gone,
    }
}

/// Performs the handshake of clients that begin with it. Such a client must name the protocol by ALPN, or a request
/// meant for another server could be replayed here.
async fn encrypt_direct(socket: Socket, tls: Option<&Tls>) -> Option<Socket> {
    let Socket::Tcp(tcp) = socket else { return Some(socket) };
    let mut first = [0];
    if tcp.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first[0] != TLS_HANDSHAKE {
        return Some(Socket::Tcp(tcp));
    }
    let stream = handshake(tcp, tls?).await?;
    (stream.get_ref().1.alpn_protocol() == Some(ALPN)).then(|| Socket::Tls(Box::new(stream)))
}

async fn handshake(tcp: TcpStream, tls: &Tls) -> Option<TlsStream<TcpStream>> {
    tls.acceptor.accept(tcp).await.inspect_err(|error| tracing::debug!(%error, "tls handshake failed")).ok()
}

async fn read_packets(mut reader: Box<FrameReader<Socket>>, tls: Option<&Tls>) -> Opening {
    let (mut tls_asked, mut gss_asked) = (reader.source().encrypted(), reader.source().encrypted());
    loop {
        let request = match reader.next_untyped(STARTUP_BYTES_MAX).await {
            Ok(body) => startup::parse(body).map_err(|error| FrameFault::Refused(Some(error))),
            Err(fault) => Err(fault),
        };
        let (asked, name, kind) = match request {
            Ok(Request::Tls) => (&mut tls_asked, "SSL", Encryption::Tls),
            Ok(Request::Gss) => (&mut gss_asked, "GSSAPI encryption", Encryption::Gss),
            Ok(Request::Cancel { pid, secret }) => return Opening::Cancel { pid, secret },
            Ok(Request::Startup(startup)) => return Opening::Session(reader, startup),
            Err(fault) => return Opening::Refused(reader, fault),
        };
        if std::mem::replace(asked, true) {
            return refused(reader, format!("unexpected {name} request"));
        }
        if reader.read_ahead() > 0 {
            return refused(reader, format!("received unencrypted data after {name} request"));
        }
        let answer = match (kind, tls, reader.source()) {
            (Encryption::Tls, Some(tls), Socket::Tcp(_)) => Some(tls),
            _ => None,
        };
        if reader.source().write_all(if answer.is_some() { b"S" } else { b"N" }).await.is_err() {
            return Opening::Gone;
        }
        if let Some(tls) = answer {
            let (Socket::Tcp(tcp), _) = reader.into_parts() else { return Opening::Gone };
            let Some(stream) = handshake(tcp, tls).await else { return Opening::Gone };
            reader = Box::new(FrameReader::new(Socket::Tls(Box::new(stream))));
            gss_asked = true;
        }
    }
}

enum Encryption {
    Tls,
    Gss,
}

fn refused(reader: Box<FrameReader<Socket>>, message: String) -> Opening {
    Opening::Refused(reader, FrameFault::Refused(Some(protocol_violation(message))))
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

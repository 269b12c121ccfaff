//! The way out: messages are gathered into chunks, chunks wait in a short channel, a writer task empties it.
//!
//! The channel is what makes a slow client stop its query: when it is full, [`Outbox::send`] waits, and nothing more is
//! computed. Promises: chunks hold whole messages in order; at most [`CHUNKS_MAX`] chunks and the one being filled exist;
//! a statement that waits here can be stopped. The writer only moves bytes.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// A chunk is handed on when it has grown to this size.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Limit: chunks waiting for the socket of one connection.
const CHUNKS_MAX: usize = 4;

/// The client cannot be reached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

/// The sending half, owned by the session task.
#[derive(Debug)]
pub struct Outbox {
    buffer: BytesMut,
    chunks: mpsc::Sender<Bytes>,
}

/// The receiving half, owned by the writer task.
pub type Chunks = mpsc::Receiver<Bytes>;

/// A connected pair.
pub fn outbox() -> (Outbox, Chunks) {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    (Outbox { buffer: BytesMut::new(), chunks: sender }, receiver)
}

impl Outbox {
    /// Where whole messages are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether enough is gathered for a chunk.
    pub fn full(&self) -> bool {
        self.buffer.len() >= CHUNK_BYTES
    }

    /// Whether nothing is gathered.
    pub fn empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Hands on what is gathered, waiting for room. Cancel safe: bytes not handed on stay gathered.
    pub async fn send(&mut self) -> Result<(), Disconnected> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let room = self.chunks.reserve().await.map_err(|_| Disconnected)?;
        room.send(self.buffer.split().freeze());
        Ok(())
    }
}

/// Writes chunks until the outbox is gone, then closes the socket's sending side. Errors mean the client is gone, which
/// the reader sees too and which [`Outbox::send`] reports.
pub async fn write_chunks(mut chunks: Chunks, mut socket: impl AsyncWrite + Unpin) {
    while let Some(chunk) = chunks.recv().await {
        if socket.write_all(&chunk).await.is_err() {
            return;
        }
        if chunks.is_empty() && socket.flush().await.is_err() {
            return;
        }
    }
    if let Err(error) = socket.shutdown().await {
        tracing::trace!(%error, "client closed first");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_full_channel_holds_the_sender_and_loses_nothing() {
        let (mut outbox, chunks) = outbox();
        for number in 0..CHUNKS_MAX {
            outbox.buffer().extend_from_slice(&[number as u8]);
            outbox.send().await.unwrap();
        }
        outbox.buffer().extend_from_slice(b"x");
        assert!(outbox.send().now_or_never().is_none(), "the channel is full");
        assert_eq!(&outbox.buffer()[..], b"x", "an abandoned send keeps its bytes");
        let (client, server) = tokio::io::duplex(1);
        let writer = tokio::spawn(write_chunks(chunks, server));
        let reading = tokio::spawn(async move {
            let (mut all, mut client) = (Vec::new(), client);
            client.read_to_end(&mut all).await.map(|_| all)
        });
        outbox.send().await.unwrap();
        drop(outbox);
        writer.await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), [0, 1, 2, 3, b'x']);
    }

    #[tokio::test]
    async fn a_vanished_client_is_reported() {
        let (mut outbox, chunks) = outbox();
        let (client, server) = tokio::io::duplex(1);
        drop(client);
        outbox.buffer().extend_from_slice(b"ab");
        outbox.send().await.unwrap();
        write_chunks(chunks, server).await;
        outbox.buffer().extend_from_slice(b"c");
        assert_eq!(outbox.send().await, Err(Disconnected));
    }
}

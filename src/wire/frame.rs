//! Frames: a type byte, a length, a body.
//!
//! The reader owns the inbound half of a connection and the bytes it has read ahead. It promises that a length word is
//! checked before a byte of the body is waited for, that memory grows with what has arrived and not with what was
//! announced, and that a frame's body is handed on without a copy. What the body means is `frontend`'s business.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tributary_pg::error::PgError;

use super::frontend::{known_type, protocol_violation};

/// Room made for the next read; larger frames grow as their bytes arrive.
const READ_BYTES: usize = 16 * 1024;

/// Why no frame came.
#[derive(Debug)]
pub enum FrameFault {
    /// The client closed, or the network did.
    Gone,
    /// The client broke the protocol: tell it, if there is anything to tell, and close.
    Refused(Option<PgError>),
}

impl From<io::Error> for FrameFault {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A frame of the running protocol.
#[derive(Debug)]
pub struct Frame {
    /// The type byte.
    pub kind: u8,
    /// The body, without type and length.
    pub body: Bytes,
}

/// Cuts a byte stream into frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader with nothing read ahead.
    pub fn new(source: R) -> Self {
        Self { source, buffer: BytesMut::new() }
    }

    /// A reader that begins with bytes somebody else has read.
    pub fn with_buffer(source: R, buffer: BytesMut) -> Self {
        Self { source, buffer }
    }

    /// Gives back the stream and what was read ahead of the last frame.
    pub fn into_parts(self) -> (R, BytesMut) {
        (self.source, self.buffer)
    }

    /// The stream, for writing on connections that are not split yet.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Bytes already read and not yet consumed.
    pub fn read_ahead(&self) -> usize {
        self.buffer.len()
    }

    /// Waits until `byte_count` bytes are buffered and shows them.
    pub async fn peek(&mut self, byte_count: usize) -> Result<&[u8], FrameFault> {
        while self.buffer.len() < byte_count {
            self.fill(byte_count).await?;
        }
        Ok(&self.buffer[..byte_count])
    }

    /// The next frame, whose body has at most `body_bytes_max` bytes. Cancel safe: a partly read frame stays buffered.
    pub async fn next(&mut self, body_bytes_max: usize) -> Result<Frame, FrameFault> {
        let kind = self.peek(1).await?[0];
        if !known_type(kind) {
            return Err(FrameFault::Refused(Some(protocol_violation(format!("invalid frontend message type {kind}")))));
        }
        let header = self.peek(5).await?;
        let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let body_bytes = body_length(length, body_bytes_max)?;
        self.peek(5 + body_bytes).await?;
        self.buffer.advance(5);
        Ok(Frame { kind, body: self.buffer.split_to(body_bytes).freeze() })
    }

    /// A start-up packet: a length and a body, no type.
    pub async fn next_untyped(&mut self, body_bytes_max: usize) -> Result<Bytes, FrameFault> {
        let header = self.peek(4).await?;
        let length = i32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let body_bytes = body_length(length, body_bytes_max)?;
        self.peek(4 + body_bytes).await?;
        self.buffer.advance(4);
        Ok(self.buffer.split_to(body_bytes).freeze())
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), FrameFault> {
        // Grows by doubling at most, so an announced gigabyte costs nothing until it is sent.
        let missing = wanted.saturating_sub(self.buffer.len());
        self.buffer.reserve(missing.min(self.buffer.len()).max(READ_BYTES));
        match self.source.read_buf(&mut self.buffer).await? {
            0 => Err(FrameFault::Gone),
            _ => Ok(()),
        }
    }
}

/// Checks a length word that counts itself.
fn body_length(length: i32, body_bytes_max: usize) -> Result<usize, FrameFault> {
    match usize::try_from(length) {
        Ok(length) if length < 4 => Err(FrameFault::Refused(None)),
        Ok(length) if length - 4 <= body_bytes_max => Ok(length - 4),
        Ok(_) => Err(FrameFault::Refused(Some(protocol_violation("invalid message length")))),
        Err(_) => Err(FrameFault::Refused(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first(bytes: &[u8], body_bytes_max: usize) -> Result<Frame, FrameFault> {
        FrameReader::new(bytes).next(body_bytes_max).await
    }

    #[tokio::test]
    async fn lengths_are_checked_at_their_edges() {
        assert_eq!(&first(b"Q\0\0\0\x06a\0", 2).await.unwrap().body[..], b"a\0");
        assert!(matches!(first(b"Q\0\0\0\x07ab\0", 2).await, Err(FrameFault::Refused(Some(_)))));
        assert!(matches!(first(b"Q\0\0\0\x03", 2).await, Err(FrameFault::Refused(None))));
        assert!(matches!(first(b"Q\xff\xff\xff\xff", 2).await, Err(FrameFault::Refused(None))));
        assert!(matches!(first(b"Q\0\0\0\x06a", 2).await, Err(FrameFault::Gone)));
        assert!(matches!(first(b"", 2).await, Err(FrameFault::Gone)));
        let Err(FrameFault::Refused(Some(error))) = first(b"1\0\0\0\x04", 2).await else { panic!("accepted") };
        assert_eq!(error.message, "invalid frontend message type 49");
    }

    #[tokio::test]
    async fn an_announced_length_allocates_nothing() {
        let mut reader = FrameReader::new(&b"d\x10\0\0\0abc"[..]);
        assert!(matches!(reader.next(1 << 30).await, Err(FrameFault::Gone)));
        assert!(reader.into_parts().1.capacity() < 64 * 1024);
    }

    #[tokio::test]
    async fn frames_split_anywhere_come_out_whole() {
        let bytes = b"Q\0\0\0\x06a\0S\0\0\0\x04d\0\0\0\x07xyz";
        for step in 1..bytes.len() {
            let (client, server) = tokio::io::duplex(step);
            let writing = tokio::spawn(async move {
                let mut client = client;
                tokio::io::AsyncWriteExt::write_all(&mut client, bytes).await
            });
            let mut reader = FrameReader::new(server);
            let mut seen = Vec::new();
            while let Ok(frame) = reader.next(100).await {
                seen.push((frame.kind, frame.body.to_vec()));
            }
            writing.await.unwrap().unwrap();
            assert_eq!(seen, [(b'Q', b"a\0".to_vec()), (b'S', vec![]), (b'd', b"xyz".to_vec())]);
        }
    }
}

//! The way in: a reader task decodes messages into a queue bounded by count and bytes.
//!
//! The reader runs ahead of the session, so that it notices a vanished client while a statement runs; the bounds make a
//! client that sends faster than it is served wait in its own socket buffer. Promises: messages arrive in order and
//! exactly once; what breaks the protocol arrives as the last entry, after all that came before it; when the socket ends,
//! the `gone` callback runs at once.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tributary_pg::error::PgError;

use super::frame::{FrameFault, FrameReader};
use super::frontend::{self, Frontend};

/// Limit: messages read ahead of the session.
const MESSAGES_MAX: usize = 256;

/// Limit: bytes of messages read ahead. One larger message is let in when nothing else waits.
const BYTES_MAX: usize = 4 << 20;

/// A message; its share of the byte bound is given back when it is dropped.
#[derive(Debug)]
pub struct Incoming {
    /// The message, or what is wrong with it: the session's last.
    pub message: Result<Frontend, PgError>,
    /// When it was read: statement_timeout counts from here, or from the end of the statement before it.
    pub at: Instant,
    _share: OwnedSemaphorePermit,
}

/// The session's end of the queue.
#[derive(Debug)]
pub struct Intake {
    queue: mpsc::Receiver<Incoming>,
    /// Taken from the queue to be looked at.
    ahead: Option<Incoming>,
}

/// The reader's end of the queue.
#[derive(Debug)]
pub struct Feed {
    queue: mpsc::Sender<Incoming>,
    bytes: Arc<Semaphore>,
}

/// A connected pair.
pub fn intake() -> (Feed, Intake) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    (Feed { queue: sender, bytes: Arc::new(Semaphore::new(BYTES_MAX)) }, Intake { queue: receiver, ahead: None })
}

impl Intake {
    /// The next message, `None` when the client is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Incoming> {
        match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => self.queue.recv().await,
        }
    }

    /// The next message if it is here already.
    pub fn next_now(&mut self) -> Option<Incoming> {
        self.ahead.take().or_else(|| self.queue.try_recv().ok())
    }

    /// Whether the next message is here already and is Sync.
    pub fn sync_is_next(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.queue.try_recv().ok();
        }
        self.ahead.as_ref().is_some_and(|ahead| ahead.message == Ok(Frontend::Sync))
    }
}

/// Reads until the socket ends or the protocol is broken. `gone` runs when the client has vanished.
pub async fn read_messages<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    body_bytes_max: usize,
    feed: Feed,
    gone: impl FnOnce(),
) {
    loop {
        let (message, body_bytes) = match reader.next(body_bytes_max).await {
            Ok(frame) => {
                let body_bytes = frame.body.len();
                (frontend::decode(frame.kind, frame.body), body_bytes)
            }
            Err(FrameFault::Refused(Some(error))) => (Err(error), 0),
            Err(FrameFault::Refused(None) | FrameFault::Gone) => {
                // The queue first: a session at rest must see its end, not a stranger's order to end.
                drop(feed);
                return gone();
            }
        };
        let (broken, at) = (message.is_err(), Instant::now());
        let share = u32::try_from(body_bytes.min(BYTES_MAX)).unwrap_or(u32::MAX);
        let Ok(share) = Arc::clone(&feed.bytes).acquire_many_owned(share).await else { return };
        let incoming = Incoming { message, at, _share: share };
        if feed.queue.send(incoming).await.is_err() || broken {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn messages_come_in_order_and_the_fault_last() {
        let bytes = b"S\0\0\0\x04H\0\0\0\x041\0\0\0\x04S\0\0\0\x04";
        let (feed, mut intake) = intake();
        let gone = AtomicBool::new(false);
        read_messages(FrameReader::new(&bytes[..]), 100, feed, || gone.store(true, Ordering::Relaxed)).await;
        assert_eq!(intake.next().await.unwrap().message, Ok(Frontend::Sync));
        assert_eq!(intake.next().await.unwrap().message, Ok(Frontend::Flush));
        let fault = intake.next().await.unwrap().message.unwrap_err();
        assert_eq!(fault.message, "invalid frontend message type 49");
        assert!(intake.next().await.is_none());
        assert!(!gone.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_told_at_once() {
        let (feed, mut intake) = intake();
        let gone = AtomicBool::new(false);
        read_messages(FrameReader::new(&b"S\0\0\0\x04S\0"[..]), 100, feed, || gone.store(true, Ordering::Relaxed))
            .await;
        assert!(gone.load(Ordering::Relaxed));
        assert!(intake.next().await.is_some());
        assert!(intake.next().await.is_none());
    }

    #[tokio::test]
    async fn the_reader_stops_at_either_bound() {
        for (message, expect) in
            [(&b"S\0\0\0\x04"[..], MESSAGES_MAX), (&[b"d\0\x08\0\x04".as_slice(), &vec![0; 512 << 10]].concat(), 8)]
        {
            let (client, server) = tokio::io::duplex(1 << 20);
            let (feed, intake) = intake();
            let message = message.to_vec();
            let writer = tokio::spawn(async move {
                let mut client = client;
                loop {
                    if tokio::io::AsyncWriteExt::write_all(&mut client, &message).await.is_err() {
                        return;
                    }
                }
            });
            let reader = tokio::spawn(read_messages(FrameReader::new(server), 1 << 20, feed, || ()));
            // The queue fills up to its bound and not beyond, however long the writer goes on.
            for _ in 0..20_000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(intake.queue.len(), expect);
            reader.abort();
            writer.abort();
        }
    }
}

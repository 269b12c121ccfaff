//! LISTEN and NOTIFY: messages between sessions.
//!
//! What a transaction sends waits in its session and goes out when it commits, once for each channel and payload; LISTEN
//! takes effect at the same moment. Every listener has a bounded queue; one that does not read is ended rather than left
//! without messages it believes to have. Nothing is kept across a restart: clients read their tables after reconnecting.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

/// Messages one listener may have waiting. Reason: memory of a client that does not read.
const MESSAGES_MAX: usize = 65_536;

/// Bytes of payloads one listener may have waiting.
const BYTES_MAX: usize = 16 << 20;

/// Longest channel name, as any identifier.
const CHANNEL_BYTES_MAX: usize = 63;

/// Payloads must be shorter.
const PAYLOAD_BYTES_END: usize = 8_000;

/// A message on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Session that sent it.
    pub pid: i32,
    /// Channel.
    pub channel: String,
    /// What it says.
    pub payload: String,
}

/// Who listens to what.
#[derive(Debug, Default)]
pub(super) struct Channels {
    listeners: Mutex<HashMap<String, Vec<Arc<Listener>>>>,
}

/// One session's queue.
#[derive(Debug, Default)]
pub(super) struct Listener {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Arc<Notification>>,
    bytes: usize,
    overflowed: bool,
}

/// What a session wants to hear and has to say.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    listener: Arc<Listener>,
    channels: BTreeSet<String>,
    /// Of the open transaction, in order.
    changes: Vec<Change>,
}

/// What a transaction does when it commits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Listen(String),
    Unlisten(String),
    UnlistenAll,
    Notify { channel: String, payload: String },
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_channel(channel: &str) -> PgResult<()> {
    let invalid = |message: &str| Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
    if channel.is_empty() {
        return invalid("channel name cannot be empty");
    }
    if channel.len() > CHANNEL_BYTES_MAX {
        return invalid("channel name too long");
    }
    Ok(())
}

impl Mailbox {
    /// LISTEN.
    pub(super) fn listen(&mut self, channel: &str) -> PgResult<()> {
        check_channel(channel)?;
        self.changes.push(Change::Listen(channel.to_owned()));
        Ok(())
    }

    /// UNLISTEN; `None` is all channels.
    pub(super) fn unlisten(&mut self, channel: Option<&str>) {
        self.changes.push(match channel {
            Some(channel) => Change::Unlisten(channel.to_owned()),
            None => Change::UnlistenAll,
        });
    }

    /// NOTIFY and pg_notify. A message equal to one of the same transaction is folded into it.
    pub(super) fn notify(&mut self, channel: &str, payload: &str) -> PgResult<()> {
        check_channel(channel)?;
        if payload.len() >= PAYLOAD_BYTES_END {
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, "payload string too long"));
        }
        let change = Change::Notify { channel: channel.to_owned(), payload: payload.to_owned() };
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
        Ok(())
    }

    /// Channels heard now.
    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().map(String::as_str)
    }

    /// A mark for [`Mailbox::undo_to`].
    pub(super) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// Forgets what came after a mark.
    pub(super) fn undo_to(&mut self, mark: usize) {
        self.changes.truncate(mark);
    }

    /// Does what the transaction wanted: it has committed.
    pub(super) fn commit(&mut self, channels: &Channels, pid: i32) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Listen(channel) => {
                    if self.channels.insert(channel.clone()) {
                        channels.add(channel, Arc::clone(&self.listener));
                    }
                }
                Change::Unlisten(channel) => {
                    if self.channels.remove(&channel) {
                        channels.remove(&channel, &self.listener);
                    }
                }
                Change::UnlistenAll => self.leave(channels),
                Change::Notify { channel, payload } => channels.send(Notification { pid, channel, payload }),
            }
        }
    }

    /// Hears nothing any more.
    pub(super) fn leave(&mut self, channels: &Channels) {
        for channel in std::mem::take(&mut self.channels) {
            channels.remove(&channel, &self.listener);
        }
    }

    /// The queue.
    pub(super) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener)
    }
}

impl Channels {
    fn add(&self, channel: String, listener: Arc<Listener>) {
        locked(&self.listeners).entry(channel).or_default().push(listener);
    }

    fn remove(&self, channel: &str, listener: &Arc<Listener>) {
        let mut all = locked(&self.listeners);
        if let Some(listeners) = all.get_mut(channel) {
            listeners.retain(|one| !Arc::ptr_eq(one, listener));
            if listeners.is_empty() {
                all.remove(channel);
            }
        }
    }

    fn send(&self, notification: Notification) {
        // Under the lock, so that all hear the messages of two transactions in the same order.
        let all = locked(&self.listeners);
        let Some(listeners) = all.get(&notification.channel) else { return };
        let notification = Arc::new(notification);
        for listener in listeners {
            listener.push(Arc::clone(&notification));
        }
    }
}

impl Listener {
    fn push(&self, notification: Arc<Notification>) {
        let mut queue = locked(&self.queue);
        let bytes = notification.payload.len() + notification.channel.len();
        if queue.messages.len() >= MESSAGES_MAX || queue.bytes + bytes > BYTES_MAX {
            queue.overflowed = true;
        } else {
            queue.bytes += bytes;
            queue.messages.push_back(notification);
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// What has arrived. 53400 if more did than there was room for: the session must end.
    pub(super) fn take(&self) -> PgResult<Vec<Arc<Notification>>> {
        let mut queue = locked(&self.queue);
        if queue.overflowed {
            let error = PgError::new(sqlstate::CONFIGURATION_LIMIT_EXCEEDED, "notification queue is full");
            return Err(error.severity(Severity::Fatal));
        }
        queue.bytes = 0;
        Ok(queue.messages.drain(..).collect())
    }

    /// Waits until something has arrived. Cancel safe.
    pub(super) async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            {
                let queue = locked(&self.queue);
                if queue.overflowed || !queue.messages.is_empty() {
                    return;
                }
            }
            filled.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(mailbox: &Mailbox) -> Vec<(String, String)> {
        let messages = mailbox.listener().take().expect("not full");
        messages.iter().map(|one| (one.channel.clone(), one.payload.clone())).collect()
    }

    #[test]
    fn messages_go_out_at_commit_in_order_and_once() {
        let channels = Channels::default();
        let (mut ann, mut bob) = (Mailbox::default(), Mailbox::default());
        ann.listen("c").expect("a name");
        bob.notify("c", "too early").expect("a message");
        bob.commit(&channels, 2);
        assert!(heard(&ann).is_empty(), "LISTEN has not committed");
        ann.commit(&channels, 1);
        for payload in ["x", "y", "x"] {
            bob.notify("c", payload).expect("a message");
        }
        let mark = bob.mark();
        bob.notify("c", "undone").expect("a message");
        bob.undo_to(mark);
        assert!(heard(&ann).is_empty());
        bob.commit(&channels, 2);
        assert_eq!(heard(&ann), [("c".to_owned(), "x".to_owned()), ("c".to_owned(), "y".to_owned())]);
        ann.unlisten(None);
        ann.commit(&channels, 1);
        bob.notify("c", "nobody").expect("a message");
        bob.commit(&channels, 2);
        assert!(heard(&ann).is_empty());
        assert!(locked(&channels.listeners).is_empty());
    }

    #[test]
    fn a_full_queue_ends_its_session_and_no_other() {
        let channels = Channels::default();
        let (mut slow, mut sender) = (Mailbox::default(), Mailbox::default());
        slow.listen("c").expect("a name");
        slow.commit(&channels, 1);
        for number in 0..=MESSAGES_MAX {
            sender.notify("c", &number.to_string()).expect("a message");
            sender.commit(&channels, 2);
        }
        let error = slow.listener().take().expect_err("full");
        assert_eq!((error.code.to_string().as_str(), error.severity), ("53400", Severity::Fatal));
    }

    #[test]
    fn names_and_payloads_have_bounds() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.listen("").is_err());
        assert!(mailbox.listen(&"c".repeat(64)).is_err());
        assert!(mailbox.notify("c", &"p".repeat(8_000)).is_err());
        assert!(mailbox.notify("c", &"p".repeat(7_999)).is_ok());
    }
}

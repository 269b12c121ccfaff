//! The answer to a commit, to be waited for by a thread or a task.
//!
//! For: `Store::commit`, which must block neither kind of caller. Promises: resolved exactly once, after the frame is
//! synced and its snapshot published, or with the error that refused it. Does not: need a runtime; a plain waker does.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Seq;
use crate::error::{Result, StoreError};

#[derive(Debug, Default)]
struct Slot {
    answer: Option<Result<Seq>>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    answered: Condvar,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        // A slot is written in one statement, so a panic elsewhere leaves it whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves to the commit's sequence number.
#[derive(Debug)]
#[must_use = "a commit is known to be durable only when its ticket says so"]
pub struct Ticket {
    shared: Arc<Shared>,
}

/// The other end; dropped unanswered it answers that the store is closed, or in a panic that the outcome is unknown.
#[derive(Debug)]
pub(crate) struct Answer {
    shared: Arc<Shared>,
}

/// A ticket and the end that resolves it.
pub(crate) fn ticket() -> (Ticket, Answer) {
    let shared = Arc::new(Shared::default());
    (Ticket { shared: Arc::clone(&shared) }, Answer { shared })
}

impl Ticket {
    pub(crate) fn resolved(answer: Result<Seq>) -> Self {
        let (ticket, end) = ticket();
        end.send(answer);
        ticket
    }

    /// Blocks until the commit is durable and visible, or refused.
    pub fn wait(self) -> Result<Seq> {
        let mut slot = self.shared.slot();
        loop {
            if let Some(answer) = slot.answer.take() {
                return answer;
            }
            slot = self.shared.answered.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The answer, if it is there; for stepped stores and pollers.
    pub fn try_wait(&self) -> Option<Result<Seq>> {
        self.shared.slot().answer.clone()
    }
}

impl Future for Ticket {
    type Output = Result<Seq>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.shared.slot();
        match slot.answer.clone() {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Answer {
    pub(crate) fn send(self, answer: Result<Seq>) {
        self.resolve(answer);
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    fn resolve(&self, answer: Result<Seq>) {
        let waker = {
            let mut slot = self.shared.slot();
            if slot.answer.is_some() {
                return;
            }
            slot.answer = Some(answer);
            slot.waker.take()
        };
        self.shared.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let unknown = std::thread::panicking();
        self.resolve(Err(if unknown { StoreError::outcome_unknown() } else { StoreError::closed() }));
    }
}

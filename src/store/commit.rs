//! The commit thread: validation, one write and one sync per group, publication.
//!
//! For: every change of the state; flush and compaction install through it too. Promises: transactions are accepted in
//! queue order against committed state plus the accepted members of their group; nothing is visible before it is
//! durable (null control: `Sabotage::publish_before_sync`) and everything acknowledged is visible; a failed sync ends
//! the store. Does not: delay commits to make groups bigger; while one sync runs the next group forms.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roaring::RoaringBitmap;

use crate::delta::DeltaBatch;
use crate::error::{Result, StoreError};
use crate::frame::{FrameKind, PAYLOAD_BYTES_MAX, Position, pack};
use crate::op::{AddedPart, Frame, Op, Rows};
use crate::part::Part;
use crate::prepare::Prepared;
use crate::pressure::{self, Room};
use crate::relocation::{Targets, locate};
use crate::snapshot::Snapshot;
use crate::source::Body;
use crate::state::{MetaOp, State};
use crate::store::Shared;
use crate::ticket::Answer;
use crate::validate::{hook_ops, validate};
use crate::wal::{PendingFrame, WalFailure, WalWriter};
use crate::{Oid, Seq};

/// After this long without a commit a mark is written, so that damage in the last group can be told from a torn tail.
const IDLE_BEFORE_MARK: Duration = Duration::from_secs(1);

/// A source that a new part replaces.
pub(crate) struct Replaced {
    pub(crate) source: u32,
    /// Deletes that were already left out of the new parts.
    pub(crate) deletes_seen: Option<Arc<RoaringBitmap>>,
    /// Place in the arrangement by old row.
    pub(crate) new_rows: Arc<Vec<u32>>,
}

/// New parts for old sources.
pub(crate) struct Install {
    pub(crate) table: Oid,
    pub(crate) replaced: Vec<Replaced>,
    /// Each with its first row in the arrangement.
    pub(crate) parts: Vec<(u32, Arc<Part>)>,
}

/// Where a seal stands in the log.
pub(crate) type SealedAt = Arc<Mutex<Option<(Position, Seq)>>>;

/// Work for the commit thread.
pub(crate) enum Request {
    Txn(Box<Prepared>, Answer),
    Install(Install, Answer),
    /// Later appends to the table, if one is named, go to a new generation; the position is the end of the log at that
    /// moment.
    Seal(Option<Oid>, SealedAt, Answer),
    /// Writes the generations of a table into the log once more, if they are still small.
    Carry(Oid, Answer),
    Mark(Answer),
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Txn(prepared, _) => prepared.bytes,
            _ => 256,
        }
    }

    fn answer(self) -> Answer {
        match self {
            Self::Txn(_, answer)
            | Self::Install(_, answer)
            | Self::Seal(_, _, answer)
            | Self::Carry(_, answer)
            | Self::Mark(answer) => answer,
        }
    }
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    closed: Option<StoreError>,
}

/// Requests in order of arrival.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, request: Request) {
        let mut waiting = self.waiting();
        if let Some(error) = waiting.closed.clone() {
            drop(waiting);
            request.answer().send(Err(error));
            return;
        }
        waiting.requests.push_back(request);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Refuses everything queued and everything to come.
    pub(crate) fn close(&self, error: &StoreError) {
        let refused = {
            let mut waiting = self.waiting();
            waiting.closed.get_or_insert_with(|| error.clone());
            std::mem::take(&mut waiting.requests)
        };
        self.arrived.notify_all();
        for request in refused {
            request.answer().send(Err(error.clone()));
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.waiting().requests.len()
    }

    fn group(waiting: &mut Waiting, shared: &Shared) -> Vec<Request> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while group.len() < shared.config.commit_group_transactions_max {
            let Some(next) = waiting.requests.front() else { break };
            bytes += next.bytes();
            if !group.is_empty() && bytes > shared.config.commit_group_bytes_max {
                break;
            }
            group.extend(waiting.requests.pop_front());
        }
        group
    }

    /// What is queued now, within the limits of a group.
    pub(crate) fn take(&self, shared: &Shared) -> Vec<Request> {
        Self::group(&mut self.waiting(), shared)
    }

    /// Waits for a group. Empty after a second without requests; None once closed.
    fn wait(&self, shared: &Shared) -> Option<Vec<Request>> {
        let mut waiting = self.waiting();
        loop {
            if !waiting.requests.is_empty() {
                return Some(Self::group(&mut waiting, shared));
            }
            if waiting.closed.is_some() {
                return None;
            }
            let (guard, timeout) =
                self.arrived.wait_timeout(waiting, IDLE_BEFORE_MARK).unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
            if timeout.timed_out() && waiting.requests.is_empty() && waiting.closed.is_none() {
                return Some(Vec::new());
            }
        }
    }
}

/// A transaction that waits for room.
struct Parked {
    prepared: Box<Prepared>,
    answer: Answer,
    deadline: Duration,
}

/// What the commit thread owns.
pub(crate) struct Committer {
    pub(crate) state: State,
    pub(crate) wal: WalWriter,
    marked: bool,
    /// Held back by back-pressure, in order of arrival.
    parked: VecDeque<Parked>,
}

/// A group being built.
#[derive(Default)]
struct Group {
    frames: Vec<PendingFrame>,
    accepted: Vec<(Answer, Seq)>,
    /// Told only when the group is visible: what they lost to may be in it, and who tries again must see it.
    refused: Vec<(Answer, StoreError)>,
    seals: Vec<(SealedAt, Answer)>,
    meta: Vec<MetaOp>,
    /// Dropped only after the answers: they hold staged files.
    done: Vec<Prepared>,
}

/// Runs until the queue is closed.
pub(crate) fn run(shared: &Shared) {
    while let Some(requests) = shared.queue.wait(shared) {
        let mut committer = shared.committer();
        if requests.is_empty() && committer.parked.is_empty() {
            committer.mark(shared);
        } else {
            committer.process(shared, requests);
        }
        let wanted = committer.wal.wants_segment();
        drop(committer);
        if wanted {
            shared.wake_maintenance();
        }
    }
    // Whoever still waits for room is told that there will be none: an answer dropped says so.
    shared.committer().parked.clear();
}

impl Committer {
    pub(crate) fn new(state: State, wal: WalWriter) -> Self {
        Self { state, wal, marked: true, parked: VecDeque::new() }
    }

    /// Writes a mark unless the last frame is one.
    pub(crate) fn mark(&mut self, shared: &Shared) {
        if self.marked {
            return;
        }
        let mut group = Group::default();
        group.frames.push(self.mark_frame(shared));
        self.finish(shared, group);
    }

    fn mark_frame(&self, shared: &Shared) -> PendingFrame {
        let seq = self.state.snap.seq;
        PendingFrame {
            kind: FrameKind::Mark,
            seq,
            time_us: shared.clock.now_us(),
            payload: Vec::new(),
            compressed: false,
        }
    }

    /// Handles one group of requests.
    pub(crate) fn process(&mut self, shared: &Shared, requests: Vec<Request>) {
        if let Some(error) = shared.fatal() {
            requests.into_iter().for_each(|request| request.answer().send(Err(error.clone())));
            return;
        }
        let mut group = Group::default();
        let delta_full = pressure::delta_full(&shared.config, &self.state.snap);
        for Parked { prepared, answer, deadline } in std::mem::take(&mut self.parked) {
            if !answer.abandoned() {
                self.admit(shared, prepared, answer, Some(deadline), delta_full, &mut group);
            }
        }
        for request in requests {
            match request {
                Request::Txn(prepared, answer) => self.admit(shared, prepared, answer, None, delta_full, &mut group),
                Request::Install(install, answer) => match self.install(shared, &install, &mut group) {
                    Ok(seq) => group.accepted.push((answer, seq)),
                    Err(error) => answer.send(Err(error)),
                },
                Request::Seal(table, sealed_at, answer) => {
                    table.into_iter().for_each(|table| self.seal(table));
                    group.seals.push((sealed_at, answer));
                }
                Request::Carry(table, answer) => match self.carry(shared, table, &mut group) {
                    Ok(seq) => group.accepted.push((answer, seq)),
                    Err(error) => answer.send(Err(error)),
                },
                Request::Mark(answer) => {
                    if !self.marked || !group.frames.is_empty() {
                        group.frames.push(self.mark_frame(shared));
                    }
                    group.accepted.push((answer, self.state.snap.seq));
                }
            }
        }
        self.finish(shared, group);
    }

    /// Accepts a transaction, parks it, or answers why not.
    fn admit(
        &mut self,
        shared: &Shared,
        prepared: Box<Prepared>,
        answer: Answer,
        deadline: Option<Duration>,
        delta_full: bool,
        group: &mut Group,
    ) {
        let refused = match pressure::room(&shared.config, &prepared, &self.state.snap, delta_full) {
            Room::Now => match self.accept(shared, &prepared, group) {
                Ok(seq) => {
                    group.accepted.push((answer, seq));
                    group.done.push(*prepared);
                    return;
                }
                Err(error) => error,
            },
            Room::Later(cause) => {
                let now = shared.clock.monotonic();
                let deadline = deadline.unwrap_or(now + pressure::WAIT_MAX);
                if now < deadline {
                    shared.wake_maintenance();
                    self.parked.push_back(Parked { prepared, answer, deadline });
                    return;
                }
                cause
            }
            Room::Never(cause) => cause,
        };
        if refused.sqlstate == "40001" {
            metrics::counter!("conflicts_total").increment(1);
        }
        group.refused.push((answer, refused));
    }

    fn accept(&mut self, shared: &Shared, prepared: &Prepared, group: &mut Group) -> Result<Seq> {
        let mut ops = validate(shared, prepared, &self.state.snap)?;
        if let Some(hook) = shared.hook() {
            ops.extend(hook_ops(shared, hook.as_ref(), prepared, &ops, &self.state.snap)?);
        }
        self.push_frame(shared, ops, group)
    }

    fn push_frame(&mut self, shared: &Shared, ops: Vec<Op>, group: &mut Group) -> Result<Seq> {
        let mut payload = Vec::new();
        for op in &ops {
            op.encode(&mut payload)?;
            if payload.len() > PAYLOAD_BYTES_MAX {
                return Err(StoreError::new(
                    "54000",
                    format!("transaction of more than {PAYLOAD_BYTES_MAX} bytes exceeds the limit of a log frame"),
                )
                .with_hint("Split the transaction."));
            }
        }
        let frame = Frame { seq: self.state.snap.seq + 1, ops };
        self.state.apply(&frame, &mut group.meta)?;
        let time_us = shared.clock.now_us();
        let (payload, compressed) = pack(payload);
        let kind = FrameKind::Transaction;
        group.frames.push(PendingFrame { kind, seq: frame.seq, time_us, payload, compressed });
        Ok(frame.seq)
    }

    /// Puts new parts in place of old sources. Deletes that arrived since the parts were built move along.
    fn install(&mut self, shared: &Shared, install: &Install, group: &mut Group) -> Result<Seq> {
        let vanished = || StoreError::conflict("update").with_detail("A source was replaced while its rows moved.");
        let targets: Targets = install.parts.iter().map(|(first, part)| (part.entry.part, *first)).collect();
        let mut late: Vec<RoaringBitmap> = vec![RoaringBitmap::new(); install.parts.len()];
        let table = self.state.snap.table(install.table).ok_or_else(vanished)?;
        let last_change = table.last_change;
        for replaced in &install.replaced {
            let source = table.source(replaced.source).ok_or_else(vanished)?;
            let Some(deletes) = source.deletes() else { continue };
            let seen = replaced.deletes_seen.as_deref();
            for row in deletes.iter().filter(|row| seen.is_none_or(|seen| !seen.contains(*row))) {
                let place = replaced.new_rows.get(row as usize).copied().unwrap_or(u32::MAX);
                let (part, row) = locate(&targets, place)
                    .ok_or_else(|| StoreError::internal("a row deleted late was left out of its new part"))?;
                let index = targets.iter().position(|(number, _)| *number == part);
                late[index.ok_or_else(vanished)?].insert(row);
            }
        }
        let added = install
            .parts
            .iter()
            .zip(late)
            .map(|((_, part), deletes)| AddedPart {
                part: Arc::clone(part),
                deletes: (!deletes.is_empty()).then(|| Arc::new(deletes)),
            })
            .collect();
        let removed = install.replaced.iter().map(|replaced| replaced.source).collect();
        let seq = self.push_frame(shared, vec![Op::Replace { table: install.table, removed, added }], group)?;
        // Rows have moved, none has changed: a serializable transaction that read the table may still commit.
        if let Some(table) = self.state.snap.tables.get_mut(&install.table) {
            Arc::make_mut(table).last_change = last_change;
        }
        shared.relocations.purge(shared.open_txns.oldest());
        for replaced in &install.replaced {
            let rows = Arc::clone(&replaced.new_rows);
            shared.relocations.insert(install.table, replaced.source, seq, rows, Arc::clone(&targets));
        }
        Ok(seq)
    }

    fn seal(&mut self, oid: Oid) {
        // Looked at first: a mutable look would copy the chunk it lies in.
        if self.state.snap.table(oid).is_some_and(|table| table.open_generation.is_some())
            && let Some(table) = self.state.snap.tables.get_mut(&oid)
        {
            Arc::make_mut(table).open_generation = None;
        }
    }

    /// One frame with all rows and deletes of a table's generations; ordinals stay, and so does the open one.
    fn carry(&mut self, shared: &Shared, table: Oid, group: &mut Group) -> Result<Seq> {
        let state = self.state.snap.table(table).ok_or_else(|| StoreError::conflict("update"))?;
        if state.delta_bytes() > shared.config.carry_table_bytes.saturating_mul(2) {
            return Err(StoreError::conflict("update").with_detail("The delta grew too large to be carried."));
        }
        let mut ops = Vec::new();
        for source in &state.sources {
            let Body::Delta(delta) = &source.body else { continue };
            let rows = |batch: &Arc<DeltaBatch>| Rows {
                ids: Arc::clone(&batch.ids),
                columns: batch.columns.clone(),
                rows: batch.rows,
            };
            let pieces = delta.batches().iter().map(rows).collect();
            ops.push(Op::Carry { table, generation: source.number(), pieces, deletes: source.deletes.clone() });
        }
        self.push_frame(shared, ops, group)
    }

    /// Writes, syncs, publishes and answers.
    fn finish(&mut self, shared: &Shared, mut group: Group) {
        let last_seq = self.state.snap.seq;
        #[cfg(any(test, feature = "sim"))]
        self.sabotage_early(shared, &mut group);
        if !group.frames.is_empty() {
            metrics::histogram!("commit_group_size").record(group.frames.len() as f64);
            let started = shared.clock.monotonic();
            let written = self.wal.write_group(&group.frames);
            let took = shared.clock.monotonic().saturating_sub(started);
            metrics::histogram!("wal_sync_seconds").record(took.as_secs_f64());
            match written {
                Ok(()) => {
                    shared.wal_short_of.store(0, Ordering::Relaxed);
                    self.marked = group.frames.last().is_some_and(|frame| frame.kind == FrameKind::Mark);
                }
                Err(failure) => return self.refuse(shared, group, failure),
            }
        }
        let sealed_at = (self.wal.end(), last_seq);
        shared.published.store(Arc::new(self.state.snap.clone()));
        shared.retire(&mut self.state.retired);
        if !group.meta.is_empty() {
            shared.meta.push(shared, last_seq, std::mem::take(&mut group.meta));
        }
        for (answer, seq) in group.accepted {
            answer.send(Ok(seq));
        }
        for (answer, error) in group.refused {
            answer.send(Err(error));
        }
        for (slot, answer) in group.seals {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(sealed_at);
            answer.send(Ok(last_seq));
        }
    }

    fn refuse(&mut self, shared: &Shared, group: Group, failure: WalFailure) {
        // Back to what is published: the accepted members of this group never happened.
        self.state.snap = Snapshot::clone(&shared.published.load());
        self.state.retired.clear();
        let error = match failure {
            WalFailure::Refused(error) => {
                if error.sqlstate == "53100" {
                    let bytes: usize = group.frames.iter().map(|frame| frame.payload.len()).sum();
                    shared.wal_short_of.store(self.wal.next_bytes(bytes as u64), Ordering::Relaxed);
                }
                error
            }
            WalFailure::Unknown(cause) => {
                shared.fail(&cause);
                StoreError::outcome_unknown().with_detail(format!("{cause}."))
            }
        };
        metrics::counter!("io_errors_total").increment(1);
        for (answer, error) in group.refused {
            answer.send(Err(error));
        }
        let answers = group.accepted.into_iter().map(|(answer, _)| answer);
        for answer in answers.chain(group.seals.into_iter().map(|(_, answer)| answer)) {
            answer.send(Err(error.clone()));
        }
    }

    #[cfg(any(test, feature = "sim"))]
    fn sabotage_early(&mut self, shared: &Shared, group: &mut Group) {
        if shared.config.sabotage.publish_before_sync {
            shared.published.store(Arc::new(self.state.snap.clone()));
        }
        if shared.config.sabotage.meta_before_wal && !group.meta.is_empty() {
            shared.meta.push(shared, self.state.snap.seq, std::mem::take(&mut group.meta));
            crate::meta::step(shared);
        }
    }
}

//! Floor 4: the PostgreSQL wire protocol.
//!
//! A connection's life, in the order of the modules: `listener` accepts it; `negotiation` (over `frame` and `startup`)
//! settles encryption; `login` applies the `access` rules, `slots` and `scram`; then three tasks take over. The reader
//! (`intake`) decodes `frontend` messages into a bounded queue, the writer (`outbox`) empties a bounded channel of
//! chunks, both on the reactor; the session task (`conversation`, with `simple`, `extended`, `copy`, `parameters` and
//! `rows`) runs statements on the CPU runtime and appends `backend` messages. pgwire gives the message structs and the
//! SCRAM exchange; the loop, portals, limits and encoders are ours.
//!
//! Promises: an error ends the smallest thing it can; a slow client stops its query and nobody else's; a vanished one
//! frees its query; nothing a client sends makes the server allocate in proportion to what it merely announces. It knows
//! of the engine only what [`crate::engine::Session`] offers, and nothing of files or storage.

pub mod access;
mod backend;
mod conversation;
mod copy;
mod extended;
mod frame;
mod frontend;
pub mod fuzz;
mod intake;
pub mod listener;
pub mod login;
mod negotiation;
mod outbox;
mod parameters;
mod rows;
mod scram;
mod simple;
pub mod slots;
mod startup;
pub mod tls;

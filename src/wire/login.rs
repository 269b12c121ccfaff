//! From an accepted socket to a role that may open a session.
//!
//! The order is PostgreSQL's: encryption, start-up packet, room, access rule, proof of identity. Whether the role exists
//! is looked up early but told only after the proof, so that a refusal teaches nothing. Opening the session itself, with
//! its database and settings, is the session task's first act; the deadline over all of this is the caller's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use pgwire::messages::startup::Authentication;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

use super::access::{self, Attempt, Method, Origin, Rule};
use super::backend;
use super::frame::{FrameFault, FrameReader};
use super::frontend::{Frontend, decode, protocol_violation};
use super::negotiation::{Opening, Socket, open};
use super::scram::{ScramExchange, ScramFault, ScramStep};
use super::slots::{Failures, Slot, Slots};
use super::startup::Startup;
use super::tls::Tls;
use crate::engine::{Engine, Login, LoginRole};

/// Limit: a message before the client has proved who it is.
const UNAUTHENTICATED_BYTES_MAX: usize = 65_536;

/// Newest protocol version we speak: 3.0.
const PROTOCOL_VERSION: i32 = 3 << 16;

/// What all logins share.
#[derive(Debug)]
pub struct Door {
    /// Asked for roles and told of cancels.
    pub engine: Arc<Engine>,
    /// Access rules in force.
    pub rules: Vec<Rule>,
    /// Certificate, if there is one.
    pub tls: Option<arc_swap::ArcSwap<Tls>>,
    /// Everyone the rules trust and whose name is no role becomes this one.
    pub trusted_role: Option<String>,
    /// Session bound.
    pub slots: Arc<Slots>,
    /// Wrong passwords by address.
    pub failures: Failures,
    /// Makes the salts of unknown users; random for each server process.
    pub secret: [u8; 32],
    /// Fires when the server begins to stop.
    pub stopping: CancellationToken,
}

/// A role that has proved who it is.
#[derive(Debug)]
pub struct Admitted {
    /// Its socket, with what was read ahead.
    pub reader: Box<FrameReader<Socket>>,
    /// What the engine needs to open the session.
    pub login: Login,
    /// Its place among the sessions.
    pub slot: Slot,
}

/// Where a socket comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// As the access rules see it.
    pub origin: Origin,
    /// Address and port of TCP clients.
    pub address: Option<SocketAddr>,
}

/// Lets a client in, or answers it and closes.
pub async fn admit(door: &Door, socket: Socket, peer: Peer) -> Option<Admitted> {
    let tls = door.tls.as_ref().map(|tls| tls.load_full());
    match open(socket, tls.as_deref()).await {
        Opening::Gone => None,
        Opening::Cancel { pid, secret } => {
            door.engine.activity().cancel_request(pid, secret);
            None
        }
        Opening::Refused(reader, fault) => {
            turn_away(reader, fault).await;
            None
        }
        Opening::Session(mut reader, startup) => match identify(door, &mut reader, startup, peer).await {
            Ok((login, slot)) => Some(Admitted { reader, login, slot }),
            Err(fault) => {
                turn_away(reader, fault).await;
                None
            }
        },
    }
}

/// Sends a refusal, if there is one, and closes.
async fn turn_away(mut reader: Box<FrameReader<Socket>>, fault: FrameFault) {
    let FrameFault::Refused(Some(error)) = fault else { return };
    tracing::debug!(code = %error.code, message = %error.message, "login refused");
    let mut out = BytesMut::new();
    backend::error_or_notice(&mut out, &error);
    let socket = reader.source();
    if socket.write_all(&out).await.is_ok()
        && let Err(error) = socket.shutdown().await
    {
        tracing::trace!(%error, "client closed first");
    }
}

async fn identify(
    door: &Door,
    reader: &mut FrameReader<Socket>,
    startup: Startup,
    peer: Peer,
) -> Result<(Login, Slot), FrameFault> {
    let refuse = |error: PgError| FrameFault::Refused(Some(error));
    if door.stopping.is_cancelled() {
        return Err(refuse(fatal(sqlstate::CANNOT_CONNECT_NOW, "the database system is shutting down")));
    }
    if startup.minor_version > 0 || !startup.protocol_options.is_empty() {
        let mut out = BytesMut::new();
        backend::negotiate_version(&mut out, PROTOCOL_VERSION, startup.protocol_options.clone());
        reader.source().write_all(&out).await?;
    }
    if startup.replication {
        return Err(refuse(fatal(sqlstate::FEATURE_NOT_SUPPORTED, "replication connections are not supported")));
    }
    let slot = door.slots.take().map_err(refuse)?;
    let encrypted = reader.source().encrypted();
    let attempt = Attempt { origin: peer.origin, user: &startup.user, database: &startup.database, tls: encrypted };
    let method = access::decide(&door.rules, attempt).map_err(refuse)?;
    let role = door.engine.login_role(&startup.user);
    let (user, role) = match method {
        Method::Trust => trusted(door, startup.user, role).map_err(refuse)?,
        Method::Peer => (startup.user.clone(), peer_role(peer.origin, &startup.user, role).map_err(refuse)?),
        Method::Scram => {
            prove(door, reader, &startup.user, role.as_ref(), peer.origin).await?;
            (startup.user.clone(), role.ok_or_else(|| refuse(wrong_password(&startup.user)))?)
        }
        Method::Reject => return Err(refuse(wrong_password(&startup.user))),
    };
    if !role.can_login {
        let message = format!("role \"{user}\" is not permitted to log in");
        return Err(refuse(fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, message)));
    }
    slot.admit(role.superuser).map_err(refuse)?;
    let login = Login { user, database: startup.database, settings: startup.settings, peer: peer.address };
    Ok((login, slot))
}

/// Under a trust rule a name that is a role is that role; with `--trust` any other name is the trusted superuser.
fn trusted(door: &Door, user: String, role: Option<LoginRole>) -> PgResult<(String, LoginRole)> {
    if let Some(role) = role {
        return Ok((user, role));
    }
    let stand_in = door.trusted_role.as_ref().and_then(|name| Some((name.clone(), door.engine.login_role(name)?)));
    stand_in
        .ok_or_else(|| fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, format!("role \"{user}\" does not exist")))
}

/// Peer: the process at the other end runs as the user this server runs as.
fn peer_role(origin: Origin, user: &str, role: Option<LoginRole>) -> PgResult<LoginRole> {
    let same = matches!(origin, Origin::Socket { uid } if uid == rustix::process::getuid().as_raw());
    role.filter(|_| same).ok_or_else(|| {
        fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, format!("peer authentication failed for user \"{user}\""))
    })
}

/// The SCRAM exchange. Every failure of the proof is the same 28P01, after the delay its address has earned.
async fn prove(
    door: &Door,
    reader: &mut FrameReader<Socket>,
    user: &str,
    role: Option<&LoginRole>,
    origin: Origin,
) -> Result<(), FrameFault> {
    let server = match (&door.tls, reader.source().encrypted()) {
        (Some(tls), true) => tls.load().scram.clone(),
        _ => ScramServerAuth::new(),
    };
    let verifier = role.and_then(|role| role.verifier.as_deref());
    let mut exchange = ScramExchange::new(server, user, verifier, &door.secret);
    let mut request = Authentication::SASL(exchange.mechanisms());
    loop {
        let mut out = BytesMut::new();
        backend::authentication(&mut out, &request);
        reader.source().write_all(&out).await?;
        let frame = reader.next(UNAUTHENTICATED_BYTES_MAX).await?;
        let body = match decode(frame.kind, frame.body) {
            Ok(Frontend::Password(body)) => body,
            Ok(Frontend::Terminate) => return Err(FrameFault::Gone),
            Ok(_) => {
                let message = format!("expected SASL response, got message type {}", frame.kind);
                return Err(FrameFault::Refused(Some(protocol_violation(message))));
            }
            Err(error) => return Err(FrameFault::Refused(Some(error))),
        };
        request = match exchange.step(body) {
            Ok(ScramStep::Continue(data)) => Authentication::SASLContinue(data),
            // An expired password proves itself and is refused like a wrong one.
            Ok(ScramStep::Done(_)) if role.is_none_or(|role| role.expired) => {
                return Err(failed(door, user, origin).await);
            }
            Ok(ScramStep::Done(data)) => {
                let mut out = BytesMut::new();
                backend::authentication(&mut out, &Authentication::SASLFinal(data));
                reader.source().write_all(&out).await?;
                if let Origin::Host(address) = origin {
                    door.failures.clear(address.to_canonical());
                }
                return Ok(());
            }
            Err(ScramFault::Wrong) => return Err(failed(door, user, origin).await),
            Err(ScramFault::Malformed(message)) => {
                return Err(FrameFault::Refused(Some(protocol_violation(message))));
            }
        };
    }
}

async fn failed(door: &Door, user: &str, origin: Origin) -> FrameFault {
    let address = match origin {
        Origin::Host(address) => address.to_canonical(),
        Origin::Socket { .. } => IpAddr::from([127, 0, 0, 1]),
    };
    let delay = door.failures.count(address, Instant::now());
    tokio::time::sleep(delay).await;
    FrameFault::Refused(Some(wrong_password(user)))
}

fn wrong_password(user: &str) -> PgError {
    fatal(sqlstate::INVALID_PASSWORD, format!("password authentication failed for user \"{user}\""))
}

fn fatal(code: tributary_pg::error::SqlState, message: impl Into<String>) -> PgError {
    PgError::new(code, message).severity(Severity::Fatal)
}

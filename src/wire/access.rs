//! Who may come in, from where, and how they prove who they are.
//!
//! Rules are tried in order and the first that fits decides; no fitting rule is a refusal. The file knows addresses and
//! names only: whether the role exists is asked later, so that refusals tell nothing about roles.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By password, SCRAM-SHA-256.
    Scram,
    /// By being the same operating system user, on the Unix socket only.
    Peer,
    /// Not at all.
    Trust,
    /// It may not come in.
    Reject,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "scram" | "scram-sha-256" => Ok(Self::Scram),
            "peer" => Ok(Self::Peer),
            "trust" => Ok(Self::Trust),
            "reject" => Ok(Self::Reject),
            "md5" | "password" => Err(format!("method {text} is not supported; use scram")),
            _ => Err(format!("unknown method {text}; known are scram, peer, trust, reject")),
        }
    }
}

/// The addresses a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Any, and the Unix socket.
    All,
    /// 127.0.0.0/8, ::1 and the Unix socket.
    Loopback,
    /// The Unix socket.
    Local,
    /// A network.
    Network(IpAddr, u8),
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::All),
            "loopback" | "localhost" => return Ok(Self::Loopback),
            "local" => return Ok(Self::Local),
            _ => {}
        }
        let wrong = || format!("address {text} is not all, loopback, local, an address or address/bits");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse::<u8>()).map_err(|_| wrong())?;
        if bits > width {
            return Err(wrong());
        }
        Ok(Self::Network(address, bits))
    }
}

/// Where a connection comes from. Addresses mapped into IPv6 count as what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// TCP.
    Host(IpAddr),
    /// The Unix socket, with the other side's operating system user.
    Socket {
        /// User id of the process at the other end.
        uid: u32,
    },
}

impl Origin {
    /// Whether the connection never leaves this machine.
    pub fn loopback(self) -> bool {
        match self {
            Self::Host(address) => address.to_canonical().is_loopback(),
            Self::Socket { .. } => true,
        }
    }
}

impl Addresses {
    /// Whether the rule is for this connection.
    pub fn contain(&self, origin: Origin) -> bool {
        match (self, origin) {
            (Self::All, _) => true,
            (Self::Loopback, origin) => origin.loopback(),
            (Self::Local, origin) => matches!(origin, Origin::Socket { .. }),
            (Self::Network(..), Origin::Socket { .. }) => false,
            (Self::Network(network, bits), Origin::Host(address)) => {
                same_prefix(*network, address.to_canonical(), *bits)
            }
        }
    }

    /// Whether every address of the rule is this machine's own.
    pub fn only_loopback(&self) -> bool {
        match self {
            Self::All => false,
            Self::Loopback | Self::Local => true,
            Self::Network(IpAddr::V4(address), bits) => address.is_loopback() && *bits >= 8,
            Self::Network(IpAddr::V6(address), bits) => address.is_loopback() && *bits == 128,
        }
    }
}

fn same_prefix(network: IpAddr, address: IpAddr, bits: u8) -> bool {
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let dropped = u32::from(width - bits);
    // A shift by the full width of the type is not defined; 0 bits fit everything.
    dropped >= 128 || (network ^ address) >> dropped == 0
}

/// One `[[access]]` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// From where.
    pub addresses: Addresses,
    /// As whom; empty is anybody.
    pub users: Vec<String>,
    /// How.
    pub method: Method,
    /// Only encrypted, only clear, or either.
    pub tls: Option<bool>,
}

/// A login as the rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// From where.
    pub origin: Origin,
    /// As whom.
    pub user: &'a str,
    /// To which database.
    pub database: &'a str,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Host(address) => write!(f, "host \"{}\"", address.to_canonical())?,
            Origin::Socket { .. } => write!(f, "host \"[local]\"")?,
        }
        let encryption = if self.tls { "TLS encryption" } else { "no encryption" };
        write!(f, ", user \"{}\", database \"{}\", {encryption}", self.user, self.database)
    }
}

/// The method the first fitting rule asks for, or the refusal.
pub fn decide(rules: &[Rule], attempt: Attempt<'_>) -> Result<Method, PgError> {
    let refuse = |what: &str| {
        PgError::new(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, format!("{what} {attempt}"))
            .severity(Severity::Fatal)
    };
    let fitting = rules.iter().find(|rule| {
        rule.addresses.contain(attempt.origin)
            && (rule.users.is_empty() || rule.users.iter().any(|user| user == attempt.user))
            && rule.tls.is_none_or(|tls| tls == attempt.tls)
            // Peer says nothing about a TCP client, so the rule is for the socket alone.
            && (rule.method != Method::Peer || matches!(attempt.origin, Origin::Socket { .. }))
    });
    match fitting.map(|rule| rule.method) {
        None => Err(refuse("no access rule for")),
        Some(Method::Reject) => Err(refuse("access rule rejects connection for")),
        Some(Method::Trust) if !attempt.origin.loopback() => Err(refuse("no access rule for")),
        Some(method) => Ok(method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Origin {
        Origin::Host(text.parse().unwrap())
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (rule, address, fits) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::2", false),
            ("::/0", "::2", true),
            ("fd00::/9", "fd7f::1", true),
            ("fd00::/9", "fe00::1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("loopback", "::1", true),
            ("loopback", "127.9.9.9", true),
            ("loopback", "128.0.0.1", false),
            ("local", "127.0.0.1", false),
            ("all", "1.2.3.4", true),
        ] {
            let rule: Addresses = rule.parse().unwrap();
            assert_eq!(rule.contain(host(address)), fits, "{rule:?} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "example.org", "10.0.0.0/x"] {
            assert!(wrong.parse::<Addresses>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_fitting_rule_decides() {
        let rule = |addresses: &str, user: &str, method, tls| Rule {
            addresses: addresses.parse().unwrap(),
            users: user.split_whitespace().map(str::to_owned).collect(),
            method,
            tls,
        };
        let rules = [
            rule("all", "eve", Method::Reject, None),
            rule("all", "", Method::Peer, None),
            rule("loopback", "ann", Method::Trust, None),
            rule("10.0.0.0/8", "ann bob", Method::Scram, Some(true)),
            rule("all", "tim", Method::Trust, None),
        ];
        let ask = |origin, user, tls| decide(&rules, Attempt { origin, user, database: "d", tls });
        let socket = Origin::Socket { uid: 1 };
        assert_eq!(ask(socket, "ann", false).unwrap(), Method::Peer);
        assert_eq!(ask(host("127.0.0.1"), "ann", false).unwrap(), Method::Trust);
        assert_eq!(ask(host("10.0.0.1"), "bob", true).unwrap(), Method::Scram);
        for (origin, user, tls, message) in [
            (
                host("10.0.0.1"),
                "bob",
                false,
                "no access rule for host \"10.0.0.1\", user \"bob\", database \"d\", no encryption",
            ),
            (
                host("10.0.0.1"),
                "eve",
                true,
                "access rule rejects connection for host \"10.0.0.1\", user \"eve\", database \"d\", TLS encryption",
            ),
            // Trust never holds for another machine, whatever the rule says.
            (
                host("10.0.0.1"),
                "tim",
                false,
                "no access rule for host \"10.0.0.1\", user \"tim\", database \"d\", no encryption",
            ),
        ] {
            let error = ask(origin, user, tls).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), ("28000", message));
        }
    }
}

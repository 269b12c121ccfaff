//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS over stored verifiers.
//!
//! The exchange itself is pgwire's; this file adds what a server owes around it: a PostgreSQL verifier is parsed
//! strictly, a client that picks a mechanism must send the messages of that mechanism, and a name without a verifier
//! runs through the whole exchange with a salt derived from a server secret, so that unknown users, users without a
//! password and wrong passwords are alike in text, message count and work. MD5 and clear text do not exist here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, ScramServerAuthWaitingForClientFinal};
use sha2::{Digest, Sha256};

const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Iterations of a fake verifier: PostgreSQL's default, so that it looks like any other.
const FAKE_ITERATIONS: usize = 4096;

/// Why a login failed. The client hears 28P01 for a wrong password and 08P01 for a broken exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum ScramFault {
    /// The proof does not fit, or there is no such user or password.
    Wrong,
    /// The messages are not SCRAM.
    Malformed(String),
}

/// A stored verifier `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, cut into its parts.
fn parse_verifier(verifier: &str) -> Option<ScramSecret> {
    let rest = verifier.strip_prefix("SCRAM-SHA-256$")?;
    let (parameters, keys) = rest.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let iterations: usize = iterations.parse().ok().filter(|count| *count > 0)?;
    let key = |text: &str| STANDARD.decode(text).ok().filter(|key| key.len() == 32);
    Some(ScramSecret::Verifier {
        salt: STANDARD.decode(salt).ok()?,
        iterations,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

/// A verifier nobody can satisfy whose salt is the same each time a name is tried.
fn fake_secret(user: &str, server_secret: &[u8; 32]) -> ScramSecret {
    let derive = |label: &[u8]| {
        let mut hash = Sha256::new();
        hash.update(server_secret);
        hash.update(label);
        hash.update(user.as_bytes());
        hash.finalize().to_vec()
    };
    ScramSecret::Verifier {
        salt: derive(b"salt")[..16].to_vec(),
        iterations: FAKE_ITERATIONS,
        stored_key: derive(b"stored key"),
        server_key: derive(b"server key"),
    }
}

/// One login in progress.
pub struct ScramExchange {
    server: ScramServerAuth,
    secret: Option<ScramSecret>,
    genuine: bool,
    waiting: Option<ScramServerAuthWaitingForClientFinal>,
}

/// What to send after a client message.
#[derive(Debug, PartialEq, Eq)]
pub enum ScramStep {
    /// SASLContinue; another message will come.
    Continue(Bytes),
    /// SASLFinal; the client is who it says.
    Done(Bytes),
}

impl ScramExchange {
    /// Begins a login. `verifier` is the stored one, if the user exists and has one; `server` knows the certificate
    /// when the connection is encrypted.
    pub fn new(server: ScramServerAuth, user: &str, verifier: Option<&str>, server_secret: &[u8; 32]) -> Self {
        let stored = verifier.and_then(parse_verifier);
        let genuine = stored.is_some();
        // Both are computed, so that the time taken does not tell which one is used.
        let fake = fake_secret(user, server_secret);
        Self { server, secret: Some(stored.unwrap_or(fake)), genuine, waiting: None }
    }

    /// The mechanisms to offer, strongest first.
    pub fn mechanisms(&self) -> Vec<String> {
        if self.server.supports_channel_binding() {
            vec![SCRAM_PLUS.to_owned(), SCRAM.to_owned()]
        } else {
            vec![SCRAM.to_owned()]
        }
    }

    /// Takes the body of the client's next `p` message.
    pub fn step(&mut self, body: Bytes) -> Result<ScramStep, ScramFault> {
        match (self.secret.take(), self.waiting.take()) {
            (Some(secret), _) => {
                let first = self.client_first(body)?;
                let (answer, waiting) =
                    self.server.on_client_first_message_with_secret(&first, secret).map_err(malformed)?;
                self.waiting = Some(waiting);
                Ok(ScramStep::Continue(answer.into()))
            }
            (None, Some(waiting)) => match waiting.on_client_final_message(&body) {
                Ok(answer) if self.genuine => Ok(ScramStep::Done(answer.into())),
                Ok(_) | Err(pgwire::error::PgWireError::InvalidPassword(_)) => Err(ScramFault::Wrong),
                Err(error) => Err(malformed(error)),
            },
            (None, None) => Err(ScramFault::Malformed("unexpected SASL message".to_owned())),
        }
    }

    /// Opens SASLInitialResponse and checks that its message is of the mechanism it names.
    fn client_first(&self, mut body: Bytes) -> Result<Bytes, ScramFault> {
        let refuse = |text: &str| ScramFault::Malformed(text.to_owned());
        let end = body.iter().position(|byte| *byte == 0).ok_or_else(|| refuse("invalid SASL message"))?;
        let mechanism = body.split_to(end);
        body.advance(1);
        if body.len() < 4 || usize::try_from(body.get_i32()) != Ok(body.len()) {
            return Err(refuse("invalid SASL message"));
        }
        let binding = body.starts_with(b"p=");
        match &mechanism[..] {
            b"SCRAM-SHA-256" if binding => Err(refuse("malformed SCRAM message")),
            b"SCRAM-SHA-256" => Ok(body),
            b"SCRAM-SHA-256-PLUS" if !self.server.supports_channel_binding() || !binding => {
                Err(refuse("malformed SCRAM message"))
            }
            b"SCRAM-SHA-256-PLUS" => Ok(body),
            _ => Err(refuse("client selected an invalid SASL authentication mechanism")),
        }
    }
}

fn malformed(error: pgwire::error::PgWireError) -> ScramFault {
    // The library's text may quote the message; the client is told no more than PostgreSQL tells.
    tracing::debug!(%error, "malformed SCRAM message");
    ScramFault::Malformed("malformed SCRAM message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &[u8; 16] = b"0123456789abcdef";

    fn verifier(password: &str) -> String {
        let salted = pgwire::api::auth::sasl::scram::gen_salted_password(password, SALT, 4096);
        let ScramSecret::Verifier { salt, iterations, stored_key, server_key } =
            ScramSecret::verifier_from_salted_password(SALT.to_vec(), salted, 4096)
        else {
            panic!("not a verifier")
        };
        format!(
            "SCRAM-SHA-256${iterations}:{}${}:{}",
            STANDARD.encode(salt),
            STANDARD.encode(stored_key),
            STANDARD.encode(server_key)
        )
    }

    fn initial(mechanism: &str, message: &str) -> Bytes {
        let mut body = mechanism.as_bytes().to_vec();
        body.push(0);
        body.extend_from_slice(&(message.len() as i32).to_be_bytes());
        body.extend_from_slice(message.as_bytes());
        body.into()
    }

    fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
        let mut block = [0u8; 64];
        block[..key.len()].copy_from_slice(key);
        let inner: [u8; 32] =
            Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize().into();
        Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
    }

    /// The client's side, written from RFC 5802.
    fn log_in(exchange: &mut ScramExchange, password: &str, cut_proof: bool) -> Result<ScramStep, ScramFault> {
        let ScramStep::Continue(server_first) = exchange.step(initial(SCRAM, "n,,n=,r=clientnonce"))? else {
            panic!("no challenge")
        };
        let server_first = std::str::from_utf8(&server_first).unwrap();
        let mut parts = server_first.split(',').map(|part| &part[2..]);
        let (nonce, salt, iterations) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let salt = STANDARD.decode(salt).unwrap();
        let salted = pgwire::api::auth::sasl::scram::gen_salted_password(password, &salt, iterations.parse().unwrap());
        let client_key = hmac(&salted, b"Client Key");
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let without_proof = format!("c=biws,r={nonce}");
        let signature = hmac(&stored_key, format!("n=,r=clientnonce,{server_first},{without_proof}").as_bytes());
        let mut proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        if cut_proof {
            proof.pop();
        }
        exchange.step(format!("{without_proof},p={}", STANDARD.encode(proof)).into())
    }

    fn exchange(verifier: Option<&str>) -> ScramExchange {
        ScramExchange::new(ScramServerAuth::new(), "ann", verifier, &[7; 32])
    }

    #[test]
    fn right_wrong_and_unknown() {
        let stored = verifier("pencil");
        assert!(matches!(log_in(&mut exchange(Some(&stored)), "pencil", false), Ok(ScramStep::Done(_))));
        assert_eq!(log_in(&mut exchange(Some(&stored)), "pencils", false), Err(ScramFault::Wrong));
        assert_eq!(log_in(&mut exchange(None), "pencil", false), Err(ScramFault::Wrong));
        assert_eq!(log_in(&mut exchange(Some("md5abc")), "pencil", false), Err(ScramFault::Wrong));
        assert!(matches!(log_in(&mut exchange(Some(&stored)), "pencil", true), Err(ScramFault::Malformed(_))));
    }

    #[test]
    fn an_unknown_user_has_a_steady_salt() {
        let challenge = |user: &str| {
            let mut exchange = ScramExchange::new(ScramServerAuth::new(), user, None, &[7; 32]);
            let ScramStep::Continue(bytes) = exchange.step(initial(SCRAM, "n,,n=,r=x")).unwrap() else { panic!() };
            String::from_utf8(bytes.to_vec()).unwrap().split_once(",s=").unwrap().1.to_owned()
        };
        assert_eq!(challenge("ann"), challenge("ann"));
        assert_ne!(challenge("ann"), challenge("bob"));
    }

    #[test]
    fn channel_binding_flags_must_fit_the_mechanism() {
        for (mechanism, message) in [
            (SCRAM, "p=tls-server-end-point,,n=,r=x"),
            (SCRAM_PLUS, "p=tls-server-end-point,,n=,r=x"),
            (SCRAM_PLUS, "n,,n=,r=x"),
            ("PLAIN", "n,,n=,r=x"),
            (SCRAM, "nonsense"),
        ] {
            let stored = verifier("pencil");
            let result = exchange(Some(&stored)).step(initial(mechanism, message));
            assert!(matches!(result, Err(ScramFault::Malformed(_))), "{mechanism} {message}");
        }
        let mut cut = exchange(None);
        assert!(matches!(cut.step(Bytes::from_static(b"SCRAM-SHA-256\0\0\0\0\x09n")), Err(ScramFault::Malformed(_))));
    }
}

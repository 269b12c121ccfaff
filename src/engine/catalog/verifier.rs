//! Password verifiers: what is kept of a role's password.
//!
//! A clear password becomes a SCRAM-SHA-256 verifier (RFC 5803 form, as in pg_authid.rolpassword) the moment it is
//! read; it is neither stored nor logged. A verifier cannot be turned back into the password. Passwords go through
//! SASLprep, and stay as they are where SASLprep refuses them, as in PostgreSQL.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

/// Rounds of key stretching for new verifiers, as PostgreSQL's default.
pub const ITERATIONS: u32 = 4096;
/// Rounds above which a given verifier is refused: one login would cost minutes.
const ITERATIONS_MAX: u32 = 10_000_000;
const SALT_BYTES: usize = 16;

/// A SCRAM-SHA-256 verifier.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Rounds of key stretching.
    pub iterations: u32,
    /// Salt sent to the client.
    pub salt: Vec<u8>,
    /// H(HMAC(salted password, "Client Key")): checks the client's proof.
    pub stored_key: [u8; 32],
    /// HMAC(salted password, "Server Key"): signs the server's answer.
    pub server_key: [u8; 32],
}

impl Verifier {
    /// What PASSWORD 'x' means: a verifier is kept, an MD5 hash refused, anything else is a clear password.
    pub fn from_sql(password: &str) -> PgResult<Self> {
        if password.starts_with("md5") && password.len() == 35 && password[3..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, "MD5 password hashes are not supported")
                .hint("Give the password itself or a SCRAM-SHA-256 verifier."));
        }
        Ok(Self::parse(password).unwrap_or_else(|| Self::new(password)))
    }

    /// A verifier for a clear password, with a fresh random salt.
    pub fn new(password: &str) -> Self {
        Self::with_salt(password, rand::random::<[u8; SALT_BYTES]>().to_vec(), ITERATIONS)
    }

    fn with_salt(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let salted = stretch(prepared.as_bytes(), &salt, iterations);
        let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
        Self { iterations, salt, stored_key, server_key: hmac(&salted, &[b"Server Key"]) }
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
        Some(Self {
            iterations: iterations.parse().ok().filter(|count| (1..=ITERATIONS_MAX).contains(count))?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }
}

/// The stored form.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored) = (STANDARD.encode(&self.salt), STANDARD.encode(self.stored_key));
        write!(f, "SCRAM-SHA-256${}:{salt}${stored}:{}", self.iterations, STANDARD.encode(self.server_key))
    }
}

/// Keeps verifiers out of logs.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(<hidden>)")
    }
}

/// HMAC-SHA-256 of the joined parts. Reference: RFC 2104.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner.finalize()).finalize().into()
}

/// PBKDF2 with HMAC-SHA-256, one block. Reference: RFC 5802, Hi().
fn stretch(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut result = last;
    for _ in 1..iterations {
        last = hmac(password, &[&last]);
        for (sum, byte) in result.iter_mut().zip(last) {
            *sum ^= byte;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 4231, test case 2.
        let mac = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        // The example of RFC 7677: password pencil, 4096 rounds.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = Verifier::with_salt("pencil", salt, 4096);
        let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(verifier.to_string(), text);
        assert_eq!(Verifier::from_sql(text).expect("kept"), verifier);
    }

    #[test]
    fn what_is_no_verifier_is_a_password() {
        for text in ["SCRAM-SHA-256$0:AAAA$AAAA:AAAA", "SCRAM-SHA-256$4096:!$x:y", ""] {
            assert!(Verifier::parse(text).is_none(), "{text}");
        }
        let md5 = Verifier::from_sql("md50123456789abcdef0123456789abcdef").expect_err("refused");
        assert_eq!(md5.code.as_str(), "22023");
        assert_eq!(format!("{:?}", Verifier::with_salt("x", vec![1], 1)), "Verifier(<hidden>)");
    }
}

//! The server's certificate.
//!
//! Fails closed: a certificate or key that is missing, unreadable, malformed, not a pair or open to other users stops
//! the server from starting; there is no path from here to clear text. It promises TLS 1.2 or newer and the ALPN name
//! `postgresql`. Client certificates are not asked for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgwire::api::auth::sasl::scram::ScramServerAuth;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The protocol name clients offer when they begin with a TLS handshake.
pub const ALPN: &[u8] = b"postgresql";

/// Everything connections need of the certificate.
#[derive(Clone)]
pub struct Tls {
    /// Performs handshakes.
    pub acceptor: TlsAcceptor,
    /// SCRAM bound to this certificate, or unbound for signature algorithms without a binding hash.
    pub scram: ScramServerAuth,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// What is wrong with the certificate or key, as one sentence for the operator.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsFault(pub String);

impl std::fmt::Display for TlsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsFault {}

/// Reads a PEM chain and its private key (PKCS#1, SEC1 or PKCS#8).
pub fn load(certificate: &Path, key: &Path) -> Result<Tls, TlsFault> {
    let certificate_pem = read(certificate, "tls_cert")?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFault(format!("tls_cert {} is not PEM: {error}", certificate.display())))?;
    if chain.is_empty() {
        return Err(TlsFault(format!("tls_cert {} holds no certificate", certificate.display())));
    }
    let mode = fs::metadata(key).map_err(|error| unreadable(key, "tls_key", &error))?.mode();
    if mode & 0o077 != 0 {
        return Err(TlsFault(format!(
            "tls_key {} can be read by group or others (mode {:o}); run chmod 600 on it",
            key.display(),
            mode & 0o777
        )));
    }
    let key_pem = read(key, "tls_key")?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|error| TlsFault(format!("tls_key {} holds no private key: {error}", key.display())))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFault(format!("tls cannot be set up: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| TlsFault(format!("tls_cert and tls_key do not fit each other: {error}")))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    let mut scram = ScramServerAuth::new();
    if let Err(error) = scram.configure_certificate(&certificate_pem) {
        tracing::warn!(%error, "the certificate's signature algorithm has no channel binding: SCRAM-SHA-256-PLUS is off");
        scram = ScramServerAuth::new();
    }
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), scram })
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, TlsFault> {
    fs::read(path).map_err(|error| unreadable(path, name, &error))
}

fn unreadable(path: &Path, name: &str, error: &std::io::Error) -> TlsFault {
    TlsFault(format!("{name} {} cannot be read: {error}", path.display()))
}

/// Where the two files are, if TLS is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

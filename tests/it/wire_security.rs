//! Encryption, the Unix socket, the admin port, and what a server refuses to start with.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use tributary::config::{Config, Sources};
use tributary::server::Server;

use crate::harness::Harness;
use crate::raw_client::{frame, request, startup, text};

const CERTIFICATE: &str = include_str!("../data/wire/server.crt");
const KEY: &str = include_str!("../data/wire/server.key");
const SSL_REQUEST: u32 = 80_877_103;

/// Certificate and key as files, the key readable by its owner only.
fn certificate_files(home: &Path, key_mode: u32) -> (PathBuf, PathBuf) {
    let (certificate, key) = (home.join("server.crt"), home.join("server.key"));
    std::fs::write(&certificate, CERTIFICATE).expect("written");
    std::fs::write(&key, KEY).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(key_mode)).expect("changed");
    (certificate, key)
}

fn tls_server(home: &Path) -> Harness {
    let (certificate, key) = certificate_files(home, 0o600);
    Harness::start_with(|config| {
        config.superuser = Some("postgres".to_owned());
        (config.tls_cert, config.tls_key) = (Some(certificate), Some(key));
    })
}

fn client_config(alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a certificate")).expect("fits");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Says hello over TLS and gives back what the server answers to a query.
fn ask_over_tls(mut tcp: TcpStream, alpn: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(client_config(alpn), name).expect("a session");
    let mut stream = Stream::new(&mut session, &mut tcp);
    stream.write_all(&startup(0x0003_0000, &[("user", "postgres"), ("database", "tributary")]))?;
    stream.write_all(&[frame(b'Q', &text("select 'secret'")), frame(b'X', b"")].concat())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // The server closes after Terminate; some closings lack the goodbye of TLS.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("connects")
}

#[test]
fn tls_by_request_and_direct() {
    let home = tempfile::tempdir().expect("a directory");
    let server = tls_server(home.path());
    let mut asked = connect(server.address());
    asked.write_all(&request(SSL_REQUEST)).expect("sent");
    let mut answer = [0];
    asked.read_exact(&mut answer).expect("answered");
    assert_eq!(answer, *b"S");
    assert!(contains(&ask_over_tls(asked, &[]).expect("talks"), b"secret"));
    let direct = ask_over_tls(connect(server.address()), &[b"postgresql"]).expect("talks");
    assert!(contains(&direct, b"secret"));
    // Without the protocol's name a direct handshake could be another protocol's request, replayed here.
    let nameless = ask_over_tls(connect(server.address()), &[]).unwrap_or_default();
    assert!(!contains(&nameless, b"secret"));
}

#[test]
fn clear_bytes_before_the_handshake_are_never_believed() {
    let home = tempfile::tempdir().expect("a directory");
    let server = tls_server(home.path());
    let mut client = connect(server.address());
    client.write_all(&[request(SSL_REQUEST), startup(0x0003_0000, &[("user", "eve")])].concat()).expect("sent");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("read");
    assert_eq!(answer.first(), Some(&b'E'), "the handshake must not begin");
    assert!(contains(&answer, b"received unencrypted data after SSL request"));
}

#[test]
fn a_server_without_a_sound_certificate_does_not_start() {
    let home = tempfile::tempdir().expect("a directory");
    let start = |certificate: PathBuf, key: PathBuf| {
        let config = Config {
            data_dir: Some(home.path().join("data")),
            listen: ([127, 0, 0, 1], 0).into(),
            tls_cert: Some(certificate),
            tls_key: Some(key),
            ..Config::default()
        };
        Server::start(&config).map(drop).expect_err("must refuse").to_string()
    };
    let (certificate, key) = certificate_files(home.path(), 0o640);
    assert!(start(certificate.clone(), key.clone()).contains("can be read by group or others"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("changed");
    assert!(start(home.path().join("missing"), key.clone()).contains("cannot be read"));
    assert!(start(key.clone(), key.clone()).contains("holds no certificate"));
    assert!(start(certificate.clone(), certificate.clone()).contains("tls_key"));
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").expect("written");
    assert!(start(certificate, key).contains("do not fit"));
    assert!(!home.path().join("data").exists(), "a refused start makes nothing");
}

#[test]
fn other_addresses_need_encryption() {
    let build = |keys: &[(&str, &str)]| {
        let flags = keys.iter().map(|(key, value)| ((*key).into(), (*value).into(), "test".into())).collect();
        Config::build(&Sources { flags, ..Sources::default() }).map(drop)
    };
    let error = build(&[("server.listen", "0.0.0.0:5488")]).expect_err("must refuse");
    assert_eq!(error.message, "refusing to listen on 0.0.0.0:5488 without tls");
    assert_eq!(error.hint.as_deref(), Some("Set tls_cert and tls_key, or allow_plaintext = true."));
    assert!(build(&[("server.listen", "0.0.0.0:5488"), ("server.allow_plaintext", "true")]).is_ok());
    assert!(build(&[("server.trust", "true"), ("server.listen", "127.0.0.1:5488")]).is_ok());
}

#[test]
fn the_unix_socket_knows_its_peer() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("socket");
    let server = Harness::start_with(|config| {
        config.trust = false;
        config.socket_dir = Some(directory.clone());
    });
    let mode = std::fs::metadata(&directory).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let path = directory.join(format!(".s.PGSQL.{}", server.address().port()));
    let ask = |user: &str| {
        let mut client = UnixStream::connect(&path).expect("connects");
        client.write_all(&startup(0x0003_0000, &[("user", user), ("database", "tributary")])).expect("sent");
        // Who is refused may be gone already; what he was told is still to be read.
        client.write_all(&frame(b'X', b"")).ok();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("read");
        answer
    };
    assert!(contains(&ask("postgres"), b"server_version"));
    assert!(contains(&ask("nobody"), b"peer authentication failed for user \"nobody\""));
    server.stop();
    assert!(!path.exists(), "the socket file goes with the server");
}

#[test]
fn the_admin_port_tells_health_and_figures() {
    let server = Harness::start_with(|config| config.admin_listen = Some(([127, 0, 0, 1], 0).into()));
    let address = server.admin_address().expect("configured");
    let get = |path: &str| {
        let mut client = connect(address);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("read");
        answer
    };
    assert!(get("/health").starts_with("HTTP/1.1 200"));
    assert!(get("/ready").ends_with("ready\n"));
    assert!(get("/nothing").starts_with("HTTP/1.1 404"));
    let figures = get("/metrics");
    for name in ["tributary_sessions_active", "tributary_parts", "tributary_commit_queue_depth"] {
        assert!(figures.contains(&format!("\n{name} ")), "{figures}");
    }
}

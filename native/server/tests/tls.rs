//! The server with TLS, over sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{any, append, event};
use hyper_util::rt::TokioIo;
use server::{Options, Server, Storage, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Endpoint, Uri};
use wire::proto::streams::streams_client::StreamsClient;

async fn start(tls: Tls) -> Server {
    let address = "127.0.0.1:0".parse().unwrap();
    Server::start(Options { tls: Some(tls), ..Options::new(address, Storage::Memory) }).await.unwrap()
}

/// Trusts what a file holds, if one is given.
async fn connect(
    server: &Server,
    name: &str,
    protocol: &str,
    ca: Option<&std::path::Path>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let socket = TcpStream::connect(server.local_addr()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

#[tokio::test]
async fn calls_are_encrypted_and_both_protocols_are_agreed_on() {
    let server = start(Tls::self_made(Some("db.example.com")).unwrap()).await;
    let ca = server.ca_file().unwrap();
    for name in ["localhost", "127.0.0.1", "::1", "db.example.com"] {
        let mut socket = connect(&server, name, "http/1.1", Some(ca)).await.unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        for (path, wanted) in [("/health/live", "204"), ("/info", "200"), ("/gossip", "200")] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 4096];
            let length = socket.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{name} {path}: {answer}");
        }
    }
    let socket = connect(&server, "localhost", "h2", Some(ca)).await.unwrap();
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut socket = Some(TokioIo::new(socket));
    let connector = Connector(move |_: Uri| {
        let socket = socket.take();
        async move { socket.ok_or_else(|| std::io::Error::other("one connection is enough")) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let mut client = StreamsClient::new(endpoint.connect_with_connector(connector).await.unwrap());
    assert_eq!(append(&mut client, "s", any(), vec![event(b"{}".to_vec())]).await.unwrap(), 0);
    assert_eq!(common::all(&mut client, "s").await, [(0, b"{}".to_vec())]);
    drop(client);
    server.shutdown().await;
}

/// A connector out of a closure.
struct Connector<F>(F);

impl<F, R> tonic::codegen::Service<Uri> for Connector<F>
where
    F: FnMut(Uri) -> R,
    R: Future<Output = std::io::Result<TokioIo<TlsStream<TcpStream>>>> + Send + 'static,
{
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = R;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> R {
        (self.0)(uri)
    }
}

#[tokio::test]
async fn who_does_not_trust_it_speaks_plainly_or_says_nothing_is_no_hindrance() {
    let server = start(Tls::self_made(None).unwrap()).await;
    let doubted = connect(&server, "localhost", "h2", None).await.unwrap_err().to_string();
    assert!(doubted.contains("UnknownIssuer"), "{doubted}");
    let other = connect(&server, "db.example.com", "h2", server.ca_file()).await.unwrap_err().to_string();
    assert!(other.contains("not valid for name"), "{other}");
    let mut plain = TcpStream::connect(server.local_addr()).await.unwrap();
    plain.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Refused by an alert, perhaps with what it sent still unread.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let silent = TcpStream::connect(server.local_addr()).await.unwrap();
    assert!(connect(&server, "localhost", "h2", server.ca_file()).await.is_ok());
    // Long before the silent one would be given up.
    tokio::time::timeout(Duration::from_secs(10), server.shutdown()).await.unwrap();
    drop(silent);
}

#[test]
fn the_command_names_the_file_to_trust_and_removes_it_when_it_ends() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_penstock-server"))
        .args(["--port", "0", "--tls", "self-made"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut listening, mut ca) = (String::new(), String::new());
    lines.read_line(&mut listening).unwrap();
    lines.read_line(&mut ca).unwrap();
    assert!(listening.starts_with("listening 127.0.0.1:"), "{listening}");
    let file = std::path::PathBuf::from(ca.trim_end().strip_prefix("ca ").unwrap());
    let mut text = String::new();
    std::fs::File::open(&file).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY"), "{text}");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!file.exists());
}

//! Certificates, and an encrypted way to a server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use client::{Connection, Settings, Unusable};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use wire::connection_string::ConnectionString;

/// An authority, and a folder for what it issues.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: TempDir,
}

/// A certificate and its key.
pub struct Issued {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        Self::named(&format!("an authority of tests, {:x}", fastrand::u64(..)))
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { issuer: Issuer::new(params, key), certificate: certificate.der().clone(), folder }
    }

    /// The file of its certificate.
    pub fn file(&self) -> String {
        self.path("ca.pem")
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// A certificate for these names and years, which are also written to NAME.pem and NAME.key.
    pub fn issue(&self, name: &str, names: &[&str], (from, to): (i32, i32)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let folder = self.folder.path();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Issued { chain: vec![certificate.der().clone()], key }
    }

    /// A good one.
    pub fn good(&self) -> Issued {
        self.issue("server", &["localhost", "127.0.0.1"], (2020, 2100))
    }
}

/// An encrypted way to a server; with `clients`, for those alone whom that authority knows.
pub async fn encrypted(server: SocketAddr, issued: Issued, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let mut config = builder.with_single_cert(issued.chain, issued.key).expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut from) = acceptor.accept(socket).await else { return };
                let Ok(mut to) = TcpStream::connect(server).await else { return };
                copy_bidirectional(&mut from, &mut to).await.ok();
            });
        }
    });
    address
}

/// Text as the value of a key.
pub fn encoded(text: impl AsRef<Path>) -> String {
    text.as_ref().to_str().expect("UTF-8").replace('%', "%25").replace('&', "%26")
}

pub fn opened(string: &str) -> Result<Connection, Unusable> {
    let said = ConnectionString::parse(string).expect("a good string");
    Settings::of(&said).and_then(Connection::new)
}

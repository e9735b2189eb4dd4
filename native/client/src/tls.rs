//! What an encrypted connection is made with: whom it trusts, and what it shows of itself.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use wire::connection_string::Settings as Said;

use crate::unusable::Unusable;

/// How connections are encrypted. The files are read once, when it is made.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    trusted: Arc<str>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

/// How connections to one host are encrypted.
#[derive(Debug, Clone)]
pub(crate) struct Secured {
    pub(crate) tls: Tls,
    /// What the host's certificate has to be for.
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// As a connection string says; `None` where it says that connections are plain.
    pub(crate) fn of(said: &Said) -> Result<Option<Self>, Unusable> {
        if !said.tls {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::Tls(error.to_string()))?;
        let (verifier, trusted) = trust(said, provider)?;
        let builder = versions.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match (&said.user_cert_file, &said.user_key_file) {
            (Some(certificates), Some(key)) => {
                let chain = certificates_of("userCertFile", certificates)?;
                let key_file = key;
                let key = PrivateKeyDer::from_pem_file(key_file)
                    .map_err(|error| unreadable("userKeyFile", key_file, "private key", &error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| Unusable::File {
                    key: "userKeyFile",
                    path: key_file.clone(),
                    why: match error {
                        Error::InconsistentKeys(_) => {
                            format!("is not the key of the certificate in userCertFile, {certificates:?}")
                        }
                        other => format!("cannot be used with the certificate in {certificates:?}: {other}"),
                    },
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), trusted: trusted.into() }))
    }

    /// Who is trusted, in words that follow "issued by".
    pub(crate) fn trusted(&self) -> &str {
        &self.trusted
    }

    pub(crate) fn connector(&self) -> &TlsConnector {
        &self.connector
    }
}

/// Who may vouch for a server, and how that is said.
fn trust(
    said: &Said,
    provider: Arc<CryptoProvider>,
) -> Result<(Arc<dyn ServerCertVerifier>, String), Unusable> {
    // a file that is named is read, so that a wrong name shows before checking is turned on
    let (roots, trusted) = match &said.tls_ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates_of("tlsCaFile", path)? {
                roots.add(certificate).map_err(|error| Unusable::File {
                    key: "tlsCaFile",
                    path: path.clone(),
                    why: format!("holds a certificate that cannot be used: {error}"),
                })?;
            }
            (roots, format!("one of the {path:?} that tlsCaFile names"))
        }
        None if !said.tls_verify_cert => (RootCertStore::empty(), String::new()),
        None => (roots_of_system()?, "an authority that this system trusts (tlsCaFile names others)".into()),
    };
    if !said.tls_verify_cert {
        return Ok((Arc::new(Unchecked(provider)), "anybody".into()));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Unusable::Tls(error.to_string()))?;
    Ok((verifier, trusted))
}

fn roots_of_system() -> Result<RootCertStore, Unusable> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // systems hold certificates that nobody can use; the others count
    roots.add_parsable_certificates(loaded.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = loaded.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
    Err(Unusable::Tls(format!(
        "this system has no certificates of authorities{why}; tlsCaFile names a file of them"
    )))
}

fn certificates_of(key: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let read = CertificateDer::pem_file_iter(Path::new(path));
    let certificates: Vec<_> =
        read.and_then(Iterator::collect).map_err(|error| unreadable(key, path, "certificate", &error))?;
    if certificates.is_empty() {
        return Err(Unusable::File { key, path: path.to_owned(), why: "holds no certificate in PEM".into() });
    }
    Ok(certificates)
}

fn unreadable(
    key: &'static str,
    path: &str,
    what: &str,
    error: &tokio_rustls::rustls::pki_types::pem::Error,
) -> Unusable {
    use tokio_rustls::rustls::pki_types::pem::Error as Pem;
    let why = match error {
        Pem::Io(error) => format!("cannot be read: {error}"),
        Pem::NoItemsFound => format!("holds no {what} in PEM"),
        _ => "holds PEM that is broken".into(),
    };
    Unusable::File { key, path: path.to_owned(), why }
}

/// Takes every certificate, as `tlsVerifyCert=false` asks. Who shows one has its key all the same.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

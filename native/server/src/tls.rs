//! With what a server encrypts: a certificate that it is given, or one that is made for it.
//!
//! What is made is an authority that signs one certificate and is then forgotten, but for its own certificate: clients
//! that trust that trust this server, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;

/// What is spoken, most wanted first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Who a server on this machine is, whatever else it is called.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate that is made is valid: longer ones are refused by some systems.
const VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// With what a server encrypts.
#[derive(Clone, Debug)]
pub enum Tls {
    /// A certificate, its own first and then those that lead to the one that clients trust, and its key: files in PEM.
    Files {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// One that was made for it; servers may share it.
    SelfMade(Arc<SelfMade>),
}

/// There is no certificate to encrypt with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not what it has to be.
    #[error("{} cannot be used as a {what}: {reason}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("{} and {} do not go together: {reason}", .certificate.display(), .key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// None can be made.
    #[error("no certificate can be made: {0}")]
    Make(String),
}

/// A certificate that was made for servers of this process. Its key is never written anywhere.
pub struct SelfMade {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ca_file: PathBuf,
}

impl std::fmt::Debug for SelfMade {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SelfMade").field("ca_file", &self.ca_file).finish_non_exhaustive()
    }
}

impl Tls {
    /// With a certificate that is made now, for a server on this machine that may have one more name.
    ///
    /// # Errors
    /// [`TlsError::Make`].
    pub fn self_made(name: Option<&str>) -> Result<Self, TlsError> {
        Ok(Self::SelfMade(Arc::new(SelfMade::new(name)?)))
    }

    /// The file with the certificate that clients are to trust, if it was made here.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Files { .. } => None,
            Self::SelfMade(made) => Some(made.ca_file()),
        }
    }

    /// What agrees with a client on how to encrypt.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let (chain, key, refused): (_, _, Box<dyn Fn(String) -> TlsError>) = match self {
            Self::SelfMade(made) => (made.chain.clone(), made.key.clone_key(), Box::new(TlsError::Make)),
            Self::Files { certificate, key } => {
                let refused =
                    |reason| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), reason };
                (certificates(certificate)?, private_key(key)?, Box::new(refused))
            }
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| refused(error.to_string()))?;
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |reason: String| TlsError::File { file: file.to_owned(), what: "certificate", reason };
    let found = CertificateDer::pem_reader_iter(open(file, &refused)?);
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))?;
    if found.is_empty() { Err(refused("it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let refused = |reason: String| TlsError::File { file: file.to_owned(), what: "private key", reason };
    PrivateKeyDer::from_pem_reader(open(file, &refused)?).map_err(|error| match error {
        pem::Error::NoItemsFound => refused("it holds no private key in PEM".to_owned()),
        error => refused(error.to_string()),
    })
}

fn open(file: &Path, refused: &impl Fn(String) -> TlsError) -> Result<BufReader<File>, TlsError> {
    File::open(file).map(BufReader::new).map_err(|error| refused(error.to_string()))
}

impl SelfMade {
    fn new(name: Option<&str>) -> Result<Self, TlsError> {
        let make = |error: rcgen::Error| TlsError::Make(error.to_string());
        let authority_key = KeyPair::generate().map_err(make)?;
        let authority = authority()?;
        let trusted = authority.self_signed(&authority_key).map_err(make)?;
        let key = KeyPair::generate().map_err(make)?;
        let issuer = Issuer::new(authority, authority_key);
        let signed = server(name)?.signed_by(&key, &issuer).map_err(make)?;
        let key =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| TlsError::Make(error.to_owned()))?;
        let ca_file = std::env::temp_dir().join(format!("penstock-ca-{}.pem", Uuid::new_v4()));
        let written = OpenOptions::new().write(true).create_new(true).open(&ca_file);
        written
            .and_then(|mut file| file.write_all(trusted.pem().as_bytes()))
            .map_err(|error| TlsError::Make(format!("{} cannot be written: {error}", ca_file.display())))?;
        Ok(Self { chain: vec![signed.der().clone()], key, ca_file })
    }

    /// The file with the certificate that clients are to trust. It is gone with this.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

impl Drop for SelfMade {
    fn drop(&mut self) {
        // Whoever removed it meant the same.
        let _ = std::fs::remove_file(&self.ca_file);
    }
}

fn authority() -> Result<CertificateParams, TlsError> {
    let mut authority = valid_now(CertificateParams::default())?;
    authority.distinguished_name.push(DnType::CommonName, "Penstock test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(authority)
}

fn server(name: Option<&str>) -> Result<CertificateParams, TlsError> {
    let names = HERE.into_iter().chain(name.filter(|name| !HERE.contains(name))).map(str::to_owned);
    let server = CertificateParams::new(names.collect::<Vec<_>>());
    let mut server = valid_now(server.map_err(|error| TlsError::Make(error.to_string()))?)?;
    server.distinguished_name.push(DnType::CommonName, "eventstoredb-node");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(server)
}

/// From yesterday on: clocks differ.
fn valid_now(mut certificate: CertificateParams) -> Result<CertificateParams, TlsError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|error| TlsError::Make(format!("the clock is before 1970: {error}")))?;
    let epoch = date_time_ymd(1970, 1, 1);
    certificate.not_before = epoch + since.saturating_sub(DAY);
    certificate.not_after = epoch + since + VALID;
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_certificate_that_was_made_is_there_as_long_as_someone_uses_it() {
        let tls = Tls::self_made(Some("db.example.com")).unwrap();
        let file = tls.ca_file().unwrap().to_owned();
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        let other = tls.clone();
        drop(tls);
        assert!(other.acceptor().is_ok() && file.exists());
        drop(other);
        assert!(!file.exists());
    }

    #[test]
    fn files_that_are_no_certificate_or_key_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = Tls::self_made(None).unwrap();
        std::fs::copy(made.ca_file().unwrap(), path("ca.pem")).unwrap();
        std::fs::write(path("other.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        std::fs::write(path("empty.pem"), "").unwrap();
        std::fs::write(path("text.pem"), "no certificate\n").unwrap();
        for (certificate, key, wanted) in [
            ("none.pem", "other.key", "none.pem cannot be used as a certificate: No such file"),
            ("empty.pem", "other.key", "empty.pem cannot be used as a certificate: it holds no certificate"),
            ("text.pem", "other.key", "text.pem cannot be used as a certificate: it holds no certificate"),
            ("ca.pem", "ca.pem", "ca.pem cannot be used as a private key: it holds no private key"),
            ("ca.pem", "other.key", "other.key do not go together: "),
        ] {
            let tls = Tls::Files { certificate: path(certificate), key: path(key) };
            let error = tls.acceptor().err().unwrap().to_string();
            assert!(error.contains(wanted), "{certificate} {key}: {error}");
        }
    }
}

//! The handshake of an encrypted connection, and what its failure says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};
use wire::error::Fault;

use crate::spoken::words;
use crate::tls::{Secured, Tls};

/// What is kept of a peer's first words.
const KEPT: usize = 80;
/// Kinds of a record, and the version that all have: how TLS begins.
const RECORDS: std::ops::RangeInclusive<u8> = 0x14..=0x18;
const VERSION: u8 = 3;

/// A socket whose first words are kept until the handshake is over.
#[derive(Debug)]
pub(crate) struct Socket {
    io: TcpStream,
    heard: Option<Vec<u8>>,
}

/// Encrypts a connection.
pub(crate) async fn shake(socket: TcpStream, secured: &Secured) -> Result<TlsStream<Socket>, Fault> {
    let socket = Socket { io: socket, heard: Some(Vec::new()) };
    let connecting = secured.tls.connector().connect(secured.name.clone(), socket).into_fallible();
    match connecting.await {
        Ok(mut stream) => {
            stream.get_mut().0.heard = None;
            Ok(stream)
        }
        Err((error, socket)) => {
            Err(reason(&error, socket.heard.as_deref().unwrap_or_default(), &secured.tls))
        }
    }
}

/// Whether these can be the first bytes of a peer that speaks TLS.
pub(crate) fn is_tls(bytes: &[u8]) -> bool {
    bytes.iter().take(2).enumerate().all(
        |(at, byte)| {
            if at == 0 { RECORDS.contains(byte) } else { *byte == VERSION }
        },
    )
}

fn reason(error: &io::Error, heard: &[u8], tls: &Tls) -> Fault {
    if !heard.is_empty() && !is_tls(heard) {
        return Fault::NotTls(words(heard));
    }
    match refusal(error, tls) {
        Some(fault) => fault,
        None if heard.is_empty() => Fault::Silent { may_want: "no TLS (tls=false)" },
        None => Fault::Tls(error.to_string()),
    }
}

/// What TLS itself says is wrong; `None` for what breaks a connection otherwise.
pub(crate) fn refusal(error: &io::Error, tls: &Tls) -> Option<Fault> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(error) => Some(Fault::Certificate(certificate(error, tls))),
        Error::AlertReceived(alert) => Some(alerted(*alert)),
        error => Some(Fault::Tls(error.to_string())),
    }
}

fn certificate(error: &CertificateError, tls: &Tls) -> String {
    match error {
        CertificateError::UnknownIssuer => format!("its certificate is not issued by {}", tls.trusted()),
        CertificateError::BadSignature => {
            format!(
                "its certificate is not issued by {}: that has its issuer's name and another key",
                tls.trusted()
            )
        }
        CertificateError::NotValidForName => "its certificate is for another name".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "nobody".into() } else { presented.join(", ") };
            format!("its certificate is for {names} and not for {}", expected.to_str())
        }
        CertificateError::Expired => "its certificate has expired".into(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate has expired, on {}", Day(*not_after))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".into(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", Day(*not_before))
        }
        error => format!("its certificate cannot be accepted: {error}"),
    }
}

fn alerted(alert: AlertDescription) -> Fault {
    match alert {
        AlertDescription::CertificateRequired => Fault::Certificate(
            "it wants a certificate of the client: userCertFile and userKeyFile name one".into(),
        ),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => Fault::Certificate(format!(
            "it does not accept the client's certificate, of userCertFile: {alert:?}"
        )),
        alert => Fault::Tls(format!("it ended the handshake: {alert:?}")),
    }
}

/// A day as texts say it, by the calendar that certificates go by.
struct Day(UnixTime);

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil(self.0.as_secs() / 86_400);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Days since 1970 as a date. Years are counted from March on, so that the leap day is the last of one.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(heard) = &mut self.heard
            && let Some(came) = buffer.filled().get(before..)
        {
            heard.extend(came.iter().take(KEPT - heard.len()));
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_by_the_calendar() {
        for (seconds, told) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (4_102_444_799, "2099-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            assert_eq!(Day(time).to_string(), told);
        }
    }
}

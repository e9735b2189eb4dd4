//! Encrypted connections, to servers that are what they should be and to others.

use std::net::SocketAddr;

use crate::support::tls::*;
use crate::support::*;
use client::Connection;
use reader_core::Start;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::error::Error;

const YEARS: (i32, i32) = (2020, 2100);

/// A connection that trusts an authority, with more keys of a connection string.
fn trusting(authority: &Authority, address: SocketAddr, keys: &str) -> Connection {
    let file = encoded(authority.file());
    opened(&format!("esdb://{address}?tlsCaFile={file}{keys}")).expect("usable")
}

/// Why an append fails, as a call and as a subscription are told.
async fn failure(connection: &Connection) -> Error {
    append(connection, "s", vec![event(b"1")]).await.expect_err("refused").error
}

async fn assert_refused(connection: &Connection, address: SocketAddr, reason: &str, parts: &[&str]) {
    let error = failure(connection).await;
    let mut running = subscribe(connection, "s", Start::Beginning);
    let told = match running.next().await {
        Given::Stopped("certificate") => "certificate",
        Given::Dropped => "again",
        other => unreachable!("{other:?}"),
    };
    assert_eq!(told, if reason == "certificate" { reason } else { "again" }, "{error}");
    for error in [error, running.error()] {
        let text = error.to_string();
        assert_eq!((error.reason(), error.retryable()), (reason, reason == "unavailable"), "{text}");
        assert!(text.contains(&address.to_string()), "{text}");
        for part in parts {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}

#[tokio::test]
async fn a_server_whose_authority_is_named_is_appended_to_and_read_from() {
    let server = server().await;
    let authority = Authority::new();
    let address = encrypted(server.local_addr(), authority.good(), None).await;
    let connection = trusting(&authority, address, "");
    fill(&connection, "s", 300).await;
    let mut running = subscribe(&connection, "s", Start::Beginning);
    assert_eq!(running.events_until(299).await.len(), 300);
    fill(&connection, "s", 1).await;
    assert_eq!(running.events_until(300).await, [300]);
}

#[tokio::test]
async fn a_name_is_checked_as_well_as_an_address() {
    let server = server().await;
    let authority = Authority::new();
    let address = encrypted(server.local_addr(), authority.good(), None).await;
    let file = encoded(authority.file());
    let named = opened(&format!("esdb://localhost:{}?tls=true&tlsCaFile={file}", address.port()));
    fill(&named.expect("usable"), "s", 1).await;
    let other = authority.issue("other", &["events.example.com", "db.example.com"], YEARS);
    let address = encrypted(server.local_addr(), other, None).await;
    let parts = ["is for", "events.example.com", "and not for 127.0.0.1"];
    assert_refused(&trusting(&authority, address, ""), address, "certificate", &parts).await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused_by_who_was_asked() {
    let server = server().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = encrypted(server.local_addr(), stranger.good(), None).await;
    let file = authority.file();
    let parts = ["is not issued by", "tlsCaFile", file.as_str()];
    assert_refused(&trusting(&authority, address, ""), address, "certificate", &parts).await;
    let (authority, namesake) = (Authority::named("one"), Authority::named("one"));
    let address = encrypted(server.local_addr(), namesake.good(), None).await;
    let parts = ["is not issued by", "its issuer's name and another key"];
    assert_refused(&trusting(&authority, address, ""), address, "certificate", &parts).await;
    let unchecked = opened(&format!("esdb://{address}?tlsVerifyCert=false")).expect("usable");
    fill(&unchecked, "s", 1).await;
}

#[tokio::test]
async fn a_certificate_of_another_time_is_refused_by_its_day() {
    let server = server().await;
    let authority = Authority::new();
    for (years, part) in
        [((2001, 2002), "has expired, on 2002-01-01"), ((2090, 2100), "is not valid before 2090-01-01")]
    {
        let issued = authority.issue("dated", &["127.0.0.1"], years);
        let address = encrypted(server.local_addr(), issued, None).await;
        assert_refused(&trusting(&authority, address, ""), address, "certificate", &[part]).await;
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_the_one_that_is_named() {
    let server = server().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = encrypted(server.local_addr(), authority.good(), Some(&authority)).await;
    let keys = |authority: &Authority| {
        authority.issue("user", &["user"], YEARS);
        let (certificate, key) = (encoded(authority.path("user.pem")), encoded(authority.path("user.key")));
        format!("&userCertFile={certificate}&userKeyFile={key}")
    };
    fill(&trusting(&authority, address, &keys(&authority)), "s", 1).await;
    let none = trusting(&authority, address, "");
    assert_refused(&none, address, "certificate", &["it wants a certificate", "userCertFile"]).await;
    let wrong = trusting(&authority, address, &keys(&stranger));
    assert_refused(
        &wrong,
        address,
        "certificate",
        &["does not accept the client's certificate, of userCertFile"],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_plainly_is_named_and_so_is_one_that_speaks_tls() {
    let server = server().await;
    let authority = Authority::new();
    let plain = server.local_addr();
    let error = failure(&trusting(&authority, plain, "")).await.to_string();
    assert!(error.contains("tls=false") && error.contains(&plain.to_string()), "{error}");
    let secure = encrypted(plain, authority.good(), None).await;
    let error = failure(&connection(secure)).await.to_string();
    assert!(error.contains("tls=true") && error.contains(&secure.to_string()), "{error}");
}

#[tokio::test]
async fn a_page_in_the_handshakes_place_is_shown_and_asked_past_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>").await.ok();
            socket.read_to_end(&mut Vec::new()).await.ok();
        }
    });
    let parts = ["does not speak TLS", "\"HTTP/1.1 400 Bad Request\"", "tls=false"];
    assert_refused(&trusting(&Authority::new(), address, ""), address, "protocol", &parts).await;
}

#[tokio::test]
async fn nobody_at_the_address_is_tried_again() {
    let address = {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        taken.local_addr().expect("bound")
    };
    let connection = trusting(&Authority::new(), address, "");
    assert_refused(&connection, address, "unavailable", &["refused"]).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("a", &["a"], YEARS);
    other.issue("b", &["b"], YEARS);
    std::fs::write(authority.path("empty"), "nothing").expect("written");
    std::fs::write(authority.path("broken"), "-----BEGIN CERTIFICATE-----\n!\n").expect("written");
    let user = |certificate: String, key: String| {
        format!("userCertFile={}&userKeyFile={}", encoded(certificate), encoded(key))
    };
    let ca = |name: &str| format!("tlsCaFile={}", encoded(authority.path(name)));
    for (keys, parts) in [
        (ca("missing"), vec!["tlsCaFile", "missing", "cannot be read", "No such file"]),
        (ca("empty"), vec!["tlsCaFile", "empty", "holds no certificate in PEM"]),
        (ca("broken"), vec!["tlsCaFile", "broken", "PEM that is broken"]),
        (
            user(authority.path("a.pem"), authority.path("none")),
            vec!["userKeyFile", "none", "cannot be read"],
        ),
        (
            user(authority.path("a.key"), authority.path("a.key")),
            vec!["userCertFile", "holds no certificate"],
        ),
        (user(authority.path("a.pem"), authority.path("a.pem")), vec!["userKeyFile", "holds no private key"]),
        (
            user(authority.path("a.pem"), other.path("b.key")),
            vec!["userKeyFile", "is not the key of", "a.pem"],
        ),
    ] {
        let error = opened(&format!("esdb://h?{keys}")).expect_err("unusable").to_string();
        for part in parts {
            assert!(error.contains(part), "{keys}: {error} lacks {part}");
        }
    }
}

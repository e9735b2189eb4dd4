//! Who calls, as servers are told.

use std::net::SocketAddr;

use crate::support::tls::opened;
use crate::support::*;
use client::{Connection, Credentials};
use reader_core::Start;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wire::connection_string::Secret;

/// Refuses every call with these words of gRPC's, and tells what it was said of who calls.
async fn doorkeeper(code: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let said = request.headers().get("authorization");
                    tell.send(said.map(|value| value.to_str().expect("text").to_owned())).ok();
                    let head = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", code)
                        .body(())
                        .expect("a head");
                    respond.send_response(head, true).ok();
                }
            });
        }
    });
    (address, told)
}

async fn said(connection: &Connection, told: &mut mpsc::UnboundedReceiver<Option<String>>) -> Option<String> {
    append(connection, "s", vec![event(b"1")]).await.expect_err("refused");
    told.recv().await.expect("a call")
}

#[tokio::test]
async fn calls_are_made_as_the_connections_user_or_as_who_is_named_for_them() {
    let (address, mut told) = doorkeeper("7").await;
    let connection = opened(&format!("esdb://us%3Aer:p%40ss@{address}?tls=false")).expect("usable");
    assert_eq!(said(&connection, &mut told).await.as_deref(), Some("Basic dXM6ZXI6cEBzcw=="));
    let user = Credentials::User { name: "ops".into(), password: Secret::new("changeit".into()) };
    let other = connection.with_credentials(&user).expect("a user");
    assert_eq!(said(&other, &mut told).await.as_deref(), Some("Basic b3BzOmNoYW5nZWl0"));
    let bearer = connection.with_credentials(&Credentials::Bearer(Secret::new("a.b.c".into())));
    assert_eq!(said(&bearer.expect("a token"), &mut told).await.as_deref(), Some("Bearer a.b.c"));
    assert_eq!(said(&connection, &mut told).await.as_deref(), Some("Basic dXM6ZXI6cEBzcw=="));
    let nobody = opened(&format!("esdb://{address}?tls=false")).expect("usable");
    assert_eq!(said(&nobody, &mut told).await, None);
}

#[tokio::test]
async fn a_wrong_password_ends_a_subscription_and_a_call_by_its_name() {
    let (address, _told) = doorkeeper("16").await;
    let connection = opened(&format!("esdb://admin:wrong@{address}?tls=false")).expect("usable");
    let refused = append(&connection, "s", vec![event(b"1")]).await.expect_err("refused");
    assert_eq!((refused.error.reason(), refused.error.retryable()), ("unauthenticated", false));
    let mut running = subscribe(&connection, "s", Start::Beginning);
    assert_eq!(running.next().await, Given::Stopped("unauthenticated"));
}

#[tokio::test]
async fn no_secret_is_shown_by_what_holds_it() {
    let (address, _told) = doorkeeper("7").await;
    let connection = opened(&format!("esdb://admin:secret99@{address}?tls=false")).expect("usable");
    let token = Credentials::Bearer(Secret::new("secret99".into()));
    let other = connection.with_credentials(&token).expect("a token");
    let shown = format!("{connection:?} {other:?} {token:?}");
    assert!(!shown.contains("secret99") && !shown.contains("c2VjcmV0OTk"), "{shown}");
    let line = Credentials::Bearer(Secret::new("secret99\n".into()));
    let error = connection.with_credentials(&line).expect_err("no line");
    assert!(!error.to_string().contains("secret99"), "{error}");
}

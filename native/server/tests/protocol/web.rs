//! Streams over plain HTTP, and who may use them.

use server::{Options, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::options;

/// The status and the body of what is answered.
async fn ask(server: &Server, head: &str, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = format!(
        "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

const EVENT: &str = "content-type: application/json\r\nes-eventtype: T";

#[tokio::test]
async fn events_are_appended_and_read_and_what_makes_no_sense_is_refused() {
    let server = Server::start(options()).await.unwrap();
    let post = |more: &str| format!("POST /streams/a%20b HTTP/1.1\r\n{EVENT}{more}");
    assert_eq!(ask(&server, &post(""), r#"{"b":1,"a":[]}"#).await.0, 201);
    let (status, body) = ask(&server, "GET /streams/a%20b/0 HTTP/1.1", "").await;
    assert_eq!((status, body.as_str()), (200, "{\n  \"b\": 1,\n  \"a\": []\n}"));
    assert!(ask(&server, "GET /streams/a%20b HTTP/1.1", "").await.1.contains("0@a b"));
    for (head, body, status) in [
        (post("\r\nes-expectedversion: 7"), "{}", 400),
        (post("\r\nes-eventid: x"), "{}", 400),
        (post(""), "", 400),
        ("POST /streams/s HTTP/1.1\r\ncontent-type: application/json".to_owned(), "{}", 400),
        ("GET /streams/a%20b/1 HTTP/1.1".to_owned(), "", 404),
        ("GET /streams/none HTTP/1.1".to_owned(), "", 404),
        ("GET /streams/a%20b/x HTTP/1.1".to_owned(), "", 400),
        ("PUT /streams/a%20b HTTP/1.1".to_owned(), "", 405),
        ("GET /streams/ HTTP/1.1".to_owned(), "", 404),
    ] {
        assert_eq!(ask(&server, &head, body).await.0, status, "{head}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_users_asks_who_it_is() {
    let server = Server::start(Options { users: true, ..options() }).await.unwrap();
    let with =
        |credentials: &str| format!("POST /streams/s HTTP/1.1\r\n{EVENT}\r\nauthorization: {credentials}");
    assert_eq!(ask(&server, &format!("POST /streams/s HTTP/1.1\r\n{EVENT}"), "{}").await.0, 401);
    assert_eq!(ask(&server, &with("Basic YWRtaW46d3Jvbmc="), "{}").await.0, 401);
    assert_eq!(ask(&server, &with("Basic YWRtaW46Y2hhbmdlaXQ="), "{}").await.0, 201);
    assert_eq!(ask(&server, "POST /admin/shutdown HTTP/1.1", "").await.0, 401);
    for path in ["/health/live", "/info", "/gossip"] {
        assert!(ask(&server, &format!("GET {path} HTTP/1.1"), "").await.0 < 300, "{path}");
    }
    server.shutdown().await;
}

//! The server as a command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output, Stdio};

use common::{Process, all, any, append, client, event};

const BINARY: &str = env!("CARGO_BIN_EXE_penstock-server");

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

#[test]
fn it_says_where_it_listens_and_ends_with_0_on_sigterm_and_sigint() {
    for signal in ["-TERM", "-INT"] {
        let mut child = Command::new(BINARY).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening 127.0.0.1:").unwrap();
        std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn wrong_arguments_are_named_and_answered_with_the_usage_and_2() {
    for (arguments, named) in [
        (&["--port", "70000"][..], "--port takes a number from 0 to 65535, not \"70000\""),
        (&["--port"], "--port needs a number"),
        (&["--data"], "--data needs a folder"),
        (&["--data", "x", "--memory"], "--data and --memory exclude each other"),
        (&["--verbose"], "unknown argument \"--verbose\""),
        (&["--data", "--memory"], "--data needs a folder, but is followed by \"--memory\""),
        (&["--port", "--help"], "--port needs a number from 0 to 65535, but is followed by \"--help\""),
        (
            &["--data", "x", "--segment", "4095"],
            "--segment takes a number of bytes from 4096 to 1073741824, not \"4095\"",
        ),
        (&["--data", "x", "--segment", "1073741825"], "--segment takes a number of bytes"),
        (&["--data", "x", "--segment", "64MB"], "--segment takes a number of bytes"),
        (&["--segment"], "--segment needs a number of bytes"),
        (&["--segment", "4096"], "--segment needs --data"),
        (&["--tls"], "--tls needs self-made, or a certificate and its key"),
        (&["--tls", "c.pem"], "--tls needs the key of the certificate as well"),
        (&["--tls", "self-made", "--insecure"], "--insecure and --tls exclude each other"),
        (&["--users", "--insecure"], "--insecure and --users exclude each other"),
        (&["--cluster", "1"], "--cluster takes a number of nodes from 2 to 9, not \"1\""),
        (&["--cluster", "3", "--data", "x"], "--cluster and --data exclude each other"),
        (&["--advertise"], "--advertise needs HOST or HOST:PORT"),
        (&["--advertise", "a:b"], "--advertise takes HOST or HOST:PORT, a name or an IP address"),
        (&["--advertise", "a:b"], "not \"a:b\""),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text.contains(named) && text.contains("usage:"), "{arguments:?}: {text}");
    }
}

#[test]
fn arguments_that_are_not_utf_8_are_named_and_folders_may_have_such_names() {
    let odd = OsStr::from_bytes(b"--d\xff");
    let output = Command::new(BINARY).arg(odd).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("unknown argument \"--d\\xFF\""), "{text}");

    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(OsStr::from_bytes(b"events\xff"));
    let mut child = Command::new(BINARY)
        .args(["--port", "0", "--data"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("listening "), "{line:?}");
    assert!(folder.is_dir());
}

#[test]
fn a_port_in_use_is_named_and_answered_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&format!("port {port} is in use")));
}

#[test]
fn a_folder_that_cannot_be_made_is_named_and_answered_with_1() {
    let output = run(&["--port", "0", "--data", "/proc/no/such"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/proc/no/such"));
}

#[test]
fn help_names_the_default_of_every_option() {
    let output = run(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "default 2113",
        "--memory keep events in memory until the server ends (the default)",
        "(default: where it listens)",
        "from 4096 to 1073741824 (default 67108864, which is 64 MiB)",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn a_check_says_what_is_whole_and_what_is_damaged_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let data = path.to_str().unwrap();
    let mut child =
        Command::new(BINARY).args(["--port", "0", "--data", data]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = run(&["--check", data]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("it is in use by another server"));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    child.wait().unwrap();

    let output = run(&["--check", data]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("00000001.log: 1 events, positions 64 to "), "{text}");
    let mut bytes = std::fs::read(path.join("00000001.log")).unwrap();
    bytes[300] ^= 1;
    std::fs::write(path.join("00000001.log"), &bytes).unwrap();
    let output = run(&["--check", data]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("damaged: 00000001.log: the frame at byte 128 is damaged or missing"), "{text}");
    assert_eq!(std::fs::read(path.join("00000001.log")).unwrap(), bytes);
}

#[tokio::test]
async fn a_log_is_kept_in_files_of_the_length_asked_for_and_goes_on_with_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let (data, mut bodies) = (folder.path().join("data"), Vec::new());
    for segment in ["4096", "65536"] {
        let mut process = Process::start_with(&data, &["--segment", segment]);
        let mut client = client(&process.address).await;
        for number in 0..20_u8 {
            let body = vec![number; 1_000];
            append(&mut client, "s", any(), vec![event(body.clone())]).await.unwrap();
            bodies.push(body);
        }
        let found = all(&mut client, "s").await;
        assert!(found.into_iter().map(|(_, body)| body).eq(bodies.iter().cloned()));
        assert!(Command::new("kill").arg(process.child.id().to_string()).status().unwrap().success());
        process.child.wait().unwrap();
    }
    let mut lengths = Vec::new();
    for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().ends_with(".log") {
            lengths.push(entry.metadata().unwrap().len());
        }
    }
    lengths.sort_unstable();
    let (last, sealed) = lengths.split_last().unwrap();
    assert!(
        sealed.len() >= 5 && sealed.iter().all(|length| *length <= 4096) && *last > 20_000,
        "{lengths:?}"
    );
    let output = run(&["--check", data.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("00000001.idx: whole"), "{text}");
}

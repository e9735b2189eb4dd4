use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Settings {
    ConnectionString::parse(text).unwrap()
}

fn message(text: &str) -> String {
    ConnectionString::parse(text).unwrap_err().to_string()
}

fn endpoint_of(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.into(), port }
}

#[test]
fn every_scheme_is_taken_with_and_without_discover_in_any_case() {
    for scheme in ["esdb", "kurrentdb", "kurrent", "kdb", "ESDB"] {
        assert!(!parsed(&format!("{scheme}://localhost")).discover);
        assert!(parsed(&format!("{scheme}+discover://localhost")).discover);
    }
}

#[test]
fn a_host_alone_gets_the_defaults() {
    let settings = parsed("esdb://localhost");
    assert_eq!(settings, Settings { hosts: vec![endpoint_of("localhost", 2113)], ..Settings::default() });
    assert!(settings.tls);
    assert!(settings.tls_verify_cert);
    assert_eq!(settings.default_deadline, Some(Duration::from_secs(10)));
}

#[test]
fn several_hosts_ports_and_ipv6_addresses_are_read() {
    let settings = parsed("esdb://a.example:1,10.0.0.1,[::1]:3,[fe80::1]/?tls=false");
    let hosts = vec![
        endpoint_of("a.example", 1),
        endpoint_of("10.0.0.1", 2113),
        endpoint_of("::1", 3),
        endpoint_of("fe80::1", 2113),
    ];
    assert_eq!(settings.hosts, hosts);
    assert_eq!(settings.hosts[2].to_string(), "[::1]:3");
    assert!(!settings.tls);
}

#[test]
fn the_user_is_split_from_the_password_before_either_is_decoded() {
    let credentials = parsed("esdb://us%3Aer:pa:s%40s%2F@localhost").credentials.unwrap();
    assert_eq!(credentials.user, "us:er");
    assert_eq!(credentials.password.expose(), "pa:s@s/");
}

#[test]
fn an_unescaped_at_belongs_to_the_password() {
    let settings = parsed("esdb://admin:p@ss@localhost:7");
    assert_eq!(settings.credentials.unwrap().password.expose(), "p@ss");
    assert_eq!(settings.hosts, vec![endpoint_of("localhost", 7)]);
}

#[test]
fn every_key_is_read_in_any_case() {
    let settings = parsed(
        "esdb://h?TLS=True&tlsverifycert=false&TLSCAFILE=%2Fca.pem&userCertFile=c&userKeyFile=k&maxDiscoverAttempts=3\
         &discoveryInterval=50&gossipTimeout=2&nodePreference=READONLYREPLICA&keepAliveInterval=-1\
         &keepAliveTimeout=1500&defaultDeadline=-1&connectionName=a%20b&throwOnAppendFailure=false",
    );
    let expected = Settings {
        hosts: vec![endpoint_of("h", 2113)],
        discover: false,
        credentials: None,
        tls: true,
        tls_verify_cert: false,
        tls_ca_file: Some("/ca.pem".into()),
        user_cert_file: Some("c".into()),
        user_key_file: Some("k".into()),
        max_discover_attempts: 3,
        discovery_interval: Duration::from_millis(50),
        gossip_timeout: Duration::from_secs(2),
        node_preference: NodePreference::ReadOnlyReplica,
        keep_alive_interval: None,
        keep_alive_timeout: Some(Duration::from_millis(1500)),
        default_deadline: None,
        connection_name: Some("a b".into()),
        throw_on_append_failure: false,
    };
    assert_eq!(settings, expected);
}

#[test]
fn an_error_names_the_part_what_it_got_and_what_it_takes() {
    for (text, parts) in [
        ("localhost:2113", vec!["no scheme", "esdb://"]),
        ("http://localhost", vec!["\"http\"", "kurrentdb://"]),
        ("esdb://", vec!["lacks a host"]),
        ("esdb://a,,b", vec!["lacks a host"]),
        ("esdb://a b", vec!["\"a b\"", "a name"]),
        ("esdb://[::1", vec!["\"[::1\"", "brackets"]),
        ("esdb://::1", vec!["\"::1\"", "brackets"]),
        ("esdb://::1:2113", vec!["\"::1:2113\"", "brackets", "[address]:port"]),
        ("esdb://a,fe80::1:2113", vec!["\"fe80::1:2113\"", "brackets"]),
        ("esdb://[nonsense]", vec!["\"nonsense\"", "brackets"]),
        ("esdb://h:0", vec!["\"h\"", "is 0", "1 to 65535"]),
        ("esdb://h:70000", vec!["70000", "1 to 65535"]),
        ("esdb://h:", vec!["1 to 65535"]),
        ("esdb://admin@h", vec!["without a password"]),
        ("esdb://:p@h", vec!["user", "not empty"]),
        ("esdb://h/path", vec!["\"path\"", "?key=value"]),
        ("esdb://h?tls", vec!["\"tls\"", "key=value"]),
        ("esdb://h?nonsense=1", vec!["\"nonsense\"", "tlsVerifyCert", "connectionName"]),
        ("esdb://h?tls=true&TLS=true", vec!["tls", "more than once"]),
        ("esdb://h?tls=yes", vec!["tls", "\"yes\"", "true or false"]),
        ("esdb://h?defaultDeadline=soon", vec!["defaultDeadline", "\"soon\"", "milliseconds"]),
        ("esdb://h?keepAliveInterval=-2", vec!["keepAliveInterval", "\"-2\"", "-1 for never"]),
        ("esdb://h?defaultDeadline=0", vec!["defaultDeadline", "\"0\"", "from 1 to 2147483647"]),
        ("esdb://h?defaultDeadline=2147483648", vec!["defaultDeadline", "\"2147483648\"", "-1 for never"]),
        ("esdb://h?defaultDeadline=360000000000000", vec!["defaultDeadline", "-1 for never"]),
        ("esdb://h?defaultDeadline=18446744073709551616", vec!["defaultDeadline", "-1 for never"]),
        ("esdb://h?keepAliveInterval=0", vec!["keepAliveInterval", "\"0\"", "from 100 to 2147483647"]),
        ("esdb://h?keepAliveInterval=99", vec!["keepAliveInterval", "\"99\"", "from 100"]),
        ("esdb://h?keepAliveTimeout=0", vec!["keepAliveTimeout", "\"0\"", "from 100 to 2147483647"]),
        ("esdb://h?keepAliveTimeout=9223372036854775807", vec!["keepAliveTimeout", "-1 for never"]),
        ("esdb://h?discoveryInterval=0", vec!["discoveryInterval", "\"0\"", "from 1 to 2147483647"]),
        ("esdb://h?discoveryInterval=2147483648", vec!["discoveryInterval", "\"2147483648\""]),
        ("esdb://h?gossipTimeout=0", vec!["gossipTimeout", "\"0\"", "from 1 to 86400"]),
        ("esdb://h?gossipTimeout=86401", vec!["gossipTimeout", "\"86401\"", "seconds"]),
        ("esdb://h?maxDiscoverAttempts=4294967296", vec!["maxDiscoverAttempts", "\"4294967296\""]),
        ("esdb://h?maxDiscoverAttempts=0", vec!["maxDiscoverAttempts", "\"0\"", "from 1"]),
        ("esdb://h?nodePreference=any", vec!["nodePreference", "\"any\"", "readOnlyReplica"]),
        ("esdb://h?connectionName=%zz", vec!["connectionName", "\"%zz\""]),
        ("esdb://h?userCertFile=c", vec!["userCertFile", "userKeyFile"]),
    ] {
        let message = message(text);
        for part in parts {
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}

#[test]
fn no_part_of_a_password_is_shown_whatever_is_wrong_with_it() {
    for text in [
        "esdb://admin:hun%zzter2@h",
        "esdb://admin:hunter2@h:0",
        "esdb://admin:/hunter2@h",
        "esdb://admin:?hunter2=1@h",
        "esdb://admin:12?hunter2@h",
        "esdb://admin:#hunter2@h",
        "esdb://admin:hunter2",
        "esdb://admin:hunter2:1",
        "esdb://admin:hunter2:::",
        "admin:hunter2@h",
    ] {
        let error = ConnectionString::parse(text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hun") && !shown.contains("ter2"), "{text}: {shown}");
    }
    let shown = format!("{:?}", parsed("esdb://admin:hunter2@h"));
    assert!(shown.contains("admin") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn one_longer_than_it_can_be_is_refused_with_its_length_and_nothing_of_it() {
    let hosts = vec!["h"; MOST_BYTES].join(",");
    let error = ConnectionString::parse(&format!("esdb://admin:hunter2@{hosts}")).unwrap_err();
    assert_eq!(error.to_string(), "the connection string has 32788 bytes; it takes 16384 at most");
    let longest = format!("esdb://{:h<1$}", "h", MOST_BYTES - "esdb://".len());
    assert_eq!(longest.len(), MOST_BYTES);
    assert!(ConnectionString::parse(&longest).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(esdb://)?[a-z0-9:@/?&=%\\[\\],#\\PC]{0,60}") {
        let _ = ConnectionString::parse(&text);
    }

    #[test]
    fn any_password_survives_encoding(password in "\\PC{0,20}") {
        let encoded = percent_encoding::utf8_percent_encode(&password, percent_encoding::NON_ALPHANUMERIC);
        let settings = parsed(&format!("esdb://u:{encoded}@h"));
        let read = settings.credentials.unwrap();
        prop_assert_eq!(read.password.expose(), password);
    }
}

//! Who makes a call, and how: what its headers say of that, read once for every call.
//!
//! What is no value of a header is as good as none, as with a real server that is insecure: it looks at no credentials,
//! and every value of `requires-leader` is fine on a leader. A timeout that is none by gRPC's rules is ignored, too.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

const REQUIRES_LEADER: &str = "requires-leader";
const CONNECTION_NAME: &str = "connection-name";
const TIMEOUT: &str = "grpc-timeout";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose name it uses.
    pub user: User,
    /// Whether only a leader may answer.
    pub requires_leader: bool,
    /// What it calls its connection.
    pub connection: Option<String>,
    /// When it does not wait any more.
    pub deadline: Option<Instant>,
}

/// Whose name a call is made in.
#[derive(Clone, PartialEq, Eq)]
pub enum User {
    /// Nobody's: there are no credentials, or none of a kind that is known.
    Nobody,
    /// That of a user, who is not known to be the caller before the password was looked at.
    Named {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// There are credentials, and they cannot be read.
    Unreadable,
}

/// Passwords are for nobody to see.
impl fmt::Debug for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => formatter.write_str("Nobody"),
            Self::Named { name, password } if password.is_empty() => {
                write!(formatter, "{name:?} without a password")
            }
            Self::Named { name, .. } => write!(formatter, "{name:?}"),
            Self::Unreadable => formatter.write_str("Unreadable"),
        }
    }
}

impl Caller {
    /// Who makes a call with these headers that came in now.
    pub fn of(headers: &HeaderMap, now: Instant) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            user: user(headers),
            requires_leader: text(REQUIRES_LEADER)
                .is_some_and(|value: &str| value.trim().eq_ignore_ascii_case("true")),
            connection: text(CONNECTION_NAME).map(str::to_owned),
            deadline: text(TIMEOUT).and_then(timeout).and_then(|timeout| now.checked_add(timeout)),
        }
    }
}

/// Whoever names several users names none.
fn user(headers: &HeaderMap) -> User {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return User::Nobody };
    match basic(value) {
        Some(encoded) => named(encoded).unwrap_or(User::Unreadable),
        None => User::Nobody,
    }
}

/// What follows the scheme, if that is `Basic`.
fn basic(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    let (scheme, encoded) = text.split_once(' ').unwrap_or((text, ""));
    scheme.eq_ignore_ascii_case("basic").then_some(encoded.trim())
}

/// A name has no colon; a password may.
fn named(encoded: &str) -> Option<User> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some(User::Named { name: name.to_owned(), password: password.to_owned() })
}

/// gRPC: a positive number of at most eight digits, and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(headers: &[(&'static str, &str)]) -> Caller {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Caller::of(&map, Instant::now())
    }

    fn named(name: &str, password: &str) -> User {
        User::Named { name: name.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn who_says_nothing_is_nobody_and_waits_for_ever() {
        let nobody = Caller { user: User::Nobody, requires_leader: false, connection: None, deadline: None };
        assert_eq!(caller(&[]), nobody);
    }

    #[test]
    fn credentials_are_read_and_those_that_cannot_be_are_told_from_none() {
        for (value, wanted) in [
            ("Basic YWRtaW46Y2hhbmdlaXQ=", named("admin", "changeit")),
            ("basic  YWRtaW46Y2hhbmdlaXQ= ", named("admin", "changeit")),
            ("Basic dTpwOnE=", named("u", "p:q")),
            ("Basic OnA=", named("", "p")),
            ("Basic dTo=", named("u", "")),
            ("Basic w7w6cMOk", named("ü", "pä")),
            ("Basic", User::Unreadable),
            ("Basic dQ==", User::Unreadable),
            ("Basic YWRtaW46Y2hhbmdlaXQ", User::Unreadable),
            ("Basic !!!!", User::Unreadable),
            ("Basic //86", User::Unreadable),
            ("Bearer YWRtaW46Y2hhbmdlaXQ=", User::Nobody),
            ("", User::Nobody),
            ("ä", User::Nobody),
        ] {
            assert_eq!(caller(&[("authorization", value)]).user, wanted, "{value:?}");
        }
        let twice = [("authorization", "Basic dTo="), ("authorization", "Basic dTpw")];
        assert_eq!(caller(&twice).user, User::Nobody);
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", caller(&[("authorization", "Basic YWRtaW46Y2hhbmdlaXQ=")]));
        assert!(shown.contains("admin") && !shown.contains("changeit"), "{shown}");
    }

    #[test]
    fn only_true_requires_a_leader_and_a_connection_has_the_name_that_it_was_given() {
        for (value, wanted) in
            [("true", true), ("True", true), (" TRUE ", true), ("false", false), ("1", false), ("", false)]
        {
            assert_eq!(caller(&[("requires-leader", value)]).requires_leader, wanted, "{value:?}");
        }
        for (value, wanted) in [("of a test", Some("of a test")), ("", Some("")), ("ä", None)] {
            assert_eq!(caller(&[("connection-name", value)]).connection.as_deref(), wanted, "{value:?}");
        }
    }

    #[test]
    fn a_timeout_is_that_of_grpc_and_what_is_none_is_ignored() {
        for (text, wanted) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("00000001S", Some(Duration::from_secs(1))),
            ("0S", None),
            ("100000000n", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1s", None),
            ("1 S", None),
            ("1ä", None),
            ("", None),
        ] {
            assert_eq!(timeout(text), wanted, "{text:?}");
        }
        // The clock has an end.
        assert!(caller(&[("grpc-timeout", "1S")]).deadline.is_some());
        assert_eq!(caller(&[("grpc-timeout", "ages")]).deadline, None);
    }
}

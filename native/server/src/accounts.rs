//! Users as they are kept: each in a stream of its own, `$user-NAME`, and the names of all in `$users`.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use store_core::{
    ADMINS, Answer, Command, Direction, Expected, Fault, Found, NewEvent, PageSize, Principal, Record,
    StreamRead, Ticks,
};
use uuid::Uuid;

use crate::engine::Engine;
use crate::passwords::Hashed;

/// Who operates a server without being an administrator of it.
pub const OPERATORS: &str = "$ops";
/// The password of the users that every server begins with.
const FIRST_PASSWORD: &str = "changeit";

const USERS: &str = "$users";
/// The type of the events in both.
const USER: &str = "$User";

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name by which it calls.
    pub name: String,
    /// What it is called by others.
    pub full_name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Whether it may not call for now.
    pub disabled: bool,
    /// What is kept of its password.
    pub password: Hashed,
}

/// A user as it was found.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The user.
    pub account: Account,
    /// How many changes there were before: the revision of its event.
    pub revision: u64,
    /// When it was changed.
    pub changed: Ticks,
}

impl Account {
    /// The user as a principal.
    pub fn principal(&self) -> Principal {
        Principal { name: self.name.clone(), groups: self.groups.clone() }
    }

    fn data(&self) -> Bytes {
        let Self { name, full_name, groups, disabled, password } = self;
        let value = json!({
            "loginName": name,
            "fullName": full_name,
            "salt": password.salt,
            "hash": password.hash,
            "iterations": password.iterations.get(),
            "disabled": disabled,
            "groups": groups,
        });
        value.to_string().into()
    }

    fn parse(data: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(data).ok()?;
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let groups = value.get("groups")?.as_array()?;
        let iterations = u32::try_from(value.get("iterations")?.as_u64()?).ok()?;
        Some(Self {
            name: text("loginName")?,
            full_name: text("fullName")?,
            groups: groups.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect(),
            disabled: value.get("disabled")?.as_bool()?,
            password: Hashed {
                salt: text("salt")?,
                hash: text("hash")?,
                iterations: NonZeroU32::new(iterations)?,
            },
        })
    }
}

fn stream_of(name: &str) -> String {
    format!("$user-{name}")
}

/// What is kept of a user, unless there is none of this name.
pub async fn find(engine: &Arc<Engine>, name: &str) -> Result<Option<Kept>, Fault> {
    let stream = stream_of(name);
    let found = engine.read(move |store, now| {
        let (direction, size) = (Direction::Backwards, PageSize::events(1));
        let read =
            StreamRead { name: &stream, from: u64::MAX, direction, size, resolve: false, unlimited: false };
        Ok(match store.read_stream(&read, now)? {
            Found::Stream(found) => found.page.events.into_iter().next().and_then(|pair| pair.event),
            Found::Missing => None,
        })
    });
    let kept = |record: Record| {
        let Record { revision, created: changed, .. } = record;
        Some(Kept { account: Account::parse(record.data())?, revision, changed })
    };
    match found.await {
        // Who was deleted for ever is gone as well.
        Err(Fault::StreamDeleted(_)) => Ok(None),
        found => Ok(found?.and_then(kept)),
    }
}

/// The names of all users that there ever were, in the order in which they came.
pub async fn names(engine: &Arc<Engine>) -> Result<Vec<String>, Fault> {
    let mut names: Vec<String> = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let page = engine.read(move |store, now| {
            let (direction, size) = (Direction::Forwards, PageSize::events(256));
            let read = StreamRead { name: USERS, from, direction, size, resolve: false, unlimited: false };
            store.read_stream(&read, now)
        });
        let Found::Stream(found) = page.await? else { break };
        next = found.page.next;
        for record in found.page.events.into_iter().filter_map(|pair| pair.event) {
            let name = String::from_utf8_lossy(record.data()).into_owned();
            if record.kind() == USER && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// The change that a user is from now on as it is here, if there were so many changes before.
pub fn change(account: &Account, expected: Expected) -> Command {
    let event = event(account.data(), true);
    Command::Append { stream: stream_of(&account.name), expected, events: vec![event] }
}

/// The change that there is a user of this name.
pub fn enlist(name: &str) -> Command {
    let event = event(Bytes::copy_from_slice(name.as_bytes()), false);
    Command::Append { stream: USERS.to_owned(), expected: Expected::Any, events: vec![event] }
}

/// The change that there is no such user any more.
pub fn remove(name: &str, revision: u64) -> Command {
    Command::Delete { stream: stream_of(name), expected: Expected::Revision(revision) }
}

fn event(data: Bytes, json: bool) -> NewEvent {
    NewEvent { id: Uuid::new_v4().as_u128(), kind: USER.to_owned(), json, data, custom: Bytes::new() }
}

/// Makes the users that every server begins with, unless there were users before.
pub async fn furnish(engine: &Arc<Engine>) -> Result<(), Fault> {
    if !names(engine).await?.is_empty() {
        return Ok(());
    }
    for (name, full_name, group) in
        [("admin", "Event Store Administrator", ADMINS), ("ops", "Event Store Operations", OPERATORS)]
    {
        let hashed = tokio::task::spawn_blocking(|| Hashed::of(FIRST_PASSWORD)).await;
        let password = hashed.map_err(|error| {
            Fault::Storage(store_core::StorageError::Failed(format!("no password can be kept: {error}")))
        })?;
        let account = Account {
            name: name.to_owned(),
            full_name: full_name.to_owned(),
            groups: vec![group.to_owned()],
            disabled: false,
            password,
        };
        // The name first: a user that is not listed would be made anew at the next start.
        engine.write(enlist(name), None, None).await?;
        if let Answer::Wrong { .. } = engine.write(change(&account, Expected::NoStream), None, None).await? {
            tracing::debug!(name, "the user was there before");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_as_it_was_written_and_what_is_none_is_not() {
        let account = Account {
            name: "ada".into(),
            full_name: "Ada".into(),
            groups: vec!["$ops".into()],
            disabled: true,
            password: Hashed { salt: "s".into(), hash: "h".into(), iterations: NonZeroU32::MIN },
        };
        assert_eq!(Account::parse(&account.data()), Some(account));
        for data in ["", "{}", r#"{"loginName":"a"}"#] {
            assert_eq!(Account::parse(data.as_bytes()), None);
        }
    }
}

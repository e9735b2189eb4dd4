//! Who may do what with a stream: what its metadata says (`$acl`), and what holds where that says nothing.
//!
//! Whoever is nobody may do nothing. Members of `$admins` may do everything. Others may do what the stream's `$acl` says,
//! and what it does not mention is up to the defaults: those of the stream `$settings`, and without them everybody for
//! streams of users, `$admins` for those whose name begins with `$`.

use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::limits::metadata_stream;
use crate::store::Store;

/// Whose members may do everything.
pub const ADMINS: &str = "$admins";
/// Who everybody is that has a name.
const EVERYBODY: &str = "$all";
/// The stream whose last event has the defaults.
const SETTINGS: &str = "$settings";

/// What can be done with a stream. Of a stream of metadata, that is something done with the metadata of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read it, or to subscribe to it.
    Read,
    /// To append to it.
    Write,
    /// To delete it, softly or for ever.
    Delete,
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl Principal {
    /// Whether it is a member of a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }

    fn is(&self, role: &str) -> bool {
        role == EVERYBODY || role == self.name || self.is_in(role)
    }
}

impl Store {
    /// Whether somebody, or nobody, may do something with a stream.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub fn allows(&self, who: Option<&Principal>, stream: &str, right: Right) -> Result<bool, Fault> {
        let Some(who) = who else { return Ok(false) };
        if who.is_in(ADMINS) {
            return Ok(true);
        }
        let (described, key) = match (stream.strip_prefix("$$"), right) {
            (Some(described), Right::Read) => (described, "$mr"),
            (Some(described), Right::Write | Right::Delete) => (described, "$mw"),
            (None, Right::Read) => (stream, "$r"),
            (None, Right::Write) => (stream, "$w"),
            (None, Right::Delete) => (stream, "$d"),
        };
        let metadata = self.last_object(&metadata_stream(described))?;
        if let Some(allowed) = metadata.as_ref().and_then(|metadata| says(metadata.get("$acl")?, key, who)) {
            return Ok(allowed);
        }
        let of_system = described.starts_with('$');
        let defaults = if of_system { "$systemStreamAcl" } else { "$userStreamAcl" };
        let settings = self.last_object(SETTINGS)?;
        let said = settings.as_ref().and_then(|settings| says(settings.get(defaults)?, key, who));
        Ok(said.unwrap_or(!of_system))
    }

    /// The last event of a stream, if it is an object in JSON.
    fn last_object(&self, name: &str) -> Result<Option<Map<String, Value>>, Fault> {
        let Some(stream) = self.streams.get(name).filter(|stream| !stream.tombstoned) else {
            return Ok(None);
        };
        let Some(last) = stream.last else { return Ok(None) };
        let record = self.storage.event(stream.number, last)?;
        let object = record.filter(|record| record.json).map(|record| serde_json::from_slice(record.data()));
        Ok(object.and_then(Result::ok))
    }
}

/// What a list says of somebody, unless it does not mention the right. What is no role is nobody's.
fn says(list: &Value, key: &str, who: &Principal) -> Option<bool> {
    match list.get(key)? {
        Value::Null => None,
        Value::String(role) => Some(who.is(role)),
        Value::Array(roles) => Some(roles.iter().filter_map(Value::as_str).any(|role| who.is(role))),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::{Command, Expected};
    use crate::event::NewEvent;

    fn who(name: &str, groups: &[&str]) -> Principal {
        Principal { name: name.to_owned(), groups: groups.iter().map(|group| (*group).to_owned()).collect() }
    }

    fn describe(store: &mut Store, stream: &str, metadata: &str) {
        let (stream, metadata) = (stream.to_owned(), metadata.to_owned());
        store.execute(&Command::SetMetadata { stream, expected: Expected::Any, metadata }, 1).unwrap();
    }

    fn allowed(store: &Store, who: &Principal, stream: &str) -> [bool; 3] {
        [Right::Read, Right::Write, Right::Delete]
            .map(|right| store.allows(Some(who), stream, right).unwrap())
    }

    #[test]
    fn nobody_may_do_nothing_admins_everything_and_others_what_is_not_the_systems() {
        let store = Store::in_memory(1);
        let (admin, ops) = (who("x", &["$admins"]), who("ops", &["$ops"]));
        for stream in ["s", "$all", "$$s", "$$$all"] {
            for right in [Right::Read, Right::Write, Right::Delete] {
                assert_eq!(store.allows(None, stream, right), Ok(false), "{stream}");
            }
            assert_eq!(allowed(&store, &admin, stream), [true; 3], "{stream}");
        }
        assert_eq!(allowed(&store, &ops, "s"), [true; 3]);
        assert_eq!(allowed(&store, &ops, "$$s"), [true; 3]);
        assert_eq!(allowed(&store, &ops, "$all"), [false; 3]);
        assert_eq!(allowed(&store, &ops, "$$$all"), [false; 3]);
    }

    #[test]
    fn a_list_names_users_groups_or_everybody_and_what_it_does_not_mention_is_up_to_the_defaults() {
        let mut store = Store::in_memory(1);
        let (ada, ops) = (who("ada", &[]), who("ops", &["$ops"]));
        describe(&mut store, "s", r#"{"$acl":{"$r":"ada","$w":["ada","$ops"],"$mr":[],"$mw":"$all"}}"#);
        assert_eq!(allowed(&store, &ada, "s"), [true, true, true]);
        assert_eq!(allowed(&store, &ops, "s"), [false, true, true]);
        assert_eq!(allowed(&store, &ops, "$$s"), [false, true, true]);
        describe(&mut store, "s", r#"{"$acl":{"$d":7,"$r":null}}"#);
        assert_eq!(allowed(&store, &ada, "s"), [true, true, false]);
        for broken in ["", "{", "[]", r#"{"$acl":"ada"}"#] {
            describe(&mut store, "s", broken);
            assert_eq!(allowed(&store, &ada, "s"), [true; 3], "{broken}");
        }
        describe(&mut store, "$all", r#"{"$acl":{"$r":"$ops"}}"#);
        assert_eq!(allowed(&store, &ops, "$all"), [true, false, false]);
    }

    #[test]
    fn settings_have_the_last_word_where_a_stream_says_nothing() {
        let mut store = Store::in_memory(1);
        let data = r#"{"$userStreamAcl":{"$w":"$ops"},"$systemStreamAcl":{"$r":"$all"}}"#;
        let event = NewEvent { id: 1, kind: "k".into(), json: true, data: data.into(), custom: Bytes::new() };
        let (stream, expected) = (SETTINGS.to_owned(), Expected::Any);
        store.execute(&Command::Append { stream, expected, events: vec![event] }, 1).unwrap();
        let ada = who("ada", &[]);
        assert_eq!(allowed(&store, &ada, "s"), [true, false, true]);
        assert_eq!(allowed(&store, &ada, "$s"), [true, false, false]);
        describe(&mut store, "s", r#"{"$acl":{"$w":"ada"}}"#);
        assert_eq!(allowed(&store, &ada, "s"), [true; 3]);
    }
}

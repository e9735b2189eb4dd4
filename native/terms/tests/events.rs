//! Events as terms: captured ones and random ones, in the fixture that the Elixir tests compare with the BEAM's terms.
//!
//! `PENSTOCK_WRITE_FIXTURES=1 cargo test -p terms` writes the fixture anew.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::Value;
use support::{External, Term, read};
use terms::event::write;
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::read_event::{Position, RecordedEvent};
use wire::proto::streams::read_resp::{Content, ReadEvent};
use wire::proto::uuid::{Structured, Value as UuidValue};
use wire::proto::{StreamIdentifier, Uuid};
use wire::recorded::{Message, check, parse};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test");

fn captured() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(format!("{TESTS}/captures/eventstoredb-24.10.4.json")).unwrap();
    let calls: Vec<Value> = serde_json::from_str(&text).unwrap();
    let reads = calls.iter().filter(|call| call["call"] == "Streams/Read");
    let responses = reads.flat_map(|call| call["responses"].as_array().unwrap());
    responses.map(|response| STANDARD.decode(response["bytes"].as_str().unwrap()).unwrap()).collect()
}

/// Numbers that are the same in every run: the fixture is made of them.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ self.0 >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ mixed >> 33
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn any_size(&mut self) -> u64 {
        let shift = self.below(64);
        self.next() >> shift
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    fn json(&mut self, depth: u64) -> String {
        let items = |numbers: &mut Self| -> Vec<String> {
            (0..numbers.below(5)).map(|_| numbers.json(depth - 1)).collect()
        };
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 if self.below(12) == 0 => self.one_of(&["1e400", "{"]).to_owned(),
            0 => self.one_of(&["null", "true", "false", "-0"]).to_owned(),
            1 => format!("{}{}", self.one_of(&["", "-"]), self.any_size()),
            2 => format!("{}{}", 1 + self.any_size(), self.any_size()),
            3 => format!("{:?}", self.any_size() as f64 / 1024.0),
            4 => format!("\"{}\"", self.one_of(&["", "é\\n\\u0000", "x", &"long ".repeat(20)])),
            5 => format!("[{}]", items(self).join(" , ")),
            _ => {
                let entries: Vec<String> = items(self)
                    .into_iter()
                    .map(|item| format!("\"{}\":{item}", self.one_of(&["a", "b", "name", "é"])))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let most = self.one_of(&[1, 63, 64, 65, 100, 700]);
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }

    fn recorded(&mut self) -> RecordedEvent {
        let id = match self.below(4) {
            0 => None,
            1 => Some(UuidValue::String("0123ABCD-89ab-cdef-FEDC-ba9876543210".into())),
            _ => Some(UuidValue::Structured(Structured {
                most_significant_bits: self.next() as i64,
                least_significant_bits: self.next() as i64,
            })),
        };
        let is_json = self.below(3) > 0;
        let content_type = if is_json { "application/json" } else { "application/octet-stream" };
        let mut metadata = BTreeMap::from([
            ("type".to_owned(), self.one_of(&["OrderPlaced", "$>", "", "é"]).to_owned()),
            ("content-type".to_owned(), content_type.to_owned()),
        ]);
        if self.below(5) > 0 {
            metadata.insert("created".into(), self.below(2_534_023_008_000_000_000).to_string());
        }
        RecordedEvent {
            id: id.map(|value| Uuid { value: Some(value) }),
            stream_identifier: Some(StreamIdentifier {
                stream_name: self.one_of(&["s", "order-1", ""]).into(),
            }),
            stream_revision: self.any_size(),
            prepare_position: self.any_size(),
            commit_position: self.any_size(),
            metadata,
            custom_metadata: if self.below(2) == 0 { Vec::new() } else { self.bytes() }.into(),
            data: if is_json { self.json(3).into_bytes() } else { self.bytes() }.into(),
        }
    }

    fn event(&mut self) -> Vec<u8> {
        let kind = self.below(6);
        let event = ReadEvent {
            event: (kind > 0).then(|| self.recorded()),
            link: (kind < 2).then(|| self.recorded()),
            position: Some(Position::CommitPosition(self.any_size())),
        };
        ReadResp { content: Some(Content::Event(event)) }.encode_to_vec()
    }
}

fn random(count: usize) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(1);
    (0..count).map(|_| numbers.event()).collect()
}

/// The event of a message as a term, if it is an event.
fn external(message: &[u8], decode: bool) -> Option<Vec<u8>> {
    let Message::Event(event) = parse(message).unwrap() else { return None };
    check(&event).unwrap();
    let mut sink = External::default();
    write(&mut sink, &event, decode);
    Some(sink.into_bytes())
}

#[test]
fn the_fixture_that_elixir_compares_with_is_what_is_written() {
    let mut entries = Vec::new();
    for message in captured().into_iter().chain(random(40)) {
        if let (Some(raw), Some(decoded)) = (external(&message, false), external(&message, true)) {
            // in a fixed order: what serde_json keeps it in depends on what else is built
            let [decoded, message, raw] = [&decoded, &message, &raw].map(|bytes| STANDARD.encode(bytes));
            entries.push(format!(r#"{{"decoded":"{decoded}","message":"{message}","raw":"{raw}"}}"#));
        }
    }
    let text = format!("[\n{}\n]\n", entries.join(",\n"));
    let path = format!("{TESTS}/fixtures/event_terms.json");
    if std::env::var_os("PENSTOCK_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == text,
        "{path} is another; PENSTOCK_WRITE_FIXTURES=1 writes it"
    );
}

fn field<'t>(term: &'t Term, name: &str) -> &'t Term {
    let Term::Map(pairs) = term else { panic!("{term:?} is no map") };
    let found = pairs.iter().find(|(key, _)| *key == Term::Atom(name.into()));
    &found.unwrap_or_else(|| panic!("no {name} in {term:?}")).1
}

#[test]
fn every_event_is_a_struct_whose_parts_are_the_messages() {
    for message in captured().iter().chain(&random(2_000)) {
        for decode in [false, true] {
            let Some(term) = external(message, decode).map(|bytes| read(&bytes)) else { continue };
            let Message::Event(event) = parse(message).unwrap() else { panic!() };
            assert_eq!(field(&term, "__struct__"), &Term::Atom("Elixir.Penstock.Event".into()));
            let original = event.event.or(event.link).unwrap();
            let revision = field(field(&term, "metadata"), "stream_revision");
            assert_eq!(revision, &Term::Integer(original.revision.into()));
            let nil = Term::Atom("nil".into());
            assert_eq!(field(&term, "link") == &nil, event.link.is_none());
            match event.event {
                None => assert_eq!((field(&term, "id"), field(&term, "body")), (&nil, &nil)),
                Some(event) if !event.is_json() || !decode => {
                    assert_eq!(field(&term, "body"), &Term::Binary(event.data.to_vec()));
                }
                Some(event) => match field(&term, "body") {
                    Term::Tuple(pair) => {
                        let expected = [Term::Atom("undecodable".into()), Term::Binary(event.data.to_vec())];
                        assert_eq!(pair, &expected);
                        assert!(serde_json::from_slice::<Value>(event.data).is_err());
                    }
                    _ => assert!(serde_json::from_slice::<Value>(event.data).is_ok()),
                },
            }
        }
    }
}

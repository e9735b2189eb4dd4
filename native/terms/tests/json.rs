//! JSON as terms, against the values that serde_json makes of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{External, Term, read};
use terms::TermSink;
use terms::json::{weight, write};

fn decoded(text: &[u8]) -> Result<Term, String> {
    let mut sink = External::default();
    write(&mut sink, text).map_err(|error| error.to_string())?;
    Ok(read(&sink.into_bytes()))
}

fn value() -> impl Strategy<Value = Value> {
    let text = || "[a-c\\\\\"\n\u{0}é€𝄞]{0,6}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |float| float.is_finite().then(|| json!(float))),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::Array),
            vec((text(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The term that a value is.
fn term(value: &Value) -> Term {
    match value {
        Value::Null => Term::Atom("nil".into()),
        Value::Bool(value) => Term::Atom(value.to_string()),
        Value::Number(number) => match number.as_i128() {
            Some(integer) => Term::Integer(integer),
            None => Term::Float(number.as_f64().unwrap()),
        },
        Value::String(text) => Term::Binary(text.as_bytes().to_vec()),
        Value::Array(list) => Term::List(list.iter().map(term).collect()),
        Value::Object(map) => Term::Map(
            map.iter().map(|(key, value)| (Term::Binary(key.as_bytes().to_vec()), term(value))).collect(),
        ),
    }
}

/// The same with the entries of maps in an order that is their own.
fn sorted(term: Term) -> Term {
    match term {
        Term::Map(mut pairs) => {
            pairs.sort_by_key(|(key, _)| format!("{key:?}"));
            Term::Map(pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Term::List(list) => Term::List(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

proptest! {
    #[test]
    fn a_document_is_the_term_of_its_value(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        prop_assert_eq!(sorted(decoded(&text.unwrap()).unwrap()), sorted(term(&value)));
    }

    #[test]
    fn what_serde_json_refuses_is_refused_and_nothing_stays_written(
        value in value(), cut in any::<prop::sample::Index>(), damage in any::<u8>(),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = cut.index(text.len());
        text[at] = damage;
        for text in [&text[..at], &text] {
            let mut sink = External::default();
            sink.begin_tuple(1);
            let read_as = serde_json::from_slice::<Value>(text);
            let written = write(&mut sink, text);
            // only integers that serde_json does not keep can be told apart
            prop_assert_eq!(written.is_ok(), read_as.is_ok(), "{:?}", String::from_utf8_lossy(text));
            if written.is_err() {
                prop_assert_eq!(sink.into_bytes(), [131, 104, 1]);
            }
        }
    }

    #[test]
    fn integers_are_exact_beside_floats_and_strings_of_digits(numbers in vec(any::<i128>(), 1..6)) {
        // beyond this they are bytes to the reader
        let numbers: Vec<i128> = numbers.into_iter().map(|number| number >> 8).collect();
        let items: Vec<String> = numbers.iter().map(|number| format!("{number},1e20,\"{number}\"")).collect();
        let Term::List(list) = decoded(format!("[{}]", items.join(",")).as_bytes()).unwrap() else { panic!() };
        for (number, read) in numbers.iter().zip(list.chunks(3)) {
            let expected =
                [Term::Integer(*number), Term::Float(1e20), Term::Binary(number.to_string().into_bytes())];
            prop_assert_eq!(read, &expected);
        }
    }
}

#[test]
fn what_is_many_terms_weighs_more_than_what_is_one() {
    assert_eq!(weight(b""), 0);
    assert_eq!(weight(&[b'x'; 100_000]), 100_000);
    assert_eq!(weight(&[b'['; 100_000]), 1_600_000);
    assert_eq!(weight(br#"{"a":[1, null]}"#), 16 * 6 + 6 + 8);
}

#[test]
fn of_equal_keys_the_last_one_counts_at_every_level() {
    let read = decoded(br#"{"a":1,"b":{"c":[],"c":{"d":2}},"a":[3,{"a":4,"a":5}]}"#).unwrap();
    let expected = decoded(br#"{"a":[3,{"a":5}],"b":{"c":{"d":2}}}"#).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn a_thousand_digits_are_exact_and_more_are_refused() {
    let longest = format!("-1{}", "0".repeat(999));
    let Term::Big(true, magnitude) = decoded(longest.as_bytes()).unwrap() else { panic!() };
    assert_eq!(terms::integer::digits(&magnitude).unwrap(), longest[1..]);
    let refused = decoded(format!("[{longest}0]").as_bytes()).unwrap_err();
    assert!(refused.contains("more than 1000 digits"), "{refused}");
}

#[test]
fn a_document_is_as_deep_as_127_levels() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(decoded(nested(127).as_bytes()).is_ok());
    assert!(decoded(nested(128).as_bytes()).unwrap_err().contains("recursion limit"));
}

//! Integers of more than 64 bits: found in JSON text, made into terms, and written as digits.

use rustler::{Encoder, Env, Term};

/// Longer integers are refused: reading and writing digits costs the square of their number.
pub const MAX_DIGITS: usize = 1000;

const MAX_BYTES: usize = 416;
const GROUP: usize = 9;
const GROUP_BASE: u32 = 1_000_000_000;

/// An integer as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    negative: bool,
    digits: String,
}

/// A document with its large integers taken out.
#[derive(Debug, Default)]
pub struct Found {
    /// The text, with 0 in place of each of them.
    pub text: Vec<u8>,
    /// They themselves, each with the count of numbers before it.
    pub integers: Vec<(usize, Large)>,
}

/// Finds the integers that fit no 64 bits, and -0. Text that is no JSON is left as it is.
pub fn find_large(text: &[u8]) -> Found {
    let mut found = Found::default();
    let mut numbers = 0;
    let mut rest = text;
    while let Some(byte) = rest.first() {
        let length = match byte {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => rest
                .iter()
                .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                .unwrap_or(rest.len()),
            _ => 1,
        };
        let (token, after) = rest.split_at(length.clamp(1, rest.len()));
        rest = after;
        match large(token) {
            Some(large) => {
                found.integers.push((numbers, large));
                found.text.push(b'0');
            }
            None => found.text.extend_from_slice(token),
        }
        if matches!(byte, b'-' | b'0'..=b'9') {
            numbers += 1;
        }
    }
    found
}

fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (place, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

fn large(token: &[u8]) -> Option<Large> {
    let (negative, digits) = match token.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, token),
    };
    let leading_zero = digits.len() > 1 && digits.starts_with(b"0");
    if digits.is_empty() || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    let fits = match digits.parse::<u64>() {
        Ok(0) => !negative,
        Ok(value) => !negative || value <= i64::MIN.unsigned_abs(),
        Err(_) => false,
    };
    (!fits).then(|| Large { negative, digits: digits.to_owned() })
}

/// The integer as a term, by way of the external term format; `None` when it has too many digits.
pub fn term<'a>(env: Env<'a>, large: &Large) -> Option<Term<'a>> {
    if large.digits == "0" {
        return Some(0.encode(env));
    }
    if large.digits.len() > MAX_DIGITS {
        return None;
    }
    let bytes = magnitude(&large.digits)?;
    let mut external = vec![131, 111];
    external.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_be_bytes());
    external.push(u8::from(large.negative));
    external.extend_from_slice(&bytes);
    env.binary_to_term(&external).map(|(term, _)| term)
}

/// Little-endian, without zeros at its end.
fn magnitude(digits: &str) -> Option<Vec<u8>> {
    let mut limbs: Vec<u32> = Vec::new();
    let first = digits.len() % GROUP;
    let (head, tail) = digits.split_at_checked(first)?;
    let groups = tail.as_bytes().chunks(GROUP).map(std::str::from_utf8);
    for group in std::iter::once(Ok(head)).chain(groups) {
        let group = group.ok()?;
        if group.is_empty() {
            continue;
        }
        let mut carry: u64 = group.parse().ok()?;
        for limb in &mut limbs {
            let value = u64::from(*limb) * u64::from(GROUP_BASE) + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let mut bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Some(bytes)
}

/// The digits of an integer term of any size; `None` when they are too many.
pub fn digits(term: Term) -> Option<String> {
    let external = term.to_binary();
    let (sign, bytes) = match external.as_slice() {
        [131, 110, _, sign, bytes @ ..] | [131, 111, _, _, _, _, sign, bytes @ ..] => (*sign, bytes),
        _ => return None,
    };
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let text = decimal(bytes);
    if text.len() > MAX_DIGITS {
        return None;
    }
    Some(if sign == 0 { text } else { format!("-{text}") })
}

fn decimal(bytes: &[u8]) -> String {
    let mut limbs: Vec<u32> = bytes
        .chunks(4)
        .map(|chunk| chunk.iter().rev().fold(0, |limb, byte| limb << 8 | u32::from(*byte)))
        .collect();
    let mut groups = Vec::new();
    while !limbs.is_empty() {
        let mut rest: u64 = 0;
        for limb in limbs.iter_mut().rev() {
            let value = rest << 32 | u64::from(*limb);
            *limb = (value / u64::from(GROUP_BASE)) as u32;
            rest = value % u64::from(GROUP_BASE);
        }
        groups.push(rest);
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
    }
    let mut text = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        text.push_str(&format!("{group:09}"));
    }
    text
}

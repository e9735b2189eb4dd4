//! Integers of more than 64 bits: found in JSON text, and their digits to bytes and back.

/// Longer integers are refused: reading and writing digits costs the square of their number.
pub const MAX_DIGITS: usize = 1000;

const MAX_BYTES: usize = 416;
const GROUP: usize = 9;
const GROUP_BASE: u32 = 1_000_000_000;

/// An integer as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// Whether a minus stands before it.
    pub negative: bool,
    digits: String,
}

impl Large {
    /// The integer of a token, if it is one that fits no 64 bits, or -0.
    fn read(token: &[u8]) -> Option<Self> {
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

    /// Its magnitude as little-endian bytes without zeros at the end; `None` when it has too many digits.
    pub fn magnitude(&self) -> Option<Vec<u8>> {
        if self.digits.len() > MAX_DIGITS { None } else { magnitude(&self.digits) }
    }
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
        match Large::read(token) {
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

/// The digits of a magnitude of little-endian bytes; `None` when they are too many.
pub fn digits(magnitude: &[u8]) -> Option<String> {
    if magnitude.len() > MAX_BYTES {
        return None;
    }
    let text = decimal(magnitude);
    (text.len() <= MAX_DIGITS).then_some(text)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_integers_beyond_64_bits_and_minus_0_are_taken_out() {
        let text = br#"[1, -0, 18446744073709551615, 18446744073709551616, "99999999999999999999\"", -9223372036854775809, 1e30, 99999999999999999999.0, 01]"#;
        let found = find_large(text);
        assert_eq!(
            String::from_utf8_lossy(&found.text),
            r#"[1, 0, 18446744073709551615, 0, "99999999999999999999\"", 0, 1e30, 99999999999999999999.0, 01]"#
        );
        let places: Vec<_> = found.integers.iter().map(|(place, large)| (*place, large.negative)).collect();
        assert_eq!(places, [(1, true), (3, false), (4, true)]);
    }

    proptest! {
        #[test]
        fn digits_become_bytes_and_bytes_digits(value in 1_u128.., zeros in 0_usize..800) {
            let text = format!("{value}{}", "0".repeat(zeros));
            let bytes = magnitude(&text).unwrap();
            prop_assert_eq!(digits(&bytes).unwrap(), text);
            let mut exact = value.to_le_bytes().to_vec();
            exact.truncate(16 - value.leading_zeros() as usize / 8);
            prop_assert_eq!(magnitude(&value.to_string()).unwrap(), exact);
        }
    }

    #[test]
    fn more_than_1000_digits_are_refused_both_ways() {
        let longest = "9".repeat(MAX_DIGITS);
        let bytes = magnitude(&longest).unwrap();
        assert_eq!(digits(&bytes).unwrap(), longest);
        let longer = Large::read(format!("-{longest}9").as_bytes()).unwrap();
        assert_eq!(longer.magnitude(), None);
        assert_eq!(digits(&magnitude(&format!("1{}", "0".repeat(MAX_DIGITS))).unwrap()), None);
        assert_eq!(digits(&[1; 500]), None);
    }
}

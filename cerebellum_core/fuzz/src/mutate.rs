//! Changes of bytes and of JSON values, from a seed.

use serde_json::Value;

/// The longest input, bytes: one more than a frame may have.
const LONGEST: usize = 64 * 1024 + 1;
/// Values that parsers tend to trip over.
const ODD: [&str; 30] = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e999",
    "-1e999",
    "1e-999",
    "NaN",
    "Infinity",
    "0.1",
    "1.",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "-9223372036854775809",
    "79228162514264337593543950336",
    "0.00000000000000000000000000001",
    "\"\"",
    "\"NaN\"",
    "\"inf\"",
    "\"1e5\"",
    "\"-0\"",
    "\"1000000000000000000000000000000\"",
    "\"0.0000000000000000001\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[[[]]]]",
];

/// A small generator of reproducible randomness (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below a bound; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap_or(0)
    }
}

/// An input, changed once by a seed; a value of it, if it is JSON.
#[must_use]
pub fn changed(input: &[u8], seed: u32) -> Vec<u8> {
    let mut random = Random::new(u64::from(seed));
    match serde_json::from_slice::<Value>(input) {
        Ok(value) => change_value(value, &mut random),
        Err(_) => change_bytes(input.to_vec(), &[input.to_vec()], &mut random),
    }
}

/// One example, changed one to four times.
#[must_use]
pub fn mutated(examples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = examples.get(random.below(examples.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        let as_json = random.below(2) == 0;
        input = match serde_json::from_slice::<Value>(&input) {
            Ok(value) if as_json => change_value(value, random),
            _ => change_bytes(input, examples, random),
        };
    }
    input.truncate(LONGEST);
    input
}

fn change_bytes(mut input: Vec<u8>, examples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let at = random.below(input.len() + 1);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 => input.insert(at, random.number().to_le_bytes()[0]),
        2 if at < input.len() => {
            input.remove(at);
        }
        3 => input.truncate(at),
        4 => {
            let end = (at + random.below(24)).min(input.len());
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        5 => {
            let odd = ODD[random.below(ODD.len())].bytes();
            let end = (at + random.below(6)).min(input.len());
            input.splice(at..end, odd);
        }
        _ => {
            let other = examples.get(random.below(examples.len())).cloned().unwrap_or_default();
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
    input
}

fn change_value(mut value: Value, random: &mut Random) -> Vec<u8> {
    let count = nodes(&value);
    let mut left = random.below(count);
    let odd = ODD[random.below(ODD.len())];
    let how = random.below(5);
    change_node(&mut value, &mut left, how, odd);
    let text = value.to_string();
    // A marker becomes a text that is no JSON value of its own, such as 1e999 or a key twice.
    text.replace("\"\u{1}\"", odd).into_bytes()
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum(),
        _ => 0,
    }
}

fn change_node(value: &mut Value, left: &mut usize, how: usize, odd: &str) -> bool {
    if *left == 0 {
        match (how, &mut *value) {
            (0, Value::Object(fields)) => {
                let first = fields.keys().next().cloned();
                first.map(|key| fields.remove(&key));
            }
            (1, Value::Object(fields)) => {
                fields.insert("unheard".to_owned(), Value::Null);
            }
            (2, Value::Array(list)) => {
                let again = list.clone();
                list.extend(again);
            }
            (3, Value::String(text)) => {
                *text = format!("{text}{}", odd.trim_matches('"'));
            }
            (4, Value::String(text)) => *text = odd.trim_matches('"').to_owned(),
            _ => *value = Value::String("\u{1}".to_owned()),
        }
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|inner| change_node(inner, left, how, odd)),
        Value::Object(fields) => {
            fields.values_mut().any(|inner| change_node(inner, left, how, odd))
        }
        _ => false,
    }
}

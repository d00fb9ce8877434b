//! Query strings, and what a request is about.

use serde_json::{Map, Value};

/// The symbol that a request names, or the first order of a batch.
#[must_use]
pub fn symbol_of(asked: &Value) -> &str {
    let named = asked.get("symbol").or_else(|| asked.pointer("/request/0/symbol"));
    named.and_then(Value::as_str).unwrap_or("")
}

/// A query string as an object of texts; the last of several values wins.
#[must_use]
pub fn read_query(raw: &str) -> Value {
    let mut fields = Map::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.insert(decode(name), Value::String(decode(value)));
    }
    Value::Object(fields)
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (digit(ahead.next()), digit(ahead.next())) {
                    (Some(high), Some(low)) => {
                        bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                        rest = ahead;
                    }
                    _ => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_never_trusted() {
        let query = read_query("symbol=BTC%55SDT&cursor=a+b&odd=%zz%4&flag&symbol=ETHUSDT");
        assert_eq!(query["symbol"], "ETHUSDT");
        assert_eq!(query["cursor"], "a b");
        assert_eq!(query["odd"], "%zz%4");
        assert_eq!(query["flag"], "");
    }
}

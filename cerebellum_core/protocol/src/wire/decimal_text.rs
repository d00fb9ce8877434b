//! A decimal number that remembers how it was written.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::Text;

/// A text that is no exact decimal number.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecimalError {
    /// It is spelled otherwise.
    #[error("{0:?} is not a decimal number such as \"0.01\"")]
    Spelling(String),
    /// It has more digits than are kept.
    #[error("{text:?} cannot be held exactly: {source}")]
    Precision {
        /// The text.
        text: String,
        /// Why not.
        source: rust_decimal::Error,
    },
}

/// Money or a size on the wire: a JSON string such as `"0.0100"`.
///
/// The spelling is kept, so decode then encode gives the same bytes; two spellings of one number
/// are different texts with equal [`DecimalText::value`]s.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecimalText {
    text: String,
    value: Decimal,
}

impl DecimalText {
    /// The number.
    #[must_use]
    pub fn value(&self) -> Decimal {
        self.value
    }

    /// The spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<Decimal> for DecimalText {
    fn from(value: Decimal) -> Self {
        let value = value.normalize();
        // A negative zero would be written "-0".
        let value = if value.is_zero() { Decimal::ZERO } else { value };
        Self { text: value.to_string(), value }
    }
}

impl FromStr for DecimalText {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (unsigned, None),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !fraction.is_none_or(digits) {
            return Err(DecimalError::Spelling(text.to_owned()));
        }
        let value = Decimal::from_str_exact(text)
            .map_err(|source| DecimalError::Precision { text: text.to_owned(), source })?;
        Ok(Self { text: text.to_owned(), value })
    }
}

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for DecimalText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for DecimalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(str::parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_survives_a_round_trip() {
        let read: DecimalText = serde_json::from_str("\"0.0100\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"0.0100\"");
        assert_eq!(read.value(), Decimal::new(1, 2));
    }

    #[test]
    fn anything_but_a_plain_decimal_string_is_refused() {
        for bad in [
            "\"\"",
            "\"1e3\"",
            "\"+1\"",
            "\".5\"",
            "\"5.\"",
            "\"NaN\"",
            "1.0",
            "\" 1\"",
            "\"-\"",
            "\"1.2.3\"",
            "null",
        ] {
            assert!(serde_json::from_str::<DecimalText>(bad).is_err(), "{bad} was accepted");
        }
        let too_long = format!("\"{}\"", "9".repeat(40));
        assert!(serde_json::from_str::<DecimalText>(&too_long).is_err());
    }

    #[test]
    fn a_negative_zero_is_written_as_zero() {
        assert_eq!(DecimalText::from(-Decimal::ZERO).as_str(), "0");
        assert_eq!(DecimalText::from(Decimal::new(-1500, 3)).as_str(), "-1.5");
    }
}

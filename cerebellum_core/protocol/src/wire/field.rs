//! Small field types shared by all messages.

use std::fmt;

use serde::{
    de::{self, Error as _},
    Deserialize, Deserializer, Serialize, Serializer,
};

/// The version of the wire that this code speaks.
pub const WIRE_VERSION: u64 = 1;

/// The field `v`: always 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(WIRE_VERSION)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            WIRE_VERSION => Ok(Self),
            other => Err(D::Error::custom(format!("v is {other}, expected {WIRE_VERSION}"))),
        }
    }
}

/// For `#[serde(deserialize_with)]`: the field may be null but must be present.
///
/// # Errors
/// Those of the inner type.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer)
}

/// A text that a field does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not {asked}")]
pub struct FieldError {
    shown: String,
    asked: &'static str,
}

/// Reads a text by a check, without a copy beside the one that the check keeps.
pub(super) struct Text<T, F>(pub(super) fn(&str) -> Result<T, F>);

impl<T, F: fmt::Display> de::Visitor<'_> for Text<T, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Checks and keeps a text.
            ///
            /// # Errors
            /// The value and what is asked for.
            pub fn new(text: &str) -> Result<Self, FieldError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let shown: String = text.chars().take(80).collect();
                    Err(FieldError { shown, asked: $what })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(Self::new))
            }
        }
    };
}

checked_text!(
    /// Names a request; its reply repeats it.
    RequestId,
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
    "a request_id: 1 to 64 characters of [A-Za-z0-9_-]"
);
checked_text!(
    /// An intent's identity: a UUID of version 7 in its hyphenated lower-case form.
    IntentId,
    is_uuid7,
    "an intent_id: a UUIDv7 in lower case such as 01890a5d-ac96-774b-bcce-b302099a8057"
);
checked_text!(
    /// An agent's or a version's name.
    Name,
    |text| (1..=128).contains(&text.len()) && !text.chars().any(char::is_control),
    "a name: 1 to 128 bytes without control characters"
);
checked_text!(
    /// A symbol as the venue spells it.
    Symbol,
    |text| (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'),
    "a symbol: 1 to 32 characters of [A-Z0-9-]"
);
checked_text!(
    /// A short text for people.
    Reason,
    |text| text.len() <= 512 && !text.chars().any(char::is_control),
    "a reason: at most 512 bytes without control characters"
);

fn is_uuid7(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'7',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        })
}

/// Buy or sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Adds to the signed position.
    Buy,
    /// Takes from the signed position.
    Sell,
}

impl Side {
    /// The other side.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// Market or limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Takes what the book offers.
    Market,
    /// Rests at its price.
    Limit,
}

/// How much is allowed; ordered from free to closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TradingState {
    /// Everything inside the limits.
    #[serde(rename = "ACTIVE")]
    Active,
    /// Only orders that make a position smaller.
    #[serde(rename = "REDUCE_ONLY")]
    ReduceOnly,
    /// No order from the arena; Cerebellum's own exits still run.
    #[serde(rename = "HALTED")]
    Halted,
}

/// A statistic: a JSON number that is never NaN and never infinite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Finite(f64);

impl Finite {
    /// The number, if it is finite.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a number that is not finite"))
    }
}

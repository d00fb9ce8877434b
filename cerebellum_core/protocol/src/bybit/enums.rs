//! The words of orders, each with a catch-all so that a new word never breaks a reader.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$inner])* $variant,)+
            /// A word that this version does not know, as it came.
            Other(String),
        }
        impl $name {
            /// The word as it travels.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::from(text.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// `orderStatus`.
    OrderStatus {
        /// Accepted, nothing filled.
        New = "New",
        /// Some of it filled, the rest is working.
        PartiallyFilled = "PartiallyFilled",
        /// Conditional and waiting for its trigger.
        Untriggered = "Untriggered",
        /// Refused.
        Rejected = "Rejected",
        /// Filled in full.
        Filled = "Filled",
        /// Cancelled; may have fills.
        Cancelled = "Cancelled",
        /// Spot: cancelled with fills.
        PartiallyFilledCanceled = "PartiallyFilledCanceled",
        /// Conditional and cancelled before its trigger.
        Deactivated = "Deactivated",
        /// Conditional and just triggered.
        Triggered = "Triggered",
    }
}

words! {
    /// `timeInForce`.
    TimeInForce {
        /// Good till cancelled.
        Gtc = "GTC",
        /// Immediate or cancel.
        Ioc = "IOC",
        /// Fill or kill.
        Fok = "FOK",
        /// Only as a maker.
        PostOnly = "PostOnly",
    }
}

impl OrderStatus {
    /// Whether an order with this status can still be filled.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled | Self::Untriggered | Self::Triggered)
    }
}

/// `side` of an order or a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    /// Buys the base asset.
    Buy,
    /// Sells the base asset.
    Sell,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// One for a buy, minus one for a sell.
    #[must_use]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }

    /// The word as it travels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "Buy",
            Self::Sell => "Sell",
        }
    }
}

/// `orderType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderType {
    /// With a price limit.
    Limit,
    /// At the market.
    Market,
}

impl OrderType {
    /// The word as it travels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "Limit",
            Self::Market => "Market",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_survives_the_round_trip() {
        let status: OrderStatus = serde_json::from_str("\"BrandNew\"").expect("a word");
        assert_eq!(status, OrderStatus::Other("BrandNew".to_owned()));
        assert_eq!(serde_json::to_string(&status).expect("json"), "\"BrandNew\"");
    }
}

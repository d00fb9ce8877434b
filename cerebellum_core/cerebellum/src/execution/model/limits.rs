//! The limits, read from one TOML file.

use std::path::Path;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Pre-trade limits. A limit that is not set does not bind, except where a default is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Limits on one order.
    pub order: OrderLimits,
    /// Limits on positions.
    pub position: PositionLimits,
    /// Limits on the loss of one market day (UTC).
    pub daily_loss: DailyLossLimits,
    /// What the venue allows.
    pub venue: VenueLimits,
}

/// Limits that cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// The file cannot be read.
    #[error("limits file {path}: {source}; check --limits")]
    Unreadable {
        /// Where it should lie.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The file holds no such limits.
    #[error("limits file {path}: {source}")]
    File {
        /// Where it lies.
        path: String,
        /// What is wrong.
        source: Box<LimitsError>,
    },
    /// The text is no TOML of limits.
    #[error("{0}; money is a string such as \"25000\"")]
    Text(String),
    /// An amount that is not above zero.
    #[error("{0} must be above zero; leave it out for no limit")]
    NotPositive(&'static str),
    /// A count of none.
    #[error("{0} is 0; use 1 or more")]
    Zero(&'static str),
}

/// `[order]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderLimits {
    /// The largest price times quantity of one order.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub max_notional: Option<Decimal>,
    /// How far a limit price may cross the opposite best price, in basis points. Default 500.
    pub collar_bps: u32,
    /// How many orders an agent may submit in one second. Default 10.
    pub per_second_per_agent: u32,
}

impl Default for OrderLimits {
    fn default() -> Self {
        Self { max_notional: None, collar_bps: 500, per_second_per_agent: 10 }
    }
}

/// `[position]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PositionLimits {
    /// The largest notional of one agent in one symbol, working entry orders included.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub max_notional: Option<Decimal>,
    /// The largest sum of all agents' absolute notionals, working entry orders included.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub max_total_notional: Option<Decimal>,
}

/// `[daily_loss]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DailyLossLimits {
    /// What one agent may lose in a market day before it is REDUCE_ONLY.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub agent: Option<Decimal>,
    /// What all agents together may lose in a market day before everything is REDUCE_ONLY.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub total: Option<Decimal>,
}

/// `[venue]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueLimits {
    /// Orders sent to the venue in any one second, shared fairly among agents. Default 10.
    pub orders_per_second: u32,
    /// How many orders may wait for that, a tenth of them of one agent; exits always may. Default 1000.
    pub max_waiting: u32,
}

impl VenueLimits {
    /// How many orders of one agent may wait.
    #[must_use]
    pub fn max_waiting_per_agent(&self) -> u32 {
        self.max_waiting.div_ceil(10)
    }
}

impl Default for VenueLimits {
    fn default() -> Self {
        Self { orders_per_second: 10, max_waiting: 1_000 }
    }
}

impl Limits {
    /// Reads limits from TOML text.
    ///
    /// # Errors
    /// The field and what is asked for.
    pub fn parse(text: &str) -> Result<Self, LimitsError> {
        let limits: Self = toml::from_str(text)
            .map_err(|error| LimitsError::Text(error.to_string().trim().to_owned()))?;
        limits.check()?;
        Ok(limits)
    }

    /// Reads limits from a file.
    ///
    /// # Errors
    /// The file, the field and the next step.
    pub fn read(path: &Path) -> Result<Self, LimitsError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| LimitsError::Unreadable { path: shown(), source })?;
        Self::parse(&text)
            .map_err(|error| LimitsError::File { path: shown(), source: Box::new(error) })
    }

    /// Every limit by its name, as text; `none` where it does not bind.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let money = |value: Option<Decimal>| {
            value.map_or_else(|| "none".to_owned(), |value| value.normalize().to_string())
        };
        vec![
            ("order.max_notional", money(self.order.max_notional)),
            ("order.collar_bps", self.order.collar_bps.to_string()),
            ("order.per_second_per_agent", self.order.per_second_per_agent.to_string()),
            ("position.max_notional", money(self.position.max_notional)),
            ("position.max_total_notional", money(self.position.max_total_notional)),
            ("daily_loss.agent", money(self.daily_loss.agent)),
            ("daily_loss.total", money(self.daily_loss.total)),
            ("venue.orders_per_second", self.venue.orders_per_second.to_string()),
            ("venue.max_waiting", self.venue.max_waiting.to_string()),
        ]
    }

    /// Checks what the kinds of the fields leave open.
    ///
    /// # Errors
    /// The field and what is asked for.
    pub fn check(&self) -> Result<(), LimitsError> {
        let positive = [
            ("order.max_notional", self.order.max_notional),
            ("position.max_notional", self.position.max_notional),
            ("position.max_total_notional", self.position.max_total_notional),
            ("daily_loss.agent", self.daily_loss.agent),
            ("daily_loss.total", self.daily_loss.total),
        ];
        for (name, value) in positive {
            if value.is_some_and(|value| value <= Decimal::ZERO) {
                return Err(LimitsError::NotPositive(name));
            }
        }
        let counts = [
            ("order.collar_bps", self.order.collar_bps),
            ("order.per_second_per_agent", self.order.per_second_per_agent),
            ("venue.orders_per_second", self.venue.orders_per_second),
            ("venue.max_waiting", self.venue.max_waiting),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(LimitsError::Zero(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::execution::model::limits::*;

    #[test]
    fn limits_are_read_exactly_and_unknown_ones_are_refused() {
        let limits =
            Limits::parse("[order]\nmax_notional = \"25000.5\"\n[venue]\norders_per_second = 5\n")
                .unwrap();
        assert_eq!(limits.order.max_notional, Some(Decimal::new(250_005, 1)));
        assert_eq!(limits.order.collar_bps, 500);
        assert_eq!(limits.venue.orders_per_second, 5);
        assert!(Limits::parse("[order]\nmax_notinal = \"1\"\n").is_err());
        assert!(Limits::parse("[order]\nmax_notional = 1.5\n").is_err());
        assert!(Limits::parse("[order]\nmax_notional = \"-1\"\n").is_err());
    }
}

//! Which requests a fault is for, and how often it strikes.

use super::request_error::RequestError;
use crate::random_generator::RandomGenerator;
use serde::{Deserialize, Serialize};

/// Endpoints that a fault can be for, beside the groups `order` and `any`.
pub const ENDPOINTS: [&str; 20] = [
    "create",
    "amend",
    "cancel",
    "cancel-all",
    "create-batch",
    "amend-batch",
    "cancel-batch",
    "set-leverage",
    "switch-mode",
    "trading-stop",
    "realtime",
    "history",
    "execution",
    "position",
    "wallet",
    "info",
    "query-api",
    "fee-rate",
    "coin-info",
    "market",
];

/// Endpoints that change orders.
const ORDERS: [&str; 7] =
    ["create", "amend", "cancel", "cancel-all", "create-batch", "amend-batch", "cancel-batch"];

/// One request as faults see it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its endpoint: the name of its rate limit, or `market`.
    pub endpoint: &'a str,
    /// Who sent it; nobody for market data.
    pub account: Option<usize>,
    /// The symbol that it names; empty without one.
    pub symbol: &'a str,
    /// `rest` or `trade`.
    pub channel: &'static str,
}

/// The requests that a fault is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// An endpoint, `order` for all that change orders, or `any` for all private ones.
    pub endpoint: String,
    /// One symbol alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// One account alone, by its place in the keys file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<usize>,
    /// `rest` or `trade` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

impl Target {
    /// Whether a request is meant.
    #[must_use]
    pub fn is_met(&self, request: &Request<'_>) -> bool {
        let endpoint = match self.endpoint.as_str() {
            "any" => request.endpoint != "market",
            "order" => ORDERS.contains(&request.endpoint),
            name => name == request.endpoint,
        };
        endpoint
            && self.symbol.as_deref().is_none_or(|symbol| symbol == request.symbol)
            && self.account.is_none_or(|account| request.account == Some(account))
            && self.channel.as_deref().is_none_or(|channel| channel == request.channel)
    }
}

/// For whom and how often, as `POST /admin/fault` takes it beside the fault itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// How often it strikes.
    pub count: Option<u32>,
    /// How likely each time, from zero to one.
    pub probability: Option<f64>,
    /// Seed of the draws [1].
    pub seed: Option<u64>,
    /// An endpoint of [`ENDPOINTS`], `order` or `any`.
    pub endpoint: Option<String>,
    /// One symbol alone.
    pub symbol: Option<String>,
    /// One account alone, by its API key.
    pub key: Option<String>,
    /// `rest` or `trade` alone.
    pub channel: Option<String>,
    /// One private topic alone.
    pub topic: Option<String>,
}

impl Scope {
    /// The fields of a request for a fault that belong here.
    pub const FIELDS: [&'static str; 8] =
        ["count", "probability", "seed", "endpoint", "symbol", "key", "channel", "topic"];

    /// Checks the values.
    ///
    /// # Errors
    /// A line that names the field, its value and what is expected.
    pub fn check(&self) -> Result<(), RequestError> {
        if let Some(probability) = self.probability.filter(|one| !(0.0..=1.0).contains(one)) {
            return Err(format!("probability {probability} is not between 0 and 1").into());
        }
        if let Some(name) = &self.endpoint {
            if !ENDPOINTS.contains(&name.as_str()) && name != "order" && name != "any" {
                return Err(format!(
                    "endpoint {name} is unknown; there are order, any, {}",
                    ENDPOINTS.join(", ")
                )
                .into());
            }
        }
        if let Some(name) = self.channel.as_deref().filter(|one| !["rest", "trade"].contains(one)) {
            return Err(format!("channel {name} is neither rest nor trade").into());
        }
        Ok(())
    }

    /// How often it strikes.
    #[must_use]
    pub fn chance(&self) -> RandomGenerator {
        RandomGenerator::new(self.count, self.probability.unwrap_or(1.0), self.seed.unwrap_or(1))
    }

    /// The requests that are meant.
    #[must_use]
    pub fn target(&self, usual: &str, account: Option<usize>) -> Target {
        Target {
            endpoint: self.endpoint.clone().unwrap_or_else(|| usual.to_owned()),
            symbol: self.symbol.clone(),
            account,
            channel: self.channel.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_meets_only_what_it_names() {
        let request =
            Request { endpoint: "create", account: Some(1), symbol: "BTCUSDT", channel: "rest" };
        let all = Target { endpoint: "order".into(), symbol: None, account: None, channel: None };
        assert!(all.is_met(&request));
        assert!(!all.is_met(&Request { endpoint: "wallet", ..request }));
        assert!(!Target { account: Some(0), ..all.clone() }.is_met(&request));
        assert!(!Target { symbol: Some("ETHUSDT".into()), ..all.clone() }.is_met(&request));
        assert!(!Target { channel: Some("trade".into()), ..all.clone() }.is_met(&request));
        let any = Target { endpoint: "any".into(), ..all };
        assert!(any.is_met(&Request { endpoint: "wallet", ..request }));
        assert!(!any.is_met(&Request { endpoint: "market", account: None, ..request }));
    }
}

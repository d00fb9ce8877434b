//! Orders: over the trade socket where it is up, else over REST; and the settings of an account that
//! orders rely on.

use protocol::wire::field::{Kind, Side, Symbol};
use serde_json::{json, Value};

use super::{
    outcome::Answer,
    refused_key,
    rest::{NoAnswer, RestClient, STALE_STAMP},
    ws_trade::{Sent, TradeLine},
};
use crate::execution::model::io::CreateOrder;

/// The way of orders to the venue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Orders {
    rest: RestClient,
    line: Option<TradeLine>,
}

impl Orders {
    /// Orders over REST, and over the trade socket where there is one.
    #[must_use]
    pub fn new(rest: RestClient, line: Option<TradeLine>) -> Self {
        Self { rest, line }
    }

    /// The REST side, for questions.
    #[must_use]
    pub fn rest(&self) -> &RestClient {
        &self.rest
    }

    /// Sends an order.
    pub async fn create(&self, order: &CreateOrder) -> Answer {
        let mut body = json!({
            "category": "linear",
            "symbol": order.symbol.as_str(),
            "side": match order.side { Side::Buy => "Buy", Side::Sell => "Sell" },
            "orderType": match order.kind { Kind::Market => "Market", Kind::Limit => "Limit" },
            "qty": order.qty,
            "timeInForce": match order.kind { Kind::Market => "IOC", Kind::Limit => "GTC" },
            "positionIdx": 0,
            "orderLinkId": order.link_id,
            "reduceOnly": order.reduce_only,
        });
        if let (Some(price), Some(fields)) = (&order.price, body.as_object_mut()) {
            fields.insert("price".to_owned(), Value::String(price.clone()));
        }
        self.send("create", body).await
    }

    /// Takes an order back.
    pub async fn cancel(&self, link_id: &str, symbol: &Symbol) -> Answer {
        let body = json!({"category": "linear", "symbol": symbol.as_str(), "orderLinkId": link_id});
        self.send("cancel", body).await
    }

    /// Takes an order back that has no client order id of ours.
    pub async fn cancel_foreign(&self, order_id: &str, symbol: &Symbol) -> Answer {
        let body = json!({"category": "linear", "symbol": symbol.as_str(), "orderId": order_id});
        self.send("cancel", body).await
    }

    /// Changes a working order; `qty` is the new total, and what is left out stays.
    pub async fn amend(
        &self,
        link_id: &str,
        symbol: &Symbol,
        qty: Option<&str>,
        price: Option<&str>,
    ) -> Answer {
        let mut body =
            json!({"category": "linear", "symbol": symbol.as_str(), "orderLinkId": link_id});
        for (name, value) in [("qty", qty), ("price", price)] {
            if let (Some(value), Some(fields)) = (value, body.as_object_mut()) {
                fields.insert(name.to_owned(), Value::String(value.to_owned()));
            }
        }
        self.send("amend", body).await
    }

    /// Sends, and compares the clocks anew when the venue finds the stamp too old or too new.
    async fn send(&self, operation: &'static str, body: Value) -> Answer {
        let answer = self.carry(operation, body).await;
        if matches!(answer, Answer::Code { code: STALE_STAMP, .. }) {
            let _ = self.rest.sync_clock().await;
        }
        answer
    }

    /// Sends over the socket; over REST only what certainly never left over the socket.
    async fn carry(&self, operation: &'static str, mut body: Value) -> Answer {
        let way = |way: &'static str| metrics::counter!("cerebellum_order_requests_total", "operation" => operation, "way" => way);
        if let Some(line) = &self.line {
            match line.send(operation, body).await {
                Sent::Answered(answer) => {
                    way("websocket").increment(1);
                    return answer;
                }
                Sent::Not(unsent) => body = unsent,
            }
        }
        way("rest").increment(1);
        self.rest.send(&format!("/v5/order/{operation}"), &body).await
    }
}

impl RestClient {
    /// Sets the one-way position mode of a symbol; that it is set already is fine.
    ///
    /// # Errors
    /// When the venue does not answer, or refuses: the text names what to do.
    pub async fn set_one_way(&self, symbol: &Symbol) -> Result<(), NoAnswer> {
        let body = json!({"category": "linear", "symbol": symbol.as_str(), "mode": 0});
        let answer = self.send("/v5/position/switch-mode", &body).await;
        self.settled(answer, 110_025, || {
            format!(
                "the venue refuses one-way position mode for {symbol}; \
                 close the symbol's positions, cancel its orders and start again"
            )
        })
    }

    /// Sets the leverage of a symbol; that it is set already is fine.
    ///
    /// # Errors
    /// When the venue does not answer, or refuses: the text names what to do.
    pub async fn set_leverage(&self, symbol: &Symbol, leverage: &str) -> Result<(), NoAnswer> {
        let body = json!({
            "category": "linear",
            "symbol": symbol.as_str(),
            "buyLeverage": leverage,
            "sellLeverage": leverage,
        });
        let answer = self.send("/v5/position/set-leverage", &body).await;
        self.settled(answer, 110_043, || {
            format!(
                "the venue refuses --leverage {leverage} for {symbol}; choose one that the \
                 symbol's leverageFilter and the account's risk limit allow"
            )
        })
    }

    /// Reads the answer to a setting: done, done before, to be asked again, or refused.
    fn settled(
        &self,
        answer: Answer,
        unchanged: i64,
        refused: impl Fn() -> String,
    ) -> Result<(), NoAnswer> {
        match answer {
            Answer::NeverSent(text) | Answer::Silence(text) => Err(NoAnswer::passing(text)),
            Answer::Code { code, .. } if code == 0 || code == unchanged => Ok(()),
            Answer::Code { code, text, .. } => {
                let passing = matches!(
                    code,
                    10_000 | 10_002 | 10_006 | 10_016 | 10_018 | 10_019 | 10_429 | 110_079
                );
                let text = match refused_key::meaning(code) {
                    Some(meaning) => {
                        format!("{}: {meaning} ({code}: {text})", self.keys().source())
                    }
                    None => format!("{}: {code}: {text}", refused()),
                };
                Err(NoAnswer { text, permanent: !passing, code: Some(code) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bybit::keys::Keys;

    fn settled(answer: Answer) -> Result<(), NoAnswer> {
        let keys = Keys::new("k", "s").unwrap();
        let rest = RestClient::new("http://127.0.0.1:9", keys, 5_000).unwrap();
        rest.settled(answer, 110_043, || "refused".to_owned())
    }

    fn answer(code: i64) -> Result<(), NoAnswer> {
        let order_id = String::new();
        settled(Answer::Code { code, text: "text".to_owned(), order_id, reset_at: None })
    }

    #[test]
    fn a_setting_that_stands_already_is_fine_a_refusal_is_final_and_a_limit_is_not() {
        assert_eq!((answer(0), answer(110_043)), (Ok(()), Ok(())));
        let refusal = answer(110_013).unwrap_err();
        assert!(refusal.permanent && refusal.text == "refused: 110013: text", "{refusal:?}");
        assert!(!answer(10_006).unwrap_err().permanent);
        let silence = settled(Answer::Silence("no".to_owned()));
        assert!(!silence.unwrap_err().permanent);
    }

    #[test]
    fn a_key_that_is_refused_is_reported_as_that_and_not_as_a_setting() {
        let refusal = answer(10_003).unwrap_err();
        assert!(refusal.permanent, "{refusal:?}");
        assert!(!refusal.text.contains("refused"), "{refusal:?}");
        assert!(refusal.text.contains("does not know the API key"), "{refusal:?}");
    }
}

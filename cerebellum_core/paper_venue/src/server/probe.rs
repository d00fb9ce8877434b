//! Everything that the venue reads behind one call, without sockets and their waits: fuzzing asks here.

use super::limits::Limits;
use super::scope::Request;
use super::{admin, batch, private, public, sockets, Venue};
use crate::clock::{wall_ms, MarketClock};
use crate::exchange::account::Opening;
use crate::exchange::order::Order;
use crate::exchange::{Exchange, Refusal};
use crate::feed::hub::Out;
use crate::listener::Tap;
use crate::market::rule_schedule::RuleSet;
use crate::market::Market;
use crate::server::answer;
use crate::server::answer::Answer;
use crate::server::query;
use crate::server::rate_limited;
use protocol::bybit::codes;
use rust_decimal::Decimal;
use serde::de::IgnoredAny;
use serde_json::{json, Value};
use std::sync::OnceLock;
use tokio::sync::mpsc::{channel, Receiver};

/// Where the market of a probe begins.
const ORIGIN: i64 = 1_704_067_200_000;
/// Where live time begins: two minutes of history.
const START: i64 = ORIGIN + 120_000;
/// The instant at which the examples are signed; the probe's clock for stamps stands there.
const STAMP: i64 = 1_700_000_000_000;
/// Market time that passes with each line.
const STEP_MS: i64 = 250;
/// Lines after which a probe begins anew, so that its books stay short.
const MOST_LINES: u32 = 256;
/// Frames that may wait on a socket until they are looked at.
const BACKLOG: usize = 4_096;

/// A small venue with one account and one socket of each kind, all logged in.
#[derive(Debug)]
pub struct Probe {
    venue: Venue,
    sockets: Vec<(&'static str, u64, Receiver<Out>)>,
    lines: u32,
    /// How many executions were looked at, and what they brought. None of them changes later.
    flows: (usize, Decimal),
}

/// A promise that the venue broke.
#[derive(Debug, thiserror::Error)]
pub enum BrokenPromise {
    /// An answer without a code.
    #[error("no envelope: {0}")]
    NoEnvelope(Value),
    /// A socket that every probe has.
    #[error("no such socket")]
    NoSocket,
    /// An answer of the trade socket without a code.
    #[error("a trade answer without retCode: {0}")]
    NoCode(Value),
    /// A frame that nobody can read.
    #[error("a {path} frame is no JSON: {source}: {text}")]
    NoJson {
        /// Of which socket.
        path: &'static str,
        /// Why not.
        source: serde_json::Error,
        /// The frame.
        text: String,
    },
    /// An order that is filled beyond its quantity, or below zero.
    #[error("filled beyond its quantity: {0:?}")]
    Overfilled(Box<Order>),
    /// A number of a row that is none.
    #[error(transparent)]
    Number(#[from] rust_decimal::Error),
    /// A wallet that is not the sum of its cash flows.
    #[error("the wallet is {wallet}, its cash flows {expected}")]
    Wallet {
        /// What it holds.
        wallet: Decimal,
        /// What it should hold.
        expected: Decimal,
    },
}

/// The exchange that every probe begins with; it is made once, since most probes live for a few lines.
fn exchange(opening: &Opening) -> Exchange {
    static MADE: OnceLock<Exchange> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let market = Market::simulated(5, ORIGIN, &["BTCUSDT".to_owned()], RuleSet::None);
        Exchange::new(5, market, std::slice::from_ref(opening), START)
    });
    made.clone()
}

impl Default for Probe {
    fn default() -> Self {
        let opening = Opening {
            key: "key-one".to_owned(),
            secret: "secret-one".to_owned(),
            usdt: Decimal::from(100_000),
        };
        let clock = MarketClock::stepped(Some(START));
        let venue = Venue::new(exchange(&opening), clock, vec![opening], 100, 0);
        let join = |path: &'static str| {
            let (sender, outbox) = channel(BACKLOG);
            let id = venue.quietly(|core| {
                core.faults.clock_offset_ms = STAMP - wall_ms();
                let id = core.hub.join(path, sender, Tap::default());
                if let Some(listener) = core.hub.listener_mut(id) {
                    listener.account = (path != "public").then_some(0);
                }
                id
            });
            (path, id, outbox)
        };
        let sockets = ["public", "private", "trade"].map(join).into();
        Self { venue, sockets, lines: 0, flows: (0, Decimal::ZERO) }
    }
}

impl Probe {
    /// Takes one line, `{"door": ...}` with what goes in there, and reports what kind of answer came.
    ///
    /// Channels: `rest` (`method`, `path`, `query`, `body`), `public`, `private` and `trade` (`body`, a
    /// frame), `fault` (`body`). Any other line is a frame of the public socket.
    ///
    /// # Errors
    /// The promise that was broken: an answer that is no envelope, a frame that is no JSON, a wallet
    /// that is not the sum of its cash flows, an order that is filled beyond its quantity.
    pub fn take(&mut self, line: &[u8]) -> Result<String, BrokenPromise> {
        if self.lines >= MOST_LINES {
            *self = Self::default();
        }
        self.lines += 1;
        self.venue.clock().step(STEP_MS);
        self.venue.quietly(|core| core.limits = Limits::default());
        let asked: Value = serde_json::from_slice(line).unwrap_or(Value::Null);
        let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or("");
        let body = asked.get("body").unwrap_or(&Value::Null);
        let outcome = match text("door") {
            "rest" => {
                let answer = self.rest(text("method"), text("path"), text("query"), body);
                let envelope = answer::envelope(answer, STAMP);
                let code = envelope.get("retCode").and_then(Value::as_i64);
                let code = code.ok_or(BrokenPromise::NoEnvelope(envelope))?;
                describe(code == codes::OK, &format!("{} {code}", text("path")))
            }
            "fault" => {
                let bytes = body.to_string();
                let done = admin::read_fault(bytes.as_bytes())
                    .and_then(|(fault, scope)| admin::inject(&self.venue, &fault, &scope));
                describe(done.is_ok(), "fault")
            }
            channel @ ("public" | "private" | "trade") => self.receive(channel, body)?,
            _ => self.receive("public", &asked)?,
        };
        self.check_frames()?;
        self.check_books()?;
        Ok(outcome)
    }

    fn rest(&self, method: &str, path: &str, query: &str, body: &Value) -> Answer {
        let asked = if method == "GET" { query::read_query(query) } else { body.clone() };
        self.venue.with(|core| {
            if let Some(name) = path.strip_prefix("/v5/market/").filter(|_| method == "GET") {
                let answer = public::answer(core, name, &asked);
                return answer.unwrap_or_else(|| Err(Refusal::new(codes::ROUTE, "no such route")));
            }
            let Some(bucket) = private::bucket(method, path) else {
                return Err(Refusal::new(codes::ROUTE, "no such route"));
            };
            if !asked.is_object() {
                return Err(Refusal::new(codes::PARAMETER, "the body is not a JSON object"));
            }
            let request = Request {
                endpoint: bucket.0,
                account: Some(0),
                symbol: query::symbol_of(&asked),
                channel: "rest",
            };
            match batch::single(path) {
                Some(path) => {
                    let done = batch::answer(core, &self.venue, &request, path, bucket, &asked);
                    done.0.map(|(rows, outcomes)| json!({"list": rows, "outcomes": outcomes}))
                }
                None => rate_limited::limited(core, &self.venue, &request, path, bucket, &asked).0,
            }
        })
    }

    fn receive(&mut self, channel: &str, frame: &Value) -> Result<String, BrokenPromise> {
        let socket = self.sockets.iter().find(|(path, _, _)| *path == channel);
        let (path, id) = socket.map(|(path, id, _)| (*path, *id)).ok_or(BrokenPromise::NoSocket)?;
        let op = frame.get("op").and_then(Value::as_str).unwrap_or("");
        if path != "trade" {
            sockets::respond(&self.venue, id, path, frame);
            return Ok(describe(!op.is_empty(), channel));
        }
        let reply = self.venue.with(|core| sockets::answer_trade(core, &self.venue, id, op, frame));
        let code = reply.get("retCode").and_then(Value::as_i64);
        let code = code.ok_or(BrokenPromise::NoCode(reply))?;
        Ok(describe(code == codes::OK, &format!("trade {code}")))
    }

    fn check_frames(&mut self) -> Result<(), BrokenPromise> {
        for (path, _, outbox) in &mut self.sockets {
            while let Ok(out) = outbox.try_recv() {
                if let Out::Text(text) = out {
                    serde_json::from_str::<IgnoredAny>(text.as_str()).map_err(|source| {
                        BrokenPromise::NoJson { path, source, text: text.to_string() }
                    })?;
                }
            }
        }
        Ok(())
    }

    fn check_books(&mut self) -> Result<(), BrokenPromise> {
        let Self { venue, flows: (seen, brought), .. } = self;
        venue.quietly(|core| {
            let exchange = &core.exchange;
            let owner = &exchange.accounts()[0];
            for order in owner.open.iter().filter_map(|number| exchange.order(*number)) {
                if order.filled < 0 || order.filled > order.qty {
                    return Err(BrokenPromise::Overfilled(order.clone().into()));
                }
            }
            let number = |text: &str| text.parse::<Decimal>();
            for execution in owner.executions.iter().skip(*seen) {
                let row = exchange.execution_row(execution, false);
                *brought -= number(&row.exec_fee)?;
                if row.exec_type == "Trade" {
                    let sign = Decimal::from(execution.side.sign());
                    *brought -= sign * number(&row.exec_price)? * number(&row.exec_qty)?;
                }
                *seen += 1;
            }
            let position = exchange.position_row(0, 0, false);
            let cost = number(&position.position_value)?;
            let mut expected = owner.initial + *brought;
            expected += if position.side == "Sell" { -cost } else { cost };
            if owner.wallet == expected {
                Ok(())
            } else {
                Err(BrokenPromise::Wallet { wallet: owner.wallet, expected })
            }
        })
    }
}

fn describe(accepted: bool, what: &str) -> String {
    format!(
        "{} {}",
        if accepted { "ok" } else { "error" },
        what.chars().take(60).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_of_the_private_stream_shows_market_time_in_the_venues_shape() {
        let mut probe = Probe::default();
        let pong = |probe: &mut Probe| {
            let (_, id, _) = probe.sockets[1];
            sockets::respond(&probe.venue, id, "private", &json!({"op": "ping", "req_id": "1"}));
            match probe.sockets[1].2.try_recv().unwrap() {
                Out::Text(text) => serde_json::from_str::<Value>(text.as_str()).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        for passed in [0, 3_600_000] {
            probe.venue.clock().step(passed);
            let now = (START + passed).to_string();
            let conn_id = pong(&mut probe)["conn_id"].clone();
            let expected = json!({"req_id": "1", "op": "pong", "args": [now], "conn_id": conn_id});
            assert_eq!(pong(&mut probe), expected);
        }
    }

    #[test]
    fn an_order_goes_in_by_every_channel_and_is_filled() {
        let mut probe = Probe::default();
        let order = r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01"}"#;
        let lines = [
            format!(
                r#"{{"door":"rest","method":"POST","path":"/v5/order/create","body":{order}}}"#
            ),
            format!(
                r#"{{"door":"trade","body":{{"op":"order.create","reqId":"r","header":{{"X-BAPI-TIMESTAMP":"{STAMP}"}},"args":[{order}]}}}}"#
            ),
        ];
        for line in lines {
            let outcome = probe.take(line.as_bytes()).unwrap();
            assert!(outcome.starts_with("ok"), "{outcome}");
        }
        let filled = probe.venue.quietly(|core| core.exchange.accounts()[0].positions[0].size);
        assert_eq!(filled, 20);
        for line in ["", "{", r#"{"door":"rest"}"#, r#"{"door":"fault","body":{"kind":"x"}}"#] {
            assert!(probe.take(line.as_bytes()).unwrap().starts_with("error"), "{line}");
        }
    }
}

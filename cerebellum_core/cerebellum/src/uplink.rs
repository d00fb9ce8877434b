//! The uplink to the venue: clock, filters, account settings, then the streams.
//!
//! It goes on while the engine runs already, so that commands are answered (`not_ready`) and a stop
//! is taken however long the venue stays away. Each step is tried for ever, with a line a try.

use std::{collections::BTreeMap, future::Future, sync::mpsc::Sender, time::Duration};

use protocol::wire::field::Symbol;
use rust_decimal::Decimal;

use crate::{
    book::{
        ladder::Scales,
        market_data::{MarketData, DEPTH},
    },
    bybit::{
        rest::{NoAnswer, RestClient},
        socket::Keepalive,
        ws_private,
        ws_public::{self, PublicSetup},
        ws_trade::{self, TradeRunner},
    },
    engine::{market::Publication, Inbox},
    execution::model::{
        io::{Input, OrderSeen},
        order::intent_of,
    },
    settings::{Settings, Venue},
};

/// A distance of the clocks that is an alarm, ms.
const CLOCK_ALARM_MS: i64 = 1_000;
/// How often filters are read again.
const FILTERS_EVERY: Duration = Duration::from_secs(3_600);
/// The longest wait between two tries of a step.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What asking again cannot mend.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// A wrong key, an unknown symbol or a refused setting.
    #[error(transparent)]
    Refused(#[from] NoAnswer),
    /// The journal begins while the account holds what another one knows.
    #[error(
        "the account holds {held}, of which the new journal {journal} knows nothing; name the \
         journal that was used before (--journal), or close them at the venue first"
    )]
    UnknownBusiness {
        /// Positions and orders.
        held: String,
        /// The new journal.
        journal: String,
    },
}

/// What the uplink needs.
#[derive(Debug)]
pub struct Uplink {
    /// The settings.
    pub settings: Settings,
    /// The REST side.
    pub rest: RestClient,
    /// The queue of the engine.
    pub inbox: Inbox,
    /// The queue of the market publisher.
    pub market: Sender<Publication>,
    /// The trade socket's far end, if orders travel over it.
    pub trade: Option<TradeRunner>,
    /// Whether the journal has never held an intent.
    pub new_journal: bool,
}

/// Goes up; returns once the streams run by themselves.
///
/// # Errors
/// What asking again cannot mend: a wrong key, an unknown symbol, a refused setting.
pub async fn run(uplink: Uplink) -> Result<(), UplinkError> {
    let Uplink { settings, rest, inbox, market, trade, new_journal } = uplink;
    let offset_ms = until_answered("clock", &rest, || rest.sync_clock()).await?;
    let reported = alarm_of_clock(&inbox, offset_ms, 0);
    let filters = || rest.instruments(&settings.symbols);
    let instruments = until_answered("instruments", &rest, filters).await?;
    // The first signed question, so that a wrong key is reported as one.
    let positions = until_answered("positions", &rest, || rest.positions()).await?;
    // A journal that begins while orders work means that another one holds what they are for.
    if new_journal && settings.venue != Venue::Paper {
        let orders = until_answered("open orders", &rest, || rest.open_orders()).await?;
        if let Some(held) = unknown_business(&positions, &orders) {
            let journal = settings.journal.display().to_string();
            return Err(UplinkError::UnknownBusiness { held, journal });
        }
    }
    for symbol in &settings.symbols {
        until_answered("position mode", &rest, || rest.set_one_way(symbol)).await?;
        if let Some(leverage) = &settings.leverage {
            until_answered("leverage", &rest, || rest.set_leverage(symbol, leverage)).await?;
        }
    }
    let scales: Vec<_> = instruments
        .iter()
        .map(|(symbol, filters)| {
            let places = |step: rust_decimal::Decimal| step.normalize().scale();
            let scales = Scales { price: places(filters.tick_size), qty: places(filters.qty_step) };
            (symbol.clone(), scales)
        })
        .collect();
    let _ = inbox.send(Input::Instruments(instruments));
    let keepalive = Keepalive {
        ping: Duration::from_millis(settings.ping_ms),
        dead_after: Duration::from_millis(settings.dead_after_ms),
    };
    let public = PublicSetup {
        url: settings.ws_public.clone(),
        symbols: settings.symbols.clone(),
        keepalive,
        stale_after_ms: settings.stale_after_ms,
    };
    let (up, public_up) = tokio::sync::watch::channel(false);
    let data = MarketData::new(scales, DEPTH);
    tokio::spawn(ws_public::run(public, data, rest.clone(), inbox.clone(), market, up));
    let private = settings.ws_private.clone();
    tokio::spawn(ws_private::run(private, rest.clone(), keepalive, inbox.clone(), public_up));
    if let (Some(url), Some(runner)) = (settings.ws_trade.clone(), trade) {
        tokio::spawn(ws_trade::run(url, rest.clone(), keepalive, runner));
    }
    let every = Duration::from_millis(settings.clock_check_ms);
    tokio::spawn(watch_clock(rest.clone(), inbox.clone(), every, reported));
    tokio::spawn(reread_filters(rest, settings.symbols, inbox));
    Ok(())
}

/// What an account holds that a journal without any intent cannot know.
fn unknown_business(positions: &BTreeMap<Symbol, Decimal>, orders: &[OrderSeen]) -> Option<String> {
    let mut held: Vec<String> = positions
        .iter()
        .filter(|(_, qty)| !qty.is_zero())
        .map(|(symbol, qty)| format!("a position of {} {symbol}", qty.normalize()))
        .collect();
    // Orders of others are reported and left alone, whatever the journal.
    let ours = orders.iter().filter(|order| intent_of(&order.link_id).is_some());
    held.extend(ours.map(|order| format!("our order {} in {}", order.link_id, order.symbol)));
    (!held.is_empty()).then(|| held.join(", "))
}

/// Tries a step until the venue answers; a line and a metric report what is waited for.
async fn until_answered<T, W>(
    what: &'static str,
    rest: &RestClient,
    mut ask: impl FnMut() -> W,
) -> Result<T, UplinkError>
where
    W: Future<Output = Result<T, NoAnswer>>,
{
    let waiting = metrics::gauge!("cerebellum_waiting", "for" => what);
    let mut wait = Duration::from_millis(500);
    let mut tries = 0_u32;
    loop {
        match ask().await {
            Ok(answer) => {
                waiting.set(0.0);
                return Ok(answer);
            }
            Err(error) if error.permanent => return Err(error.into()),
            Err(error) => {
                tries += 1;
                waiting.set(1.0);
                let (address, again_ms) = (rest.base(), wait.as_millis() as u64);
                tracing::warn!(address, what, %error, tries, again_ms, "waiting for the venue");
                tokio::time::sleep(wait).await;
                wait = (wait * 3 / 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// Alarms if the clocks differ, unless that much was reported before; returns what was reported last.
fn alarm_of_clock(inbox: &Inbox, offset_ms: i64, reported: i64) -> i64 {
    metrics::gauge!("cerebellum_clock_offset_ms").set(offset_ms as f64);
    let drifted =
        offset_ms.abs() > CLOCK_ALARM_MS && (offset_ms - reported).abs() > CLOCK_ALARM_MS / 2;
    if !drifted {
        return reported;
    }
    let _ = inbox.send(Input::ClockDrift { offset_ms });
    offset_ms
}

async fn watch_clock(rest: RestClient, inbox: Inbox, every: Duration, mut reported: i64) {
    loop {
        tokio::time::sleep(every).await;
        match rest.sync_clock().await {
            Ok(offset_ms) => reported = alarm_of_clock(&inbox, offset_ms, reported),
            Err(error) => tracing::warn!(%error, "clock could not be compared"),
        }
    }
}

async fn reread_filters(rest: RestClient, symbols: Vec<Symbol>, inbox: Inbox) {
    loop {
        tokio::time::sleep(FILTERS_EVERY).await;
        match rest.instruments(&symbols).await {
            Ok(instruments) => {
                if inbox.send(Input::Instruments(instruments)).is_err() {
                    return;
                }
            }
            Err(error) if error.permanent => {
                rest.complaints().trouble("filters_refused", error.text)
            }
            Err(error) => tracing::warn!(%error, "filters could not be read again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::model::order::Shown;

    #[test]
    fn what_a_new_journal_cannot_know_is_named_and_orders_of_others_are_not() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let order = |link_id: &str| OrderSeen {
            link_id: link_id.to_owned(),
            order_id: "o".to_owned(),
            symbol: symbol.clone(),
            shown: Shown::Working,
            terms: None,
            updated_ts: None,
        };
        let flat = BTreeMap::from([(symbol.clone(), Decimal::ZERO)]);
        assert_eq!(unknown_business(&flat, &[order(""), order("by-hand")]), None);
        let ours = "c-01890a5dac96774bbcce000000000001";
        let held = BTreeMap::from([(symbol.clone(), Decimal::new(-15, 1))]);
        let reported = unknown_business(&held, &[order(ours)]).unwrap();
        assert_eq!(reported, format!("a position of -1.5 BTCUSDT, our order {ours} in BTCUSDT"));
    }
}

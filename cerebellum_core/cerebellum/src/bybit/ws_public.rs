//! The public streams: books, trades and candles of all symbols over one connection.

use std::{sync::mpsc::Sender, time::Duration};

use protocol::wire::{field::Symbol, market::Candle};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{
    rest::RestClient,
    session_error::SessionError,
    socket::{BackOff, Keepalive, Socket},
    wall_ms,
};
use crate::{
    book::market_data::{MarketData, Outcome},
    engine::{market::Publication, Inbox},
    execution::model::io::Input,
};

/// What the public streams need.
#[derive(Clone, Debug)]
pub struct PublicSetup {
    /// The whole address, path included.
    pub url: String,
    /// Which symbols.
    pub symbols: Vec<Symbol>,
    /// How the connection is watched.
    pub keepalive: Keepalive,
    /// After how long without an update a book is stale, wall ms.
    pub stale_after_ms: i64,
}

type Backfill = (Symbol, (u64, u64), Option<Vec<Candle>>);

struct Outlets {
    rest: RestClient,
    inbox: Inbox,
    market: Sender<Publication>,
    backfills: mpsc::UnboundedSender<Backfill>,
    up: watch::Sender<bool>,
}

/// Keeps the public streams up for ever; `up` reports when they were for the first time.
pub async fn run(
    setup: PublicSetup,
    mut data: MarketData,
    rest: RestClient,
    inbox: Inbox,
    market: Sender<Publication>,
    up: watch::Sender<bool>,
) {
    let (backfills, mut answers) = mpsc::unbounded_channel();
    let outlets = Outlets { rest, inbox, market, backfills, up };
    let mut back_off = BackOff::default();
    loop {
        let why = match session(&setup, &mut data, &outlets, &mut answers, &mut back_off).await {
            Ok(()) => return,
            Err(why) => why,
        };
        tracing::warn!(%why, "public streams are down");
        metrics::counter!("cerebellum_reconnects_total", "stream" => "public").increment(1);
        let outcomes = data.disconnected(&why.to_string());
        if outlets.act(outcomes).is_err() {
            return;
        }
        tokio::time::sleep(back_off.wait()).await;
    }
}

async fn session(
    setup: &PublicSetup,
    data: &mut MarketData,
    outlets: &Outlets,
    answers: &mut mpsc::UnboundedReceiver<Backfill>,
    back_off: &mut BackOff,
) -> Result<(), SessionError> {
    let mut socket = Socket::connect(&setup.url, setup.keepalive).await?;
    for symbol in &setup.symbols {
        let topics = [
            format!("orderbook.50.{symbol}"),
            format!("publicTrade.{symbol}"),
            format!("kline.1.{symbol}"),
        ];
        request(&mut socket, "subscribe", &topics).await?;
    }
    data.subscribed(wall_ms());
    let mut reported_up = false;
    let mut next_watch = 0;
    loop {
        if outlets.take_candles(data, answers).is_err() {
            return Ok(());
        }
        let frame = socket.next(Duration::from_millis(100)).await?;
        let now = wall_ms();
        let mut outcomes = match frame.map(|text| data.frame(&text, now)) {
            None => Vec::new(),
            Some(Ok(outcomes)) => outcomes,
            Some(Err(error)) => {
                outlets.rest.complaints().report("public frame, which is dropped", &error);
                Vec::new()
            }
        };
        if now >= next_watch {
            next_watch = now + 500;
            outcomes.extend(data.watch(now, setup.stale_after_ms));
        }
        heed(&mut socket, &outcomes).await?;
        if outlets.act(outcomes).is_err() {
            return Ok(());
        }
        if !reported_up && data.is_whole() {
            reported_up = true;
            back_off.reset();
            if outlets.report_up().is_err() {
                return Ok(());
            }
        }
    }
}

/// Does what outcomes ask of the connection itself: books are subscribed to again, and a subscription
/// that was refused ends the session.
async fn heed(socket: &mut Socket, outcomes: &[Outcome]) -> Result<(), SessionError> {
    for outcome in outcomes {
        match outcome {
            Outcome::Resubscribe(symbol) => {
                tracing::warn!(%symbol, "book is asked for again");
                metrics::counter!("cerebellum_resubscriptions_total").increment(1);
                let topic = [format!("orderbook.50.{symbol}")];
                request(socket, "unsubscribe", &topic).await?;
                request(socket, "subscribe", &topic).await?;
            }
            Outcome::Answer { op, success: false, text } => {
                return Err(SessionError::Refused { op: op.clone(), text: text.clone() });
            }
            _ => {}
        }
    }
    Ok(())
}

async fn request(socket: &mut Socket, op: &str, topics: &[String]) -> Result<(), SessionError> {
    Ok(socket.send(json!({"op": op, "args": topics}).to_string()).await?)
}

impl Outlets {
    /// Takes in the candles that were asked for and came; fails when the engine is gone.
    fn take_candles(
        &self,
        data: &mut MarketData,
        answers: &mut mpsc::UnboundedReceiver<Backfill>,
    ) -> Result<(), ()> {
        while let Ok((symbol, asked, candles)) = answers.try_recv() {
            let reached = candles.is_some();
            let found = candles.unwrap_or_default();
            self.act(data.candles_answered(&symbol, found, asked, reached))?;
        }
        Ok(())
    }

    /// Reports that all books are whole; fails when the engine is gone.
    fn report_up(&self) -> Result<(), ()> {
        tracing::info!("public streams are up");
        self.up.send_replace(true);
        self.inbox.send(Input::PublicUp)
    }

    /// Does what the outcomes ask; fails when the engine is gone.
    fn act(&self, outcomes: Vec<Outcome>) -> Result<(), ()> {
        for outcome in outcomes {
            match outcome {
                Outcome::Publish(message) => self.publish(Publication::Message(message))?,
                Outcome::Levels(levels) => self.publish(Publication::Levels(levels))?,
                Outcome::Quote(symbol, quote, ts) => {
                    self.inbox.send(Input::Quote { symbol, quote, ts })?;
                }
                Outcome::Stale(symbol, why) => {
                    tracing::warn!(%symbol, why, "book is stale");
                    self.inbox.send(Input::BookStale { symbol })?;
                }
                Outcome::Time(ts) => self.inbox.send(Input::MarketTime(ts))?,
                Outcome::AskCandles(symbol, first, last) => self.backfill(symbol, first, last),
                Outcome::Resubscribe(_) | Outcome::Answer { .. } => {}
            }
        }
        Ok(())
    }

    fn publish(&self, what: Publication) -> Result<(), ()> {
        self.market.send(what).map_err(|_| ())
    }

    fn backfill(&self, symbol: Symbol, first: u64, last: u64) {
        let (rest, backfills) = (self.rest.clone(), self.backfills.clone());
        tracing::warn!(%symbol, first, last, "candles are missing and asked for");
        tokio::spawn(async move {
            let candles = match rest.candles(&symbol, first, last).await {
                Ok(candles) => Some(candles),
                Err(error) => {
                    tracing::warn!(%symbol, %error, "candles could not be asked for");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    None
                }
            };
            let _ = backfills.send((symbol, (first, last), candles));
        });
    }
}

//! Starts the paper venue and stops it in order.
#![forbid(unsafe_code)]

use clap::Parser;
use paper_venue::clock::MarketClock;
use paper_venue::exchange::Exchange;
use paper_venue::listener::{Tap, TappedListener};
use paper_venue::market::instrument::Instrument;
use paper_venue::market::reported::Reported;
use paper_venue::market::rule_schedule::RuleSet;
use paper_venue::market::{recording, replay, rules, Market};
use paper_venue::mirror::upstream::Upstream;
use paper_venue::server::gate::Gate;
use paper_venue::server::{router, Venue};
use paper_venue::settings::{self, Flags, MarketKind, PrintedRules, Settings};
use protocol::lines::{complain, print_line, LogLines};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};
use tokio::task::JoinHandle;

fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .json()
        .with_writer(|| LogLines)
        // Its own complaints go to standard error by a way that panics.
        .log_internal_errors(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    match open(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            complain(&format!("paper_venue: {line}"));
            ExitCode::from(2)
        }
    }
}

fn open(flags: Flags) -> Result<(), Box<dyn Error>> {
    if let Some(days) = flags.print_rules {
        return print_rules(&settings::read_printed(flags, days)?);
    }
    let settings = settings::read(flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome = runtime.block_on(run(settings));
    // Connections that are still open must not hold the process back.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Prints every spell of every rule as a line of JSON.
fn print_rules(asked: &PrintedRules) -> Result<(), Box<dyn Error>> {
    if asked.rules == RuleSet::None {
        return Ok(());
    }
    for (symbol, spell) in rules::spells(asked.seed, asked.origin, &asked.symbols, asked.days) {
        let line = serde_json::json!({
            "symbol": symbol,
            "rule": spell.rule.name(),
            "on_ts": spell.on_ts,
            "off_ts": spell.off_ts,
            "strength": spell.strength,
        });
        print_line(&line.to_string())?;
    }
    Ok(())
}

/// The market that the settings ask for, and where its live time begins.
fn open_market(settings: &Settings) -> Result<(Market, Option<i64>), Box<dyn Error>> {
    match settings.market {
        MarketKind::Simulated => {
            let start = settings.start.unwrap_or_else(paper_venue::clock::wall_ms);
            let days = i64::from(settings.history_days);
            let origin = settings.origin.unwrap_or(start - days * 86_400_000).max(0);
            if origin > start {
                return Err(format!(
                    "--origin {origin} is later than now ({start}); leave it out or set --start"
                )
                .into());
            }
            if start - origin > i64::from(settings::MOST_DAYS) * 86_400_000 {
                return Err(format!(
                    "--origin {origin} is more than {} days before the start {start}",
                    settings::MOST_DAYS
                )
                .into());
            }
            Ok((
                Market::simulated(settings.seed, origin, &settings.symbols, settings.rules),
                settings.start,
            ))
        }
        MarketKind::Replay => match &settings.frames {
            Some(place) => open_frames(settings, place),
            None => open_candles(settings),
        },
        MarketKind::Mirror => {
            Err("the mirrored market is opened with its addresses, not here".into())
        }
    }
}

fn open_candles(settings: &Settings) -> Result<(Market, Option<i64>), Box<dyn Error>> {
    let folder = settings.candles.as_deref().unwrap_or(std::path::Path::new("."));
    let places = replay::Places {
        candles: folder,
        funding: settings.funding.as_deref(),
        instruments: settings.instruments.as_deref(),
    };
    let recordings = replay::load(&places, &settings.symbols)?;
    replay::warn(&recordings);
    let replay = replay::Replay::new(settings.seed, recordings);
    let start = settings.start.unwrap_or_else(|| replay.usual_start());
    if start >= replay.end_ts() {
        return Err(format!(
            "--start {start} is not before the recording's end {}",
            replay.end_ts()
        )
        .into());
    }
    Ok((Market::replayed(replay), Some(start)))
}

fn open_frames(
    settings: &Settings,
    place: &std::path::Path,
) -> Result<(Market, Option<i64>), Box<dyn Error>> {
    let recording = recording::load(place, &settings.symbols)?;
    let (first, end) = (recording.events.first_ts(), recording.events.end_ts().unwrap_or(0));
    let start = settings.start.unwrap_or(first);
    if !(first..end).contains(&start) {
        return Err(format!("--start {start} is not inside the recording: {first} to {end}").into());
    }
    let history = vec![Vec::new(); recording.instruments.len()];
    Ok((Market::reported(recording.events, recording.instruments, history), Some(start)))
}

/// The market of the exchange that is mirrored, with its history until now.
async fn open_mirror(
    settings: &Settings,
) -> Result<(Market, Upstream, Vec<Instrument>), Box<dyn Error>> {
    let upstream = Upstream::new(&settings.mirror.0, &settings.mirror.1)?;
    let instruments = upstream.instruments(&settings.symbols).await?;
    let now = paper_venue::clock::wall_ms();
    let from = (now - i64::from(settings.history_days) * 86_400_000).div_euclid(60_000) * 60_000;
    let mut history = Vec::new();
    for one in &instruments {
        history.push(upstream.candles(one, from).await?);
    }
    let market = Market::reported(Reported::streamed(now), instruments.clone(), history);
    Ok((market, upstream, instruments))
}

/// Waits until every mirrored book is there.
async fn await_books(venue: &Venue) -> Result<(), Box<dyn Error>> {
    for _ in 0..150 {
        let missing = venue.quietly(|core| {
            let symbols = core.exchange.instruments().iter().enumerate();
            let mut missing = symbols.filter(|(symbol, _)| {
                core.exchange
                    .state(*symbol)
                    .is_none_or(|state| state.halted || !state.book.is_open())
            });
            missing.next().map(|(_, one)| one.symbol.clone())
        });
        if missing.is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("--mirror-ws sent no book of every symbol within 15 seconds; see the log".into())
}

/// The venue over its market, and the task that follows a mirrored one.
async fn open_venue(
    settings: &Settings,
) -> Result<(Arc<Venue>, Option<JoinHandle<()>>), Box<dyn Error>> {
    let mut mirrored = None;
    let (market, start) = if settings.market == MarketKind::Mirror {
        let (market, upstream, instruments) = open_mirror(settings).await?;
        mirrored = Some((upstream, instruments));
        (market, None)
    } else {
        open_market(settings)?
    };
    // The clock begins after the history is there, so that nothing is late from the start.
    let first = start.unwrap_or_else(paper_venue::clock::wall_ms);
    let exchange =
        Exchange::new(settings.seed, market, &settings.keys, first).salted(settings.id_salt);
    let clock = if settings.stepped {
        MarketClock::stepped(Some(first))
    } else {
        MarketClock::new(start, settings.speed)
    };
    let venue = Arc::new(Venue::new(
        exchange,
        clock,
        settings.keys.clone(),
        settings.step_ms,
        settings.address_limit,
    ));
    let mirror = mirrored.map(|(upstream, instruments)| {
        tokio::spawn(paper_venue::mirror::follow(Arc::clone(&venue), upstream, instruments))
    });
    if mirror.is_some() {
        await_books(&venue).await?;
    }
    Ok((venue, mirror))
}

/// Prints the ready line; returns the market's time in it.
fn announce(venue: &Venue, address: SocketAddr) -> i64 {
    let (market_ts, symbols) = venue.with(|core| {
        let symbols: Vec<String> =
            core.exchange.instruments().iter().map(|one| one.symbol.clone()).collect();
        (core.exchange.now(), symbols)
    });
    let ready = serde_json::json!({
        "event": "ready",
        "rest": format!("http://{address}"),
        "ws": format!("ws://{address}"),
        "market_ts": market_ts,
        "symbols": symbols,
    });
    // Whoever started us may have gone; the market goes on.
    let _ = print_line(&ready.to_string());
    market_ts
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let signals =
        |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let (venue, mirror) = open_venue(&settings).await?;
    let listener = tokio::net::TcpListener::bind(settings.rest).await.map_err(|error| {
        format!("cannot listen on --rest {}: {error}; choose another port", settings.rest)
    })?;
    let address =
        listener.local_addr().map_err(|error| format!("the address got lost: {error}"))?;
    let market_ts = announce(&venue, address);
    tracing::info!(%address, market_ts, speed = settings.speed, "the venue is open");
    let driver = tokio::spawn(Arc::clone(&venue).run());
    let gate = Gate::new(address.port(), &settings.allow_host);
    let service = router(venue, gate).into_make_service_with_connect_info::<Tap>();
    let served = axum::serve(TappedListener(listener), service);
    let outcome = tokio::select! {
        outcome = async { served.await } => outcome.map_err(|error| format!("the server stopped: {error}")),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    driver.abort();
    if let Some(mirror) = mirror {
        mirror.abort();
    }
    tracing::info!("the venue is closed");
    Ok(outcome?)
}

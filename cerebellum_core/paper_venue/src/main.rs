//! Starts the paper venue and stops it in order.
#![forbid(unsafe_code)]

use clap::Parser;
use paper_venue::clock::MarketClock;
use paper_venue::doors::{Doors, Tap};
use paper_venue::exchange::Exchange;
use paper_venue::market::{replay, Market};
use paper_venue::server::{router, Venue};
use paper_venue::settings::{self, Flags, MarketKind, Settings};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};

fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    let outcome = settings::read(flags).and_then(|settings| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the runtime: {error}"))?;
        let outcome = runtime.block_on(run(settings));
        // Connections that are still open must not hold the process back.
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("paper_venue: {line}");
            ExitCode::from(2)
        }
    }
}

/// The market that the settings ask for, and where its live time begins.
fn open_market(settings: &Settings) -> Result<(Market, Option<i64>), String> {
    match settings.market {
        MarketKind::Simulated => {
            let start = settings.start.unwrap_or_else(paper_venue::clock::wall_ms);
            let days = i64::from(settings.history_days);
            let origin = settings.origin.unwrap_or(start - days * 86_400_000).max(0);
            if origin > start {
                return Err(format!(
                    "--origin {origin} is later than now ({start}); leave it out or set --start"
                ));
            }
            Ok((Market::simulated(settings.seed, origin, &settings.symbols), settings.start))
        }
        MarketKind::Replay => {
            let folder = settings.candles.as_deref().unwrap_or(std::path::Path::new("."));
            let recordings = replay::load(folder, &settings.symbols)?;
            let replay = replay::Replay::new(settings.seed, recordings);
            let start = settings.start.unwrap_or_else(|| replay.usual_start());
            if start >= replay.end_ts() {
                return Err(format!(
                    "--start {start} is not before the recording's end {}",
                    replay.end_ts()
                ));
            }
            Ok((Market::replayed(replay), Some(start)))
        }
        MarketKind::Mirror => {
            Err("--market mirror is not built yet; use simulated or replay".to_owned())
        }
    }
}

async fn run(settings: Settings) -> Result<(), String> {
    let signals =
        |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let (market, start) = open_market(&settings)?;
    // The clock begins after the history is there, so that nothing is late from the start.
    let first = start.unwrap_or_else(paper_venue::clock::wall_ms);
    let exchange =
        Exchange::new(settings.seed, market, &settings.keys, first).salted(settings.id_salt);
    let clock = MarketClock::new(start, settings.speed);
    let venue = Arc::new(Venue::new(
        exchange,
        clock,
        settings.keys,
        settings.step_ms,
        settings.address_limit,
    ));
    let listener = tokio::net::TcpListener::bind(settings.rest).await.map_err(|error| {
        format!("cannot listen on --rest {}: {error}; choose another port", settings.rest)
    })?;
    let address =
        listener.local_addr().map_err(|error| format!("the address got lost: {error}"))?;
    let (market_ts, symbols) = venue.with(|core| {
        let symbols: Vec<String> =
            core.exchange.instruments().iter().map(|one| one.symbol.clone()).collect();
        (core.exchange.now(), symbols)
    });
    println!(
        "{}",
        serde_json::json!({
            "event": "ready",
            "rest": format!("http://{address}"),
            "ws": format!("ws://{address}"),
            "market_ts": market_ts,
            "symbols": symbols,
        })
    );
    tracing::info!(%address, market_ts, speed = settings.speed, "the venue is open");
    let driver = tokio::spawn(Arc::clone(&venue).run());
    let served =
        axum::serve(Doors(listener), router(venue).into_make_service_with_connect_info::<Tap>());
    let outcome = tokio::select! {
        outcome = async { served.await } => outcome.map_err(|error| format!("the server stopped: {error}")),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    driver.abort();
    tracing::info!("the venue is closed");
    outcome
}

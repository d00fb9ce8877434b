//! Putting the parts together: start, run, stop.

use std::{io::Write, sync::mpsc, time::Duration};

use serde_json::json;
use tokio::signal::unix::{signal, SignalKind};

use crate::{
    book::{
        ladder::Scales,
        market_data::{MarketData, DEPTH},
    },
    bybit::{
        keys::Keys,
        rest::{NoAnswer, RestClient},
        socket::Care,
        ws_private,
        ws_public::{self, PublicSetup},
    },
    core::{io::Input, limits::Limits, Core, Setup},
    engine::{clock, market, sockets::Sockets, Engine, Hands, Inbox},
    journal::Journal,
    run_folder,
    settings::{Settings, Venue},
    telemetry,
};

/// How often the clocks are compared.
const CLOCK_EVERY: Duration = Duration::from_secs(30);
/// A distance of the clocks that is an alarm, ms.
const CLOCK_ALARM_MS: i64 = 1_000;
/// How often filters are read again.
const FILTERS_EVERY: Duration = Duration::from_secs(3_600);
/// How long the engine may take to stop.
const STOP_IN: Duration = Duration::from_secs(4);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// One line that names the setting or the thing, and the next step.
pub fn run(settings: Settings) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("runtime: {error}"))?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn serve(settings: Settings) -> Result<(), String> {
    let keys = Keys::find(settings.keys.as_deref())?;
    let limits = read_limits(&settings)?;
    let _folder_lock = run_folder::claim(&settings.run_folder)?;
    let journal = Journal::open(&settings.journal).map_err(|error| error.to_string())?;
    let metrics = match &settings.metrics {
        Some(address) => Some(telemetry::serve_metrics(address).await?),
        None => None,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let rest = RestClient::new(&settings.rest, keys, settings.receive_window_ms)?;
    let starting = start(&settings, limits, journal, rest, metrics);
    let (inbox, mut engine) = tokio::select! {
        started = starting => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::spawn(reread_limits(settings, inbox.clone()));
    let ended = tokio::select! {
        ended = &mut engine => ended.map_err(|error| format!("engine: {error}"))?,
        _ = terminate.recv() => stop(&inbox, engine).await?,
        _ = interrupt.recv() => stop(&inbox, engine).await?,
    };
    tracing::info!("stopped");
    ended
}

type EngineTask = tokio::task::JoinHandle<Result<(), String>>;

async fn stop(inbox: &Inbox, engine: EngineTask) -> Result<Result<(), String>, String> {
    tracing::info!("stopping");
    let _ = inbox.stop();
    tokio::time::timeout(STOP_IN, engine)
        .await
        .map_err(|_| "the engine did not stop in time; the journal is whole".to_owned())?
        .map_err(|error| format!("engine: {error}"))
}

async fn start(
    settings: &Settings,
    limits: Limits,
    journal: Journal,
    rest: RestClient,
    metrics: Option<String>,
) -> Result<(Inbox, EngineTask), String> {
    let broken = |error: crate::journal::JournalError| error.to_string();
    let (inbox, letterbox) = Inbox::pair()?;
    let context = zmq::Context::new();
    let [commands, events, market_address] = &settings.sockets;
    let sockets = Sockets::bind(&context, commands, events)?;
    let (publisher, market_address) = market::publisher(&context, market_address)?;
    until_answered("clock", || rest.sync_clock()).await?;
    let instruments = until_answered("instruments", || rest.instruments(&settings.symbols)).await?;
    let scales: Vec<_> = instruments
        .iter()
        .map(|(symbol, filters)| {
            let places = |step: rust_decimal::Decimal| step.normalize().scale();
            let scales = Scales { price: places(filters.tick_size), qty: places(filters.qty_step) };
            (symbol.clone(), scales)
        })
        .collect();
    let setup = Setup {
        symbols: settings.symbols.clone(),
        limits,
        deadman_ms: settings.deadman_ms,
        flatten_on_deadman: settings.flatten_on_deadman,
        receive_window_ms: settings.receive_window_ms,
        journal_id: journal.journal_id().map_err(broken)?,
    };
    let recovered = journal.recover().map_err(broken)?;
    tracing::info!(
        open_orders = recovered.open_orders.len(),
        last_seq = recovered.last_seq,
        fills = recovered.ledger.fills(),
        "journal is read"
    );
    let core = Core::new(setup, recovered, clock::now());
    let _ = inbox.send(Input::Instruments(instruments));
    let (market_sender, market_receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("market".to_owned())
        .spawn(move || market::run(&publisher, &market_receiver))
        .map_err(|error| format!("market thread: {error}"))?;
    let ready = json!({
        "event": "ready",
        "commands": sockets.commands_address(),
        "events": sockets.events_address(),
        "market": market_address,
        "metrics": metrics,
        "venue": venue_name(settings.venue),
        "symbols": settings.symbols,
    });
    let hands = Hands::new(rest.clone(), inbox.clone(), tokio::runtime::Handle::current());
    let mut engine = Engine::new(core, journal, sockets, letterbox, hands);
    let (ended, task) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let result = engine.run(&mut || tell_ready(&ready));
            drop(engine);
            let _ = ended.send(result);
        })
        .map_err(|error| format!("engine thread: {error}"))?;
    let care = Care {
        ping: Duration::from_millis(settings.ping_ms),
        dead_after: Duration::from_millis(settings.dead_after_ms),
    };
    let public = PublicSetup {
        url: settings.ws_public.clone(),
        symbols: settings.symbols.clone(),
        care,
        stale_after_ms: settings.stale_after_ms,
    };
    let (up, public_up) = tokio::sync::watch::channel(false);
    let data = MarketData::new(scales, DEPTH);
    tokio::spawn(ws_public::run(public, data, rest.clone(), inbox.clone(), market_sender, up));
    let private = settings.ws_private.clone();
    tokio::spawn(ws_private::run(private, rest.clone(), care, inbox.clone(), public_up));
    tokio::spawn(watch_clock(rest.clone(), inbox.clone()));
    tokio::spawn(reread_filters(rest, settings.symbols.clone(), inbox.clone()));
    let engine = tokio::spawn(async move {
        task.await.unwrap_or_else(|_| Err("the engine thread ended without a word".to_owned()))
    });
    Ok((inbox, engine))
}

fn tell_ready(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    // Whoever started us may have gone; that is no reason to stop protecting positions.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn venue_name(venue: Venue) -> &'static str {
    match venue {
        Venue::Paper => "paper",
        Venue::Demo => "demo",
        Venue::Testnet => "testnet",
        Venue::Live => "live",
    }
}

fn read_limits(settings: &Settings) -> Result<Limits, String> {
    settings.limits.as_deref().map_or_else(|| Ok(Limits::default()), Limits::read)
}

async fn until_answered<T, W>(what: &str, mut ask: impl FnMut() -> W) -> Result<T, String>
where
    W: std::future::Future<Output = Result<T, NoAnswer>>,
{
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.hopeless => return Err(error.text),
            Err(error) => {
                tracing::warn!(%error, what, "the venue does not answer; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn watch_clock(rest: RestClient, inbox: Inbox) {
    let mut told = 0_i64;
    loop {
        tokio::time::sleep(CLOCK_EVERY).await;
        match rest.sync_clock().await {
            Ok(offset_ms) => {
                metrics::gauge!("cerebellum_clock_offset_ms").set(offset_ms as f64);
                let drifted = offset_ms.abs() > CLOCK_ALARM_MS
                    && (offset_ms - told).abs() > CLOCK_ALARM_MS / 2;
                if drifted {
                    told = offset_ms;
                    if inbox.send(Input::ClockDrift { offset_ms }).is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "clock could not be compared"),
        }
    }
}

async fn reread_filters(
    rest: RestClient,
    symbols: Vec<protocol::wire::field::Symbol>,
    inbox: Inbox,
) {
    loop {
        tokio::time::sleep(FILTERS_EVERY).await;
        match rest.instruments(&symbols).await {
            Ok(instruments) => {
                if inbox.send(Input::Instruments(instruments)).is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "filters could not be read again"),
        }
    }
}

async fn reread_limits(settings: Settings, inbox: Inbox) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        match read_limits(&settings) {
            Ok(limits) => {
                if inbox.send(Input::Limits(Box::new(limits))).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(error, "limits stay as they were");
                let notice = Input::Notice { code: "limits_unreadable", text: error, symbol: None };
                let _ = inbox.send(notice);
            }
        }
    }
}

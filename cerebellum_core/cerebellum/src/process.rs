//! Putting the parts together: start, run, stop.

use std::{sync::mpsc, time::Duration};

use protocol::lines::print_line;
use serde_json::json;
use tokio::signal::unix::{signal, SignalKind};

use crate::{
    bybit::{keys::Keys, orders::Orders, rest::RestClient, unreadable::Unreadable, ws_trade},
    engine::{clock, market, sockets::Sockets, Engine, Gateway, Inbox},
    execution::{
        model::{
            io::Input,
            limits::{Limits, LimitsError},
        },
        Core, Setup,
    },
    journal::Journal,
    process_error::ProcessError,
    run_folder,
    settings::{Settings, Venue},
    telemetry,
    uplink::{self, Uplink},
};

/// The signal of a write beyond the limit on the size of files.
const SIGXFSZ: i32 = 25;
/// How long the engine may take to stop.
const STOP_IN: Duration = Duration::from_secs(4);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// One line that names the setting or the thing, and the next step.
pub fn run(settings: Settings) -> Result<(), ProcessError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ProcessError::Runtime)?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn serve(settings: Settings) -> Result<(), ProcessError> {
    let keys = Keys::find(settings.keys.as_deref())?;
    let limits = read_limits(&settings)?;
    let _folder_lock = run_folder::claim(&settings.run_folder)?;
    let journal = Journal::open(&settings.journal)?;
    let metrics = match &settings.metrics {
        Some(address) => Some(telemetry::serve_metrics(address).await?),
        None => None,
    };
    // A limit on the size of files is an error of a write then, and no end.
    let _size_limit = signal(SignalKind::from_raw(SIGXFSZ)).map_err(ProcessError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ProcessError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProcessError::Signals)?;
    let (mut engine, uplink) = start(settings.clone(), keys, limits, journal, metrics)?;
    let inbox = uplink.inbox.clone();
    tokio::spawn(reread_limits(settings, inbox.clone()));
    let mut connecting = tokio::spawn(uplink::run(uplink));
    let mut connected = false;
    let ended = loop {
        tokio::select! {
            ended = &mut engine => break ended.map_err(|source| ProcessError::Task { name: "engine", source })?,
            _ = terminate.recv() => break stop(&inbox, engine).await?,
            _ = interrupt.recv() => break stop(&inbox, engine).await?,
            done = &mut connecting, if !connected => {
                connected = true;
                let done = match done {
                    Ok(done) => done.map_err(ProcessError::from),
                    Err(source) => Err(ProcessError::Task { name: "connecting", source }),
                };
                if let Err(error) = done {
                    break stop(&inbox, engine).await?.and(Err(error));
                }
            }
        }
    };
    tracing::info!("stopped");
    ended
}

type EngineTask = tokio::task::JoinHandle<Result<(), ProcessError>>;

async fn stop(inbox: &Inbox, engine: EngineTask) -> Result<Result<(), ProcessError>, ProcessError> {
    tracing::info!("stopping");
    let _ = inbox.stop();
    tokio::time::timeout(STOP_IN, engine)
        .await
        .map_err(|_| ProcessError::SlowStop)?
        .map_err(|source| ProcessError::Task { name: "engine", source })
}

/// Binds the sockets and starts the engine; the uplink to the venue is left to the caller.
fn start(
    settings: Settings,
    keys: Keys,
    limits: Limits,
    journal: Journal,
    metrics: Option<String>,
) -> Result<(EngineTask, Uplink), ProcessError> {
    let (inbox, queue) = Inbox::pair()?;
    let rest = RestClient::new(&settings.rest, keys, settings.receive_window_ms)?
        .reporting(Unreadable::new(inbox.clone()))
        .trading(&settings.symbols);
    let context = zmq::Context::new();
    let [commands, events, market_address] = &settings.sockets;
    let sockets = Sockets::bind(&context, commands, events)?;
    let (publisher, market_address) = market::publisher(&context, market_address)?;
    let (core, new_journal) = recover(&settings, limits, &journal)?;
    let (market_sender, market_receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("market".to_owned())
        .spawn(move || market::run(&publisher, &market_receiver))
        .map_err(|source| ProcessError::Thread { name: "market", source })?;
    let ready = json!({
        "event": "ready",
        "commands": sockets.commands_address(),
        "events": sockets.events_address(),
        "market": market_address,
        "metrics": metrics,
        "venue": venue_name(settings.venue),
        "symbols": settings.symbols,
    });
    tracing::info!(
        commands = sockets.commands_address(),
        events = sockets.events_address(),
        market = market_address,
        metrics,
        rest = settings.rest,
        "listening; the ready line comes once the venue is reconciled"
    );
    metrics::gauge!("cerebellum_ready").set(0.0);
    metrics::gauge!("cerebellum_journal_trouble").set(0.0);
    let (line, runner) = settings.ws_trade.is_some().then(ws_trade::line).unzip();
    let orders = Orders::new(rest.clone(), line);
    let gateway = Gateway::new(orders, inbox.clone(), tokio::runtime::Handle::current());
    let engine = run_engine(Engine::new(core, journal, sockets, queue, gateway), ready)?;
    let uplink =
        Uplink { settings, rest, inbox, market: market_sender, trade: runner, new_journal };
    Ok((engine, uplink))
}

/// The core as the journal left it, and whether the journal is new.
fn recover(
    settings: &Settings,
    limits: Limits,
    journal: &Journal,
) -> Result<(Core, bool), ProcessError> {
    let setup = Setup {
        symbols: settings.symbols.clone(),
        limits,
        deadman_ms: settings.deadman_ms,
        flatten_on_deadman: settings.flatten_on_deadman,
        receive_window_ms: settings.receive_window_ms,
        journal_id: journal.journal_id()?,
    };
    let recovered = journal.recover()?;
    tracing::info!(
        open_orders = recovered.open_orders.len(),
        last_seq = recovered.last_seq,
        fills = recovered.ledger.fills(),
        "journal is read"
    );
    let new_journal = recovered.first_intent_ts.is_none() && recovered.last_seq == 0;
    Ok((Core::new(setup, recovered, clock::now()), new_journal))
}

/// Runs the engine on a thread of its own; the task ends with it.
fn run_engine(mut engine: Engine, ready: serde_json::Value) -> Result<EngineTask, ProcessError> {
    let (ended, task) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let result = engine.run(&mut || report_ready(&ready));
            drop(engine);
            let _ = ended.send(result);
        })
        .map_err(|source| ProcessError::Thread { name: "engine", source })?;
    Ok(tokio::spawn(async move {
        match task.await {
            Ok(result) => result.map_err(ProcessError::from),
            Err(_) => Err(ProcessError::EngineGone),
        }
    }))
}

fn report_ready(line: &serde_json::Value) {
    metrics::gauge!("cerebellum_ready").set(1.0);
    // Standard output is its starter's; the log is what is read afterwards.
    tracing::info!("ready: reconciled with the venue");
    // Whoever started us may have gone; that is no reason to stop protecting positions.
    let _ = print_line(&line.to_string());
}

fn venue_name(venue: Venue) -> &'static str {
    match venue {
        Venue::Paper => "paper",
        Venue::Demo => "demo",
        Venue::Testnet => "testnet",
        Venue::Live => "live",
    }
}

fn read_limits(settings: &Settings) -> Result<Limits, LimitsError> {
    settings.limits.as_deref().map_or_else(|| Ok(Limits::default()), Limits::read)
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
                let text = error.to_string();
                tracing::error!(error = text, "limits stay as they were");
                let notice = Input::Notice { code: "limits_unreadable", text, symbol: None };
                let _ = inbox.send(notice);
            }
        }
    }
}

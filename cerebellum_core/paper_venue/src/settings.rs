//! Settings: from the command line, else from the file that `--config` names, else usual values.

use crate::exchange::account::Opening;
use crate::market::instrument::is_symbol;
use crate::market::rule_schedule::RuleSet;
use axum::http::uri::Authority;
use clap::{Parser, ValueEnum};
use protocol::bybit::decimals;
use protocol::settings_error::SettingsError;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where prices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarketKind {
    /// The seeded market.
    Simulated,
    /// Recorded candles, from --candles, or recorded frames, from --frames.
    Replay,
    /// Public streams of the real exchange.
    Mirror,
}

/// An exchange that speaks Bybit v5 on loopback: real protocol, paper money.
#[derive(Debug, Parser, Deserialize, Default)]
#[command(name = "paper_venue", version)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Flags {
    /// Address for REST and WebSockets; loopback only, port 0 takes a free one [127.0.0.1:0].
    #[arg(long, value_name = "ADDRESS")]
    pub rest: Option<String>,
    /// Further names, by commas and with their port, under which the venue is asked (`Host`): a
    /// tunnel's, for example [this machine's own with the port of --rest].
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub allow_host: Option<Vec<String>>,
    /// Where prices come from [simulated].
    #[arg(long, value_enum)]
    pub market: Option<MarketKind>,
    /// Seed of the market and of every id [1].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Market seconds per wall second [1].
    #[arg(long)]
    pub speed: Option<f64>,
    /// Market time stands still until POST /admin/advance moves it.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub stepped: Option<bool>,
    /// JSON file, readable by its owner alone: [{"key","secret","usdt"}], one account each.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Symbols, by commas [BTCUSDT,ETHUSDT,SOLUSDT; in a replay: every file].
    #[arg(long, value_delimiter = ',')]
    pub symbols: Option<Vec<String>>,
    /// Folder of SYMBOL-1m.parquet files for a replay.
    #[arg(long, value_name = "DIR")]
    pub candles: Option<PathBuf>,
    /// Folder of SYMBOL-funding.parquet files for a replay of candles; a symbol without a file is
    /// charged no funding [the candles' folder].
    #[arg(long, value_name = "DIR")]
    pub funding: Option<PathBuf>,
    /// JSON file of ticks and steps for a replay of candles: {"BTCUSDT": {"tick_size": "0.1",
    /// "qty_step": "0.001"}}, or an answer of instruments-info [instruments.json beside the candles].
    #[arg(long, value_name = "FILE")]
    pub instruments: Option<PathBuf>,
    /// File of recorded public frames, or folder of .jsonl and .jsonl.gz files, for a replay.
    #[arg(long, value_name = "PATH")]
    pub frames: Option<PathBuf>,
    /// REST address of the exchange that a mirror follows [https://api.bybit.com].
    #[arg(long, value_name = "URL")]
    pub mirror_rest: Option<String>,
    /// WebSocket address of the exchange that a mirror follows [wss://stream.bybit.com].
    #[arg(long, value_name = "URL")]
    pub mirror_ws: Option<String>,
    /// Market instant (ms) at which live time begins; everything before is history [wall time now;
    /// in a replay: a third into the candles, three days at most, or where the frames begin].
    #[arg(long, value_name = "MS")]
    pub start: Option<i64>,
    /// Market instant (ms) at which the simulated market begins [history-days before the start].
    #[arg(long, value_name = "MS")]
    pub origin: Option<i64>,
    /// Days of history when no origin is given [30; in a mirror 3].
    #[arg(long, value_name = "DAYS")]
    pub history_days: Option<u32>,
    /// Rules that the simulated market holds [learnable].
    #[arg(long, value_enum)]
    pub rules: Option<RuleSet>,
    /// Print the rules of so many days from --origin on, one JSON line for each spell, and end.
    #[arg(long, value_name = "DAYS")]
    #[serde(skip)]
    pub print_rules: Option<u32>,
    /// Market time advances in steps of so many milliseconds [1000; 100 below speed 10,
    /// more above speed 120].
    #[arg(long, value_name = "MS")]
    pub step_ms: Option<i64>,
    /// HTTP requests per five seconds and address; 0 for no limit [600].
    #[arg(long, value_name = "COUNT")]
    pub address_limit: Option<usize>,
    /// Number that goes into every order and execution id, beside seed and start, so that another
    /// run over the same market has other ids [0].
    #[arg(long, value_name = "NUMBER")]
    pub id_salt: Option<u64>,
    /// TOML file with any of these settings, named as the flags; a flag wins over it.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address to bind.
    pub rest: SocketAddr,
    /// Further names under which it is asked.
    pub allow_host: Vec<String>,
    /// Where prices come from.
    pub market: MarketKind,
    /// Seed.
    pub seed: u64,
    /// Market seconds per wall second.
    pub speed: f64,
    /// Whether market time moves only when it is told to.
    pub stepped: bool,
    /// Accounts.
    pub keys: Vec<Opening>,
    /// Symbols; empty in a replay means every file.
    pub symbols: Vec<String>,
    /// Folder of recorded candles.
    pub candles: Option<PathBuf>,
    /// Folder of recorded rates of funding.
    pub funding: Option<PathBuf>,
    /// File of instruments.
    pub instruments: Option<PathBuf>,
    /// File or folder of recorded frames.
    pub frames: Option<PathBuf>,
    /// REST and WebSocket address of the exchange that a mirror follows.
    pub mirror: (String, String),
    /// Where live time begins.
    pub start: Option<i64>,
    /// Where the simulated market begins.
    pub origin: Option<i64>,
    /// Days of history without an origin.
    pub history_days: u32,
    /// Rules of the simulated market.
    pub rules: RuleSet,
    /// Steps of market time.
    pub step_ms: i64,
    /// HTTP requests per five seconds.
    pub address_limit: usize,
    /// Salt of all ids.
    pub id_salt: u64,
}

/// Longest history of a simulated market.
pub const MOST_DAYS: u32 = 3_650;

const OWN_TIME: &str = "--market mirror runs at the time of the exchange that it follows; leave \
     --speed, --stepped, --start and --origin out";

impl Flags {
    /// These flags over those of a file.
    fn over(self, file: Self) -> Self {
        Self {
            rest: self.rest.or(file.rest),
            allow_host: self.allow_host.or(file.allow_host),
            market: self.market.or(file.market),
            seed: self.seed.or(file.seed),
            speed: self.speed.or(file.speed),
            stepped: self.stepped.or(file.stepped),
            keys: self.keys.or(file.keys),
            symbols: self.symbols.or(file.symbols),
            candles: self.candles.or(file.candles),
            funding: self.funding.or(file.funding),
            instruments: self.instruments.or(file.instruments),
            frames: self.frames.or(file.frames),
            mirror_rest: self.mirror_rest.or(file.mirror_rest),
            mirror_ws: self.mirror_ws.or(file.mirror_ws),
            start: self.start.or(file.start),
            origin: self.origin.or(file.origin),
            history_days: self.history_days.or(file.history_days),
            rules: self.rules.or(file.rules),
            print_rules: self.print_rules,
            step_ms: self.step_ms.or(file.step_ms),
            address_limit: self.address_limit.or(file.address_limit),
            id_salt: self.id_salt.or(file.id_salt),
            config: self.config,
        }
    }
}

/// Reads and checks all settings.
///
/// # Errors
/// One line that names the setting, its value and what to do.
pub fn read(flags: Flags) -> Result<Settings, SettingsError> {
    let file = read_config(flags.config.as_deref())?;
    let flags = flags.over(file);
    let rest = loopback(flags.rest.as_deref().unwrap_or("127.0.0.1:0"))?;
    let allow_host = flags.allow_host.unwrap_or_default();
    check_names(&allow_host)?;
    let market = flags.market.unwrap_or(MarketKind::Simulated);
    let speed = flags.speed.unwrap_or(1.0);
    check_speed(speed)?;
    let stepped = flags.stepped.unwrap_or(false);
    if market == MarketKind::Replay {
        check_replay(flags.candles.is_some(), flags.frames.is_some())?;
    }
    if flags.candles.is_none() {
        check_unused(&[
            ("--funding", flags.funding.as_deref()),
            ("--instruments", flags.instruments.as_deref()),
        ])?;
    }
    check_rules(flags.rules, market)?;
    let mirror = mirror_addresses(flags.mirror_rest, flags.mirror_ws)?;
    let symbols = flags.symbols.unwrap_or_else(|| usual_symbols(market));
    check_symbols(&symbols, market)?;
    let reported = market == MarketKind::Mirror || flags.frames.is_some();
    let usual_step = if reported && speed < 10.0 { 20 } else { usual_step(speed) };
    let step_ms = flags.step_ms.unwrap_or(usual_step);
    let usual_days = if market == MarketKind::Mirror { 3 } else { 30 };
    let history_days = flags.history_days.unwrap_or(usual_days);
    check_spans(step_ms, history_days)?;
    check_times(flags.start, flags.origin)?;
    #[allow(clippy::float_cmp)]
    let own_time = stepped || speed != 1.0 || flags.start.is_some() || flags.origin.is_some();
    if market == MarketKind::Mirror && own_time {
        return Err(OWN_TIME.into());
    }
    let keys = flags.keys.ok_or("--keys FILE is missing: JSON [{\"key\",\"secret\",\"usdt\"}]")?;
    Ok(Settings {
        rest,
        allow_host,
        market,
        seed: flags.seed.unwrap_or(1),
        speed,
        stepped,
        keys: read_keys(&keys)?,
        symbols,
        candles: flags.candles,
        funding: flags.funding,
        instruments: flags.instruments,
        frames: flags.frames,
        mirror,
        start: flags.start,
        origin: flags.origin,
        history_days,
        rules: flags.rules.unwrap_or_default(),
        step_ms,
        id_salt: flags.id_salt.unwrap_or(0),
        address_limit: flags.address_limit.unwrap_or(600),
    })
}

/// Whose rules are printed, and for how long.
#[derive(Debug, Clone)]
pub struct PrintedRules {
    /// Seed of the market.
    pub seed: u64,
    /// Where it begins.
    pub origin: i64,
    /// Its symbols.
    pub symbols: Vec<String>,
    /// Days from there on.
    pub days: u32,
    /// Which rules it holds.
    pub rules: RuleSet,
}

/// Reads and checks what `--print-rules` asks for; the other settings do not matter to it.
///
/// # Errors
/// One line that names the setting, its value and what to do.
pub fn read_printed(flags: Flags, days: u32) -> Result<PrintedRules, SettingsError> {
    let file = read_config(flags.config.as_deref())?;
    let flags = flags.over(file);
    let market = flags.market.unwrap_or(MarketKind::Simulated);
    if market != MarketKind::Simulated {
        return Err("--print-rules: only the simulated market has rules; leave --market out".into());
    }
    if days > MOST_DAYS {
        return Err(format!("--print-rules {days} is more than ten years ({MOST_DAYS})").into());
    }
    let origin = flags.origin.ok_or("--print-rules needs --origin MS: where the market begins")?;
    check_times(None, Some(origin))?;
    let symbols = flags.symbols.unwrap_or_else(|| usual_symbols(market));
    check_symbols(&symbols, market)?;
    let rules = flags.rules.unwrap_or_default();
    Ok(PrintedRules { seed: flags.seed.unwrap_or(1), origin, symbols, days, rules })
}

fn check_rules(rules: Option<RuleSet>, market: MarketKind) -> Result<(), SettingsError> {
    if rules.is_none() || market == MarketKind::Simulated {
        return Ok(());
    }
    Err("--rules belongs to the simulated market; leave it out".into())
}

fn check_names(hosts: &[String]) -> Result<(), SettingsError> {
    match hosts.iter().find(|name| name.parse::<Authority>().is_err()) {
        Some(name) => Err(format!("--allow-host {name} is not a name like venue.lan:8300").into()),
        None => Ok(()),
    }
}

fn check_speed(speed: f64) -> Result<(), SettingsError> {
    if speed.is_finite() && (0.001..=100_000.0).contains(&speed) {
        return Ok(());
    }
    Err(format!("--speed {speed} is not between 0.001 and 100000").into())
}

/// Symbols where none is named; a replay takes every file.
fn usual_symbols(market: MarketKind) -> Vec<String> {
    match market {
        MarketKind::Replay => Vec::new(),
        MarketKind::Simulated | MarketKind::Mirror => {
            ["BTCUSDT", "ETHUSDT", "SOLUSDT"].map(str::to_owned).into()
        }
    }
}

/// Where a mirrored market is listened to: REST and public socket.
fn mirror_addresses(
    rest: Option<String>,
    ws: Option<String>,
) -> Result<(String, String), SettingsError> {
    let rest = rest.unwrap_or_else(|| "https://api.bybit.com".to_owned());
    let ws = ws.unwrap_or_else(|| "wss://stream.bybit.com".to_owned());
    check_scheme("--mirror-rest", &rest, ["http://", "https://"])?;
    check_scheme("--mirror-ws", &ws, ["ws://", "wss://"])?;
    Ok((rest, ws))
}

fn check_replay(has_candles: bool, has_frames: bool) -> Result<(), SettingsError> {
    if has_candles != has_frames {
        return Ok(());
    }
    Err("--market replay needs either --candles DIR with SYMBOL-1m.parquet files or \
         --frames PATH with recorded frames"
        .into())
}

fn check_spans(step_ms: i64, history_days: u32) -> Result<(), SettingsError> {
    if !(1..=60_000).contains(&step_ms) || 60_000 % step_ms != 0 {
        return Err(format!("--step-ms {step_ms} does not divide a minute (60000)").into());
    }
    if history_days > MOST_DAYS {
        return Err(
            format!("--history-days {history_days} is more than ten years ({MOST_DAYS})").into()
        );
    }
    Ok(())
}

fn read_config(path: Option<&Path>) -> Result<Flags, SettingsError> {
    let Some(path) = path else { return Ok(Flags::default()) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read --config {}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let line = error.message().lines().next().unwrap_or("").to_owned();
        format!("--config {} is not as expected: {line}", path.display()).into()
    })
}

fn loopback(address: &str) -> Result<SocketAddr, SettingsError> {
    let rest: SocketAddr = address
        .parse()
        .map_err(|_| format!("--rest {address} is not an address like 127.0.0.1:8000"))?;
    if !rest.ip().is_loopback() {
        return Err(format!(
            "--rest {address} is not loopback; the paper venue serves 127.0.0.1 or [::1] only"
        )
        .into());
    }
    Ok(rest)
}

/// Places that nothing but a replay of candles reads.
fn check_unused(places: &[(&str, Option<&Path>)]) -> Result<(), SettingsError> {
    match places.iter().find_map(|(name, place)| Some((name, (*place)?))) {
        None => Ok(()),
        Some((name, place)) => Err(format!(
            "{name} {} belongs to a replay of candles: give --market replay and --candles, or \
             leave it out",
            place.display()
        )
        .into()),
    }
}

fn check_scheme(name: &str, url: &str, schemes: [&str; 2]) -> Result<(), SettingsError> {
    if schemes.iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(());
    }
    Err(format!("{name} {url} does not begin with {} or {}", schemes[0], schemes[1]).into())
}

fn check_symbols(symbols: &[String], market: MarketKind) -> Result<(), SettingsError> {
    for (index, symbol) in symbols.iter().enumerate() {
        if !is_symbol(symbol) {
            return Err(format!("--symbols {symbol} is not a symbol like BTCUSDT").into());
        }
        if symbols[..index].contains(symbol) {
            return Err(format!("--symbols names {symbol} twice").into());
        }
    }
    if market != MarketKind::Replay && symbols.is_empty() {
        return Err("--symbols is empty; name at least one like BTCUSDT".into());
    }
    Ok(())
}

fn check_times(start: Option<i64>, origin: Option<i64>) -> Result<(), SettingsError> {
    for (name, value) in [("--start", start), ("--origin", origin)] {
        if let Some(value) = value.filter(|value| !(0..=4_102_444_800_000).contains(value)) {
            return Err(format!(
                "{name} {value} is not a time in milliseconds between 1970 and 2100"
            )
            .into());
        }
    }
    match (start, origin) {
        (Some(start), Some(origin)) if origin > start => {
            Err(format!("--origin {origin} is later than --start {start}").into())
        }
        _ => Ok(()),
    }
}

/// A step that keeps the venue at 120 steps per wall second or fewer.
fn usual_step(speed: f64) -> i64 {
    if speed < 10.0 {
        return 100;
    }
    let steps =
        [(120.0, 1_000), (240.0, 2_000), (600.0, 5_000), (1_200.0, 10_000), (2_400.0, 20_000)];
    steps.iter().find(|(fastest, _)| speed <= *fastest).map_or(60_000, |(_, step)| *step)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRow {
    key: String,
    secret: String,
    usdt: String,
}

/// Reads the accounts; refuses a file that others may read.
///
/// # Errors
/// One line that names the file and what to do, and never shows a secret.
pub fn read_keys(path: &Path) -> Result<Vec<Opening>, SettingsError> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let reported = |error: std::io::Error| format!("cannot read --keys {shown}: {error}");
    let mode = std::fs::metadata(path).map_err(reported)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "--keys {shown} can be read by others (mode {:o}): run chmod 600 on it",
            mode & 0o777
        )
        .into());
    }
    let text = std::fs::read_to_string(path).map_err(reported)?;
    // The parser's own message could quote a secret, so only the place is shown.
    let rows: Vec<KeyRow> = serde_json::from_str(&text).map_err(|error| {
        format!(
            "--keys {shown} is not [{{\"key\",\"secret\",\"usdt\"}}, ...] (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if rows.is_empty() {
        return Err(format!("--keys {shown} has no account; add one").into());
    }
    let mut openings: Vec<Opening> = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        if row.key.is_empty() || row.secret.is_empty() || openings.iter().any(|o| o.key == row.key)
        {
            return Err(format!(
                "--keys {shown}: account {index} has an empty or repeated key or secret"
            )
            .into());
        }
        let usdt = decimals::parse(&row.usdt).filter(|usdt| {
            !usdt.is_sign_negative() && *usdt <= Decimal::from(1_000_000_000_000_i64)
        });
        let usdt = usdt.ok_or_else(|| {
            format!("--keys {shown}: account {index} has usdt {}, not an amount", row.usdt)
        })?;
        openings.push(Opening { key: row.key, secret: row.secret, usdt });
    }
    Ok(openings)
}

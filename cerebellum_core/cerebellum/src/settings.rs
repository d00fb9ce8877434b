//! Settings: flags over a TOML file over defaults, checked before anything is opened.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::{settings_error::SettingsError, wire::field::Symbol};
use serde::Deserialize;

use crate::addresses::{host_of, is_loopback, socket_address};

/// The only hand that touches an exchange: takes intents over ZeroMQ, journals them on disk, sends
/// them signed to Bybit v5, and publishes what happened.
#[derive(Debug, Parser)]
#[command(name = "cerebellum", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// What to do instead of running.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// How to run.
    #[command(flatten)]
    pub flags: Flags,
}

/// What to do instead of running.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Recompute positions and cash from a journal's rows and print a JSON summary.
    ///
    /// Exit 0 when nothing is wrong, 1 when the journal contradicts itself.
    VerifyJournal {
        /// The journal file.
        file: PathBuf,
    },
    /// Read recorded public frames and print the market messages that they lead to.
    ///
    /// One raw frame a line; the last line printed holds the books as they stand at the end.
    ReplayFrames {
        /// The file with frames.
        file: PathBuf,
        /// Symbols with the decimal places of price and quantity: BTCUSDT:1:3,ETHUSDT:2:2.
        #[arg(long, value_delimiter = ',', required = true)]
        places: Vec<String>,
        /// How many levels a side are kept.
        #[arg(long, default_value_t = 50)]
        depth: usize,
        /// With --json: parse and apply the file so often.
        #[arg(long, default_value_t = 1, requires = "json")]
        repeat: u32,
        /// Print one JSON line with the counts and the seconds that parsing and applying took.
        #[arg(long)]
        json: bool,
    },
}

/// Which exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Venue {
    /// The paper venue on loopback.
    Paper,
    /// Bybit's demo: real prices, paper fills.
    Demo,
    /// Bybit's testnet.
    Testnet,
    /// Bybit with real money.
    Live,
}

/// How orders travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderRoute {
    /// Over the trade socket; over REST while it is down.
    Websocket,
    /// Over REST only.
    Rest,
}

/// Every setting, as a flag and as a key of the `--config` file (with underscores).
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flags {
    /// A TOML file with the settings below; flags win over it.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Which exchange to trade on.
    #[arg(long, value_enum)]
    pub venue: Option<Venue>,
    /// The exchange's REST address, such as http://127.0.0.1:8080; needed for paper.
    #[arg(long, value_name = "URL")]
    pub rest: Option<String>,
    /// The exchange's WebSocket address without path, such as ws://127.0.0.1:8080; needed for paper.
    #[arg(long, value_name = "URL")]
    pub ws: Option<String>,
    /// Another WebSocket address for public streams; default: --ws, for demo the live public streams.
    #[arg(long, value_name = "URL")]
    pub ws_public: Option<String>,
    /// A JSON file with rights 0600, [{"key": ..., "secret": ...}]; BYBIT_API_KEY and
    /// BYBIT_API_SECRET in the environment win over it.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// The journal's SQLite file; :memory: is for benchmarks on the paper venue only.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// The symbols to trade, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub symbols: Option<Vec<String>>,
    /// The folder of the ipc sockets; created with rights 0700.
    #[arg(long, value_name = "DIR")]
    pub run_folder: Option<PathBuf>,
    /// The commands socket; default ipc://RUN_FOLDER/commands.
    #[arg(long, value_name = "ADDR")]
    pub commands: Option<String>,
    /// The events socket; default ipc://RUN_FOLDER/events.
    #[arg(long, value_name = "ADDR")]
    pub events: Option<String>,
    /// The market socket; default ipc://RUN_FOLDER/market.
    #[arg(long, value_name = "ADDR")]
    pub market: Option<String>,
    /// A TOML file with limits, read again on SIGHUP; see docs/reference/limits.md.
    #[arg(long, value_name = "FILE")]
    pub limits: Option<PathBuf>,
    /// Silence of a heard arena after which entries are cancelled and only exits are taken, wall ms;
    /// 0 switches it off. Default 60000.
    #[arg(long, value_name = "MS")]
    pub deadman_ms: Option<u32>,
    /// Also close every position when the dead-man switch trips.
    #[arg(long)]
    pub flatten_on_deadman: bool,
    /// Prometheus metrics on this loopback address; port 0 is resolved in the ready line.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// How long a book may go without an update before it is stale, wall ms. Default 10000.
    #[arg(long, value_name = "MS")]
    pub stale_after_ms: Option<u32>,
    /// How often a stream is pinged, ms. Default 10000.
    #[arg(long, value_name = "MS")]
    pub ping_ms: Option<u32>,
    /// Silence after which a stream is taken for dead, ms. Default 25000.
    #[arg(long, value_name = "MS")]
    pub dead_after_ms: Option<u32>,
    /// How old a signed request may be when the exchange reads it, ms. Default 5000.
    #[arg(long, value_name = "MS")]
    pub receive_window_ms: Option<u32>,
    /// How often the clocks are compared, ms. Default 30000.
    #[arg(long, value_name = "MS")]
    pub clock_check_ms: Option<u32>,
    /// How orders travel; the demo has no trade socket and takes rest. Default websocket.
    #[arg(long, value_enum)]
    pub orders: Option<OrderRoute>,
    /// The leverage to set for every symbol at the start, such as 5; left out: as the account has it.
    #[arg(long, value_name = "NUMBER")]
    pub leverage: Option<String>,
    /// What is logged, as a tracing filter. Default info.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Needed for --venue live.
    #[arg(long)]
    pub i_understand_this_is_real_money: bool,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which exchange.
    pub venue: Venue,
    /// REST address.
    pub rest: String,
    /// Address of the private stream, path included.
    pub ws_private: String,
    /// Address of the public streams, path included.
    pub ws_public: String,
    /// Where keys lie, if not in the environment.
    pub keys: Option<PathBuf>,
    /// Where the journal lies.
    pub journal: PathBuf,
    /// What is traded.
    pub symbols: Vec<Symbol>,
    /// The folder of the ipc sockets.
    pub run_folder: PathBuf,
    /// Addresses of the three sockets: commands, events, market.
    pub sockets: [String; 3],
    /// The limits file.
    pub limits: Option<PathBuf>,
    /// Silence that trips the dead-man switch, ms; 0 is off.
    pub deadman_ms: i64,
    /// Whether it also closes positions.
    pub flatten_on_deadman: bool,
    /// Where metrics are served.
    pub metrics: Option<String>,
    /// Staleness of a book, ms.
    pub stale_after_ms: i64,
    /// Ping interval, ms.
    pub ping_ms: u64,
    /// Silence of a dead stream, ms.
    pub dead_after_ms: u64,
    /// Age of a signed request, ms.
    pub receive_window_ms: i64,
    /// How often the clocks are compared, ms.
    pub clock_check_ms: u64,
    /// Address of the trade socket, path included, if orders travel over it.
    pub ws_trade: Option<String>,
    /// The leverage to set, if any.
    pub leverage: Option<String>,
    /// Log filter.
    pub log: String,
}

const REAL_MONEY: &str =
    "--venue live trades real money; add --i-understand-this-is-real-money if that is meant";

impl Flags {
    /// Reads the `--config` file, if there is one, under the flags.
    ///
    /// # Errors
    /// The file, the key and the next step.
    pub fn with_config(self) -> Result<Self, SettingsError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("config file {}: {error}; check --config", path.display()))?;
        let file: Self = toml::from_str(&text).map_err(|error| {
            format!("config file {}: {}", path.display(), error.to_string().trim())
        })?;
        Ok(Self {
            config: self.config,
            venue: self.venue.or(file.venue),
            rest: self.rest.or(file.rest),
            ws: self.ws.or(file.ws),
            ws_public: self.ws_public.or(file.ws_public),
            keys: self.keys.or(file.keys),
            journal: self.journal.or(file.journal),
            symbols: self.symbols.or(file.symbols),
            run_folder: self.run_folder.or(file.run_folder),
            commands: self.commands.or(file.commands),
            events: self.events.or(file.events),
            market: self.market.or(file.market),
            limits: self.limits.or(file.limits),
            deadman_ms: self.deadman_ms.or(file.deadman_ms),
            flatten_on_deadman: self.flatten_on_deadman || file.flatten_on_deadman,
            metrics: self.metrics.or(file.metrics),
            stale_after_ms: self.stale_after_ms.or(file.stale_after_ms),
            ping_ms: self.ping_ms.or(file.ping_ms),
            dead_after_ms: self.dead_after_ms.or(file.dead_after_ms),
            receive_window_ms: self.receive_window_ms.or(file.receive_window_ms),
            clock_check_ms: self.clock_check_ms.or(file.clock_check_ms),
            orders: self.orders.or(file.orders),
            leverage: self.leverage.or(file.leverage),
            log: self.log.or(file.log),
            // Real money is asked for on the command line, where a person sees it.
            i_understand_this_is_real_money: self.i_understand_this_is_real_money,
        })
    }

    /// Checks everything that can be checked without opening anything.
    ///
    /// # Errors
    /// The setting, its value and the next step.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let venue = self.venue.ok_or("--venue is missing; use paper, demo, testnet or live")?;
        if venue == Venue::Live && !self.i_understand_this_is_real_money {
            return Err(REAL_MONEY.into());
        }
        let (rest, ws, ws_public) = addresses(venue, self.rest, self.ws, self.ws_public)?;
        let journal = self.journal.ok_or("--journal is missing; name a file for the journal")?;
        if journal.as_os_str() == ":memory:" && venue != Venue::Paper {
            return Err("--journal :memory: forgets every order; name a file".into());
        }
        let run_folder =
            self.run_folder.ok_or("--run-folder is missing; name a folder for the sockets")?;
        let sockets = [
            socket_address("commands", self.commands, &run_folder)?,
            socket_address("events", self.events, &run_folder)?,
            socket_address("market", self.market, &run_folder)?,
        ];
        if let Some(metrics) = &self.metrics {
            require_loopback(metrics)?;
        }
        let route = order_route(venue, self.orders)?;
        Ok(Settings {
            venue,
            rest,
            ws_trade: (route == OrderRoute::Websocket).then(|| format!("{ws}/v5/trade")),
            leverage: self.leverage.map(leverage).transpose()?,
            clock_check_ms: at_least("clock-check-ms", self.clock_check_ms, 30_000, 100)?,
            ws_private: format!("{ws}/v5/private"),
            ws_public: format!("{ws_public}/v5/public/linear"),
            keys: self.keys,
            journal,
            symbols: symbols(self.symbols)?,
            run_folder,
            sockets,
            limits: self.limits,
            deadman_ms: i64::from(self.deadman_ms.unwrap_or(60_000)),
            flatten_on_deadman: self.flatten_on_deadman,
            metrics: self.metrics,
            stale_after_ms: at_least("stale-after-ms", self.stale_after_ms, 10_000, 100)?,
            ping_ms: at_least("ping-ms", self.ping_ms, 10_000, 50)?,
            dead_after_ms: at_least("dead-after-ms", self.dead_after_ms, 25_000, 200)?,
            receive_window_ms: at_least("receive-window-ms", self.receive_window_ms, 5_000, 500)?,
            log: self.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

/// Metrics are served to this machine alone.
fn require_loopback(metrics: &str) -> Result<(), SettingsError> {
    let address: std::net::SocketAddr =
        metrics.parse().map_err(|_| format!("--metrics {metrics} is not like 127.0.0.1:9100"))?;
    if !address.ip().is_loopback() {
        return Err(format!("--metrics {metrics} is not loopback; use 127.0.0.1").into());
    }
    Ok(())
}

fn at_least<T: From<u32>>(
    name: &str,
    value: Option<u32>,
    default: u32,
    least: u32,
) -> Result<T, SettingsError> {
    let value = value.unwrap_or(default);
    if value < least {
        return Err(format!("--{name} {value} is too small; use {least} or more").into());
    }
    Ok(value.into())
}

/// The demo has no trade socket.
fn order_route(venue: Venue, asked: Option<OrderRoute>) -> Result<OrderRoute, SettingsError> {
    match (venue, asked) {
        (Venue::Demo, Some(OrderRoute::Websocket)) => {
            Err("--orders websocket: Bybit's demo has no trade socket; use --orders rest"
                .to_owned()
                .into())
        }
        (Venue::Demo, None) => Ok(OrderRoute::Rest),
        (_, asked) => Ok(asked.unwrap_or(OrderRoute::Websocket)),
    }
}

fn leverage(text: String) -> Result<String, SettingsError> {
    let number = rust_decimal::Decimal::from_str_exact(&text)
        .map_err(|_| format!("--leverage {text} is no number; use one such as 5"))?;
    if number < rust_decimal::Decimal::ONE {
        return Err(format!("--leverage {text} is below 1; use 1 or more").into());
    }
    Ok(text)
}

fn symbols(texts: Option<Vec<String>>) -> Result<Vec<Symbol>, SettingsError> {
    let texts = texts.ok_or("--symbols is missing; name symbols such as BTCUSDT,ETHUSDT")?;
    let mut symbols: Vec<Symbol> = Vec::new();
    for text in &texts {
        let symbol = Symbol::new(text.trim()).map_err(|error| format!("--symbols: {error}"))?;
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    if symbols.is_empty() {
        return Err("--symbols is empty; name symbols such as BTCUSDT,ETHUSDT".into());
    }
    Ok(symbols)
}

/// REST, private and public addresses; a venue never reaches hosts of another one.
fn addresses(
    venue: Venue,
    rest: Option<String>,
    ws: Option<String>,
    ws_public: Option<String>,
) -> Result<(String, String, String), SettingsError> {
    let known = match venue {
        Venue::Paper => None,
        Venue::Demo => Some((
            "https://api-demo.bybit.com",
            "wss://stream-demo.bybit.com",
            "wss://stream.bybit.com",
        )),
        Venue::Testnet => Some((
            "https://api-testnet.bybit.com",
            "wss://stream-testnet.bybit.com",
            "wss://stream-testnet.bybit.com",
        )),
        Venue::Live => {
            Some(("https://api.bybit.com", "wss://stream.bybit.com", "wss://stream.bybit.com"))
        }
    };
    let own_ws = ws.is_some();
    let pick =
        |flag: &str, given: Option<String>, known: Option<&str>| -> Result<String, SettingsError> {
            let Some(given) = given else {
                return known.map(str::to_owned).ok_or_else(|| {
                    format!("--{flag} is missing; the paper venue's ready line tells it").into()
                });
            };
            let given = given.trim_end_matches('/').to_owned();
            let host = host_of(&given)
                .ok_or(format!("--{flag} {given} is no address like http://127.0.0.1:8080"))?;
            let allowed = is_loopback(host)
                || known == Some(given.as_str())
                || (venue == Venue::Live
                    && (given.starts_with("https://") || given.starts_with("wss://")));
            if allowed {
                Ok(given)
            } else {
                Err(format!(
                "--{flag} {given} does not belong to --venue {venue:?}; paper is loopback only, \
                 the other venues have their own hosts"
            )
                .into())
            }
        };
    let rest = pick("rest", rest, known.map(|k| k.0))?;
    let private = pick("ws", ws, known.map(|k| k.1))?;
    let public = match ws_public {
        Some(given) => pick("ws-public", Some(given), known.map(|k| k.2))?,
        None if own_ws || known.is_none() => private.clone(),
        None => pick("ws-public", None, known.map(|k| k.2))?,
    };
    Ok((rest, private, public))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;

//! What is parsed, and what must hold of what was accepted.

use cerebellum::{
    book::{
        ladder::Scales,
        market_data::{MarketData, Outcome, DEPTH},
    },
    bybit::{
        keys::Keys,
        outcome, queries,
        read_error::ReadError,
        rest::{read_envelope, VenueClock},
        rows::{self, Row, Traded},
        unreadable::Unreadable,
        ws_private,
        ws_trade::TradeFrame,
    },
    execution::model::limits::Limits,
    settings::Flags,
};
use paper_venue::server::probe::Probe;
use protocol::wire::{decode, encode, field::Symbol, Command, Event, Family, Market, Reply};
use serde::{de::DeserializeOwned, Serialize};
use serde_json::Value;

use crate::{
    broken::Broken,
    corpus::{self, CorpusError},
};

/// Reads one input: the kind of outcome, or the promise that was broken.
pub type Parse = Box<dyn FnMut(&[u8]) -> Result<String, Broken>>;

/// Something that parses.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// A fresh parser.
    pub begin: fn() -> Parse,
    /// Whether it remembers: an input of libFuzzer is then several, one a line.
    pub stream: bool,
    /// Its examples.
    pub examples: fn() -> Result<Vec<Vec<u8>>, CorpusError>,
}

impl Target {
    /// A number of its own, so that targets do not share their randomness.
    #[must_use]
    pub fn salt(&self) -> u64 {
        self.name.bytes().fold(7, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)))
    }
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    Target {
        name: "command",
        begin: || Box::new(message::<Command>),
        stream: false,
        examples: corpus::vectors,
    },
    Target {
        name: "reply",
        begin: || Box::new(message::<Reply>),
        stream: false,
        examples: corpus::vectors,
    },
    Target {
        name: "event",
        begin: || Box::new(message::<Event>),
        stream: false,
        examples: corpus::vectors,
    },
    Target {
        name: "market",
        begin: || Box::new(message::<Market>),
        stream: false,
        examples: corpus::vectors,
    },
    Target {
        name: "rest",
        begin: || Box::new(rest),
        stream: false,
        examples: || Ok(corpus::texts(&corpus::ROWS)),
    },
    Target {
        name: "public",
        begin: public,
        stream: true,
        examples: || {
            let mut examples = corpus::texts(&corpus::PUBLIC);
            examples.extend(corpus::recorded());
            Ok(examples)
        },
    },
    Target {
        name: "private",
        begin: || Box::new(private),
        stream: false,
        examples: || Ok(corpus::texts(&corpus::PRIVATE)),
    },
    Target {
        name: "trade",
        begin: || Box::new(trade),
        stream: false,
        examples: || Ok(corpus::texts(&corpus::TRADE)),
    },
    Target {
        name: "files",
        begin: || Box::new(files),
        stream: false,
        examples: || Ok(corpus::texts(&corpus::FILES)),
    },
    Target {
        name: "paper",
        begin: || {
            let mut probe = Probe::default();
            Box::new(move |input| Ok(probe.take(input)?))
        },
        stream: true,
        examples: || Ok(corpus::texts(&corpus::PAPER)),
    },
];

/// The longest input that libFuzzer makes for a target, bytes; longer ones are only read as examples.
///
/// Each line of the paper venue's is a request with all that follows from it, so a few of them are
/// tried many times as often as forty. Long sequences are played by [`crate::fuzz`].
#[must_use]
pub fn longest(name: &str) -> usize {
    if name == "paper" {
        1_536
    } else {
        usize::MAX
    }
}

/// Reads one input with a fresh parser, so that a finding can be seen again from its input alone.
///
/// # Errors
/// The promise that was broken, or that there is no target of that name.
pub fn once(name: &str, input: &[u8]) -> Result<(), Broken> {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| Broken::NoTarget(name.to_owned()))?;
    let mut parse = (target.begin)();
    if target.stream {
        return input.split(|byte| *byte == b'\n').try_for_each(|line| parse(line).map(drop));
    }
    parse(input).map(drop)
}

/// An error's words without the values in them, so that kinds are counted and not inputs.
fn kind(error: &str) -> String {
    let mut shown = String::from("error ");
    let mut quoted = false;
    for letter in error.chars().take(120) {
        match letter {
            '"' | '`' | '\'' => quoted = !quoted,
            _ if quoted => {}
            '{' => break,
            digit if digit.is_ascii_digit() => {}
            other => shown.push(other),
        }
    }
    shown
}

/// decode, encode, decode, encode: the second text must equal the first. What the quick way of a
/// family reads, the general way reads just so.
fn message<T: DeserializeOwned + Serialize + Family + PartialEq>(
    input: &[u8],
) -> Result<String, Broken> {
    let first: T = match decode(input) {
        Ok(message) => message,
        Err(fault) => return Ok(kind(&format!("{:?} {}", fault.code, fault.text))),
    };
    match serde_json::from_slice::<T>(input) {
        Ok(general) if general == first => {}
        Ok(_) => return Err(Broken::ReadDifferently),
        Err(error) => return Err(Broken::RefusedByOne(error)),
    }
    let text = encode(&first).map_err(Broken::NotWritten)?;
    let again: T = decode(&text).map_err(Broken::NotRead)?;
    let twice = encode(&again).map_err(Broken::NotWrittenAgain)?;
    if text != twice {
        return Err(Broken::Changed { first: show(&text), second: show(&twice) });
    }
    let value: Value = serde_json::from_slice(&text)?;
    finite(&value)?;
    Ok(format!("ok {}", value.get("type").and_then(Value::as_str).unwrap_or("?")))
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn finite(value: &Value) -> Result<(), Broken> {
    match value {
        Value::Number(number) if number.as_f64().is_none_or(|number| !number.is_finite()) => {
            Err(Broken::NotFinite(number.clone()))
        }
        Value::Array(list) => list.iter().try_for_each(finite),
        Value::Object(fields) => fields.values().try_for_each(finite),
        _ => Ok(()),
    }
}

fn rest(input: &[u8]) -> Result<String, Broken> {
    let (code, result) = match read_envelope(input) {
        Ok(envelope) => envelope,
        Err(error) => return Ok(kind(&error.to_string())),
    };
    let Some(Value::Array(list)) = result.get("list").cloned() else {
        return Ok(format!("ok {} without a list", code.signum()));
    };
    let symbol = Symbol::new("BTCUSDT")?;
    let mut outcomes = Vec::new();
    for value in list.into_iter().take(4) {
        let mut report = |name: &str, read: Result<(), ReadError>| {
            outcomes.push(
                read.map_or_else(|error| kind(&error.to_string()), |()| format!("ok {name}")),
            );
        };
        report("instrument", queries::instrument(&value).map(|_| ()));
        if let Ok(row) = serde_json::from_value::<Vec<String>>(value.clone()) {
            report("candle", queries::candle(&symbol, &row).map(|_| ()));
        }
        if let Ok(row) = serde_json::from_value::<Row>(value) {
            report("order", rows::order(&row).map(|_| ()));
            report("execution", rows::execution(&row).map(|_| ()));
            report("position", rows::position(&row).map(|_| ()));
            report("balance", rows::balance(&row, "USDT").map(|_| ()));
        }
    }
    let accepted = outcomes.iter().any(|outcome| outcome.starts_with("ok"));
    let head = if accepted { "ok" } else { "error" };
    Ok(format!("{head} {}", outcomes.join("; ")))
}

fn public() -> Parse {
    let places = [("BTCUSDT", 2, 3), ("ETHUSDT", 2, 3), ("SOLUSDT", 3, 3), ("DOGEUSDT", 5, 1)];
    let symbols = places.iter().filter_map(|(name, price, qty)| {
        Some((Symbol::new(name).ok()?, Scales { price: *price, qty: *qty }))
    });
    let mut data = MarketData::new(symbols, DEPTH);
    Box::new(move |input| {
        let Ok(text) = std::str::from_utf8(input) else { return Ok("error no UTF-8".to_owned()) };
        let outcomes = match data.frame(text, 0) {
            Ok(outcomes) => outcomes,
            Err(error) => return Ok(kind(&error.to_string())),
        };
        let mut kinds: Vec<String> = Vec::new();
        for outcome in outcomes {
            let name = match &outcome {
                Outcome::Publish(market) => {
                    message::<Market>(&encode(market).map_err(Broken::NotPublished)?)?
                }
                Outcome::Levels(levels) => {
                    let market = levels.clone().message();
                    message::<Market>(&encode(&market).map_err(Broken::NotPublished)?)?
                }
                Outcome::Quote(_, quote, _) if quote.bid >= quote.ask => {
                    return Err(Broken::Crossed(format!("{quote:?}")));
                }
                Outcome::Stale(_, why) => kind(why),
                other => format!("{other:?}").chars().take_while(|c| c.is_alphabetic()).collect(),
            };
            if !kinds.contains(&name) {
                kinds.push(name);
            }
        }
        Ok(format!("ok {}", kinds.join("; ")))
    })
}

fn private(input: &[u8]) -> Result<String, Broken> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("error no UTF-8".to_owned()) };
    let (inputs, fault) = ws_private::inputs(text, &Traded::default(), &Unreadable::default());
    let fault = fault.map(|(place, error)| kind(&format!("{place} {error}")));
    let head = if inputs.is_empty() && fault.is_some() { "error" } else { "ok" };
    Ok(format!("{head} {} {}", inputs.len().min(3), fault.unwrap_or_default()))
}

fn trade(input: &[u8]) -> Result<String, Broken> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("error no UTF-8".to_owned()) };
    let keys = Keys::new("fuzzing-key", "fuzzing-secret")?;
    let frame = match TradeFrame::read(text, &keys) {
        Ok(frame) => frame,
        Err(error) => return Ok(kind(&error.to_string())),
    };
    let answer = frame.answer(&VenueClock::default());
    let (created, cancelled) =
        (outcome::of_create(answer.clone(), 1_000), outcome::of_cancel(answer));
    let name = |shown: String| shown.chars().take_while(|c| c.is_alphabetic()).collect::<String>();
    Ok(format!("ok {} {}", name(format!("{created:?}")), name(format!("{cancelled:?}"))))
}

fn files(input: &[u8]) -> Result<String, Broken> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("error no UTF-8".to_owned()) };
    let limits = match Limits::parse(text) {
        Ok(limits) => {
            let written = toml::to_string(&limits).map_err(Broken::LimitsNotWritten)?;
            let again = match Limits::parse(&written) {
                Ok(again) => again,
                Err(source) => return Err(Broken::LimitsNotRead { source, written }),
            };
            if again != limits {
                let (first, second) = (format!("{limits:?}"), format!("{again:?}"));
                return Err(Broken::LimitsChanged { first, second });
            }
            "ok limits".to_owned()
        }
        Err(error) => kind(&error.to_string()),
    };
    let settings = match toml::from_str::<Flags>(text) {
        Ok(flags) => match flags.check() {
            Ok(settings) if settings.venue == cerebellum::settings::Venue::Live => {
                return Err(Broken::RealMoney);
            }
            Ok(_) => "ok settings".to_owned(),
            Err(error) => kind(&error.to_string()),
        },
        Err(error) => kind(error.message()),
    };
    let accepted = limits.starts_with("ok") || settings.starts_with("ok");
    Ok(format!("{} {limits} | {settings}", if accepted { "ok" } else { "error" }))
}

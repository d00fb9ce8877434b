//! The filters of a replayed symbol: from a file of instruments, from known facts, or from recorded
//! prices and volumes where they leave no doubt.

use super::facts_error::{Doubt, FactsError, FactsFault, FitError, WrittenError};
use super::instrument::{look_up, power, Instrument};
use protocol::bybit::decimals;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The file of instruments that is read when it lies beside the candles.
pub const BESIDE: &str = "instruments.json";
/// Most decimals of a recorded price.
const PRICE_DECIMALS: u32 = 12;
/// Most decimals of a recorded volume; finer ones are rounded.
const VOLUME_DECIMALS: u32 = 8;
/// Most ticks that a price of a real market is worth; what is finer is the noise of floats.
const MOST_TICKS: f64 = 1e8;
/// Largest tick of a real market, as a share of a price.
const COARSEST: f64 = 0.05;
/// Dearest step of a real market, in quote asset.
const DEAREST_STEP: f64 = 20.0;
/// Decimals by which a rare price may be finer than nearly all of the others: ticks change.
const RARE_DECIMALS: u32 = 2;
/// What counts as nearly all.
const NEARLY_ALL: f64 = 0.99;

/// The columns of prices.
const PRICES: [&str; 4] = ["open", "high", "low", "close"];

/// What recorded candles show of a symbol.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Open, high, low and close, one column each.
    pub prices: [&'a [f64]; 4],
    /// Volumes.
    pub volumes: &'a [f64],
}

/// Instruments that somebody wrote down, by symbol.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    source: String,
    instruments: BTreeMap<String, Instrument>,
}

impl Facts {
    /// Reads a file of instruments, or `instruments.json` beside the candles where none is named.
    ///
    /// # Errors
    /// A line that names the file, the symbol and what is wrong with it.
    pub fn read(named: Option<&Path>, folder: &Path) -> Result<Self, FactsError> {
        let beside = folder.join(BESIDE);
        let path = match named {
            Some(path) => path,
            None if beside.try_exists().unwrap_or(true) => &beside,
            None => return Ok(Self::default()),
        };
        let file = path.display().to_string();
        match read_instruments(path) {
            Ok(instruments) => Ok(Self { source: file, instruments }),
            Err(source) => Err(FactsError { file, source }),
        }
    }

    /// The filters of a symbol whose candles were recorded.
    ///
    /// # Errors
    /// A line that states why they are not known, and what to do.
    pub fn fit(&self, symbol: &str, seen: &Seen<'_>) -> Result<Instrument, FitError> {
        let reference = seen.prices[0].first().copied().unwrap_or(1.0);
        let early = seen.volumes.len().clamp(1, 1_440);
        #[allow(clippy::cast_precision_loss)]
        let usual = seen.volumes.iter().take(early).sum::<f64>() / early as f64;
        let fitted = match self.instruments.get(symbol) {
            Some(written) => self.written(written, seen)?,
            None => inferred(symbol, seen, (reference, usual))?,
        };
        Ok(fitted.in_market(reference, usual))
    }

    /// A written instrument, if all prices lie on its grid.
    fn written(&self, written: &Instrument, seen: &Seen<'_>) -> Result<Instrument, FitError> {
        let mut instrument = written.clone();
        for (name, column) in PRICES.into_iter().zip(seen.prices) {
            let off = column.iter().position(|price| {
                let ticks = on_grid(*price, instrument.price_decimals);
                ticks.is_none_or(|ticks| ticks % instrument.tick != 0)
            });
            if let Some(row) = off {
                return Err(FitError::OffTicks {
                    row,
                    name,
                    tick: instrument.price(instrument.tick),
                    file: self.source.clone(),
                    price: column[row],
                });
            }
        }
        instrument.volume_decimals = volume_decimals(seen.volumes, instrument.qty_decimals);
        Ok(instrument)
    }
}

/// Ticks and steps from known facts and from what was recorded.
fn inferred(symbol: &str, seen: &Seen<'_>, market: (f64, f64)) -> Result<Instrument, FitError> {
    let unsure = |doubt| FitError::Unsure { doubt, symbol: symbol.to_owned(), beside: BESIDE };
    let known = look_up(symbol);
    let places = price_decimals(seen, known.map_or(0, |one| one.price_decimals)).map_err(unsure)?;
    let steps = match known {
        Some(known) => known.qty_decimals,
        None => step_decimals(seen, market.0).map_err(unsure)?,
    };
    let volumes = volume_decimals(seen.volumes, steps);
    Ok(Instrument::new(symbol, (places, steps, volumes), market.0, market.1))
}

/// Decimals of the grid that all prices lie on.
fn price_decimals(seen: &Seen<'_>, least: u32) -> Result<u32, Doubt> {
    // How many prices need so many decimals, and the first of them.
    let mut needed = [(0_usize, 0_usize, 0_usize); PRICE_DECIMALS as usize + 1];
    let mut lowest = f64::INFINITY;
    for (index, column) in seen.prices.iter().enumerate() {
        for (row, price) in column.iter().enumerate() {
            lowest = lowest.min(*price);
            let places = (0..=PRICE_DECIMALS).find(|places| on_grid(*price, *places).is_some());
            let fits = places.filter(|places| price * power(*places) <= MOST_TICKS);
            let Some(places) = fits else {
                let (name, price) = (PRICES[index], *price);
                return Err(Doubt::FinerThanTicks { row, name, price });
            };
            let entry = &mut needed[places as usize];
            if entry.0 == 0 {
                (entry.1, entry.2) = (index, row);
            }
            entry.0 += 1;
        }
    }
    let all: usize = needed.iter().map(|entry| entry.0).sum();
    let finest = needed.iter().rposition(|entry| entry.0 > 0).unwrap_or(0);
    let mut below = 0;
    #[allow(clippy::cast_precision_loss)]
    let usual = needed.iter().position(|entry| {
        below += entry.0;
        below as f64 >= NEARLY_ALL * all as f64
    });
    let usual = usual.unwrap_or(finest).max(least as usize);
    if finest > usual + RARE_DECIMALS as usize {
        let (_, column, row) = needed[finest];
        let (name, price) = (PRICES[column], seen.prices[column][row]);
        return Err(Doubt::RareDecimals { row, name, finest, usual, price });
    }
    let places = u32::try_from(finest).unwrap_or(PRICE_DECIMALS).max(least);
    if 1.0 / power(places) > COARSEST * lowest {
        return Err(Doubt::CoarseTick { places, tick: decimals::spell(1, places), lowest });
    }
    Ok(places)
}

/// Decimals of the grid that all volumes lie on: sizes are whole steps.
fn step_decimals(seen: &Seen<'_>, price: f64) -> Result<u32, Doubt> {
    let mut steps = 0;
    for (row, volume) in seen.volumes.iter().enumerate() {
        while on_grid(*volume, steps).is_none() {
            steps += 1;
            if steps > VOLUME_DECIMALS {
                return Err(Doubt::FinerThanSteps { row, volume: *volume });
            }
        }
    }
    let worth = price / power(steps);
    if worth > DEAREST_STEP {
        return Err(Doubt::DearStep { steps, worth });
    }
    Ok(steps)
}

/// Decimals that keep every volume, as far as they fit; at least those of the step.
fn volume_decimals(volumes: &[f64], least: u32) -> u32 {
    let largest = volumes.iter().copied().fold(0.0, f64::max);
    let mut places = least;
    for volume in volumes {
        while places < VOLUME_DECIMALS && on_grid(*volume, places).is_none() {
            places += 1;
        }
    }
    while places > least && largest * power(places) > 4e15 {
        places -= 1;
    }
    places
}

/// A number as a whole count of a decimal grid, if it is exactly that.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::float_cmp)]
pub fn on_grid(value: f64, places: u32) -> Option<i64> {
    let unit = power(places);
    let count = (value * unit).round();
    // Both are exact, so their quotient is the number that the spelling in decimals reads back as.
    (count.abs() < 9.0e15 && count / unit == value).then_some(count as i64)
}

/// Reads instruments: an object of them by symbol, or an answer of `instruments-info`.
fn read_instruments(path: &Path) -> Result<BTreeMap<String, Instrument>, FactsFault> {
    let text = std::fs::read_to_string(path).map_err(FactsFault::Unreadable)?;
    let value: Value = serde_json::from_str(&text).map_err(FactsFault::Json)?;
    let rows = value.pointer("/result/list").unwrap_or(&value);
    if let Some(rows) = rows.as_array() {
        let read =
            rows.iter().map(|row| Instrument::from_row(row).map(|one| (one.symbol.clone(), one)));
        return Ok(read.collect::<Result<_, _>>()?);
    }
    let mut instruments = BTreeMap::new();
    for (symbol, row) in rows.as_object().ok_or(FactsFault::Shape)? {
        let one = written(symbol, row)
            .map_err(|source| FactsFault::Written { symbol: symbol.clone(), source })?;
        instruments.insert(symbol.clone(), one);
    }
    Ok(instruments)
}

/// An instrument as people write it: `tick_size` and `qty_step`, `min_qty` and `min_notional` if need
/// be.
fn written(symbol: &str, row: &Value) -> Result<Instrument, WrittenError> {
    const FIELDS: [&str; 4] = ["tick_size", "qty_step", "min_qty", "min_notional"];
    let row = row.as_object().ok_or(WrittenError::Shape)?;
    if let Some(name) = row.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(WrittenError::Unknown { name: name.clone(), known: FIELDS.join(", ") });
    }
    let number = |name: &'static str| -> Result<Option<Decimal>, WrittenError> {
        let Some(value) = row.get(name) else { return Ok(None) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let number = decimals::parse(&text).filter(|number| number.is_sign_positive());
        number.map(Some).ok_or_else(|| WrittenError::NotANumber { name, value: value.clone() })
    };
    let grid = |name: &'static str, most: u32| -> Result<(i64, u32), WrittenError> {
        let number = number(name)?.ok_or(WrittenError::Lacks(name))?.normalize();
        let places = number.scale();
        let count = decimals::scale_decimal(number, places).unwrap_or(0);
        if count <= 0 || places > most {
            return Err(WrittenError::Grid { name, number, most });
        }
        Ok((count, places))
    };
    let (tick, places) = grid("tick_size", PRICE_DECIMALS)?;
    let (step, sizes) = grid("qty_step", VOLUME_DECIMALS)?;
    let mut instrument = Instrument::new(symbol, (places, sizes, sizes), 1.0, 1.0);
    (instrument.tick, instrument.qty_step, instrument.min_qty) = (tick, step, step);
    if let Some(least) = number("min_qty")? {
        let steps = decimals::scale_decimal(least, sizes).ok().filter(|steps| steps % step == 0);
        instrument.min_qty = steps.ok_or(WrittenError::OffStep(least))?;
    }
    if let Some(least) = number("min_notional")? {
        instrument.min_notional = least;
    }
    Ok(instrument)
}

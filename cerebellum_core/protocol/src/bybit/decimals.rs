//! Scaled integers and exact decimals: one price, one spelling.

use rust_decimal::Decimal;

/// Why a text is not a number on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleError {
    /// The text is not a plain decimal number.
    NotANumber,
    /// The number has more decimals than the grid.
    OffGrid,
    /// The number does not fit into the scaled integer.
    TooLarge,
}

/// Writes a scaled integer with exactly `decimals` places.
///
/// ```
/// assert_eq!(protocol::bybit::decimals::spell(-5, 3), "-0.005");
/// assert_eq!(protocol::bybit::decimals::spell(500_000, 1), "50000.0");
/// ```
#[must_use]
pub fn spell(value: i64, decimals: u32) -> String {
    let mut text = String::with_capacity(24);
    spell_into(&mut text, i128::from(value), decimals);
    text
}

/// Appends a scaled integer with exactly `decimals` places to `text`.
pub fn spell_into(text: &mut String, value: i128, decimals: u32) {
    use std::fmt::Write;
    if value < 0 {
        text.push('-');
    }
    let digits = value.unsigned_abs();
    // Writing to a String cannot fail.
    if decimals == 0 {
        let _ = write!(text, "{digits}");
        return;
    }
    let unit = 10_u128.pow(decimals.min(38));
    let _ = write!(text, "{}.{:0width$}", digits / unit, digits % unit, width = decimals as usize);
}

/// Reads a plain decimal number as an integer scaled by `10^decimals`.
///
/// # Errors
/// [`ScaleError`] when the text is not a number, lies off the grid or is too large.
pub fn scale(text: &str, decimals: u32) -> Result<i64, ScaleError> {
    scale_decimal(parse(text).ok_or(ScaleError::NotANumber)?, decimals)
}

/// Scales an exact decimal by `10^decimals`.
///
/// # Errors
/// [`ScaleError`] when the number lies off the grid or is too large.
pub fn scale_decimal(value: Decimal, decimals: u32) -> Result<i64, ScaleError> {
    let value = value.normalize();
    if value.scale() > decimals {
        return Err(ScaleError::OffGrid);
    }
    let factor = 10_i128.checked_pow(decimals - value.scale()).ok_or(ScaleError::TooLarge)?;
    let scaled = value.mantissa().checked_mul(factor).ok_or(ScaleError::TooLarge)?;
    i64::try_from(scaled).map_err(|_| ScaleError::TooLarge)
}

/// Reads a plain decimal number: digits with at most one point and a leading minus.
#[must_use]
pub fn parse(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain {
        text.parse().ok()
    } else {
        None
    }
}

/// The exact decimal of a scaled integer.
#[must_use]
pub fn exact(value: i64, decimals: u32) -> Decimal {
    Decimal::new(value, decimals.min(28))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelt_reads_back_as_the_same_integer() {
        for (value, decimals) in [(0, 0), (1, 8), (-1, 8), (123_456_789, 4), (i64::MAX, 10)] {
            assert_eq!(scale(&spell(value, decimals), decimals), Ok(value));
        }
    }

    #[test]
    fn a_number_between_two_grid_points_is_refused() {
        assert_eq!(scale("0.15", 1), Err(ScaleError::OffGrid));
        assert_eq!(scale("0.10", 1), Ok(1));
    }

    #[test]
    fn exponents_infinities_and_words_are_not_numbers() {
        for text in ["", ".", "1e5", "NaN", "inf", "-", "1_000", " 1", "+1"] {
            assert_eq!(scale(text, 2), Err(ScaleError::NotANumber), "{text:?}");
        }
        assert_eq!(scale("99999999999999999999", 2), Err(ScaleError::TooLarge));
    }
}

//! What orders ask for, read from JSON with a reason for everything that cannot be read.

use super::Refusal;
use protocol::bybit::codes;
use protocol::bybit::decimals::{self, ScaleError};
use serde_json::Value;

/// The fields of one request; a null counts as missing, a number as its spelling.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a Value);

impl Fields<'_> {
    /// A text; empty when missing.
    ///
    /// # Errors
    /// When the field is neither text nor number.
    pub fn text(&self, name: &str) -> Result<String, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(flag)) => Ok(flag.to_string()),
            Some(other) => Err(bad(format!("params error: {name} {other} invalid"))),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// When it is missing or not a text.
    pub fn required(&self, name: &str) -> Result<String, Refusal> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Err(bad(format!("params error: {name} is missing")));
        }
        Ok(text)
    }

    /// One of a few words; `None` when missing.
    ///
    /// # Errors
    /// When it is another word.
    pub fn one_of(
        &self,
        name: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, Refusal> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(None);
        }
        let word = words.iter().find(|word| **word == text).copied();
        word.map(Some).ok_or_else(|| {
            bad(format!("params error: {name} {text} invalid, use {}", words.join(" or ")))
        })
    }

    /// A flag; false when missing.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name)?.as_str() {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            other => Err(bad(format!("params error: {name} {other} is not true or false"))),
        }
    }

    /// A whole number; zero when missing.
    ///
    /// # Errors
    /// When it is not a whole number.
    pub fn whole(&self, name: &str) -> Result<i64, Refusal> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(0);
        }
        text.parse().map_err(|_| bad(format!("params error: {name} {text} is not a whole number")))
    }

    /// A number on a grid; `None` when missing.
    ///
    /// # Errors
    /// When it is not a number, negative, off the grid or too large.
    pub fn scaled(&self, name: &str, places: u32) -> Result<Option<i64>, Refusal> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(None);
        }
        let value = decimals::scale(&text, places).map_err(|error| {
            let why = match error {
                ScaleError::NotANumber => "is not a number",
                ScaleError::OffGrid => "is not a multiple of the step",
                ScaleError::TooLarge => "is too large",
            };
            bad(format!("params error: {name} {text} {why} ({})", decimals::spell(1, places)))
        })?;
        if value < 0 {
            return Err(bad(format!("params error: {name} {text} is below zero")));
        }
        Ok(Some(value))
    }

    /// A client order id; empty when missing.
    ///
    /// # Errors
    /// When it is too long or has a character that is not permitted.
    pub fn link_id(&self) -> Result<String, Refusal> {
        let text = self.text("orderLinkId")?;
        let plain =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if text.len() > 36 || !plain {
            return Err(bad(
                "params error: orderLinkId takes 36 characters of [A-Za-z0-9_-]".to_owned()
            ));
        }
        Ok(text)
    }

    /// The category must be `linear`.
    ///
    /// # Errors
    /// When it is missing or another one.
    pub fn linear(&self) -> Result<(), Refusal> {
        match self.required("category")?.as_str() {
            "linear" => Ok(()),
            other => {
                Err(bad(format!("params error: category {other} is not served here, use linear")))
            }
        }
    }
}

/// A refusal for a malformed parameter.
pub(super) fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(codes::PARAMETER, message)
}

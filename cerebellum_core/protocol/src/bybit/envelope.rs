//! The envelope of every REST answer.

use serde::{Deserialize, Serialize};

/// `{"retCode":0,"retMsg":"OK","result":{..},"retExtInfo":{},"time":ms}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<T> {
    /// Zero, or what went wrong: see [`super::codes`].
    pub ret_code: i64,
    /// The same for people.
    #[serde(default)]
    pub ret_msg: String,
    /// The answer itself.
    pub result: T,
    /// More about the answer; an empty object in most of them.
    #[serde(default)]
    pub ret_ext_info: serde_json::Value,
    /// Server time in milliseconds.
    #[serde(default)]
    pub time: i64,
}

/// `result` of most queries: rows and where to go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// Product category; `linear` here.
    #[serde(default)]
    pub category: String,
    /// The rows.
    pub list: Vec<T>,
    /// Where the next page begins; empty when this is the last one.
    #[serde(default)]
    pub next_page_cursor: String,
}

/// `result` of creating, amending or cancelling one order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrderReference {
    /// The venue's id.
    pub order_id: String,
    /// The client's id.
    pub order_link_id: String,
}

//! Rows of orders, executions, positions and wallets, as REST and the private streams carry them.
//!
//! Numbers stay the strings they travel as; a field that a venue leaves out reads as empty, so a
//! reader survives rows that are shorter or longer than these.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the exchange's own.
pub struct OrderRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub order_id: String,
    pub order_link_id: String,
    pub block_trade_id: String,
    pub symbol: String,
    pub price: String,
    pub qty: String,
    pub side: String,
    pub is_leverage: String,
    pub position_idx: i64,
    pub order_status: String,
    pub create_type: String,
    pub cancel_type: String,
    pub reject_reason: String,
    pub avg_price: String,
    pub leaves_qty: String,
    pub leaves_value: String,
    pub cum_exec_qty: String,
    pub cum_exec_value: String,
    pub cum_exec_fee: String,
    pub time_in_force: String,
    pub order_type: String,
    pub stop_order_type: String,
    pub order_iv: String,
    pub trigger_price: String,
    pub take_profit: String,
    pub stop_loss: String,
    pub tp_trigger_by: String,
    pub sl_trigger_by: String,
    pub trigger_direction: i64,
    pub trigger_by: String,
    pub last_price_on_created: String,
    pub reduce_only: bool,
    pub close_on_trigger: bool,
    pub smp_type: String,
    pub smp_group: i64,
    pub smp_order_id: String,
    pub tpsl_mode: String,
    pub tp_limit_price: String,
    pub sl_limit_price: String,
    pub place_type: String,
    pub created_time: String,
    pub updated_time: String,
    pub cum_fee_detail: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_pnl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_currency: Option<String>,
}

/// One execution: a fill, or a funding payment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the exchange's own.
pub struct ExecutionRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub symbol: String,
    pub order_id: String,
    pub order_link_id: String,
    pub side: String,
    pub order_price: String,
    pub order_qty: String,
    pub leaves_qty: String,
    pub create_type: String,
    pub order_type: String,
    pub stop_order_type: String,
    pub exec_id: String,
    pub exec_price: String,
    pub exec_qty: String,
    pub exec_value: String,
    pub exec_fee: String,
    pub fee_rate: String,
    pub fee_currency: String,
    pub exec_type: String,
    pub exec_time: String,
    pub exec_pnl: String,
    pub is_maker: bool,
    pub is_leverage: String,
    pub closed_size: String,
    pub mark_price: String,
    pub index_price: String,
    pub underlying_price: String,
    pub trade_iv: String,
    pub mark_iv: String,
    pub block_trade_id: String,
    pub extra_fees: String,
    pub market_unit: String,
    pub seq: i64,
}

/// One position. REST names its price `avgPrice`, the private stream `entryPrice`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the exchange's own.
pub struct PositionRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub position_idx: i64,
    pub risk_id: i64,
    pub risk_limit_value: String,
    pub symbol: String,
    pub side: String,
    pub size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_price: Option<String>,
    pub position_value: String,
    pub trade_mode: i64,
    pub position_status: String,
    pub auto_add_margin: i64,
    pub adl_rank_indicator: i64,
    pub leverage: String,
    pub position_balance: String,
    pub break_even_price: String,
    pub mark_price: String,
    pub liq_price: String,
    pub bust_price: String,
    #[serde(rename = "positionIM")]
    pub position_im: String,
    #[serde(rename = "positionIMByMp")]
    pub position_im_by_mp: String,
    #[serde(rename = "positionMM")]
    pub position_mm: String,
    #[serde(rename = "positionMMByMp")]
    pub position_mm_by_mp: String,
    pub tpsl_mode: String,
    pub take_profit: String,
    pub stop_loss: String,
    pub trailing_stop: String,
    pub unrealised_pnl: String,
    pub cur_realised_pnl: String,
    pub cum_realised_pnl: String,
    pub seq: i64,
    pub is_reduce_only: bool,
    pub mmr_sys_updated_time: String,
    pub leverage_sys_updated_time: String,
    pub session_avg_price: String,
    pub created_time: String,
    pub updated_time: String,
    pub open_time: i64,
}

/// One account's wallet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the exchange's own.
pub struct WalletRow {
    pub account_type: String,
    #[serde(rename = "accountIMRate")]
    pub account_im_rate: String,
    #[serde(rename = "accountMMRate")]
    pub account_mm_rate: String,
    #[serde(rename = "accountLTV")]
    pub account_ltv: String,
    pub total_equity: String,
    pub total_wallet_balance: String,
    pub total_margin_balance: String,
    pub total_available_balance: String,
    #[serde(rename = "totalPerpUPL")]
    pub total_perp_upl: String,
    pub total_initial_margin: String,
    pub total_maintenance_margin: String,
    pub coin: Vec<CoinRow>,
}

/// One coin of a wallet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the exchange's own.
pub struct CoinRow {
    pub coin: String,
    pub equity: String,
    pub usd_value: String,
    pub wallet_balance: String,
    pub locked: String,
    pub borrow_amount: String,
    pub spot_borrow: String,
    pub accrued_interest: String,
    #[serde(rename = "totalOrderIM")]
    pub total_order_im: String,
    #[serde(rename = "totalPositionIM")]
    pub total_position_im: String,
    #[serde(rename = "totalPositionMM")]
    pub total_position_mm: String,
    pub unrealised_pnl: String,
    pub cum_realised_pnl: String,
    pub bonus: String,
    pub collateral_switch: bool,
    pub margin_collateral: bool,
    pub spot_hedging_qty: String,
    pub available_to_withdraw: String,
    pub available_to_borrow: String,
}

/// What a private stream carries: `{"id","topic","creationTime","data":[row, ...]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateFrame<T> {
    /// The message's own id.
    pub id: String,
    /// `order`, `execution`, `position` or `wallet`.
    pub topic: String,
    /// When the venue made it, in milliseconds.
    pub creation_time: i64,
    /// The rows.
    pub data: Vec<T>,
}

//! Codes of `retCode`, by name. Only those that the paper venue sends or Cerebellum acts on.

/// Everything went well.
pub const OK: i64 = 0;
/// The server timed out: the outcome is unknown.
pub const SERVER_TIMEOUT: i64 = 10_000;
/// A parameter is missing or malformed.
pub const PARAMETER: i64 = 10_001;
/// The request's time stamp is outside the receive window.
pub const TIMESTAMP: i64 = 10_002;
/// The API key is unknown.
pub const API_KEY: i64 = 10_003;
/// The signature does not match.
pub const SIGNATURE: i64 = 10_004;
/// Too many visits.
pub const RATE_LIMIT: i64 = 10_006;
/// Too many requests from one address.
pub const IP_LIMIT: i64 = 10_018;
/// The server failed: the outcome is unknown.
pub const SERVER_ERROR: i64 = 10_016;
/// The route does not exist.
pub const ROUTE: i64 = 10_017;
/// The WebSocket server restarts: the outcome is unknown.
pub const RESTARTING: i64 = 10_019;
/// The operation or category of a WebSocket request does not exist.
pub const WS_OPERATION: i64 = 10_404;
/// The system is overloaded: the outcome is unknown.
pub const OVERLOAD: i64 = 10_429;
/// A WebSocket connection logged in twice.
pub const WS_REPEATED_LOGIN: i64 = 20_001;
/// A WebSocket request used an identifier twice.
pub const WS_DUPLICATE_REQUEST: i64 = 20_006;
/// The exits of a position are what was asked for already.
pub const NOT_MODIFIED: i64 = 34_040;
/// The contract cannot be traded now.
pub const NOT_LIVE: i64 = 110_074;
/// The order does not exist, or it is too late to change it.
pub const ORDER_NOT_FOUND: i64 = 110_001;
/// The price is outside the permitted range.
pub const PRICE_RANGE: i64 = 110_003;
/// The available balance does not cover the order.
pub const INSUFFICIENT_BALANCE: i64 = 110_007;
/// Too many conditional orders rest at this symbol.
pub const TOO_MANY_CONDITIONAL: i64 = 110_009;
/// The leverage exceeds the permitted maximum.
pub const LEVERAGE_RANGE: i64 = 110_013;
/// A reduce-only order would not reduce.
pub const REDUCE_ONLY: i64 = 110_017;
/// Too many orders rest at this symbol.
pub const TOO_MANY_ORDERS: i64 = 110_020;
/// The position mode is what was asked for already.
pub const MODE_UNCHANGED: i64 = 110_025;
/// Open orders or a position block a change of mode.
pub const MODE_BLOCKED: i64 = 110_028;
/// The leverage is what was asked for already.
pub const LEVERAGE_UNCHANGED: i64 = 110_043;
/// The amended quantity is not above what was filled.
pub const QTY_BELOW_FILLED: i64 = 110_064;
/// The client order id was used before: the first attempt landed.
pub const DUPLICATE_LINK_ID: i64 = 110_072;
/// A rising trigger must lie above the market.
pub const TRIGGER_NOT_ABOVE: i64 = 110_092;
/// A falling trigger must lie below the market.
pub const TRIGGER_NOT_BELOW: i64 = 110_093;
/// The notional is below the minimum.
pub const NOTIONAL_BELOW_MINIMUM: i64 = 110_094;

/// Whether a code leaves it open if the request was executed.
///
/// Such an outcome is never a rejection: the order must be looked up under its client id.
#[must_use]
pub const fn is_ambiguous(code: i64) -> bool {
    matches!(code, SERVER_TIMEOUT | SERVER_ERROR | RESTARTING | OVERLOAD)
}

//! An intent, the order it became, and the names that tie the two together.

use std::sync::Arc;

use protocol::wire::{
    command::{Protect, Submit},
    event::{OrderStatus, OrderView},
    field::{IntentId, Kind, Name, Reason, Side, Symbol},
    DecimalText,
};
use rust_decimal::Decimal;

/// What an agent wants, as it was journaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Identity.
    pub intent_id: IntentId,
    /// Whose.
    pub agent: Name,
    /// The model version behind it.
    pub version: Name,
    /// What to trade.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Market or limit.
    pub kind: Kind,
    /// How much.
    pub qty: DecimalText,
    /// At what price, for a limit order.
    pub limit_price: Option<DecimalText>,
    /// Whether it may only reduce the agent's position.
    pub reduce_only: bool,
    /// Market time of the decision, ms.
    pub ts: u64,
    /// How long after `ts` it may still be sent, market ms.
    pub ttl_ms: u64,
    /// Protection of the position it opens.
    pub protect: Option<Protect>,
    /// Why.
    pub reason: Reason,
    /// Who made it.
    pub origin: Origin,
}

/// Who made an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A `submit` of the arena.
    Arena,
    /// Cerebellum itself: a protective exit or a flatten.
    Cerebellum,
}

impl From<Submit> for Intent {
    fn from(submit: Submit) -> Self {
        Self {
            intent_id: submit.intent_id,
            agent: submit.agent,
            version: submit.version,
            symbol: submit.symbol,
            side: submit.side,
            kind: submit.kind,
            qty: submit.qty,
            limit_price: submit.limit_price,
            reduce_only: submit.reduce_only,
            ts: submit.ts,
            ttl_ms: submit.ttl_ms,
            protect: submit.protect,
            reason: submit.reason,
            origin: Origin::Arena,
        }
    }
}

impl Intent {
    /// The client order id at the venue, derived from the intent id alone.
    #[must_use]
    pub fn link_id(&self) -> String {
        link_id(&self.intent_id)
    }

    /// The last market millisecond at which the order may be sent.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.ts.saturating_add(self.ttl_ms)
    }

    /// The name of the first field in which two intents with one id differ.
    ///
    /// `ts` and `request_id` are not part of the body: a message sent again after a crash is the
    /// same intent. Numbers are compared by value.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let value = |text: &Option<DecimalText>| text.as_ref().map(DecimalText::value);
        let protect = |p: &Option<Protect>| {
            p.as_ref().map(|p| (value(&p.stop), value(&p.take_profit), p.deadline_ts))
        };
        [
            ("agent", self.agent != other.agent),
            ("version", self.version != other.version),
            ("symbol", self.symbol != other.symbol),
            ("side", self.side != other.side),
            ("kind", self.kind != other.kind),
            ("qty", self.qty.value() != other.qty.value()),
            ("limit_price", value(&self.limit_price) != value(&other.limit_price)),
            ("reduce_only", self.reduce_only != other.reduce_only),
            ("ttl_ms", self.ttl_ms != other.ttl_ms),
            ("protect", protect(&self.protect) != protect(&other.protect)),
            ("reason", self.reason != other.reason),
        ]
        .into_iter()
        .find_map(|(name, differs)| differs.then_some(name))
    }
}

/// The client order id of an intent: `c-` and the 32 hex digits, 34 characters.
#[must_use]
pub fn link_id(intent_id: &IntentId) -> String {
    let mut link = String::with_capacity(34);
    link.push_str("c-");
    let digits = intent_id.as_str();
    // An intent id has one spelling, so its hyphens have their places.
    for part in [0..8, 9..13, 14..18, 19..23, 24..36] {
        link.push_str(&digits[part]);
    }
    link
}

/// The intent id that a client order id was derived from; `None` for one that is not ours.
#[must_use]
pub fn intent_of(link_id: &str) -> Option<IntentId> {
    let digits = link_id.strip_prefix("c-").filter(|rest| rest.len() == 32 && rest.is_ascii())?;
    let parts =
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
    IntentId::new(&parts).ok()
}

/// How much, and at what price: what an amend changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The whole quantity, what is filled included.
    pub qty: DecimalText,
    /// The limit price; `None` for a market order.
    pub limit_price: Option<DecimalText>,
}

impl Terms {
    /// Whether both are the same, however they are spelled.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let price = |terms: &Self| terms.limit_price.as_ref().map(DecimalText::value);
        self.qty.value() == other.qty.value() && price(self) == price(other)
    }
}

impl std::fmt::Display for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.limit_price {
            Some(price) => write!(f, "qty {} at {price}", self.qty),
            None => write!(f, "qty {}", self.qty),
        }
    }
}

/// New terms that are wanted and not yet seen at the venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amend {
    /// What is wanted.
    pub terms: Terms,
    /// Whether the request left, so that the venue may hold either.
    pub sent: bool,
}

/// One order, from the journal's first row to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What was wanted; it never changes, so copies of an order share it.
    pub intent: Arc<Intent>,
    /// The client order id.
    pub link_id: String,
    /// The venue's id, once known.
    pub order_id: Option<String>,
    /// What the venue holds, as far as is known; the intent's own until an amend changed them.
    pub terms: Terms,
    /// The change of terms in flight.
    pub amend: Option<Amend>,
    /// Where it stands.
    pub status: OrderStatus,
    /// How much is filled, by the executions seen.
    pub filled_qty: Decimal,
    /// The sum of price times quantity of those.
    pub filled_value: Decimal,
    /// The code of a refusal.
    pub code: Option<String>,
    /// What was reported.
    pub text: Option<String>,
    /// How often it was sent.
    pub sends: u32,
    /// Whether it is to be withdrawn.
    pub cancel_wanted: bool,
    /// Why a position that it still brings is to be closed at once: a flatten came while its cancel
    /// was in flight.
    pub close_on_fill: Option<Reason>,
    /// The end the venue reported, while executions are still missing.
    pub venue_end: Option<VenueEnd>,
    /// What is being done about it; not journaled.
    pub tracking: Tracking,
}

/// How the venue ended an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueEnd {
    /// Filled, cancelled or rejected.
    pub status: OrderStatus,
    /// How much the venue reports is filled.
    pub filled_qty: Decimal,
    /// What the venue reported.
    pub text: Option<String>,
}

/// What an order row of the venue reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// It can still be filled.
    Working,
    /// It cannot.
    Ended(VenueEnd),
}

/// The tracking of an open order; times are of [`crate::execution::model::io::Now`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// When it was last sent.
    pub sent_at: i64,
    /// When its status last changed.
    pub changed_at: i64,
    /// How often the venue was asked since the last answer.
    pub asks: u32,
    /// When the venue is to be asked next, if it is not being asked now.
    pub ask_at: Option<i64>,
    /// When it was last asked for.
    pub asked_at: i64,
    /// Whether the answer to a create is awaited.
    pub sending: bool,
    /// Whether an answer to a question is awaited.
    pub asking: bool,
    /// Whether the venue reported that the client order id is taken.
    pub landed: bool,
    /// When the last cancel was sent.
    pub cancel_at: Option<i64>,
    /// The newest row's time, ms of the venue's clock.
    pub row_ts: Option<u64>,
    /// When an amend was last sent or the terms last changed.
    pub terms_at: i64,
    /// Whether the answer to an amend is awaited.
    pub amending: bool,
    /// Since when no place at the venue shows an order that it once took.
    pub missing_since: Option<i64>,
    /// Whether an alarm about it was raised.
    pub alarmed: bool,
}

impl Order {
    /// A new order in state pending.
    #[must_use]
    pub fn new(intent: Intent) -> Self {
        let link_id = intent.link_id();
        let terms = Terms { qty: intent.qty.clone(), limit_price: intent.limit_price.clone() };
        Self {
            intent: Arc::new(intent),
            link_id,
            order_id: None,
            terms,
            amend: None,
            status: OrderStatus::Pending,
            filled_qty: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            code: None,
            text: None,
            sends: 0,
            cancel_wanted: false,
            close_on_fill: None,
            venue_end: None,
            tracking: Tracking::default(),
        }
    }

    /// Whether nothing more is expected of it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.status.is_terminal()
    }

    /// Whether the venue shows it nowhere, as far as is known.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        matches!(self.status, OrderStatus::Pending | OrderStatus::Sent | OrderStatus::Unknown)
    }

    /// Whether it never left: none of its requests was executed, and none is in flight.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.is_unseen() && self.sends == 0 && !self.tracking.sending && self.filled_qty.is_zero()
    }

    /// Whether it yields to a newer exit: the venue withdraws a resting order, not a market one.
    #[must_use]
    pub fn yields(&self) -> bool {
        let intent = &self.intent;
        intent.reduce_only && intent.origin == Origin::Arena && intent.kind == Kind::Limit
    }

    /// Whether the venue may hold it.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.sends > 0 || self.tracking.sending || !self.filled_qty.is_zero()
    }

    /// The most that may still be filled, whether or not an amend in flight arrives.
    #[must_use]
    pub fn remaining(&self) -> Decimal {
        let held = self.terms.qty.value();
        let wanted = self.amend.as_ref().map_or(held, |amend| amend.terms.qty.value());
        (held.max(wanted) - self.filled_qty).max(Decimal::ZERO)
    }

    /// The highest limit price at which it may be filled, or nothing for a market order.
    #[must_use]
    pub fn highest_price(&self) -> Option<Decimal> {
        let price = |terms: &Terms| terms.limit_price.as_ref().map(DecimalText::value);
        price(&self.terms).max(self.amend.as_ref().and_then(|amend| price(&amend.terms)))
    }

    /// The order as the wire shows it.
    #[must_use]
    pub fn view(&self) -> OrderView {
        OrderView {
            intent_id: self.intent.intent_id.clone(),
            order_link_id: self.link_id.clone(),
            order_id: self.order_id.clone(),
            agent: self.intent.agent.clone(),
            version: self.intent.version.clone(),
            symbol: self.intent.symbol.clone(),
            side: self.intent.side,
            kind: self.intent.kind,
            qty: self.terms.qty.clone(),
            limit_price: self.terms.limit_price.clone(),
            reduce_only: self.intent.reduce_only,
            status: self.status,
            filled_qty: DecimalText::from(self.filled_qty),
            avg_price: self
                .filled_value
                .checked_div(self.filled_qty)
                .map(|price| DecimalText::from(price.round_dp(12))),
            code: self.code.clone(),
            text: self.text.clone(),
            reason: self.intent.reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::execution::model::order::*;
    use crate::execution::testing::intent;

    #[test]
    fn the_client_order_id_fits_the_venue_and_follows_from_the_intent_id() {
        let one = intent("a", Side::Buy, "1");
        let link = one.link_id();
        assert!(link.len() <= 36);
        assert!(link.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        assert_eq!(link, one.clone().link_id());
        assert_ne!(link, intent("a", Side::Buy, "1").link_id(), "two intents share an id");
        assert_eq!(intent_of(&link), Some(one.intent_id));
    }

    #[test]
    fn a_client_order_id_that_is_not_ours_names_no_intent() {
        let digits = "0".repeat(32);
        for strange in ["", "c-", "web-1", "c-01890a5d", &format!("c-{digits}"), &"ä".repeat(17)] {
            assert_eq!(intent_of(strange), None, "{strange}");
        }
    }

    #[test]
    fn one_number_spelled_twice_is_one_body() {
        let one = intent("a", Side::Buy, "0.010");
        let mut two = one.clone();
        two.qty = "0.01".parse().unwrap();
        two.ts += 5;
        assert_eq!(one.first_difference(&two), None);
        two.qty = "0.011".parse().unwrap();
        assert_eq!(one.first_difference(&two), Some("qty"));
    }
}

//! Closing positions: protective exits, flatten and the dead-man switch.
//!
//! One exit machine per (agent, symbol): once there is a reason to close, every order of the agent
//! that would close it too is awaited or withdrawn, and only when none is left a reduce-only
//! market order for exactly the position is sent. So an exit that races with the arena's own exit
//! never flips the position.

use protocol::wire::{
    event::OrderStatus,
    field::{IntentId, Kind, Reason, Side, Symbol, TradingState},
    DecimalText,
};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::execution::{
    model::{
        guard::Guard,
        io::Record,
        ledger::Holding,
        order::{Intent, Order, Origin},
        trading_state::{covers, Scope},
    },
    Core,
};

/// How long an exit may wait to be sent, market ms; after that a new one is made.
const EXIT_TTL_MS: u64 = 3_600_000;

impl Core {
    /// Trips the dead-man switch when an arena that was ever received, by this process or by one before
    /// it on the same journal, falls silent.
    pub(in crate::execution) fn check_deadman(&mut self) {
        let silence = self.protection.silence(self.now.ms, self.setup.deadman_ms);
        let Some(silent) = silence else { return };
        self.protection.deadman_tripped = true;
        let text = format!(
            "no heartbeat for {silent} ms, limit {}; REDUCE_ONLY until an operator sets ACTIVE",
            self.setup.deadman_ms
        );
        self.alarm("deadman", text, None, None);
        self.move_down((None, None), TradingState::ReduceOnly, "deadman");
        self.withdraw_all(&(None, None), |order| !order.intent.reduce_only);
        if self.setup.flatten_on_deadman {
            self.flatten_scope(&(None, None), "deadman");
        }
    }

    /// Cancels a scope's orders and wants its positions closed; returns how many positions.
    pub(in crate::execution) fn flatten_scope(&mut self, scope: &Scope, reason: &str) -> usize {
        self.withdraw_all(scope, |order| order.intent.origin == Origin::Arena);
        self.close_late_fills(scope, reason);
        let holdings: Vec<Holding> = self
            .ledger
            .positions()
            .map(|(holding, _)| holding.clone())
            .filter(|(agent, symbol)| covers(scope, agent, symbol))
            .collect();
        for holding in &holdings {
            self.want_exit(holding, reason);
        }
        self.drive_exits(None);
        holdings.len()
    }

    /// Marks orders whose cancel is in flight: what they still bring is closed as well.
    fn close_late_fills(&mut self, scope: &Scope, reason: &str) {
        let Ok(reason) = Reason::new(reason) else { return };
        for link in self.orders.in_scope(scope) {
            let Some(order) = self.orders.get_mut(&link) else { continue };
            if order.intent.origin == Origin::Arena {
                order.close_on_fill = Some(reason.clone());
                self.outbox.record(Record::Order(Box::new(order.clone())));
            }
        }
    }

    pub(in crate::execution) fn want_exit(&mut self, holding: &Holding, reason: &str) {
        let version = self
            .protection
            .guards
            .get(holding)
            .map(|guard| guard.version.clone())
            .unwrap_or_else(|| holding.0.clone());
        let guard =
            self.protection.guards.entry(holding.clone()).or_insert_with(|| Guard::bare(version));
        if guard.exit_reason.is_none() {
            guard.exit_reason = Some(reason.to_owned());
            let record = Record::Guard(holding.clone(), Some(Box::new(guard.clone())));
            self.outbox.record(record);
        }
    }

    /// Looks at every guard, or at those of one symbol, and closes what is due.
    pub(in crate::execution) fn drive_exits(&mut self, symbol: Option<&Symbol>) {
        if !self.audit.ready || self.protection.guards.is_empty() {
            return;
        }
        let due: Vec<(Holding, Decimal)> = self
            .protection
            .guards
            .iter()
            .filter(|((_, held), _)| symbol.is_none_or(|symbol| symbol == held))
            .filter_map(|(holding, guard)| {
                let qty = self.ledger.position(&holding.0, &holding.1).qty;
                let wanted = guard.exit_reason.is_some()
                    || guard.due(qty, self.market.quotes.get(&holding.1), self.market.ms).is_some();
                (wanted && !qty.is_zero()).then(|| (holding.clone(), qty))
            })
            .collect();
        for (holding, qty) in due {
            self.drive_exit(&holding, qty);
        }
    }

    fn drive_exit(&mut self, holding: &Holding, qty: Decimal) {
        let (agent, symbol) = holding;
        let quote = self.market.quotes.get(symbol).cloned();
        let Some(guard) = self.protection.guards.get(holding) else { return };
        if guard.exit_reason.is_none() {
            let Some(reason) = guard.due(qty, quote.as_ref(), self.market.ms) else { return };
            self.want_exit(holding, reason);
        }
        let closing = if qty.is_sign_positive() { Side::Sell } else { Side::Buy };
        let racing: Vec<(String, Kind)> = self
            .orders
            .of(agent, symbol)
            .filter(|order| order.intent.side == closing)
            .map(|order| (order.link_id.clone(), order.intent.kind))
            .collect();
        if !racing.is_empty() {
            for (link, kind) in racing {
                if kind == Kind::Limit && !self.orders.get(&link).is_some_and(|o| o.cancel_wanted) {
                    self.withdraw(&link);
                }
            }
            return;
        }
        let Some(guard) = self.protection.guards.get(holding) else { return };
        let Some(reason) = guard.exit_reason.as_deref().and_then(|text| Reason::new(text).ok())
        else {
            return;
        };
        if self.now.ms < guard.retry_at {
            return;
        }
        let version = guard.version.clone();
        let Some(intent_id) = self.own_intent_id(holding) else { return };
        let most = self.market.instruments.get(symbol).map_or(qty.abs(), |i| i.max_market_qty);
        let order = Order::new(Intent {
            intent_id,
            agent: agent.clone(),
            version,
            symbol: symbol.clone(),
            side: closing,
            kind: Kind::Market,
            qty: DecimalText::from(qty.abs().min(most)),
            limit_price: None,
            reduce_only: true,
            ts: self.market.ms,
            ttl_ms: EXIT_TTL_MS,
            protect: None,
            reason,
            origin: Origin::Cerebellum,
        });
        let link = order.link_id.clone();
        self.journal_new(order);
        self.rates.orders.push_exit(link);
    }

    /// A UUIDv7 that follows from the journal and the next event's number, so it never repeats.
    fn own_intent_id(&self, holding: &Holding) -> Option<IntentId> {
        let mut hash = Sha256::new();
        hash.update(self.setup.journal_id.as_bytes());
        hash.update(holding.0.as_str().as_bytes());
        hash.update([0]);
        hash.update(holding.1.as_str().as_bytes());
        hash.update(self.outbox.seq().to_be_bytes());
        let digest = hash.finalize();
        let mut random = [0_u8; 10];
        random.copy_from_slice(digest.get(..10)?);
        let id = uuid::Builder::from_unix_timestamp_millis(self.market.ms, &random).into_uuid();
        IntentId::new(&id.to_string()).ok()
    }

    /// After a fill that moved a position: takes the intent's levels, and drops protection of a
    /// position that is flat or stands on the other side now.
    pub(in crate::execution) fn guard_after_fill(
        &mut self,
        link: &str,
        before: Decimal,
        qty: Decimal,
    ) {
        let Some(order) = self.orders.get(link) else { return };
        let intent = order.intent.clone();
        let holding = (intent.agent.clone(), intent.symbol.clone());
        let crossed = !before.is_zero() && before.is_sign_positive() != qty.is_sign_positive();
        if (qty.is_zero() || crossed) && self.protection.guards.remove(&holding).is_some() {
            self.outbox.record(Record::Guard(holding.clone(), None));
        }
        if qty.is_zero() {
            return;
        }
        let same_side = (intent.side == Side::Buy) == qty.is_sign_positive();
        if !same_side || intent.reduce_only {
            return;
        }
        let known = self.protection.guards.contains_key(&holding);
        let guard = self
            .protection
            .guards
            .entry(holding.clone())
            .or_insert_with(|| Guard::bare(intent.version.clone()));
        let taken = match &intent.protect {
            Some(protect) => guard.take(&intent.intent_id, &intent.version, protect),
            None => false,
        };
        if taken || !known {
            let record = Record::Guard(holding, Some(Box::new(guard.clone())));
            self.outbox.record(record);
        }
    }

    /// After an order of ours ended: a position that is still open is tried again, more patiently.
    pub(in crate::execution) fn exit_ended(&mut self, link: &str) {
        let Some(order) = self.orders.get(link) else { return };
        if order.intent.origin != Origin::Cerebellum {
            return;
        }
        let holding = (order.intent.agent.clone(), order.intent.symbol.clone());
        let failed = order.status != OrderStatus::Filled;
        let text = order.text.clone().unwrap_or_default();
        let now = self.now.ms;
        let Some(guard) = self.protection.guards.get_mut(&holding) else { return };
        if !failed {
            guard.failures = 0;
            return;
        }
        guard.failures = guard.failures.saturating_add(1);
        let failures = guard.failures;
        guard.retry_at = now + (200_i64 << failures.min(6)).min(10_000);
        if failures == 3 || failures % 50 == 0 {
            let text = format!(
                "{failures} exits of {} in {} ended without closing it ({text}); look at the venue",
                holding.0, holding.1
            );
            self.alarm("exit_failing", text, Some(holding.0), Some(holding.1));
        }
        self.audit.soon(now);
    }
}

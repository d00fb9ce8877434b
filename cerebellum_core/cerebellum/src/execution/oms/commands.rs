//! Commands of the arena: what each one does.

use protocol::wire::{
    command::{Cancel, CancelAll, Flatten, SetState, Submit},
    event::{Event, OrderStatus, StateEvent},
    field::{IntentId, Reason, RequestId, TradingState, V1},
    reply::{Ack, AckStatus, ErrorReply},
    Command, ErrorCode, RejectCode, Reply,
};

use crate::execution::{
    model::{
        io::{Client, Effect, Record},
        order::{link_id, Intent, Order},
        orders::BuysAndSells,
        trading_state::Scope,
    },
    oms::{rate_limit::Lane, state_machine::Transition},
    risk::checks::{self, RiskContext},
    Core,
};

impl Core {
    pub(in crate::execution) fn command(
        &mut self,
        client: Client,
        command: Command,
        recorded: Option<Order>,
    ) {
        match command {
            Command::Submit(submit) => self.submit(client, submit, recorded),
            Command::Amend(amend) => self.amend(client, &amend, recorded),
            Command::Cancel(cancel) => self.cancel(client, &cancel, recorded),
            Command::CancelAll(all) => self.cancel_all(client, all),
            Command::Flatten(flatten) => self.flatten(client, flatten),
            Command::SetState(set) => self.set_state(client, set),
            Command::SetLimits(set) => self.set_limits(client, set),
            Command::Heartbeat(plain) => {
                self.protection.note_heartbeat(self.now.ms);
                let text = "alive".to_owned();
                self.ack(client, plain.request_id, None, AckStatus::Accepted, None, text, None);
            }
            Command::Snapshot(plain) => {
                let snapshot = self.snapshot(plain.request_id);
                self.outbox.push(Effect::Reply(client, Box::new(Reply::Snapshot(snapshot))));
            }
            Command::Replay(replay) => self.outbox.push(Effect::Replay {
                client,
                request_id: replay.request_id,
                since_seq: replay.since_seq,
                limit: replay.limit,
            }),
        }
    }

    fn submit(&mut self, client: Client, submit: Submit, recorded: Option<Order>) {
        self.protection.note_heartbeat(self.now.ms);
        let request = submit.request_id.clone();
        let intent = Intent::from(submit);
        let id = intent.intent_id.clone();
        let link = intent.link_id();
        if let Some(known) = self.orders.get(&link).cloned().or(recorded) {
            self.answer_known(client, request, &intent, &known);
            return;
        }
        if !self.audit.ready || (!self.audit.connected && !intent.reduce_only) {
            // Not journaled: the same intent may be sent again once the venue is reconciled.
            let text = "not yet reconciled with the venue; send it again in a moment";
            self.reject(client, request, id, RejectCode::NotReady, text.to_owned());
            return;
        }
        if let Some(why) = self.journal_trouble().filter(|_| !intent.reduce_only) {
            // Not journaled either: the same intent may be sent again.
            self.reject(client, request, id, RejectCode::JournalUnwritable, why);
            return;
        }
        self.journal.first_intent_ts = self.journal.first_intent_ts.or(Some(intent.ts));
        let verdict = checks::check(&intent, &self.context(&intent, None));
        self.risk.count_submit(&intent.agent, self.now.ms);
        if let Some(text) = self.queue_refusal(&intent).filter(|_| verdict.is_ok()) {
            // Not journaled: a flood is to cost little, and the same intent may be sent again.
            self.reject(client, request, id, RejectCode::TooManyWaiting, text);
            return;
        }
        let mut order = Order::new(intent);
        order.tracking.changed_at = self.now.ms;
        match verdict {
            Ok(()) => {
                self.rates.orders.push(&order.intent.agent, Lane::of(&order), link.clone());
                let intent = order.intent.clone();
                self.journal_new(order);
                self.accept(client, request, Some(id), "journaled");
                if intent.reduce_only {
                    self.fit_exits(&link, &(intent.agent.clone(), intent.symbol.clone()));
                }
            }
            Err((code, text)) => {
                order.status = OrderStatus::Rejected;
                order.code = Some(code.as_str().to_owned());
                order.text = Some(text.clone());
                self.journal_new(order);
                self.reject(client, request, id, code, text);
            }
        }
    }

    /// Journals a new order and publishes it.
    pub(in crate::execution) fn journal_new(&mut self, order: Order) {
        let view = order.view();
        self.outbox.record(Record::Intent(Box::new(order.clone())));
        self.remember(order);
        self.publish_view(view);
    }

    fn answer_known(
        &mut self,
        client: Client,
        request_id: RequestId,
        intent: &Intent,
        known: &Order,
    ) {
        let id = &intent.intent_id;
        if let Some(field) = known.intent.first_difference(intent) {
            let text =
                format!("intent {id} was journaled with another {field}; use a new intent_id");
            self.error(client, request_id, ErrorCode::IntentBodyDiffers, text);
            return;
        }
        let code = known.code.as_deref().and_then(code_named);
        let ack = Ack {
            v: V1,
            ts: self.market.ms,
            request_id,
            intent_id: Some(id.clone()),
            status: AckStatus::Duplicate,
            code,
            text: known.text.clone().unwrap_or_else(|| "recorded before".to_owned()),
            order: Some(known.view()),
        };
        self.outbox.push(Effect::Reply(client, Box::new(Reply::Ack(ack))));
    }

    fn cancel(&mut self, client: Client, cancel: &Cancel, recorded: Option<Order>) {
        let link = link_id(&cancel.intent_id);
        let known = self.orders.get(&link).cloned().or(recorded);
        let (request, id) = (cancel.request_id.clone(), cancel.intent_id.clone());
        match known {
            None => {
                let text = format!("no intent {id} in the journal; check the id");
                self.ack(
                    client,
                    request,
                    Some(id),
                    AckStatus::Rejected,
                    Some(RejectCode::UnknownIntent),
                    text,
                    None,
                );
            }
            Some(order) if order.is_terminal() => {
                let text = format!("the order is {} already", order.status.as_str());
                let view = Some(order.view());
                self.ack(client, request, Some(id), AckStatus::Duplicate, None, text, view);
            }
            Some(_) => {
                self.withdraw(&link);
                self.accept(client, request, Some(id), "cancel requested");
            }
        }
    }

    fn cancel_all(&mut self, client: Client, all: CancelAll) {
        let scope = (all.agent, all.symbol);
        let count = self.withdraw_all(&scope, |_| true);
        let mut text = format!("{count} cancels requested");
        // What nobody's intent placed belongs to no agent, so an agent's cancels leave it alone.
        if scope.0.is_none() {
            let foreign_orders = self.sweep_foreign_orders(scope.1.as_ref());
            if foreign_orders > 0 {
                text += &format!(", and {foreign_orders} of orders that belong to no intent");
            }
        }
        self.accept(client, all.request_id, None, &text);
    }

    fn flatten(&mut self, client: Client, flatten: Flatten) {
        let scope = (flatten.agent, flatten.symbol);
        let reason =
            if flatten.reason.as_str().is_empty() { "flatten" } else { flatten.reason.as_str() };
        let count = self.flatten_scope(&scope, reason);
        self.accept(client, flatten.request_id, None, &format!("{count} positions to close"));
    }

    fn set_state(&mut self, client: Client, set: SetState) {
        let scope: Scope = (set.agent, set.symbol);
        let now = self.risk.states.get(&scope);
        if set.state < now && set.operator.is_none() {
            let text = "moving a state up needs operator, a person's name".to_owned();
            self.error(client, set.request_id, ErrorCode::NeedsOperator, text);
            return;
        }
        let by = set.operator.as_ref().map_or("command", |name| name.as_str()).to_owned();
        if set.state != now {
            if set.state < now && scope == (None, None) {
                self.protection.deadman_tripped = false;
                self.protection.note_heartbeat(self.now.ms);
            }
            self.move_state(scope.clone(), set.state, &by);
        }
        self.close_entries(&scope, set.state);
        self.accept(client, set.request_id, None, "state set");
    }

    /// Moves a state, journals and publishes it.
    fn move_state(&mut self, scope: Scope, state: TradingState, reason: &str) {
        self.risk.states.set(scope.clone(), state);
        self.outbox.record(Record::State(scope.clone(), state));
        let (ts, seq) = self.next_seq();
        let reason = Reason::new(reason).or_else(|_| Reason::new("command"));
        let Ok(reason) = reason else { return };
        let (agent, symbol) = scope;
        self.publish(Event::State(StateEvent { v: V1, ts, seq, agent, symbol, state, reason }));
    }

    /// Moves a state down if it is not down there already, and cancels what the state forbids.
    pub(in crate::execution) fn move_down(
        &mut self,
        scope: Scope,
        state: TradingState,
        reason: &str,
    ) {
        if self.risk.states.get(&scope) >= state {
            return;
        }
        self.move_state(scope.clone(), state, reason);
        self.close_entries(&scope, state);
    }

    fn close_entries(&mut self, scope: &Scope, state: TradingState) {
        match state {
            TradingState::Active => {}
            TradingState::ReduceOnly => {
                self.withdraw_all(scope, |order| !order.intent.reduce_only);
            }
            TradingState::Halted => {
                self.withdraw_all(scope, |order| {
                    order.intent.origin == crate::execution::model::order::Origin::Arena
                });
            }
        }
    }

    /// Withdraws every open order in a scope that a test picks; returns how many.
    pub(in crate::execution) fn withdraw_all(
        &mut self,
        scope: &Scope,
        pick: impl Fn(&Order) -> bool,
    ) -> usize {
        let mut links = self.orders.in_scope(scope);
        links.retain(|link| self.orders.get(link).is_some_and(&pick));
        for link in &links {
            self.withdraw(link);
        }
        links.len()
    }

    /// Withdraws one order: at once if it was never sent, else by asking the venue, which takes few
    /// cancels a second; what has to wait is cancelled by [`Core::track_orders`].
    pub(in crate::execution) fn withdraw(&mut self, link: &str) {
        let now = self.now.ms;
        let Some(order) = self.orders.get_mut(link) else { return };
        if order.is_terminal() {
            return;
        }
        let known = std::mem::replace(&mut order.cancel_wanted, true);
        // What has not left is not wanted any more.
        if order.amend.take_if(|amend| !amend.sent).is_some() {
            order.text = None;
        }
        self.rates.orders.remove(link);
        self.rates.amends.remove(link);
        // None of its requests was executed, and none is in flight.
        if order.is_unsent() {
            let text = "cancelled before it was sent".to_owned();
            self.transition(link, Transition::Withdrawn { text });
            return;
        }
        if order.tracking.cancel_at.is_some_and(|at| now - at < 500) {
            return;
        }
        let goes = self.rates.cancels.take(now);
        if goes {
            order.tracking.cancel_at = Some(now);
        } else if known {
            return;
        }
        let symbol = order.intent.symbol.clone();
        let record = Record::Order(Box::new(order.clone()));
        self.outbox.record(record);
        if !goes {
            return;
        }
        self.outbox.push(Effect::Cancel { link_id: link.to_owned(), symbol });
    }

    /// What a check of an intent looks at; an order that is amended is left out of what works, and so
    /// is one that yields to a new exit.
    pub(in crate::execution) fn context<'a>(
        &'a self,
        intent: &Intent,
        amended: Option<&Order>,
    ) -> RiskContext<'a> {
        let working = self.orders.working(&intent.agent, &intent.symbol);
        let mut beside = working.map_or_else(BuysAndSells::default, |working| working.all.clone());
        match (amended, working) {
            (Some(amended), _) => beside.add(amended.intent.side, -amended.remaining()),
            (None, Some(working)) if intent.reduce_only => {
                beside.buys -= working.yielding.buys;
                beside.sells -= working.yielding.sells;
            }
            _ => {}
        }
        RiskContext {
            limits: &self.setup.limits,
            instrument: self.market.instruments.get(&intent.symbol),
            quote: self.market.quotes.get(&intent.symbol),
            market_ms: self.market.ms,
            state: self.risk.states.effective(&intent.agent, &intent.symbol),
            position: self.ledger.position(&intent.agent, &intent.symbol).qty,
            working_buys: beside.buys,
            working_sells: beside.sells,
            total_notional: self.total_notional(amended),
            agent_rate: self.risk.submits_of_late(&intent.agent, self.now.ms),
            daily_loss: self.daily_loss_of(&intent.agent),
            amended: amended.map(|order| order.filled_qty),
        }
    }

    /// Why an entry may not wait for its turn, if it may not; what closes always may.
    fn queue_refusal(&self, intent: &Intent) -> Option<String> {
        if intent.reduce_only {
            return None;
        }
        let limits = &self.setup.limits.venue;
        let (most, most_of_agent) = (limits.max_waiting, limits.max_waiting_per_agent());
        let (all, own) = (self.rates.orders.len(), self.rates.orders.len_of(&intent.agent));
        let next = format!(
            "the venue takes {} a second; send it again later, or cancel what is not wanted any more",
            limits.orders_per_second
        );
        if own >= most_of_agent as usize {
            let agent = &intent.agent;
            Some(format!("{own} orders of {agent} wait already, limit {most_of_agent}; {next}"))
        } else if all >= most as usize {
            Some(format!("{all} orders wait already, limit {most}; {next}"))
        } else {
            None
        }
    }

    pub(in crate::execution) fn accept(
        &mut self,
        client: Client,
        request: RequestId,
        id: Option<IntentId>,
        text: &str,
    ) {
        let text = format!("{text}{}", self.durability_note());
        self.ack(client, request, id, AckStatus::Accepted, None, text, None);
    }

    fn reject(
        &mut self,
        client: Client,
        request: RequestId,
        id: IntentId,
        code: RejectCode,
        text: String,
    ) {
        self.ack(client, request, Some(id), AckStatus::Rejected, Some(code), text, None);
    }

    #[allow(clippy::too_many_arguments)] // The fields of an ack.
    pub(in crate::execution) fn ack(
        &mut self,
        client: Client,
        request_id: RequestId,
        intent_id: Option<IntentId>,
        status: AckStatus,
        code: Option<RejectCode>,
        text: String,
        order: Option<protocol::wire::event::OrderView>,
    ) {
        let ts = self.market.ms;
        let ack = Ack { v: V1, ts, request_id, intent_id, status, code, text, order };
        self.outbox.push(Effect::Reply(client, Box::new(Reply::Ack(ack))));
    }

    pub(in crate::execution) fn error(
        &mut self,
        client: Client,
        request: RequestId,
        code: ErrorCode,
        text: String,
    ) {
        let reply = ErrorReply { v: V1, ts: self.market.ms, request_id: Some(request), code, text };
        self.outbox.push(Effect::Reply(client, Box::new(Reply::Error(reply))));
    }
}

fn code_named(text: &str) -> Option<RejectCode> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

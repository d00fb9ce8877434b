//! Whole stories told to the core by a small model of a venue that loses, repeats and delays.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use protocol::wire::{
    command::{Flatten, Plain, Protect, SetState, Submit},
    event::{Event, OrderStatus},
    field::{Kind, Name, Reason, RequestId, Side, Symbol, TradingState, V1},
    reply::AckStatus,
    Command, RejectCode, Reply,
};
use rust_decimal::Decimal;

use super::{
    io::{
        CancelOutcome, CreateOrder, CreateOutcome, Effect, Execution, ExecutionKind, Input, Now,
        OrderSeen, Record,
    },
    limits::Limits,
    market::Quote,
    oms::Shown,
    order::{link_id, VenueEnd},
    testing::{instrument, intent_id},
    Core, Recovered, Setup,
};

fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn setup() -> Setup {
    let mut limits = Limits::default();
    limits.order.per_second_per_agent = 1000;
    limits.venue.orders_per_second = 1000;
    Setup {
        symbols: vec![symbol()],
        limits,
        deadman_ms: 0,
        flatten_on_deadman: false,
        receive_window_ms: 5_000,
        journal_id: "journal".to_owned(),
    }
}

/// A core with everything it said.
struct Story {
    core: Core,
    wall: i64,
    market: u64,
    events: Vec<Event>,
    records: Vec<Record>,
    replies: Vec<Reply>,
    asked: Vec<Effect>,
}

impl Story {
    fn new() -> Self {
        Self::with(setup(), Recovered::default())
    }

    fn with(setup: Setup, recovered: Recovered) -> Self {
        let core = Core::new(setup, recovered, Now { wall_ms: 1_000_000 });
        Self {
            core,
            wall: 1_000_000,
            market: 1_000_000,
            events: Vec::new(),
            records: Vec::new(),
            replies: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn ready(mut self) -> Self {
        self.tell(Input::Instruments(BTreeMap::from([(symbol(), instrument())])));
        self.quote(99, 100);
        self.tell(Input::PublicUp);
        self.tell(Input::PrivateUp);
        self.tell(Input::Positions(BTreeMap::new()));
        self
    }

    fn tell(&mut self, input: Input) {
        for effect in self.core.step(Now { wall_ms: self.wall }, input) {
            match effect {
                Effect::Event(event) => self.events.push(*event),
                Effect::Record(record) => self.records.push(record),
                Effect::Reply(_, reply) => self.replies.push(*reply),
                other => self.asked.push(other),
            }
        }
    }

    fn quote(&mut self, bid: i64, ask: i64) {
        let quote = Quote { bid: Decimal::from(bid), ask: Decimal::from(ask) };
        self.tell(Input::Quote { symbol: symbol(), quote, ts: self.market });
    }

    fn pass(&mut self, ms: i64) {
        self.wall += ms;
        self.tell(Input::Tick);
    }

    fn submit(&mut self, agent: &str, side: Side, qty: &str) -> Submit {
        let submit = submit(agent, side, qty, self.market);
        self.send(&submit);
        submit
    }

    fn send(&mut self, submit: &Submit) {
        let command = Box::new(Command::Submit(submit.clone()));
        self.tell(Input::Command { client: vec![1], command, recorded: None });
    }

    fn command(&mut self, command: Command) {
        self.tell(Input::Command { client: vec![1], command: Box::new(command), recorded: None });
    }

    fn ack(&self) -> (AckStatus, Option<RejectCode>) {
        match self.replies.last() {
            Some(Reply::Ack(ack)) => (ack.status, ack.code),
            other => panic!("no ack: {other:?}"),
        }
    }

    fn creates(&mut self) -> Vec<CreateOrder> {
        let mut creates = Vec::new();
        self.asked.retain(|effect| match effect {
            Effect::Create(order) => {
                creates.push((**order).clone());
                false
            }
            _ => true,
        });
        creates
    }

    fn fill(&mut self, order: &CreateOrder, exec_id: &str, qty: &str, price: i64) {
        let executions = vec![execution(order, exec_id, qty.parse().unwrap(), price)];
        self.tell(Input::Executions { executions, pulled: false });
    }

    fn position(&self, agent: &str) -> Decimal {
        self.core.ledger.position(&name(agent), &symbol()).qty
    }

    fn status(&self, submit: &Submit) -> OrderStatus {
        self.core.orders[&link_id(&submit.intent_id)].status
    }

    fn risks(&self, code: &str) -> usize {
        self.events
            .iter()
            .filter(|event| matches!(event, Event::Risk(risk) if risk.code == code))
            .count()
    }
}

fn submit(agent: &str, side: Side, qty: &str, ts: u64) -> Submit {
    Submit {
        v: V1,
        ts,
        request_id: RequestId::new("r").unwrap(),
        intent_id: intent_id(),
        agent: name(agent),
        version: name("v1"),
        symbol: symbol(),
        side,
        kind: Kind::Market,
        qty: qty.parse().unwrap(),
        limit_price: None,
        reduce_only: false,
        ttl_ms: 60_000,
        protect: None,
        reason: Reason::new("entry").unwrap(),
    }
}

fn execution(order: &CreateOrder, exec_id: &str, qty: Decimal, price: i64) -> Execution {
    Execution {
        exec_id: exec_id.to_owned(),
        link_id: order.link_id.clone(),
        order_id: format!("o-{}", order.link_id),
        symbol: order.symbol.clone(),
        kind: ExecutionKind::Trade,
        side: order.side,
        qty,
        price: Decimal::from(price),
        fee: Decimal::new(1, 2),
        fee_currency: "USDT".to_owned(),
        is_maker: false,
        exec_ts: 1_000_001,
    }
}

fn seen(order: &CreateOrder, shown: Shown) -> OrderSeen {
    OrderSeen {
        link_id: order.link_id.clone(),
        order_id: format!("o-{}", order.link_id),
        symbol: order.symbol.clone(),
        shown,
    }
}

fn ended(status: OrderStatus, filled: &str) -> Shown {
    Shown::Ended(VenueEnd { status, filled_qty: filled.parse().unwrap(), text: None })
}

fn protect(
    stop: Option<&str>,
    take_profit: Option<&str>,
    deadline_ts: Option<u64>,
) -> Option<Protect> {
    let level = |text: Option<&str>| text.map(|text| text.parse().unwrap());
    Some(Protect { stop: level(stop), take_profit: level(take_profit), deadline_ts })
}

#[test]
fn nothing_is_taken_before_the_venue_is_reconciled() {
    let mut story = Story::new();
    story.tell(Input::Instruments(BTreeMap::from([(symbol(), instrument())])));
    story.quote(99, 100);
    let early = story.submit("a", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::NotReady)));
    assert!(story.records.is_empty(), "a refusal for unreadiness is not journaled");
    let mut story = story.ready();
    assert!(story.asked.contains(&Effect::Ready));
    story.send(&early);
    assert_eq!(story.ack().0, AckStatus::Accepted);
}

#[test]
fn an_intent_is_journaled_before_its_ack_and_before_it_is_sent() {
    let mut story = Story::new().ready();
    let command = Box::new(Command::Submit(submit("a", Side::Buy, "1", 1_000_000)));
    let input = Input::Command { client: vec![1], command, recorded: None };
    let effects = story.core.step(Now { wall_ms: story.wall }, input);
    let at = |pick: fn(&Effect) -> bool| effects.iter().position(pick).unwrap();
    let journaled = at(|effect| matches!(effect, Effect::Record(Record::Intent(_))));
    let replied = at(|effect| matches!(effect, Effect::Reply(..)));
    let sent = at(|effect| matches!(effect, Effect::Create(_)));
    assert!(journaled < replied && journaled < sent);
}

#[test]
fn the_same_intent_again_returns_the_recorded_order_and_sends_nothing() {
    let mut story = Story::new().ready();
    let one = story.submit("a", Side::Buy, "1");
    assert_eq!(story.creates().len(), 1);
    story.send(&one);
    assert_eq!(story.ack().0, AckStatus::Duplicate);
    story.send(&Submit { qty: "2".parse().unwrap(), ..one.clone() });
    assert!(matches!(story.replies.last(), Some(Reply::Error(_))));
    let rejected = story.submit("a", Side::Buy, "0.0005");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::BadQuantity)));
    story.send(&rejected);
    assert_eq!(story.ack(), (AckStatus::Duplicate, Some(RejectCode::BadQuantity)));
    assert!(story.creates().is_empty());
}

#[test]
fn a_timeout_is_asked_for_and_sent_again_only_under_the_same_id() {
    let mut story = Story::new().ready();
    let one = story.submit("a", Side::Buy, "1");
    let first = story.creates().remove(0);
    let silent = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    story.tell(Input::CreateReply { link_id: first.link_id.clone(), outcome: silent });
    assert_eq!(story.status(&one), OrderStatus::Unknown);
    for _ in 0..2 {
        story.pass(300);
        story.tell(not_found(&first.link_id));
    }
    let again = story.creates();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].link_id, first.link_id);
    // The first attempt had landed after all.
    story.tell(Input::CreateReply {
        link_id: first.link_id.clone(),
        outcome: CreateOutcome::Landed,
    });
    story.tell(Input::Asked {
        link_id: first.link_id.clone(),
        seen: Some(seen(&first, ended(OrderStatus::Filled, "1"))),
        executions: vec![execution(&first, "e1", Decimal::ONE, 100)],
        complete: true,
    });
    assert_eq!(story.status(&one), OrderStatus::Filled);
    assert_eq!(story.position("a"), Decimal::ONE);
}

fn not_found(link_id: &str) -> Input {
    Input::Asked { link_id: link_id.to_owned(), seen: None, executions: Vec::new(), complete: true }
}

#[test]
fn an_order_is_declared_expired_only_when_the_venue_can_no_longer_take_it() {
    let mut story = Story::new().ready();
    let one = story.submit("a", Side::Buy, "1");
    let link = story.creates().remove(0).link_id;
    let silent = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    story.tell(Input::CreateReply { link_id: link.clone(), outcome: silent });
    story.market += 120_000;
    story.quote(99, 100);
    story.pass(3_000);
    story.tell(not_found(&link));
    story.tell(not_found(&link));
    assert_eq!(story.status(&one), OrderStatus::Unknown, "the receive window is still open");
    story.pass(4_000);
    story.tell(not_found(&link));
    assert_eq!(story.status(&one), OrderStatus::Rejected);
    assert!(story.creates().is_empty());
}

#[test]
fn an_order_waits_for_its_fills_before_it_is_told_filled() {
    let mut story = Story::new().ready();
    let one = story.submit("a", Side::Buy, "1");
    let order = story.creates().remove(0);
    story.tell(Input::OrderSeen(seen(&order, ended(OrderStatus::Filled, "1"))));
    assert!(!story.status(&one).is_terminal());
    story.pass(400);
    assert!(story.asked.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
    story.fill(&order, "e1", "1", 100);
    assert_eq!(story.status(&one), OrderStatus::Filled);
}

#[test]
fn a_cancelled_order_keeps_the_fills_it_had() {
    let mut story = Story::new().ready();
    let one = story.submit("a", Side::Buy, "1");
    let order = story.creates().remove(0);
    story.fill(&order, "e1", "0.4", 100);
    story.tell(Input::OrderSeen(seen(&order, ended(OrderStatus::Cancelled, "0.4"))));
    assert_eq!(story.status(&one), OrderStatus::Cancelled);
    assert_eq!(story.position("a"), Decimal::new(4, 1));
    assert_eq!(story.risks("impossible_transition"), 0);
}

#[test]
fn an_impossible_transition_is_alarmed_and_booked_and_never_panics() {
    let mut story = Story::new().ready();
    let one = story.submit("a", Side::Buy, "1");
    let order = story.creates().remove(0);
    let refused = CreateOutcome::Refused { code: RejectCode::VenueRejected, text: "no".to_owned() };
    story.tell(Input::CreateReply { link_id: order.link_id.clone(), outcome: refused });
    assert_eq!(story.status(&one), OrderStatus::Rejected);
    story.fill(&order, "e1", "1", 100);
    assert_eq!(story.status(&one), OrderStatus::Filled);
    assert_eq!(story.position("a"), Decimal::ONE, "a fill always counts");
    assert_eq!(story.risks("impossible_transition"), 1);
}

/// A long position of one coin for agent `a`, protected by a stop at 90.
fn protected() -> Story {
    protected_with(setup())
}

fn protected_with(setup: Setup) -> Story {
    let mut story = Story::with(setup, Recovered::default()).ready();
    let mut entry = submit("a", Side::Buy, "1", story.market);
    entry.protect = protect(Some("90"), Some("120"), None);
    story.send(&entry);
    let order = story.creates().remove(0);
    story.fill(&order, "entry", "1", 100);
    story
}

#[test]
fn a_stop_closes_the_position_with_an_own_reduce_only_intent() {
    let mut story = protected();
    story.quote(91, 92);
    assert!(story.creates().is_empty());
    story.quote(90, 91);
    let exit = story.creates().remove(0);
    assert_eq!((exit.side, exit.qty.as_str(), exit.kind), (Side::Sell, "1", Kind::Market));
    story.quote(89, 90);
    assert!(story.creates().is_empty(), "one exit at a time");
    story.fill(&exit, "exit", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
    let told = story.events.iter().any(|event| {
        matches!(event, Event::Fill(fill) if fill.reason.as_str() == "stop" && fill.agent.as_str() == "a")
    });
    assert!(told, "the exit keeps the agent and tells why");
    story.quote(80, 81);
    assert!(story.creates().is_empty(), "protection ends with the position");
}

#[test]
fn a_stop_that_races_with_the_arenas_own_exit_never_flips_the_position() {
    let mut story = protected();
    let mut exit = submit("a", Side::Sell, "1", story.market);
    exit.reduce_only = true;
    story.send(&exit);
    let arena_exit = story.creates().remove(0);
    story.quote(90, 91);
    assert!(story.creates().is_empty(), "the arena's exit is under way");
    story.fill(&arena_exit, "exit", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
    assert!(story.creates().is_empty());

    let mut story = protected();
    story.quote(90, 91);
    let stop = story.creates().remove(0);
    let mut late = submit("a", Side::Sell, "1", story.market);
    late.reduce_only = true;
    story.send(&late);
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    story.fill(&stop, "stop", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
}

#[test]
fn an_exit_that_fails_is_tried_again_until_the_position_is_closed() {
    let mut story = protected();
    story.quote(90, 91);
    let first = story.creates().remove(0);
    story.fill(&first, "part", "0.4", 90);
    story.tell(Input::OrderSeen(seen(&first, ended(OrderStatus::Cancelled, "0.4"))));
    story.pass(2_000);
    let second = story.creates().remove(0);
    assert_eq!(second.qty, "0.6");
    assert_ne!(second.link_id, first.link_id);
}

#[test]
fn a_deadline_works_without_a_book_and_after_a_restart() {
    let mut story = Story::new().ready();
    let mut entry = submit("a", Side::Buy, "1", story.market);
    entry.protect = protect(None, None, Some(2_000_000));
    story.send(&entry);
    let order = story.creates().remove(0);
    story.fill(&order, "entry", "1", 100);
    let recovered = Recovered {
        ledger: story.core.ledger.clone(),
        guards: story.core.guards.clone(),
        last_seq: story.core.last_seq(),
        last_exec_ts: Some(1_000_001),
        ..Recovered::default()
    };
    let mut story = Story::with(setup(), recovered).ready();
    story.tell(Input::Executions { executions: Vec::new(), pulled: true });
    story.tell(Input::BookStale { symbol: symbol() });
    story.tell(Input::MarketTime(1_999_999));
    assert!(story.creates().is_empty());
    story.tell(Input::MarketTime(2_000_000));
    assert_eq!(story.creates().remove(0).side, Side::Sell);
}

#[test]
fn reduce_only_reaches_the_venue_only_when_the_net_position_allows_it() {
    let mut story = protected();
    story.submit("b", Side::Sell, "1");
    let short = story.creates().remove(0);
    story.fill(&short, "b1", "1", 99);
    assert_eq!(story.core.ledger.net(&symbol()), Decimal::ZERO);
    let mut exit = submit("a", Side::Sell, "1", story.market);
    exit.reduce_only = true;
    story.send(&exit);
    assert_eq!(story.ack().0, AckStatus::Accepted, "agent a holds it, whatever the net says");
    let order = story.creates().remove(0);
    assert!(!order.reduce_only, "at the venue it makes the net position larger");
    story.fill(&order, "a2", "1", 99);
    let mut cover = submit("b", Side::Buy, "1", story.market);
    cover.reduce_only = true;
    story.send(&cover);
    assert!(story.creates().remove(0).reduce_only);
}

fn flatten(agent: Option<&str>) -> Command {
    Command::Flatten(Flatten {
        v: V1,
        ts: 0,
        request_id: RequestId::new("f").unwrap(),
        agent: agent.map(name),
        symbol: None,
        reason: Reason::new("cull").unwrap(),
    })
}

fn set_state(state: TradingState, operator: Option<&str>) -> Command {
    Command::SetState(SetState {
        v: V1,
        ts: 0,
        request_id: RequestId::new("s").unwrap(),
        agent: None,
        symbol: None,
        state,
        operator: operator.map(name),
    })
}

#[test]
fn kill_halts_and_closes_everything_and_only_an_operator_opens_again() {
    let mut story = protected();
    let mut resting = submit("b", Side::Buy, "1", story.market);
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    story.send(&resting);
    let rest = story.creates().remove(0);
    story.tell(Input::OrderSeen(seen(&rest, Shown::Working)));
    story.command(set_state(TradingState::Halted, None));
    assert!(story
        .asked
        .iter()
        .any(|e| matches!(e, Effect::Cancel { link_id, .. } if *link_id == rest.link_id)));
    story.command(flatten(None));
    assert_eq!(story.creates().remove(0).side, Side::Sell);
    story.submit("c", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::Halted)));
    story.command(set_state(TradingState::Active, None));
    assert!(matches!(story.replies.last(), Some(Reply::Error(_))));
    story.command(set_state(TradingState::Active, Some("ada")));
    story.submit("c", Side::Buy, "1");
    assert_eq!(story.ack().0, AckStatus::Accepted);
}

#[test]
fn a_silent_arena_trips_the_switch_once_and_positions_stay_protected() {
    let mut story = protected_with(Setup { deadman_ms: 1_000, ..setup() });
    let mut resting = submit("b", Side::Buy, "1", story.market);
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    story.send(&resting);
    let rest = story.creates().remove(0);
    story.tell(Input::OrderSeen(seen(&rest, Shown::Working)));
    story.pass(900);
    let plain = Plain { v: V1, ts: 0, request_id: RequestId::new("h").unwrap() };
    story.command(Command::Heartbeat(plain));
    story.pass(900);
    assert_eq!(story.risks("deadman"), 0);
    story.pass(200);
    story.pass(5_000);
    assert_eq!(story.risks("deadman"), 1);
    assert!(story.asked.iter().any(|e| matches!(e, Effect::Cancel { .. })));
    story.submit("c", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    story.quote(90, 91);
    assert_eq!(story.creates().len(), 1, "the stop still works");
}

#[test]
fn a_cancel_before_sending_never_reaches_the_venue() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut story = Story::with(setup, Recovered::default()).ready();
    story.submit("a", Side::Buy, "1");
    let waiting = story.submit("a", Side::Buy, "2");
    assert_eq!(story.creates().len(), 1);
    story.command(Command::Cancel(protocol::wire::command::Cancel {
        v: V1,
        ts: 0,
        request_id: RequestId::new("c").unwrap(),
        intent_id: waiting.intent_id.clone(),
    }));
    assert_eq!(story.status(&waiting), OrderStatus::Cancelled);
    story.pass(1_500);
    assert!(story.creates().is_empty());
}

#[test]
fn an_order_that_waited_too_long_is_not_sent() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut story = Story::with(setup, Recovered::default()).ready();
    story.submit("a", Side::Buy, "1");
    let late = story.submit("a", Side::Buy, "2");
    story.market += 60_001;
    story.quote(99, 100);
    story.pass(1_500);
    assert_eq!(story.creates().len(), 1);
    assert_eq!(story.status(&late), OrderStatus::Rejected);
}

#[test]
fn a_difference_with_the_venue_is_alarmed_with_both_sides_and_not_absorbed() {
    let mut story = protected();
    for _ in 0..3 {
        story.tell(Input::Positions(BTreeMap::from([(symbol(), Decimal::from(3))])));
    }
    assert_eq!(story.risks("reconcile_mismatch"), 1);
    let text = story.events.iter().find_map(|event| match event {
        Event::Risk(risk) if risk.code == "reconcile_mismatch" => Some(risk.text.clone()),
        _ => None,
    });
    let text = text.unwrap();
    assert!(text.contains("sum to 1") && text.contains("holds 3"), "{text}");
    assert_eq!(story.position("a"), Decimal::ONE);
    story.tell(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    assert_eq!(story.risks("reconcile_agrees"), 1);
}

#[test]
fn somebody_elses_execution_is_an_alarm_and_nobodys_fill() {
    let mut story = Story::new().ready();
    let stranger = CreateOrder {
        link_id: "by-hand".to_owned(),
        symbol: symbol(),
        side: Side::Buy,
        kind: Kind::Market,
        qty: "1".to_owned(),
        price: None,
        reduce_only: false,
    };
    story.fill(&stranger, "x1", "1", 100);
    story.fill(&stranger, "x1", "1", 100);
    assert_eq!(story.risks("foreign_execution"), 1);
    assert_eq!(story.core.ledger.fills(), 0);
}

/// A venue that keeps every promise of the protocol and breaks every habit.
#[derive(Default)]
struct Venue {
    orders: BTreeMap<String, (CreateOrder, Decimal)>,
    executions: BTreeMap<String, Vec<Execution>>,
    stream: VecDeque<Input>,
    net: Decimal,
}

impl Venue {
    /// Takes an order once; splits it into fills; queues rows for the stream.
    fn take(&mut self, order: &CreateOrder, parts: u8) -> bool {
        if self.orders.contains_key(&order.link_id) {
            return false;
        }
        let qty: Decimal = order.qty.parse().unwrap();
        let signed = if order.side == Side::Buy { qty } else { -qty };
        self.net += signed;
        let part = (qty / Decimal::from(parts)).round_dp(3);
        let mut left = qty;
        let mut rows = Vec::new();
        for at in 0..parts {
            let amount = if at + 1 == parts { left } else { part.min(left) };
            left -= amount;
            if amount > Decimal::ZERO {
                rows.push(execution(order, &format!("{}-{at}", order.link_id), amount, 100));
            }
        }
        self.stream.push_back(Input::OrderSeen(seen(order, Shown::Working)));
        for row in &rows {
            self.stream
                .push_back(Input::Executions { executions: vec![row.clone()], pulled: false });
        }
        let end = VenueEnd { status: OrderStatus::Filled, filled_qty: qty, text: None };
        self.stream.push_back(Input::OrderSeen(seen(order, Shown::Ended(end))));
        self.executions.insert(order.link_id.clone(), rows);
        self.orders.insert(order.link_id.clone(), (order.clone(), qty));
        true
    }

    fn look_up(&self, link: &str) -> Input {
        let known = self.orders.get(link);
        Input::Asked {
            link_id: link.to_owned(),
            seen: known.map(|(order, qty)| {
                let status = OrderStatus::Filled;
                let end = VenueEnd { status, filled_qty: *qty, text: None };
                seen(order, Shown::Ended(end))
            }),
            executions: self.executions.get(link).cloned().unwrap_or_default(),
            complete: true,
        }
    }

    /// Does what the core asked, with a fault picked by a die.
    fn serve(&mut self, story: &mut Story, die: &mut impl FnMut() -> u8, faults: bool) {
        for effect in std::mem::take(&mut story.asked) {
            let roll = if faults { die() % 8 } else { 7 };
            match effect {
                Effect::Create(order) => {
                    let link_id = order.link_id.clone();
                    let silent = CreateOutcome::Ambiguous { text: "cut".to_owned() };
                    let outcome = match roll {
                        // Lost on the way there, or on the way back.
                        0 => silent,
                        1 => {
                            self.take(&order, 1 + die() % 3);
                            silent
                        }
                        2 => CreateOutcome::NotExecuted {
                            retry_at: story.wall + 50,
                            text: "10006".to_owned(),
                        },
                        _ => {
                            if self.take(&order, 1 + die() % 3) {
                                CreateOutcome::Accepted { order_id: format!("o-{link_id}") }
                            } else {
                                CreateOutcome::Landed
                            }
                        }
                    };
                    story.tell(Input::CreateReply { link_id, outcome });
                }
                Effect::Ask { link_id, .. } => {
                    let answer = if roll == 0 {
                        Input::Asked {
                            link_id,
                            seen: None,
                            executions: Vec::new(),
                            complete: false,
                        }
                    } else {
                        self.look_up(&link_id)
                    };
                    story.tell(answer);
                }
                Effect::Cancel { link_id, .. } => {
                    let outcome = CancelOutcome::Gone { text: "too late".to_owned() };
                    story.tell(Input::CancelReply { link_id, outcome });
                }
                Effect::PullExecutions { .. } => {
                    let executions = self.executions.values().flatten().cloned().collect();
                    story.tell(Input::Executions { executions, pulled: true });
                }
                Effect::PullPositions => {
                    let mut positions = BTreeMap::from([(symbol(), self.net)]);
                    positions.retain(|_, qty| !qty.is_zero());
                    story.tell(Input::Positions(positions));
                }
                _ => {}
            }
        }
    }

    /// Delivers a queued row: in order, out of order, twice or never.
    fn deliver(&mut self, story: &mut Story, roll: u8) {
        let input = if roll % 5 == 0 { self.stream.pop_back() } else { self.stream.pop_front() };
        let Some(input) = input else { return };
        if roll % 7 == 0 {
            return;
        }
        story.tell(input.clone());
        if roll % 3 == 0 {
            story.tell(input);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_is_lost_or_doubled_whatever_the_venue_does(
        orders in prop::collection::vec((0_usize..3, any::<bool>(), 1_u32..50), 1..25),
        mut dice in prop::collection::vec(any::<u8>(), 400),
    ) {
        let mut story = Story::new().ready();
        let mut venue = Venue::default();
        let mut at = 0_usize;
        let length = dice.len();
        let mut die = move || {
            at += 1;
            let value = dice[at % length];
            dice[at % length] = value.wrapping_mul(31).wrapping_add(7);
            value
        };
        let mut expected: BTreeMap<usize, Decimal> = BTreeMap::new();
        let mut submits = Vec::new();
        for (agent, buy, qty) in orders {
            let side = if buy { Side::Buy } else { Side::Sell };
            let text = format!("{}.{:03}", 1 + qty / 10, qty);
            let submit = story.submit(["a", "b", "c"][agent], side, &text);
            if die() % 4 == 0 { story.send(&submit); }
            let signed: Decimal = text.parse().unwrap();
            *expected.entry(agent).or_default() += if buy { signed } else { -signed };
            submits.push(submit);
            for _ in 0..die() % 6 {
                venue.serve(&mut story, &mut die, true);
                let roll = die();
                venue.deliver(&mut story, roll);
                story.pass(i64::from(die() % 200));
            }
        }
        // The faults end; the core must find out everything by itself.
        venue.stream.clear();
        for _ in 0..400 {
            venue.serve(&mut story, &mut die, false);
            story.pass(200);
        }
        for submit in &submits {
            prop_assert_eq!(story.status(submit), OrderStatus::Filled);
        }
        prop_assert_eq!(venue.orders.len(), submits.len(), "an order was doubled or lost");
        for (agent, qty) in expected {
            prop_assert_eq!(story.position(["a", "b", "c"][agent]), qty);
        }
        prop_assert_eq!(story.core.ledger.net(&symbol()), venue.net);
        let fills: usize = venue.executions.values().map(Vec::len).sum();
        prop_assert_eq!(story.core.ledger.fills(), fills as u64);
        prop_assert_eq!(story.risks("impossible_transition"), 0);
        prop_assert_eq!(story.risks("reconcile_mismatch"), 0);
        for (at, event) in story.events.iter().enumerate() {
            prop_assert_eq!(event.seq(), at as u64 + 1, "events have a gap");
        }
        let mut ended = std::collections::BTreeSet::new();
        for event in &story.events {
            match event {
                Event::Order(event) if event.order.status.is_terminal() => {
                    ended.insert(event.order.order_link_id.clone());
                }
                Event::Fill(fill) => {
                    prop_assert!(!ended.contains(&fill.order_link_id), "a fill after the end");
                }
                _ => {}
            }
        }
    }
}

//! A core with everything it published, for the tests that play whole scenarios.

use std::collections::BTreeMap;

use protocol::wire::{
    command::{Protect, Submit},
    event::{Event, OrderStatus},
    field::{Kind, Name, Reason, RequestId, Side, Symbol, V1},
    reply::AckStatus,
    Command, RejectCode, Reply,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CreateOrder, Effect, Execution, ExecutionKind, Input, Now, OrderSeen, Record},
        limits::Limits,
        market::Quote,
        order::{link_id, Order, Shown, Terms, VenueEnd},
    },
    testing::{instrument, intent_id},
    Core, Recovered, Setup,
};

pub(in crate::execution) fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

pub(in crate::execution) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(in crate::execution) fn setup() -> Setup {
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

/// A core with everything it published.
pub(in crate::execution) struct Scenario {
    pub(in crate::execution) core: Core,
    pub(in crate::execution) wall: i64,
    pub(in crate::execution) market: u64,
    pub(in crate::execution) events: Vec<Event>,
    pub(in crate::execution) records: Vec<Record>,
    pub(in crate::execution) replies: Vec<Reply>,
    pub(in crate::execution) asked: Vec<Effect>,
}

impl Scenario {
    pub(in crate::execution) fn new() -> Self {
        Self::with(setup(), Recovered::default())
    }

    pub(in crate::execution) fn with(setup: Setup, recovered: Recovered) -> Self {
        Self::at(1_000_000, setup, recovered)
    }

    /// One that starts at a time.
    pub(in crate::execution) fn at(wall: i64, setup: Setup, recovered: Recovered) -> Self {
        let core = Core::new(setup, recovered, Now { ms: wall });
        Self {
            core,
            wall,
            market: 1_000_000,
            events: Vec::new(),
            records: Vec::new(),
            replies: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// With filters and a first quote.
    pub(in crate::execution) fn instructed(mut self) -> Self {
        self.receive(Input::Instruments(BTreeMap::from([(symbol(), instrument())])));
        self.quote(99, 100);
        self
    }

    pub(in crate::execution) fn ready(self) -> Self {
        let mut this = self.instructed();
        this.receive(Input::PublicUp);
        this.receive(Input::PrivateUp);
        this.receive(Input::Positions(BTreeMap::new()));
        this
    }

    pub(in crate::execution) fn receive(&mut self, input: Input) {
        for effect in self.core.step(Now { ms: self.wall }, input) {
            match effect {
                Effect::Event(event) => self.events.push(*event),
                Effect::Record(record) => self.records.push(record),
                Effect::Reply(_, reply) => self.replies.push(*reply),
                other => self.asked.push(other),
            }
        }
        self.core.orders.assert_whole();
        self.core.assert_sums();
    }

    pub(in crate::execution) fn quote(&mut self, bid: i64, ask: i64) {
        let quote = Quote { bid: Decimal::from(bid), ask: Decimal::from(ask) };
        self.receive(Input::Quote { symbol: symbol(), quote, ts: self.market });
    }

    pub(in crate::execution) fn pass(&mut self, ms: i64) {
        self.wall += ms;
        self.receive(Input::Tick);
    }

    pub(in crate::execution) fn submit(&mut self, agent: &str, side: Side, qty: &str) -> Submit {
        let submit = submit(agent, side, qty, self.market);
        self.send(&submit);
        submit
    }

    pub(in crate::execution) fn send(&mut self, submit: &Submit) {
        let command = Box::new(Command::Submit(submit.clone()));
        self.receive(Input::Command { client: vec![1], command, recorded: None });
    }

    pub(in crate::execution) fn command(&mut self, command: Command) {
        self.receive(Input::Command {
            client: vec![1],
            command: Box::new(command),
            recorded: None,
        });
    }

    pub(in crate::execution) fn ack(&self) -> (AckStatus, Option<RejectCode>) {
        match self.replies.last() {
            Some(Reply::Ack(ack)) => (ack.status, ack.code),
            other => panic!("no ack: {other:?}"),
        }
    }

    pub(in crate::execution) fn creates(&mut self) -> Vec<CreateOrder> {
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

    /// The cancels that were asked for since the last call.
    pub(in crate::execution) fn withdrawn(&mut self) -> Vec<String> {
        let mut links = Vec::new();
        self.asked.retain(|effect| match effect {
            Effect::Cancel { link_id, .. } => {
                links.push(link_id.clone());
                false
            }
            _ => true,
        });
        links
    }

    /// A reduce-only limit order of agent `a` that works at the venue.
    pub(in crate::execution) fn resting_exit(&mut self, qty: &str, price: &str) -> CreateOrder {
        let mut exit = submit("a", Side::Sell, qty, self.market);
        exit.reduce_only = true;
        (exit.kind, exit.limit_price) = (Kind::Limit, Some(price.parse().unwrap()));
        self.send(&exit);
        let order = self.creates().remove(0);
        self.receive(Input::OrderSeen(seen(&order, Shown::Working)));
        order
    }

    /// A scenario with one entry that left and one that waits for its turn when the book goes stale.
    pub(in crate::execution) fn waiting_without_a_book() -> (Self, Submit) {
        let mut setup = setup();
        setup.limits.venue.orders_per_second = 1;
        let mut scenario = Self::with(setup, Recovered::default()).ready();
        scenario.submit("a", Side::Buy, "1");
        let waiting = scenario.submit("b", Side::Buy, "1");
        assert_eq!(scenario.creates().len(), 1);
        scenario.receive(Input::BookStale { symbol: symbol() });
        (scenario, waiting)
    }

    pub(in crate::execution) fn fill(
        &mut self,
        order: &CreateOrder,
        exec_id: &str,
        qty: &str,
        price: i64,
    ) {
        let executions = vec![execution(order, exec_id, qty.parse().unwrap(), price)];
        self.receive(Input::Executions { executions, pulled: false });
    }

    pub(in crate::execution) fn position(&self, agent: &str) -> Decimal {
        self.core.ledger.position(&name(agent), &symbol()).qty
    }

    /// The orders that have not ended.
    pub(in crate::execution) fn open(&self) -> Vec<&Order> {
        let orders = &self.core.orders;
        orders.open().iter().map(|link| &orders[link]).collect()
    }

    pub(in crate::execution) fn status(&self, submit: &Submit) -> OrderStatus {
        self.core.orders[&link_id(&submit.intent_id)].status
    }

    pub(in crate::execution) fn risks(&self, code: &str) -> usize {
        self.events
            .iter()
            .filter(|event| matches!(event, Event::Risk(risk) if risk.code == code))
            .count()
    }
}

pub(in crate::execution) fn submit(agent: &str, side: Side, qty: &str, ts: u64) -> Submit {
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

pub(in crate::execution) fn execution(
    order: &CreateOrder,
    exec_id: &str,
    qty: Decimal,
    price: i64,
) -> Execution {
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

pub(in crate::execution) fn seen(order: &CreateOrder, shown: Shown) -> OrderSeen {
    OrderSeen {
        link_id: order.link_id.clone(),
        order_id: format!("o-{}", order.link_id),
        symbol: order.symbol.clone(),
        shown,
        terms: None,
        updated_ts: None,
    }
}

/// A row with the terms that the venue holds.
pub(in crate::execution) fn seen_at(
    order: &CreateOrder,
    shown: Shown,
    qty: &str,
    price: &str,
) -> OrderSeen {
    let limit_price = Some(price.parse().unwrap());
    OrderSeen {
        terms: Some(Box::new(Terms { qty: qty.parse().unwrap(), limit_price })),
        ..seen(order, shown)
    }
}

pub(in crate::execution) fn ended(status: OrderStatus, filled: &str) -> Shown {
    Shown::Ended(VenueEnd { status, filled_qty: filled.parse().unwrap(), text: None })
}

pub(in crate::execution) fn protect(
    stop: Option<&str>,
    take_profit: Option<&str>,
    deadline_ts: Option<u64>,
) -> Option<Protect> {
    let level = |text: Option<&str>| text.map(|text| text.parse().unwrap());
    Some(Protect { stop: level(stop), take_profit: level(take_profit), deadline_ts })
}

/// A long position of one coin for agent `a`, protected by a stop at 90.
pub(in crate::execution) fn protected() -> Scenario {
    protected_with(setup())
}

pub(in crate::execution) fn protected_with(setup: Setup) -> Scenario {
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    let mut entry = submit("a", Side::Buy, "1", scenario.market);
    entry.protect = protect(Some("90"), Some("120"), None);
    scenario.send(&entry);
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "entry", "1", 100);
    scenario
}

pub(in crate::execution) fn not_found(link_id: &str) -> Input {
    Input::Asked { link_id: link_id.to_owned(), seen: None, executions: Vec::new(), complete: true }
}

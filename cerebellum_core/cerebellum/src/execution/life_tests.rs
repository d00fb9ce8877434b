//! Whole lives of orders: submits, amends, cancels, halts, flattens and restarts in any order, against
//! a venue that loses, repeats, delays and reorders. Whatever happens, no order is lost or doubled.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::wire::{
    command::{Amend, Cancel, CancelAll, Flatten, SetState, Submit},
    event::Event,
    field::{Kind, Reason, RequestId, Side, TradingState, V1},
    Command,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{Effect, Execution, Input},
        order::link_id,
    },
    testing::{
        scenario::*,
        simulated_venue::{Die, Rows, Venue},
    },
};

const AGENTS: [&str; 3] = ["a", "b", "c"];

/// A core, its journal and its venue.
struct Fixture {
    scenario: Scenario,
    venue: Venue,
    rows: Rows,
    die: Die,
    submits: Vec<Submit>,
    /// Every client order id that ever left.
    left: BTreeSet<String>,
    events: Vec<Event>,
    faults: bool,
}

impl Fixture {
    fn new(seed: u64) -> Self {
        Self {
            scenario: Scenario::new().ready(),
            venue: Venue::default(),
            rows: Rows::default(),
            die: Die(seed),
            submits: Vec::new(),
            left: BTreeSet::new(),
            events: Vec::new(),
            faults: true,
        }
    }

    /// Gateway an input to the core the way the engine does, with what only the journal knows.
    fn receive(&mut self, input: Input) {
        let input = match input {
            Input::OrderSeen(seen) => {
                self.recall(&seen.link_id);
                Input::OrderSeen(seen)
            }
            Input::Executions { executions, pulled } => {
                Input::Executions { executions: self.unbooked(executions), pulled }
            }
            Input::Asked { link_id, seen, executions, complete } => {
                let executions = self.unbooked(executions);
                Input::Asked { link_id, seen, executions, complete }
            }
            other => other,
        };
        self.scenario.receive(input);
        self.keep();
    }

    fn unbooked(&mut self, mut executions: Vec<Execution>) -> Vec<Execution> {
        executions.retain(|row| !self.rows.booked.contains(&row.exec_id));
        for row in &executions {
            self.recall(&row.link_id);
        }
        executions
    }

    fn recall(&mut self, link: &str) {
        if !self.scenario.core.knows(link) {
            if let Some(order) = self.rows.orders.get(link) {
                self.scenario.receive(Input::Recall(Box::new(order.clone())));
            }
        }
    }

    fn keep(&mut self) {
        let doubled = self.rows.write(std::mem::take(&mut self.scenario.records));
        assert_eq!(doubled, None, "an execution was booked twice");
        self.events.append(&mut self.scenario.events);
        for effect in &self.scenario.asked {
            if let Effect::Create(order) = effect {
                self.left.insert(order.link_id.clone());
            }
        }
    }

    fn command(&mut self, command: Command) {
        let link = match &command {
            Command::Submit(one) => Some(link_id(&one.intent_id)),
            Command::Cancel(one) => Some(link_id(&one.intent_id)),
            Command::Amend(one) => Some(link_id(&one.intent_id)),
            _ => None,
        };
        let unknown = link.filter(|link| !self.scenario.core.knows(link));
        let recorded = unknown.and_then(|link| self.rows.orders.get(&link).cloned().map(Box::new));
        let command = Box::new(command);
        self.receive(Input::Command { client: vec![1], command, recorded });
    }

    fn serve(&mut self) {
        self.venue.arrive(self.scenario.wall, &mut self.die);
        for effect in std::mem::take(&mut self.scenario.asked) {
            let now = self.scenario.wall;
            if let Some(answer) = self.venue.serve(effect, now, &mut self.die, self.faults) {
                self.receive(answer);
            }
        }
    }

    fn deliver(&mut self) {
        let last_first = self.die.roll(4) == 0;
        let row =
            if last_first { self.venue.stream.pop_back() } else { self.venue.stream.pop_front() };
        let Some(row) = row else { return };
        match self.die.roll(6) {
            0 => {}
            1 => {
                self.receive(row.clone());
                self.receive(row);
            }
            _ => self.receive(row),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.scenario.wall += i64::try_from(ms).unwrap();
        self.scenario.market += ms;
        self.scenario.quote(99, 100);
        self.receive(Input::Tick);
    }

    fn submit(&mut self) {
        let agent = AGENTS[self.die.roll(3) as usize];
        let side = if self.die.roll(2) == 0 { Side::Buy } else { Side::Sell };
        let qty = format!("{}.{:03}", 1 + self.die.roll(3), self.die.roll(1000));
        let mut one = submit(agent, side, &qty, self.scenario.market);
        if self.die.roll(3) > 0 {
            let price =
                if side == Side::Buy { 90 + self.die.roll(9) } else { 101 + self.die.roll(9) };
            (one.kind, one.limit_price) = (Kind::Limit, Some(price.to_string().parse().unwrap()));
        }
        self.submits.push(one.clone());
        self.command(Command::Submit(one.clone()));
        if self.die.roll(4) == 0 {
            self.command(Command::Submit(one));
        }
    }

    fn any(&mut self) -> Option<Submit> {
        let count = self.submits.len() as u64;
        (count > 0).then(|| self.submits[self.die.roll(count) as usize].clone())
    }

    fn amend(&mut self) {
        let Some(one) = self.any() else { return };
        let qty = format!("{}.{:03}", 1 + self.die.roll(4), self.die.roll(1000));
        let price =
            if one.side == Side::Buy { 90 + self.die.roll(9) } else { 101 + self.die.roll(9) };
        let both = self.die.roll(3);
        self.command(Command::Amend(Amend {
            v: V1,
            ts: 0,
            request_id: request(),
            intent_id: one.intent_id,
            agent: one.agent,
            qty: (both != 1).then(|| qty.parse().unwrap()),
            limit_price: (both != 2).then(|| price.to_string().parse().unwrap()),
        }));
    }

    fn cancel(&mut self) {
        let Some(one) = self.any() else { return };
        let intent_id = one.intent_id;
        self.command(Command::Cancel(Cancel { v: V1, ts: 0, request_id: request(), intent_id }));
    }

    fn set_state(&mut self, state: TradingState) {
        self.command(Command::SetState(SetState {
            v: V1,
            ts: 0,
            request_id: request(),
            agent: None,
            symbol: None,
            state,
            operator: Some(name("ada")),
        }));
    }

    fn flatten(&mut self) {
        let agent = Some(name(AGENTS[self.die.roll(3) as usize]));
        self.command(Command::Flatten(Flatten {
            v: V1,
            ts: 0,
            request_id: request(),
            agent,
            symbol: None,
            reason: Reason::new("cull").unwrap(),
        }));
    }

    fn fill_something(&mut self) {
        let links: Vec<String> = self.venue.held.keys().cloned().collect();
        if !links.is_empty() {
            let link = &links[self.die.roll(links.len() as u64) as usize];
            self.venue.fill(link, Decimal::new(4, 1) * Decimal::from(1 + self.die.roll(4)));
        }
    }

    /// A kill at any moment: what was about to leave may have left or not.
    fn restart(&mut self) {
        if self.die.roll(2) == 0 {
            for effect in std::mem::take(&mut self.scenario.asked) {
                let _ = self.venue.serve(effect, self.scenario.wall, &mut self.die, self.faults);
            }
        }
        let last_seq = self.events.len() as u64;
        let recovered = self.rows.recover(last_seq);
        let next = Scenario::at(self.scenario.wall, setup(), recovered);
        self.scenario = Scenario { market: self.scenario.market, ..next }.instructed();
        self.venue.stream.clear();
        self.receive(Input::PublicUp);
        self.receive(Input::PrivateUp);
    }

    fn reconnect(&mut self) {
        self.receive(Input::PrivateDown);
        for _ in 0..self.die.roll(4) {
            self.serve();
            self.pass(300);
        }
        self.venue.stream.clear();
        self.receive(Input::PrivateUp);
    }

    fn act(&mut self) {
        match self.die.roll(40) {
            0..=9 => self.submit(),
            10..=15 => self.amend(),
            16..=19 => self.cancel(),
            20..=29 => self.fill_something(),
            30 => self.set_state(TradingState::Halted),
            31 | 32 => self.set_state(TradingState::Active),
            33 => self.flatten(),
            34 => self.restart(),
            35 => self.reconnect(),
            _ => self.pass(1_500),
        }
    }

    /// The faults end, every resting order is cancelled, and time passes.
    fn settle(&mut self) {
        self.faults = false;
        self.venue.stream.clear();
        for round in 0..500 {
            self.serve();
            self.pass(200);
            if round % 100 == 99 {
                let (agent, symbol) = (None, None);
                let all = CancelAll { v: V1, ts: 0, request_id: request(), agent, symbol };
                self.command(Command::CancelAll(all));
            }
        }
    }

    fn risks(&self, code: &str) -> Vec<String> {
        let risk = |event: &Event| match event {
            Event::Risk(risk) if risk.code == code => Some(risk.text.clone()),
            _ => None,
        };
        self.events.iter().filter_map(risk).collect()
    }
}

fn request() -> RequestId {
    RequestId::new("r").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn amends_cancels_halts_and_restarts_lose_and_double_nothing(
        seed in any::<u64>(),
        steps in 5_usize..120,
    ) {
        let mut fixture = Fixture::new(seed);
        for _ in 0..steps {
            fixture.act();
            for _ in 0..fixture.die.roll(3) {
                fixture.serve();
                fixture.deliver();
                let ms = fixture.die.roll(200);
                fixture.pass(ms);
            }
        }
        fixture.settle();
        prop_assert_eq!(fixture.risks("impossible_transition"), Vec::<String>::new());
        prop_assert_eq!(fixture.risks("reconcile_mismatch"), Vec::<String>::new());
        prop_assert_eq!(fixture.risks("foreign_execution"), Vec::<String>::new());
        // One intent, one client order id; nothing leaves that was not journaled.
        for link in fixture.left.iter().chain(fixture.venue.held.keys()) {
            let order = &fixture.rows.orders[link];
            prop_assert_eq!(link, &order.intent.link_id());
        }
        // Every order ends, with what the venue has of it.
        for (link, order) in &fixture.rows.orders {
            prop_assert!(order.is_terminal(), "{} is {:?}", link, order);
            let held = fixture.venue.held.get(link);
            let filled = held.map_or(Decimal::ZERO, |held| held.filled);
            prop_assert_eq!(order.filled_qty, filled, "{}", link);
            if let Some(held) = held {
                prop_assert_eq!(held.ended, Some(order.status), "{}", link);
                prop_assert_eq!(order.terms.qty.value(), held.qty, "{}", link);
            }
        }
        // Every fill is counted once, for its agent.
        let booked: BTreeSet<String> =
            fixture.venue.executions.iter().map(|row| row.exec_id.clone()).collect();
        prop_assert_eq!(&fixture.rows.booked, &booked);
        let mut positions: BTreeMap<&str, Decimal> = BTreeMap::new();
        for row in &fixture.venue.executions {
            let signed = if row.side == Side::Buy { row.qty } else { -row.qty };
            *positions.entry(fixture.rows.orders[&row.link_id].intent.agent.as_str()).or_default() +=
                signed;
        }
        for agent in AGENTS {
            let venue = positions.get(agent).copied().unwrap_or_default();
            prop_assert_eq!(fixture.scenario.position(agent), venue, "{}", agent);
        }
        prop_assert_eq!(fixture.scenario.core.ledger.net(&symbol()), fixture.venue.net());
        for (at, event) in fixture.events.iter().enumerate() {
            prop_assert_eq!(event.seq(), at as u64 + 1, "events have a gap");
        }
    }
}

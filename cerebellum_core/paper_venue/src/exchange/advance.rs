//! Time: the market's trades up to an instant, candles that close, funding.

use super::order::Execution;
use super::{Exchange, Notice};
use crate::market::candle::{Candle, Point, MINUTE_MS};
use crate::market::funding::Funding;
use crate::market::random::hash;
use protocol::bybit::enums::Side;
use rust_decimal::Decimal;

/// Time between funding payments.
pub const FUNDING_MS: i64 = 8 * 3_600_000;

impl Exchange {
    /// Lets the market run to `to`; an earlier instant changes nothing.
    pub fn advance(&mut self, to: i64) {
        if self.market.reported_events().is_some() {
            self.advance_reported(to);
            return;
        }
        while !self.timeline.ended && self.timeline.now <= to {
            let boundary = self.timeline.minute_ts + MINUTE_MS;
            self.play(to.min(boundary - 1));
            if to < boundary {
                self.timeline.now = to;
                return;
            }
            self.timeline.now = boundary;
            self.close_minute();
        }
    }

    /// Every symbol's trades up to and including `until`, in order of time.
    fn play(&mut self, until: i64) {
        loop {
            let mut next: Option<(i64, usize)> = None;
            for (symbol, cursor) in self.timeline.cursors.iter().enumerate() {
                let path = self.timeline.minute.get(symbol).and_then(Option::as_ref);
                if let Some(point) = path.and_then(|path| path.points.get(*cursor)) {
                    if point.ts <= until && next.is_none_or(|(ts, _)| point.ts < ts) {
                        next = Some((point.ts, symbol));
                    }
                }
            }
            let Some((ts, symbol)) = next else { return };
            let point = self.timeline.minute[symbol]
                .as_ref()
                .and_then(|path| path.points.get(self.timeline.cursors[symbol]));
            let Some(point) = point.copied() else { return };
            self.timeline.cursors[symbol] += 1;
            self.timeline.now = self.timeline.now.max(ts);
            self.trade(symbol, point);
        }
    }

    fn trade(&mut self, symbol: usize, point: Point) {
        let (open_ts, seq) = (self.timeline.minute_ts, self.bump(symbol));
        let state = &mut self.states[symbol];
        match &mut state.forming {
            Some(candle) => candle.take(point.price, point.qty),
            None => {
                let mut candle = Candle::at(open_ts, point.price);
                candle.take(point.price, point.qty);
                state.forming = Some(candle);
            }
        }
        let rising = match point.price.cmp(&state.last) {
            std::cmp::Ordering::Equal => None,
            order => Some(order.is_gt()),
        };
        state.last = point.price;
        state.book.follow(&point);
        if point.qty > 0 {
            state.remember(point, seq, None);
            self.changes.notices.push(Notice::Trade { symbol, point, rising, seq, row: None });
        }
        self.meet_resting(symbol, &point);
        self.wake(symbol);
        self.settle();
    }

    fn close_minute(&mut self) {
        let mut closed = Vec::new();
        for symbol in 0..self.states.len() {
            // The recorded candle, not the one built live: they differ in turnover alone.
            let candle =
                self.timeline.minute.get(symbol).and_then(Option::as_ref).map(|path| path.candle);
            self.market.close(symbol, candle);
            self.states[symbol].forming = None;
            closed.extend(candle.map(|candle| (symbol, candle)));
        }
        if !closed.is_empty() {
            self.changes.notices.push(Notice::Closed(closed));
        }
        self.pay_funding();
        self.liquidate();
        self.load_minute();
    }

    pub(super) fn load_minute(&mut self) {
        if self.market.end_ts().is_some_and(|end| self.market.next_ts() >= end) {
            self.timeline.ended = true;
            self.changes.notices.push(Notice::Ended);
            return;
        }
        self.timeline.minute_ts = self.market.next_ts();
        self.timeline.minute = self.market.next_minute();
        self.timeline.cursors.fill(0);
    }

    /// The rate of the funding payment that is next: made up in a simulated market (small, seeded,
    /// mostly positive), or what others reported. A recording has rates that were settled, none that were
    /// expected.
    #[must_use]
    pub fn funding_rate(&self, symbol: usize) -> Option<Decimal> {
        match self.market.funding() {
            Funding::Made => {
                Some(self.made_funding_rate(symbol, self.timeline.now.div_euclid(FUNDING_MS)))
            }
            Funding::Reported => {
                let reported = self.states[symbol].ticker.get("fundingRate");
                reported.and_then(|rate| rate.as_str()).and_then(protocol::bybit::decimals::parse)
            }
            Funding::Given(_) => None,
        }
    }

    fn made_funding_rate(&self, symbol: usize, period: i64) -> Decimal {
        let symbol = u64::try_from(symbol).unwrap_or(0);
        let draw = hash(&[self.seed, symbol, period.unsigned_abs(), 7]) % 300;
        Decimal::new(i64::try_from(draw).unwrap_or(0) - 100, 6)
    }

    /// Instants and rates of the funding settlements, newest first: those that were charged, then
    /// those of the history before. Of a market that others report nobody reported the earlier ones.
    pub fn past_funding(&self, symbol: usize) -> Vec<(i64, Decimal)> {
        let first =
            self.market.history(symbol).first().map_or(self.timeline.now, |one| one.open_ts);
        let settled = &self.states[symbol].settled;
        match self.market.funding() {
            Funding::Given(given) => {
                let known = given.get(symbol).into_iter().flatten().rev();
                let past = known.filter(|one| one.ts <= self.timeline.now && one.ts >= first);
                past.map(|one| (one.ts, one.rate)).collect()
            }
            Funding::Reported => settled.iter().rev().copied().collect(),
            Funding::Made => {
                let charged_from = settled.first().map_or(i64::MAX, |(ts, _)| *ts);
                let before = (0..=self.timeline.now.div_euclid(FUNDING_MS))
                    .rev()
                    .take_while(|period| period * FUNDING_MS >= first)
                    // The rate of the period that ended there.
                    .map(|period| (period * FUNDING_MS, self.made_funding_rate(symbol, period - 1)))
                    .filter(|(ts, _)| *ts < charged_from);
                settled.iter().rev().copied().chain(before).collect()
            }
        }
    }

    /// Market time of the next funding payment; `None` when no further one is known.
    #[must_use]
    pub fn next_funding(&self, symbol: usize) -> Option<i64> {
        match self.market.funding() {
            Funding::Given(given) => {
                let known = given.get(symbol)?;
                known
                    .get(known.partition_point(|one| one.ts <= self.timeline.now))
                    .map(|one| one.ts)
            }
            _ => Some((self.timeline.now.div_euclid(FUNDING_MS) + 1) * FUNDING_MS),
        }
    }

    /// The minute of the next settlement as others reported it.
    fn reported_settlement(&self, symbol: usize) -> Option<i64> {
        let reported = self.states[symbol].ticker.get("nextFundingTime")?;
        let ts: i64 = reported.as_str()?.parse().ok()?;
        Some(ts.div_euclid(MINUTE_MS) * MINUTE_MS)
    }

    /// The rates that are settled at this first instant of a minute.
    fn due_funding(&mut self, symbol: usize) -> Vec<Decimal> {
        if let Funding::Given(given) = self.market.funding() {
            let known = given.get(symbol).map_or(&[][..], Vec::as_slice);
            let from = known.partition_point(|one| one.minute() < self.timeline.now);
            let due = known[from..].iter().take_while(|one| one.minute() == self.timeline.now);
            return due.map(|one| one.rate).collect();
        }
        if self
            .reported_settlement(symbol)
            .map_or(self.timeline.now % FUNDING_MS, |ts| ts - self.timeline.now)
            != 0
        {
            return Vec::new();
        }
        // The rate of the period that just ended.
        self.timeline.now -= 1;
        let rate = self.funding_rate(symbol);
        self.timeline.now += 1;
        if rate.is_none() {
            let symbol = self.instruments()[symbol].symbol.as_str();
            tracing::warn!(
                symbol,
                ts = self.timeline.now,
                "nobody told the rate of funding: none is charged"
            );
        }
        rate.into_iter().collect()
    }

    /// Charges what is settled now.
    pub(super) fn pay_funding(&mut self) {
        let before = self.changes.notices.len();
        for symbol in 0..self.states.len() {
            for rate in self.due_funding(symbol) {
                self.states[symbol].settled.push((self.timeline.now, rate));
                self.charge_funding(symbol, rate);
            }
        }
        if self.changes.notices.len() > before {
            self.settle();
        }
    }

    fn charge_funding(&mut self, symbol: usize, rate: Decimal) {
        let mark = self.states[symbol].mark();
        let instrument = self.market.instruments()[symbol].clone();
        for account in 0..self.accounts.len() {
            let size = self.accounts[account].positions[symbol].size;
            if size == 0 {
                continue;
            }
            let value = instrument.exact_qty(size) * instrument.exact_price(mark);
            let amount = (value * rate).round_dp(8).normalize();
            let id = self.numbering.make_id(3, self.numbering.next_execution);
            self.numbering.next_execution += 1;
            let seq = self.bump(symbol);
            let execution = Execution {
                id,
                symbol,
                order: None,
                side: if size > 0 { Side::Buy } else { Side::Sell },
                price: mark,
                qty: size.abs(),
                value: value.abs(),
                fee: amount,
                fee_rate: rate,
                profit: Decimal::ZERO,
                is_maker: false,
                closed: 0,
                mark,
                ts: self.timeline.now,
                seq,
            };
            let owner = &mut self.accounts[account];
            owner.pay(-amount);
            owner.positions[symbol].realised -= amount;
            owner.positions[symbol].realised_open -= amount;
            owner.executions.push(execution.clone());
            self.changes.notices.push(Notice::Execution(account, Box::new(execution)));
            self.changes.positions.insert((account, symbol));
            self.changes.wallets.insert(account);
        }
    }
}

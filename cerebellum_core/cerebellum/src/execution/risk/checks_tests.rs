use protocol::wire::field::Name;

use super::*;
use crate::execution::{
    model::trading_state::States,
    testing::{instrument, intent},
};

struct Fixture {
    limits: Limits,
    instrument: Instrument,
    quote: Quote,
}

impl Fixture {
    fn new() -> Self {
        Self {
            limits: Limits::default(),
            instrument: instrument(),
            quote: Quote { bid: Decimal::from(99), ask: Decimal::from(100) },
        }
    }

    fn context(&self) -> RiskContext<'_> {
        RiskContext {
            limits: &self.limits,
            instrument: Some(&self.instrument),
            quote: Some(&self.quote),
            market_ms: 1_000_000,
            state: TradingState::Active,
            position: Decimal::ZERO,
            working_buys: Decimal::ZERO,
            working_sells: Decimal::ZERO,
            total_notional: Ok(Decimal::ZERO),
            agent_rate: 0,
            daily_loss: DayLoss::Inside,
            amended: None,
        }
    }
}

fn code(intent: &Intent, context: &RiskContext<'_>) -> Option<RejectCode> {
    check(intent, context).err().map(|(code, text)| {
        assert!(!text.is_empty());
        code
    })
}

#[test]
fn each_malformed_intent_gets_its_own_code() {
    let fixture = Fixture::new();
    let buy = |qty: &str| intent("a", Side::Buy, qty);
    let limit = |qty: &str, price: &str| {
        let mut intent = buy(qty);
        intent.kind = Kind::Limit;
        intent.limit_price = Some(price.parse().unwrap());
        intent
    };
    let p = || fixture.context();
    assert_eq!(code(&buy("1"), &p()), None);
    assert_eq!(code(&buy("0"), &p()), Some(RejectCode::BadQuantity));
    assert_eq!(code(&buy("-1"), &p()), Some(RejectCode::BadQuantity));
    assert_eq!(code(&buy("0.0015"), &p()), Some(RejectCode::BadQuantity));
    assert_eq!(code(&buy("101"), &p()), Some(RejectCode::BadQuantity));
    assert_eq!(code(&buy("9999999999999999999999999999"), &p()), Some(RejectCode::BadQuantity));
    assert_eq!(code(&buy("0.001"), &p()), Some(RejectCode::BelowMinimum));
    assert_eq!(code(&limit("1", "100.05"), &p()), Some(RejectCode::BadPrice));
    assert_eq!(code(&limit("1", "0"), &p()), Some(RejectCode::BadPrice));
    assert_eq!(code(&limit("101", "100"), &p()), None);
    let mut priced = buy("1");
    priced.limit_price = Some("100".parse().unwrap());
    assert_eq!(code(&priced, &p()), Some(RejectCode::BadPrice));
    let mut missing = limit("1", "100");
    missing.limit_price = None;
    assert_eq!(code(&missing, &p()), Some(RejectCode::BadPrice));
    assert_eq!(code(&limit("1", "110"), &p()), Some(RejectCode::PriceCollar));
    assert_eq!(code(&limit("1", "50"), &p()), None, "a resting price far away is no danger");
    assert_eq!(
        code(&buy("1"), &RiskContext { instrument: None, ..p() }),
        Some(RejectCode::UnknownSymbol)
    );
    assert_eq!(code(&buy("1"), &RiskContext { quote: None, ..p() }), Some(RejectCode::StaleBook));
    assert_eq!(
        code(&buy("1"), &RiskContext { market_ms: 1_060_001, ..p() }),
        Some(RejectCode::Expired)
    );
    assert_eq!(
        code(&buy("1"), &RiskContext { agent_rate: 10, ..p() }),
        Some(RejectCode::OrderRate)
    );
}

#[test]
fn states_close_in_order_and_reduce_only_lets_exits_out() {
    let fixture = Fixture::new();
    let entry = intent("a", Side::Buy, "1");
    let mut exit = intent("a", Side::Sell, "1");
    exit.reduce_only = true;
    let at = |state| RiskContext { state, position: Decimal::ONE, ..fixture.context() };
    assert_eq!(code(&entry, &at(TradingState::ReduceOnly)), Some(RejectCode::ReduceOnly));
    assert_eq!(code(&exit, &at(TradingState::ReduceOnly)), None);
    assert_eq!(code(&exit, &at(TradingState::Halted)), Some(RejectCode::Halted));
    let lost = RiskContext {
        daily_loss: DayLoss::Reached("lost".to_owned()),
        ..at(TradingState::ReduceOnly)
    };
    assert_eq!(code(&entry, &lost), Some(RejectCode::DailyLoss));
    assert_eq!(code(&exit, &lost), None);
}

#[test]
fn a_reduce_only_intent_never_flips_its_agents_position() {
    let fixture = Fixture::new();
    let mut exit = intent("a", Side::Sell, "1");
    exit.reduce_only = true;
    let holding = |qty: i64, working: i64| RiskContext {
        position: Decimal::from(qty),
        working_sells: Decimal::from(working),
        ..fixture.context()
    };
    assert_eq!(code(&exit, &holding(1, 0)), None);
    assert_eq!(code(&exit, &holding(0, 0)), Some(RejectCode::ReduceOnly));
    assert_eq!(code(&exit, &holding(-5, 0)), Some(RejectCode::ReduceOnly));
    assert_eq!(code(&exit, &holding(1, 1)), Some(RejectCode::ReduceOnly));
    assert_eq!(
        code(&exit, &RiskContext { quote: None, ..holding(1, 0) }),
        None,
        "an exit needs no book"
    );
}

#[test]
fn notional_limits_bind_on_what_would_be_held() {
    let mut fixture = Fixture::new();
    fixture.limits.order.max_notional = Some(Decimal::from(500));
    fixture.limits.position.max_notional = Some(Decimal::from(800));
    assert_eq!(code(&intent("a", Side::Buy, "5"), &fixture.context()), None);
    assert_eq!(
        code(&intent("a", Side::Buy, "5.001"), &fixture.context()),
        Some(RejectCode::LimitNotional)
    );
    let holding = RiskContext { position: Decimal::from(4), ..fixture.context() };
    assert_eq!(code(&intent("a", Side::Buy, "4"), &holding), None);
    assert_eq!(code(&intent("a", Side::Buy, "4.5"), &holding), Some(RejectCode::LimitPosition));
    assert_eq!(code(&intent("a", Side::Sell, "4.5"), &holding), None);
    let working = RiskContext { working_buys: Decimal::from(4), ..fixture.context() };
    assert_eq!(code(&intent("a", Side::Buy, "4.5"), &working), Some(RejectCode::LimitPosition));
}

#[test]
fn the_strictest_state_of_all_scopes_counts() {
    let mut states = States::default();
    let (agent, symbol) = (Name::new("a").unwrap(), Symbol::new("BTCUSDT").unwrap());
    assert_eq!(states.effective(&agent, &symbol), TradingState::Active);
    states.set((None, Some(symbol.clone())), TradingState::ReduceOnly);
    assert_eq!(states.effective(&agent, &symbol), TradingState::ReduceOnly);
    states.set((Some(agent.clone()), None), TradingState::Halted);
    assert_eq!(states.effective(&agent, &symbol), TradingState::Halted);
    assert_eq!(states.effective(&Name::new("b").unwrap(), &symbol), TradingState::ReduceOnly);
}

#[test]
fn a_limit_that_cannot_be_checked_refuses_entries_and_lets_exits_out() {
    let mut fixture = Fixture::new();
    fixture.limits.position.max_total_notional = Some(Decimal::from(1_000_000));
    let symbol = Symbol::new("ETHUSDT").unwrap();
    let unknown =
        RiskContext { total_notional: Err(symbol), position: Decimal::ONE, ..fixture.context() };
    let mut exit = intent("a", Side::Sell, "1");
    assert_eq!(code(&intent("a", Side::Buy, "1"), &unknown), Some(RejectCode::MarkUnknown));
    assert_eq!(code(&exit, &unknown), None, "an entry that shrinks the position adds nothing");
    exit.reduce_only = true;
    assert_eq!(code(&exit, &unknown), None);
    let lost =
        RiskContext { daily_loss: DayLoss::Unknown("stale".to_owned()), ..fixture.context() };
    assert_eq!(code(&intent("a", Side::Buy, "1"), &lost), Some(RejectCode::MarkUnknown));
}

//! What goes into the core and what comes out of it.

use std::collections::BTreeMap;

use protocol::wire::{
    event::{Event, FillEvent},
    field::{Kind, Name, Side, Symbol, TradingState},
    Command, RejectCode, Reply,
};
use rust_decimal::Decimal;

use crate::execution::model::{
    day_book::DayBook,
    guard::Guard,
    journaling::Journaling,
    ledger::Holding,
    limits::Limits,
    market::{Instrument, Quote},
    order::{Order, Shown, Terms},
    trading_state::Scope,
};

/// The address of a ROUTER's client.
pub type Client = Vec<u8>;

/// What time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only ever goes forward, for rate limiting and patience. Its zero means
    /// nothing, so no such time is journaled; setting the wall clock never moves it.
    pub ms: i64,
}

/// What can arrive.
#[derive(Clone, Debug)]
pub enum Input {
    /// A command of the arena, with the order of its intent id if only the journal knew it.
    Command {
        /// Who asks.
        client: Client,
        /// What is asked.
        command: Box<Command>,
        /// The recorded order.
        recorded: Option<Box<Order>>,
    },
    /// Time passes.
    Tick,
    /// The best prices of a trustworthy book.
    Quote {
        /// Of what.
        symbol: Symbol,
        /// The prices.
        quote: Quote,
        /// Market time, ms.
        ts: u64,
    },
    /// The book cannot be trusted.
    BookStale {
        /// Of what.
        symbol: Symbol,
    },
    /// Market time passes without a quote.
    MarketTime(u64),
    /// What time it is at the venue, ms, as its private stream reports; not yet believed.
    VenueTime(u64),
    /// The limits file was read again.
    Limits(Box<Limits>),
    /// The journal takes rows in another way than before.
    Journal(Journaling),
    /// The venue's filters.
    Instruments(BTreeMap<Symbol, Instrument>),
    /// The public streams are up.
    PublicUp,
    /// The private stream is logged in and subscribed.
    PrivateUp,
    /// The private stream is gone.
    PrivateDown,
    /// The answer to a create.
    CreateReply {
        /// Which order.
        link_id: String,
        /// What came.
        outcome: CreateOutcome,
    },
    /// The answer to a cancel.
    CancelReply {
        /// Which order.
        link_id: String,
        /// What came.
        outcome: CancelOutcome,
    },
    /// The answer to an amend.
    AmendReply {
        /// Which order.
        link_id: String,
        /// What came.
        outcome: AmendOutcome,
    },
    /// An order row of the private stream.
    OrderSeen(OrderSeen),
    /// Executions of the private stream, or asked for because some might have been missed.
    Executions {
        /// The rows, oldest first, without those that the journal holds.
        executions: Vec<Execution>,
        /// Whether they answer a pull after the private stream came up.
        pulled: bool,
    },
    /// The answer to a question about one order.
    Asked {
        /// Which order.
        link_id: String,
        /// Its newest row, if the venue knows it.
        seen: Option<OrderSeen>,
        /// Its executions, without those that the journal holds.
        executions: Vec<Execution>,
        /// Whether every place was asked and answered.
        complete: bool,
    },
    /// Net positions at the venue; a symbol that is left out is flat.
    Positions(BTreeMap<Symbol, Decimal>),
    /// Orders of the account that have not ended, whoever placed them.
    OpenOrders(Vec<OrderSeen>),
    /// The wallet balance of the settle coin.
    Wallet(Decimal),
    /// The venue asks for a pause of orders until this time of [`Now`], ms.
    Pause(i64),
    /// The clocks differ.
    ClockDrift {
        /// Venue minus ours, ms.
        offset_ms: i64,
    },
    /// Something at the rim that a person should know.
    Notice {
        /// The code of the risk event.
        code: &'static str,
        /// The text.
        text: String,
        /// The symbol concerned.
        symbol: Option<Symbol>,
    },
    /// An order that only the journal knew, because the next input speaks of it.
    Recall(Box<Order>),
}

/// How a create ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// Taken for processing.
    Accepted {
        /// The venue's id.
        order_id: String,
    },
    /// Definitely refused.
    Refused {
        /// The code on the wire.
        code: RejectCode,
        /// What the venue reported.
        text: String,
    },
    /// The client order id is taken: an earlier attempt landed.
    Landed,
    /// Definitely not executed, and worth another try.
    NotExecuted {
        /// Time of [`Now`] from which to try, ms.
        retry_at: i64,
        /// What the venue reported.
        text: String,
    },
    /// Nobody knows.
    Ambiguous {
        /// What was seen instead of an answer.
        text: String,
    },
}

/// How a cancel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Taken for processing.
    Accepted,
    /// The venue has no such open order; ask where it is.
    Gone {
        /// What the venue reported.
        text: String,
    },
    /// To be tried again.
    Retry {
        /// What was seen.
        text: String,
    },
}

/// How an amend ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmendOutcome {
    /// Taken for processing; a row of the order shows whether it was done.
    Accepted,
    /// Definitely refused: the order is as it was.
    Refused {
        /// What the venue reported.
        text: String,
    },
    /// Definitely not executed, and worth another try.
    NotExecuted {
        /// Time of [`Now`] from which to try, ms.
        retry_at: i64,
        /// What the venue reported.
        text: String,
    },
    /// Nobody knows.
    Ambiguous {
        /// What was seen instead of an answer.
        text: String,
    },
}

/// What an order row reports.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderSeen {
    /// The client order id; may be empty.
    pub link_id: String,
    /// The venue's id.
    pub order_id: String,
    /// Of what.
    pub symbol: Symbol,
    /// Working or ended.
    pub shown: Shown,
    /// Quantity and limit price, if the row shows them.
    pub terms: Option<Box<Terms>>,
    /// When the venue last changed the order, ms of its clock, if the row shows it.
    pub updated_ts: Option<u64>,
}

/// One execution row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The venue's id of it.
    pub exec_id: String,
    /// The client order id; may be empty.
    pub link_id: String,
    /// The venue's order id.
    pub order_id: String,
    /// Of what.
    pub symbol: Symbol,
    /// Trade, funding or something else.
    pub kind: ExecutionKind,
    /// Buy or sell.
    pub side: Side,
    /// How much.
    pub qty: Decimal,
    /// At what price.
    pub price: Decimal,
    /// What it cost; negative is a rebate.
    pub fee: Decimal,
    /// The coin of the fee.
    pub fee_currency: String,
    /// Whether our order rested.
    pub is_maker: bool,
    /// Market time, ms.
    pub exec_ts: u64,
}

/// What an execution is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionKind {
    /// A trade of an order.
    Trade,
    /// A funding settlement.
    Funding,
    /// Liquidation, deleveraging, delivery: never ours to order.
    Other(String),
}

/// An order as it goes to the venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOrder {
    /// The client order id.
    pub link_id: String,
    /// What to trade.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Market or limit.
    pub kind: Kind,
    /// How much, as the intent spelled it.
    pub qty: String,
    /// At what price.
    pub price: Option<String>,
    /// Whether the venue should enforce reduce-only on its net position.
    pub reduce_only: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write a row, before anything else happens.
    Record(Record),
    /// Write an event, then publish it.
    Event(Box<Event>),
    /// Answer a client.
    Reply(Client, Box<Reply>),
    /// Answer a client with events of the journal.
    Replay {
        /// Who asks.
        client: Client,
        /// The request.
        request_id: protocol::wire::field::RequestId,
        /// Events with a larger number.
        since_seq: u64,
        /// At most so many.
        limit: u32,
    },
    /// Send an order.
    Create(Box<CreateOrder>),
    /// Withdraw an order.
    Cancel {
        /// The client order id.
        link_id: String,
        /// Of what.
        symbol: Symbol,
    },
    /// Withdraw an order that no intent placed.
    CancelForeign {
        /// The venue's id.
        order_id: String,
        /// Of what.
        symbol: Symbol,
    },
    /// Change an order; what is left out stays as it is.
    Amend {
        /// The client order id.
        link_id: String,
        /// Of what.
        symbol: Symbol,
        /// The new whole quantity.
        qty: Option<String>,
        /// The new limit price.
        price: Option<String>,
    },
    /// Ask where an order is.
    Ask {
        /// The client order id.
        link_id: String,
        /// Of what.
        symbol: Symbol,
    },
    /// Fetch executions since a market time, ms.
    PullExecutions {
        /// From here.
        since_ts: u64,
    },
    /// Fetch positions and the wallet.
    PullPositions,
    /// Fetch the open orders of the account.
    PullOpenOrders,
    /// Everything is reconciled and the streams are up.
    Ready,
}

/// A row of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A new intent with its first order row.
    Intent(Box<Order>),
    /// An order after a change.
    Order(Box<Order>),
    /// A fill.
    Fill(Box<FillEvent>),
    /// One agent's share of a funding payment.
    Funding {
        /// The venue's id.
        exec_id: String,
        /// Whose share.
        agent: Name,
        /// Of what.
        symbol: Symbol,
        /// What was paid.
        amount: Decimal,
        /// Market time, ms.
        exec_ts: u64,
    },
    /// An execution that belongs to no intent of this journal.
    Foreign(Box<Execution>),
    /// The protection of a position; `None` removes it.
    Guard(Holding, Option<Box<Guard>>),
    /// A trading state.
    State(Scope, TradingState),
    /// Where agents stood at the start of the market day.
    Day(DayBook),
    /// Limits set by command, which win over the file; `None` once the file was read again.
    Limits(Option<Box<Limits>>),
}

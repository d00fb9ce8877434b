//! What is written is read back, what contradicts itself is found, what is newer is refused.

use protocol::wire::{
    command::Protect,
    event::{Event, FillEvent, OrderEvent, OrderStatus},
    field::{Reason, Side, Symbol, TradingState, V1},
    DecimalText,
};
use rust_decimal::Decimal;

use super::{schema, verify::verify, Journal};
use crate::execution::{
    model::{
        guard::Guard,
        io::Record,
        limits::Limits,
        order::{Amend, Intent, Order, Terms},
    },
    testing::intent,
};

fn open(folder: &tempfile::TempDir) -> Journal {
    Journal::open(&folder.path().join("j.sqlite")).unwrap()
}

fn filled(journal: &mut Journal, seq: u64, agent: &str, side: Side, qty: &str) -> Order {
    let mut order = Order::new(intent(agent, side, qty));
    journal.write(Record::Intent(Box::new(order.clone())));
    let quantity: Decimal = qty.parse().unwrap();
    let fill = fill(&order.intent, seq, qty);
    journal.write(Record::Fill(Box::new(fill.clone())));
    tell(journal, &Event::Fill(fill));
    order.status = OrderStatus::Filled;
    order.order_id = Some(format!("o-{seq}"));
    order.filled_qty = quantity;
    order.filled_value = quantity * Decimal::from(100);
    journal.write(Record::Order(Box::new(order.clone())));
    tell(journal, &Event::Order(OrderEvent { v: V1, ts: 1, seq: seq + 1, order: order.view() }));
    journal.commit().unwrap();
    order
}

fn tell(journal: &mut Journal, event: &Event) {
    journal.write_event(event, serde_json::to_string(event).unwrap().into(), 1);
}

fn fill(intent: &Intent, seq: u64, qty: &str) -> FillEvent {
    FillEvent {
        v: V1,
        ts: 1,
        seq,
        exec_id: format!("e-{seq}"),
        intent_id: intent.intent_id.clone(),
        order_link_id: intent.link_id(),
        order_id: format!("o-{seq}"),
        agent: intent.agent.clone(),
        version: intent.version.clone(),
        symbol: intent.symbol.clone(),
        side: intent.side,
        qty: qty.parse().unwrap(),
        price: "100".parse().unwrap(),
        fee: "0.05".parse().unwrap(),
        fee_currency: "USDT".to_owned(),
        is_maker: false,
        exec_ts: 1_000 + seq,
        reason: intent.reason.clone(),
    }
}

#[test]
fn everything_written_is_read_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    filled(&mut journal, 1, "a", Side::Buy, "2");
    filled(&mut journal, 3, "b", Side::Sell, "0.5");
    let mut waiting = intent("a", Side::Sell, "1.50");
    waiting.limit_price = Some("120.0".parse().unwrap());
    waiting.protect = Some(Protect {
        stop: Some("90.0".parse().unwrap()),
        take_profit: None,
        deadline_ts: Some(77),
    });
    let mut waiting = Order::new(waiting);
    waiting.terms.qty = "2.0".parse().unwrap();
    let terms = Terms { qty: "3".parse().unwrap(), limit_price: Some("121".parse().unwrap()) };
    waiting.amend = Some(Amend { terms, sent: true });
    waiting.close_on_fill = Some(Reason::new("kill").unwrap());
    let holding = (waiting.intent.agent.clone(), waiting.intent.symbol.clone());
    let guard = Guard {
        stop: Some(Decimal::new(905, 1)),
        source: Some(waiting.intent.intent_id.clone()),
        exit_reason: Some("stop".to_owned()),
        ..Guard::bare(waiting.intent.version.clone())
    };
    journal.write(Record::Intent(Box::new(waiting.clone())));
    journal.write(Record::Guard(holding.clone(), Some(Box::new(guard.clone()))));
    let scope = (None, Some(Symbol::new("BTCUSDT").unwrap()));
    journal.write(Record::State(scope.clone(), TradingState::Halted));
    let mut limits = Limits::default();
    limits.daily_loss.total = Some(Decimal::new(5005, 1));
    journal.write(Record::Limits(Some(Box::new(limits.clone()))));
    journal.commit().unwrap();
    let id = journal.journal_id().unwrap();
    drop(journal);

    let mut journal = open(&folder);
    assert_eq!(journal.journal_id().unwrap(), id);
    let recovered = journal.recover().unwrap();
    assert_eq!(recovered.open_orders, vec![waiting]);
    assert_eq!(recovered.guards.get(&holding), Some(&guard));
    assert_eq!(recovered.states.get(&scope), TradingState::Halted);
    assert_eq!(recovered.limits, Some(limits));
    assert_eq!((recovered.last_seq, recovered.last_exec_ts), (4, Some(1_003)));
    assert_eq!(recovered.ledger.net(&holding.1), Decimal::new(15, 1));
    assert_eq!(recovered.ledger.cash(), Decimal::new(-15010, 2));
    assert!(journal.has_execution("e-1").unwrap());
    assert_eq!(journal.events_since(1, 2).unwrap().len(), 2);
    journal.write(Record::Limits(None));
    journal.commit().unwrap();
    assert_eq!(journal.recover().unwrap().limits, None);
}

#[test]
fn what_is_not_committed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    journal.write(Record::Intent(Box::new(Order::new(intent("a", Side::Buy, "1")))));
    drop(journal);
    assert!(open(&folder).recover().unwrap().open_orders.is_empty());
}

#[test]
fn one_execution_cannot_be_booked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let order = filled(&mut journal, 1, "a", Side::Buy, "2");
    let again = FillEvent { seq: 3, exec_id: "e-1".to_owned(), ..fill(&order.intent, 3, "2") };
    journal.write(Record::Fill(Box::new(again)));
    assert!(!journal.commit().unwrap_err().may_pass(), "no patience mends it");
}

#[test]
fn a_journal_that_contradicts_itself_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let mut journal = open(&folder);
    filled(&mut journal, 1, "a", Side::Buy, "2");
    drop(journal);
    let fine = verify(&path).unwrap();
    assert!(fine.ok, "{:?}", fine.faults);
    assert_eq!(fine.positions["a"]["BTCUSDT"], DecimalText::from(Decimal::TWO));
    for damage in [
        "DELETE FROM events WHERE seq = 1",
        "UPDATE events SET seq = 9 WHERE seq = 2",
        "UPDATE fills SET qty = '3'",
        "UPDATE orders SET filled_qty = '1'",
        "UPDATE fills SET agent = 'b'",
        "PRAGMA foreign_keys = OFF; DELETE FROM orders",
    ] {
        let copy = folder.path().join("copy.sqlite");
        std::fs::copy(&path, &copy).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(damage).unwrap();
        let summary = verify(&copy).unwrap();
        assert!(!summary.ok, "{damage} was not noticed");
    }
}

#[test]
fn a_newer_journal_and_a_second_writer_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let journal = open(&folder);
    assert!(Journal::open(&path).unwrap_err().to_string().contains("in use"));
    drop(journal);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(Journal::open(&path).unwrap_err().to_string().contains("newer program"));
    assert!(verify(&folder.path().join("none.sqlite")).is_err());
}

#[test]
fn a_journal_of_the_first_version_is_brought_up_and_its_orders_keep_their_terms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let mut journal = open(&folder);
    filled(&mut journal, 1, "a", Side::Buy, "2");
    let order = Order::new(intent("a", Side::Buy, "1.50"));
    journal.write(Record::Intent(Box::new(order.clone())));
    journal.commit().unwrap();
    drop(journal);
    let old = folder.path().join("old.sqlite");
    let connection = rusqlite::Connection::open(&old).unwrap();
    connection.execute_batch(schema::first()).unwrap();
    connection.execute("ATTACH ?1 AS newer", [path.to_str().unwrap()]).unwrap();
    let columns = "intent_id, order_id, status, is_open, filled_qty, filled_value, sends,
                   cancel_wanted, code, text";
    connection
        .execute_batch(&format!(
            "INSERT INTO main.intents SELECT * FROM newer.intents;
             INSERT INTO main.orders SELECT {columns} FROM newer.orders;
             INSERT INTO main.fills SELECT * FROM newer.fills;
             INSERT INTO main.events SELECT * FROM newer.events; PRAGMA user_version = 1;"
        ))
        .unwrap();
    drop(connection);
    let journal = Journal::open(&old).unwrap();
    assert_eq!(journal.recover().unwrap().open_orders, vec![order]);
    drop(journal);
    let summary = verify(&old).unwrap();
    assert!(summary.ok, "{:?}", summary.faults);
    assert_eq!((summary.fills, summary.intents, summary.open_orders), (1, 2, 1));
}

#[test]
fn the_log_has_its_full_size_before_the_first_commit_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let log = folder.path().join("j.sqlite-wal");
    let size = || std::fs::metadata(&log).unwrap().len();
    let before = size();
    assert!(before > 8_000_000, "{before}");
    for _ in 0..50 {
        let order = Order::new(intent("a", Side::Buy, "1"));
        journal.write(Record::Intent(Box::new(order)));
        journal.commit().unwrap();
    }
    assert_eq!(size(), before);
    drop(journal);
    assert_eq!(open(&folder).recover().unwrap().open_orders.len(), 50);
}

#[test]
fn an_order_that_changes_in_an_open_transaction_is_read_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let mut order = Order::new(intent("a", Side::Buy, "1"));
    journal.write(Record::Intent(Box::new(order.clone())));
    for (sends, status) in [(1, OrderStatus::Sent), (1, OrderStatus::New)] {
        (order.sends, order.status) = (sends, status);
        journal.write(Record::Order(Box::new(order.clone())));
    }
    let found = journal.order_of(&order.intent.intent_id).unwrap();
    assert_eq!(found.as_ref(), Some(&order));
    order.order_id = Some("o-1".to_owned());
    journal.write(Record::Order(Box::new(order.clone())));
    assert_eq!(journal.order_by_order_id("o-1").unwrap().as_ref(), Some(&order));
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(open(&folder).recover().unwrap().open_orders, vec![order]);
}

#[test]
fn an_intent_that_was_never_journaled_is_not_found_and_one_of_before_a_restart_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let order = filled(&mut journal, 1, "a", Side::Buy, "1");
    drop(journal);
    let journal = open(&folder);
    let found = journal.order_of(&order.intent.intent_id).unwrap();
    assert_eq!(found.map(|found| found.status), Some(OrderStatus::Filled));
    assert_eq!(journal.order_of(&intent("a", Side::Buy, "1").intent_id).unwrap(), None);
}

#[test]
fn an_order_without_a_row_is_a_fault_and_no_new_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    journal.write(Record::Order(Box::new(Order::new(intent("a", Side::Buy, "1")))));
    assert!(journal.commit().unwrap_err().to_string().contains("has no row to change"));
}

#[test]
fn a_negative_number_is_an_error_that_names_its_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let mut journal = open(&folder);
    let order = filled(&mut journal, 1, "a", Side::Buy, "2");
    let holding = (order.intent.agent.clone(), order.intent.symbol.clone());
    let guard = Guard { deadline_ts: Some(9), ..Guard::bare(order.intent.version.clone()) };
    journal.write(Record::Guard(holding, Some(Box::new(guard))));
    journal.commit().unwrap();
    drop(journal);
    let damaged = |damage: &str| {
        let copy = folder.path().join("copy.sqlite");
        std::fs::copy(&path, &copy).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(damage).unwrap();
        copy
    };
    for (damage, column) in [
        ("UPDATE events SET seq = -1 WHERE seq = 1", "seq"),
        ("UPDATE fills SET exec_ts = -5", "exec_ts"),
    ] {
        let reported = verify(&damaged(damage)).unwrap_err().to_string();
        assert!(reported.contains(&format!("column {column} holds -")), "{damage}: {reported}");
    }
    for (damage, column) in [
        ("UPDATE guards SET deadline_ts = -9", "deadline_ts"),
        ("UPDATE fills SET exec_ts = -5", "exec_ts"),
    ] {
        let reported = Journal::open(&damaged(damage)).unwrap().recover().unwrap_err().to_string();
        assert!(reported.contains(&format!("column {column} holds -")), "{damage}: {reported}");
    }
}

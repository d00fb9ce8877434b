//! Rows that cannot be committed wait in memory, are read from there, and are written once.

use protocol::wire::{
    event::{Event, OrderEvent},
    field::{Side, V1},
};

use super::{verify::verify, Journal};
use crate::execution::{
    model::{io::Record, order::Order},
    testing::intent,
};

fn open(folder: &tempfile::TempDir) -> Journal {
    Journal::open(&folder.path().join("j.sqlite")).unwrap()
}

fn take_order(journal: &mut Journal, seq: u64) -> Order {
    let order = Order::new(intent("a", Side::Buy, "1"));
    journal.write(Record::Intent(Box::new(order.clone())));
    let event = Event::Order(OrderEvent { v: V1, ts: 1, seq, order: order.view() });
    journal.write_event(&event, serde_json::to_string(&event).unwrap().into(), 1);
    order
}

#[test]
fn a_journal_that_another_program_holds_takes_every_row_once_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let path = journal.path().to_owned();
    let first = take_order(&mut journal, 1);
    journal.commit().unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let second = take_order(&mut journal, 2);
    let begun = std::time::Instant::now();
    let error = journal.commit().unwrap_err();
    assert!(error.may_pass() && error.to_string().contains("locked"), "{error}");
    assert!(begun.elapsed().as_millis() < 1_000, "nobody is kept waiting for long");
    assert_eq!(journal.last_seq(), 1, "what is not on disk does not count");
    let third = take_order(&mut journal, 3);
    assert!(journal.commit().is_err());
    for order in [&first, &second, &third] {
        let found = journal.order_of(&order.intent.intent_id).unwrap();
        assert_eq!(found.as_ref(), Some(order), "it is read from the file or from memory");
    }
    assert!(journal.awaits_entry(&second.intent.intent_id));
    assert!(!journal.awaits_entry(&first.intent.intent_id));
    other.execute_batch("ROLLBACK").unwrap();
    journal.commit().unwrap();
    assert_eq!((journal.last_seq(), journal.waiting()), (3, 0));
    drop(journal);
    let summary = verify(&path).unwrap();
    assert!(summary.ok, "{:?}", summary.faults);
    assert_eq!((summary.intents, summary.last_seq), (3, 3));
}

#[test]
fn a_journal_that_cannot_grow_takes_every_row_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let path = journal.path().to_owned();
    let pages: i64 =
        journal.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |journal: &Journal, most: i64| {
        let query = format!("PRAGMA max_page_count = {most}");
        journal.connection.query_row(&query, [], |_| Ok(())).unwrap();
    };
    limit(&journal, pages);
    let mut failed = 0;
    for seq in 1..=50 {
        take_order(&mut journal, seq);
        if let Err(error) = journal.commit() {
            assert!(error.may_pass() && error.to_string().contains("full"), "{error}");
            failed += 1;
        }
    }
    assert!(failed > 0 && journal.waiting() > 0, "{failed}");
    limit(&journal, 1_000_000);
    journal.commit().unwrap();
    drop(journal);
    let summary = verify(&path).unwrap();
    assert!(summary.ok, "{:?}", summary.faults);
    assert_eq!((summary.intents, summary.last_seq), (50, 50));
}

#[test]
fn a_journal_opens_while_another_program_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let mut journal = open(&folder);
    take_order(&mut journal, 1);
    journal.commit().unwrap();
    drop(journal);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut journal = open(&folder);
    assert_eq!(journal.recover().unwrap().open_orders.len(), 1);
    assert!(journal.shortage().is_some(), "there is no reserve yet");
    other.execute_batch("ROLLBACK").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    journal.commit().unwrap();
    assert_eq!(journal.shortage(), None);
}

#[test]
fn the_log_has_a_reserve_beyond_the_point_where_it_is_brought_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = open(&folder);
    let log = folder.path().join("j.sqlite-wal");
    let size = std::fs::metadata(&log).unwrap().len();
    assert!(size >= 16_000_000, "{size}");
    for seq in 1..=3_000 {
        take_order(&mut journal, seq);
        journal.commit().unwrap();
    }
    assert_eq!(std::fs::metadata(&log).unwrap().len(), size, "it never grows");
}

#[test]
fn the_linked_sqlite_is_one_without_the_bug_that_resets_a_log_too_early() {
    // Fixed in 3.51.3 and in what came after; see docs/decisions/0074.
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn a_path_is_a_path_and_no_uri() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["a#b", "a?mode=memory", "a%41", "file:x?mode=memory"] {
        let folder = parent.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("j#?%41.sqlite");
        let mut journal = Journal::open(&path).unwrap();
        take_order(&mut journal, 1);
        journal.commit().unwrap();
        drop(journal);
        assert!(path.metadata().unwrap().len() > 0, "{name}");
        assert_eq!(verify(&path).unwrap().intents, 1, "{name}");
    }
}

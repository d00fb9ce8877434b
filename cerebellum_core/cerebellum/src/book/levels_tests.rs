use protocol::wire::{decode, encode};

use super::*;

const SCALES: Scales = Scales { price: 2, qty: 3 };

fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

fn ladder(bids: &[(&'static str, &'static str)], asks: &[(&'static str, &'static str)]) -> Ladder {
    let mut made = Ladder::new(SCALES, 50);
    made.apply(true, 1, bids.iter().copied(), asks.iter().copied()).unwrap();
    made
}

fn published(ladder: &Ladder) -> serde_json::Value {
    let message = Levels::of(&symbol(), ladder, 1_000).unwrap().message();
    assert_eq!(message.topic(), format!("BTCUSDT.{KIND}"));
    let frame = encode(&message).unwrap();
    assert_eq!(decode::<Market>(&frame).unwrap(), message);
    serde_json::from_slice(&frame).unwrap()
}

#[test]
fn levels_are_the_books_own_best_first_and_exact() {
    let book = ladder(
        &[("99.90", "0.001"), ("100.00", "12"), ("99.95", "1.500")],
        &[("100.30", "7"), ("100.10", "0.250")],
    );
    assert_eq!(
        published(&book),
        serde_json::json!({
            "v": 1, "type": "levels", "ts": 1_000, "symbol": "BTCUSDT",
            "bids": [["100", "12"], ["99.95", "1.5"], ["99.9", "0.001"]],
            "asks": [["100.1", "0.25"], ["100.3", "7"]],
        })
    );
}

#[test]
fn of_a_deep_book_the_ten_nearest_levels_are_published() {
    let price = |cents: i64| Decimal::new(cents, 2).to_string();
    let rows: Vec<(String, String)> =
        (0..30).map(|n| (price(10_000 - n), price(10_001 + n))).collect();
    let mut book = Ladder::new(SCALES, 50);
    let bids = rows.iter().map(|(bid, _)| (bid.as_str(), "1"));
    let asks = rows.iter().map(|(_, ask)| (ask.as_str(), "2"));
    book.apply(true, 1, bids, asks).unwrap();
    let message = published(&book);
    for (side, last) in [("bids", "99.91"), ("asks", "100.1")] {
        let levels = message[side].as_array().unwrap();
        assert_eq!((levels.len(), levels[9][0].as_str()), (10, Some(last)), "{side}");
    }
}

#[test]
fn of_a_book_that_cannot_be_trusted_or_lacks_a_side_nothing_is_published() {
    let none = |ladder: &Ladder| Levels::of(&symbol(), ladder, 1_000).is_none();
    assert!(none(&Ladder::new(SCALES, 50)), "no snapshot");
    assert!(none(&ladder(&[("100", "1")], &[])), "no asks");
    assert!(none(&ladder(&[], &[("100", "1")])), "no bids");
    let mut broken = ladder(&[("100", "1")], &[("101", "1")]);
    assert!(!none(&broken));
    broken.apply(false, 3, [("99", "1")].into_iter(), std::iter::empty()).unwrap_err();
    assert!(none(&broken), "a gap");
}

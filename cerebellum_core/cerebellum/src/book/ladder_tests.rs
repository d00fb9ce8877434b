use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SCALES: Scales = Scales { price: 1, qty: 3 };

fn pairs<'a>(levels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    levels.iter().copied()
}

fn whole() -> Ladder {
    let mut ladder = Ladder::new(SCALES, 50);
    ladder
        .apply(
            true,
            10,
            pairs(&[("100.0", "1"), ("99.9", "2")]),
            pairs(&[("100.1", "1.5"), ("100.2", "3")]),
        )
        .unwrap();
    ladder
}

#[test]
fn numbers_off_the_grid_are_refused() {
    assert_eq!(scaled("100.1", 1), Some(1001));
    assert_eq!(scaled("100", 1), Some(1000));
    assert_eq!(scaled("100.10", 1), Some(1001));
    for bad in ["100.11", "", ".", "1.2.3", "-1", "1e3", "x", "9999999999999999999"] {
        assert_eq!(scaled(bad, 1), None, "{bad}");
    }
}

#[test]
fn a_gap_empties_the_book_until_a_snapshot() {
    let mut ladder = whole();
    ladder.apply(false, 11, pairs(&[("100.0", "0")]), pairs(&[])).unwrap();
    assert_eq!(ladder.best_bid(), Some(Level { price: 999, qty: 2000 }));
    assert_eq!(
        ladder.apply(false, 13, pairs(&[]), pairs(&[])),
        Err(BookFault::Gap { expected: 12, got: 13 })
    );
    assert!(!ladder.is_whole());
    assert_eq!(ladder.apply(false, 14, pairs(&[]), pairs(&[])), Err(BookFault::NoSnapshot));
    ladder.apply(true, 1, pairs(&[("5.0", "1")]), pairs(&[("6.0", "1")])).unwrap();
    assert!(ladder.is_whole());
}

#[test]
fn a_crossed_book_is_not_trusted() {
    let mut ladder = whole();
    assert_eq!(
        ladder.apply(false, 11, pairs(&[("100.1", "1")]), pairs(&[])),
        Err(BookFault::Crossed)
    );
    assert!(!ladder.is_whole());
}

#[test]
fn a_bad_level_is_a_fault_and_not_a_panic() {
    let mut ladder = whole();
    assert!(matches!(
        ladder.apply(false, 11, pairs(&[("abc", "1")]), pairs(&[])),
        Err(BookFault::BadLevel(_))
    ));
}

proptest! {
    #[test]
    fn the_ladder_equals_a_plain_map(
        updates in prop::collection::vec((any::<bool>(), 1_i64..400, 0_i64..5), 1..300),
    ) {
        let mut ladder = Ladder::new(SCALES, 10_000);
        ladder.apply(true, 0, pairs(&[]), pairs(&[])).unwrap();
        let mut plain: [BTreeMap<i64, i64>; 2] = [BTreeMap::new(), BTreeMap::new()];
        for (at, (bid, price, qty)) in updates.iter().enumerate() {
            // Bids below 500, asks above: never crossed.
            let price = if *bid { *price } else { *price + 500 };
            let text = format!("{}.{}", price / 10, price % 10);
            let amount = format!("{qty}");
            let change = [(text.as_str(), amount.as_str())];
            let side = &mut plain[usize::from(!*bid)];
            if *qty == 0 { side.remove(&price); } else { side.insert(price, qty * 1000); }
            let (bids, asks): (&[_], &[_]) = if *bid { (&change, &[]) } else { (&[], &change) };
            ladder.apply(false, at as u64 + 1, pairs(bids), pairs(asks)).unwrap();
        }
        let bids: Vec<_> = ladder.bids().map(|level| (level.price, level.qty)).collect();
        let asks: Vec<_> = ladder.asks().map(|level| (level.price, level.qty)).collect();
        prop_assert_eq!(bids, plain[0].iter().rev().map(|(p, q)| (*p, *q)).collect::<Vec<_>>());
        prop_assert_eq!(asks, plain[1].iter().map(|(p, q)| (*p, *q)).collect::<Vec<_>>());
    }
}

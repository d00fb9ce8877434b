use super::super::ladder::Scales;
use super::*;

fn book(bid_qty: &str, ask_qty: &str) -> Ladder {
    let mut ladder = Ladder::new(Scales { price: 1, qty: 3 }, 50);
    ladder
        .apply(true, 1, [("100.0", bid_qty)].into_iter(), [("100.2", ask_qty)].into_iter())
        .unwrap();
    ladder
}

#[test]
fn a_balanced_book_has_no_skew_and_a_heavy_bid_a_positive_one() {
    let mut clock = SecondClock::default();
    clock.update(1_000, &book("2", "2"));
    let second = clock.advance(2_000)[0].statistics.unwrap();
    assert!(second.skew.abs() < 1e-12);
    assert_eq!(second.depth, 2.0);
    clock.update(2_000, &book("3", "1"));
    let second = clock.advance(3_000)[0].statistics.unwrap();
    assert!((second.skew - 0.5).abs() < 1e-12);
    assert!(second.microprice_offset > 0.0);
}

#[test]
fn flow_is_counted_once_and_divided_by_mean_depth() {
    let mut clock = SecondClock::default();
    clock.update(1_000, &book("2", "2"));
    clock.update(1_500, &book("5", "2"));
    let ended = clock.advance(2_000);
    let second = ended[0].statistics.unwrap();
    // +3 on the bid; half the second at depth 2, half at 3.5.
    assert!((second.ofi - 3.0 / 2.75).abs() < 1e-12);
    assert_eq!(ended[0].updates, 2);
    // Half the second at 0, half at 3/7.
    assert!((second.skew - 3.0 / 14.0).abs() < 1e-12);
}

#[test]
fn a_price_move_counts_the_whole_level() {
    let before = context(&book("2", "2")).unwrap();
    let mut up = Ladder::new(Scales { price: 1, qty: 3 }, 50);
    up.apply(true, 1, [("100.1", "4")].into_iter(), [("100.3", "1")].into_iter()).unwrap();
    let now = context(&up).unwrap();
    // Bid rose: +4 arrived. Ask rose: the old 2 left.
    assert!((order_flow(&before, &now) - 6.0).abs() < 1e-12);
    assert!((order_flow(&now, &before) + 6.0).abs() < 1e-12);
}

#[test]
fn a_stale_second_has_no_statistics_and_quiet_seconds_keep_the_standing_book() {
    let mut clock = SecondClock::default();
    clock.update(1_000, &book("2", "2"));
    let quiet = clock.advance(4_000);
    assert_eq!(quiet.len(), 3);
    assert_eq!(quiet[2].updates, 0);
    assert_eq!(quiet[2].statistics.unwrap().ofi, 0.0);
    clock.stale();
    let ended = clock.advance(5_000);
    assert_eq!(ended[0].statistics, None);
    clock.update(5_100, &book("2", "2"));
    assert_eq!(clock.advance(6_000)[0].statistics, None, "the second began stale");
    assert!(clock.advance(7_000)[0].statistics.is_some());
}

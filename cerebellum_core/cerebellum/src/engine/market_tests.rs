use std::{
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use protocol::wire::{decode, field::Symbol};

use super::*;
use crate::book::ladder::{Ladder, Scales};

const PATIENCE: Duration = Duration::from_secs(20);

fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

fn levels() -> Publication {
    let mut ladder = Ladder::new(Scales { price: 1, qty: 3 }, 50);
    ladder.apply(true, 1, [("100.0", "1")].into_iter(), [("100.1", "2")].into_iter()).unwrap();
    Publication::Levels(Levels::of(&symbol(), &ladder, 1_000).unwrap())
}

#[test]
fn levels_are_published_to_whoever_subscribes_to_them() {
    let context = zmq::Context::new();
    let (socket, address) = publisher(&context, "tcp://127.0.0.1:*").unwrap();
    let (sender, receiver) = channel();
    let publishing = thread::spawn(move || run(&socket, &receiver));
    let subscriber = context.socket(zmq::SUB).unwrap();
    subscriber.connect(&address).unwrap();
    subscriber.set_subscribe(b"BTCUSDT.levels").unwrap();
    // A subscription arrives a moment later; until then nothing comes.
    let until = Instant::now() + PATIENCE;
    while subscriber.poll(zmq::POLLIN, 20).unwrap() == 0 {
        assert!(Instant::now() < until, "no levels came");
        sender.send(levels()).unwrap();
    }
    let frames = subscriber.recv_multipart(0).unwrap();
    assert_eq!(frames[0], b"BTCUSDT.levels");
    let Publication::Levels(sent) = levels() else { unreachable!() };
    assert_eq!(decode::<Market>(&frames[1]).unwrap(), sent.message());
    drop(sender);
    publishing.join().unwrap();
}

#[test]
fn levels_are_wanted_as_long_as_somebody_subscribes() {
    let context = zmq::Context::new();
    let (socket, address) = publisher(&context, "tcp://127.0.0.1:*").unwrap();
    let mut wanted = Wanted::default();
    let mut becomes = |expected: bool| {
        let until = Instant::now() + PATIENCE;
        while wanted.levels_of("BTCUSDT") != expected {
            assert!(Instant::now() < until, "not {expected}: {wanted:?}");
            socket.poll(zmq::POLLIN, 1_000).unwrap();
            wanted.receive(&socket);
        }
    };
    becomes(false);
    let subscribed = |topics: &[&str]| {
        let subscriber = context.socket(zmq::SUB).unwrap();
        subscriber.connect(&address).unwrap();
        for topic in topics {
            subscriber.set_subscribe(topic.as_bytes()).unwrap();
        }
        subscriber
    };
    let first = subscribed(&["BTCUSDT.book", "BTCUSDT.levels"]);
    becomes(true);
    first.set_unsubscribe(b"BTCUSDT.levels").unwrap();
    becomes(false);
    let second = subscribed(&["BTCUSDT.levels"]);
    becomes(true);
    drop(second);
    becomes(false);
}

#[test]
fn what_is_wanted_is_what_a_subscription_is_the_beginning_of() {
    let wanted = |topics: &[&str]| {
        let all = topics.iter().map(|topic| topic.as_bytes().to_vec()).collect();
        Wanted(all).levels_of("BTCUSDT")
    };
    assert!(wanted(&["ETHUSDT.levels", "BTCUSDT.levels"]));
    assert!(wanted(&[""]), "everything");
    assert!(wanted(&["BTC"]));
    assert!(!wanted(&[]));
    assert!(!wanted(&["BTCUSDT.book", "BTCUSDT.levels2", "ETHUSDT.levels"]));
}

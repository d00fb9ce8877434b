//! The golden examples of every message, and what strictness refuses.

use std::{collections::BTreeSet, fs, path::PathBuf};

use protocol::wire::{
    decode, encode, Command, ErrorCode, Event, Family, Fault, Market, Reply, MAX_FRAME_BYTES,
};
use serde_json::{json, Map, Value};

fn vectors() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                serde_json::from_str(&text).unwrap(),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn round_trip(name: &str, value: &Value) -> Result<Value, Fault> {
    let frame = serde_json::to_vec(value).unwrap();
    let out = if name.starts_with("event_") {
        encode(&decode::<Event>(&frame)?)?
    } else if name.starts_with("market_") {
        encode(&decode::<Market>(&frame)?)?
    } else if ["ack", "error", "snapshot", "snapshot_empty", "replay", "replay_empty"]
        .iter()
        .any(|reply| name == *reply || name.starts_with("ack_") || name.starts_with("error_"))
    {
        encode(&decode::<Reply>(&frame)?)?
    } else {
        encode(&decode::<Command>(&frame)?)?
    };
    Ok(serde_json::from_slice(&out).unwrap())
}

#[test]
fn every_golden_message_survives_decode_and_encode() {
    let all = vectors();
    assert!(all.len() >= 40, "only {} vectors", all.len());
    for (name, value) in &all {
        assert_eq!(&round_trip(name, value).unwrap_or_else(|e| panic!("{name}: {e}")), value);
    }
}

#[test]
fn every_message_type_has_a_golden_example() {
    let present: BTreeSet<String> =
        vectors().iter().map(|(_, v)| v["type"].as_str().unwrap().to_owned()).collect();
    for types in [Command::TYPES, Reply::TYPES, Event::TYPES, Market::TYPES] {
        for kind in types {
            assert!(present.contains(*kind), "no vector of {kind}");
        }
    }
}

type Visit<'a> = dyn FnMut(&[String], &Map<String, Value>) + 'a;

fn each_object(value: &Value, path: &mut Vec<String>, visit: &mut Visit<'_>) {
    match value {
        Value::Object(object) => {
            visit(path, object);
            for (key, inner) in object {
                path.push(key.clone());
                each_object(inner, path, visit);
                path.pop();
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                path.push(at.to_string());
                each_object(inner, path, visit);
                path.pop();
            }
        }
        _ => {}
    }
}

fn object_at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Map<String, Value> {
    let mut here = value;
    for step in path {
        here = match here {
            Value::Array(list) => &mut list[step.parse::<usize>().unwrap()],
            other => &mut other[step.as_str()],
        };
    }
    here.as_object_mut().unwrap()
}

#[test]
fn a_missing_or_an_extra_field_is_refused_at_every_depth() {
    for (name, value) in &vectors() {
        let mut broken = Vec::new();
        each_object(value, &mut Vec::new(), &mut |path, object| {
            for key in object.keys() {
                let mut copy = value.clone();
                object_at(&mut copy, path).remove(key);
                broken.push((format!("without {path:?}.{key}"), copy));
            }
            let mut copy = value.clone();
            object_at(&mut copy, path).insert("surprise".to_owned(), json!(1));
            broken.push((format!("with a surprise in {path:?}"), copy));
        });
        for (what, copy) in broken {
            assert!(round_trip(name, &copy).is_err(), "{name} {what} was accepted");
        }
    }
}

fn submit_with(key: &str, value: Value) -> Vec<u8> {
    let (_, mut submit) = vectors().into_iter().find(|(name, _)| name == "submit").unwrap();
    submit[key] = value;
    serde_json::to_vec(&submit).unwrap()
}

#[test]
fn each_kind_of_bad_frame_gets_its_own_code() {
    let code = |frame: &[u8]| decode::<Command>(frame).unwrap_err().code;
    assert_eq!(code(b"{"), ErrorCode::BadJson);
    assert_eq!(code(b"\xff\xfe"), ErrorCode::BadJson);
    assert_eq!(code(b"[]"), ErrorCode::BadJson);
    assert_eq!(code(&submit_with("v", json!(2))), ErrorCode::BadVersion);
    assert_eq!(code(&submit_with("type", json!("order"))), ErrorCode::UnknownType);
    assert_eq!(code(&submit_with("qty", json!(0.01))), ErrorCode::BadField);
    assert_eq!(code(&submit_with("qty", json!("NaN"))), ErrorCode::BadField);
    assert_eq!(code(&submit_with("side", json!("long"))), ErrorCode::BadField);
    assert_eq!(code(&submit_with("intent_id", json!("not-a-uuid"))), ErrorCode::BadField);
    assert_eq!(code(&submit_with("ts", json!(-1))), ErrorCode::BadField);
    assert_eq!(code(&submit_with("request_id", json!("a b"))), ErrorCode::BadField);
    assert_eq!(code(&submit_with("agent", json!("a\nb"))), ErrorCode::BadField);
    assert_eq!(code(&vec![b' '; MAX_FRAME_BYTES + 1]), ErrorCode::TooLarge);
    let infinite = String::from_utf8(submit_with("ttl_ms", json!(12_345_678)))
        .unwrap()
        .replace("12345678", "1e999");
    assert!(decode::<Command>(infinite.as_bytes()).is_err());
}

#[test]
fn a_field_given_twice_is_refused() {
    let text = String::from_utf8(submit_with("ttl_ms", json!(5))).unwrap();
    let twice = text.replacen("{", "{\"ttl_ms\":6,", 1);
    assert_eq!(decode::<Command>(twice.as_bytes()).unwrap_err().code, ErrorCode::BadField);
}

#[test]
fn a_fault_repeats_the_request_it_belongs_to() {
    let fault = decode::<Command>(&submit_with("qty", json!(1))).unwrap_err();
    assert_eq!(fault.request_id.unwrap().as_str(), "r-1");
    assert!(fault.text.contains("submit"), "{}", fault.text);
}

#[test]
fn a_level_is_a_price_and_a_size_and_nothing_more() {
    let (name, value) = vectors().into_iter().find(|(name, _)| name == "market_levels").unwrap();
    let refused = |level: Value| {
        let mut broken = value.clone();
        broken["bids"][1] = level;
        round_trip(&name, &broken).unwrap_err()
    };
    for level in [json!([]), json!(["1"]), json!(["1", "2", "3"]), json!([1, 2]), json!("1")] {
        assert_eq!(refused(level.clone()).code, ErrorCode::BadField, "{level}");
    }
}

//! Reading a command whose `v` and `type` come first, as every sender of ours writes it.
//!
//! A field that comes before `type` has to be kept aside until the type is known, and serde then keeps
//! all of them aside, one allocation each. With the type at the front every field goes straight to its
//! place. What is not written like that is read the general way, which also finds what is wrong.

use serde::{
    de::{
        value::{BorrowedStrDeserializer, MapAccessDeserializer},
        DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor,
    },
    Deserialize, Deserializer,
};

use super::{
    field::{V1, WIRE_VERSION},
    frame::Family,
    Command,
};

impl Family for Command {
    const TYPES: &'static [&'static str] = &[
        "submit",
        "amend",
        "cancel",
        "cancel_all",
        "flatten",
        "set_state",
        "set_limits",
        "heartbeat",
        "snapshot",
        "replay",
    ];

    fn read(frame: &[u8]) -> serde_json::Result<Self> {
        command(frame).or_else(|_| serde_json::from_slice(frame))
    }
}

/// Reads a frame that is a command in that order; any other frame is an error without meaning.
fn command(frame: &[u8]) -> serde_json::Result<Command> {
    let mut deserializer = serde_json::Deserializer::from_slice(frame);
    let command = deserializer.deserialize_map(InOrder)?;
    deserializer.end()?;
    Ok(command)
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Command;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a command with v and type at its beginning")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Command, A::Error> {
        let elsewhere = || A::Error::custom("v and type are elsewhere");
        if map.next_key::<&str>()? != Some("v") {
            return Err(elsewhere());
        }
        map.next_value::<V1>()?;
        if map.next_key::<&str>()? != Some("type") {
            return Err(elsewhere());
        }
        let kind: &str = map.next_value()?;
        let fields = MapAccessDeserializer::new(Fields { version: Version::Due, rest: map });
        Ok(match kind {
            "submit" => Command::Submit(Deserialize::deserialize(fields)?),
            "amend" => Command::Amend(Deserialize::deserialize(fields)?),
            "cancel" => Command::Cancel(Deserialize::deserialize(fields)?),
            "cancel_all" => Command::CancelAll(Deserialize::deserialize(fields)?),
            "flatten" => Command::Flatten(Deserialize::deserialize(fields)?),
            "set_state" => Command::SetState(Deserialize::deserialize(fields)?),
            "set_limits" => Command::SetLimits(Deserialize::deserialize(fields)?),
            "heartbeat" => Command::Heartbeat(Deserialize::deserialize(fields)?),
            "snapshot" => Command::Snapshot(Deserialize::deserialize(fields)?),
            "replay" => Command::Replay(Deserialize::deserialize(fields)?),
            _ => return Err(elsewhere()),
        })
    }
}

/// The fields of a message without its `type`: `v`, which was read already, and the rest.
struct Fields<A> {
    version: Version,
    rest: A,
}

/// How far `v` has been given again.
enum Version {
    Due,
    Named,
    Given,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        if matches!(self.version, Version::Due) {
            self.version = Version::Named;
            return seed.deserialize(BorrowedStrDeserializer::new("v")).map(Some);
        }
        self.rest.next_key_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if matches!(self.version, Version::Named) {
            self.version = Version::Given;
            return seed.deserialize(WIRE_VERSION.into_deserializer());
        }
        self.rest.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the general way makes of a frame.
    fn general(frame: &str) -> Option<Command> {
        serde_json::from_str(frame).ok()
    }

    #[test]
    fn what_is_read_in_order_is_what_the_general_way_reads() {
        for frame in [
            r#"{"v":1,"type":"heartbeat","ts":5,"request_id":"r"}"#,
            r#"{"v":1,"type":"cancel_all","ts":5,"request_id":"r","agent":null,"symbol":"BTCUSDT"}"#,
            r#" { "v" : 1 , "type" : "replay" , "limit" : 7, "ts":5,"request_id":"r","since_seq":0} "#,
        ] {
            let read = command(frame.as_bytes()).unwrap();
            assert_eq!(Some(read), general(frame), "{frame}");
        }
    }

    #[test]
    fn what_the_general_way_refuses_is_not_read_in_order_either() {
        for frame in [
            r#"{"v":2,"type":"heartbeat","ts":5,"request_id":"r"}"#,
            r#"{"v":1,"type":"heartbeat","ts":5,"request_id":"r","v":1}"#,
            r#"{"v":1,"type":"heartbeat","type":"heartbeat","ts":5,"request_id":"r"}"#,
            r#"{"v":1,"type":"heartbeat","ts":5,"request_id":"r","more":1}"#,
            r#"{"v":1,"type":"heartbeat","ts":5}"#,
            r#"{"v":1,"type":"heartbeat","ts":5,"request_id":"r"}{}"#,
            r#"{"v":1,"type":"ack","ts":5,"request_id":"r"}"#,
            r#"{"v":1,"type":"heartbeat","ts":5,"request_id":"r""#,
            "[]",
        ] {
            assert!(command(frame.as_bytes()).is_err(), "{frame}");
            assert_eq!(general(frame), None, "{frame}");
        }
    }

    #[test]
    fn another_order_is_left_to_the_general_way() {
        let frame = r#"{"type":"heartbeat","v":1,"ts":5,"request_id":"r"}"#;
        assert!(command(frame.as_bytes()).is_err());
        assert!(super::super::decode::<Command>(frame.as_bytes()).is_ok());
    }
}

//! An exchange that speaks Bybit v5 on loopback.
#![forbid(unsafe_code)]

fn main() {}

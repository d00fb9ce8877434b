//! Cerebellum: the only hand that touches an exchange.
#![forbid(unsafe_code)]

fn main() {}

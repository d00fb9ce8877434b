//! Cerebellum's REST client against small HTTP servers. One binary: linking is most of its time.

mod clock;
mod missing_fields;
mod turned_away;

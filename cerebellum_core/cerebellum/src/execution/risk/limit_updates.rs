//! Limits that are put in force while running: by an operator's command, or from the file again.
//!
//! A command's limits are journaled and win over the file after a restart, so that a limit lowered in
//! a hurry stays low; reading the file again (SIGHUP) puts the file's limits in force and forgets them.

use protocol::wire::{
    command::SetLimits as SetLimitsCommand, reply::AckStatus, DecimalText, ErrorCode,
};

use crate::execution::{
    model::{
        io::{Client, Record},
        limits::{DailyLossLimits, Limits, OrderLimits, PositionLimits, VenueLimits},
    },
    Core,
};

impl Core {
    pub(in crate::execution) fn set_limits(&mut self, client: Client, set: SetLimitsCommand) {
        let request = set.request_id.clone();
        let Some(operator) = set.operator.clone() else {
            let text = "setting limits needs operator, a person's name".to_owned();
            self.error(client, request, ErrorCode::NeedsOperator, text);
            return;
        };
        let old = self.setup.limits.clone();
        let new = merged(&old, set);
        if let Err(error) = new.check() {
            self.error(client, request, ErrorCode::BadField, format!("set_limits: {error}"));
            return;
        }
        let record = Record::Limits(Some(Box::new(new.clone())));
        self.outbox.record(record);
        let changes = differences(&old, &new);
        let text = format!("{operator} set {changes}; kept until the file is read again");
        self.apply_limits(new);
        self.alarm("limits_changed", text, None, None);
        self.ack(client, request, None, AckStatus::Accepted, None, changes, None);
    }

    /// The limits of the file, read again; those of a command are forgotten.
    pub(in crate::execution) fn reload_limits(&mut self, limits: Limits) {
        let changes = differences(&self.setup.limits, &limits);
        self.outbox.record(Record::Limits(None));
        self.apply_limits(limits);
        self.alarm("limits_changed", format!("the file was read again: {changes}"), None, None);
    }

    /// At the start: the limits that a command set before, reported if the file differs.
    pub(in crate::execution) fn restore_limits(&mut self, limits: Limits) {
        if limits == self.setup.limits {
            return;
        }
        let changes = differences(&self.setup.limits, &limits);
        self.apply_limits(limits);
        let text = format!("limits set by command stay in force: {changes}; SIGHUP reads the file");
        self.alarm("limits_kept", text, None, None);
    }

    fn apply_limits(&mut self, limits: Limits) {
        self.setup.limits = limits;
        let per_second = self.setup.limits.venue.orders_per_second as usize;
        self.rates.set_per_second(per_second);
    }
}

fn merged(old: &Limits, set: SetLimitsCommand) -> Limits {
    let money = |text: Option<DecimalText>| text.map(|text| text.value());
    Limits {
        order: set.order.map_or(old.order.clone(), |order| OrderLimits {
            max_notional: money(order.max_notional),
            collar_bps: order.collar_bps,
            per_second_per_agent: order.per_second_per_agent,
        }),
        position: set.position.map_or(old.position.clone(), |position| PositionLimits {
            max_notional: money(position.max_notional),
            max_total_notional: money(position.max_total_notional),
        }),
        daily_loss: set.daily_loss.map_or(old.daily_loss.clone(), |loss| DailyLossLimits {
            agent: money(loss.agent),
            total: money(loss.total),
        }),
        venue: set.venue.map_or(old.venue.clone(), |venue| VenueLimits {
            orders_per_second: venue.orders_per_second,
            // It is the file's alone.
            max_waiting: old.venue.max_waiting,
        }),
    }
}

/// Every limit that differs, with both values.
fn differences(old: &Limits, new: &Limits) -> String {
    let changed: Vec<String> = old
        .named()
        .into_iter()
        .zip(new.named())
        .filter(|(before, after)| before != after)
        .map(|((name, before), (_, after))| format!("{name} {before} -> {after}"))
        .collect();
    if changed.is_empty() {
        "no limit changed".to_owned()
    } else {
        changed.join(", ")
    }
}

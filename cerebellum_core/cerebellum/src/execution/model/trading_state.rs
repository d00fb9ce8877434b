//! Trading states by scope: what an agent may do in a symbol.

use std::collections::BTreeMap;

use protocol::wire::field::{Name, Symbol, TradingState};

/// To whom and what a trading state applies; `None` is every one.
pub type Scope = (Option<Name>, Option<Symbol>);

/// Trading states by scope; a scope without one is ACTIVE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States(BTreeMap<Scope, TradingState>);

impl States {
    /// The state of one scope alone.
    #[must_use]
    pub fn get(&self, scope: &Scope) -> TradingState {
        self.0.get(scope).copied().unwrap_or(TradingState::Active)
    }

    /// Sets the state of one scope.
    pub fn set(&mut self, scope: Scope, state: TradingState) {
        self.0.insert(scope, state);
    }

    /// The strictest state that applies to an agent in a symbol.
    #[must_use]
    pub fn effective(&self, agent: &Name, symbol: &Symbol) -> TradingState {
        let (agent, symbol) = (Some(agent.clone()), Some(symbol.clone()));
        let scopes = [(None, None), (agent.clone(), None), (None, symbol.clone()), (agent, symbol)];
        scopes.iter().map(|scope| self.get(scope)).max().unwrap_or(TradingState::Active)
    }

    /// Every scope that has a state.
    pub fn iter(&self) -> impl Iterator<Item = (&Scope, TradingState)> {
        self.0.iter().map(|(scope, state)| (scope, *state))
    }
}

/// Whether a scope covers an agent's business in a symbol.
#[must_use]
pub fn covers(scope: &Scope, agent: &Name, symbol: &Symbol) -> bool {
    scope.0.as_ref().is_none_or(|named| named == agent)
        && scope.1.as_ref().is_none_or(|named| named == symbol)
}

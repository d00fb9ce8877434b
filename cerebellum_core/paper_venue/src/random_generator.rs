//! How often something strikes: so many times, so likely, drawn from a seed.

use crate::market::random::Stream;
use serde::Serialize;

/// How often a fault strikes.
#[derive(Debug, Clone, Serialize)]
pub struct RandomGenerator {
    /// How often it still strikes; without end when missing.
    pub count: Option<u32>,
    /// How likely each time, from zero to one.
    pub probability: f64,
    /// How often it struck.
    pub struck: u32,
    #[serde(skip)]
    stream: Stream,
}

impl RandomGenerator {
    /// So many times, so likely, drawn from a seed.
    #[must_use]
    pub fn new(count: Option<u32>, probability: f64, seed: u64) -> Self {
        Self { count, probability, struck: 0, stream: Stream::new(&[seed, 0xfa17]) }
    }

    /// Whether it strikes this time.
    pub fn strikes(&mut self) -> bool {
        if self.is_spent() || (self.probability < 1.0 && self.stream.uniform() >= self.probability)
        {
            return false;
        }
        self.count = self.count.map(|count| count - 1);
        self.struck += 1;
        true
    }

    /// Whether it never strikes again.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.count == Some(0) || self.probability <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_strikes_so_often_and_a_probability_the_same_requests_for_the_same_seed() {
        let mut twice = RandomGenerator::new(Some(2), 1.0, 1);
        assert_eq!([twice.strikes(), twice.strikes(), twice.strikes()], [true, true, false]);
        let draw = |seed| -> Vec<bool> {
            let mut chance = RandomGenerator::new(None, 0.3, seed);
            (0..200).map(|_| chance.strikes()).collect()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        let struck = draw(5).iter().filter(|one| **one).count();
        assert!((30..90).contains(&struck), "{struck} of 200");
        assert!(!RandomGenerator::new(None, 0.0, 1).strikes());
    }
}

//! Seeded randomness from integer arithmetic alone, so every machine draws the same numbers.

/// One step of the SplitMix64 finaliser (Steele, Lea and Flood, 2014).
const fn scramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Hashes numbers into one.
#[must_use]
pub fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        scramble(state.wrapping_add(*part).wrapping_add(0x9e37_79b9_7f4a_7c15))
    })
}

/// Hashes a name.
#[must_use]
pub fn hash_name(name: &str) -> u64 {
    name.bytes().fold(0, |state, byte| hash(&[state, u64::from(byte)]))
}

/// The fraction in [0, 1) that a hash stands for.
#[must_use]
#[allow(clippy::cast_precision_loss)] // 53 bits fit exactly.
pub fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / 9_007_199_254_740_992.0
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(u64);

impl Stream {
    /// A stream of its own for each list of numbers.
    #[must_use]
    pub fn new(parts: &[u64]) -> Self {
        Self(hash(parts))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        fraction(self.bits())
    }

    /// Uniform in 0..bound; zero for a bound of zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        u64::try_from((u128::from(self.bits()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// Close to a standard normal: eight 16-bit uniforms added up, without any library function.
    pub fn normal(&mut self) -> f64 {
        let mut sum = 0_u64;
        for _ in 0..2 {
            let bits = self.bits();
            sum +=
                (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
        }
        // Mean 8 * 32767.5; variance 8 * (2^32 - 1) / 12.
        #[allow(clippy::cast_precision_loss)]
        let centred = sum as f64 - 262_140.0;
        centred / 53_509.935
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_has_mean_zero_and_variance_one() {
        let mut stream = Stream::new(&[1]);
        let draws: Vec<f64> = (0..100_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn streams_of_different_names_differ() {
        assert_ne!(hash_name("BTCUSDT"), hash_name("ETHUSDT"));
        assert_ne!(Stream::new(&[1, 2]).bits(), Stream::new(&[2, 1]).bits());
    }
}

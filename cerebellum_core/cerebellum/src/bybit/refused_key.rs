//! What it means when the venue refuses the key, and what to do about it.

/// What a code reports of the key or its account, and the next step; `None` for a code about something
/// else. Asking again with the same key is of no use.
#[must_use]
pub const fn meaning(code: i64) -> Option<&'static str> {
    Some(match code {
        10_003 => {
            "the venue does not know the API key; each of paper, demo, testnet and live has keys of its \
             own: check --venue and the key"
        }
        10_004 => {
            "the venue finds the signature wrong, so the secret does not belong to the key; copy both \
             again"
        }
        10_005 => {
            "the API key lacks a permission; give it contract trading, orders and positions, at the venue"
        }
        10_010 => {
            "the API key is bound to other addresses; add this machine's address to it at the venue"
        }
        33_004 => "the API key has expired; make a new one at the venue",
        10_024 | 10_027 => {
            "the venue does not let this account trade (compliance or a ban); ask its support"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::meaning;

    #[test]
    fn codes_about_the_key_have_a_next_step_and_others_mean_something_else() {
        for code in [10_003, 10_004, 10_005, 10_010, 10_024, 10_027, 33_004] {
            assert!(meaning(code).is_some_and(|text| text.contains(';')), "{code}");
        }
        for code in [0, 10_001, 10_002, 10_006, 10_016, 10_018, 10_029, 110_025] {
            assert_eq!(meaning(code), None, "{code}");
        }
    }
}

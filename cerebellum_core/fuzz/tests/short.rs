//! The short form: twenty thousand inputs of every target.

use fuzz::{
    fuzz,
    mutate::{mutated, Random},
    targets::TARGETS,
};

#[test]
fn no_parser_panics_takes_what_is_not_finite_or_reads_its_own_words_differently() {
    for target in &TARGETS {
        let examples = (target.examples)().unwrap();
        let report = fuzz(target, &examples, 20_000, 1);
        assert!(report.findings.is_empty(), "{}: {:?}", target.name, report.findings);
        assert!(report.accepted > 0, "{}: nothing was accepted", target.name);
        assert!(report.outcomes.len() >= 5, "{}: {:?}", target.name, report.outcomes);
    }
}

#[test]
fn the_same_seed_gives_the_same_inputs_and_another_seed_others() {
    let examples = vec![br#"{"a":[1,"x"]}"#.to_vec()];
    let inputs = |seed| {
        let mut random = Random::new(seed);
        (0..200).map(|_| mutated(&examples, &mut random)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
}

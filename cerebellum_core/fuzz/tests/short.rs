//! The short form: twenty thousand inputs of every target.

use fuzz::{
    fuzz,
    mutate::{mutated, Random},
    targets::{once, TARGETS},
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

#[test]
fn every_target_has_its_program_for_libfuzzer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/libfuzzer/fuzz_targets");
    for target in &TARGETS {
        let program = std::fs::read_to_string(format!("{folder}/{}.rs", target.name)).unwrap();
        assert!(program.contains(&format!("target!(\"{}\")", target.name)), "{program}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), TARGETS.len());
}

#[test]
fn every_example_keeps_the_promises_one_by_one_and_as_a_stream() {
    for target in &TARGETS {
        let examples = (target.examples)().unwrap();
        for example in &examples {
            once(target.name, example).unwrap();
        }
        once(target.name, &examples.join(&b'\n')).unwrap();
    }
    assert!(once("nobody", b"{}").is_err());
}

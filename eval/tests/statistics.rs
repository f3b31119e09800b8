//! Our statistics against those of scipy (fixtures/eval/statistics.json names the version).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tantivy_dense_eval::stats::{
    Differences, Draws, bootstrap_interval, cohens_d, detectable_difference, paired_t,
    randomization_test,
};

#[derive(Deserialize)]
struct Expected {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    differences: Vec<f64>,
    t: f64,
    t_p: f64,
    randomization_p: f64,
    interval: [f64; 2],
    cohens_d: f64,
    detectable: f64,
    detectable_exact: f64,
}

fn cases() -> BTreeMap<String, Case> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/eval/statistics.json");
    let expected: Expected = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(expected.cases.len(), 8);
    expected.cases
}

#[track_caller]
fn assert_close(name: &str, ours: f64, theirs: f64, within: f64) {
    assert!((ours - theirs).abs() <= within, "{name}: {ours} is not {theirs}");
}

#[test]
fn t_its_p_and_cohens_d_equal_those_of_scipy_within_1e_9() {
    for (name, case) in cases() {
        let test = paired_t(&case.differences).unwrap();
        assert_close(&name, test.t, case.t, 1e-9);
        assert_close(&name, test.p, case.t_p, 1e-9);
        assert_close(&name, cohens_d(&case.differences).unwrap(), case.cohens_d, 1e-9);
    }
}

#[test]
fn the_detectable_difference_is_within_1_percent_of_the_noncentral_t_from_10_topics_on() {
    for (name, case) in cases() {
        let ours = detectable_difference(&case.differences).unwrap();
        assert_close(&name, ours, case.detectable, 1e-9);
        if case.differences.len() >= 10 {
            assert_close(&name, ours, case.detectable_exact, 0.01 * case.detectable_exact);
        }
    }
}

#[test]
fn the_randomization_test_is_exact_for_few_differences_and_near_for_many() {
    let rounds = 20_000;
    for (name, case) in cases() {
        let differences = Differences::new(&case.differences).unwrap();
        let ours = randomization_test(&differences, Draws::new(5).rounds(rounds));
        let theirs = case.randomization_p;
        let drawn = case.differences.iter().filter(|difference| **difference != 0.0).count() > 14;
        let error = (theirs * (1.0 - theirs) / f64::from(rounds)).sqrt();
        let within = if drawn { 4.0 * error + 2.0 / f64::from(rounds) } else { 1e-9 };
        assert_close(&name, ours, theirs, within);
    }
}

#[test]
fn bootstrap_intervals_are_those_of_scipy_within_the_error_of_the_rounds() {
    for (name, case) in cases() {
        let differences = Differences::new(&case.differences).unwrap();
        let interval = bootstrap_interval(&differences, 0.95, Draws::new(5).rounds(20_000));
        let width = case.interval[1] - case.interval[0];
        // The means of a few round differences are few, and lie far apart.
        let share = if case.differences.len() < 10 { 0.05 } else { 0.02 };
        for (ours, theirs) in interval.into_iter().zip(case.interval) {
            assert_close(&name, ours, theirs, share * width);
        }
    }
}

//! Our values against those of `trec_eval`, and of `ir_measures` for what it lacks
//! (fixtures/eval/expected.json names the versions).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tantivy_dense_eval::{Evaluator, Measure, Qrels, Run, evaluate};

#[derive(Deserialize)]
struct Expected {
    /// Case, topic, measure.
    cases: BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>,
}

#[test]
fn every_measure_equals_trec_eval_or_ir_measures_within_1e_9() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/eval");
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    let mut compared = 0;
    for (case, topics) in &expected.cases {
        let run = Run::read(&folder.join(format!("{case}.run"))).unwrap();
        let qrels = Qrels::read(&folder.join(format!("{case}.qrels"))).unwrap();
        let names: Vec<&String> = topics.values().next().unwrap().keys().collect();
        let measures: Vec<Measure> = names.iter().map(|name| name.parse().unwrap()).collect();
        let values = evaluate(&run, &qrels, &measures);
        let read = Evaluator::new(&qrels, &measures).read_run(&folder.join(format!("{case}.run")));
        assert_eq!(read.unwrap().evaluation, values, "{case}");
        assert_eq!(values.len(), topics.len(), "{case}");
        for (topic, expected) in topics {
            for (name, ours) in names.iter().zip(values.values(topic).unwrap()) {
                let theirs = expected[*name];
                assert!((ours - theirs).abs() < 1e-9, "{case}, {topic}, {name}: {ours}, {theirs}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, (28 + 9) * (3 + 3 + 2 + 1 + 28 + 11 + 19));
}

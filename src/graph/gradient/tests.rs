//! Every rule, and a whole encoder with its loss, against differences of the f64 reference.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers of tests are small"
)]

use std::collections::HashMap;

use ndarray::IxDyn;

use super::super::bert::{Activation, BertConfig, Head, bert_for_training};
use super::super::contrastive::{ContrastiveLoss, Distillation};
use super::super::fed::{Fed, TrainingEncoder};
use super::super::interpret::{Array, array, run};
use super::super::tensor::{ElementType, Tensor};
use super::super::weights::{Weights, WeightsError};
use super::*;
use crate::encoder::Pooling;

/// Numbers from -1 to 1 without a pattern.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    }

    fn array(&mut self, dims: &[usize]) -> Array {
        let numbers = (0..dims.iter().product()).map(|_| self.next()).collect();
        Array::from_shape_vec(IxDyn(dims), numbers).unwrap()
    }
}

fn fixed(dims: &[usize]) -> Vec<Axis> {
    dims.iter().map(|&n| Axis::Fixed(n)).collect()
}

/// Compares the gradients of one value that is made of inputs with these dims.
fn check(inputs: &[&[usize]], build: impl Fn(&mut GraphBuilder, &[Value]) -> Value) {
    check_with(inputs, |_| {}, build);
}

fn check_with(
    dims: &[&[usize]],
    adjust: impl Fn(&mut Array),
    build: impl Fn(&mut GraphBuilder, &[Value]) -> Value,
) {
    let mut noise = Noise(7);
    let mut graph = GraphBuilder::new();
    let mut given: HashMap<String, Array> = HashMap::new();
    let mut values = Vec::new();
    for (i, dims) in dims.iter().enumerate() {
        let name = format!("x{i}");
        values.push(graph.input(&name, ElementType::F32, &fixed(dims)));
        let mut array = noise.array(dims);
        adjust(&mut array);
        given.insert(name, array);
    }
    let y = build(&mut graph, &values);
    graph.output("y", y, ElementType::F32, &[]);
    let forward = graph.clone();
    let shape = run(&forward, &given)["y"].shape().to_vec();
    let seed = graph.input("seed", ElementType::F32, &fixed(&shape));
    let gradients = graph.gradients(&[(y, seed)], &values, &[]).unwrap();
    for (i, &gradient) in gradients.iter().enumerate() {
        graph.output(&format!("d{i}"), gradient, ElementType::F32, &[]);
    }
    let weights = noise.array(&shape);
    let mut all = given.clone();
    all.insert("seed".to_owned(), weights.clone());
    let found = run(&graph, &all);
    let loss = |given: &HashMap<String, Array>| {
        run(&forward, given)["y"].iter().zip(&weights).map(|(a, b)| a * b).sum::<f64>()
    };
    for i in 0..dims.len() {
        let (name, gradient) = (format!("x{i}"), &found[&format!("d{i}")]);
        assert_eq!(gradient.shape(), given[&name].shape(), "x{i}");
        let wanted = differences(&given, &name, 0..given[&name].len(), &loss);
        for (at, (a, b)) in gradient.iter().zip(wanted).enumerate() {
            assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "x{i}[{at}]: {a} for {b}");
        }
    }
}

fn differences(
    given: &HashMap<String, Array>,
    name: &str,
    places: impl IntoIterator<Item = usize>,
    loss: &dyn Fn(&HashMap<String, Array>) -> f64,
) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let at = |place: usize, step: f64| {
        let mut moved = given.clone();
        *moved.get_mut(name).unwrap().iter_mut().nth(place).unwrap() += step;
        loss(&moved)
    };
    places.into_iter().map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP)).collect()
}

#[test]
fn arithmetic_sums_over_what_it_repeats() {
    for (a, b) in [
        (&[2, 3][..], &[2, 3][..]),
        (&[2, 3], &[3]),
        (&[3], &[2, 3]),
        (&[2, 1, 3], &[4, 1]),
        (&[], &[2, 2]),
        (&[1], &[2]),
    ] {
        check(&[a, b], |g, x| g.add(x[0], x[1]));
        check(&[a, b], |g, x| g.sub(x[0], x[1]));
        check(&[a, b], |g, x| g.mul(x[0], x[1]));
        let away_from_0 = |x: &mut Array| x.mapv_inplace(|x| x + 2.0 * x.signum());
        check_with(&[a, b], away_from_0, |g, x| g.div(x[0], x[1]));
    }
}

#[test]
fn a_value_that_is_read_twice_gets_both_gradients() {
    check(&[&[2, 3]], |g, x| g.mul(x[0], x[0]));
    check(&[&[2, 3]], |g, x| {
        let y = g.gelu(x[0]);
        let z = g.mul(y, x[0]);
        g.add(z, y)
    });
}

#[test]
fn matrix_products_of_all_ranks() {
    for (a, b) in [
        (&[2, 3][..], &[3, 4][..]),
        (&[2, 3, 4], &[4, 2]),
        (&[2, 2, 3, 4], &[4, 2]),
        (&[2, 2, 3, 4], &[2, 2, 4, 3]),
        (&[2, 1, 3, 4], &[1, 2, 4, 3]),
        (&[3, 4], &[2, 4, 3]),
    ] {
        check(&[a, b], |g, x| g.matmul(x[0], x[1]));
    }
}

#[test]
fn axes_that_are_moved() {
    check(&[&[2, 3, 4]], |g, x| g.transpose(x[0], &[2, 0, 1]));
    check(&[&[2, 3, 4]], |g, x| g.reshape(x[0], &[0, 12]));
    check(&[&[2, 3, 4]], |g, x| g.reshape(x[0], &[-1, 2]));
    check(&[&[2, 3]], |g, x| g.unsqueeze(x[0], &[0, -1]));
    check(&[&[2, 1, 3, 1]], |g, x| g.squeeze(x[0], &[1, -1]));
    check(&[&[4, 3]], |g, x| {
        let (start, end, axis) = (g.list(&[1]), g.list(&[3]), g.list(&[0]));
        g.op("Slice", &[x[0], start, end, axis], &[])
    });
}

#[test]
fn sums_and_lengths() {
    check(&[&[2, 3, 4]], |g, x| g.sum(x[0], 1));
    check(&[&[2, 3]], |g, x| g.total(x[0]));
    check(&[&[2, 3]], |g, x| g.length(x[0], -1));
}

#[test]
fn curves() {
    check(&[&[3, 5]], |g, x| g.gelu(x[0]));
    check_with(&[&[3, 5]], |x| x.mapv_inplace(|x| x * 9.0), |g, x| g.gelu(x[0]));
    check(&[&[3, 5]], |g, x| g.op("Tanh", &[x[0]], &[]));
    check(&[&[2, 3, 5]], |g, x| g.softmax(x[0]));
    check(&[&[2, 3, 5]], |g, x| g.log_softmax(x[0]));
    check(&[&[2, 3, 5], &[5], &[5]], |g, x| g.layer_norm(x[0], x[1], x[2], 1e-5));
}

#[test]
fn rows_of_a_table_that_are_read_twice_get_the_sum() {
    check(&[&[5, 3]], |g, x| {
        let rows = Tensor::i64(&[2, 3], vec![0, 4, 4, 1, 0, 0]);
        let rows = g.constant("rows", rows);
        g.gather(x[0], rows)
    });
}

#[test]
fn what_has_no_rule_or_no_effect_is_an_error() {
    let mut graph = GraphBuilder::new();
    let x = graph.input("x", ElementType::F32, &[Axis::Fixed(2)]);
    let other = graph.input("other", ElementType::F32, &[Axis::Fixed(2)]);
    let y = graph.max(x, other);
    let error = graph.gradients(&[(y, x)], &[x], &[]).unwrap_err();
    assert_eq!(error, GradientError::Operator { operator: "Max" });
    let y = graph.add(x, x);
    let error = graph.gradients(&[(y, x)], &[other], &[]).unwrap_err();
    assert_eq!(error, GradientError::Independent { value: "other".to_owned() });
}

impl Weights for Noise {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let seed = name.bytes().fold(self.0, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        let (centre, spread) =
            if name.ends_with("LayerNorm.weight") { (1.0, 0.2) } else { (0.0, 0.3) };
        let numbers = Self(seed).array(dims);
        Ok(numbers.iter().map(|&x| (centre + spread * x) as f32).collect())
    }
}

const BERT: BertConfig = BertConfig {
    layers: 2,
    heads: 2,
    hidden: 32,
    inner: 8,
    vocabulary: 9,
    positions: 6,
    token_types: 2,
    epsilon: 1e-5,
    head: Head { pooling: Pooling::Mean, dense: None, activation: Activation::Tanh },
};

/// Token ids and mask of four queries and answers, and one passage more.
fn tokens() -> HashMap<String, Array> {
    let ids = [1, 3, 5, 2, 0, 1, 4, 4, 7, 2, 1, 8, 2, 0, 0, 1, 2, 0, 0, 0, 1, 6, 6, 3, 2];
    let mask = ids.map(|id| if id == 0 { 0.0 } else { 1.0 });
    let shaped = |x: Vec<f64>| Array::from_shape_vec(IxDyn(&[5, 5]), x).unwrap();
    HashMap::from([
        ("input_ids".to_owned(), shaped(ids.map(f64::from).to_vec())),
        ("attention_mask".to_owned(), shaped(mask.to_vec())),
    ])
}

fn loss() -> ContrastiveLoss {
    ContrastiveLoss {
        dim: 32,
        temperature: 0.25,
        symmetrical: true,
        matryoshka: vec![8, 16],
        distillation: Distillation { vectors: 0.5, similarities: 2.0 },
    }
}

/// Two queries, three passages, one of which is no negative of the second query.
fn loss_inputs(vectors: &Array) -> HashMap<String, Array> {
    let part =
        |from: usize, to: usize| vectors.slice_axis(ndarray::Axis(0), (from..to).into()).to_owned();
    let matrix = |x: &[f64]| Array::from_shape_vec(IxDyn(&[2, 3]), x.to_vec()).unwrap();
    let column = |x: &[f64]| Array::from_shape_vec(IxDyn(&[x.len(), 1]), x.to_vec()).unwrap();
    let mut noise = Noise(3);
    let mut unit = |rows: usize| {
        let mut rows = noise.array(&[rows, vectors.shape()[1]]);
        for mut row in rows.outer_iter_mut() {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.mapv_inplace(|x| x / length);
        }
        rows
    };
    HashMap::from(
        [
            ("queries", part(0, 2)),
            ("passages", part(2, 5)),
            ("allowed", matrix(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0])),
            ("positive", matrix(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])),
            ("target_similarities", matrix(&[0.9, 0.2, -0.1, 0.3, 0.7, 0.0])),
            ("held", Array::from_elem(IxDyn(&[]), 1.0)),
            ("query_targets", unit(2)),
            ("query_weights", column(&[1.0, 0.0])),
            ("passage_targets", unit(3)),
            ("passage_weights", column(&[0.0, 1.0, 1.0])),
        ]
        .map(|(name, array)| (name.to_owned(), array)),
    )
}

#[test]
fn the_loss_with_all_its_terms() {
    let graph = loss().graph().unwrap();
    let given = loss_inputs(&Noise(5).array(&[5, 32]));
    let found = run(&graph, &given);
    let loss = |given: &HashMap<String, Array>| run(&graph, given)["loss"].sum();
    for (name, gradient) in [("queries", "query_gradients"), ("passages", "passage_gradients")] {
        let wanted = differences(&given, name, 0..given[name].len(), &loss);
        for (a, b) in found[gradient].iter().zip(wanted) {
            assert!((a - b).abs() < 1e-6 * (1.0 + b.abs()), "{name}: {a} for {b}");
        }
    }
}

#[test]
fn a_loss_worked_out_by_hand() {
    let plain = ContrastiveLoss {
        dim: 2,
        temperature: 1.0,
        symmetrical: false,
        matryoshka: Vec::new(),
        distillation: Distillation::default(),
    };
    let rows = |x: &[f64]| Array::from_shape_vec(IxDyn(&[2, 2]), x.to_vec()).unwrap();
    let mut given = HashMap::from(
        [
            ("queries", rows(&[1.0, 0.0, 0.0, 1.0])),
            ("passages", rows(&[1.0, 0.0, 0.6, 0.8])),
            ("allowed", rows(&[1.0; 4])),
            ("positive", rows(&[1.0, 0.0, 0.0, 1.0])),
        ]
        .map(|(name, array)| (name.to_owned(), array)),
    );
    // Scores 1, .6 and 0, .8.
    let first = (1_f64.exp() + 0.6_f64.exp()).ln() - 1.0;
    let second = (1.0 + 0.8_f64.exp()).ln() - 0.8;
    let of =
        |loss: &ContrastiveLoss, given: &HashMap<String, Array>| run(&loss.graph().unwrap(), given);
    let found = of(&plain, &given);
    assert!((found["loss"].sum() - f64::midpoint(first, second)).abs() < 1e-12);
    assert_eq!(found["best"].iter().copied().collect::<Vec<_>>(), [0.0, 1.0]);
    // From passages: columns 1, 0 and .6, .8.
    let back = [(1_f64.exp() + 1.0).ln() - 1.0, (0.6_f64.exp() + 0.8_f64.exp()).ln() - 0.8];
    let all = [first, second, back[0], back[1]].iter().sum::<f64>() / 4.0;
    let both = of(&ContrastiveLoss { symmetrical: true, ..plain.clone() }, &given);
    assert!((both["loss"].sum() - all).abs() < 1e-12);
    // Without its only negative a query loses nothing.
    given.insert("allowed".to_owned(), rows(&[1.0, 0.0, 1.0, 1.0]));
    let masked = of(&plain, &given);
    assert!((masked["loss"].sum() - second / 2.0).abs() < 1e-9);
}

/// Trains every weight of an encoder, in halves, and compares some gradients of each.
fn check_encoder(config: &BertConfig) {
    let TrainingEncoder { mut graph, vectors, parameters } =
        bert_for_training(config, &Noise(11), Fed::All).unwrap();
    let axes = [Axis::Named("batch"), Axis::Fixed(config.dim())];
    graph.output("vectors", vectors, ElementType::F32, &axes);
    let end = graph.node_count();
    let seed = graph.input("seed", ElementType::F32, &axes);
    let wanted: Vec<Value> = parameters.iter().map(|p| p.value).collect();
    let gradients = graph.gradients(&[(vectors, seed)], &wanted, &[]).unwrap();
    for (parameter, gradient) in parameters.iter().zip(gradients) {
        graph.output(&format!("d.{}", parameter.name), gradient, ElementType::F32, &[]);
    }
    let halves = graph.halves(end).unwrap();
    let contrast = ContrastiveLoss { dim: config.dim(), matryoshka: vec![4], ..loss() };
    let contrast = contrast.graph().unwrap();

    let mut given = tokens();
    given.extend(parameters.iter().map(|p| (p.name.clone(), array(&p.tensor))));
    let forward = run(&halves.forward, &given);
    let compared = run(&contrast, &loss_inputs(&forward["vectors"]));
    let seed = ndarray::concatenate(
        ndarray::Axis(0),
        &[compared["query_gradients"].view(), compared["passage_gradients"].view()],
    );
    let mut all = given.clone();
    all.extend(forward.clone());
    all.insert("seed".to_owned(), seed.unwrap());
    let found = run(&halves.backward, &all);
    let loss = |given: &HashMap<String, Array>| {
        let forward = run(&halves.forward, given);
        run(&contrast, &loss_inputs(&forward["vectors"]))["loss"].sum()
    };
    for parameter in &parameters {
        let name = &parameter.name;
        let gradient = &found[&format!("d.{name}")];
        assert_eq!(gradient.shape(), given[name].shape(), "{name}");
        let places: Vec<usize> = (0..gradient.len()).step_by(gradient.len() / 5 + 1).collect();
        let wanted = differences(&given, name, places.clone(), &loss);
        for (place, wanted) in places.into_iter().zip(wanted) {
            let found = *gradient.iter().nth(place).unwrap();
            let near = 1e-6 * (1.0 + wanted.abs());
            assert!((found - wanted).abs() < near, "{name}[{place}]: {found} for {wanted}");
        }
    }
}

#[test]
fn a_whole_encoder_with_its_loss() {
    check_encoder(&BERT);
}

#[test]
fn an_encoder_that_takes_the_first_token_through_a_dense_layer() {
    check_encoder(&BertConfig {
        head: Head { pooling: Pooling::Cls, dense: Some(6), activation: Activation::Tanh },
        ..BERT
    });
}

#[test]
fn low_rank_changes_get_the_gradient_of_the_weight_they_change() {
    let (inputs, outputs, rank) = (4, 5, 2);
    let mut graph = GraphBuilder::new();
    let mut input = |name: &str, dims: &[usize]| graph.input(name, ElementType::F32, &fixed(dims));
    let (x, seed) = (input("x", &[2, 3, inputs]), input("seed", &[2, 3, outputs]));
    let weight = input("weight", &[inputs, outputs]);
    let (a, b) = (input("a", &[inputs, rank]), input("b", &[rank, outputs]));
    let y = graph.matmul(x, weight);
    let low = LowRank { weight, a, b, scale: 0.5 };
    let found = graph.gradients(&[(y, seed)], &[a, b], &[low]).unwrap();
    graph.output("da", found[0], ElementType::F32, &[]);
    graph.output("db", found[1], ElementType::F32, &[]);
    let mut noise = Noise(2);
    let dims: [(&str, &[usize]); 5] = [
        ("x", &[2, 3, inputs]),
        ("seed", &[2, 3, outputs]),
        ("weight", &[inputs, outputs]),
        ("a", &[inputs, rank]),
        ("b", &[rank, outputs]),
    ];
    let given: HashMap<String, Array> =
        dims.iter().map(|(name, dims)| ((*name).to_owned(), noise.array(dims))).collect();
    let found = run(&graph, &given);
    // The same with the change written out.
    let mut plain = GraphBuilder::new();
    let values: Vec<Value> =
        dims.iter().map(|(name, dims)| plain.input(name, ElementType::F32, &fixed(dims))).collect();
    let change = plain.matmul(values[3], values[4]);
    let half = plain.scalar(0.5);
    let change = plain.mul(change, half);
    let weight = plain.add(values[2], change);
    let y = plain.matmul(values[0], weight);
    let wanted = plain.gradients(&[(y, values[1])], &values[3..], &[]).unwrap();
    plain.output("da", wanted[0], ElementType::F32, &[]);
    plain.output("db", wanted[1], ElementType::F32, &[]);
    let wanted = run(&plain, &given);
    for name in ["da", "db"] {
        for (a, b) in found[name].iter().zip(&wanted[name]) {
            assert!((a - b).abs() < 1e-12, "{name}");
        }
    }
}

/// What `fixtures/make/training.py` found.
#[derive(serde::Deserialize)]
struct Golden {
    all: GoldenRun,
}

#[derive(serde::Deserialize)]
struct GoldenRun {
    losses: Vec<f64>,
    gradients: HashMap<String, Vec<f64>>,
}

#[test]
fn an_encoder_s_gradients_are_those_of_pytorch() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../../fixtures/golden/training.json")).unwrap();
    let config = BertConfig { inner: 48, ..BERT };
    let TrainingEncoder { mut graph, vectors, parameters } =
        bert_for_training(&config, &Noise(11), Fed::All).unwrap();
    graph.output("vectors", vectors, ElementType::F32, &[]);
    let forward = graph.clone();
    let seed = graph.input("seed", ElementType::F32, &[Axis::Named("batch"), Axis::Fixed(32)]);
    let wanted: Vec<Value> = parameters.iter().map(|p| p.value).collect();
    let gradients = graph.gradients(&[(vectors, seed)], &wanted, &[]).unwrap();
    for (parameter, gradient) in parameters.iter().zip(gradients) {
        graph.output(&format!("d.{}", parameter.name), gradient, ElementType::F32, &[]);
    }
    let loss =
        ContrastiveLoss { matryoshka: Vec::new(), distillation: Distillation::default(), ..loss() };
    let mut given = tokens();
    given.extend(parameters.iter().map(|p| (p.name.clone(), array(&p.tensor))));
    let compared = loss_inputs(&run(&forward, &given)["vectors"]);
    let compared = run(&loss.graph().unwrap(), &compared);
    assert!((compared["loss"].sum() - golden.all.losses[0]).abs() < 1e-6);
    let sides = [compared["query_gradients"].view(), compared["passage_gradients"].view()];
    given.insert("seed".to_owned(), ndarray::concatenate(ndarray::Axis(0), &sides).unwrap());
    let found = run(&graph, &given);
    assert_eq!(golden.all.gradients.len(), parameters.len());
    for (name, wanted) in golden.all.gradients {
        let found = &found[&format!("d.{name}")];
        for (found, wanted) in found.iter().step_by(found.len() / 5 + 1).zip(wanted) {
            let near = 1e-6 * (1.0 + wanted.abs());
            assert!((found - wanted).abs() < near, "{name}: {found} for {wanted}");
        }
    }
}
